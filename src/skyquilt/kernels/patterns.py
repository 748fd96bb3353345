"""Star lists made ready for the search: points sorted into cells, their triangles, and the maps that these suggest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core.arrays import F64, I64
from skyquilt.kernels.asterism import build_triangles, match_triangles, rank_hypotheses
from skyquilt.kernels.neighbours import build_grid

__all__ = ["NEIGHBOURS", "Grid", "Triangles", "propose_similarities", "triangles_of"]

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


def triangles_of(x: F64, y: F64, n_neighbours: int = NEIGHBOURS) -> Triangles:
    """Return the triangles that each star makes with two of its nearest neighbours."""
    room = max(1, len(x) * n_neighbours * (n_neighbours - 1) // 2)
    vertices, sides = np.empty((room, 3), dtype=np.int64), np.empty((room, 4))
    n = (
        build_triangles(np.ascontiguousarray(x), np.ascontiguousarray(y), n_neighbours, vertices, sides)
        if len(x)
        else 0
    )
    return Triangles(vertices[:n], sides[:n])


def propose_similarities(
    x: F64,
    y: F64,
    grid: Grid,
    theirs: Triangles,
    *,
    scale: float,
    scale_tolerance: float,
    mirror: bool,
    side_error: float,
    hit_radius: float,
    most_pairs: int,
    stages: Sequence[int],
) -> Iterator[F64]:
    """
    Yield the similarities that triangles of two star lists suggest, stage by stage.

    Parameters
    ----------
    x, y : float64 (n,), px
        The frame's stars, brightest first.
    grid : Grid
        The reference's stars.
    theirs : Triangles
        Of the reference, sorted as `match_triangles` asks.
    scale : float
        Reference over frame; 0: unknown.
    scale_tolerance : float
        Relative.
    mirror : bool
        Whether mirrored maps count too.
    side_error : float, px of the frame
    hit_radius : float, px of the reference
    most_pairs : int
        How many pairs of triangles are looked at.
    stages : sequence of int
        How many of them, those with most votes, become maps; each stage is made when it is asked for.

    Yields
    ------
    float64 (n, 7)
        Rows as `rank_hypotheses` fills them, those that lay most stars on stars first.
    """
    mine = triangles_of(x, y)
    votes, pairs = np.zeros((len(x), len(grid.x)), dtype=np.int64), np.empty((most_pairs, 2), dtype=np.int64)
    n_pairs = match_triangles(
        mine.sides, mine.vertices, theirs.sides, theirs.vertices, scale, scale_tolerance, side_error, mirror, votes,
        pairs,
    )  # fmt: skip
    pairs = pairs[:n_pairs]
    voted = pairs[np.argsort(-_score(votes, mine, theirs, pairs), kind="stable")[: max(stages)]]
    for most in stages:
        chosen = voted[:most]
        mirrored = (mine.sides[chosen[:, 0], 3] != theirs.sides[chosen[:, 1], 3]).astype(np.int64)
        rows = np.zeros((len(chosen), 7))
        rank_hypotheses(
            x, y, grid.x, grid.y, mine.vertices, theirs.vertices, mirrored, chosen, *grid.cells, hit_radius, rows
        )
        yield rows[np.lexsort((rows[:, 6], -rows[:, 5]))]


def _score(votes: I64, mine: Triangles, theirs: Triangles, pairs: I64) -> I64:
    """Votes of the three pairs of stars that each pair of triangles stands for."""
    a, b = mine.vertices[pairs[:, 0]], theirs.vertices[pairs[:, 1]]
    score: I64 = votes[a, b].sum(axis=1)
    return score
