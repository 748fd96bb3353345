"""The linear least squares of all frames at once, with the places of the stars eliminated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skyquilt.core import F64, I64, Mask
from skyquilt.steps.mosaic.astrometry_maps import Devices
from skyquilt.steps.mosaic.astrometry_sums import Equations, Sums, sum_observations

__all__ = ["Normal", "Step", "eliminate_stars", "solve_frames"]

_LEAST_WEIGHT = 1e-12
_SIP_PRIOR_PX = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """
    A step towards the least squares.

    Attributes
    ----------
    frames : float64 (f, k), px
        For `Maps.moved`.
    sip : float64 (d, 2 t), px
    stars : float64 (s, 2), px
        Along the stars' tangent bases.
    gain : float
        How much less the sum of squares becomes.
    n_iterations : int
    """

    frames: F64
    sip: F64
    stars: F64
    gain: float
    n_iterations: int


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """
    Normal equations of frames and distortions after the elimination of the stars: A x = b, A kept in parts.

    Attributes
    ----------
    frames : float64 (f, k, k)
        Blocks of the frames alone.
    cross : float64 (f, k, m)
        Frame against the distortion of its device.
    sips : float64 (d, m, m)
    through : sparse (2 s, f k)
        C: what couples the frames through stars; A holds -C' C.
    sip_through : float64 (2 s, d m)
        The same of the distortions.
    right : float64 (f k + d m,)
    star_factor : float64 (s, 2, 2)
        Inverse lower Cholesky factors of the stars' own blocks; zero for a star without weight.
    star_right : float64 (s, 2)
    frame_inverse : float64 (f, k, k)
    sip_inverse : float64 (d m, d m)
        Inverses of the diagonal blocks of A: the preconditioner.
    device : int64 (f,)
    """

    frames: F64
    cross: F64
    sips: F64
    through: Any
    sip_through: F64
    right: F64
    star_factor: F64
    star_right: F64
    frame_inverse: F64
    sip_inverse: F64
    device: I64

    @property
    def n_frame_unknowns(self) -> int:
        return int(self.frames.shape[0] * self.frames.shape[1])

    def split(self, x: F64) -> tuple[F64, F64]:
        """Return the parts (f, k) and (d, m) of a vector of unknowns."""
        n = self.n_frame_unknowns
        return x[:n].reshape(self.frames.shape[:2]), x[n:].reshape(self.sips.shape[:2])

    def times(self, x: F64) -> F64:
        """Return A x."""
        frames, sips = self.split(x)
        coupled = self.through @ x[: self.n_frame_unknowns] + self.sip_through @ x[self.n_frame_unknowns :]
        to_frames = np.einsum("fij,fj->fi", self.frames, frames) + np.einsum(
            "fkm,fm->fk", self.cross, sips[self.device]
        )
        to_sips = np.einsum("dij,dj->di", self.sips, sips)
        mixed = np.einsum("fkm,fk->fm", self.cross, frames)
        for d in range(len(to_sips)):
            to_sips[d] += mixed[self.device == d].sum(axis=0)
        return np.concatenate(
            [
                to_frames.ravel() - self.through.T @ coupled,
                to_sips.ravel() - self.sip_through.T @ coupled,
            ]
        )

    def conditioned(self, x: F64) -> F64:
        """Return the preconditioner times x."""
        frames, sips = self.split(x)
        return np.concatenate(
            [np.einsum("fij,fj->fi", self.frame_inverse, frames).ravel(), self.sip_inverse @ sips.ravel()]
        )


def eliminate_stars(equations: Equations, devices: Devices, n_frames: int) -> Normal:
    """
    Return the normal equations of frames and distortions.

    Notes
    -----
    Definition: with the rows of all observations under each other, A = X' W X + priors - C' C, where X = (G, K) and
    C = L^-1 J' W X, L the Cholesky factor of the stars' own block J' W J + star weights; b alike. K is taken less what
    a frame's own unknowns can do of it, K - G T (T : `Devices.linear_part`), so that the unknowns hardly mix; the
    step of a frame then is p - T q.
    """
    factor, star_right = _star_blocks(equations)
    sums = sum_observations(equations, devices, factor, n_frames)
    sums = _without_linear_parts(sums, devices)
    k, m, n_devices = devices.n_columns, 2 * devices.n_terms, len(devices)
    own, sips = sums.own.copy(), sums.sips.copy()
    own[:, np.arange(k), np.arange(k)] += equations.prior_weight
    sips[:, np.arange(m), np.arange(m)] += 1.0 / _SIP_PRIOR_PX**2
    right = sums.right + equations.prior_weight * equations.prior
    sip_right = sums.sip_right - equations.sip / _SIP_PRIOR_PX**2
    flat = star_right.ravel()
    whole_right = np.concatenate([right.ravel() - sums.through.T @ flat, sip_right.ravel() - sums.sip_through.T @ flat])
    blocks = np.zeros((n_devices, m, n_devices, m))
    for d in range(n_devices):
        blocks[d, :, d] = sips[d]
    whole = blocks.reshape(n_devices * m, n_devices * m) - sums.sip_through.T @ sums.sip_through
    return Normal(
        own,
        sums.cross,
        sips,
        sums.through,
        sums.sip_through,
        whole_right,
        factor,
        star_right,
        np.linalg.inv(own - sums.taken).astype(np.float64),
        np.linalg.inv(whole).astype(np.float64),
        devices.of_frame,
    )


def _without_linear_parts(sums: Sums, devices: Devices) -> Sums:
    """Return the sums with K - G T in the place of K."""
    n_frames, k, m = sums.cross.shape
    n_devices, linear = len(devices), devices.linear_part
    part = np.zeros((n_frames, k, n_devices, m))
    part[np.arange(n_frames), :, devices.of_frame] = linear[devices.of_frame]
    sips, sip_right = sums.sips.copy(), sums.sip_right.copy()
    for d in range(n_devices):
        mine = devices.of_frame == d
        mixed = linear[d].T @ sums.cross[mine].sum(axis=0)
        sips[d] += linear[d].T @ sums.own[mine].sum(axis=0) @ linear[d] - mixed - mixed.T
        sip_right[d] -= linear[d].T @ sums.right[mine].sum(axis=0)
    return replace(
        sums,
        cross=sums.cross - np.matmul(sums.own, linear[devices.of_frame]),
        sips=sips,
        sip_right=sip_right,
        sip_through=sums.sip_through - sums.through @ part.reshape(n_frames * k, n_devices * m),
    )


def _star_blocks(equations: Equations) -> tuple[F64, F64]:
    """Return the inverse Cholesky factors of the stars' blocks, and these times their right sides."""
    n, w, jacobian = len(equations.star_weight), equations.weight, equations.jacobian
    square = np.einsum("nab,nac,n->nbc", jacobian, jacobian, w)
    pull = np.einsum("nab,na,n->nb", jacobian, equations.residual, w)
    side = equations.star_weight[:, None] * equations.star_residual
    block = equations.star_weight[:, None, None] * np.eye(2)
    for a in range(2):
        side[:, a] += np.bincount(equations.star, pull[:, a], minlength=n)
        for b in range(2):
            block[:, a, b] += np.bincount(equations.star, square[:, a, b], minlength=n)
    holds = np.linalg.det(block) > _LEAST_WEIGHT
    factor = np.zeros((n, 2, 2))
    factor[holds] = np.linalg.inv(np.linalg.cholesky(block[holds]))
    return factor, np.einsum("sab,sb->sa", factor, side)


