"""The streaming pass: one frame after another is judged by what came before it, and added."""

from __future__ import annotations

from typing import Any

import numpy as np

from skyquilt.core import F32, F64, I64, U8
from skyquilt.kernels.backend import exact_inlined, exact_kernel
from skyquilt.kernels.combine import SCATTER_SAMPLES, final_mean, noise_variance
from skyquilt.kernels.lanes import (
    WIDTH,
    any_true,
    count_true,
    lane_numbers,
    larger,
    load,
    load_bytes,
    load_double,
    lookup,
    magnitude,
    narrow,
    pick,
    smaller,
    splat,
    splat_double,
    square_root,
    store,
    store_double,
    widen,
)
from skyquilt.kernels.reject import PROPER

__all__ = ["N_COUNTS", "N_SUMS", "add_frame", "fill_thin", "start_sums", "sweep_result"]

(
    _TOTAL,
    _WEIGHTED,
    _SQUARES,
    _SQUARES_WEIGHTED,
    _SCATTER,
    _MODELLED,
    _RUNNING_COUNT,
    _RUNNING_MEAN,
    _RUNNING_SQUARES,
    _GAP_TOTAL,
    _GAP_WEIGHTED,
    _GAP_MODELLED,
) = range(12)
N_SUMS = 12
"""Float64 planes of the state."""

_USED, _BELOW, _ABOVE, _GAPS = range(4)
N_COUNTS = 4
"""Float32 planes of the state."""

_INFINITY = np.float32(np.inf)


@exact_kernel
def fill_thin(
    values: F32,
    weights: U8,
    shape: tuple[int, int, int, int],
    frame_values: F32,
    frame_weights: U8,
    enough: int,
    counts: I64,
) -> bool:
    """
    Give the samples of one more frame to those pixels of a seed cube that have fewer than `enough` proper ones.

    A sample takes the place of one that is missing or a stopgap; which frame a seed comes from does not matter.

    Parameters
    ----------
    values, weights, shape
        The seed cube, as for `kernels.reject.find_intervals`; changed in place.
    frame_values : float32 (n_channels * n_pixels,)
    frame_weights : uint8 (weight_channels * n_pixels,)
    counts : int64 (weight_channels * n_pixels,)
        Proper samples so far; changed in place.

    Returns
    -------
    bool
        Whether every pixel has enough now.
    """
    n_frames, n_channels, weight_channels, n_pixels = shape
    per_weight = n_channels // weight_channels
    is_full = True
    for place in range(weight_channels * n_pixels):
        if counts[place] >= enough:
            continue
        if frame_weights[place] >= PROPER:
            row = 0
            while row < n_frames - 1 and weights[row * weight_channels * n_pixels + place] >= PROPER:
                row += 1
            weights[row * weight_channels * n_pixels + place] = frame_weights[place]
            first = place // n_pixels * per_weight
            pixel = place % n_pixels
            for channel in range(first, first + per_weight):
                values[(row * n_channels + channel) * n_pixels + pixel] = frame_values[channel * n_pixels + pixel]
            counts[place] += 1
        if counts[place] < enough:
            is_full = False
    return is_full


@exact_kernel
def start_sums(
    values: F32,
    weights: U8,
    shape: tuple[int, int, int, int],
    channel: int,
    limits: tuple[float, float],
    intervals: tuple[F32, F32, F32, F32, F32],
    sums: F64,
) -> None:
    """
    Start the running mean and variance from the accepted samples of a seed cube, unweighted.

    Parameters as in `kernels.combine.combine_means`; `sums` is float64 (N_SUMS * n_pixels rounded up,), all 0 before.
    """
    n_frames, n_channels, weight_channels, n_pixels = shape
    weight_channel = channel if weight_channels > 1 else 0
    centre, lowest, highest, _, structure = intervals
    low, high = limits
    padded = len(centre)
    nothing = splat_double(0.0)
    for pixel in range(0, n_pixels, WIDTH):
        middle = load(centre, pixel)
        slack = square_root(load(structure, pixel))
        start = smaller(load(lowest, pixel), middle - splat(low) * slack)
        end = larger(load(highest, pixel), middle + splat(high) * slack)
        count, mean, squares = nothing, nothing, nothing
        for row in range(n_frames):
            value = load(values, (row * n_channels + channel) * n_pixels + pixel)
            weight = load_bytes(weights, (row * weight_channels + weight_channel) * n_pixels + pixel)
            present = (weight >= splat(PROPER)) & (magnitude(value) < splat(_INFINITY))
            kept = present & (value >= start) & (value <= end)
            count, mean, squares = _welford(kept, widen(value) - widen(middle), count, mean, squares)
        store_double(sums, _RUNNING_COUNT * padded + pixel, count)
        store_double(sums, _RUNNING_MEAN * padded + pixel, mean)
        store_double(sums, _RUNNING_SQUARES * padded + pixel, squares)


