"""The bound of a registration against what is known of simple skies and against estimates that reach it."""

from dataclasses import replace

import numpy as np
import pytest

from skyquilt.testing.bounds import place_information, registration_bounds
from skyquilt.testing.sky import Scenario, make_truth
from skyquilt.testing.sky.exposure import raw_frame, render_frame

SKY = Scenario(
    target="none", tycho=False, nebula=False, width=300, height=300, n_faint_stars=8, zero_point=24.0, n_frames=4,
    n_hot_pixels=0, n_cold_pixels=0, n_cosmics_per_frame=0, cfa=None, fwhm_scatter=0.0, fwhm_trend=0.0,
)  # fmt: skip


def test_the_information_of_a_faint_star_is_that_of_the_textbook() -> None:
    truth = make_truth(replace(SKY, zero_point=19.0))
    stars, information = place_information(truth, 0)
    frame = truth.frames[0]
    sigma2 = (frame.fwhm_px / np.sqrt(8.0 * np.log(2.0))) ** 2 + 1.0 / 12.0
    # of a Gaussian in white noise (King 1983, PASP 95, 163): flux² / (8 pi sigma^4 noise²)
    expected = stars.flux[:, 0] ** 2 / (8.0 * np.pi * sigma2**2 * float(frame.sky_sigma_adu[0]) ** 2)
    assert len(stars) >= 5
    np.testing.assert_allclose(information[:, 0, 0], expected, rtol=0.03)
    np.testing.assert_allclose(information[:, 1, 1], expected, rtol=0.03)
    assert np.abs(information[:, 0, 1]).max() < 0.03 * expected.max()


def test_a_fit_with_all_that_is_known_reaches_the_information() -> None:
    truth = make_truth(replace(SKY, n_frames=120, dither_px=0.0, drift_px=0.0, jitter_px=0.0, rotation_deg=(0.0, 0.0)))
    stars, information = place_information(truth, 0)
    frame, scenario = truth.frames[0], truth.scenario
    k = int(np.argmax([min(x, y, 299 - x, 299 - y) for x, y in zip(stars.x, stars.y, strict=True)]))
    x, y = round(stars.x[k]), round(stars.y[k])
    part = np.s_[y - 8 : y + 9, x - 8 : x + 9]
    expected = render_frame(truth, 0)[part].astype(np.float64)
    light = expected - np.median(render_frame(truth, 0))
    slope_x, slope_y = np.gradient(expected, axis=1), np.gradient(expected, axis=0)
    variance = float(frame.sky_sigma_adu[0]) ** 2 + np.maximum(light, 0.0) / scenario.gain_e_per_adu
    design = np.stack([slope_x.ravel(), slope_y.ravel(), light.ravel()]) / np.sqrt(variance.ravel())
    found = []
    for index in range(120):
        scale = truth.frames[index].transparency / frame.transparency
        level = render_frame(truth, index)[part].astype(np.float64) - scale * light
        noise = (raw_frame(truth, index)[part] - level - scale * light) / np.sqrt(variance)
        found.append(np.linalg.lstsq(design.T, noise.ravel(), rcond=None)[0][:2])
    bound = np.sqrt(np.linalg.inv(information[k])[0, 0])
    assert np.std(found) == pytest.approx(bound, rel=0.15)


def test_more_frames_or_light_help_and_the_reference_limits() -> None:
    truth = make_truth(SKY)
    two = registration_bounds(truth, 0, [0, 1])
    four = registration_bounds(truth, 0, [0, 1, 2, 3])
    brighter = make_truth(replace(SKY, zero_point=25.0))
    assert [bound.index for bound in four] == [1, 2, 3]
    assert 0.7 * two[0].rms_px < four[0].rms_px <= two[0].rms_px * (1 + 1e-9)
    assert registration_bounds(brighter, 0, [0, 1])[0].rms_px < 0.6 * two[0].rms_px
    assert two[0].quantile_px(0.5) < 1.1 * two[0].rms_px < two[0].quantile_px(0.95)
