"""Frames that are added later, or taken away, touch their own chunks only."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_mosaic import CAMERA, CHUNK, Ear, coverage_of, grid_of, hashes_of, pixels_of, sew, small_chunks, statuses

from skyquilt.core import Box, Mask
from skyquilt.engine.mosaic import MosaicResult
from skyquilt.testing.mosaic_sky import MosaicScenario, MosaicTruth, make_mosaic

N_LATER = 2

SCENE = MosaicScenario(
    replace(CAMERA, cfa=None, width=320, height=256, n_trails=0, n_faint_stars=300, rotation_deg=(0.0, 4.0)),
    rows=3, columns=3, subs=4, rounds=2, overlap=0.25, header_wcs=True,
)  # fmt: skip
"""Nine pointings, visited twice; the frames of the last visit to the middle come later."""


@pytest.fixture(autouse=True)
def _small_chunks() -> Iterator[None]:
    with small_chunks():
        yield


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> MosaicTruth:
    return make_mosaic(tmp_path_factory.mktemp("all") / "in", SCENE)


def without(truth: MosaicTruth, target: Path, missing: list[int]) -> Path:
    """Copy a session but for some frames."""
    shutil.copytree(truth.folder, target)
    for index in missing:
        (target / truth.frames[index].path.relative_to(truth.folder)).unlink()
    return target


def last_of_the_middle(truth: MosaicTruth) -> list[int]:
    """Return the frames of the last visit to the pointing in the middle: the canvas is the same without them."""
    return [frame.index for frame in truth.frames if frame.panel == 4][-N_LATER:]


def touched_by(truth: MosaicTruth, made: MosaicResult, frames: list[int]) -> Mask:
    """Return which pixels of the mosaic lie under some frames or a pixel beside them."""
    return truth.seconds(grid_of(made), margin_px=-3.0, frames=frames) > 0


def check_only(ear: Ear, near: Mask) -> None:
    """Only chunks that a frame touches were made, and nearly all of them."""
    whole = Box.of_shape(*near.shape)
    expected = {(b.x0, b.y0, b.x1, b.y1) for b in whole.tiles(CHUNK, CHUNK) if near[b.slices(whole)].any()}
    assert set(ear.made) <= expected, "chunks were made again that the frames do not touch"
    assert len(ear.made) == len(set(ear.made)) >= 0.7 * len(expected)


def check_agrees(one: MosaicResult, other: MosaicResult) -> None:
    """Two mosaics on one canvas agree to what `solution.settle_frames` may keep: 0.03 px, 0.003, 0.07 sigma."""
    a, b = pixels_of(one), pixels_of(other)
    assert a.shape == b.shape
    for plane, twin, sigma in zip(a, b, one.manifest.statistics.noise, strict=True):
        known = np.isfinite(plane) & np.isfinite(twin)
        assert np.mean(np.isfinite(plane) != np.isfinite(twin)) < 0.002
        apart = np.abs(plane - twin)[known] * one.manifest.full_scale_adu
        frame_sigma = sigma * 2.0  # of four frames
        assert np.median(apart) < 0.1 * frame_sigma, np.median(apart) / frame_sigma
        assert np.quantile(apart, 0.95) < 0.5 * frame_sigma, np.quantile(apart, 0.95) / frame_sigma


def test_frames_added_later_touch_only_their_chunks(everything: MosaicTruth, tmp_path: Path) -> None:
    later = last_of_the_middle(everything)
    folder = without(everything, tmp_path / "in", later)
    first = sew(folder, tmp_path / "out")
    before, canvas, exposed = pixels_of(first), grid_of(first), coverage_of(first)
    for index in later:
        frame = everything.frames[index]
        shutil.copyfile(frame.path, folder / frame.path.relative_to(everything.folder))
    ear = Ear()
    second = sew(folder, tmp_path / "out", listener=ear)
    assert [status for status, _ in statuses(second).values()] == ["stacked"] * len(everything.frames)
    assert (grid_of(second).width, grid_of(second).height) == (canvas.width, canvas.height)
    near = touched_by(everything, second, later)
    assert 0.05 < near.mean() < 0.3
    check_only(ear, near)
    far = np.ones_like(near)
    for x0, y0, x1, y1 in ear.made:
        far[y0:y1, x0:x1] = False
    assert far.mean() > 0.4
    assert np.array_equal(before[:, far], pixels_of(second)[:, far], equal_nan=True)
    assert np.mean(coverage_of(second)[near]) > np.mean(exposed[near]) + 60.0
    # another run adds nothing
    again = Ear()
    assert hashes_of(sew(folder, tmp_path / "out", listener=again)) == hashes_of(second)
    assert not again.made
    check_agrees(second, sew(folder, tmp_path / "fresh"))


def test_frames_taken_away_leave_no_trace(everything: MosaicTruth, tmp_path: Path) -> None:
    gone = last_of_the_middle(everything)
    folder = tmp_path / "in"
    shutil.copytree(everything.folder, folder)
    sew(folder, tmp_path / "out")
    for index in gone:
        (folder / everything.frames[index].path.relative_to(everything.folder)).unlink()
    ear = Ear()
    made = sew(folder, tmp_path / "out", listener=ear)
    check_only(ear, touched_by(everything, made, gone))
    assert made.manifest.statistics.n_stacked == len(everything.frames) - N_LATER
    seconds = everything.seconds(grid_of(made), frames=[k for k in range(len(everything.frames)) if k not in gone])
    surely = everything.seconds(grid_of(made), margin_px=4.0, frames=gone) > 0
    assert np.median(np.abs(coverage_of(made) - seconds)[surely]) < 1.0
