"""
skyquilt beside SWarp, Montage and reproject, in one run: the same stacked panels sewn into one mosaic.

    python bench/mosaic_peers.py [--panels 3] [--side 1000] [--repeat 3] [--folder DIR]
        [--reproject PYTHON] [--only WORD]

The panels are synthetic (`make_panels`): mono, each with a sky, a gradient and a flux scale of its own, and true
coordinates in the header. Two threads where a program has threads (SWarp, reproject, skyquilt; Montage's tools have
none). Every program runs with its defaults, Debian's packages of SWarp and Montage; reproject is asked to match the
backgrounds, as is Montage by its usual chain (project, differences, model of the backgrounds, correction, addition).
SWarp runs as it is (it subtracts the background), without that subtraction, and so with weights from it.

skyquilt runs three times: as it is; without what the others do not make (pictures, maps of variance and rejection);
and by the coordinates in the headers alone, as the others do (`--solve off --no-joint`), where it looks for no
catalogue. It always measures the stars and the sky of every panel, solves for fluxes and skies, and writes a manifest
and a report; none of the others does.

A program that is not installed is skipped with the reason; so is one that fails. Wall and CPU seconds are medians, the
programs taking turns. The judge compares with the truth: the flux scale of the panels (stars of each panel and overlap
over that of all), steps at the edges of the panels in sigmas of a pixel, extended light kept, places of stars.
"""

from __future__ import annotations

import argparse
import compileall
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from astropy.io import fits

import skyquilt
from skyquilt.core import SkyGrid, Wcs
from skyquilt.testing.mosaic_judge import judge_mosaic
from skyquilt.testing.mosaic_sky import MosaicScenario, MosaicTruth, StackedPanel, make_mosaic_truth, make_panels
from skyquilt.testing.sky import Scenario

THREADS = 2

REPROJECT = """
import sys
from pathlib import Path
from astropy.io import fits
from reproject import reproject_interp
from reproject.mosaicking import find_optimal_celestial_wcs, reproject_and_coadd

panels = [fits.open(path)[0] for path in sorted(Path(sys.argv[1]).glob("*.fits"))]
wcs, shape = find_optimal_celestial_wcs(panels)
image, footprint = reproject_and_coadd(
    panels, wcs, shape_out=shape, reproject_function=reproject_interp, match_background=True
)
image[footprint == 0] = float("nan")
fits.writeto(sys.argv[2], image.astype("float32"), wcs.to_header(), overwrite=True)
"""


@dataclass
class Peer:
    """A way to sew panels: `sew` takes the folder of the panels and an empty one, and returns the mosaic."""

    name: str
    lacking: str
    sew: Callable[[Path, Path], Path]
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)
    failure: str = ""


class FailedError(Exception):
    """A program ended with an error."""


def call(command: list[str], folder: Path) -> None:
    """Run a program in a folder, two threads for those that ask the environment."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS), "OPENBLAS_NUM_THREADS": str(THREADS)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or '[struct stat="ERROR"' in done.stdout:
        told = (done.stderr or done.stdout).strip().splitlines() or ["it says nothing"]
        raise FailedError(f"{Path(command[0]).name} failed: {told[-1][:300]}")


def swarp(*extra: str) -> Callable[[Path, Path], Path]:
    """Return SWarp with its defaults and some other ones."""

    def sew(panels: Path, work: Path) -> Path:
        command = ["SWarp", *map(str, sorted(panels.glob("*.fits"))), "-NTHREADS", str(THREADS), "-WRITE_XML", "N"]
        call([*command, "-VERBOSE_TYPE", "QUIET", *extra], work)
        return work / "coadd.fits"

    return sew


def montage(panels: Path, work: Path) -> Path:
    """Montage's chain with matched backgrounds."""
    for name in ("projected", "differences", "corrected"):
        (work / name).mkdir()
    for command in (
        ["mImgtbl", str(panels), "raw.tbl"],
        ["mMakeHdr", "raw.tbl", "canvas.hdr"],
        ["mProjExec", "-p", str(panels), "raw.tbl", "canvas.hdr", "projected", "stats.tbl"],
        ["mImgtbl", "projected", "images.tbl"],
        ["mOverlaps", "images.tbl", "overlaps.tbl"],
        ["mDiffFitExec", "-p", "projected", "overlaps.tbl", "canvas.hdr", "differences", "fits.tbl"],
        ["mBgModel", "images.tbl", "fits.tbl", "corrections.tbl"],
        ["mBgExec", "-p", "projected", "images.tbl", "corrections.tbl", "corrected"],
        ["mAdd", "-p", "corrected", "images.tbl", "canvas.hdr", "mosaic.fits"],
    ):
        call(command, work)
    return work / "mosaic.fits"


