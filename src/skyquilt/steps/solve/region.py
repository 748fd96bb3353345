"""The search around a place: triangles of the frame among the triangles of a part of the sky."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from skyquilt.core import F64, CatalogueStars
from skyquilt.kernels.asterism import refine_similarity
from skyquilt.kernels.patterns import propose_similarities, triangles_of
from skyquilt.steps.solve.confirm import Frame, confirm
from skyquilt.steps.solve.nouns import Solution
from skyquilt.steps.solve.plane import Plane, on_plane
from skyquilt.steps.solve.proof import Proof, Trials

__all__ = ["search_region"]

_LEVELS = (30, 15, 60, 100)  # catalogue stars that a frame holds, about
_DEEPER = (1.25, 2.2)  # frame stars for each of them: some are no stars, and brightness in another colour differs
_MOST_STARS = 4000
_SIDE_ERROR = 1.5  # px: two centroids, distortion
_HIT_RADIUS = 2.5
_MOST_PAIRS = 60_000
_MOST_HYPOTHESES = 300
_FIRST_HYPOTHESES = 40
_TRIED = 10
_COARSE = np.array([12.0, 8.0, 5.0])  # px
_LEAST_HITS = 4
_LEAST_REFINED = 5  # the proof takes six
_LEAST_EXPECTED = 2.5  # catalogue stars in a frame, on the average of the region: fewer prove nothing


def search_region(
    frame: Frame,
    candidates: CatalogueStars,
    place: tuple[float, float],
    radius_deg: float,
    scale_arcsec: float,
    scale_tolerance: float,
) -> tuple[Solution | None, Proof]:
    """
    Return the solution found around a place, or None, and how far the best attempt went.

    Parameters
    ----------
    frame : Frame
    candidates : CatalogueStars
        All catalogue stars that a frame centred within the region can hold, brightest first.
    place : (float, float), degrees
        Middle of the region.
    radius_deg : float, degrees
        Of the circle that `candidates` fill.
    scale_arcsec : float, arcsec/px
    scale_tolerance : float
        Relative.
    """
    plane = on_plane(candidates, *place, scale_arcsec / 3600.0)
    best = Proof(0, 0, 0.0)
    area = np.pi * (radius_deg / plane.unit_deg) ** 2
    if len(plane) * frame.area / area < _LEAST_EXPECTED or len(frame) < _LEAST_HITS:
        return None, best
    trials = Trials(len(plane), scale_tolerance)
    for row in _ideas(frame, plane, area, scale_tolerance):
        solution, proof = confirm(row, plane, frame, trials)
        if solution is not None:
            return solution, proof
        best = proof if proof.log10_false_alarm < best.log10_false_alarm or not best.n_hits else best
    return None, best


def _ideas(frame: Frame, plane: Plane, area: float, tolerance: float) -> Iterator[F64]:
    """Give the most promising similarities, level by level of brightness."""
    tried: list[F64] = []
    last: set[tuple[int, int]] = set()
    for level in _LEVELS:
        m = min(int(level * area / frame.area), len(plane), _MOST_STARS)
        expected = m * frame.area / area
        for deeper in _DEEPER:
            n = min(int(deeper * expected) + 3, len(frame))
            if (n, m) in last or m < 3:
                continue
            last.add((n, m))
            yield from _ideas_of_level(frame, plane, n, m, tolerance, tried)


def _ideas_of_level(frame: Frame, plane: Plane, n: int, m: int, tolerance: float, tried: list[F64]) -> Iterator[F64]:
    grid = plane.grid(m)
    theirs = triangles_of(grid.x, grid.y)
    theirs = theirs.sorted_by(theirs.sides[:, 0])
    x, y = frame.stars.x[:n], frame.stars.y[:n]
    stages = propose_similarities(
        x,
        y,
        grid,
        theirs,
        scale=1.0,
        scale_tolerance=tolerance,
        mirror=True,
        side_error=_SIDE_ERROR,
        hit_radius=_HIT_RADIUS,
        most_pairs=_MOST_PAIRS,
        stages=(_FIRST_HYPOTHESES, _MOST_HYPOTHESES),
    )
    for rows in stages:
        given = 0
        for row in rows:
            if given == _TRIED or row[5] < _LEAST_HITS:
                break
            row = row.copy()
            refine_similarity(x, y, grid.x, grid.y, *grid.cells, _COARSE, row)
            scale = float(np.hypot(row[0], row[1]))
            if row[5] < _LEAST_REFINED or abs(scale - 1.0) > 1.5 * tolerance + 0.01:
                continue
            if any(_is_same(row, other, frame) for other in tried):
                continue
            tried.append(row)
            given += 1
            yield row


def _is_same(row: F64, other: F64, frame: Frame) -> bool:
    """Whether two similarities put the frame in the same place, to 3 px."""
    if row[4] != other[4]:
        return False
    sign = -1.0 if row[4] > 0 else 1.0
    z, t = complex(row[0] - other[0], row[1] - other[1]), complex(row[2] - other[2], row[3] - other[3])
    corners = (0j, complex(frame.width, 0.0), complex(0.0, sign * frame.height))
    return all(abs(z * corner + t) < 3.0 for corner in corners)
