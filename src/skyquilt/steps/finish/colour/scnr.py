"""Subtractive chromatic noise reduction: green, or magenta, that no object of the sky has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32
from skyquilt.errors import UsageError
from skyquilt.steps.finish.colour.background import measure_background, sample_pixels
from skyquilt.steps.finish.colour.spaces import luminance

__all__ = ["SCNR_METHODS", "ScnrPlan", "ScnrSettings", "plan_scnr", "reduce_colour"]

SCNR_METHODS = ("average", "maximum", "additive_mask", "maximum_mask")
_MOST_BRIGHTENED = 4.0
_BACKGROUND_SIGMA = 3.0
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True)
class ScnrSettings:
    """
    What colour is reduced, and how.

    Attributes
    ----------
    colour : "green" or "magenta"
    method : "average", "maximum", "additive_mask" or "maximum_mask"
        What green is compared with (see `ScnrPlan`). The masks are for green, in pictures of 0..1.
    strength : float, 0 to 1
    keep_lightness : bool
        Whether the luminance that is taken is given back, in the new colour.
    spare_sigma : float, 0 to 5
        An excess of up to this many sigma of its noise stays. 0 is the method as published.
    keep_background : bool
        Give back what green loses in the noise of the background on average: a neutral sky stays neutral. As published
        (False), a noisy one turns to magenta.
    """

    colour: str = "green"
    method: str = "average"
    strength: float = 1.0
    keep_lightness: bool = False
    spare_sigma: float = 0.0
    keep_background: bool = True

    def __post_init__(self) -> None:
        if self.colour not in ("green", "magenta"):
            raise UsageError(f"{self.colour!r} is no colour to reduce", "green or magenta")
        if self.method not in SCNR_METHODS:
            raise UsageError(f"{self.method!r} is no method of SCNR", f"one of {', '.join(SCNR_METHODS)}")
        if self.colour == "magenta" and self.method.endswith("mask"):
            raise UsageError("the masks of SCNR are for green", "use average or maximum for magenta")
        if not 0.0 <= self.strength <= 1.0:
            raise UsageError(f"a strength of {self.strength:g} is out of range", "give 0 to 1")
        if not 0.0 <= self.spare_sigma <= 5.0:
            raise UsageError(f"noise of {self.spare_sigma:g} sigma cannot be spared", "give 0 to 5")


@dataclass(frozen=True, slots=True)
class ScnrPlan:
    """
    SCNR of one image.

    Attributes
    ----------
    settings : ScnrSettings
    spared, restored : float, unit of the image
        Excess that stays, and what is added to green everywhere.

    Notes
    -----
    With a the strength and m the neutral green, G' = G - a (G - m)+ : "average", m = (R + B) / 2; "maximum",
    m = max(R, B). "additive_mask", "maximum_mask": G' = G (1 - a) (1 - M) + G M where that is less than G, with
    M = min(1, R + B) or max(R, B), 0 at least. Source: PixInsight reference documentation, SCNR. Magenta is the same
    upside down: G' = G + a (m - G)+ with m = (R + B) / 2 where both R and B exceed G ("average"; elsewhere a red nebula
    would turn to orange), or m = min(R, B) ("maximum", without that edge).
    What is spared is taken from the excess (...)+ first, 0 at least. `keep_lightness` multiplies all channels by
    Y / Y', 1/4 to 4, where both are positive.
    """

    settings: ScnrSettings
    spared: float = 0.0
    restored: float = 0.0

    def apply(self, tile: F32) -> F32:
        """
        Return the pixels with less green (or magenta), float32 (3, y, x); green is NaN where another channel is.

        Raises
        ------
        UsageError
            If the image has not three channels.
        """
        _check(tile)
        out = tile.copy()
        if self.settings.strength == 0.0:
            return out
        change = _excess(tile, self.settings)
        if self.spared:
            change -= np.float32(self.spared)
            np.maximum(change, np.float32(0.0), out=change)
        change *= np.float32(self.settings.strength if self.settings.colour == "magenta" else -self.settings.strength)
        if self.restored:
            change += np.float32(self.restored)
        out[1] += change
        return _with_lightness_of(tile, out) if self.settings.keep_lightness else out


def _check(tile: F32) -> None:
    if len(tile) != 3:
        raise UsageError(f"SCNR takes three channels, the image has {len(tile)}", "use a colour image")


def plan_scnr(sample: F32, settings: ScnrSettings) -> ScnrPlan:
    """
    Return the SCNR of an image.

    Parameters
    ----------
    sample : float32 (3, y, x)
        `sample_pixels` of the image, or the image: linear or stretched, with a neutral background.

    Raises
    ------
    UsageError
        If the image has not three channels.
    NoUsableInput
        If no pixel has data.

    Notes
    -----
    Over the pixels within 3 sigma of the background: what is spared is `spare_sigma` times the scatter of G less its
    neutral value; what is restored is the mean of G - G'.
    """
    _check(sample)
    if not settings.spare_sigma and not settings.keep_background:
        return ScnrPlan(settings)
    background = measure_background(sample)
    flat = sample.reshape(3, -1)
    near = np.abs(flat - background.level[:, None]) <= _BACKGROUND_SIGMA * background.sigma[:, None]
    sky = np.ascontiguousarray(flat[:, near.all(axis=0)])[:, None]
    signed = sky[1] - (np.maximum(sky[0], sky[2]) if settings.method == "maximum" else 0.5 * (sky[0] + sky[2]))
    scatter = _MAD_TO_SIGMA * float(np.median(np.abs(signed - np.median(signed)))) if sky.size else 0.0
    plan = ScnrPlan(settings, settings.spare_sigma * scatter)
    if not settings.keep_background or not sky.size:
        return plan
    lost = float(np.mean(sky[1].astype(np.float64) - plan.apply(sky)[1]))
    return ScnrPlan(settings, plan.spared, lost)


def reduce_colour(image: F32, settings: ScnrSettings) -> F32:
    """Return the image with less green (or magenta), float32 (3, y, x): `plan_scnr` of a sample of it, applied."""
    _check(image)
    return plan_scnr(sample_pixels(image), settings).apply(image)


def _excess(tile: F32, settings: ScnrSettings) -> F32:
    """Return how far green lies above (for magenta: below) what the method lets it be at full strength."""
    red, green, blue = tile
    if settings.method.endswith("mask"):
        mask = red + blue if settings.method == "additive_mask" else np.maximum(red, blue)
        mask = np.clip(mask, np.float32(0.0), np.float32(1.0))
        excess: F32 = np.maximum(green * (np.float32(1.0) - mask), np.float32(0.0))
        return excess
    if settings.colour == "green":
        if settings.method == "maximum":
            neutral = np.maximum(red, blue)
        else:
            neutral = red + blue
            neutral *= np.float32(0.5)
        excess = np.subtract(green, neutral, out=neutral)
        np.maximum(excess, np.float32(0.0), out=excess)
        return excess
    lower = np.minimum(red, blue)
    neutral = lower if settings.method == "maximum" else np.float32(0.5) * (red + blue)
    excess = np.maximum(neutral - green, np.float32(0.0))
    excess[lower <= green] = 0.0
    return excess


def _with_lightness_of(before: F32, after: F32) -> F32:
    y, y_new = luminance(before), luminance(after)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((y > 0.0) & (y_new > 0.0), y / y_new, np.float32(1.0))
    after *= np.clip(ratio, 1.0 / _MOST_BRIGHTENED, _MOST_BRIGHTENED).astype(np.float32)
    return after
