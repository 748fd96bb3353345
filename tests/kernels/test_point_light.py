"""Light of points: drawn as defined, the same by tiles, fitted as a common least-squares fit would."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.kernels.hashed_noise import define_normal, fill_normal
from skyquilt.kernels.point_light import PER_SIGMA, add_points, define_points, fit_heights

PROFILE = np.exp(-0.5 * (np.arange(60) / PER_SIGMA) ** 2)


def some_points(n: int = 12, seed: int = 4) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(95.0, 165.0, n), rng.uniform(195.0, 255.0, n)
    inverse = np.tile([0.5, 0.1, 0.4], (n, 1)) * rng.uniform(0.8, 1.2, (n, 1))
    return x, y, rng.uniform(50.0, 500.0, n), inverse, rng.uniform(6.0, 12.0, n)


def test_points_are_drawn_as_defined() -> None:
    x, y, height, inverse, reach = some_points()
    image = np.random.default_rng(5).normal(10.0, 1.0, (60, 70)).astype(np.float32)
    expected = define_points(image, 100, 200, x, y, height, inverse, PROFILE, reach)
    add_points(image, 100, 200, x, y, height, inverse, PROFILE, reach)
    assert np.abs(image - expected).max() < 1e-4  # of 500: the rounding of float32


def test_a_tile_gets_the_bits_of_the_whole() -> None:
    x, y, height, inverse, reach = some_points()
    whole, tile = np.zeros((60, 70), np.float32), np.zeros((23, 31), np.float32)
    add_points(whole, 100, 200, x, y, height, inverse, PROFILE, reach)
    add_points(tile, 117, 219, x, y, height, inverse, PROFILE, reach)
    assert np.array_equal(tile, whole[19:42, 17:48])


def test_heights_of_points_that_overlap_are_those_of_a_common_fit() -> None:
    x, y = np.array([20.0, 22.5, 30.2]), np.array([20.3, 21.0, 19.0])
    height, inverse = np.array([100.0, 40.0, 75.0]), np.tile([0.5, 0.0, 0.5], (3, 1))
    image = np.full((40, 50), 7.0, np.float32)
    add_points(image, 0, 0, x, y, height, inverse, PROFILE, np.full(3, 12.0))
    fitted = np.zeros(3)
    fit_heights(image, 0, 0, x, y, fitted, inverse, PROFILE, np.full(3, 3.0), np.full(3, 12.0), np.full(3, np.inf), 40)
    assert fitted == pytest.approx(height, rel=2e-4)
    assert np.abs(image - 7.0).max() < 0.02


def test_cut_off_tops_tell_nothing() -> None:
    x, y, height = np.array([20.0]), np.array([20.3]), np.array([100.0])
    inverse = np.array([[0.1, 0.0, 0.1]])
    image = np.zeros((40, 50), np.float32)
    add_points(image, 0, 0, x, y, height, inverse, PROFILE, np.full(1, 18.0))
    image = np.minimum(image, np.float32(30.0))
    fitted = np.zeros(1)
    fit_heights(image, 0, 0, x, y, fitted, inverse, PROFILE, np.full(1, 4.0), np.full(1, 18.0), np.full(1, 29.9), 3)
    assert fitted[0] == pytest.approx(100.0, rel=1e-3)


def test_noise_is_a_function_of_the_place() -> None:
    whole, tile = np.empty((50, 60), np.float32), np.empty((11, 13), np.float32)
    fill_normal(whole, 1000, 2000, 7)
    fill_normal(tile, 1020, 2030, 7)
    assert np.array_equal(whole, define_normal((50, 60), 1000, 2000, 7))
    assert np.array_equal(tile, whole[30:41, 20:33])
    fill_normal(tile, 1020, 2030, 8)
    assert not np.array_equal(tile, whole[30:41, 20:33])


def test_noise_is_white_and_of_sigma_one() -> None:
    noise = define_normal((400, 400), -30, 5, 3)
    assert abs(noise.mean()) < 0.01
    assert noise.std() == pytest.approx(1.0, abs=0.01)
    for axis in (0, 1):
        assert abs(np.mean(noise * np.roll(noise, 1, axis=axis))) < 0.01
