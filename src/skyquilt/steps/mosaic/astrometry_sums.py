"""The equations of all star positions, and the sums over them that the normal equations are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skyquilt.core import F64, I64
from skyquilt.steps.mosaic.astrometry_maps import Devices, columns, distortion_terms

__all__ = ["Equations", "Sums", "sum_observations"]

_CHUNK = 100_000  # observations: bounds what is held beside the equations
_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_ENTRIES = ((0, 0), (0, 1), (1, 1))
# `columns` = (1, u, v) times these
_LINEAR = np.stack(
    [
        columns(np.array([u]), np.array([v]), 6)[0] - (u + v > 0.0) * columns(np.zeros(1), np.zeros(1), 6)[0]
        for u, v in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    ]
)


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
class Sums:
    """
    Sums over the observations, without priors; G, K as in `Equations`, W the weights, r the residuals.

    Attributes
    ----------
    own : float64 (f, k, k)
        G' W G of each frame.
    cross : float64 (f, k, m)
        G' W K, m = 2 t.
    sips : float64 (d, m, m)
        K' W K of each device.
    right, sip_right : float64 (f, k), (d, m)
        G' W r, K' W r.
    through : sparse (2 s, f k)
        C = L^-1 J' W G, two rows a star.
    sip_through : float64 (2 s, d m)
        L^-1 J' W K.
    taken : float64 (f, k, k)
        C' C of each frame with itself.
    """

    own: F64
    cross: F64
    sips: F64
    right: F64
    sip_right: F64
    through: Any
    sip_through: F64
    taken: F64


def sum_observations(equations: Equations, devices: Devices, factor: F64, n_frames: int) -> Sums:
    """
    Return the sums over all observations.

    Parameters
    ----------
    equations : Equations
    devices : Devices
    factor : float64 (s, 2, 2)
        L^-1 of each star.
    n_frames : int

    Notes
    -----
    G is linear in (1, u, v), so what a frame needs are sums of products of 1, u, v, weights and terms of the
    distortion: 51 numbers an observation (order 3), added by one sparse product a chunk, and no matrix for each.
    """
    n, n_stars, k, t = len(equations.frame), len(equations.star_weight), devices.n_columns, devices.n_terms
    blocks = np.empty((n, 2, k))
    by_star = np.zeros((n_stars, len(devices), 2, 2, t))
    sips, sip_right = np.zeros((len(devices), 2 * t, 2 * t)), np.zeros((len(devices), 2, t))
    moments = np.zeros((n_frames, 30 + 3 * t))
    for first in range(0, n, _CHUNK):
        part = slice(first, first + _CHUNK)
        frame, star, weight = equations.frame[part], equations.star[part], equations.weight[part]
        terms = distortion_terms(equations.u[part], equations.v[part], devices.powers)
        spread = np.matmul(factor[star], equations.jacobian[part].transpose(0, 2, 1)) * weight[:, None, None]
        blocks[part] = _times_columns(spread, equations.bent_u[part], equations.bent_v[part], k)
        moments += _sum_by(frame, _products(equations, part, spread, terms), n_frames)
        for d in range(len(devices)):
            mine = devices.of_frame[frame] == d
            if not (t and mine.any()):
                continue
            own_terms, heavy = terms[mine], terms[mine] * weight[mine, None]
            square = heavy.T @ own_terms
            sips[d, :t, :t] += square
            sips[d, t:, t:] += square
            sip_right[d] += equations.residual[part][mine].T @ heavy
            _add_runs(by_star[:, d], star[mine], spread[mine][:, :, :, None] * own_terms[:, None, None, :])
    isotropic = np.zeros((n_frames, 3, 6))
    isotropic[:, 0] = isotropic[:, 2] = moments[:, :6]
    basis = _LINEAR[:, :, :k]
    cross = np.einsum("lak,flt->fkat", basis, moments[:, 30:].reshape(n_frames, 3, t))
    return Sums(
        own=_squares(isotropic, k),
        cross=cross.reshape(n_frames, k, 2 * t),
        sips=sips,
        right=np.einsum("lak,fal->fk", basis, moments[:, 24:30].reshape(n_frames, 2, 3)),
        sip_right=sip_right.reshape(len(devices), 2 * t),
        through=_rows_of_blocks(blocks, equations.frame, equations.star, n_stars, n_frames),
        sip_through=by_star.transpose(0, 2, 1, 3, 4).reshape(2 * n_stars, len(devices) * 2 * t),
        taken=_squares(moments[:, 6:24].reshape(n_frames, 3, 6), k),
    )


def _products(equations: Equations, part: slice, spread: F64, terms: F64) -> F64:
    """
    Return what is summed for the frames, float64 (30 + 3 t, n).

    Of the products 1, u, v, uu, uv, vv: times the weight (6), times the entries 00, 01, 11 of spread' spread (18); of
    1, u, v: times the weight and the residual in x, then y (6), times the weight and each term (3 t).
    """
    weight, residual = equations.weight[part], equations.residual[part]
    u, v = equations.bent_u[part], equations.bent_v[part]
    linear = np.stack([np.ones_like(u), u, v])
    products = np.stack([linear[a] * linear[b] for a, b in _PAIRS])
    squares = [np.einsum("na,na->n", spread[:, :, a], spread[:, :, b]) for a, b in _ENTRIES]
    heavy = (terms * weight[:, None]).T
    return np.concatenate(
        [
            weight * products,
            *(square * products for square in squares),
            linear * (weight * residual[:, 0]),
            linear * (weight * residual[:, 1]),
            *(one * heavy for one in linear),
        ]
    )


def _sum_by(label: I64, values: F64, n_labels: int) -> F64:
    """Return the sums of the columns of (m, n) by their labels, float64 (n_labels, m), added in order."""
    from scipy.sparse import csr_array

    n = len(label)
    gather = csr_array((np.ones(n), (label, np.arange(n))), shape=(n_labels, n))
    sums: F64 = gather @ np.ascontiguousarray(values.T)
    return sums


def _squares(moments: F64, k: int) -> F64:
    """Return the sums of G' N G, float64 (f, k, k), from those of the entries of N times products of 1, u, v."""
    whole = np.zeros((len(moments), 2, 2, 3, 3))
    for entry, (a, b) in enumerate(_ENTRIES):
        for product, (p, q) in enumerate(_PAIRS):
            for x, y in {(a, b), (b, a)}:
                for i, j in {(p, q), (q, p)}:
                    whole[:, x, y, i, j] = moments[:, entry, product]
    basis = _LINEAR[:, :, :k]
    squares: F64 = np.einsum("pak,fabpq,qbl->fkl", basis, whole, basis, optimize=True)
    return squares


