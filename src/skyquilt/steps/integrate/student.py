"""Student's quantiles and shares of the normal law; importing them from a library takes a tenth of a second."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from skyquilt.core import F64

__all__ = ["normal_share", "student_quantile"]

_MOST_TERMS = 500
_MOST_STEPS = 60
_PRECISION = 1e-13
_SETTLED = 1e-11
_SMALLEST = 1e-300
_LARGEST_EXPONENT = 600.0
_NORMAL = NormalDist()


def normal_share(deviation: float | F64) -> F64:
    """Return the share of a unit normal law below `deviation`, float64 of the same shape."""
    values = np.asarray(deviation, dtype=np.float64)
    shares = [0.5 * math.erfc(-value / math.sqrt(2.0)) for value in values.ravel()]
    return np.array(shares, dtype=np.float64).reshape(values.shape)


def student_quantile(probability: float | F64, freedom: F64) -> F64:
    """
    Return the deviation that a sample of Student's law exceeds with the given probability, float64.

    Parameters
    ----------
    probability : float or float64 (n,), above 0 and below 1/2
    freedom : float64 (n,)
        Degrees of freedom, from 1 on.

    Notes
    -----
    Newton's method for log probability over log deviation, from the approximation of Wallace 1959 (Ann. Math. Stat. 30,
    1124). Good to 1e-11. Infinite where the probability is 0.
    """
    wanted = np.broadcast_to(np.asarray(probability, dtype=np.float64), freedom.shape)
    is_possible = wanted > 0.0
    wanted = np.where(is_possible, wanted, 0.25)
    normal = np.array([_NORMAL.inv_cdf(share) for share in wanted])
    spread = (normal * (8.0 * freedom + 3.0) / (8.0 * freedom + 1.0)) ** 2 / freedom
    deviation = np.sqrt(freedom * np.expm1(np.minimum(spread, _LARGEST_EXPONENT)))
    log_wanted = np.log(wanted)
    for _ in range(_MOST_STEPS):
        log_tail = _log_upper_tail(deviation, freedom)
        step = (log_tail - log_wanted) * np.exp(log_tail - _log_density(deviation, freedom)) / deviation
        deviation = deviation * np.exp(step)
        if np.abs(step).max(initial=0.0) < _SETTLED:
            break
    return np.where(is_possible, deviation, np.inf)


def _log_upper_tail(deviation: F64, freedom: F64) -> F64:
    """Return the logarithm of the probability that a sample of Student's law exceeds a deviation above 0."""
    square = deviation**2
    half = 0.5 * freedom
    # the fraction converges fast on one side of the mean of the beta law; the other side is its complement
    is_far = freedom / (freedom + square) < (half + 1.0) / (half + 2.5)
    first, second = np.where(is_far, half, 0.5), np.where(is_far, 0.5, half)
    place = np.where(is_far, freedom, square) / (freedom + square)
    rest = np.where(is_far, square, freedom) / (freedom + square)
    log_part = _log_incomplete_beta(place, rest, first, second)
    return np.where(is_far, log_part, np.log1p(-np.exp(np.where(is_far, -1.0, log_part)))) - math.log(2.0)


def _log_incomplete_beta(x: F64, rest: F64, a: F64, b: F64) -> F64:
    """
    Return the logarithm of the regularised incomplete beta function I_x(a, b), for x below the mean of the law.

    `rest` is 1 - x. Source: DLMF 8.17.22, evaluated by the method of Lentz 1976, Appl. Opt. 15, 668.
    """
    fraction, numerator, denominator = np.ones_like(x), np.ones_like(x), np.zeros_like(x)
    for k in range(1, _MOST_TERMS):
        m = k // 2
        if k % 2 == 0:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        denominator = 1.0 / _not_zero(1.0 + term * denominator)
        numerator = _not_zero(1.0 + term / numerator)
        change = numerator * denominator
        fraction *= change
        if np.abs(change - 1.0).max(initial=0.0) < _PRECISION:
            break
    return a * np.log(x) + b * np.log(rest) - np.log(a) - _log_beta(a, b) - np.log(fraction)


def _not_zero(values: F64) -> F64:
    return np.where(np.abs(values) < _SMALLEST, _SMALLEST, values)


def _log_density(deviation: F64, freedom: F64) -> F64:
    """Return the logarithm of the density of Student's law."""
    half = 0.5 * freedom
    front = -_log_beta(half, np.full_like(half, 0.5)) - 0.5 * np.log(freedom)
    return np.asarray(front - (half + 0.5) * np.log1p(deviation**2 / freedom))


def _log_beta(a: F64, b: F64) -> F64:
    pairs = zip(a.ravel(), b.ravel(), strict=True)
    values = [math.lgamma(p) + math.lgamma(q) - math.lgamma(p + q) for p, q in pairs]
    return np.array(values, dtype=np.float64).reshape(a.shape)
