"""A luminance and a colour image made one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32
from skyquilt.errors import UsageError
from skyquilt.steps.finish.colour import draw_into_range, from_hsv, from_lab, luminance, to_hsv, to_lab

__all__ = ["LRGB_METHODS", "LrgbSettings", "combine_lrgb"]

LRGB_METHODS = ("lab", "hsv", "direct")
_LARGEST_RATIO = 20.0
_LARGEST_SHARE = np.float32(5.0)


@dataclass(frozen=True, slots=True)
class LrgbSettings:
    """
    How luminance and colour are put together.

    Attributes
    ----------
    method : "lab", "hsv" or "direct"
        Exchange L* of CIE L*a*b*, or V of HSV, in stretched pictures of 0..1; or multiply the channels so that their
        luminance is the new one, also in linear images whose sky is 0.
    weight : float, 0 to 1
        Of the new luminance; the rest is the colour image's own.
    chroma : float, 0 to 4
        Factor on the colours: a*, b*; S; or the distance of the channels from their luminance.
    """

    method: str = "lab"
    weight: float = 1.0
    chroma: float = 1.0

    def __post_init__(self) -> None:
        if self.method not in LRGB_METHODS:
            raise UsageError(f"{self.method!r} is no way to combine LRGB", f"one of {', '.join(LRGB_METHODS)}")
        if not 0.0 <= self.weight <= 1.0:
            raise UsageError(f"a weight of {self.weight:g} is out of range", "give 0 to 1")
        if not 0.0 <= self.chroma <= 4.0:
            raise UsageError(f"a chroma of {self.chroma:g} is out of range", "give 0 to 4")


def combine_lrgb(colour: F32, light: F32, settings: LrgbSettings) -> F32:
    """
    Return the colour image with another luminance, float32 (3, y, x).

    Parameters
    ----------
    colour : float32 (3, y, x)
    light : float32 (1, y, x)
        Registered on `colour`, stretched to the same brightness; NaN in either makes the pixel NaN.

    Raises
    ------
    UsageError
        If the shapes do not fit.

    Notes
    -----
    "lab": L* of the grey picture `light` for L*, and the colour drawn towards grey where it does not fit into 0..1.
    "hsv": `light` for V, clipped to 0..1. "direct": v_c + (light - Y) s_c, Y the luminance of `colour`, s_c = v_c / Y,
    so that this is v_c light / Y. s_c is kept within 0 and 5 (where Y is little more than noise, the noise of the
    colours would be multiplied by any number), and is 1 where Y is not positive or light more than 20 times it.
    """
    if len(colour) != 3 or light.shape != (1, *colour.shape[1:]):
        raise UsageError(
            f"a colour image {colour.shape} and a luminance {light.shape} do not fit", "register both on one canvas"
        )
    weight, chroma = np.float32(settings.weight), np.float32(settings.chroma)
    if settings.method == "lab":
        lab = to_lab(colour)
        lab[0] += weight * (to_lab(np.repeat(light, 3, axis=0))[0] - lab[0])
        lab[1:] *= chroma
        return _in_range(lab)
    if settings.method == "hsv":
        hsv = to_hsv(colour)
        hsv[1] = np.minimum(hsv[1] * chroma, np.float32(1.0))
        hsv[2] += weight * (light[0] - hsv[2])
        return np.clip(from_hsv(hsv), np.float32(0.0), np.float32(1.0))
    y = luminance(colour)
    target = y + weight * (light[0] - y)
    scaled = (y > 0.0) & (np.abs(target) <= _LARGEST_RATIO * y)
    share = np.where(scaled, colour / np.where(scaled, y, np.float32(1.0)), np.float32(1.0))
    np.clip(share, np.float32(0.0), _LARGEST_SHARE, out=share)
    out: F32 = (colour + (target - y) * share).astype(np.float32, copy=False)
    if settings.chroma != 1.0:
        out -= target
        out *= chroma
        out += target
    return out


def _in_range(lab: F32) -> F32:
    """Return the picture of L*, a*, b* in 0..1, colours that a screen cannot show at their lightness drawn to grey."""
    picture = from_lab(lab)
    lab[1:] = np.where(np.isnan(lab[1:]), lab[1:], np.float32(0.0))
    grey = from_lab(lab)[1]
    return draw_into_range(picture - grey, grey)
