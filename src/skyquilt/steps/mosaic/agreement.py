"""Corrections of frames that make them agree wherever they look at the same thing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from skyquilt.core import F64, I64

__all__ = [
    "Looks",
    "common_values",
    "connected_groups",
    "leverage",
    "settle_plainly",
    "solve_agreement",
    "sum_by",
    "tukey",
]

_MOST_ROUNDS = 400


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """
    What frames saw of things that several of them saw: stars, or cells of the sky.

    Attributes
    ----------
    frame, thing : int64 (n,)
        Which frame looked at which thing; sorted by (thing, frame).
    terms : float64 (n, p)
        What a frame's p coefficients are multiplied with there.
    value : float64 (n, c)
        What the frame saw, before its correction, in c channels.
    n_frames, n_things : int
    """

    frame: I64
    thing: I64
    terms: F64
    value: F64
    n_frames: int
    n_things: int

    def corrected(self, coefficients: F64) -> F64:
        """Return value + terms . coefficients of the frame, float64 (n, c); `coefficients` is (n_frames, p, c)."""
        total = self.value.copy()
        for k in range(self.terms.shape[1]):
            total += self.terms[:, k, None] * coefficients[self.frame, k]
        return total

    def take(self, chosen: Any) -> Looks:
        """Return the chosen looks; frames and things keep their numbers."""
        return Looks(
            self.frame[chosen], self.thing[chosen], self.terms[chosen], self.value[chosen], self.n_frames, self.n_things
        )


def sum_by(index: I64, values: F64, n: int) -> F64:
    """Return the sums of the values with the same index, float64 (n,), added in their order."""
    return np.bincount(index, values, n).astype(np.float64)


def common_values(looks: Looks, weight: F64, corrected: F64) -> F64:
    """Return the weighted mean of what all frames saw of each thing, float64 (n_things, c); 0 where none has weight."""
    total = sum_by(looks.thing, weight, looks.n_things)
    inverse = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    sums = [sum_by(looks.thing, weight * column, looks.n_things) for column in corrected.T]
    return np.stack(sums, axis=1) * inverse[:, None]


def leverage(looks: Looks, weight: F64) -> F64:
    """Return the share that each look has in the common value of its thing, float64 (n,), 0 to 1."""
    total = sum_by(looks.thing, weight, looks.n_things)[looks.thing]
    share: F64 = np.divide(weight, total, out=np.zeros_like(total), where=total > 0)
    return share


def tukey(t: F64, cut: float) -> F64:
    """Return Tukey's biweight of residuals in sigma: (1 - (t / cut)²)², 0 beyond `cut`."""
    inside = np.clip(1.0 - (t / cut) ** 2, 0.0, None)
    weight: F64 = inside * inside
    return weight


