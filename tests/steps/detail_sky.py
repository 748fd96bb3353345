"""Linear masters of known stars and nebulae, with noise as resampling leaves it, for the tests of detail."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from skyquilt.steps.finish import ImageStars, measure_stars
from skyquilt.testing.sky import Scenario, StarTruth, make_truth

SIZE = 400
SKY = np.array([420.0, 570.0, 370.0])[:, None, None]
NOISE = 5.0


@dataclass(frozen=True)
class Master:
    """An image (3, y, x), what is true of it, and its stars (those of the truth within it, 12 px from the edge)."""

    image: np.ndarray
    clean: np.ndarray
    extended: np.ndarray
    stars: StarTruth
    fwhm_px: float

    @property
    def star_light(self) -> np.ndarray:
        return self.clean - self.extended - SKY

    @property
    def is_sky(self) -> np.ndarray:
        return (self.clean - SKY).max(axis=0) < 0.3


def nebula() -> np.ndarray:
    """Clouds over the whole field, 20 px and wider, on a floor."""
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float64)
    rng = np.random.default_rng(5)
    shape = np.full((SIZE, SIZE), 0.3)
    for _ in range(70):
        a, b, size = rng.uniform(-50, SIZE + 50), rng.uniform(-50, SIZE + 50), rng.uniform(20.0, 100.0)
        shape += rng.uniform(0.1, 0.6) * np.exp(-0.5 * ((x - a) ** 2 + (y - b) ** 2) / size**2)
    return 100.0 * shape * np.array([1.2, 0.6, 0.5])[:, None, None]


def correlated_noise(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Noise of sigma 1 as bilinear resampling by half a pixel and a bit leaves it."""
    noise = np.pad(np.random.default_rng(seed).normal(size=shape), ((0, 0), (0, 1), (0, 1)), mode="wrap")
    noise = 0.6 * (noise[:, :-1, 1:] + noise[:, 1:, 1:]) + noise[:, :-1, :-1] + noise[:, 1:, :-1]
    return noise / noise.std()


@lru_cache(maxsize=4)
def master(kind: str = "galaxy") -> Master:
    """`galaxy`: M 94 in a field of stars; `nebula`: clouds everywhere, a Moffat profile; `plain`: stars alone."""
    scenario = Scenario(
        height=SIZE, width=SIZE, seed=3, target="M 94", nebula=kind == "galaxy", nebula_adu=150.0, n_frames=1,
        n_faint_stars=160, moffat_beta=3.5 if kind == "nebula" else None,
    )  # fmt: skip
    truth = make_truth(scenario)
    light = np.stack([truth.render_reference(channel) for channel in range(3)]).astype(np.float64)
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float64)
    extended = truth.nebula(x, y)
    if kind == "nebula":
        extended = nebula()
        light += extended
    clean = light + SKY
    noise = NOISE * correlated_noise(clean.shape, 7) * np.sqrt(clean / SKY[1])
    inside = (truth.stars.x > 12) & (truth.stars.x < SIZE - 13) & (truth.stars.y > 12) & (truth.stars.y < SIZE - 13)
    image = (clean + noise).astype(np.float32)
    return Master(image, clean, extended, truth.stars.take(inside), truth.frames[truth.reference].fwhm_px)


@lru_cache(maxsize=4)
def measured(kind: str = "galaxy") -> ImageStars:
    return measure_stars(master(kind).image)


def lone_stars(sky: Master, least_flux: float, distance_px: float = 14.0) -> StarTruth:
    """Stars whose neighbours within a distance have less than 2 % of their green light together."""
    stars = sky.stars
    chosen = []
    for k in range(len(stars)):
        away = np.hypot(stars.x - stars.x[k], stars.y - stars.y[k])
        near = stars.flux[(away < distance_px) & (away > 0), 1].sum()
        centre = np.hypot(stars.x[k] - SIZE / 2, stars.y[k] - SIZE / 2)
        if stars.flux[k, 1] > least_flux and near < 0.02 * stars.flux[k, 1] and centre > 40:
            chosen.append(k)
    return stars.take(np.array(chosen, dtype=np.int64))


def disc(x: float, y: float, inner: float, outer: float) -> np.ndarray:
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    r = np.hypot(columns - x, rows - y)
    return (r >= inner) & (r < outer)


def cut(image: np.ndarray, halo: int, rows: slice, columns: slice) -> tuple[np.ndarray, int, int, tuple[slice, ...]]:
    """Return a tile with its halo, where it begins, and what of it is wanted."""
    y0, x0 = max(rows.start - halo, 0), max(columns.start - halo, 0)
    tile = np.ascontiguousarray(image[:, y0 : rows.stop + halo, x0 : columns.stop + halo])
    wanted = (slice(rows.start - y0, rows.stop - y0), slice(columns.start - x0, columns.stop - x0))
    return tile, x0, y0, wanted
