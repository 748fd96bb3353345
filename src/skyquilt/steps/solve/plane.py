"""Catalogue stars on a plane that touches the sky, counted in pixels of the frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, CatalogueStars
from skyquilt.core.sky import deproject, project
from skyquilt.kernels.patterns import Grid

__all__ = ["Plane", "on_plane"]


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """
    Stars around a tangent point.

    Attributes
    ----------
    ra_deg, dec_deg : float, degrees
        The tangent point.
    unit_deg : float, degrees
        What counts as one pixel.
    x, y : float64 (n,)
        Gnomonic coordinates (x east, y north), brightest first.
    stars : CatalogueStars
        The same stars.
    """

    ra_deg: float
    dec_deg: float
    unit_deg: float
    x: F64
    y: F64
    stars: CatalogueStars

    def __len__(self) -> int:
        return len(self.x)

    def grid(self, n: int | None = None) -> Grid:
        """Return the cells of the brightest `n` stars, or of all."""
        return Grid.of(self.x[:n], self.y[:n])

    def to_sky(self, x: F64 | float, y: F64 | float) -> tuple[F64, F64]:
        """Return (ra, dec) in degrees of points of the plane."""
        return deproject(np.asarray(x) * self.unit_deg, np.asarray(y) * self.unit_deg, self.ra_deg, self.dec_deg)

    def of_sky(self, ra_deg: F64, dec_deg: F64) -> tuple[F64, F64]:
        """Return the points of the plane that directions in degrees have."""
        xi, eta = project(ra_deg, dec_deg, self.ra_deg, self.dec_deg)
        return xi / self.unit_deg, eta / self.unit_deg


def on_plane(stars: CatalogueStars, ra_deg: float, dec_deg: float, unit_deg: float) -> Plane:
    """Return the stars on the plane that touches the sky at a direction; those on the far side of it are left out."""
    xi, eta = project(stars.ra_deg, stars.dec_deg, ra_deg, dec_deg)
    here = np.isfinite(xi)
    if not here.all():
        stars, xi, eta = stars.take(here), xi[here], eta[here]
    return Plane(ra_deg, dec_deg, unit_deg, xi / unit_deg, eta / unit_deg, stars)
