"""The gradient of the sky against the truth, with and without nebulae over half of the field."""

from __future__ import annotations

import numpy as np
import pytest
from finish_sky import GREY, HEIGHT, RED, SKY, WIDTH, emission_of, gradient_errors, gradient_of, make_master

from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.finish import (
    Cells,
    GradientSettings,
    SkyModel,
    choose_cell,
    plan_gradient,
    read_cells,
    remove_gradient,
)
from skyquilt.steps.finish.gradient.emission import emission_free
from skyquilt.steps.finish.gradient.objects import box_mean, cell_noise, find_objects, grow
from skyquilt.steps.finish.gradient.polynomial import (
    design,
    fit_alike,
    fit_lower,
    fit_robust,
    left_out_residuals,
    n_terms,
)


@pytest.mark.parametrize(
    ("kind", "colour"),
    [("none", RED), ("galaxy", RED), ("cloud", RED), ("half", RED), ("half", GREY), ("smooth half", RED),
     ("smooth half", GREY)],
    ids=["none", "galaxy", "cloud", "red half", "grey half", "smooth red half", "smooth grey half"],
)  # fmt: skip
def test_a_linear_gradient_is_told_from_any_nebula(kind: str, colour: tuple[float, float, float]) -> None:
    master = make_master(emission_of(kind, colour), gradient_of(1))
    model = remove_gradient(master.image, GradientSettings())[1]
    left, lost = gradient_errors(master, model)
    assert model.source == "sky"
    assert left < 0.002
    assert lost < 0.015


@pytest.mark.parametrize(
    ("kind", "order", "bound"),
    [("none", 2, 0.001), ("none", 3, 0.001), ("galaxy", 2, 0.001), ("galaxy", 3, 0.001), ("cloud", 2, 0.012),
     ("half", 2, 0.005), ("smooth half", 2, 0.007)],
)  # fmt: skip
def test_a_curved_gradient_is_told_as_far_as_the_free_part_can_tell(kind: str, order: int, bound: float) -> None:
    master = make_master(emission_of(kind), gradient_of(order))
    model = remove_gradient(master.image, GradientSettings())[1]
    left, lost = gradient_errors(master, model)
    assert model.order == order
    assert left < bound
    assert lost < 0.025
    assert left < max(0.001, 1.5 * model.swing)  # the model tells what it may be wrong by
    assert (model.swing > 0.003) == (kind in ("cloud", "half", "smooth half"))


def test_a_red_nebula_over_the_whole_field_is_told_by_its_colour() -> None:
    master = make_master(emission_of("everywhere"), gradient_of(1), of_colour=0.0)
    model = remove_gradient(master.image, GradientSettings())[1]
    assert model.source == "colours"
    assert not model.free.any()
    slope = [np.polyfit(sky.ravel()[::97], found.ravel()[::97], 1)[0] for sky, found in
             zip(master.sky, model.evaluate(0, 0, WIDTH, HEIGHT), strict=True)]  # fmt: skip
    np.testing.assert_allclose(slope, 1.0, atol=0.1)  # its level is that of the darkest places, the shape is right
    shape = model.evaluate(0, 0, WIDTH, HEIGHT) / master.sky
    for channel in shape:
        assert np.ptp(channel) / channel.mean() < 0.003


def test_a_grey_nebula_over_the_whole_field_is_said_to_be_a_guess() -> None:
    master = make_master(emission_of("everywhere", GREY), gradient_of(1))
    assert remove_gradient(master.image, GradientSettings())[1].source == "envelope"
    red = make_master(emission_of("everywhere", RED), gradient_of(1))
    assert remove_gradient(red.image, GradientSettings(use_colours=False))[1].source == "envelope"


@pytest.mark.parametrize("kind", ["polynomial", "mesh", "radial"])
def test_models_of_every_kind(kind: str) -> None:
    master = make_master(emission_of("galaxy"), gradient_of(2))
    out, model = remove_gradient(master.image, GradientSettings(model=kind))
    left, lost = gradient_errors(master, model)
    assert left < 0.0015
    assert lost < 0.01
    sky = model.evaluate(0, 0, WIDTH, HEIGHT)
    np.testing.assert_allclose(out, master.image - (sky - model.level[:, None, None]), atol=2e-3)


