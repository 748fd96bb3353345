"""Scripts written for dwarf3 run with another import line: its quickstart, and a pipeline of single steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from skyquilt import dwarf3
from skyquilt.errors import NotRegistered, NoUsableInput, UsageError
from skyquilt.testing.laws import RawGuard, block_noise
from skyquilt.testing.sky import Scenario, Truth, make_session

HEIGHT, WIDTH, N = 300, 420, 10
SESSION = Scenario(
    device="dwarf3",
    target="M 31",
    width=WIDTH,
    height=HEIGHT,
    n_frames=N,
    n_faint_stars=300,
    n_hot_pixels=30,
    n_cold_pixels=2,
    gradient=0.0,
    nebula=False,
    rotation_deg=(0.0, 0.3),
    fault={7: "trailed"},
    n_failed=2,
    device_stack=True,
)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    return make_session(tmp_path_factory.mktemp("dwarf"), SESSION)


@pytest.fixture
def session(truth: Truth) -> str:
    return str(truth.lights_folder)


def green_sky(truth: Truth) -> float:
    return float(truth.frames[0].sky_adu[1])


# --- the quickstart


@pytest.fixture(scope="module")
def result(truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> dwarf3.StackResult:
    config = dwarf3.StackConfig(keep_fraction=0.9, sigma=3.0, maxiters=5)
    with RawGuard(truth.folder):
        return dwarf3.stack_session(str(truth.lights_folder), tmp_path_factory.mktemp("out"), config=config)


def test_the_quickstart_stacks_a_session_and_tells_what_it_did(result: dwarf3.StackResult, truth: Truth) -> None:
    good = [frame.path for frame in truth.frames[:N] if frame.is_good]
    assert len(result.inputs) == N
    assert len(result.kept) == int(np.ceil(0.9 * len(good)))
    assert set(result.kept) <= set(good)
    assert len(result.rejected) == N - len(result.kept)
    trailed = next(one for one in result.rejected if one.path == truth.frames[7].path)
    assert (trailed.reason, "eccentricity" in trailed.detail) == ("trailed", True)
    assert result.reference_frame in result.kept
    assert result.session_id == truth.lights_folder.name
    assert {"master_linear", "master_maps", "master_quicklook", "manifest"} <= set(result.outputs)
    assert all(path.is_file() for path in result.outputs.values())


def test_the_figures_of_the_quickstart_are_those_of_the_stack(result: dwarf3.StackResult, truth: Truth) -> None:
    stats = result.stats
    assert stats["n_frames_stacked"] == len(result.kept)
    assert stats["total_exposure_s"] == 15.0 * len(result.kept)
    assert stats["output_shape"] == (3, HEIGHT, WIDTH)
    assert 0.0 <= stats["mean_clipped_fraction"] < 0.05
    one_frame = green_sky(truth) / float(truth.frames[0].sky_sigma_adu[1])
    ideal = one_frame * np.sqrt(len(result.kept))  # of raw pixels; resampled ones have as much noise, or less
    assert 0.95 * ideal < stats["snr_proxy"] < 4 * ideal
    image = dwarf3.read_fits(result.outputs["master_linear"])
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert np.nanmedian(image[..., 1]) * 65535 == pytest.approx(green_sky(truth), rel=0.03)


def test_transforms_saved_by_one_run_serve_the_next(truth: Truth, tmp_path: Path) -> None:
    session = truth.lights_folder
    first = dwarf3.stack_session(session, tmp_path / "a", save_transforms=True)
    again = dwarf3.stack_session(
        session, tmp_path / "b", load_transforms_path=first.outputs["transforms"], no_cache=True, cache_refresh=True
    )
    assert np.array_equal(
        dwarf3.read_fits(first.outputs["master_linear"]),
        dwarf3.read_fits(again.outputs["master_linear"]),
        equal_nan=True,
    )


def test_a_frame_list_and_a_dry_run_are_obeyed(session: str, tmp_path: Path) -> None:
    lights = dwarf3.list_lights(session)
    (tmp_path / "list.txt").write_text("\n".join(path.name for path in lights[:5]))
    config = dwarf3.StackConfig(keep_fraction=1.0, write_quicklook=False)
    listed = dwarf3.stack_session(session, tmp_path / "out", config, frame_list_path=tmp_path / "list.txt")
    assert sorted(listed.kept) == lights[:5]
    assert "master_quicklook" not in listed.outputs
    planned = dwarf3.stack_session(session, tmp_path / "planned", config, dry_run=True)
    assert planned.stats["n_frames_planned"] == 9
    assert planned.stats["output_shape"] == (3, HEIGHT, WIDTH)
    assert not (tmp_path / "planned").exists()


@pytest.mark.parametrize("debayer", ["none", "rgb", "superpixel", "bayer-first"])
def test_every_debayer_word_of_dwarf3_is_understood(debayer: str, session: str, tmp_path: Path) -> None:
    config = dwarf3.StackConfig(debayer=debayer, write_quicklook=False)
    shape = dwarf3.stack_session(session, tmp_path, config).stats["output_shape"]
    cell = 2 if debayer == "superpixel" else 1
    assert shape[1:] == (HEIGHT // cell, WIDTH // cell)
    assert shape[0] in (1, 3)


def test_full_resolution_samples_the_sensor_itself(session: str, tmp_path: Path) -> None:
    config = dwarf3.StackConfig(full_res=True, use_gpu=True, workers=2, write_quicklook=False)
    full = dwarf3.stack_session(session, tmp_path, config)
    assert full.manifest is not None
    assert full.manifest.debayer_method == "cfa"
    assert full.stats["output_shape"] == (3, HEIGHT, WIDTH)


@pytest.mark.parametrize("wrong", [{"keep_fraction": 0.0}, {"keep_fraction": 1.5}, {"sigma": 0.0}, {"maxiters": 0}])
def test_a_configuration_out_of_range_is_a_value_error(wrong: dict[str, float], session: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        dwarf3.stack_session(session, tmp_path, dwarf3.StackConfig(**wrong))  # type: ignore[arg-type]


def test_what_cannot_be_stacked_is_said(session: str, tmp_path: Path) -> None:
    with pytest.raises(NoUsableInput):
        dwarf3.stack_session(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(UsageError):
        dwarf3.stack_session(session, tmp_path / "out", dwarf3.StackConfig(debayer="magic"))
    with pytest.raises(UsageError, match="not among the frames"):
        dwarf3.stack_session(session, tmp_path / "out", dwarf3.StackConfig(reference="other.fits"))


def test_too_many_failed_alignments_stop_the_run(tmp_path: Path) -> None:
    scenario = Scenario(
        device="dwarf3",
        width=WIDTH,
        height=HEIGHT,
        n_frames=6,
        n_hot_pixels=20,
        n_faint_stars=300,
        fault={2: "other_target", 4: "other_target"},
    )
    folder = make_session(tmp_path / "raw", scenario).lights_folder
    with pytest.raises(UsageError, match="2 frames could not be aligned"):
        dwarf3.stack_session(folder, tmp_path / "out", dwarf3.StackConfig(max_align_fail=1))
    result = dwarf3.stack_session(folder, tmp_path / "out", dwarf3.StackConfig(keep_fraction=1.0))
    assert [one.reason for one in result.rejected] == ["not_registered"] * 2


# --- single steps, put together by a script of its own


def test_a_pipeline_of_single_steps_runs_as_it_did(session: str, truth: Truth, tmp_path: Path) -> None:
    config = dwarf3.StackConfig(keep_fraction=0.9)
    frame_paths = dwarf3.list_lights(session)
    assert len(frame_paths) == N
    assert not any(path.name.startswith(("failed_", "stacked-")) for path in frame_paths)

    kept, rejected = dwarf3.select_frames(frame_paths, config=config)
    assert len(kept) + len(rejected) == N
    assert truth.frames[7].path in [one.path for one in rejected]
    assert all(one.reason and one.detail for one in rejected)

    reference = dwarf3.read_fits(kept[0])
    assert (reference.shape, reference.dtype) == ((HEIGHT, WIDTH), np.float32)
    reference_rgb = dwarf3.debayer_rggb(reference, mode="bilinear")
    assert reference_rgb.shape == (HEIGHT, WIDTH, 3)

    with RawGuard(truth.folder):
        frames, results, masks = dwarf3.align_rgb_debayer_first_parallel(
            kept, reference_rgb, str(kept[0]), debayer_mode="bilinear", workers=None
        )
    n_success = sum(1 for one in results if one.success)
    assert n_success == len(frames) == len(masks) == len(results) == len(kept)
    assert all(one.transform is not None and one.transform.shape == (3, 3) for one in results)
    assert all(frame.shape == (HEIGHT, WIDTH, 3) for frame in frames)
    assert all(mask.shape == (HEIGHT, WIDTH) for mask in masks)

    rgb, coverage = dwarf3.sigma_clip_mask_aware_rgb(frames, masks=masks, sigma=3.0, maxiters=5, feather_width=10)
    assert (rgb.shape, coverage.shape) == ((HEIGHT, WIDTH, 3), (HEIGHT, WIDTH))
    assert len(kept) - 1 < coverage[HEIGHT // 2, WIDTH // 2] <= len(kept)
    assert block_noise(rgb[..., 1]) < 1.6 * block_noise(reference_rgb[..., 1]) / np.sqrt(len(kept))

    cropped, bounds = dwarf3.crop_to_coverage(rgb, coverage, min_coverage_fraction=0.8)
    top, bottom, left, right = bounds
    assert cropped.shape == (bottom - top, right - left, 3)
    assert 0.6 * HEIGHT < cropped.shape[0] <= HEIGHT
    assert (coverage[top:bottom, left:right] >= 0.8 * coverage.max()).mean() > 0.97
    assert np.array_equal(cropped, rgb[top:bottom, left:right])

    balanced = dwarf3.apply_bayer_compensation(cropped, auto=True)
    medians = [float(np.median(balanced[..., channel])) for channel in range(3)]
    assert medians == pytest.approx([medians[1]] * 3, rel=1e-3)

    for channel in range(3):
        background = gaussian_filter(balanced[:, :, channel], sigma=40)
        balanced[:, :, channel] = balanced[:, :, channel] - background + float(np.median(background))

    display = dwarf3.asinh_stretch(balanced, a=5.0)
    assert display.shape == balanced.shape
    assert 0.0 <= display.min() < display.max() <= 1.0
    assert 0.0 < np.median(display) < 0.9

    path = tmp_path / "balanced.fits"
    dwarf3.write_fits(balanced, path)
    assert fits.getdata(path).shape == (3, *balanced.shape[:2])
    assert np.array_equal(dwarf3.read_fits(path), balanced)


def test_selected_frames_come_best_first(session: str, truth: Truth) -> None:
    every, _ = dwarf3.select_frames(dwarf3.list_lights(session), config=dwarf3.StackConfig(keep_fraction=1.0))
    half, rejected = dwarf3.select_frames(dwarf3.list_lights(session), config=dwarf3.StackConfig(keep_fraction=0.5))
    assert half == every[: len(half)]
    assert len(half) == 4
    reasons = [one.reason for one in rejected]
    assert reasons.count("low_quality_score") == 5


def test_selecting_bears_with_a_file_that_is_no_frame(session: str, tmp_path: Path) -> None:
    bad = tmp_path / "bad.fits"
    bad.write_bytes(b"not a frame")
    kept, rejected = dwarf3.select_frames([*map(str, dwarf3.list_lights(session)[:4]), str(bad)])
    assert len(kept) >= 3
    assert bad in [one.path for one in rejected]


def test_frames_of_another_target_are_told_apart_by_their_results(tmp_path: Path) -> None:
    scenario = Scenario(
        device="dwarf3", width=WIDTH, height=HEIGHT, n_frames=4, n_faint_stars=300, fault={2: "other_target"}
    )
    truth = make_session(tmp_path, scenario)
    paths = [frame.path for frame in truth.frames]
    reference = dwarf3.debayer_rggb(dwarf3.read_fits(paths[0]))
    frames, results, masks = dwarf3.align_rgb_debayer_first_parallel(paths, reference, paths[0])
    assert [one.success for one in results] == [True, True, False, True]
    assert len(frames) == len(masks) == 3
    assert results[2].transform is None
    assert results[2].error_message
    with pytest.raises(UsageError, match="max_failures"):
        dwarf3.align_rgb_debayer_first_parallel(paths, reference, paths[0], max_failures=0)
    with pytest.raises(ValueError, match="superpixel"):
        dwarf3.align_rgb_debayer_first_parallel(paths, reference, paths[0], debayer_mode="superpixel")


@pytest.mark.parametrize("mode", ["bilinear", "superpixel", "malvar", "rcd"])
def test_debayering_gives_colour_planes_last(mode: str) -> None:
    mosaic = np.empty((20, 24), dtype=np.float32)
    mosaic[0::2, 0::2], mosaic[1::2, 1::2] = 100.0, 300.0
    mosaic[0::2, 1::2] = mosaic[1::2, 0::2] = 200.0
    rgb = dwarf3.debayer_rggb(mosaic, mode=mode)
    assert rgb.shape == ((10, 12, 3) if mode == "superpixel" else (20, 24, 3))
    assert np.allclose(rgb, [100.0, 200.0, 300.0])
    turned = dwarf3.debayer_rggb(mosaic, mode=mode, pattern="BGGR")
    assert np.allclose(turned, [300.0, 200.0, 100.0])


@pytest.mark.parametrize("shape", [(11, 17), (11, 17, 3)])
def test_images_come_back_as_they_were_written(shape: tuple[int, ...], tmp_path: Path) -> None:
    image: NDArray[np.float32] = np.random.default_rng(3).normal(100, 10, shape).astype(np.float32)
    dwarf3.write_fits(image, tmp_path / "image.fits")
    back = dwarf3.read_fits(tmp_path / "image.fits")
    assert (back.shape, back.dtype) == (shape, np.float32)
    assert np.array_equal(back, image)
    back[0] = 0.0  # the caller's own
    dwarf3.write_fits(image.astype(np.float64).tolist(), str(tmp_path / "list.fits"))
    assert np.array_equal(dwarf3.read_fits(str(tmp_path / "list.fits")), image)


def test_the_clipped_mean_drops_an_outlier_and_heeds_the_masks() -> None:
    random = np.random.default_rng(8)
    frames = [random.normal(500.0, 5.0, (40, 50, 3)).astype(np.float32) for _ in range(12)]
    frames[3][20, 25] = 60_000.0
    masks = [np.ones((40, 50), dtype=bool) for _ in frames]
    for mask in masks[:6]:
        mask[:, :10] = False
    image, coverage = dwarf3.sigma_clip_mask_aware_rgb(frames, masks=masks)
    assert np.abs(image - 500.0).max() < 15.0
    assert coverage[5, 5] == pytest.approx(6.0, abs=0.3)
    assert coverage[5, 30] == pytest.approx(12.0, abs=0.3)
    plain, _ = dwarf3.sigma_clip_mask_aware_rgb(frames)
    assert plain.shape == (40, 50, 3)


def test_gains_can_be_given_and_only_exposed_pixels_count() -> None:
    rgb = np.zeros((30, 30, 3), dtype=np.float32)
    rgb[10:] = [50.0, 100.0, 200.0]
    balanced = dwarf3.apply_bayer_compensation(rgb)
    assert np.allclose(balanced[15, 15], 100.0)
    assert not balanced[:10].any()
    given = dwarf3.apply_bayer_compensation(rgb, auto=False, r_gain=2.0, b_gain=0.5)
    assert np.allclose(given[15, 15], 100.0)
    assert np.array_equal(rgb[15, 15], [50.0, 100.0, 200.0])
    assert balanced.flags.writeable


def test_the_stretch_stays_between_black_and_white() -> None:
    image = np.linspace(0.0, 1000.0, 3000).reshape(10, 100, 3)
    image[0, 0, 0] = np.nan
    for a in (0.1, 5.0):
        display = dwarf3.asinh_stretch(np.nan_to_num(image), a=a)
        assert display.min() == 0.0
        assert display.max() == 1.0
    flat = dwarf3.asinh_stretch(np.full((5, 5), 7.0))
    assert np.isfinite(flat).all()


def test_the_address_of_the_names_is_public() -> None:
    from skyquilt.apps import dwarf3 as home

    assert all(getattr(dwarf3, name) is getattr(home, name) for name in home.__all__)
    assert issubclass(NotRegistered, Exception)
