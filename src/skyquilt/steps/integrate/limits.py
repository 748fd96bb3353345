"""How the limits of the rejection rules depend on the number of samples."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from skyquilt.core import F32, F64
from skyquilt.steps.integrate.student import normal_share, student_quantile

__all__ = ["critical_deviates", "mad_corrections", "median_variances", "reach", "truncated_sigma", "widenings"]

# Croux & Rousseeuw 1992, COMPSTAT, 411: finite-sample factors of the median absolute deviation, n = 2 to 9
_MAD_FACTORS = (1.196, 1.495, 1.363, 1.206, 1.200, 1.140, 1.129, 1.107)
_WIDENING = {"sigma": 4.0, "winsorized": 2.2, "mad": 7.0}
_WIDEST = 1.0e12


def _student(probability: float | F64, freedom: F64) -> F64:
    """Return the quantile of Student's t, at a lower-tail probability below 1/2, as a positive number."""
    return np.minimum(student_quantile(probability, freedom), _WIDEST)


def truncated_sigma(low: F64, high: F64) -> F64:
    """Return the standard deviation of a unit normal of which only [-low, high] is left."""
    a, b = -np.asarray(low), np.asarray(high)
    share = normal_share(b) - normal_share(a)
    density_a = np.exp(-0.5 * a * a) / np.sqrt(2 * np.pi)
    density_b = np.exp(-0.5 * b * b) / np.sqrt(2 * np.pi)
    mean = (density_a - density_b) / share
    variance = 1 + (a * density_a - b * density_b) / share - mean * mean
    sigma: F64 = np.sqrt(variance)
    return sigma


@lru_cache(maxsize=64)
def reach(low: float, high: float, n_samples: int) -> tuple[F32, F32]:
    """
    Return how many standard deviations of the accepted samples the limits reach below and above their mean.

    Returns
    -------
    two float32 (n_samples + 1,)
        Indexed by the number n of accepted samples.

    Notes
    -----
    A further sample of Gaussian noise leaves the mean of n others by more than ``t sqrt(1 + 1/n)`` of their standard
    deviations with the probability that Student's law of n - 1 degrees of freedom gives t; t is chosen so that this is
    the share of a normal law beyond `low` (`high`) sigma. The standard deviation of samples that were cut at the limits
    is too small by a known factor, which is taken out. The limits are thus what they say at every n.
    """
    n = np.maximum(np.arange(n_samples + 1, dtype=np.float64), 2.0)
    spread = np.sqrt(1 + 1 / n)
    below = _student(normal_share(-low), n - 1) * spread
    above = _student(normal_share(-high), n - 1) * spread
    shrunk = truncated_sigma(below, above)
    return (below / shrunk).astype(np.float32), (above / shrunk).astype(np.float32)


@lru_cache(maxsize=64)
def mad_corrections(n_samples: int) -> F32:
    """Return the factor (n_samples + 1,) that makes 1.4826 MAD of n Gaussian samples right on average."""
    n = np.maximum(np.arange(n_samples + 1, dtype=np.float64), 2.0)
    factor = n / (n - 0.8)
    known = min(len(_MAD_FACTORS), max(0, n_samples - 1))
    factor[2 : 2 + known] = _MAD_FACTORS[:known]
    return factor.astype(np.float32)


@lru_cache(maxsize=64)
def widenings(rule: str, n_samples: int) -> F32:
    """
    Return the factor (n_samples + 1,) by which the limits of a rule widen for n samples; for "sigma" only the first.

    Their scales scatter more than a standard deviation does, and a scale that came out small rejects too much. 1 + a /
    n with a found by simulation: Gaussian noise loses less than 0.5 % at 3 sigma for n from 8 to 200.
    """
    n = np.maximum(np.arange(n_samples + 1, dtype=np.float64), 2.0)
    widening: F64 = 1 + _WIDENING.get(rule, 0.0) / n
    return widening.astype(np.float32)


@lru_cache(maxsize=64)
def critical_deviates(significance: float, n_samples: int) -> F32:
    """
    Return the critical value (n_samples + 1,) of the extreme Studentised deviate of n samples.

    Source: Rosner 1983, Technometrics 25, 165, eq. 2.5, with n the samples left at that step.
    """
    n = np.maximum(np.arange(n_samples + 1, dtype=np.float64), 3.0)
    t = _student(significance / (2 * n), n - 2)
    deviate: F64 = t * (n - 1) / np.sqrt((n - 2 + t * t) * n)
    return deviate.astype(np.float32)


@lru_cache(maxsize=64)
def median_variances(n_samples: int) -> F32:
    """
    Return the variance (n_samples + 1,) of the centre that the noise model compares with, in variances of one sample.

    One sample is compared with itself (0), two with the lower of them (1), more with their median (π / 2n).
    """
    n = np.maximum(np.arange(n_samples + 1, dtype=np.float64), 1.0)
    variance = np.pi / (2 * n)
    variance[:3] = np.array([0.0, 0.0, 1.0])[: len(variance)]
    return variance.astype(np.float32)
