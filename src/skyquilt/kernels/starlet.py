"""The starlet transform: an image as the sum of its structure by size, and what is done to each size."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32, I64
from skyquilt.kernels.backend import exact_called, exact_kernel

__all__ = ["WHITE_SIGMA", "define_shrink", "define_smooth", "reach_of", "shrink_band", "smooth"]

WHITE_SIGMA = (0.8908, 0.2007, 0.0856, 0.0413, 0.0205, 0.0103, 0.0051, 0.0026)
"""Sigma of each band, finest first, of white noise of sigma 1."""


def reach_of(n_scales: int) -> int:
    """Return how many px around a pixel its coefficients of that many bands depend on."""
    return int(2 * (2**n_scales - 1))


def define_smooth(plane: F32, step: int) -> F32:
    """
    Return a plane convolved with [1 4 6 4 1]/16, its taps `step` px apart, along y, then x: the definition of `smooth`.

    Parameters
    ----------
    plane : float32 (y, x)
        Mirrored about its outermost pixels.
    step : int, px

    Notes
    -----
    With c_0 the image and c_j = smooth(c_(j-1), 2^(j-1)), band j is w_j = c_(j-1) - c_j and the image is
    w_1 + ... + w_n + c_n. Source: Starck, Fadili & Murtagh 2007, IEEE Trans. Image Processing 16, 297.
    """
    out = plane.astype(np.float32)
    for axis in (0, 1):
        width = [(0, 0), (0, 0)]
        width[axis] = (2 * step, 2 * step)
        padded = np.pad(out, width, mode="reflect" if out.shape[axis] > 1 else "edge")
        n = out.shape[axis]
        a, b, c, d, e = (np.take(padded, np.arange(k * step, k * step + n), axis=axis) for k in range(5))
        out = ((a + e) * np.float32(0.0625) + (b + d) * np.float32(0.25)) + c * np.float32(0.375)
    return np.asarray(out, dtype=np.float32)


def define_shrink(band: F32, smooth_square: F32, low: float, high: float, amount: float, keep: F32) -> tuple[F32, F32]:
    """
    Return the band with its noise lowered, and what is kept at this place: the definition of `shrink_band`.

    Parameters
    ----------
    band : float32 (y, x)
    smooth_square : float32 (y, x)
        Local mean of the squared significance of the band.
    low, high : float
        Where that is below `low` all is noise, above `high` nothing.
    amount : float, 0..1
        Share of the noise that is taken.
    keep : float32 (y, x), 0..1
        What finer bands kept here.
    """
    t = np.clip((smooth_square - np.float32(low)) * np.float32(1.0 / (high - low)), np.float32(0.0), np.float32(1.0))
    keep = np.maximum(keep, t * t * (np.float32(3.0) - np.float32(2.0) * t))
    return band * (np.float32(1.0) - np.float32(amount) * (np.float32(1.0) - keep)), keep


@exact_called
def _mirrored(k: int, n: int) -> int:
    """Index within 0..n-1 of index k of the mirrored axis."""
    if n == 1:
        return int(0)
    period = 2 * (n - 1)
    k = abs(k) % period
    return min(k, period - k)


@exact_kernel
def smooth(plane: F32, step: int, out: F32) -> None:
    """Fill `out` (y, x), which is not `plane`, with `define_smooth` of it, the same bits; about 1 ns a pixel."""
    h, w = plane.shape
    line = np.empty(w, np.float32)
    near: I64 = np.empty((5, w), np.int64)
    for j in range(w):
        for k in range(5):
            near[k, j] = _mirrored(j + (k - 2) * step, w)
    inner = max(w - 4 * step, 0)
    for i in range(h):
        row_a, row_b = plane[_mirrored(i - 2 * step, h)], plane[_mirrored(i - step, h)]
        row_c = plane[i]
        row_d, row_e = plane[_mirrored(i + step, h)], plane[_mirrored(i + 2 * step, h)]
        for j in range(w):
            line[j] = ((row_a[j] + row_e[j]) * np.float32(0.0625) + (row_b[j] + row_d[j]) * np.float32(0.25)) + row_c[
                j
            ] * np.float32(0.375)
        target = out[i]
        if inner > 0:
            a, b, c = line[:inner], line[step : step + inner], line[2 * step : 2 * step + inner]
            d, e = line[3 * step : 3 * step + inner], line[4 * step : 4 * step + inner]
            part = target[2 * step : 2 * step + inner]
            for j in range(inner):
                part[j] = ((a[j] + e[j]) * np.float32(0.0625) + (b[j] + d[j]) * np.float32(0.25)) + c[j] * np.float32(
                    0.375
                )
        left = 2 * step if inner > 0 else w
        for k in range(w - inner):
            j = k if k < left else k + inner
            target[j] = (
                (line[near[0, j]] + line[near[4, j]]) * np.float32(0.0625)
                + (line[near[1, j]] + line[near[3, j]]) * np.float32(0.25)
            ) + line[near[2, j]] * np.float32(0.375)


@exact_kernel
def shrink_band(band: F32, smooth_square: F32, low: float, high: float, amount: float, keep: F32, total: F32) -> None:
    """Add `define_shrink` of the band to `total` and write what is kept into `keep`, both in place."""
    inverse, start = np.float32(1.0 / (high - low)), np.float32(low)
    one, share = np.float32(1.0), np.float32(amount)
    for i in range(band.shape[0]):
        row, square, kept, target = band[i], smooth_square[i], keep[i], total[i]
        for j in range(band.shape[1]):
            t = min(max((square[j] - start) * inverse, np.float32(0.0)), one)
            best = max(kept[j], t * t * (np.float32(3.0) - np.float32(2.0) * t))
            kept[j] = best
            target[j] += row[j] * (one - share * (one - best))
