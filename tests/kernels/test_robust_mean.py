"""Robust means equal their definitions in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core import F64
from skyquilt.kernels.robust_mean import biweight_mean, clipped_mean_and_scatter


def samples(n: int, seed: int) -> tuple[F64, F64]:
    rng = np.random.default_rng(seed)
    errors = rng.uniform(0.01, 0.1, n)
    values = 1.05 + rng.normal(0, 1, n) * np.hypot(errors, 0.03)
    values[::9] += 2.0
    return values, errors


def clipped_slowly(values: F64, errors: F64, n_told: int, mean: float) -> tuple[float, float]:
    scatter = 0.0
    for _ in range(5):
        if n_told >= 3:
            told, their_errors = values[:n_told], errors[:n_told]
            bright = their_errors <= np.median(their_errors)
            excess = np.median((told[bright] - mean) ** 2) / 0.4549 - np.median(their_errors[bright] ** 2)
            scatter = float(np.sqrt(max(excess, 0.0)))
        total = np.hypot(errors, scatter)
        chosen = np.abs(values - mean) < 3.5 * total
        if not chosen.any():
            break
        mean = float(np.average(values[chosen], weights=total[chosen] ** -2.0))
    return mean, scatter


@pytest.mark.parametrize("n_told", [0, 2, 3, 40, 41])
def test_the_clipped_mean_and_scatter_are_those_of_the_definition(n_told: int) -> None:
    values, errors = samples(n_told + 1, n_told)
    got = clipped_mean_and_scatter(values, errors, n_told, 1.0)
    assert got == pytest.approx(clipped_slowly(values, errors, n_told, 1.0), rel=1e-12)


def test_a_mean_far_from_all_values_stays_where_it_was_sought() -> None:
    assert clipped_mean_and_scatter(np.array([5.0]), np.array([0.1]), 0, 1.0) == (1.0, 0.0)


def biweight_slowly(values: F64, variance: F64, cut: float, rounds: int, mean: float) -> float:
    for _ in range(rounds):
        square = (values - mean) ** 2
        extra = max(float(np.median(square / 0.4549 - variance)), 0.0)
        t2 = square / ((variance + extra) * cut**2)
        weight = np.where(t2 < 1.0, (1.0 - t2) ** 2, 0.0) / (variance + extra)
        if not weight.sum() > 0.0:
            break
        new = float((weight * values).sum() / weight.sum())
        if abs(new - mean) < 1e-7:
            return new
        mean = new
    return mean


@pytest.mark.parametrize("rounds", [1, 2, 20])
@pytest.mark.parametrize("n", [3, 30, 301])
def test_the_biweight_mean_is_that_of_the_definition(n: int, rounds: int) -> None:
    values, errors = samples(n, n)
    got = biweight_mean(values, errors**2, 4.7, rounds, 1.2)
    assert got == pytest.approx(biweight_slowly(values, errors**2, 4.7, rounds, 1.2), rel=1e-12)


def test_outliers_do_not_move_the_biweight_mean() -> None:
    values, errors = samples(200, 7)
    assert biweight_mean(values, errors**2, 4.7, 20, float(np.median(values))) == pytest.approx(1.05, abs=0.01)
