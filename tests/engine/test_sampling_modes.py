"""Every choice of a recipe that changes the pixels runs, and gives the picture that it promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from small_sky import largest_difference, manifest, master, pixels_of, small_session, stacked

import skyquilt as sq
from skyquilt.core import F32, Box, Cfa
from skyquilt.engine import Recipe
from skyquilt.errors import NotRegistered, NoUsableInput
from skyquilt.testing.laws import measure_star_fluxes
from skyquilt.testing.sky import Truth

N = 8
QUIET: dict[str, Any] = {
    "n_frames": N,
    "n_faint_stars": 200,
    "transparency_scatter": 0.0,
    "nebula": False,
    "gradient": 0.0,
    "sky_trend": 0.0,
    "gain_e_per_adu": 0.7,  # little noise: it is the method that is looked at
}


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """Frames with dither and rotation."""
    return small_session(tmp_path_factory.mktemp("turned"), **QUIET)


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """Frames that are only shifted."""
    return small_session(tmp_path_factory.mktemp("shifted"), **QUIET, rotation_deg=(0.0, 0.0))


@pytest.fixture
def make(truth: Truth, tmp_path: Path) -> Callable[..., sq.RunResult]:
    """Stack the turned session on its first frame, in ADU."""

    def run(**settings: Any) -> sq.RunResult:
        given: dict[str, Any] = {"unit": "adu", "reference": "first", "maps": False, **settings}
        return stacked(truth.folder, tmp_path / "out", **given)

    return run


def check_picture(
    image: F32, truth: Truth, *, x0: float = 0.0, y0: float = 0.0, cell: int = 1, flux_error: float = 0.02
) -> None:
    """Check that the sky has its level and the green plane the light of the brighter stars, where they belong."""
    green = image[len(image) // 2].astype(np.float64)
    assert np.nanmedian(green) == pytest.approx(truth.frames[0].sky_adu[1], rel=0.03)
    stars = truth.stars_in(Box(0, 0, truth.scenario.width, truth.scenario.height), margin=45.0)
    chosen = stars.take((stars.flux[:, 1] > 4e3) & (stars.flux[:, 1] < 3e5))
    assert len(chosen) >= 8
    radius = 8.0
    # the median of a ring with faint stars moves with the noise: the truth gets as much
    noise = np.random.default_rng(5).normal(0.0, truth.frames[0].sky_sigma_adu[1] / np.sqrt(N), (480, 270))
    expected = measure_star_fluxes(truth.render_reference(1) + noise, chosen.x, chosen.y, radius)
    filled = np.where(np.isfinite(green), green, np.nanmedian(green))
    x, y = ((value - (cell - 1) / 2) / cell for value in (chosen.x - x0, chosen.y - y0))
    measured = cell**2 * measure_star_fluxes(filled, x, y, radius / cell)
    seen = np.isfinite(measured) & (expected > 3e3)
    assert seen.sum() >= 6
    assert measured[seen].sum() / expected[seen].sum() == pytest.approx(1.0, abs=flux_error)


# --- debayer, kernel


@pytest.mark.parametrize("method", ["auto", "malvar", "rcd", "bilinear", "superpixel", "cfa", "rgb"])
def test_every_way_of_making_colour_keeps_level_and_flux(
    method: str, make: Callable[..., sq.RunResult], truth: Truth
) -> None:
    result = make(debayer=method)
    image = master(result)
    cell = 2 if method == "superpixel" else 1
    assert image.shape == (3, 480 // cell, 270 // cell)
    check_picture(image, truth, cell=cell)
    header = fits.getheader(result.stacks[0].outputs["master_linear"])
    assert "BAYERPAT" not in header
    assert header["XPIXSZ"] == pytest.approx(2.9 * cell)
    assert manifest(result).debayer_method == {"auto": "malvar", "rgb": "bilinear"}.get(method, method)
    levels = [np.nanmedian(plane) for plane in image]
    assert levels == pytest.approx(list(truth.frames[0].sky_adu), rel=0.03)


@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "catmull_rom", "least_squares", "lanczos3"])
def test_every_kernel_keeps_level_and_flux(kernel: str, make: Callable[..., sq.RunResult], truth: Truth) -> None:
    result = make(kernel=kernel)
    check_picture(master(result), truth)
    assert manifest(result).kernel == kernel


@pytest.mark.parametrize("kernel", ["auto", "nearest", "lanczos3"])
def test_mono_frames_are_resampled_too(kernel: str, tmp_path: Path) -> None:
    mono = small_session(tmp_path / "raw", **QUIET, device="generic", cfa=None, vignetting=0.0)
    result = stacked(mono.folder, tmp_path / "out", unit="adu", reference="first", kernel=kernel)
    image = master(result)
    assert image.shape == (1, 480, 270)
    assert np.nanmedian(image) == pytest.approx(mono.frames[0].sky_adu[0], rel=0.03)
    whole = stacked(mono.folder, tmp_path / "whole", unit="adu", reference="first", align_mode="integer")
    assert manifest(whole).kernel == "nearest"
    assert np.nanmedian(master(whole)) == pytest.approx(mono.frames[0].sky_adu[0], rel=0.03)


# --- the mosaic itself


def test_none_keeps_the_mosaic_and_says_its_pattern(shifted: Truth, tmp_path: Path) -> None:
    result = stacked(shifted.folder, tmp_path, debayer="none", unit="adu", reference="first")
    image = master(result)
    assert image.shape == (1, 480, 270)
    header = fits.getheader(result.stacks[0].outputs["master_linear"])
    assert header["BAYERPAT"] == "GRBG"
    assert header["NAXIS"] == 2
    levels = [np.nanmedian(image[0][y::2, x::2]) for y, x in ((0, 1), (0, 0), (1, 0))]
    assert levels == pytest.approx(list(shifted.frames[0].sky_adu), rel=0.03)
    assert set(result.stacks[0].outputs) >= {"master_linear"}
    assert "master_bayer" not in result.stacks[0].outputs


def test_bayer_first_stacks_the_mosaic_and_debayers_it_once(shifted: Truth, tmp_path: Path) -> None:
    result = stacked(shifted.folder, tmp_path, debayer="bayer-first", unit="adu", reference="first")
    outputs = result.stacks[0].outputs
    assert pixels_of(outputs["master_bayer"]).shape == (1, 480, 270)
    assert fits.getheader(outputs["master_bayer"])["BAYERPAT"] == "GRBG"
    assert "BAYERPAT" not in fits.getheader(outputs["master_linear"])
    assert master(result).shape == (3, 480, 270)
    check_picture(master(result), shifted)


def test_align_mode_integer_gives_colour_from_whole_pixel_shifts(shifted: Truth, tmp_path: Path) -> None:
    result = stacked(shifted.folder, tmp_path, align_mode="integer", unit="adu", reference="first")
    assert manifest(result).debayer_method == "mosaic"
    assert manifest(result).kernel == "nearest"
    check_picture(master(result), shifted)


@pytest.mark.parametrize("debayer", ["superpixel", "cfa", "rcd", "none"])
def test_whole_pixel_shifts_go_with_every_way_of_making_colour(debayer: str, shifted: Truth, tmp_path: Path) -> None:
    result = stacked(shifted.folder, tmp_path, align_mode="integer", debayer=debayer, unit="adu", reference="first")
    image = master(result)
    if debayer == "none":
        assert image.shape == (1, 480, 270)
    else:
        check_picture(image, shifted, cell=2 if debayer == "superpixel" else 1)


def test_rotated_frames_are_not_stacked_by_whole_pixels(truth: Truth, tmp_path: Path) -> None:
    turned = {"device": "seestar", **QUIET, "rotation_deg": (0.0, 6.0), "n_frames": 4}
    folder = small_session(tmp_path / "raw", **turned).folder
    with pytest.raises(NotRegistered, match="rotated"):
        stacked(folder, tmp_path / "out", align_mode="integer")
    for debayer in ("none", "bayer-first"):  # the mode that is left to choose falls back to colour
        assert master(stacked(folder, tmp_path / debayer, debayer=debayer)).shape == (3, 480, 270)


def test_the_mosaic_of_trails_defects_and_odd_framing_is_sane(tmp_path: Path) -> None:
    scenario = {**QUIET, "rotation_deg": (0.0, 0.0), "n_trails": 2, "trail_frames": (2, 5), "gradient": 0.05}
    truth = small_session(tmp_path / "raw", **scenario)
    given: dict[str, Any] = {"debayer": "bayer-first", "unit": "adu", "reference": "first"}
    result = stacked(truth.folder, tmp_path / "out", framing="union", **given)
    told = manifest(result)
    assert sum(frame.n_trails or 0 for frame in told.frames) >= 2
    image = master(result)
    x0, y0, x1, y1 = told.canvas
    assert image.shape == (3, y1 - y0, x1 - x0)
    assert (y1 - y0) > 480
    inner = image[:, 40:-40, 40:-40]
    assert np.isfinite(inner).all()
    assert [np.median(plane) for plane in inner] == pytest.approx(list(truth.frames[0].sky_adu), rel=0.04)
    check_picture(image, truth, x0=x0, y0=y0)
    for odd in ("intersection", "60%", "80%"):  # canvases that may begin at odd pixels
        again = stacked(truth.folder, tmp_path / odd, framing=odd, **given)
        x0, y0, _, _ = manifest(again).canvas
        check_picture(master(again), truth, x0=x0, y0=y0)
        header = fits.getheader(again.stacks[0].outputs["master_bayer"])
        assert header["BAYERPAT"] == Cfa("GRBG").shifted(x0, y0).name


# --- rejection and combination


@pytest.mark.parametrize(
    "rule", ["auto", "sigma", "winsorized", "mad", "linear_fit", "esd", "percentile", "noise_model", "none"]
)
def test_every_rejection_rule_runs_and_keeps_level_and_flux(
    rule: str, make: Callable[..., sq.RunResult], truth: Truth
) -> None:
    limits = {"sigma_low": 5.0, "sigma_high": 5.0} if rule == "linear_fit" else {}
    result = make(rejection=rule, **limits)
    # eight samples are too few for the one, and the other keeps what particles and hot pixels add
    check_picture(master(result), truth, flux_error=0.03 if rule in ("linear_fit", "none") else 0.02)
    figures = manifest(result).statistics
    rejected = figures.rejected_low + figures.rejected_high
    assert rejected == 0.0 if rule == "none" else 0.0 <= rejected < 0.03


@pytest.mark.parametrize("combine", ["mean", "median", "sum", "min", "max"])
def test_every_way_to_combine_does_what_its_name_says(
    combine: str, make: Callable[..., sq.RunResult], truth: Truth
) -> None:
    mean = master(make())
    image = master(make(combine=combine))
    sky, noise = truth.frames[0].sky_adu[1], truth.frames[0].sky_sigma_adu[1]
    level = float(np.nanmedian(image[1]))
    if combine in ("mean", "median"):
        assert level == pytest.approx(sky, rel=0.03)
    elif combine == "sum":
        assert np.nanmedian(image[1] / mean[1]) == pytest.approx(N, rel=0.001)
    elif combine == "min":
        assert sky - 4 * noise < level < sky - 0.5 * noise
    else:
        assert sky + 0.5 * noise < level < sky + 4 * noise


@pytest.mark.parametrize("schedule", ["cube", "sweep"])
def test_both_schedules_give_a_sane_picture(schedule: str, make: Callable[..., sq.RunResult], truth: Truth) -> None:
    result = make(schedule=schedule)
    assert manifest(result).schedule == schedule
    check_picture(master(result), truth)


@pytest.mark.parametrize("weights", ["point_source", "noise", "fwhm", "stars", "transparency", "exposure", "none"])
def test_every_kind_of_weight_runs(weights: str, make: Callable[..., sq.RunResult], truth: Truth) -> None:
    result = make(weights=weights)
    check_picture(master(result), truth)
    given = np.array([frame.weight for frame in manifest(result).frames])
    assert (given > 0).all()
    if weights in ("exposure", "none"):
        assert np.ptp(given) < 1e-9


@pytest.mark.parametrize("normalise", ["none", "additive", "multiplicative", "both"])
@pytest.mark.parametrize("order", [0, 2])
def test_every_normalisation_runs(normalise: str, order: int, make: Callable[..., sq.RunResult], truth: Truth) -> None:
    check_picture(master(make(normalise=normalise, surface_order=order)), truth)


@pytest.mark.parametrize("model", ["shift", "similarity", "affine", "homography", "polynomial"])
def test_every_model_of_the_transform_runs(model: str, make: Callable[..., sq.RunResult], shifted: Truth) -> None:
    result = make(model=model)
    assert manifest(result).statistics.n_stacked == N
    kinds = {frame.transform["kind"] for frame in manifest(result).frames if not frame.is_reference}
    assert model in kinds or model == "polynomial"


def test_feathering_fades_the_edges_and_not_the_middle(make: Callable[..., sq.RunResult], truth: Truth) -> None:
    whole = make(maps=True)
    plain = master(whole)
    feathered = make(feather_px=30.0, radial_feather=0.3, maps=True)
    check_picture(master(feathered), truth)
    # the frames are moved against each other: near the edge they fade by different shares, and so the mean differs
    edge = (slice(None), slice(3, 9), slice(100, 170))
    assert largest_difference(master(feathered)[edge], plain[edge]) > 1e-3
    exposures = [fits.getdata(made.stacks[0].outputs["master_maps"]) for made in (whole, feathered)]
    assert np.array_equal(*exposures)
    middle = (slice(None), slice(200, 280), slice(100, 170))
    assert largest_difference(master(feathered)[middle], plain[middle]) < 0.2


# --- framing and selection


def test_framing_chooses_the_canvas(make: Callable[..., sq.RunResult], truth: Truth) -> None:
    boxes = {}
    for framing in ("reference", "union", "intersection", "80%", "0.8"):
        result = make(framing=framing)
        x0, y0, x1, y1 = boxes[framing] = manifest(result).canvas
        image = master(result)
        assert image.shape == (3, y1 - y0, x1 - x0)
        check_picture(image, truth, x0=x0, y0=y0)
        covered = np.isfinite(image[1]).mean()
        assert covered > (0.85 if framing == "union" else 0.97)
    assert boxes["reference"] == (0, 0, 270, 480)
    assert boxes["80%"] == boxes["0.8"]
    areas = {framing: (x1 - x0) * (y1 - y0) for framing, (x0, y0, x1, y1) in boxes.items()}
    assert areas["intersection"] < areas["80%"] <= areas["union"]
    assert areas["intersection"] < areas["reference"] < areas["union"]


def test_every_pixel_of_the_intersection_is_covered_by_every_frame(make: Callable[..., sq.RunResult]) -> None:
    result = make(framing="intersection", maps=True, rejection="none", trails=False, cosmetic="off")
    coverage = fits.getdata(result.stacks[0].outputs["master_maps"])
    assert (coverage >= 0.999 * 10.0 * N).mean() > 0.98


@pytest.mark.parametrize("keep", [0.5, 0.75])
def test_keep_takes_the_best_share_and_says_why_the_others_go(keep: float, make: Callable[..., sq.RunResult]) -> None:
    told = manifest(make(keep=keep, reference="best"))
    assert told.statistics.n_stacked == round(keep * N)
    gone = [frame for frame in told.frames if frame.status == "left_out"]
    kept = [frame for frame in told.frames if frame.status == "stacked"]
    assert {frame.code for frame in gone} == {"not_among_best"}
    assert all("not among the best: score" in str(frame.reason) for frame in gone)
    assert min(float(frame.n_stars or 0) / float(frame.fwhm_px or 1) for frame in kept) > 0


LIMITS = {
    "max_fwhm_px": ("blurred", lambda frame: frame.fwhm_px, "FWHM"),
    "max_eccentricity": ("trailed", lambda frame: frame.eccentricity, "eccentricity"),
    "min_stars": ("few_stars", lambda frame: frame.n_stars, "stars"),
    "max_background_adu": ("bright_sky", lambda frame: frame.background_adu, "background"),
    "min_transparency": ("not_transparent", lambda frame: frame.transparency, "transparency"),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_absolute_limits_leave_frames_out_with_the_figure_that_broke_them(
    limit: str, truth: Truth, tmp_path: Path
) -> None:
    code, of, word = LIMITS[limit]
    scenario = {**QUIET, "transparency_scatter": 0.1, "fwhm_scatter": 0.1, "sky_trend": 0.2}
    folder = small_session(tmp_path / "raw", **scenario).folder
    free = manifest(stacked(folder, tmp_path / "free"))
    values = sorted(float(of(frame)) for frame in free.frames)
    value = 0.5 * (values[3] + values[4])
    told = manifest(stacked(folder, tmp_path / "out", **{limit: round(value) if limit == "min_stars" else value}))
    gone = [frame for frame in told.frames if frame.status == "left_out"]
    assert 2 <= len(gone) <= 6
    assert {frame.code for frame in gone} == {code}
    assert all(word in str(frame.reason) for frame in gone)


def test_limits_that_leave_nothing_are_no_usable_input(make: Callable[..., sq.RunResult]) -> None:
    with pytest.raises(NoUsableInput, match="none of the 8 frames"):
        make(max_fwhm_px=0.5)


def test_the_reference_can_be_chosen(truth: Truth, tmp_path: Path) -> None:
    best = manifest(stacked(truth.folder, tmp_path / "best"))
    scores = {frame.file: frame.score for frame in best.frames}
    assert best.reference == max(scores, key=lambda name: scores[name] or 0.0)
    most = manifest(stacked(truth.folder, tmp_path / "most", reference="most_stars"))
    stars = {frame.file: frame.n_stars or 0 for frame in most.frames}
    assert stars[str(most.reference)] == max(stars.values())
    first = manifest(stacked(truth.folder, tmp_path / "first", reference="first"))
    assert first.reference == truth.frames[0].path.name
    named = manifest(stacked(truth.folder, tmp_path / "named", reference=truth.frames[5].path.name))
    assert named.reference == truth.frames[5].path.name
    assert [frame.file for frame in named.frames if frame.is_reference] == [named.reference]
    shift = next(frame for frame in named.frames if frame.is_reference)
    assert (shift.shift_x_px, shift.shift_y_px, shift.rotation_deg) == (0.0, 0.0, 0.0)


def test_files_can_be_excluded_by_pattern(truth: Truth, make: Callable[..., sq.RunResult]) -> None:
    name = truth.frames[3].path.name
    told = manifest(make(exclude=(f"*{name[-10:]}",)))
    assert told.statistics.n_stacked == N - 1
    assert [other["code"] for other in told.other_files if other["file"] == name] == ["excluded"]


def test_filters_are_groups_of_their_own_unless_joined(tmp_path: Path) -> None:
    small_session(tmp_path / "raw", **{**QUIET, "n_frames": 4})
    second = {**QUIET, "n_frames": 4, "filter": "LP", "night": 1, "start_utc": "2025-03-27T03:00:00"}
    small_session(tmp_path / "raw", **second)
    apart = stacked(tmp_path / "raw", tmp_path / "apart")
    assert sorted(stack.name for stack in apart.stacks) == ["M 94_IRCUT", "M 94_LP"]
    joined = stacked(tmp_path / "raw", tmp_path / "joined", join=True)
    assert [stack.name for stack in joined.stacks] == ["M 94"]
    assert manifest(joined).statistics.n_stacked == 8
    assert fits.getheader(joined.stacks[0].outputs["master_linear"])["FILTER"] == "mixed"


def test_every_choice_of_the_recipe_is_tried_here() -> None:
    tried = {
        "debayer": {"auto", "malvar", "rcd", "bilinear", "superpixel", "cfa", "rgb", "none", "bayer-first"},
        "kernel": {"auto", "nearest", "bilinear", "catmull_rom", "least_squares", "lanczos3"},
        "align_mode": {"auto", "integer", "rgb_affine"},
    }
    schema = Recipe.model_json_schema()["properties"]
    assert {name: set(schema[name]["enum"]) for name in tried} == tried
