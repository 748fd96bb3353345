"""The proof that a map of a frame onto the sky is no accident."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64
from skyquilt.kernels.chance import log10_tail
from skyquilt.kernels.neighbours import match_nearest
from skyquilt.kernels.patterns import Grid

__all__ = ["LOG10_FALSE_ALARM", "Proof", "Trials", "prove"]

LOG10_FALSE_ALARM = -8.0
"""A map is believed when less than one search in a hundred million would give as good a one by chance."""

_COUNTS = (8, 12, 18, 27, 40, 60, 100, 160, 250, 400)
_RADII = (3.0, 1.5, 0.8)  # px
_LEAST_HITS = 6
_ASIDE = 8
_LEAST_CHANCE = 1e-7
_OCTAVES = 12.0  # of scale that a search for any scale covers: a frame holds as many other stars in each


@dataclass(frozen=True, slots=True)
class Trials:
    """
    Among how many maps the one that is to be proven was chosen.

    Attributes
    ----------
    n_catalogue : int
        Catalogue stars that could have been the first of two that fix a map.
    scale_tolerance : float or None
        Relative; None: any scale.
    """

    n_catalogue: int
    scale_tolerance: float | None

    def log10_maps(self, n_stars: int, n_inside: int, n_fixed: int = 2) -> float:
        """
        Return the decimal logarithm of the number of maps that two stars on two stars give, mirrored ones included.

        The second catalogue star is one of those that a frame holds, and lies at the right distance; for maps that
        three stars fix, the third is any that a frame holds.
        """
        pairs = n_stars * (n_stars - 1) / 2.0
        share = _OCTAVES if self.scale_tolerance is None else min(1.0, 4.0 * self.scale_tolerance + 0.02)
        thirds = (n_stars * max(n_inside, 2)) ** (n_fixed - 2)
        return float(np.log10(2.0 * pairs * self.n_catalogue * max(n_inside, 2) * share * thirds))


@dataclass(frozen=True, slots=True)
class Proof:
    """
    How sure a map is.

    Attributes
    ----------
    n_hits : int
        Stars of the frame that fall on one of the catalogue.
    n_stars : int
        Among how many, the brightest.
    log10_false_alarm : float
        Decimal logarithm of the number of such coincidences to be expected by chance in all trials.
    """

    n_hits: int
    n_stars: int
    log10_false_alarm: float

    @property
    def holds(self) -> bool:
        return self.log10_false_alarm < LOG10_FALSE_ALARM and self.n_hits >= _LEAST_HITS


def prove(u: F64, v: F64, grid: Grid, n_inside: int, area: float, trials: Trials, *, n_fixed: int = 2) -> Proof:
    """
    Return how sure it is that frame stars lie where they are thought to lie.

    Parameters
    ----------
    u, v : float64 (n,), px
        Where the map puts the frame's stars on the plane, the brightest first.
    grid : Grid
        Catalogue stars on that plane.
    n_inside : int
        How many of them the frame holds.
    area : float, px²
        Of the frame.
    trials : Trials
    n_fixed : 2 or 3
        How many pairs of stars fix the kind of map: two a similarity, three an affine map.

    Notes
    -----
    Definition: of the n brightest stars, k fall within r px of a catalogue star. Two of them fix the map, the others
    hit by chance with probability p each; the expected number of such accidents is N P(binomial(n - 2, p) >= k - 2)
    with N the number of maps that two stars on two stars give in all that is searched, times the choices of n and r
    tried here (a contrario reasoning: Desolneux, Moisan & Morel 2000, IJCV 40, 7). p is the larger of the share of the
    frame that discs around its catalogue stars cover and of what the same map hits when it is shifted aside, which
    sees clusters and lattices. Frames that go deeper than the catalogue have many stars without a partner: the
    brightest n are judged, for several n.
    """
    best = Proof(0, 0, 0.0)
    counts = [n for n in _COUNTS if n < len(u)] + [min(len(u), _COUNTS[-1])]
    partner = np.empty(len(u), dtype=np.int64)
    choices = float(np.log10(len(counts) * len(_RADII)))
    for radius in _RADII:
        chance = None
        cover = max(n_inside * np.pi * radius**2 / area, _LEAST_CHANCE)
        for n in counts:
            hits = match_nearest(u[:n], v[:n], radius, grid.x, grid.y, *grid.cells, partner[:n])
            if hits < _LEAST_HITS:
                continue
            maps = trials.log10_maps(n, n_inside, n_fixed) + choices
            alarm = maps + log10_tail(n - n_fixed, min(cover, 1.0), hits - n_fixed)
            if alarm < LOG10_FALSE_ALARM:
                chance = _share_aside(u, v, radius, grid) if chance is None else chance
                alarm = maps + log10_tail(n - n_fixed, min(max(cover, chance), 1.0), hits - n_fixed)
            if alarm < best.log10_false_alarm or not best.n_hits:
                best = Proof(hits, n, alarm)
    return best


def _share_aside(u: F64, v: F64, radius: float, grid: Grid) -> float:
    """Share of the stars that meet a catalogue star when the map is shifted aside, mean of eight directions."""
    other = np.empty(len(u), dtype=np.int64)
    hits = 0
    for k in range(_ASIDE):
        angle, step = 0.3 + 2.0 * np.pi * k / _ASIDE, (8.0 + 3.0 * k) * radius
        hits += match_nearest(
            u + step * np.cos(angle), v + step * np.sin(angle), radius, grid.x, grid.y, *grid.cells, other
        )
    return hits / (_ASIDE * len(u))
