"""Memory and open files of a whole mosaic stay within their bounds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from measured_run import measure

from skyquilt.testing.mosaic_sky import MosaicScenario, make_mosaic
from skyquilt.testing.sky import Scenario

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="peaks are measured on Linux")

MB = 1_000_000
USUAL_BASE = 115 * MB

CAMERA = Scenario(
    device="generic",
    cfa=None,
    target="none",
    ra_deg=85.0,
    dec_deg=34.0,
    scale_arcsec=5.0,
    width=360,
    height=320,
    n_faint_stars=250,
    zero_point=22.0,
    rotation_deg=(0.0, 4.0),
    dither_px=6.0,
    distortion_px=0.0,
    seed=9,
)
MANY = MosaicScenario(CAMERA, rows=3, columns=3, subs=10, overlap=0.25, header_wcs=True, quick_noise=True)


@pytest.fixture(scope="module")
def extra() -> int:
    """Bytes that the bare program holds here beyond the usual; the budget is raised by them."""
    code = "import skyquilt.engine.stack; from skyquilt.engine.budget import resident_memory; print(resident_memory())"
    held = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    return max(0, held - USUAL_BASE)


def test_memory_and_open_files_of_ninety_frames_stay_within_their_bounds(tmp_path: Path, extra: int) -> None:
    make_mosaic(tmp_path / "in", MANY)
    budget = 420 * MB + extra
    figures = measure(
        tmp_path / "in", tmp_path / "out", kind="mosaic", memory=budget, threads=2, solve="off", quicklook=False
    )
    assert figures["n_frames"] == 90
    assert figures["peak_bytes"] < budget, figures
    assert figures["most_files"] < 64, figures
    assert figures["predicted_bytes"] < budget
