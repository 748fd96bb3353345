"""The coarse sky map of a frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, I64
from skyquilt.kernels.background import LOWER_SIGMA, measure_cells, median_filter
from skyquilt.kernels.order import median_of

__all__ = ["Sky", "choose_cell", "measure_sky"]

_SMALL_FRAME = 3_000_000  # px; larger frames get cells of twice the side, so the cost stays the same
_SAMPLES = 2000


@dataclass(frozen=True, slots=True, eq=False)
class Sky:
    """
    Level and noise of the sky, cell by cell.

    Attributes
    ----------
    level : float32 (n_channels, gy, gx), ADU, NaN where unknown
    sigma : float32 (n_channels, gy, gx), ADU, NaN where unknown
    noise : float64 (n_channels,), ADU
        Median of the cells' sigma; NaN without any.
    cell_px : int, px
    """

    level: F32
    sigma: F32
    noise: F64
    cell_px: int

    def smoothed(self, channel: int) -> F32:
        """Return the level map without holes, each cell the median of its neighbourhood: no star shows in it."""
        filled = _fill(self.level[channel].astype(np.float64))
        return _median3(filled).astype(np.float32)


def choose_cell(height: int, width: int) -> int:
    """Return the side of a sky cell, px: 64, or 128 on large sensors, or 32 where a frame has few cells."""
    if height * width > _SMALL_FRAME:
        return 128
    return 64 if min(height, width) >= 256 else 32


def measure_sky(pixels: F32, table: I64, n_channels: int) -> Sky:
    """
    Return the sky of a frame.

    Parameters
    ----------
    pixels : float32 (y, x), ADU
    table : int64 (2, 2)
        Channel of each site, as `Cfa.table`.
    """
    height, width = pixels.shape
    cell = choose_cell(height, width)
    gy, gx = -(-height // cell), -(-width // cell)
    level = np.empty((n_channels, gy, gx), dtype=np.float32)
    sigma = np.empty_like(level)
    seeds = np.array([_seed(pixels, table, channel) for channel in range(n_channels)])
    # a part of the row pairs leaves 250 to 500 samples of the rarest colour in a cell: 0.06 sigma
    row_step = {32: 1, 64: 3, 128: 8}[cell] * (2 if n_channels == 1 and cell > 32 else 1)
    measure_cells(pixels, table, cell, row_step, seeds[:, 0].copy(), seeds[:, 1].copy(), level, sigma)
    noise = np.full(n_channels, np.nan)
    for channel in range(n_channels):
        noise[channel] = median_of(sigma[channel].ravel())
    return Sky(level, sigma, noise, cell)


def _seed(pixels: F32, table: I64, channel: int) -> tuple[float, float]:
    """Level and sigma of a thin sample of the whole frame: where the cells start to look."""
    dy, dx = np.argwhere(table == channel)[0]
    stride = 2 * max(1, int(np.sqrt(pixels.size / 4 / _SAMPLES)))
    sample = pixels[dy::stride, dx::stride].ravel()
    sample = np.sort(sample[np.isfinite(sample)])
    if not len(sample):
        return 0.0, 1.0
    middle, low = float(sample[len(sample) // 2]), float(sample[int(len(sample) * LOWER_SIGMA)])
    return middle, max(middle - low, 1e-6 * abs(middle) + 1e-12)


def _fill(grid: F64) -> F64:
    """Give each unknown cell the mean of its known neighbours, ring by ring; all 0 if none is known."""
    unknown = ~np.isfinite(grid)
    if not unknown.any():
        return grid
    if unknown.all():
        return np.zeros_like(grid)
    grid = grid.copy()
    while unknown.any():
        values = np.pad(np.where(unknown, 0.0, grid), 1)
        known = np.pad((~unknown).astype(np.float64), 1)
        total, count = _sum3(values), _sum3(known)
        reached = unknown & (count > 0)
        grid[reached] = total[reached] / count[reached]
        unknown = unknown & ~reached
    return grid


def _sum3(padded: F64) -> F64:
    h, w = padded.shape[0] - 2, padded.shape[1] - 2
    total = np.zeros((h, w))
    for dy in range(3):
        for dx in range(3):
            total += padded[dy : dy + h, dx : dx + w]
    return total


def _median3(grid: F64) -> F64:
    """Median of each 3x3 neighbourhood, the edge repeated by reflection so that a slope stays a slope."""
    padded = (
        np.pad(grid, 1, mode="reflect" if min(grid.shape) > 1 else "edge", reflect_type="odd")
        if min(grid.shape) > 1
        else np.pad(grid, 1, mode="edge")
    )
    middle = np.empty(grid.shape)
    median_filter(padded, middle)
    return middle
