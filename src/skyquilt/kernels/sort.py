"""
Sort the columns of a block: many pixels side by side, the samples of each below one another.

A block is one-dimensional float32 memory that stands for rows of `WIDTH` lanes: lane l of row r is at
``r * WIDTH + l``. Definition: ``np.sort(block.reshape(-1, WIDTH), axis=0)``.

The network is the merge sort of Batcher (1968, AFIPS Spring Joint Computer Conference 32, 307) in its bitonic form with
a reversed second half (its odd-even form for 16 rows and fewer), so that every exchange puts the smaller value into the
lower row: rows beyond the last sample hold +inf, never move, and exchanges among them are left out. Three or four
levels of exchanges are done at once on 16 rows held in registers, so that the rows travel between memory and registers
5 times for 64 samples instead of 21 times.
"""

from __future__ import annotations

from skyquilt.core import F32
from skyquilt.kernels.backend import exact_kernel
from skyquilt.kernels.lanes import WIDTH, row_network

__all__ = ["padded_rows", "sort_columns"]


def _halving(first: int, size: int, levels: int) -> list[tuple[int, int]]:
    """Exchanges at distances size/2, size/4, ... among `size` rows."""
    pairs = []
    distance = size // 2
    for _ in range(levels):
        pairs += [(first + i, first + i + distance) for i in range(size) if i % (2 * distance) < distance]
        distance //= 2
    return pairs


def _odd_even_sort(size: int) -> list[tuple[int, int]]:
    """Batcher's odd-even merge sort of `size` rows: 5, 19 and 63 exchanges for 4, 8 and 16."""
    pairs = []
    block = 1
    while block < size:
        distance = block
        while distance > 0:
            for first in range(distance % block, size - distance, 2 * distance):
                rows = range(first, min(first + distance, size - distance))
                pairs += [(i, i + distance) for i in rows if i // (2 * block) == (i + distance) // (2 * block)]
            distance //= 2
        block *= 2
    return pairs


# Rows 8 to 15 of the merging step are given from the far end backwards: row 8 + j mirrors row j. After the exchange
# with the mirror, the lower rows hold the smaller half; both halves then halve their distance three times.
_MERGE = [(j, 8 + j) for j in range(8)] + _halving(0, 8, 3) + [(b, a) for a, b in _halving(8, 8, 3)]

_sort4 = row_network(4, _odd_even_sort(4))
_sort8 = row_network(8, _odd_even_sort(8))
_sort16 = row_network(16, _odd_even_sort(16))
_merge16 = row_network(16, _MERGE)
_halve2 = row_network(2, _halving(0, 2, 1))
_halve4 = row_network(4, _halving(0, 4, 2))
_halve8 = row_network(8, _halving(0, 8, 3))
_halve16 = row_network(16, _halving(0, 16, 4))


@exact_kernel
def padded_rows(n_rows: int) -> int:
    """Return how many rows a block needs that holds `n_rows` samples: a power of two, at least 4."""
    rows = 4
    while rows < n_rows:
        rows *= 2
    return rows


@exact_kernel
def sort_columns(block: F32, n_rows: int) -> None:
    """
    Sort every column of the block, in place, ascending.

    Parameters
    ----------
    block : float32 (padded_rows(n_rows) * WIDTH,)
        Rows from `n_rows` on hold +inf before and after; no value is NaN.
    n_rows : int
    """
    w = WIDTH
    if n_rows <= 4:
        _sort4(block, 0, w, 2 * w, w)
        return
    if n_rows <= 8:
        _sort8(block, 0, w, 4 * w, w)
        return
    for first in range(0, n_rows, 16):
        _sort16(block, first * w, w, (first + 8) * w, w)
    half = 16
    while half < n_rows:
        step = half // 8
        for first in range(0, n_rows - half, 2 * half):
            last = first + 2 * half - 1
            for r in range(step):
                _merge16(block, (first + r) * w, step * w, (last - r) * w, -step * w)
        distance = step // 2
        while distance > 0:
            # a group of 2 * levels rows, `gap` apart, does the distances from `distance` down to `gap`
            if distance >= 8:
                gap = distance // 8
                for first in range(0, n_rows, 16 * gap):
                    for r in range(first, min(first + gap, n_rows)):
                        _halve16(block, r * w, gap * w, (r + 8 * gap) * w, gap * w)
            elif distance == 4:
                gap = 1
                for r in range(0, n_rows, 8):
                    _halve8(block, r * w, w, (r + 4) * w, w)
            elif distance == 2:
                gap = 1
                for r in range(0, n_rows, 4):
                    _halve4(block, r * w, w, (r + 2) * w, w)
            else:
                gap = 1
                for r in range(0, n_rows, 2):
                    _halve2(block, r * w, w, (r + 1) * w, w)
            distance = gap // 2
        half *= 2
