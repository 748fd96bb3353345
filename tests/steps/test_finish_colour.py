"""Neutral backgrounds, white balance against the truth, matrices, SCNR, saturation."""

from __future__ import annotations

import numpy as np
import pytest
from finish_sky import (
    HEIGHT,
    RED,
    SKY,
    WIDTH,
    emission_of,
    gradient_of,
    make_master,
    make_rich_master,
    rich_truth,
    star_truth,
)

from skyquilt.core import CatalogueStars, Stars
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.finish import (
    COLOUR_MATRICES,
    SCNR_METHODS,
    Background,
    BalanceSettings,
    BayerSettings,
    LinearColour,
    MatrixSettings,
    NeutralSettings,
    SaturationSettings,
    ScnrPlan,
    ScnrSettings,
    StarFluxes,
    apply_colour_matrix,
    b_minus_v,
    compensate_bayer,
    fit_colour_relation,
    luminance,
    measure_background,
    measure_star_fluxes,
    neutralise,
    plan_balance,
    plan_colour_matrix,
    plan_neutral,
    plan_scnr,
    reduce_colour,
    sample_pixels,
    saturate,
)
from skyquilt.steps.finish.colour import SENSOR_SLOPES, draw_into_range, from_hsv, from_lab, to_hsv, to_lab
from skyquilt.steps.stars import measure_cube
from skyquilt.testing.sky import Truth


@pytest.fixture(scope="module")
def master() -> np.ndarray:
    return make_master(emission_of("galaxy"), gradient_of(1, 0.0)).image


@pytest.fixture(scope="module")
def stars(master: np.ndarray) -> Stars:
    return measure_cube(master, saturation_adu=65535.0).stars


def some_picture(seed: int = 1) -> np.ndarray:
    picture = np.random.default_rng(seed).random((3, 40, 50)).astype(np.float32)
    picture[:, 3, 4] = np.nan
    picture[:, 5, 6] = 0.4
    return picture


# backgrounds


def test_the_background_is_that_of_the_sky(master: np.ndarray) -> None:
    found = measure_background(sample_pixels(master))
    np.testing.assert_allclose(found.level, SKY, atol=1.2)  # 0.1 sigma of a pixel
    np.testing.assert_allclose(found.sigma, 12.0 * np.sqrt(np.array(SKY) / 570), rtol=0.06)
    assert found.share > 0.5


def test_a_nebula_over_most_of_the_field_is_no_background() -> None:
    light = emission_of("half", RED) + 0.0
    light[:, : HEIGHT // 5] = 0.0
    light += 80.0 * (np.arange(HEIGHT) > HEIGHT // 5)[None, :, None] * np.array(RED)[:, None, None]
    found = measure_background(make_master(light, gradient_of(1, 0.0)).image)
    np.testing.assert_allclose(found.level, SKY, atol=2.5)
    assert found.share < 0.4


def test_a_background_needs_data() -> None:
    with pytest.raises(NoUsableInput, match="no place with data"):
        measure_background(np.full((3, 50, 50), np.nan, np.float32))
    flat = measure_background(np.full((3, 50, 50), 3.0, np.float32))
    np.testing.assert_array_equal(flat.level, 3.0)
    np.testing.assert_array_equal(flat.sigma, 0.0)


@pytest.mark.parametrize("by", ["level", "share"])
@pytest.mark.parametrize("target", [None, 800.0])
def test_a_neutral_background(master: np.ndarray, by: str, target: float | None) -> None:
    out = neutralise(master, NeutralSettings(by, target))
    found = measure_background(sample_pixels(out))
    np.testing.assert_allclose(found.level, target or found.level[1], atol=0.3)
    if target is None:
        np.testing.assert_array_equal(out[1], master[1])
    change = out - master if by == "level" else out / master
    assert np.ptp(change, axis=(1, 2)).max() < 2e-3


def test_shares_need_a_positive_background(master: np.ndarray) -> None:
    with pytest.raises(UsageError, match="not positive"):
        neutralise(master - np.float32(1000.0), NeutralSettings("share"))
    with pytest.raises(UsageError):
        NeutralSettings("ratio")
    with pytest.raises(UsageError):
        NeutralSettings(target=float("nan"))


def test_bayer_compensation_within_its_limit(master: np.ndarray) -> None:
    out = compensate_bayer(master, BayerSettings())
    np.testing.assert_allclose(measure_background(out).level, SKY[1], atol=1.5)
    tight = compensate_bayer(master, BayerSettings(1.2))
    np.testing.assert_allclose(tight[0], master[0] * np.float32(1.2))
    with pytest.raises(UsageError):
        BayerSettings(0.5)
    with pytest.raises(UsageError, match="not three"):
        compensate_bayer(master[:1], BayerSettings())


def test_linear_colours_mix_only_what_they_name() -> None:
    picture = some_picture()
    picture[2, 0, 0] = np.nan
    mixed = LinearColour(np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]), np.array([0.0, 1.0, 2.0]))
    out = mixed.apply(picture)
    np.testing.assert_array_equal(out[0], picture[0])
    np.testing.assert_allclose(out[1], 0.5 * picture[0] + 0.5 * picture[1] + 1.0, rtol=1e-6)
    np.testing.assert_array_equal(out[2], 2.0)
    np.testing.assert_array_equal(mixed.apply(picture[:, 7:20, 3:9]), out[:, 7:20, 3:9])
    with pytest.raises(UsageError, match="2 channels"):
        mixed.apply(picture[:2])


