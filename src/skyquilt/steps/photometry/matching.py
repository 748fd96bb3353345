"""Which measured star is which star of the catalogue, on an image whose coordinates are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64, CatalogueStars, Stars, Wcs

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
    x, y = wcs.to_pixels(catalogue.ra_deg, catalogue.dec_deg)
    on_plane = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    x, y, mag, n = x[on_plane], y[on_plane], catalogue.mag[on_plane], len(stars)
    one, other, distance = _near_pairs(np.concatenate([stars.x, x]), np.concatenate([stars.y, y]), reach_px)
    is_mixed = (one < n) & (other >= n)
    star, entry, distance = one[is_mixed], other[is_mixed] - n, distance[is_mixed]
    order = np.argsort(distance, kind="stable")
    star, entry = star[order], entry[order]
    is_nearest = np.zeros((2, len(star)), dtype=bool)
    for side, of in zip(is_nearest, (star, entry), strict=True):
        side[np.unique(of, return_index=True)[1]] = True
    star, entry = star[is_nearest.all(axis=0)], entry[is_nearest.all(axis=0)]
    is_blend = np.zeros(len(on_plane), dtype=bool)
    one, other, _ = _near_pairs(x, y, alone_px)
    is_blend[one[mag[other] < mag[one] + _COMPANION_MAG]] = True
    is_blend[other[mag[one] < mag[other] + _COMPANION_MAG]] = True
    chosen = on_plane[entry]
    has_colour = np.isfinite(catalogue.vt_mag[chosen]) & np.isfinite(catalogue.bt_mag[chosen])
    keep = np.flatnonzero(has_colour & ~is_blend[entry])
    keep = keep[np.argsort(star[keep], kind="stable")]
    return CatalogueMatch(star[keep].astype(np.int64), chosen[keep].astype(np.int64))


def _near_pairs(x: F64, y: F64, reach_px: float) -> tuple[I64, I64, F64]:
    """
    Return all pairs of places within a distance: the smaller index of each, the larger one, and how far they are apart.

    Neighbours along x first, then the second next and so on, until no two are near: a crowd of thousands takes
    milliseconds, and no tree has to be loaded for it.
    """
    order = np.argsort(x, kind="stable")
    across, down = x[order], y[order]
    firsts, seconds, distances = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0)]
    for step in range(1, len(x)):
        gap = across[step:] - across[:-step]
        near = np.flatnonzero(gap <= reach_px)
        if not len(near):
            break
        apart = np.hypot(gap[near], down[near + step] - down[near])
        near, apart = near[apart <= reach_px], apart[apart <= reach_px]
        firsts.append(np.minimum(order[near], order[near + step]))
        seconds.append(np.maximum(order[near], order[near + step]))
        distances.append(apart)
    return np.concatenate(firsts), np.concatenate(seconds), np.concatenate(distances)
