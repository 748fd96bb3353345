"""The room that brings frames to the level of the reference."""

from skyquilt.steps.normalise.fit import MODES, aperture_difference, fit_normalisation, flux_ratio
from skyquilt.steps.normalise.glitch import RowStep, find_row_step

__all__ = ["MODES", "RowStep", "aperture_difference", "find_row_step", "fit_normalisation", "flux_ratio"]
