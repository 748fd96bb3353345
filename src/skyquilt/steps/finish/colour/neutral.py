"""A background without colour: by levels (what was added), or by shares (what was multiplied)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64
from skyquilt.errors import UsageError
from skyquilt.steps.finish.colour.background import Background, measure_background, sample_pixels
from skyquilt.steps.finish.colour.linear_colour import LinearColour

__all__ = [
    "BayerSettings",
    "NeutralSettings",
    "compensate_bayer",
    "neutralise",
    "plan_bayer_compensation",
    "plan_neutral",
]


@dataclass(frozen=True, slots=True)
class NeutralSettings:
    """
    How the background is made neutral.

    Attributes
    ----------
    by : "level" or "share"
        Add to each channel what brings its background to the target (light of the sky), or multiply it.
    target : float or None, unit of the image
        Common level of the background; None takes that of the green (the middle) channel.
    """

    by: str = "level"
    target: float | None = None

    def __post_init__(self) -> None:
        if self.by not in ("level", "share"):
            raise UsageError(f"a background cannot be neutralised by {self.by!r}", "by level or by share")
        if self.target is not None and not math.isfinite(self.target):
            raise UsageError(f"{self.target} is no level of a background", "give a number")


def plan_neutral(background: Background, settings: NeutralSettings) -> LinearColour:
    """
    Return the map that gives every channel the same background.

    Raises
    ------
    UsageError
        If shares are asked for and a level, or the target, is not positive.
    """
    level = background.level
    target = float(level[len(level) // 2]) if settings.target is None else settings.target
    if settings.by == "level":
        return LinearColour(np.eye(len(level)), target - level)
    return LinearColour.of_gains(_ratios(level, target))


def _ratios(level: F64, target: float) -> F64:
    if not (level > 0.0).all() or not target > 0.0:
        levels = ", ".join(f"{value:.4g}" for value in level)
        raise UsageError(f"the background ({levels}) is not positive, so that it has no shares", "neutralise by level")
    return np.asarray(target / level)


def neutralise(image: F32, settings: NeutralSettings, background: Background | None = None) -> F32:
    """Return the image with a neutral background; `background` is measured on a sample of it by default."""
    return plan_neutral(background or measure_background(sample_pixels(image)), settings).apply(image)


@dataclass(frozen=True, slots=True)
class BayerSettings:
    """
    How the unequal response of a sensor's filters is evened out.

    Attributes
    ----------
    limit : float, 1 to 10
        Gains stay within 1 / limit and limit.
    """

    limit: float = 2.0

    def __post_init__(self) -> None:
        if not 1.0 <= self.limit <= 10.0:
            raise UsageError(f"a limit of {self.limit:g} for gains is out of range", "give 1 to 10")


def plan_bayer_compensation(background: Background, settings: BayerSettings) -> LinearColour:
    """
    Return gains G/R, 1, G/B of the background levels, kept within bounds: a first colour without any star.

    It takes the sky for grey, which holds for a sky lit by the Moon or white lamps, and needs frames without pedestal.

    Raises
    ------
    UsageError
        If the image has not three channels, or a background is not positive.
    """
    if len(background.level) != 3:
        raise UsageError(f"the image has {len(background.level)} channels, not three", "use a colour image")
    gains = _ratios(background.level, float(background.level[1]))
    return LinearColour.of_gains(np.clip(gains, 1.0 / settings.limit, settings.limit))


def compensate_bayer(image: F32, settings: BayerSettings, background: Background | None = None) -> F32:
    """Return the image with `plan_bayer_compensation` applied; `background` is measured by default."""
    return plan_bayer_compensation(background or measure_background(sample_pixels(image)), settings).apply(image)
