"""Small symmetric equations."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core.arrays import F64
from skyquilt.kernels.backend import kernel
from skyquilt.kernels.cholesky import solve


@kernel
def _solve(matrix: F64, vector: F64, n: int) -> bool:
    return solve(matrix, vector, n, 1e-13)


@pytest.mark.parametrize("n", [1, 3, 6])
def test_the_solution_is_that_of_numpy_and_the_rest_stays(n: int) -> None:
    random = np.random.default_rng(n)
    design = random.normal(size=(20, 6))
    matrix, vector = design.T @ design, random.normal(size=6)
    expected = np.linalg.solve(matrix[:n, :n], vector[:n])
    solved = vector.copy()
    assert _solve(np.tril(matrix), solved, n)
    np.testing.assert_allclose(solved[:n], expected, rtol=1e-10)
    assert np.array_equal(solved[n:], vector[n:])


def test_equations_that_say_nothing_are_refused() -> None:
    column = np.arange(1.0, 5.0)
    assert not _solve(np.outer(column, column), np.ones(4), 4)
    assert not _solve(np.full((2, 2), np.nan), np.ones(2), 2)
