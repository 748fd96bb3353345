"""Star lists as a frame of the true sky would show them, with the coordinates that they were made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, U16, Sip, SkyGrid, Stars, Wcs
from skyquilt.core.sky import deproject
from skyquilt.io.catalogue import Catalogue

__all__ = ["PLACES", "Field", "FieldFaults", "draw_sky", "make_field", "offset_place", "random_list"]

PLACES = (
    (77.0, 89.3),
    (200.0, -89.5),
    (0.01, 20.0),
    (359.99, -40.0),
    (266.4, -28.9),
    (192.86, 27.13),
    (12.86, -27.13),
    (120.0, 90.0),
    (83.8, -5.4),
)
"""Where solvers stumble: the poles, RA = 0, the middle and the poles of the Galaxy, Orion."""

_SHAPES = ((1920, 1080), (1080, 1920), (2160, 3840), (1000, 1000), (3000, 4000))
_MOST_STARS = 500
_EDGE_PX = 2.0


@dataclass(frozen=True, slots=True)
class FieldFaults:
    """
    What keeps a star list from being the catalogue.

    Attributes
    ----------
    missing : float, 0..1
        Share of the catalogue's stars that were not detected.
    spurious : float, 0..1
        Detections that are no stars, over the others; as bright as any.
    deeper : float
        Stars fainter than the catalogue, over those in it.
    magnitude_scatter : float, mag
        Another colour than the catalogue's, and noise.
    position_error_px : float, px per axis
    distortion_px : float, px
        Third-order distortion at the corner.
    """

    missing: float = 0.1
    spurious: float = 0.2
    deeper: float = 2.0
    magnitude_scatter: float = 0.3
    position_error_px: float = 0.1
    distortion_px: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """
    A star list and its truth.

    Attributes
    ----------
    stars : Stars
    grid : SkyGrid
    epoch_year : float
    n_catalogue : int
        Catalogue stars in the frame.
    """

    stars: Stars
    grid: SkyGrid
    epoch_year: float
    n_catalogue: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.grid.height, self.grid.width


def make_field(
    catalogue: Catalogue,
    seed: int,
    *,
    place: tuple[float, float] | None = None,
    shorter_side_deg: float | None = None,
    longest_side_deg: float = 4.0,
    faults: FieldFaults | None = None,
    epoch_year: float = 2025.3,
) -> Field:
    """
    Return a field of the true sky: any rotation, either parity, one of five sensors.

    Parameters
    ----------
    catalogue : Catalogue
    seed : int
    place : (float, float) or None, degrees
        None: anywhere on the sky.
    shorter_side_deg : float or None, degrees
        None: 0.7 to 4, as long as the longer side stays below `longest_side_deg`.
    faults : FieldFaults or None
    epoch_year : float
    """
    rng = np.random.default_rng(seed)
    faults = faults or FieldFaults()
    height, width = _SHAPES[rng.integers(len(_SHAPES))]
    ratio = max(height, width) / min(height, width)
    side = shorter_side_deg or float(np.exp(rng.uniform(np.log(0.7), np.log(max(longest_side_deg / ratio, 0.71)))))
    if place is None:
        place = (float(rng.uniform(0, 360)), float(np.degrees(np.arcsin(rng.uniform(-1, 1)))))
    wcs = _coordinates(rng, place, side / min(height, width), width, height, faults.distortion_px)
    grid = SkyGrid(wcs, width, height)
    near = catalogue.cone(*place, grid.radius_deg, epoch_year=epoch_year)
    x, y = wcs.to_pixels(near.ra_deg, near.dec_deg)
    inside = grid.holds(x, y, _EDGE_PX)
    x, y, magnitude = x[inside], y[inside], near.mag[inside].astype(np.float64)
    return Field(_detected(rng, x, y, magnitude, width, height, faults), grid, epoch_year, int(inside.sum()))


def draw_sky(catalogue: Catalogue, grid: SkyGrid, *, epoch_year: float = 2025.03, seed: int = 7) -> U16:
    """
    Return a frame of the true sky: the catalogue's stars, 2.8 px wide, on a noisy background of 1000 ADU.

    Returns
    -------
    uint16 (y, x), ADU
        A star of magnitude 8.5 peaks at 30000 ADU.
    """
    pixels = np.random.default_rng(seed).normal(1000.0, 12.0, (grid.height, grid.width))
    stars = catalogue.cone(*grid.centre_deg, grid.radius_deg, epoch_year=epoch_year)
    x, y = grid.wcs.to_pixels(stars.ra_deg, stars.dec_deg)
    inside = grid.holds(x, y, 6.5)
    dy, dx = np.mgrid[-6:7, -6:7]
    for sx, sy, magnitude in zip(x[inside], y[inside], stars.mag[inside], strict=True):
        i, j = round(float(sx)), round(float(sy))
        spot = np.exp(-((dx + i - sx) ** 2 + (dy + j - sy) ** 2) / (2 * 1.2**2))
        pixels[j - 6 : j + 7, i - 6 : i + 7] += 30000.0 * 10.0 ** (-0.4 * (float(magnitude) - 8.5)) * spot
    return np.clip(pixels, 0.0, 65535.0).astype(np.uint16)


def offset_place(place: tuple[float, float], distance_deg: float, seed: int) -> tuple[float, float]:
    """Return a place that lies so far from another, in a random direction."""
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    reach = np.degrees(np.tan(np.radians(distance_deg)))
    ra, dec = deproject(reach * np.cos(angle), reach * np.sin(angle), *place)
    return float(ra), float(dec)


def random_list(seed: int, n_stars: int, width: int, height: int) -> Stars:
    """Return a list of points that are no stars; in every third list two of five crowd around the middle."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, width, n_stars), rng.uniform(0, height, n_stars)
    if rng.uniform() < 1 / 3:
        crowd = rng.uniform(size=n_stars) < 0.4
        x[crowd] = width / 2 + rng.normal(0, width / 10, crowd.sum())
        y[crowd] = height / 2 + rng.normal(0, height / 10, crowd.sum())
    return _stars(x, y, np.linspace(8.0, 12.0, n_stars), 0.1)


