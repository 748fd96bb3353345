"""One surface for every frame and colour, so that the sky agrees wherever frames overlap."""

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
    tukey,
)
from skyquilt.steps.mosaic.frame_sky import FrameSky, Lattice, make_lattice, surface_terms
from skyquilt.steps.mosaic.near_places import group_near

__all__ = ["SkySurfaces", "fit_sky_surfaces"]

_N_TERMS = (1, 3, 6)
_LEAST_CELLS = (1, 8, 20)
# share of the frame that others show too: a plane's weak side is held by what the frames know, a bowl needs the middle
_LEAST_OVERLAP = (0.0, 0.0, 0.7)
_CUT_SIGMA = 4.7  # Tukey's biweight
_HUBER_SIGMA = 1.5
_HUBER_ROUNDS = 4
_ROUNDS = 14
_SETTLED = 0.02  # of a pixel's noise, in the corrections
_ROUGH = 1e-3  # tolerance of the rounds before the last
_FEW_FOR_SCATTER = 20
_MOST_SCATTER = 5.0  # times the usual: what a single frame's cells are trusted less
_IS_OUT = 0.1  # robust weight below which a cell has no say
_MOST_OUT = 0.5
_TIE = 0.05
_LEAST_GAIN = 0.95
_LEAST_FREEDOM = 5
_ENOUGH_LOOKS = 50_000
_LEAST_SPREAD = 10.0  # of the noise of a cell: how well the frames' own sky is trusted at the most
_FEW_UNKNOWNS = 150  # solved directly
_MOST_COARSE = 600  # more of them converge in fewer rounds, but each round costs more than it saves


@dataclass(frozen=True, slots=True, eq=False)
class SkySurfaces:
    """
    The surfaces of all frames.

    Attributes
    ----------
    surface : float64 (n_frames, n_channels, 1, 3 or 6), ADU of the reference
        Coefficients as in `Normalisation`, about the middle of each frame; as many as the highest order used takes.
    order : int64 (n_frames,)
        Order that the shared cells of the frame carry; -1 where it overlaps nothing.
    group : int64 (n_frames,)
        Frames of one number are tied by overlaps, the largest group 0; -1 where a frame overlaps nothing.
    n_cells : int64 (n_frames,)
        Shared cells that the surface rests on.
    rms_before, rms_after : float64 (n_channels,), ADU of the reference
        Of the cells' differences from the common sky, with the flux scales alone and with the surfaces; cells that the
        fit passes over do not count. NaN without overlaps.
    unfit : tuple of (int, str)
        Frames that overlap nothing, and those whose sky does not agree, with the reason.
    """

    surface: F64
    order: I64
    group: I64
    n_cells: I64
    rms_before: F64
    rms_after: F64
    unfit: tuple[tuple[int, str], ...]


def fit_sky_surfaces(
    maps: Sequence[FrameSky],
    scale: F64,
    *,
    relative_exposure: F64 | None = None,
    surface_order: int = 2,
    lattice: Lattice | None = None,
) -> SkySurfaces:
    """
    Return the surfaces b such that the samples scale * v + b(x, y) of all frames show the same sky.

    Parameters
    ----------
    maps : sequence of FrameSky
        With the same number of channels.
    scale : float64 (n_frames, n_channels)
        Flux scales.
    relative_exposure : float64 (n_frames,) or None
        Exposures over that of the reference: longer exposures have more sky of their own. None: all the same.
    surface_order : int
        0, 1 or 2: order of the polynomials at the most. It is lower where the shared cells of a frame do not carry it,
        and for all frames where they do not agree better for it.
    lattice : Lattice or None
        `make_lattice` of the maps, if there is one already.

    Raises
    ------
    ValueError
        If `surface_order` is none of those, or the number of channels or frames differs.

    Notes
    -----
    At every point c of a lattice on the canvas that two frames show, scale_k v_k(c) + b_k(c) = M(c) + noise. M is
    unknown and eliminated exactly (`agreement.solve_agreement`), so that whatever belongs to the sky, nebulae larger
    than a frame too, cancels. Huber's weights first, then Tukey's biweight on the root mean square over the channels;
    the noise is that of the maps times the scatter found, larger for frames that scatter more.

    Overlaps tell differences only. What they leave open, a polynomial common to all frames (and nearly so: the bow of a
    long strip), is decided by what the frames themselves show, each frame being one witness:

    - its level: the middle of n_k - v_k (in the reference's exposure) is 0 within the scatter of the frames' levels;
    - its shape: each slope and curvature of b_k is 0 within the scatter of the frames' own slopes and curvatures.

    So the mean correction is 0: the result has the mean level of the frames as they are, its large-scale tilt is that
    on which the frames' levels and slopes agree best, and a constant added to every frame is added to the result.
    These witnesses are weaker than one shared cell and thus hardly move what overlaps tell. Other groups of frames, and
    frames without overlaps, are brought to the mean level of the largest group.

    Cost: linear in the number of cells of all frames.
    """
    n_frames = len(maps)
    if surface_order not in (0, 1, 2):
        raise ValueError(f"the surface is of order 0, 1 or 2, not {surface_order}")
    n_channels = len(maps[0].level) if n_frames else 1
    if any(len(one.level) != n_channels for one in maps):
        raise ValueError("the maps of the sky have different numbers of channels")
    if scale.shape != (n_frames, n_channels):
        raise ValueError(f"scales of shape {scale.shape} for {n_frames} frames of {n_channels} channels")
    if not n_frames:
        none = np.zeros(0, dtype=np.int64)
        nan = np.full(n_channels, np.nan)
        return SkySurfaces(np.zeros((0, n_channels, _N_TERMS[surface_order])), none, none, none, nan, nan, ())
    exposure = np.ones(n_frames) if relative_exposure is None else relative_exposure
    lattice = make_lattice(maps) if lattice is None else lattice
    carried = _carried_orders(lattice, surface_order)
    own = _own_sky(maps, scale, exposure, surface_order)
    order = _choose_order(maps, scale, carried, lattice, own, surface_order)
    problem = _Problem.of(maps, scale, np.minimum(carried, order), lattice)
    return _published(problem, own, _fit(problem, own))


