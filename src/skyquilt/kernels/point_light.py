"""Light of points on pixels: drawn, and fitted one after the other."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32, F64
from skyquilt.kernels.backend import called, kernel

__all__ = ["PER_SIGMA", "add_points", "define_points", "fit_heights"]

PER_SIGMA = 8.0
"""Samples of a profile for each sigma from the centre."""
_HUGE = 1e30


def define_points(
    image: F32, x0: int, y0: int, x: F64, y: F64, height: F64, inverse: F64, profile: F64, reach: F64
) -> F32:
    """
    Return the image with the points added: the readable definition of `add_points`.

    Parameters
    ----------
    image : float32 (y, x)
    x0, y0 : int, px
        Absolute coordinates of its first pixel.
    x, y : float64 (n,), px
    height : float64 (n,)
    inverse : float64 (n, 3), 1/px²
        p, q, s of r² = p dx² + 2 q dx dy + s dy²: the distance from the centre, in sigma.
    profile : float64 (m,)
        Light at r = 0, 1/8, 2/8 ... of a point of height 1; linear between, 0 beyond.
    reach : float64 (n,), px
        Pixels whose dx and dy are both within it get light.
    """
    out = image.copy()
    rows, columns = (start + np.arange(size) for start, size in zip((y0, x0), image.shape, strict=True))
    for k in range(len(x)):
        dx, dy = (columns - x[k])[None], (rows - y[k])[:, None]
        p, q, s = inverse[k]
        t = np.sqrt(np.maximum(p * dx * dx + 2.0 * q * dx * dy + s * dy * dy, 0.0)) * PER_SIGMA
        light = height[k] * np.interp(t, np.arange(len(profile)), profile, right=0.0)
        light[(np.abs(dx) > reach[k]) | (np.abs(dy) > reach[k])] = 0.0
        out += light.astype(np.float32)
    return out


@called
def _light(profile: F64, p: float, q: float, s: float, dx: float, dy: float) -> float:
    """Light of a point of height 1."""
    t = np.sqrt(max(p * dx * dx + 2.0 * q * dx * dy + s * dy * dy, 0.0)) * PER_SIGMA
    at = int(t)
    if at + 1 >= len(profile):
        return 0.0
    return profile[at] + (t - at) * (profile[at + 1] - profile[at])


@called
def _add(
    image: F32, x0: int, y0: int, x: float, y: float, height: float, inverse: F64, profile: F64, reach: float
) -> None:
    """Add one point."""
    first, last = max(int(np.ceil(x - reach)) - x0, 0), min(int(np.floor(x + reach)) + 1 - x0, image.shape[1])
    p, q, s = inverse[0], inverse[1], inverse[2]
    for i in range(max(int(np.ceil(y - reach)) - y0, 0), min(int(np.floor(y + reach)) + 1 - y0, image.shape[0])):
        dy = (i + y0) - y
        for j in range(first, last):
            image[i, j] += np.float32(height * _light(profile, p, q, s, (j + x0) - x, dy))


@kernel
def add_points(
    image: F32, x0: int, y0: int, x: F64, y: F64, height: F64, inverse: F64, profile: F64, reach: F64
) -> None:
    """
    Add points to an image in place, as `define_points` does.

    In the order given, from absolute coordinates: a tile gets the bits of the whole image. About 5 ns a pixel.
    """
    for k in range(len(x)):
        _add(image, x0, y0, x[k], y[k], height[k], inverse[k], profile, reach[k])


@kernel
def fit_heights(
    residual: F32,
    x0: int,
    y0: int,
    x: F64,
    y: F64,
    height: F64,
    inverse: F64,
    profile: F64,
    fit_radius: F64,
    reach: F64,
    ceiling: F64,
    rounds: int,
) -> None:
    """
    Fit the heights of points that may overlap, each with a level of its own around it.

    Parameters
    ----------
    residual : float32 (y, x)
        The image without the light of the points at their first heights. Written in place: without that of the fitted.
    height : float64 (n,)
        First heights; written in place. Never negative.
    fit_radius : float64 (n,)
        Pixels within so many sigma take part.
    ceiling : float64 (n,)
        Pixels that are as bright as that, points and all, take no part: they are saturated. The light of the other
        points is not counted.
    rounds : int
        How often all are gone through.

    The others are as `define_points` says.

    Notes
    -----
    Definition. Each point in turn is given back to the residual, v; the least squares of v = level + height g give its
    height; it is taken off again. After some rounds (Gauss-Seidel) the heights are those of a common fit.
    """
    for _ in range(rounds):
        for k in range(len(x)):
            p, q, s = inverse[k, 0], inverse[k, 1], inverse[k, 2]
            det = max(p * s - q * q, 1e-12)
            half_x, half_y = fit_radius[k] * np.sqrt(s / det), fit_radius[k] * np.sqrt(p / det)
            n, total, mixed, g_sum, g_square = 0, 0.0, 0.0, 0.0, 0.0
            for i in range(
                max(int(np.ceil(y[k] - half_y)) - y0, 0), min(int(y[k] + half_y) + 1 - y0, residual.shape[0])
            ):
                dy = (i + y0) - y[k]
                for j in range(
                    max(int(np.ceil(x[k] - half_x)) - x0, 0), min(int(x[k] + half_x) + 1 - x0, residual.shape[1])
                ):
                    dx = (j + x0) - x[k]
                    if p * dx * dx + 2.0 * q * dx * dy + s * dy * dy > fit_radius[k] * fit_radius[k]:
                        continue
                    g = _light(profile, p, q, s, dx, dy)
                    value = np.float64(residual[i, j]) + height[k] * g
                    if not abs(value) < _HUGE or value >= ceiling[k]:
                        continue
                    n += 1
                    total += value
                    mixed += value * g
                    g_sum += g
                    g_square += g * g
            spread = n * g_square - g_sum * g_sum
            if n < 5 or not spread > 1e-9 * n * g_square:
                continue
            fitted = max((n * mixed - total * g_sum) / spread, 0.0)
            _add(residual, x0, y0, x[k], y[k], height[k] - fitted, inverse[k], profile, reach[k])
            height[k] = fitted
