"""Loops that find and follow straight lines: the fast Radon transform over int16, cuts across a line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyquilt.core.arrays import F32, F64
from skyquilt.kernels.backend import called, inlined, kernel

__all__ = ["cut_across", "lines_scratch", "strongest_line", "whole_steps"]

I16 = NDArray[np.int16]

_SAMPLED = 4  # one line in four tells the scatter of a slope
_CHUNK = 64  # lines looked at together
_WILD = 25.0  # squares are capped at 5 sigma, so that the line sought does not raise its own scatter


@called
def _merge(
    source: I16, target: I16, lane: int, stop: int, n_lanes: int, length: int, span: int, origin: int, tops: I16
) -> None:
    """
    Join neighbouring blocks of span / 2 lanes into blocks of `span` lanes, from `lane` to before `stop`.

    ``source[first + shift, origin + t]`` is the sum along the line that starts at t in lane `first` of its block and
    has come to t + shift in the block's last lane; -shift <= t < length. Elsewhere it is 0, and stays so.
    ``tops[first + shift]`` becomes the largest of the new sums.
    """
    half = span // 2
    for first in range(lane, stop, span):
        has_right = first + half < n_lanes
        for shift in range(span):
            k, jump = shift // 2, (shift + 1) // 2
            start, n = origin - shift, shift + length
            out, left = target[first + shift, start : start + n], source[first + k, start : start + n]
            if has_right:
                tops[first + shift] = _add(left, source[first + half + k, start + jump : start + jump + n], out)
            else:
                tops[first + shift] = _copy(left, out)


@called
def _copy(given: I16, out: I16) -> np.int16:
    """Do ``out[:] = given`` and return the largest."""
    most = np.int16(-32768)
    for t in range(out.size):
        out[t] = given[t]
        most = given[t] if given[t] > most else most
    return most


@called
def _add(left: I16, right: I16, out: I16) -> np.int16:
    """Do ``out[:] = left + right`` and return the largest."""
    most = np.int16(-32768)
    for t in range(out.size):  # all in int16, sixteen at a time
        total = np.int16(left[t] + right[t])
        out[t] = total
        most = total if total > most else most
    return most


@called
def _crossed(start: int, slope: float, lanes: int, length: int) -> int:
    """Return how many of a block's lanes the line start + slope * lane crosses within 0 <= t <= length - 1."""
    low, high = 0, lanes - 1
    if slope > 0.0:
        if start < 0:
            low = int(np.ceil(-start / slope))
        high = min(high, int(np.floor((length - 1 - start) / slope)))
    return high - low + 1


@called
def _ends(enough: float, slope: float, lanes: int, shift: int, length: int) -> tuple[int, int]:
    """
    Return where the lines stop, and where they begin again, of which the largest of all sums could be significant.

    It is so only where a line crosses less than `enough`² lanes: near the ends, as it leaves the plane at once.
    """
    most = enough * enough + 2.0
    if most >= lanes or most * slope >= length - 1.0:
        return length, length
    low = int(np.ceil(-(lanes - 1.0 - most) * slope)) + 1
    high = int(np.floor(length - 1.0 - most * slope))
    return max(min(low, length), -shift), max(high, low, -shift)


