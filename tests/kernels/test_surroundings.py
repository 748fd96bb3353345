"""What lies around peaks, as the definitions say."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.kernels.detect_surroundings import aperture_sums, find_unsaturated, light_of_neighbours, local_levels


def test_the_level_of_an_annulus_is_its_clipped_mean() -> None:
    rng = np.random.default_rng(1)
    plane = rng.normal(5, 2, (40, 50)).astype(np.float32)
    plane[::7, ::5] += 60.0
    x, y = rng.uniform(-2, 51, 60), rng.uniform(-2, 41, 60)
    level = np.empty(60)
    local_levels(plane, x, y, 4.3, 7.6, level)
    rows, columns = np.mgrid[0:40, 0:50]
    for k in range(60):
        r2 = (columns - np.rint(x[k])) ** 2 + (rows - np.rint(y[k])) ** 2
        values = plane[(r2 >= 4.3**2) & (r2 <= 7.6**2)].astype(np.float64)
        mean, chosen = 0.0, values
        for _ in range(4):
            if values.size < 8 or chosen.size < 4:
                break
            mean, sigma = chosen.mean(), chosen.std()
            chosen = values[(values >= mean - 2.5 * sigma) & (values <= mean + 2.5 * sigma)]
        assert level[k] == pytest.approx(mean, rel=1e-6)


def test_neighbours_are_all_other_stars_within_reach() -> None:
    rng = np.random.default_rng(2)
    x, y, height = rng.uniform(0, 90, (3, 80))
    light = np.empty(50)
    light_of_neighbours(x, y, height, 12.0, light)
    near = (np.hypot(x[:50, None] - x, y[:50, None] - y) < 12.0) & ~np.eye(50, 80, dtype=bool)
    assert np.allclose(light, (near * height).sum(axis=1))


def test_the_first_points_far_from_saturated_pixels_are_found() -> None:
    rng = np.random.default_rng(3)
    pixels = rng.uniform(0, 1000, (60, 70)).astype(np.float32)
    pixels[rng.integers(0, 60, 40), rng.integers(0, 70, 40)] = 60000.0
    x, y = rng.uniform(0, 69, 100), rng.uniform(0, 59, 100)
    is_far = []
    for u, v in zip(np.rint(x).astype(int), np.rint(y).astype(int), strict=True):
        is_far.append(pixels[max(v - 2, 0) : v + 3, max(u - 2, 0) : u + 3].max() < 60000.0)
    for most in (5, 100):
        found = np.empty(most, np.int64)
        n = find_unsaturated(pixels, x, y, 60000.0, found)
        assert found[:n].tolist() == np.flatnonzero(is_far)[:most].tolist()


@pytest.mark.parametrize("parity", [-1, 0, 1])
def test_an_aperture_has_a_soft_edge_and_tells_nothing_where_it_cannot(parity: int) -> None:
    rng = np.random.default_rng(4)
    pixels = rng.normal(100, 5, (40, 40)).astype(np.float32)
    pixels[30, 30] = 5000.0
    x, y = np.array([15.3, 3.0, 28.0]), np.array([14.8, 20.0, 29.0])
    sums = np.empty(3)
    aperture_sums(pixels, parity, x, y, np.array([99.0, 99.0, 99.0]), 5.2, 4000.0, sums)
    rows, columns = np.mgrid[0:40, 0:40]
    share = np.clip(5.2 + 0.5 - np.hypot(columns - 15.3, rows - 14.8), 0.0, 1.0)
    if parity >= 0:
        share = np.where((rows + columns) % 2 == parity, 2.0 * share, 0.0)
    assert sums[0] == pytest.approx((share * (pixels.astype(np.float64) - 99.0)).sum(), rel=1e-9)
    assert np.isnan(sums[1])
    assert np.isnan(sums[2]) == (parity in (-1, 0))
