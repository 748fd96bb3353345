"""One flux scale for every frame, from the stars that frames have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skyquilt.core import F64, I64, Mask
from skyquilt.kernels.order import median_of
from skyquilt.steps.mosaic.agreement import (
    Looks,
    common_values,
    connected_groups,
    leverage,
    solve_agreement,
    sum_by,
    tukey,
)

__all__ = ["FluxObservations", "FluxScales", "fit_device_factors", "fit_flux_scales"]

_BRIGHT_SNR = 10.0
_FEW_STARS = 8
_LEAST_STARS = 3
_FLUX_FLOOR = 0.005  # relative: what a measured flux is never better than
_CATALOGUE_MAG = 0.1
_LN_PER_MAG = 0.4 * np.log(10.0)
_CUT_SIGMA = 4.7  # Tukey's biweight, 95 % efficiency
_HUBER_SIGMA = 1.5
_HUBER_ROUNDS = 5
_SCATTER_ROUNDS = 8
_ROUNDS = 25
_SETTLED = 1e-5  # of ln flux
_NEARLY = 1e-3
_FEW_FOR_SCATTER = 8
_MEDIAN_CHI2 = 0.4549
_MOST_SCATTER = 0.15  # of ln flux: a frame's stars that disagree more than that are not the same stars
_TIE = 0.05  # weight of a look below which it ties nothing
_SLACK = 1e-11  # of the weight of a frame: keeps what no star tells at its start
_FEW_UNKNOWNS = 300  # solved directly
_MOST_COARSE = 1500


@dataclass(frozen=True, slots=True, eq=False)
class FluxObservations:
    """
    Fluxes of stars in frames.

    Attributes
    ----------
    frame : int64 (n,)
        Number of the frame, from 0.
    star : int64 (n,)
        Any number that is the same for the same star.
    flux, flux_error : float64 (n,), ADU
        In the whole exposure; observations that are not above 0 take no part.
    is_saturated : bool (n,)
        Takes no part.
    """

    frame: I64
    star: I64
    flux: F64
    flux_error: F64
    is_saturated: Mask

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, slots=True, eq=False)
class FluxScales:
    """
    The scales of all frames.

    Attributes
    ----------
    scale : float64 (n_frames,)
        What a frame's fluxes are multiplied with: 1 for the reference.
    relative_exposure : float64 (n_frames,)
        Exposure of the frame over that of the reference (or the median); 1 where unknown.
    group : int64 (n_frames,)
        Frames of one number are tied by stars (or the catalogue); -1 where no star ties the frame.
    n_stars : int64 (n_frames,)
        Shared stars that the scale of the frame rests on.
    scatter : float64 (n_frames,)
        Of ln flux beyond the measured errors; NaN where no star ties the frame.
    star, ln_flux : int64 and float64 (n_stars,)
        Stars of the solution and their ln flux on the common scale.
    rms : float
        Of the weighted residuals of ln flux; NaN without any.
    unfit : tuple of (int, str)
        Frames without a scale of their own (they have that of their exposure), and those that disagree, and why.
    """

    scale: F64
    relative_exposure: F64
    group: I64
    n_stars: I64
    scatter: F64
    star: I64
    ln_flux: F64
    rms: float
    unfit: tuple[tuple[int, str], ...]


def fit_flux_scales(
    observations: FluxObservations,
    n_frames: int,
    *,
    reference: int | None = None,
    exposure_s: Sequence[float] | F64 | None = None,
    catalogue_star: I64 | None = None,
    catalogue_mag: F64 | None = None,
) -> FluxScales:
    """
    Return the flux scales that make all stars agree in all frames.

    Parameters
    ----------
    observations : FluxObservations
    n_frames : int
    reference : int or None
        The frame whose scale is 1; None: the median of the frames, at the median exposure, is 1.
    exposure_s : (n_frames,), s, or None
        Frames without stars in common get the scale of their exposure. NaN where unknown.
    catalogue_star, catalogue_mag : int64 and float64 (m,), or None
        Magnitudes of some of the stars; they tie groups of frames that share no star.

    Raises
    ------
    ValueError
        If arrays differ in length, or a frame's number is not in 0 to n_frames - 1.

    Notes
    -----
    Model: ln F_observed = ln F_star - ln s_frame; the stars' fluxes are unknown and eliminated exactly
    (`agreement.solve_agreement`). The catalogue is one more frame, whose "fluxes" 10^(-0.4 m) have errors of 0.1 mag
    and whose scale is the zero point.

    Errors: those measured, 0.5 %, and for each frame the scatter that its stars show beyond that. Huber's weights
    first, then Tukey's biweight.

    An observation is chosen, weighed and freed from the bias of its logarithm (+ e² / 2) by the flux that all frames
    together predict for it, never by its own: a star whose noise was upwards has no better chance. Stars of a predicted
    signal-to-noise above 10 take part, the best eight where a frame has fewer.
    """
    frame, star = np.asarray(observations.frame, np.int64), np.asarray(observations.star, np.int64)
    lengths = {len(frame), len(star), len(observations.flux), len(observations.flux_error)}
    if len(lengths | {len(observations.is_saturated)}) > 1:
        raise ValueError("the arrays of the observations differ in length")
    if len(frame) and not (frame.min() >= 0 and frame.max() < n_frames):
        raise ValueError(f"observations of frame {frame.min()} to {frame.max()}, there are {n_frames} frames")
    if reference is not None and not 0 <= reference < n_frames:
        raise ValueError(f"the reference is frame {reference}, there are {n_frames} frames")
    exposure = _relative_exposure(exposure_s, n_frames, reference)
    table = _gather(observations, exposure, catalogue_star, catalogue_mag, n_frames)
    first = _settle(table, np.zeros(n_frames + 1), _NEARLY)
    chosen = _choose(table, first)
    if np.any(chosen):
        table = table.predicted(first).take(chosen)
        solution = _settle(table, first.shift, _SETTLED)
    else:
        table, solution = table.take(chosen), first
    return _published(table, solution, exposure, n_frames, reference)


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Looks at stars, the error of ln flux of each, and the stars' own numbers; frame n_frames - 1 is the catalogue."""

    looks: Looks
    error: F64
    star: I64

    def take(self, chosen: Mask) -> _Table:
        return _Table(self.looks.take(chosen), self.error[chosen], self.star)

    def predicted(self, solution: _Solution) -> _Table:
        """Return the same with errors relative to the flux that the solution predicts, and its logarithm unbiased."""
        error = self._predicted_error(solution)
        is_star = self.looks.frame < self.looks.n_frames - 1
        error = np.where(is_star, error, self.error)
        value = self.looks.value + np.where(is_star, 0.5 * np.minimum(error, 0.2) ** 2, 0.0)[:, None]
        looks = Looks(
            self.looks.frame, self.looks.thing, self.looks.terms, value, self.looks.n_frames, self.looks.n_things
        )
        return _Table(looks, error, self.star)

    def _predicted_error(self, solution: _Solution) -> F64:
        expected = solution.ln_flux[self.looks.thing] - solution.shift[self.looks.frame]
        error: F64 = self.error * np.exp(np.clip(self.looks.value[:, 0] - expected, -5.0, 5.0))
        return error


