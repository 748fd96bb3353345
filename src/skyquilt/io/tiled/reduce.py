"""Pictures of half the size: what one level of the overview is made of."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64

__all__ = ["reduce_half"]


def reduce_half(value: F32, coverage: F32) -> tuple[F32, F32]:
    """
    Return value and coverage on pixels twice as large.

    Parameters
    ----------
    value : float32 (channel, y, x)
        NaN where nothing is known.
    coverage : float32 (y, x), seconds

    Returns
    -------
    value : float32 (channel, ceil(y / 2), ceil(x / 2))
        The mean of the known ones of 2 x 2 pixels, weighted by their coverage; NaN where none is known.
    coverage : float32 (ceil(y / 2), ceil(x / 2))
        The mean of the pixels that there are: at an odd edge 2 or 1 of them.

    Notes
    -----
    Definition, over the four pixels i of a cell::

        known_i  = isfinite(v_i) and t_i > 0
        value    = sum(t_i v_i, known) / sum(t_i, known)
        coverage = sum(t_i) / (pixels of the cell that lie in the image)

    Sums in float64, in the order upper left, upper right, lower left, lower right. A cell depends on its own pixels
    alone: an image that is reduced piece by piece, cut at even rows and columns, has the same bits.
    """
    height, width = coverage.shape
    half = (-(-height // 2), -(-width // 2))
    total = np.zeros((len(value), *half), np.float64)
    weight = np.zeros_like(total)
    seconds = np.zeros(half, np.float64)
    count = np.zeros(half, np.float64)
    for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
        times: F64 = coverage[y::2, x::2].astype(np.float64)
        values: F64 = value[:, y::2, x::2].astype(np.float64)
        rows, columns = times.shape
        times[~(times > 0.0)] = 0.0
        is_known = np.isfinite(values) & (times > 0.0)
        weights = np.where(is_known, times, 0.0)
        weight[:, :rows, :columns] += weights
        total[:, :rows, :columns] += weights * np.where(is_known, values, 0.0)
        seconds[:rows, :columns] += times
        count[:rows, :columns] += 1.0
    with np.errstate(invalid="ignore"):
        return (total / weight).astype(np.float32), (seconds / count).astype(np.float32)
