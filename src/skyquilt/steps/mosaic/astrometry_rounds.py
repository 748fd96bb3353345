"""The rounds of the joint solution: match, linearise, solve, weigh, and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from skyquilt.core import F64, Mask
from skyquilt.core.sky import unit_vectors
from skyquilt.steps.mosaic.astrometry_lost import find_again
from skyquilt.steps.mosaic.astrometry_maps import Devices, Maps, tangent_basis
from skyquilt.steps.mosaic.astrometry_normal import Step, eliminate_stars, solve_frames
from skyquilt.steps.mosaic.astrometry_nouns import AstroFrame, AstroSettings
from skyquilt.steps.mosaic.astrometry_state import Problem, State, Tied
from skyquilt.steps.mosaic.astrometry_sums import Equations
from skyquilt.steps.mosaic.astrometry_ties import match_ties
from skyquilt.steps.mosaic.astrometry_weights import Trust, Weights, first_weights, weigh

__all__ = ["first_reach_px", "linear_equations", "settle"]

_LEAST_REACH_PX = 2.0
_FIRST_REACH = 2.5  # of the 95th percentile of the catalogue residuals
_PAIRS_FOR_REACH = 30
_LATER_REACH = 5.0  # of the error that nine tenths of the positions keep
_LATER_LEAST_PX = 1.0
_FIRST_ROUNDS, _MOST_ROUNDS = 4, 12
_FIRST_TOLERANCE_PX, _TOLERANCE_PX = 1e-3, 1e-5
_SETTLED_PX = 2e-3
_ROUNDS_BEFORE_ORDER = 2
_MARGIN = 12.0  # what an order of the distortion must gain beyond its parameters' worth (as `kernels.fitting`)
_CELLS, _LEAST_CELLS = 3, 7  # of 3 x 3 parts of the sensor that stars must cover before a distortion is believed


def first_reach_px(frames: Sequence[AstroFrame], settings: AstroSettings) -> float:
    """Return how far apart frames may lay a star at first: what their own catalogue residuals say, within bounds."""
    misses = []
    for frame in frames:
        if len(frame.catalogue_index):
            x, y = frame.wcs.to_pixels(frame.catalogue.ra_deg, frame.catalogue.dec_deg)
            misses.append(np.hypot(frame.stars.x[frame.catalogue_index] - x, frame.stars.y[frame.catalogue_index] - y))
    miss = np.concatenate([np.zeros(0), *misses])
    miss = miss[np.isfinite(miss)]
    if len(miss) < _PAIRS_FOR_REACH:
        return settings.reach_px
    reach = _FIRST_REACH * float(np.percentile(miss, 95.0))
    return min(max(reach, _LEAST_REACH_PX), settings.reach_px)


def settle(problem: Problem, frames: Sequence[AstroFrame], maps: Maps) -> tuple[Tied, State]:
    """
    Return the matched points and the solution that they lead to.

    Parameters
    ----------
    problem : Problem
    frames : sequence of AstroFrame
        In the order of the problem.
    maps : Maps
        The frames as they were given.
    """
    reach = first_reach_px(frames, problem.settings)
    tied = Tied.of(problem, match_ties(problem.points, _given_directions(problem, frames), reach * problem.unit))
    state = _started(tied, maps, 0)
    for _ in range(_FIRST_ROUNDS):
        state, _ = _round(tied, state, _FIRST_TOLERANCE_PX)
    state = find_again(tied, state)
    if len(tied.error):
        sigma = np.hypot(tied.error, state.trust.floor_px[problem.devices.of_frame[tied.frame]])
        reach = min(reach, max(_LATER_LEAST_PX, _LATER_REACH * float(np.percentile(sigma, 90.0))))
    points = problem.points
    vectors = state.maps.to_vectors(problem.devices, points.frame, points.u, points.v)
    tied = Tied.of(problem, match_ties(points, vectors, reach * problem.unit))
    state, fixed = _started(tied, state.maps, state.n_rounds), _no_terms(problem.devices)
    for turn in range(_MOST_ROUNDS):
        if turn == _ROUNDS_BEFORE_ORDER:
            state, fixed = _with_order(tied, state)
        state, moved = _round(tied, state, _TOLERANCE_PX, fixed)
        if turn > _ROUNDS_BEFORE_ORDER and moved < _SETTLED_PX:
            break
    return tied, state


def _given_directions(problem: Problem, frames: Sequence[AstroFrame]) -> F64:
    """Return where the frames' own coordinates lay the points."""
    points = problem.points
    start = np.searchsorted(points.frame, np.arange(len(frames) + 1))
    vectors = np.empty((len(points), 3))
    for k, frame in enumerate(frames):
        part = slice(start[k], start[k + 1])
        ra, dec = frame.wcs.to_sky(points.u[part] + (frame.width - 1) / 2.0, points.v[part] + (frame.height - 1) / 2.0)
        vectors[part] = unit_vectors(ra, dec)
    return vectors


