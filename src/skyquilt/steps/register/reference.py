"""The star list that others are laid on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64, Stars
from skyquilt.kernels.asterism import build_triangles
from skyquilt.kernels.neighbours import build_grid

__all__ = ["NEIGHBOURS", "Grid", "Reference", "Triangles", "triangles_of"]

NEIGHBOURS = 6
_STARS_A_CELL = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """
    Points sorted into cells, as `nearest_within` reads them.

    Attributes
    ----------
    x, y : float64 (n,), px
    start, order : int64
    frame : float64 (5,)
        Corner x, y, cell side, number of columns and rows.
    """

    x: F64
    y: F64
    start: I64
    order: I64
    frame: F64

    @classmethod
    def of(cls, x: F64, y: F64) -> Grid:
        """Return the grid of the points, about two of them in a cell."""
        x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
        x0, y0 = float(x.min()), float(y.min())
        spread_x, spread_y = float(x.max()) - x0 + 1.0, float(y.max()) - y0 + 1.0
        cell = max(np.sqrt(spread_x * spread_y * _STARS_A_CELL / len(x)), max(spread_x, spread_y) / 1000.0, 1.0)
        nx, ny = int(spread_x / cell) + 1, int(spread_y / cell) + 1
        frame = np.array([x0, y0, cell, nx, ny])
        start, order = np.empty(nx * ny + 1, dtype=np.int64), np.empty(len(x), dtype=np.int64)
        build_grid(x, y, cell, start, order, frame)
        return cls(x, y, start, order, frame)

    @property
    def cells(self) -> tuple[I64, I64, F64]:
        return self.start, self.order, self.frame


@dataclass(frozen=True, slots=True, eq=False)
class Triangles:
    """
    Triangles of the brightest stars.

    Attributes
    ----------
    vertices : int64 (n, 3)
    sides : float64 (n, 4)
        As `build_triangles` fills them.
    """

    vertices: I64
    sides: F64

    def sorted_by(self, key: F64) -> Triangles:
        order = np.argsort(key, kind="stable")
        return Triangles(self.vertices[order], self.sides[order])


def triangles_of(x: F64, y: F64) -> Triangles:
    """Return the triangles that each star makes with two of its six nearest neighbours."""
    room = max(1, len(x) * NEIGHBOURS * (NEIGHBOURS - 1) // 2)
    vertices, sides = np.empty((room, 3), dtype=np.int64), np.empty((room, 4))
    n = build_triangles(np.ascontiguousarray(x), np.ascontiguousarray(y), NEIGHBOURS, vertices, sides) if len(x) else 0
    return Triangles(vertices[:n], sides[:n])


class Reference:
    """
    A star list ready to be matched against, many times: its grids and triangles are made once.

    Parameters
    ----------
    stars : Stars
        Brightest first.
    width, height : int, px
    """

    def __init__(self, stars: Stars, width: int, height: int) -> None:
        usable = np.isfinite(stars.x) & np.isfinite(stars.y)
        self.index: I64 = np.flatnonzero(usable)
        self.stars = stars if usable.all() else stars.take(usable)
        self.width, self.height = width, height
        self._grids: dict[int, Grid] = {}
        self._triangles: dict[tuple[int, bool], Triangles] = {}
        if len(self.stars):
            self.grid(len(self.stars))
            self.triangles(80, False)

    def __len__(self) -> int:
        return len(self.stars)

    def grid(self, n_stars: int) -> Grid:
        """Return the grid of the brightest `n_stars`."""
        n = min(n_stars, len(self.stars))
        if n not in self._grids:
            self._grids[n] = Grid.of(self.stars.x[:n], self.stars.y[:n])
        return self._grids[n]

    def triangles(self, n_stars: int, is_scale_free: bool) -> Triangles:
        """Return the triangles of the brightest `n_stars`, sorted as `match_triangles` asks."""
        n = min(n_stars, len(self.stars))
        if (n, is_scale_free) not in self._triangles:
            found = triangles_of(self.stars.x[:n], self.stars.y[:n])
            key = found.sides[:, 1] / found.sides[:, 0] if is_scale_free else found.sides[:, 0]
            self._triangles[n, is_scale_free] = found.sorted_by(key)
        return self._triangles[n, is_scale_free]
