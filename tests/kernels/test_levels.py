"""Row levels by halving against sorting."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core import U16
from skyquilt.kernels.levels import row_levels, row_levels_slowly, stored_levels, word_levels


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


def as_stored(pixels: U16) -> U16:
    """Return pixels as the words of a FITS file with BZERO 32768."""
    return (pixels ^ np.uint16(0x8000)).byteswap()


def draw_words(shape: tuple[int, int], sigma: float) -> U16:
    """Two colours far apart, a band without exposure, hot pixels, both ends of the range."""
    random = np.random.default_rng(4)
    pixels = random.normal(20000.0, sigma, shape)
    pixels[1::2] += 9000.0
    pixels[20:30] = random.normal(500.0, 3.0, (10, shape[1]))
    pixels[random.random(shape) < 0.01] = 65535.0
    pixels[:, ::7][random.random(pixels[:, ::7].shape) < 0.01] = 0.0
    return np.clip(np.rint(pixels), 0, 65535).astype(np.uint16)


@pytest.mark.parametrize("sigma", [0.0, 2.0, 300.0])
@pytest.mark.parametrize(("width", "step"), [(301, 2), (64, 4), (65, 4), (2, 2), (3, 4)])
def test_levels_of_stored_rows_equal_the_sorted_rows(width: int, step: int, sigma: float) -> None:
    pixels = draw_words((60, width), sigma)
    even, odd, high, n_full = np.empty(60), np.empty(60), np.empty(60), np.zeros(4, dtype=np.int64)
    stored_levels(as_stored(pixels), 0.99, step, 60000, even, odd, high, n_full)
    np.testing.assert_array_equal(even, row_levels_slowly(pixels, 0.5, 0, step))
    np.testing.assert_array_equal(odd, row_levels_slowly(pixels, 0.5, 1, step))
    np.testing.assert_array_equal(high, row_levels_slowly(pixels, 0.99, 0, 1))
    sites = [np.count_nonzero(pixels[y::2, x::2] >= 60000) for y in (0, 1) for x in (0, 1)]
    np.testing.assert_array_equal(n_full, sites)


@pytest.mark.parametrize("width", [1, 2, 60, 10001])
def test_medians_of_words_equal_the_sorted_rows(width: int) -> None:
    pixels = draw_words((40, width), 50.0)
    levels = np.empty(40)
    word_levels(pixels, levels)
    np.testing.assert_array_equal(levels, row_levels_slowly(pixels, 0.5, 0, 1))
