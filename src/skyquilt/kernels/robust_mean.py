"""Means of values of which some are wrong and whose errors are not the whole truth."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F64
from skyquilt.kernels.backend import kernel
from skyquilt.kernels.order import median

__all__ = ["biweight_mean", "clipped_mean_and_scatter"]

_MEDIAN_CHI2 = 0.4549  # of one degree of freedom
_CUT = 3.5
_CLIP_ROUNDS = 5
_SETTLED = 1e-7


@kernel
def clipped_mean_and_scatter(values: F64, errors: F64, n_told: int, start: float) -> tuple[float, float]:
    """
    Return the weighted mean of the values, and by how much they scatter beyond their errors.

    Parameters
    ----------
    values, errors : float64 (n,)
    n_told : int
        The first so many tell the scatter; what follows is a prior.
    start : float
        Where the mean is sought first.

    Notes
    -----
    Definition, five times over::

        bright = errors[:n_told] <= median(errors[:n_told])
        scatter² = max(median((values - mean)[bright]²) / 0.4549 - median(errors[bright]²), 0)   # 3 values at least
        total² = errors² + scatter²;  chosen = |values - mean| < 3.5 total
        mean = average(values[chosen], weights=total[chosen]**-2)
    """
    n = len(values)
    some = np.empty(n)
    mean, scatter2 = start, 0.0
    n_bright, error2 = 0, 0.0
    limit = np.inf
    if n_told >= 3:
        for k in range(n_told):
            some[k] = errors[k]
        limit = median(some, n_told)
        for k in range(n_told):
            if errors[k] <= limit:
                some[n_bright] = errors[k] * errors[k]
                n_bright += 1
        error2 = median(some, n_bright)
    for _ in range(_CLIP_ROUNDS):
        if n_told >= 3:
            n_bright = 0
            for k in range(n_told):
                if errors[k] <= limit:
                    some[n_bright] = (values[k] - mean) * (values[k] - mean)
                    n_bright += 1
            scatter2 = max(median(some, n_bright) / _MEDIAN_CHI2 - error2, 0.0)
        total, weights = 0.0, 0.0
        for k in range(n):
            variance = errors[k] * errors[k] + scatter2
            miss = values[k] - mean
            if miss * miss < _CUT * _CUT * variance:
                total += values[k] / variance
                weights += 1.0 / variance
        if not weights > 0.0:
            break
        mean = total / weights
    return mean, np.sqrt(scatter2)


@kernel
def biweight_mean(values: F64, variance: F64, cut: float, rounds: int, start: float) -> float:
    """
    Return the mean of values with errors, with scatter beyond the errors, and with outliers.

    Parameters
    ----------
    values, variance : float64 (n,)
    cut : float
        Tukey's biweight is 0 beyond this many sigma.
    rounds : int
        It ends earlier where the mean moves by less than 1e-7.
    start : float
        Where the mean is sought first.

    Notes
    -----
    Definition of a round::

        total = variance + max(median((values - mean)² / 0.4549 - variance), 0)
        t² = (values - mean)² / (cut² total);  weight = (1 - t²)² / total where t² < 1, else 0
        mean = sum(weight * values) / sum(weight)
    """
    n = len(values)
    some = np.empty(n)
    mean = start
    for _ in range(rounds):
        for k in range(n):
            miss = values[k] - mean
            some[k] = miss * miss / _MEDIAN_CHI2 - variance[k]
        extra = max(median(some, n), 0.0)
        total, weights = 0.0, 0.0
        for k in range(n):
            miss, whole = values[k] - mean, variance[k] + extra
            t2 = miss * miss / (whole * cut * cut)
            if t2 < 1.0:
                weight = (1.0 - t2) * (1.0 - t2) / whole
                total += weight * values[k]
                weights += weight
        if not weights > 0.0:
            break
        before, mean = mean, total / weights
        if abs(mean - before) < _SETTLED:
            break
    return mean
