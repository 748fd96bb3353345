"""The room that brings frames to the level of the reference."""

from skyquilt.steps.normalise.fit import MODES, fit_normalisation, flux_ratio

__all__ = ["MODES", "fit_normalisation", "flux_ratio"]
