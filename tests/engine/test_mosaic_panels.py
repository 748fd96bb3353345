"""Finished stacks with coordinates, sewn by the door of stacked panels: fluxes, skies and seams against the truth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import skyquilt
from skyquilt.core import SkyGrid, Wcs
from skyquilt.engine.mosaic.job import GridData, WcsData
from skyquilt.testing.mosaic_judge import judge_mosaic
from skyquilt.testing.mosaic_sky import MosaicScenario, MosaicTruth, make_mosaic_truth, make_panels
from skyquilt.testing.sky import Scenario

CAMERA = Scenario(
    device="generic",
    cfa=None,
    target="none",
    ra_deg=85.0,
    dec_deg=34.0,
    scale_arcsec=5.0,
    width=400,
    height=320,
    n_faint_stars=250,
    zero_point=24.0,
    rotation_deg=(0.0, 8.0),
    dither_px=4.0,
    gradient=0.15,
    nebula_adu=120.0,
    seed=11,
)


@pytest.fixture(scope="module")
def sewn(tmp_path_factory: pytest.TempPathFactory) -> tuple[MosaicTruth, Path]:
    """Return the truth whose frames are the panels, and the mosaic of them."""
    folder = tmp_path_factory.mktemp("panels")
    truth = make_mosaic_truth(MosaicScenario(CAMERA, rows=2, columns=2, subs=4, overlap=0.25))
    frames = []
    for k, panel in enumerate(make_panels(truth, folder / "panels", scale_scatter=0.3)):
        first = next(frame for frame in truth.good_frames if frame.panel == panel.panel)
        frames.append(replace(first, index=k, grid=panel.grid, transparency=panel.scale, trails=()))
    result = skyquilt.mosaic([folder / "panels"], folder / "out", unit="adu", quicklook=False)
    assert not result.failures and len(result.mosaics) == 1
    assert result.mosaics[0].manifest.statistics.n_stacked == 4
    return replace(truth, frames=tuple(frames)), result.mosaics[0].outputs["mosaic_linear"]


def test_panels_of_other_programs_agree_in_flux_and_sky(sewn: tuple[MosaicTruth, Path]) -> None:
    truth, path = sewn
    scales = [frame.transparency for frame in truth.frames]
    assert max(scales) / min(scales) > 1.2  # there is something to bring together
    with fits.open(path) as file:
        value = file[0].data.astype(np.float32)
        grid = SkyGrid(Wcs.from_header(file[0].header), value.shape[1], value.shape[0])
    coverage = np.where(np.isfinite(value), truth.seconds(grid, margin_px=1.0), 0.0).astype(np.float32)
    judge = judge_mosaic(value[None], grid, coverage, truth)
    panels = judge.flux_by_panels(0)
    assert max(abs(ratio.value - 1.0) for ratio in panels.values() if ratio.n >= 2) < 0.02
    seams = judge.seams(0)
    assert len(seams.steps) > 20 and seams.rms < 0.12
    kept = judge.emission(0)
    assert abs(kept.value - 1.0) < 0.02 + kept.error
    assert judge.astrometry(0).rms_px < 0.1


def test_numbers_without_a_limit_survive_the_file_of_the_job() -> None:
    wcs = WcsData(crval_deg=(1.0, 2.0), crpix0=(float("inf"), 0.1), cd=[[1e-3, 0.0], [0.0, 1e-3]])
    grid = GridData(wcs=wcs, width=3, height=4)
    assert GridData.model_validate_json(grid.model_dump_json()) == grid
