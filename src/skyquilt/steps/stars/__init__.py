"""The room that measures a frame: its stars, its sky, its noise."""

from skyquilt.steps.stars.measurement import measure, measure_cube

__all__ = ["measure", "measure_cube"]