@dataclass(frozen=True, slots=True, eq=False)
class _Solution:
    """ln scale of the frames and the catalogue, ln flux of the stars, robust weight and whole variance of each look."""

    shift: F64
    ln_flux: F64
    robust: F64
    variance: F64
    scatter: F64


def _relative_exposure(exposure_s: Sequence[float] | F64 | None, n_frames: int, reference: int | None) -> F64:
    if exposure_s is None:
        return np.ones(n_frames)
    exposure = np.asarray(exposure_s, np.float64)
    if exposure.shape != (n_frames,):
        raise ValueError(f"{exposure.size} exposures for {n_frames} frames")
    known = np.isfinite(exposure) & (exposure > 0)
    if not known.any():
        return np.ones(n_frames)
    usual = float(np.median(exposure[known]))
    if reference is not None and known[reference]:
        usual = float(exposure[reference])
    return np.where(known, exposure, usual) / usual


def _gather(
    observations: FluxObservations, exposure: F64, catalogue_star: I64 | None, catalogue_mag: F64 | None, n_frames: int
) -> _Table:
    """Return the observations that can be used, and the catalogue's, of stars that two of them show."""
    flux, flux_error = np.asarray(observations.flux, np.float64), np.asarray(observations.flux_error, np.float64)
    good = ~np.asarray(observations.is_saturated, bool) & (flux > 0) & np.isfinite(flux) & np.isfinite(flux_error)
    frame, star = observations.frame[good], observations.star[good]
    value = np.log(flux[good] / exposure[frame])
    error = np.maximum(flux_error[good], 1e-12) / flux[good]
    if catalogue_star is not None and catalogue_mag is not None:
        if len(catalogue_star) != len(catalogue_mag):
            raise ValueError(f"{len(catalogue_star)} stars of the catalogue, {len(catalogue_mag)} magnitudes")
        known = np.isfinite(catalogue_mag) & np.isin(catalogue_star, star)
        n = int(known.sum())
        frame = np.concatenate([frame, np.full(n, n_frames)])
        star = np.concatenate([star, catalogue_star[known]])
        value = np.concatenate([value, -_LN_PER_MAG * catalogue_mag[known].astype(np.float64)])
        error = np.concatenate([error, np.full(n, _LN_PER_MAG * _CATALOGUE_MAG)])
    numbers, thing = np.unique(star, return_inverse=True)
    order = np.lexsort((frame, thing))
    looks = Looks(
        frame[order].astype(np.int64), thing[order].astype(np.int64), np.ones((len(frame), 1)), value[order][:, None],
        n_frames + 1, len(numbers),
    )  # fmt: skip
    table = _Table(looks, error[order], numbers)
    return table.take(_is_tied(looks, _LEAST_STARS))


