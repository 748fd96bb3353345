"""The room that lays many frames of many pointings on one sky: one astrometric solution for all of them."""

from skyquilt.steps.mosaic.astrometry import solve_astrometry
from skyquilt.steps.mosaic.astrometry_nouns import (
    AstroFrame,
    AstroSettings,
    AstroSolution,
    Component,
    DeviceSolution,
    FrameSolution,
)

__all__ = [
    "AstroFrame",
    "AstroSettings",
    "AstroSolution",
    "Component",
    "DeviceSolution",
    "FrameSolution",
    "solve_astrometry",
]
