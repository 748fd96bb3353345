"""The accepted interval of every pixel of a tile: gather, sort, median, rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skyquilt.core import F32, U8
from skyquilt.kernels.backend import exact_inlined, exact_kernel
from skyquilt.kernels.lanes import (
    WIDTH,
    any_true,
    gather_rows,
    larger,
    load,
    load_bytes,
    magnitude,
    narrow,
    pick,
    smaller,
    splat,
    splat_double,
    store,
    widen,
)
from skyquilt.kernels.reject_rules import (
    keep_esd,
    keep_linear_fit,
    keep_mad,
    keep_percentile,
    keep_sigma,
    keep_winsorized,
    median_rows,
)
from skyquilt.kernels.sort import padded_rows, sort_columns

__all__ = ["PROPER", "RULE_NUMBERS", "accept_all", "empty_block", "find_intervals", "groups_at_once"]

PROPER = 2
"""The smallest weight of a proper sample; 1 marks a stopgap."""

_SIGMA, _WINSORIZED, _MAD, _LINEAR_FIT, _ESD, _PERCENTILE, _NOISE_MODEL = range(7)
RULE_NUMBERS = {
    "sigma": _SIGMA,
    "winsorized": _WINSORIZED,
    "mad": _MAD,
    "linear_fit": _LINEAR_FIT,
    "esd": _ESD,
    "percentile": _PERCENTILE,
    "noise_model": _NOISE_MODEL,
}
_INFINITY = np.float32(np.inf)
_MOST_GROUPS = 16
_CACHED_BYTES = 1 << 20


@exact_kernel
def groups_at_once(n_rows: int) -> int:
    """Return how many groups of `n_rows` rows are filled at once."""
    return max(1, min(_MOST_GROUPS, _CACHED_BYTES // (4 * WIDTH * n_rows)))


def empty_block(n_rows: int) -> F32:
    """
    Return memory for the samples of a few neighbouring column groups: all +inf.

    Each group has rows for `n_rows` samples and one spare row that stays +inf. Several groups are filled at once,
    because one row of one group is but a cache line, and the next frame lies in another page of memory; as many as fit
    well into the second-level cache.
    """
    rows = padded_rows(n_rows) + 1
    return np.full(groups_at_once(rows) * rows * WIDTH, np.inf, dtype=np.float32)


@exact_inlined
def gather_groups(
    values: F32,
    weights: U8,
    n_rows: int,
    value_start: int,
    value_step: int,
    weight_start: int,
    weight_step: int,
    block: F32,
    n_groups: int,
    group_size: int,
    counts: F32,
    pixel: int,
) -> None:
    """Put the proper samples of neighbouring groups into their blocks, +inf where there is none; count them."""
    zero = splat(0.0)
    one = splat(1.0)
    infinity = splat(_INFINITY)
    proper = splat(PROPER)
    for group in range(n_groups):
        store(counts, pixel + group * WIDTH, zero)
    for row in range(n_rows):
        value_row = value_start + row * value_step
        weight_row = weight_start + row * weight_step
        for group in range(n_groups):
            value = load(values, value_row + group * WIDTH)
            weight = load_bytes(weights, weight_row + group * WIDTH)
            usable = (weight >= proper) & (magnitude(value) < infinity)
            store(block, group * group_size + row * WIDTH, pick(usable, value, infinity))
            count = load(counts, pixel + group * WIDTH)
            store(counts, pixel + group * WIDTH, count + pick(usable, one, zero))


def _interval_kernel(rule: int) -> Callable[..., None]:
    """Return the kernel of one rule: only the rules that are used are compiled, the others are cut out as dead code."""

    @exact_kernel
    def find_intervals_by_rule(
        values: F32,
        weights: U8,
        shape: tuple[int, int, int, int],
        channel: int,
        few: int,
        limits: tuple[float, float, float, float, float],
        max_iterations: int,
        tables: tuple[F32, F32, F32, F32, F32],
        block: F32,
        centre: F32,
        lowest: F32,
        highest: F32,
        counts: F32,
    ) -> None:
        n_frames, n_channels, weight_channels, n_pixels = shape
        weight_channel = channel if weight_channels > 1 else 0
        # arrays are taken out of their tuples here, once: each time costs two atomic reference counts
        low, high, percentile_low, percentile_high, esd_fraction = limits
        reach_low, reach_high, correction, widening, critical = tables
        spare = padded_rows(n_frames)
        group_size = (spare + 1) * WIDTH
        most_groups = len(block) // group_size
        zero = splat(0.0)
        undefined = splat(np.float32(np.nan))
        for strip in range(0, n_pixels, most_groups * WIDTH):
            n_groups = min(most_groups, (n_pixels - strip + WIDTH - 1) // WIDTH)
            gather_groups(
                values,
                weights,
                n_frames,
                channel * n_pixels + strip,
                n_channels * n_pixels,
                weight_channel * n_pixels + strip,
                weight_channels * n_pixels,
                block,
                n_groups,
                group_size,
                counts,
                strip,
            )
            for group in range(n_groups):
                pixel = strip + group * WIDTH
                columns = block[group * group_size : (group + 1) * group_size]
                count = load(counts, pixel)
                sort_columns(columns, n_frames)
                below, above = median_rows(zero, count)
                some = count > zero
                lower_median = pick(some, gather_rows(columns, below), zero)
                upper_median = pick(some, gather_rows(columns, above), zero)
                middle = splat(0.5) * (lower_median + upper_median)
                is_few = count < splat(few)
                start, end = undefined, undefined
                if any_true(~is_few):
                    if rule == _LINEAR_FIT:
                        start, end = keep_linear_fit(columns, n_frames, middle, count, low, high, max_iterations)
                    if rule == _ESD:
                        start, end = keep_esd(columns, n_frames, middle, count, esd_fraction, critical)
                    if rule == _PERCENTILE:
                        start, end = keep_percentile(middle, percentile_low, percentile_high)
                    if rule == _SIGMA:
                        start, end = keep_sigma(
                            columns,
                            n_frames,
                            spare,
                            middle,
                            count,
                            low,
                            high,
                            max_iterations,
                            reach_low,
                            reach_high,
                            correction,
                            widening,
                        )
                    if rule == _WINSORIZED:
                        start, end = keep_winsorized(
                            columns, n_frames, middle, count, low, high, max_iterations, widening
                        )
                    if rule == _MAD:
                        start, end = keep_mad(
                            columns, n_frames, spare, middle, count, low, high, max_iterations, widening, correction
                        )
                    # the middle samples are never rejected, however tight the limits
                    start = smaller(start, lower_median)
                    end = larger(end, upper_median)
                store(centre, pixel, pick(is_few, lower_median, middle))
                store(lowest, pixel, pick(is_few, undefined, start))
                store(highest, pixel, pick(is_few, undefined, end))

    return find_intervals_by_rule


_KERNELS = {name: _interval_kernel(number) for name, number in RULE_NUMBERS.items()}


def find_intervals(
    rule: str,
    values: F32,
    weights: U8,
    shape: tuple[int, int, int, int],
    channel: int,
    few: int,
    limits: tuple[float, float, float, float, float],
    max_iterations: int,
    tables: tuple[F32, F32, F32, F32, F32],
    block: F32,
    centre: F32,
    lowest: F32,
    highest: F32,
    counts: F32,
) -> None:
    """
    Find the centre and the accepted interval of every pixel of one channel.

    Parameters
    ----------
    rule : str
        One of `RULE_NUMBERS`.
    values : float32 (n_frames * n_channels * n_pixels + WIDTH,)
    weights : uint8 (n_frames * weight_channels * n_pixels + WIDTH,)
    shape : (n_frames, n_channels, weight_channels, n_pixels)
    few : int
        Pixels with fewer proper samples are left to the noise model, whatever the rule.
    limits : (low, high, percentile_low, percentile_high, esd_fraction)
    tables : five float32 (n_frames + 1,), indexed by a number of samples
        Reach below and above (in standard deviations), correction of the MAD, widening of the limits, critical value of
        the extreme deviate.
    block : float32
        From `empty_block(n_frames)`.
    centre, lowest, highest, counts : float32 (n_pixels rounded up to WIDTH,)
        Written in place: median, accepted interval (NaN where the noise model decides) and number of proper samples.
        The centre is 0 without samples; for the noise model it is the lower median, a sample of the pixel.
    """
    _KERNELS[rule](
        values,
        weights,
        shape,
        channel,
        few,
        limits,
        max_iterations,
        tables,
        block,
        centre,
        lowest,
        highest,
        counts,
    )


@exact_kernel
def accept_all(
    values: F32,
    weights: U8,
    shape: tuple[int, int, int, int],
    channel: int,
    centre: F32,
    lowest: F32,
    highest: F32,
    counts: F32,
) -> None:
    """
    Accept every proper sample; the twin of `find_intervals` for the rule "none", with the same arrays.

    The centre is the mean: it only serves as the origin of the sums, and saves the sorting.
    """
    n_frames, n_channels, weight_channels, n_pixels = shape
    weight_channel = channel if weight_channels > 1 else 0
    zero = splat(0.0)
    one = splat(1.0)
    for pixel in range(0, n_pixels, WIDTH):
        count, total = zero, splat_double(0.0)
        for row in range(n_frames):
            value = load(values, (row * n_channels + channel) * n_pixels + pixel)
            weight = load_bytes(weights, (row * weight_channels + weight_channel) * n_pixels + pixel)
            usable = (weight >= splat(PROPER)) & (magnitude(value) < splat(_INFINITY))
            total = total + widen(pick(usable, value, zero))
            count = count + pick(usable, one, zero)
        store(centre, pixel, narrow(total / widen(larger(count, one))))
        store(lowest, pixel, splat(-_INFINITY))
        store(highest, pixel, splat(_INFINITY))
        store(counts, pixel, count)