def _coordinates(
    rng: np.random.Generator,
    place: tuple[float, float],
    scale_deg: float,
    width: int,
    height: int,
    distortion_px: float,
) -> Wcs:
    angle, parity = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1])
    c, s = np.cos(angle), np.sin(angle)
    cd = scale_deg * np.array([[c * parity, -s], [s * parity, c]])
    centre = ((width - 1) / 2, (height - 1) / 2)
    sip = None
    if distortion_px:
        term = distortion_px / np.hypot(*centre) ** 3
        a, b = np.zeros((4, 4)), np.zeros((4, 4))
        a[3, 0] = a[1, 2] = b[0, 3] = b[2, 1] = term  # radial: r' = r + term r³
        sip = Sip(a, b)
    return Wcs(place, centre, cd, sip)


def _detected(
    rng: np.random.Generator, x: F64, y: F64, magnitude: F64, width: int, height: int, faults: FieldFaults
) -> Stars:
    """Return what a frame shows of the catalogue's stars, with others and with faults."""
    n_deeper = int(faults.deeper * len(x))
    faintest = float(magnitude.max()) if len(magnitude) else 12.0
    x = np.concatenate([x, rng.uniform(0, width, n_deeper)])
    y = np.concatenate([y, rng.uniform(0, height, n_deeper)])
    magnitude = np.concatenate([magnitude, faintest + rng.exponential(0.7, n_deeper)])
    kept = rng.uniform(size=len(x)) > faults.missing
    x, y, magnitude = x[kept], y[kept], magnitude[kept] + rng.normal(0, faults.magnitude_scatter, kept.sum())
    x = x + rng.normal(0, faults.position_error_px, len(x))
    y = y + rng.normal(0, faults.position_error_px, len(y))
    n_spurious = int(faults.spurious * len(x))
    x = np.concatenate([x, rng.uniform(0, width, n_spurious)])
    y = np.concatenate([y, rng.uniform(0, height, n_spurious)])
    magnitude = np.concatenate([magnitude, rng.choice(magnitude, n_spurious)]) if n_spurious else magnitude
    return _stars(x, y, magnitude, faults.position_error_px)


def _stars(x: F64, y: F64, magnitude: F64, error_px: float) -> Stars:
    order = np.argsort(magnitude, kind="stable")[:_MOST_STARS]
    flux = 10.0 ** (-0.4 * (magnitude[order] - 20.0))
    one = np.ones(len(order))
    return Stars(
        x=x[order],
        y=y[order],
        position_error=max(error_px, 0.01) * one,
        flux=flux,
        flux_error=0.01 * flux,
        peak=0.1 * flux,
        fwhm=2.5 * one,
        eccentricity=0.2 * one,
        is_saturated=np.zeros(len(order), dtype=bool),
    )
