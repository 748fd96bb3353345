"""Values between the pixels of an image that has holes: cubic where all is known, bilinear beside a hole."""

from __future__ import annotations

import math

import numpy as np

from skyquilt.core.arrays import F32, F64
from skyquilt.kernels.backend import exact_kernel

__all__ = ["sample_cubic", "sample_cubic_definition"]


def sample_cubic_definition(values: F32, x: F64, y: F64) -> F32:
    """
    Return values between pixels, float32 (channel, n): what `sample_cubic` fills in.

    Notes
    -----
    Definition: cubic convolution of 4 x 4 pixels where all of them are known in that channel; else the mean of the
    known ones of 2 x 2 with the weights of bilinear interpolation; NaN where the nearest pixel is not known or lies
    outside.
    Source: Keys 1981, IEEE Trans. ASSP 29, 1153, with a = -1/2: exact for polynomials of second degree.
    """
    found = np.full((len(values), x.size), np.nan, np.float32)
    height, width = values.shape[1:]
    padded = np.pad(values, ((0, 0), (2, 2), (2, 2)), constant_values=np.nan)
    for k, (at_x, at_y) in enumerate(zip(x, y, strict=True)):
        left, upper = math.floor(at_x), math.floor(at_y)
        t, s = at_x - left, at_y - upper
        near_x, near_y = left + (t > 0.5), upper + (s > 0.5)
        if not (0 <= near_x < width and 0 <= near_y < height):
            continue
        along_x, along_y = _keys(t), _keys(s)
        pair_x, pair_y = (1.0 - t, t), (1.0 - s, s)
        for c, image in enumerate(padded):
            if not np.isfinite(image[near_y + 2, near_x + 2]):
                continue
            around = image[upper + 1 : upper + 5, left + 1 : left + 5].astype(np.float64)
            if np.isfinite(around).all():
                total = 0.0
                for j in range(4):
                    row = 0.0
                    for i in range(4):
                        row += along_x[i] * around[j, i]
                    total += along_y[j] * row
                found[c, k] = total
                continue
            total, weight = 0.0, 0.0
            for j in range(2):
                for i in range(2):
                    if np.isfinite(around[j + 1, i + 1]):
                        total += around[j + 1, i + 1] * (pair_x[i] * pair_y[j])
                        weight += pair_x[i] * pair_y[j]
            found[c, k] = total / weight
    return found


def _keys(t: float) -> tuple[float, float, float, float]:
    """Return the weights of the four pixels around a place, t behind the second of them."""
    return (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )


@exact_kernel
def sample_cubic(values: F32, x: F64, y: F64, out: F32) -> None:
    """
    Fill in values between pixels; the definition is `sample_cubic_definition`, bit for bit.

    Parameters
    ----------
    values : float32 (channel, y, x)
        NaN where nothing is known.
    x, y : float64 (n,), px
        Finite.
    out : float32 (channel, n)
        Changed in place; NaN where nothing is known.
    """
    channels, height, width = values.shape
    along_x, along_y = np.empty(4), np.empty(4)
    for k in range(x.shape[0]):
        left, upper = math.floor(x[k]), math.floor(y[k])
        t, s = x[k] - left, y[k] - upper
        near_x = left + int(1) if t > 0.5 else left + int(0)
        near_y = upper + int(1) if s > 0.5 else upper + int(0)
        if near_x < 0 or near_x >= width or near_y < 0 or near_y >= height:
            for c in range(channels):
                out[c, k] = np.nan
            continue
        along_x[0] = ((-0.5 * t + 1.0) * t - 0.5) * t
        along_x[1] = (1.5 * t - 2.5) * t * t + 1.0
        along_x[2] = ((-1.5 * t + 2.0) * t + 0.5) * t
        along_x[3] = (0.5 * t - 0.5) * t * t
        along_y[0] = ((-0.5 * s + 1.0) * s - 0.5) * s
        along_y[1] = (1.5 * s - 2.5) * s * s + 1.0
        along_y[2] = ((-1.5 * s + 2.0) * s + 0.5) * s
        along_y[3] = (0.5 * s - 0.5) * s * s
        is_inner = left >= 1 and left + 2 < width and upper >= 1 and upper + 2 < height
        for c in range(channels):
            if not math.isfinite(values[c, near_y, near_x]):
                out[c, k] = np.nan
                continue
            total = np.nan
            if is_inner:  # a hole among the 16 makes the sum NaN or infinite
                total = 0.0
                for j in range(4):
                    row = 0.0
                    for i in range(4):
                        row += along_x[i] * np.float64(values[c, upper - 1 + j, left - 1 + i])
                    total += along_y[j] * row
            if not math.isfinite(total):
                total, weight = 0.0, 0.0
                for j in range(2):
                    for i in range(2):
                        xx, yy = left + i, upper + j
                        if xx < 0 or xx >= width or yy < 0 or yy >= height:
                            continue
                        value = np.float64(values[c, yy, xx])
                        if math.isfinite(value):
                            share = (t if i == 1 else 1.0 - t) * (s if j == 1 else 1.0 - s)
                            total += value * share
                            weight += share
                total /= weight
            out[c, k] = np.float32(total)
