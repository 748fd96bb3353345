"""Small synthetic sessions for the tests of the engine, and what is read from their results."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

import skyquilt as sq
from skyquilt.core import F32
from skyquilt.engine.manifest import FrameRecord, Manifest
from skyquilt.io.fits import frame_source, open_frame
from skyquilt.testing.sky import Scenario, Truth, make_session

SMALL: dict[str, Any] = {"width": 270, "height": 480, "n_faint_stars": 400}


def small_session(folder: Path, **changes: Any) -> Truth:
    """Write a session of 270x480 px below a folder; nine frames of a Seestar unless said otherwise."""
    return make_session(folder, Scenario(**{**SMALL, "n_frames": 9, **changes}))


def copied(truth: Truth, folder: Path) -> Path:
    """Return a copy of a session that a test may spoil."""
    return Path(shutil.copytree(truth.folder, folder))


def stacked(folder: Path, out: Path, **settings: Any) -> sq.RunResult:
    """Stack without pictures, which most tests do not look at."""
    return sq.stack(folder, out, **{"quicklook": False, **settings})


def pixels_of(path: Path) -> F32:
    """Return all pixels of a FITS file, float32 (channel, y, x)."""
    source = frame_source(open_frame(path))
    return source.read(source.bounds).pixels


def master(result: sq.RunResult) -> F32:
    """Return the first linear master, float32 (channel, y, x)."""
    return pixels_of(result.stacks[0].outputs["master_linear"])


def manifest(result: sq.RunResult) -> Manifest:
    return result.stacks[0].manifest


def account_of(name: str, told: Manifest) -> FrameRecord:
    """Return what the manifest says of a file, wherever it says it; exactly once."""
    frames = [frame for frame in told.frames if frame.file == name]
    others = [
        FrameRecord(file=name, status="left_out", code=other["code"], reason=other["reason"], stage="discover")
        for other in told.other_files
        if other["file"] == name
    ]
    found = [*frames, *others]
    assert len(found) == 1, f"{name} is told of {len(found)} times"
    return found[0]


def is_one_sentence(text: str | None) -> bool:
    return bool(text) and "\n" not in str(text) and len(str(text)) < 300


def largest_difference(image: F32, other: F32) -> float:
    """Return the largest difference over the mean level of the second image; NaN must lie at the same places."""
    assert image.shape == other.shape
    assert np.array_equal(np.isnan(image), np.isnan(other))
    return float(np.nanmax(np.abs(image - other)) / np.nanmean(np.abs(other)))
