"""From an idea of where a frame lies to coordinates that are proven, or to nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64, CatalogueStars, Distortion, Sip, SkyGrid, Stars, Transform, Wcs
from skyquilt.kernels.asterism import refine_similarity
from skyquilt.kernels.fitting import Fit, Pairs, choose_fit, fit_models, transform_of_fit
from skyquilt.kernels.neighbours import match_nearest
from skyquilt.steps.solve.nouns import Solution
from skyquilt.steps.solve.plane import Plane, on_plane
from skyquilt.steps.solve.proof import Proof, Trials, prove

__all__ = ["Frame", "confirm", "moved_row", "row_of_points"]

_REFINE = np.array([10.0, 6.0, 4.0, 3.0])  # px
_REFINED_STARS = 250
_CATALOGUE_STARS = 400  # a wide field holds thousands that the frame's brightest stars are not among
_DEEPER = 2
_LEANING = (12.0, 7.0, 4.0)  # px
_LEAST_SQUARE = 1.08  # longer over shorter side of a pixel
_BEYOND_DOUBT = -20.0  # as the logarithm of a false alarm: no need to look whether pixels are square
_HOPELESS = 4.0
_ROUNDS = 5
_FIRST_RADIUS = 5.0  # px
_LEAST_RADIUS = 1.5
_REACH = 4.5  # of the typical residual
_MOST_SHRUNK = 0.5  # what the refinement may make of the scale of an idea
_MARGIN = 1.08  # of the frame's radius: catalogue stars just outside help a distorted edge
_CELLS = 3
_LEAST_CELLS = 7  # of the 3 x 3 that matched stars must cover before a distortion is believed
_LEAST_MATCHED = 6


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """
    The stars of a frame that the solver looks at.

    Attributes
    ----------
    stars : Stars
        Brightest first, finite.
    index : int64 (n,)
        Their places in the list that was given.
    width, height : int, px
    """

    stars: Stars
    index: I64
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.stars)

    @property
    def centre(self) -> tuple[float, float]:
        return (self.width - 1) / 2.0, (self.height - 1) / 2.0

    @property
    def radius_px(self) -> float:
        return float(np.hypot(self.width, self.height)) / 2.0

    @property
    def area(self) -> float:
        return float(self.width * self.height)


@dataclass(frozen=True, slots=True, eq=False)
class _Laid:
    """A fit and its map from the frame to the plane."""

    fit: Fit
    transform: Transform


def row_of_points(x: F64, y: F64, u: F64, v: F64, mirrored: bool) -> F64:
    """Return the similarity, as a row of `rank_hypotheses`, that takes points (x, y) to (u, v) by least squares."""
    f, g = x + 1j * (-y if mirrored else y), u + 1j * v
    f0, g0 = f.mean(), g.mean()
    z = np.sum((g - g0) * np.conj(f - f0)) / np.sum(np.abs(f - f0) ** 2)
    t = g0 - z * f0
    return np.array([z.real, z.imag, t.real, t.imag, 1.0 if mirrored else 0.0, 0.0, 0.0])


def moved_row(row: F64, frame: Frame, old: Plane, ra_deg: float, dec_deg: float) -> F64:
    """Return the similarity of the frame on the plane that touches the sky at another place."""
    x = np.array([0.0, frame.width - 1.0, 0.0, frame.width - 1.0])
    y = np.array([0.0, 0.0, frame.height - 1.0, frame.height - 1.0])
    sky = old.to_sky(*_apply(row, x, y))
    new = Plane(ra_deg, dec_deg, old.unit_deg, x[:0], x[:0], CatalogueStars.empty())
    return row_of_points(x, y, *new.of_sky(*sky), bool(row[4] > 0))


def confirm(row: F64, plane: Plane, frame: Frame, trials: Trials) -> tuple[Solution | None, Proof]:
    """
    Return the solution that an idea leads to if it is proven, and how far the proof went.

    Parameters
    ----------
    row : float64 (7,)
        A similarity from the frame to the plane, as `rank_hypotheses` fills it.
    plane : Plane
        With the catalogue stars that cover the place.
    frame : Frame
    trials : Trials
    """
    x, y = _apply(row, *(np.array([value]) for value in frame.centre))
    scale = float(np.hypot(row[0], row[1]))
    reach = _MARGIN * frame.radius_px * scale / _flattening(plane, float(x[0]), float(y[0]))
    near = np.flatnonzero((plane.x - x) ** 2 + (plane.y - y) ** 2 < reach**2)
    near = near[: max(_CATALOGUE_STARS, _DEEPER * len(frame))]
    if len(near) < _LEAST_MATCHED:
        return None, Proof(0, 0, 0.0)
    ra, dec = (float(value[0]) for value in plane.to_sky(x, y))
    row = moved_row(row, frame, plane, ra, dec)
    # counted in pixels of the frame from here on
    local = on_plane(plane.stars.take(near), ra, dec, plane.unit_deg * scale)
    row[:4] /= scale
    grid = local.grid()
    n = min(len(frame), _REFINED_STARS)
    x, y = frame.stars.x, frame.stars.y
    refine_similarity(x[:n], y[:n], grid.x, grid.y, *grid.cells, _REFINE, row)
    if not _MOST_SHRUNK < float(np.hypot(row[0], row[1])) < 1.0 / _MOST_SHRUNK:
        return None, Proof(0, 0, 0.0)  # all stars drawn together onto one
    u, v = _apply(row, x, y)
    inside = _n_inside(local, row, frame)
    mirrored = bool(row[4] > 0)
    proof = prove(u, v, grid, inside, frame.area, trials)
    simplest = "similarity"
    if _BEYOND_DOUBT < proof.log10_false_alarm < _HOPELESS:
        leant = _affine(u, v, local, frame, mirrored)
        other = prove(*leant, grid, inside, frame.area, trials, n_fixed=3) if leant is not None else proof
        if leant is not None and other.log10_false_alarm < proof.log10_false_alarm:
            (u, v), proof, simplest = leant, other, "affine"
    if not proof.holds:
        return None, proof
    return _solution(u, v, local, frame, proof, mirrored, simplest), proof


def _flattening(plane: Plane, x: float, y: float) -> float:
    """Return the square of the cosine of a point's distance from the tangent point: lengths grow by its inverse."""
    return float(1.0 / (1.0 + np.radians(plane.unit_deg) ** 2 * (x * x + y * y)))


