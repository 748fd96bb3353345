"""The streaming integration: a robust start from some frames, then every frame passes once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from skyquilt.core import F32, F64, I64, U8, Box, SampleSource
from skyquilt.errors import UsageError
from skyquilt.kernels.combine import sum_coverage
from skyquilt.kernels.lanes import WIDTH
from skyquilt.kernels.sweep import N_COUNTS, N_SUMS, add_frame, fill_thin, start_sums, sweep_result
from skyquilt.steps.integrate.cube import (
    Cube,
    CubeScratch,
    Intervals,
    empty_tile,
    find_cube_intervals,
    finish_values,
    saturated_counts,
)
from skyquilt.steps.integrate.limits import median_variances, reach
from skyquilt.steps.integrate.terms import FEW_SAMPLES, FrameTerms, IntegratedTile, IntegrateSettings

__all__ = ["SEEDS", "SweepState", "integrate_sweep", "seed_order"]

SEEDS = 32
"""Frames that make the start; more where they leave a pixel with fewer than 8 samples."""

_TABLE = 1024
_FIXED_RULES = ("none", "percentile", "noise_model")


def seed_order(n_frames: int) -> tuple[list[int], list[int]]:
    """
    Return the seed frames, spread evenly over the session, and the other frames in an order that is spread as well.

    The others follow the bit-reversed frame number: each further one falls into the widest gap left, about.
    """
    n_seeds = min(SEEDS, n_frames)
    seeds = sorted({round(k * (n_frames - 1) / max(1, n_seeds - 1)) for k in range(n_seeds)})
    bits = max(1, (n_frames - 1).bit_length())
    others = sorted(set(range(n_frames)) - set(seeds), key=lambda frame: int(f"{frame:0{bits}b}"[::-1], 2))
    return seeds, others


@dataclass(slots=True, eq=False)
class SweepState:
    """
    One tile of a stack that grows frame by frame.

    Made by `start` from the seed frames, which are only looked at; then every frame, the seeds included, is given to
    `add` once, in frame order. `result` may be asked for at any time. Where the seeds are the first frames, `begin`
    does both for them and asks each for its samples once.

    Attributes
    ----------
    intervals : Intervals
        From the seeds, for the pixels of `box`.
    sums : float64 (n_channels, N_SUMS * n_pixels rounded up)
    counters : float32 (n_channels, N_COUNTS * n_pixels rounded up)
    coverage : float64 (n_pixels,), s
    frame_counts : list of int64 (3,)
        Samples, rejected low, rejected high of every frame added.
    """

    box: Box
    settings: IntegrateSettings
    intervals: Intervals
    sums: F64
    counters: F32
    coverage: F64
    weight_channels: int
    frame_counts: list[I64] = field(default_factory=list)
    _scratch: CubeScratch = field(default_factory=CubeScratch)

    @classmethod
    def start(
        cls,
        seeds: Sequence[SampleSource],
        box: Box,
        terms: FrameTerms,
        settings: IntegrateSettings,
        others: Sequence[SampleSource] = (),
    ) -> SweepState:
        """
        Return the state before the first frame.

        Parameters
        ----------
        seeds : sequence of SampleSource
            At least one frame; 32 that are spread over the session serve best.
        terms : FrameTerms
            Of the seeds or of all frames: only the mean sky noise matters here.
        others : sequence of SampleSource
            Further frames for pixels with fewer than 8 proper samples, asked one after the other until none is left.

        Raises
        ------
        UsageError
            For the median, the minimum and the maximum, which need all samples at once.
        """
        return cls._of_cube(_seed_cube(seeds, others, _around(box, settings)), box, terms, settings)

    @classmethod
    def begin(
        cls, seeds: Sequence[SampleSource], box: Box, terms: FrameTerms, settings: IntegrateSettings
    ) -> SweepState:
        """Return the state after the seeds, which are the first frames; `terms` are theirs. Otherwise as `start`."""
        cube = _seed_cube(seeds, (), _around(box, settings))
        state = cls._of_cube(cube, box, terms, settings)
        rows, columns = box.slices(cube.box)
        for row in range(len(seeds)):
            frame = Cube.empty(box, 1, len(state.intervals.centre), state.weight_channels, state._scratch)
            (values, weights), (all_values, all_weights) = frame.frame(0), cube.frame(row)
            values[:], weights[:] = all_values[:, rows, columns], all_weights[:, rows, columns]
            state._add(frame, terms.take([row]))
        state._scratch = CubeScratch()
        return state

    @classmethod
    def _of_cube(cls, cube: Cube, box: Box, terms: FrameTerms, settings: IntegrateSettings) -> SweepState:
        """Return the state before the first frame, from the samples of the seeds in the box and around it."""
        outer = find_cube_intervals(cube, terms, settings, few=FEW_SAMPLES)
        n_channels = cube.shape[1]
        sums = np.zeros((n_channels, N_SUMS * outer.centre.shape[1]), dtype=np.float64)
        for channel in range(n_channels):
            start_sums(
                cube.values,
                cube.weights,
                cube.shape,
                channel,
                (float(settings.low), float(settings.high)),
                outer.channel(channel),
                sums[channel],
            )
        intervals, inner_sums = _crop(outer, sums, cube.box, box)
        padded = intervals.centre.shape[1]
        return cls(
            box,
            settings,
            intervals,
            inner_sums,
            np.zeros((n_channels, N_COUNTS * padded), dtype=np.float32),
            np.zeros(box.n_pixels, dtype=np.float64),
            cube.shape[2],
        )

    def add(self, source: SampleSource, terms: FrameTerms, scratch: CubeScratch | None = None) -> None:
        """
        Judge and add one frame.

        Parameters
        ----------
        source : SampleSource
        terms : FrameTerms
            That frame alone (``all_terms.take([k])``).
        scratch : CubeScratch or None
            Memory of the calling thread, which many states can share; None: that of the state.
        """
        if not terms.weight[0] > 0:
            self.frame_counts.append(np.zeros(3, dtype=np.int64))
            return
        n_channels = len(self.intervals.centre)
        frame = Cube.empty(self.box, 1, n_channels, self.weight_channels, scratch or self._scratch)
        source.sample(self.box, *frame.frame(0))
        self._add(frame, terms)

    def _add(self, frame: Cube, terms: FrameTerms) -> None:
        """Judge and add the samples of one frame."""
        n_channels = len(self.intervals.centre)
        frame.weights[-WIDTH:] = 0
        n_pixels = self.box.n_pixels
        reach_low, reach_high = reach(self.settings.low, self.settings.high, _TABLE)
        counts = np.zeros(3, dtype=np.int64)
        for channel in range(n_channels):
            add_frame(
                frame.values,
                frame.weights,
                n_pixels,
                channel * n_pixels,
                (channel if self.weight_channels > 1 else 0) * n_pixels,
                float(terms.weight[0]),
                (
                    float(terms.sky_sigma[0, channel] ** 2),
                    float(terms.shot[0, channel]),
                    float(terms.sky_level[0, channel]),
                ),
                (float(self.settings.low), float(self.settings.high)),
                self.settings.rule not in _FIXED_RULES,
                (reach_low, reach_high, median_variances(_TABLE)),
                self.intervals.channel(channel),
                self.sums[channel],
                self.counters[channel],
                counts,
            )
        sum_coverage(frame.weights, frame.shape, terms.exposure_s, self.coverage)
        self.frame_counts.append(counts)

    def result(self) -> IntegratedTile:
        """Return the tile as the frames added so far make it."""
        n_channels, padded = self.intervals.centre.shape
        planes = np.empty((5, n_channels, padded), dtype=np.float32)
        for channel in range(n_channels):
            out = (planes[0, channel], planes[1, channel], planes[2, channel], planes[3, channel], planes[4, channel])
            sweep_result(
                self.intervals.centre[channel], self.sums[channel], self.counters[channel], self.box.n_pixels, out
            )
        shape = (n_channels, *self.box.shape)
        value, variance, used, low, high = (plane[:, : self.box.n_pixels].reshape(shape) for plane in planes)
        n_frames = len(self.frame_counts)
        value, variance = finish_values(value.copy(), variance.copy(), used, n_frames, self.settings.combine)
        per_frame = np.array(self.frame_counts, dtype=np.int64).reshape(n_frames, 3)
        return IntegratedTile(
            self.box,
            value,
            variance,
            self.coverage.reshape(self.box.shape).astype(np.float32),
            saturated_counts(used),
            saturated_counts(low),
            saturated_counts(high),
            per_frame[:, 1:].copy(),
            per_frame[:, 0].copy(),
        )


def _around(box: Box, settings: IntegrateSettings) -> Box:
    """Return the box of which samples are needed to judge those of a box."""
    if settings.combine not in ("mean", "sum"):
        raise UsageError(
            f"a sweep cannot combine frames by {settings.combine!r}: it never holds all samples of a pixel",
            "choose the mean, or the cube schedule",
        )
    return box.grow(1) if settings.needs_structure else box


def _seed_cube(seeds: Sequence[SampleSource], others: Sequence[SampleSource], box: Box) -> Cube:
    """Return the samples of the seeds, thin pixels filled up from the other frames."""
    first = seeds[0]
    n_rows = max(len(seeds), FEW_SAMPLES) if others else len(seeds)
    cube = Cube.empty(box, n_rows, first.n_channels, first.weight_channels, CubeScratch())
    cube.values[:] = 0
    cube.weights[:] = 0
    for row, seed in enumerate(seeds):
        seed.sample(box, *cube.frame(row))
    n_weights = cube.shape[2] * box.n_pixels
    weights = cube.weights[: n_rows * n_weights].reshape(n_rows, n_weights)
    counts: I64 = (weights >= 2).sum(axis=0, dtype=np.int64)
    values_more = np.empty(cube.frame(0)[0].shape, dtype=np.float32)
    weights_more: U8 = np.empty(cube.frame(0)[1].shape, dtype=np.uint8)
    for other in others:
        if bool(np.all(counts >= FEW_SAMPLES)):
            break
        other.sample(box, values_more, weights_more)
        fill_thin(
            cube.values,
            cube.weights,
            cube.shape,
            values_more.reshape(-1),
            weights_more.reshape(-1),
            FEW_SAMPLES,
            counts,
        )
    return cube


def _crop(outer: Intervals, sums: F64, within: Box, box: Box) -> tuple[Intervals, F64]:
    """Cut the planes of the inner box out of those of the outer one."""
    n_channels, outer_padded = outer.centre.shape
    padded = -(-box.n_pixels // WIDTH) * WIDTH
    rows, columns = box.slices(within)

    def cut(planes: F32 | F64) -> F32 | F64:
        inner = np.zeros((len(planes), padded), dtype=planes.dtype)
        image = planes[:, : within.n_pixels].reshape(len(planes), *within.shape)
        inner[:, : box.n_pixels] = image[:, rows, columns].reshape(len(planes), -1)
        return inner

    intervals = Intervals(*(cut(getattr(outer, name)).astype(np.float32, copy=False) for name in Intervals.__slots__))
    inner_sums = cut(sums.reshape(n_channels * N_SUMS, outer_padded)).reshape(n_channels, N_SUMS * padded)
    return intervals, inner_sums.astype(np.float64, copy=False)


def integrate_sweep(
    sources: Sequence[SampleSource],
    box: Box,
    terms: FrameTerms,
    settings: IntegrateSettings,
    n_first: int | None = None,
) -> IntegratedTile:
    """
    Return one tile of the result in memory that does not grow with the number of frames.

    Parameters as in `integrate_cube`; each frame is asked for once, the seeds twice. With `n_first` the seeds are the
    first so many frames, none of weight 0 among them, no others fill them up, and their mean sky noise is the one that
    counts: then no frame has a say in what is made of those before it, and the result of n frames is a moment on the
    way to that of more.

    Notes
    -----
    Definition (`steps.integrate.definitions.RunningPixel`): the rule gives every pixel an interval from 32 frames
    spread over the session (`seed_order`), further ones added where fewer than 8 samples land. Mean and standard
    deviation of the seeds it accepts start the running ones. Then, in frame order, a sample is accepted inside of
    ``mean - reach_low[n] s .. mean + reach_high[n] s`` of the n accepted before it, widened by the local structure
    about the seeds' median, and changes mean and s by Welford's step. Pixels with fewer than 8 samples in all are left
    to the noise model about their median, as in the cube; the rules "none", "percentile" and "noise_model" keep the
    seeds' interval. The sums are those of the cube.
    """
    active = [int(frame) for frame in np.flatnonzero(terms.weight > 0)]
    if not active or box.is_empty:
        return empty_tile(box, sources[0].n_channels if sources else 1, len(terms.weight))
    first: list[int] = []
    if n_first is None:
        seeds, others = seed_order(len(active))
        state = SweepState.start(
            [sources[active[k]] for k in seeds], box, terms.take(active), settings, [sources[active[k]] for k in others]
        )
    else:
        first = list(range(n_first))
        state = SweepState.begin([sources[frame] for frame in first], box, terms.take(first), settings)
    for frame in range(len(first), len(terms.weight)):
        state.add(sources[frame], terms.take([frame]))
    tile = state.result()
    if settings.combine == "sum" and len(active) != len(terms.weight):
        factor = np.float32(len(active) / len(terms.weight))
        return replace(tile, value=tile.value * factor, variance=tile.variance * factor**2)
    return tile