def with_reproject(python: str) -> Callable[[Path, Path], Path]:
    """Return reproject as another interpreter has it."""

    def sew(panels: Path, work: Path) -> Path:
        call([python, "-c", REPROJECT, str(panels), "mosaic.fits"], work)
        return work / "mosaic.fits"

    return sew


def ours(*extra: str) -> Callable[[Path, Path], Path]:
    """Return skyquilt with its defaults and some other ones."""

    def sew(panels: Path, work: Path) -> Path:
        command = [sys.executable, "-m", "skyquilt", "mosaic", str(panels), "--out", "out", "--threads", str(THREADS)]
        call([*command, "--unit", "adu", "--quiet", *extra], work)
        return next(work.glob("out/*/mosaic/mosaic_linear.fits"))

    return sew


def peers(python: str) -> list[Peer]:
    """Return all ways to sew, the reason with those that cannot be gone here."""
    no_swarp = "" if shutil.which("SWarp") else "SWarp is not installed (Debian: swarp)"
    no_montage = "" if shutil.which("mProjExec") else "Montage is not installed (Debian: montage)"
    lean = ("--no-quicklook", "--no-maps")
    return [
        Peer("SWarp", no_swarp, swarp()),
        Peer("SWarp, background kept", no_swarp, swarp("-SUBTRACT_BACK", "N")),
        Peer("Montage", no_montage, montage),
        Peer("reproject", _lacks_reproject(python), with_reproject(python)),
        Peer("skyquilt", "", ours()),
        Peer("skyquilt, lean", "", ours(*lean)),
        Peer("skyquilt, lean, headers", "", ours(*lean, "--solve", "off", "--no-joint")),
    ]


def _lacks_reproject(python: str) -> str:
    if python == sys.executable:
        has = importlib.util.find_spec("reproject") is not None
    else:
        try:
            has = not subprocess.run([python, "-c", "import reproject"], capture_output=True, check=False).returncode
        except OSError:
            has = False
    return "" if has else "reproject is not installed (pip install reproject, or --reproject PYTHON that has it)"


