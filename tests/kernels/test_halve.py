"""The fast half of an image is the readable one."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.io.tiled import reduce_half
from skyquilt.kernels.halve import ALL_ALIKE, halve


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 8, 9), (3, 33, 40), (2, 64, 1), (4, 17, 15)])
@pytest.mark.parametrize("alike", [True, False])
def test_the_kernel_gives_the_bits_of_the_definition(shape: tuple[int, int, int], alike: bool) -> None:
    random = np.random.default_rng(9)
    value = random.standard_normal(shape).astype(np.float32)
    value[random.random(shape) < 0.2] = np.nan
    value[random.random(shape) < 0.05] = np.inf
    coverage = (100.0 * random.random(shape[1:])).astype(np.float32)
    coverage[random.random(shape[1:]) < 0.2] = 0.0
    coverage[random.random(shape[1:]) < 0.05] = np.nan
    if alike:
        coverage = np.isfinite(value).any(axis=0).astype(np.float32)
    half = (-(-shape[1] // 2), -(-shape[2] // 2))
    found_value, found_coverage = np.empty((shape[0], *half), np.float32), np.empty(half, np.float32)
    halve(value, ALL_ALIKE if alike else coverage, found_value, found_coverage)
    expected_value, expected_coverage = reduce_half(value, coverage)
    assert np.array_equal(found_value, expected_value, equal_nan=True)
    assert np.array_equal(found_coverage, expected_coverage)
