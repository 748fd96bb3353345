"""What a star is like: Gaussian fits on the sensor's own pixels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from skyquilt.core.arrays import F32, F64
from skyquilt.kernels.backend import called, kernel
from skyquilt.kernels.cholesky import solve

__all__ = [
    "AMPLITUDE",
    "AMPLITUDE_ERROR",
    "CHI2",
    "COLUMNS",
    "E_MAX",
    "MAXIMUM",
    "N_USED",
    "OK",
    "POSITION_ERROR",
    "SATURATED",
    "SHARPNESS",
    "SXX",
    "SXY",
    "SYY",
    "X",
    "Y",
    "fit_stars",
    "light_within",
    "moffat_profile",
]

# columns of the table that `fit_stars` fills, one row a star
OK, X, Y, AMPLITUDE, SXX, SXY, SYY, POSITION_ERROR, AMPLITUDE_ERROR, CHI2, N_USED, MAXIMUM, SATURATED, SHARPNESS = (
    range(14)
)
COLUMNS = 14
E_MAX = 12.0
_PER_E = 64.0  # samples of the profile for each unit of e
_HUGE = 1e30
_GAUSSIAN = 1e-3  # below it 1 / beta is taken for 0
_CENTRE_STEPS = 3
_SHARPEST = 3.4  # 1/px²: FWHM 1.28 px, narrower than any star that a pixel has seen
_SMALLEST_RADIUS = 3.0  # px: thirteen green pixels, for seven unknowns at most
_FLUX_FWHM = 2.0


@lru_cache(maxsize=64)
def moffat_profile(inverse_beta: float) -> tuple[F64, tuple[float, float], float]:
    """
    Return the samples of a star's profile, what its slope needs, and its flux for height 1 and unit moments.

    Parameters
    ----------
    inverse_beta : float, 0 to 0.6
        1 / beta of the Moffat profile; 0 is the Gaussian.

    Returns
    -------
    profile : float64 (n,), read-only
        g(e) = (1 + kappa e)^-beta at e = 0, 1/64, ... with kappa = (2^(1/beta) - 1) / ln 2, which puts half of the
        maximum at e = ln 2, as for the Gaussian exp(-e); e is half of
        the squared distance in sigma.
    bend : (float, float)
        kappa and beta * kappa: -g'/g = beta kappa / (1 + kappa e).
    flux : float
        2 pi times the integral of g over e: what falls within two FWHM of the centre.
    """
    e = np.arange(int(E_MAX * _PER_E) + 2) / _PER_E
    if inverse_beta < _GAUSSIAN:
        return _read_only(np.exp(-e)), (0.0, 1.0), 2.0 * np.pi
    beta = 1.0 / inverse_beta
    kappa = (2.0**inverse_beta - 1.0) / np.log(2.0)
    flux = 2.0 * np.pi * light_within(_FLUX_FWHM, inverse_beta) / (kappa * (beta - 1.0))
    return _read_only((1.0 + kappa * e) ** -beta), (kappa, beta * kappa), flux


def light_within(radius_fwhm: float, inverse_beta: float) -> float:
    """
    Return the share of a star's light within a circle around it.

    Parameters
    ----------
    radius_fwhm : float
        Radius of the circle over the star's FWHM.
    inverse_beta : float, 0 to 0.6
        1 / beta of the Moffat profile; 0 is the Gaussian.

    Notes
    -----
    Definition: 1 - (1 + 4 (2^(1/beta) - 1) m²)^(1 - beta) at m FWHM, the integral of the profile of Moffat 1969 (A&A 3,
    455); 1 - 2^(-4 m²) for the Gaussian.
    """
    if inverse_beta < _GAUSSIAN:
        return 1.0 - float(2.0 ** (-4.0 * radius_fwhm**2))
    return 1.0 - float((1.0 + 4.0 * (2.0**inverse_beta - 1.0) * radius_fwhm**2) ** (1.0 - 1.0 / inverse_beta))


def _read_only(profile: F64) -> F64:
    """Forbid writing into samples that are handed out more than once."""
    profile.flags.writeable = False
    return profile


@called
def _first_site(x: int, y: int, parity: int) -> int:
    """First x at or after `x` whose site takes part in row y."""
    return x if parity < 0 or (x + y) % 2 == parity else x + 1


@called
def _is_saturated(pixels: F32, x: float, y: float, saturation: float) -> bool:
    """Whether any of the 5x5 pixels around a point is saturated."""
    h, w = pixels.shape
    cx, cy = int(np.rint(x)), int(np.rint(y))
    for i in range(max(cy - 2, 0), min(cy + 3, h)):
        for j in range(max(cx - 2, 0), min(cx + 3, w)):
            if pixels[i, j] >= saturation:
                return True
    return False


@kernel
def fit_stars(
    pixels: F32,
    parity: int,
    x: F64,
    y: F64,
    sky: F64,
    shape: F64,
    profile: F64,
    bend: tuple[float, float],
    reach: float,
    shape_steps: int,
    free: bool,
    noise: float,
    saturation: float,
    table: F64,
) -> None:
    """
    Fill the table of stars: an elliptical Moffat profile fitted by least squares to the pixels that saw the star.

    Parameters
    ----------
    pixels : float32 (y, x), ADU
    parity : int
        -1: all pixels take part; else those with (x + y) % 2 == parity, the greens of a CFA.
    x, y : float64 (n,), px
        Where to look.
    sky : float64 (n,), ADU
    shape : float64 (n, 3), px²
        xx, xy, yy to start from: those of the Gaussian of the same FWHM.
    profile, bend
        As `moffat_profile` gives them.
    reach : float
        Pixels within this many sigma (elliptical), but at least 3 px, take part.
    shape_steps : int
        Gauss-Newton steps in which the shape is fitted, after the centre; at least 1.
    free : bool
        True: position and height follow the fitted shape. False: they are those of the given shape (what all the stars
        of a frame share), and the fitted shape is only reported.
    noise : float, ADU
        Per pixel.
    saturation : float, ADU
        Pixels at or above it take no part.
    table : float64 (n, COLUMNS)
        Written in place. OK is 0 where the fit failed; SHARPNESS is the mean of the highest pixel's four nearest
        neighbours of the fit over that pixel (a hot pixel: about 0).

    Notes
    -----
    Definition: minimise sum (I - sky - A g(d^T S^-1 d / 2))² over the sites; POSITION_ERROR and AMPLITUDE_ERROR are
    noise * sqrt(diagonal of the inverse normal matrix), times sqrt(chi² / degrees of freedom) where that is above 1.
    """
    matrix, vector = np.empty((6, 6)), np.empty(6)
    state, area = np.empty(6), np.empty(3)
    for k in range(len(x)):
        row = table[k]
        for column in range(COLUMNS):
            row[column] = 0.0
        det = shape[k, 0] * shape[k, 2] - shape[k, 1] * shape[k, 1]
        if not det > 0.0:
            continue
        sigmas = max(reach, _SMALLEST_RADIUS / np.sqrt(np.sqrt(det)))
        drift = 1.0 + np.sqrt(np.sqrt(det))
        if _is_saturated(pixels, x[k], y[k], saturation):  # the wings have to tell, and the peak may be a plateau
            sigmas, drift = 2.0 * sigmas, 3.0 * drift
        area[0], area[1] = sigmas * np.sqrt(shape[k, 0]) + 1.0, sigmas * np.sqrt(shape[k, 2]) + 1.0
        area[2] = min(0.5 * sigmas * sigmas, E_MAX)
        state[0], state[1], state[2] = 0.0, x[k], y[k]
        state[3], state[4], state[5] = shape[k, 2] / det, -shape[k, 1] / det, shape[k, 0] / det
        alive = True
        n_steps = 1 + _CENTRE_STEPS + shape_steps + (1 if free else 0)
        told_at = n_steps - 1 if free else 1 + _CENTRE_STEPS
        for step in range(n_steps):
            # height alone (linear, from 0), then the centre too; the shape before or after position and height are told
            n_free = 1 if step == 0 else 3
            if step > _CENTRE_STEPS and not (free and step == told_at):
                n_free = 6
            n_used, chi2 = _accumulate(
                pixels, parity, state, sky[k], profile, bend, area, saturation, n_free, matrix, vector
            )
            if n_used < n_free + 1:
                alive = False
                break
            if step == told_at:
                _tell(row, state, matrix, n_used, chi2, noise)
                if free:
                    break
            if not _advance(state, matrix, vector, n_free):
                alive = False
                break
            if not state[0] > 0.0 or abs(state[1] - x[k]) > drift or abs(state[2] - y[k]) > drift:
                alive = False
                break
        if not alive:
            continue
        det = state[3] * state[5] - state[4] * state[4]
        row[SXX], row[SXY], row[SYY] = state[5] / det, -state[4] / det, state[3] / det
        row[OK] = 1.0
        _describe_core(pixels, parity, row, sky[k], saturation)


@called
def _accumulate(
    pixels: F32,
    parity: int,
    state: F64,
    level: float,
    profile: F64,
    bend: tuple[float, float],
    area: F64,
    saturation: float,
    n_free: int,
    matrix: F64,
    vector: F64,
) -> tuple[int, float]:
    """
    Fill the lower half of the normal equations of the first `n_free` of height, x, y, and the inverse moments p, q, s.

    `n_free` is 1, 3 or 6. Returns how many pixels take part and the sum of their squared residuals. The sums are
    written out one by one: they then stay in registers, which is faster than a matrix in memory.
    """
    h, w = pixels.shape
    stride = 1 if parity < 0 else 2
    amplitude, cx, cy, p, q, s = state[0], state[1], state[2], state[3], state[4], state[5]
    n_used, chi2 = 0, 0.0
    v0, v1, v2, v3, v4, v5 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    m00, m10, m11, m20, m21, m22 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    m30, m31, m32, m33, m40, m41, m42 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    m43, m44, m50, m51, m52, m53, m54, m55 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    x_low, x_high = max(int(np.ceil(cx - area[0])), 0), min(int(np.floor(cx + area[0])) + 1, w)
    for i in range(max(int(np.ceil(cy - area[1])), 0), min(int(np.floor(cy + area[1])) + 1, h)):
        dy = i - cy
        for j in range(_first_site(x_low, i, parity), x_high, stride):
            dx = j - cx
            e = 0.5 * (p * dx * dx + 2.0 * q * dx * dy + s * dy * dy)
            if e > area[2]:
                continue
            v = pixels[i, j]
            if not (abs(v) < np.float32(_HUGE)) or v >= saturation:
                continue
            t = e * _PER_E
            at = int(t)
            g = profile[at] + (t - at) * (profile[at + 1] - profile[at])
            residual = v - level - amplitude * g
            n_used += 1
            chi2 += residual * residual
            v0 += g * residual
            m00 += g * g
            if n_free == 1:
                continue
            slope = amplitude * g * bend[1] / (1.0 + bend[0] * e)
            g1, g2 = slope * (p * dx + q * dy), slope * (q * dx + s * dy)
            v1 += g1 * residual
            v2 += g2 * residual
            m10 += g1 * g
            m11 += g1 * g1
            m20 += g2 * g
            m21 += g2 * g1
            m22 += g2 * g2
            if n_free == 3:
                continue
            g3, g4, g5 = -0.5 * slope * dx * dx, -slope * dx * dy, -0.5 * slope * dy * dy
            v3 += g3 * residual
            v4 += g4 * residual
            v5 += g5 * residual
            m30 += g3 * g
            m31 += g3 * g1
            m32 += g3 * g2
            m33 += g3 * g3
            m40 += g4 * g
            m41 += g4 * g1
            m42 += g4 * g2
            m43 += g4 * g3
            m44 += g4 * g4
            m50 += g5 * g
            m51 += g5 * g1
            m52 += g5 * g2
            m53 += g5 * g3
            m54 += g5 * g4
            m55 += g5 * g5
    vector[0], vector[1], vector[2], vector[3], vector[4], vector[5] = v0, v1, v2, v3, v4, v5
    matrix[0, 0] = m00
    matrix[1, 0], matrix[1, 1] = m10, m11
    matrix[2, 0], matrix[2, 1], matrix[2, 2] = m20, m21, m22
    matrix[3, 0], matrix[3, 1], matrix[3, 2], matrix[3, 3] = m30, m31, m32, m33
    matrix[4, 0], matrix[4, 1], matrix[4, 2], matrix[4, 3], matrix[4, 4] = m40, m41, m42, m43, m44
    matrix[5, 0], matrix[5, 1], matrix[5, 2], matrix[5, 3], matrix[5, 4], matrix[5, 5] = m50, m51, m52, m53, m54, m55
    return n_used, chi2


@called
def _advance(state: F64, matrix: F64, vector: F64, n_free: int) -> bool:
    """Take one Gauss-Newton step, bounded; False if the equations say nothing."""
    for a in range(n_free):  # a touch of damping keeps faint stars from running away
        matrix[a, a] *= 1.0 + (0.02 if n_free > 3 else 1e-6)
    if not solve(matrix, vector, n_free, 1e-14):
        return False
    state[0] += vector[0]
    if n_free > 1:
        state[1] += min(max(vector[1], -0.8), 0.8)
        state[2] += min(max(vector[2], -0.8), 0.8)
    if n_free > 3:
        state[3] = min(max(state[3] + vector[3], 0.4 * state[3]), 2.5 * state[3], _SHARPEST)
        state[5] = min(max(state[5] + vector[5], 0.4 * state[5]), 2.5 * state[5], _SHARPEST)
        bound = 0.98 * np.sqrt(state[3] * state[5])
        state[4] = min(max(state[4] + vector[4], -bound), bound)
    return True


@called
def _tell(row: F64, state: F64, matrix: F64, n_used: int, chi2: float, noise: float) -> None:
    """Write position, height and their errors."""
    row[AMPLITUDE], row[X], row[Y] = state[0], state[1], state[2]
    scale = max(1.0, chi2 / (max(n_used - 3, 1) * noise * noise + 1e-300))
    inverse_a, inverse_x, inverse_y = _inverse_diagonal(matrix)
    row[POSITION_ERROR] = np.sqrt(0.5 * scale * max(inverse_x + inverse_y, 0.0)) * noise
    row[AMPLITUDE_ERROR] = np.sqrt(scale * max(inverse_a, 0.0)) * noise
    row[CHI2] = chi2 / n_used
    row[N_USED] = n_used


@called
def _inverse_diagonal(m: F64) -> tuple[float, float, float]:
    """Diagonal of the inverse of the symmetric 3x3 whose lower half is given."""
    c0 = m[1, 1] * m[2, 2] - m[2, 1] * m[2, 1]
    c1 = m[1, 0] * m[2, 2] - m[2, 1] * m[2, 0]
    c2 = m[1, 0] * m[2, 1] - m[1, 1] * m[2, 0]
    det = m[0, 0] * c0 - m[1, 0] * c1 + m[2, 0] * c2
    return (
        c0 / det,
        (m[0, 0] * m[2, 2] - m[2, 0] * m[2, 0]) / det,
        (m[0, 0] * m[1, 1] - m[1, 0] * m[1, 0]) / det,
    )


@called
def _describe_core(pixels: F32, parity: int, row: F64, level: float, saturation: float) -> None:
    """Fill the highest pixel, whether any is saturated, and how sharp the peak is."""
    h, w = pixels.shape
    cx, cy = int(np.rint(row[X])), int(np.rint(row[Y]))
    best, bx, by = -np.inf, cx, cy
    for i in range(max(cy - 2, 0), min(cy + 3, h)):
        for j in range(max(cx - 2, 0), min(cx + 3, w)):
            v = pixels[i, j]
            if v >= saturation:
                row[SATURATED] = 1.0
            if v > best and (parity < 0 or (i + j) % 2 == parity):
                best, bx, by = v, j, i
    row[MAXIMUM] = best - level
    total, n = 0.0, 0
    for k in range(4):
        if parity < 0:
            dx, dy = (1 - k) % 2 * (1 - k), k % 2 * (2 - k)
        else:
            dx, dy = (k % 2) * 2 - 1, (k // 2) * 2 - 1
        i, j = by + dy, bx + dx
        if 0 <= i < h and 0 <= j < w and abs(pixels[i, j]) < np.float32(_HUGE):
            total += pixels[i, j] - level
            n += 1
    row[SHARPNESS] = total / n / row[MAXIMUM] if n > 0 and row[MAXIMUM] > 0.0 else 0.0
