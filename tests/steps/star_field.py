"""A little sky for the tests of this folder: stars integrated over pixels, a CFA, noise, known truth."""

from __future__ import annotations

import numpy as np
from scipy.special import erf

from skyquilt.core import Cfa, Measurement, Stars, Transform
from skyquilt.core.measurement import Figures

PIXEL_FWHM = 2.3548 / np.sqrt(12.0)  # what sampling by a pixel adds to a FWHM, in quadrature
CHANNELS = np.array([0.84, 1.0, 0.8])


def gaussian(fwhm: float, dx: float, dy: float, side: int) -> np.ndarray:
    sigma = fwhm / 2.354820045
    edges = np.arange(side + 1) - side // 2 - 0.5

    def share(offset: float) -> np.ndarray:
        return np.diff(0.5 * (1.0 + erf((edges - offset) / (sigma * np.sqrt(2.0)))))

    return np.outer(share(dy), share(dx))


def moffat(fwhm: float, dx: float, dy: float, side: int, beta: float = 3.5, oversampling: int = 5) -> np.ndarray:
    alpha = fwhm / 2.0 / np.sqrt(2.0 ** (1.0 / beta) - 1.0)
    at = (np.arange(side * oversampling) - (oversampling - 1) / 2.0) / oversampling - side // 2
    r2 = (at[None, :] - dx) ** 2 + (at[:, None] - dy) ** 2
    value = (beta - 1.0) / (np.pi * alpha**2) * (1.0 + r2 / alpha**2) ** -beta
    return value.reshape(side, oversampling, side, oversampling).mean(axis=(1, 3))