def _is_tied(looks: Looks, fewest: int) -> Mask:
    """Looks at stars that two frames show, of frames that have enough of them."""
    good = np.ones(len(looks.frame), dtype=bool)
    while True:
        seen = np.bincount(looks.thing[good], minlength=looks.n_things)
        now = good & (seen[looks.thing] >= 2)
        shared = np.bincount(looks.frame[now], minlength=looks.n_frames)
        now &= shared[looks.frame] >= fewest
        if np.array_equal(now, good):
            return good
        good = now


def _choose(table: _Table, solution: _Solution) -> Mask:
    """Looks whose predicted signal-to-noise is high enough, or among the best eight of their frame."""
    looks = table.looks
    snr = 1.0 / np.maximum(table._predicted_error(solution), 1e-12)
    is_catalogue = looks.frame == looks.n_frames - 1
    order = np.lexsort((looks.thing, -snr, looks.frame))
    frame = looks.frame[order]
    first = np.searchsorted(frame, np.arange(looks.n_frames))
    rank = np.empty(len(frame), dtype=np.int64)
    rank[order] = np.arange(len(frame)) - first[frame]
    good = (snr > _BRIGHT_SNR) | (rank < _FEW_STARS) | is_catalogue
    chosen: Mask = np.zeros(len(good), dtype=bool)
    chosen[np.flatnonzero(good)[_is_tied(looks.take(good), _LEAST_STARS)]] = True
    return chosen


