"""Medians and order of a few values inside of kernels: shorter to compile than what the compiler has for NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.core.arrays import F64
from skyquilt.kernels.backend import called, kernel

__all__ = ["median", "median_of", "row_medians", "sort_few"]


@called
def sort_few(values: NDArray[Any], n: int) -> None:
    """Sort the first `n` values in place, ascending, by insertion: for some ten of them; none may be NaN."""
    for k in range(1, n):
        value = values[k]
        place = k
        while place > 0 and values[place - 1] > value:
            values[place] = values[place - 1]
            place -= 1
        values[place] = value


@called
def median(values: NDArray[Any], n: int) -> float:
    """
    Return the median of the first `n` values, at least one and none of them NaN; their order changes.

    Definition: ``np.median(values[:n])``, the sum of the two in the middle in the type of the values.
    Source: the selection of Hoare 1961, Commun. ACM 4, 321, with the middle of three values as pivot.
    """
    wanted = n // 2
    low, high = 0, n - 1
    while low < high:
        a, b, c = values[low], values[(low + high) // 2], values[high]
        small, large = (a, b) if a < b else (b, a)
        pivot = small if c < small else (large if c > large else c)
        left, right = low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if wanted <= right:
            high = right
        elif wanted >= left:
            low = left
        else:
            break
    upper = values[wanted]
    if n % 2 == 1:
        return float(upper)
    lower = values[0]  # the largest of those before the wanted one, which are none above it
    for k in range(1, wanted):
        if values[k] > lower:
            lower = values[k]
    return 0.5 * float(lower + upper)


@kernel
def row_medians(rows: F64, least: int, out: F64) -> None:
    """
    Fill the median of the finite values of every row; NaN where there are fewer than `least`, which is 1 or more.

    Definition: ``np.nanmedian(rows, axis=1)`` for those rows.
    """
    values = np.empty(rows.shape[1])
    for i in range(rows.shape[0]):
        n = int(0)  # int: not compiled once more for a constant
        for k in range(rows.shape[1]):
            if np.isfinite(rows[i, k]):
                values[n] = rows[i, k]
                n += 1
        out[i] = median(values, n) if n >= least else np.nan


def median_of(values: NDArray[Any]) -> float:
    """Return the median of the finite ones of some values, NaN of none: ``np.nanmedian`` at a tenth of its overhead."""
    result = np.empty(1)
    row_medians(np.ascontiguousarray(values, dtype=np.float64).reshape(1, -1), 1, result)
    return float(result[0])