def _affine(u: F64, v: F64, plane: Plane, frame: Frame, mirrored: bool) -> tuple[F64, F64] | None:
    """Return where an affine map puts the stars, for pixels that are not square; None if it is no near thing."""
    grid = plane.grid()
    x, y = frame.stars.x, frame.stars.y
    partner = np.empty(len(x), dtype=np.int64)
    for radius in _LEANING:
        match_nearest(u, v, radius, grid.x, grid.y, *grid.cells, partner)
        mine = np.flatnonzero(partner >= 0)
        if len(mine) < _LEAST_MATCHED:
            return None
        theirs = partner[mine]
        pairs = Pairs.of(x[mine], y[mine], plane.x[theirs], plane.y[theirs], np.ones(len(mine)))
        fits = fit_models(["affine"], pairs, mirrored)
        if not fits:
            return None
        leant = transform_of_fit(fits[0], pairs, mirrored)
        u, v = leant(x, y)
        sides = np.linalg.svd(leant.matrix[:2, :2], compute_uv=False)
        if sides[0] > _LEAST_SQUARE * sides[1]:
            return None
    return u, v


def _apply(row: F64, x: F64, y: F64) -> tuple[F64, F64]:
    sign = -1.0 if row[4] > 0 else 1.0
    return row[0] * x - row[1] * sign * y + row[2], row[1] * x + row[0] * sign * y + row[3]


def _n_inside(plane: Plane, row: F64, frame: Frame) -> int:
    """How many stars of the plane the frame holds."""
    z, sign = row[0] + 1j * row[1], -1.0 if row[4] > 0 else 1.0
    back = (plane.x + 1j * plane.y - (row[2] + 1j * row[3])) / z
    x, y = back.real, sign * back.imag
    return int(np.count_nonzero((x > -3) & (x < frame.width + 2) & (y > -3) & (y < frame.height + 2)))


