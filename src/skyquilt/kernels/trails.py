"""Loops over the binned planes in which trails are sought: bin, warp, take the median, whiten."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32, F64
from skyquilt.kernels.backend import called, inlined, kernel
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
        row = out[i]
        for gj in range((out.shape[1] + step - 1) // step):
            u0 = (1.0 - fy) * nodes[0, gi, gj] + fy * nodes[0, gi + 1, gj]
            u1 = (1.0 - fy) * nodes[0, gi, gj + 1] + fy * nodes[0, gi + 1, gj + 1]
            v0 = (1.0 - fy) * nodes[1, gi, gj] + fy * nodes[1, gi + 1, gj]
            v1 = (1.0 - fy) * nodes[1, gi, gj + 1] + fy * nodes[1, gi + 1, gj + 1]
            a0 = (1.0 - fy) * nodes[2, gi, gj] + fy * nodes[2, gi + 1, gj]
            a1 = (1.0 - fy) * nodes[2, gi, gj + 1] + fy * nodes[2, gi + 1, gj + 1]
            du, dv, da = (u1 - u0) / step, (v1 - v0) / step, (a1 - a0) / step
            target = row[gj * step : min((gj + 1) * step, out.shape[1])]
            if min(u0, u1) > 0.0 and max(u0, u1) < w - 1.0 and min(v0, v1) > 0.0 and max(v0, v1) < h - 1.0:
                _warp_inside(plane, u0, v0, a0, du, dv, da, scale, target)
            else:
                _warp_at_rim(plane, u0, v0, a0, du, dv, da, scale, target)


@called
def _warp_inside(
    plane: F32, u0: float, v0: float, a0: float, du: float, dv: float, da: float, scale: float, target: F32
) -> None:
    """Sample along a piece of a line that lies within the plane."""
    factor = np.float32(scale)
    for k in range(target.size):
        u, v = u0 + k * du, v0 + k * dv
        x, y = np.uint32(u), np.uint32(v)  # unsigned: no index is negative, and the compiler need not look
        p, q = np.float32(u - x), np.float32(v - y)
        first, second = plane[y, x], plane[y, x + np.uint32(1)]
        third, fourth = plane[y + np.uint32(1), x], plane[y + np.uint32(1), x + np.uint32(1)]
        top, bottom = first + p * (second - first), third + p * (fourth - third)
        target[k] = factor * (top + q * (bottom - top)) + np.float32(a0 + k * da)


@called
def _warp_at_rim(
    plane: F32, u0: float, v0: float, a0: float, du: float, dv: float, da: float, scale: float, target: F32
) -> None:
    """Sample along a piece of a line that may leave the plane."""
    h, w = plane.shape
    for k in range(target.size):
        u, v = u0 + k * du, v0 + k * dv
        if not (u > -0.5 and u < w - 0.5 and v > -0.5 and v < h - 0.5):
            target[k] = np.nan
            continue
        u = min(max(u, 0.0), w - 1.0)
        v = min(max(v, 0.0), h - 1.0)
        x, y = min(int(u), max(w - 2, 0)), min(int(v), max(h - 2, 0))
        x1, y1 = min(x + 1, w - 1), min(y + 1, h - 1)
        p, q = u - x, v - y
        top = (1.0 - p) * plane[y, x] + p * plane[y, x1]
        bottom = (1.0 - p) * plane[y1, x] + p * plane[y1, x1]
        target[k] = scale * ((1.0 - q) * top + q * bottom) + a0 + k * da


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
    rows, counts = np.empty((n, w), np.float32), np.empty(w, np.int32)
    for y in range(h):
        for x in range(w):
            counts[x] = 0
        for k in range(n):
            source, row = planes[k, y], rows[k]
            for x in range(w):
                is_known = source[x] == source[x]
                row[x] = source[x] if is_known else np.float32(np.inf)
                counts[x] = np.int32(counts[x] + np.int32(is_known))
        for last in range(n - 1, 0, -1):  # by exchanges of whole rows; what is not known ends up last
            for k in range(last):
                _exchange(rows[k], rows[k + 1])
        for x in range(w):
            count = counts[x]
            middle = count // 2
            gap[y, x] = rows[1, x] - rows[0, x] if count == 2 else np.nan
            if count < 2:
                out[y, x] = np.nan
            elif count == 2:
                out[y, x] = rows[0, x]
            elif count % 2 == 1:
                out[y, x] = rows[middle, x]
            else:
                out[y, x] = 0.5 * (rows[middle - 1, x] + rows[middle, x])


@called
def _exchange(lower: F32, upper: F32) -> None:
    """Put the smaller of each pair of values into `lower`, the larger into `upper`."""
    for x in range(lower.size):
        a, b = lower[x], upper[x]
        lower[x], upper[x] = (a if a < b else b), (b if a < b else a)


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
        above, row, below = plane[max(y - 1, 0)], plane[y], plane[min(y + 1, h - 1)]
        _activity_of_row(above, row, below, out[y])
        for x in (0, w - 1):
            left, right = max(x - 1, 0), min(x + 1, w - 1)
            out[y, x] = _activity(
                above[left], above[x], above[right], row[left], row[x], row[right], below[left], below[x], below[right]
            )


@called
def _activity_of_row(above: F32, row: F32, below: F32, out: F32) -> None:
    """Do all pixels of a row but the first and the last."""
    for x in range(out.size - 2):  # counted from 0, the loop runs in vectors
        out[x + 1] = _activity(
            above[x], above[x + 1], above[x + 2], row[x], row[x + 1], row[x + 2], below[x], below[x + 1], below[x + 2]
        )


@inlined
def _activity(
    a: np.float32, b: np.float32, c: np.float32, d: np.float32, here: np.float32, e: np.float32, f: np.float32,
    g: np.float32, i: np.float32,
) -> np.float32:  # fmt: skip
    """Return the largest step from a pixel to one of its neighbours."""
    low, high = here, here
    low, high = (a if a < low else low), (a if a > high else high)
    low, high = (b if b < low else low), (b if b > high else high)
    low, high = (c if c < low else low), (c if c > high else high)
    low, high = (d if d < low else low), (d if d > high else high)
    low, high = (e if e < low else low), (e if e > high else high)
    low, high = (f if f < low else low), (f if f > high else high)
    low, high = (g if g < low else low), (g if g > high else high)
    low, high = (i if i < low else low), (i if i > high else high)
    up, down = high - here, here - low
    total = a + b + c + d + here + e + f + g + i  # a sum carries every NaN along, a minimum does not
    most = up if up > down else down
    return most if total == total else np.float32(np.nan)


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
            count = int(0)  # int: not compiled once more for a constant
            for y in range(i * cell, y1):
                first = j * cell + (j * cell + y) % 2
                count = _append_finite(plane[y, first:x1], values, count)
            if 8 * count < cell * cell:
                out[i, j] = np.nan
                continue
            out[i, j] = median(values, count)


@called
def _append_finite(row: F32, values: F32, n: int) -> int:
    """Append every second value of a row that is a number; return how many there are then."""
    part = values[n : n + (row.size + 1) // 2]
    n_known = np.int32(0)
    for k in range(part.size):
        part[k] = row[2 * k]
        n_known = np.int32(n_known + np.int32(part[k] == part[k]))
    if n_known == part.size:
        return n + part.size
    for k in range(part.size):
        values[n] = row[2 * k]
        n += 1 if row[2 * k] == row[2 * k] else 0
    return n


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
    sky, sky2 = np.float32(noise), np.float32(noise * noise)
    calm, part = np.float32(quiet), np.float32(share)
    for y in range(residual.shape[0]):
        row, active, sigma, clean = residual[y], activity[y], sigmas[y], plain[y]
        for x in range(row.size):
            excess = active[x] - calm
            excess = part * (np.float32(0.0) if excess < np.float32(0.0) else excess)  # a NaN stays one
            sigma[x] = row[x] / np.sqrt(sky2 + excess * excess)
            clean[x] = row[x] if excess < sky else np.float32(np.nan)