def _times_columns(left: F64, u: F64, v: F64, k: int) -> F64:
    """Return matrices (n, 2, 2) times `columns`, float64 (n, 2, k)."""
    x, y, u, v = left[:, :, 0], left[:, :, 1], u[:, None], v[:, None]
    return np.stack([x, y, x * u + y * v, y * u - x * v, x * u - y * v, x * v + y * u][:k], axis=-1)


def _add_runs(out: F64, label: I64, values: F64) -> None:
    """Add the values to the places of their labels; equal labels lie side by side."""
    first = np.flatnonzero(np.diff(label, prepend=-1))
    out[label[first]] += np.add.reduceat(values, first, axis=0)


def _rows_of_blocks(blocks: F64, frame: I64, star: I64, n_stars: int, n_frames: int) -> Any:
    """Return blocks (n, 2, k), one star after another, as a sparse matrix of 2 rows a star and k columns a frame."""
    from scipy.sparse import csr_array

    n, _, k = blocks.shape
    count = np.bincount(star, minlength=n_stars)
    pointer = np.zeros(2 * n_stars + 1, np.int64)
    pointer[1:] = np.cumsum(np.repeat(count * k, 2))
    start = pointer[:-1:2]
    rank = np.arange(n) - np.repeat(start // (2 * k), count)
    place, stride = np.repeat(start, count) + rank * k, np.repeat(count * k, count)
    kind = np.int32 if 2 * n * k < 2**31 and n_frames * k < 2**31 else np.int64
    values, indices = np.empty(2 * n * k), np.empty(2 * n * k, kind)
    for column in range(k):
        for line in range(2):
            at = place + line * stride + column
            values[at], indices[at] = blocks[:, line, column], frame * k + column
    return csr_array((values, indices, pointer.astype(kind)), shape=(2 * n_stars, n_frames * k))
