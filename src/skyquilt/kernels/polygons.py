"""Footprints as polygons: the common area of quadrilaterals on the sky, how many polygons lie over each cell."""

from __future__ import annotations

import math

import numpy as np

from skyquilt.core.arrays import F64, I32, I64
from skyquilt.kernels.backend import exact_called, exact_kernel

__all__ = ["count_polygons", "overlap_shares"]

_MOST_CORNERS = 24  # a quadrilateral cut by four lines has eight; twisted ones at most twenty
_NEAREST_HORIZON = 1e-3


@exact_called
def _area(corners: F64, n: int) -> float:
    """Return the signed area of a polygon of n corners (x, y)."""
    total = 0.0
    for k in range(n):
        following = (k + 1) % n
        total += corners[k, 0] * corners[following, 1] - corners[k, 1] * corners[following, 0]
    return total / 2.0


@exact_called
def _cut(corners: F64, n: int, from_x: float, from_y: float, to_x: float, to_y: float, sign: float, out: F64) -> int:
    """Fill `out` with the part of a polygon on the left of a line (the right, where sign is -1); return its corners."""
    n_out = 0
    for k in range(n):
        following = (k + 1) % n
        x, y = corners[k, 0], corners[k, 1]
        next_x, next_y = corners[following, 0], corners[following, 1]
        here = sign * ((to_x - from_x) * (y - from_y) - (to_y - from_y) * (x - from_x))
        there = sign * ((to_x - from_x) * (next_y - from_y) - (to_y - from_y) * (next_x - from_x))
        if here >= 0.0:
            out[n_out, 0], out[n_out, 1] = x, y
            n_out += 1
        if (here >= 0.0) != (there >= 0.0):
            share = here / (here - there)
            out[n_out, 0], out[n_out, 1] = x + share * (next_x - x), y + share * (next_y - y)
            n_out += 1
    return n_out


@exact_called
def _flatten(vectors: F64, east: F64, north: F64, depth: F64, out: F64) -> bool:
    """Fill `out` with gnomonic (x, y) of unit vectors; return whether all lie before the horizon."""
    for k in range(vectors.shape[0]):
        x, y, z = vectors[k, 0], vectors[k, 1], vectors[k, 2]
        down = x * depth[0] + y * depth[1] + z * depth[2]
        if not down > _NEAREST_HORIZON:
            return False
        out[k, 0] = (x * east[0] + y * east[1] + z * east[2]) / down
        out[k, 1] = (x * north[0] + y * north[1] + z * north[2]) / down
    return True


@exact_kernel
def overlap_shares(corners: F64, first: I64, second: I64, out: F64) -> None:
    """
    Fill `out` with the common area of pairs of quadrilaterals, as a share of the smaller of the two.

    Parameters
    ----------
    corners : float64 (n, 4, 3)
        Unit vectors, going round; the sides are great circles, the quadrilaterals convex.
    first, second : int64 (p,)
        Which two.
    out : float64 (p,), 0..1
        0 where the two do not show on one plane (more than 90 degrees wide).

    Notes
    -----
    Definition: both on the plane that touches the sphere between them; the first, cut by the four sides of the second.
    Source: Sutherland & Hodgman 1974, Comm. ACM 17, 32.
    Cost: about 0.5 us a pair.
    """
    one, other = np.empty((4, 2)), np.empty((4, 2))
    cut, spare = np.empty((_MOST_CORNERS, 2)), np.empty((_MOST_CORNERS, 2))
    east, north, depth = np.empty(3), np.empty(3), np.empty(3)
    for pair in range(first.size):
        a, b = corners[first[pair]], corners[second[pair]]
        out[pair] = 0.0
        length = 0.0
        for axis in range(3):
            depth[axis] = 0.0
            for k in range(4):
                depth[axis] += a[k, axis] + b[k, axis]
            length += depth[axis] * depth[axis]
        length = math.sqrt(length)
        if not length > 0.0:
            continue
        for axis in range(3):
            depth[axis] /= length
        # any two directions at right angles to it, begun from the axis that lies farthest from it
        flat = 0 if abs(depth[0]) <= min(abs(depth[1]), abs(depth[2])) else (1 if abs(depth[1]) <= abs(depth[2]) else 2)
        for axis in range(3):
            east[axis] = (1.0 if axis == flat else 0.0) - depth[flat] * depth[axis]
        length = math.sqrt(east[0] * east[0] + east[1] * east[1] + east[2] * east[2])
        for axis in range(3):
            east[axis] /= length
        north[0] = depth[1] * east[2] - depth[2] * east[1]
        north[1] = depth[2] * east[0] - depth[0] * east[2]
        north[2] = depth[0] * east[1] - depth[1] * east[0]
        if not (_flatten(a, east, north, depth, one) and _flatten(b, east, north, depth, other)):
            continue
        area_one, area_other = _area(one, 4), _area(other, 4)
        smaller = min(abs(area_one), abs(area_other))
        if not smaller > 0.0:
            continue
        sign = 1.0 if area_other > 0.0 else -1.0
        n = 4
        cut[:4] = one
        for k in range(4):
            following = (k + 1) % 4
            n = _cut(cut, n, other[k, 0], other[k, 1], other[following, 0], other[following, 1], sign, spare)
            cut, spare = spare, cut
        if n > 2:
            out[pair] = min(1.0, abs(_area(cut, n)) / smaller)


@exact_called
def _crossings(x: F64, y: F64, row: float, out: F64) -> int:
    """Fill `out` with where a polygon's sides cross a row, sorted; return how many."""
    n = 0
    for k in range(x.size):
        following = (k + 1) % x.size
        if (y[k] <= row) != (y[following] <= row):
            at = x[k] + (row - y[k]) / (y[following] - y[k]) * (x[following] - x[k])
            place = n
            while place > 0 and out[place - 1] > at:
                out[place] = out[place - 1]
                place -= 1
            out[place] = at
            n += 1
    return n


@exact_kernel
def count_polygons(x: F64, y: F64, count: I32) -> None:
    """
    Add to every cell of a grid the number of polygons that hold its centre.

    Parameters
    ----------
    x, y : float64 (n, m), cells
        The corners of n polygons, going round; the centre of cell (i, j) lies at x = i, y = j. NaN: not counted.
    count : int32 (ny, nx)
        Changed in place.

    Notes
    -----
    Definition: a centre lies inside where a ray from it crosses the polygon an odd number of times.
    """
    crossings = np.empty(x.shape[1])
    for k in range(x.shape[0]):
        low, high = math.inf, -math.inf
        for corner in range(x.shape[1]):
            low, high = min(low, y[k, corner]), max(high, y[k, corner])
            if not math.isfinite(x[k, corner] + y[k, corner]):
                low = math.nan
                break
        if not (low <= count.shape[0] and high >= 0.0):
            continue
        for row in range(max(0, int(math.ceil(low))), min(count.shape[0] - 1, int(math.floor(high))) + 1):
            n = _crossings(x[k], y[k], float(row), crossings)
            for pair in range(0, n - 1, 2):
                left = max(crossings[pair], 0.0)
                right = min(crossings[pair + 1], float(count.shape[1]))
                for column in range(int(math.ceil(left)), min(count.shape[1], int(math.ceil(right)))):
                    count[row, column] += 1