# white balance


def catalogue_of(flux: np.ndarray) -> np.ndarray:
    """B - V of stars of the synthetic sky, which draws blue / green = 0.9 * 10^(-0.3 (B - V))."""
    return np.log10(flux[:, 2] / flux[:, 1] / 0.9) / -0.3


def true_stars(truth: Truth, stars: Stars, fluxes: StarFluxes) -> np.ndarray:
    """Fluxes of the stars that were measured, float64 (n, 3); NaN of those that have a neighbour in their aperture."""
    true = truth.stars
    apart = np.hypot(stars.x[fluxes.index][:, None] - true.x, stars.y[fluxes.index][:, None] - true.y)
    flux = true.flux[apart.argmin(axis=1)].copy()
    around = np.where(apart < 10.0, true.flux[:, 1], 0.0).sum(axis=1)
    flux[(apart.min(axis=1) > 1.0) | (around > 1.02 * flux[:, 1])] = np.nan
    return flux


def test_colours_of_200_stars_after_the_balance_by_catalogue() -> None:
    master = make_rich_master()
    stars = measure_cube(master, saturation_adu=1e6).stars
    fluxes = measure_star_fluxes(master, stars)
    true = true_stars(rich_truth(), stars, fluxes)
    colour = catalogue_of(true)
    told = colour + np.random.default_rng(5).normal(0.0, 0.06, len(colour))  # as Tycho-2 tells it near its end
    balance = plan_balance(
        sample_pixels(master), BalanceSettings("catalogue"), fluxes=fluxes, colour=told,
        colour_error=np.full(len(colour), 0.06),
    )  # fmt: skip
    white = np.array([0.70 * 10 ** (0.13 * 0.65), 1.0, 0.90 * 10 ** (-0.30 * 0.65)])
    np.testing.assert_allclose(balance.gains, 1 / white, rtol=0.01)
    balanced = measure_star_fluxes(balance.apply(master), stars)
    known = np.flatnonzero(np.isfinite(true).all(axis=1))[:200]
    assert len(known) == 200
    expected = -2.5 * np.log10(true[known][:, [0, 2]] / true[known][:, [1]] / white[[0, 2]])
    seen = -2.5 * np.log10(balanced.flux[known][:, [0, 2]] / balanced.flux[known][:, [1]])
    assert np.sqrt(np.mean((seen - expected) ** 2)) < 0.03
    assert np.abs(np.median(seen - expected, axis=0)).max() < 0.01


def relation_of(n: int, *, scatter: float = 0.02, spread: float = 0.35, seed: int = 2, colour_error: float = 0.1):
    random = np.random.default_rng(seed)
    colour = np.clip(random.normal(0.75, spread, n), -0.2, 1.7)
    green = 10 ** random.uniform(3, 5, n)
    magnitudes = np.stack([0.3 - 0.30 * (colour - 0.65), np.zeros(n), 0.5 + 0.8 * (colour - 0.65)], axis=1)
    flux = green[:, None] * 10 ** (-0.4 * (magnitudes + random.normal(0, scatter, (n, 3))))
    told = colour + random.normal(0, colour_error, n)
    return fit_colour_relation(flux, scatter / 1.0857 * flux, told, np.full(n, colour_error)), flux, told


