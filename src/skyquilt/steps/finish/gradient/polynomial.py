"""Polynomial surfaces over the plane of an image, fitted so that what is brighter than the sky has little say."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F64, I64, Mask

__all__ = ["design", "fit_alike", "fit_lower", "fit_robust", "left_out_residuals", "n_terms", "solve_weighted"]

_LOWER_SHARE = 0.15
_LOWER_ROUNDS = 14
_MOST_FOR_LOWER = 700
_ROBUST_ROUNDS = 4
_CAUCHY = 2.385  # 95 % efficiency on Gaussian scatter
_MAD_TO_SIGMA = 1.4826
_ALIKE_ROUNDS = 6
_UNLIKE = 0.05  # of the shared slopes and curves: what those of one channel differ by, beyond a factor
_RATIO_SPREAD = 0.3  # of that factor about 1
_LEAST_UNLIKE = 1e-4  # of the unit


def n_terms(order: int) -> int:
    """Return the number of terms of a polynomial of two coordinates."""
    return (order + 1) * (order + 2) // 2


def design(u: F64, v: F64, order: int) -> F64:
    """Return the terms 1, u, v, u², uv, v² ... up to `order`, float64 (n, n_terms)."""
    return np.stack([u ** (n - j) * v**j for n in range(order + 1) for j in range(n + 1)], axis=1)


def solve_weighted(terms: F64, target: F64, weight: F64) -> F64:
    """Weighted least squares, a trace of ridge so that terms without support stay 0."""
    weighted = terms * weight[:, None]
    return _solved(weighted.T @ terms, weighted.T @ target)


def fit_lower(terms: F64, target: F64) -> F64:
    """
    Return the coefficients of the surface with 15 % of the points below it: a start that bright areas cannot lift.

    Notes
    -----
    Quantile regression (Koenker & Bassett 1978, Econometrica 46, 33) by re-weighted least squares:
    w = tau / |r| above and (1 - tau) / |r| below, |r| bounded by a scale that shrinks. At most 700 points are used.
    """
    step = max(1, len(target) // _MOST_FOR_LOWER)
    terms, target = terms[::step], target[::step]
    solution = solve_weighted(terms, target, np.ones(len(target)))
    scale = float(np.median(np.abs(target - terms @ solution)))
    for round_ in range(_LOWER_ROUNDS):
        residual = target - terms @ solution
        least = max(scale * 10.0 ** (-round_ / 6.0), 1e-12 * float(np.abs(target).max()) + 1e-300)
        side = np.where(residual > 0.0, _LOWER_SHARE, 1.0 - _LOWER_SHARE)
        weight = side / np.maximum(np.abs(residual), least)
        solution = solve_weighted(terms, target, weight / weight.max())
    return solution


def fit_robust(terms: F64, target: F64, start: F64 | None = None) -> F64:
    """Return the coefficients of least squares re-weighted by Cauchy's function, 1 / (1 + (r / 2.385 sigma)²)."""
    solution = solve_weighted(terms, target, np.ones(len(target))) if start is None else start
    for _ in range(_ROBUST_ROUNDS):
        residual = target - terms @ solution
        sigma = _MAD_TO_SIGMA * float(np.median(np.abs(residual - np.median(residual))))
        if not sigma > 0.0:
            return solution
        solution = solve_weighted(terms, target, 1.0 / (1.0 + (residual / (_CAUCHY * sigma)) ** 2))
    return solution


