"""Patterns of stars: triangles that recognise each other, and the similarities they suggest."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F64, I64
from skyquilt.kernels.backend import called, kernel
from skyquilt.kernels.neighbours import nearest_within

__all__ = ["build_triangles", "match_triangles", "rank_hypotheses", "refine_similarity", "search_pairs"]

_SHORTEST = 8.0  # px: the longest side of a triangle that tells an angle


@kernel
def build_triangles(x: F64, y: F64, n_neighbours: int, vertices: I64, sides: F64) -> int:
    """
    Fill the triangles that each star makes with two of its nearest neighbours.

    Parameters
    ----------
    x, y : float64 (n,), px
    vertices : int64 (n * k (k - 1) / 2, 3)
        Star indices, opposite to the longest, the middle and the shortest side. Written in place.
    sides : float64 (same, 4)
        The three sides, px, longest first, and +1 or -1 for the sense of the vertices. Written in place.

    Returns
    -------
    int
        How many triangles there are; those with sides below 8 px are left out, and each is listed once.
    """
    n = len(x)
    k = min(n_neighbours, n - 1)
    near = np.empty((n, max(k, 1)), np.int64)
    if k > 0:
        _find_nearest(x, y, k, near)
    found = 0
    lengths, order, corner = np.empty(3), np.empty(3, np.int64), np.empty(3, np.int64)
    for i in range(n):
        for p in range(k):
            for q in range(p + 1, k):
                j, m = near[i, p], near[i, q]
                if _listed_before(near, k, i, j, m):
                    continue
                corner[0], corner[1], corner[2] = i, j, m
                lengths[0] = np.hypot(x[j] - x[m], y[j] - y[m])
                lengths[1] = np.hypot(x[i] - x[m], y[i] - y[m])
                lengths[2] = np.hypot(x[i] - x[j], y[i] - y[j])
                _order_three(lengths, order)
                a, b, c = lengths[order[0]], lengths[order[1]], lengths[order[2]]
                if a < _SHORTEST or c < 3.0 or a > 0.995 * (b + c):
                    continue
                u, v, w = corner[order[0]], corner[order[1]], corner[order[2]]
                turn = (x[v] - x[u]) * (y[w] - y[u]) - (y[v] - y[u]) * (x[w] - x[u])
                vertices[found, 0], vertices[found, 1], vertices[found, 2] = u, v, w
                sides[found, 0], sides[found, 1], sides[found, 2] = a, b, c
                sides[found, 3] = 1.0 if turn > 0 else -1.0
                found += 1
    return found


@called
def _find_nearest(x: F64, y: F64, k: int, near: I64) -> None:
    """Fill the k nearest points of each one, nearest first, the lower index first among equals; k < n."""
    d2 = np.empty(k)
    for i in range(len(x)):
        held = 0
        for j in range(len(x)):
            away = (x[j] - x[i]) * (x[j] - x[i]) + (y[j] - y[i]) * (y[j] - y[i])
            if j == i or (held == k and not away < d2[k - 1]):
                continue
            place = held if held < k else k - 1
            held = place + 1
            while place > 0 and d2[place - 1] > away:
                d2[place], near[i, place] = d2[place - 1], near[i, place - 1]
                place -= 1
            d2[place], near[i, place] = away, j


@called
def _order_three(lengths: F64, order: I64) -> None:
    """Fill the indices of three lengths, the longest first, the lower index first among equals."""
    for k in range(3):
        place = k
        while place > 0 and lengths[order[place - 1]] < lengths[k]:
            order[place] = order[place - 1]
            place -= 1
        order[place] = k


@called
def _listed_before(near: I64, k: int, i: int, j: int, m: int) -> bool:
    """Whether a star of lower index makes the same triangle."""
    for first in (j, m):
        if first > i:
            continue
        has_i, has_other = False, False
        other = m if first == j else j
        for p in range(k):
            has_i = has_i or near[first, p] == i
            has_other = has_other or near[first, p] == other
        if has_i and has_other:
            return True
    return False


@kernel
def match_triangles(
    sides: F64,
    vertices: I64,
    reference_sides: F64,
    reference_vertices: I64,
    scale: float,
    scale_tolerance: float,
    error: float,
    mirror: bool,
    votes: I64,
    pairs: I64,
) -> int:
    """
    Fill the pairs of triangles that look alike, and a vote for each pair of stars that they imply.

    Parameters
    ----------
    sides, vertices
        Of the frame, as `build_triangles` gives them.
    reference_sides, reference_vertices
        Of the reference, sorted by the longest side (scale known) or by middle over longest side (scale 0).
    scale : float
        Reference over frame; 0: unknown, and only the ratios of the sides count.
    scale_tolerance : float
        Relative.
    error : float, px of the frame
        By how much two lengths may differ.
    mirror : bool
        Whether a mirrored triangle counts too.
    votes : int64 (n_frame, n_reference)
        Added to.
    pairs : int64 (n_max, 2)
        Indices of triangles. Written in place.

    Returns
    -------
    int
        How many pairs there are (never more than n_max).
    """
    n_max = len(pairs)
    found = 0
    is_free = scale == 0.0
    keys = np.empty(len(reference_sides))
    for r in range(len(reference_sides)):
        keys[r] = reference_sides[r, 1] / reference_sides[r, 0] if is_free else reference_sides[r, 0]
    for t in range(len(sides)):
        a, b, c = sides[t, 0], sides[t, 1], sides[t, 2]
        if is_free:
            low, high = b / a - 1.5 * error / a, b / a + 1.5 * error / a
        else:
            slack = error * scale + scale_tolerance * scale * a
            low, high = scale * a - slack, scale * a + slack
        r = _first_at_least(keys, low)
        while r < len(keys) and keys[r] <= high:
            ratio = reference_sides[r, 0] / a
            slack = error * max(ratio, 1.0)
            if (
                abs(reference_sides[r, 1] - ratio * b) <= slack
                and abs(reference_sides[r, 2] - ratio * c) <= slack
                and (mirror or reference_sides[r, 3] == sides[t, 3])
            ):
                for k in range(3):
                    votes[vertices[t, k], reference_vertices[r, k]] += 1
                if found < n_max:
                    pairs[found, 0], pairs[found, 1] = t, r
                    found += 1
            r += 1
    return found


@called
def _first_at_least(keys: F64, value: float) -> int:
    """Return the first index whose key is not below the value: ``np.searchsorted(keys, value)``."""
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def rank_hypotheses(
    x: F64,
    y: F64,
    reference_x: F64,
    reference_y: F64,
    vertices: I64,
    reference_vertices: I64,
    mirrored: I64,
    pairs: I64,
    grid_start: I64,
    grid_order: I64,
    grid_frame: F64,
    tolerance: float,
    out: F64,
) -> None:
    """
    Fill the similarity of each pair of triangles and how many frame stars it lays on a reference star.

    Parameters
    ----------
    mirrored : int64 (n,)
        1 where the pair's triangles turn opposite ways.
    tolerance : float, px of the reference
        Grows by 1 % of the distance from the triangle, up to four times.
    out : float64 (n, 7)
        Re and Im of the complex factor z, tx, ty, mirrored, hits, and the sum of squares of the misses. The map is
        r = z f + t, with f replaced by its conjugate where mirrored. Written in place.
    """
    for h in range(len(pairs)):
        t, r = pairs[h, 0], pairs[h, 1]
        sign = -1.0 if mirrored[h] else 1.0
        fx, fy, gx, gy = 0.0, 0.0, 0.0, 0.0
        for k in range(3):
            fx += x[vertices[t, k]] / 3.0
            fy += sign * y[vertices[t, k]] / 3.0
            gx += reference_x[reference_vertices[r, k]] / 3.0
            gy += reference_y[reference_vertices[r, k]] / 3.0
        re, im, norm = 0.0, 0.0, 0.0
        for k in range(3):
            ax, ay = x[vertices[t, k]] - fx, sign * y[vertices[t, k]] - fy
            bx, by = reference_x[reference_vertices[r, k]] - gx, reference_y[reference_vertices[r, k]] - gy
            re += ax * bx + ay * by
            im += ax * by - ay * bx
            norm += ax * ax + ay * ay
        re, im = re / norm, im / norm
        row = out[h]
        row[0], row[1] = re, im
        row[2], row[3] = gx - (re * fx - im * fy), gy - (im * fx + re * fy)
        row[4] = 1.0 if mirrored[h] else 0.0
        _count_hits(
            x, y, reference_x, reference_y, grid_start, grid_order, grid_frame, gx, gy, tolerance, 0.01, 4.0, row
        )


@called
def _count_hits(
    x: F64,
    y: F64,
    reference_x: F64,
    reference_y: F64,
    grid_start: I64,
    grid_order: I64,
    grid_frame: F64,
    centre_x: float,
    centre_y: float,
    tolerance: float,
    growth: float,
    most: float,
    row: F64,
) -> None:
    sign = -1.0 if row[4] > 0 else 1.0
    hits, misses = 0.0, 0.0
    for i in range(len(x)):
        u = row[0] * x[i] - row[1] * sign * y[i] + row[2]
        v = row[1] * x[i] + row[0] * sign * y[i] + row[3]
        reach = min(tolerance + growth * np.hypot(u - centre_x, v - centre_y), most * tolerance)
        _, d2 = nearest_within(u, v, reach, reference_x, reference_y, grid_start, grid_order, grid_frame)
        if d2 < np.inf:
            hits += 1.0
            misses += d2 / (reach * reach)
    row[5], row[6] = hits, misses


@kernel
def search_pairs(
    x: F64,
    y: F64,
    reference_x: F64,
    reference_y: F64,
    scale: float,
    scale_tolerance: float,
    error: float,
    mirror: bool,
    grid_start: I64,
    grid_order: I64,
    grid_frame: F64,
    tolerance: float,
    out: F64,
) -> None:
    """
    Fill the best similarities that lay two frame stars on two reference stars: every pair against every pair.

    Parameters
    ----------
    scale : float
        Reference over frame; 0: unknown.
    out : float64 (n, 7)
        As in `rank_hypotheses`, most hits first. Written in place.
    """
    for k in range(len(out)):
        out[k, 5] = 0.0
    row = np.empty(7)
    n, m = len(x), len(reference_x)
    for i in range(n):
        for j in range(i + 1, n):
            length = np.hypot(x[j] - x[i], y[j] - y[i])
            if length < 2.0 * _SHORTEST:
                continue
            slack = scale * (error + scale_tolerance * length)
            for k in range(m):
                for q in range(m):
                    bx, by = reference_x[q] - reference_x[k], reference_y[q] - reference_y[k]
                    reach = np.sqrt(bx * bx + by * by)
                    if q == k or reach < _SHORTEST:
                        continue
                    if scale > 0.0 and abs(reach - scale * length) > slack:
                        continue
                    for flip in range(2 if mirror else 1):
                        sign = -1.0 if flip else 1.0
                        ax, ay = x[j] - x[i], sign * (y[j] - y[i])
                        norm = ax * ax + ay * ay
                        row[0], row[1] = (ax * bx + ay * by) / norm, (ax * by - ay * bx) / norm
                        row[2] = reference_x[k] - (row[0] * x[i] - row[1] * sign * y[i])
                        row[3] = reference_y[k] - (row[1] * x[i] + row[0] * sign * y[i])
                        row[4] = 1.0 if flip else 0.0
                        _count_hits(
                            x, y, reference_x, reference_y, grid_start, grid_order, grid_frame, 0.5 * bx, 0.5 * by,
                            tolerance, 0.0, 1.0, row,
                        )  # fmt: skip
                        _insert(row, out)


@called
def _insert(row: F64, out: F64) -> None:
    """Keep the rows with the most hits, and among equals the smallest misses; earlier ones win ties."""
    last = len(out) - 1
    if not (row[5] > out[last, 5] or (row[5] == out[last, 5] and row[6] < out[last, 6])):
        return
    at = last
    while at > 0 and (row[5] > out[at - 1, 5] or (row[5] == out[at - 1, 5] and row[6] < out[at - 1, 6])):
        for k in range(7):
            out[at, k] = out[at - 1, k]
        at -= 1
    for k in range(7):
        out[at, k] = row[k]


@kernel
def refine_similarity(
    x: F64,
    y: F64,
    reference_x: F64,
    reference_y: F64,
    grid_start: I64,
    grid_order: I64,
    grid_frame: F64,
    tolerances: F64,
    row: F64,
) -> None:
    """
    Improve one similarity: match nearest neighbours and fit again, once for each tolerance.

    Parameters
    ----------
    tolerances : float64 (n,), px of the reference
    row : float64 (7,)
        As in `rank_hypotheses`; changed in place, its hits those at the last tolerance.
    """
    sign = -1.0 if row[4] > 0 else 1.0
    for tolerance in tolerances:
        n, sfx, sfy, sgx, sgy = 0, 0.0, 0.0, 0.0, 0.0
        s_re, s_im, s_ff = 0.0, 0.0, 0.0
        for i in range(len(x)):
            u = row[0] * x[i] - row[1] * sign * y[i] + row[2]
            v = row[1] * x[i] + row[0] * sign * y[i] + row[3]
            k, _ = nearest_within(u, v, tolerance, reference_x, reference_y, grid_start, grid_order, grid_frame)
            if k < 0:
                continue
            fx, fy, gx, gy = x[i], sign * y[i], reference_x[k], reference_y[k]
            n += 1
            sfx += fx
            sfy += fy
            sgx += gx
            sgy += gy
            s_re += fx * gx + fy * gy
            s_im += fx * gy - fy * gx
            s_ff += fx * fx + fy * fy
        if n < 2:
            break
        norm = s_ff - (sfx * sfx + sfy * sfy) / n
        if not norm > 0.0:
            break
        re = (s_re - (sfx * sgx + sfy * sgy) / n) / norm
        im = (s_im - (sfx * sgy - sfy * sgx) / n) / norm
        row[0], row[1] = re, im
        row[2] = (sgx - (re * sfx - im * sfy)) / n
        row[3] = (sgy - (im * sfx + re * sfy)) / n
    _count_hits(
        x, y, reference_x, reference_y, grid_start, grid_order, grid_frame, 0.0, 0.0,
        tolerances[len(tolerances) - 1], 0.0, 1.0, row,
    )  # fmt: skip
