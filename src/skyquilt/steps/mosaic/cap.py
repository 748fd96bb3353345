"""The smallest circle on the sky that holds points."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from skyquilt.core import F64

__all__ = ["enclosing_cap"]

_SLACK = 1e-9  # of the radius squared: points count as held
_MOST_ROUNDS = 200


def enclosing_cap(vectors: F64) -> tuple[F64, float]:
    """
    Return the centre, a unit vector, and the radius in degrees of the smallest cap that holds all points.

    Parameters
    ----------
    vectors : float64 (n, 3)
        Unit vectors, n > 0.

    Returns
    -------
    (float64 (3,), float)
        The radius is 180, and the centre any, where the points lie on no half of the sphere.

    Notes
    -----
    The smallest ball round the points in space has its centre on the axis of the cap. It is found by adding the
    farthest point to the few that carry it until none lies outside; its radius grows with each, so this ends.
    """
    carrying = vectors[:1]
    middle, radius2 = carrying[0], 0.0
    for _ in range(_MOST_ROUNDS):
        away = np.sum((vectors - middle) ** 2, axis=1)
        farthest = int(np.argmax(away))
        if away[farthest] <= radius2 * (1.0 + _SLACK):
            break
        carrying, middle, radius2 = _ball(np.concatenate([carrying, vectors[farthest : farthest + 1]]))
    length = float(np.linalg.norm(middle))
    if length < 1e-9:
        return np.array([0.0, 0.0, 1.0]), 180.0
    centre: F64 = middle / length
    chord = float(np.sqrt(np.sum((vectors - centre) ** 2, axis=1).max()))
    return centre, float(np.degrees(2.0 * np.arcsin(min(chord / 2.0, 1.0))))


def _ball(points: F64) -> tuple[F64, F64, float]:
    """Return the points that carry the smallest ball round at most five points, its middle and radius squared."""
    carrying, middle, radius2 = points[:1], points[0], np.inf
    for n in range(2, min(len(points), 4) + 1):
        for chosen in combinations(range(len(points)), n):
            some = points[list(chosen)]
            # a middle in their plane: some[0] + a combination of the sides, as far from every one of them
            sides = some[1:] - some[0]
            share = np.linalg.lstsq(2.0 * sides @ sides.T, np.sum(sides**2, axis=1), rcond=None)[0]
            trial = some[0] + share @ sides
            reach2 = float(np.sum((points - trial) ** 2, axis=1).max())
            if reach2 < radius2:
                carrying, middle, radius2 = some, trial, reach2
    return carrying, middle, radius2
