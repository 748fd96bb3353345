"""The figures of the joint solution, and which frames do not fit it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64, Mask
from skyquilt.steps.mosaic.astrometry_maps import tangent_basis
from skyquilt.steps.mosaic.astrometry_nouns import (
    AstroFrame,
    AstroSolution,
    Component,
    DeviceSolution,
    FrameSolution,
)
from skyquilt.steps.mosaic.astrometry_state import (
    ARCSEC,
    LEAST_ANCHORS,
    LEAST_LINKS,
    State,
    Tied,
    count_stars,
    groups_of_frames,
)

__all__ = ["report"]

_LEAST_STARS = 4
_BAD_FACTOR = 5.0  # of the typical frame's residual
_BAD_PX = 0.5
_MOST_REFUSED = 0.5
_MAP_CELLS = 12  # along the longer side


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """
    What the figures are made of, one entry a tied point.

    Attributes
    ----------
    residual, to_catalogue : float64 (n, 2), px
        Solved place of the star, and catalogue place, minus measured place.
    good, shared, known : bool (n,)
        Agrees; agrees with another frame's; agrees with the catalogue.
    group : int64 (f,)
        Which frames hang together by points that agree.
    """

    residual: F64
    to_catalogue: F64
    good: Mask
    shared: Mask
    known: Mask
    group: I64


def report(frames: Sequence[AstroFrame], place: I64, tied: Tied, state: State) -> AstroSolution:
    """Return the solution with its figures; `place` says where each frame of the answer stands among `frames`."""
    fitted = _fitted(tied, state)
    components, of_frame = _components(frames, tied, state, fitted)
    devices = tuple(_device(device, tied, state, fitted) for device in range(len(tied.problem.devices)))
    solutions = _frames(frames, tied, state, fitted, devices, of_frame)
    basis = tangent_basis(state.stars)
    held = state.weights.star_robust > 0.0
    away = np.einsum("sab,sb->sa", basis[held], state.stars[held] - tied.anchors[held]) / ARCSEC
    return AstroSolution(
        frames=tuple(solutions[k] for k in place),
        devices=devices,
        components=components,
        n_stars=len(np.unique(tied.star[fitted.shared | fitted.known])),
        n_observations=int(np.count_nonzero(fitted.shared | fitted.known)),
        rms_px=_rms(fitted.residual[fitted.shared]),
        rms_catalogue_arcsec=_rms(away),
        n_rounds=state.n_rounds,
    )


def _rms(values: F64) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else float("nan")


def _fitted(tied: Tied, state: State) -> _Fitted:
    devices, maps = tied.problem.devices, state.maps
    bent = np.stack(maps.distorted(devices, tied.frame, tied.u, tied.v), axis=1)
    residual = maps.seen(tied.frame, state.stars[tied.star])[0] - bent
    good = state.weights.robust > 0.0
    n_seen = np.bincount(tied.star[good], minlength=tied.ties.n_stars)
    known = good & (state.weights.star_robust > 0.0)[tied.star]
    to_catalogue = np.zeros_like(residual)
    to_catalogue[known] = maps.seen(tied.frame[known], tied.anchors[tied.star[known]])[0] - bent[known]
    group = groups_of_frames(tied.frame[good], tied.star[good], tied.problem.n_frames, LEAST_LINKS)
    return _Fitted(residual, to_catalogue, good, good & (n_seen[tied.star] > 1), known, group)


def _components(
    frames: Sequence[AstroFrame], tied: Tied, state: State, fitted: _Fitted
) -> tuple[tuple[Component, ...], I64]:
    """Return the components, the largest first, and which of them each frame belongs to; -1 where nothing holds it."""
    n = tied.problem.n_frames
    held = np.bincount(tied.frame[fitted.shared | fitted.known], minlength=n) > 0
    group = fitted.group
    n_shared, n_known = (
        count_stars(group[tied.frame[use]], tied.star[use], n) for use in (fitted.shared, fitted.known)
    )
    found = []
    for label in np.unique(group[held]):
        members = np.flatnonzero((group == label) & held)
        keys = tuple(frames[k].key for k in members.tolist())
        component = Component(keys, int(n_shared[label]), int(n_known[label]), bool(n_known[label] >= LEAST_ANCHORS))
        found.append((component, members))
    found.sort(key=lambda pair: (-len(pair[0].keys), pair[0].keys[0]))
    of_frame = np.full(n, -1, np.int64)
    for k, (_, members) in enumerate(found):
        of_frame[members] = k
    return tuple(component for component, _ in found), of_frame


def _device(device: int, tied: Tied, state: State, fitted: _Fitted) -> DeviceSolution:
    devices = tied.problem.devices
    width, height = int(devices.width[device]), int(devices.height[device])
    mine = (devices.of_frame[tied.frame] == device) & (fitted.shared | fitted.known)
    cell = max(width, height) / _MAP_CELLS
    nx, ny = max(1, round(width / cell)), max(1, round(height / cell))
    column = np.clip(((tied.u[mine] / width + 0.5) * nx).astype(np.int64), 0, nx - 1)
    line = np.clip(((tied.v[mine] / height + 0.5) * ny).astype(np.int64), 0, ny - 1)
    count = np.bincount(line * nx + column, minlength=nx * ny)
    sums = np.stack(
        [np.bincount(line * nx + column, fitted.residual[mine, axis], minlength=nx * ny) for axis in range(2)]
    )
    means = np.where(count > 0, sums / np.maximum(count, 1), np.nan).reshape(2, ny, nx)
    sip = state.maps.sip_of(devices, device)
    return DeviceSolution(
        device=devices.names[device],
        width=width,
        height=height,
        sip=sip,
        order=0 if sip is None else sip.order,
        n_observations=int(np.count_nonzero(mine)),
        rms_px=_rms(fitted.residual[mine]),
        floor_px=float(state.trust.floor_px[device]),
        residual_map_px=means,
        residual_count=count.reshape(ny, nx),
    )


def _frames(
    frames: Sequence[AstroFrame],
    tied: Tied,
    state: State,
    fitted: _Fitted,
    devices: tuple[DeviceSolution, ...],
    of_frame: I64,
) -> list[FrameSolution]:
    """Return the frames' solutions, in the order of the problem."""
    n, of_device = tied.problem.n_frames, tied.problem.devices.of_frame
    n_tied, rms = _per_frame(tied.frame, fitted.shared, fitted.residual, n)
    n_known, rms_known = _per_frame(tied.frame, fitted.known, fitted.to_catalogue, n)
    n_held = np.bincount(tied.frame[fitted.shared | fitted.known], minlength=n)
    n_refused = np.bincount(tied.frame[~fitted.good], minlength=n)
    typical = float(np.median(rms[n_tied > 0])) if (n_tied > 0).any() else 0.0
    limit = max(_BAD_FACTOR * typical, _BAD_PX)
    centre = np.einsum("fb,fab->fa", tied.problem.given[:, tied.problem.given.shape[1] // 2], state.maps.triads[:, :2])
    moved = np.hypot(centre[:, 0], centre[:, 1]) / np.sqrt(np.abs(np.linalg.det(state.maps.matrix)))
    return [
        FrameSolution(
            key=frames[k].key,
            wcs=state.maps.wcs_of(tied.problem.devices, k, devices[of_device[k]].sip),
            n_ties=int(n_tied[k]),
            n_catalogue=int(n_known[k]),
            rms_px=float(rms[k]),
            rms_catalogue_px=float(rms_known[k]),
            moved_px=float(moved[k]),
            component=int(of_frame[k]),
            reason=_reason(int(n_held[k]), int(n_refused[k]), float(rms[k]), limit),
        )
        for k in range(n)
    ]


def _per_frame(frame: I64, use: Mask, residual: F64, n: int) -> tuple[I64, F64]:
    """Return how many points of each frame count, and their rms per axis."""
    count = np.bincount(frame[use], minlength=n)
    square = np.bincount(frame[use], np.sum(residual[use] ** 2, axis=1), minlength=n)
    return count, np.sqrt(np.where(count > 0, square / np.maximum(2 * count, 1), np.nan))


def _reason(n_held: int, n_refused: int, rms_px: float, limit_px: float) -> str:
    if not n_held:
        return "none of its stars is seen by another frame or known to the catalogue"
    if n_held < _LEAST_STARS:
        return f"only {n_held} of its stars agree with other frames or the catalogue"
    if n_refused > _MOST_REFUSED * (n_held + n_refused):
        return f"{n_refused} of its {n_held + n_refused} common stars lie elsewhere than the other frames say"
    if rms_px > limit_px:
        return f"its stars lie {rms_px:.2f} px (rms) from where the other frames see them, more than {limit_px:.2f} px"
    return ""
