"""Frames of a mosaic as star lists, with the truth: what the joint astrometric solution is judged on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import KDTree

from skyquilt.core import CatalogueStars, Sip, Stars, Wcs
from skyquilt.core.sky import deproject, directions, project, unit_vectors
from skyquilt.steps.mosaic import AstroFrame, AstroSolution

SCALE = 2.4 / 3600.0
ARCSEC = np.pi / 648000.0


@dataclass(frozen=True)
class Sky:
    """Stars as they are, brightest first; the first of them are in the catalogue, with its errors."""

    vectors: np.ndarray
    flux: np.ndarray
    catalogue: CatalogueStars
    tree: KDTree


@dataclass(frozen=True)
class Mosaic:
    frames: list[AstroFrame]
    truth: dict[str, Wcs]
    sky: Sky


def make_sky(seed: int, ra: float, dec: float, radius_deg: float, *, density=330.0, known=60.0, error=0.08) -> Sky:
    """Return stars around a place: `density` and `known` a square degree, catalogue `error` in arcsec per axis."""
    rng = np.random.default_rng(seed)
    area = 2.0 * np.pi * (1.0 - np.cos(np.radians(radius_deg))) * np.degrees(1.0) ** 2
    n = int(density * area)
    z = 1.0 - rng.uniform(0.0, 1.0 - np.cos(np.radians(radius_deg)), n)
    angle, rho = rng.uniform(0.0, 2.0 * np.pi, n), np.sqrt(1.0 - z * z)
    pole = unit_vectors(ra, dec)
    side = np.cross(pole, unit_vectors(ra + 90.0, 0.0) if abs(dec) > 45.0 else np.array([0.0, 0.0, 1.0]))
    side /= np.linalg.norm(side)
    up = np.cross(pole, side)
    vectors = (rho * np.cos(angle))[:, None] * side + (rho * np.sin(angle))[:, None] * up + z[:, None] * pole
    m = int(known * area)
    off = vectors[:m] + error * ARCSEC * rng.normal(size=(m, 3))
    mag = np.full(m, 9.0, np.float32)
    return Sky(vectors, np.geomspace(2e5, 500.0, n), CatalogueStars(*directions(off), mag, mag), KDTree(vectors))


def distortion(size_px: float = 1.0, shape: tuple[int, int] = (1920, 1080)) -> Sip:
    """Return a shared distortion of about so many px in the corners: radial, off the centre, leaning."""
    r = np.hypot(*shape) / 2.0
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    a[3, 0] = a[1, 2] = b[2, 1] = b[0, 3] = size_px / r**3
    a[2, 0], a[1, 1], b[0, 2], b[2, 0] = (
        0.4 * size_px / r**2,
        -0.3 * size_px / r**2,
        0.3 * size_px / r**2,
        0.2 * size_px / r**2,
    )
    return Sip(a, b)


def grid_of_pointings(
    ra: float, dec: float, nx: int, ny: int, step_x: float, step_y: float
) -> list[tuple[float, float]]:
    """Return directions on the tangent plane of a place, `step` degrees apart."""
    x, y = np.meshgrid((np.arange(nx) - (nx - 1) / 2) * step_x, (np.arange(ny) - (ny - 1) / 2) * step_y)
    return list(zip(*(value.tolist() for value in deproject(x.ravel(), y.ravel(), ra, dec)), strict=True))


def make_mosaic(
    sky: Sky,
    pointings: list[tuple[float, float]],
    n_each: int,
    seed: int,
    *,
    sip: Sip | None = None,
    shape: tuple[int, int] = (1920, 1080),
    scale: float = SCALE,
    turn_deg: float = 30.0,
    wrong: float = 0.02,
    first_error_px: float = 0.4,
    lean: float = 2e-4,
    faintest_px: float = 0.2,
    known: bool = True,
    name: str = "f",
    device: str = "seestar",
) -> Mosaic:
    """Return frames that turn by up to `turn_deg`, dither by 40 px, and come with coordinates `first_error_px` off."""
    rng = np.random.default_rng(seed)
    height, width = shape
    centre = ((width - 1) / 2.0, (height - 1) / 2.0)
    sip = distortion(shape=shape) if sip is None else sip
    frames, truth = [], {}
    for p, (ra, dec) in enumerate(pointings):
        for k in range(n_each):
            key = f"{name}{p:04d}_{k:04d}"
            wcs = _true_wcs(rng, ra, dec, centre, scale, turn_deg, lean, sip)
            truth[key] = wcs
            stars, index = _seen_stars(rng, sky, wcs, width, height, wrong, faintest_px)
            named = np.flatnonzero((index >= 0) & (index < len(sky.catalogue)) & (rng.random(len(index)) < 0.9))
            if not known:
                named = named[:0]
            frames.append(
                AstroFrame(
                    key,
                    _first_wcs(rng, wcs, centre, first_error_px),
                    width,
                    height,
                    device,
                    stars,
                    named,
                    sky.catalogue.take(index[named]),
                )
            )
    return Mosaic(frames, truth, sky)


def _true_wcs(rng, ra, dec, centre, scale, turn_deg, lean, sip) -> Wcs:
    dither = rng.normal(0.0, 40.0 * scale, 2)
    at = tuple(float(v) for v in deproject(*dither, ra, dec))
    t = np.radians(rng.uniform(-turn_deg, turn_deg))
    turn = np.array([[-np.cos(t), np.sin(t)], [np.sin(t), np.cos(t)]])
    p, h = rng.normal(0.0, lean, 2)
    cd = scale * (1.0 + rng.normal(0.0, 1e-4)) * turn @ np.array([[1.0 + p, h], [h, 1.0 - p]])
    return Wcs(at, centre, cd, sip)


def _first_wcs(rng, wcs, centre, error_px) -> Wcs:
    """Return coordinates a bit off in place, turn and scale, without lean and distortion."""
    x, y = centre + rng.normal(0.0, error_px, 2)
    turn, grow = rng.normal(0.0, error_px / 1000.0, 2)
    left, sides, right = np.linalg.svd(wcs.cd)
    cd = sides.mean() * left @ right @ np.array([[1.0 + grow, -turn], [turn, 1.0 + grow]])
    ra, dec = wcs.to_sky(x, y)
    return Wcs((float(ra), float(dec)), centre, rotated_to(cd, wcs.crval_deg, (float(ra), float(dec))))


def rotated_to(cd, old: tuple[float, float], new: tuple[float, float]):
    """Return a matrix for a tangent point close by, where north has another direction."""
    tiny = 1e-5
    xi, eta = project(*deproject(np.array([tiny, 0.0, 0.0]), np.array([0.0, tiny, 0.0]), *old), *new)
    turn = np.array([[xi[0] - xi[2], xi[1] - xi[2]], [eta[0] - eta[2], eta[1] - eta[2]]]) / tiny
    return turn @ cd


def _seen_stars(rng, sky, wcs, width, height, wrong, faintest_px) -> tuple[Stars, np.ndarray]:
    radius = 1.05 * np.hypot(width, height) / 2.0 * np.radians(wcs.scale_arcsec / 3600.0)
    near = np.sort(np.array(sky.tree.query_ball_point(unit_vectors(*wcs.crval_deg), radius), np.int64))
    x, y = wcs.to_pixels(*directions(sky.vectors[near]))
    inside = (x > 5) & (x < width - 6) & (y > 5) & (y < height - 6) & (rng.random(len(near)) < 0.95)
    index, x, y = near[inside], x[inside], y[inside]
    flux = sky.flux[index]
    error = np.clip(0.05 + (faintest_px - 0.05) * (flux.min() / flux) ** 0.5, 0.05, faintest_px)
    x, y = x + error * rng.normal(size=len(x)), y + error * rng.normal(size=len(x))
    bad = rng.random(len(x)) < wrong
    away, angle = rng.uniform(1.0, 4.0, len(x)), rng.uniform(0.0, 2.0 * np.pi, len(x))
    x, y = np.where(bad, x + away * np.cos(angle), x), np.where(bad, y + away * np.sin(angle), y)
    n_false = len(x) // 50
    x = np.append(x, rng.uniform(0, width - 1, n_false))
    y = np.append(y, rng.uniform(0, height - 1, n_false))
    index = np.append(index, np.full(n_false, -1))
    flux, error = np.append(flux, np.full(n_false, 500.0)), np.append(error, np.full(n_false, faintest_px))
    one = np.ones(len(x))
    stars = Stars(x, y, error, flux, 0.01 * flux, flux, 3.0 * one, 0.1 * one, one < 0)
    return stars, index


def with_frame(mosaic: Mosaic, k: int, **changes: object) -> Mosaic:
    """Return the mosaic with one frame changed."""
    frames = list(mosaic.frames)
    frames[k] = replace(frames[k], **changes)
    return replace(mosaic, frames=frames)


def shifted_wcs(wcs: Wcs, x_px: float, y_px: float) -> Wcs:
    """Return coordinates that are wrong by so many pixels."""
    return replace(wcs, crpix0=(wcs.crpix0[0] + x_px, wcs.crpix0[1] + y_px))


def misses_px(mosaic: Mosaic, solution: AstroSolution, n: int = 9) -> dict[str, np.ndarray]:
    """Return for each frame where the solution puts n x n points of the sensor, minus the truth, px (2, n * n)."""
    misses = {}
    for frame, found in zip(mosaic.frames, solution.frames, strict=True):
        x, y = np.meshgrid(np.linspace(0, frame.width - 1, n), np.linspace(0, frame.height - 1, n))
        truth = mosaic.truth[frame.key]
        back = found.wcs.to_sky(x.ravel(), y.ravel())
        misses[frame.key] = np.stack(truth.to_pixels(*back)) - np.stack([x.ravel(), y.ravel()])
    return misses


def rms(values: object) -> float:
    return float(np.sqrt(np.mean(np.square(np.concatenate([np.ravel(v) for v in values])))))


def disagreement_px(
    mosaic: Mosaic, solution: AstroSolution, seed: int = 1, n: int = 3000, margin: float = 0.0
) -> float:
    """Return the rms per axis of the difference between where two frames lay a thing that both see, px."""
    rng = np.random.default_rng(seed)
    vectors = mosaic.sky.vectors[rng.permutation(len(mosaic.sky.vectors))[:n]]
    total, square, count = np.zeros((len(vectors), 3)), np.zeros(len(vectors)), np.zeros(len(vectors))
    for frame, found in zip(mosaic.frames, solution.frames, strict=True):
        truth = mosaic.truth[frame.key]
        at = unit_vectors(*truth.crval_deg)
        near = np.flatnonzero(vectors @ at > np.cos(np.radians(1.5)))
        x, y = truth.to_pixels(*directions(vectors[near]))
        inside = (x > margin) & (x < frame.width - 1 - margin) & (y > margin) & (y < frame.height - 1 - margin)
        near = near[inside]
        laid = (unit_vectors(*found.wcs.to_sky(x[inside], y[inside])) - vectors[near]) / (ARCSEC * truth.scale_arcsec)
        total[near] += laid
        square[near] += np.sum(laid**2, axis=1)
        count[near] += 1
    several = count > 1
    variance = (square - np.sum(total**2, axis=1) / np.maximum(count, 1))[several] / (count[several] - 1)
    return float(np.sqrt(np.average(variance, weights=count[several] - 1)))  # = sqrt(2 axes x half the difference²)
