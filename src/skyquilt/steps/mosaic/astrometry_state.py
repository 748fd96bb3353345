"""What the rounds of the joint solution pass on: the problem, its matched points, the state of the solution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64
from skyquilt.steps.mosaic.astrometry_maps import Devices, Maps
from skyquilt.steps.mosaic.astrometry_nouns import AstroSettings
from skyquilt.steps.mosaic.astrometry_ties import Points, Ties
from skyquilt.steps.mosaic.astrometry_weights import Trust, Weights

__all__ = ["ARCSEC", "LEAST_ANCHORS", "LEAST_LINKS", "Problem", "State", "Tied", "count_stars", "groups_of_frames"]

ARCSEC = np.pi / 648000.0
LEAST_ANCHORS = 3  # catalogue stars that fix where a component lies
LEAST_LINKS = 3  # stars that tie two frames
_HELD_PX = 1.0  # by the coordinates that a frame came with, where no catalogue holds it
_LOOSELY_HELD_PX = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """
    What stays the same through all rounds.

    Attributes
    ----------
    devices : Devices
    points : Points
    given : float64 (f, 25, 3)
        Where the frames' own coordinates lay the grids of their sensors.
    unit : float, rad
        What counts as a pixel on the sky: the median over the frames.
    settings : AstroSettings
    """

    devices: Devices
    points: Points
    given: F64
    unit: float
    settings: AstroSettings

    @property
    def n_frames(self) -> int:
        return len(self.given)


@dataclass(frozen=True, slots=True, eq=False)
class Tied:
    """
    A problem whose points were matched.

    Attributes
    ----------
    problem : Problem
    ties : Ties
    frame, star : int64 (n,)
        Of the tied points.
    u, v, error : float64 (n,), px
    anchors : float64 (s, 3)
        Catalogue directions; zero where there is none.
    catalogue_error : float64 (s,), px
        Infinite where there is none.
    held_px : float64 (f,), px
        How firmly each frame is held by the coordinates it came with.
    """

    problem: Problem
    ties: Ties
    frame: I64
    star: I64
    u: F64
    v: F64
    error: F64
    anchors: F64
    catalogue_error: F64
    held_px: F64

    @classmethod
    def of(cls, problem: Problem, ties: Ties) -> Tied:
        """Return the tied points of a problem."""
        points, n = problem.points, problem.n_frames
        frame = points.frame[ties.point]
        known = ties.anchor >= 0
        anchors = np.zeros((ties.n_stars, 3))
        anchors[known] = points.anchors[ties.anchor[known]]
        error = problem.settings.catalogue_error_arcsec * ARCSEC / problem.unit
        label = groups_of_frames(frame, ties.star, n, LEAST_LINKS)
        anchored = known[ties.star]
        n_known = count_stars(label[frame[anchored]], ties.star[anchored], n)
        held = np.where(n_known[label] >= LEAST_ANCHORS, _LOOSELY_HELD_PX, _HELD_PX)
        return cls(
            problem, ties, frame, ties.star, points.u[ties.point], points.v[ties.point], points.error[ties.point],
            anchors, np.where(known, error, np.inf), held,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """
    What changes from round to round.

    Attributes
    ----------
    maps : Maps
    stars : float64 (s, 3)
        Directions of the stars.
    weights : Weights
    trust : Trust
    n_rounds : int
    """

    maps: Maps
    stars: F64
    weights: Weights
    trust: Trust
    n_rounds: int


def groups_of_frames(frame: I64, star: I64, n_frames: int, least: int) -> I64:
    """
    Return labels of the frames, int64 (f,): those that stars tie together share one.

    Every star ties each of its frames to the next one, and two frames are tied by `least` stars: a few stars that fell
    on each other by chance tie nothing. `star` rises, and `frame` rises within a star.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    same = star[1:] == star[:-1]
    one, other = frame[:-1][same], frame[1:][same]
    links = coo_array((np.ones(len(one)), (one, other)), shape=(n_frames, n_frames)).tocsr()
    links.data[links.data < least] = 0.0
    links.eliminate_zeros()
    label: I64 = connected_components(links, directed=False)[1].astype(np.int64)
    return label


def count_stars(label: I64, star: I64, n_labels: int) -> I64:
    """Return how many different stars each label has, int64 (n_labels,); an entry is one pair of label and star."""
    n = int(star.max(initial=0)) + 1
    counted: I64 = np.bincount(np.unique(label * n + star) // n, minlength=n_labels)
    return counted
