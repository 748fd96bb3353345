"""What a stack will take in memory, disk and time, before a pixel of it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skyquilt.core import Box
from skyquilt.engine.budget import resident_memory
from skyquilt.engine.integration import integrate_settings
from skyquilt.engine.journal import tile_bytes_on_disk
from skyquilt.engine.recipe import Recipe
from skyquilt.engine.result import Plan
from skyquilt.engine.sampling import Sampling
from skyquilt.errors import NotEnoughMemory
from skyquilt.steps import integrate

__all__ = ["make_plan"]

# (width, height) from large to small; wide enough for whole cache lines, high enough for small halos
_TILES = ((256, 128), (256, 64), (128, 64), (128, 32), (64, 32), (64, 16))
_LEAST_CUBE_PIXELS = 1024
_RESERVE = 40_000_000
_SCRATCH_PER_PIXEL = 64  # source box, debayered and interleaved, with its halo
_SWEEP_FRAMES = 48  # the seeds and those that fill up thin pixels
_SWEEP_BYTES_PER_VALUE = 120  # running sums, limits and counts in float64
_NS_PER_SAMPLE = 12.0
_NS_PER_PIXEL_MEASURED = 12.0


def make_plan(
    name: str,
    n_frames: int,
    frame_pixels: int,
    sampling: Sampling,
    canvas: Box,
    recipe: Recipe,
    *,
    budget: int,
    n_threads: int,
    calibration_table: Sequence[dict[str, Any]],
) -> Plan:
    """
    Return the plan of a stack: tile, schedule, predicted memory, scratch, output and time.

    Parameters
    ----------
    n_frames : int
        Frames that take part.
    frame_pixels : int
        Pixels of one frame.
    canvas : Box, canvas px
    budget : int
        Bytes that the whole process may hold.

    Raises
    ------
    NotEnoughMemory
        If not even the smallest tile of the sweep fits.
    """
    held = resident_memory()
    share = (budget - held - _RESERVE) // n_threads
    choice = _choose_tile(n_frames, sampling, recipe, share)
    if choice is None:
        needed = held + _RESERVE + n_threads * _tile_memory("sweep", n_frames, sampling, recipe, _TILES[-1])
        raise NotEnoughMemory(
            f"{name}: {budget / 1e6:.0f} MB are too few, the smallest tile needs {needed / 1e6:.0f} MB",
            f"give --memory {needed / 1e6 + 20:.0f}MB or fewer threads with --threads",
        )
    schedule, tile = choice
    work = held + _RESERVE + n_threads * _tile_memory(schedule, n_frames, sampling, recipe, tile)
    pixels = canvas.n_pixels
    c = sampling.n_channels
    pictures = pixels * max(c, 3 if sampling.debayer_after else 1) * (1 + 2 if recipe.quicklook else 0)
    output = pixels * 4 * c + pictures + (pixels * (4 + c * (4 + 2 + 2)) if recipe.maps else 0)
    samples = n_frames * pixels * c
    seconds = 1.0 + 1e-9 * (_NS_PER_SAMPLE * samples + _NS_PER_PIXEL_MEASURED * n_frames * frame_pixels) / n_threads
    plan = Plan(
        name=name,
        n_frames=n_frames,
        n_channels=c,
        canvas=canvas,
        tile=tile,
        peak_memory_bytes=max(work, held + _RESERVE + pictures),
        scratch_bytes=tile_bytes_on_disk(pixels, c),
        output_bytes=output,
        seconds=seconds,
        schedule=schedule,
        calibration_table=list(calibration_table),
    )
    plan.lines.extend(_sentences(plan, sampling))
    return plan


def _sentences(plan: Plan, sampling: Sampling) -> list[str]:
    return [
        f"{plan.name}: {plan.n_frames} frames onto {plan.canvas.width}x{plan.canvas.height} px, "
        f"{plan.n_channels} channel{'s' if plan.n_channels > 1 else ''}, {sampling.method} with {sampling.kernel}",
        f"schedule {plan.schedule}, tiles of {plan.tile[0]}x{plan.tile[1]} px",
        f"memory {plan.peak_memory_bytes / 1e6:.0f} MB, scratch {plan.scratch_bytes / 1e6:.0f} MB, "
        f"output {plan.output_bytes / 1e6:.0f} MB, about {plan.seconds:.0f} s",
    ]


def _choose_tile(n_frames: int, sampling: Sampling, recipe: Recipe, share: int) -> tuple[str, tuple[int, int]] | None:
    """Return the schedule and the largest tile that fit the share of one thread."""
    schedules = ("cube", "sweep") if recipe.schedule == "auto" else (recipe.schedule,)
    for schedule in schedules:
        for tile in _TILES:
            is_small = tile[0] * tile[1] < _LEAST_CUBE_PIXELS and schedule == "cube" and recipe.schedule == "auto"
            if not is_small and _tile_memory(schedule, n_frames, sampling, recipe, tile) <= share:
                return schedule, tile
    return None


def _tile_memory(schedule: str, n_frames: int, sampling: Sampling, recipe: Recipe, tile: tuple[int, int]) -> int:
    """Return the bytes that one thread holds while it integrates a tile, results waiting to be stored included."""
    pixels = tile[0] * tile[1]
    weight_channels = sampling.n_channels if sampling.method == "cfa" else 1
    settings = integrate_settings(recipe)
    n_held = n_frames if schedule == "cube" else min(n_frames, _SWEEP_FRAMES)
    work = integrate.tile_bytes(n_held, sampling.n_channels, weight_channels, pixels, settings)
    if schedule == "sweep":
        work += _SWEEP_BYTES_PER_VALUE * pixels * sampling.n_channels
    waiting = 3 * tile_bytes_on_disk(pixels, sampling.n_channels)
    return work + _SCRATCH_PER_PIXEL * 2 * pixels + waiting
