"""Which measured star is which star of the catalogue, on an image whose coordinates are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import I64, CatalogueStars, Stars, Wcs

__all__ = ["CatalogueMatch", "match_catalogue"]

_COMPANION_MAG = 3.0  # a fainter neighbour adds less than 6 %


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueMatch:
    """
    Pairs of stars, one entry a pair in every array.

    Attributes
    ----------
    star : int64 (n,)
        Index in the measured list.
    entry : int64 (n,)
        Index in the catalogue's list.
    """

    star: I64
    entry: I64

    def __len__(self) -> int:
        return len(self.star)


def match_catalogue(
    stars: Stars, wcs: Wcs, catalogue: CatalogueStars, *, reach_px: float, alone_px: float
) -> CatalogueMatch:
    """
    Return the pairs that lie within `reach_px` and are each other's nearest.

    Parameters
    ----------
    stars : Stars
        As measured on the image that `wcs` describes.
    reach_px : float
        How far the coordinates and the centroids may be off.
    alone_px : float
        Entries with a neighbour in the catalogue within this distance that is less than 3 mag fainter take no part: the
        star that was measured is both. An entry without VT or BT takes no part either.
    """
    from scipy.spatial import KDTree

    x, y = wcs.to_pixels(catalogue.ra_deg, catalogue.dec_deg)
    on_plane = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    nothing = CatalogueMatch(np.zeros(0, np.int64), np.zeros(0, np.int64))
    if not len(stars) or not len(on_plane):
        return nothing
    places = np.stack([x[on_plane], y[on_plane]], axis=1)
    measured = np.stack([stars.x, stars.y], axis=1)
    tree = KDTree(places)
    distance, entry = tree.query(measured, distance_upper_bound=reach_px)
    _, back = KDTree(measured).query(places, distance_upper_bound=reach_px)
    star = np.flatnonzero(np.isfinite(distance))
    star = star[back[entry[star]] == star]
    mag = catalogue.mag[on_plane]
    is_blend = np.zeros(len(on_plane), dtype=bool)
    for one, other in tree.query_pairs(alone_px):
        is_blend[one] |= bool(mag[other] < mag[one] + _COMPANION_MAG)
        is_blend[other] |= bool(mag[one] < mag[other] + _COMPANION_MAG)
    chosen = on_plane[entry[star]]
    has_colour = np.isfinite(catalogue.vt_mag[chosen]) & np.isfinite(catalogue.bt_mag[chosen])
    keep = has_colour & ~is_blend[entry[star]]
    return CatalogueMatch(star[keep].astype(np.int64), chosen[keep].astype(np.int64))
