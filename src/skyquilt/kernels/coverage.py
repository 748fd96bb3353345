"""The rectangle that enough frames cover; plain NumPy, for the rooms that crop and that frame."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32
from skyquilt.core.box import Box

__all__ = ["coverage_box"]


def coverage_box(coverage: F32, min_fraction: float) -> Box:
    """
    Return the largest box in which every row and column is covered well enough.

    Parameters
    ----------
    coverage : float32 (y, x)
        Any measure of how much was exposed, 0 for nothing.
    min_fraction : float, 0..1
        Of the largest coverage.

    Returns
    -------
    Box
        In array pixels. Sides are moved in one row or column at a time, always the one with the worst covered edge,
        until every edge has at most 2 % of pixels below the limit; empty if nothing is left.
    """
    if coverage.size == 0:
        return Box(0, 0, 0, 0)
    bad = (coverage < min_fraction * float(np.nanmax(coverage))).astype(np.int32)
    total = np.zeros((bad.shape[0] + 1, bad.shape[1] + 1), dtype=np.int64)
    total[1:, 1:] = bad.cumsum(axis=0).cumsum(axis=1)
    y0, x0, y1, x1 = 0, 0, *bad.shape

    def count(top: int, left: int, bottom: int, right: int) -> int:
        return int(total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left])

    while y1 > y0 and x1 > x0:
        width, height = x1 - x0, y1 - y0
        shares = (
            count(y0, x0, y0 + 1, x1) / width,
            count(y1 - 1, x0, y1, x1) / width,
            count(y0, x0, y1, x0 + 1) / height,
            count(y0, x1 - 1, y1, x1) / height,
        )
        worst = int(np.argmax(shares))
        if shares[worst] <= 0.02:
            return Box(x0, y0, x1, y1)
        y0, y1 = y0 + (worst == 0), y1 - (worst == 1)
        x0, x1 = x0 + (worst == 2), x1 - (worst == 3)
    return Box(0, 0, 0, 0)
