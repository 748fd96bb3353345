"""First ideas of how two star lists lie on each other, and the proof that one of them is no accident."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, Transform
from skyquilt.kernels.asterism import refine_similarity, search_pairs
from skyquilt.kernels.chance import log10_tail
from skyquilt.kernels.neighbours import match_nearest
from skyquilt.kernels.patterns import Grid, propose_similarities
from skyquilt.steps.register.reference import Reference

__all__ = ["Proof", "Search", "from_pairs", "from_shift", "from_triangles", "prove"]

_LEVELS = (80, 150, 300)
_MOST_PAIRS = 60_000
_MOST_HYPOTHESES = 300
_FIRST_HYPOTHESES = 24  # where the lists belong together, nearly all of those with the most votes are right
_TRIED = 12
_SIDE_ERROR = 1.0  # px: two centroids of a short exposure, and what distortion does to a length
_HIT_RADIUS = 2.0
_REFINE = np.array([8.0, 5.0, 3.0])
_PROOF_STARS = 500
_LOG10_FALSE_ALARM = -6.0
_LEAST_HITS = 4
_RADII = (3.0, 1.5, 0.7)  # px
_ASIDE = 8
_PAIR_STARS = 40
_PAIR_STARS_SCALE_FREE = 18


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """
    What is looked for.

    Attributes
    ----------
    x, y : float64 (n,), px
        The frame's stars, brightest first.
    reference : Reference
    scale : float
        Reference over frame; 0: unknown.
    scale_tolerance : float
        Relative.
    mirror : bool
        Whether mirrored maps count too.
    """

    x: F64
    y: F64
    reference: Reference
    scale: float
    scale_tolerance: float
    mirror: bool

    def allows(self, row: F64) -> bool:
        """Whether the scale of a hypothesis is one that was asked for."""
        scale = float(np.hypot(row[0], row[1]))
        if self.scale == 0.0:
            return 0.02 < scale < 50.0
        return abs(scale / self.scale - 1.0) <= 1.5 * self.scale_tolerance + 1e-3


@dataclass(frozen=True, slots=True)
class Proof:
    """
    How sure a match is.

    Attributes
    ----------
    n_hits : int
        Stars that fell on a star of the reference.
    radius_px : float
        How near they had to fall.
    log10_false_alarm : float
        Decimal logarithm of the number of such coincidences to be expected between unrelated lists.
    rms_px : float
    """

    n_hits: int
    radius_px: float
    log10_false_alarm: float
    rms_px: float

    @property
    def holds(self) -> bool:
        return self.log10_false_alarm < _LOG10_FALSE_ALARM and self.n_hits >= _LEAST_HITS


def transform_of(row: F64) -> Transform:
    """Return the similarity of a row of hypotheses."""
    re, im, tx, ty = row[:4]
    sign = -1.0 if row[4] > 0 else 1.0
    return Transform.from_matrix([[re, -im * sign, tx], [im, re * sign, ty], [0, 0, 1]], "similarity")


def from_triangles(search: Search) -> tuple[F64, Proof] | Proof:
    """Return the best similarity that triangles suggest and its proof, or the proof of the best that failed."""
    best = Proof(0, _REFINE[-1], 0.0, np.nan)
    last = (0, 0)
    for level in _LEVELS:
        sizes = (min(level, len(search.x)), min(level, len(search.reference)))
        if sizes == last:
            break
        last = sizes
        for rows in _triangle_hypotheses(search, level):
            found = _first_proven(search, rows, level)
            if isinstance(found, tuple):
                return found
            best = found if found.log10_false_alarm < best.log10_false_alarm else best
    return best


def _triangle_hypotheses(search: Search, level: int) -> Iterator[F64]:
    """Return the similarities of the pairs of triangles with most votes, best first; if those fail, of all pairs."""
    n, m = min(level, len(search.x)), min(level, len(search.reference))
    return propose_similarities(
        search.x[:n],
        search.y[:n],
        search.reference.grid(m),
        search.reference.triangles(m, search.scale == 0.0),
        scale=search.scale,
        scale_tolerance=search.scale_tolerance,
        mirror=search.mirror,
        side_error=_SIDE_ERROR,
        hit_radius=_HIT_RADIUS,
        most_pairs=_MOST_PAIRS,
        stages=(_FIRST_HYPOTHESES, _MOST_HYPOTHESES),
    )


def from_pairs(search: Search) -> tuple[F64, Proof] | Proof:
    """Return the best similarity of two stars on two stars and its proof, or the proof of the best that failed."""
    most = _PAIR_STARS if search.scale > 0 else _PAIR_STARS_SCALE_FREE
    n, m = min(most, len(search.x)), min(most, len(search.reference))
    grid = search.reference.grid(m)
    rows = np.zeros((3 * _TRIED, 7))
    search_pairs(
        search.x[:n], search.y[:n], grid.x, grid.y, search.scale, search.scale_tolerance, 1.5 * _SIDE_ERROR,
        search.mirror, *grid.cells, 1.5 * _HIT_RADIUS, rows,
    )  # fmt: skip
    return _first_proven(search, rows[rows[:, 5] > 2], most)


def from_shift(search: Search, hint: Transform, reach: float = 60.0) -> tuple[F64, Proof] | Proof:
    """Return the hinted map, shifted by what most pairs of stars agree on, and its proof."""
    n, m = min(300, len(search.x)), min(300, len(search.reference))
    u, v = hint(search.x[:n], search.y[:n])
    grid = search.reference.grid(m)
    dx, dy = grid.x[None, :] - u[:, None], grid.y[None, :] - v[:, None]
    near = (np.abs(dx) < reach) & (np.abs(dy) < reach)
    matrix = hint.matrix
    mirrored = hint.parity < 0
    base = np.array([matrix[0, 0], matrix[1, 0], matrix[0, 2], matrix[1, 2], float(mirrored), 0.0, 0.0])
    rows = []
    if near.any():
        bin_px = 4.0
        for offset in (0.0, 0.5):
            i = np.floor((dx[near] + reach) / bin_px + offset).astype(np.int64)
            j = np.floor((dy[near] + reach) / bin_px + offset).astype(np.int64)
            side = int(2 * reach / bin_px) + 2
            counts = np.bincount(j * side + i, minlength=side * side)
            for top in np.argsort(-counts, kind="stable")[:3]:
                row = base.copy()
                row[2] += (top % side + 0.5 - offset) * bin_px - reach
                row[3] += (top // side + 0.5 - offset) * bin_px - reach
                rows.append(row)
    rows.append(base)
    return _first_proven(search, np.array(rows), 300)


def _first_proven(search: Search, rows: F64, level: int) -> tuple[F64, Proof] | Proof:
    """Refine the hypotheses in turn and return the first whose hits cannot be chance."""
    best = Proof(0, float(_REFINE[-1]), 0.0, np.nan)
    n, m = min(level, len(search.x)), min(level, len(search.reference))
    grid = search.reference.grid(m)
    tried: list[F64] = []
    for row in rows:
        if not search.allows(row) or any(_is_same(row, other, search) for other in tried):
            continue
        if len(tried) == _TRIED:
            break
        tried.append(row.copy())
        row = row.copy()
        refine_similarity(search.x[:n], search.y[:n], grid.x, grid.y, *grid.cells, _REFINE, row)
        if not search.allows(row):
            continue
        proof = prove(search, transform_of(row))
        if proof.holds:
            return row, proof
        if proof.log10_false_alarm < best.log10_false_alarm:
            best = proof
    return best


def _is_same(row: F64, other: F64, search: Search) -> bool:
    """Whether two hypotheses lay the frame within a few px of each other."""
    if row[4] != other[4]:
        return False
    reach = max(search.reference.width, search.reference.height)
    turn = np.hypot(row[0] - other[0], row[1] - other[1]) * reach
    u, v = float(search.x[0]), float(search.y[0])
    a, b = transform_of(row)(u, v), transform_of(other)(u, v)
    return bool(turn < 3.0 and np.hypot(a[0] - b[0], a[1] - b[1]) < 3.0)


def prove(search: Search, transform: Transform) -> Proof:
    """
    Return how many stars a map lays on stars, and how often chance would do so.

    Notes
    -----
    A contrario: between unrelated lists, a map fixed by two of its own pairs lays each of the n - 2 other stars within
    r of a reference star with probability p. The expected number of maps with as many hits as this one is
    N_maps * P(binomial(n - 2, p) >= k - 2), N_maps = n (n - 1) / 2 * m (m - 1), times the share of them that have the
    scale asked for. p is the larger of the share of the
    plane that discs of radius r around the reference stars cover and of what the same map hits when it is shifted
    aside, which sees clusters and lattices. Narrower radii are tried
    where the widest proves nothing; N_maps counts each.
    """
    n_all, m = min(_PROOF_STARS, len(search.x)), min(_PROOF_STARS, len(search.reference))
    grid = search.reference.grid(m)
    u, v = transform(search.x[:n_all], search.y[:n_all])
    x0, x1, y0, y1 = grid.x.min(), grid.x.max(), grid.y.min(), grid.y.max()
    inside = (u > x0 - 3) & (u < x1 + 3) & (v > y0 - 3) & (v < y1 + 3)
    u, v = u[inside], v[inside]
    n = len(u)
    best = Proof(0, float(_REFINE[-1]), 0.0, np.nan)
    if n < 3:
        return best
    area = max((x1 - x0 + 6.0) * (y1 - y0 + 6.0), 1.0)
    partner = np.empty(n, dtype=np.int64)
    maps = np.log10(n_all * (n_all - 1) / 2.0) + np.log10(max(m * (m - 1.0), 1.0)) + np.log10(3.0)
    if search.scale > 0.0:  # of all pairs of pairs only those of the right length make a map
        maps += np.log10(min(4.0 * search.scale_tolerance + 0.01, 1.0))
    for radius in _RADII:
        hits = match_nearest(u, v, radius, grid.x, grid.y, *grid.cells, partner)
        if hits < _LEAST_HITS:
            break
        chance = max(m * np.pi * radius**2 / area, 1e-12)
        alarm = maps + log10_tail(n - 2, min(chance, 1.0), hits - 2)
        if alarm < _LOG10_FALSE_ALARM:
            chance = max(chance, _share_aside(u, v, radius, grid))
            alarm = maps + log10_tail(n - 2, min(chance, 1.0), hits - 2)
        if alarm < best.log10_false_alarm or not best.n_hits:
            found = partner >= 0
            miss = np.concatenate([u[found] - grid.x[partner[found]], v[found] - grid.y[partner[found]]])
            best = Proof(hits, radius, alarm, float(np.sqrt(np.mean(miss**2))))
        if best.holds:
            break
    return best


def _share_aside(u: F64, v: F64, radius: float, grid: Grid) -> float:
    """Share of the stars that meet a reference star when the map is shifted aside, mean of eight directions."""
    other = np.empty(len(u), dtype=np.int64)
    hits = 0
    for k in range(_ASIDE):
        angle, step = 0.3 + 2.0 * np.pi * k / _ASIDE, (8.0 + 3.0 * k) * radius
        hits += match_nearest(
            u + step * np.cos(angle), v + step * np.sin(angle), radius, grid.x, grid.y, *grid.cells, other
        )
    return hits / (_ASIDE * len(u))
