"""The sky above a session: its stars with colours and brightnesses, and its extended light."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np

from skyquilt.core import F64, Mask, Transform
from skyquilt.testing.sky.coordinates import deproject, move_stars, project
from skyquilt.testing.sky.scenario import Scenario
from skyquilt.testing.sky.streams import FAINT, GLOW, random_stream
from skyquilt.testing.sky.targets import TARGETS

__all__ = [
    "CELL_PX",
    "CatalogueStars",
    "Plane",
    "axes_at",
    "brightest_random",
    "load_star_field",
    "make_blobs",
    "make_stars",
    "panel_view",
    "random_stars",
]

CELL_PX = 512
_FAINTEST, _TYCHO_ENDS, _BRIGHTEST = 16.5, 11.5, 6.0
_COUNT_SLOPE = 0.3  # dex a magnitude
_MISSING = 32000


@dataclass(frozen=True, slots=True)
class Plane:
    """
    The ideal (undistorted) pixel plane of a view: a gnomonic projection about its centre.

    Attributes
    ----------
    ra_deg, dec_deg : float, degrees, J2000
        Tangent point.
    centre : (x, y), px
        Its pixel.
    scale_arcsec : float, arcsec/px
    angle_deg : float
        At 0, x grows to the east and y to the north; turns from +x towards +y.
    """

    ra_deg: float
    dec_deg: float
    centre: tuple[float, float]
    scale_arcsec: float
    angle_deg: float

    @property
    def _radians_per_px(self) -> float:
        return self.scale_arcsec * np.pi / 648000.0

    @property
    def matrix(self) -> F64:
        """float64 (3, 3): takes (x, y, 1) in px to (xi, eta, 1) in radians."""
        s, a = self._radians_per_px, np.radians(self.angle_deg)
        linear = np.array([[s * np.cos(a), -s * np.sin(a)], [s * np.sin(a), s * np.cos(a)]])
        matrix: F64 = np.eye(3)
        matrix[:2, :2] = linear
        matrix[:2, 2] = -linear @ np.array(self.centre)
        return matrix

    @property
    def north_up(self) -> Plane:
        """The same place and scale with x to the east and y to the north, (0, 0) at the tangent point."""
        return Plane(self.ra_deg, self.dec_deg, (0.0, 0.0), self.scale_arcsec, 0.0)

    def from_sky(self, ra_deg: F64, dec_deg: F64) -> tuple[F64, F64, Mask]:
        """Return (x, y) in px, and where they mean something (the point lies within 80 degrees of the centre)."""
        xi, eta, depth = project(ra_deg, dec_deg, self.ra_deg, self.dec_deg)
        x, y = Transform.from_matrix(self.matrix).inverse()(xi, eta)
        return x, y, depth > np.cos(np.radians(80.0))

    def to_sky(self, x: F64, y: F64) -> tuple[F64, F64]:
        """Return (ra, dec) of J2000 in degrees."""
        xi, eta = Transform.from_matrix(self.matrix)(x, y)
        return deproject(xi, eta, self.ra_deg, self.dec_deg)


def panel_view(plane: Plane, east_deg: float, north_deg: float) -> Transform:
    """Return the exact map from `plane` to the plane of a view that looks (east, north) degrees beside its centre."""
    if east_deg == 0.0 and north_deg == 0.0:
        return Transform.identity()
    ra, dec = deproject(np.radians(east_deg), np.radians(north_deg), plane.ra_deg, plane.dec_deg)
    turn = axes_at(float(ra), float(dec)) @ axes_at(plane.ra_deg, plane.dec_deg).T
    to_angles = Transform.from_matrix(plane.matrix)
    view = to_angles.then(Transform.from_matrix(turn)).then(to_angles.inverse())
    return Transform(view.stages, "homography")


def axes_at(ra_deg: float, dec_deg: float) -> F64:
    """Return the unit vectors east, north and outward at a point of the sky, as rows."""
    a, d = np.radians(ra_deg), np.radians(dec_deg)
    return np.array(
        [
            [-np.sin(a), np.cos(a), 0.0],
            [-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)],
            [np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)],
        ]
    )


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueStars:
    """
    Stars on the sky: positions of date (ICRS axes), Tycho magnitudes; one entry a star in every array.

    Attributes
    ----------
    ra_deg, dec_deg : float64 (n,), degrees
    bt_mag, vt_mag : float64 (n,)
    is_tycho : bool (n,)
    """

    ra_deg: F64
    dec_deg: F64
    bt_mag: F64
    vt_mag: F64
    is_tycho: Mask

    @property
    def v_mag(self) -> F64:
        """Johnson V (ESA 1997, The Hipparcos and Tycho Catalogues, vol. 1, eq. 1.3.20)."""
        return self.vt_mag - 0.090 * (self.bt_mag - self.vt_mag)

    def fluxes(self, zero_point: float, n_channels: int) -> F64:
        """
        Return the brightness as float64 (n, n_channels), ADU a second: r, g, b or the green alone.

        The colour ratios follow B - V = 0.85 (BT - VT) on straight lines in magnitude, fitted by eye to eight stars of
        a Seestar S50 frame of M 94.
        """
        b_v = 0.85 * (self.bt_mag - self.vt_mag)
        green = 10.0 ** (0.4 * (zero_point - self.v_mag))
        if n_channels == 1:
            return green[:, None]
        return np.stack([0.70 * 10.0 ** (0.13 * b_v) * green, green, 0.90 * 10.0 ** (-0.30 * b_v) * green], axis=1)


@lru_cache(maxsize=4)
def load_star_field(target: str, year: float) -> CatalogueStars:
    """Return the Tycho-2 stars within 2.5 degrees of one of `TARGETS` at a Julian epoch; none for other names."""
    with np.load(str(files("skyquilt.testing").joinpath("data/star_fields.npz"))) as data:
        names = data["names"].tolist()
        if target not in names:
            none = np.zeros(0)
            return CatalogueStars(none, none, none, none, np.zeros(0, dtype=bool))
        ends = data["ends"]
        part = slice(int(ends[names.index(target)]), int(ends[names.index(target) + 1]))
        ra, dec = data["ra_1e7deg"][part] * 1e-7, data["dec_1e7deg"][part] * 1e-7
        motion = [data[name][part].astype(np.float64) for name in ("pmra_mas", "pmdec_mas")]
        bt, vt = (data[name][part].astype(np.float64) for name in ("BT_mmag", "VT_mmag"))
    # a star without one of the magnitudes gets the colour of a middling one, BT - VT = 0.7
    bt, vt = np.where(bt < _MISSING, bt, vt + 700.0), np.where(vt < _MISSING, vt, bt - 700.0)
    ra, dec = move_stars(ra, dec, motion[0], motion[1], year - 2000.0)
    return CatalogueStars(ra, dec, bt / 1000.0, vt / 1000.0, np.ones(len(ra), dtype=bool))


def make_stars(scenario: Scenario, plane: Plane, year: float, cells: set[tuple[int, int]]) -> CatalogueStars:
    """
    Return every star that the session can see, brightest first: the real ones of the target, and random faint ones.

    Parameters
    ----------
    cells : set of (column, row)
        The squares of 512 px of the north-up `plane` to fill with faint stars. A square holds the same stars whatever
        the others.
    """
    real = load_star_field(scenario.target if scenario.tycho else "", year)
    brightest = brightest_random(scenario)
    density = scenario.n_faint_stars / (scenario.width * scenario.height)
    x, y, v, colour = (
        np.concatenate(c) for c in zip(*random_stars(scenario.seed, cells, density, brightest), strict=True)
    )
    ra, dec = plane.north_up.to_sky(x, y)
    stars = CatalogueStars(
        np.concatenate([real.ra_deg, ra]),
        np.concatenate([real.dec_deg, dec]),
        np.concatenate([real.bt_mag, v + 1.09 * colour]),
        np.concatenate([real.vt_mag, v + 0.09 * colour]),
        np.concatenate([real.is_tycho, np.zeros(len(x), dtype=bool)]),
    )
    order = np.argsort(stars.v_mag, kind="stable")
    return CatalogueStars(*(getattr(stars, name)[order] for name in CatalogueStars.__slots__))


def brightest_random(scenario: Scenario) -> float:
    """Return the V magnitude where random stars begin: below those of Tycho-2, or in their place."""
    return _TYCHO_ENDS if scenario.tycho else _BRIGHTEST


def random_stars(
    seed: int, cells: set[tuple[int, int]], density: float, brightest: float
) -> list[tuple[F64, F64, F64, F64]]:
    """
    Return (x, y, V, BT - VT) of the random stars of each cell, after an empty entry.

    Counts grow by 0.3 dex a magnitude.

    Parameters
    ----------
    cells : set of (column, row)
        Squares of 512 px of a plane; x and y are px of it.
    density : float, 1/px²
    brightest : float, mag
    """
    chosen = [(np.zeros(0),) * 4]
    low, high = 10.0 ** (_COUNT_SLOPE * brightest), 10.0 ** (_COUNT_SLOPE * _FAINTEST)
    for column, row in sorted(cells):
        random = random_stream(seed, FAINT, column, row)
        n = int(random.poisson(density * CELL_PX**2))
        x, y = random.uniform(0.0, CELL_PX, (2, n)) + CELL_PX * np.array([[column], [row]])
        v = np.log10(random.uniform(low, high, n)) / _COUNT_SLOPE
        chosen.append((x, y, v, np.clip(random.normal(0.8, 0.35, n), -0.2, 1.9)))
    return chosen


def make_blobs(scenario: Scenario, centre: tuple[float, float]) -> F64:
    """
    Return the extended light as float64 (n, 5 + n_channels): x, y, a, b, c, peaks (see `kernels.render.add_blobs`).

    A galaxy is a bulge, a disc and a halo; a cloud is ten patches within a degree.
    """
    kind = TARGETS[scenario.target].glow if scenario.target in TARGETS else "galaxy"
    if not scenario.nebula or kind == "none":
        return np.zeros((0, 5 + scenario.n_channels))
    per_arcsec, turn = 1.0 / scenario.scale_arcsec, scenario.position_angle_deg
    random = random_stream(scenario.seed, GLOW)
    rows = []
    if kind == "galaxy":
        white = (0.85, 1.0, 0.6)
        for sigma_arcsec, share in ((14.0, 6.0), (45.0, 1.0), (160.0, 0.15)):
            sigma = sigma_arcsec * per_arcsec
            rows.append(_blob(centre, (sigma, 0.75 * sigma), 35.0 - turn, share * scenario.nebula_adu, white))
    else:
        for _ in range(10):
            east, north = random.normal(0.0, 900.0, 2) * per_arcsec
            c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
            x, y = centre[0] + c * east + s * north, centre[1] - s * east + c * north
            sigma = random.uniform(120.0, 600.0) * per_arcsec
            axes, angle = (sigma, sigma * random.uniform(0.4, 1.0)), random.uniform(0.0, 180.0) - turn
            red = (random.uniform(0.9, 1.5), 0.6, random.uniform(0.3, 0.7))
            rows.append(_blob((x, y), axes, angle, random.uniform(0.2, 1.0) * scenario.nebula_adu, red))
    blobs = np.array(rows)
    return blobs if scenario.n_channels == 3 else blobs[:, [0, 1, 2, 3, 4, 6]]


def _blob(
    centre: tuple[float, float], axes: tuple[float, float], angle_deg: float, peak: float, colour: tuple[float, ...]
) -> list[float]:
    """Return one row of `make_blobs`, in three colours."""
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    p, q = 1.0 / axes[0] ** 2, 1.0 / axes[1] ** 2
    return [*centre, c * c * p + s * s * q, c * s * (p - q), s * s * p + c * c * q, *(peak * part for part in colour)]
