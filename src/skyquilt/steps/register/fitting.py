"""Transforms fitted to pairs of stars, and the choice between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, Distortion, Linear, Transform
from skyquilt.kernels.robust_fit import fit_robust

__all__ = ["LEAST_PAIRS", "MODELS", "Fit", "choose_fit", "fit_model"]

MODELS = ("shift", "similarity", "affine", "homography", "polynomial2", "polynomial3")
_PARAMETERS = {"shift": 2, "similarity": 4, "affine": 6, "homography": 8, "polynomial2": 12, "polynomial3": 20}
LEAST_PAIRS = {"shift": 2, "similarity": 2, "affine": 6, "homography": 16, "polynomial2": 25, "polynomial3": 50}
_FREE_CHOICE = {"affine": 12, "homography": 24, "polynomial2": 40, "polynomial3": 80}
_CUT = 5.5
_ROUNDS = 12
_OUTLIER = 6.0
_GOOD_ENOUGH_PX = 0.003  # no model is richer for the sake of less
_MARGIN = 12.0  # of the information criterion: what a richer model must gain before it is believed


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """
    A transform and how well it lays the pairs on each other.

    Attributes
    ----------
    model : str
    transform : Transform
    scale : float
        Residuals over the errors given.
    residual : float64 (n, 2), px
    weight : float64 (n,)
        0 for pairs that are none.
    """

    model: str
    transform: Transform
    scale: float
    residual: F64
    weight: F64


def fit_model(
    model: str, x: F64, y: F64, u: F64, v: F64, sigma: F64, mirrored: bool, weight: F64 | None = None
) -> Fit | None:
    """
    Return the transform of one model that takes (x, y) to (u, v), robust to false pairs; None if they are too few.

    Parameters
    ----------
    x, y, u, v : float64 (n,), px
    sigma : float64 (n,), px per axis
        Error of u - x' of each pair.
    mirrored : bool
        Whether a similarity is to mirror.
    weight : float64 (n,), or None
        Robust weights to start from.
    """
    n = len(x)
    if n < LEAST_PAIRS[model]:
        return None
    cx, cy, radius = float(x.mean()), float(y.mean()), float(max(np.ptp(x), np.ptp(y), 1.0)) / 2.0
    a, b = (x - cx) / radius, (y - cy) / radius
    target = np.empty(2 * n)
    target[0::2], target[1::2] = u, v
    robust = np.ones(n) if weight is None else weight.copy()
    if model == "homography":
        start = fit_model("affine", x, y, u, v, sigma, mirrored, weight)
        if start is None:
            return None
        design = _perspective_design(a, b, *start.transform(x, y))
        robust = np.maximum(start.weight, 0.0)
    elif model == "shift":
        design = _shift_design(n)
        target[0::2], target[1::2] = u - x, v - y
    elif model == "similarity":
        design = _similarity_design(a, b, mirrored)
    else:
        design = _polynomial_design(a, b, {"affine": 1, "polynomial2": 2, "polynomial3": 3}[model])
    parameters, residual = np.zeros(design.shape[1]), np.empty(2 * n)
    scale = fit_robust(design, target, sigma, _CUT, _ROUNDS, parameters, robust, residual)
    if not np.isfinite(scale):
        return None
    transform = _transform_of(model, parameters, cx, cy, radius, mirrored)
    pu, pv = transform(x, y)
    return Fit(model, transform, scale, np.stack([u - pu, v - pv], axis=1), robust)


def choose_fit(fits: list[Fit], sigma: F64) -> Fit:
    """
    Return the simplest of the fits that no richer one beats by more than its extra parameters are worth.

    Notes
    -----
    Definition: least N ln(sum of rho / N) + p ln N over the same pairs, rho = min(r² / sigma², 36 s²) per axis, where s
    is the scale of the best-fitting model: Schwarz's criterion with outliers cut off. A model with more parameters has
    to be better by 12.
    """
    fits = [fit for fit in fits if len(sigma) >= _FREE_CHOICE.get(fit.model, 0)] or fits[:1]
    floor = min(fit.scale for fit in fits)
    best, best_cost = fits[0], np.inf
    for fit in fits:
        square = ((fit.residual**2).sum(axis=1) + 2.0 * _GOOD_ENOUGH_PX**2) / sigma**2
        total = float(np.minimum(square, (_OUTLIER * floor) ** 2).sum())
        n = 2 * len(sigma)
        cost = n * np.log(max(total, 1e-20) / n) + _PARAMETERS[fit.model] * np.log(n)
        if cost < best_cost - (_MARGIN if np.isfinite(best_cost) else 0.0):
            best, best_cost = fit, cost
    return best


def _shift_design(n: int) -> F64:
    design = np.zeros((2 * n, 2))
    design[0::2, 0], design[1::2, 1] = 1.0, 1.0
    return design


def _similarity_design(a: F64, b: F64, mirrored: bool) -> F64:
    """Columns of re, im, tx, ty: u = re a - im s b + tx, v = im a + re s b + ty, s = -1 where mirrored."""
    s = -1.0 if mirrored else 1.0
    design = np.zeros((2 * len(a), 4))
    design[0::2, 0], design[0::2, 1], design[0::2, 2] = a, -s * b, 1.0
    design[1::2, 0], design[1::2, 1], design[1::2, 3] = s * b, a, 1.0
    return design


def _polynomial_design(a: F64, b: F64, order: int) -> F64:
    terms = [(0, 0), (1, 0), (0, 1), *Distortion.terms(order)]
    columns = np.stack([a**i * b**j for i, j in terms], axis=1)
    design = np.zeros((2 * len(a), 2 * len(terms)))
    design[0::2, : len(terms)], design[1::2, len(terms) :] = columns, columns
    return design


def _perspective_design(a: F64, b: F64, u: F64, v: F64) -> F64:
    """Columns of u = m0 a + m1 b + m2 - u (m6 a + m7 b), likewise v; (u, v) from an affine fit, so free of noise."""
    design = np.zeros((2 * len(a), 8))
    design[0::2, 0], design[0::2, 1], design[0::2, 2] = a, b, 1.0
    design[1::2, 3], design[1::2, 4], design[1::2, 5] = a, b, 1.0
    design[0::2, 6], design[0::2, 7] = -u * a, -u * b
    design[1::2, 6], design[1::2, 7] = -v * a, -v * b
    return design


def _transform_of(model: str, p: F64, cx: float, cy: float, radius: float, mirrored: bool) -> Transform:
    to_unit = np.array([[1 / radius, 0, -cx / radius], [0, 1 / radius, -cy / radius], [0, 0, 1]])
    if model == "shift":
        return Transform.shift(float(p[0]), float(p[1]))
    if model == "similarity":
        s = -1.0 if mirrored else 1.0
        unit = np.array([[p[0], -s * p[1], p[2]], [p[1], s * p[0], p[3]], [0, 0, 1]])
        return Transform.from_matrix(unit @ to_unit, "similarity")
    if model == "affine":
        unit = np.array([[p[1], p[2], p[0]], [p[4], p[5], p[3]], [0, 0, 1]])
        return Transform.from_matrix(unit @ to_unit, "affine")
    if model == "homography":
        unit = np.array([[p[0], p[1], p[2]], [p[3], p[4], p[5]], [p[6], p[7], 1]])
        return Transform.from_matrix(unit @ to_unit, "homography")
    half = len(p) // 2
    unit = np.array([[p[1], p[2], p[0]], [p[half + 1], p[half + 2], p[half]], [0, 0, 1]])
    matrix = unit @ to_unit
    # full polynomial = linear part after a distortion of the frame's own pixels
    higher = np.stack([p[3:half], p[half + 3 :]])
    order = 2 if half == 6 else 3
    distortion = Distortion(order, (cx, cy), radius, np.linalg.solve(matrix[:2, :2], higher))
    return Transform((distortion, Linear(matrix / matrix[2, 2])), "polynomial")
