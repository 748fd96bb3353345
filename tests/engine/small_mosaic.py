"""A mosaic small enough to be made dozens of times, and what two of them are compared by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_session import HELD

from skyquilt import mosaic
from skyquilt.core import F32, Event, SkyGrid, Wcs
from skyquilt.engine import budget
from skyquilt.engine.mosaic import MosaicResult, assembly, job, planning
from skyquilt.io.fits import data_hash, frame_source, open_frame, read_header
from skyquilt.testing.mosaic_sky import MosaicScenario
from skyquilt.testing.sky import Scenario

CHUNK = 128
"""Side of the chunks in these tests, px: a canvas of a few hundred has some ten of them."""

CAMERA = Scenario(
    device="generic",
    target="none",
    ra_deg=85.0,
    dec_deg=34.0,
    scale_arcsec=5.0,
    width=208,
    height=160,
    n_faint_stars=200,
    zero_point=22.0,
    rotation_deg=(0.0, 6.0),
    dither_px=6.0,
    n_dark=3,
    n_hot_pixels=10,
    n_trails=2,
    n_cosmics_per_frame=3,
    distortion_px=0.0,
    seed=3,
)

SCENE = MosaicScenario(CAMERA, rows=2, columns=2, subs=3, overlap=0.3, header_wcs=True)
"""Four pointings of three raw colour frames, turned against each other, a dark, trails and particles."""

SETTINGS: dict[str, Any] = {"solve": "off", "quicklook": False, "threads": 2}
"""Places come from the headers: to look up the stars takes longer than all the rest."""


class Ear:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def made(self) -> list[tuple[int, ...]]:
        """Boxes of the chunks that were integrated."""
        progress = [event for event in self.events if event.phase == "integrate" and event.kind == "progress"]
        return [tuple(box) for event in progress for box in event.data["boxes"]]

    @property
    def messages(self) -> list[str]:
        return [event.message for event in self.events if event.message]

    def moments_of(self, phase: str) -> list[int]:
        """Numbers, from 1, of the events of a phase."""
        return [number for number, event in enumerate(self.events, start=1) if event.phase == phase]


@contextmanager
def small_chunks(pieces: tuple[int, int] | None = None) -> Iterator[None]:
    """Let the canvas have chunks of `CHUNK` px, and the program hold `HELD` bytes; with `pieces` cut them so."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (assembly, job, planning):
            patch.setattr(module, "CHUNK_PX", CHUNK)
        for module in (budget, planning):
            patch.setattr(module, "resident_memory", lambda: HELD)
        if pieces:
            patch.setattr(planning, "_PIECES", (pieces,))
        yield


def sew(folders: Path | Sequence[Path], out: Path, **settings: Any) -> MosaicResult:
    """Make the one mosaic that some folders hold."""
    result = mosaic(folders, out, **{**SETTINGS, **settings})
    assert len(result.mosaics) == 1 and not result.failures, [str(failure.error) for failure in result.failures]
    return result.mosaics[0]


def hashes_of(made: MosaicResult) -> dict[str, str]:
    """Return the hashes of the pixels of the FITS products."""
    return {path.name: data_hash(path) for path in sorted((made.folder / "mosaic").glob("*.fits"))}


def pixels_of(made: MosaicResult) -> F32:
    """Return the pixels of a mosaic, float32 (channel, y, x); NaN where nothing is known."""
    source = frame_source(open_frame(made.outputs["mosaic_linear"]))
    tile = source.read(source.bounds)
    pixels: F32 = tile.pixels.astype(np.float32)
    pixels[:, ~tile.mask] = np.nan
    return pixels


def coverage_of(made: MosaicResult) -> F32:
    """Return the exposure of every pixel, float32 (y, x), seconds."""
    source = frame_source(open_frame(made.outputs["mosaic_maps"]))
    coverage: F32 = source.read(source.bounds).pixels[0].astype(np.float32)
    return coverage


def grid_of(made: MosaicResult) -> SkyGrid:
    """Return the canvas, from the header of the product."""
    path = made.outputs["mosaic_linear"]
    meta = open_frame(path).meta
    return SkyGrid(Wcs.from_header(read_header(path)), meta.width, meta.height)


def leftovers(folder: Path) -> list[str]:
    """Return half products and locks that a finished run should not leave."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return [name for name in names if name.endswith((".part", ".partial", "/lock"))]


def statuses(made: MosaicResult) -> dict[str, tuple[str, str | None]]:
    """Return what became of every frame, and why, by the name of its file."""
    return {frame.file: (frame.status, frame.reason) for frame in made.manifest.frames}
