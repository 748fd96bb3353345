"""The level of the sky in every cell of a frame, colour by colour."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32, F64, I64
from skyquilt.kernels.backend import called, kernel

__all__ = ["LOWER_SIGMA", "define_cell", "measure_cells"]

LOWER_SIGMA = 0.15865525393145707  # share of a Gaussian below -1 sigma
_BINS = 128
_BINS_PER_SIGMA = 8.0
_CLIP = 2.5
_ROUNDS = 4
_ATTEMPTS = 14
_HUGE = 1e30


def define_cell(values: F64) -> tuple[float, float]:
    """
    Return (level, sigma) of one cell's pixels: the readable definition of `measure_cells`.

    Parameters
    ----------
    values : float64 (n,), ADU
        Pixels of one colour; those that are not finite take no part.

    Returns
    -------
    level : float, ADU
        Mean of the pixels within 2.5 sigma, the window re-centred on that mean four times. The mean, not the median:
        it does not stick to whole numbers where the noise is a few ADU.
    sigma : float, ADU
        Median minus the 15.87 % quantile: the lower half of the distribution, which stars do not reach.
    """
    good = values[np.abs(values) < _HUGE]
    low, level = np.quantile(good, [LOWER_SIGMA, 0.5])
    sigma = float(level - low)
    for _ in range(_ROUNDS):
        inside = np.abs(good - level) <= _CLIP * sigma
        if inside.any():
            level = good[inside].mean()
    return float(level), sigma


@called
def _count(
    pixels: F32, y0: int, y1: int, x0: int, x1: int, offset: int, block_step: int, low: float, width: float, bins: I64
) -> None:
    """Count the pixels of one of the four 2x2 sites into `bins`; the first and the last bin take the outliers."""
    dy, dx = offset // 2, offset % 2
    inverse = np.float32(1.0 / width)
    start = np.float32(low)
    top = np.float32(_BINS + 1)
    for y in range(y0 + dy, y1, block_step):
        for x in range(x0 + dx, x1, 2):
            v = pixels[y, x]
            if abs(v) < np.float32(_HUGE):
                k = (v - start) * inverse + np.float32(1.0)
                k = min(max(k, np.float32(0.0)), top)
                bins[int(k)] += 1


@called
def _extremes(pixels: F32, y0: int, y1: int, x0: int, x1: int, offset: int, block_step: int, ends: F64) -> None:
    dy, dx = offset // 2, offset % 2
    for y in range(y0 + dy, y1, block_step):
        for x in range(x0 + dx, x1, 2):
            v = pixels[y, x]
            if abs(v) < np.float32(_HUGE):
                ends[0] = min(ends[0], v)
                ends[1] = max(ends[1], v)


@called
def _quantile(bins: I64, rank: float, low: float, width: float) -> float:
    """Value at `rank` in the counts, interpolated in its bin; -inf or inf where it lies outside of the bins."""
    seen = bins[0]
    if rank < seen:
        return -np.inf
    for k in range(1, _BINS + 1):
        if rank < seen + bins[k]:
            return low + (k - 1 + (rank - seen + 0.5) / bins[k]) * width
        seen += bins[k]
    return np.inf


@called
def _clipped_mean(bins: I64, level: float, sigma: float, low: float, width: float) -> float:
    for _ in range(_ROUNDS):
        first = max(1, int(np.ceil((level - _CLIP * sigma - low) / width)) + 1)
        last = min(_BINS, int(np.floor((level + _CLIP * sigma - low) / width)))
        n, total = 0, 0.0
        for k in range(first, last + 1):
            n += bins[k]
            total += bins[k] * (k - 0.5)
        if n == 0:
            break
        level = low + total / n * width
    return level


@kernel
def measure_cells(
    pixels: F32, table: I64, cell_px: int, row_step: int, seed_level: F64, seed_sigma: F64, level: F32, sigma: F32
) -> None:
    """
    Fill the sky level and sigma of every cell and colour.

    Parameters
    ----------
    pixels : float32 (y, x), ADU
    table : int64 (2, 2)
        Channel of each site of the 2x2 cell, as `Cfa.table`; all 0 for mono frames.
    cell_px : int, px
        Even side of a cell.
    row_step : int
        Of how many pairs of rows one is read (a sample of the pixels is enough).
    seed_level, seed_sigma : float64 (n_channels,), ADU
        Where to look first.
    level, sigma : float32 (n_channels, gy, gx), ADU
        Written in place; NaN where less than half of a full cell's pixels can be used.

    Notes
    -----
    Definition: `define_cell` on the finite pixels of the cell. The twin counts into bins of 1/8 sigma, found from the
    cell before, and agrees to 0.02 sigma.
    """
    height, width_px = pixels.shape
    n_channels, gy, gx = level.shape
    bins = np.empty(_BINS + 2, np.int64)
    ends = np.empty(2)
    for channel in range(n_channels):
        n_sites = 0
        for offset in range(4):
            if table[offset // 2, offset % 2] == channel:
                n_sites += 1
        full = n_sites * (cell_px // 2) * ((cell_px // 2) // row_step)
        row_m, row_s = seed_level[channel], max(seed_sigma[channel], 1e-12)
        for i in range(gy):
            m, s = row_m, row_s
            for j in range(gx):
                y0, x0 = i * cell_px, j * cell_px
                y1, x1 = min(y0 + cell_px, height), min(x0 + cell_px, width_px)
                low = m - 6.0 * s
                width = s / _BINS_PER_SIGMA
                found = False
                cell_m, cell_s = np.nan, np.nan
                for _ in range(_ATTEMPTS):
                    for k in range(_BINS + 2):
                        bins[k] = 0
                    for offset in range(4):
                        if table[offset // 2, offset % 2] == channel:
                            _count(pixels, y0, y1, x0, x1, offset, 2 * row_step, low, width, bins)
                    n = 0
                    for k in range(_BINS + 2):
                        n += bins[k]
                    if 2 * n < full:
                        break
                    cell_m = _quantile(bins, 0.5 * n, low, width)
                    below = _quantile(bins, LOWER_SIGMA * n, low, width)
                    if not (np.isfinite(cell_m) and np.isfinite(below)):
                        # the seed was no good: start from everything
                        ends[0], ends[1] = np.inf, -np.inf
                        for offset in range(4):
                            if table[offset // 2, offset % 2] == channel:
                                _extremes(pixels, y0, y1, x0, x1, offset, 2 * row_step, ends)
                        low = ends[0]
                        width = max((ends[1] - ends[0]) / (_BINS - 1), 1e-7 * abs(ends[0]) + 1e-30)
                        continue
                    cell_s = cell_m - below
                    found = True
                    tiny = 1e-7 * abs(cell_m) + 1e-30
                    covered = low + _BINS * width
                    if cell_m + 3.0 * cell_s > covered or (cell_s < 3.0 * width and width > tiny):
                        spread = max(cell_s, 2.0 * width)
                        width = max(spread / _BINS_PER_SIGMA, tiny)
                        low = cell_m - 6.0 * spread
                        continue
                    break
                if not found or not np.isfinite(cell_m) or not np.isfinite(cell_s):
                    level[channel, i, j] = np.nan
                    sigma[channel, i, j] = np.nan
                    continue
                if cell_s <= width:  # no noise at all in this cell
                    cell_s = 0.0
                else:
                    cell_m = _clipped_mean(bins, cell_m, cell_s, low, width)
                level[channel, i, j] = cell_m
                sigma[channel, i, j] = cell_s
                if cell_s > 0.0:
                    m, s = cell_m, cell_s
                    if j == 0:
                        row_m, row_s = m, s
