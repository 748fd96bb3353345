"""Mosaics against the truth of their sky: fluxes of the panels, places, seams, extended light, blemishes, coverage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from small_mosaic import coverage_of, grid_of, pixels_of, statuses

from skyquilt import mosaic
from skyquilt.core import Mask
from skyquilt.engine.mosaic import MosaicResult
from skyquilt.testing.mosaic_judge import MosaicJudge, judge_mosaic
from skyquilt.testing.mosaic_sky import MosaicScenario, MosaicTruth, make_mosaic
from skyquilt.testing.sky import Scenario

CAMERA = Scenario(
    device="generic",
    cfa=None,
    target="none",
    ra_deg=85.0,
    dec_deg=34.0,
    scale_arcsec=5.0,
    width=256,
    height=240,
    n_faint_stars=60,
    zero_point=23.5,
    gain_e_per_adu=4.0,
    read_noise_e=2.0,
    rotation_deg=(0.0, 8.0),
    dither_px=6.0,
    dither_every=1,
    gradient=0.15,
    transparency_scatter=0.1,
    n_trails=3,
    n_cosmics_per_frame=6,
    n_hot_pixels=0,
    n_cold_pixels=0,
    distortion_px=0.0,
    nebula_adu=120.0,
    seed=3,
)
"""The field of the bench, smaller, through a camera of little noise."""

PEAKS = (500.0, 30_000.0)
"""Stars that are measured: bright enough for a few per cent each, and far from saturation."""

SMALL = MosaicScenario(CAMERA, rows=2, columns=2, subs=4, overlap=0.3, panel_transparency={1: 0.7})
LARGE = MosaicScenario(
    replace(CAMERA, width=400, height=480, n_faint_stars=190),
    rows=3, columns=3, subs=6, overlap=0.25, panel_transparency={2: 0.7, 6: 0.8},
)  # fmt: skip

PLACES = {
    "open sky": {"ra_deg": 85.0, "dec_deg": 34.0},
    "declination 86": {"ra_deg": 40.0, "dec_deg": 86.0, "scale_arcsec": 8.0},
    "RA 0": {"ra_deg": 0.0, "dec_deg": 62.0},
}
# real stars alone, which stand too close together for the judge where a pixel is larger
WIDE = {"ra_deg": 85.0, "dec_deg": 20.0, "scale_arcsec": 20.0, "zero_point": 19.5, "n_faint_stars": 0}


@dataclass(frozen=True)
class Sewn:
    truth: MosaicTruth
    made: MosaicResult
    judge: MosaicJudge


def sewn(folder: Path, scenario: MosaicScenario) -> Sewn:
    """Make a sky and its mosaic with default settings."""
    truth = make_mosaic(folder / "in", scenario)
    result = mosaic(folder / "in", folder / "out", unit="adu", quicklook=False)
    assert len(result.mosaics) == 1 and not result.failures
    made = result.mosaics[0]
    assert {status for status, _ in statuses(made).values()} == {"stacked"}
    return Sewn(truth, made, judge_mosaic(pixels_of(made), grid_of(made), coverage_of(made), truth))


def check_fluxes(sky: Sewn, most: float = 0.005) -> None:
    """All pointings have one flux scale, as far as their stars tell: weighed by the errors, and each within its own."""
    stars = sky.judge.stars(peak_adu=PEAKS)
    ratios = sky.judge.flux_ratios(stars, 0)
    nearest = sky.truth.nearest_panel(sky.truth.stars.ra_deg[stars.index], sky.truth.stars.dec_deg[stars.index])
    middle = np.nanmedian(ratios)
    scatter = 1.4826 * np.nanmedian(np.abs(ratios - middle))
    found = {}
    for panel in range(sky.truth.scenario.n_panels):
        own = ratios[(nearest == panel) & np.isfinite(ratios)] / middle
        if len(own) >= 4:
            found[panel] = (float(np.median(own)) - 1.0, 1.2533 * scatter / np.sqrt(len(own)), len(own))
    assert len(found) >= 0.7 * sky.truth.scenario.n_panels, (found, len(ratios))
    assert all(abs(off) < most + 2.5 * error for off, error, _ in found.values()), found
    weights = np.array([1.0 / error**2 for _, error, _ in found.values()])
    offs = np.array([off for off, _, _ in found.values()])
    noise = 1.0 / np.mean(weights)
    assert np.average(offs**2, weights=weights) < most**2 + 2.0 * noise, found


def check_places(sky: Sewn, most_px: float = 0.1) -> None:
    found = sky.judge.astrometry(0, sky.judge.stars(peak_adu=PEAKS))
    assert len(found.dx) >= 15
    assert found.rms_px < most_px, (found.rms_px, found.median_px)


def check_seams(sky: Sewn, most: float = 0.2) -> None:
    """
    No edge of a frame shows along its length.

    A single stretch of 32 px says little: its own noise is 0.05 to 0.1 sigma, and the flank of a saturated star, which
    the truth does not draw, makes some sigma. The median of a frame's stretches is what an eye would see as an edge.
    """
    seams = sky.judge.seams(0)
    middles = {int(frame): float(np.median(seams.steps[seams.frame == frame])) for frame in np.unique(seams.frame)}
    assert len(middles) >= 0.9 * len(sky.truth.frames)
    assert max(map(abs, middles.values())) < most, middles


def check_emission(sky: Sewn, most: float = 0.02) -> None:
    kept = sky.judge.emission(0)
    assert kept.n > 100 and kept.error < most
    assert abs(kept.value - 1.0) < most + kept.error, kept


def check_blemishes(sky: Sewn) -> None:
    assert sum(len(frame.trails) for frame in sky.truth.frames) >= 2
    outlier = sky.judge.outlier(0)
    assert outlier.sigmas < 7.0, outlier


def check_coverage(sky: Sewn) -> None:
    """Every exposure counts where it lies; along a trail, and under light that saturates, a sample may be left out."""
    errors = sky.judge.coverage_errors()
    errors[near_trails(sky) | near_bright_stars(sky)] = np.nan
    wrong = np.abs(errors[np.isfinite(errors)]) > 0.01 * sky.truth.scenario.camera.exposure_s
    assert np.isfinite(errors).mean() > 0.2  # the rest of this small sky
    assert wrong.mean() < 0.001, wrong.mean()


def near_trails(sky: Sewn) -> Mask:
    """Return which pixels lie within 15 px of a trail of some frame, bool (y, x)."""
    grid = sky.judge.grid
    down, across = np.mgrid[: grid.height, : grid.width].astype(np.float64)
    near = np.zeros(down.shape, dtype=bool)
    for frame in sky.truth.frames:
        for trail in frame.trails:
            ends = frame.wcs.to_sky(np.array([trail.x0, trail.x1]), np.array([trail.y0, trail.y1]))
            (x0, x1), (y0, y1) = grid.wcs.to_pixels(*ends)
            away = (across - x0) * (y1 - y0) - (down - y0) * (x1 - x0)
            near |= np.abs(away) < 15.0 * np.hypot(x1 - x0, y1 - y0)
    return near


def near_bright_stars(sky: Sewn) -> Mask:
    """Return which pixels lie within 25 px of a star that saturates, bool (y, x)."""
    grid = sky.judge.grid
    near = np.zeros((grid.height, grid.width), dtype=bool)
    shown = sky.truth.stars_on(grid, 25.0)
    for k in np.flatnonzero(shown.flux[:, 0] > 3e5):
        x0, y0 = max(0, int(shown.x[k]) - 25), max(0, int(shown.y[k]) - 25)
        part = near[y0 : int(shown.y[k]) + 27, x0 : int(shown.x[k]) + 27]
        down, across = np.mgrid[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
        part |= np.hypot(across - shown.x[k], down - shown.y[k]) < 25.0
    return near


@pytest.fixture(scope="module", params=PLACES)
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sewn:
    camera = replace(CAMERA, **PLACES[request.param])
    sky = sewn(tmp_path_factory.mktemp("small"), replace(SMALL, camera=camera))
    assert sky.judge.grid.wcs.projection == "TAN"
    return sky


def test_small_mosaics_are_true(small: Sewn) -> None:
    check_all(small)


@pytest.mark.long
def test_twenty_degrees_are_true(tmp_path: Path) -> None:
    # pointings of 3.5 degrees
    camera = replace(CAMERA, **WIDE, width=640, height=480)
    sky = sewn(tmp_path, replace(SMALL, camera=camera, rows=2, columns=7, subs=4, panel_transparency={}))
    grid = sky.judge.grid
    assert grid.wcs.projection == "ZEA" and grid.width * grid.wcs.scale_arcsec / 3600.0 > 18.0
    check_fluxes(sky, most=0.01)  # few stars each
    check_places(sky, most_px=0.15)
    check_seams(sky)
    check_coverage(sky)


@pytest.mark.long
@pytest.mark.parametrize("place", PLACES)
def test_three_by_three_pointings_of_six_are_true(tmp_path: Path, place: str) -> None:
    camera = replace(CAMERA, width=400, height=480, n_faint_stars=190, **PLACES[place])
    sky = sewn(tmp_path, replace(LARGE, camera=camera))
    assert sky.judge.grid.wcs.projection == "TAN"
    check_all(sky)


@pytest.mark.long
def test_five_by_three_pointings_over_twenty_degrees_are_true(tmp_path: Path) -> None:
    camera = replace(CAMERA, **WIDE, width=800, height=960)
    sky = sewn(tmp_path, replace(LARGE, camera=camera, columns=5))
    assert sky.judge.grid.wcs.projection == "ZEA"
    check_all(sky)


def check_all(sky: Sewn) -> None:
    check_fluxes(sky)
    check_places(sky)
    check_seams(sky)
    check_emission(sky)
    check_blemishes(sky)
    check_coverage(sky)
