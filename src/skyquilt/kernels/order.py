"""Medians and order of a few values inside of kernels: shorter to compile than what the compiler has for NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.core.arrays import F32, F64
from skyquilt.kernels.backend import called, kernel

__all__ = ["count_up_to", "median", "median_near", "median_of", "row_medians", "sort_few"]

_FEW, _SORTED = 16, 64
_WIDENINGS = 20


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


@called
def count_up_to(values: NDArray[Any], limit: Any) -> int:
    """Count the values that are not above a limit of their own type."""
    count = np.int32(0)  # 32 bits, as float32 has: the compiler then compares sixteen at a time
    for k in range(values.size):
        count = np.int32(count + np.int32(values[k] <= limit))
    return int(count)


@called
def median_near(values: F32, guess: float, reach: float) -> float:
    """
    Return the median of some values, none NaN, sought from about `guess` +- `reach` on; their order may change.

    Definition: as `median`, which also does it where the reach is not above 0.

    Counting has no branches, so it runs in vectors: a bracket around the median is halved until few values are in it.
    """
    n = values.size
    lower, upper = (n - 1) // 2, n // 2
    low, high = np.float32(guess - reach), np.float32(guess + reach)
    if not high > low:
        return median(values, n)
    n_low, n_high = count_up_to(values, low), count_up_to(values, high)
    for _ in range(_WIDENINGS):
        if n_low <= lower and n_high > upper:
            break
        if n_low > lower:
            low = np.float32(low - np.float32(4.0) * (high - low))
            n_low = count_up_to(values, low)
        if n_high <= upper:
            high = np.float32(high + np.float32(4.0) * (high - low))
            n_high = count_up_to(values, high)
    while n_high - n_low > _FEW:
        middle = np.float32(low + np.float32(0.5) * (high - low))
        if not low < middle < high:
            break
        count = count_up_to(values, middle)
        if count <= lower:
            low, n_low = middle, count
        elif count > upper:
            high, n_high = middle, count
        else:  # between the two in the middle
            break
    if n_low > lower or n_high <= upper or n_high - n_low > _SORTED:
        return median(values, n)
    some = np.empty(_SORTED, np.float32)
    m = 0
    for k in range(n):
        if low < values[k] <= high:
            some[m] = values[k]
            m += 1
    sort_few(some, m)
    if n % 2 == 1:
        return float(some[lower - n_low])
    return 0.5 * float(some[lower - n_low] + some[upper - n_low])


@kernel
def row_medians(rows: F64, least: int, out: F64) -> None:
    """
    Fill the median of the finite values of every row; NaN where there are fewer than `least`, which is 1 or more.

    Definition: ``np.nanmedian(rows, axis=1)`` for those rows.
    """
    values = np.empty(rows.shape[1])
    for i in range(rows.shape[0]):
        n = 0
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
