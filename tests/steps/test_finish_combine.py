"""LRGB, palettes, and the light of lines apart from the continuum and from each other."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.finish import (
    DUOBAND_RESPONSE,
    PALETTES,
    Background,
    ContinuumSettings,
    DuobandSettings,
    LrgbSettings,
    PaletteSettings,
    StarFluxes,
    combine_lrgb,
    combine_palette,
    continuum_scale,
    luminance,
    plan_continuum_free,
    plan_duoband,
    separate_duoband,
    subtract_continuum,
)
from skyquilt.steps.finish.colour import to_hsv, to_lab


def some_colours(seed: int = 1) -> np.ndarray:
    picture = np.random.default_rng(seed).uniform(0.2, 0.8, (3, 30, 40)).astype(np.float32)
    picture[:, 3, 4] = np.nan
    return picture


@pytest.mark.parametrize("method", ["lab", "hsv", "direct"])
def test_lrgb_with_its_own_light_is_the_image(method: str) -> None:
    colour = some_colours()
    own = luminance(colour)[None]
    if method != "lab":
        light = colour.max(axis=0)[None] if method == "hsv" else own
        np.testing.assert_allclose(combine_lrgb(colour, light, LrgbSettings(method)), colour, atol=2e-5)
    np.testing.assert_allclose(combine_lrgb(colour, own, LrgbSettings(method, weight=0.0)), colour, atol=2e-5)


@pytest.mark.parametrize("method", ["lab", "hsv", "direct"])
def test_lrgb_has_the_light_of_l_and_the_colour_of_rgb(method: str) -> None:
    colour = some_colours() * np.float32(0.3) + np.float32(0.35)
    light = np.random.default_rng(2).uniform(0.4, 0.6, (1, 30, 40)).astype(np.float32)
    out = combine_lrgb(colour, light, LrgbSettings(method))
    known = np.isfinite(out)
    np.testing.assert_array_equal(known, np.isfinite(colour))
    if method == "lab":
        np.testing.assert_allclose(to_lab(out)[0], to_lab(np.repeat(light, 3, axis=0))[0] + 0 * out[0], atol=0.02)
        np.testing.assert_allclose(to_lab(out)[1:], to_lab(colour)[1:], atol=0.05)
    elif method == "hsv":
        np.testing.assert_allclose(to_hsv(out)[:2], to_hsv(colour)[:2], atol=1e-4)
        np.testing.assert_allclose(out.max(axis=0), light[0] + 0 * out[0], atol=1e-6)
    else:
        np.testing.assert_allclose(luminance(out), light[0] + 0 * out[0], atol=1e-5)
        np.testing.assert_allclose(out / out[1], colour / colour[1], rtol=1e-4)
    strong = combine_lrgb(colour, light, LrgbSettings(method, chroma=1.3))
    assert np.nanmean(np.ptp(strong, axis=0)) > 1.1 * np.nanmean(np.ptp(out, axis=0))
    part = np.s_[:, 2:17, 5:33]
    np.testing.assert_allclose(combine_lrgb(colour[part], light[part], LrgbSettings(method)), out[part], atol=1e-6)


def test_lrgb_fits_into_the_range_and_does_not_divide_by_darkness() -> None:
    colour = np.array([0.95, 0.1, 0.05], np.float32)[:, None, None] * np.ones((3, 5, 5), np.float32)
    light = np.full((1, 5, 5), 0.98, np.float32)
    for method in ("lab", "hsv"):
        out = combine_lrgb(colour, light, LrgbSettings(method, chroma=2.0))
        assert out.min() >= 0.0
        assert out.max() <= 1.0
    dark = colour * np.float32(1e-6)
    dark[:, 0, 0] = -0.01
    out = combine_lrgb(dark, light, LrgbSettings("direct"))
    np.testing.assert_allclose(luminance(out), 0.98, atol=1e-5)
    assert np.ptp(out, axis=0).max() < 0.03
    random = np.random.default_rng(5)  # a sky brought to 0: its noise is not multiplied
    sky, light = random.normal(0.0, 1.0, (3, 60, 60)).astype(np.float32), random.normal(0.0, 0.3, (1, 60, 60))
    assert np.abs(combine_lrgb(sky, light.astype(np.float32), LrgbSettings("direct"))).max() < 8.0 * np.abs(sky).max()
    assert combine_lrgb(sky, light.astype(np.float32), LrgbSettings("direct")).std() < 1.5
    for wrong in ({"method": "luv"}, {"weight": 2.0}, {"chroma": -1.0}):
        with pytest.raises(UsageError):
            LrgbSettings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="do not fit"):
        combine_lrgb(colour, light[:, :4], LrgbSettings())


@pytest.mark.parametrize("name", list(PALETTES))
def test_palettes_are_their_shares(name: str) -> None:
    random = np.random.default_rng(3)
    bands = {band: random.random((1, 12, 14)).astype(np.float32) for band in "HOS"}
    bands["H"][0, 2, 2] = np.nan
    settings = PaletteSettings(name)
    out = combine_palette({band: bands[band] for band in settings.bands}, settings)
    for channel, row in zip(out, PALETTES[name], strict=True):
        assert sum(row.values()) == pytest.approx(1.0)
        expected = sum(share * bands[band][0] for band, share in row.items())
        np.testing.assert_allclose(channel, expected, rtol=1e-6)


def test_grey_bands_make_a_grey_picture() -> None:
    grey = {band: np.full((1, 6, 6), 0.3, np.float32) for band in "HOS"}
    for name in [*PALETTES, "dynamic_SHO", "dynamic_HOO"]:
        np.testing.assert_allclose(combine_palette(grey, PaletteSettings(name)), 0.3, atol=1e-6)


def test_dynamic_palettes() -> None:
    random = np.random.default_rng(4)
    h, o, s = random.random((3, 1, 9, 9)).astype(np.float32)
    out = combine_palette({"H": h, "O": o, "S": s}, PaletteSettings("dynamic_SHO"))
    p, q = o ** (1 - o), (o * h) ** (1 - o * h)
    np.testing.assert_allclose(out[0], (p * s + (1 - p) * h)[0], rtol=1e-5)
    np.testing.assert_allclose(out[1], (q * h + (1 - q) * o)[0], rtol=1e-5)
    np.testing.assert_array_equal(out[2], o[0])
    np.testing.assert_array_equal(combine_palette({"H": h, "O": o}, PaletteSettings("dynamic_HOO"))[0], h[0])


def test_bands_that_are_missing_are_named() -> None:
    grey = np.zeros((1, 4, 4), np.float32)
    with pytest.raises(UsageError, match=r"OIII \(O\), SII \(S\)"):
        combine_palette({"H": grey}, PaletteSettings("SHO"))
    with pytest.raises(UsageError, match="do not fit"):
        combine_palette({"H": grey, "O": grey[:, :3]}, PaletteSettings("HOO"))
    with pytest.raises(UsageError, match="no palette"):
        PaletteSettings("OSC")


def test_a_continuum_is_taken_out_and_the_line_stays() -> None:
    random = np.random.default_rng(5)
    stars, line = np.zeros((1, 200, 200)), np.zeros((1, 200, 200))
    stars[:, 20:30, 20:60], line[:, 120:160, 100:140] = 900.0, 60.0
    broad = (stars + 400 + random.normal(0, 3, stars.shape)).astype(np.float32)
    narrow = (0.2 * stars + line + 90 + random.normal(0, 3, stars.shape)).astype(np.float32)
    flux = np.stack([random.uniform(100, 200, 20), np.zeros(20)], axis=1)
    flux[:, 1] = flux[:, 0] / 0.2
    fluxes = StarFluxes(np.arange(20), flux, flux * 0.01)
    assert continuum_scale(fluxes) == pytest.approx(0.2)
    for settings, given in ((ContinuumSettings(), fluxes), (ContinuumSettings(0.2), None)):
        out = subtract_continuum(narrow, broad, settings, given)
        assert abs(out[:, 20:30, 20:60].mean() - 90) < 1.0
        assert abs(out[:, 120:160, 100:140].mean() - 150) < 1.0
        assert abs(out[:, :, :15].mean() - 90) < 0.5
    np.testing.assert_array_equal(subtract_continuum(narrow, broad, ContinuumSettings(0.0)), narrow)
    with pytest.raises(UsageError, match="no scale"):
        plan_continuum_free(Background(np.ones(2), np.ones(2), 1.0), ContinuumSettings())
    with pytest.raises(NoUsableInput, match="3 stars"):
        continuum_scale(StarFluxes(np.arange(3), flux[:3], flux[:3] * 0.01))
    with pytest.raises(UsageError, match="do not fit"):
        subtract_continuum(narrow, broad[:, :10], ContinuumSettings(0.2))
    for wrong in ({"scale": -1.0}, {"strength": 2.0}):
        with pytest.raises(UsageError):
            ContinuumSettings(**wrong)


def duoband(noise: tuple[float, float, float], seed: int = 6) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    lines = np.zeros((2, 240, 240))
    lines[0, 60:140, 60:140], lines[1, 100:180, 100:180] = 100.0, 60.0
    light = np.tensordot(np.array(DUOBAND_RESPONSE), lines, axes=1) + np.array([500.0, 700.0, 450.0])[:, None, None]
    return (light + random.normal(0, 1, light.shape) * np.array(noise)[:, None, None]).astype(np.float32), lines


def test_lines_of_a_duo_band_camera_are_told_apart() -> None:
    image, lines = duoband((6.0, 5.0, 8.0))
    out = separate_duoband(image, DuobandSettings())
    for found, true in zip(out, lines, strict=True):
        for part in (np.s_[70:90, 70:90], np.s_[150:170, 150:170], np.s_[110:130, 110:130], np.s_[:40, :40]):
            assert abs(found[part].mean() - true[part].mean()) < 1.5


def test_the_separation_has_the_least_noise() -> None:
    noise = np.array([6.0, 5.0, 8.0])
    response = np.array(DUOBAND_RESPONSE)
    plan = plan_duoband(Background(np.zeros(3), noise, 1.0), DuobandSettings())
    np.testing.assert_allclose(plan.matrix @ response, np.eye(2), atol=1e-12)
    variance = np.diag(plan.matrix @ np.diag(noise**2) @ plan.matrix.T)
    weighted = response.T @ np.diag(noise**-2.0) @ response
    np.testing.assert_allclose(variance, np.diag(np.linalg.inv(weighted)))
    plain = np.linalg.pinv(response)
    assert (variance <= np.diag(plain @ np.diag(noise**2) @ plain.T)).all()
    only_green = np.linalg.inv(response[:2])
    assert variance[1] < 0.9 * np.diag(only_green @ np.diag(noise[:2] ** 2) @ only_green.T)[1]


def test_a_third_column_takes_the_continuum_out() -> None:
    response = tuple((*row, star) for row, star in zip(DUOBAND_RESPONSE, (0.9, 1.0, 0.7), strict=True))
    image, lines = duoband((0.0, 0.0, 0.0))
    image[:, 200:220, 20:40] += np.array([0.9, 1.0, 0.7], np.float32)[:, None, None] * 300
    out = separate_duoband(image, DuobandSettings(response))
    assert out.shape == (3, 240, 240)
    np.testing.assert_allclose(out[:2], lines, atol=0.05)
    np.testing.assert_allclose(out[2, 200:220, 20:40], 300.0, atol=0.05)
    for wrong in (((1.0, 0.0), (0.0, 1.0)), ((1.0, 1.0),) * 3, ((1.0, 0.0), (0.0,), (0.0, 1.0))):
        with pytest.raises(UsageError):
            DuobandSettings(wrong)
