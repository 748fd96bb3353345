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

__all__ = ["frame_threads", "make_plan", "without_slivers"]

# (width, height) from large to small; wide enough for whole cache lines, high enough for small halos
_TILES = ((256, 256), (256, 128), (256, 64), (128, 64), (128, 32), (64, 32), (64, 16))
_TILES_A_THREAD = 2  # at least, where the canvas is large enough: the last ones leave threads without work
_LEAST_CUBE_PIXELS = 1024
_RESERVE = 15_000_000  # kernels that are still to be loaded, headers, what the allocator keeps for itself
_KERNELS = 50_000_000  # the compiler's library and the kernels, before the first frame is looked at
_BYTES_PER_FRAME_PIXEL = 8  # a whole frame, calibrated and looked at by one thread
_BYTES_PER_PLANE_PIXEL = 40  # masters, what calibrates a frame, and the search for defects
_SCRATCH_PER_PIXEL = 24  # source box, debayered and interleaved, with its halo
_SWEEP_FRAMES = 33  # the seeds, and the frame that passes
_SWEEP_BYTES_PER_VALUE = 120  # running sums, limits and counts in float64
_BANDS_HELD = 4  # one in use, the next one read, put together and brought to its unit
_HELD_SHARE = 0.5  # of the budget that products may take to read the canvas once for all of them
_MEASURED_PIXELS = 2048 * 2048  # the middle of the stack, of which the statistics are made
_BYTES_PER_MEASURED_PIXEL = 16
_NS_PER_SAMPLE = 9.0
_NS_PER_PIXEL_MEASURED = 14.0


