"""The outlines of many frames on the sphere, as unit vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64, Sip, SkyGrid
from skyquilt.core.sky import unit_vectors
from skyquilt.errors import NoUsableInput

__all__ = ["Footprints", "footprints_of"]

_SIDE_POINTS = 8  # even, so that every other point of the outline can tell how straight the sides are


@dataclass(frozen=True, slots=True, eq=False)
class Footprints:
    """
    What n frames cover of the sky, in the order in which they were given.

    Attributes
    ----------
    outline : float64 (n, 32, 3)
        Unit vectors along the outer edge of the pixels, going round; every eighth is a corner.
    centre : float64 (n, 3)
        Unit vectors to the middle of the frames.
    radius : float64 (n,), radians
        Of the circle about the centre that holds the outline.
    area_deg2 : float64 (n,)
    side_deg : float64 (n,)
        The shorter side, at the middle of the frame.
    scale_arcsec : float64 (n,), arcsec/px
        The square root of the area of the middle pixel.
    """

    outline: F64
    centre: F64
    radius: F64
    area_deg2: F64
    side_deg: F64
    scale_arcsec: F64

    def __len__(self) -> int:
        return len(self.outline)

    @property
    def corners(self) -> F64:
        """The four corners, float64 (n, 4, 3), going round."""
        return self.outline[:, ::_SIDE_POINTS]

    def order(self) -> I64:
        """Return an order of the frames that depends on what they cover alone, int64 (n,): south first."""
        keys = np.concatenate([self.centre, self.outline[:, 0], self.outline[:, _SIDE_POINTS]], axis=1)
        return np.lexsort((*keys[:, [8, 7, 6, 5, 4, 3]].T, self.scale_arcsec, keys[:, 1], keys[:, 0], keys[:, 2]))

    def take(self, which: I64) -> Footprints:
        """Return some of the frames, in the order asked for."""
        return Footprints(
            self.outline[which],
            self.centre[which],
            self.radius[which],
            self.area_deg2[which],
            self.side_deg[which],
            self.scale_arcsec[which],
        )


def footprints_of(frames: Sequence[SkyGrid]) -> Footprints:
    """
    Return what frames cover of the sky.

    Raises
    ------
    NoUsableInput
        If there are none.

    Notes
    -----
    Cost: about 25 us a frame.
    """
    if not frames:
        raise NoUsableInput("there are no frames with a place on the sky", "solve at least one of them")
    round_x, round_y = _round_the_unit_square()
    size = np.array([(frame.width, frame.height) for frame in frames], np.float64)
    # the outline, the middle, and a pixel to either side of it
    across, along = np.array([0.0, 1.0, -1.0, 0.0, 0.0]), np.array([0.0, 0.0, 0.0, 1.0, -1.0])
    x = np.concatenate([-0.5 + size[:, :1] * round_x, (size[:, :1] - 1.0) / 2.0 + across], axis=1)
    y = np.concatenate([-0.5 + size[:, 1:] * round_y, (size[:, 1:] - 1.0) / 2.0 + along], axis=1)
    vectors = _vectors(frames, x, y)
    n = len(round_x)
    outline, centre = vectors[:, :n], vectors[:, n]
    chord = np.linalg.norm(outline - centre[:, None], axis=2).max(axis=1)
    sides = np.cross(vectors[:, n + 1] - vectors[:, n + 2], vectors[:, n + 3] - vectors[:, n + 4])
    scale = np.degrees(np.sqrt(np.linalg.norm(sides, axis=1)) / 2.0) * 3600.0
    return Footprints(
        np.ascontiguousarray(outline),
        np.ascontiguousarray(centre),
        2.0 * np.arcsin(np.minimum(chord / 2.0, 1.0)),
        _solid_angle_deg2(outline, centre),
        size.min(axis=1) * scale / 3600.0,
        scale,
    )


def _round_the_unit_square() -> tuple[F64, F64]:
    """Return (x, y) of points along the sides of the unit square, going round from (0, 0)."""
    along = np.arange(_SIDE_POINTS) / _SIDE_POINTS
    zeros, ones = np.zeros(_SIDE_POINTS), np.ones(_SIDE_POINTS)
    return np.concatenate([along, ones, 1.0 - along, zeros]), np.concatenate([zeros, along, ones, 1.0 - along])


def _vectors(frames: Sequence[SkyGrid], x: F64, y: F64) -> F64:
    """Return unit vectors (n, m, 3) of pixels (n, m) of n frames; `Wcs.to_sky` for all of them at once."""
    crpix0 = np.array([frame.wcs.crpix0 for frame in frames])
    crval = np.array([frame.wcs.crval_deg for frame in frames])
    cd = np.radians(np.array([frame.wcs.cd for frame in frames]))
    u, v = x - crpix0[:, :1], y - crpix0[:, 1:]
    distorted = [k for k, frame in enumerate(frames) if frame.wcs.sip is not None]
    if distorted:
        u[distorted], v[distorted] = _distort([frames[k].wcs.sip for k in distorted], u[distorted], v[distorted])
    xi = cd[:, 0, :1] * u + cd[:, 0, 1:] * v
    eta = cd[:, 1, :1] * u + cd[:, 1, 1:] * v
    is_equal_area = np.array([frame.wcs.projection == "ZEA" for frame in frames])[:, None]
    half = (xi * xi + eta * eta) / 2.0
    # gnomonic: (xi, eta, 1) to the length of one
    shrink = np.where(is_equal_area, np.sqrt(np.maximum(1.0 - half / 2.0, 0.0)), 1.0 / np.sqrt(1.0 + 2.0 * half))
    depth = np.where(is_equal_area, 1.0 - half, shrink)
    ra = np.radians(crval[:, 0])
    towards = unit_vectors(crval[:, 0], crval[:, 1])
    east = np.stack([-np.sin(ra), np.cos(ra), np.zeros_like(ra)], axis=1)
    north = np.cross(towards, east)
    vectors: F64 = (
        (xi * shrink)[..., None] * east[:, None]
        + (eta * shrink)[..., None] * north[:, None]
        + depth[..., None] * towards[:, None]
    )
    return vectors


def _distort(sips: Sequence[Sip | None], u: F64, v: F64) -> tuple[F64, F64]:
    """Return the distorted offsets (n, m) of n frames; `Sip.apply` for all of them at once."""
    size = max(len(terms) for sip in sips if sip is not None for terms in (sip.a, sip.b))
    terms = np.zeros((2, len(sips), size, size))
    for k, sip in enumerate(sips):
        if sip is not None:
            terms[0, k, : len(sip.a), : len(sip.a)], terms[1, k, : len(sip.b), : len(sip.b)] = sip.a, sip.b
    moved = []
    for along, start in zip(terms, (u, v), strict=True):
        total = np.zeros_like(u)
        for i in range(size - 1, -1, -1):
            row = np.zeros_like(u)
            for j in range(size - 1, -1, -1):
                row = row * v + along[:, i, j, None]
            total = total * u + row
        moved.append(start + total)
    return moved[0], moved[1]


def _solid_angle_deg2(outline: F64, centre: F64) -> F64:
    """Return the solid angles of polygons, by triangles from the centre (Van Oosterom & Strackee 1983, eq. 8)."""
    following = np.roll(outline, -1, axis=1)
    middle = centre[:, None]
    volume = np.sum(middle * np.cross(outline, following), axis=2)
    below = 1.0 + np.sum(middle * outline, axis=2) + np.sum(outline * following, axis=2)
    below += np.sum(following * middle, axis=2)
    total: F64 = np.degrees(np.degrees(np.abs(np.sum(2.0 * np.arctan2(volume, below), axis=1))))
    return total
