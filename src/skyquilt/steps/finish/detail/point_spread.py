"""What the light of a point looks like on the image, and how that changes over the field."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from skyquilt.core import F32, F64, Mask
from skyquilt.errors import NoUsableInput
from skyquilt.kernels import detect_fit as fit
from skyquilt.kernels.detect_surroundings import local_levels
from skyquilt.kernels.point_light import PER_SIGMA

__all__ = ["FWHM_PER_SIGMA", "PointSpread", "fit_point_spread", "fit_shapes"]

FWHM_PER_SIGMA = 2.3548200450309493
_REACH_SIGMA = 64.0
_INVERSE_BETAS = (0.0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
_STARS_FOR = {1: 12, 2: 36}  # how many stars a change over the field of that order takes
_ROUNDS = 6
_WIDEST_PX = 80.0
_LEVEL_AT, _LEVEL_RING, _NEAREST_LEVEL = 0.3, 1.5, 7.0  # sigma of a pixel; share of the radius; sigma of the star
_LEAST_SHARE = 0.5  # of the Moffat function
_CLIP = 3.0
_FEWEST = 3
_LEAST_SIGNIFICANT = 2.5
_RING = (2.4, 4.0)  # FWHM: where a star's level is taken


@dataclass(frozen=True, slots=True, eq=False)
class PointSpread:
    """
    The point spread function of an image.

    Attributes
    ----------
    shape : float64 (c, 3, k), px²
        Second moments xx, xy, yy of the Gaussian of the same FWHM: polynomials of order 0, 1 or 2 (k = 1, 3, 6) in
        u, v (`terms`).
    profile : float64 (c, m)
        Light at 0, 1/8, 2/8 ... sigma from the centre, 1 at the centre: a Moffat function, corrected by what the wings
        of the bright stars show.
    inverse_beta : float
        1 / beta of that function, the same for all channels; 0 is the Gaussian.
    n_stars : int
        That it was made from.
    height, width : int, px
        Of the image.
    """

    shape: F64
    profile: F64
    inverse_beta: float
    n_stars: int
    height: int
    width: int

    def terms(self, x: F64, y: F64) -> F64:
        """Return the terms 1, u, v, u², uv, v² of places, float64 (n, k); u, v are -1..1 across the image."""
        return _terms(x, y, self.width, self.height)[:, : self.shape.shape[2]]

    def moments(self, channel: int, x: F64, y: F64) -> F64:
        """Return xx, xy, yy at places of the image, float64 (n, 3), px²."""
        moments: F64 = self.terms(np.asarray(x, np.float64), np.asarray(y, np.float64)) @ self.shape[channel].T
        return moments

    def inverse_moments(self, channel: int, x: F64, y: F64) -> F64:
        """Return p, q, s at places of the image, float64 (n, 3), 1/px²: r² = p dx² + 2 q dx dy + s dy²."""
        xx, xy, yy = self.moments(channel, x, y).T
        det = xx * yy - xy * xy
        return np.ascontiguousarray(np.stack([yy / det, -xy / det, xx / det], axis=1))

    def fwhm_px(self, channel: int, x: float | None = None, y: float | None = None) -> float:
        """Return the FWHM, geometric mean of both axes, px; of the middle of the image by default."""
        at_x = (self.width - 1) / 2 if x is None else x
        at_y = (self.height - 1) / 2 if y is None else y
        xx, xy, yy = self.moments(channel, np.array([at_x]), np.array([at_y]))[0]
        return float(FWHM_PER_SIGMA * (xx * yy - xy * xy) ** 0.25)

    def flux_per_height(self, channel: int) -> float:
        """Return the sum of the pixels of a star of height 1 in the middle of the image, px²."""
        r = np.arange(self.profile.shape[1]) / PER_SIGMA
        area = (self.fwhm_px(channel) / FWHM_PER_SIGMA) ** 2
        return float(area * 2.0 * np.pi * np.trapezoid(self.profile[channel] * r, r))

    def uniform(self, height: int, width: int) -> PointSpread:
        """Return the PSF of the middle, everywhere on an image of that size: where it was measured on a part of one."""
        x, y = np.array([(self.width - 1) / 2]), np.array([(self.height - 1) / 2])
        shape = np.stack([self.moments(channel, x, y)[0][:, None] for channel in range(len(self.profile))])
        return PointSpread(shape, self.profile, self.inverse_beta, self.n_stars, height, width)

    def stamp(self, channel: int, x: float, y: float, half: int) -> F64:
        """Return the PSF at a place, centred on the middle pixel, float64 (2 half + 1, 2 half + 1), sum 1."""
        p, q, s = self.inverse_moments(channel, np.array([x]), np.array([y]))[0]
        d = np.arange(-half, half + 1.0)
        r = np.sqrt(p * d[None] ** 2 + 2.0 * q * d[None] * d[:, None] + s * d[:, None] ** 2)
        profile = self.profile[channel]
        light = np.interp(r * PER_SIGMA, np.arange(len(profile)), profile, right=0.0)
        total: F64 = light / light.sum()
        return total


def _terms(x: F64, y: F64, width: int, height: int) -> F64:
    u, v = 2.0 * x / max(width - 1, 1) - 1.0, 2.0 * y / max(height - 1, 1) - 1.0
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)


def fit_shapes(plane: F32, x: F64, y: F64, fwhm: float, inverse_beta: float, noise: float) -> F64:
    """
    Return the table of `kernels.detect_fit.fit_stars` for points of a plane, each with a shape of its own.

    Parameters
    ----------
    plane : float32 (y, x)
    x, y : float64 (n,), px of the plane
    fwhm : float, px
        About that of the points.
    noise : float
        Of a pixel.
    """
    table = np.zeros((len(x), fit.COLUMNS))
    if not len(x):
        return table
    sky = np.empty(len(x))
    local_levels(plane, x, y, _RING[0] * fwhm, _RING[1] * fwhm, sky)
    profile, bend, _ = fit.moffat_profile(inverse_beta)
    sigma2 = (fwhm / FWHM_PER_SIGMA) ** 2
    shape = np.tile([sigma2, 0.0, sigma2], (len(x), 1))
    fit.fit_stars(plane, -1, x, y, sky, shape, profile, bend, 3.5, 5, True, noise, np.inf, table)
    return table


def fit_point_spread(image: F32, x: F64, y: F64, fwhm: float, noise: F64) -> PointSpread:
    """
    Return the PSF that isolated, unsaturated stars of an image show.

    Parameters
    ----------
    image : float32 (c, y, x)
        Linear, without gaps around the stars.
    x, y : float64 (n,), px
        The stars, the best first.
    fwhm : float, px
        About theirs.
    noise : float64 (c,)
        Of a pixel of each channel.

    Raises
    ------
    NoUsableInput
        If fewer than 3 stars can be fitted in a channel.

    Notes
    -----
    An elliptical Moffat function is fitted to each star; beta is the one of nine that leaves the least residual over
    all channels. Moments over the field: polynomials, order 1 from 12 stars on, 2 from 36, with outliers beyond 3 sigma
    left out. The profile is corrected by the median of (v - level) / height - Moffat in rings, where that exceeds its
    error 2.5 times, and never rises outwards.
    """
    planes = [np.ascontiguousarray(plane) for plane in image]
    best: tuple[float, float, list[F64], list[Mask]] | None = None
    for inverse_beta in _INVERSE_BETAS:
        tables = [
            fit_shapes(plane, x, y, fwhm, inverse_beta, float(sigma))
            for plane, sigma in zip(planes, noise, strict=True)
        ]
        good = [_plausible(table, fwhm) for table in tables]
        if min(int(mask.sum()) for mask in good) < _FEWEST:
            continue
        loss = sum(_loss(table[mask]) for table, mask in zip(tables, good, strict=True))
        if best is None or loss < best[0]:
            best = loss, inverse_beta, tables, good
    if best is None:
        raise NoUsableInput(
            f"fewer than {_FEWEST} isolated stars tell what a point looks like on this image",
            "leave out the steps that need the stars' profile, or use a larger part of the image",
        )
    _, inverse_beta, tables, good = best
    size = planes[0].shape
    n_stars = min(int(mask.sum()) for mask in good)
    n_terms = max(k for k, needed in ((1, 0), (3, _STARS_FOR[1]), (6, _STARS_FOR[2])) if n_stars >= needed)
    fields = [_fit_field(table, mask, size, n_terms) for table, mask in zip(tables, good, strict=True)]
    if not all(_is_definite(shape, size) for shape, _ in fields):
        fields = [_fit_field(table, mask, size, 1) for table, mask in zip(tables, good, strict=True)]
    profiles = [
        _measure_profile(plane, table[kept], shape, inverse_beta, float(sigma))
        for plane, table, (shape, kept), sigma in zip(planes, tables, fields, noise, strict=True)
    ]
    return PointSpread(
        np.stack([shape for shape, _ in fields]), np.stack(profiles), inverse_beta, n_stars, size[0], size[1]
    )


def _loss(table: F64) -> float:
    """How badly the profile fits stars: what is left over what there is."""
    return float(np.median(np.sqrt(table[:, fit.CHI2]) / table[:, fit.AMPLITUDE]))


def _plausible(table: F64, fwhm: float) -> Mask:
    width = FWHM_PER_SIGMA * np.maximum(table[:, fit.SXX] * table[:, fit.SYY] - table[:, fit.SXY] ** 2, 1e-6) ** 0.25
    good: Mask = (table[:, fit.OK] > 0) & (width > 0.6 * fwhm) & (width < 1.7 * fwhm)
    return good


def _fit_field(table: F64, good: Mask, size: tuple[int, int], k: int) -> tuple[F64, Mask]:
    """Return the polynomials of the moments, (3, k), and which stars they are made from."""
    terms = _terms(table[:, fit.X], table[:, fit.Y], size[1], size[0])
    moments = table[:, [fit.SXX, fit.SXY, fit.SYY]]
    kept = good.copy()
    solution: F64 = np.zeros((k, 3))
    for step in range(_ROUNDS):
        if step == 0:
            solution[0] = np.median(moments[good], axis=0)
        else:
            solution = np.asarray(np.linalg.lstsq(terms[kept, :k], moments[kept], rcond=None)[0], dtype=np.float64)
        miss = np.abs(moments - terms[:, :k] @ solution).max(axis=1)
        limit = _CLIP * 1.4826 * float(np.median(miss[good])) + 1e-3 * float(solution[0, 0])
        wider = good & (miss <= limit)
        if wider.sum() < max(_FEWEST, 2 * k):
            break
        kept = wider
    return np.ascontiguousarray(solution.T), kept


def _is_definite(shape: F64, size: tuple[int, int]) -> bool:
    """Whether the moments are those of an ellipse, not far from that of the middle, everywhere on the image."""
    v, u = np.meshgrid(np.linspace(0, size[0] - 1, 5), np.linspace(0, size[1] - 1, 5), indexing="ij")
    moments = _terms(u.ravel(), v.ravel(), size[1], size[0])[:, : shape.shape[1]] @ shape.T
    area = moments[:, 0] * moments[:, 2] - moments[:, 1] ** 2
    middle = float(np.median(area))
    return bool((area > 0.2 * middle).all() and (area < 5.0 * middle).all() and (moments[:, 0] > 0).all())


def _measure_profile(plane: F32, table: F64, shape: F64, inverse_beta: float, noise: float) -> F64:
    """Return the profile of height 1 by distance in sigma, float64 (m,)."""
    r = np.arange(int(_REACH_SIGMA * PER_SIGMA) + 1) / PER_SIGMA
    profile = _moffat(r, inverse_beta)
    height, width = plane.shape
    distance, light, weight = [], [], []
    for row in table:
        x, y, peak = row[fit.X], row[fit.Y], row[fit.AMPLITUDE]
        xx, xy, yy = _terms(np.array([x]), np.array([y]), width, height)[0, : shape.shape[1]] @ shape.T
        det = xx * yy - xy * xy
        if not det > 0.0 or not peak > 20.0 * noise:
            continue
        sigma = np.sqrt(max(xx, yy))
        end = float(np.interp(-_LEVEL_AT * noise / peak, -profile, r))  # from there on it is the level that is seen
        end = min(max(end, _NEAREST_LEVEL), _WIDEST_PX / (_LEVEL_RING * sigma))
        half = int(np.ceil(_LEVEL_RING * end * sigma))
        column, line = int(np.rint(x)), int(np.rint(y))
        rows, columns = np.mgrid[max(line - half, 0) : min(line + half + 1, height),
                                 max(column - half, 0) : min(column + half + 1, width)]  # fmt: skip
        dx, dy = columns - x, rows - y
        away = np.sqrt((yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy) / det)
        values = plane[rows, columns] - peak * _moffat(away, inverse_beta)
        ring = (away > end) & (away < _LEVEL_RING * end)
        if ring.sum() < 20:
            continue
        used = away < end
        distance.append(away[used])
        light.append((values[used] - float(np.median(values[ring]))) / peak)
        weight.append(np.full(int(used.sum()), peak / noise))
    if len(distance) < _FEWEST:
        return profile
    corrected = profile + _correction(r, np.concatenate(distance), np.concatenate(light), np.concatenate(weight), noise)
    corrected = np.minimum.accumulate(np.maximum(corrected, _LEAST_SHARE * profile))
    fade = np.clip((_REACH_SIGMA - r) / (0.2 * _REACH_SIGMA), 0.0, 1.0)  # ends at 0, so that no edge is drawn
    return np.asarray(corrected * fade / corrected[0])


def _correction(r: F64, distance: F64, light: F64, weight: F64, noise: float) -> F64:
    """Return what is missing in the profile at r: medians in rings, where they are more than their errors."""
    edges = np.concatenate([np.arange(0.0, 3.0, 0.25), np.geomspace(3.0, _REACH_SIGMA, 18)])
    centres, values = [], []
    for low, high in pairwise(edges):
        inside = (distance >= low) & (distance < high)
        if inside.sum() < 12:
            continue
        strong = inside & (weight >= np.median(weight[inside]))  # faint stars say nothing about wings
        middle = float(np.median(light[strong]))
        error = 1.4826 * float(np.median(np.abs(light[strong] - middle))) * 1.25 / np.sqrt(strong.sum())
        centres.append(0.5 * (low + high))
        values.append(middle if abs(middle) > _LEAST_SIGNIFICANT * error else 0.0)
    if not centres:
        return np.zeros_like(r)
    return np.interp(r, [0.0, *centres], [0.0, *values], right=0.0)


def _moffat(r: F64, inverse_beta: float) -> F64:
    """Moffat profile of height 1 with the FWHM of a Gaussian of sigma 1."""
    e = 0.5 * r * r
    if inverse_beta < 1e-3:
        return np.asarray(np.exp(-e))
    kappa = (2.0**inverse_beta - 1.0) / np.log(2.0)
    return np.asarray((1.0 + kappa * e) ** (-1.0 / inverse_beta))
