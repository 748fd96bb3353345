"""The colour of a frame's stars, from its raw pixels."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core import Cfa, Stars
from skyquilt.steps.stars import NEUTRAL, measure, star_colour


def make_frame(colours: np.ndarray, cfa: Cfa, *, noise: float = 5.0, height: float = 3000.0) -> np.ndarray:
    """Return a frame of stars on a grid; `colours` (n, 2) are red and blue over green of each."""
    rng = np.random.default_rng(7)
    side = int(np.ceil(np.sqrt(len(colours))))
    rows, columns = np.indices((50 * side, 50 * side))
    site = cfa.table[rows % 2, columns % 2]
    image = np.array([700.0, 900.0, 600.0])[site] + rng.normal(0, noise, site.shape)
    for k, (red, blue) in enumerate(colours):
        x, y = 25 + 50 * (k % side) + rng.uniform(-1, 1), 25 + 50 * (k // side) + rng.uniform(-1, 1)
        image += np.array([red, 1.0, blue])[site] * height * np.exp(-0.5 * ((columns - x) ** 2 + (rows - y) ** 2) / 1.3)
    return image.astype(np.float32)


@pytest.mark.parametrize("name", ["GRBG", "RGGB"])
def test_it_is_that_of_the_usual_star(name: str) -> None:
    colours = np.random.default_rng(2).normal([0.8, 0.55], 0.08, (49, 2))
    colours[3] = [4.0, 0.1]
    frame = make_frame(colours, Cfa(name))
    found = star_colour(frame, Cfa(name), measure(frame, Cfa(name), saturation_adu=65535.0).stars)
    np.testing.assert_allclose(found, np.median(colours, axis=0), atol=0.02)
    assert all(value * 64 == round(value * 64) for value in found)


def test_saturated_stars_and_faint_ones_have_no_say() -> None:
    colours = np.tile([0.75, 0.5], (25, 1))
    frame = make_frame(colours, Cfa("RGGB"))
    stars = measure(frame, Cfa("RGGB"), saturation_adu=2500.0).stars
    assert stars.is_saturated.all()
    assert star_colour(frame, Cfa("RGGB"), stars) == NEUTRAL
    faint = make_frame(colours, Cfa("RGGB"), height=40.0)
    assert star_colour(faint, Cfa("RGGB"), measure(faint, Cfa("RGGB"), saturation_adu=65535.0).stars) == NEUTRAL


def test_a_frame_without_stars_is_neutral() -> None:
    assert star_colour(np.full((64, 64), 100, np.float32), Cfa("RGGB"), Stars.empty()) == NEUTRAL


def test_it_stays_within_bounds() -> None:
    frame = make_frame(np.tile([9.0, 0.01], (25, 1)), Cfa("RGGB"))
    stars = measure(frame, Cfa("RGGB"), saturation_adu=1e9).stars
    assert star_colour(frame, Cfa("RGGB"), stars) == (4.0, 0.25)
