"""The sorting network sorts every column, whatever the number of rows."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.kernels.lanes import WIDTH
from skyquilt.kernels.sort import padded_rows, sort_columns


@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 20, 31, 33, 48, 60, 65, 128, 130, 200, 300, 1000])
def test_columns_come_out_sorted_and_missing_samples_last(n_rows: int) -> None:
    rng = np.random.default_rng(n_rows)
    rows = padded_rows(n_rows)
    block = np.full((rows, WIDTH), np.inf, dtype=np.float32)
    block[:n_rows] = rng.normal(size=(n_rows, WIDTH))
    block[:n_rows][rng.random((n_rows, WIDTH)) < 0.1] = np.inf
    expected = np.sort(block, axis=0)
    flat = block.reshape(-1).copy()
    sort_columns(flat, n_rows)
    assert np.array_equal(flat.reshape(rows, WIDTH), expected)


@pytest.mark.parametrize("n_rows", range(2, 17))
def test_the_network_sorts_every_pattern_of_zeros_and_ones(n_rows: int) -> None:
    """Knuth's principle: a network that sorts all of them sorts everything; checked on all patterns up to 12 rows."""
    n_patterns = 1 << min(n_rows, 12)
    patterns = (np.arange(n_patterns)[:, None] >> np.arange(min(n_rows, 12))) & 1
    values = np.zeros((n_patterns, n_rows), dtype=np.float32)
    values[:, : patterns.shape[1]] = patterns
    values[:, patterns.shape[1] :] = np.arange(n_rows - patterns.shape[1]) % 2
    for start in range(0, n_patterns, WIDTH):
        chunk = values[start : start + WIDTH]
        block = np.full((padded_rows(n_rows), WIDTH), np.inf, dtype=np.float32)
        block[:n_rows, : len(chunk)] = chunk.T
        flat = block.reshape(-1)
        sort_columns(flat, n_rows)
        result = flat.reshape(-1, WIDTH)[:n_rows, : len(chunk)].T
        assert np.array_equal(result, np.sort(chunk, axis=1))
