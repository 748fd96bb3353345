"""An image at half its size, for the levels that a viewer shows of files."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32
from skyquilt.kernels.backend import kernel

__all__ = ["ALL_ALIKE", "halve"]

ALL_ALIKE: F32 = np.zeros((0, 0), dtype=np.float32)
"""As coverage: every pixel of which any channel is known counts 1, the others 0."""


@kernel
def halve(value: F32, coverage: F32, out_value: F32, out_coverage: F32) -> None:
    """
    Fill value and coverage on pixels twice as large.

    Parameters
    ----------
    value : float32 (channel, y, x)
        NaN where nothing is known.
    coverage : float32 (y, x), or `ALL_ALIKE`
    out_value : float32 (channel, ceil(y / 2), ceil(x / 2))
        Written in place: the mean of the known ones of 2 x 2 pixels, weighted by coverage; NaN where none is known.
    out_coverage : float32 (ceil(y / 2), ceil(x / 2))
        Written in place: the mean of the pixels that there are.

    Notes
    -----
    Definition: `skyquilt.io.tiled.reduce_half`, the same bits. One pass; sums in float64, row by row of the cell.
    """
    n_channels, height, width = value.shape
    is_alike = coverage.shape[0] == 0
    total = np.empty(n_channels)
    weight = np.empty(n_channels)
    for i in range(out_value.shape[1]):
        for j in range(out_value.shape[2]):
            total[:] = 0.0
            weight[:] = 0.0
            seconds = 0.0
            count = 0.0
            for y in range(2 * i, min(2 * i + 2, height)):
                for x in range(2 * j, min(2 * j + 2, width)):
                    count += 1.0
                    times = 0.0
                    if is_alike:
                        for c in range(n_channels):
                            if np.isfinite(value[c, y, x]):
                                times = 1.0
                    elif coverage[y, x] > 0.0:  # not where it is NaN
                        times = float(coverage[y, x])
                    seconds += times
                    if times > 0.0:
                        for c in range(n_channels):
                            one = value[c, y, x]
                            if np.isfinite(one):
                                weight[c] += times
                                total[c] += times * float(one)
            out_coverage[i, j] = seconds / count
            for c in range(n_channels):
                out_value[c, i, j] = total[c] / weight[c] if weight[c] > 0.0 else np.nan
