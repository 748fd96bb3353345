"""The linear least squares of all frames at once, with the places of the stars eliminated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skyquilt.core import F64, I64, Mask
from skyquilt.steps.mosaic.astrometry_maps import Devices, columns, distortion_terms

__all__ = ["Equations", "Normal", "Step", "eliminate_stars", "solve_frames"]

_CHUNK = 100_000  # observations: bounds what is held beside the equations
_LEAST_WEIGHT = 1e-12
_SIP_PRIOR_PX = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Equations:
    """
    Linear equations of the star positions, in the order of the stars.

    Attributes
    ----------
    frame, star : int64 (n,)
        `star` rises without gaps.
    u, v : float64 (n,), radii
        Offsets from the sensor's centre, for the distortion.
    bent_u, bent_v : float64 (n,), radii
        The same after the distortion, for the unknowns of the frames.
    residual : float64 (n, 2), px
        Where the sky says the star is, minus where it was measured.
    jacobian : float64 (n, 2, 2), px/px
        Change of the former with the place of the star.
    weight : float64 (n,), 1/px²
    star_residual : float64 (s, 2), px
        Place of the star minus the catalogue's.
    star_weight : float64 (s,), 1/px²
        0 for a star that is not in the catalogue.
    prior : float64 (f, k), px
        Where the unknowns of the frames are held.
    prior_weight : float64 (f, k), 1/px²
    sip : float64 (d, 2 t), px
        The distortion of now: it is held to zero, weakly.

    Notes
    -----
    Unknown: a step p of each frame, q of each distortion, z of each star. Minimised is::

        sum weight |residual + jacobian z - G p - K q|² + sum star_weight |star_residual + z|²
        + sum prior_weight (p - prior)² + sum ((sip + q) / 10 px)²

    G : `columns` at the bent offsets; K : the distortion's terms, less what a frame's own unknowns take over of them
    (`Devices.linear_part`), so that p and q hardly mix.
    """

    frame: I64
    star: I64
    u: F64
    v: F64
    bent_u: F64
    bent_v: F64
    residual: F64
    jacobian: F64
    weight: F64
    star_residual: F64
    star_weight: F64
    prior: F64
    prior_weight: F64
    sip: F64

    def design(self, devices: Devices, index: I64 | slice) -> tuple[F64, F64]:
        """Return G (m, 2, k) and K (m, 2, 2 t) of some observations."""
        device = devices.of_frame[self.frame[index]]
        frames = columns(self.bent_u[index], self.bent_v[index], devices.n_columns)
        terms = distortion_terms(self.u[index], self.v[index], devices.powers)
        t = terms.shape[1]
        distortion = np.zeros((len(terms), 2, 2 * t))
        distortion[:, 0, :t], distortion[:, 1, t:] = terms, terms
        for d in range(len(devices)):
            mine = device == d
            distortion[mine] -= np.matmul(frames[mine], devices.linear_part[d])
        return frames, distortion


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
    """Return the normal equations of frames and distortions."""
    from scipy.sparse import csr_array

    n_stars, k, m = len(equations.star_weight), devices.n_columns, 2 * devices.n_terms
    factor, star_right = _star_blocks(equations)
    start = np.searchsorted(equations.star, np.arange(n_stars + 1))
    data = np.empty((len(equations.frame), 2, k))
    by_device = np.zeros((n_stars, 2, len(devices), m))
    for first in range(0, len(data), _CHUNK):
        part = slice(first, first + _CHUNK)
        to_frames, to_sip = equations.design(devices, part)
        star, device = equations.star[part], devices.of_frame[equations.frame[part]]
        spread = np.matmul(factor[star], equations.jacobian[part].transpose(0, 2, 1))
        spread *= equations.weight[part][:, None, None]
        data[part] = np.matmul(spread, to_frames)
        if m:
            coupled = np.matmul(spread, to_sip)
            for d in range(len(devices)):
                mine = device == d
                if mine.any():
                    _add_runs(by_device[:, :, d], star[mine], coupled[mine])
    through = _rows_of_blocks(csr_array, data, equations.frame, start, n_frames)
    own, cross, sips, right, sip_right, taken = _frame_blocks(equations, devices, data, n_frames)
    sip_through = by_device.reshape(2 * n_stars, len(devices) * m)
    flat = star_right.ravel()
    right = np.concatenate([right.ravel() - through.T @ flat, sip_right.ravel() - sip_through.T @ flat])
    blocks = np.zeros((len(devices), m, len(devices), m))
    for d in range(len(devices)):
        blocks[d, :, d] = sips[d]
    whole: F64 = blocks.reshape(len(devices) * m, len(devices) * m) - sip_through.T @ sip_through
    frame_inverse: F64 = np.linalg.inv(own - taken).astype(np.float64)
    sip_inverse: F64 = np.linalg.inv(whole).astype(np.float64)
    return Normal(
        own, cross, sips, through, sip_through, right, factor, star_right, frame_inverse, sip_inverse, devices.of_frame
    )


def _star_blocks(equations: Equations) -> tuple[F64, F64]:
    """Return the inverse Cholesky factors of the stars' blocks, and these times their right sides."""
    n, w, jacobian = len(equations.star_weight), equations.weight, equations.jacobian
    square = np.einsum("nab,nac,n->nbc", jacobian, jacobian, w)
    pull = np.einsum("nab,na,n->nb", jacobian, equations.residual, w)
    block, side = np.zeros((n, 2, 2)), np.zeros((n, 2))
    for a in range(2):
        side[:, a] = (
            np.bincount(equations.star, pull[:, a], minlength=n)
            + equations.star_weight * (equations.star_residual[:, a])
        )
        for b in range(2):
            block[:, a, b] = np.bincount(equations.star, square[:, a, b], minlength=n)
    block[:, 0, 0] += equations.star_weight
    block[:, 1, 1] += equations.star_weight
    holds = np.linalg.det(block) > _LEAST_WEIGHT
    factor = np.zeros((n, 2, 2))
    factor[holds] = np.linalg.inv(np.linalg.cholesky(block[holds]))
    return factor, np.einsum("sab,sb->sa", factor, side)


