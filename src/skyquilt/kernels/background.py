"""The level of the sky in every cell of a frame, colour by colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyquilt.core.arrays import F32, F64, I64
from skyquilt.kernels.backend import called, kernel

__all__ = ["LOWER_SIGMA", "define_cell", "measure_cells", "sample_map"]

LOWER_SIGMA = 0.15865525393145707  # share of a Gaussian below -1 sigma
_STEPS_A_SIGMA = 128.0
_MOST = 32767
_BIN = 16  # steps: 1/8 sigma
_MOST_BINS = 2048
_CLIP = 2.5
_ROUNDS = 4
_ATTEMPTS = 14
_HUGE = 1e30

I16 = NDArray[np.int16]


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
def _gather(pixels: F32, y0: int, y1: int, x0: int, x1: int, row_step: int, values: F32, n: int) -> int:
    """Append every second pixel of every `row_step`-th row of a box, if finite; return how many there are then."""
    for y in range(y0, y1, row_step):
        row = pixels[y, x0:x1]
        part = values[n : n + (row.size + 1) // 2]
        n_good = np.int32(0)
        for k in range(part.size):
            value = row[2 * k]
            part[k] = value
            n_good = np.int32(n_good + np.int32(abs(value) < np.float32(_HUGE)))
        if n_good == part.size:
            n += part.size
            continue
        for k in range(part.size):
            values[n] = row[2 * k]
            n += 1 if abs(row[2 * k]) < np.float32(_HUGE) else 0
    return n


@called
def _in_steps(values: F32, level: np.float32, step: np.float32, steps: I16) -> None:
    """Do ``steps[:] = floor((values - level) / step)``, within what int16 holds."""
    inverse = np.float32(1.0) / step
    for k in range(steps.size):
        t = (values[k] - level) * inverse + np.float32(_MOST)
        t = min(max(t, np.float32(0.0)), np.float32(2 * _MOST - 1))
        steps[k] = np.int16(np.int32(t) - np.int32(_MOST))


@called
def _count_up_to(steps: I16, limit: np.int16) -> int:
    count = np.int16(0)  # 16 bits, as the steps have: the compiler then compares 32 at a time
    for k in range(steps.size):
        count = np.int16(count + np.int16(steps[k] <= limit))
    return int(count)


@called
def _quantile(steps: I16, rank: float, guess: float) -> float:
    """
    Return the value of a rank, in steps, sought from `guess` on by halving; -inf or inf where it is clipped.

    Values are taken as spread evenly over bins of 1/8 sigma, so that it does not stick to whole numbers.
    """
    below, top, n_below, n_top = -_MOST_BINS, _MOST_BINS, 0, steps.size
    probe = min(max(int(np.floor(guess / _BIN)) - 1, 1 - _MOST_BINS), _MOST_BINS - 1)
    reach = 3
    while top - below > 1:
        count = _count_up_to(steps, np.int16(_BIN * probe - 1))
        if count > rank:
            top, n_top = probe, count
        else:
            below, n_below = probe, count
        if below == -_MOST_BINS and top - below > reach:  # farther and farther down, or up
            probe, reach = top - reach, 4 * reach
        elif top == _MOST_BINS and top - below > reach:
            probe, reach = below + reach, 4 * reach
        else:
            probe = (below + top) // 2
    if below == -_MOST_BINS:
        return -np.inf
    if top == _MOST_BINS:
        return np.inf
    return _BIN * (below + (rank - n_below + 0.5) / (n_top - n_below))


@called
def _clipped_mean(steps: I16, level: float, reach: float) -> float:
    """Return the mean of the steps within `reach` of the level, the window re-centred on it."""
    before = np.int32(_MOST + 1)
    for _ in range(_ROUNDS):
        first, last = np.int32(np.ceil(level - reach)), np.int32(np.floor(level + reach))
        if first == before:  # the window has come to rest
            break
        before = first
        total, n = np.int32(0), np.int32(0)
        for k in range(steps.size):
            value = np.int32(steps[k])
            is_inside = (value >= first) & (value <= last)
            n = np.int32(n + np.int32(is_inside))
            total = np.int32(total + (value if is_inside else np.int32(0)))
        if n == 0:
            break
        level = total / n
    return level


@called
def _measure_cell(values: F32, steps: I16, level: float, sigma: float) -> tuple[float, float]:
    """Return level and sigma of one cell, sought from the given ones on; NaN if that comes to nothing."""
    n = values.size
    for _ in range(_ATTEMPTS):
        # an origin of few digits: a constant added to the frame moves it by that constant and changes no step
        grain = 2.0 ** np.floor(np.log2(sigma))
        origin, step = np.float32(np.rint(level / grain) * grain), np.float32(sigma / _STEPS_A_SIGMA)
        _in_steps(values, origin, step, steps)
        expected = min(max((level - np.float64(origin)) / np.float64(step), -_MOST), _MOST)
        middle = _quantile(steps, 0.5 * n, expected)
        low = _quantile(steps, LOWER_SIGMA * n, middle - _STEPS_A_SIGMA)
        tiny = 1e-7 * abs(level) + 1e-30
        if not (np.isfinite(low) and np.isfinite(middle)):  # the seed was no good: start from everything
            least, most = values[0], values[0]
            for k in range(n):
                least, most = min(least, values[k]), max(most, values[k])
            level = 0.5 * (np.float64(least) + np.float64(most))
            sigma = max((np.float64(most) - np.float64(least)) * _STEPS_A_SIGMA / (2 * _MOST - 4), tiny)
            continue
        found = middle - low
        if (found < 0.25 * _STEPS_A_SIGMA and sigma > 2.0 * tiny) or found > 16.0 * _STEPS_A_SIGMA:
            level = float(origin) + middle * float(step)
            sigma = max(max(found, 2.0) * float(step), tiny)
            continue
        if found <= _BIN:  # no noise at all in this cell
            return float(origin) + middle * float(step), 0.0
        mean = _clipped_mean(steps, middle, _CLIP * found)
        return float(origin) + (mean + 0.5) * float(step), found * float(step)
    return np.nan, np.nan


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
    Definition: `define_cell` on the finite pixels of the cell. The twin counts in whole steps of 1/128 sigma, from the
    level of the cell before, and agrees to 0.02 sigma.
    """
    height, width_px = pixels.shape
    n_channels, gy, gx = level.shape
    values, steps = np.empty(cell_px * cell_px, np.float32), np.empty(cell_px * cell_px, np.int16)
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
                n = int(0)  # int: not compiled once more for a constant
                for offset in range(4):
                    if table[offset // 2, offset % 2] == channel:
                        n = _gather(pixels, y0 + offset // 2, y1, x0 + offset % 2, x1, 2 * row_step, values, n)
                cell_m, cell_s = np.nan, np.nan
                if n > 0 and 2 * n >= full:
                    cell_m, cell_s = _measure_cell(values[:n], steps[:n], m, s)
                level[channel, i, j] = cell_m
                sigma[channel, i, j] = cell_s
                if cell_s > 0.0:
                    m, s = cell_m, cell_s
                    if j == 0:
                        row_m, row_s = m, s


@kernel
def sample_map(grid: F32, across: F64, down: F64, width: float, height: float, x: F64, y: F64, level: F64) -> None:
    """
    Fill the sky of a coarse map at positions of the frame, bilinear between the centres of the cells.

    Parameters
    ----------
    grid : float32 (gy, gx), ADU
    across, down : float64 (gx,) and (gy,), px
        Centres of the cells along x and y.
    width, height : float, px
        Of the frame.
    x, y : float64 (rows, columns), px
    level : float64 (rows, columns), ADU
        Written in place. Beyond the outermost centres the map is continued for half a cell; NaN off the frame and
        beside a cell that is unknown.
    """
    last_x, last_y = len(across) - 1, len(down) - 1
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            u, v = x[row, column], y[row, column]
            if not (u > -0.5 and u < width - 0.5 and v > -0.5 and v < height - 0.5):
                level[row, column] = np.nan
                continue
            j, fx = _between(across, u)
            i, fy = _between(down, v)
            j2, i2 = min(j + 1, last_x), min(i + 1, last_y)
            top = np.float64(grid[i, j]) * (1.0 - fx) + np.float64(grid[i, j2]) * fx
            bottom = np.float64(grid[i2, j]) * (1.0 - fx) + np.float64(grid[i2, j2]) * fx
            level[row, column] = top * (1.0 - fy) + bottom * fy


@called
def _between(centres: F64, at: float) -> tuple[int, float]:
    """Index of the centre before a point, of all but the last, and the share of the way to the next, -0.5 to 1.5."""
    if len(centres) == 1:
        return 0, 0.0
    index = 0
    for k in range(1, len(centres) - 1):
        if centres[k] < at:
            index = k
    share = (at - centres[index]) / (centres[index + 1] - centres[index])
    return index, min(max(share, -0.5), 1.5)