@exact_inlined
def _welford(kept: Any, deviation: Any, count: Any, mean: Any, squares: Any) -> Any:
    """Return count, mean and sum of squared residuals after one more sample (Welford 1962, Technometrics 4, 419)."""
    more = count + splat_double(1.0)
    step = deviation - mean
    new_mean = mean + step / more
    return (
        pick(kept, more, count),
        pick(kept, new_mean, mean),
        pick(kept, squares + step * (deviation - new_mean), squares),
    )


@exact_inlined
def _running_limits(
    count: Any, mean: Any, squares: Any, centre: Any, reach_low: F32, reach_high: F32, start: Any, end: Any
) -> Any:
    """Return the limits that the samples accepted so far give to the next one; those of the seeds before 2 samples."""
    one = splat_double(1.0)
    deviation = narrow(square_root(squares / larger(count - one, one)))
    place = smaller(narrow(count), splat(len(reach_low) - 1))
    middle = narrow(widen(centre) + mean)
    enough = place >= splat(2.0)
    return (
        pick(enough, middle - lookup(reach_low, place) * deviation, start),
        pick(enough, middle + lookup(reach_high, place) * deviation, end),
    )


@exact_inlined
def _accumulate(sums: F64, plane: int, padded: int, pixel: int, amount: Any) -> None:
    place = plane * padded + pixel
    store_double(sums, place, load_double(sums, place) + amount)


@exact_inlined
def _count(counters: F32, plane: int, padded: int, pixel: int, mask: Any) -> None:
    place = plane * padded + pixel
    store(counters, place, load(counters, place) + pick(mask, splat(1.0), splat(0.0)))


@exact_kernel
def add_frame(
    values: F32,
    weights: U8,
    n_pixels: int,
    value_start: int,
    weight_start: int,
    frame_weight: float,
    noise: tuple[float, float, float],
    limits: tuple[float, float],
    is_running: bool,
    tables: tuple[F32, F32, F32],
    intervals: tuple[F32, F32, F32, F32, F32],
    sums: F64,
    counters: F32,
    frame_counts: I64,
) -> None:
    """
    Judge the samples of one channel of one frame and add those that are accepted.

    Parameters
    ----------
    values, weights : float32, uint8
        Samples of the frame, the channel's begin at `value_start` and `weight_start`; WIDTH more may be read.
    frame_weight : float
    noise : (sky variance, shot, sky level)
    limits : (low, high)
    is_running : bool
        Whether the interval follows the samples; otherwise that of the seeds stays.
    tables : reach_low, reach_high, median_variances
        As for `kernels.reject.find_intervals` and `kernels.combine.combine_means`; the last entry serves all beyond.
    intervals : centre, lowest, highest, counts, structure, float32 (n_pixels rounded up,)
        From the seeds. A pixel without seeds takes its centre from the first sample that arrives: changed in place.
    sums, counters : float64 (N_SUMS * padded,), float32 (N_COUNTS * padded,)
        The state, changed in place.
    frame_counts : int64 (3,)
        Samples, rejected low, rejected high; added to.
    """
    centre, lowest, highest, counts, structure = intervals
    reach_low, reach_high, median_variances = tables
    sky_variance, shot, sky_level = noise
    low, high = limits
    padded = len(centre)
    zero = splat(0.0)
    infinity = splat(_INFINITY)
    nothing = splat_double(0.0)
    last = splat(len(median_variances) - 1)
    for pixel in range(0, n_pixels, WIDTH):
        value = load(values, value_start + pixel)
        weight = load_bytes(weights, weight_start + pixel)
        within = lane_numbers() < splat(n_pixels - pixel)
        finite = magnitude(value) < infinity
        present = (weight >= splat(PROPER)) & finite & within
        gap = (weight >= splat(1.0)) & (weight < splat(PROPER)) & finite & within
        count = load(counts, pixel)
        middle = load(centre, pixel)
        fresh = present & ~(count > zero)
        if any_true(fresh):
            middle = pick(fresh, value, middle)
            count = pick(fresh, splat(2.0), count)  # compared with one other sample from now on
            store(centre, pixel, middle)
            store(counts, pixel, count)
            store(lowest, pixel, pick(fresh, splat(np.float32(np.nan)), load(lowest, pixel)))
        start, end = load(lowest, pixel), load(highest, pixel)
        few = ~(start <= end)
        local = load(structure, pixel)
        own_variance = noise_variance(middle, sky_variance, shot, sky_level)
        run_count = load_double(sums, _RUNNING_COUNT * padded + pixel)
        run_mean = load_double(sums, _RUNNING_MEAN * padded + pixel)
        run_squares = load_double(sums, _RUNNING_SQUARES * padded + pixel)
        if is_running:
            start, end = _running_limits(run_count, run_mean, run_squares, middle, reach_low, reach_high, start, end)
        slack = square_root(local)
        start = smaller(start, middle - splat(low) * slack)
        end = larger(end, middle + splat(high) * slack)
        if any_true(few):
            spread = lookup(median_variances, smaller(count, last))
            scale = square_root((own_variance + local) * (splat(1.0) + spread))
            start = pick(few, middle - splat(low) * scale, start)
            end = pick(few, middle + splat(high) * scale, end)
        too_low = present & (value < start)
        too_high = present & (value > end)
        kept = present & ~(too_low | too_high)
        _count(counters, _USED, padded, pixel, kept)
        _count(counters, _BELOW, padded, pixel, too_low)
        _count(counters, _ABOVE, padded, pixel, too_high)
        frame_counts[0] += count_true(present)
        frame_counts[1] += count_true(too_low)
        frame_counts[2] += count_true(too_high)
        full = splat_double(frame_weight / 255.0)
        w = widen(pick(kept, weight, zero)) * full
        deviation = pick(kept, widen(value) - widen(middle), nothing)
        product = w * deviation
        _accumulate(sums, _TOTAL, padded, pixel, w)
        _accumulate(sums, _WEIGHTED, padded, pixel, product)
        _accumulate(sums, _SQUARES, padded, pixel, w * w)
        _accumulate(sums, _SQUARES_WEIGHTED, padded, pixel, w * product)
        _accumulate(sums, _SCATTER, padded, pixel, product * product)
        _accumulate(sums, _MODELLED, padded, pixel, w * w * widen(own_variance))
        run_count, run_mean, run_squares = _welford(kept, deviation, run_count, run_mean, run_squares)
        store_double(sums, _RUNNING_COUNT * padded + pixel, run_count)
        store_double(sums, _RUNNING_MEAN * padded + pixel, run_mean)
        store_double(sums, _RUNNING_SQUARES * padded + pixel, run_squares)
        if any_true(gap):
            _count(counters, _GAPS, padded, pixel, gap)
            w = widen(pick(gap, weight, zero)) * full
            own = widen(noise_variance(pick(gap, value, zero), sky_variance, shot, sky_level))
            _accumulate(sums, _GAP_TOTAL, padded, pixel, w)
            _accumulate(sums, _GAP_WEIGHTED, padded, pixel, w * widen(pick(gap, value, zero)))
            _accumulate(sums, _GAP_MODELLED, padded, pixel, w * w * own)


