"""The room that measures a frame: its stars, its sky, its noise."""

from skyquilt.steps.stars.colour import NEUTRAL, star_colour
from skyquilt.steps.stars.halved import Halved, halve, halved_sites, saturation_limit
from skyquilt.steps.stars.measurement import measure, measure_cube

__all__ = [
    "NEUTRAL",
    "Halved",
    "halve",
    "halved_sites",
    "measure",
    "measure_cube",
    "saturation_limit",
    "star_colour",
]