def _settle(table: _Table, start: F64, settled: float) -> _Solution:
    """Solve for all scales by iteratively re-weighted least squares."""
    looks, n = table.looks, table.looks.n_frames
    base = table.error**2 + np.where(looks.frame < n - 1, _FLUX_FLOOR**2, 0.0)
    shift, robust, variance, scatter = start.reshape(n, 1, 1), np.ones(len(base)), base, np.zeros(n)
    if not len(base):
        return _Solution(start, np.full(looks.n_things, np.nan), robust, variance, scatter)
    coarse = _coarse_moves(looks)
    seen = np.bincount(looks.frame, minlength=n) > 0
    for turn in range(_ROUNDS):
        weight = robust / variance
        precision = np.where(seen, _SLACK * sum_by(looks.frame, 1.0 / variance, n), 1.0)[:, None]
        before = shift
        shift = solve_agreement(looks, weight, precision, np.zeros((n, 1, 1)), before, coarse)
        shift = shift - np.median(shift[seen])
        corrected = looks.corrected(shift)
        residual = (corrected - common_values(looks, weight, corrected)[looks.thing])[:, 0]
        freedom = np.maximum(1.0 - leverage(looks, 1.0 / variance), 0.05)
        if turn < _SCATTER_ROUNDS:  # its medians hop from star to star and would keep the rest from coming to rest
            scatter = _scatter(looks, residual**2 / freedom, base)
            variance = base + scatter[looks.frame] ** 2
        t = np.abs(residual) / np.sqrt(variance * freedom)
        if turn < _HUBER_ROUNDS:
            robust = _HUBER_SIGMA / np.maximum(t, _HUBER_SIGMA)
            continue
        robust = tukey(t, _CUT_SIGMA)
        if np.ptp((shift - before)[seen]) < settled:
            break
    weight = robust / variance
    ln_flux = common_values(looks, weight, looks.corrected(shift))[:, 0]
    return _Solution(shift[:, 0, 0], ln_flux, robust, variance, scatter)


def _scatter(looks: Looks, square: F64, base: F64) -> F64:
    """Return the scatter of each frame's stars beyond their errors; the frames' median for those with few stars."""
    excess = square / _MEDIAN_CHI2 - base
    order = np.argsort(looks.frame, kind="stable")
    ends = np.searchsorted(looks.frame[order], np.arange(looks.n_frames + 1))
    scatter = np.full(looks.n_frames, np.nan)
    for k in range(looks.n_frames):
        if ends[k + 1] - ends[k] >= _FEW_FOR_SCATTER:
            scatter[k] = max(median_of(excess[order[ends[k] : ends[k + 1]]]), 0.0)
    usual = float(np.nanmedian(scatter[:-1])) if np.isfinite(scatter[:-1]).any() else 0.0
    scatter[-1] = 0.0 if np.isnan(scatter[-1]) else scatter[-1]
    return np.sqrt(np.where(np.isfinite(scatter), scatter, usual))


def _coarse_moves(looks: Looks) -> Any:
    """Return moves of frames together: each alone where they are few, else those that share their commonest star."""
    from scipy.sparse import coo_array, eye_array

    n = looks.n_frames
    if n <= _FEW_UNKNOWNS:
        return eye_array(n, format="csr")
    seen = np.bincount(looks.thing, minlength=looks.n_things)[looks.thing]
    order = np.lexsort((looks.thing, -seen, looks.frame))
    frames, first = np.unique(looks.frame[order], return_index=True)
    names, column = np.unique(looks.thing[order][first], return_inverse=True)
    size = np.bincount(column)
    kept = np.argsort(-size, kind="stable")[:_MOST_COARSE]
    place = np.full(len(names), -1)
    place[kept] = np.arange(len(kept))
    good = place[column] >= 0
    row, column = frames[good], place[column[good]]
    return coo_array((np.ones(len(row)), (row, column)), shape=(n, len(kept))).tocsr()


