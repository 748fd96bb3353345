"""What tells a star from other bright things: how the PSF fits it, and what light is around it."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, Mask
from skyquilt.kernels.point_light import PER_SIGMA
from skyquilt.steps.finish.detail.point_spread import PointSpread
from skyquilt.steps.finish.detail.points import Points
from skyquilt.steps.finish.detail.saturated import plateau_mask

__all__ = ["are_cores", "fit_well"]

_FIT_RADIUS = 1.2  # FWHM
_RIM = 2.0
_MOST_LEFT, _MOST_LEFT_OF_RIM = 0.2, 0.4
_FEWEST_PIXELS = 5
_MEAN_OF_ABSOLUTE = 0.8  # of noise of sigma 1
_CORE_SHARE = 0.06  # of a point's height: more light than that around it, and it is the core of something
_CORE_SIGMA = 3.0
_CORE_LEAST, _CORE_UNEVEN = 0.15, 0.5  # of the mean fall: in any quarter; between quarters across from each other


def fit_well(residual: F32, known: Mask, points: Points, psf: PointSpread, noise: float, x0: int, y0: int) -> Mask:
    """
    Which points the PSF fits: what it leaves within 1.2 FWHM (saturated: within 2 beyond the plateau) is little.

    The mean of |residual - its mean| there, less what noise gives, is at most a fifth (saturated: two fifths) of the
    mean of the point's light there.
    """
    middle = len(psf.profile) // 2
    fwhm = psf.fwhm_px(middle)
    good = np.zeros(len(points), dtype=np.bool_)
    height, width = residual.shape
    known = known & ~plateau_mask(points, known.shape, x0, y0)
    inverse = psf.inverse_moments(middle, points.x, points.y)
    mean_height = points.height.mean(axis=1)
    profile = psf.profile[middle]
    steps = np.arange(len(profile))
    for k in range(len(points)):
        plateau = points.plateau_px[k]
        reach = _FIT_RADIUS * fwhm if plateau == 0.0 else plateau + _RIM * fwhm
        inner = 0.0 if plateau == 0.0 else plateau + 1.0
        first_row, last_row = max(int(points.y[k] - reach) - y0, 0), min(int(points.y[k] + reach) + 2 - y0, height)
        first, last = max(int(points.x[k] - reach) - x0, 0), min(int(points.x[k] + reach) + 2 - x0, width)
        dy = (np.arange(first_row, last_row) + y0 - points.y[k])[:, None]
        dx = (np.arange(first, last) + x0 - points.x[k])[None]
        square = dx * dx + dy * dy
        used = (square <= reach * reach) & (square >= inner * inner) & known[first_row:last_row, first:last]
        if used.sum() < _FEWEST_PIXELS:
            continue
        p, q, s = inverse[k]
        r = np.sqrt((p * dx * dx + 2.0 * q * dx * dy + s * dy * dy)[used])
        light = mean_height[k] * float(np.mean(np.interp(r * PER_SIGMA, steps, profile, right=0.0)))
        values = residual[first_row:last_row, first:last][used].astype(np.float64)
        left = float(np.mean(np.abs(values - values.mean()))) - _MEAN_OF_ABSOLUTE * noise
        good[k] = left < (_MOST_LEFT if plateau == 0.0 else _MOST_LEFT_OF_RIM) * light
    return good


def are_cores(residual: F32, known: Mask, points: Points, psf: PointSpread, noise: float, x0: int, y0: int) -> Mask:
    """
    Which points are the bright cores of wider light.

    The medians of the residual in three rings, at 1.5 to 2.5, 3 to 4 and 5 to 6.5 FWHM, fall outwards by more than 6 %
    of the point's height and 3 sigma of their noise, in all four quarters, alike in those across from each other.
    """
    fwhm = psf.fwhm_px(psf.profile.shape[0] // 2)
    edges = ((1.5, 2.5), (3.0, 4.0), (5.0, 6.5))
    half = int(np.ceil(edges[-1][1] * fwhm))
    found = np.zeros(len(points), dtype=np.bool_)
    height, width = residual.shape
    mean_height = points.height.mean(axis=1)
    for k in range(len(points)):
        column, row = int(np.rint(points.x[k])) - x0, int(np.rint(points.y[k])) - y0
        if not (0 <= column < width and 0 <= row < height):
            continue
        rows = slice(max(row - half, 0), min(row + half + 1, height))
        columns = slice(max(column - half, 0), min(column + half + 1, width))
        dy, dx = np.mgrid[rows, columns]
        dy, dx = dy - (points.y[k] - y0), dx - (points.x[k] - x0)
        r = np.hypot(dx, dy) / fwhm
        part, usable = residual[rows, columns], known[rows, columns]
        quarter = (dx >= 0) * 2 + (dy >= 0)
        plateau = points.plateau_px[k] / fwhm
        falls = np.zeros((4, 2))
        for q in range(4):
            levels, n = np.zeros(3), np.zeros(3)
            for index, (low, high) in enumerate(edges):
                inside = usable & (quarter == q) & (r >= low + plateau) & (r < high + plateau)
                n[index] = inside.sum()
                levels[index] = np.median(part[inside]) if n[index] else np.nan
            error = noise * 1.25 / np.sqrt(max(n[0], 1.0))
            falls[q] = levels[0] - levels[2], error
        limit = _CORE_SHARE * mean_height[k]
        fall = float(np.nanmean(falls[:, 0])) if np.isfinite(falls[:, 0]).any() else 0.0
        error = float(np.mean(falls[:, 1])) / 2.0
        least = float(np.nanmin(falls[:, 0])) if np.isfinite(falls[:, 0]).any() else 0.0
        uneven = (abs(falls[0, 0] - falls[3, 0]) + abs(falls[1, 0] - falls[2, 0])) / 2.0
        is_round = least > _CORE_LEAST * fall and not uneven > _CORE_UNEVEN * fall
        found[k] = fall > limit and fall > _CORE_SIGMA * error and is_round
    return found