@called
def _slope_sigma(
    sums: I16, shift: int, span: int, n_lanes: int, length: int, origin: int, few: int, unit: float
) -> float:
    """Return the rms of sum / sqrt(lanes crossed) over a quarter of the lines of one slope, at least `unit`."""
    slope = shift / (span - 1.0)
    squares, n = 0.0, 0
    for block in range((n_lanes + span - 1) // span):
        lanes = min(span, n_lanes - block * span)
        for t in range(-shift, length, _SAMPLED):
            crossed = _crossed(t, slope, lanes, length)
            if crossed >= few:
                value = float(sums[block * span + shift, origin + t])
                squares += min(value * value / crossed, _WILD * unit * unit)
                n += 1
    return max(unit, np.sqrt(squares / max(n, 1)))


@called
def _largest(row: I16, start: int, stop: int) -> int:
    """Return the largest value of ``row[start:stop]``; -32768 of an empty one."""
    values = row[start:stop]
    most = np.int16(-32768)
    for k in range(values.size):  # kept in int16, sixteen at a time
        most = values[k] if values[k] > most else most
    return int(most)


@called
def _clipped_sums(row: F32, clip: float) -> tuple[float, float, int]:
    """Return sum, sum of squares and number of the clipped values of a row; four sums at a time, so that none waits."""
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    a2, b2, c2, d2 = 0.0, 0.0, 0.0, 0.0
    n = np.int32(0)
    for x in range(row.size):
        n = np.int32(n + np.int32(row[x] == row[x]))
    whole = row.size - row.size % 4
    for x in range(0, whole, 4):
        p, q = _clipped(row[x], clip), _clipped(row[x + 1], clip)
        r, s = _clipped(row[x + 2], clip), _clipped(row[x + 3], clip)
        a, b, c, d = a + p, b + q, c + r, d + s
        a2, b2, c2, d2 = a2 + p * p, b2 + q * q, c2 + r * r, d2 + s * s
    for x in range(whole, row.size):
        p = _clipped(row[x], clip)
        a, a2 = a + p, a2 + p * p
    return (a + b) + (c + d), (a2 + b2) + (c2 + d2), int(n)


@inlined
def _clipped(value: float, clip: float) -> float:
    """Return a value within +-clip, 0 of NaN."""
    return min(max(np.float64(value), -clip), clip) if value == value else 0.0


@kernel
def whole_steps(sigmas: F32, clip: float, longest: int, out: I16) -> float:
    """
    Fill `out` with clipped residuals of zero mean and unit scatter in whole steps; return how many make a sigma.

    Parameters
    ----------
    sigmas : float32 (h, w)
        NaN where unusable; becomes 0.
    clip : float
    longest : int
        No sum of this many steps may overflow int16.
    out : int16 (h, w)
        Written in place.

    Notes
    -----
    Definition:: c = clip(sigmas, -clip, clip); unit = 32767 // (longest * max |c - mean(c)| / std(c));
    out = rint(unit * (c - mean(c)) / std(c))
    """
    total, squares, n = 0.0, 0.0, 0
    for y in range(sigmas.shape[0]):
        of_row, squares_of_row, n_of_row = _clipped_sums(sigmas[y], clip)
        total += of_row
        squares += squares_of_row
        n += n_of_row
    mean = total / max(n, 1)
    rms = max(np.sqrt(max(squares / max(n, 1) - mean * mean, 0.0)), 1e-6)
    unit = np.floor(32767.0 * rms / (longest * (clip + abs(mean))))
    factor = unit / rms
    for y in range(sigmas.shape[0]):
        row, target = sigmas[y], out[y]
        for x in range(row.size):
            value = _clipped(row[x], clip)
            target[x] = np.int16(np.int32(np.rint((value - mean) * factor))) if row[x] == row[x] else np.int16(0)
    return float(unit)


def lines_scratch(n_lanes: int, length: int) -> I16:
    """Return the memory that `strongest_line` works in, for planes of up to so many lanes of up to that length."""
    size = 1 << _levels(n_lanes)
    return np.zeros((2, size, size + length + size // 2), dtype=np.int16)


def _levels(n_lanes: int) -> int:
    return max(int(n_lanes) - 1, 1).bit_length()


@kernel
def strongest_line(
    data: I16, first_level: int, few: int, unit: float, floor: float, scratch: I16
) -> tuple[float, int, int, int, int]:
    """
    Return the most significant line among all dyadic pieces of lanes, for slopes from 0 to 1.

    Parameters
    ----------
    data : int16 (n_lanes, length)
        Clipped residuals of zero mean, `unit` steps a sigma; no sum of 2**levels >= n_lanes of them may overflow.
    first_level : int
        Pieces of 2**first_level to 2**levels lanes are looked at.
    few : int
        Lines that cross fewer lanes than this do not count.
    unit : float
    floor : float
        Lines of less significance than this are not looked for.
    scratch : int16
        From `lines_scratch`, for this size at least. A call may use what another has left in it.

    Returns
    -------
    significance : float
        sum / sqrt(lanes crossed) over the larger of 1 sigma and the scatter of all lines of that slope (so that the
        rows and columns of a noisy read-out do not stand out); 0 if no line reaches `floor`.
    span, first, shift, start : int
        The line runs from t = start in lane `first` to t = start + shift in lane first + span - 1.

    Notes
    -----
    Definition (a line over 2n lanes is one over n lanes and another over n lanes; f_1 = data, 0 outside)::

        f_2n[shift, t] = left_n[shift // 2, t] + right_n[shift // 2, t + (shift + 1) // 2]

    Source: Brady 1998, SIAM J. Comput. 27, 107, doi:10.1137/S0097539793256673. The pieces that the transform joins on
    its way are lines in their own right, so a short trail is found at its own length: Nir, Zackay & Ofek 2018,
    AJ 156, 229, doi:10.3847/1538-3881/aaddff.
    Cost: 2**levels * (length + 2**level) additions of int16 a level.
    """
    n_lanes, length = data.shape
    levels = 1
    while 1 << levels < n_lanes:
        levels += 1
    size = 1 << levels
    source, target = scratch[0], scratch[1]
    for row in range(size):  # an earlier call may have left sums where this one reads zeros
        left, right, end = max(size - 2 * row - 1, 0), size + length, size + length + size // 2
        for line in (source[row], target[row]):
            for t in range(left, size):
                line[t] = 0
            for t in range(right, end):
                line[t] = 0
    tops = np.empty(size, np.int16)
    for lane in range(n_lanes):
        _copy(data[lane], source[lane, size : size + length])
    piece = 1 << min(first_level, levels)  # the first levels piece by piece, while a piece is in the cache
    for lane in range(0, n_lanes, piece):
        for level in range(1, min(first_level, levels)):
            given, made = (source, target) if level % 2 == 1 else (target, source)
            last = min(lane + piece, n_lanes)
            _merge(given, made, lane, last, n_lanes, length, 1 << level, size, tops)
    if min(first_level, levels) % 2 == 0:
        source, target = target, source
    found = False
    best, best_span, best_first, best_shift, best_start = floor, 0, 0, 0, 0
    for level in range(first_level, levels + 1):
        span = 1 << level
        _merge(source, target, int(0), n_lanes, n_lanes, length, span, size, tops)
        source, target = target, source
        for shift in range(span):
            slope = shift / (span - 1.0)
            sigma = 0.0  # found only for the slopes of which it can matter
            for block in range((n_lanes + span - 1) // span):
                lanes = min(span, n_lanes - block * span)
                row = source[block * span + shift]
                if lanes < few or tops[block * span + shift] <= best * max(unit, sigma) * np.sqrt(few):
                    continue
                low_stop, high_start = _ends(
                    tops[block * span + shift] / (best * max(unit, sigma)), slope, lanes, shift, length
                )
                start = -shift
                while start < length:
                    if low_stop <= start < high_start:
                        start = high_start
                        continue
                    stop = min(start + _CHUNK, length if start >= high_start else low_stop)
                    # A line crosses the more lanes the nearer it is to the middle: the fewest at an end of the chunk.
                    fewest = min(_crossed(start, slope, lanes, length), _crossed(stop - 1, slope, lanes, length))
                    least = best * max(unit, sigma) * np.sqrt(max(few, fewest))
                    first, start = start, stop
                    if _largest(row, size + first, size + stop) <= least:
                        continue
                    for t in range(first, stop):
                        if row[size + t] <= least:
                            continue
                        crossed = _crossed(t, slope, lanes, length)
                        if crossed < few or row[size + t] <= best * max(unit, sigma) * np.sqrt(crossed):
                            continue
                        if sigma == 0.0:
                            sigma = _slope_sigma(source, shift, span, n_lanes, length, size, few, unit)
                        significance = row[size + t] / (sigma * np.sqrt(crossed))
                        if significance > best:
                            found = True
                            best, best_span, best_first = significance, span, block * span
                            best_shift, best_start = shift, t
    return (best if found else 0.0), best_span, best_first, best_shift, best_start


@kernel
def cut_across(values: F32, track: F64, low: int, high: int, n_pieces: int, reach: int, fine: int, out: F64) -> None:
    """
    Fill `out` with the mean of the values at given offsets from a track, piece by piece along it.

    Parameters
    ----------
    values : float32 (n_lanes, length)
        NaN where unknown.
    track : float64 (4,)
        (middle, centre, slope, bend): t(lane) = centre + slope * (lane - middle) + bend * (lane - middle)**2.
    low, high : int
        Half-open range of lanes, cut into `n_pieces` of (nearly) equal length.
    reach, fine : int
        Offsets along t from -reach to reach in steps of 1 / fine.
    out : float64 (n_pieces, 2 * reach * fine + 1)
        Written in place; NaN where no value is at hand.

    Notes
    -----
    Definition:: out[k, o] = mean over the lanes of piece k of values[lane] interpolated linearly at
    t(lane) - reach + o / fine
    """
    length = values.shape[1]
    n_offsets = out.shape[1]
    for piece in range(n_pieces):
        first = low + (high - low) * piece // n_pieces
        last = low + (high - low) * (piece + 1) // n_pieces
        for offset in range(n_offsets):
            total, n = 0.0, 0
            for lane in range(first, last):
                away = lane - track[0]
                t = track[1] + away * (track[2] + away * track[3]) - reach + offset / fine
                if t < 0.0 or t > length - 1.0:
                    continue
                cell = min(int(t), length - 2)
                part = t - cell
                value = (1.0 - part) * values[lane, cell] + part * values[lane, cell + 1]
                if value == value:
                    total += value
                    n += 1
            out[piece, offset] = total / n if n > 0 else np.nan
