"""Robust levels of the rows of a frame, without sorting."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32, F64
from skyquilt.kernels.backend import called, kernel

__all__ = ["row_levels", "row_levels_slowly"]


@called
def _count_up_to(row: F32, value: np.float32) -> np.int32:
    """Count the values of a row that are not above `value`."""
    count = np.int32(0)
    for k in range(len(row)):
        count = np.int32(count + np.int32(row[k] <= value))
    return count


@kernel
def row_levels(pixels: F32, share: float, start: int, step: int, levels: F64) -> None:
    """
    Find a quantile of every row by halving the bracket of its values.

    Parameters
    ----------
    pixels : float32 (y, x), finite
    share : float, 0..1
        0.5 for the (lower) median.
    start, step : int
        Columns start, start + step, ... are looked at.
    levels : float64 (y,)
        Written in place: the smallest value v of the row with count(x <= v) >= share * n, not below it and not above
        it by more than 0.2 % of the mean absolute deviation of the first row.

    Notes
    -----
    Equals `row_levels_slowly` to that resolution. Counting has no branches, so the compiler makes vectors of it. The
    search starts around the level of the row before; where that does not hold, at the extremes of the row.
    """
    height, width = pixels.shape
    row = np.empty((width - start + step - 1) // step, dtype=np.float32)
    n = len(row)
    needed = np.int64(np.ceil(share * n))
    reach = 0.0
    for y in range(height):
        for k in range(n):
            row[k] = pixels[y, start + k * step]
        below, top = 0.0, -1.0
        if reach > 0.0:
            below, top = levels[y - 1] - reach, levels[y - 1] + reach
            if _count_up_to(row, np.float32(below)) >= needed or _count_up_to(row, np.float32(top)) < needed:
                top = below - 1.0
        if top < below:
            low, high = row[0], row[0]
            for k in range(n):
                low = min(low, row[k])
                high = max(high, row[k])
            below, top = np.float64(low) - 1e-3 * max(1.0, abs(np.float64(low))), np.float64(high)
        resolution = max(8e-3 * reach, 2.4e-7 * (top - below))
        while top - below > resolution:
            middle = np.float32(0.5 * (below + top))
            if np.float64(middle) >= top or np.float64(middle) <= below:
                break
            if _count_up_to(row, middle) >= needed:
                top = np.float64(middle)
            else:
                below = np.float64(middle)
        levels[y] = top
        if reach == 0.0:  # of the first row that is not flat: rows of a frame are alike
            deviation = 0.0
            for k in range(n):
                deviation += abs(row[k] - np.float32(top))
            reach = 0.25 * deviation / n


def row_levels_slowly(pixels: F32, share: float, start: int, step: int) -> F64:
    """Return what `row_levels` finds, exactly: its definition."""
    rows = np.sort(pixels[:, start::step], axis=1)
    return rows[:, int(np.ceil(share * rows.shape[1])) - 1].astype(np.float64)
