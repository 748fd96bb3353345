"""Row levels by halving against sorting."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.kernels.levels import row_levels, row_levels_slowly


@pytest.mark.parametrize("share", [0.5, 0.99])
@pytest.mark.parametrize(("start", "step"), [(0, 1), (0, 2), (1, 2)])
def test_row_levels_equal_the_sorted_rows_to_the_stated_resolution(share: float, start: int, step: int) -> None:
    random = np.random.default_rng(3)
    pixels = np.rint(random.normal(1000.0, 30.0, (60, 301))).astype(np.float32)
    pixels[20:30] -= 400.0  # a band that the search must jump to
    pixels[7, 5] = 60000.0
    levels = np.empty(60)
    row_levels(pixels, share, start, step, levels)
    exact = row_levels_slowly(pixels, share, start, step)
    deviation = np.abs(pixels[0, start::step] - exact[0]).mean()
    assert (levels >= exact - 1e-3).all()
    assert (levels <= exact + 2e-3 * deviation + 1e-3 * 65536 * 2.4e-7 + 0.02).all()


def test_rows_of_one_value_have_that_level() -> None:
    levels = np.empty(4)
    row_levels(np.full((4, 10), 7.0, dtype=np.float32), 0.5, 0, 1, levels)
    assert np.allclose(levels, 7.0, atol=1e-5)
