"""The median and the order of a few values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from skyquilt.kernels.backend import kernel
from skyquilt.kernels.order import median, median_near, median_of, row_medians, sort_few


@kernel
def _median(values: NDArray[Any], n: int) -> float:
    return median(values, n)


@kernel
def _median_near(values: NDArray[Any], guess: float, reach: float) -> float:
    return median_near(values, guess, reach)


@kernel
def _sort_few(values: NDArray[Any], n: int) -> None:
    sort_few(values, n)


def _samples(n: int, kind: str, dtype: type) -> NDArray[Any]:
    random = np.random.default_rng(n)
    values = random.normal(1000.0, 3.0, n)
    return {"noise": values, "ties": np.rint(values), "rising": np.sort(values), "one value": np.full(n, 5.0)}[
        kind
    ].astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["noise", "ties", "rising", "one value"])
def test_the_median_is_that_of_numpy(kind: str, dtype: type) -> None:
    for n in (*range(1, 40), 2048):
        values = _samples(n, kind, dtype)
        middle = np.sort(values)[[(n - 1) // 2, n // 2]]
        expected = middle[0] if n % 2 == 1 else 0.5 * float(middle[0] + middle[1])
        assert _median(values.copy(), n) == expected
        assert expected == pytest.approx(float(np.median(values)), rel=1e-7)


def test_values_beyond_the_first_n_take_no_part() -> None:
    values = np.array([3.0, 1.0, 2.0, 100.0, -100.0])
    assert _median(values.copy(), 3) == 2.0
    _sort_few(values, 3)
    assert values.tolist() == [1.0, 2.0, 3.0, 100.0, -100.0]


@pytest.mark.parametrize("kind", ["noise", "ties", "rising", "one value"])
def test_few_values_are_sorted_as_numpy_sorts_them(kind: str) -> None:
    for n in range(1, 20):
        values = _samples(n, kind, np.float64)
        expected = np.sort(values)
        _sort_few(values, n)
        assert np.array_equal(values, expected)


@pytest.mark.parametrize(("guess", "reach"), [(1000.0, 0.8), (900.0, 0.1), (1100.0, 3.0), (1000.0, 0.0), (1e9, 1e-3)])
@pytest.mark.parametrize("kind", ["noise", "ties", "rising", "one value"])
def test_a_median_sought_from_anywhere_is_that_of_all_values(kind: str, guess: float, reach: float) -> None:
    for n in (1, 2, 3, 7, 16, 17, 64, 65, 288, 1151):
        values = _samples(n, kind, np.float32)
        assert _median_near(values.copy(), guess, reach) == _median(values.copy(), n)


def test_the_median_of_a_row_is_that_of_its_finite_values() -> None:
    rows = np.random.default_rng(3).normal(0, 1, (6, 9))
    rows[1, ::2], rows[2, 1:], rows[3] = np.nan, np.inf, np.nan
    out = np.empty(6)
    row_medians(rows, 3, out)
    for row, got in zip(rows, out, strict=True):
        known = row[np.isfinite(row)]
        assert got == np.median(known) if known.size >= 3 else np.isnan(got)


def test_the_median_of_nothing_is_no_number() -> None:
    assert np.isnan(median_of(np.zeros(0)))
    assert np.isnan(median_of(np.full(3, np.nan, dtype=np.float32)))
    assert median_of(np.array([3, 1, 2, 9])) == 2.5