def _solution(
    u: F64, v: F64, plane: Plane, frame: Frame, proof: Proof, mirrored: bool, simplest: str
) -> Solution | None:
    """Pair all stars and fit, each round with a better map and a smaller radius, tangent at the centre."""
    stars = frame.stars
    radius = _FIRST_RADIUS
    found: _Laid | None = None
    mine = theirs = np.zeros(0, dtype=np.int64)
    for step in range(_ROUNDS):
        grid = plane.grid()
        partner = np.empty(len(stars), dtype=np.int64)
        match_nearest(u, v, radius, grid.x, grid.y, *grid.cells, partner)
        mine = np.flatnonzero(partner >= 0)
        theirs = partner[mine]
        if len(mine) < _LEAST_MATCHED:
            return None
        found = _best_fit(frame, mine, plane.x[theirs], plane.y[theirs], (u[mine], v[mine]), mirrored, simplest, step)
        if found is None:
            return None
        # the tangent point follows the frame's centre, so that the constant terms vanish
        ra, dec = plane.to_sky(*found.transform(*frame.centre))
        moved = on_plane(plane.stars, float(ra), float(dec), plane.unit_deg)
        u, v = moved.of_sky(*plane.to_sky(*found.transform(stars.x, stars.y)))
        plane = moved
        miss = np.hypot(found.fit.residual[:, 0], found.fit.residual[:, 1])
        radius = min(max(_REACH * float(np.median(miss)) / 1.1774, _LEAST_RADIUS), _FIRST_RADIUS)
    # once more on the last plane with the same pairs: the coordinates and the residuals belong together
    found = _best_fit(frame, mine, plane.x[theirs], plane.y[theirs], (u[mine], v[mine]), mirrored, simplest, _ROUNDS)
    if found is None:
        return None
    fit = found.fit
    keep = (fit.weight > 0) & (np.hypot(fit.residual[:, 0], fit.residual[:, 1]) <= radius)
    if np.count_nonzero(keep) < _LEAST_MATCHED:
        return None
    return Solution(
        grid=SkyGrid(_wcs_of(found.transform, plane, frame), frame.width, frame.height),
        n_matched=int(np.count_nonzero(keep)),
        rms_px=float(np.sqrt(np.mean(fit.residual[keep] ** 2))),
        log10_false_alarm=proof.log10_false_alarm,
        model=fit.model if not fit.model.startswith("polynomial") else "polynomial",
        pairs=frame.index[mine[keep]],
        catalogue=plane.stars.take(theirs[keep]),
        residual_px=fit.residual[keep],
    )


def _best_fit(
    frame: Frame, mine: I64, gx: F64, gy: F64, at: tuple[F64, F64], mirrored: bool, simplest: str, step: int
) -> _Laid | None:
    """Return the simplest model that explains the pairs; only the later rounds allow a distortion."""
    x, y = frame.stars.x[mine], frame.stars.y[mine]
    known = np.nan_to_num(frame.stars.position_error[mine], nan=0.3, posinf=3.0)
    square = (gx - at[0]) ** 2 + (gy - at[1]) ** 2
    half = max(len(mine) // 2, min(len(mine), 5))
    excess = float(np.median(square[:half])) / 1.386 - float(np.median(known[:half] ** 2))
    sigma: F64 = np.sqrt(known**2 + max(excess, 0.0) + 1e-4)
    names = [simplest]
    if step > 0 and simplest != "affine":
        names.append("affine")
    if step > 1 and _spread(frame, x, y) >= _LEAST_CELLS:
        names += ["polynomial2", "polynomial3"]
    pairs = Pairs.of(x, y, gx, gy, sigma, centre=frame.centre)
    fits = fit_models(names, pairs, mirrored)
    if not fits:
        return None
    fit = choose_fit(fits, sigma)
    return _Laid(fit, transform_of_fit(fit, pairs, mirrored))


def _spread(frame: Frame, x: F64, y: F64) -> int:
    """Return how many of 3 x 3 equal parts of the frame hold a matched star."""
    column = np.clip(((x + 0.5) * _CELLS / frame.width).astype(np.int64), 0, _CELLS - 1)
    line = np.clip(((y + 0.5) * _CELLS / frame.height).astype(np.int64), 0, _CELLS - 1)
    return len(np.unique(line * _CELLS + column))


def _wcs_of(laid: Transform, plane: Plane, frame: Frame) -> Wcs:
    """Return the coordinates of a fit: its linear part is the CD matrix, its distortion the SIP terms."""
    centre = frame.centre
    u0, v0 = laid(*centre)
    ra, dec = plane.to_sky(u0, v0)
    sip = None
    for stage in laid.stages:
        if isinstance(stage, Distortion):
            order = stage.order
            a, b = np.zeros((order + 1, order + 1)), np.zeros((order + 1, order + 1))
            for k, (i, j) in enumerate(stage.terms(order)):
                a[i, j] = stage.coefficients[0, k] / stage.radius ** (i + j)
                b[i, j] = stage.coefficients[1, k] / stage.radius ** (i + j)
            sip = Sip(a, b).with_inverse(centre, frame.width, frame.height)
    cd = laid.matrix[:2, :2] * plane.unit_deg
    return Wcs((float(ra), float(dec)), centre, cd, sip)
