"""Tone curves: monotone, invertible, as their authors define them; stretches planned once and applied by tiles."""

from __future__ import annotations

import numpy as np
import pytest
from finish_sky import emission_of, gradient_of, make_master

from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.finish import (
    COLOURMAPS,
    AsinhCurve,
    AsinhSettings,
    AutoStretchSettings,
    ColourmapSettings,
    Curve,
    HyperbolicCurve,
    HyperbolicSettings,
    ManualSettings,
    MidtonesCurve,
    StretchSettings,
    TwoStageCurve,
    TwoStageSettings,
    apply_colourmap,
    auto_stretch,
    luminance,
    measure_background,
    midtones,
    plan_stretch,
    sample_pixels,
    stretch_image,
)

CURVES: list[Curve] = [
    MidtonesCurve(100.0, 900.0, 0.5),
    MidtonesCurve(100.0, 900.0, 0.003),
    MidtonesCurve(100.0, 900.0, 0.8),
    AsinhCurve(100.0, 900.0, 0.01),
    AsinhCurve(100.0, 900.0, 500.0),
    TwoStageCurve(100.0, 900.0, 0.05, 30.0, 5.0),
    TwoStageCurve(100.0, 900.0, 0.5, 0.01, 800.0),
    *[
        HyperbolicCurve(100.0, 900.0, amount, shape, symmetry, low, high)
        for amount in (0.5, 300.0)
        for shape in (-3.0, -1.0, -0.4, 0.0, 0.7, 1.0, 8.0)
        for symmetry, low, high in ((0.0, 0.0, 1.0), (0.1, 0.02, 0.6), (1.0, 0.0, 1.0))
    ],
]


@pytest.mark.parametrize("curve", CURVES, ids=str)
def test_curves_rise_from_0_to_1_and_can_be_undone(curve: Curve) -> None:
    values = np.linspace(100.0, 900.0, 4001)
    y = curve.forward(values)
    assert y[0] == pytest.approx(0.0, abs=1e-9)
    assert y[-1] == pytest.approx(1.0, abs=1e-9)
    assert (np.diff(y) > -1e-12).all()
    slope = np.gradient(y, values)
    steep = slope > 1e-9  # where it is flat to rounding, the value is lost
    np.testing.assert_allclose(curve.inverse(y)[steep], values[steep], atol=2e-3)
    single = curve.forward(values.astype(np.float32))
    assert single.dtype == np.float32
    assert (np.diff(single) >= -2e-7).all()
    assert (np.abs(single - y) <= 2e-6 + slope * 1e-4).all()  # values of 900 have steps of 6e-5
    outside = curve.forward(np.array([-np.inf, 0.0, 99.0, 901.0, np.inf, np.nan], np.float32))
    np.testing.assert_array_equal(outside, [0, 0, 0, 1, 1, np.nan])


def test_the_midtones_function_is_the_documented_one() -> None:
    curve = MidtonesCurve(0.0, 1.0, 0.1)
    x = np.linspace(0, 1, 101)
    np.testing.assert_allclose(curve.forward(x), midtones(x, 0.1), atol=1e-12)
    assert float(curve.forward(np.array([0.1]))[0]) == pytest.approx(0.5)
    np.testing.assert_allclose(MidtonesCurve(0.0, 1.0, 0.5).forward(x), x, atol=1e-12)


def test_the_asinh_is_that_of_lupton() -> None:
    x = np.linspace(0, 1, 101)
    np.testing.assert_allclose(AsinhCurve(0.0, 1.0, 10.0).forward(x), np.arcsinh(10 * x) / np.arcsinh(10.0), atol=1e-12)


def test_two_stages_meet_without_a_kink() -> None:
    curve = TwoStageCurve(0.0, 1.0, 0.1, 20.0, 4.0)
    around = curve.forward(np.array([0.1 - 2e-6, 0.1 - 1e-6, 0.1, 0.1 + 1e-6, 0.1 + 2e-6]))
    slopes = np.diff(around) / 1e-6
    np.testing.assert_allclose(slopes, slopes[0], rtol=1e-3)
    assert around[2] == pytest.approx(curve.height)


@pytest.mark.parametrize("shape", [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 6.0])
def test_the_hyperbolic_stretch_has_the_published_slopes(shape: float) -> None:
    """T' = (1 - b D x)^(1/b), D / (1 + D x), D exp(-D x) or D (1 + b D x)^(-(1 + b)/b), symmetric about SP, straight
    beyond LP and HP."""
    d, sp, lp, hp = 20.0, 0.3, 0.1, 0.7
    curve = HyperbolicCurve(0.0, 1.0, d, shape, sp, lp, hp)
    x = np.linspace(0.002, 0.998, 499)
    slope = (curve.forward(x + 1e-6) - curve.forward(x - 1e-6)) / 2e-6
    distance = np.abs(np.clip(x, lp, hp) - sp)
    if shape == -1.0:
        expected = d / (1 + d * distance)
    elif shape < 0.0:
        expected = (1 - shape * d * distance) ** (1 / shape)
    elif shape == 0.0:
        expected = d * np.exp(-d * distance)
    else:
        expected = d * (1 + shape * d * distance) ** (-(1 + shape) / shape)
    ratio = slope / expected
    np.testing.assert_allclose(ratio, np.median(ratio), rtol=1e-4)


