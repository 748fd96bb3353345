"""Which frames share sky, how much of it, and the islands that they form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64
from skyquilt.kernels.polygons import overlap_shares
from skyquilt.steps.mosaic.footprints import Footprints
from skyquilt.steps.mosaic.pointings import find_pointings

__all__ = ["Overlaps", "find_islands", "find_overlaps"]

_MOST_PAIRS = 3_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """
    Pairs of frames that share sky, each pair once, in ascending order.

    Attributes
    ----------
    n_frames : int
    first, second : int64 (p,)
        first < second.
    share : float64 (p,), 0..1
        Of the area of the smaller frame.
    area_deg2 : float64 (p,)
    is_complete : bool
        Whether all pairs are listed; else those with every so-many-th frame of each pointing.
    """

    n_frames: int
    first: I64
    second: I64
    share: F64
    area_deg2: F64
    is_complete: bool

    def __len__(self) -> int:
        return len(self.first)


def find_overlaps(footprints: Footprints, least_share: float = 0.01, *, most_pairs: int = _MOST_PAIRS) -> Overlaps:
    """
    Return the pairs of frames that share sky.

    Parameters
    ----------
    footprints : Footprints
    least_share : float
        Of the smaller frame's area; pairs that share less are left out.
    most_pairs : int
        About how many pairs are looked at. Where there would be more, every frame is compared with every k-th frame of
        each pointing only (at least one): the graph stays as connected as it was, and its size linear in the frames.

    Notes
    -----
    Frames are taken as the quadrilaterals of their corners, by great circles: a distortion moves a side by some pixels
    at most. Pairs come from a k-d tree of the centres, by the radius of the frames.
    Cost: about 1 us a pair.
    """
    from scipy.spatial import KDTree

    order = footprints.order()
    sorted_prints = footprints.take(order)
    tree = KDTree(sorted_prints.centre)
    reach = 2.0 * np.sin(min(float(sorted_prints.radius.max()), np.pi / 2.0))  # the chord of twice the radius
    n_near = (int(tree.count_neighbors(tree, reach)) - len(order)) // 2
    is_complete = n_near <= most_pairs
    if is_complete:
        pairs = tree.query_pairs(reach, output_type="ndarray").astype(np.int64)
    else:
        pairs = _pairs_with_some(
            tree, sorted_prints, reach, -(-2 * n_near // most_pairs)
        )  # either of a pair may be the one
    first, second = pairs[:, 0], pairs[:, 1]
    chord = np.linalg.norm(sorted_prints.centre[first] - sorted_prints.centre[second], axis=1)
    radius = np.minimum(sorted_prints.radius[first] + sorted_prints.radius[second], np.pi)
    is_near = chord <= 2.0 * np.sin(radius / 2.0)
    first, second = first[is_near], second[is_near]
    share = np.empty(len(first))
    overlap_shares(np.ascontiguousarray(sorted_prints.corners), first, second, share)
    is_shared = (share >= least_share) & (share > 0.0)
    first, second, share = order[first[is_shared]], order[second[is_shared]], share[is_shared]
    first, second = np.minimum(first, second), np.maximum(first, second)
    ascending = np.lexsort((second, first))
    first, second, share = first[ascending], second[ascending], share[ascending]
    smaller = np.minimum(footprints.area_deg2[first], footprints.area_deg2[second])
    return Overlaps(len(footprints), first, second, share, share * smaller, is_complete)


def find_islands(footprints: Footprints, overlaps: Overlaps) -> tuple[I64, ...]:
    """
    Return the sets of frames that are connected by overlaps, each int64 and ascending.

    The island of most frames comes first; of equal ones, the one with the most southern frame.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = overlaps.n_frames
    ones = np.ones(len(overlaps), np.int8)
    graph = coo_array((ones, (overlaps.first, overlaps.second)), shape=(n, n))
    label = connected_components(graph, directed=False)[1]
    rank = np.empty(n, np.int64)
    rank[footprints.order()] = np.arange(n)
    islands = [np.flatnonzero(label == k).astype(np.int64) for k in np.unique(label)]
    return tuple(sorted(islands, key=lambda island: (-len(island), int(rank[island].min()))))


def _pairs_with_some(tree: object, footprints: Footprints, reach: float, every: int) -> I64:
    """Return the pairs (first < second) closer than `reach` in which one is an `every`-th frame of its pointing."""
    from scipy.spatial import KDTree

    assert isinstance(tree, KDTree)
    hubs = np.sort(np.concatenate([pointing.frames[::every] for pointing in find_pointings(footprints)]))
    near = tree.query_ball_point(footprints.centre[hubs], reach, return_sorted=False)
    first = np.repeat(hubs, [len(some) for some in near])
    second = np.concatenate([np.array(some, np.int64) for some in near])
    low, high = np.minimum(first, second), np.maximum(first, second)
    keys = np.unique(low[low < high] * len(footprints) + high[low < high])
    return np.stack([keys // len(footprints), keys % len(footprints)], axis=1)
