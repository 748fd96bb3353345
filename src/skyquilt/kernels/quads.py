"""Asterisms of four stars over the whole sky: how they are made, found again, and tested."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32, F64, I32, I64, U8, Mask
from skyquilt.kernels.backend import called, kernel

__all__ = [
    "BINS",
    "QUAD_BINS",
    "count_brighter",
    "find_neighbours",
    "frame_quads",
    "index_quads",
    "look_up_quads",
    "quad_code",
    "quads_of_row",
]

BINS = (34, 58)
"""Cells of a code along the real axis, 0 to 1, and along the imaginary axis, -0.87 to 0.87."""

QUAD_BINS = (BINS[0] * BINS[1]) ** 2

_STEP = 0.03
_LOWEST = -0.87
_MOST_TOLERANCE = 0.015
_DEGREE = np.pi / 180.0
_REACH_PX = 3.0
_REACH_GROWTH = 0.006  # of the distance from the quad: a similarity of four near stars is not yet the frame's
_MOST_REACH_PX = 9.0
_GIVE_UP_AFTER = 12  # frame stars without a hit but those of the quad itself


@called
def _ra_reach(dec: float, radius: float) -> float:
    """Return half the range of right ascension, degrees, that a circle about a declination spans; 180 at a pole."""
    if abs(dec) + radius >= 89.99:
        return 180.0
    return float(np.arcsin(np.sin(radius * _DEGREE) / np.cos(dec * _DEGREE)) / _DEGREE)


@called
def _zone_cells(ra: float, reach: float, n_cells: int) -> tuple[int, int]:
    """Return the first cell of a zone that a range of right ascension touches, and how many it touches."""
    if reach >= 180.0:
        return 0, n_cells
    low = int(np.floor((ra - reach) * n_cells / 360.0))
    high = int(np.floor((ra + reach) * n_cells / 360.0))
    return low, min(high - low + 1, n_cells)


@kernel
def count_brighter(
    vectors: F32,
    ra: F64,
    dec: F64,
    first: I64,
    start: I64,
    order: I64,
    cell_deg: float,
    radius_deg: float,
    most: int,
    candidates: Mask,
    kept: Mask,
) -> None:
    """
    Mark the stars that are among the brightest of their surroundings.

    Parameters
    ----------
    vectors : float32 (n, 3)
        Unit vectors, the brightest star first.
    ra, dec : float64 (n,), degrees
    first : int64 (n_zones + 1,)
        Index of each zone's first cell; zones of declination are `cell_deg` high, from -90 degrees up.
    start, order : int64
        Where each cell begins in `order`, and the stars cell by cell, rising within a cell.
    radius_deg : float, degrees
        Of the surroundings.
    most : int
        A star is kept if fewer than this many brighter candidates lie there.
    candidates : bool (n,)
        Stars that count; others are neither kept nor counted.
    kept : bool (n,)
        Written in place.
    """
    least = np.cos(radius_deg * _DEGREE)
    n_zones = len(first) - 1
    for i in range(len(ra)):
        kept[i] = False
        if not candidates[i]:
            continue
        found = 0
        z0 = max(int((dec[i] - radius_deg + 90.0) / cell_deg), 0)
        z1 = min(int((dec[i] + radius_deg + 90.0) / cell_deg), n_zones - 1)
        reach = _ra_reach(dec[i], radius_deg)
        for z in range(z0, z1 + 1):
            n_cells = first[z + 1] - first[z]
            low, count = _zone_cells(ra[i], reach, n_cells)
            for k in range(count):
                cell = first[z] + (low + k) % n_cells
                for at in range(start[cell], start[cell + 1]):
                    j = order[at]
                    if j >= i:
                        break
                    if candidates[j] and _dot(vectors, i, j) > least:
                        found += 1
                        if found == most:
                            break
                if found == most:
                    break
            if found == most:
                break
        kept[i] = found < most


@called
def _dot(vectors: F32, i: int, j: int) -> float:
    return (
        float(vectors[i, 0]) * float(vectors[j, 0])
        + float(vectors[i, 1]) * float(vectors[j, 1])
        + float(vectors[i, 2]) * float(vectors[j, 2])
    )


@kernel
def find_neighbours(
    vectors: F32,
    ra: F64,
    dec: F64,
    first: I64,
    start: I64,
    order: I64,
    cell_deg: float,
    radius_deg: float,
    row_of: I64,
    rows: I64,
    near: I64,
) -> None:
    """
    Fill the nearest neighbours, nearest first, of the stars of one level among themselves.

    Parameters
    ----------
    row_of : int64 (n,)
        Place of each star in `rows`, -1 for stars that are not of the level.
    rows : int64 (m,)
        The stars of the level.
    near : int64 (m, k)
        Places in `rows`, -1 where there are fewer within `radius_deg`. Written in place.

    See `count_brighter` for the rest.
    """
    k_most = near.shape[1]
    distance2 = np.empty(k_most)
    limit = 2.0 - 2.0 * np.cos(radius_deg * _DEGREE)
    n_zones = len(first) - 1
    for r in range(len(rows)):
        i = rows[r]
        held = 0
        for k in range(k_most):
            near[r, k] = -1
        z0 = max(int((dec[i] - radius_deg + 90.0) / cell_deg), 0)
        z1 = min(int((dec[i] + radius_deg + 90.0) / cell_deg), n_zones - 1)
        reach = _ra_reach(dec[i], radius_deg)
        for z in range(z0, z1 + 1):
            n_cells = first[z + 1] - first[z]
            low, count = _zone_cells(ra[i], reach, n_cells)
            for k in range(count):
                cell = first[z] + (low + k) % n_cells
                for at in range(start[cell], start[cell + 1]):
                    j = order[at]
                    if row_of[j] < 0 or j == i:
                        continue
                    away = 0.0
                    for axis in range(3):
                        step = float(vectors[i, axis]) - float(vectors[j, axis])
                        away += step * step
                    if away > limit or (held == k_most and away >= distance2[held - 1]):
                        continue
                    place = held if held < k_most else k_most - 1
                    held = place + 1
                    while place > 0 and distance2[place - 1] > away:
                        distance2[place], near[r, place] = distance2[place - 1], near[r, place - 1]
                        place -= 1
                    distance2[place], near[r, place] = away, row_of[j]


@called
def _order_quad(px: F64, py: F64, corner: I64, code: F64) -> float:
    """
    Put four points into the order of a code and fill the code; return the longest distance between two of them.

    The two farthest apart are at 0 and at 1 of the complex plane; the others follow by rising real part, and the ends
    are chosen so that the real parts sum to 1 at most.
    """
    longest, a, b = -1.0, 0, 1
    for i in range(4):
        for j in range(i + 1, 4):
            d2 = (px[i] - px[j]) * (px[i] - px[j]) + (py[i] - py[j]) * (py[i] - py[j])
            if d2 > longest:
                longest, a, b = d2, i, j
    c, d = -1, -1
    for i in range(4):
        if i not in (a, b):
            if c < 0:
                c = i
            else:
                d = i
    bx, by = px[b] - px[a], py[b] - py[a]
    for k in range(2):
        at = c if k == 0 else d
        qx, qy = px[at] - px[a], py[at] - py[a]
        code[2 * k] = (qx * bx + qy * by) / longest
        code[2 * k + 1] = (qy * bx - qx * by) / longest
    if code[0] + code[2] > 1.0:
        a, b = b, a
        code[0], code[1], code[2], code[3] = 1.0 - code[0], -code[1], 1.0 - code[2], -code[3]
    if code[0] > code[2]:
        c, d = d, c
        code[0], code[1], code[2], code[3] = code[2], code[3], code[0], code[1]
    corner[0], corner[1], corner[2], corner[3] = a, b, c, d
    return float(np.sqrt(longest))


@kernel
def quad_code(px: F64, py: F64, corner: I64, code: F64) -> float:
    """
    Fill the code of four points and their order in it; return the longest distance between two of them.

    Parameters
    ----------
    px, py : float64 (4,)
    corner : int64 (4,)
        The points in the order A, B, C, D. Written in place.
    code : float64 (4,)
        Real and imaginary part of C and of D, where A is at 0 and B at 1. Written in place.

    Notes
    -----
    A and B are the two points farthest apart; Re C <= Re D and Re C + Re D <= 1 settle which is which. The code does
    not change under shift, rotation and scale; under reflection the imaginary parts change sign.
    Source: Lang et al. 2010, AJ 139, 1782, section 2.2, with another choice of the unit.
    """
    return _order_quad(px, py, corner, code)


@called
def _bin_of(code: F64) -> int:
    cell = 0
    for k in range(2):
        i = min(max(int(code[2 * k] / _STEP), 0), BINS[0] - 1)
        j = min(max(int((code[2 * k + 1] - _LOWEST) / _STEP), 0), BINS[1] - 1)
        cell = (cell * BINS[0] + i) * BINS[1] + j
    return cell


@called
def _plane_of(vectors: F32, stars: I64, centre: F64, east: F64, north: F64, px: F64, py: F64) -> None:
    """Fill the tangent plane at the middle of four stars and their places on it, radians."""
    for axis in range(3):
        centre[axis] = 0.0
        for k in range(4):
            centre[axis] += float(vectors[stars[k], axis])
    norm = np.sqrt(centre[0] * centre[0] + centre[1] * centre[1] + centre[2] * centre[2])
    for axis in range(3):
        centre[axis] /= norm
    flat = np.hypot(centre[0], centre[1])
    if flat > 1e-12:
        east[0], east[1], east[2] = -centre[1] / flat, centre[0] / flat, 0.0
    else:
        east[0], east[1], east[2] = 0.0, 1.0, 0.0
    north[0] = centre[1] * east[2] - centre[2] * east[1]
    north[1] = centre[2] * east[0] - centre[0] * east[2]
    north[2] = centre[0] * east[1] - centre[1] * east[0]
    for k in range(4):
        depth, px[k], py[k] = 0.0, 0.0, 0.0
        for axis in range(3):
            value = float(vectors[stars[k], axis])
            depth += value * centre[axis]
            px[k] += value * east[axis]
            py[k] += value * north[axis]
        px[k] /= depth
        py[k] /= depth


@called
def _stars_of(entry: int, star_of: I64 | I32, near: I64 | I32, stars: I64) -> None:
    """Fill the four stars of an entry: its row's star and all its neighbours but one."""
    row, left_out = entry // 4, entry % 4
    stars[0] = star_of[row]
    at = 1
    for k in range(4):
        if k != left_out:
            stars[at] = star_of[near[row, k]]
            at += 1


