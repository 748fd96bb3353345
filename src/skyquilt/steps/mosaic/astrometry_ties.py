"""Which stars of which frames are the same star."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64, Mask, Stars
from skyquilt.errors import BadInput
from skyquilt.steps.mosaic.astrometry_nouns import AstroFrame

__all__ = ["Points", "Ties", "group_points", "match_ties", "pick_points"]

_UNKNOWN_ERROR_PX = 0.3
_MOST_ERROR_PX = 3.0
_SATURATED_PX = 0.3  # a burnt-out core is placed by its rim
_SAME_STAR = 1.0 * np.pi / 648000.0  # 1 arcsec: entries of the catalogue for frames of several epochs
_CELLS_A_REACH = 3.0
_LEAST_CELL = 1.5e-6  # rad; three counts of cells along the axes fit one int64
_CLEARLY_NEARER = 0.5
_CROWDED = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """
    Stars of all frames that may take part, frame by frame.

    Attributes
    ----------
    frame : int64 (n,)
        Rising.
    row : int64 (n,)
        Which star of the frame's list, rising within a frame.
    u, v : float64 (n,), px from the sensor's centre
    error : float64 (n,), px per axis
        As measured.
    anchor : int64 (n,)
        Which of `anchors` the frame's own solution took the star for; -1 for none.
    anchors : float64 (m, 3)
        Directions of catalogue stars.
    """

    frame: I64
    row: I64
    u: F64
    v: F64
    error: F64
    anchor: I64
    anchors: F64

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, slots=True, eq=False)
class Ties:
    """
    Points that are one star.

    Attributes
    ----------
    point : int64 (n,)
        Index into the points, star by star, rising within a star: frame by frame.
    star : int64 (n,)
        Rising from 0 without gaps; every star has points of two frames at least, or is anchored.
    anchor : int64 (s,)
        Index into `Points.anchors` of each star; -1 for none.
    """

    point: I64
    star: I64
    anchor: I64

    @property
    def n_stars(self) -> int:
        return len(self.anchor)


def pick_points(frames: Sequence[AstroFrame], most: int) -> Points:
    """
    Return the stars that take part: at most `most` of a frame, catalogue stars first, spread over the sensor.

    Raises
    ------
    BadInput
        If the indices of a frame's catalogue stars are not those of its stars.
    """
    rows, anchors, names = [], [], []
    for frame in frames:
        index = np.asarray(frame.catalogue_index, np.int64)
        if len(index) != len(frame.catalogue) or (
            len(index) and not 0 <= index.min() <= index.max() < len(frame.stars)
        ):
            raise BadInput(
                f"frame {frame.key} has {len(frame.stars)} stars and {len(index)} indices of catalogue stars for"
                f" {len(frame.catalogue)} stars of the catalogue",
                "give one index into the frame's stars for each catalogue star",
            )
        rows.append(_spread_rows(frame, index, most))
        anchors.append(frame.catalogue.vectors)
        names.append(index)
    n_rows = [len(chosen) for chosen in rows]
    group, centres = _merged(np.concatenate([np.zeros((0, 3)), *anchors]))
    anchor, start = [], 0
    for frame, chosen, index in zip(frames, rows, names, strict=True):
        taken = np.full(len(frame.stars), -1, np.int64)
        taken[index] = group[start : start + len(index)]
        anchor.append(taken[chosen])
        start += len(index)
    stars = [frame.stars.take(chosen) for frame, chosen in zip(frames, rows, strict=True)]
    none = np.zeros(0)
    return Points(
        np.repeat(np.arange(len(frames)), n_rows),
        np.concatenate([np.zeros(0, np.int64), *rows]),
        np.concatenate([none, *(s.x - (f.width - 1) / 2.0 for s, f in zip(stars, frames, strict=True))]),
        np.concatenate([none, *(s.y - (f.height - 1) / 2.0 for s, f in zip(stars, frames, strict=True))]),
        np.concatenate([none, *(_error(s) for s in stars)]),
        np.concatenate([np.zeros(0, np.int64), *anchor]),
        centres,
    )


def _error(stars: Stars) -> F64:
    error = np.nan_to_num(stars.position_error, nan=_UNKNOWN_ERROR_PX, posinf=_MOST_ERROR_PX)
    return np.hypot(np.clip(error, 0.0, _MOST_ERROR_PX), np.where(stars.is_saturated, _SATURATED_PX, 0.0))


def _spread_rows(frame: AstroFrame, known: I64, most: int) -> I64:
    """Return the rows of the stars that take part, rising: in turns the next brightest of every cell of the sensor."""
    stars = frame.stars
    usable = np.isfinite(stars.x) & np.isfinite(stars.y) & np.isfinite(stars.flux)
    rows = np.flatnonzero(usable)
    if len(rows) <= most:
        return rows
    is_known = np.zeros(len(stars), bool)
    is_known[known] = True
    n_cells = max(1, round(np.sqrt(most / 6.0)))
    column = np.clip(((stars.x[rows] + 0.5) * n_cells / frame.width).astype(np.int64), 0, n_cells - 1)
    line = np.clip(((stars.y[rows] + 0.5) * n_cells / frame.height).astype(np.int64), 0, n_cells - 1)
    cell = line * n_cells + column
    order = np.lexsort((rows, -stars.flux[rows], ~is_known[rows], cell))
    first = np.flatnonzero(np.diff(cell[order], prepend=-1))
    turn = np.empty(len(rows), np.int64)
    turn[order] = np.arange(len(rows)) - np.repeat(first, np.diff(np.append(first, len(rows))))
    best = np.lexsort((rows, -stars.flux[rows], turn, ~is_known[rows]))[:most]
    return np.sort(rows[best])


def _merged(vectors: F64) -> tuple[I64, F64]:
    """Return for each direction which star it is, and the mean directions of the stars."""
    label = group_points(vectors, _SAME_STAR)
    centres = _means(vectors, label, int(label.max()) + 1 if len(label) else 0)
    return label, centres


def group_points(vectors: F64, reach: float) -> I64:
    """
    Return a label for each direction: those that hang together by steps of `reach` (rad) share one.

    Parameters
    ----------
    vectors : float64 (n, 3)
        Unit vectors.
    reach : float, rad

    Returns
    -------
    int64 (n,)
        Labels from 0, in the order in which groups first appear.

    Notes
    -----
    Definition: sort the directions into cubes of ``reach / 3``; cubes whose mean directions lie within `reach` hang
    together. Thus a star that a thousand frames see costs a handful of cubes and not a million pairs.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    if not len(vectors):
        return np.zeros(0, np.int64)
    side = max(reach / _CELLS_A_REACH, _LEAST_CELL)
    n = int(np.ceil(1.0 / side)) + 2
    cell = np.floor(vectors / side).astype(np.int64) + n
    _, cube = np.unique((cell[:, 0] * (2 * n) + cell[:, 1]) * (2 * n) + cell[:, 2], return_inverse=True)
    n_cubes = int(cube.max()) + 1
    pairs = KDTree(_means(vectors, cube, n_cubes)).query_pairs(reach, output_type="ndarray")
    links = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n_cubes, n_cubes))
    label = connected_components(links, directed=False)[1].astype(np.int64)[cube]
    return _renumbered(label)


