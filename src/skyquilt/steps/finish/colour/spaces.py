"""Colour spaces of a picture: luminance, CIE L*a*b* and HSV, of float32 (3, y, x) in 0..1."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64

__all__ = ["LUMINANCE", "draw_into_range", "from_hsv", "from_lab", "luminance", "to_hsv", "to_lab"]

LUMINANCE: F64 = np.array([0.2126, 0.7152, 0.0722])
"""Weights of red, green and blue in Y of sRGB (ITU-R BT.709)."""

_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], LUMINANCE, [0.0193339, 0.1191920, 0.9503041]])
_FROM_XYZ = np.linalg.inv(_TO_XYZ)
_WHITE = _TO_XYZ.sum(axis=1)
_EPSILON, _SLOPE = 216.0 / 24389.0, 24389.0 / 27.0


def luminance(image: F32) -> F32:
    """Return Y, float32 (y, x), of three channels; the channel itself of a mono image."""
    if len(image) == 1:
        only: F32 = image[0]
        return only
    w = LUMINANCE.astype(np.float32)
    out: F32 = image[0] * w[0]
    out += image[1] * w[1]
    out += image[2] * w[2]
    return out


def _mix(matrix: F64, planes: F32) -> F32:
    m = matrix.astype(np.float32)
    return np.stack([planes[0] * row[0] + planes[1] * row[1] + planes[2] * row[2] for row in m])


def _decode(values: F32) -> F32:
    """sRGB to linear (IEC 61966-2-1), continued as a straight line below 0 and as the power above 1."""
    power: F32 = ((np.maximum(values, np.float32(0.04045)) + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.asarray(np.where(values <= np.float32(0.04045), values / np.float32(12.92), power), dtype=np.float32)


def _encode(values: F32) -> F32:
    power = np.float32(1.055) * np.maximum(values, np.float32(0.0031308)) ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.asarray(np.where(values <= np.float32(0.0031308), values * np.float32(12.92), power), dtype=np.float32)


def to_lab(image: F32) -> F32:
    """
    Return L* (0..100), a*, b*, float32 (3, y, x), of a picture in sRGB values 0..1.

    Notes
    -----
    CIE 15:2004, white point D65 as the sRGB primaries add up to. Values below 0 follow the straight part of the curves,
    so that `from_lab` gives them back.
    """
    xyz = _mix(_TO_XYZ / _WHITE[:, None], _decode(image))
    bent = np.where(xyz > _EPSILON, np.cbrt(xyz), (np.float32(_SLOPE) * xyz + np.float32(16.0)) / np.float32(116.0))
    x, y, z = bent.astype(np.float32)
    return np.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]).astype(np.float32)


def from_lab(lab: F32) -> F32:
    """Return the picture of L*, a*, b*: the inverse of `to_lab`, not clipped."""
    y = (lab[0] + np.float32(16.0)) / np.float32(116.0)
    bent = np.stack([y + lab[1] / np.float32(500.0), y, y - lab[2] / np.float32(200.0)])
    edge = np.float32(_EPSILON ** (1.0 / 3.0))
    xyz = np.where(bent > edge, bent**3, (np.float32(116.0) * bent - np.float32(16.0)) / np.float32(_SLOPE))
    return _encode(_mix(_FROM_XYZ * _WHITE, xyz.astype(np.float32))).astype(np.float32)


def to_hsv(image: F32) -> F32:
    """Return hue (0..1), saturation (0..1) and value, float32 (3, y, x); hue and saturation are 0 of grey and black."""
    value, low = image.max(axis=0), image.min(axis=0)
    span = value - low
    with np.errstate(divide="ignore", invalid="ignore"):
        saturation = np.where(value > 0, span / value, np.float32(0.0))
        r, g, b = (value - image) / span
        hue = np.where(image[0] == value, b - g, np.where(image[1] == value, 2.0 + r - b, 4.0 + g - r))
    hue = np.where(span > 0, hue / np.float32(6.0) % np.float32(1.0), np.float32(0.0))
    return np.where(np.isnan(image.sum(axis=0)), np.float32(np.nan), np.stack([hue, saturation, value])).astype(
        np.float32
    )


def from_hsv(hsv: F32) -> F32:
    """Return the picture of hue, saturation and value: the inverse of `to_hsv` for values of 0 and above."""
    hue, saturation, value = hsv
    planes = []
    for shift in (5.0, 3.0, 1.0):
        k = (np.float32(shift) + hue * np.float32(6.0)) % np.float32(6.0)
        fall = np.clip(np.minimum(k, np.float32(4.0) - k), 0.0, 1.0)
        planes.append(value - value * saturation * fall)
    return np.stack(planes).astype(np.float32)


def draw_into_range(colour: F32, grey: F32, ratio: F32 | None = None) -> F32:
    """
    Return grey + ratio * colour, float32 (c, y, x), the ratio lowered where needed so that all lies within 0..1.

    Parameters
    ----------
    colour : float32 (c, y, x)
        How far each channel lies from grey; changed in place.
    grey : float32 (y, x)
        In 0..1; what is outside is clipped.
    ratio : float32 (y, x)
        1 by default.
    """
    zero, one, tiny = np.float32(0.0), np.float32(1.0), np.float32(1e-30)
    middle = np.clip(grey, zero, one)
    high, low = colour.max(axis=0), colour.min(axis=0)
    most = np.minimum((one - middle) / np.maximum(high, tiny), middle / np.maximum(-low, tiny))
    colour *= np.minimum(most, one if ratio is None else ratio)
    colour += middle
    return np.clip(colour, zero, one, out=colour)
