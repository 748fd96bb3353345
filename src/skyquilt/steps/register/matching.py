"""A frame's stars laid on the reference's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64, Registration, Stars, Transform
from skyquilt.kernels.fitting import LEAST_PAIRS, MODELS, Fit, Pairs, choose_fit, fit_models, transform_of_fit
from skyquilt.kernels.neighbours import match_nearest
from skyquilt.kernels.order import median_of
from skyquilt.kernels.patterns import Grid
from skyquilt.steps.register.hypotheses import (
    Proof,
    Search,
    from_pairs,
    from_shift,
    from_triangles,
    transform_of,
)
from skyquilt.steps.register.reference import Reference
from skyquilt.steps.register.residuals import BRIGHT_PAIRS, rms_of

__all__ = ["NoMatch", "match"]

_LEAST_STARS = 5
_MOST_STARS = 4000
_FIRST_RADIUS = 6.0
_SECOND_RADIUS = 4.0
_LEAST_RADIUS = 1.0
_LAST_REACH = 5.0  # sigma of the residuals
_KEPT_SHARE = 0.6  # of the stars that the first similarity laid on each other
_CHOICES = {
    "auto": ("similarity", "affine", "homography", "polynomial2", "polynomial3"),
    "polynomial": ("polynomial2", "polynomial3"),
}


@dataclass(frozen=True, slots=True)
class NoMatch:
    """
    That a frame could not be laid on the reference, and why.

    Attributes
    ----------
    reason : str
        One sentence with the figures.
    n_stars : int
        Stars of the frame.
    n_matched : int
        Stars that the best attempt laid on stars of the reference.
    best_rms_px : float
        Their residual; NaN if there was no attempt.
    """

    reason: str
    n_stars: int
    n_matched: int
    best_rms_px: float


def match(
    stars: Stars,
    reference: Reference,
    *,
    model: str = "auto",
    scale_hint: float | None = 1.0,
    scale_tolerance: float = 0.02,
    allow_mirror: bool = False,
    hint: Transform | None = None,
) -> Registration | NoMatch:
    """
    Return how the frame lies on the reference, or why that cannot be told.

    Parameters
    ----------
    stars : Stars
        Brightest first.
    reference : Reference
    model : str
        "auto" (the simplest that explains the residuals), "shift", "similarity", "affine", "homography" or
        "polynomial" (order 2 or 3).
    scale_hint : float or None
        Reference pixels per frame pixel; None: another telescope, any scale.
    scale_tolerance : float
        Relative.
    allow_mirror : bool
        Whether the frame may be mirrored (an odd number of reflections more than the reference).
    hint : Transform or None
        Where the frame is thought to lie, to 60 px: tried first.

    Returns
    -------
    Registration or NoMatch

    Raises
    ------
    ValueError
        If `model` is not one of those.

    Notes
    -----
    Triangles of neighbouring bright stars (80, then 150, then 300 of them) vote for similarities; where that fails,
    every pair of stars is tried on every pair. A similarity is believed when the stars that it lays on stars cannot be
    chance (fewer than one such accident in a million unrelated lists, `hypotheses.prove`). Then all stars are paired,
    the models are fitted with Tukey's biweight and errors from the centroids plus a floor that the pairs tell
    themselves (seeing), and Schwarz's criterion chooses.
    """
    if model not in (*_CHOICES, *MODELS[:4]):
        raise ValueError(
            f"{model!r} is no model of a registration: auto, shift, similarity, affine, homography, polynomial"
        )
    usable = np.flatnonzero(np.isfinite(stars.x) & np.isfinite(stars.y))[:_MOST_STARS]
    chosen = stars.take(usable)
    n = len(chosen)
    for count, whose in ((n, "frame"), (len(reference), "reference")):
        if count < _LEAST_STARS:
            return NoMatch(f"the {whose} shows {count} stars, a match takes {_LEAST_STARS}", n, 0, float("nan"))
    search = Search(chosen.x, chosen.y, reference, scale_hint or 0.0, scale_tolerance, allow_mirror)
    found = _find(search, hint)
    if isinstance(found, Proof):
        return NoMatch(
            f"{n} stars against {len(reference)} of the reference: the best attempt laid {found.n_hits} on each other,"
            f" which chance does too",
            n,
            found.n_hits,
            found.rms_px,
        )
    fit, pairs = _grow(chosen, reference, transform_of(found[0]), bool(found[0][4] > 0), model)
    if fit is None:
        least = min(LEAST_PAIRS[name] for name in _CHOICES.get(model, (model,)))
        return NoMatch(
            f"{len(pairs)} star pairs are too few for the model {model!r}, which takes {least}",
            n,
            len(pairs),
            found[1].rms_px,
        )
    if len(pairs) < _KEPT_SHARE * found[1].n_hits:
        return NoMatch(
            f"the model {model!r} does not fit: {len(pairs)} star pairs leave {rms_of(fit.residual):.2f} px",
            n,
            len(pairs),
            rms_of(fit.residual),
        )
    return Registration(
        transform=fit.transform,
        n_matched=len(pairs),
        rms_px=rms_of(fit.residual),
        bright_rms_px=rms_of(fit.residual[:BRIGHT_PAIRS]),
        pairs=np.stack([usable[pairs[:, 0]], reference.index[pairs[:, 1]]], axis=1),
    )


def _find(search: Search, hint: Transform | None) -> tuple[F64, Proof] | Proof:
    attempts: list[Callable[[], tuple[F64, Proof] | Proof]] = [
        lambda: from_triangles(search),
        lambda: from_pairs(search),
    ]
    if hint is not None:
        attempts.insert(0, lambda: from_shift(search, hint))
    best = Proof(0, 0.0, 0.0, float("nan"))
    for attempt in attempts:
        found = attempt()
        if isinstance(found, tuple):
            return found
        best = found if found.log10_false_alarm <= best.log10_false_alarm else best
    return best


@dataclass(frozen=True, slots=True, eq=False)
class _Grown:
    """The transform that all pairs agreed on, and what it leaves of them, float64 (n, 2), px."""

    transform: Transform
    residual: F64


def _grow(
    stars: Stars, reference: Reference, start: Transform, mirrored: bool, model: str
) -> tuple[_Grown | None, I64]:
    """Pair all stars and fit, each round with a better map and a smaller radius."""
    grid = reference.grid(len(reference))
    rich = _CHOICES.get(model, (model,))
    transform, radius = start, _FIRST_RADIUS
    fit: Fit | None = None
    pairs = np.zeros((0, 2), dtype=np.int64)
    coarse = ("similarity", "affine") if len(rich) > 1 else rich
    middle = (*coarse, "polynomial3") if len(rich) > 1 else rich
    for names in (coarse, middle, rich):
        pairs, miss2 = _pair(stars, grid, transform, radius)
        if not len(pairs):
            return None, pairs
        sigma = _errors(stars, reference, pairs, transform.scale, miss2)
        points = Pairs.of(stars.x[pairs[:, 0]], stars.y[pairs[:, 0]], grid.x[pairs[:, 1]], grid.y[pairs[:, 1]], sigma)
        fits = fit_models(names, points, mirrored)
        if not fits:
            return None, pairs
        fit = choose_fit(fits, sigma)
        transform = transform_of_fit(fit, points, mirrored)
        miss = np.hypot(fit.residual[:, 0], fit.residual[:, 1])
        radius = min(max(_LAST_REACH * median_of(miss) / 1.1774, _LEAST_RADIUS), _SECOND_RADIUS)
    assert fit is not None
    keep = (fit.weight > 0) & (miss <= radius)
    return _Grown(transform, fit.residual[keep]), pairs[keep]


def _pair(stars: Stars, grid: Grid, transform: Transform, radius: float) -> tuple[I64, F64]:
    """Return the pairs of stars that a map lays on each other, and their squared distances, px²."""
    u, v = transform(stars.x, stars.y)
    partner = np.empty(len(stars), dtype=np.int64)
    match_nearest(u, v, radius, grid.x, grid.y, *grid.cells, partner)
    mine = np.flatnonzero(partner >= 0)
    theirs = partner[mine]
    return np.stack([mine, theirs], axis=1), (grid.x[theirs] - u[mine]) ** 2 + (grid.y[theirs] - v[mine]) ** 2


def _errors(stars: Stars, reference: Reference, pairs: I64, scale: float, miss2: F64) -> F64:
    """
    Error of each pair, px per axis: both centroids, and what all pairs have in common.

    Bright stars wander in short exposures by more than their photons say; the brighter half of the pairs tells by how
    much.
    """
    mine = stars.position_error[pairs[:, 0]] * scale
    theirs = reference.stars.position_error[pairs[:, 1]]
    known2 = mine**2 + theirs**2
    known2[np.isnan(known2)] = 0.01
    known2 = np.minimum(known2, 100.0)
    half = max(len(pairs) // 2, min(len(pairs), 5))
    excess = median_of(miss2[:half]) / 1.386 - median_of(known2[:half])
    sigma: F64 = np.sqrt(known2 + max(excess, 0.0) + 1e-4)
    return sigma
