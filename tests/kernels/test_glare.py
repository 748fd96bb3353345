"""Where the glare of saturated pixels lies, and what it is to hold a colour."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core import Cfa
from skyquilt.kernels.debayer_definition import bilinear, malvar
from skyquilt.kernels.glare import find_glare, hold_colours, mark_glare


@pytest.mark.parametrize(("pitch", "reach"), [(1, 0), (1, 2), (1, 4), (2, 2)])
def test_the_marked_glare_is_that_of_its_definition(pitch: int, reach: int) -> None:
    rng = np.random.default_rng(3)
    saturated = rng.random((60, 84)) < 0.004
    saturated[20:29, 30:47] = True  # a plateau
    left, top, size = 3, 5, (20, 26)  # of the piece, in grid pixels
    expected = find_glare(saturated.reshape(60 // pitch, pitch, 84 // pitch, pitch).any(axis=(1, 3)), reach)
    glare, blocks = np.zeros(size, np.uint8), np.zeros((size[0] // 8 + 1, size[1] // 8 + 1), np.uint8)
    places = np.flatnonzero(saturated).astype(np.int32)
    mark_glare(places, 84, -left * pitch, -top * pitch, pitch, reach, glare, blocks)
    np.testing.assert_array_equal(glare == 1, expected[top : top + size[0], left : left + size[1]])
    for y, x in np.ndindex(blocks.shape):
        assert blocks[y, x] == glare[8 * y : 8 * y + 8, 8 * x : 8 * x + 8].any()


def test_a_held_colour_lies_among_the_sites_around_it_and_measured_values_stay() -> None:
    rng = np.random.default_rng(4)
    pixels = rng.uniform(0, 60000, (30, 40)).astype(np.float32)
    cfa = Cfa("GBRG")
    plane = np.pad(pixels, 1, mode="reflect")
    held = hold_colours(malvar(pixels, cfa), plane, cfa.red_site)
    rows, columns = np.indices(pixels.shape) % 2
    for channel in range(3):
        here = cfa.table[rows, columns] == channel
        np.testing.assert_array_equal(held[channel][here], pixels[here])
    assert held.min() >= pixels.min()
    assert held.max() <= pixels.max()
    # red at a site where red is measured beside it: three quarters of the way from the mean to the two
    y, x = np.argwhere((cfa.table[rows, columns] == 1) & (rows == cfa.red_site[1]))[50]
    low, high = sorted([plane[y + 1, x], plane[y + 1, x + 2]])
    middle, half = (low + high) / 2, (high - low) / 2
    wanted = np.clip(malvar(pixels, cfa)[0, y, x], middle - 0.75 * half, middle + 0.75 * half)
    assert held[0, y, x] == pytest.approx(wanted, rel=1e-6)


def test_the_mean_of_the_sites_is_held_already() -> None:
    pixels = np.random.default_rng(5).uniform(0, 60000, (30, 40)).astype(np.float32)
    cfa = Cfa("RGGB")
    colours = bilinear(pixels, cfa)
    held = hold_colours(colours, np.pad(pixels, 1, mode="reflect"), cfa.red_site)
    np.testing.assert_allclose(held, colours, rtol=1e-6)
