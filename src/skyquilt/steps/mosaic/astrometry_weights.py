"""How far each star position is trusted: the errors that the residuals show, and what lies beyond them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64
from skyquilt.steps.mosaic.astrometry_maps import Devices

__all__ = ["Trust", "Weights", "first_weights", "weigh"]

_CUT = 5.5  # of Tukey's biweight, in standard deviations
_MEDIAN_OF_RAYLEIGH = 1.1774100225154747
_FIRST_ERROR_PX = 0.3  # before the first solution shows what the errors are
_WORST_FRAME = 30.0
_NOTICED = 1.3  # what a frame's residuals must exceed the errors by before it counts as a worse one
_LEAST_STARS = 8
_LEAST_FREE = 0.05
_FREE_FOR_FLOOR = 0.3
_BISECTIONS = 30
_MOST_FLOOR_PX = 3.0
_ENOUGH = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """
    Errors as the residuals show them.

    Attributes
    ----------
    floor_px : float64 (d,), px per axis
        Added in squares to the errors of the positions of each device.
    frame_factor : float64 (f,)
        What the errors of a frame are larger by, from 1.
    catalogue_factor : float
        The same of the catalogue.
    """

    floor_px: F64
    frame_factor: F64
    catalogue_factor: float


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """
    Weights of the equations.

    Attributes
    ----------
    points : float64 (n,), 1/px²
    robust : float64 (n,)
        The part of the former that tells false from true, 0 to 1.
    stars : float64 (s,), 1/px²
        Of the catalogue's places.
    star_robust : float64 (s,)
    """

    points: F64
    robust: F64
    stars: F64
    star_robust: F64


def first_weights(error: F64, catalogue_error: F64) -> Weights:
    """Return weights that trust all alike; the arguments are those of `weigh`."""
    points = 1.0 / (error**2 + _FIRST_ERROR_PX**2)
    stars = 1.0 / (catalogue_error**2 + _FIRST_ERROR_PX**2)
    return Weights(points, np.ones_like(points), stars, np.isfinite(catalogue_error).astype(np.float64))


def weigh(
    residual: F64,
    star_residual: F64,
    weights: Weights,
    *,
    error: F64,
    frame: I64,
    star: I64,
    catalogue_error: F64,
    devices: Devices,
    least_floor_px: float,
) -> tuple[Weights, Trust]:
    """
    Return the weights that follow from the residuals.

    Parameters
    ----------
    residual : float64 (n, 2), px
    star_residual : float64 (s, 2), px
    weights : Weights
        Those that the residuals come from.
    error : float64 (n,), px per axis
        As measured.
    frame, star : int64 (n,)
    catalogue_error : float64 (s,), px per axis
        Infinite for stars that are not in the catalogue.
    devices : Devices
    least_floor_px : float, px

    Notes
    -----
    A position takes part in placing its star, so its residual is smaller than its error: by ``sqrt(1 - h)``, h its
    share of all the weight on the star. The floor of a device and the factor of a frame make the median of
    ``t = |residual| / (sigma sqrt(1 - h))`` what it is for a Rayleigh distribution, 1.1774. Then
    weight = (1 - (t / 5.5)²)² / sigma².
    """
    n_stars = len(star_residual)
    total = np.bincount(star, weights.points, minlength=n_stars) + weights.stars
    share = np.where(weights.points > 0.0, weights.points / np.maximum(total[star], 1e-300), 0.0)
    free = np.maximum(1.0 - share, _LEAST_FREE)
    size = np.hypot(residual[:, 0], residual[:, 1]) / np.sqrt(free)
    device = devices.of_frame[frame]
    floor = np.empty(len(devices))
    for d in range(len(devices)):
        mine = np.flatnonzero((device == d) & (free > _FREE_FOR_FLOOR) & (total[star] > 0.0))
        mine = mine[:: max(1, len(mine) // _ENOUGH)]
        floor[d] = _floor(size[mine], error[mine], least_floor_px)
    sigma = np.hypot(error, floor[device])
    factor = _frame_factors(size / sigma, frame, len(devices.of_frame))
    sigma = sigma * factor[frame]
    robust = _biweight(size / sigma)
    far = np.hypot(star_residual[:, 0], star_residual[:, 1])
    star_free = np.maximum(1.0 - weights.stars / np.maximum(total, 1e-300), _LEAST_FREE)
    star_t = far / (catalogue_error * np.sqrt(star_free))
    held = np.isfinite(catalogue_error) & (star_free > _FREE_FOR_FLOOR)
    worse = max(float(np.median(star_t[held])) / _MEDIAN_OF_RAYLEIGH, 1.0) if held.sum() >= _LEAST_STARS else 1.0
    star_robust = np.where(np.isfinite(catalogue_error), _biweight(star_t / worse), 0.0)
    new = Weights(robust / sigma**2, robust, star_robust / (worse * catalogue_error) ** 2, star_robust)
    return new, Trust(floor, factor, worse)


def _biweight(t: F64) -> F64:
    inside = np.clip(1.0 - (t / _CUT) ** 2, 0.0, None)
    weight: F64 = inside * inside
    return weight


def _floor(size: F64, error: F64, least: float) -> float:
    """Return the error that must be added in squares for the median of size over error to be that of a Rayleigh."""
    low, high = least, _MOST_FLOOR_PX
    if not len(size) or np.median(size / np.hypot(error, low)) <= _MEDIAN_OF_RAYLEIGH:
        return low
    for _ in range(_BISECTIONS):
        middle = np.sqrt(low * high)
        is_small = np.median(size / np.hypot(error, middle)) > _MEDIAN_OF_RAYLEIGH
        low, high = (middle, high) if is_small else (low, middle)
    return float(high)


def _frame_factors(t: F64, frame: I64, n_frames: int) -> F64:
    """Return by how much the residuals of each frame exceed their errors; 1 where it is little or not known."""
    order = np.lexsort((t, frame))
    count = np.bincount(frame, minlength=n_frames)
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    known = count >= _LEAST_STARS
    factor = np.ones(n_frames)
    factor[known] = t[order][first[known] + count[known] // 2] / _MEDIAN_OF_RAYLEIGH
    return np.where(factor > _NOTICED, np.minimum(factor, _WORST_FRAME), 1.0)