def test_the_relation_of_sensor_and_catalogue() -> None:
    found, _, _ = relation_of(200)
    np.testing.assert_allclose(found.zero, [0.3, 0.5], atol=0.02)
    np.testing.assert_allclose(found.slope, [-0.30, 0.8], atol=0.06)  # not flattened by the errors of the colours
    np.testing.assert_allclose(found.gains, [10**0.12, 1.0, 10**0.2], rtol=0.015)
    assert found.is_slope_measured
    assert found.n_stars > 190


def test_few_or_like_stars_take_the_slopes_that_are_known() -> None:
    for found in (relation_of(7)[0], relation_of(100, spread=0.01)[0]):
        assert not found.is_slope_measured
        np.testing.assert_array_equal(found.slope, SENSOR_SLOPES)
    _, flux, told = relation_of(200)
    assert fit_colour_relation(flux[:4], flux[:4] * 0.01, told[:4], told[:4] * 0 + 0.05) is None


def test_outliers_do_not_move_the_relation() -> None:
    _, flux, told = relation_of(200)
    flux[::10, 2] *= 3.0
    told[5::10] += 1.5
    found = fit_colour_relation(flux, 0.02 * flux, told, np.full(200, 0.1))
    np.testing.assert_allclose(found.zero, [0.3, 0.5], atol=0.03)
    assert found.n_stars < 185


def test_johnson_colours_of_tycho_stars() -> None:
    stars = CatalogueStars(
        np.zeros(2), np.zeros(2), np.array([8.0, np.nan], np.float32), np.array([9.0, 9.0], np.float32)
    )
    np.testing.assert_allclose(b_minus_v(stars), [0.85, np.nan], rtol=1e-6)


def test_the_usual_star_is_white(master: np.ndarray, stars: Stars) -> None:
    fluxes = measure_star_fluxes(master, stars)
    balance = plan_balance(sample_pixels(master), BalanceSettings("stars"), fluxes=fluxes)
    out = balance.apply(master)
    ratios = measure_star_fluxes(out, stars)
    bright = fluxes.bright(10.0)
    np.testing.assert_allclose(np.median(ratios.flux[bright] / ratios.flux[bright, 1:2], axis=0), 1.0, atol=0.01)
    background = measure_background(sample_pixels(out)).level  # keeps its colour
    np.testing.assert_allclose(background, measure_background(sample_pixels(master)).level, atol=0.3)
    plain = plan_balance(sample_pixels(master), BalanceSettings("stars", keep_background=False), fluxes=fluxes)
    np.testing.assert_array_equal(plain.offset, 0.0)
    largest = plan_balance(sample_pixels(master), BalanceSettings("stars", normalise="largest"), fluxes=fluxes)
    assert largest.gains.max() == 1.0


def test_star_fluxes_are_those_of_the_truth(master: np.ndarray, stars: Stars) -> None:
    fluxes = measure_star_fluxes(master, stars)
    true = true_stars(star_truth(), stars, fluxes)
    known = np.isfinite(true).all(axis=1) & (fluxes.flux[:, 1] > 60 * fluxes.error[:, 1])
    assert known.sum() >= 4
    ratio = fluxes.flux[known] / true[known]
    np.testing.assert_allclose(ratio / ratio[:, 1:2], 1.0, atol=0.05)
    assert ((ratio > 0.85) & (ratio < 1.06)).all()  # what the aperture holds
    miss = (fluxes.flux / fluxes.flux[:, 1:2] - true / true[:, 1:2])[np.isfinite(true).all(axis=1)]
    relative = (fluxes.error / fluxes.flux)[np.isfinite(true).all(axis=1)]
    told = (fluxes.flux / fluxes.flux[:, 1:2])[np.isfinite(true).all(axis=1)] * np.hypot(relative, relative[:, 1:2])
    assert 0.6 < 1.4826 * np.median(np.abs(miss / told)[:, [0, 2]]) < 1.4
    holes = master.copy()
    holes[:, int(stars.y[fluxes.index[0]]), int(stars.x[fluxes.index[0]])] = np.nan
    assert fluxes.index[0] not in measure_star_fluxes(holes, stars).index
    assert len(measure_star_fluxes(master, Stars.empty())) == 0