@kernel
def quads_of_row(entry: int, star_of: I32, near: I32, stars: I64) -> None:
    """Fill the four stars (int64 (4,)) of an entry of the index: a row's star and all its four neighbours but one."""
    _stars_of(entry, star_of, near, stars)


@called
def _is_listed_before(near: I64, row: int, left_out: int) -> bool:
    """Whether a row of lower number makes the same quad."""
    for k in range(4):
        other = near[row, k]
        if k == left_out or other > row:
            continue
        members = 0
        for q in range(4):
            member = near[other, q]
            if member == row:
                members += 1
            for p in range(4):
                if p not in (left_out, k) and member == near[row, p]:
                    members += 1
        if members == 3:
            return True
    return False


@kernel
def index_quads(
    vectors: F32, star_of: I64, near: I64, first_row: int, end_row: int, shortest: float, bins: I64, entries: I64
) -> int:
    """
    Fill the quads that each star makes with three of its four nearest neighbours.

    Parameters
    ----------
    vectors : float32 (n, 3)
    star_of : int64 (m,)
        The star of each row; a star of several levels has several rows.
    near : int64 (m, 4)
        Rows of the neighbours, -1 where there is none.
    first_row, end_row : int
        Which rows.
    shortest : float, radians
        Quads whose longest side is below this are left out.
    bins, entries : int64 (4 (end_row - first_row),)
        Cell of the code, and 4 times the row plus which neighbour is left out. Written in place.

    Returns
    -------
    int
        How many quads there are.
    """
    stars, corner = np.empty(4, np.int64), np.empty(4, np.int64)
    centre, east, north = np.empty(3), np.empty(3), np.empty(3)
    px, py, code = np.empty(4), np.empty(4), np.empty(4)
    found = 0
    for row in range(first_row, end_row):
        if near[row, 3] < 0:
            continue
        for left_out in range(4):
            if _is_listed_before(near, row, left_out):
                continue
            _stars_of(4 * row + left_out, star_of, near, stars)
            _plane_of(vectors, stars, centre, east, north, px, py)
            if _order_quad(px, py, corner, code) < shortest:
                continue
            bins[found], entries[found] = _bin_of(code), 4 * row + left_out
            found += 1
    return found


