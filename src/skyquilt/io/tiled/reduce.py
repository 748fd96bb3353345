"""Pictures of half the size: what one level of the overview is made of."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32
from skyquilt.kernels.reduce import reduce_planes

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
    small_value, small_coverage = np.empty((len(value), *half), np.float32), np.empty(half, np.float32)
    reduce_planes(np.ascontiguousarray(value), np.ascontiguousarray(coverage), small_value, small_coverage)
    return small_value, small_coverage