def _add_runs(out: F64, label: I64, values: F64) -> None:
    """Add the values to the places of their labels; equal labels lie side by side."""
    first = np.flatnonzero(np.diff(label, prepend=-1))
    out[label[first]] += np.add.reduceat(values, first, axis=0)


def _rows_of_blocks(sparse: Any, data: F64, frame: I64, start: I64, n_frames: int) -> Any:
    """Return blocks (n, 2, k), one star after another, as a sparse matrix of 2 rows a star and k columns a frame."""
    n, _, k = data.shape
    count = np.diff(start)
    pointer = np.zeros(2 * len(count) + 1, np.int64)
    pointer[1:] = np.cumsum(np.repeat(count * k, 2))
    rank = np.arange(n) - np.repeat(start[:-1], count)
    place = np.repeat(pointer[0:-1:2], count) + rank * k
    stride = np.repeat(count * k, count)
    kind = np.int32 if 2 * n * k < 2**31 and n_frames * k < 2**31 else np.int64
    values, indices = np.empty(2 * n * k), np.empty(2 * n * k, kind)
    for column in range(k):
        for line in range(2):
            at = place + line * stride + column
            values[at], indices[at] = data[:, line, column], frame * k + column
    return sparse((values, indices, pointer.astype(kind)), shape=(2 * len(count), n_frames * k))


def _frame_blocks(
    equations: Equations, devices: Devices, data: F64, n_frames: int
) -> tuple[F64, F64, F64, F64, F64, F64]:
    """Return G'WG, G'WK, K'WK, G'Wr, K'Wr with the priors, and the sum of C'C of each frame."""
    k, m = devices.n_columns, 2 * devices.n_terms
    own, taken = np.zeros((n_frames, k, k)), np.zeros((n_frames, k, k))
    cross, right = np.zeros((n_frames, k, m)), np.zeros((n_frames, k))
    sips, sip_right = np.zeros((len(devices), m, m)), np.zeros((len(devices), m))
    by_frame = np.argsort(equations.frame, kind="stable")
    for first in range(0, len(by_frame), _CHUNK):
        index = by_frame[first : first + _CHUNK]
        frame, w = equations.frame[index], equations.weight[index][:, None, None]
        to_frames, to_sip = equations.design(devices, index)
        weighed, residual = to_frames * w, equations.residual[index]
        _add_runs(own, frame, np.matmul(weighed.transpose(0, 2, 1), to_frames))
        _add_runs(right, frame, np.einsum("nak,na->nk", weighed, residual))
        _add_runs(cross, frame, np.matmul(weighed.transpose(0, 2, 1), to_sip))
        _add_runs(taken, frame, np.matmul(data[index].transpose(0, 2, 1), data[index]))
        device = devices.of_frame[frame]
        for d in range(len(devices)):
            mine = device == d
            rows, heavy = to_sip[mine].reshape(-1, m), (to_sip[mine] * w[mine]).reshape(-1, m)
            sips[d] += heavy.T @ rows
            sip_right[d] += heavy.T @ residual[mine].reshape(-1)
    corner = np.arange(k)
    own[:, corner, corner] += equations.prior_weight
    right += equations.prior_weight * equations.prior
    corner = np.arange(m)
    sips[:, corner, corner] += 1.0 / _SIP_PRIOR_PX**2
    sip_right -= equations.sip / _SIP_PRIOR_PX**2
    return own, cross, sips, right, sip_right, taken


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
