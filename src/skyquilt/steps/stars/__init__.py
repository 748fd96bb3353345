"""The room that measures a frame: its stars, its sky, its noise."""

from skyquilt.steps.stars.colour import NEUTRAL, star_colour
from skyquilt.steps.stars.measurement import measure, measure_cube

__all__ = ["NEUTRAL", "measure", "measure_cube", "star_colour"]
