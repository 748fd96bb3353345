"""The index of asterisms over the whole sky: which quads it holds, and how it is built."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from skyquilt.core import F32, F64, I32, I64, U8, CatalogueStars
from skyquilt.core.sky import unit_vectors
from skyquilt.kernels.quads import QUAD_BINS, count_brighter, find_neighbours, index_quads

__all__ = ["LEVELS", "STARS_A_CELL", "SkyIndex", "build_index"]

LEVELS = (24.0, 6.0, 1.5, 0.4, 0.1)
"""Stars a square degree of each level, about; neighbours of a level make quads of about 20 arcmin to 6 degrees."""

STARS_A_CELL = 24
"""Stars a square degree that the index is built from."""

_CELL_DEG = 0.25
_BRIGHTEST = 12  # a star of a level is among so many within the circle that holds them at the level's density
_NEIGHBOURS = 4
_NEIGHBOUR_STARS = 20.0  # a neighbour lies within the circle that holds so many
_SHORTEST = 0.35  # of the distance between neighbours


@dataclass(frozen=True, slots=True, eq=False)
class SkyIndex:
    """
    Quads of stars all over the sky, found by their shape.

    Attributes
    ----------
    vectors : float32 (n_stars, 3)
        Unit vectors of the stars, the brightest first.
    level : uint8 (n_stars,)
        The coarsest level that a star belongs to.
    star_of : int32 (n_rows,)
        The star of each row; a star has a row in every level that it belongs to.
    near : int32 (n_rows, 4)
        Rows of its four nearest neighbours in that level, -1 where there is none.
    row_start : int32 (n_levels + 1,)
        Where the rows of each level begin.
    bin_start : int32 (QUAD_BINS + 1,)
        Where the quads of each cell of codes begin.
    entries : int32 (n_quads,)
        4 times the row plus which neighbour is left out.
    first, start, order : int32
        Cells of the sky, as `count_brighter` reads them.
    """

    vectors: F32
    level: U8
    star_of: I32
    near: I32
    row_start: I32
    bin_start: I32
    entries: I32
    first: I32
    start: I32
    order: I32

    @property
    def cell_deg(self) -> float:
        return _CELL_DEG

    @property
    def n_quads(self) -> int:
        return len(self.entries)

    @classmethod
    def names(cls) -> set[str]:
        """Return the names of the arrays."""
        return {field.name for field in fields(cls)}

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def build_index(stars: CatalogueStars) -> SkyIndex:
    """
    Return the index of a whole sky of stars.

    Parameters
    ----------
    stars : CatalogueStars
        The brightest `STARS_A_CELL` of each square degree, all together sorted by brightness.

    Notes
    -----
    A level keeps the stars that are among the twelve brightest of their surroundings, so that rich and poor parts of
    the sky have as many; each star of a level makes quads with three of its four nearest neighbours in it. What a frame
    shows as its brightest stars is about the same set, whatever its depth.
    """
    ra, dec = np.ascontiguousarray(stars.ra_deg), np.ascontiguousarray(stars.dec_deg)
    vectors = unit_vectors(ra, dec).astype(np.float32)
    kept = np.ones(len(ra), dtype=bool)
    masks = [kept]
    for density in LEVELS[1:]:
        radius = _radius_of(_BRIGHTEST / density)
        cells = _cells(ra, dec, max(radius / 2.0, 0.1))
        now = np.zeros(len(ra), dtype=bool)
        count_brighter(vectors, ra, dec, *cells[:3], cells[3], radius, _BRIGHTEST, kept, now)
        masks.append(now)
        kept = now
    level = np.zeros(len(ra), dtype=np.uint8)
    for number, mask in enumerate(masks):
        level[mask] = number
    star_of, near, row_start = _rows(vectors, ra, dec, level)
    bin_start, entries = _quads(vectors, star_of, near, row_start)
    first, start, order, _ = _cells(ra, dec, _CELL_DEG)
    index = SkyIndex(
        vectors=vectors,
        level=level,
        star_of=star_of.astype(np.int32),
        near=near.astype(np.int32),
        row_start=row_start.astype(np.int32),
        bin_start=bin_start,
        entries=entries,
        first=first.astype(np.int32),
        start=start.astype(np.int32),
        order=order.astype(np.int32),
    )
    for array in index.arrays().values():
        array.flags.writeable = False  # as under the memory map: compiled loops are made for one kind
    return index


def _radius_of(area_deg2: float) -> float:
    """Return the radius, degrees, of a circle of that area."""
    return float(np.sqrt(area_deg2 / np.pi))


def _cells(ra: F64, dec: F64, cell_deg: float) -> tuple[I64, I64, I64, float]:
    """Return (first, start, order, cell side) of the stars sorted into cells."""
    n_zones = int(np.ceil(180.0 / cell_deg))
    edges = -90.0 + cell_deg * np.arange(n_zones + 1)
    widest = np.minimum(np.abs(edges[:-1]), np.abs(edges[1:]))
    widest[(edges[:-1] < 0) & (edges[1:] > 0)] = 0.0
    n_cells = np.maximum((360.0 * np.cos(np.radians(widest)) / cell_deg).astype(np.int64), 1)
    first = np.concatenate([[0], np.cumsum(n_cells)])
    zone = np.clip(((dec + 90.0) / cell_deg).astype(np.int64), 0, n_zones - 1)
    column = np.minimum((ra * n_cells[zone] / 360.0).astype(np.int64), n_cells[zone] - 1)
    cell = first[zone] + column
    order = np.argsort(cell, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=first[-1]))])
    return first, start, order, cell_deg


def _rows(vectors: F32, ra: F64, dec: F64, level: U8) -> tuple[I64, I64, I64]:
    star_of, near, row_start = [], [], [0]
    for number, density in enumerate(LEVELS):
        stars = np.flatnonzero(level >= number)
        row_of = np.full(len(level), -1, dtype=np.int64)
        row_of[stars] = np.arange(len(stars))
        radius = _radius_of(_NEIGHBOUR_STARS / density)
        cells = _cells(ra[stars], dec[stars], max(radius / 2.0, 0.1))
        found = np.empty((len(stars), _NEIGHBOURS), dtype=np.int64)
        order = stars[cells[2]]
        find_neighbours(vectors, ra, dec, cells[0], cells[1], order, cells[3], radius, row_of, stars, found)
        star_of.append(stars)
        near.append(np.where(found >= 0, found + row_start[-1], -1))
        row_start.append(row_start[-1] + len(stars))
    return np.concatenate(star_of), np.concatenate(near), np.array(row_start)


def _quads(vectors: F32, star_of: I64, near: I64, row_start: I64) -> tuple[I32, I32]:
    bins, entries = [], []
    for number, density in enumerate(LEVELS):
        low, high = int(row_start[number]), int(row_start[number + 1])
        cell, entry = np.empty(4 * (high - low), dtype=np.int64), np.empty(4 * (high - low), dtype=np.int64)
        shortest = np.radians(_SHORTEST / np.sqrt(density))
        n = index_quads(vectors, star_of, near, low, high, shortest, cell, entry)
        bins.append(cell[:n])
        entries.append(entry[:n])
    cell, entry = np.concatenate(bins), np.concatenate(entries)
    order = np.argsort(cell, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=QUAD_BINS))])
    return start.astype(np.int32), entry[order].astype(np.int32)