def measure(peer: Peer, panels: Path, folder: Path) -> Path | None:
    """Sew once into an empty folder; return the mosaic, or None where the program fails."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    before, start = os.times(), time.perf_counter()
    try:
        made = peer.sew(panels, folder)
        data = fits.getheader(made)
    except (FailedError, OSError, StopIteration) as error:
        peer.failure = str(error) or "it left no mosaic"
        return None
    wall, after = time.perf_counter() - start, os.times()
    assert data["NAXIS"] >= 2
    peer.walls.append(wall)
    peer.cpus.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return made


def truth_of_panels(truth: MosaicTruth, panels: tuple[StackedPanel, ...]) -> MosaicTruth:
    """Return the truth of a session whose frames are the panels themselves."""
    frames = []
    for k, panel in enumerate(panels):
        first = next(frame for frame in truth.good_frames if frame.panel == panel.panel)
        frames.append(replace(first, index=k, grid=panel.grid, transparency=panel.scale, trails=()))
    return replace(truth, frames=tuple(frames))


def judged(path: Path, truth: MosaicTruth) -> str:
    """Return the figures of a mosaic in a row of the table."""
    with fits.open(path) as file:
        image = np.squeeze(file[0].data).astype(np.float32)
        grid = SkyGrid(Wcs.from_header(file[0].header), image.shape[1], image.shape[0])
    image[image == 0.0] = np.nan  # how SWarp says that nothing is known
    seconds = truth.seconds(grid, margin_px=1.0).astype(np.float32)
    coverage = np.where(np.isfinite(image), seconds, 0.0).astype(np.float32)
    judge = judge_mosaic(image[None], grid, coverage, truth)
    stars = judge.stars()
    panels = judge.flux_by_panels(0, stars)
    departures = np.array([abs(ratio.value - 1.0) for ratio in panels.values() if ratio.n >= 5])
    seams, emission = judge.seams(0), judge.emission(0)
    places = judge.astrometry(0, stars).rms_px
    return (
        f"{departures.max():9.4f}{np.sqrt(np.mean(departures**2)):8.4f}{seams.largest:9.2f}{seams.rms:7.3f}"
        f"{emission.value:10.3f}{places:9.3f}"
    )


def scenario(n_panels: int, side: int) -> MosaicScenario:
    """Return a sky under n x n panels: about 70 stars a million pixels brighter than the noise, clouds, gradients."""
    camera = Scenario(
        device="generic",
        cfa=None,
        target="none",
        ra_deg=85.0,
        dec_deg=34.0,
        scale_arcsec=3.0,
        width=side,
        height=side,
        n_faint_stars=int(600 * (n_panels * side / 3000) ** 2),
        zero_point=22.0,
        rotation_deg=(0.0, 8.0),
        dither_px=8.0,
        gradient=0.15,
        transparency_scatter=0.1,
        nebula_adu=120.0,
        seed=11,
    )
    return MosaicScenario(camera, rows=n_panels, columns=n_panels, subs=6, overlap=0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--panels", type=int, default=3, help="panels a side")
    parser.add_argument("--side", type=int, default=1000, help="px of a panel's side")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "skyquilt-bench")
    parser.add_argument("--reproject", default=sys.executable, help="an interpreter that has reproject")
    parser.add_argument("--only", default="", help="only the peers whose name holds this word")
    arguments = parser.parse_args()
    truth = make_mosaic_truth(scenario(arguments.panels, arguments.side))
    folder = arguments.folder / f"panels-{arguments.panels}x{arguments.side}"
    panels = make_panels(truth, folder)
    compileall.compile_dir(Path(skyquilt.__file__).parent, quiet=2)
    chosen = [peer for peer in peers(arguments.reproject) if arguments.only.casefold() in peer.name.casefold()]
    work = arguments.folder / "peers-work"
    measure(Peer("warm up", "", ours()), folder, work)  # kernels compiled once, files in the memory of the system
    rows: dict[str, str] = {}
    apart = truth_of_panels(truth, panels)
    for _ in range(arguments.repeat):
        for peer in chosen:
            made = None if peer.lacking or peer.failure else measure(peer, folder, work)
            if made is not None and peer.name not in rows:
                rows[peer.name] = judged(made, apart)
    shutil.rmtree(work, ignore_errors=True)
    scales = ", ".join(f"{panel.scale:.2f}" for panel in panels[:9])
    print(f"{len(panels)} panels of {arguments.side}x{arguments.side} px; flux scales {scales}; {THREADS} threads")
    print(f"{'':26}{'wall s':>8}{'CPU s':>8}{'panel <':>9}{'rms':>8}{'seam <':>9}{'rms':>7}{'emission':>10}{'px':>9}")
    for peer in chosen:
        if peer.lacking or peer.failure:
            print(f"{peer.name:26}  left out: {peer.lacking or peer.failure}")
            continue
        wall, cpu = statistics.median(peer.walls), statistics.median(peer.cpus)
        print(f"{peer.name:26}{wall:8.2f}{cpu:8.2f}{rows[peer.name]}")


if __name__ == "__main__":
    main()
