"""Where a frame has peaks: the half-resolution plane, its matched filter, the local maxima."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32, F64, I64
from skyquilt.kernels.backend import called, kernel
from skyquilt.kernels.order import sort_few

__all__ = ["RING", "bin_plane", "find_peaks", "smooth", "subtract_sky"]

RING = 12
_HUGE = 1e30
# twelve points on a circle of 4 plane px, opposite ones six apart
_RING_X = np.array([4, 3, 2, 0, -2, -3, -4, -3, -2, 0, 2, 3], dtype=np.int64)
_RING_Y = np.array([0, 2, 3, 4, 3, 2, 0, -2, -3, -4, -3, -2], dtype=np.int64)


@kernel
def subtract_sky(half: F32, background: F32, cell_px: int, out: F32) -> None:
    """
    Fill the plane on which stars are looked for: the half-resolution plane minus the sky map.

    Parameters
    ----------
    half : float32 (y // 2, x // 2), ADU
        Pixel (i, j) is centred at (2 j + 0.5, 2 i + 0.5) of the frame.
    background : float32 (gy, gx), ADU
        Sky of each cell of `cell_px` px of the frame, finite everywhere; bilinear between cell centres, constant
        outside of them.
    out : float32 (y // 2, x // 2), ADU
        Written in place. Pixels that are not finite become 0, the level of the sky.
    """
    h, w = out.shape
    gy, gx = background.shape
    columns = np.empty((gy, w), np.float32)
    for j in range(w):
        t = (2 * j + 1.0) / cell_px - 0.5
        k = min(max(int(np.floor(t)), 0), max(gx - 2, 0))
        f = min(max(t - k, 0.0), 1.0)
        last = min(k + 1, gx - 1)
        for i in range(gy):
            columns[i, j] = (1.0 - f) * background[i, k] + f * background[i, last]
    for i in range(h):
        t = (2 * i + 1.0) / cell_px - 0.5
        k = min(max(int(np.floor(t)), 0), max(gy - 2, 0))
        f = np.float32(min(max(t - k, 0.0), 1.0))
        first_row, last_row = columns[k], columns[min(k + 1, gy - 1)]
        row, source = out[i], half[i]
        for j in range(w):
            v = source[j] - (first_row[j] + f * (last_row[j] - first_row[j]))
            row[j] = v if abs(v) < np.float32(_HUGE) else np.float32(0.0)


@kernel
def bin_plane(plane: F32, out: F32) -> None:
    """Fill `out` (y // 2, x // 2) with the means of 2x2 pixels of `plane`."""
    for i in range(out.shape[0]):
        row_a, row_b, row = plane[2 * i], plane[2 * i + 1], out[i]
        for j in range(out.shape[1]):
            row[j] = ((row_a[2 * j] + row_a[2 * j + 1]) + (row_b[2 * j] + row_b[2 * j + 1])) * np.float32(0.25)


@kernel
def smooth(plane: F32, out: F32) -> None:
    """
    Fill `out` with `plane` convolved with [1 2 1]/4 along both axes, edges repeated.

    On the half-resolution plane that is the matched filter of a star of FWHM 3.4 px of the frame; white noise of
    sigma 1 becomes 3/8.
    """
    h, w = plane.shape
    column = np.empty(w, np.float32)
    for i in range(h):
        above, row, below = plane[max(i - 1, 0)], plane[i], plane[min(i + 1, h - 1)]
        for j in range(w):
            column[j] = (above[j] + below[j]) * np.float32(0.25) + row[j] * np.float32(0.5)
        target = out[i]
        for j in range(1, w - 1):
            target[j] = (column[j - 1] + column[j + 1]) * np.float32(0.25) + column[j] * np.float32(0.5)
        target[0] = column[0] * np.float32(0.75) + column[min(1, w - 1)] * np.float32(0.25)
        target[w - 1] = column[w - 1] * np.float32(0.75) + column[max(w - 2, 0)] * np.float32(0.25)


@called
def _any_above(values: F32, limit: np.float32) -> bool:
    """Whether a value exceeds the limit."""
    n_above = np.int32(0)  # counted, not sought: the compiler then compares sixteen at a time
    for k in range(values.size):
        n_above = np.int32(n_above + np.int32(values[k] > limit))
    return bool(n_above > 0)


@kernel
def find_peaks(plane: F32, threshold: F32, cell: int, position: F64, contrast: F64, direction: I64) -> int:
    """
    Fill the local maxima of the filtered plane that stand above the sky and above their own surroundings.

    Parameters
    ----------
    plane : float32 (y, x), ADU
        Filtered, sky subtracted.
    threshold : float32 (gy, gx), ADU
        What a peak must reach, by cells of `cell` plane px.
    position : float64 (n_max, 2)
        (x, y) in plane px, from a parabola through the neighbours. Written in place.
    contrast : float64 (n_max,), ADU
        Height above the median of a ring of 12 points 4 px away. Written in place.
    direction : int64 (n_max,)
        -1, or 0 to 5 (steps of 30 degrees) where two opposite ring points reach half of the contrast: a piece of a
        line. Written in place.

    Returns
    -------
    int
        How many were found; n_max + 1 if there was no room for all.
    """
    h, w = plane.shape
    gx = threshold.shape[1]
    n_max = len(contrast)
    ring, ordered = np.empty(RING), np.empty(RING)
    n = 0
    for i in range(4, h - 4):
        above, row, below = plane[i - 1], plane[i], plane[i + 1]
        limits = threshold[min(i // cell, threshold.shape[0] - 1)]
        for g in range(gx):
            limit = limits[g]
            start, end = max(g * cell, 4), w - 4 if g == gx - 1 else min((g + 1) * cell, w - 4)
            if not _any_above(row[start : max(start, end)], limit):  # nearly everywhere
                continue
            for j in range(start, end):
                v = row[j]
                if not v > limit:
                    continue
                if v <= row[j - 1] or v < row[j + 1] or v <= above[j] or v < below[j]:
                    continue
                if v <= above[j - 1] or v <= above[j + 1] or v < below[j - 1] or v < below[j + 1]:
                    continue
                for k in range(RING):
                    ring[k] = plane[i + _RING_Y[k], j + _RING_X[k]]
                    ordered[k] = ring[k]
                sort_few(ordered, RING)
                level = 0.5 * (ordered[RING // 2 - 1] + ordered[RING // 2])
                height = v - level
                if not height > limit:
                    continue
                if n == n_max:
                    return n_max + 1
                line, strongest = -1, 0.5 * height
                for k in range(RING // 2):
                    weaker = min(ring[k], ring[k + RING // 2]) - level
                    if weaker > strongest:
                        line, strongest = k, weaker
                bend_x = 2.0 * v - row[j - 1] - row[j + 1]
                bend_y = 2.0 * v - above[j] - below[j]
                position[n, 0] = j + (0.5 * (row[j + 1] - row[j - 1]) / bend_x if bend_x > 0.0 else 0.0)
                position[n, 1] = i + (0.5 * (below[j] - above[j]) / bend_y if bend_y > 0.0 else 0.0)
                contrast[n] = height
                direction[n] = line
                n += 1
    return n
