"""The room that measures a frame: its stars, its sky, its noise."""

from skyquilt.steps.stars.halved import Halved, halve, halved_sites, saturation_limit
from skyquilt.steps.stars.measurement import measure, measure_cube

__all__ = ["Halved", "halve", "halved_sites", "measure", "measure_cube", "saturation_limit"]
