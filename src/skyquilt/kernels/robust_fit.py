"""Linear models fitted to point pairs of which some are wrong."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F64
from skyquilt.kernels.backend import kernel
from skyquilt.kernels.cholesky import solve
from skyquilt.kernels.order import median

__all__ = ["fit_robust"]

_MEDIAN_OF_RAYLEIGH = 1.1774100225154747


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
        for i in range(n):
            ordered[i] = r[i]
        scale = max(median(ordered, n) / _MEDIAN_OF_RAYLEIGH, 1e-9)
        change = 0.0
        for i in range(n):
            t = r[i] / (cut * scale)
            w = (1.0 - t * t) * (1.0 - t * t) if t < 1.0 else 0.0
            change = max(change, abs(w - weight[i]))
            weight[i] = w
        if change < 5e-3:
            break
    return scale
