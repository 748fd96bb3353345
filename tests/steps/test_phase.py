"""The sky of a raw frame tells whether its header names the right diagonal of the colour filter array."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core import CFA_NAMES, F32, Cfa
from skyquilt.steps.debayer import contradiction

SAME_GREEN = {"RGGB": ("RGGB", "BGGR"), "BGGR": ("RGGB", "BGGR"), "GRBG": ("GRBG", "GBRG"), "GBRG": ("GRBG", "GBRG")}


def sky(name: str, levels: tuple[float, float, float] = (840.0, 1000.0, 790.0), noise: float = 40.0) -> F32:
    random = np.random.default_rng(4)
    mosaic = np.array(levels)[np.tile(Cfa(name).table, (60, 50))] + random.normal(0.0, noise, (120, 100))
    mosaic[random.integers(0, 120, 30), random.integers(0, 100, 30)] += 5000.0  # stars and hot pixels
    return mosaic.astype(np.float32)


@pytest.mark.parametrize("true", CFA_NAMES)
@pytest.mark.parametrize("claimed", CFA_NAMES)
def test_a_pattern_with_green_at_the_wrong_sites_is_contradicted(true: str, claimed: str) -> None:
    said = contradiction(sky(true), Cfa(claimed))
    assert bool(said) == (claimed not in SAME_GREEN[true])
    if said:
        assert f"the pattern {claimed}" in said
        assert "\n" not in said


@pytest.mark.parametrize("levels", [(900.0, 900.0, 900.0), (900.0, 1000.0, 898.0), (700.0, 700.0, 702.0)])
def test_a_sky_without_colour_tells_nothing(levels: tuple[float, float, float]) -> None:
    assert not any(contradiction(sky("RGGB", levels), Cfa(claimed)) for claimed in CFA_NAMES)


def test_greens_that_differ_by_half_a_percent_are_no_contradiction() -> None:
    mosaic = sky("RGGB", (900.0, 1000.0, 900.0), noise=5.0)
    mosaic[1::2, 0::2] *= 1.005
    assert contradiction(mosaic, Cfa("RGGB")) == ""


def test_pixels_without_a_number_and_empty_frames_are_borne() -> None:
    mosaic = sky("RGGB")
    mosaic[:40] = np.nan
    assert contradiction(mosaic, Cfa("GRBG"))
    assert contradiction(np.full((8, 8), np.nan, dtype=np.float32), Cfa("GRBG")) == ""
    assert contradiction(np.zeros((8, 8), dtype=np.float32), Cfa("GRBG")) == ""
