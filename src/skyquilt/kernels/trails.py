"""Loops over the binned planes in which trails are sought: bin, warp, take the median, whiten."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32, F64
from skyquilt.kernels.backend import kernel
from skyquilt.kernels.order import median

__all__ = ["bin_blocks", "cell_medians", "median_planes", "star_activity", "warp_plane", "whiten"]


@kernel
def bin_blocks(plane: F32, side: int, out: F32) -> None:
    """
    Fill `out` with the mean of every block of side x side pixels.

    Parameters
    ----------
    plane : float32 (h, w)
    side : int
    out : float32 (h // side, w // side)
        Written in place.

    Notes
    -----
    Definition:: out[i, j] = mean of plane[side * i : side * (i + 1), side * j : side * (j + 1)]
    Sums run in float32, first down the columns, then along the rows.
    """
    height, width = out.shape
    columns = np.empty(width * side, np.float32)
    share = np.float32(1.0 / (side * side))
    for i in range(height):
        first = plane[i * side]
        for x in range(columns.size):
            columns[x] = first[x]
        for k in range(1, side):
            row = plane[i * side + k]
            for x in range(columns.size):
                columns[x] += row[x]
        target = out[i]
        if side == 2:  # the usual one, eight cells at a time
            for j in range(width):
                target[j] = (columns[2 * j] + columns[2 * j + 1]) * share
            continue
        for j in range(width):
            total = np.float32(0.0)
            for x in range(j * side, (j + 1) * side):
                total += columns[x]
            target[j] = total * share


@kernel
def warp_plane(plane: F32, nodes: F64, step: int, scale: float, out: F32) -> None:
    """
    Fill `out` with scale times the plane, sampled bilinearly where the nodes say, plus what they add.

    Parameters
    ----------
    plane : float32 (h, w)
        NaN where nothing is known; a sample that touches a NaN is NaN.
    nodes : float64 (3, gy, gx)
        For every `step`-th pixel of `out`: column and row in `plane`, and the value to add. Linear in between.
    step : int, px
    scale : float
    out : float32 (height, width)
        Written in place; NaN outside the plane (half a pixel of its rim is granted).

    Notes
    -----
    Definition:: out[i, j] = scale * bilinear(plane, column, row) + add,
    with (column, row, add) interpolated bilinearly in `nodes` at (j / step, i / step).
    """
    h, w = plane.shape
    for i in range(out.shape[0]):
        gi = i // step
        fy = (i - gi * step) / step
        for gj in range((out.shape[1] + step - 1) // step):
            u0 = (1.0 - fy) * nodes[0, gi, gj] + fy * nodes[0, gi + 1, gj]
            u1 = (1.0 - fy) * nodes[0, gi, gj + 1] + fy * nodes[0, gi + 1, gj + 1]
            v0 = (1.0 - fy) * nodes[1, gi, gj] + fy * nodes[1, gi + 1, gj]
            v1 = (1.0 - fy) * nodes[1, gi, gj + 1] + fy * nodes[1, gi + 1, gj + 1]
            a0 = (1.0 - fy) * nodes[2, gi, gj] + fy * nodes[2, gi + 1, gj]
            a1 = (1.0 - fy) * nodes[2, gi, gj + 1] + fy * nodes[2, gi + 1, gj + 1]
            for j in range(gj * step, min((gj + 1) * step, out.shape[1])):
                fx = (j - gj * step) / step
                u = u0 + fx * (u1 - u0)
                v = v0 + fx * (v1 - v0)
                if not (u > -0.5 and u < w - 0.5 and v > -0.5 and v < h - 0.5):
                    out[i, j] = np.nan
                    continue
                u = min(max(u, 0.0), w - 1.0)
                v = min(max(v, 0.0), h - 1.0)
                x, y = min(int(u), max(w - 2, 0)), min(int(v), max(h - 2, 0))
                x1, y1 = min(x + 1, w - 1), min(y + 1, h - 1)
                p, q = u - x, v - y
                top = (1.0 - p) * plane[y, x] + p * plane[y, x1]
                bottom = (1.0 - p) * plane[y1, x] + p * plane[y1, x1]
                out[i, j] = scale * ((1.0 - q) * top + q * bottom) + a0 + fx * (a1 - a0)


@kernel
def median_planes(planes: F32, out: F32, gap: F32) -> None:
    """
    Fill `out` with the median along the first axis, where a lone bright sample never shows.

    Parameters
    ----------
    planes : float32 (n, h, w)
        NaN where a plane does not cover.
    out : float32 (h, w)
        Written in place: NaN where fewer than two cover, the smaller of two, the median of more.
    gap : float32 (h, w)
        Written in place: larger minus smaller value where exactly two cover, else NaN.

    Notes
    -----
    Definition:: values = sorted(finite planes[:, y, x]);
    out = NaN | values[0] | np.median(values) for fewer than 2 | 2 | more.
    """
    n, h, w = planes.shape
    values = np.empty(n, np.float32)
    for y in range(h):
        for x in range(w):
            count = 0
            for k in range(n):
                value = planes[k, y, x]
                if np.isnan(value):
                    continue
                place = count
                while place > 0 and values[place - 1] > value:
                    values[place] = values[place - 1]
                    place -= 1
                values[place] = value
                count += 1
            gap[y, x] = np.nan
            middle = count // 2
            if count < 2:
                out[y, x] = np.nan
            elif count == 2:
                out[y, x] = values[0]
                gap[y, x] = values[1] - values[0]
            elif count % 2 == 1:
                out[y, x] = values[middle]
            else:
                out[y, x] = 0.5 * (values[middle - 1] + values[middle])


@kernel
def star_activity(plane: F32, out: F32) -> None:
    """
    Fill `out` with the largest absolute difference between a pixel and its eight neighbours.

    NaN where the pixel, or one of its neighbours, is NaN; beyond the rim the pixel itself stands in.

    Notes
    -----
    Definition:: out[y, x] = max over dy, dx in (-1, 0, 1) of |plane[y + dy, x + dx] - plane[y, x]|
    """
    h, w = plane.shape
    for y in range(h):
        above, below = max(y - 1, 0), min(y + 1, h - 1)
        for x in range(w):
            left, right = max(x - 1, 0), min(x + 1, w - 1)
            here = plane[y, x]
            most = abs(plane[above, left] - here)
            total = most
            for row in (above, y, below):
                for column in (left, x, right):
                    difference = abs(plane[row, column] - here)
                    total += difference
                    most = max(most, difference)
            out[y, x] = most if total == total else np.nan  # a sum carries every NaN along, a maximum does not


@kernel
def cell_medians(plane: F32, cell: int, out: F64) -> None:
    """
    Fill `out` with the median of the finite pixels of every cell, one pixel in two as on a chess-board.

    NaN where fewer than an eighth of the cell's pixels are at hand. The last cell of a row or column takes
    what is left.

    Notes
    -----
    Definition:: out[i, j] = np.median(finite plane[y, x] with (y + x) even in the cell)
    """
    h, w = plane.shape
    values = np.empty(2 * cell * cell, np.float32)
    for i in range(out.shape[0]):
        y1 = h if i == out.shape[0] - 1 else (i + 1) * cell
        for j in range(out.shape[1]):
            x1 = w if j == out.shape[1] - 1 else (j + 1) * cell
            count = 0
            for y in range(i * cell, y1):
                first = j * cell
                for x in range(first + (first + y) % 2, x1, 2):
                    if not np.isnan(plane[y, x]):
                        values[count] = plane[y, x]
                        count += 1
            out[i, j] = median(values, int(count)) if 8 * count >= cell * cell else np.nan


@kernel
def whiten(residual: F32, activity: F32, noise: float, quiet: float, share: float, sigmas: F32, plain: F32) -> None:
    """
    Fill `sigmas` with the residual in units of its own expected error, `plain` with the residual where no star is.

    Parameters
    ----------
    residual, activity : float32 (h, w), ADU
    noise : float, ADU
        Sigma of the residual where the sky is plain.
    quiet : float, ADU
        Activity that plain sky shows.
    share : float
        Which share of the activity above `quiet` may be left by seeing, focus and registration.
    sigmas, plain : float32 (h, w)
        Written in place; NaN where an input is.

    Notes
    -----
    Definition:: excess = share * max(activity - quiet, 0); sigmas = residual / hypot(noise, excess);
    plain = residual where excess < noise, else NaN
    """
    for y in range(residual.shape[0]):
        for x in range(residual.shape[1]):
            excess = activity[y, x] - quiet
            excess = share * (0.0 if excess < 0.0 else excess)  # a NaN stays one
            sigmas[y, x] = residual[y, x] / np.sqrt(noise * noise + excess * excess)
            plain[y, x] = residual[y, x] if excess < noise else np.nan