def scatter(
    rng: np.random.Generator, n: int, width: int, height: int, *, faintest: float = 1500.0, brightest: float = 2e5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions and fluxes (a power law) of stars, some of them just off the frame."""
    u, slope = rng.uniform(0, 1, n), -0.7
    flux = (faintest**slope + u * (brightest**slope - faintest**slope)) ** (1.0 / slope)
    return rng.uniform(-8, width + 8, n), rng.uniform(-8, height + 8, n), flux


def render(
    width: int,
    height: int,
    x: np.ndarray,
    y: np.ndarray,
    flux: np.ndarray,
    *,
    fwhm: float = 2.8,
    shape: str = "gaussian",
    cfa: str | None = "RGGB",
    sky: float | np.ndarray = 900.0,
    noise: float = 30.0,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    image = np.zeros((height, width))
    side = 2 * int(4 * fwhm + 4) + 1
    half = side // 2
    stamp = gaussian if shape == "gaussian" else moffat
    for star_x, star_y, star_flux in zip(x, y, flux, strict=True):
        cx, cy = round(float(star_x)), round(float(star_y))
        if cx + half < 0 or cy + half < 0 or cx - half >= width or cy - half >= height:
            continue
        value = star_flux * stamp(fwhm, star_x - cx, star_y - cy, side)
        y0, y1, x0, x1 = max(cy - half, 0), min(cy + half + 1, height), max(cx - half, 0), min(cx + half + 1, width)
        image[y0:y1, x0:x1] += value[y0 - cy + half : y1 - cy + half, x0 - cx + half : x1 - cx + half]
    image += sky
    if cfa:
        image *= CHANNELS[np.tile(Cfa(cfa).table, (height // 2 + 1, width // 2 + 1))[:height, :width]]
    if rng is not None:
        image += rng.normal(0.0, noise, image.shape)
    return image.astype(np.float32)


def pairs(stars: Stars, x: np.ndarray, y: np.ndarray, radius: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Indices (of the truth, of the list) of stars within `radius` px."""
    if not len(stars):
        return np.zeros(0, dtype=int), np.zeros(0, dtype=int)
    d2 = (x[:, None] - stars.x[None, :]) ** 2 + (y[:, None] - stars.y[None, :]) ** 2
    nearest = d2.argmin(axis=1)
    good = d2[np.arange(len(x)), nearest] < radius**2
    return np.flatnonzero(good), nearest[good]


def isolated(x: np.ndarray, y: np.ndarray, distance: float) -> np.ndarray:
    d2 = (x[:, None] - x[None, :]) ** 2 + (y[:, None] - y[None, :]) ** 2
    np.fill_diagonal(d2, np.inf)
    return d2.min(axis=1) > distance**2


def star_list(x: np.ndarray, y: np.ndarray, flux: np.ndarray, error: float = 0.08) -> Stars:
    order = np.argsort(-flux, kind="stable")
    one = np.ones(len(x))
    return Stars(
        x[order], y[order], one * error, flux[order], 0.01 * flux[order], 0.1 * flux[order], 3.0 * one, 0.2 * one,
        np.zeros(len(x), dtype=bool),
    )  # fmt: skip


def seen_twice(
    seed: int, n: int, transform: Transform, *, width: int = 1080, height: int = 1920, noise_px: float = 0.08
) -> tuple[Stars, Stars]:
    """Two lists of one sky: 15 % of the stars missing in each, 10 % spurious, `noise_px` between them per axis."""
    rng = np.random.default_rng(seed)
    flux = rng.pareto(0.8, n) + 1.0
    x, y = rng.uniform(0, width, n), rng.uniform(0, height, n)

    def degrade(px: np.ndarray, py: np.ndarray) -> Stars:
        keep = rng.uniform(size=n) > 0.15
        n_keep, n_false = int(keep.sum()), round(0.1 * n)
        jitter = noise_px / np.sqrt(2.0)
        false_x, false_y = rng.uniform(px.min(), px.max(), n_false), rng.uniform(py.min(), py.max(), n_false)
        return star_list(
            np.concatenate([px[keep] + rng.normal(0, jitter, n_keep), false_x]),
            np.concatenate([py[keep] + rng.normal(0, jitter, n_keep), false_y]),
            np.concatenate([flux[keep], rng.choice(flux, n_false)]) * np.exp(rng.normal(0.0, 0.15, n_keep + n_false)),
        )

    frame = degrade(*transform.inverse()(x, y))
    return frame, degrade(x, y)


def turned(angle_deg: float, *, scale: float = 1.0, dx: float = 0.0, dy: float = 0.0) -> Transform:
    """Rotation about the centre of a 1080 x 1920 frame, then a shift."""
    centred = Transform.shift(-540, -960).then(Transform.similarity(scale=scale, angle_deg=angle_deg))
    return centred.then(Transform.shift(540 + dx, 960 + dy))


def error_over_frame(truth: Transform, found: Transform, width: int = 1080, height: int = 1920) -> tuple[float, float]:
    """Root mean square per axis and largest error of a transform over the reference's frame, px."""
    gx, gy = np.meshgrid(np.linspace(0, width - 1, 9), np.linspace(0, height - 1, 17))
    u, v = found(*truth.inverse()(gx, gy))
    error = np.hypot(u - gx, v - gy)
    return float(np.sqrt(np.mean(error**2) / 2.0)), float(error.max())


def measurement(
    *,
    n_stars: int = 100,
    fwhm_px: float = 3.0,
    eccentricity: float = 0.3,
    background_adu: float = 900.0,
    noise_adu: float = 30.0,
    flux: float = 1.0,
    saturated_share: float = 0.0,
) -> Measurement:
    """A measurement that was never measured: figures as given, fluxes of a fixed field times `flux`."""
    field = np.random.default_rng(7)
    x, y = field.uniform(0, 1000, 400), field.uniform(0, 1000, 400)
    fluxes = np.sort(1000.0 * (field.pareto(1.0, 400) + 1.0))[::-1][:n_stars] * flux
    stars = star_list(x[:n_stars], y[:n_stars], fluxes) if n_stars else Stars.empty()
    figures = Figures(background_adu, noise_adu, saturated_share, n_stars, fwhm_px, eccentricity, 0.01)
    sky = np.full((3, 16, 16), background_adu, dtype=np.float32)
    return Measurement(figures, stars, sky, np.full(3, noise_adu), 64, 1000, 1000)
