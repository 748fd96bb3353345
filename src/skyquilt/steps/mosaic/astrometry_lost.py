"""Frames that came with coordinates some way off, found again among the stars of the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skyquilt.core import F64
from skyquilt.steps.mosaic.astrometry_maps import Devices, Maps, columns
from skyquilt.steps.mosaic.astrometry_state import LEAST_ANCHORS, State, Tied, groups_of_frames

__all__ = ["find_again", "find_frame"]

_FEW_TIED = 0.25  # of a frame's stars
_LEAST_TIED = 6
_VOTE_PX = 1.5
_LEAST_VOTES = 6
_ABOVE_CHANCE = 4.0
_NARROWING = (2.5, 1.2)  # px
_SIMILARITY = 4


def find_again(tied: Tied, state: State) -> State:
    """
    Return the state with the frames moved that lie off the others and whose stars agree on a place close by.

    These are frames with few partners, and groups of frames that hang together but neither with the catalogue nor with
    the largest group: they may have been placed by one of them that was wrong.
    """
    from scipy.spatial import KDTree

    problem, devices, points = tied.problem, tied.problem.devices, tied.problem.points
    good = state.weights.robust > 0.0
    n_seen = np.bincount(tied.star[good], minlength=tied.ties.n_stars)
    known = np.isfinite(tied.catalogue_error)
    shared = good & (n_seen[tied.star] > 1)
    n_tied = np.bincount(tied.frame[shared], minlength=problem.n_frames)
    n_points = np.bincount(points.frame, minlength=problem.n_frames)
    group = groups_of_frames(tied.frame[good], tied.star[good], problem.n_frames, _LEAST_TIED)
    n_claims = np.bincount(points.frame, points.anchor >= 0, minlength=problem.n_frames)
    is_adrift = np.bincount(group, n_claims) < LEAST_ANCHORS
    is_adrift[np.argmax(np.bincount(group))] = False
    settled = good & ~is_adrift[group[tied.frame]]
    usable = np.bincount(tied.star[settled], minlength=tied.ties.n_stars) > 0
    few = n_tied < np.maximum(_FEW_TIED * n_points, _LEAST_TIED)
    lost = np.flatnonzero((few | is_adrift[group]) & (n_points >= _LEAST_TIED))
    if not len(lost) or not len(state.stars):
        return state
    start = np.searchsorted(points.frame, np.arange(problem.n_frames + 1))
    tree = KDTree(state.stars)
    steps = np.zeros((problem.n_frames, devices.n_columns))
    for k in lost:
        width, height = devices.width[devices.of_frame[k]], devices.height[devices.of_frame[k]]
        reach = problem.unit * (np.hypot(width, height) / 2.0 + problem.settings.search_px) * 1.05
        around = np.sort(np.array(tree.query_ball_point(state.maps.triads[k, 2], reach), np.int64))
        # stars that only this frame sees would bear it out wherever it lies
        alone = np.isin(around, tied.star[tied.frame == k]) & (n_seen[around] < 2) & ~known[around]
        part = slice(start[k], start[k + 1])
        step = find_frame(
            state.maps,
            devices,
            int(k),
            points.u[part],
            points.v[part],
            state.stars[around[usable[around] & ~alone]],
            problem.settings.search_px,
        )
        if step is not None:
            steps[k] = step
    return replace(state, maps=state.maps.moved(devices, steps, np.zeros_like(state.maps.sip)))


def find_frame(maps: Maps, devices: Devices, frame: int, u: F64, v: F64, known: F64, search_px: float) -> F64 | None:
    """
    Return the step (k,) of a frame's unknowns that lays its stars on known ones, or None where they agree on none.

    Parameters
    ----------
    maps : Maps
    devices : Devices
    frame : int
    u, v : float64 (n,), px from the sensor's centre
        Stars of the frame.
    known : float64 (m, 3)
        Directions of stars around the frame.
    search_px : float, px

    Notes
    -----
    Every pair of a star and a known one within the search is a vote for its offset; the offset with most votes within
    1.5 px wins if it has 6 of them and well more than chance spreads anywhere. A similarity is fitted to its pairs.
    """
    from scipy.spatial import KDTree

    if not len(known) or not len(u):
        return None
    same = np.full(len(u), frame)
    at = np.stack(maps.distorted(devices, same, u, v), axis=1)
    seen = maps.seen(np.full(len(known), frame), known)[0]
    near = KDTree(seen).query_ball_point(at, search_px)
    mine = np.repeat(np.arange(len(u)), [len(found) for found in near])
    if len(mine) < _LEAST_VOTES:
        return None
    theirs = np.concatenate([np.sort(found) for found in near]).astype(np.int64)
    offset = seen[theirs] - at[mine]
    votes = KDTree(offset).query_ball_point(offset, _VOTE_PX, return_length=True)
    best = int(np.lexsort((np.hypot(offset[:, 0], offset[:, 1]), -votes))[0])
    chance = len(offset) * (_VOTE_PX / search_px) ** 2
    if votes[best] < max(_LEAST_VOTES, chance + _ABOVE_CHANCE * np.sqrt(chance)):
        return None
    return _similarity(offset, offset[best], at[mine] / devices.radius[devices.of_frame[frame]], devices.n_columns)


def _similarity(offset: F64, winner: F64, place: F64, n_columns: int) -> F64:
    """Return the step that fits the offsets near the winner best."""
    step = np.zeros(n_columns)
    step[:2] = winner
    design = columns(place[:, 0], place[:, 1], _SIMILARITY)
    for reach in _NARROWING:
        miss = offset - np.einsum("nak,k->na", design, step[:_SIMILARITY])
        near = np.hypot(miss[:, 0], miss[:, 1]) < reach
        if np.count_nonzero(near) < _LEAST_VOTES:
            break
        step[:_SIMILARITY] += np.linalg.lstsq(design[near].reshape(-1, _SIMILARITY), miss[near].ravel(), rcond=None)[0]
    return step
