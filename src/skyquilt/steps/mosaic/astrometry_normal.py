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
_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
# `columns` = (1, u, v) times these
_LINEAR = np.stack(
    [columns(np.array([u]), np.array([v]), 6)[0] - (u + v > 0.0) * columns(np.zeros(1), np.zeros(1), 6)[0]
     for u, v in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))]
)  # fmt: skip


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

    G : `columns` at the bent offsets; K : the terms of the distortion, once for x and once for y.
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
    """
    Return the normal equations of frames and distortions.

    Notes
    -----
    Definition: with the rows of all observations under each other, A = X' W X + priors - C' C, where X = (G, K) and
    C = L^-1 J' W X, L the Cholesky factor of the stars' own block J' W J + star weights; b alike. K is taken less what
    a frame's own unknowns can do of it, K - G T (T : `Devices.linear_part`), so that the unknowns hardly mix; the
    step of a frame then is p - T q.

    Every sum over the observations of a frame is one over products of 1, u, v, weights and terms: `columns` is linear
    in (1, u, v). These are summed by one sparse product, without a matrix for each observation.
    """
    factor, star_right = _star_blocks(equations)
    sums = _Sums.of(equations, devices, factor, n_frames)
    own, taken, linear = sums.own, sums.taken, devices.linear_part
    n_devices, m = len(devices), 2 * devices.n_terms
    own_part = linear[devices.of_frame]
    columns_of_sips = np.zeros((n_frames, devices.n_columns, n_devices, m))
    columns_of_sips[np.arange(n_frames), :, devices.of_frame] = own_part
    flat_columns = columns_of_sips.reshape(n_frames * devices.n_columns, n_devices * m)
    sip_through = sums.sip_through - sums.through @ flat_columns
    cross = sums.cross - np.matmul(own, own_part)
    sips, sip_right = sums.sips.copy(), sums.sip_right.copy()
    for d in range(n_devices):
        mine = devices.of_frame == d
        mixed = linear[d].T @ sums.cross[mine].sum(axis=0)
        sips[d] += linear[d].T @ own[mine].sum(axis=0) @ linear[d] - mixed - mixed.T
        sip_right[d] -= linear[d].T @ sums.right[mine].sum(axis=0)
    own, right = own.copy(), sums.right + equations.prior_weight * equations.prior
    corner = np.arange(devices.n_columns)
    own[:, corner, corner] += equations.prior_weight
    corner = np.arange(m)
    sips[:, corner, corner] += 1.0 / _SIP_PRIOR_PX**2
    sip_right -= equations.sip / _SIP_PRIOR_PX**2
    flat = star_right.ravel()
    whole_right = np.concatenate([right.ravel() - sums.through.T @ flat, sip_right.ravel() - sip_through.T @ flat])
    blocks = np.zeros((n_devices, m, n_devices, m))
    for d in range(n_devices):
        blocks[d, :, d] = sips[d]
    whole: F64 = blocks.reshape(n_devices * m, n_devices * m) - sip_through.T @ sip_through
    frame_inverse: F64 = np.linalg.inv(own - taken).astype(np.float64)
    sip_inverse: F64 = np.linalg.inv(whole).astype(np.float64)
    return Normal(
        own, cross, sips, sums.through, sip_through, whole_right, factor, star_right, frame_inverse, sip_inverse,
        devices.of_frame,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """
    Sums over observations, with K as it is and without priors.

    own : G'WG of each frame; cross : G'WK; sips : K'WK of each device; right, sip_right : G'Wr, K'Wr; through,
    sip_through : C; taken : C'C of each frame with itself.
    """

    own: F64
    cross: F64
    sips: F64
    right: F64
    sip_right: F64
    through: Any
    sip_through: F64
    taken: F64

    @classmethod
    def of(cls, equations: Equations, devices: Devices, factor: F64, n_frames: int) -> _Sums:
        from scipy.sparse import csr_array

        n, n_stars, k, t = len(equations.frame), len(equations.star_weight), devices.n_columns, devices.n_terms
        data = np.empty((n, 2, k))
        n_devices = len(devices)
        by_device = np.zeros((n_stars, n_devices, 2, 2, t))
        sips, sip_right = np.zeros((n_devices, 2 * t, 2 * t)), np.zeros((n_devices, 2, t))
        sums = np.zeros((n_frames, 6 + 18 + 6 + 3 * t))
        for first in range(0, n, _CHUNK):
            part = slice(first, first + _CHUNK)
            frame, star, w = equations.frame[part], equations.star[part], equations.weight[part]
            u, v, residual = equations.bent_u[part], equations.bent_v[part], equations.residual[part]
            terms = distortion_terms(equations.u[part], equations.v[part], devices.powers)
            spread = np.matmul(factor[star], equations.jacobian[part].transpose(0, 2, 1)) * w[:, None, None]
            for a in range(2):
                data[part, a] = _as_columns(spread[:, a, 0], spread[:, a, 1], u, v, k)
            heavy = terms * w[:, None]
            linear = np.stack([np.ones_like(u), u, v])
            products = np.stack([linear[a] * linear[b] for a, b in _PAIRS])
            square = [np.einsum("na,na->n", spread[:, :, a], spread[:, :, b]) for a, b in ((0, 0), (0, 1), (1, 1))]
            lines = [w * products, *(one * products for one in square)]
            lines += [linear * (w * residual[:, 0]), linear * (w * residual[:, 1])]
            lines += [one * heavy.T for one in linear]
            gather = csr_array((np.ones(len(frame)), (frame, np.arange(len(frame)))), shape=(n_frames, len(frame)))
            sums += gather @ np.concatenate(lines).T
            device = devices.of_frame[frame]
            for d in range(n_devices):
                mine = device == d
                if t and mine.any():
                    moment = heavy[mine].T @ terms[mine]
                    sips[d, :t, :t] += moment
                    sips[d, t:, t:] += moment
                    sip_right[d] += residual[mine].T @ heavy[mine]
                    _add_runs(by_device[:, d], star[mine], spread[mine][:, :, :, None] * terms[mine][:, None, None, :])
        start = np.searchsorted(equations.star, np.arange(n_stars + 1))
        through = _rows_of_blocks(csr_array, data, equations.frame, start, n_frames)
        square_sums = sums[:, 6:24].reshape(n_frames, 3, 6)
        isotropic = np.zeros((n_frames, 3, 6))
        isotropic[:, 0], isotropic[:, 2] = sums[:, :6], sums[:, :6]
        right = np.einsum("lak,fal->fk", _LINEAR[:, :, :k], sums[:, 24:30].reshape(n_frames, 2, 3))
        cross = np.einsum("lak,flt->fkat", _LINEAR[:, :, :k], sums[:, 30:].reshape(n_frames, 3, t))
        return cls(
            _from_moments(isotropic, k), cross.reshape(n_frames, k, 2 * t), sips, right,
            sip_right.reshape(n_devices, 2 * t), through,
            by_device.transpose(0, 2, 1, 3, 4).reshape(2 * n_stars, n_devices * 2 * t), _from_moments(square_sums, k),
        )  # fmt: skip


def _from_moments(moments: F64, k: int) -> F64:
    """Return the sums of G' N G (f, k, k) from those of the entries 00, 01, 11 of N times products of 1, u, v."""
    whole = np.zeros((len(moments), 2, 2, 3, 3))
    for entry, (a, b) in enumerate(((0, 0), (0, 1), (1, 1))):
        for product, (p, q) in enumerate(_PAIRS):
            for x, y in {(a, b), (b, a)}:
                for i, j in {(p, q), (q, p)}:
                    whole[:, x, y, i, j] = moments[:, entry, product]
    basis = _LINEAR[:, :, :k]
    blocks: F64 = np.einsum("pak,fabpq,qbl->fkl", basis, whole, basis, optimize=True)
    return blocks


def _as_columns(x: F64, y: F64, u: F64, v: F64, k: int) -> F64:
    """Return (x, y) times `columns`, float64 (n, k)."""
    return np.stack([x, y, x * u + y * v, y * u - x * v, x * u - y * v, x * v + y * u][:k], axis=1)


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
