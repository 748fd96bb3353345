"""Mosaics against the truth of their sky: fluxes of the panels, places, seams, extended light, blemishes, coverage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from small_mosaic import coverage_of, grid_of, pixels_of, statuses

from skyquilt import mosaic
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
    n_faint_stars=160,
    zero_point=25.0,
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
"""Stars of a high signal, so that a few tens of them weigh a pointing's flux to two parts in a thousand."""

SMALL = MosaicScenario(CAMERA, rows=2, columns=2, subs=4, overlap=0.3, panel_transparency={1: 0.7})
LARGE = MosaicScenario(
    replace(CAMERA, width=400, height=480, n_faint_stars=400),
    rows=3, columns=3, subs=6, overlap=0.25, panel_transparency={2: 0.7, 6: 0.8},
)  # fmt: skip

PLACES = {
    "open sky": {"ra_deg": 85.0, "dec_deg": 34.0},
    "declination 86": {"ra_deg": 40.0, "dec_deg": 86.0},
    "RA 0": {"ra_deg": 0.0, "dec_deg": 62.0},
}
WIDE = {"ra_deg": 85.0, "dec_deg": 20.0, "scale_arcsec": 40.0, "zero_point": 19.5, "n_faint_stars": 0}


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
    """Pointings and their overlaps have one flux scale, as far as their stars tell."""
    panels = {key: ratio for key, ratio in sky.judge.flux_by_panels(0).items() if ratio.n >= 5}
    assert len([key for key in panels if len(key) == 1]) >= 3, {key: ratio.n for key, ratio in panels.items()}
    off = {key: (ratio.value - 1.0, ratio.error, ratio.n) for key, ratio in panels.items()}
    assert all(abs(value) < most + 2.5 * error for value, error, _ in off.values()), off
    # all together, freed from the errors of each
    weight = np.array([1.0 / max(error, 1e-4) ** 2 for _, error, _ in off.values()])
    mean = np.sqrt(np.sum(weight * np.array([value for value, _, _ in off.values()]) ** 2) / weight.sum())
    assert mean < most, (mean, off)


def check_places(sky: Sewn, most_px: float = 0.1) -> None:
    found = sky.judge.astrometry(0)
    assert len(found.dx) >= 30
    assert found.rms_px < most_px, (found.rms_px, found.median_px)


def check_seams(sky: Sewn, most: float = 0.2) -> None:
    """
    No edge of a frame shows on the average of its length.

    A single stretch of 32 px has a noise of 0.05 to 0.1 sigma of its own, and its stars' residues: the largest of some
    hundred says more of those than of the mosaic.
    """
    seams = sky.judge.seams(0)
    means = {int(frame): float(np.mean(seams.steps[seams.frame == frame])) for frame in np.unique(seams.frame)}
    assert len(means) == len(sky.truth.frames)
    assert max(map(abs, means.values())) < most, means
    assert seams.rms < most, seams.rms


def check_emission(sky: Sewn, most: float = 0.02) -> None:
    kept = sky.judge.emission(0)
    assert kept.n > 100 and kept.error < most
    assert abs(kept.value - 1.0) < most + kept.error, kept


def check_blemishes(sky: Sewn) -> None:
    residues = sky.judge.trail_residues(0)
    assert len(residues) >= 2
    assert np.abs(residues).max() < 0.3, residues
    outlier = sky.judge.outlier(0)
    assert outlier.sigmas < 9.0, outlier


def check_coverage(sky: Sewn) -> None:
    figures = sky.judge.coverage_errors()
    wrong = np.abs(figures[np.isfinite(figures)]) > 0.01 * sky.truth.scenario.camera.exposure_s
    assert np.isfinite(figures).mean() > 0.5
    assert wrong.mean() < 0.002, wrong.mean()


@pytest.fixture(scope="module", params=PLACES)
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sewn:
    camera = replace(CAMERA, **PLACES[request.param])
    sky = sewn(tmp_path_factory.mktemp("small"), replace(SMALL, camera=camera))
    assert sky.judge.grid.wcs.projection == "TAN"
    return sky


def test_small_mosaics_are_true(small: Sewn) -> None:
    check_fluxes(small)
    check_places(small)
    check_seams(small)
    check_emission(small)
    check_blemishes(small)
    check_coverage(small)


def test_twenty_degrees_are_true(tmp_path: Path) -> None:
    # 2 x 6 frames of 3.5 degrees, real stars alone
    camera = replace(CAMERA, **WIDE, width=320, height=240)
    sky = sewn(tmp_path, replace(SMALL, camera=camera, rows=2, columns=7, subs=2, panel_transparency={}))
    grid = sky.judge.grid
    assert grid.wcs.projection == "ZEA" and grid.width * grid.wcs.scale_arcsec / 3600.0 > 18.0
    check_fluxes(sky, most=0.01)  # two frames a pointing, few stars each
    check_places(sky, most_px=0.15)
    check_seams(sky, most=0.3)
    check_coverage(sky)


@pytest.mark.long
@pytest.mark.parametrize("place", [*PLACES, "twenty degrees"])
def test_three_by_three_pointings_of_six_are_true(tmp_path: Path, place: str) -> None:
    camera = replace(LARGE.camera, **PLACES.get(place, WIDE))
    layout = {"rows": 3, "columns": 5} if place == "twenty degrees" else {}
    sky = sewn(tmp_path, replace(LARGE, camera=camera, **layout))
    assert sky.judge.grid.wcs.projection == ("ZEA" if layout else "TAN")
    check_fluxes(sky)
    check_places(sky)
    check_seams(sky)
    check_emission(sky)
    check_blemishes(sky)
    check_coverage(sky)