def _started(tied: Tied, maps: Maps, n_rounds: int) -> State:
    """Return the state of points that were matched a moment ago: the stars in the middle of their points."""
    devices, n = tied.problem.devices, tied.ties.n_stars
    vectors = maps.to_vectors(devices, tied.frame, tied.u, tied.v)
    sums = np.stack([np.bincount(tied.star, vectors[:, k], minlength=n) for k in range(3)], axis=1)
    stars: F64 = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    trust = Trust(np.zeros(len(devices)), np.ones(tied.problem.n_frames), 1.0)
    return State(maps, stars, first_weights(tied.error, tied.catalogue_error), trust, n_rounds)


def linear_equations(tied: Tied, maps: Maps, stars: F64, weights: Weights) -> Equations:
    """Return the equations about maps and places of stars."""
    problem, devices = tied.problem, tied.problem.devices
    basis = tangent_basis(stars)
    at, slope = maps.seen(tied.frame, stars[tied.star])
    bent = np.stack(maps.distorted(devices, tied.frame, tied.u, tied.v), axis=1)
    jacobian = problem.unit * np.matmul(slope, basis[tied.star].transpose(0, 2, 1))
    radius = devices.radius[devices.of_frame[tied.frame]]
    prior = maps.offsets(devices, problem.given)
    away = np.sum(prior[:, :2] ** 2, axis=1) / tied.held_px**2
    prior_weight = np.repeat((1.0 / (tied.held_px**2 * (1.0 + away)))[:, None], prior.shape[1], axis=1)
    if prior.shape[1] == 6:
        upright = 1.0 / (problem.settings.lean * devices.radius[devices.of_frame]) ** 2
        prior[:, 4:] = -maps.leanings(devices)
        prior_weight[:, 4:] = upright[:, None]
    return Equations(
        frame=tied.frame,
        star=tied.star,
        u=tied.u / radius,
        v=tied.v / radius,
        bent_u=bent[:, 0] / radius,
        bent_v=bent[:, 1] / radius,
        residual=at - bent,
        jacobian=jacobian,
        weight=weights.points,
        star_residual=_star_residual(tied, stars, basis),
        star_weight=weights.stars,
        prior=prior,
        prior_weight=prior_weight,
        sip=maps.sip.reshape(len(devices), -1),
    )


def _star_residual(tied: Tied, stars: F64, basis: F64) -> F64:
    """Return place minus catalogue place, px along the basis; zero for a star that is not in the catalogue."""
    away = np.einsum("sab,sb->sa", basis, stars - tied.anchors) / tied.problem.unit
    return np.where(np.isfinite(tied.catalogue_error)[:, None], away, 0.0)


def _no_terms(devices: Devices) -> Mask:
    return np.zeros((len(devices), 2 * devices.n_terms), bool)


