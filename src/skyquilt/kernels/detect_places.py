"""Where a star stands, as well as its photons tell: every site of every colour, weighed by its noise."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32, F64, I64
from skyquilt.kernels.backend import called, kernel
from skyquilt.kernels.detect_fit import POSITION_ERROR, SATURATED, X, Y

__all__ = ["refine_places", "refine_places_slowly"]

_STEPS = 3
_E_REACH = 3.4  # 2.6 sigma: 97 % of what a Gaussian tells about its place lies within
_PER_E = 64.0  # samples of the profile for each unit of e, as `moffat_profile` makes them
_FARTHEST = 0.6  # px: a fit that walks farther has found something else
_TINY = 1e-30


@kernel
def refine_places(
    pixels: F32,
    channel_of: I64,
    level: F64,
    noise: F64,
    shot: F64,
    moments: F64,
    profile: F64,
    bend: tuple[float, float],
    saturation: float,
    table: F64,
) -> None:
    """
    Improve the places of stars and their errors by a fit to the sites of all colours.

    Parameters
    ----------
    pixels : float32 (y, x), ADU
    channel_of : int64 (2, 2)
        Channel of each site of the 2x2 cell.
    level : float64 (n, n_channels), ADU
        Sky under each star.
    noise : float64 (n_channels,), ADU
        Of the sky, per pixel.
    shot : float64 (n_channels,), ADU
        Variance that one ADU of a star's light brings.
    moments : float64 (3,), px²
        xx, xy, yy of the profile that the stars of the frame share.
    profile, bend
        As `moffat_profile` gives them.
    saturation : float, ADU
        Pixels at or above it take no part.
    table : float64 (n, COLUMNS)
        As `fit_stars` filled it; X, Y and POSITION_ERROR are changed in place where the fit holds and no pixel is
        saturated.

    Notes
    -----
    Definition: `refine_places_slowly`.
    """
    det = moments[0] * moments[2] - moments[1] * moments[1]
    if not det > 0.0:
        return
    shape, terms = np.empty(5), np.empty(5)
    shape[0], shape[1], shape[2] = moments[2] / det, -moments[1] / det, moments[0] / det
    shape[3], shape[4] = np.sqrt(2.0 * _E_REACH * moments[0]), np.sqrt(2.0 * _E_REACH * moments[2])
    n_channels = len(noise)
    height, sums = np.empty(n_channels), np.empty((n_channels, 9))
    for k in range(len(table)):
        row = table[k]
        if row[SATURATED] > 0.0:
            continue
        x, y, holds = row[X], row[Y], True
        height[:] = 0.0
        for _ in range(_STEPS):
            _gather(pixels, channel_of, x, y, height, level[k], noise, shot, shape, profile, bend, saturation, sums)
            _eliminate(sums, height, terms)
            det = terms[0] * terms[2] - terms[1] * terms[1]
            dx, dy = 0.0, 0.0
            if det > 0.0:
                dx = (terms[2] * terms[3] - terms[1] * terms[4]) / det
                dy = (terms[0] * terms[4] - terms[1] * terms[3]) / det
            for c in range(n_channels):
                t = sums[c]
                if t[0] > _TINY:
                    height[c] = max(height[c] + (t[3] - height[c] * (t[1] * dx + t[2] * dy)) / t[0], 0.0)
            x, y = x + dx, y + dy
            holds = abs(x - row[X]) < _FARTHEST and abs(y - row[Y]) < _FARTHEST
            if not holds:
                break
        if not holds:
            continue
        n_used, chi2 = _gather(
            pixels, channel_of, x, y, height, level[k], noise, shot, shape, profile, bend, saturation, sums
        )
        _eliminate(sums, height, terms)
        det = terms[0] * terms[2] - terms[1] * terms[1]
        if det > 0.0 and n_used > n_channels + 2:
            scale = max(1.0, chi2 / (n_used - n_channels - 2))
            row[X], row[Y] = x, y
            row[POSITION_ERROR] = np.sqrt(0.5 * scale * (terms[0] + terms[2]) / det)


@called
def _gather(
    pixels: F32,
    channel_of: I64,
    x: float,
    y: float,
    height: F64,
    level: F64,
    noise: F64,
    shot: F64,
    shape: F64,
    profile: F64,
    bend: tuple[float, float],
    saturation: float,
    sums: F64,
) -> tuple[int, float]:
    """
    Fill the sums of every channel: w times gg, gx, gy, gr, xx, xy, yy, xr, yr, with g the profile, x and y its slopes.

    `shape` holds the inverse moments and the reach along x and y. Returns how many pixels take part, and chi².
    """
    rows, columns = pixels.shape
    p, q, s = shape[0], shape[1], shape[2]
    sums[:] = 0.0
    n_used, chi2 = 0, 0.0
    for i in range(max(int(np.ceil(y - shape[4])), 0), min(int(np.floor(y + shape[4])) + 1, rows)):
        dy = i - y
        for j in range(max(int(np.ceil(x - shape[3])), 0), min(int(np.floor(x + shape[3])) + 1, columns)):
            dx = j - x
            e = 0.5 * (p * dx * dx + 2.0 * q * dx * dy + s * dy * dy)
            value = np.float64(pixels[i, j])
            if e > _E_REACH or not value < saturation:
                continue
            c = channel_of[i & 1, j & 1]
            at = int(e * _PER_E)
            g = profile[at] + (e * _PER_E - at) * (profile[at + 1] - profile[at])
            slope = g * bend[1] / (1.0 + bend[0] * e)
            along, down = slope * (p * dx + q * dy), slope * (q * dx + s * dy)
            light = height[c] * g
            weight = 1.0 / (noise[c] * noise[c] + shot[c] * light)
            residual = value - level[c] - light
            t = sums[c]
            t[0] += weight * g * g
            t[1] += weight * g * along
            t[2] += weight * g * down
            t[3] += weight * g * residual
            t[4] += weight * along * along
            t[5] += weight * along * down
            t[6] += weight * down * down
            t[7] += weight * along * residual
            t[8] += weight * down * residual
            n_used += 1
            chi2 += weight * residual * residual
    return n_used, chi2


@called
def _eliminate(sums: F64, height: F64, terms: F64) -> None:
    """Fill the normal equations of x and y (xx, xy, yy, x, y) once the heights are free too."""
    terms[:] = 0.0
    for c in range(len(height)):
        t, a = sums[c], height[c]
        if t[0] > _TINY and a > 0.0:
            terms[0] += a * a * (t[4] - t[1] * t[1] / t[0])
            terms[1] += a * a * (t[5] - t[1] * t[2] / t[0])
            terms[2] += a * a * (t[6] - t[2] * t[2] / t[0])
            terms[3] += a * (t[7] - t[1] * t[3] / t[0])
            terms[4] += a * (t[8] - t[2] * t[3] / t[0])


def refine_places_slowly(
    pixels: F32,
    channel_of: I64,
    level: F64,
    noise: F64,
    shot: F64,
    moments: F64,
    profile: F64,
    bend: tuple[float, float],
    saturation: float,
    table: F64,
) -> None:
    """
    As `refine_places`, in plain NumPy: its definition.

    Notes
    -----
    Three Gauss-Newton steps to the least ``sum w (v - level_c - A_c g)²`` over x, y and the height A_c of each channel,
    from heights of 0, over the unsaturated sites with e <= 3.4; ``w = 1 / (noise_c² + shot_c A_c g)`` with the heights
    of the step before, which are kept at or above 0. The error is that of the mean of both axes from the inverse of the
    normal matrix, times sqrt(chi² / degrees of freedom) where that is above 1.
    """
    inverse = np.linalg.inv(np.array([[moments[0], moments[1]], [moments[1], moments[2]]]))
    n = len(noise)
    down, across = np.indices(pixels.shape)
    channel = channel_of[down % 2, across % 2]
    for k, row in enumerate(table):
        if row[SATURATED] > 0:
            continue
        x, y, heights = row[X], row[Y], np.zeros(n)
        for step in range(_STEPS + 1):
            offset = np.stack([across - x, down - y])
            e = 0.5 * np.einsum("iyx,ij,jyx->yx", offset, inverse, offset)
            used = (e <= _E_REACH) & (pixels < saturation)
            c, t = channel[used], e[used] * _PER_E
            g = np.interp(t, np.arange(len(profile)), profile)
            along = np.einsum("ij,jm->im", inverse, offset[:, used]) * g * bend[1] / (1.0 + bend[0] * e[used])
            residual = pixels[used].astype(np.float64) - level[k, c] - heights[c] * g
            weight = 1.0 / (noise[c] ** 2 + shot[c] * heights[c] * g)
            design = np.zeros((len(c), 2 + n))
            design[:, 0], design[:, 1] = heights[c] * along[0], heights[c] * along[1]
            design[np.arange(len(c)), 2 + c] = g
            free = np.flatnonzero(np.einsum("mi,m,mi->i", design, weight, design) > _TINY)
            matrix = np.einsum("mi,m,mj->ij", design[:, free], weight, design[:, free])
            if step == _STEPS:
                scale = max(1.0, float(np.sum(weight * residual**2)) / (len(c) - n - 2))
                error = np.sqrt(0.5 * scale * np.trace(np.linalg.inv(matrix)[:2, :2]))
                break
            change = np.zeros(2 + n)
            change[free] = np.linalg.solve(matrix, design[:, free].T @ (weight * residual))
            x, y, heights = x + change[0], y + change[1], np.maximum(heights + change[2:], 0.0)
        if max(abs(x - row[X]), abs(y - row[Y])) < _FARTHEST:
            row[X], row[Y], row[POSITION_ERROR] = x, y, error