def connected_groups(looks: Looks, weight: F64) -> I64:
    """
    Return the number of the group of each frame, int64 (n_frames,): frames that are tied, directly or through others.

    Looks with a weight of 0 tie nothing. Groups are numbered by their first frame.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    good = weight > 0
    n = looks.n_frames + looks.n_things
    ties = coo_array((np.ones(int(good.sum())), (looks.frame[good], looks.n_frames + looks.thing[good])), shape=(n, n))
    label = connected_components(ties, directed=False)[1][: looks.n_frames]
    _, first, inverse = np.unique(label, return_index=True, return_inverse=True)
    number = np.argsort(np.argsort(first, kind="stable"), kind="stable")
    return number[inverse].astype(np.int64)


def settle_plainly(looks: Looks, weight: F64, precision: F64, pull: F64) -> F64:
    """
    Return the coefficients (n_frames, p, c) as `solve_agreement` defines them: the readable definition.

    All unknowns stand in one dense least-squares problem, the common value of every thing among them.
    """
    n, (n_frames, p) = len(looks.frame), precision.shape
    design = np.zeros((n + n_frames * p, n_frames * p + looks.n_things))
    target = np.zeros((len(design), looks.value.shape[1]))
    root = np.sqrt(weight)
    for i in range(n):
        first = looks.frame[i] * p
        design[i, first : first + p] = root[i] * looks.terms[i]
        design[i, n_frames * p + looks.thing[i]] = -root[i]
        target[i] = -root[i] * looks.value[i]
    for j in range(n_frames * p):
        root_precision = np.sqrt(precision.ravel()[j])
        design[n + j, j] = root_precision
        target[n + j] = root_precision * pull.reshape(n_frames * p, -1)[j]
    solution = np.linalg.lstsq(design, target, rcond=None)[0][: n_frames * p]
    return np.asarray(solution.reshape(n_frames, p, -1), dtype=np.float64)


def solve_agreement(
    looks: Looks, weight: F64, precision: F64, pull: F64, start: F64, coarse: Any, *, tolerance: float = 1e-8
) -> F64:
    """
    Return the coefficients of all frames, float64 (n_frames, p, c), that make them agree best.

    Parameters
    ----------
    looks : Looks
    weight : float64 (n,)
        Inverse variance of each look, the same in all channels.
    precision : float64 (n_frames, p)
        Inverse variance of what is known of the coefficients beforehand; above 0.
    pull : float64 (n_frames, p, c)
        What is known of them.
    start : float64 (n_frames, p, c)
        Where to start.
    coarse : scipy.sparse array (n_frames * p, m)
        Moves of many frames together that are solved for directly, which makes the rest converge fast; it has no part
        in the result. The identity solves everything directly.
    tolerance : float
        The corrections left are smaller than this share of the solution, in the norm of the preconditioner.

    Notes
    -----
    Definition (`settle_plainly`): with unknown common values M, minimise::

        sum_i weight_i |value_i + terms_i . b[frame_i] - M[thing_i]|² + sum precision (b - pull)²

    M is eliminated exactly: what is solved is (D - A^T W^-1 A + P) b = g, which is the same as using all pairs of looks
    of a thing but grows with their number, not its square. D is block-diagonal in the frames, A[thing, frame and term]
    = sum weight terms and W = sum weight of a thing. Conjugate gradients (Hestenes & Stiefel 1952, J. Res. NBS 49, 409)
    preconditioned by the blocks of D + P and by the coarse moves, added (two-level additive Schwarz).
    """
    system = _System(looks, weight, precision, coarse)
    n_unknowns = looks.n_frames * looks.terms.shape[1]
    shape = (n_unknowns, looks.value.shape[1])
    right = precision.reshape(n_unknowns, 1) * pull.reshape(shape) - system.gather(looks, weight)
    x = start.reshape(shape).copy()
    residual = right - system.apply(x)
    limit = tolerance**2 * np.maximum(np.sum(right * system.precondition(right), axis=0), 1e-300)
    step = system.precondition(residual)
    direction = step
    energy = np.sum(residual * step, axis=0)
    for _ in range(_MOST_ROUNDS):
        if np.all(energy <= limit):
            break
        image = system.apply(direction)
        curvature = np.sum(direction * image, axis=0)
        length = np.divide(energy, curvature, out=np.zeros_like(energy), where=curvature > 0)
        x += length * direction
        residual = residual - length * image
        step = system.precondition(residual)
        before, energy = energy, np.sum(residual * step, axis=0)
        direction = step + np.divide(energy, before, out=np.zeros_like(energy), where=before > 0) * direction
    return x.reshape(start.shape)


class _System:
    """The normal equations after the common values are eliminated, and what nearly inverts them."""

    def __init__(self, looks: Looks, weight: F64, precision: F64, coarse: Any) -> None:
        from scipy.linalg import cho_factor
        from scipy.sparse import csr_array

        p = looks.terms.shape[1]
        self._shape = (looks.n_frames, p)
        counts = np.bincount(looks.thing, minlength=looks.n_things)
        first = np.concatenate([[0], np.cumsum(counts)]) * p
        column = (looks.frame[:, None] * p + np.arange(p)).astype(np.int32).ravel()
        weighted = weight[:, None] * looks.terms
        self._terms = csr_array(
            (weighted.ravel(), column, first.astype(np.int32)), shape=(looks.n_things, looks.n_frames * p)
        )
        total = sum_by(looks.thing, weight, looks.n_things)
        self._inverse = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
        self._blocks = np.zeros((looks.n_frames, p, p))
        for a in range(p):
            for b in range(a + 1):
                block = sum_by(looks.frame, weighted[:, a] * looks.terms[:, b], looks.n_frames)
                self._blocks[:, a, b] = self._blocks[:, b, a] = block
            self._blocks[:, a, a] += precision[:, a]
        self._block_inverses = np.linalg.inv(self._blocks)
        self._coarse = coarse
        self._is_direct = coarse.shape[0] == coarse.shape[1]
        moved = self._terms @ coarse
        along = coarse.T @ (self._block_matrix() @ coarse)
        small = (along - moved.T @ (moved * self._inverse[:, None])).toarray()
        self._factor = cho_factor(small, lower=True)

    def _block_matrix(self) -> Any:
        from scipy.sparse import bsr_array

        n, p = self._shape
        return bsr_array((self._blocks, np.arange(n), np.arange(n + 1)), shape=(n * p, n * p)).tocsr()

    def gather(self, looks: Looks, weight: F64) -> F64:
        """Return the gradient that the values exert, float64 (n_frames * p, c)."""
        centred = looks.value - common_values(looks, weight, looks.value)[looks.thing]
        n, p = self._shape
        gradient = np.empty((n, p, centred.shape[1]))
        for k in range(p):
            for c in range(centred.shape[1]):
                gradient[:, k, c] = sum_by(looks.frame, weight * looks.terms[:, k] * centred[:, c], n)
        return gradient.reshape(n * p, -1)

    def apply(self, x: F64) -> F64:
        """Return the matrix times x."""
        n, p = self._shape
        own = np.matmul(self._blocks, x.reshape(n, p, -1)).reshape(x.shape)
        shared = self._terms.T @ ((self._terms @ x) * self._inverse[:, None])
        product: F64 = own - shared
        return product

    def precondition(self, residual: F64) -> F64:
        """Return about the inverse of the matrix times the residual."""
        from scipy.linalg import cho_solve

        n, p = self._shape
        together: F64 = self._coarse @ cho_solve(self._factor, self._coarse.T @ residual)
        if self._is_direct:
            return together
        alone: F64 = np.matmul(self._block_inverses, residual.reshape(n, p, -1)).reshape(residual.shape)
        return together + alone
