"""Holes in a mosaic, told and counted as scipy.ndimage would."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes, label

from skyquilt.engine.mosaic.figures import enclosed_holes


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 1.0])
def test_holes_are_those_of_the_definition(share: float) -> None:
    rng = np.random.default_rng(4)
    for height, width in [(1, 1), (1, 7), (7, 1), (40, 61), (23, 17)]:
        covered = rng.random((height, width)) < share
        holes, n_holes = enclosed_holes(covered)
        expected = binary_fill_holes(covered) & ~covered
        assert np.array_equal(holes, expected)
        assert n_holes == label(expected)[1]


def test_a_bay_that_opens_to_the_edge_is_no_hole() -> None:
    covered = np.ones((30, 40), dtype=bool)
    covered[5:9, 5:12] = False  # a hole
    covered[15:25, 10:20] = False
    covered[20, 20:] = False  # which lets the second one out
    holes, n_holes = enclosed_holes(covered)
    assert n_holes == 1 and holes.sum() == 28
