"""A session small enough to be stacked dozens of times, and the figures by which two stacks are compared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skyquilt import stack
from skyquilt.core import F32
from skyquilt.engine import budget, planning
from skyquilt.engine.result import StackResult
from skyquilt.io.fits import data_hash, frame_source, open_frame
from skyquilt.testing.sky import Scenario

HELD = 200_000_000
"""What the program is said to hold in tests that choose budgets, so that plans do not depend on the test runner."""

SMALL = Scenario(
    device="generic",
    n_frames=10,
    width=240,
    height=200,
    seed=5,
    rotation_deg=(0.0, 3.0),
    n_dark=4,
    n_flat=4,
    n_bias=4,
    n_hot_pixels=20,
    n_trails=2,
    n_faint_stars=200,
    vignetting=0.1,
)
"""Rotation, calibration frames, hot pixels and trails on 48 000 pixels."""

TINY = Scenario(device="generic", n_frames=6, width=160, height=120, seed=5, n_dark=3, n_trails=1, n_faint_stars=120)
"""For what is done a hundred times."""


@contextmanager
def steady(tile: tuple[int, int] | None = None) -> Iterator[None]:
    """
    Say that the program holds `HELD` bytes, so that a budget leads to the same plan on every machine.

    With `tile` every plan has that tile.
    """
    with pytest.MonkeyPatch.context() as patch:
        if tile:
            patch.setattr(planning, "_TILES", (tile,))
        for module in (budget, planning):
            patch.setattr(module, "resident_memory", lambda: HELD)
        yield


def stack_one(folder: Path, out: Path, **settings: Any) -> StackResult:
    """Stack a folder that holds one group."""
    result = stack(folder, out, **settings)
    assert len(result.stacks) == 1, [str(failure.error) for failure in result.failures]
    return result.stacks[0]


def product_hashes(folder: Path) -> dict[str, str]:
    """Return the hash of the pixels of every FITS file below a folder."""
    hashes = {path.relative_to(folder).as_posix(): data_hash(path) for path in sorted(folder.rglob("*.fits"))}
    assert any(name.endswith("master_linear.fits") for name in hashes), f"no product in {folder}"
    return hashes


def leftovers(folder: Path) -> list[str]:
    """Return the files that a finished run should not leave: scratch, locks, half products."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return [name for name in names if name.endswith((".part", ".bin", ".jsonl", "/lock"))]


def read_pixels(path: Path) -> F32:
    """Return the pixels of a product, float32 (channel, y, x)."""
    source = frame_source(open_frame(path))
    pixels: F32 = source.read(source.bounds).pixels
    mask = source.read(source.bounds).mask
    pixels = pixels.copy()
    pixels[:, ~mask] = np.nan
    return pixels
