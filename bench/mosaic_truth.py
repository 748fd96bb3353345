"""
Measure what a mosaic promises on synthetic skies whose truth is known, with default settings, and print the table.

Run: ``python bench/mosaic_truth.py [NAME]``; a few minutes on two cores. tests/engine/test_mosaic_truth.py holds
smaller ones to it.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits

import skyquilt
from skyquilt.core import SkyGrid, Wcs
from skyquilt.testing.mosaic_judge import judge_mosaic
from skyquilt.testing.mosaic_sky import MosaicScenario, make_mosaic
from skyquilt.testing.sky import Scenario

CAMERA = Scenario(
    target="none",
    ra_deg=85.0,
    dec_deg=34.0,
    scale_arcsec=5.0,
    width=480,
    height=640,
    n_faint_stars=500,
    zero_point=22.0,
    rotation_deg=(0.0, 12.0),
    dither_px=8.0,
    gradient=0.15,
    transparency_scatter=0.1,
    n_trails=3,
    n_cosmics_per_frame=8,
    nebula_adu=120.0,
    distortion_px=0.5,
    seed=3,
)


def scenarios() -> Iterator[tuple[str, MosaicScenario]]:
    """Return the skies: one in the open, one near the pole, one across RA 0, one twenty degrees wide."""
    grid = MosaicScenario(CAMERA, rows=3, columns=3, subs=6, overlap=0.25, panel_transparency={2: 0.7, 6: 0.8})
    yield "open sky, 3x3 pointings of 6", grid
    yield "declination 86", replace(grid, camera=replace(CAMERA, ra_deg=40.0, dec_deg=86.0))
    yield "across RA 0", replace(grid, camera=replace(CAMERA, ra_deg=0.0, dec_deg=62.0))
    # real stars alone, which stand too close together for the judge where a pixel is larger
    wide = replace(
        CAMERA, ra_deg=85.0, dec_deg=20.0, scale_arcsec=20.0, n_faint_stars=0, zero_point=19.5, width=800, height=960
    )
    yield "twenty degrees", replace(grid, camera=wide, rows=3, columns=5)


def measure(name: str, scenario: MosaicScenario) -> None:
    """Make a sky, sew it and print what the judge says."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        truth = make_mosaic(folder / "session", scenario)
        begun = time.perf_counter()
        result = skyquilt.mosaic([folder / "session"], folder / "out", unit="adu", quicklook=False)
        seconds = time.perf_counter() - begun
        made = result.mosaics[0]
        with fits.open(made.outputs["mosaic_linear"]) as file, fits.open(made.outputs["mosaic_maps"]) as maps:
            value = file[0].data.astype(np.float32)
            value = value[None] if value.ndim == 2 else value
            grid = SkyGrid(Wcs.from_header(file[0].header), value.shape[2], value.shape[1])
            coverage = maps[0].data.astype(np.float32)
        left_out = [frame for frame in made.manifest.frames if frame.status == "left_out"]
        print(
            f"\n{name}: {len(truth.frames)} frames, {grid.width}x{grid.height} px {grid.wcs.projection}, "
            f"{seconds:.1f} s, {len(left_out)} left out, {len(result.mosaics)} islands"
        )
        for frame in left_out[:3]:
            print("   ", frame.file, frame.reason)
        judge = judge_mosaic(value, grid, coverage, truth)
        mosaic = made.manifest.mosaic
        print(
            f"  ties {mosaic.n_ties}, {mosaic.tie_rms_px:.3f} px, catalogue {mosaic.catalogue_rms_arcsec:.3f} arcsec, "
            f"flux rms {mosaic.flux_rms:.4f}, distortion {list(mosaic.distortion_order.values())}"
        )
        for channel in range(len(value)):
            found = judge.figures(channel)
            print(
                f"  {'RGB'[channel] if len(value) == 3 else 'L'}  panels {found.worst_panel:.4f} (0.005)  places "
                f"{found.astrometry_px:.3f} px (0.1)  seams {found.seam_largest:.2f} rms {found.seam_rms:.2f} (0.2)  "
                f"emission {found.emission.value:.3f} (0.02)  outlier {found.outlier.sigmas:.1f} sigma  coverage "
                f"{found.coverage_wrong:.5f}  flux {found.flux.value:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    for name, scenario in scenarios():
        if len(sys.argv) < 2 or sys.argv[1] in name:
            measure(name, scenario)