# stretches


@pytest.fixture(scope="module")
def master() -> np.ndarray:
    image = make_master(emission_of("galaxy"), gradient_of(1, 0.0)).image
    background = measure_background(image)
    image = image - (background.level - 570.0).astype(np.float32)[:, None, None]
    image[:, 100:110, 50:90] = np.nan
    return image


AUTOMATIC: list[StretchSettings] = [
    AutoStretchSettings(), AutoStretchSettings("each"), AutoStretchSettings("kept"),
    AsinhSettings(), AsinhSettings(colours="each"), AsinhSettings(colours="linked", target=0.1),
    TwoStageSettings(), TwoStageSettings(colours="linked"),
    HyperbolicSettings(), HyperbolicSettings(shape=0.0, colours="linked"), HyperbolicSettings(shape=-0.7),
]  # fmt: skip


@pytest.mark.parametrize("settings", AUTOMATIC, ids=str)
def test_automatic_stretches_bring_the_sky_to_the_target(master: np.ndarray, settings: StretchSettings) -> None:
    out = stretch_image(master, settings)
    assert out.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(out), np.isnan(master))
    assert np.nanmin(out) >= 0.0
    assert np.nanmax(out) <= 1.0
    target = settings.target  # type: ignore[union-attr]
    np.testing.assert_allclose(np.nanmedian(out, axis=(1, 2)), target, atol=0.03)
    plan = plan_stretch(sample_pixels(master), settings)
    for part in (np.s_[:, 90:300, 17:200], np.s_[:, 5:6, 5:6], np.s_[:, 400:, :]):
        np.testing.assert_array_equal(plan.apply(master[part]), out[part])


@pytest.mark.parametrize("settings", AUTOMATIC, ids=str)
def test_brighter_pixels_stay_brighter(settings: StretchSettings, master: np.ndarray) -> None:
    plan = plan_stretch(sample_pixels(master), settings)
    ramp = np.repeat(np.linspace(480, 9000, 3000, dtype=np.float32)[None, None], 3, axis=0)
    out = plan.apply(ramp)
    assert (np.diff(out, axis=2) >= -2e-7).all()
    coloured = ramp * np.array([1.3, 1.0, 0.8], np.float32)[:, None, None] - np.float32(20.0)
    assert (np.diff(plan.apply(coloured).mean(axis=0)) >= -1e-5).all()


@pytest.mark.parametrize("settings", [AsinhSettings(), AutoStretchSettings("kept"), HyperbolicSettings()], ids=str)
def test_ratios_of_channels_are_kept(master: np.ndarray, settings: StretchSettings) -> None:
    plan = plan_stretch(sample_pixels(master), settings)
    black = plan.curves[0].black
    light = np.array([1.2, 1.0, 0.8], np.float32)[:, None, None]
    for height in (90.0, 200.0):  # above 8 sigma of the mean, below the fade to white
        pixel = np.float32(black) + light * np.float32(570.0 - black + height)
        out = plan.apply(pixel)
        if out.mean() < 0.7:
            np.testing.assert_allclose(out / out.mean(), light, rtol=1e-4)
    white = plan.apply(np.float32(black) + light * np.float32(plan.curves[0].white - black))
    np.testing.assert_allclose(white, 1.0, atol=1e-5)
    # in the noise of the sky channels are stretched as if alone
    sky = np.array([570.0, 572.0, 568.0], np.float32)[:, None, None]
    step = plan.curves[0].forward(np.array([568.0, 572.0]))
    found = plan.apply(sky)
    assert float(found[1, 0, 0] - found[2, 0, 0]) == pytest.approx(float(step[1] - step[0]), rel=0.1)


def test_the_automatic_one_is_that_of_the_previews(master: np.ndarray) -> None:
    sample = sample_pixels(master)
    old = auto_stretch(sample, linked=True)
    plan = plan_stretch(sample, AutoStretchSettings())
    assert (plan.curves[0].black, plan.curves[0].white) == (old.shadows[0], old.highlights[0])
    picture = old.apply(master[:, :60], np.uint16)
    ours = np.moveaxis(np.nan_to_num(plan.apply(master[:, :60])), 0, 2) * 65535
    assert np.abs(picture - ours).max() < 4


