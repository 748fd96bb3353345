"""Satellite and aeroplane trails: found as lines in what a frame shows beyond the first rough result."""

from skyquilt.steps.trails.find import find_trails
from skyquilt.steps.trails.first import first_result
from skyquilt.steps.trails.planes import bin_plane

__all__ = ["bin_plane", "find_trails", "first_result"]
