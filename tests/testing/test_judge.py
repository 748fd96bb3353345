"""The judge of stacks, on stacks that are right by construction or wrong by a known amount."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import convolve1d

from skyquilt.core import Transform
from skyquilt.testing.judge import Stacked
from skyquilt.testing.sky import Scenario, make_session

SCENARIO = Scenario(
    target="none", tycho=False, nebula=False, width=600, height=600, n_frames=2, n_faint_stars=200, zero_point=24.5
)


@pytest.fixture(scope="module", params=[2.2, 3.6])
def ideal(request, tmp_path_factory) -> Stacked:
    """Return the stack of a camera that measures all colours in every pixel, with the noise of sixteen frames."""
    truth = make_session(tmp_path_factory.mktemp("sky"), replace(SCENARIO, fwhm_px=request.param))
    empty = np.zeros((3, 600, 600), dtype=np.float32)
    stacked = Stacked(truth, {}, empty, empty, empty[0], 0, (0, 1), (Transform.identity(),) * 2)
    rng = np.random.default_rng(3)
    sky = truth.frames[0].sky_adu[:, None, None] + rng.normal(0, 1, empty.shape) * 20.0
    light = np.stack([stacked.light(channel) for channel in range(3)])
    return replace(stacked, value=(light + sky).astype(np.float32))


def test_widths_are_unbiased_in_every_colour_however_faint(ideal: Stacked) -> None:
    stars = ideal.stars(apart_px=26.0, margin_px=26.0, peak_adu=(1500.0, 40000.0))
    assert len(stars) >= 20
    assert np.median(stars.flux[:, 2] / stars.flux[:, 1]) < 0.7  # blue is the faint one
    for channel in range(3):
        assert ideal.fwhm_ratio(stars, channel) == pytest.approx(1.0, abs=0.005)


def test_a_known_blur_is_found_in_every_colour(ideal: Stacked) -> None:
    stars = ideal.stars(apart_px=26.0, margin_px=26.0, peak_adu=(3000.0, 40000.0))
    weights = np.array([0.03, 0.94, 0.03])  # adds a variance of 0.06 px² along each axis
    blurred = replace(ideal, value=convolve1d(convolve1d(ideal.value, weights, axis=1), weights, axis=2))
    expected = np.sqrt(1.0 + 0.06 * (2.3548 / ideal.frames_fwhm_px()) ** 2)
    for channel in range(3):
        assert blurred.fwhm_ratio(stars, channel) == pytest.approx(expected, rel=0.01)


def test_light_that_is_missing_is_seen_to_a_thousandth(ideal: Stacked) -> None:
    stars = ideal.stars(apart_px=26.0, margin_px=26.0, peak_adu=(5000.0, 40000.0))
    for channel in range(3):
        sky = np.median(ideal.value[channel])
        dimmed = replace(ideal, value=(ideal.value - sky) * np.float32(0.98) + sky)
        ratio = np.nanmedian(dimmed.flux_ratios(stars, channel)) / np.nanmedian(ideal.flux_ratios(stars, channel))
        assert ratio == pytest.approx(0.98, abs=1e-3)