def test_gray_world_background_and_manual() -> None:
    random = np.random.default_rng(3)
    light = np.zeros((3, 120, 120))
    light[:, 30:90, 30:90] = np.array([50.0, 100.0, 200.0])[:, None, None]
    image = (light + 500.0 + random.normal(0, 5, light.shape)).astype(np.float32)
    found = plan_balance(image, BalanceSettings("gray_world"))
    np.testing.assert_allclose(found.gains, [2.0, 1.0, 0.5], rtol=0.05)
    np.testing.assert_allclose(plan_balance(image, BalanceSettings("background")).gains, 1.0, atol=0.01)
    manual = plan_balance(image, BalanceSettings("manual", gains=(2.0, 1.5, 0.5)))
    np.testing.assert_array_equal(manual.gains, [2.0, 1.5, 0.5])
    np.testing.assert_array_equal(plan_balance(image, BalanceSettings("none")).apply(image), image)
    empty = (500 + random.normal(0, 5, light.shape)).astype(np.float32)
    with pytest.raises(NoUsableInput, match="no light"):
        plan_balance(empty - np.float32(3.0) * (np.arange(120) > 60), BalanceSettings("gray_world"),
                     background=Background(np.full(3, 520.0), np.full(3, 5.0), 1.0))  # fmt: skip
    with pytest.raises(UsageError, match="needs the stars"):
        plan_balance(image, BalanceSettings("stars"))
    few = StarFluxes(np.arange(3), np.ones((3, 3)), np.full((3, 3), 0.01))
    with pytest.raises(NoUsableInput, match="3 stars"):
        plan_balance(image, BalanceSettings("stars"), fluxes=few)
    many = StarFluxes(np.arange(9), np.ones((9, 3)), np.full((9, 3), 0.01))
    with pytest.raises(UsageError, match="colours"):
        plan_balance(image, BalanceSettings("catalogue"), fluxes=many)
    for wrong in ({"method": "auto"}, {"gains": (0.0, 1.0, 1.0)}, {"white": 3.0}, {"normalise": "red"}):
        with pytest.raises(UsageError):
            BalanceSettings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no white balance"):
        plan_balance(image[:1], BalanceSettings("none"))


# matrices


@pytest.mark.parametrize("name", list(COLOUR_MATRICES))
@pytest.mark.parametrize("keep", [True, False])
def test_colour_matrices_keep_grey_and_luminance(name: str, keep: bool) -> None:
    picture = some_picture()
    out = apply_colour_matrix(picture, MatrixSettings(name, keep_luminance=keep))
    np.testing.assert_allclose(out[:, 5, 6], 0.4, atol=1e-6)
    if keep:
        np.testing.assert_allclose(luminance(out), luminance(picture), atol=1e-5)
    elif name != "neutral":
        expected = np.einsum("ij,jyx->iyx", np.array(COLOUR_MATRICES[name]), picture)
        np.testing.assert_allclose(out, expected, atol=1e-5)
    assert np.isnan(out[:, 3, 4]).all()
    if name == "neutral":
        np.testing.assert_allclose(out, picture, atol=1e-6)


def test_the_boost_of_a_matrix() -> None:
    none = plan_colour_matrix(MatrixSettings("vivid", boost=0.0))
    np.testing.assert_array_equal(none.matrix, np.eye(3))
    half = plan_colour_matrix(MatrixSettings("vivid", boost=0.5, keep_luminance=False)).matrix
    np.testing.assert_allclose(half, 0.5 * (np.eye(3) + np.array(COLOUR_MATRICES["vivid"])))
    scaled = plan_colour_matrix(MatrixSettings(((2.0, 0.0, 0.0), (0.0, 3.0, 0.0), (0.0, 0.0, 4.0))))
    np.testing.assert_allclose(scaled.matrix, np.eye(3), atol=1e-12)
    for wrong in ({"matrix": "pastel"}, {"boost": 3.0}, {"matrix": ((1, 0), (0, 1))}):
        with pytest.raises(UsageError):
            MatrixSettings(**wrong)  # type: ignore[arg-type]


