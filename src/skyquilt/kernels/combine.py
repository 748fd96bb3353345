"""One pass over the samples of a tile, in frame order: what is accepted is summed, what is not is counted."""

from __future__ import annotations

from typing import Any

import numpy as np

from skyquilt.core import F32, F64, I64, U8
from skyquilt.kernels.backend import exact_inlined, exact_kernel
from skyquilt.kernels.lanes import (
    WIDTH,
    any_true,
    copy_bytes,
    count_true,
    gather_rows,
    larger,
    load,
    load_bytes,
    lookup,
    magnitude,
    narrow,
    pick,
    smaller,
    splat,
    splat_double,
    square_root,
    store,
    widen,
)
from skyquilt.kernels.reject import PROPER, groups_at_once
from skyquilt.kernels.reject_rules import median_rows
from skyquilt.kernels.sort import sort_columns

__all__ = [
    "MAXIMUM",
    "MEDIAN",
    "MINIMUM",
    "SCATTER_SAMPLES",
    "combine_means",
    "combine_ordered",
    "final_mean",
    "noise_variance",
    "staging_bytes",
    "sum_coverage",
]

SCATTER_SAMPLES = 8
"""From so many survivors on, their own scatter tells the variance better than the noise model."""

MEDIAN, MINIMUM, MAXIMUM = range(3)

_STAGED_FROM = 8
_INFINITY = np.float32(np.inf)


def staging_bytes(n_frames: int) -> int:
    """Return the memory that `combine_means` takes for itself, bytes."""
    return groups_at_once(n_frames) * n_frames * WIDTH * 5 if n_frames > _STAGED_FROM else 0


@exact_inlined
def noise_variance(centre: Any, sky_variance: float, shot: float, sky_level: float) -> Any:
    """Return the variance that the noise model gives one sample of a pixel whose level is `centre`."""
    return splat(sky_variance) + splat(shot) * larger(centre - splat(sky_level), splat(0.0))


@exact_inlined
def _limits(
    few: Any,
    start: Any,
    end: Any,
    centre: Any,
    median_variance: Any,
    structure: Any,
    low: float,
    high: float,
    noise: tuple[float, float, float],
) -> Any:
    """Return the accepted interval of one frame: that of the pixel, or the noise model's where samples are few."""
    sky_variance, shot, sky_level = noise
    variance = noise_variance(centre, sky_variance, shot, sky_level)
    scale = square_root((variance + structure) * (splat(1.0) + median_variance))
    return pick(few, centre - splat(low) * scale, start), pick(few, centre + splat(high) * scale, end)


@exact_inlined
def _pixel_terms(
    pixel: int,
    low: float,
    high: float,
    centre: F32,
    lowest: F32,
    highest: F32,
    counts: F32,
    structure: F32,
    median_variances: F32,
) -> Any:
    """Return what does not depend on the frame: centre, interval, few, structure, smallest weight that takes part."""
    zero = splat(0.0)
    middle = load(centre, pixel)
    start, end = load(lowest, pixel), load(highest, pixel)
    count = load(counts, pixel)
    local = load(structure, pixel)
    slack = square_root(local)
    some = count > zero
    few = some & ~(start <= end)
    start = pick(some, smaller(start, middle - splat(low) * slack), splat(-_INFINITY))
    end = pick(some, larger(end, middle + splat(high) * slack), splat(_INFINITY))
    least = pick(some, splat(PROPER), splat(1.0))
    return middle, start, end, few, local, least, lookup(median_variances, count)