@pytest.mark.parametrize("kind", ["mesh", "radial"])
def test_mesh_and_plates_follow_what_no_polynomial_does(kind: str) -> None:
    master = make_master(
        emission_of("none"), gradient_of(1) + 0.002 * np.sin(4.0 * np.indices((HEIGHT, WIDTH))[0] / 200)
    )
    smooth = gradient_errors(master, remove_gradient(master.image, GradientSettings(order=2))[1])[0]
    fine = gradient_errors(
        master, remove_gradient(master.image, GradientSettings(order=2, model=kind, tolerance=0.01))[1]
    )[0]
    assert fine < 0.7 * smooth


def test_by_division_and_to_zero() -> None:
    master = make_master(emission_of("none"), gradient_of(1))
    cells = read_cells(master.image, 16)
    model = plan_gradient(cells, GradientSettings(mode="divide"))
    flat = model.apply(master.image)
    assert np.ptp(read_cells(flat, 60).level[0, 1:-1, 1:-1]) < 0.012 * 420
    np.testing.assert_allclose(np.nanmedian(flat, axis=(1, 2)), np.nanmedian(master.image, axis=(1, 2)), rtol=2e-3)
    unit = plan_gradient(cells, GradientSettings(mode="divide", keep_level=False)).apply(master.image)
    np.testing.assert_allclose(np.median(unit, axis=(1, 2)), 1.0, atol=0.01)
    zero = plan_gradient(cells, GradientSettings(keep_level=False)).apply(master.image)
    np.testing.assert_allclose(np.median(zero, axis=(1, 2)), 0.0, atol=2.0)
    with pytest.raises(UsageError, match="not positive"):
        plan_gradient(read_cells(master.image - 900, 16), GradientSettings(mode="divide")).apply(master.image)


def test_tiles_and_bands_have_the_bits_of_the_whole() -> None:
    master = make_master(emission_of("cloud"), gradient_of(2))
    image = master.image.copy()
    image[:, 100:140, 200:300] = np.nan
    image[:, -24:] = np.nan
    whole = read_cells(image, 16)
    bands = [read_cells(image[:, y : y + 320], 16) for y in range(0, HEIGHT, 320)]
    joined = Cells.joined(bands)
    np.testing.assert_array_equal(joined.level, whole.level)
    np.testing.assert_array_equal(joined.sigma, whole.sigma)
    model = plan_gradient(whole, GradientSettings(model="mesh"))
    out = model.apply(image)
    np.testing.assert_array_equal(np.isnan(out), np.isnan(image))
    for y, x, height, width in ((0, 0, 1, 1), (37, 101, 200, 333), (900, 530, 60, 10)):
        tile = image[:, y : y + height, x : x + width]
        np.testing.assert_array_equal(model.apply(tile, x, y), out[:, y : y + height, x : x + width])


def test_the_surface_passes_through_its_nodes_and_is_exact_for_cubics() -> None:
    u, v = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 7))
    values = 3 + u - 2 * v + u**3 - u * u * v + 0.5 * v**3
    x, y = np.arange(9) * 10 + 4.5, np.arange(7) * 10 + 4.5
    model = SkyModel(values[None], x, y, 70, 90, np.zeros(1), "subtract", False, "polynomial", 3, u > 9, {}, "sky")
    found = model.evaluate(0, 0, 90, 70)[0]
    uu, vv = np.meshgrid((np.arange(90) - 44.5) / 40, (np.arange(70) - 34.5) / 30)
    np.testing.assert_allclose(found, 3 + uu - 2 * vv + uu**3 - uu * uu * vv + 0.5 * vv**3, atol=1e-5)


def test_a_mono_image_and_the_order_by_hand() -> None:
    master = make_master(emission_of("half"), gradient_of(1))
    model = remove_gradient(master.image[1:2], GradientSettings(order=1))[1]
    miss = model.evaluate(0, 0, WIDTH, HEIGHT)[0] - master.sky[1]
    assert np.ptp(miss) < 0.005 * 570
    assert remove_gradient(master.image, GradientSettings(order=4))[1].order in (1, 4)