# SCNR


def test_green_goes_as_published() -> None:
    picture = some_picture()
    red, green, blue = picture
    published = {"spare_sigma": 0.0, "keep_background": False}
    average = reduce_colour(picture, ScnrSettings(**published))
    np.testing.assert_allclose(average[1], np.minimum(green, 0.5 * (red + blue)), rtol=1e-6)
    maximum = reduce_colour(picture, ScnrSettings(method="maximum", **published))
    np.testing.assert_allclose(maximum[1], np.minimum(green, np.maximum(red, blue)), rtol=1e-6)
    for method, mask in (("additive_mask", np.minimum(1, red + blue)), ("maximum_mask", np.maximum(red, blue))):
        out = reduce_colour(picture, ScnrSettings(method=method, strength=0.7, **published))
        np.testing.assert_allclose(out[1], green * 0.3 * (1 - mask) + green * mask, atol=1e-6)
    for out in (average, maximum):
        np.testing.assert_array_equal(out[[0, 2]], picture[[0, 2]])
        np.testing.assert_allclose(out[:, 5, 6], 0.4, atol=1e-7)


def test_magenta_goes_where_red_and_blue_exceed_green() -> None:
    picture = some_picture()
    red, green, blue = picture
    both = np.minimum(red, blue) > green
    average = reduce_colour(picture, ScnrSettings("magenta", keep_background=False))
    np.testing.assert_allclose(average[1], np.where(both, 0.5 * (red + blue), green), rtol=1e-6)
    maximum = reduce_colour(picture, ScnrSettings("magenta", "maximum", keep_background=False))
    np.testing.assert_allclose(maximum[1], np.maximum(green, np.minimum(red, blue)), rtol=1e-6)
    half = reduce_colour(picture, ScnrSettings("magenta", "maximum", 0.5, keep_background=False))
    np.testing.assert_allclose(half[1], 0.5 * (green + maximum[1]), rtol=1e-5)


@pytest.mark.parametrize("method", SCNR_METHODS)
def test_no_strength_changes_nothing(method: str) -> None:
    picture = some_picture()
    np.testing.assert_array_equal(reduce_colour(picture, ScnrSettings(method=method, strength=0.0)), picture)


@pytest.mark.parametrize("colour", ["green", "magenta"])
@pytest.mark.parametrize("spare", [0.0, 1.5])
def test_a_noisy_neutral_sky_stays_neutral(colour: str, spare: float) -> None:
    random = np.random.default_rng(4)
    image = random.normal(500, 20, (3, 300, 300)).astype(np.float32)
    image[1, 100:120, 100:120] += 300 if colour == "green" else -300
    out = reduce_colour(image, ScnrSettings(colour, spare_sigma=spare))
    assert abs(float(out[1, :90].mean()) - 500) < 0.5
    plain = reduce_colour(image, ScnrSettings(colour, keep_background=False))
    assert abs(float(plain[1, :90].mean()) - 500) > 4
    left = 24.5 * spare + 15  # what is spared and restored of the excess
    assert abs(float(out[1, 100:120, 100:120].mean()) - 500) < left


def test_lightness_is_given_back() -> None:
    picture = some_picture() * np.float32(0.5) + np.float32(0.2)
    out = reduce_colour(picture, ScnrSettings(keep_lightness=True, keep_background=False))
    np.testing.assert_allclose(luminance(out), luminance(picture), rtol=1e-5)
    assert (out[1] <= 0.5 * (out[0] + out[2]) + 1e-6)[np.isfinite(out[1])].all()


def test_scnr_refuses_what_cannot_be_meant() -> None:
    for wrong in (
        {"colour": "blue"}, {"method": "median"}, {"strength": 2.0}, {"spare_sigma": 9.0},
        {"colour": "magenta", "method": "additive_mask"},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            ScnrSettings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="three channels"):
        reduce_colour(np.zeros((1, 30, 30), np.float32), ScnrSettings())


# saturation and spaces


