"""Transforms fitted to pairs of stars, and the choice between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skyquilt.core.arrays import F64
from skyquilt.core.transform import Distortion, Linear, Transform
from skyquilt.kernels.robust_fit import fit_polynomial, fit_robust

__all__ = ["LEAST_PAIRS", "MODELS", "Fit", "Pairs", "choose_fit", "fit_models", "transform_of_fit"]

MODELS = ("shift", "similarity", "affine", "homography", "polynomial2", "polynomial3")
_PARAMETERS = {"shift": 2, "similarity": 4, "affine": 6, "homography": 8, "polynomial2": 12, "polynomial3": 20}
LEAST_PAIRS = {"shift": 2, "similarity": 2, "affine": 6, "homography": 16, "polynomial2": 25, "polynomial3": 50}
_FREE_CHOICE = {"affine": 12, "homography": 24, "polynomial2": 40, "polynomial3": 80}
_ORDERS = {"affine": 1, "polynomial2": 2, "polynomial3": 3}
_CUT = 5.5
_ROUNDS = 12
_OUTLIER = 6.0
_GOOD_ENOUGH_PX = 0.003  # no model is richer for the sake of less
_MARGIN = 12.0  # of the information criterion: what a richer model must gain before it is believed


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """
    Pairs of points, and what all models need of them.

    Attributes
    ----------
    x, y, u, v : float64 (n,), px
        Points of the frame and of the reference.
    sigma : float64 (n,), px per axis
        Error of u - x' of each pair.
    centre : (float, float), px
    radius : float, px
    a, b : float64 (n,)
        (x, y) less the centre, over the radius: what the models are fitted in.
    target : float64 (n, 2), px
        (u, v).
    """

    x: F64
    y: F64
    u: F64
    v: F64
    sigma: F64
    centre: tuple[float, float]
    radius: float
    a: F64
    b: F64
    target: F64

    @classmethod
    def of(cls, x: F64, y: F64, u: F64, v: F64, sigma: F64, *, centre: tuple[float, float] | None = None) -> Pairs:
        """Return the pairs (x, y) to (u, v), at least one; powers count from `centre`, or from their mean."""
        cx, cy = (float(x.mean()), float(y.mean())) if centre is None else centre
        radius = max(float(x.max() - x.min()), float(y.max() - y.min()), 1.0) / 2.0
        target = np.stack([u, v], axis=1)
        return cls(x, y, u, v, sigma, (cx, cy), radius, (x - cx) / radius, (y - cy) / radius, target)

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """
    A model laid through pairs, and how well it lays them on each other.

    Attributes
    ----------
    model : str
    parameters : float64 (p,)
        In units of the pairs' radius.
    scale : float
        Residuals over the errors given.
    residual : float64 (n, 2), px
    weight : float64 (n,)
        0 for pairs that are none.
    """

    model: str
    parameters: F64
    scale: float
    residual: F64
    weight: F64


def fit_models(names: Sequence[str], pairs: Pairs, mirrored: bool) -> list[Fit]:
    """
    Return the fits of some models that take (x, y) to (u, v), robust to false pairs; without those of too few pairs.

    Parameters
    ----------
    names : sequence of str
        Of `MODELS`.
    pairs : Pairs
    mirrored : bool
        Whether a similarity is to mirror.
    """
    fits: dict[str, Fit | None] = {}
    for name in names:
        if len(pairs) < LEAST_PAIRS[name]:
            continue
        if name == "homography":
            affine = fits["affine"] if "affine" in fits else _fit_polynomial("affine", pairs)
            fits[name] = None if affine is None else _fit_homography(pairs, affine)
        elif name in _ORDERS:
            fits[name] = _fit_polynomial(name, pairs)
        else:
            fits[name] = _fit_rigid(name, pairs, mirrored)
    return [fit for fit in fits.values() if fit is not None]


def _fit_polynomial(name: str, pairs: Pairs) -> Fit | None:
    """Fit the models whose coordinates are polynomials of the same terms."""
    order, n = _ORDERS[name], len(pairs)
    parameters = np.zeros((2, (order + 1) * (order + 2) // 2))
    weight, residual = np.ones(n), np.empty((n, 2))
    scale = fit_polynomial(
        pairs.a, pairs.b, pairs.target, pairs.sigma, order, _CUT, _ROUNDS, parameters, weight, residual
    )
    return Fit(name, parameters.reshape(-1), scale, residual, weight) if np.isfinite(scale) else None


def _fit_rigid(name: str, pairs: Pairs, mirrored: bool) -> Fit | None:
    """Fit a shift or a similarity."""
    if name == "shift":
        design, target = _shift_design(len(pairs)), pairs.target - np.stack([pairs.x, pairs.y], axis=1)
    else:
        design, target = _similarity_design(pairs.a, pairs.b, mirrored), pairs.target
    return _fit_design(name, design, target, pairs, np.ones(len(pairs)))


def _fit_homography(pairs: Pairs, affine: Fit) -> Fit | None:
    """Fit a homography, made linear about an affine fit."""
    u, v = (pairs.target - affine.residual).T
    fit = _fit_design(
        "homography", _perspective_design(pairs.a, pairs.b, u, v), pairs.target, pairs, affine.weight.copy()
    )
    if fit is None:
        return None
    p, a, b = fit.parameters, pairs.a, pairs.b
    w = p[6] * a + p[7] * b + 1.0
    laid = np.stack([(p[0] * a + p[1] * b + p[2]) / w, (p[3] * a + p[4] * b + p[5]) / w], axis=1)
    return replace(fit, residual=pairs.target - laid)


def _fit_design(name: str, design: F64, target: F64, pairs: Pairs, weight: F64) -> Fit | None:
    parameters, residual = np.zeros(design.shape[1]), np.empty(2 * len(pairs))
    scale = fit_robust(design, target.reshape(-1), pairs.sigma, _CUT, _ROUNDS, parameters, weight, residual)
    return Fit(name, parameters, scale, residual.reshape(-1, 2), weight) if np.isfinite(scale) else None


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
    best, best_cost, weight = fits[0], np.inf, 1.0 / sigma**2
    for fit in fits:
        square = (fit.residual[:, 0] ** 2 + fit.residual[:, 1] ** 2 + 2.0 * _GOOD_ENOUGH_PX**2) * weight
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


def _perspective_design(a: F64, b: F64, u: F64, v: F64) -> F64:
    """Columns of u = m0 a + m1 b + m2 - u (m6 a + m7 b), likewise v; (u, v) from an affine fit, so free of noise."""
    design = np.zeros((2 * len(a), 8))
    design[0::2, 0], design[0::2, 1], design[0::2, 2] = a, b, 1.0
    design[1::2, 3], design[1::2, 4], design[1::2, 5] = a, b, 1.0
    design[0::2, 6], design[0::2, 7] = -u * a, -u * b
    design[1::2, 6], design[1::2, 7] = -v * a, -v * b
    return design


def transform_of_fit(fit: Fit, pairs: Pairs, mirrored: bool) -> Transform:
    """Return the transform of a fit to these pairs."""
    model, p, (cx, cy), radius = fit.model, fit.parameters, pairs.centre, pairs.radius
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
