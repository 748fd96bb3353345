"""Frames that came with coordinates some way off, found again among the stars of the others."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F64
from skyquilt.steps.mosaic.astrometry_maps import Devices, Maps, columns

__all__ = ["find_frame"]

_VOTE_PX = 1.5
_LEAST_VOTES = 6
_ABOVE_CHANCE = 4.0
_NARROWING = (2.5, 1.2)  # px
_SIMILARITY = 4


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
