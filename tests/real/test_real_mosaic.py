"""Real frames laid on one sky by the joint solution: they agree better than by their own solutions."""

from __future__ import annotations

import os
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import KDTree

from skyquilt.core import Wcs
from skyquilt.core.sky import unit_vectors
from skyquilt.engine import SkySolver
from skyquilt.engine.solving import hints_of
from skyquilt.io.fits import frame_source, open_frame, read_header, read_pointings, read_scale
from skyquilt.steps.mosaic import AstroFrame, AstroSettings, solve_astrometry
from skyquilt.steps.solve import Solution
from skyquilt.steps.stars import measure

DATA = Path(os.environ.get("SKYQUILT_DATA", Path.home() / ".cache" / "skyquilt-data"))
pytestmark = pytest.mark.real


@cache
def solved_frames(folder: str) -> list[AstroFrame]:
    paths = sorted(DATA.glob(f"seestar/MyWorks/{folder}/*.fit"))
    if len(paths) < 4:
        pytest.skip(f"the real frames of {folder} are not in {DATA}: set SKYQUILT_DATA")
    solver, frames = SkySolver(), []
    for path in paths:
        file, header = open_frame(path), read_header(path)
        meta, source = file.meta, frame_source(file)
        pixels = source.read(source.bounds).pixels[0].astype(np.float32)
        stars = measure(pixels, meta.cfa, saturation_adu=meta.saturation_adu).stars
        hints = hints_of(meta, read_pointings(header, meta.device), read_scale(header))
        found = solver.solve_stars(stars, (meta.height, meta.width), hints, anywhere=False)
        assert isinstance(found, Solution)
        frames.append(
            AstroFrame(path.name, found.wcs, meta.width, meta.height, "seestar", stars, found.pairs, found.catalogue)
        )
    return frames


def apart_px(frames: list[AstroFrame], places: list[Wcs]) -> float:
    """Return the median distance between where two frames lay one of their 60 brightest stars, px."""
    laid = [unit_vectors(*wcs.to_sky(f.stars.x[:60], f.stars.y[:60])) for f, wcs in zip(frames, places, strict=True)]
    px = np.radians(2.376 / 3600.0)
    apart = [KDTree(one).query(other)[0] / px for one, other in combinations(laid, 2)]
    together = np.concatenate(apart)
    return float(np.median(together[together < 3.0]))


@pytest.mark.parametrize(("folder", "arcsec"), [("M 94_sub", 0.12), ("NGC 7023_sub", 0.2)])
def test_frames_agree_better_than_each_alone(folder: str, arcsec: float) -> None:
    frames = solved_frames(folder)
    solution = solve_astrometry(frames)
    assert not solution.left_out
    assert len(solution.components) == 1 and solution.components[0].is_anchored
    assert solution.rms_catalogue_arcsec < arcsec  # Tycho-2's own errors a quarter of a century after its epoch
    assert apart_px(frames, [f.wcs for f in solution.frames]) < apart_px(frames, [f.wcs for f in frames])
    assert all(found.moved_px < 0.3 for found in solution.frames)


def test_the_air_makes_real_frames_lean() -> None:
    frames = solved_frames("M 94_sub")
    affine, similar = solve_astrometry(frames), solve_astrometry(frames, AstroSettings(model="similarity"))
    assert affine.rms_catalogue_arcsec < 0.8 * similar.rms_catalogue_arcsec


def test_a_real_frame_that_came_off_is_found_again() -> None:
    frames = solved_frames("M 94_sub")
    truth = solve_astrometry(frames).frames[3].wcs
    frame = frames[3]
    off = AstroFrame(
        frame.key, Wcs(frame.wcs.crval_deg, (frame.wcs.crpix0[0] + 9.0, frame.wcs.crpix0[1] - 7.0), frame.wcs.cd),
        frame.width, frame.height, frame.device, frame.stars, frame.catalogue_index[:0], frame.catalogue.brightest(0),
    )  # fmt: skip
    found = solve_astrometry([*frames[:3], off, *frames[4:]]).frames[3]
    assert not found.reason
    x, y = np.array([0.0, 1079.0, 539.5]), np.array([0.0, 1919.0, 959.5])
    back = np.stack(found.wcs.to_pixels(*truth.to_sky(x, y))) - [x, y]
    assert np.abs(back).max() < 0.25  # the corners hang on few of its 70 stars, of 0.15 px each