def _renumbered(label: I64) -> I64:
    """Return the labels counted in the order of their first appearance."""
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[inverse]


def _means(vectors: F64, label: I64, n: int, use: Mask | None = None) -> F64:
    """Return the mean directions (n, 3) of groups; of a group without any, zero."""
    weight = None if use is None else use.astype(np.float64)
    sums = np.stack(
        [
            np.bincount(label, vectors[:, k] if weight is None else weight * vectors[:, k], minlength=n)
            for k in range(3)
        ],
        axis=1,
    )
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    means: F64 = sums / np.where(length > 0.0, length, 1.0)
    return means


def match_ties(points: Points, vectors: F64, reach: float) -> Ties:
    """
    Return which points are one star.

    Parameters
    ----------
    points : Points
    vectors : float64 (n, 3)
        Where the maps of today lay the points.
    reach : float, rad
        How far a point may lie from the middle of its star.

    Notes
    -----
    A frame sees a star once: of two points of a frame in one group the clearly nearer one stays, else none; where a
    fifth of the frames see two, the group is a close pair of stars and is dropped. A group is the catalogue star that
    most of its points were taken for, and a catalogue star is the group with most such points.
    """
    label = group_points(vectors, reach)
    n = int(label.max()) + 1 if len(label) else 0
    centre = _means(vectors, label, n)
    for _ in range(2):
        miss = np.linalg.norm(vectors - centre[label], axis=1)
        centre = _means(vectors, label, n, miss <= reach)
    miss = np.linalg.norm(vectors - centre[label], axis=1)
    point = np.flatnonzero(miss <= reach)
    order = np.lexsort((miss[point], points.frame[point], label[point]))
    point = point[order]
    group, frame, away = label[point], points.frame[point], miss[point]
    again = np.zeros(len(point), bool)
    again[1:] = (group[1:] == group[:-1]) & (frame[1:] == frame[:-1])
    followed = np.append(again[1:], False)
    unclear = np.zeros(len(point), bool)
    unclear[:-1] = followed[:-1] & (away[:-1] > _CLEARLY_NEARER * away[1:])
    n_frames = np.bincount(group[~again], minlength=n)
    crowded = np.bincount(group[followed & ~again], minlength=n) > _CROWDED * n_frames
    crowded &= n_frames > 1
    keep = ~again & ~unclear & ~crowded[group]
    point, group = point[keep], group[keep]
    anchor = _claimed(group, points.anchor[point], n)
    stays = (np.bincount(group, minlength=n) > 1) | (anchor >= 0)
    point, group = point[stays[group]], group[stays[group]]
    present, star = np.unique(group, return_inverse=True)
    return Ties(point, star.astype(np.int64), anchor[present])


def _claimed(group: I64, claim: I64, n_groups: int) -> I64:
    """Return the anchor of each group, -1 for none: most claims win, each group and each anchor once."""
    anchor = np.full(n_groups, -1, np.int64)
    named = claim >= 0
    if not named.any():
        return anchor
    pairs, count = np.unique(np.stack([group[named], claim[named]], axis=1), axis=0, return_counts=True)
    for column in (0, 1):
        order = np.lexsort((pairs[:, 1], pairs[:, 0], -count, pairs[:, column]))
        pairs, count = pairs[order], count[order]
        first = np.diff(pairs[:, column], prepend=-1) != 0
        pairs, count = pairs[first], count[first]
    anchor[pairs[:, 0]] = pairs[:, 1]
    return anchor
