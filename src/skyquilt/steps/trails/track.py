"""The centre line of a trail: sought among all lines, straightened, and followed to its ends."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F32, F64
from skyquilt.kernels.lines import cut_across, lines_scratch, strongest_line, whole_steps

__all__ = ["SHORTEST", "Track", "follow_track", "lanes_of", "seek_track"]

_CLIP = 3.0  # sigma; no single cell counts for more, be it a hot pixel or 10,000 ADU
SHORTEST = 24  # cells; about 100 px of the frame at factor 4
_FIRST_LEVEL = 5  # pieces of 32 lanes and more
_REACH = 3  # cells to either side in which a line is centred
_FINE = 2  # samples a cell
_PIECE_SIGMA = 4.0  # a piece must show the line this well to tell where it runs
_MOST_PIECES = 16
_ROUNDS = 6
_SETTLED = 0.05  # cells
_BENT = 0.35  # cells of sagitta, and at least 4 errors: less is a straight line
_END = 0.35  # of the mean level: the line ends where the sum of what exceeds this is largest
_CORE_SIGMA = 0.55  # of the mean of three neighbours interpolated along t, in sigma of a cell
_NEAR_EDGE = 12  # lanes; a line seen to here runs on to the edge
_SEEN_ALONG = 4.0  # sigma that must be left without the best quarter of the pieces
_BESIDE = (5, 12)  # cells to either side, to which the core is compared
_PLAIN = 1.2  # sigma of a cell
_ABOVE_NOISE = 0.7  # of the difference between core and one side, in sigma of a cell
_ABOVE_SIDES = 4.5  # sigma of the core above the brighter of its two sides


I16 = NDArray[np.int16]


class _Memory(threading.local):
    """What a thread uses again from plane to plane: a new piece of this size costs as much as the search in it."""

    shape: tuple[int, ...] = ()
    lines: I16 = np.zeros((0, 0, 0), dtype=np.int16)


_memory = _Memory()


@dataclass(frozen=True, slots=True)
class Track:
    """
    A nearly straight line through a plane, over its lanes: columns if it runs more along x, else rows.

    t(lane) = centre + slope * (lane - middle) + bend * (lane - middle)², t being the other coordinate; all in cells.

    Attributes
    ----------
    low, high : int
        Half-open range of lanes in which it is seen.
    significance : float
        In sigma of lines of the same slope.
    """

    along_x: bool
    middle: float
    centre: float
    slope: float
    bend: float
    low: int
    high: int
    significance: float

    def at(self, lane: F64 | float) -> F64:
        """Return t at the lanes."""
        away = np.asarray(lane, dtype=np.float64) - self.middle
        return self.centre + away * (self.slope + away * self.bend)

    @property
    def cosine(self) -> float:
        """Perpendicular distance over distance along t."""
        return float(1.0 / np.hypot(1.0, self.slope))

    @property
    def sagitta(self) -> float:
        """Largest distance of the arc from its chord, cells."""
        return abs(self.bend) * (0.5 * (self.high - self.low)) ** 2

    @property
    def as_array(self) -> F64:
        return np.array([self.middle, self.centre, self.slope, self.bend])


def lanes_of(plane: F32, along_x: bool) -> F32:
    """Return the plane as (lane, t)."""
    return np.ascontiguousarray(plane.T if along_x else plane)


def seek_track(sigmas: F32, floor: float) -> Track:
    """
    Return the most significant line of all slopes.

    Parameters
    ----------
    sigmas : float32 (h, w)
        Residual in units of its error, NaN where unusable.
    floor : float
        Lines of less significance are not looked for; without any, the significance is 0.
    """
    longest = 1 << max(max(sigmas.shape) - 1, 1).bit_length()
    steps = np.empty(sigmas.shape, dtype=np.int16)
    unit = whole_steps(sigmas, _CLIP, longest, steps)
    best = Track(True, 0.0, 0.0, 0.0, 0.0, 0, 1, 0.0)
    for along_x in (True, False):
        lanes = np.ascontiguousarray(steps.T if along_x else steps)
        n_lanes, length = lanes.shape
        for is_falling in (False, True):
            data = np.ascontiguousarray(lanes[:, ::-1]) if is_falling else lanes
            significance, span, first, shift, start = strongest_line(
                data, _FIRST_LEVEL, SHORTEST, unit, floor, _scratch_of(sigmas.shape)
            )
            if significance <= best.significance:
                continue
            floor = significance
            slope, t = shift / max(span - 1, 1), float(start)
            if is_falling:
                slope, t = -slope, length - 1 - t
            best = Track(along_x, float(first), t, slope, 0.0, first, min(first + span, n_lanes), significance)
    return _inside(best, sigmas.shape)


def follow_track(sigmas: F32, seed: Track) -> tuple[Track, bool]:
    """
    Return the line straightened and followed to its ends, and whether it is seen all along.

    Parameters
    ----------
    sigmas : float32 (h, w)
        Residual in units of its error, NaN where unusable.
    seed : Track
        From `seek_track`: right to about a cell over its own length.

    Notes
    -----
    Pieces of the line are centred on log(1 + sigma), which peaks at the core of a trail of any height, and a line (a
    parabola, if it is bent) is laid through them by least squares. Its ends are where the sum of (level - 0.35 of the
    mean level) is largest. It counts as a trail if what is left without the best quarter of its pieces is still
    significant (a row of star residues is not a trail), and if it stands above the cells on both sides (a slope of
    the sky does not).
    """
    lanes = lanes_of(sigmas, seed.along_x)
    logarithm = (np.sign(lanes) * np.log1p(np.abs(lanes))).astype(np.float32)
    clipped = np.clip(lanes, -_CLIP, _CLIP)
    track = seed
    for may_bend in (False, True, True):
        for _ in range(_ROUNDS):
            before = track
            track = _straightened(logarithm, track, may_bend)
            if _largest_move(before, track) < _SETTLED:
                break
        track = _to_its_ends(clipped, track)
    return track, _is_seen_along(clipped, track)


def _scratch_of(shape: tuple[int, ...]) -> I16:
    """Return memory of this thread for the lines of planes of that shape, along x and along y."""
    if _memory.shape != shape:
        _memory.shape, _memory.lines = shape, lines_scratch(max(shape), max(shape))
    return _memory.lines


def _inside(track: Track, shape: tuple[int, ...]) -> Track:
    """Return the track with its lanes limited to those where it crosses the plane."""
    n_lanes, length = (shape[1], shape[0]) if track.along_x else (shape[0], shape[1])
    lanes = np.arange(n_lanes)
    t = track.at(lanes.astype(np.float64))
    crossed = np.flatnonzero((t >= 0) & (t <= length - 1) & (lanes >= track.low) & (lanes < track.high))
    if crossed.size == 0:
        return replace(track, high=track.low + 1)
    return replace(track, low=int(crossed[0]), high=int(crossed[-1]) + 1)


def _straightened(values: F32, track: Track, may_bend: bool) -> Track:
    """Return the track laid by least squares through the centres of its pieces."""
    n_lanes = track.high - track.low
    n_pieces = int(np.clip((track.significance / _PIECE_SIGMA) ** 2, 4, min(_MOST_PIECES, max(4, n_lanes // 6))))
    profile = _profile(values, track, n_pieces, _REACH, _FINE)
    profile = np.where(np.isfinite(profile), profile, 0.0)
    offsets = np.arange(profile.shape[1]) / _FINE - _REACH
    summit = offsets[int(np.argmax(np.convolve(profile.mean(axis=0), (0.5, 1.0, 0.5), mode="same")))]
    near = np.abs(offsets - summit) <= 1.5
    heights = np.maximum(profile[:, near], 0.0)
    heights -= heights.min(axis=1, keepdims=True)  # or a wide trail's flat top would hold the centre back
    weight = heights.sum(axis=1)
    if not weight.any():
        return track
    centre = heights @ offsets[near] / np.maximum(weight, 1e-9)
    weight = np.minimum(weight, 2.0 * np.median(weight[weight > 0]))
    middle = 0.5 * (track.low + track.high - 1)
    edges = track.low + n_lanes * np.arange(n_pieces + 1) // n_pieces
    half = max(0.5 * n_lanes, 1.0)
    centres: F64 = (0.5 * (edges[:-1] + edges[1:] - 1)).astype(np.float64)
    away = (centres - middle) / half
    shift, slope, bend = _fit(
        away, centre, weight, may_bend and n_pieces >= 8 and n_lanes >= 4 * SHORTEST, track.bend * half**2
    )
    return _around(track, middle, shift, slope / half, bend / half**2)


def _largest_move(before: Track, after: Track) -> float:
    """Return how far the track has moved at its ends and middle, cells."""
    at = np.array([after.low, 0.5 * (after.low + after.high - 1), after.high - 1])
    return float(np.abs(after.at(at) - before.at(at)).max())


def _fit(away: F64, centre: F64, weight: F64, may_bend: bool, bent: float) -> tuple[float, float, float]:
    """Return offset, slope and added bend (in units of `away`) of the centres; outliers are dropped once."""
    used = weight > 0
    n_terms = 3 if may_bend else 2
    solution = np.zeros(3)
    for _ in range(2):
        if np.count_nonzero(used) < n_terms + 1:
            n_terms = min(n_terms, 2)
        matrix = np.stack([np.ones_like(away), away, away * away], axis=1)[:, :n_terms]
        root = np.sqrt(np.where(used, weight, 0.0))
        solution = np.zeros(3)
        solution[:n_terms] = np.linalg.lstsq(matrix * root[:, None], centre * root, rcond=None)[0]
        miss = centre - (solution[0] + away * (solution[1] + away * solution[2]))
        used = used & (np.abs(miss) <= max(1.0, 3.0 * float(np.median(np.abs(miss[used])))))
    if n_terms == 3:
        error = float(np.std(miss[used])) * 3.4 / np.sqrt(np.count_nonzero(used))  # of the third term, even spacing
        if abs(solution[2] + bent) < max(_BENT, 4.0 * error):
            return (*_fit(away, centre + bent * away * away, weight, False, 0.0)[:2], -bent)
    return float(solution[0]), float(solution[1]), float(solution[2])


def _around(track: Track, middle: float, shift: float, slope: float, bend: float) -> Track:
    """Return the track plus a parabola, about a new middle."""
    away = middle - track.middle
    return replace(
        track,
        middle=middle,
        centre=float(track.at(middle)) + shift,
        slope=track.slope + 2.0 * track.bend * away + slope,
        bend=track.bend + bend,
    )


def _to_its_ends(clipped: F32, track: Track) -> Track:
    """Return the track over the lanes in which it is seen, and on to the edge where it nearly reaches it."""
    n_lanes, length = clipped.shape
    whole = _inside(replace(track, low=0, high=n_lanes), (length, n_lanes) if track.along_x else (n_lanes, length))
    level = _core(clipped, whole)
    is_known = np.isfinite(level)
    seen = level[max(track.low - whole.low, 0) : track.high - whole.low]
    if not np.isfinite(seen).any():
        return track
    mean = max(float(np.nanmean(seen)), 0.1)
    gain = np.concatenate([[0.0], np.cumsum(np.where(is_known, level - _END * mean, 0.0))])
    lowest = np.minimum.accumulate(gain)
    stop = int(np.argmax(gain - lowest))
    start = int(np.argmin(gain[: stop + 1]))
    # Where a faint line ends is known to about (noise / level)² lanes.
    loose = 2 + int(min((1.5 * _CORE_SIGMA / mean) ** 2, SHORTEST))
    known_before = np.concatenate([[0], np.cumsum(is_known)])
    near = _NEAR_EDGE + loose
    low = 0 if known_before[start] <= near else start - loose
    high = level.size if known_before[-1] - known_before[stop] <= near else stop + loose
    return replace(track, low=whole.low + max(low, 0), high=whole.low + min(high, level.size))


def _is_seen_along(clipped: F32, track: Track) -> bool:
    """Return whether all the track's pieces but the best show it, and whether it stands above its sides."""
    n_lanes = track.high - track.low
    if n_lanes < SHORTEST:
        return False
    n_pieces = min(_MOST_PIECES, n_lanes // 4)
    level = _core(clipped, track)
    edges = n_lanes * np.arange(n_pieces + 1) // n_pieces
    sums = np.sort([np.nansum(level[a:b]) for a, b in pairwise(edges)])
    n_known = int(np.count_nonzero(np.isfinite(level)))
    kept = n_pieces - n_pieces // 4
    along = sums[:kept].sum() / (_CORE_SIGMA * np.sqrt(max(n_known, 1) * kept / n_pieces))
    profile = _profile(clipped, track, 1, _BESIDE[1], 1)[0]
    width = _BESIDE[1] - _BESIDE[0] + 1
    sides = [side[np.isfinite(side)] for side in (profile[:width], profile[-width:])]
    known = [float(side.mean()) for side in sides if side.size]
    core = profile[_BESIDE[1] - 1 : _BESIDE[1] + 2]
    if n_known < SHORTEST // 2 or not np.isfinite(core).any():
        return False
    above = float(np.nanmean(core)) - max(known, default=0.0)
    is_above = above * np.sqrt(n_known) >= _ABOVE_SIDES * _ABOVE_NOISE
    # At the rim of the covered part a slope of the sky ends as a ridge: there, a trail must be plain to see.
    return bool(along >= _SEEN_ALONG and is_above and (len(known) == 2 or above >= _PLAIN))


def _core(clipped: F32, track: Track) -> F64:
    """Return the mean of the three cells about the track in every lane."""
    level: F64 = _profile(clipped, track, track.high - track.low, 1, 1).mean(axis=1)
    return level


def _profile(values: F32, track: Track, n_pieces: int, reach: int, fine: int) -> F64:
    """Return float64 (n_pieces, 2 * reach * fine + 1): the mean at each offset, piece by piece."""
    out = np.empty((n_pieces, 2 * reach * fine + 1))
    cut_across(values, track.as_array, track.low, track.high, n_pieces, reach, fine, out)
    return out
