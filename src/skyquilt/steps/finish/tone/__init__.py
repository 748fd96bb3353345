"""Tone curves and the stretches that choose them."""

from skyquilt.steps.finish.tone.colourmap import COLOURMAPS, ColourmapSettings, apply_colourmap
from skyquilt.steps.finish.tone.curves import AsinhCurve, Curve, HyperbolicCurve, MidtonesCurve, TwoStageCurve
from skyquilt.steps.finish.tone.stretching import (
    COLOUR_MODES,
    AsinhSettings,
    AutoStretchSettings,
    HyperbolicSettings,
    KeptColour,
    ManualSettings,
    StretchPlan,
    StretchSettings,
    TwoStageSettings,
    plan_stretch,
    stretch_image,
)

__all__ = [
    "COLOURMAPS",
    "COLOUR_MODES",
    "AsinhCurve",
    "AsinhSettings",
    "AutoStretchSettings",
    "ColourmapSettings",
    "Curve",
    "HyperbolicCurve",
    "HyperbolicSettings",
    "KeptColour",
    "ManualSettings",
    "MidtonesCurve",
    "StretchPlan",
    "StretchSettings",
    "TwoStageCurve",
    "TwoStageSettings",
    "apply_colourmap",
    "plan_stretch",
    "stretch_image",
]
