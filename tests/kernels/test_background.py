"""The coarse sky map: smoothed and read between its cells as the definitions say."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.kernels.background import median_filter, sample_map


def test_each_cell_becomes_the_median_of_its_neighbourhood() -> None:
    padded = np.random.default_rng(1).normal(0, 1, (9, 12))
    out = np.empty((7, 10))
    median_filter(padded, out)
    for i, j in np.ndindex(out.shape):
        assert out[i, j] == np.median(padded[i : i + 3, j : j + 3])


@pytest.mark.parametrize(("rows", "columns"), [(5, 7), (1, 4), (3, 1), (2, 2)])
def test_a_map_is_bilinear_between_its_centres_and_continued_by_half_a_cell(rows: int, columns: int) -> None:
    rng = np.random.default_rng(rows * columns)
    cell, width, height = 16.0, 16.0 * columns, 16.0 * rows - 5.0
    across = (np.arange(columns) + 0.5) * cell - 0.5
    down = np.array([(i * cell + min((i + 1) * cell, height) - 1.0) / 2.0 for i in range(rows)])
    grid = rng.normal(100, 10, (rows, columns)).astype(np.float32)
    x, y = rng.uniform(-3, width + 3, (8, 9)), rng.uniform(-3, height + 3, (8, 9))
    level = np.empty(x.shape)
    sample_map(grid, across, down, width, height, x, y, level)
    for at in np.ndindex(x.shape):
        if not (-0.5 < x[at] < width - 0.5 and -0.5 < y[at] < height - 0.5):
            assert np.isnan(level[at])
            continue
        i, p = between(down, y[at])
        j, q = between(across, x[at])
        corner = grid[i : i + 2, j : j + 2].astype(np.float64)
        weights = np.outer([1 - p, p][: corner.shape[0]], [1 - q, q][: corner.shape[1]])
        assert level[at] == pytest.approx((weights * corner).sum(), rel=1e-12)


def between(centres: np.ndarray, at: float) -> tuple[int, float]:
    if len(centres) == 1:
        return 0, 0.0
    index = int(np.clip(np.searchsorted(centres, at) - 1, 0, len(centres) - 2))
    return index, float(np.clip((at - centres[index]) / (centres[index + 1] - centres[index]), -0.5, 1.5))


def test_beside_an_unknown_cell_nothing_is_known() -> None:
    grid = np.ones((2, 3), np.float32)
    grid[0, 2] = np.nan
    across, down = np.array([7.5, 23.5, 39.5]), np.array([7.5, 23.5])
    level = np.empty((1, 3))
    sample_map(grid, across, down, 48.0, 32.0, np.array([[8.0, 22.0, 30.0]]), np.full((1, 3), 9.0), level)
    assert level[0, :2].tolist() == [1.0, 1.0]
    assert np.isnan(level[0, 2])