@exact_kernel
def combine_means(
    values: F32,
    weights: U8,
    shape: tuple[int, int, int, int],
    channel: int,
    frame_weights: F64,
    noise: tuple[F32, F32, F32],
    limits: tuple[float, float],
    median_variances: F32,
    intervals: tuple[F32, F32, F32, F32, F32],
    interior: U8,
    out: tuple[F32, F32, F32, F32, F32],
    frame_counts: I64,
) -> None:
    """
    Combine the accepted samples of one channel to their weighted mean.

    Parameters
    ----------
    values, weights, shape
        As for `kernels.reject.find_intervals`.
    frame_weights : float64 (n_frames,)
        Of the order of 1.
    noise : three float32 (n_frames,)
        Sky variance of a sample (ADU²), variance per ADU above the sky level, sky level (ADU).
    limits : (low, high)
        In sigmas, of the noise model and of the local structure.
    median_variances : float32 (n_frames + 1,)
        Variance of the median of so many samples, in variances of one.
    intervals : centre, lowest, highest, counts and structure variance, float32 (n_pixels rounded up,)
    interior : uint8 (n_pixels rounded up,)
        1 where the result is wanted, 0 on the rim.
    out : value, variance, used, rejected low, rejected high, float32 (n_pixels rounded up,)
        Written in place where `interior` is 1; value NaN where nothing landed.
    frame_counts : int64 (n_frames * 3,)
        Samples, rejected low, rejected high of every frame; added to in place.

    Notes
    -----
    Definition, over the accepted samples in frame order, w_k = frame weight x weight / 255, float64::

        value    = Σ w v / Σ w
        variance = Σ w² (v - value)² / ((Σ w)² - Σ w²)     from 8 survivors on (no assumption on each one's noise)
                 = Σ w² σ_k² / (Σ w)²                      below, σ_k² = sky variance + shot x max(0, centre - sky)

    All sums run over v - centre, so that nothing is lost to a high sky: that difference and the weight are float32, the
    sums of the value float64, those of the variance float32 (good to 1e-5).
    """
    n_frames, n_channels, weight_channels, n_pixels = shape
    weight_channel = channel if weight_channels > 1 else 0
    # arrays are taken out of their tuples here, once: each time costs two atomic reference counts
    centre, lowest, highest, counts, structure = intervals
    value_out, variance_out, used_out, below_out, above_out = out
    sky_variances, shots, sky_levels = noise
    low, high = limits
    scaled_weights = frame_weights / 255.0
    # many frames lie in too many pages of memory to visit them all for every group of columns
    is_staged = n_frames > _STAGED_FROM
    most_groups = groups_at_once(n_frames)
    n_staged = most_groups * n_frames * WIDTH if is_staged else 0
    staged_values = np.empty(n_staged, dtype=np.float32)
    staged_weights = np.empty(n_staged, dtype=np.uint8)
    for pixel in range(0, n_pixels, most_groups * WIDTH):
        n_groups = min(most_groups, (n_pixels - pixel + WIDTH - 1) // WIDTH)
        value_start = channel * n_pixels + pixel
        weight_start = weight_channel * n_pixels + pixel
        if is_staged:
            for row in range(n_frames):
                value_row = value_start + row * n_channels * n_pixels
                weight_row = weight_start + row * weight_channels * n_pixels
                for group in range(n_groups):
                    place = (group * n_frames + row) * WIDTH
                    store(staged_values, place, load(values, value_row + group * WIDTH))
                    copy_bytes(weights, weight_row + group * WIDTH, staged_weights, place)
        for group in range(n_groups):
            if not any_true(load_bytes(interior, pixel + group * WIDTH) > splat(0.0)):
                continue
            if is_staged:
                group_values, group_weights = staged_values, staged_weights
                starts = (group * n_frames * WIDTH, group * n_frames * WIDTH)
                steps = (WIDTH, WIDTH)
            else:
                group_values, group_weights = values, weights
                starts = (value_start + group * WIDTH, weight_start + group * WIDTH)
                steps = (n_channels * n_pixels, weight_channels * n_pixels)
            _combine_group(
                group_values,
                group_weights,
                n_frames,
                starts,
                steps,
                pixel + group * WIDTH,
                scaled_weights,
                sky_variances,
                shots,
                sky_levels,
                low,
                high,
                median_variances,
                centre,
                lowest,
                highest,
                counts,
                structure,
                interior,
                value_out,
                variance_out,
                used_out,
                below_out,
                above_out,
                frame_counts,
            )


@exact_inlined
def _combine_group(
    values: F32,
    weights: U8,
    n_frames: int,
    starts: tuple[int, int],
    steps: tuple[int, int],
    pixel: int,
    scaled_weights: F64,
    sky_variances: F32,
    shots: F32,
    sky_levels: F32,
    low: float,
    high: float,
    median_variances: F32,
    centre: F32,
    lowest: F32,
    highest: F32,
    counts: F32,
    structure: F32,
    interior: U8,
    value_out: F32,
    variance_out: F32,
    used_out: F32,
    below_out: F32,
    above_out: F32,
    frame_counts: I64,
) -> None:
    """Combine one group of columns."""
    zero = splat(0.0)
    one = splat(1.0)
    nothing = splat_double(0.0)
    wanted = load_bytes(interior, pixel) > zero
    middle, start, end, few, local, least, spread = _pixel_terms(
        pixel, low, high, centre, lowest, highest, counts, structure, median_variances
    )
    any_few = any_true(few)
    total, weighted = nothing, nothing
    squares, squares_weighted, scatter = zero, zero, zero
    used, below = zero, zero
    for row in range(n_frames):
        value = load(values, starts[0] + row * steps[0])
        weight = load_bytes(weights, starts[1] + row * steps[1])
        floor, ceiling = start, end
        if any_few:
            noise_row = (sky_variances[row], shots[row], sky_levels[row])
            floor, ceiling = _limits(few, start, end, middle, spread, local, low, high, noise_row)
        present = (weight >= least) & (magnitude(value) < splat(_INFINITY))
        too_low = present & (value < floor)
        too_high = present & (value > ceiling)
        kept = present & ~(too_low | too_high)
        used = used + pick(kept, one, zero)
        below = below + pick(too_low, one, zero)
        frame_counts[3 * row] += count_true(present & wanted)
        frame_counts[3 * row + 1] += count_true(too_low & wanted)
        frame_counts[3 * row + 2] += count_true(too_high & wanted)
        w = pick(kept, weight, zero) * splat(scaled_weights[row])
        deviation = pick(kept, value - middle, zero)
        product = w * deviation
        w_double = widen(w)
        total = total + w_double
        weighted = weighted + w_double * widen(deviation)
        squares = squares + w * w
        squares_weighted = squares_weighted + w * product
        scatter = scatter + product * product
    modelled = nothing
    is_modelled = used < splat(SCATTER_SAMPLES)
    if any_true(is_modelled):
        for row in range(n_frames):
            value = load(values, starts[0] + row * steps[0])
            weight = load_bytes(weights, starts[1] + row * steps[1])
            noise_row = (sky_variances[row], shots[row], sky_levels[row])
            floor, ceiling = _limits(few, start, end, middle, spread, local, low, high, noise_row)
            kept = (weight >= least) & (magnitude(value) < splat(_INFINITY)) & (value >= floor) & (value <= ceiling)
            w = pick(kept, weight, zero) * splat(scaled_weights[row])
            modelled = modelled + widen(w * w * noise_variance(middle, noise_row[0], noise_row[1], noise_row[2]))
    mean, variance = final_mean(
        total, weighted, widen(squares), widen(squares_weighted), widen(scatter), modelled, is_modelled
    )
    above = pick(load(counts, pixel) > zero, load(counts, pixel) - used - below, zero)
    store(value_out, pixel, narrow(widen(middle) + mean))
    store(variance_out, pixel, narrow(variance))
    store(used_out, pixel, used)
    store(below_out, pixel, below)
    store(above_out, pixel, above)


@exact_inlined
def final_mean(
    total: Any, weighted: Any, squares: Any, squares_weighted: Any, scatter: Any, modelled: Any, is_modelled: Any
) -> Any:
    """Return the weighted mean deviation and the variance of the mean from their sums; NaN where nothing landed."""
    mean = weighted / total
    two = splat_double(2.0)
    residual = larger(scatter - two * mean * squares_weighted + mean * mean * squares, splat_double(0.0))
    empirical = residual / (total * total - squares)
    return mean, pick(is_modelled, modelled / (total * total), empirical)


@exact_kernel
def combine_ordered(
    values: F32,
    weights: U8,
    shape: tuple[int, int, int, int],
    channel: int,
    noise: tuple[F32, F32, F32],
    limits: tuple[float, float],
    median_variances: F32,
    intervals: tuple[F32, F32, F32, F32, F32],
    which: int,
    block: F32,
    value_out: F32,
) -> None:
    """
    Combine the accepted samples of one channel to their median, minimum or maximum, unweighted.

    Parameters as in `combine_means`; `which` is MEDIAN, MINIMUM or MAXIMUM, `block` comes from
    `kernels.reject.empty_block(n_frames)`. Definition: ``np.median(accepted)``, ``accepted.min()``, ``accepted.max()``.
    """
    n_frames, n_channels, weight_channels, n_pixels = shape
    weight_channel = channel if weight_channels > 1 else 0
    centre, lowest, highest, counts, structure = intervals
    sky_variances, shots, sky_levels = noise
    low, high = limits
    zero = splat(0.0)
    one = splat(1.0)
    infinity = splat(_INFINITY)
    for pixel in range(0, n_pixels, WIDTH):
        middle, start, end, few, local, least, spread = _pixel_terms(
            pixel, low, high, centre, lowest, highest, counts, structure, median_variances
        )
        used = zero
        for row in range(n_frames):
            value = load(values, (row * n_channels + channel) * n_pixels + pixel)
            weight = load_bytes(weights, (row * weight_channels + weight_channel) * n_pixels + pixel)
            noise_row = (sky_variances[row], shots[row], sky_levels[row])
            floor, ceiling = _limits(few, start, end, middle, spread, local, low, high, noise_row)
            kept = (weight >= least) & (magnitude(value) < infinity) & (value >= floor) & (value <= ceiling)
            store(block, row * WIDTH, pick(kept, value, infinity))
            used = used + pick(kept, one, zero)
        sort_columns(block, n_frames)
        first, last = median_rows(zero, used)
        if which == MINIMUM:
            first, last = zero, zero
        elif which == MAXIMUM:
            first = larger(used - one, zero)
            last = first
        result = splat(0.5) * (gather_rows(block, first) + gather_rows(block, last))
        store(value_out, pixel, pick(used > zero, result, splat(np.float32(np.nan))))


@exact_kernel
def sum_coverage(weights: U8, shape: tuple[int, int, int, int], exposure_s: F64, total: F64) -> None:
    """
    Add the exposure of every frame that has a sample to `total`, (n_pixels,), s; the mean over the weight channels.

    A proper sample counts in full, however much its frame fades there; a stopgap for 1/255, so that it is not nothing.
    """
    n_frames, _, weight_channels, n_pixels = shape
    for row in range(n_frames):
        whole = exposure_s[row] / weight_channels
        stopgap = whole / 255.0
        for weight_channel in range(weight_channels):
            start = (row * weight_channels + weight_channel) * n_pixels
            for pixel in range(n_pixels):
                weight = weights[start + pixel]
                total[pixel] += whole if weight > 1 else (stopgap if weight == 1 else 0.0)
