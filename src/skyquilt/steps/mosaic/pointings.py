"""Where the telescope pointed: frames whose centres lie close together, named in the order in which one reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64
from skyquilt.core.sky import directions
from skyquilt.errors import UsageError
from skyquilt.steps.mosaic.footprints import Footprints

__all__ = ["Pointing", "find_pointings"]

_MOST_GROUPS = 2000  # that are linked exactly: a table of all their distances
_ROW_SHARE = 0.25  # of the field: centres of one row of panels differ less in declination than neighbouring rows


@dataclass(frozen=True, slots=True, eq=False)
class Pointing:
    """
    Frames that show about the same field.

    Attributes
    ----------
    name : str
        P01, P02, ...: rows from north to south, in each from east to west, as one reads a picture with north up.
    centre_deg : (float, float), degrees
        Mean direction (ra, dec) of the frames' centres.
    frames : int64 (n,)
        Which frames, ascending.
    """

    name: str
    centre_deg: tuple[float, float]
    frames: I64


def find_pointings(footprints: Footprints, closer_than: float = 0.25) -> tuple[Pointing, ...]:
    """
    Return the pointings; every frame belongs to one.

    Parameters
    ----------
    footprints : Footprints
    closer_than : float
        No two centres of a pointing are farther apart than this share of the field (the median shorter side).

    Raises
    ------
    UsageError
        If `closer_than` is not above 0.

    Notes
    -----
    Complete linkage: a pointing never grows into a chain of frames, as a telescope that creeps over the sky would make.
    Centres within a tenth of the distance are taken together first (more, if there are over 2000 such places), each
    with the first that is left in an order that depends on the sky alone. So the order of the frames changes nothing.
    Cost: a second for 50,000 frames of 100 pointings.
    """
    if not closer_than > 0.0:
        raise UsageError(f"pointings closer than {closer_than:g} of the field cannot be told apart", "give 0.25")
    field = np.radians(float(np.median(footprints.side_deg)))
    order = footprints.order()
    centre = footprints.centre[order]
    linked = _link(centre, closer_than * field)
    members = [order[linked == k] for k in range(int(linked.max()) + 1)]
    ra, dec = directions(np.stack([footprints.centre[some].mean(axis=0) for some in members]))
    width = max(2, len(str(len(members))))
    return tuple(
        Pointing(f"P{k + 1:0{width}d}", (float(ra[which]), float(dec[which])), np.sort(members[which]))
        for k, which in enumerate(_reading_order(ra, dec, _ROW_SHARE * float(np.degrees(field))))
    )


def _link(centre: F64, reach: float) -> I64:
    """Return for each unit vector the number of its pointing, counted from 0."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import pdist

    near = 0.1 * reach
    group = _group(centre, near)
    while int(group.max()) >= _MOST_GROUPS:
        near *= 2.0
        group = _group(centre, near)
    n = int(group.max()) + 1
    if n == 1:
        return group
    size = np.bincount(group, minlength=n)
    places = np.stack([np.bincount(group, centre[:, axis], n) / size for axis in range(3)], axis=1)
    spread = np.zeros(n)
    np.maximum.at(spread, group, np.linalg.norm(centre - places[group], axis=1))
    one, other = np.triu_indices(n, 1)
    # the farthest that two centres of two groups can be apart
    label = fcluster(linkage(pdist(places) + spread[one] + spread[other], "complete"), reach, "distance")
    linked: I64 = np.unique(label, return_inverse=True)[1].astype(np.int64)[group]
    return linked


def _group(centre: F64, reach: float) -> I64:
    """Return for each unit vector the number of its group: those not yet taken within `reach` of its first one."""
    from scipy.spatial import KDTree

    tree = KDTree(centre)
    group = np.full(len(centre), -1, np.int64)
    n = 0
    for k in range(len(centre)):
        if group[k] < 0:
            near = np.array(tree.query_ball_point(centre[k], reach), np.int64)
            group[near[group[near] < 0]] = n
            n += 1
    return group


def _reading_order(ra_deg: F64, dec_deg: F64, row_deg: float) -> list[int]:
    """Return the order of places by rows from north to south, each from east to west."""
    south = np.lexsort((ra_deg, -dec_deg))
    rows = np.split(south, np.flatnonzero(-np.diff(dec_deg[south]) > row_deg) + 1)
    reading: list[int] = []
    for row in rows:
        west = row[np.lexsort((dec_deg[row], ra_deg[row]))]
        gaps = np.diff(ra_deg[west], append=ra_deg[west[0]] + 360.0)
        # right ascension grows towards the east; a row begins and ends at its widest gap, wherever 0 lies
        reading += [int(k) for k in np.roll(west, -int(np.argmax(gaps)) - 1)[::-1]]
    return reading
