"""The search over the whole sky: quads of the frame among the quads of the index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64, CatalogueStars
from skyquilt.core.sky import directions, separation_deg
from skyquilt.kernels.quads import frame_quads, look_up_quads
from skyquilt.steps.solve.confirm import Frame, confirm, moved_row
from skyquilt.steps.solve.index import SkyIndex
from skyquilt.steps.solve.nouns import Solution, StarCatalogue
from skyquilt.steps.solve.plane import Plane, on_plane
from skyquilt.steps.solve.proof import Proof, Trials

__all__ = ["search_sky"]

_SHORTEST_PX = 60.0
_TOLERANCE_PX = 1.5
_PLACES = 40
_TRIED = 6
_LEAST_HITS = 6
_ARCSEC = np.pi / 648000.0
_SMALLEST_DEG = 0.3  # diagonals of frames: smaller ones hold too few stars of the index, wider ones are no plane
_LARGEST_DEG = 60.0
_ALL_STARS = 2_500_000
_DENSEST = 20_000
_WIDEST_DEG = 60.0
_SAME = 0.02  # of the frame's radius: corners that agree so well are the same place
_NO_STARS = CatalogueStars.empty()


@dataclass(frozen=True, slots=True)
class _Effort:
    """
    How hard is searched.

    Attributes
    ----------
    counts : tuple of int
        Of the brightest stars that quads are made of, one try after the other.
    n_neighbours : int
        Among which a star finds its partners; more of them make up for stars that are missing or none.
    tolerance : float
        By how much codes may differ at least.
    n_looked_for : int
        Frame stars that are looked for around a place, at least.
    """

    counts: tuple[int, ...]
    n_neighbours: int
    tolerance: float
    n_looked_for: int


_EFFORTS = (
    _Effort((10, 14, 20, 28, 40, 56), 6, 0.006, 32),
    _Effort((12, 17, 24, 34, 48, 68), 8, 0.01, 60),
)


def search_sky(
    frame: Frame,
    index: SkyIndex,
    catalogue: StarCatalogue,
    *,
    epoch_year: float,
    scale_arcsec: float | None,
    scale_tolerance: float,
) -> tuple[Solution | None, Proof]:
    """
    Return the solution found anywhere on the sky, or None, and how far the best attempt went.

    Parameters
    ----------
    frame : Frame
    index : SkyIndex
    catalogue : StarCatalogue
        Proves what the index suggests.
    epoch_year : float
    scale_arcsec : float or None, arcsec/px
        None: any.
    scale_tolerance : float
        Relative.
    """
    scales = (_SMALLEST_DEG * 1800.0 / frame.radius_px, _LARGEST_DEG * 1800.0 / frame.radius_px)
    if scale_arcsec is not None:
        scales = (scale_arcsec * (1 - scale_tolerance), scale_arcsec * (1 + scale_tolerance))
    trials = Trials(_ALL_STARS, None if scale_arcsec is None else scale_tolerance)
    best = Proof(0, 0, 0.0)
    tried: list[F64] = []
    for row, plane in _places(frame, index, scales):
        corners = _corners(row, plane, frame)
        limit = _SAME * frame.radius_px * plane.unit_deg
        if any(float(separation_deg(*corners, *other).max()) < limit for other in tried):
            continue
        tried.append(corners)
        radius = min(1.15 * frame.radius_px * plane.unit_deg + 0.05, _WIDEST_DEG)
        near = catalogue.cone(plane.ra_deg, plane.dec_deg, radius, epoch_year=epoch_year, brightest=_DENSEST)
        plane = on_plane(near, plane.ra_deg, plane.dec_deg, plane.unit_deg)
        solution, proof = confirm(row, plane, frame, trials)
        if solution is not None:
            return solution, proof
        best = proof if proof.log10_false_alarm < best.log10_false_alarm or not best.n_hits else best
    return None, best


def _corners(row: F64, plane: Plane, frame: Frame) -> F64:
    """Return (ra, dec) of two corners and the centre of a frame, float64 (2, 3), degrees."""
    x, y = np.array([0.0, frame.width, frame.centre[0]]), np.array([0.0, 0.0, frame.centre[1]])
    sign = -1.0 if row[4] > 0 else 1.0
    u, v = row[0] * x - row[1] * sign * y + row[2], row[1] * x + row[0] * sign * y + row[3]
    return np.stack(plane.to_sky(u, v))


def _places(frame: Frame, index: SkyIndex, scales: tuple[float, float]) -> Iterator[tuple[F64, Plane]]:
    """Give the most promising places, from the brightest few stars to more of them."""
    for effort in _EFFORTS:
        seen: set[bytes] = set()
        for n in dict.fromkeys(min(count, len(frame)) for count in effort.counts):
            quads = _new_quads(frame, n, effort.n_neighbours, seen)
            if not len(quads):
                continue
            m = min(len(frame), max(n, effort.n_looked_for))
            out = np.zeros((_PLACES, 9))
            look_up_quads(
                frame.stars.x[:m], frame.stars.y[:m], quads, _TOLERANCE_PX, effort.tolerance, scales[0] * _ARCSEC,
                scales[1] * _ARCSEC, index.vectors, index.level, index.star_of, index.near, index.row_start,
                index.bin_start, index.entries, index.first, index.start, index.order, index.cell_deg, out,
            )  # fmt: skip
            for found in out[:_TRIED][out[:_TRIED, 0] >= _LEAST_HITS]:
                yield _row_and_plane(found, frame)


def _new_quads(frame: Frame, n: int, n_neighbours: int, seen: set[bytes]) -> I64:
    """Return the quads of the brightest `n` stars that were not looked up before."""
    room = max(1, n * n_neighbours * (n_neighbours - 1) * (n_neighbours - 2) // 6) + 1
    quads = np.empty((room, 4), dtype=np.int64)
    found = frame_quads(frame.stars.x[:n], frame.stars.y[:n], n_neighbours, _SHORTEST_PX, quads)
    different = np.unique(quads[:found], axis=0)
    new = [quad for quad in different if quad.tobytes() not in seen]
    seen.update(quad.tobytes() for quad in new)
    return np.array(new, dtype=np.int64).reshape(len(new), 4)


def _row_and_plane(found: F64, frame: Frame) -> tuple[F64, Plane]:
    """Return a place of the table as a similarity on a plane that touches the sky at the frame's centre."""
    ra, dec = directions(found[1:4])
    scale = float(np.hypot(found[4], found[5]))
    plane = on_plane(_NO_STARS, float(ra), float(dec), float(np.degrees(scale)))
    row = np.array([*found[4:8] / scale, found[8], found[0], 0.0])
    ra, dec = plane.to_sky(*_centre(row, frame))
    row = moved_row(row, frame, plane, float(ra), float(dec))
    return row, on_plane(_NO_STARS, float(ra), float(dec), plane.unit_deg)


def _centre(row: F64, frame: Frame) -> tuple[float, float]:
    """Return where the frame's centre lies on the plane."""
    x, y = frame.centre
    sign = -1.0 if row[4] > 0 else 1.0
    return row[0] * x - row[1] * sign * y + row[2], row[1] * x + row[0] * sign * y + row[3]