def fit_alike(terms: F64, level: F64, unit: F64) -> F64:
    """
    Return the coefficients of surfaces of several channels whose shapes are alike, float64 (c, k).

    Parameters
    ----------
    terms : float64 (n, k)
        The first is the constant.
    level : float64 (c, n)
    unit : float64 (c,)
        The sky of each channel, about.

    Notes
    -----
    What makes a gradient (a town, the Moon) makes it in all colours. So beyond its constant each channel is
    unit_c (f_c b_j + d_cj), b shared, f_c = 1 +- 0.3, d = 0 +- 5 % of the rms of b: least squares with these as priors,
    cells re-weighted by Cauchy's function of their residual in all channels, f anew after each solution. Where cells
    tell a surface well, such as on an image without nebulae, they outweigh the priors; where it is continued across a
    nebula, noise that no two channels share does not bend it.
    """
    surfaces = np.stack([fit_robust(terms, channel) for channel in level])
    if len(level) == 1:
        return surfaces
    share, found, ratio = level / unit[:, None], surfaces / unit[:, None], np.ones(len(level))
    for _ in range(_ALIKE_ROUNDS):
        residual = share - found @ terms.T
        sigma = _MAD_TO_SIGMA * np.median(np.abs(residual), axis=1)
        if not (sigma > 0.0).all():
            return surfaces
        weight = 1.0 / (1.0 + np.mean((residual / (_CAUCHY * sigma[:, None])) ** 2, axis=0))
        unlike = _UNLIKE * float(np.sqrt(np.mean(found[:, 1:] ** 2))) + _LEAST_UNLIKE
        found, shape = _solve_alike(terms, share, weight, sigma, ratio, unlike)
        ratio = _ratios(terms[:, 1:] @ shape, share, weight, sigma)
    return found * unit[:, None]


def _solve_alike(terms: F64, share: F64, weight: F64, sigma: F64, ratio: F64, unlike: float) -> tuple[F64, F64]:
    """Return coefficients (c, k) and the shared ones (k - 1,): channel by channel, then the shared, one system."""
    n_channels, k = len(share), terms.shape[1]
    own = terms * weight[:, None]
    gram, right = own.T @ terms, own.T @ share.T
    stiff = np.eye(k - 1) / unlike**2
    size = n_channels * k
    matrix, target = np.zeros((size + k - 1, size + k - 1)), np.zeros(size + k - 1)
    for c in range(n_channels):
        here, slopes = slice(c * k, (c + 1) * k), slice(c * k + 1, (c + 1) * k)
        matrix[here, here] = gram / sigma[c] ** 2
        target[here] = right[:, c] / sigma[c] ** 2
        matrix[slopes, slopes] += stiff
        matrix[slopes, size:] = matrix[size:, slopes] = -ratio[c] * stiff
        matrix[size:, size:] += ratio[c] ** 2 * stiff
    solution = _solved(matrix, target)
    return solution[:size].reshape(n_channels, k), solution[size:]


def _ratios(shape: F64, share: F64, weight: F64, sigma: F64) -> F64:
    """Return by what factor each channel shows a shape (n,), about 1 on average."""
    shape = shape - np.average(shape, weights=weight)
    support = float(np.sum(weight * shape**2)) / sigma**2
    seen = (share * weight) @ shape / sigma**2
    ratio = (seen + 1.0 / _RATIO_SPREAD**2) / (support + 1.0 / _RATIO_SPREAD**2)
    return np.asarray(ratio / max(abs(float(ratio.mean())), 0.1))


def left_out_residuals(terms: F64, target: F64, block: I64, used: Mask) -> tuple[F64, float]:
    """
    Return the residuals of points from surfaces fitted without the block they lie in, and how far these differ.

    Parameters
    ----------
    terms : float64 (n, k)
    target : float64 (n,)
    block : int64 (n,)
        Which part of the image a point lies in.
    used : bool (n,)
        Points that take part in fits; the others are compared with the fit to all.

    Returns
    -------
    residual : float64 (n,)
    swing : float
        The most that leaving out one block moves the surface anywhere: what its continuation is worth.
    """
    own = terms * used[:, None]
    gram, right = own.T @ terms, own.T @ np.where(used, target, 0.0)
    surface = terms @ _solved(gram, right)
    residual, swing = target - surface, 0.0
    for number in np.unique(block[used]):
        part = used & (block == number)
        here = terms[part]
        other = terms @ _solved(gram - here.T @ here, right - here.T @ target[part])
        residual[part] = target[part] - other[part]
        swing = max(swing, float(np.abs(other - surface).max()))
    return residual, swing


def _solved(gram: F64, right: F64) -> F64:
    solution: F64 = np.linalg.solve(gram + np.eye(len(gram)) * (1e-10 * np.trace(gram) + 1e-300), right)
    return solution
