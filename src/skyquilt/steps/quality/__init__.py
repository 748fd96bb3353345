"""The room that judges frames: how good each is, which take part, how much each counts."""

from skyquilt.steps.quality.noise import background_noise
from skyquilt.steps.quality.score import Quality, score
from skyquilt.steps.quality.select import SelectSettings, Verdict, select
from skyquilt.steps.quality.weights import METHODS, weights

__all__ = [
    "METHODS",
    "Quality",
    "SelectSettings",
    "Verdict",
    "background_noise",
    "score",
    "select",
    "weights",
]
