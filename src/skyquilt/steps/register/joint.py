"""All frames of a session laid on the mean of their star lists at once, where stars are few."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F64, I64, Registration, Stars, Transform
from skyquilt.kernels.neighbours import match_nearest
from skyquilt.kernels.order import median_of
from skyquilt.kernels.patterns import Grid
from skyquilt.steps.register.residuals import BRIGHT_PAIRS, rms_of

__all__ = ["FEW_PAIRS", "refine_jointly"]

FEW_PAIRS = 100  # with more of them a frame's own fit is as good: 0.01 px from centroids good to 0.05 px
_LEAST_SEEN = 3  # stars of a frame that others see too
_RADII = (2.0, 4.0)  # px, least and most: how far apart two frames may see a star
_REACH = 5.0  # sigma of the pairs' residuals
_CUT = 5.5
_ROUNDS = 40
_SETTLED_PX = 1e-4
_FLOOR2 = 1e-5  # px²
_TINY = 1e-300
_FARTHEST = 1.0  # sigma: how far a measured scale is drawn at most
_MEDIAN_OF_TWO = 2.0 * np.log(2.0)  # of chi² with two degrees of freedom

_Complex = NDArray[np.complex128]


@dataclass(frozen=True, slots=True, eq=False)
class _Sightings:
    """
    Stars of the mean list as the frames saw them, those that one frame alone saw left out.

    Attributes
    ----------
    frame, entry, star : int64 (n,)
        Which frame saw which star of the mean list, and its place in that frame's own list.
    place : complex128 (n,), px
        x + i y in that frame.
    error2 : float64 (n,), px²
        Of that place, per axis.
    n_frames, n_entries : int
    """

    frame: I64
    entry: I64
    star: I64
    place: _Complex
    error2: F64
    n_frames: int
    n_entries: int

    def per_frame(self, value: F64) -> F64:
        """Return the sums over the sightings of each frame, float64 (n_frames,)."""
        return np.asarray(np.bincount(self.frame, value, self.n_frames), dtype=np.float64)

    def per_entry(self, value: F64) -> F64:
        """Return the sums over the sightings of each star of the mean list, float64 (n_entries,)."""
        return np.asarray(np.bincount(self.entry, value, self.n_entries), dtype=np.float64)

    def frame_mean(self, value: _Complex, weight: F64) -> _Complex:
        """Return the weighted means over the sightings of each frame; 0 where there is no weight."""
        total = np.maximum(self.per_frame(weight), _TINY)
        return np.asarray((self.per_frame(weight * value.real) + 1j * self.per_frame(weight * value.imag)) / total)

    def entry_mean(self, value: _Complex, weight: F64) -> _Complex:
        """Return the weighted means over the sightings of each star; 0 where there is no weight."""
        total = np.maximum(self.per_entry(weight), _TINY)
        return np.asarray((self.per_entry(weight * value.real) + 1j * self.per_entry(weight * value.imag)) / total)


@dataclass(frozen=True, slots=True, eq=False)
class _Joint:
    """
    What all frames agreed on.

    Attributes
    ----------
    turn, shift : complex128 (n_frames,)
        Place in the reference = turn * place + shift.
    weight : float64 (n,)
        Of each sighting: robust weight over variance, 1/px².
    robust : float64 (n,)
        The former, 0 to 1.
    mean : complex128 (n_entries,), px
        The mean list, in pixels of the reference.
    scatter2 : float
        Squares of the residuals over their errors, mean of those that count: 1 where the errors are right.
    """

    turn: _Complex
    shift: _Complex
    weight: F64
    robust: F64
    mean: _Complex
    scatter2: float


def refine_jointly(stars: Sequence[Stars], registrations: Sequence[Registration], reference: int) -> list[Registration]:
    """
    Return the registrations of a session, those that rest on few stars improved by what all frames saw together.

    Parameters
    ----------
    stars : sequence of Stars
        One list a frame.
    registrations : sequence of Registration
        Of each frame to the reference, as `match` gave them.
    reference : int
        Which frame is the reference; its own registration is the identity, and stays.

    Returns
    -------
    list of Registration
        Frames with `FEW_PAIRS` pairs or more, mirrored ones and those of richer models than a similarity are handed
        back as they are. `pairs` and residuals are those against the reference's list, as from `match`.

    Notes
    -----
    Definition: minimise sum w |c_k z_kj + t_k - S_j|² over the frames' (c, t) and the mean list S, z = x + i y, where
    w = b / (e² + s²): e the error of the place, s what bright stars wander beyond it (told by the brighter half of all
    sightings), b Tukey's biweight of the residual over 5.5 times its error (or the frame's own scatter, if that is
    larger). The mean list and the maps are fitted in turns; after each turn the reference's map is made the identity.

    Frames of one instrument have nearly one scale: refraction and focus change it by some 1e-4. So each scale is drawn
    from what its stars say towards 1: from s to s - d, d = (s - 1) v / (v + r²), v the variance of s and r² that of the
    scales of all frames, which these tell themselves (`_scale_variance`). Where they do not differ, that leaves three
    unknowns a frame in place of four, and errors in the corners that are a quarter to a half smaller. d is never more
    than 1 sigma of s, so that a frame of another scale than the others does not suffer (limited translation, Efron &
    Morris 1972, J. Am. Stat. Assoc. 67, 130): on real frames that were laid on each other by 8 to 40 of their stars the
    places were as good or better than by pairs alone, where without the limit they were up to a quarter worse.
    """
    refined = list(registrations)
    wanted = [k for k, found in enumerate(registrations) if k != reference and _is_plain(found)]
    if not wanted:
        return refined
    chosen = [reference, *wanted]  # the reference is frame 0 of all that follows
    seen = _gather([stars[k] for k in chosen], [registrations[k] for k in chosen])
    if not len(seen.frame):
        return refined
    turn, shift = _maps([registrations[k].transform for k in chosen])
    joint = _solve(seen, turn, shift, 0.0)
    scale_variance = _scale_variance(seen, joint)
    if scale_variance > 0.0:
        joint = _solve(seen, turn, shift, scale_variance)
    n_used = seen.per_frame((joint.robust > 0.0).astype(np.float64))
    for index, k in enumerate(chosen):
        if index > 0 and min(n_used[index], n_used[0]) >= _LEAST_SEEN:
            refined[k] = _registration(seen, joint, index, registrations[k], stars[k], stars[reference])
    return refined


def _is_plain(found: Registration) -> bool:
    """Whether a registration is a turn, a shift and a scale that rest on a few stars."""
    is_simple = found.transform.kind in ("identity", "similarity") and found.transform.parity > 0
    return is_simple and _LEAST_SEEN <= len(found.pairs) < FEW_PAIRS


def _maps(transforms: Sequence[Transform]) -> tuple[_Complex, _Complex]:
    """Return turn and shift of similarities."""
    m = np.array([transform.matrix for transform in transforms])
    return m[:, 0, 0] + 1j * m[:, 1, 0], m[:, 0, 2] + 1j * m[:, 1, 2]


def _gather(stars: Sequence[Stars], registrations: Sequence[Registration]) -> _Sightings:
    """Make the mean list: the stars of the first frame, then what the others saw where none was known yet."""
    scatter = _REACH * float(np.median([found.rms_px for found in registrations[1:]]))
    radius = min(max(scatter, _RADII[0]), _RADII[1])
    known_x, known_y = np.zeros(0), np.zeros(0)
    parts: list[tuple[I64, I64, I64]] = []
    for k, (listed, found) in enumerate(zip(stars, registrations, strict=True)):
        star = np.flatnonzero(np.isfinite(listed.x) & np.isfinite(listed.y) & np.isfinite(listed.position_error))
        x, y = found.transform(listed.x[star], listed.y[star])
        entry = np.full(len(x), -1)
        if len(known_x):
            grid = Grid.of(known_x, known_y)
            match_nearest(x, y, radius, grid.x, grid.y, *grid.cells, entry)
        new = np.flatnonzero(entry < 0)
        entry[new] = len(known_x) + np.arange(len(new))
        known_x, known_y = np.append(known_x, x[new]), np.append(known_y, y[new])
        parts.append((np.full(len(star), k), entry, star))
    frame, entry, star = (np.concatenate([part[column] for part in parts]) for column in range(3))
    place = np.concatenate([stars[k].x[part[2]] + 1j * stars[k].y[part[2]] for k, part in enumerate(parts)])
    error2 = np.concatenate([np.square(stars[k].position_error[part[2]]) for k, part in enumerate(parts)])
    shared = np.bincount(entry, minlength=len(known_x))[entry] > 1
    return _Sightings(
        frame[shared], entry[shared], star[shared], place[shared], error2[shared], len(stars), len(known_x)
    )


def _solve(seen: _Sightings, turn: _Complex, shift: _Complex, scale_variance: float) -> _Joint:
    """Fit the mean list and the maps of the frames in turns, until no star moves."""
    robust, known2 = np.ones(len(seen.frame)), seen.error2
    weight = robust / (known2 + _FLOOR2)
    laid = turn[seen.frame] * seen.place + shift[seen.frame]
    n_unknown = 2.0 * len(np.unique(seen.entry)) + (4.0 if scale_variance > 0.0 else 3.0) * (seen.n_frames - 1)
    free = max(1.0 - n_unknown / (2.0 * len(seen.frame)), 0.05)  # share of the scatter that the fits leave
    bright = known2 <= median_of(known2)
    usual2 = median_of(known2[bright])
    for _ in range(_ROUNDS):
        mean = seen.entry_mean(laid, weight)
        turn, shift = _fit_maps(seen, mean, weight, scale_variance)
        mean = (mean - shift[0]) / turn[0]
        turn, shift = turn / turn[0], (shift - shift[0]) / turn[0]
        before, laid = laid, turn[seen.frame] * seen.place + shift[seen.frame]
        miss2 = np.square(np.abs(laid - mean[seen.entry])) / free
        excess = max(median_of(miss2[bright]) / _MEDIAN_OF_TWO - usual2, 0.0)
        error2 = known2 + excess + _FLOOR2
        robust = _biweight(seen, np.sqrt(miss2 / error2))
        weight = robust / error2
        if np.abs(laid - before).max() < _SETTLED_PX:
            break
    scatter2 = float(np.sum(weight * miss2) / max(2.0 * robust.sum(), _TINY))
    return _Joint(turn, shift, weight, robust, mean, scatter2)


def _fit_maps(seen: _Sightings, mean: _Complex, weight: F64, scale_variance: float) -> tuple[_Complex, _Complex]:
    """Return turn and shift of each frame that lay its stars on the mean list best."""
    from_place, from_mean, across, spread = _moments(seen, mean, weight)
    size = np.abs(across)
    tells = (size > _TINY) & (spread > _TINY)
    size, spread = np.where(tells, size, 1.0), np.where(tells, spread, 1.0)
    drawn = (size / spread - 1.0) / (1.0 + scale_variance * spread)
    farthest = _FARTHEST / np.sqrt(spread)
    scale = size / spread - np.clip(drawn, -farthest, farthest)
    turn = np.where(tells, scale * across / size, 1.0)
    return turn, from_mean - turn * from_place


def _biweight(seen: _Sightings, miss: F64) -> F64:
    """Return Tukey's weights of residuals over their errors, cut by the scatter of the frame where that is above 1."""
    order = np.lexsort((miss, seen.frame))
    count = np.bincount(seen.frame, minlength=seen.n_frames)
    first = np.cumsum(count) - count
    middle = np.minimum(first + count // 2, len(miss) - 1)
    scatter = np.maximum(miss[order][middle] / np.sqrt(_MEDIAN_OF_TWO), 1.0)
    t = miss / (_CUT * scatter[seen.frame])
    return np.where(t < 1.0, np.square(1.0 - t * t), 0.0)


def _moments(seen: _Sightings, mean: _Complex, weight: F64) -> tuple[_Complex, _Complex, _Complex, F64]:
    """Return of each frame the means of z and S, and sum w z* S and sum w |z|², both counted from those means."""
    there = mean[seen.entry]
    from_place, from_mean = seen.frame_mean(seen.place, weight), seen.frame_mean(there, weight)
    z = seen.place - from_place[seen.frame]
    product = weight * np.conj(z) * (there - from_mean[seen.frame])
    across = seen.per_frame(product.real) + 1j * seen.per_frame(product.imag)
    return from_place, from_mean, across, seen.per_frame(weight * np.square(np.abs(z)))


def _scale_variance(seen: _Sightings, joint: _Joint) -> float:
    """
    Return by how much the scales of the frames truly differ: their variance, without that of their errors.

    Definition: (sum (s_k - 1)² / v_k - (n - 1)) / sum 1 / v_k, at least 0, s_k the scale of frame k alone against the
    mean list and v_k its variance (the moment estimator of DerSimonian & Laird 1986, Control. Clin. Trials 7, 177).
    """
    _, _, across, spread = _moments(seen, joint.mean, joint.weight)
    scale = np.abs(across) / np.maximum(spread, _TINY)
    precision = np.where(spread > _TINY, spread, 0.0) / max(joint.scatter2, 1.0)
    excess = float((precision * np.square(scale - 1.0)).sum()) - (seen.n_frames - 1)
    return max(excess / max(float(precision.sum()), _TINY), 0.0)


def _registration(
    seen: _Sightings, joint: _Joint, index: int, before: Registration, stars: Stars, reference: Stars
) -> Registration:
    """Return the registration of one frame, its pairs those stars that the reference's list holds too."""
    star_of = np.full(seen.n_entries, -1)
    star_of[seen.entry[seen.frame == 0]] = seen.star[seen.frame == 0]
    mine = (seen.frame == index) & (joint.robust > 0.0) & (star_of[seen.entry] >= 0)
    pairs = np.stack([seen.star[mine], star_of[seen.entry[mine]]], axis=1)
    if len(pairs) < _LEAST_SEEN:
        return before
    c, t = complex(joint.turn[index]), complex(joint.shift[index])
    transform = Transform.from_matrix([[c.real, -c.imag, t.real], [c.imag, c.real, t.imag], [0, 0, 1]], "similarity")
    u, v = transform(stars.x[pairs[:, 0]], stars.y[pairs[:, 0]])
    miss = np.stack([reference.x[pairs[:, 1]] - u, reference.y[pairs[:, 1]] - v], axis=1)
    return Registration(transform, len(pairs), rms_of(miss), rms_of(miss[:BRIGHT_PAIRS]), pairs)
