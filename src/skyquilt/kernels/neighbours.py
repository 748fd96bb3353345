"""Which point lies nearest: points sorted into the cells of a grid."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F64, I64
from skyquilt.kernels.backend import called, kernel

__all__ = ["build_grid", "match_nearest", "nearest_within"]


@kernel
def build_grid(x: F64, y: F64, cell: float, start: I64, order: I64, frame: F64) -> None:
    """
    Fill a grid of cells over the points.

    Parameters
    ----------
    x, y : float64 (n,), px
    cell : float, px
        Side of a cell.
    start : int64 (nx * ny + 1,)
        Where each cell begins in `order`; its length fixes nx = frame[3], ny = frame[4]. Written in place.
    order : int64 (n,)
        Point indices, cell by cell, rising within a cell. Written in place.
    frame : float64 (5,)
        x and y of the grid's corner, cell, nx, ny: given.
    """
    nx, ny = int(frame[3]), int(frame[4])
    for k in range(len(start)):
        start[k] = 0
    cells = np.empty(len(x), np.int64)
    for i in range(len(x)):
        column = min(max(int((x[i] - frame[0]) / cell), 0), nx - 1)
        line = min(max(int((y[i] - frame[1]) / cell), 0), ny - 1)
        cells[i] = line * nx + column
        start[cells[i] + 1] += 1
    for k in range(nx * ny):
        start[k + 1] += start[k]
    fill = np.empty(nx * ny, np.int64)
    for k in range(nx * ny):
        fill[k] = start[k]
    for i in range(len(x)):
        order[fill[cells[i]]] = i
        fill[cells[i]] += 1


@called
def nearest_within(
    u: float, v: float, radius: float, x: F64, y: F64, start: I64, order: I64, frame: F64
) -> tuple[int, float]:
    """Return (index, squared distance) of the point nearest to (u, v) within `radius`; (-1, inf) if there is none."""
    nx, ny, cell = int(frame[3]), int(frame[4]), frame[2]
    best, best_d2 = -1, np.inf
    if not (abs(u) < 1e9 and abs(v) < 1e9):
        return best, best_d2
    x0 = max(int(np.floor((u - radius - frame[0]) / cell)), 0)
    x1 = min(int(np.floor((u + radius - frame[0]) / cell)), nx - 1)
    y0 = max(int(np.floor((v - radius - frame[1]) / cell)), 0)
    y1 = min(int(np.floor((v + radius - frame[1]) / cell)), ny - 1)
    limit = radius * radius
    for line in range(y0, y1 + 1):
        for at in range(start[line * nx + x0] if x1 >= x0 else 0, start[line * nx + x1 + 1] if x1 >= x0 else 0):
            k = order[at]
            d2 = (x[k] - u) * (x[k] - u) + (y[k] - v) * (y[k] - v)
            if d2 <= limit and (d2 < best_d2 or (d2 == best_d2 and k < best)):
                best, best_d2 = k, d2
    return best, best_d2


@kernel
def match_nearest(
    u: F64, v: F64, radius: float, x: F64, y: F64, start: I64, order: I64, frame: F64, partner: I64
) -> int:
    """
    Fill the partner of each point (u, v): the nearest (x, y) within `radius`, each given to its nearest taker only.

    Parameters
    ----------
    partner : int64 (n,)
        Index into x, y, or -1. Written in place.

    Returns
    -------
    int
        How many have a partner.
    """
    taker, taken_d2 = np.empty(len(x), np.int64), np.empty(len(x))
    for k in range(len(x)):
        taker[k], taken_d2[k] = -1, np.inf
    for i in range(len(u)):
        k, d2 = nearest_within(u[i], v[i], radius, x, y, start, order, frame)
        partner[i] = -1
        if k >= 0 and d2 < taken_d2[k]:
            if taker[k] >= 0:
                partner[taker[k]] = -1
            taker[k], taken_d2[k] = i, d2
            partner[i] = k
    n = 0
    for i in range(len(u)):
        n += 1 if partner[i] >= 0 else 0
    return n
