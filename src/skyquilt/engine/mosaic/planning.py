"""What a mosaic will take: the pieces of its tiles, predicted memory, scratch, output and time."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from skyquilt.core import I64, Box, SkyGrid
from skyquilt.engine.budget import resident_memory
from skyquilt.engine.integration import integrate_settings
from skyquilt.engine.mosaic.job import CHUNK_PX
from skyquilt.engine.mosaic.recipe import MosaicRecipe
from skyquilt.errors import NotEnoughMemory
from skyquilt.steps import integrate, mosaic

__all__ = ["MosaicPlan", "Pieces", "choose_pieces", "make_plan", "products_at_once", "strip_rows"]

_PIECES = ((512, 128), (512, 64), (256, 64), (128, 64), (128, 32), (64, 32), (64, 16))
_RESERVE = 30_000_000  # kernels that are still to be loaded, headers, what the allocator keeps for itself
_BYTES_PER_CHUNK_VALUE = 12  # value, variance, rejected low and high
_COPIES_OF_A_CHUNK = 2.5  # the chunk, its encoded form, its part of the overview
_BYTES_PER_FRAME = 40_000  # its sampler, its nodes that are kept, its entry in the job
_SCRATCH_PER_PIXEL = 24  # source box, debayered and interleaved, with its halo
_LEAST_PIECE_PX = 1024
_MOST_LOOKS = 10_000  # boxes of the canvas whose depth is looked up
_SWEEP_FRAMES = 33
_SWEEP_BYTES_PER_VALUE = 120
_STRIP_SHARE = 0.25  # of the room, for a strip of whole rows of the canvas
_PRODUCT_BYTES = 300_000_000  # a channel: the part that is measured, with its copies; a picture with its packed form
_SMALL_PRODUCT_BYTES = 60_000_000, 4  # the same of a small canvas: of any, and a pixel
_NS_PER_SAMPLE = 14.0
_NS_PER_CANVAS_VALUE = 60.0
_BYTES_ON_DISK = 6.0  # a value, which does not compress well, its variance and maps, which do


@dataclass(frozen=True, slots=True)
class Pieces:
    """How the chunks are cut for the memory there is: none of it changes a bit, but for the schedule."""

    schedule: str
    sub_tile: tuple[int, int]
    n_threads: int
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True)
class MosaicPlan:
    """
    A mosaic before it is made.

    Attributes
    ----------
    name : str
    grid : SkyGrid
        The canvas.
    n_frames, n_channels, n_panels : int
    n_samples : float
        Samples that will land on the canvas, one a channel.
    pieces : Pieces
    scratch_bytes, output_bytes : int
    seconds : float
    index : FrameIndex
        Tells which frames touch a box of the canvas.
    panels : list of dict
        Name, direction, frames and exposure of every pointing.
    lines : list of str
        The plan in sentences.
    """

    name: str
    grid: SkyGrid
    n_frames: int
    n_channels: int
    n_panels: int
    n_samples: float
    pieces: Pieces
    scratch_bytes: int
    output_bytes: int
    seconds: float
    index: mosaic.FrameIndex
    panels: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def coverage_map(self, columns: int, rows: int) -> I64:
        """Return how many frames cover the middle of each cell of a coarse map, int64 (rows, columns), top first."""
        depth = np.zeros((rows, columns), dtype=np.int64)
        for j in range(rows):
            for i in range(columns):
                x = int((i + 0.5) * self.grid.width / columns)
                y = int((j + 0.5) * self.grid.height / rows)
                depth[j, i] = len(self.index.touching(Box(x, y, x + 1, y + 1)))
        return depth


def choose_pieces(
    index: mosaic.FrameIndex,
    box: Box,
    n_channels: int,
    weight_channels: int,
    recipe: MosaicRecipe,
    budget: int,
    n_threads: int,
) -> Pieces:
    """
    Return the schedule, the largest pieces that fit, and how many chunks are integrated at once.

    Parameters
    ----------
    index : FrameIndex
        Tells how many frames touch a box of the canvas.
    box : Box
        The canvas.
    budget : int
        Bytes that the whole process may hold.

    Raises
    ------
    NotEnoughMemory
        If not even the smallest piece fits one thread.
    """
    held = resident_memory() + _RESERVE
    room = budget - held
    # to look all over a large canvas takes seconds: only for the pieces that are asked for
    deepest = cache(lambda piece: _deepest(index, box, piece))
    deepest_chunk = _deepest(index, box, (CHUNK_PX, CHUNK_PX))
    schedules = ("cube", "sweep") if recipe.schedule == "auto" else (recipe.schedule,)
    for schedule in schedules:
        least = _LEAST_PIECE_PX if schedule == "cube" and recipe.schedule == "auto" else 0
        for n in range(n_threads, 0, -1):
            for piece in _PIECES:
                size = n * _at_work(schedule, piece, deepest(piece), deepest_chunk, n_channels, weight_channels, recipe)
                if size <= room and piece[0] * piece[1] >= least:
                    return Pieces(schedule, piece, n, held + size)
    needed = held + _at_work(
        schedules[-1], _PIECES[-1], deepest(_PIECES[-1]), deepest_chunk, n_channels, weight_channels, recipe
    )
    raise NotEnoughMemory(
        f"{budget / 1e6:.0f} MB of memory are too few, the smallest piece of the mosaic needs {needed / 1e6:.0f} MB",
        f"give --memory {needed / 1e6 + 20:.0f}MB",
    )


def _deepest(index: mosaic.FrameIndex, box: Box, size: tuple[int, int]) -> int:
    """Return the most frames that touch one box of that size, from a sample of such boxes of the canvas."""
    least = max(CHUNK_PX // 2, int(np.sqrt(box.n_pixels / _MOST_LOOKS)))
    step = max(size[0], least), max(size[1], least)
    return max(
        (len(index.touching(Box(b.x0, b.y0, b.x0 + size[0], b.y0 + size[1]))) for b in box.tiles(*step)), default=0
    )


def _at_work(
    schedule: str,
    piece: tuple[int, int],
    n_landing: int,
    n_touching: int,
    n_channels: int,
    weight_channels: int,
    recipe: MosaicRecipe,
) -> int:
    """Return the bytes that one thread holds while it integrates a chunk in such pieces."""
    pixels = piece[0] * piece[1]
    chunk = CHUNK_PX**2 * (n_channels * _BYTES_PER_CHUNK_VALUE + 4)
    held = min(n_landing, _SWEEP_FRAMES) if schedule == "sweep" else n_landing
    work = integrate.tile_bytes(held, n_channels, weight_channels, pixels, integrate_settings(recipe))
    if schedule == "sweep":
        work += _SWEEP_BYTES_PER_VALUE * pixels * n_channels
    return int(work + _SCRATCH_PER_PIXEL * 2 * pixels + _COPIES_OF_A_CHUNK * chunk + _BYTES_PER_FRAME * n_touching)


def strip_rows(width: int, n_channels: int, budget: int) -> int:
    """Return how many whole rows of the canvas a product may hold at once: a part of a chunk, at least 16."""
    room = max(0, budget - resident_memory() - _RESERVE)
    rows = int(_STRIP_SHARE * room / (4 * 4 * n_channels * width))
    return int(2 ** np.floor(np.log2(min(CHUNK_PX, max(16, rows)))))


def products_at_once(n_channels: int, n_pixels: int, budget: int, n_threads: int) -> int:
    """Return how many products may be made at the same time, each beside its strip."""
    room = max(0, budget - resident_memory() - _RESERVE)
    least, a_pixel = _SMALL_PRODUCT_BYTES
    product = n_channels * min(_PRODUCT_BYTES, least + a_pixel * n_pixels)
    return int(np.clip((1.0 - _STRIP_SHARE) * room / product, 1, n_threads))


def predicted_samples(frames: list[SkyGrid], grid: SkyGrid) -> float:
    """Return how many canvas pixels the frames cover, each counted as often as it is covered."""
    scale2 = (grid.wcs.scale_arcsec / 3600.0) ** 2
    areas = [frame.width * frame.height * (frame.wcs.scale_arcsec / 3600.0) ** 2 for frame in frames]
    return float(sum(areas)) / scale2


def make_plan(
    name: str,
    frames: list[SkyGrid],
    grid: SkyGrid,
    panels: list[dict[str, Any]],
    n_channels: int,
    pieces: Pieces,
    index: mosaic.FrameIndex,
    recipe: MosaicRecipe,
    n_processes: int = 1,
) -> MosaicPlan:
    """Return the plan of a mosaic in figures and in sentences; `n_processes` work at it, each in such pieces."""
    samples = predicted_samples(frames, grid)
    pixels = grid.width * grid.height
    seconds = (
        1e-9
        * n_channels
        * (_NS_PER_SAMPLE * samples + _NS_PER_CANVAS_VALUE * pixels)
        / (n_processes * pieces.n_threads)
    )
    covered = min(pixels, int(samples))
    scratch = int(_BYTES_ON_DISK * n_channels * covered * 1.35)
    output = pixels * 4 * n_channels
    if recipe.maps:
        output += pixels * (4 + n_channels * (4 + 2 + 2))
    if recipe.quicklook:
        output += min(pixels, 32_000_000) * 3 * n_channels
    ra, dec = grid.centre_deg
    lines = [
        f"{name}: {len(frames)} frames in {len(panels)} pointing{'s' if len(panels) != 1 else ''} onto "
        f"{grid.width}x{grid.height} px of {grid.wcs.scale_arcsec:.2f} arcsec ({grid.wcs.projection}), "
        f"centre RA {ra:.3f}, Dec {dec:+.3f}",
        f"schedule {pieces.schedule}, pieces of {pieces.sub_tile[0]}x{pieces.sub_tile[1]} px, {pieces.n_threads} "
        f"thread{'s' if pieces.n_threads > 1 else ''}"
        + (f" in each of {n_processes} workers" if n_processes > 1 else ""),
        f"memory {pieces.peak_memory_bytes / 1e6:.0f} MB, scratch {scratch / 1e6:.0f} MB, "
        f"output {output / 1e6:.0f} MB, about {seconds:.0f} s",
    ]
    return MosaicPlan(
        name,
        grid,
        len(frames),
        n_channels,
        len(panels),
        samples,
        pieces,
        scratch,
        output,
        seconds,
        index,
        panels,
        lines,
    )
