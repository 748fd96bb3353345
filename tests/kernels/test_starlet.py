"""The bands of an image: the compiled smoothing against its definition, and what bands must do."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.kernels.starlet import (
    WHITE_SIGMA,
    define_shrink,
    define_smooth,
    reach_of,
    shrink_band,
    smooth,
)


def smoothed(plane: np.ndarray, step: int) -> np.ndarray:
    out = np.empty_like(plane)
    smooth(plane, step, out)
    return out


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (5, 3), (40, 51), (90, 33)])
@pytest.mark.parametrize("step", [1, 2, 4, 8, 16])
def test_smoothing_is_its_definition_bit_by_bit(shape: tuple[int, int], step: int) -> None:
    plane = np.random.default_rng(1).normal(100.0, 5.0, shape).astype(np.float32)
    assert np.array_equal(smoothed(plane, step), define_smooth(plane, step))


def test_bands_of_white_noise_have_the_sigmas_that_are_told() -> None:
    plane = np.random.default_rng(2).normal(0.0, 1.0, (512, 512)).astype(np.float32)
    for scale in range(6):
        coarser = smoothed(plane, 2**scale)
        assert (plane - coarser).std() == pytest.approx(WHITE_SIGMA[scale], rel=0.06 if scale < 4 else 0.15)
        plane = coarser


def test_coefficients_depend_on_nothing_beyond_their_reach() -> None:
    plane = np.zeros((141, 141), np.float32)
    plane[70, 70] = 1.0
    for scale in range(4):
        plane = smoothed(plane, 2**scale)
        seen = np.nonzero(plane)[0]
        assert seen.max() - 70 == 70 - seen.min() == reach_of(scale + 1)
    assert plane.sum() == pytest.approx(1.0, abs=1e-6)


def test_shrinking_is_its_definition_bit_by_bit() -> None:
    rng = np.random.default_rng(3)
    band = rng.normal(0.0, 1.0, (37, 53)).astype(np.float32)
    square, keep = rng.uniform(0.0, 8.0, (2, 37, 53)).astype(np.float32)
    keep /= np.float32(16.0)
    left, kept = define_shrink(band, square, 2.3, 5.9, 0.8, keep)
    total = np.zeros_like(band)
    shrink_band(band, square, 2.3, 5.9, 0.8, keep, total)
    assert np.array_equal(keep, kept)
    assert np.array_equal(total, left)
    assert np.array_equal(left[square > 5.9], band[square > 5.9])
