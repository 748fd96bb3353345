"""Many fields become one: where frames lie on the sky, which of them overlap, and the canvas that holds them."""

from skyquilt.steps.mosaic.sky_map import SkyMap

__all__ = ["SkyMap"]