def _round(tied: Tied, state: State, tolerance_px: float, fixed: Mask | None = None) -> tuple[State, float]:
    """Return the state after one linear solution, and how far a frame moved, px."""
    devices = tied.problem.devices
    equations = linear_equations(tied, state.maps, state.stars, state.weights)
    normal = eliminate_stars(equations, devices, tied.problem.n_frames)
    nothing = np.zeros((len(devices), 2 * devices.n_terms))
    fixed = _no_terms(devices) if fixed is None else fixed
    step = solve_frames(normal, equations, devices, tolerance_px=tolerance_px, fixed=fixed, fixed_to=nothing)
    maps, stars = _moved(tied, state, step)
    weights, trust = _weighed(tied, maps, stars, state.weights)
    return State(maps, stars, weights, trust, state.n_rounds + 1), float(np.abs(step.frames).max(initial=0.0))


def _moved(tied: Tied, state: State, step: Step) -> tuple[Maps, F64]:
    devices = tied.problem.devices
    maps = state.maps.moved(devices, step.frames, step.sip.reshape(state.maps.sip.shape))
    across = np.einsum("sab,sa->sb", tangent_basis(state.stars), step.stars)
    stars = state.stars + tied.problem.unit * across
    return maps, stars / np.linalg.norm(stars, axis=1, keepdims=True)


def _weighed(tied: Tied, maps: Maps, stars: F64, weights: Weights) -> tuple[Weights, Trust]:
    devices = tied.problem.devices
    at, _ = maps.seen(tied.frame, stars[tied.star])
    residual = at - np.stack(maps.distorted(devices, tied.frame, tied.u, tied.v), axis=1)
    return weigh(
        residual,
        _star_residual(tied, stars, tangent_basis(stars)),
        weights,
        error=tied.error,
        frame=tied.frame,
        star=tied.star,
        catalogue_error=tied.catalogue_error,
        devices=devices,
        least_floor_px=tied.problem.settings.floor_px,
    )


def _with_order(tied: Tied, state: State) -> tuple[State, Mask]:
    """
    Return the state with the lowest orders of distortion that the stars do not contradict, and the terms left out.

    From the highest order down, an order goes if the sum of squares grows by less than its parameters are worth
    (Schwarz 1978, Annals of Statistics 6, 461) and a margin, with weights that stay.
    """
    devices = tied.problem.devices
    fixed = _no_terms(devices)
    if not devices.n_terms:
        return state, fixed
    equations = linear_equations(tied, state.maps, state.stars, state.weights)
    normal = eliminate_stars(equations, devices, tied.problem.n_frames)
    best = solve_frames(normal, equations, devices, tolerance_px=_TOLERANCE_PX, fixed=fixed, fixed_to=-equations.sip)
    degree = np.tile([i + j for i, j in devices.powers], 2)
    for device in range(len(devices)):
        mine = (devices.of_frame[tied.frame] == device) & (state.weights.robust > 0.0)
        is_covered = _covers(tied, mine, device)
        for order in sorted(set(degree.tolist()), reverse=True):
            without = fixed.copy()
            without[device] |= degree >= order
            poorer = solve_frames(
                normal, equations, devices, tolerance_px=_TOLERANCE_PX, fixed=without, fixed_to=-equations.sip
            )
            n_terms = int(np.count_nonzero(without) - np.count_nonzero(fixed))
            worth = n_terms * np.log(max(2 * int(mine.sum()), 2)) + _MARGIN
            if is_covered and best.gain - poorer.gain > worth:
                break
            fixed, best = without, poorer
    if not fixed.any():
        return state, fixed
    maps, stars = _moved(tied, state, best)
    flat = maps.sip.reshape(fixed.shape)
    return replace(state, maps=maps.with_sip(np.where(fixed, 0.0, flat).reshape(maps.sip.shape)), stars=stars), fixed


def _covers(tied: Tied, mine: Mask, device: int) -> bool:
    """Whether the points reach most parts of the sensor."""
    devices = tied.problem.devices
    u, v = tied.u[mine] / devices.width[device] + 0.5, tied.v[mine] / devices.height[device] + 0.5
    column = np.clip((u * _CELLS).astype(np.int64), 0, _CELLS - 1)
    line = np.clip((v * _CELLS).astype(np.int64), 0, _CELLS - 1)
    return len(np.unique(line * _CELLS + column)) >= _LEAST_CELLS