def _carried_orders(lattice: Lattice, surface_order: int) -> I64:
    """Return the order that the shared points of each frame carry, at the most; -1 without any."""
    shared = np.bincount(lattice.point, minlength=lattice.n_points)[lattice.point] >= 2
    n_shared = np.bincount(lattice.frame[shared], minlength=lattice.n_frames)
    carried = np.full(lattice.n_frames, -1, dtype=np.int64)
    for order in range(surface_order + 1):
        carried[(n_shared >= _LEAST_CELLS[order]) & (n_shared >= _LEAST_OVERLAP[order] * lattice.n_covered)] = order
    return carried


def _choose_order(
    maps: Sequence[FrameSky], scale: F64, carried: I64, lattice: Lattice, own: _OwnSky, surface_order: int
) -> int:
    """
    Return the lowest order beyond which the frames do not agree better.

    Every coefficient costs noise and lets long rows of frames bend; a higher order must lessen the variance of the
    cells about the common sky, freed from the number of coefficients, by 5 %. A part of the points is enough to see.
    """
    thin = lattice.thinned(max(1, len(lattice.frame) // _ENOUGH_LOOKS))
    chosen, least = 0, np.inf
    for order in range(min(surface_order, int(carried.max())) + 1):
        problem = _Problem.of(maps, scale, np.minimum(carried, order), thin)
        n = len(problem.looks.frame) - problem.looks.n_things
        left = n - int(problem.used_terms().sum())
        if left < n / _LEAST_FREEDOM:
            break
        variance = _fit(problem, own, is_rough=True).scale ** 2 * n / left
        if variance < _LEAST_GAIN * least:
            chosen, least = order, variance
    return chosen


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """Shared looks in units of each channel's noise, the relative error of each, and what each frame can carry."""

    looks: Looks
    error: F64
    noise: F64
    order: I64
    pointing: I64
    place: F64  # (n_frames, 3): middle and radius

    @staticmethod
    def of(maps: Sequence[FrameSky], scale: F64, order: I64, lattice: Lattice) -> _Problem:
        """Return the problem of surfaces of these orders."""
        surface_order = max(int(order.max()), 0)
        noise_adu = np.stack([one.noise_adu for one in maps]) * scale
        noise = np.nanmedian(np.where(noise_adu > 0, noise_adu, np.nan), axis=0) if np.any(noise_adu > 0) else None
        noise = np.ones(noise_adu.shape[1]) if noise is None else np.where(np.isfinite(noise), noise, 1.0)
        relative = np.sqrt(np.mean((noise_adu / noise) ** 2, axis=1))
        relative = np.where(np.isfinite(relative) & (relative > 0), relative, 1.0)
        place = np.array([(*one.centre, one.radius) for one in maps])
        seen = np.bincount(lattice.point, minlength=lattice.n_points)
        shared: Mask = seen[lattice.point] >= 2
        frame = lattice.frame[shared]
        u = (lattice.x[shared] - place[frame, 0]) / place[frame, 2]
        v = (lattice.y[shared] - place[frame, 1]) / place[frame, 2]
        terms = surface_terms(u, v, surface_order)
        for candidate in range(surface_order):
            terms[order[frame] <= candidate, _N_TERMS[candidate] :] = 0.0
        value = scale[frame] * lattice.level[shared] / noise
        _, thing = np.unique(lattice.point[shared], return_inverse=True)
        looks = Looks(frame, thing.astype(np.int64), terms, value, len(maps), int(thing.max()) + 1 if len(thing) else 0)
        pointing = group_near(place[:, 0], place[:, 1], place[:, 2])
        return _Problem(looks, relative[frame], noise, order, pointing, place)

    def used_terms(self) -> Mask:
        """Return which coefficients of each frame are free, bool (n_frames, p)."""
        p = self.looks.terms.shape[1]
        degree = np.array([0, 1, 1, 2, 2, 2])[:p]
        return degree[None, :] <= self.order[:, None]


@dataclass(frozen=True, slots=True, eq=False)
class _OwnSky:
    """
    What the frames tell of their own sky, ADU of the reference.

    `scaled` is the level of each, times its flux scale, and `unscaled` as it is, in the reference's exposure, both
    (n_frames, n_channels), NaN where unknown; `spread` is the scatter of each kind of term, (p, n_channels).
    """

    scaled: F64
    unscaled: F64
    spread: F64

    def constant(self) -> F64:
        """Return the correction that leaves each frame's level as it is."""
        difference = self.unscaled - self.scaled
        return np.where(np.isfinite(difference), difference, 0.0)


def _own_sky(maps: Sequence[FrameSky], scale: F64, exposure: F64, surface_order: int) -> _OwnSky:
    """Fit each frame's own map by the surface that it may get, and see how much frames differ."""
    p = _N_TERMS[surface_order]
    n_channels = scale.shape[1]
    level = np.full((len(maps), n_channels), np.nan)
    shape = np.full((len(maps), p, n_channels), np.nan)
    for k, one in enumerate(maps):
        known = np.isfinite(one.level).all(axis=0)
        if not known.any():
            continue
        values = one.level[:, known].astype(np.float64)
        level[k] = [median_of(row) for row in np.ascontiguousarray(values)]
        if known.sum() > 2 * p:
            u, v = (one.x[known] - one.centre[0]) / one.radius, (one.y[known] - one.centre[1]) / one.radius
            terms = surface_terms(u, v, surface_order)
            shape[k] = np.linalg.lstsq(terms, (scale[k, :, None] * (values - level[k, :, None])).T, rcond=None)[0]
    spread = np.zeros((p, n_channels))
    own = level / exposure[:, None]  # as they are, in the exposure of the reference
    spread[0] = 1.4826 * _nanmedian(np.abs(own - _nanmedian(own)))
    degree = np.array([0, 1, 1, 2, 2, 2])[:p]
    for kind in range(1, surface_order + 1):
        square = np.sum(shape[:, degree == kind] ** 2, axis=1) / (degree == kind).sum()
        spread[degree == kind] = np.sqrt(_nanmedian(square))
    return _OwnSky(scale * level, own, spread)


def _nanmedian(values: F64) -> F64:
    """Medians of the columns over frames that are known, 0 where none is."""
    columns = [column[np.isfinite(column)] for column in values.T]
    return np.array([np.median(column) if len(column) else 0.0 for column in columns])


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """Coefficients in units of each channel's noise, robust weights, scatter of all cells and more of some frames."""

    coefficients: F64
    robust: F64
    variance: F64
    factor: F64
    scale: float


def _fit(problem: _Problem, own: _OwnSky, *, is_rough: bool = False) -> _Fit:
    """Solve for all surfaces by iteratively re-weighted least squares."""
    looks, used = problem.looks, problem.used_terms()
    n, p, n_channels = looks.n_frames, looks.terms.shape[1], looks.value.shape[1]
    pull = np.zeros((n, p, n_channels))
    pull[:, 0] = own.constant() / problem.noise
    coefficients, factor = pull.copy(), np.ones(n)
    robust, variance = np.ones(len(looks.frame)), problem.error**2
    if not len(looks.frame):
        return _Fit(coefficients, robust, variance, factor, np.inf)
    freedom = np.maximum(1.0 - leverage(looks, 1.0 / variance), 0.05)
    usual = _usual_residual(n_channels)
    coarse = _coarse_moves(problem, used)
    spread2 = np.mean((own.spread[:p] / problem.noise) ** 2, axis=1)
    scale = _first_scale(looks, variance, usual)
    for turn in range(_ROUNDS):
        variance = (problem.error * scale * factor[looks.frame]) ** 2
        floor = (_LEAST_SPREAD * scale) ** 2
        precision = np.where(used, 1.0 / np.maximum(spread2, floor), 1.0)
        before = coefficients
        coefficients = solve_agreement(looks, robust / variance, precision, pull, before, coarse, tolerance=_ROUGH)
        corrected = looks.corrected(coefficients)
        residual = corrected - common_values(looks, robust / variance, corrected)[looks.thing]
        t = np.sqrt(np.mean(residual**2, axis=1) / freedom) / problem.error
        scale = max(median_of(t) / usual, 1e-6)
        factor = _frame_factors(looks, t, scale * usual)
        t = t / (scale * factor[looks.frame])
        robust = _HUBER_SIGMA / np.maximum(t, _HUBER_SIGMA) if turn < _HUBER_ROUNDS else tukey(t, _CUT_SIGMA)
        if turn > _HUBER_ROUNDS and np.abs(coefficients - before).max() < _SETTLED * scale:
            break
    if not is_rough:
        variance = (problem.error * scale * factor[looks.frame]) ** 2
        coefficients = solve_agreement(looks, robust / variance, precision, pull, coefficients, coarse)
    return _Fit(coefficients, robust, variance, factor, scale)


def _usual_residual(n_channels: int) -> float:
    """Median of the root mean square of that many Gaussian numbers (Wilson & Hilferty 1931, PNAS 17, 684)."""
    return float((1.0 - 2.0 / (9.0 * n_channels)) ** 1.5)


def _first_scale(looks: Looks, variance: F64, usual: float) -> float:
    """Scatter of the cells about the common sky when each frame is but shifted: where the search starts."""
    shifted = looks.value - common_values(looks, 1.0 / variance, looks.value)[looks.thing]
    n = np.maximum(np.bincount(looks.frame, minlength=looks.n_frames), 1)
    for c in range(shifted.shape[1]):
        shifted[:, c] -= (np.bincount(looks.frame, shifted[:, c], looks.n_frames) / n)[looks.frame]
    t = np.sqrt(np.mean(shifted**2, axis=1) / variance)
    return max(median_of(t) / usual, 1e-6)


def _frame_factors(looks: Looks, t: F64, usual: float) -> F64:
    """Return by how much more the cells of each frame scatter than is usual: 1 to 5."""
    order = np.argsort(looks.frame, kind="stable")
    ends = np.searchsorted(looks.frame[order], np.arange(looks.n_frames + 1))
    ordered = t[order]
    factor = np.ones(looks.n_frames)
    for k in range(looks.n_frames):
        if ends[k + 1] - ends[k] >= _FEW_FOR_SCATTER:
            factor[k] = median_of(ordered[ends[k] : ends[k + 1]]) / usual
    return np.clip(factor, 1.0, _MOST_SCATTER)


def _coarse_moves(problem: _Problem, used: Mask) -> Any:
    """Return polynomials of whole pointings as moves of their frames; each frame alone where they are few."""
    from scipy.sparse import coo_array, eye_array

    n, p = used.shape
    if n * p <= _FEW_UNKNOWNS:
        return eye_array(n * p, format="csr")
    group, near = problem.pointing, 0.5
    x, y, radius = problem.place.T
    n_moves = p if (group.max() + 1) * p <= _MOST_COARSE else min(p, 3)  # many planes bend as well as few bowls
    while (group.max() + 1) * n_moves > _MOST_COARSE:
        near *= 1.5
        group = group_near(x, y, radius, near=near)
    size = np.bincount(group)
    gx, gy, gr = (np.bincount(group, one) / size for one in (x, y, radius))
    a, b, rho = (x - gx[group]) / gr[group], (y - gy[group]) / gr[group], radius / gr[group]
    moves = np.zeros((n, 6, 6))  # [term of the frame, polynomial of the pointing]
    moves[:, 0] = np.stack([np.ones(n), a, b, a * a, a * b, b * b], axis=1)
    moves[:, 1, 1], moves[:, 1, 3], moves[:, 1, 4] = rho, 2 * a * rho, b * rho
    moves[:, 2, 2], moves[:, 2, 4], moves[:, 2, 5] = rho, a * rho, 2 * b * rho
    for k in (3, 4, 5):
        moves[:, k, k] = rho**2
    moves = moves[:, :p, :n_moves] * used[:, :, None]
    row = np.broadcast_to((np.arange(n)[:, None] * p + np.arange(p))[:, :, None], moves.shape)
    column = np.broadcast_to((group[:, None] * n_moves + np.arange(n_moves))[:, None, :], moves.shape)
    m = (int(group.max()) + 1) * n_moves
    matrix = coo_array((moves.ravel(), (row.ravel(), column.ravel())), shape=(n * p, m)).tocsc()
    matrix.eliminate_zeros()
    return matrix[:, np.flatnonzero(np.diff(matrix.indptr))].tocsr()


def _published(problem: _Problem, own: _OwnSky, fit: _Fit) -> SkySurfaces:
    """Bring all groups to one level and say which frames do not fit."""
    looks, noise = problem.looks, problem.noise
    tying = fit.robust > _TIE
    seen = np.bincount(looks.thing[tying], minlength=looks.n_things)
    counted = tying & (seen[looks.thing] >= 2) if len(tying) else tying
    n_cells = np.bincount(looks.frame[counted], minlength=looks.n_frames)
    group = _numbered(connected_groups(looks, counted.astype(np.float64)), n_cells)
    coefficients = np.where(problem.used_terms()[:, :, None], fit.coefficients, 0.0)
    # a frame whose cells were all passed over has nothing but its level
    coefficients[group < 0, 1:] = 0.0
    coefficients[:, 0] = np.where((group < 0)[:, None], 0.0, coefficients[:, 0])
    surface = np.moveaxis(coefficients, 1, 2) * noise[None, :, None]
    surface[:, :, 0] += _levelled(own, surface, group)
    before = _rms(looks, fit, looks.value, counted) * noise
    after = _rms(looks, fit, looks.corrected(fit.coefficients), counted) * noise
    order = np.where(group < 0, -1, problem.order)
    return SkySurfaces(
        surface, order, group, n_cells.astype(np.int64), before, after, _disagreements(looks, fit, group)
    )


def _numbered(label: I64, n_cells: I64) -> I64:
    """Number the groups by their size, the largest 0; -1 for frames that rest on no cell."""
    size = np.bincount(label[n_cells > 0], minlength=int(label.max()) + 1)
    order = np.argsort(-size, kind="stable")
    number = np.empty(len(size), dtype=np.int64)
    number[order] = np.arange(len(size))
    return np.where(n_cells > 0, number[label], -1)


def _levelled(own: _OwnSky, surface: F64, group: I64) -> F64:
    """Return what brings groups other than the largest to its mean level, float64 (n_frames, n_channels)."""
    shown = own.scaled + surface[:, :, 0]
    main = group == 0
    goal = _nanmean(shown[main] if main.any() else own.unscaled)
    shift = np.zeros(shown.shape)
    for other in range(1, int(group.max(initial=0)) + 1):
        shift[group == other] = goal - _nanmean(shown[group == other])
    alone = group < 0
    shift[alone] = np.where(np.isfinite(shown[alone]), goal - shown[alone], 0.0)
    return shift


def _nanmean(values: F64) -> F64:
    """Means of the columns over frames that are known, 0 where none is."""
    columns = [column[np.isfinite(column)] for column in values.T]
    return np.array([column.mean() if len(column) else 0.0 for column in columns])


def _rms(looks: Looks, fit: _Fit, shown: F64, counted: Mask) -> F64:
    """Root mean square of the differences from the common value over cells that count, for each channel."""
    if not counted.any():
        return np.full(looks.value.shape[1], np.nan)
    residual = shown - common_values(looks, fit.robust / fit.variance, shown)[looks.thing]
    return np.asarray(np.sqrt(np.mean(residual[counted] ** 2, axis=0)))


def _disagreements(looks: Looks, fit: _Fit, group: I64) -> tuple[tuple[int, str], ...]:
    n = np.bincount(looks.frame, minlength=looks.n_frames)
    n_out = np.bincount(looks.frame[fit.robust < _IS_OUT], minlength=looks.n_frames)
    found = []
    for k in range(looks.n_frames):
        if not n[k]:
            found.append((k, "it overlaps no other frame: its sky is brought to the mean level"))
        elif group[k] < 0:
            found.append((k, "its sky agrees with no other frame's: it is brought to the mean level"))
        elif n_out[k] > _MOST_OUT * n[k]:
            found.append((k, f"{n_out[k]} of {n[k]} shared cells of its sky do not agree with the others: clouds?"))
        elif fit.factor[k] >= _MOST_SCATTER:
            found.append((k, f"its sky differs {_MOST_SCATTER:.0f} times as much from the others as is usual: clouds?"))
    return tuple(found)