@pytest.mark.parametrize("kind", ["none", "half"])
def test_a_sky_that_was_brought_to_zero_before(kind: str) -> None:
    master = make_master(emission_of(kind), gradient_of(1))
    level = np.array(SKY)[:, None, None]
    model = remove_gradient((master.image - level).astype(np.float32), GradientSettings())[1]
    miss = model.evaluate(0, 0, WIDTH, HEIGHT) + level - master.sky
    assert np.percentile(np.abs(miss - np.median(miss, axis=(1, 2), keepdims=True)), 98) < 0.003 * 570


def test_what_cannot_be_meant_is_refused() -> None:
    for wrong in (
        {"model": "spline"}, {"mode": "add"}, {"order": 0}, {"order": 5}, {"kappa": 1.0}, {"grow_cells": 9},
        {"smoothing_cells": 0.1}, {"tolerance": 0.2},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            GradientSettings(**wrong)  # type: ignore[arg-type]
    image = np.random.default_rng(1).normal(100, 5, (1, 200, 300)).astype(np.float32)
    with pytest.raises(UsageError, match="cannot be used"):
        read_cells(image, 7)
    with pytest.raises(UsageError, match="smaller cells"):
        remove_gradient(image, GradientSettings(cell_px=64))
    with pytest.raises(NoUsableInput, match="have data"):
        remove_gradient(np.full((3, 200, 300), np.nan, np.float32), GradientSettings())
    with pytest.raises(UsageError, match="3 channels"):
        plan_gradient(read_cells(np.repeat(image, 3, axis=0), 8), GradientSettings()).apply(image)


def test_an_image_without_noise_or_gradient_stays() -> None:
    flat = np.full((3, 200, 300), 7.0, np.float32)
    np.testing.assert_allclose(remove_gradient(flat, GradientSettings())[0], 7.0, atol=1e-4)


def test_cells_are_a_32nd_of_the_shorter_side() -> None:
    assert [choose_cell(1920, 1080), choose_cell(580, 752), choose_cell(20000, 20000), choose_cell(90, 90)] == [
        34, 18, 128, 8,
    ]  # fmt: skip


def test_means_of_squares_are_those_of_the_definition() -> None:
    random = np.random.default_rng(4)
    values, known = random.normal(0, 1, (12, 9)), random.random((12, 9)) > 0.3
    mean, count = box_mean(values, known, 3)
    for y in range(12):
        for x in range(9):
            part = slice(max(0, y - 1), y + 2), slice(max(0, x - 1), x + 2)
            assert count[y, x] == known[part].sum()
            expected = values[part][known[part]].mean() if known[part].any() else 0.0
            assert mean[y, x] == pytest.approx(expected, abs=1e-12)
    mask = np.zeros((7, 7), dtype=bool)
    mask[3, 3] = True
    assert grow(mask, 2).sum() == 25
    assert grow(mask, 0).sum() == 1


def test_faint_light_over_many_cells_is_found() -> None:
    random = np.random.default_rng(5)
    residual = random.normal(0, 1, (40, 40))
    assert cell_noise(residual) == pytest.approx(1.0, abs=0.12)
    known = np.ones((40, 40), dtype=bool)
    assert find_objects(residual, known, 1.0, kappa=4.5, least=0.0).mean() < 0.01
    residual[10:25, 10:25] += 1.2
    found = find_objects(residual, known, 1.0, kappa=4.5, least=0.0)
    assert found[12:23, 12:23].mean() > 0.95
    assert not find_objects(residual, known, 1.0, kappa=4.5, least=9.0).any()


def test_lower_and_robust_fits() -> None:
    random = np.random.default_rng(6)
    u, v = random.uniform(-1, 1, (2, 600))
    terms = design(u, v, 1)
    assert terms.shape == (600, n_terms(1))
    value = 5 + u + 2 * v + random.normal(0, 0.1, 600)
    bright = random.random(600) < 0.5
    lifted = value + np.where(bright, random.uniform(1, 5, 600), 0.0)
    np.testing.assert_allclose(fit_lower(terms, lifted), [5, 1, 2], atol=0.2)
    outliers = value + np.where(random.random(600) < 0.15, 20.0, 0.0)
    np.testing.assert_allclose(fit_robust(terms, outliers), [5, 1, 2], atol=0.03)


def test_surfaces_of_channels_are_alike_where_the_cells_do_not_tell_better() -> None:
    random = np.random.default_rng(9)
    u, v = random.uniform(-1, 1, (2, 500))
    terms, unit = design(u, v, 2), np.array([400.0, 600.0, 300.0])
    shape = np.array([0.0, 0.05, -0.03, 0.04, 0.02, -0.03])
    true = unit[:, None] * (np.eye(6)[0] + np.array([0.8, 1.0, 1.2])[:, None] * shape)
    level = true @ terms.T + random.normal(0, 0.001, (3, 500)) * unit[:, None]
    level[:, ::9] += 0.1 * unit[:, None]  # a few objects
    free = v < 0.0
    beyond = design(u, np.abs(v), 2)
    alike = fit_alike(terms[free], level[:, free], unit)
    alone = np.stack([fit_robust(terms[free], channel[free]) for channel in level])
    miss = [np.abs((found - true) @ beyond.T / unit[:, None]).max() for found in (alike, alone)]
    assert miss[0] < 0.7 * miss[1]
    other = true.copy()
    other[2, 1:] = [-30.0, 10.0, 0.0, 12.0, 0.0]  # a gradient of its own in one colour: the cells outweigh the prior
    whole = fit_alike(terms, other @ terms.T + random.normal(0, 0.001, (3, 500)) * unit[:, None], unit)
    assert np.abs((whole - other) @ terms.T / unit[:, None]).max() < 0.0008
    np.testing.assert_array_equal(fit_alike(terms, level[:1], unit[:1])[0], fit_robust(terms, level[0]))


def test_residuals_of_parts_left_out_are_those_of_fits_without_them() -> None:
    random = np.random.default_rng(7)
    u, v = random.uniform(-1, 1, (2, 300))
    terms, target = design(u, v, 2), random.normal(0, 1, 300) + u
    block, used = (u > 0).astype(np.int64) * 2 + (v > 0), random.random(300) < 0.8
    residual, swing = left_out_residuals(terms, target, block, used)
    full = np.linalg.lstsq(terms[used], target[used], rcond=None)[0]
    np.testing.assert_allclose(residual[~used], (target - terms @ full)[~used], atol=1e-7)
    largest = 0.0
    for number in range(4):
        others = used & (block != number)
        fit = np.linalg.lstsq(terms[others], target[others], rcond=None)[0]
        part = used & (block == number)
        np.testing.assert_allclose(residual[part], (target - terms @ fit)[part], atol=1e-7)
        largest = max(largest, np.abs(terms @ (fit - full)).max())
    assert swing == pytest.approx(largest, rel=1e-6)


def test_the_sum_of_channels_that_cancels_emission() -> None:
    random = np.random.default_rng(8)
    v = np.linspace(-1, 1, 50)[:, None] * np.ones((50, 40))
    light = np.abs(random.normal(0, 1, (50, 40))) * 0.3
    floor, colour = np.array([100.0, 200.0, 80.0]), np.array([90.0, 30.0, 20.0])
    level = floor[:, None, None] * (1 + 0.05 * v) + colour[:, None, None] * light
    known = np.ones((50, 40), dtype=bool)
    noise = np.full(3, 0.2)
    found = emission_free(level + random.normal(0, 0.2, level.shape), known, floor, noise)
    assert found is not None
    assert np.abs(found[0] - 1 - 0.05 * v).std() < 2 * found[1] < 0.02
    grey = floor[:, None, None] * (1 + 0.05 * v + light)
    assert emission_free(grey, known, floor, noise) is None
    assert emission_free(floor[:, None, None] + random.normal(0, 0.2, level.shape), known, floor, noise) is None
    assert emission_free(level[:1], known, floor[:1], noise[:1]) is None