def _published(table: _Table, solution: _Solution, exposure: F64, n_frames: int, reference: int | None) -> FluxScales:
    """Fix the scale of each group of frames and say which frames have none."""
    looks, robust = table.looks, solution.robust
    tying = robust > _TIE
    seen = np.bincount(looks.thing[tying], minlength=looks.n_things)
    counted = tying & (seen[looks.thing] >= 2)
    n_stars = np.bincount(looks.frame[counted], minlength=n_frames + 1)[:n_frames]
    group = connected_groups(looks, counted.astype(np.float64))[:n_frames]
    group = _numbered(np.where(n_stars >= _LEAST_STARS, group, -1))
    shift = _anchored(solution.shift[:n_frames].copy(), group, reference)
    residual = (looks.corrected(solution.shift[:, None, None])[:, 0] - solution.ln_flux[looks.thing])[counted]
    weight = (robust / solution.variance)[counted]
    is_star = looks.frame[counted] < n_frames
    rms = np.nan
    if is_star.any():
        rms = float(np.sqrt(np.average(residual[is_star] ** 2, weights=weight[is_star])))
    unfit = [
        (k, f"{n_stars[k]} unsaturated stars in common with other frames; a flux scale takes {_LEAST_STARS}")
        for k in np.flatnonzero(group < 0)
    ]
    unfit += [
        (k, f"its stars scatter by {solution.scatter[k]:.0%} against the other frames: clouds, or not the same stars")
        for k in np.flatnonzero((group >= 0) & (solution.scatter[:n_frames] > _MOST_SCATTER))
    ]
    by_stars = np.where(looks.frame < n_frames, robust / solution.variance, 0.0)
    placed = looks.corrected(np.append(shift, 0.0)[:, None, None])
    known = np.bincount(looks.thing, by_stars, looks.n_things) > 0
    ln_flux = np.where(known, common_values(looks, by_stars, placed)[:, 0], np.nan)
    return FluxScales(
        np.exp(shift) / exposure,
        exposure,
        group,
        n_stars.astype(np.int64),
        np.where(group >= 0, solution.scatter[:n_frames], np.nan),
        table.star,
        ln_flux,
        rms,
        tuple(sorted((int(k), reason) for k, reason in unfit)),
    )


def _numbered(label: I64) -> I64:
    """Number the groups by their size, the largest 0; -1 stays."""
    names, first, size = np.unique(label[label >= 0], return_index=True, return_counts=True)
    order = np.lexsort((first, -size))
    number = np.full(label.shape, -1, dtype=np.int64)
    for rank, which in enumerate(order):
        number[label == names[which]] = rank
    return number


def _anchored(shift: F64, group: I64, reference: int | None) -> F64:
    """
    Return ln scale less ln exposure such that the reference (or the median of the largest group) has 0.

    The other groups' median transparency is that of the group with the reference; frames that no star ties have it too.
    """
    home = int(group[reference]) if reference is not None else 0
    if home < 0 or not np.any(group == home):
        home, reference = 0, None
    members = group == home
    if not members.any():
        return np.zeros_like(shift)
    zero = shift[reference] if reference is not None else np.median(shift[members])
    shift[members] -= zero
    usual = float(np.median(shift[members]))
    for other in range(int(group.max()) + 1):
        if other != home:
            shift[group == other] += usual - float(np.median(shift[group == other]))
    shift[group < 0] = usual
    return shift


def fit_device_factors(
    observations: FluxObservations, scales: FluxScales, device: I64, *, reference: int | None = None
) -> F64:
    """
    Return what one channel's scale is in that of the stars' channel, for each frame, float64 (n_frames,).

    Parameters
    ----------
    observations : FluxObservations
        Fluxes in that channel.
    scales : FluxScales
        Of the stars' channel.
    device : int64 (n_frames,)
        Frames of one number went through the same telescope, filter and camera and get one factor.
    reference : int or None
        A frame of the device whose factor is 1; None: the devices' median is 1.

    Notes
    -----
    `fit_flux_scales` with devices in the place of frames, after the frames' own scales. Devices that share no three
    stars with others get the factor of the usual device.
    """
    frame = np.asarray(observations.frame, np.int64)
    factor = scales.scale[frame]
    of_device = FluxObservations(
        device[frame], observations.star, observations.flux * factor, observations.flux_error * factor,
        observations.is_saturated,
    )  # fmt: skip
    n_devices = int(device.max(initial=-1)) + 1
    found = fit_flux_scales(of_device, n_devices, reference=None if reference is None else int(device[reference]))
    by_frame: F64 = found.scale[device]
    return by_frame
