"""Tone curves and the stretches that choose them."""

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
    "COLOUR_MODES",
    "AsinhCurve",
    "AsinhSettings",
    "AutoStretchSettings",
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
    "plan_stretch",
    "stretch_image",
]
