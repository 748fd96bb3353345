"""Robust levels of the rows of a frame, without sorting."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32, F64, I64, U16
from skyquilt.kernels.backend import called, kernel

__all__ = ["row_levels", "row_levels_slowly", "stored_levels", "word_levels"]

_HIGHEST = 65535
_FIRST_REACH = 64


@called
def _count_up_to(row: F32, value: np.float32) -> np.int32:
    """Count the values of a row that are not above `value`."""
    count = np.int32(0)
    for k in range(len(row)):
        count = np.int32(count + np.int32(row[k] <= value))
    return count


@kernel
def row_levels(pixels: F32, share: float, start: int, step: int, levels: F64) -> None:
    """
    Find a quantile of every row by halving the bracket of its values.

    Parameters
    ----------
    pixels : float32 (y, x), finite
    share : float, 0..1
        0.5 for the (lower) median.
    start, step : int
        Columns start, start + step, ... are looked at.
    levels : float64 (y,)
        Written in place: the smallest value v of the row with count(x <= v) >= share * n, not below it and not above
        it by more than 0.2 % of the mean absolute deviation of the first row.

    Notes
    -----
    Equals `row_levels_slowly` to that resolution. Counting has no branches, so the compiler makes vectors of it. The
    search starts around the level of the row before; where that does not hold, at the extremes of the row.
    """
    height, width = pixels.shape
    row = np.empty((width - start + step - 1) // step, dtype=np.float32)
    n = len(row)
    needed = np.int64(np.ceil(share * n))
    reach = 0.0
    for y in range(height):
        for k in range(n):
            row[k] = pixels[y, start + k * step]
        below, top = 0.0, -1.0
        if reach > 0.0:
            below, top = levels[y - 1] - reach, levels[y - 1] + reach
            if _count_up_to(row, np.float32(below)) >= needed or _count_up_to(row, np.float32(top)) < needed:
                top = below - 1.0
        if top < below:
            low, high = row[0], row[0]
            for k in range(n):
                low = min(low, row[k])
                high = max(high, row[k])
            below, top = np.float64(low) - 1e-3 * max(1.0, abs(np.float64(low))), np.float64(high)
        resolution = max(8e-3 * reach, 2.4e-7 * (top - below))
        while top - below > resolution:
            middle = np.float32(0.5 * (below + top))
            if np.float64(middle) >= top or np.float64(middle) <= below:
                break
            if _count_up_to(row, middle) >= needed:
                top = np.float64(middle)
            else:
                below = np.float64(middle)
        levels[y] = top
        if reach == 0.0:  # of the first row that is not flat: rows of a frame are alike
            deviation = 0.0
            for k in range(n):
                deviation += abs(row[k] - np.float32(top))
            reach = 0.25 * deviation / n


@called
def _count_words(row: U16, value: int) -> int:
    """Count the values of a row that are not above `value`; all in 16 bits, so that a vector holds many of them."""
    limit = np.uint16(value)
    count = np.uint16(0)
    for k in range(len(row)):
        count = np.uint16(count + np.uint16(row[k] <= limit))
    return int(count)


@called
def _word_quantile(row: U16, needed: int, guess: int, reach: int) -> int:
    """Return the smallest value v with count(x <= v) >= needed, searched for from `guess` on, ever farther away."""
    below, top = max(guess - reach, -1), min(guess + reach, _HIGHEST)
    stride = reach
    while top < _HIGHEST and _count_words(row, top) < needed:
        below = top
        stride *= 4
        top = min(top + stride, _HIGHEST)
    stride = reach
    while below >= 0 and _count_words(row, below) >= needed:
        top = below
        stride *= 4
        below = max(below - stride, -1)
    while top - below > 1:
        middle = (below + top) >> 1
        if _count_words(row, middle) >= needed:
            top = middle
        else:
            below = middle
    return top


@called
def _high_quantile(row: U16, needed: int, floor: int, guess: int, reach: int, room: U16) -> int:
    """Return what `_word_quantile` does, for a quantile likely above `floor`: few values are, and they count."""
    limit = np.uint16(floor)
    n_above = 0
    for k in range(len(row)):  # written in any case and kept by counting on: no branch to be guessed wrong
        room[n_above] = row[k]
        n_above += int(row[k] > limit)
    n_below = len(row) - n_above
    if needed > n_below:
        return _word_quantile(room[:n_above], needed - n_below, guess, reach)
    return _word_quantile(row, needed, guess, reach)


@kernel
def word_levels(values: U16, levels: F64) -> None:
    """
    Find the lower median of every row.

    Parameters
    ----------
    values : uint16 (y, x), x at most 65535
    levels : float64 (y,)
        Written in place. Definition: ``row_levels_slowly(values, 0.5, 0, 1)``, exactly.
    """
    height, width = values.shape
    reach = int(_FIRST_REACH)  # int: not compiled once more for a constant
    for y in range(height):
        guess = int(levels[y - 2]) if y > 1 else _HIGHEST // 2
        level = _word_quantile(values[y], (width + 1) // 2, guess, reach)
        levels[y] = level
        reach = max(1, (reach + 2 * abs(level - guess)) // 2) if y > 1 else _FIRST_REACH


@kernel
def stored_levels(stored: U16, share: float, step: int, full: int, even: F64, odd: F64, high: F64, n_full: I64) -> None:
    """
    Find the levels of every row of a frame as its file holds it, and count what is saturated.

    Parameters
    ----------
    stored : uint16 (y, x), x from 2 to 65535
        Big-endian integers of 16 bits with BZERO 32768, read as if they were native.
    share : float, 0.5..1
        Of the quantile `high`.
    step : int
        Every `step`-th column counts for `even` (from column 0) and for `odd` (from column 1).
    full : int, 1..65535, ADU
        A pixel is saturated from here on.
    even, odd : float64 (y,), ADU
        Written in place: lower medians.
    high : float64 (y,), ADU
        Written in place: the quantile of all columns.
    n_full : int64 (4,)
        Saturated pixels at the sites (even row, even column), (even, odd), (odd, even), (odd, odd); added to in place.

    Notes
    -----
    Definition, with the pixels as `kernels.decode.decode_plain` gives them: `row_levels_slowly`, exactly.
    Counting has no branches, so the compiler makes vectors of it. Each search starts at the level of the row two above,
    which has the same colours of a CFA, with the step by which that one missed.
    """
    height, width = stored.shape
    row = np.empty(width, dtype=np.uint16)
    room = np.empty(width + 1, dtype=np.uint16)
    left = np.empty((width + step - 1) // step, dtype=np.uint16)
    right = np.empty((width + step - 2) // step, dtype=np.uint16)
    n_pairs = len(right)
    needed_left, needed_right = (len(left) + 1) // 2, (n_pairs + 1) // 2
    needed_high = int(np.ceil(share * width))
    first = int(_FIRST_REACH)
    reach_left, reach_right, reach_high = first, first, first
    for y in range(height):
        source = stored[y]
        largest = np.uint16(0)
        for x in range(width):
            word = source[x]
            swapped = np.uint16((word >> np.uint16(8)) | (word << np.uint16(8)))
            value = np.uint16(swapped ^ np.uint16(0x8000))
            row[x] = value
            largest = max(largest, value)
        if largest >= full:
            for x in range(width):
                n_full[2 * (y & 1) + (x & 1)] += int(row[x] >= full)
        for k in range(n_pairs):
            left[k] = row[k * step]
            right[k] = row[k * step + 1]
        if len(left) > n_pairs:
            left[n_pairs] = row[n_pairs * step]
        guess_left, guess_right, guess_high = _HIGHEST // 2, _HIGHEST // 2, _HIGHEST // 2
        if y > 1:
            guess_left, guess_right, guess_high = int(even[y - 2]), int(odd[y - 2]), int(high[y - 2])
        level_left = _word_quantile(left, needed_left, guess_left, reach_left)
        level_right = _word_quantile(right, needed_right, guess_right, reach_right)
        middle = max(level_left, level_right)
        floor = middle + max(guess_high - middle, 0) // 2 if y > 1 else middle
        level_high = _high_quantile(row, needed_high, floor, guess_high, reach_high, room)
        even[y], odd[y], high[y] = level_left, level_right, level_high
        if y > 1:
            reach_left = max(1, (reach_left + 2 * abs(level_left - guess_left)) // 2)
            reach_right = max(1, (reach_right + 2 * abs(level_right - guess_right)) // 2)
            reach_high = max(1, (reach_high + 2 * abs(level_high - guess_high)) // 2)


def row_levels_slowly(pixels: F32 | U16, share: float, start: int, step: int) -> F64:
    """Return what `row_levels` finds, exactly: its definition."""
    rows = np.sort(pixels[:, start::step], axis=1)
    return rows[:, int(np.ceil(share * rows.shape[1])) - 1].astype(np.float64)
