"""Many fields become one: where frames lie on the sky, which of them overlap, and the canvas that holds them."""

from skyquilt.steps.mosaic.canvas import CanvasSettings, choose_canvas
from skyquilt.steps.mosaic.footprints import Footprints, footprints_of
from skyquilt.steps.mosaic.frame_index import FrameIndex
from skyquilt.steps.mosaic.overlaps import Overlaps, find_islands, find_overlaps
from skyquilt.steps.mosaic.pointings import Pointing, find_pointings
from skyquilt.steps.mosaic.sky_map import SkyMap

__all__ = [
    "CanvasSettings",
    "Footprints",
    "FrameIndex",
    "Overlaps",
    "Pointing",
    "SkyMap",
    "choose_canvas",
    "find_islands",
    "find_overlaps",
    "find_pointings",
    "footprints_of",
]
