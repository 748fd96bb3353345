"""The exact integration: all samples of a tile in memory at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from skyquilt.core import F32, I64, U8, U16, Box, SampleSource
from skyquilt.kernels.combine import (
    MAXIMUM,
    MEDIAN,
    MINIMUM,
    combine_means,
    combine_ordered,
    staging_bytes,
    sum_coverage,
)
from skyquilt.kernels.lanes import WIDTH
from skyquilt.kernels.reject import accept_all, empty_block, find_intervals
from skyquilt.kernels.reject_pairs import settle_pairs
from skyquilt.kernels.reject_structure import structure_variance
from skyquilt.steps.integrate.limits import critical_deviates, mad_corrections, median_variances, reach, widenings
from skyquilt.steps.integrate.terms import FEW_SAMPLES, FrameTerms, IntegratedTile, IntegrateSettings

__all__ = [
    "Cube",
    "CubeScratch",
    "Intervals",
    "empty_tile",
    "find_cube_intervals",
    "finish_values",
    "integrate_cube",
    "saturated_counts",
    "tile_bytes",
]

_ORDERED = {"median": MEDIAN, "min": MINIMUM, "max": MAXIMUM}
_MANY = 1 << 30

Noise = tuple[F32, F32, F32]


@dataclass(slots=True)
class CubeScratch:
    """Memory that one thread uses again for tile after tile; it grows to the largest."""

    values: F32 = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    weights: U8 = field(default_factory=lambda: np.empty(0, dtype=np.uint8))

    def room(self, n_values: int, n_weights: int) -> tuple[F32, U8]:
        """Return arrays of that size, contents arbitrary."""
        if len(self.values) < n_values:
            self.values = np.empty(n_values, dtype=np.float32)
        if len(self.weights) < n_weights:
            self.weights = np.empty(n_weights, dtype=np.uint8)
        return self.values[:n_values], self.weights[:n_weights]


@dataclass(frozen=True, slots=True, eq=False)
class Cube:
    """
    The samples of all frames in one box.

    Attributes
    ----------
    values : float32 (n_frames * n_channels * height * width + WIDTH,), normalised ADU
    weights : uint8 (n_frames * weight_channels * height * width + WIDTH,)
    shape : (n_frames, n_channels, weight_channels, n_pixels)
    """

    box: Box
    values: F32
    weights: U8
    shape: tuple[int, int, int, int]

    @classmethod
    def empty(cls, box: Box, n_frames: int, n_channels: int, weight_channels: int, scratch: CubeScratch) -> Cube:
        """Return a cube with room for the samples; contents arbitrary."""
        n_pixels = box.n_pixels
        values, weights = scratch.room(
            n_frames * n_channels * n_pixels + WIDTH, n_frames * weight_channels * n_pixels + WIDTH
        )
        return cls(box, values, weights, (n_frames, n_channels, weight_channels, n_pixels))

    def frame(self, row: int) -> tuple[F32, U8]:
        """Return the views (channel, y, x) that hold the samples of one frame."""
        _, n_channels, weight_channels, n_pixels = self.shape
        size, weight_size = n_channels * n_pixels, weight_channels * n_pixels
        values = self.values[row * size : (row + 1) * size]
        weights = self.weights[row * weight_size : (row + 1) * weight_size]
        height, width = self.box.shape
        return values.reshape(n_channels, height, width), weights.reshape(weight_channels, height, width)


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """
    What is accepted, pixel by pixel; float32 (n_channels, n_pixels rounded up to WIDTH).

    Attributes
    ----------
    centre, lowest, highest, counts
        As `kernels.reject.find_intervals` gives them; the centre of two samples as `kernels.reject_pairs` settles it.
    structure
        As `kernels.reject_structure.structure_variance` gives it; of two samples as `kernels.reject_pairs` does.
    """

    centre: F32
    lowest: F32
    highest: F32
    counts: F32
    structure: F32

    def channel(self, index: int) -> tuple[F32, F32, F32, F32, F32]:
        return (
            self.centre[index],
            self.lowest[index],
            self.highest[index],
            self.counts[index],
            self.structure[index],
        )


def find_cube_intervals(
    cube: Cube, terms: FrameTerms, settings: IntegrateSettings, few: int | None = None
) -> Intervals:
    """
    Return centre, accepted interval and local structure of every pixel of the cube, rim included.

    `terms` tells the mean sky noise (its frames need not be those of the cube). Pixels with fewer than `few` samples
    are left to the noise model; None: as the rule says.
    """
    if few is None:
        few = FEW_SAMPLES if settings.rule == "auto" else 0
    if settings.rule in ("percentile", "noise_model"):
        few = _MANY if settings.rule == "noise_model" else 0
    n_frames, n_channels, _, n_pixels = cube.shape
    padded = -(-n_pixels // WIDTH) * WIDTH
    intervals = Intervals(*(np.zeros((n_channels, padded), dtype=np.float32) for _ in range(5)))
    for channel in range(n_channels):
        centre, lowest, highest, counts, _ = intervals.channel(channel)
        if settings.rule == "none":
            accept_all(cube.values, cube.weights, cube.shape, channel, centre, lowest, highest, counts)
            continue
        rule = "sigma" if settings.rule == "auto" else settings.rule
        find_intervals(
            rule,
            cube.values,
            cube.weights,
            cube.shape,
            channel,
            few,
            (
                float(settings.low),
                float(settings.high),
                float(settings.percentile_low),
                float(settings.percentile_high),
                float(settings.esd_fraction),
            ),
            settings.max_iterations,
            (
                *reach(settings.low, settings.high, n_frames),
                mad_corrections(n_frames),
                widenings(rule, n_frames),
                critical_deviates(settings.esd_significance, n_frames),
            ),
            empty_block(n_frames),
            centre,
            lowest,
            highest,
            counts,
        )
        # a sample that is alone is its pixel's centre, and accepted however narrow the interval
        if settings.needs_structure and counts.max() > 1.0:
            _find_structure(cube, terms, settings, channel, few, intervals)
    return intervals


def _find_structure(
    cube: Cube, terms: FrameTerms, settings: IntegrateSettings, channel: int, few: int, intervals: Intervals
) -> None:
    """Fill in the local structure of one channel, and what two samples make of their centre; in place."""
    centre, _, _, counts, structure = intervals.channel(channel)
    jitter_px, blur_px2 = float(settings.jitter_px), float(settings.blur_px2)
    sky_variance = float(np.mean(terms.sky_sigma[:, channel] ** 2))
    spreads = median_variances(cube.shape[0])
    width, height = cube.box.width, cube.box.height
    structure_variance(centre, counts, width, height, jitter_px, blur_px2, sky_variance, spreads, structure)
    if few > 2 and bool((counts == 2.0).any()):
        # not before: centres of the outermost pixels stay as they are, and any tiling must see the same neighbours
        settle_pairs(
            cube.values,
            cube.weights,
            cube.shape,
            channel,
            counts,
            width,
            float(min(settings.low, settings.high)),
            jitter_px,
            blur_px2,
            sky_variance,
            centre,
            structure,
        )


def channel_noise(terms: FrameTerms, channel: int) -> Noise:
    """Return the noise model of one channel as the kernels take it: sky variance, shot, sky level."""
    return (
        np.ascontiguousarray(terms.sky_sigma[:, channel] ** 2, dtype=np.float32),
        np.ascontiguousarray(terms.shot[:, channel], dtype=np.float32),
        np.ascontiguousarray(terms.sky_level[:, channel], dtype=np.float32),
    )


def saturated_counts(counts: F32) -> U16:
    """Return counts as uint16; more than 65535 stay at that."""
    return np.minimum(counts, 65535.0).astype(np.uint16)


def integrate_cube(
    sources: Sequence[SampleSource],
    box: Box,
    terms: FrameTerms,
    settings: IntegrateSettings,
    scratch: CubeScratch | None = None,
    landing: Sequence[int] | None = None,
) -> IntegratedTile:
    """
    Return one tile of the result, exact over all samples that land on it.

    Parameters
    ----------
    sources : sequence of SampleSource
        In frame order; the sums follow it.
    box : Box
        The tile, canvas pixels. Sources are asked for one pixel more on every side where the limits need it.
    terms : FrameTerms
        Of the same frames.
    scratch : CubeScratch or None
        Memory to use again; one for each thread.
    landing : sequence of int or None
        The frames that may have samples within one pixel of the box, ascending; None: all of them. It changes no bit:
        those that are left aside would not have been heard.

    Notes
    -----
    Definition: for every pixel and channel the rule turns the proper samples (weight 2 and more), unweighted, into an
    accepted interval (`steps.integrate.definitions`). It is widened to hold centre ± limit x local structure
    (`kernels.reject_structure`; `kernels.reject_pairs` where two samples are left to the noise model), and what lies in
    it is combined (`kernels.combine.combine_means`). Where no frame has a proper sample, the stopgaps (weight 1) are
    combined without rejection. The same bits for any tiling.
    """
    heard = terms.weight > 0
    active = np.flatnonzero(heard) if landing is None else np.array([k for k in landing if heard[k]], dtype=np.int64)
    n_frames = len(active)
    rim = 1 if settings.needs_structure else 0
    outer = box.grow(rim)
    if n_frames == 0 or box.is_empty:
        n_channels = sources[0].n_channels if sources else 1
        return empty_tile(box, n_channels, len(terms.weight))
    first = sources[int(active[0])]
    scratch = CubeScratch() if scratch is None else scratch
    cube = Cube.empty(outer, n_frames, first.n_channels, first.weight_channels, scratch)
    for row, frame in enumerate(active):
        sources[int(frame)].sample(outer, *cube.frame(row))
    cube.weights[-WIDTH:] = 0
    whole = terms.take(np.flatnonzero(heard))
    intervals = find_cube_intervals(cube, whole, settings)
    tile = combine_cube(cube, box, terms.take(active), intervals, settings, whole)
    return tile if n_frames == len(terms.weight) else _spread_frames(tile, active, len(terms.weight))


def combine_cube(
    cube: Cube, box: Box, terms: FrameTerms, intervals: Intervals, settings: IntegrateSettings, whole: FrameTerms
) -> IntegratedTile:
    """Return the tile that the accepted samples of a cube give inside of `box`; `whole` are the terms of all frames."""
    n_frames, n_channels, _, n_pixels = cube.shape
    padded = intervals.centre.shape[1]
    rows, columns = box.slices(cube.box)
    interior = np.zeros(padded, dtype=np.uint8)
    interior[:n_pixels].reshape(cube.box.shape)[rows, columns] = 1
    planes = np.full((5, n_channels, padded), np.nan, dtype=np.float32)
    frame_counts = np.zeros(n_frames * 3, dtype=np.int64)
    limits = (float(settings.low), float(settings.high))
    spreads = median_variances(n_frames)
    weights = np.ascontiguousarray(terms.weight / whole.weight.max(), dtype=np.float64)
    for channel in range(n_channels):
        noise = channel_noise(terms, channel)
        out = (planes[0, channel], planes[1, channel], planes[2, channel], planes[3, channel], planes[4, channel])
        combine_means(
            cube.values,
            cube.weights,
            cube.shape,
            channel,
            weights,
            noise,
            limits,
            spreads,
            intervals.channel(channel),
            interior,
            out,
            frame_counts,
        )
        if settings.combine in _ORDERED:
            combine_ordered(
                cube.values,
                cube.weights,
                cube.shape,
                channel,
                noise,
                limits,
                spreads,
                intervals.channel(channel),
                _ORDERED[settings.combine],
                empty_block(n_frames),
                planes[0, channel],
            )
    coverage = np.zeros(n_pixels, dtype=np.float64)
    sum_coverage(cube.weights, cube.shape, np.ascontiguousarray(terms.exposure_s, dtype=np.float64), coverage)
    value, variance, used, low, high = (
        plane[:, :n_pixels].reshape(n_channels, *cube.box.shape)[:, rows, columns] for plane in planes
    )
    value, variance = finish_values(value.copy(), variance.copy(), used, len(whole.weight), settings.combine)
    per_frame = frame_counts.reshape(n_frames, 3)
    return IntegratedTile(
        box,
        value,
        variance,
        coverage.reshape(cube.box.shape)[rows, columns].astype(np.float32),
        saturated_counts(used),
        saturated_counts(low),
        saturated_counts(high),
        per_frame[:, 1:].copy(),
        per_frame[:, 0].copy(),
    )


def finish_values(value: F32, variance: F32, used: F32, n_frames: int, combine: str) -> tuple[F32, F32]:
    """Turn the weighted mean and its variance into what the way of combining means by them."""
    if combine == "sum":
        return value * np.float32(n_frames), variance * np.float32(n_frames**2)
    if combine == "median":
        return value, np.where(used >= 3, variance * np.float32(math.pi / 2), variance)
    if combine in ("min", "max"):
        return value, np.full_like(variance, np.nan)
    return value, variance


def empty_tile(box: Box, n_channels: int, n_frames: int) -> IntegratedTile:
    """Return the tile on which nothing landed."""
    shape = (n_channels, *box.shape)
    nothing = np.full(shape, np.nan, dtype=np.float32)
    counts = [np.zeros(shape, dtype=np.uint16) for _ in range(3)]
    return IntegratedTile(
        box,
        nothing,
        nothing.copy(),
        np.zeros(box.shape, dtype=np.float32),
        counts[0],
        counts[1],
        counts[2],
        np.zeros((n_frames, 2), dtype=np.int64),
        np.zeros(n_frames, dtype=np.int64),
    )


def _spread_frames(tile: IntegratedTile, active: I64, n_frames: int) -> IntegratedTile:
    """Give the frames that took no part their zeros back."""
    rejected = np.zeros((n_frames, 2), dtype=np.int64)
    samples = np.zeros(n_frames, dtype=np.int64)
    rejected[active] = tile.frame_rejected
    samples[active] = tile.frame_samples
    return IntegratedTile(
        tile.box,
        tile.value,
        tile.variance,
        tile.coverage,
        tile.n_used,
        tile.rejected_low,
        tile.rejected_high,
        rejected,
        samples,
    )


def tile_bytes(n_frames: int, n_channels: int, weight_channels: int, n_pixels: int, settings: IntegrateSettings) -> int:
    """Return the memory that `integrate_cube` takes for a square tile of `n_pixels`, bytes."""
    side = math.isqrt(max(1, n_pixels) - 1) + 1
    pixels = (side + 2) ** 2 if settings.needs_structure else n_pixels
    samples = n_frames * pixels * (4 * n_channels + weight_channels)
    planes = pixels * (n_channels * (10 * 4 + 2 * 4 + 3 * 2) + 8 + 4 + 1)
    blocks = empty_block(n_frames).nbytes + staging_bytes(n_frames)
    return samples + planes + blocks