def test_a_picture_of_a_deep_image_has_all_its_levels() -> None:
    """A sky of 3e-6 of the range up to the brightest star."""
    pixels = (0.3 + 3e-6 * np.random.default_rng(2).standard_normal((1, 200, 200))).astype(np.float32)
    pixels[0, 0, :2] = (1.0, np.nan)
    curve = auto_stretch(pixels)
    t = np.clip((pixels[0] - np.float32(curve.shadows[0])) / (curve.highlights[0] - curve.shadows[0]), 0, 1)
    found = curve.apply(pixels)[:, :, 0]
    assert np.abs(found - np.rint(255 * np.nan_to_num(midtones(t, curve.midtones[0])))).max() <= 1
    assert len(np.unique(found)) > 40


def test_by_hand_and_identity() -> None:
    image = np.random.default_rng(1).random((3, 20, 30)).astype(np.float32)
    np.testing.assert_allclose(stretch_image(image, ManualSettings()), image, atol=1e-7)
    out = stretch_image(image, ManualSettings((0.1, 0.2, 0.3), (0.5, 0.4, 0.3), (0.9, 0.8, 0.7), "each"))
    for channel, low, middle, high in zip(range(3), (0.1, 0.2, 0.3), (0.5, 0.4, 0.3), (0.9, 0.8, 0.7), strict=True):
        expected = midtones(np.clip((image[channel] - low) / (high - low), 0, 1), middle)
        np.testing.assert_allclose(out[channel], expected, atol=1e-5)
    straight = HyperbolicSettings(stretch_factor=0.0, colours="linked", black=0.0, white=1.0)
    np.testing.assert_allclose(stretch_image(image, straight), image, atol=1e-6)
    tiny = AsinhSettings(strength=0.01, colours="linked", black=0.0, white=1.0)
    np.testing.assert_allclose(stretch_image(image, tiny), image, atol=1e-4)


def test_a_mono_image_is_stretched_by_itself(master: np.ndarray) -> None:
    one = master[1:2]
    for settings in (AutoStretchSettings("kept"), AsinhSettings(), HyperbolicSettings(), TwoStageSettings()):
        out = stretch_image(one, settings)
        assert out.shape == one.shape
        assert float(np.nanmedian(out)) == pytest.approx(settings.target, abs=0.03)


def test_what_cannot_be_meant_is_refused(master: np.ndarray) -> None:
    for make, wrong in (
        (AutoStretchSettings, {"colours": "both"}), (AutoStretchSettings, {"target": 1.0}),
        (AutoStretchSettings, {"shadows_sigma": 1.0}), (AsinhSettings, {"strength": 0.0}),
        (AsinhSettings, {"black": 2.0, "white": 1.0}), (AsinhSettings, {"white": float("nan")}),
        (AsinhSettings, {"white_quantile": 2.0}), (TwoStageSettings, {"core": 0.0}),
        (TwoStageSettings, {"knee_quantile": 1.0}), (HyperbolicSettings, {"stretch_factor": 20.0}),
        (HyperbolicSettings, {"shape": -9.0}), (HyperbolicSettings, {"symmetry": 2.0}),
        (ManualSettings, {"shadows": (1.0,)}), (ManualSettings, {"midtones": (0.0,)}),
        (ManualSettings, {"shadows": (0.0, 0.0)}),
    ):  # fmt: skip
        with pytest.raises(UsageError):
            make(**wrong)
    with pytest.raises(UsageError, match="2 curves for 3"):
        both = ManualSettings((0.0, 0.0), (0.5, 0.5), (1.0, 1.0), "each")
        stretch_image(master, both)
    with pytest.raises(UsageError, match="not below white"):
        stretch_image(master, AsinhSettings(black=1e6, strength=5.0))
    with pytest.raises(UsageError, match="no target"):
        stretch_image(master, AsinhSettings(black=700.0))
    for settings in (AutoStretchSettings(), AsinhSettings()):
        with pytest.raises(NoUsableInput):
            stretch_image(np.full((3, 30, 30), np.nan, np.float32), settings)


@pytest.mark.parametrize("name", list(COLOURMAPS))
def test_colour_maps_grow_brighter_all_along(name: str) -> None:
    ramp = np.linspace(0, 1, 500, dtype=np.float32)[None, None]
    out = apply_colourmap(ramp, ColourmapSettings(name))
    assert (np.diff(luminance(out)) > 0).all()
    for place, colour in COLOURMAPS[name]:
        found = apply_colourmap(np.full((1, 1, 1), place, np.float32), ColourmapSettings(name))[:, 0, 0]
        np.testing.assert_allclose(found, colour, atol=1e-6)
    assert np.isnan(apply_colourmap(np.full((1, 1, 1), np.nan, np.float32), ColourmapSettings(name))).all()
    if name == "grayscale":
        np.testing.assert_allclose(out, np.repeat(ramp, 3, axis=0), atol=1e-7)


def test_colour_maps_are_for_one_channel() -> None:
    with pytest.raises(UsageError, match="one channel"):
        apply_colourmap(np.zeros((3, 2, 2), np.float32), ColourmapSettings())
    with pytest.raises(UsageError, match="no colour map"):
        ColourmapSettings("jet")
