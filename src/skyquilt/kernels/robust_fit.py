"""Linear models fitted to point pairs of which some are wrong."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F64
from skyquilt.kernels.backend import called, kernel
from skyquilt.kernels.cholesky import solve
from skyquilt.kernels.order import median

__all__ = ["capped_squares", "fit_polynomial", "fit_robust"]

_MEDIAN_OF_RAYLEIGH = 1.1774100225154747
_SETTLED = 5e-3  # of a weight


@kernel
def fit_robust(
    design: F64, target: F64, sigma: F64, cut: float, rounds: int, parameters: F64, weight: F64, residual: F64
) -> float:
    """
    Fill the parameters of a linear model of two coordinates a point, by iteratively re-weighted least squares.

    Parameters
    ----------
    design : float64 (2 n, p)
        Rows 2 i and 2 i + 1 are the x and the y equation of point i.
    target : float64 (2 n,), px
    sigma : float64 (n,), px per axis
    cut : float
        Tukey's biweight is 0 beyond this many times the scale of the residuals.
    rounds : int
    parameters : float64 (p,)
        Written in place.
    weight : float64 (n,)
        Robust weight of each point, 0 to 1: what it starts from (given), and what it came to (written in place).
    residual : float64 (2 n,), px
        target - design @ parameters. Written in place.

    Returns
    -------
    float
        Scale: 1 if the residuals are as large as `sigma` says; NaN if the equations cannot be solved.

    Notes
    -----
    Definition: minimise sum weight_i / sigma_i² |target_i - design_i p|², weight_i = (1 - (r_i / (cut s))²)², where
    r_i = |residual_i| / sigma_i and s = median(r) / 1.1774 (the median of a Rayleigh distribution).
    """
    n2, p = design.shape
    n = n2 // 2
    matrix, vector = np.empty((p, p)), np.empty(p)
    r, ordered = np.empty(n), np.empty(n)
    scale = np.nan
    for _ in range(rounds):
        for a in range(p):
            vector[a] = 0.0
            for b in range(p):
                matrix[a, b] = 0.0
        for i in range(n):
            w = weight[i] / (sigma[i] * sigma[i])
            if w <= 0.0:
                continue
            for k in range(2 * i, 2 * i + 2):
                for a in range(p):
                    value = w * design[k, a]
                    if value == 0.0:
                        continue
                    vector[a] += value * target[k]
                    for b in range(a + 1):
                        matrix[a, b] += value * design[k, b]
        if not solve(matrix, vector, p, 1e-13):
            return np.nan
        for a in range(p):
            parameters[a] = vector[a]
        for i in range(n):
            total = 0.0
            for k in range(2 * i, 2 * i + 2):
                value = target[k]
                for a in range(p):
                    value -= design[k, a] * vector[a]
                residual[k] = value
                total += value * value
            r[i] = np.sqrt(total) / sigma[i]
        scale, change = _weigh_again(r, ordered, cut, weight)
        if change < _SETTLED:
            break
    return scale


@called
def _weigh_again(r: F64, ordered: F64, cut: float, weight: F64) -> tuple[float, float]:
    """Fill the weights that follow from the residuals over their errors; return their scale and the largest change."""
    n = len(r)
    for i in range(n):
        ordered[i] = r[i]
    scale = max(median(ordered, n) / _MEDIAN_OF_RAYLEIGH, 1e-9)
    change = 0.0
    for i in range(n):
        t = r[i] / (cut * scale)
        w = (1.0 - t * t) * (1.0 - t * t) if t < 1.0 else 0.0
        change = max(change, abs(w - weight[i]))
        weight[i] = w
    return scale, change


@kernel
def fit_polynomial(
    a: F64, b: F64, target: F64, sigma: F64, order: int, cut: float, rounds: int, parameters: F64, weight: F64,
    residual: F64,
) -> float:  # fmt: skip
    """
    Fit both coordinates of a plane by polynomials of (a, b), as `fit_robust` does with the same terms for each.

    Parameters
    ----------
    a, b : float64 (n,)
    target : float64 (n, 2), px
    sigma : float64 (n,), px per axis
    order : int
        1, 2 or 3: 3, 6 or 10 terms a^i b^j, sorted by (i + j, j).
    cut, rounds
        As in `fit_robust`.
    parameters : float64 (2, terms)
        Written in place.
    weight : float64 (n,)
        As in `fit_robust`.
    residual : float64 (n, 2), px
        Written in place.

    Returns
    -------
    float
        As `fit_robust`.

    Notes
    -----
    Definition: `fit_robust` with the terms in the columns, those of x first. As the equations of x and y have the same
    terms and weights, one matrix of half the size is factored for both.
    """
    n, p = len(a), parameters.shape[1]
    terms = np.empty((n, p))
    for i in range(n):
        row = terms[i]
        row[0], row[1], row[2] = 1.0, a[i], b[i]
        if order > 1:
            row[3], row[4], row[5] = a[i] * a[i], a[i] * b[i], b[i] * b[i]
        if order > 2:
            row[6], row[7], row[8], row[9] = row[3] * a[i], row[3] * b[i], a[i] * row[5], row[5] * b[i]
    matrix, factor = np.empty((p, p)), np.empty((p, p))
    along_x, along_y, weighted = np.empty(p), np.empty(p), np.empty(p)
    r, ordered = np.empty(n), np.empty(n)
    scale = np.nan
    for _ in range(rounds):
        matrix[:, :] = 0.0
        along_x[:] = 0.0
        along_y[:] = 0.0
        for i in range(n):
            w = weight[i] / (sigma[i] * sigma[i])
            if w <= 0.0:
                continue
            row = terms[i]
            for k in range(p):
                weighted[k] = w * row[k]
                along_x[k] += weighted[k] * target[i, 0]
                along_y[k] += weighted[k] * target[i, 1]
            for k in range(p):
                line, value = matrix[k], weighted[k]
                for m in range(p):  # the upper half is not needed, but whole rows run in vectors
                    line[m] += value * row[m]
        factor[:, :] = matrix
        if not (solve(factor, along_x, p, 1e-13) and solve(matrix, along_y, p, 1e-13)):
            return np.nan
        for i in range(n):
            u, v = target[i, 0], target[i, 1]
            for k in range(p):
                u -= terms[i, k] * along_x[k]
                v -= terms[i, k] * along_y[k]
            residual[i, 0], residual[i, 1] = u, v
            r[i] = np.sqrt(u * u + v * v) / sigma[i]
        scale, change = _weigh_again(r, ordered, cut, weight)
        if change < _SETTLED:
            break
    parameters[0], parameters[1] = along_x, along_y
    return scale


@kernel
def capped_squares(residual: F64, sigma: F64, floor: float, cap: float) -> float:
    """
    Return the sum over the points of min((|residual|² + 2 floor²) / sigma², cap²).

    Parameters
    ----------
    residual : float64 (n, 2), px
    sigma : float64 (n,), px per axis
    floor : float, px
    cap : float
    """
    total = 0.0
    for i in range(len(sigma)):
        square = residual[i, 0] * residual[i, 0] + residual[i, 1] * residual[i, 1] + 2.0 * floor * floor
        total += min(square / (sigma[i] * sigma[i]), cap * cap)
    return total