def solve_frames(
    normal: Normal,
    equations: Equations,
    devices: Devices,
    *,
    tolerance_px: float,
    most_iterations: int = 2000,
    fixed: Mask | None = None,
    fixed_to: F64 | None = None,
) -> Step:
    """
    Return the step that minimises the sum of squares, by conjugate gradients with the inverse blocks of the frames.

    Parameters
    ----------
    normal : Normal
    equations : Equations
    devices : Devices
    tolerance_px : float, px
        Ends when the preconditioned residual is below this for every unknown.
    most_iterations : int
    fixed : bool (d, 2 t) or None
        Terms of the distortion that are not free.
    fixed_to : float64 (d, 2 t) or None, px
        Their steps.

    Notes
    -----
    Source of the algorithm: Hestenes & Stiefel 1952, J. Res. NBS 49, 409; elimination of the points as in bundle
    adjustment: Triggs et al. 2000, "Bundle Adjustment - A Modern Synthesis", section 6.
    """
    free = np.ones(len(normal.right), bool)
    x = np.zeros(len(normal.right))
    if fixed is not None and fixed_to is not None:
        free[normal.n_frame_unknowns :] = ~fixed.ravel()
        x[normal.n_frame_unknowns :] = np.where(fixed, fixed_to, 0.0).ravel()
    left = np.where(free, normal.right - normal.times(x), 0.0)
    direction, measure, n_iterations = np.zeros_like(x), 1.0, 0
    while n_iterations < most_iterations:
        conditioned = np.where(free, normal.conditioned(left), 0.0)
        if not len(x) or np.abs(conditioned).max() < tolerance_px:
            break
        before, measure = measure, float(left @ conditioned)
        direction = conditioned + (measure / before if n_iterations else 0.0) * direction
        product = np.where(free, normal.times(direction), 0.0)
        length = measure / float(direction @ product)
        x += length * direction
        left -= length * product
        n_iterations += 1
    gain = float(2.0 * normal.right @ x - x @ normal.times(x))
    frames, sips = normal.split(x)
    stars = _stars_of(normal, x)
    # back from unknowns that hardly mix to those of the maps
    frames = frames - np.einsum("dkm,dm->dk", devices.linear_part, sips)[normal.device]
    return Step(frames, sips, stars, gain, n_iterations)


def _stars_of(normal: Normal, x: F64) -> F64:
    """Return the steps of the stars that belong to a step of frames and distortions."""
    n = normal.n_frame_unknowns
    coupled = (normal.through @ x[:n] + normal.sip_through @ x[n:]).reshape(-1, 2) - normal.star_right
    stars: F64 = np.einsum("sba,sb->sa", normal.star_factor, coupled)
    return stars
