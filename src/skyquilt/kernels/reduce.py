"""Pictures of half the size, for the overview of a large canvas."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32
from skyquilt.kernels.backend import exact_kernel

__all__ = ["reduce_planes"]


@exact_kernel
def reduce_planes(value: F32, coverage: F32, small_value: F32, small_coverage: F32) -> None:
    """
    Fill the value and the coverage of pixels twice as large.

    Parameters
    ----------
    value : float32 (channel, y, x)
        NaN where nothing is known.
    coverage : float32 (y, x), seconds
    small_value : float32 (channel, ceil(y / 2), ceil(x / 2)), written
    small_coverage : float32 (ceil(y / 2), ceil(x / 2)), written

    Notes
    -----
    Definition: that of `io.tiled.reduce_half`, whose sums in float64 run over the four pixels of a cell in the order
    upper left, upper right, lower left, lower right (tests/io/test_tiled.py has it in NumPy).
    """
    n_channels, height, width = value.shape
    for row in range(small_coverage.shape[0]):
        n_rows = min(2, height - 2 * row)
        for column in range(small_coverage.shape[1]):
            n_columns = min(2, width - 2 * column)
            seconds = np.float64(0.0)
            for y in range(n_rows):
                for x in range(n_columns):
                    time = np.float64(coverage[2 * row + y, 2 * column + x])
                    if time > 0.0:
                        seconds += time
            small_coverage[row, column] = np.float32(seconds / (n_rows * n_columns))
            for channel in range(n_channels):
                total, weight = np.float64(0.0), np.float64(0.0)
                for y in range(n_rows):
                    for x in range(n_columns):
                        time = np.float64(coverage[2 * row + y, 2 * column + x])
                        known = np.float64(value[channel, 2 * row + y, 2 * column + x])
                        if time > 0.0 and np.isfinite(known):
                            total += time * known
                            weight += time
                small_value[channel, row, column] = np.float32(total / weight)
