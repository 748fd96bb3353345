"""The wings of the PSF, from the brightest stars: their tops may be cut off, their wings tell best."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from skyquilt.core import F32, F64, Mask
from skyquilt.kernels.point_light import PER_SIGMA
from skyquilt.steps.finish.detail.point_spread import PointSpread
from skyquilt.steps.finish.detail.points import ImageStars

__all__ = ["correct_wings"]

_LEAST_SNR, _MOST_STARS = 400.0, 24
_FIRST_SIGMA, _RATIO, _N_RINGS = 3.5, 1.18, 18
_FEW = 5
_SURE = 4.0  # errors of a ring's median that the light expected there must exceed
_LOWEST, _HIGHEST = 0.05, 1.5
_OUTSIDE = 1.4
_WIDEST_PX = 100.0
_LEVEL_AT = 0.2  # sigma of a pixel: where a star's light has ended


def correct_wings(image: F32, stars: ImageStars) -> PointSpread | None:
    """
    Return the PSF with wings that fit the brightest stars; None where there are none.

    Parameters
    ----------
    image : float32 (c, y, x)
        That they were measured on.
    stars : ImageStars

    Notes
    -----
    In elliptical rings from 3.5 sigma of the PSF outwards, each 1.18 times wider: (median of the image without the
    other stars, over the level beyond the star) / light of the star, of the 24 brightest of 400 sigma or more. The
    profile is multiplied by the median of these, 1/20 to 1.5; where fewer than 5 stars tell, by no more than 1: a
    nebula around one star is no wing, but a wing cannot be brighter than what is there. Outwards of the last ring the
    last ratio holds.
    """
    points = stars.points
    chosen = np.flatnonzero(points.snr > _LEAST_SNR)[:_MOST_STARS]
    if not len(chosen):
        return None
    known: Mask = np.asarray(np.isfinite(image).all(axis=0))
    edges: F64 = np.asarray(_FIRST_SIGMA * _RATIO ** np.arange(_N_RINGS + 1), dtype=np.float64)
    profiles = []
    for channel, plane in enumerate(image):
        rest = plane - stars.light(channel, 0, 0, (plane.shape[0], plane.shape[1]))
        rows = np.array([_ratios(rest, known, stars, channel, int(k), edges) for k in chosen])
        profiles.append(_multiplied(stars.psf.profile[channel], rows, edges))
    return replace(stars.psf, profile=np.stack(profiles))


def _ratios(rest: F32, known: Mask, stars: ImageStars, channel: int, k: int, edges: F64) -> F64:
    """Return what is seen over what is expected of one star in each ring, NaN where that says nothing."""
    points, psf = stars.points, stars.psf
    out = np.full(len(edges) - 1, np.nan)
    x, y, height = points.x[k], points.y[k], points.height[k, channel]
    sigma = float(stars.noise.pixel_sigma()[channel])
    xx, _, yy = psf.moments(channel, points.x[k : k + 1], points.y[k : k + 1])[0]
    size = float(np.sqrt(max(xx, yy)))
    profile = psf.profile[channel]
    end = np.searchsorted(-profile, -_LEVEL_AT * sigma / max(height, 1e-30)) / PER_SIGMA
    end = min(max(end, 1.5 * edges[0]), _WIDEST_PX / (_OUTSIDE * size))
    half = int(np.ceil(_OUTSIDE * end * size))
    first_row, first = max(round(y) - half, 0), max(round(x) - half, 0)
    rows, columns = slice(first_row, round(y) + half + 1), slice(first, round(x) + half + 1)
    part, usable = rest[rows, columns], known[rows, columns]
    dy, dx = (
        (np.arange(first_row, first_row + part.shape[0]) - y)[:, None],
        (np.arange(first, first + part.shape[1]) - x)[None],
    )
    p, q, s = psf.inverse_moments(channel, points.x[k : k + 1], points.y[k : k + 1])[0]
    away = np.sqrt(p * dx * dx + 2.0 * q * dx * dy + s * dy * dy)
    usable = usable & (np.hypot(dx, dy) > points.plateau_px[k] + 1.0)
    beyond = part[usable & (away > end) & (away < _OUTSIDE * end)]
    if len(beyond) < 20:
        return out
    level = float(np.median(beyond))
    light = height * np.interp(away * PER_SIGMA, np.arange(len(profile)), profile, right=0.0)
    for index, (low, high) in enumerate(pairwise(edges)):
        ring = usable & (away >= low) & (away < min(high, end))
        expected = float(np.median(light[ring])) if ring.sum() >= 12 else 0.0
        if expected > _SURE * 1.25 * sigma / np.sqrt(max(int(ring.sum()), 1)):
            out[index] = (float(np.median(part[ring])) - level + expected) / expected
    return out


def _multiplied(profile: F64, rows: F64, edges: F64) -> F64:
    """Return a profile times the ratios that stars (n, ring) tell."""
    told = np.isfinite(rows).sum(axis=0)
    used = told > 0
    if not used.any():
        return profile
    ratio = np.array([np.median(column[np.isfinite(column)]) for column in rows[:, used].T])
    ratio = np.clip(ratio, _LOWEST, np.where(told[used] >= _FEW, _HIGHEST, 1.0))
    centres = np.sqrt(edges[:-1] * edges[1:])[used]
    r = np.arange(len(profile)) / PER_SIGMA
    factor = np.interp(r, [0.0, 0.8 * edges[0], *centres], [1.0, 1.0, *ratio])
    return np.asarray(np.minimum.accumulate(profile * factor))
