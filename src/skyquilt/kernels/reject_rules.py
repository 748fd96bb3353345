"""
The rejection rules: the samples of a pixel in, the interval of accepted values out.

Every rule looks at `WIDTH` pixels at once (see `kernels.lanes`). It is given a block whose columns hold the samples,
ascending, +inf below the last one, and `middle`, their median; it returns the two ends of the accepted interval, and
may change the block. The readable definition of each is the function of the same name in
`skyquilt.steps.integrate.definitions`; both accept the same samples. The arithmetic is float32 on deviations from the
median: what is lost by it is a 1e-6 part of the scale.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skyquilt.core import F32
from skyquilt.kernels.backend import exact_called, exact_inlined
from skyquilt.kernels.lanes import (
    WIDTH,
    any_true,
    gather_rows,
    larger,
    largest,
    load,
    lookup,
    magnitude,
    pick,
    smaller,
    splat,
    splat_double,
    square_root,
    store,
    whole_part,
    widen,
)

__all__ = [
    "keep_esd",
    "keep_linear_fit",
    "keep_mad",
    "keep_percentile",
    "keep_sigma",
    "keep_winsorized",
    "median_rows",
]

_INFINITY = np.float32(np.inf)
_SIGMA_OF_MAD = 1.4826022
_SIGMA_OF_MEAN_DEVIATION = 1.2533141
_HUBER = 1.5
_WINSORIZED_BIAS = 1.134
_WINSORIZED_STEPS = 10
_WINSORIZED_TOLERANCE = 0.0005


@exact_inlined
def median_rows(first: Any, count: Any) -> Any:
    """Return the two middle rows (equal for odd counts) of `count` rows from row `first` on."""
    half = splat(0.5)
    one = splat(1.0)
    below = whole_part((count - one) * half)
    above = whole_part(count * half)
    zero = splat(0.0)
    return first + larger(below, zero), first + larger(above, zero)


@exact_inlined
def _median(block: F32, first: Any, count: Any) -> Any:
    below, above = median_rows(first, count)
    return splat(0.5) * (gather_rows(block, below) + gather_rows(block, above))


@exact_inlined
def _window_radius(block: F32, n_rows: int, size: int) -> Any:
    """
    Return the `size`-th smallest absolute deviation from zero of columns that all have `n_rows` samples.

    It is the smallest radius about zero that holds `size` samples, and those are consecutive in a sorted column.
    """
    zero = splat(0.0)
    radius = splat(_INFINITY)
    for row in range(n_rows - size + 1):
        radius = smaller(larger(zero - load(block, row * WIDTH), load(block, (row + size - 1) * WIDTH)), radius)
    return radius


@exact_called
def _window_radius_mixed(block: F32, n_rows: int, spare: int, first: Any, count: Any, size: Any, centre: Any) -> Any:
    """Return the `size`-th smallest absolute deviation from `centre` where the columns differ in what they hold."""
    radius = splat(_INFINITY)
    for row in range(n_rows):
        start = splat(row)
        inside = start + size <= count
        if not any_true(inside):
            break
        lowest = pick(inside, first + start, splat(spare))
        highest = pick(inside, first + start + size - splat(1.0), splat(spare))
        reach = larger(centre - gather_rows(block, lowest), gather_rows(block, highest) - centre)
        radius = smaller(pick(inside, reach, splat(_INFINITY)), radius)
    return radius


@exact_called
def _median_deviation(block: F32, n_rows: int, spare: int, first: Any, count: Any, centre: Any, plain: bool) -> Any:
    """
    Return the median of the absolute deviations; `plain` says that first and centre are zero everywhere.

    A column without samples gets what its first row holds: a window of no rows would begin before the block.
    """
    most = largest(count)
    if plain and not any_true(count < splat(most)):
        n = int(most)
        radius = _window_radius(block, max(n, 1), max((n + 1) // 2, 1))
        if n % 2 == 0 and n > 0:
            radius = splat(0.5) * (radius + _window_radius(block, n, n // 2 + 1))
    else:
        half = splat(0.5)
        one = splat(1.0)
        least = larger(whole_part((count + one) * half), one)
        lower = _window_radius_mixed(block, n_rows, spare, first, count, least, centre)
        upper = _window_radius_mixed(block, n_rows, spare, first, count, whole_part(count * half) + one, centre)
        radius = half * (lower + upper)
    return radius


@exact_called
def _robust_scale(block: F32, n_rows: int, spare: int, count: Any, correction: F32) -> Any:
    """Return the sigma that the median absolute deviation stands for, or the mean one where that is zero."""
    zero = splat(0.0)
    median = _median_deviation(block, n_rows, spare, zero, count, zero, True)
    scale = splat(_SIGMA_OF_MAD) * lookup(correction, count) * median
    empty = ~(median > zero)
    if any_true(empty):
        total = zero
        for row in range(n_rows):
            deviation = magnitude(load(block, row * WIDTH))
            total = total + pick(splat(row) < count, deviation, zero)
        mean = splat(_SIGMA_OF_MEAN_DEVIATION) * total / larger(count, splat(1.0))
        scale = pick(empty, mean, scale)
    return scale


@exact_inlined
def _moments(block: F32, n_rows: int, low: Any, high: Any) -> Any:
    """Return count, sum and sum of squares of the deviations in [low, high]."""
    zero = splat(0.0)
    one = splat(1.0)
    count, total, squares = zero, zero, zero
    count_b, total_b, squares_b = zero, zero, zero
    row = 0
    while row + 1 < n_rows:  # two chains of sums: one alone would wait for itself
        a = load(block, row * WIDTH)
        b = load(block, (row + 1) * WIDTH)
        kept = (a >= low) & (a <= high)
        kept_b = (b >= low) & (b <= high)
        a = pick(kept, a, zero)
        b = pick(kept_b, b, zero)
        count = count + pick(kept, one, zero)
        count_b = count_b + pick(kept_b, one, zero)
        total = total + a
        total_b = total_b + b
        squares = squares + a * a
        squares_b = squares_b + b * b
        row += 2
    if row < n_rows:
        a = load(block, row * WIDTH)
        kept = (a >= low) & (a <= high)
        a = pick(kept, a, zero)
        count = count + pick(kept, one, zero)
        total = total + a
        squares = squares + a * a
    return count + count_b, total + total_b, squares + squares_b


@exact_inlined
def _centre_columns(block: F32, n_rows: int, centre: Any) -> None:
    """Turn the samples into deviations, in place; +inf stays."""
    for row in range(n_rows):
        store(block, row * WIDTH, load(block, row * WIDTH) - centre)


@exact_inlined
def _deviation(count: Any, total: Any, squares: Any) -> Any:
    """Return mean and standard deviation (n - 1) of summed samples; 0 and 0 for none."""
    one = splat(1.0)
    mean = total / larger(count, one)
    variance = (squares - total * mean) / larger(count - one, one)
    return mean, square_root(larger(variance, splat(0.0)))


@exact_called
def keep_sigma(
    block: F32,
    n_rows: int,
    spare: int,
    middle: Any,
    count: Any,
    low: float,
    high: float,
    max_iterations: int,
    reach_low: F32,
    reach_high: F32,
    correction: F32,
    widening: F32,
) -> Any:
    """Accept what lies near the mean of what is accepted; median and MAD make the start."""
    _centre_columns(block, n_rows, middle)
    scale = _robust_scale(block, n_rows, spare, count, correction) * lookup(widening, count)
    lowest = splat(0.0) - splat(low) * scale
    highest = splat(high) * scale
    kept, total, squares = _moments(block, n_rows, lowest, highest)
    iteration = 0
    while iteration < max_iterations:
        mean, deviation = _deviation(kept, total, squares)
        enough = kept >= splat(2.0)
        lowest = pick(enough, mean - lookup(reach_low, kept) * deviation, lowest)
        highest = pick(enough, mean + lookup(reach_high, kept) * deviation, highest)
        iteration += 1
        if iteration < max_iterations:
            new_kept, new_total, new_squares = _moments(block, n_rows, lowest, highest)
            changed = ~((new_kept == kept) & (new_total == total) & (new_squares == squares))
            kept, total, squares = new_kept, new_total, new_squares
            if not any_true(changed):
                iteration = max_iterations
    return middle + lowest, middle + highest


@exact_inlined
def _count_between(block: F32, n_rows: int, low: Any, high: Any) -> Any:
    """Return how many deviations lie below `low`, and how many in [low, high]."""
    zero = splat(0.0)
    one = splat(1.0)
    below, inside = zero, zero
    for row in range(n_rows):
        a = load(block, row * WIDTH)
        below = below + pick(a < low, one, zero)
        inside = inside + pick((a >= low) & (a <= high), one, zero)
    return below, inside


@exact_inlined
def _clamped_sums(block: F32, start: int, stop: int, low: Any, high: Any, floor: Any, ceiling: Any) -> Any:
    """Return sum and sum of squares of the samples of some rows in [low, high], clamped to [floor, ceiling]."""
    zero = splat(0.0)
    total, squares, total_b, squares_b = zero, zero, zero, zero
    row = start
    while row < stop:  # two chains of sums: one alone would wait for itself
        a = load(block, row * WIDTH)
        a = pick((a >= low) & (a <= high), smaller(larger(a, floor), ceiling), zero)
        total = total + a
        squares = squares + a * a
        row += 1
        if row < stop:
            b = load(block, row * WIDTH)
            b = pick((b >= low) & (b <= high), smaller(larger(b, floor), ceiling), zero)
            total_b = total_b + b
            squares_b = squares_b + b * b
            row += 1
    return total + total_b, squares + squares_b


@exact_inlined
def _drawn_sums(block: F32, first: int, last: int, low: Any, high: Any, floor: Any, ceiling: Any) -> Any:
    """
    Return the `_clamped_sums` of the first `first` rows, then those of as many rows from `last` on.

    The first rows are known to lie below `high` and `ceiling`, the last ones above `low` and `floor`.
    """
    zero = splat(0.0)
    total, squares, total_b, squares_b = zero, zero, zero, zero
    upper, upper_squares, upper_b, upper_squares_b = zero, zero, zero, zero
    row = 0
    while row < first:
        a = load(block, row * WIDTH)
        c = load(block, (last + row) * WIDTH)
        a = pick(a >= low, larger(a, floor), zero)
        c = pick(c <= high, smaller(c, ceiling), zero)
        total = total + a
        squares = squares + a * a
        upper = upper + c
        upper_squares = upper_squares + c * c
        row += 1
        if row < first:
            b = load(block, row * WIDTH)
            d = load(block, (last + row) * WIDTH)
            b = pick(b >= low, larger(b, floor), zero)
            d = pick(d <= high, smaller(d, ceiling), zero)
            total_b = total_b + b
            squares_b = squares_b + b * b
            upper_b = upper_b + d
            upper_squares_b = upper_squares_b + d * d
            row += 1
    return total + total_b, squares + squares_b, upper + upper_b, upper_squares + upper_squares_b


@exact_inlined
def _winsorized_scale(block: F32, n_rows: int, low: Any, high: Any, count: Any, centre: Any) -> Any:
    """
    Return the deviation of the samples in [low, high], drawn in to 1.5 of itself about `centre` until it settles.

    The columns are sorted, and no draw reaches their middle half (unless a sample is far out of any shape): its sums
    are taken once, and below and above it one side of the clamp is enough. Sums are always put together as lower
    quarter + middle half + upper quarter, so that a pixel does not depend on its neighbours.
    """
    zero, one, infinity = splat(0.0), splat(1.0), splat(_INFINITY)
    inverse_count = one / larger(count, one)
    inverse_freedom = one / larger(count - one, one)
    first = (n_rows + 3) // 4
    last = max(n_rows - first, first)
    bottom, top = load(block, first * WIDTH), load(block, (last - 1) * WIDTH)
    middle, middle_squares = _clamped_sums(block, first, last, low, high, zero - infinity, infinity)
    lower, lower_squares = _clamped_sums(block, 0, first, low, high, zero - infinity, infinity)
    upper, upper_squares = _clamped_sums(block, last, n_rows, low, high, zero - infinity, infinity)
    total, squares = lower + middle + upper, lower_squares + middle_squares + upper_squares
    scale = square_root(larger((squares - total * (total * inverse_count)) * inverse_freedom, zero))
    settled, before = ~(scale > zero), scale
    is_ordinary = first < last and not any_true((bottom < low) | (top > high))
    for step in range(_WINSORIZED_STEPS):
        reach = splat(_HUBER) * scale
        floor, ceiling = centre - reach, centre + reach
        inner, inner_squares = middle, middle_squares
        if is_ordinary and not any_true((bottom < floor) | (top > ceiling)):
            lower, lower_squares, upper, upper_squares = _drawn_sums(block, first, last, low, high, floor, ceiling)
        else:
            lower, lower_squares = _clamped_sums(block, 0, first, low, high, floor, ceiling)
            inner, inner_squares = _clamped_sums(block, first, last, low, high, floor, ceiling)
            upper, upper_squares = _clamped_sums(block, last, n_rows, low, high, floor, ceiling)
        total, squares = lower + inner + upper, lower_squares + inner_squares + upper_squares
        deviation = square_root(larger((squares - total * (total * inverse_count)) * inverse_freedom, zero))
        drawn = splat(_WINSORIZED_BIAS) * deviation
        close = magnitude(drawn - scale) <= splat(_WINSORIZED_TOLERANCE) * scale
        following = drawn
        if step & 1 == 1:
            jump = drawn - (drawn - scale) * (drawn - scale) / ((drawn - scale) - (scale - before))
            is_near = (jump > splat(0.5) * drawn) & (jump < splat(2.0) * drawn)
            following = pick(is_near & ~close, jump, drawn)
        before = scale
        scale = pick(settled, scale, following)
        settled = settled | close
        if not any_true(~settled):
            break
    return scale


@exact_called
def keep_winsorized(
    block: F32,
    n_rows: int,
    middle: Any,
    count: Any,
    low: float,
    high: float,
    max_iterations: int,
    widening: F32,
) -> Any:
    """Accept what lies near the median, by the scale of samples that are drawn in to 1.5 sigma until it settles."""
    _centre_columns(block, n_rows, middle)
    zero = splat(0.0)
    lowest, highest = zero - splat(_INFINITY), splat(3.0e38)
    first, kept = zero, count
    for _ in range(max_iterations):
        centre = pick(kept > zero, _median(block, first, kept), zero)
        scale = _winsorized_scale(block, n_rows, lowest, highest, kept, centre) * lookup(widening, kept)
        new_lowest = larger(lowest, centre - splat(low) * scale)
        new_highest = smaller(highest, centre + splat(high) * scale)
        below, inside = _count_between(block, n_rows, new_lowest, new_highest)
        changed = (inside < kept) & (inside > zero)
        lowest = pick(inside > zero, new_lowest, lowest)
        highest = pick(inside > zero, new_highest, highest)
        first = pick(changed, below, first)
        kept = pick(changed, inside, kept)
        if not any_true(changed):
            break
    return middle + lowest, middle + highest


@exact_called
def keep_mad(
    block: F32,
    n_rows: int,
    spare: int,
    middle: Any,
    count: Any,
    low: float,
    high: float,
    max_iterations: int,
    widening: F32,
    correction: F32,
) -> Any:
    """Accept what lies near the median of what is accepted, by its median absolute deviation."""
    _centre_columns(block, n_rows, middle)
    zero = splat(0.0)
    lowest, highest = zero - splat(_INFINITY), splat(3.0e38)
    first, kept = zero, count
    centre = zero
    for iteration in range(max_iterations):
        if iteration == 0:
            scale = _robust_scale(block, n_rows, spare, count, correction)
        else:
            centre = pick(kept > zero, _median(block, first, kept), zero)
            spread = _median_deviation(block, n_rows, spare, first, kept, centre, False)
            new_scale = splat(_SIGMA_OF_MAD) * lookup(correction, kept) * spread
            scale = pick(new_scale > zero, new_scale, scale)
        reach = scale * lookup(widening, kept)
        new_lowest = larger(lowest, centre - splat(low) * reach)
        new_highest = smaller(highest, centre + splat(high) * reach)
        below, inside = _count_between(block, n_rows, new_lowest, new_highest)
        changed = (inside < kept) & (inside > zero)
        lowest = pick(inside > zero, new_lowest, lowest)
        highest = pick(inside > zero, new_highest, highest)
        first = pick(changed, below, first)
        kept = pick(changed, inside, kept)
        if not any_true(changed):
            break
    return middle + lowest, middle + highest


@exact_called
def keep_linear_fit(
    block: F32, n_rows: int, middle: Any, count: Any, low: float, high: float, max_iterations: int
) -> Any:
    """Accept from the first to the last sample that lies near the line fitted to the sorted samples."""
    zero = splat(0.0)
    one = splat(1.0)
    first, last = zero, count - one
    for _ in range(max_iterations):
        kept = last - first + one
        pivot = splat(0.5) * (first + last)
        total, moment = zero, zero
        for row in range(n_rows):
            place = splat(row)
            a = pick((place >= first) & (place <= last), load(block, row * WIDTH) - middle, zero)
            total = total + a
            moment = moment + (place - pivot) * a
        mean = total / larger(kept, one)
        slope = pick(kept > one, splat(12.0) * moment / larger(kept * (kept * kept - one), one), zero)
        spread = zero
        for row in range(n_rows):
            place = splat(row)
            residual = magnitude(load(block, row * WIDTH) - middle - (mean + slope * (place - pivot)))
            spread = spread + pick((place >= first) & (place <= last), residual, zero)
        spread = spread / larger(kept, one)
        floor, ceiling = zero - splat(low) * spread, splat(high) * spread
        new_first, new_last = splat(n_rows), zero - one
        for row in range(n_rows):
            place = splat(row)
            residual = load(block, row * WIDTH) - middle - (mean + slope * (place - pivot))
            good = (place >= first) & (place <= last) & (residual >= floor) & (residual <= ceiling)
            new_first = pick(good, smaller(new_first, place), new_first)
            new_last = pick(good, place, new_last)
        some = new_last >= new_first
        changed = some & ((new_first > first) | (new_last < last))
        first = pick(changed, new_first, first)
        last = pick(changed, new_last, last)
        if not any_true(changed):
            break
    rows = larger(first, zero), larger(last, zero)
    return gather_rows(block, rows[0]), gather_rows(block, rows[1])


@exact_called
def keep_esd(block: F32, n_rows: int, middle: Any, count: Any, fraction: float, critical: F32) -> Any:
    """Take away the most deviant sample again and again; leave out all up to the last that was too deviant."""
    zero = splat(0.0)
    one = splat(1.0)
    origin = widen(middle)
    tiny = splat_double(1.0e-300)
    total = splat_double(0.0)
    squares = splat_double(0.0)
    for row in range(n_rows):
        # outliers leave these sums again, which float32 would not survive
        a = widen(pick(splat(row) < count, load(block, row * WIDTH), middle)) - origin
        total = total + a
        squares = squares + a * a
    limit = whole_part(splat(fraction) * count)
    first, last = zero, larger(count - one, zero)
    kept_first, kept_last = first, last
    left = count
    for step in range(int(largest(limit))):
        active = (splat(step) < limit) & (left >= splat(3.0))
        if not any_true(active):
            break
        number = widen(larger(left, splat(2.0)))
        mean = total / number
        variance = (squares - total * mean) / (number - splat_double(1.0))
        deviation = square_root(larger(variance, tiny))
        lowest = widen(gather_rows(block, first)) - origin
        highest = widen(gather_rows(block, last)) - origin
        upper = highest - mean >= mean - lowest
        extreme = larger(highest - mean, mean - lowest)
        removed = pick(upper, highest, lowest)
        outlying = active & (extreme > widen(lookup(critical, left)) * deviation)
        total = total - pick(active, removed, splat_double(0.0))
        squares = squares - pick(active, removed * removed, splat_double(0.0))
        last = pick(active & upper, last - one, last)
        first = pick(active & ~upper, first + one, first)
        left = pick(active, left - one, left)
        kept_first = pick(outlying, first, kept_first)
        kept_last = pick(outlying, last, kept_last)
    return gather_rows(block, kept_first), gather_rows(block, kept_last)


@exact_inlined
def keep_percentile(middle: Any, low: float, high: float) -> Any:
    """Accept what lies within a share of the median."""
    level = magnitude(middle)
    return middle - splat(low) * level, middle + splat(high) * level