@kernel
def frame_quads(x: F64, y: F64, n_neighbours: int, shortest: float, quads: I64) -> int:
    """
    Fill the quads that each star of a frame makes with three of its nearest neighbours.

    Parameters
    ----------
    x, y : float64 (n,), px
    shortest : float, px
        Quads whose longest side is below this are left out.
    quads : int64 (n_max, 4)
        Star indices, rising. Written in place; n_max of n k (k - 1) (k - 2) / 6 holds them all.

    Returns
    -------
    int
        How many there are, equal ones included.
    """
    n = len(x)
    k_most = min(n_neighbours, n - 1)
    near, d2 = np.empty(max(k_most, 1), np.int64), np.empty(max(k_most, 1))
    found = 0
    for i in range(n):
        held = 0
        for j in range(n):
            away = (x[j] - x[i]) * (x[j] - x[i]) + (y[j] - y[i]) * (y[j] - y[i])
            if j == i or k_most == 0 or (held == k_most and away >= d2[k_most - 1]):
                continue
            place = held if held < k_most else k_most - 1
            held = place + 1
            while place > 0 and d2[place - 1] > away:
                d2[place], near[place] = d2[place - 1], near[place - 1]
                place -= 1
            d2[place], near[place] = away, j
        for a in range(held):
            for b in range(a + 1, held):
                for c in range(b + 1, held):
                    row = quads[found]
                    row[0], row[1], row[2], row[3] = i, near[a], near[b], near[c]
                    longest = 0.0
                    for p in range(4):
                        for q in range(p + 1, 4):
                            longest = max(longest, (x[row[p]] - x[row[q]]) ** 2 + (y[row[p]] - y[row[q]]) ** 2)
                    if longest < shortest * shortest or found == len(quads) - 1:
                        continue
                    for p in range(1, 4):
                        q = p
                        while q > 0 and row[q - 1] > row[q]:
                            row[q - 1], row[q] = row[q], row[q - 1]
                            q -= 1
                    found += 1
    return found