def frame_threads(budget: int, frame_pixels: int, n_threads: int) -> int:
    """
    Return how many threads may look at whole frames at once, at least one: calibration, measuring, trails.

    Parameters
    ----------
    budget : int
        Bytes that the whole process may hold.
    frame_pixels : int
        Pixels of one frame.
    """
    room = budget - resident_memory() - _KERNELS - _BYTES_PER_PLANE_PIXEL * frame_pixels
    return min(n_threads, max(1, room // (_BYTES_PER_FRAME_PIXEL * frame_pixels)))


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
    Return the plan of a stack: tile, schedule, threads, predicted memory, scratch, output and time.

    Parameters
    ----------
    n_frames : int
        Frames that take part.
    frame_pixels : int
        Pixels of one frame.
    canvas : Box, canvas px
    budget : int
        Bytes that the whole process may hold.
    n_threads : int
        At most; fewer where so many tiles at once do not fit.

    Raises
    ------
    NotEnoughMemory
        If not even the smallest tile of the sweep fits, or the products cannot be written in that memory.

    Notes
    -----
    The peak is what the process holds now, and the larger of what the integration and what the products take beside
    it; measured peaks are 0 to 20 % lower (tests/engine/test_budget.py). Whether all samples of a tile are held at
    once ("cube") does not depend on the number of threads, so that neither do the pixels.
    """
    held = resident_memory() + _RESERVE
    choice = _choose_tile(n_frames, sampling, recipe, canvas, budget - held, n_threads)
    if choice is None:
        least = "sweep" if recipe.schedule == "auto" else recipe.schedule
        needed = held + _tile_memory(least, n_frames, sampling, recipe, _TILES[-1])
        raise _too_little(name, budget, "the smallest tile needs", needed)
    schedule, tile, n_at_work = choice
    work = n_at_work * _tile_memory(schedule, n_frames, sampling, recipe, tile)
    tasks = _product_memory(canvas, tile, sampling, recipe)
    n_writers = _most_at_once(tasks, budget - held, n_threads)
    if n_writers == 0:
        raise _too_little(name, budget, "the products of this canvas need", held + max(tasks))
    writing = sum(sorted(tasks, reverse=True)[:n_writers])
    values = 0 if sampling.debayer_after else 4 * sampling.n_channels * canvas.n_pixels
    holds_values = max(work, writing + values) <= min(budget - held, _HELD_SHARE * budget)
    writing += values * holds_values
    pixels = canvas.n_pixels
    c = sampling.n_channels
    n_tiles = _n_tiles(canvas, tile)
    samples = n_frames * pixels * c
    seconds = 1.0 + 1e-9 * (_NS_PER_SAMPLE * samples + _NS_PER_PIXEL_MEASURED * n_frames * frame_pixels) / n_threads
    plan = Plan(
        name=name,
        n_frames=n_frames,
        n_channels=c,
        canvas=canvas,
        tile=tile,
        peak_memory_bytes=held + max(work, writing),
        scratch_bytes=tile_bytes_on_disk(pixels, c) + 4 * n_tiles * n_frames,
        output_bytes=_output_bytes(pixels, sampling, recipe),
        seconds=seconds,
        schedule=schedule,
        n_threads=n_at_work,
        n_writers=n_writers,
        holds_values=holds_values,
        calibration_table=list(calibration_table),
    )
    plan.lines.extend(_sentences(plan, sampling))
    return plan


def _too_little(name: str, budget: int, what: str, needed: int) -> NotEnoughMemory:
    return NotEnoughMemory(
        f"{name}: {budget / 1e6:.0f} MB of memory are too few, {what} {needed / 1e6:.0f} MB",
        f"give --memory {needed / 1e6 + 20:.0f}MB",
    )


def _sentences(plan: Plan, sampling: Sampling) -> list[str]:
    return [
        f"{plan.name}: {plan.n_frames} frames onto {plan.canvas.width}x{plan.canvas.height} px, "
        f"{plan.n_channels} channel{'s' if plan.n_channels > 1 else ''}, {sampling.method} with {sampling.kernel}",
        f"schedule {plan.schedule}, tiles of {plan.tile[0]}x{plan.tile[1]} px, "
        f"{plan.n_threads} thread{'s' if plan.n_threads > 1 else ''}",
        f"memory {plan.peak_memory_bytes / 1e6:.0f} MB, scratch {plan.scratch_bytes / 1e6:.0f} MB, "
        f"output {plan.output_bytes / 1e6:.0f} MB, about {plan.seconds:.0f} s",
    ]


def _choose_tile(
    n_frames: int, sampling: Sampling, recipe: Recipe, canvas: Box, room: int, n_threads: int
) -> tuple[str, tuple[int, int], int] | None:
    """
    Return the schedule, the tile and the most threads that fit; threads count more than the tile's size.

    The tile is the largest of which there are some for every thread and with which the products, written by rows of
    tiles, fit as well.
    """
    schedules = ("cube", "sweep") if recipe.schedule == "auto" else (recipe.schedule,)
    for schedule in schedules:
        least = _LEAST_CUBE_PIXELS if schedule == "cube" and recipe.schedule == "auto" else 0
        tiles = [without_slivers(tile, *canvas.shape) for tile in _TILES]
        sizes = [(tile, _tile_memory(schedule, n_frames, sampling, recipe, tile)) for tile in tiles]
        for n in range(n_threads, 0, -1):
            fitting = [tile for tile, size in sizes if n * size <= room and tile[0] * tile[1] >= least]
            published = [tile for tile in fitting if max(_product_memory(canvas, tile, sampling, recipe)) <= room]
            shared = [tile for tile in published if _n_tiles(canvas, tile) >= _TILES_A_THREAD * n]
            if fitting:
                return schedule, (shared or published[-1:] or fitting)[0], n
    return None


def _n_tiles(canvas: Box, tile: tuple[int, int]) -> int:
    return -(-canvas.width // tile[0]) * -(-canvas.height // tile[1])


def without_slivers(tile: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """
    Return a tile about as wide, in steps of 16 px, of which a whole number fills the width as well as it can.

    It is no higher than the canvas, in such steps.
    """
    n = max(1, round(width / tile[0]))
    return max(16, -(-width // (16 * n)) * 16), min(tile[1], -(-height // 16) * 16)


def _tile_memory(schedule: str, n_frames: int, sampling: Sampling, recipe: Recipe, tile: tuple[int, int]) -> int:
    """Return the bytes that one thread holds while it integrates a tile, results waiting to be stored included."""
    pixels = tile[0] * tile[1]
    weight_channels = sampling.n_channels if sampling.method == "cfa" else 1
    settings = integrate_settings(recipe)
    n_held = n_frames if schedule == "cube" else min(n_frames, _SWEEP_FRAMES)
    work = integrate.tile_bytes(n_held, sampling.n_channels, weight_channels, pixels, settings)
    if schedule != "cube":
        work += _SWEEP_BYTES_PER_VALUE * pixels * sampling.n_channels
    waiting = 2 * tile_bytes_on_disk(pixels, sampling.n_channels)
    return work + _SCRATCH_PER_PIXEL * 2 * pixels + waiting


def _product_memory(canvas: Box, tile: tuple[int, int], sampling: Sampling, recipe: Recipe) -> list[int]:
    """Return the bytes of each product in the making: linear, statistics, magnitudes, maps, pictures."""
    c = 3 if sampling.debayer_after else sampling.n_channels
    band_pixels = canvas.width * min(tile[1], canvas.height)
    values, band = _BANDS_HELD * 4 * c * band_pixels, _BANDS_HELD * tile_bytes_on_disk(band_pixels, c)
    looks = _BYTES_PER_MEASURED_PIXEL * min(canvas.n_pixels, _MEASURED_PIXELS)
    tasks = [values, values + looks]
    if recipe.solve != "off":
        tasks.append(values + looks)
    if recipe.maps:
        tasks.append(band)
    if recipe.quicklook:
        tasks.append(values + 3 * c * canvas.n_pixels + (8 * canvas.n_pixels if recipe.crop else 0))
    if sampling.debayer_after:  # the whole mosaic and its colours, for all products
        tasks = [task + 32 * canvas.n_pixels for task in tasks]
    return tasks


def _most_at_once(tasks: Sequence[int], room: int, n_threads: int) -> int:
    """Return how many of the tasks may run at once, whichever they are; 0 if the largest alone does not fit."""
    ordered = sorted(tasks, reverse=True)
    return max((n for n in range(1, n_threads + 1) if sum(ordered[:n]) <= room), default=0)


def _output_bytes(pixels: int, sampling: Sampling, recipe: Recipe) -> int:
    """Return the size of the products on disk, without the master calibration frames."""
    c = 3 if sampling.debayer_after else sampling.n_channels
    linear = 4 * c + (4 if sampling.debayer_after else 0)
    maps = 4 + sampling.n_channels * (4 + 2 + 2) if recipe.maps else 0
    pictures = c * (1 + 2) if recipe.quicklook else 0
    return pixels * (linear + maps + pictures)