@pytest.mark.parametrize("method", ["luminance", "lab", "hsv"])
def test_saturation(method: str) -> None:
    picture = some_picture()
    np.testing.assert_array_equal(saturate(picture, SaturationSettings(1.0, method)), picture)
    grey = saturate(picture, SaturationSettings(0.0, method))
    assert np.nanmax(np.ptp(grey, axis=0)) < 2e-3
    strong = saturate(picture, SaturationSettings(1.3, method))
    np.testing.assert_allclose(strong[:, 5, 6], 0.4, atol=1e-4)
    assert np.nanmean(np.ptp(strong, axis=0)) > 1.02 * np.nanmean(np.ptp(picture, axis=0))
    assert np.isnan(strong[:, 3, 4]).all()
    if method == "luminance":
        np.testing.assert_allclose(luminance(strong), luminance(picture), atol=1e-5)
    if method == "lab":
        np.testing.assert_allclose(to_lab(strong)[0], to_lab(picture)[0], atol=0.02)
    if method == "hsv":
        np.testing.assert_allclose(strong.max(axis=0), picture.max(axis=0), atol=1e-6)


def test_shadows_keep_their_colour() -> None:
    picture = some_picture() * np.float32(0.1)
    out = saturate(picture, SaturationSettings(2.0, shadows=0.9))
    assert np.nanmax(np.abs(out - picture)) < 0.006
    for wrong in ({"factor": 5.0}, {"method": "hsl"}, {"shadows": 2.0}):
        with pytest.raises(UsageError):
            SaturationSettings(**wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        saturate(picture[:1], SaturationSettings(2.0))


def test_colour_spaces_and_back() -> None:
    picture = some_picture()
    np.testing.assert_allclose(from_lab(to_lab(picture)), picture, atol=3e-5)
    np.testing.assert_allclose(from_hsv(to_hsv(picture)), picture, atol=1e-6)
    beyond = picture * np.float32(1.5) - np.float32(0.2)
    np.testing.assert_allclose(from_lab(to_lab(beyond)), beyond, atol=2e-4)
    # red, green, blue and white of sRGB, D65: B. Lindbloom's tables
    colours = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]], np.float32)[:, None]
    lab = to_lab(colours)[:, 0]
    np.testing.assert_allclose(lab[0], [53.24, 87.73, 32.30, 100.0], atol=0.05)
    np.testing.assert_allclose(lab[1], [80.09, -86.18, 79.19, 0.0], atol=0.05)
    np.testing.assert_allclose(lab[2], [67.20, 83.18, -107.86, 0.0], atol=0.05)
    np.testing.assert_allclose(to_hsv(colours)[0, 0], [0, 1 / 3, 2 / 3, 0], atol=1e-6)


def test_colours_are_drawn_into_the_range() -> None:
    random = np.random.default_rng(9)
    colour, grey = random.normal(0, 1, (3, 20, 20)).astype(np.float32), random.random((20, 20)).astype(np.float32)
    out = draw_into_range(colour.copy(), grey)
    assert out.min() >= 0.0
    assert out.max() <= 1.0
    inside = np.flatnonzero(((out > 1e-3) & (out < 1 - 1e-3)).all(axis=0))
    np.testing.assert_allclose((out - grey).reshape(3, -1)[:, inside], colour.reshape(3, -1)[:, inside], atol=1e-6)


# tiles


def test_tiles_have_the_bits_of_the_whole(master: np.ndarray) -> None:
    sample = sample_pixels(master)
    background = measure_background(sample)
    operations = [
        plan_neutral(background, NeutralSettings()).apply,
        plan_colour_matrix(MatrixSettings()).apply,
        plan_scnr(sample, ScnrSettings(spare_sigma=1.0)).apply,
        ScnrPlan(ScnrSettings(keep_lightness=True)).apply,
        lambda tile: saturate(tile, SaturationSettings(1.4, "luminance", shadows=0.3)),
        lambda tile: saturate(tile * np.float32(1e-3), SaturationSettings(1.4, "hsv")),
    ]
    part = np.s_[:, 101:205, 33 : WIDTH - 8]
    for operation in operations:
        np.testing.assert_array_equal(operation(master[part]), operation(master)[part])
    lab = saturate(master * np.float32(1e-3), SaturationSettings(1.4, "lab"))[part]
    np.testing.assert_allclose(
        saturate(master[part] * np.float32(1e-3), SaturationSettings(1.4, "lab")), lab, atol=1e-6
    )
