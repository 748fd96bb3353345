"""Small symmetric equations solved inside of kernels."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F64
from skyquilt.kernels.backend import called

__all__ = ["solve"]


@called
def solve(matrix: F64, vector: F64, n: int, least: float) -> bool:
    """
    Solve the first n equations in place by Cholesky's factors; False if they are not positive definite.

    Parameters
    ----------
    matrix : float64 (at least n, at least n)
        Its lower half is read and becomes the factor.
    vector : float64 (at least n,)
        Right side; becomes the solution.
    least : float
        Share of a diagonal element that must be left after what the equations before it explain.

    Notes
    -----
    Definition:: vector[:n] = np.linalg.solve(matrix[:n, :n], vector[:n])
    """
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i == j:
                if not total > least * abs(matrix[i, i]):
                    return False
                matrix[i, i] = np.sqrt(total)
            else:
                matrix[i, j] = total / matrix[j, j]
    for i in range(n):
        total = vector[i]
        for k in range(i):
            total -= matrix[i, k] * vector[k]
        vector[i] = total / matrix[i, i]
    for i in range(n - 1, -1, -1):
        total = vector[i]
        for k in range(i + 1, n):
            total -= matrix[k, i] * vector[k]
        vector[i] = total / matrix[i, i]
    return True
