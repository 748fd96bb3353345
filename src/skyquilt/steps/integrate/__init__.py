"""Robust integration: the samples of all frames on one tile, rejected and combined."""

from skyquilt.steps.integrate.cube import CubeScratch, integrate_cube, tile_bytes
from skyquilt.steps.integrate.stored import StoredStack, takes_stored
from skyquilt.steps.integrate.sweep import SweepState, integrate_sweep
from skyquilt.steps.integrate.terms import COMBINES, FEW_SAMPLES, RULES, FrameTerms, IntegratedTile, IntegrateSettings

__all__ = [
    "COMBINES",
    "FEW_SAMPLES",
    "RULES",
    "CubeScratch",
    "FrameTerms",
    "IntegrateSettings",
    "IntegratedTile",
    "StoredStack",
    "SweepState",
    "integrate_cube",
    "integrate_sweep",
    "takes_stored",
    "tile_bytes",
]
