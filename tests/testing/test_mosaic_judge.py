"""The judge of mosaics, on mosaics that are right by construction or wrong by a known amount."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from skyquilt.core import F32, Box, Mask, SkyGrid, Trail
from skyquilt.testing.mosaic_judge import MosaicJudge, judge_mosaic
from skyquilt.testing.mosaic_sky import MosaicScenario, MosaicTruth, make_mosaic_truth, raw_mosaic_frame
from skyquilt.testing.sky import Scenario

CAMERA = Scenario(
    device="generic",
    cfa=None,
    target="none",
    width=256,
    height=240,
    ra_deg=3.0,
    dec_deg=86.0,
    exposure_s=10.0,
    n_faint_stars=45,
    tycho=False,
    zero_point=25.0,
    gain_e_per_adu=4.0,
    read_noise_e=2.0,
    n_hot_pixels=0,
    n_cold_pixels=0,
    n_cosmics_per_frame=0,
    rotation_deg=(0.0, 6.0),
    dither_every=1,
)
SKY_ADU = 900.0


@pytest.fixture(scope="module")
def truth() -> MosaicTruth:
    return make_mosaic_truth(MosaicScenario(CAMERA, rows=2, columns=2, subs=4, overlap=0.25))


@pytest.fixture(scope="module")
def grid(truth: MosaicTruth) -> SkyGrid:
    return truth.canvas()


@pytest.fixture(scope="module")
def coverage(truth: MosaicTruth, grid: SkyGrid) -> F32:
    return truth.seconds(grid).astype(np.float32)


@pytest.fixture(scope="module")
def perfect(truth: MosaicTruth, grid: SkyGrid, coverage: F32) -> F32:
    """Return the true light on a flat sky with the noise that the exposures leave."""
    frames = np.maximum(coverage / CAMERA.exposure_s, 1.0)
    noise = (
        truth.frames[0].sky_sigma_adu[0] * np.random.default_rng(5).standard_normal(coverage.shape) / np.sqrt(frames)
    )
    return (truth.render(grid) + SKY_ADU + noise).astype(np.float32)[None]


@pytest.fixture(scope="module")
def judge(perfect: F32, grid: SkyGrid, coverage: F32, truth: MosaicTruth) -> MosaicJudge:
    return judge_mosaic(perfect, grid, coverage, truth)


def spoiled(judge: MosaicJudge, value: F32) -> MosaicJudge:
    """Return the judge of other pixels on the same canvas."""
    return judge_mosaic(value.astype(np.float32), judge.grid, judge.coverage, judge.truth)


def footprint(judge: MosaicJudge, index: int) -> Mask:
    """Return which pixels of the canvas a frame covers."""
    return judge.truth.seconds(judge.grid, frames=[index]) > 0


def test_a_perfect_mosaic_has_no_fault(judge):
    found = judge.figures()
    assert found.flux.n >= 40 and abs(found.flux.value - 1.0) < 0.001 + 2.0 * found.flux.error
    assert found.flux.error < 0.001
    assert {0, 1, 2, 3} <= {key[0] for key in found.panels} and any(len(key) > 1 for key in found.panels)
    assert found.worst_panel < 0.004
    assert found.astrometry_px < 0.01
    seams = judge.seams(0)
    assert len(seams.steps) > 200
    assert found.seam_rms == pytest.approx(np.sqrt(np.mean(seams.errors**2)), rel=0.4)
    assert found.seam_largest < 0.3
    assert abs(found.emission.value - 1.0) < 0.002 + 2.0 * found.emission.error
    assert found.emission.error < 0.005
    assert found.outlier.sigmas < 6.0
    assert found.coverage_wrong == 0.0


def test_one_per_cent_of_flux_missing_in_one_pointing_is_found(judge, truth, grid):
    y, x = np.mgrid[: grid.height, : grid.width].astype(float)
    ours = truth.nearest_panel(*grid.wcs.to_sky(x.ravel(), y.ravel())).reshape(x.shape) == 2
    panels = spoiled(judge, judge.value - 0.01 * ours * judge.light(0)).flux_by_panels(0)
    true = judge.flux_by_panels(0)
    assert panels[(2,)].n >= 5
    assert panels[(2,)].value / true[(2,)].value == pytest.approx(0.99, abs=0.002)
    assert panels[(1,)].value / true[(1,)].value == pytest.approx(1.0, abs=0.002)


def test_a_common_scale_is_the_flux_ratio_and_no_fault_of_the_panels(judge):
    scaled = spoiled(judge, 1.3 * judge.value)
    assert scaled.flux(0).value == pytest.approx(1.3 * judge.flux(0).value, rel=1e-4)
    assert scaled.emission(0).value == pytest.approx(judge.emission(0).value, abs=1e-3)
    assert scaled.figures().worst_panel == pytest.approx(judge.figures().worst_panel, abs=1e-4)
    assert scaled.seams(0).largest == pytest.approx(judge.seams(0).largest, rel=0.02)


def test_a_shift_of_three_tenths_of_a_pixel_is_found(judge, truth, grid):
    moved = replace(grid, wcs=grid.wcs.shifted(-0.3, 0.0))
    found = spoiled(judge, judge.value - judge.light(0) + truth.render(moved)).astrometry(0)
    assert found.median_px == (pytest.approx(0.3, abs=0.01), pytest.approx(0.0, abs=0.01))
    assert found.rms_px == pytest.approx(0.3, abs=0.01)


def test_a_seam_is_found_with_its_height_and_where_it_is(judge):
    sigma = float(np.nanstd(judge.residual(0)))
    seam = spoiled(judge, judge.value + 0.6 * sigma * footprint(judge, 5)).seams(0)
    worst = np.argmax(np.abs(seam.steps))
    assert seam.frame[worst] // 4 == 1  # a frame of that pointing
    assert 0.3 < seam.largest < 1.0
    assert seam.largest > 2.0 * judge.seams(0).largest
    there = seam.frame == 5
    assert np.median(seam.steps[there]) > 0.3
    assert seam.rms > 1.5 * judge.seams(0).rms


def test_a_slope_of_the_whole_sky_is_no_seam(judge, grid):
    y, x = np.mgrid[: grid.height, : grid.width]
    sloped = spoiled(judge, judge.value + 0.2 * x - 0.1 * y + 1e-4 * x * y)
    assert sloped.seams(0).rms == pytest.approx(judge.seams(0).rms, rel=0.02)
    assert sloped.emission(0).value == pytest.approx(1.0, abs=0.2)


def test_emission_that_was_taken_for_sky_is_missed(judge):
    dimmed = spoiled(judge, judge.value - 0.1 * judge.nebula_light(0))
    assert dimmed.emission(0).value == pytest.approx(0.9 * judge.emission(0).value, abs=0.003)
    assert dimmed.emission(0, plane=False).value == pytest.approx(0.9, abs=0.01)


def test_a_faint_trail_and_a_particle_are_found(judge, truth, grid):
    noise = float(np.nanmedian(np.abs(judge.residual(0) - np.nanmedian(judge.residual(0))))) * 1.4826
    camera = replace(CAMERA, n_trails=1, trail_frames=(6,))
    with_trail = make_mosaic_truth(replace(truth.scenario, camera=camera))
    (trail,) = with_trail.frames[6].trails
    sky = with_trail.frames[6].wcs.to_sky(np.array([trail.x0, trail.x1]), np.array([trail.y0, trail.y1]))
    line = on_canvas(trail, grid.wcs.to_pixels(*sky))
    drawn = drawn_line(judge.value[0].shape, line, 2.0 * noise)
    clean = judge_mosaic(judge.value, grid, judge.coverage, with_trail)
    left = judge_mosaic(judge.value + drawn, grid, judge.coverage, with_trail)
    assert abs(clean.trail_residues(0)[0]) < 0.15
    assert left.trail_residues(0)[0] > 0.5
    assert left.outlier(0).sigmas > judge.outlier(0).sigmas + 1.0
    hit = judge.value.copy()
    y, x = np.argwhere(np.isfinite(judge.residual(0)) & (judge.coverage >= 40.0))[5000]
    hit[0, y, x] += 60.0 * noise
    found = spoiled(judge, hit).outlier(0)
    assert found.sigmas > 12.0 and np.hypot(found.x - x, found.y - y) < 3.0


def on_canvas(trail: Trail, places: tuple) -> Trail:
    (x0, x1), (y0, y1) = places
    return replace(trail, x0=float(x0), y0=float(y0), x1=float(x1), y1=float(y1))


def drawn_line(shape: tuple[int, int], line: Trail, height: float) -> F32:
    """Return a band of 5 px along a line."""
    y, x = np.indices(shape)
    length = np.hypot(line.x1 - line.x0, line.y1 - line.y0)
    across = ((x - line.x0) * (line.y1 - line.y0) - (y - line.y0) * (line.x1 - line.x0)) / length
    along = ((x - line.x0) * (line.x1 - line.x0) + (y - line.y0) * (line.y1 - line.y0)) / length
    return (height * ((np.abs(across) < 2.5) & (along > 0) & (along < length))).astype(np.float32)


@pytest.mark.parametrize("per", ["frame", "canvas"])
def test_a_finer_canvas_is_judged_alike(truth, per):
    grid = truth.canvas(scale_arcsec=0.6 * CAMERA.scale_arcsec)
    noise = np.random.default_rng(6).normal(SKY_ADU, 4.0, (grid.height, grid.width))
    value = (truth.render(grid, per=per) + noise).astype(np.float32)[None]
    found = judge_mosaic(value, grid, truth.seconds(grid).astype(np.float32), truth, per=per).figures()
    assert found.flux.n >= 40 and found.flux.value == pytest.approx(1.0, abs=0.002)
    assert found.emission.value == pytest.approx(1.0, abs=0.005)
    assert found.astrometry_px < 0.02 and found.seam_largest < 0.3
    total = {"frame": 1.0, "canvas": 0.36}[per]
    x, y = grid.wcs.to_pixels(*truth.panels_deg[0])
    light = truth.render(grid, per=per, stars=False)[round(float(y)), round(float(x))]
    assert light == pytest.approx(total * float(truth.emission(*truth.panels_deg[0])[0]), rel=0.02)


def test_coverage_that_lacks_an_exposure_is_found(judge, truth, grid, perfect):
    lost = footprint(judge, 3)
    short = judge_mosaic(perfect, grid, judge.coverage - CAMERA.exposure_s * lost, truth)
    assert short.figures().coverage_wrong == pytest.approx(lost.mean(), rel=0.1)
    assert np.nanmin(short.coverage_errors()) == pytest.approx(-CAMERA.exposure_s)
    without = judge_mosaic(perfect, grid, judge.coverage - CAMERA.exposure_s * lost, truth, frames=NOT_THE_THIRD)
    assert without.figures().coverage_wrong == 0.0


NOT_THE_THIRD = [k for k in range(16) if k != 3]


def test_shapes_that_do_not_belong_together_are_refused(judge, grid, truth):
    with pytest.raises(ValueError, match="are not of"):
        judge_mosaic(judge.value[:, :-1], grid, judge.coverage, truth)


@pytest.mark.parametrize("dec_deg", [22.0, 89.97])
def test_frames_laid_by_their_truth_make_a_mosaic_without_fault(dec_deg):
    camera = replace(CAMERA, ra_deg=359.98, dec_deg=dec_deg, distortion_px=0.0, fwhm_px=3.4, panels=((0.0, 0.0),))
    truth = make_mosaic_truth(MosaicScenario(camera, rows=2, columns=2, subs=4, overlap=0.25, sky_curvature=0.05))
    grid = truth.canvas()
    total, weight = np.zeros((grid.height, grid.width)), np.zeros((grid.height, grid.width))
    for frame in truth.frames:
        down, across = np.mgrid[: camera.height, : camera.width].astype(float)
        light = (raw_mosaic_frame(truth, frame.index) - frame.sky(across, down)[0]) / frame.transparency
        box = truth.window(frame, grid)
        x, y = truth.places(frame, grid, box)
        inside = (x >= 1.0) & (x <= camera.width - 2.0) & (y >= 1.0) & (y <= camera.height - 2.0)
        cut = box.slices(Box.of_shape(grid.height, grid.width))
        total[cut] += np.where(inside, map_coordinates(light, [y, x], order=3, mode="mirror"), 0.0)
        weight[cut] += inside
    value = np.where(weight > 0, total / np.maximum(weight, 1.0), np.nan)
    found = judge_mosaic(value[None].astype(np.float32), grid, (camera.exposure_s * weight).astype(np.float32), truth)
    figures = found.figures()
    assert abs(figures.flux.value - 1.0) < 0.002 + 2.0 * figures.flux.error
    assert figures.worst_panel < 0.006
    assert figures.astrometry_px < 0.02
    assert figures.seam_rms < 0.1 and figures.seam_largest < 0.5
    assert abs(figures.emission.value - 1.0) < 0.003 + 2.0 * figures.emission.error
    assert figures.coverage_wrong == 0.0
