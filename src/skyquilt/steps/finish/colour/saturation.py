"""How strong the colours of a picture are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32
from skyquilt.errors import UsageError
from skyquilt.steps.finish.colour.spaces import from_hsv, from_lab, luminance, to_hsv, to_lab

__all__ = ["SATURATION_METHODS", "SaturationSettings", "saturate"]

SATURATION_METHODS = ("luminance", "lab", "hsv")


@dataclass(frozen=True, slots=True)
class SaturationSettings:
    """
    Factor on the colour of a picture.

    Attributes
    ----------
    factor : float, 0 to 4
        0 is grey, 1 changes nothing.
    method : "luminance", "lab" or "hsv"
        "luminance": v = Y + factor (v - Y), linear, keeps Y of every pixel; also for linear images with a neutral
        background. "lab": a*, b* of CIE L*a*b*, keeps the lightness as seen. "hsv": S, at most 1, keeps the largest
        channel. The last two are for stretched pictures of 0..1.
    shadows : float, 0 to 1
        Luminance from which on the factor is full; below it fades to 1 smoothly, so that the noise of the dark sky is
        not coloured. 0: the factor is full everywhere.
    """

    factor: float = 1.0
    method: str = "luminance"
    shadows: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.factor <= 4.0:
            raise UsageError(f"a saturation of {self.factor:g} is out of range", "give 0 to 4")
        if self.method not in SATURATION_METHODS:
            raise UsageError(f"{self.method!r} is no way to saturate", f"one of {', '.join(SATURATION_METHODS)}")
        if not 0.0 <= self.shadows <= 1.0:
            raise UsageError(f"shadows up to {self.shadows:g} are out of range", "give 0 to 1")


def saturate(tile: F32, settings: SaturationSettings) -> F32:
    """
    Return the pixels with stronger or weaker colours, float32 (3, y, x); NaN in a channel makes the pixel NaN.

    Raises
    ------
    UsageError
        If the image has not three channels.

    Notes
    -----
    With `shadows` s the factor of a pixel is 1 + (factor - 1) q² (3 - 2 q), q = clip(Y / s, 0, 1). Nothing is clipped.
    """
    if len(tile) != 3:
        raise UsageError(f"an image of {len(tile)} channels has no colours to strengthen", "use a colour image")
    if settings.factor == 1.0:
        return tile.copy()
    y = luminance(tile)
    factor: F32 | np.float32 = np.float32(settings.factor)
    if settings.shadows:
        q = np.clip(y / np.float32(settings.shadows), np.float32(0.0), np.float32(1.0))
        factor = np.float32(1.0) + (factor - np.float32(1.0)) * (q * q * (np.float32(3.0) - np.float32(2.0) * q))
    if settings.method == "luminance":
        out = tile - y
        out *= factor
        out += y
        return out
    if settings.method == "lab":
        lab = to_lab(tile)
        lab[1:] *= factor
        return from_lab(lab)
    hsv = to_hsv(tile)
    hsv[1] = np.minimum(hsv[1] * factor, np.float32(1.0))
    return from_hsv(hsv)
