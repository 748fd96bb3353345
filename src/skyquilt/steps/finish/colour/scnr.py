"""Subtractive chromatic noise reduction: green, or magenta, that no object of the sky has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32
from skyquilt.errors import UsageError
from skyquilt.steps.finish.colour.background import Background
from skyquilt.steps.finish.colour.spaces import luminance

__all__ = ["SCNR_METHODS", "ScnrSettings", "reduce_colour"]

SCNR_METHODS = ("average", "maximum", "additive_mask", "maximum_mask")
_MOST_BRIGHTENED = 2.0


@dataclass(frozen=True, slots=True)
class ScnrSettings:
    """
    What colour is reduced, and how.

    Attributes
    ----------
    colour : "green" or "magenta"
    method : "average", "maximum", "additive_mask" or "maximum_mask"
        What green is compared with (see `reduce_colour`). The masks are for green, in pictures of 0..1.
    strength : float, 0 to 1
    keep_lightness : bool
        Whether the luminance that is taken is given back, in the new colour.
    spare_sigma : float, 0 to 5
        An excess of up to this many sigma of its noise stays: else the noise of a neutral sky loses its green half, and
        the sky turns to magenta. 0 is the method as published. Needs the background.
    """

    colour: str = "green"
    method: str = "average"
    strength: float = 1.0
    keep_lightness: bool = False
    spare_sigma: float = 0.0

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


def reduce_colour(tile: F32, settings: ScnrSettings, background: Background | None = None) -> F32:
    """
    Return the pixels with less green (or magenta), float32 (3, y, x).

    Parameters
    ----------
    tile : float32 (3, y, x)
        Linear or stretched, with a neutral background.
    background : Background
        Of the whole image; needed for `spare_sigma` alone.

    Raises
    ------
    UsageError
        If the image has not three channels, or `spare_sigma` is given without a background.

    Notes
    -----
    With a the strength and m the neutral green, G' = G - a (G - m)+ : "average", m = (R + B) / 2; "maximum",
    m = max(R, B). "additive_mask", "maximum_mask": G' = G (1 - a) (1 - M) + G M where that is less than G, with
    M = min(1, R + B) or max(R, B), 0 at least. Source: PixInsight reference documentation, SCNR. Magenta is the same
    upside down: G' = G + a (m - G)+ with m = (R + B) / 2 where both R and B exceed G ("average"; elsewhere a red nebula
    would turn to orange), or m = min(R, B) ("maximum", without that edge).
    `spare_sigma` k takes (G - m - k s)+ for (G - m)+, s the noise of G - m. `keep_lightness` multiplies all channels by
    Y / Y', at most 2, where both are positive. A pixel with NaN in one channel becomes NaN in green.
    """
    if len(tile) != 3:
        raise UsageError(f"SCNR takes three channels, the image has {len(tile)}", "use a colour image")
    out = tile.copy()
    if settings.strength == 0.0:
        return out
    red, green, blue = tile
    if settings.method.endswith("mask"):
        mask = red + blue if settings.method == "additive_mask" else np.maximum(red, blue)
        mask = np.clip(mask, np.float32(0.0), np.float32(1.0))
        keep = np.float32(1.0 - settings.strength) * (np.float32(1.0) - mask) + mask
        excess = np.maximum(green - green * keep, np.float32(0.0))
        share = np.float32(1.0)
    else:
        excess, share = _excess(red, green, blue, settings), np.float32(settings.strength)
    if settings.spare_sigma:
        if background is None:
            raise UsageError("sparing the noise needs the background of the image", "measure it first")
        s = background.sigma
        sigma = np.hypot(s[1], 0.5 * np.hypot(s[0], s[2])) if settings.method == "average" else np.hypot(s[1], max(s))
        excess = excess - np.float32(settings.spare_sigma * sigma)
        np.maximum(excess, np.float32(0.0), out=excess)
    excess *= share
    if settings.colour == "magenta":
        np.add(green, excess, out=out[1])
    else:
        np.subtract(green, excess, out=out[1])
    return _with_lightness_of(tile, out) if settings.keep_lightness else out


def _excess(red: F32, green: F32, blue: F32, settings: ScnrSettings) -> F32:
    """Return how far green lies above (for magenta: below) what is neutral, 0 where it does not."""
    if settings.colour == "green":
        if settings.method == "maximum":
            neutral = np.maximum(red, blue)
        else:
            neutral = red + blue
            neutral *= np.float32(0.5)
        excess = np.subtract(green, neutral, out=neutral)
        return np.maximum(excess, np.float32(0.0), out=excess)
    lower = np.minimum(red, blue)
    neutral = lower if settings.method == "maximum" else np.float32(0.5) * (red + blue)
    excess = np.maximum(neutral - green, np.float32(0.0))
    excess[lower <= green] = 0.0
    return excess


def _with_lightness_of(before: F32, after: F32) -> F32:
    y, y_new = luminance(before), luminance(after)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where((y > 0.0) & (y_new > 0.0), y / y_new, np.float32(1.0))
    return after * np.clip(ratio, 1.0 / _MOST_BRIGHTENED, _MOST_BRIGHTENED).astype(np.float32)