@kernel
def look_up_quads(
    x: F64,
    y: F64,
    quads: I64,
    tolerance_px: float,
    least_tolerance: float,
    scale_low: float,
    scale_high: float,
    vectors: F32,
    level: U8,
    star_of: I32,
    near: I32,
    row_start: I32,
    bin_start: I32,
    entries: I32,
    first: I32,
    start: I32,
    order: I32,
    cell_deg: float,
    out: F64,
) -> int:
    """
    Fill the places on the sky where quads of a frame lie like quads of the index, those with most hits first.

    Parameters
    ----------
    x, y : float64 (n,), px
        The frame's stars, brightest first; all of them are looked for around a place.
    quads : int64 (q, 4)
        As `frame_quads` gives them.
    tolerance_px : float, px
        Error of a star's place.
    least_tolerance : float
        By how much a code may differ at least; 0.015 at most.
    scale_low, scale_high : float, radians/px
        Scales that are believed.
    vectors : float32 (n_stars, 3)
    level : uint8 (n_stars,)
        The coarsest level that a star belongs to.
    star_of, near, row_start
        Rows of the index: star, neighbours, and where the rows of each level begin.
    bin_start, entries
        Where each cell of codes begins, and the quads in it.
    first, start, order, cell_deg
        Cells of the sky, as in `count_brighter`.
    out : float64 (k, 9)
        Hits; the tangent point as a unit vector; re, im, tx, ty in radians and mirrored (the map from pixels to that
        plane, x east and y north). Most hits first; written in place.

    Returns
    -------
    int
        How many places were tested.
    """
    tested = 0
    px, py, code, corner = np.empty(4), np.empty(4), np.empty(4), np.empty(4, np.int64)
    gx, gy, other, their_corner = np.empty(4), np.empty(4), np.empty(4), np.empty(4, np.int64)
    stars = np.empty(4, np.int64)
    centre, east, north = np.empty(3), np.empty(3), np.empty(3)
    low, high = np.empty(4, np.int64), np.empty(4, np.int64)
    row = np.empty(9)
    for k in range(len(out)):
        out[k, 0] = 0.0
    for q in range(len(quads)):
        for mirrored in range(2):
            sign = -1.0 if mirrored else 1.0
            for k in range(4):
                px[k], py[k] = x[quads[q, k]], sign * y[quads[q, k]]
            side = _order_quad(px, py, corner, code)
            tolerance = min(max(tolerance_px / side, least_tolerance), _MOST_TOLERANCE)
            for k in range(4):
                lowest, last = (0.0, BINS[0] - 1) if k % 2 == 0 else (_LOWEST, BINS[1] - 1)
                low[k] = min(max(int((code[k] - tolerance - lowest) / _STEP), 0), last)
                high[k] = min(max(int((code[k] + tolerance - lowest) / _STEP), 0), last)
            for i0 in range(low[0], high[0] + 1):
                for i1 in range(low[1], high[1] + 1):
                    for i2 in range(low[2], high[2] + 1):
                        for i3 in range(low[3], high[3] + 1):
                            cell = ((i0 * BINS[1] + i1) * BINS[0] + i2) * BINS[1] + i3
                            for e in range(bin_start[cell], bin_start[cell + 1]):
                                _stars_of(entries[e], star_of, near, stars)
                                _plane_of(vectors, stars, centre, east, north, gx, gy)
                                their_side = _order_quad(gx, gy, their_corner, other)
                                scale = their_side / side
                                if scale < scale_low or scale > scale_high:
                                    continue
                                worst = 0.0
                                for k in range(4):
                                    worst = max(worst, abs(other[k] - code[k]))
                                if worst > tolerance:
                                    continue
                                tested += 1
                                _fit_quad(px, py, corner, gx, gy, their_corner, row)
                                row[8] = 1.0 if mirrored else 0.0
                                for axis in range(3):
                                    row[1 + axis] = centre[axis]
                                least_level = _level_of(entries[e] // 4, row_start)
                                row[0] = _count_hits(
                                    x, y, sign, row, east, north, vectors, level, least_level, first, start, order,
                                    cell_deg,
                                )  # fmt: skip
                                _insert(row, out)
    return tested


@called
def _level_of(row: int, row_start: I32) -> int:
    number = 0
    while row >= row_start[number + 1]:
        number += 1
    return number


@called
def _fit_quad(px: F64, py: F64, corner: I64, gx: F64, gy: F64, their_corner: I64, row: F64) -> None:
    """Fill the similarity that lays the frame's four stars on the catalogue's by least squares."""
    fx, fy, cx, cy = 0.0, 0.0, 0.0, 0.0
    for k in range(4):
        fx += px[k] / 4.0
        fy += py[k] / 4.0
        cx += gx[k] / 4.0
        cy += gy[k] / 4.0
    re, im, norm = 0.0, 0.0, 0.0
    for k in range(4):
        ax, ay = px[corner[k]] - fx, py[corner[k]] - fy
        bx, by = gx[their_corner[k]] - cx, gy[their_corner[k]] - cy
        re += ax * bx + ay * by
        im += ax * by - ay * bx
        norm += ax * ax + ay * ay
    re, im = re / norm, im / norm
    row[4], row[5] = re, im
    row[6], row[7] = cx - (re * fx - im * fy), cy - (im * fx + re * fy)


@called
def _count_hits(
    x: F64,
    y: F64,
    sign: float,
    row: F64,
    east: F64,
    north: F64,
    vectors: F32,
    level: U8,
    least_level: int,
    first: I32,
    start: I32,
    order: I32,
    cell_deg: float,
) -> float:
    """Return how many frame stars the map lays on a star of the level or of a coarser one."""
    scale = np.hypot(row[4], row[5])
    n_zones = len(first) - 1
    hits = 0.0
    for i in range(len(x)):
        u = row[4] * x[i] - row[5] * sign * y[i] + row[6]
        v = row[5] * x[i] + row[4] * sign * y[i] + row[7]
        reach = scale * min(_REACH_PX + _REACH_GROWTH * np.hypot(u, v) / scale, _MOST_REACH_PX)
        wx = row[1] + u * east[0] + v * north[0]
        wy = row[2] + u * east[1] + v * north[1]
        wz = row[3] + u * east[2] + v * north[2]
        norm = np.sqrt(wx * wx + wy * wy + wz * wz)
        wx, wy, wz = wx / norm, wy / norm, wz / norm
        dec = np.arctan2(wz, np.hypot(wx, wy)) / _DEGREE
        ra = np.arctan2(wy, wx) / _DEGREE % 360.0
        radius = reach / _DEGREE
        z0 = max(int((dec - radius + 90.0) / cell_deg), 0)
        z1 = min(int((dec + radius + 90.0) / cell_deg), n_zones - 1)
        span = _ra_reach(dec, radius)
        is_hit = False
        for z in range(z0, z1 + 1):
            n_cells = first[z + 1] - first[z]
            low, count = _zone_cells(ra, span, n_cells)
            for k in range(count):
                cell = first[z] + (low + k) % n_cells
                for at in range(start[cell], start[cell + 1]):
                    j = order[at]
                    if level[j] < least_level:
                        continue
                    dx, dy, dz = float(vectors[j, 0]) - wx, float(vectors[j, 1]) - wy, float(vectors[j, 2]) - wz
                    if dx * dx + dy * dy + dz * dz < reach * reach:
                        is_hit = True
                        break
                if is_hit:
                    break
            if is_hit:
                break
        hits += 1.0 if is_hit else 0.0
        if i == _GIVE_UP_AFTER and hits < 2.0:
            break
    return hits


@called
def _insert(row: F64, out: F64) -> None:
    """Keep the rows with the most hits; earlier ones win ties."""
    last = len(out) - 1
    if not row[0] > out[last, 0]:
        return
    at = last
    while at > 0 and row[0] > out[at - 1, 0]:
        for k in range(len(row)):
            out[at, k] = out[at - 1, k]
        at -= 1
    for k in range(len(row)):
        out[at, k] = row[k]
