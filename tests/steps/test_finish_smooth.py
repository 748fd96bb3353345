"""The classical filters: less noise in the sky, objects as they were, tiles as the whole."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.errors import UsageError
from skyquilt.steps.finish import SMOOTH_METHODS, SmoothSettings, plan_smooth, sample_pixels, smooth_background

NOISE = 0.01


def image() -> np.ndarray:
    y, x = np.mgrid[0:150, 0:180]
    light = np.exp(-0.5 * ((x - 60) ** 2 + (y - 70) ** 2) / 12.0**2)
    noise = np.random.default_rng(1).normal(0.0, NOISE, (3, 150, 180))
    return (0.2 + light + noise).astype(np.float32)


@pytest.mark.parametrize("method", SMOOTH_METHODS)
def test_the_sky_gets_smooth_and_the_object_stays(method: str) -> None:
    before = image()
    after = smooth_background(before, SmoothSettings(method, size_px=5))
    sky, bright = (slice(None), slice(None), slice(130, 175)), (slice(None), slice(55, 85), slice(45, 75))
    assert after[sky].std() < 0.6 * before[sky].std()
    assert abs(after[sky].mean() - before[sky].mean()) < 0.05 * NOISE
    assert np.array_equal(after[bright], before[bright])


@pytest.mark.parametrize("method", SMOOTH_METHODS)
def test_tiles_with_a_halo_have_the_bits_of_the_whole(method: str) -> None:
    whole = image()
    whole[:, 40:44, 100:103] = np.nan
    plan = plan_smooth(sample_pixels(whole), SmoothSettings(method, size_px=7))
    expected, halo = plan.apply(whole), plan.halo
    part = plan.apply(whole[:, 30 - halo : 90 + halo, 50 - halo : 120 + halo])
    assert np.array_equal(part[:, halo:-halo, halo:-halo], expected[:, 30:90, 50:120], equal_nan=True)
    assert np.array_equal(np.isnan(expected), np.isnan(whole))


def test_bilateral_weights_are_those_of_the_definition() -> None:
    small = image()[:1, :9, 150:159]
    plan = plan_smooth(sample_pixels(image()[:1]), SmoothSettings("bilateral", size_px=5, protect_sigma=0.0))
    found, value = plan.apply(small)[0, 4, 4], small[0].astype(np.float64)
    j, i = np.mgrid[-2:3, -2:3]
    near = np.exp(-0.5 * (i**2 + j**2) / (5 / 3) ** 2)
    like = np.exp(-0.5 * ((value[2:7, 2:7] - value[4, 4]) / (3.0 * plan.background.sigma[0])) ** 2)
    assert found == pytest.approx(float((near * like * value[2:7, 2:7]).sum() / (near * like).sum()), rel=1e-5)


@pytest.mark.parametrize("wrong", [{"method": "mean"}, {"size_px": 2}, {"size_px": 26}, {"protect_sigma": -1.0}])
def test_what_cannot_be_meant_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        SmoothSettings(**wrong)  # type: ignore[arg-type]