@exact_kernel
def sweep_result(centre: F32, sums: F64, counters: F32, n_pixels: int, out: tuple[F32, F32, F32, F32, F32]) -> None:
    """
    Turn the state of one channel into value, variance, used, rejected low and rejected high, as `combine_means` does.

    Where no proper sample arrived the stopgaps give value and variance.
    """
    value_out, variance_out, used_out, below_out, above_out = out
    padded = len(centre)
    zero = splat(0.0)
    for pixel in range(0, n_pixels, WIDTH):
        used = load(counters, _USED * padded + pixel)
        below = load(counters, _BELOW * padded + pixel)
        above = load(counters, _ABOVE * padded + pixel)
        gaps = load(counters, _GAPS * padded + pixel)
        mean, variance = final_mean(
            load_double(sums, _TOTAL * padded + pixel),
            load_double(sums, _WEIGHTED * padded + pixel),
            load_double(sums, _SQUARES * padded + pixel),
            load_double(sums, _SQUARES_WEIGHTED * padded + pixel),
            load_double(sums, _SCATTER * padded + pixel),
            load_double(sums, _MODELLED * padded + pixel),
            used < splat(SCATTER_SAMPLES),
        )
        value = widen(load(centre, pixel)) + mean
        gap_total = load_double(sums, _GAP_TOTAL * padded + pixel)
        only_gaps = ~(used + below + above > zero)
        value = pick(only_gaps, load_double(sums, _GAP_WEIGHTED * padded + pixel) / gap_total, value)
        gap_variance = load_double(sums, _GAP_MODELLED * padded + pixel) / (gap_total * gap_total)
        store(value_out, pixel, narrow(value))
        store(variance_out, pixel, narrow(pick(only_gaps, gap_variance, variance)))
        store(used_out, pixel, pick(only_gaps, gaps, used))
        store(below_out, pixel, below)
        store(above_out, pixel, above)
