"""The mosaic as a whole: where its frames lie on the sky, how they share it, how bright they are, and its canvas."""

from skyquilt.steps.mosaic.astrometry import solve_astrometry
from skyquilt.steps.mosaic.astrometry_nouns import (
    AstroFrame,
    AstroSettings,
    AstroSolution,
    Component,
    DeviceSolution,
    FrameSolution,
)
from skyquilt.steps.mosaic.astrometry_ties import Points, Ties, match_ties, pick_points
from skyquilt.steps.mosaic.canvas import CanvasSettings, choose_canvas
from skyquilt.steps.mosaic.footprints import Footprints, footprints_of
from skyquilt.steps.mosaic.frame_index import FrameIndex
from skyquilt.steps.mosaic.overlaps import Overlaps, find_islands, find_overlaps
from skyquilt.steps.mosaic.pointings import Pointing, find_pointings
from skyquilt.steps.mosaic.sky_map import SkyMap

__all__ = [
    "AstroFrame",
    "AstroSettings",
    "AstroSolution",
    "CanvasSettings",
    "Component",
    "DeviceSolution",
    "Footprints",
    "FrameIndex",
    "FrameSolution",
    "Overlaps",
    "Pointing",
    "Points",
    "SkyMap",
    "Ties",
    "choose_canvas",
    "find_islands",
    "find_overlaps",
    "find_pointings",
    "footprints_of",
    "match_ties",
    "pick_points",
    "solve_astrometry",
]
