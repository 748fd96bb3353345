"""Stars whose tops are cut off: found, placed, and their light bounded by what is seen around them."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64, Mask
from skyquilt.kernels.point_light import PER_SIGMA
from skyquilt.steps.finish.detail.noise import NoiseModel
from skyquilt.steps.finish.detail.point_spread import PointSpread
from skyquilt.steps.finish.detail.points import Points

__all__ = ["bound_heights", "find_ceilings", "find_saturated", "lie_at", "lie_on", "plateau_mask"]

_PLATEAU_EXCLUDED = 0.55
_PLATEAU_WINDOW_PX = 40
_CUT_SHARE, _LARGEST_PLATEAU_FWHM = 0.5, 4.0
_BRIGHT_SHARE, _BRIGHT_SNR = 0.08, 40.0  # of the brightest pixel; of the noise: what can be saturated
_WIDEST_RING_PX = 60.0
_BRIGHT_BOUND_SNR, _BOUND_FROM_FWHM = 400.0, 2.0  # of stars that are not cut off


def find_saturated(
    plane: F32, x: F64, y: F64, good: Points, psf: PointSpread, noise: float, x0: int, y0: int
) -> tuple[Points, Mask]:
    """
    Return the stars whose tops are cut off: what is bright, and no good star's; and which are too bright for a galaxy.

    Around each such peak, the pixels above 55 % of it that are connected to it are one plateau, and its centre of light
    the star's place.
    """
    from scipy.ndimage import label

    level = float(np.median(plane[::7, ::7]))
    top = float(plane.max()) - level
    row, column = np.rint(y).astype(int), np.rint(x).astype(int)
    value = plane[row, column] - level
    fwhm = psf.fwhm_px(len(psf.profile) // 2)
    bright = value > max(_BRIGHT_SHARE * top, _BRIGHT_SNR * noise)
    if len(good):
        distance = np.hypot(good.x[:, None] - x0 - x[bright], good.y[:, None] - y0 - y[bright]).min(axis=0)
        bright[np.flatnonzero(bright)[distance < fwhm]] = False
    rows: list[tuple[float, float, float, float]] = []
    height, width = plane.shape
    for k in np.flatnonzero(bright)[np.argsort(-value[bright], kind="stable")]:
        if any(np.hypot(x[k] - a, y[k] - b) < radius + fwhm for a, b, _, radius in rows):
            continue
        half = _PLATEAU_WINDOW_PX
        first_row, first_column = max(row[k] - half, 0), max(column[k] - half, 0)
        part = (
            plane[first_row : min(row[k] + half + 1, height), first_column : min(column[k] + half + 1, width)] - level
        )
        numbers, _ = label(part > _PLATEAU_EXCLUDED * value[k], np.ones((3, 3)))
        inside = numbers == numbers[row[k] - first_row, column[k] - first_column]
        i, j = np.nonzero(inside)
        light = np.minimum(part[inside], value[k])
        place = first_column + np.average(j, weights=light), first_row + np.average(i, weights=light)
        rows.append((float(place[0]), float(place[1]), float(value[k]), float(np.sqrt(inside.sum() / np.pi))))
    table = np.array(rows).reshape(-1, 4)
    heights = np.repeat(table[:, 2, None], len(psf.profile), axis=1)
    flat = Points(table[:, 0] + x0, table[:, 1] + y0, heights, table[:, 2] / noise, table[:, 3])
    return flat, (table[:, 2] > _CUT_SHARE * top) & (table[:, 3] < _LARGEST_PLATEAU_FWHM * fwhm)


def lie_at(points: Points, flat: Points) -> Mask:
    """Which points are saturated stars of a list."""
    places = {(float(x), float(y)) for x, y in zip(flat.x, flat.y, strict=True)}
    return np.array([(float(x), float(y)) in places for x, y in zip(points.x, points.y, strict=True)], dtype=np.bool_)


def lie_on(points: Points, flat: Points) -> Mask:
    """Which points lie on the plateau of a saturated star."""
    on = np.zeros(len(points), dtype=np.bool_)
    for k in range(len(flat)):
        on |= np.hypot(points.x - flat.x[k], points.y - flat.y[k]) < flat.plateau_px[k] + 1.0
    return np.asarray(on & (points.plateau_px == 0.0))


def plateau_mask(points: Points, shape: tuple[int, int], x0: int, y0: int) -> Mask:
    """Return which pixels of a tile lie on plateaus of saturated stars."""
    mask = np.zeros(shape, dtype=np.bool_)
    for k in np.flatnonzero(points.plateau_px > 0.0):
        radius = points.plateau_px[k] + 0.5
        rows = slice(max(int(points.y[k] - radius) - y0, 0), max(int(points.y[k] + radius) + 2 - y0, 0))
        columns = slice(max(int(points.x[k] - radius) - x0, 0), max(int(points.x[k] + radius) + 2 - x0, 0))
        part = mask[rows, columns]
        dy = np.arange(rows.start, rows.start + part.shape[0]) + y0 - points.y[k]
        dx = np.arange(columns.start, columns.start + part.shape[1]) + x0 - points.x[k]
        part |= dy[:, None] ** 2 + dx[None] ** 2 <= radius * radius
    return mask


def find_ceilings(plane: F32, points: Points, x0: int, y0: int) -> F64:
    """Return from which value on the pixels of saturated stars tell nothing, float64 (n,); infinite for the others."""
    ceilings = np.full(len(points), np.inf)
    level = float(np.median(plane[::7, ::7]))
    for k in np.flatnonzero(points.plateau_px > 0.0):
        half = int(np.ceil(points.plateau_px[k])) + 1
        row, column = int(np.rint(points.y[k])) - y0, int(np.rint(points.x[k])) - x0
        part = plane[max(row - half, 0) : row + half + 1, max(column - half, 0) : column + half + 1]
        if part.size:
            ceilings[k] = level + _PLATEAU_EXCLUDED * (float(part.max()) - level)
    return ceilings


def bound_heights(residual: F32, points: Points, psf: PointSpread, noise: NoiseModel, x0: int, y0: int) -> Points:
    """
    Return the points with heights of saturated and very bright stars that no ring around them contradicts.

    In rings of 1.5 px from the plateau (or 2 FWHM) outwards: (median of the image without the other stars, over the
    level outside) / profile. A height told by wings in bright nebulosity is too large; what it takes too much would be
    a dark ring.
    """
    height = points.height.copy()
    pixel = noise.pixel_sigma()
    fwhm = psf.fwhm_px(len(psf.profile) // 2)
    for k in np.flatnonzero((points.plateau_px > 0.0) | (points.snr > _BRIGHT_BOUND_SNR)):
        first = float(points.plateau_px[k]) + 1.0 if points.plateau_px[k] > 0.0 else _BOUND_FROM_FWHM * fwhm
        for channel, plane in enumerate(residual):
            p, q, s = psf.inverse_moments(channel, points.x[k : k + 1], points.y[k : k + 1])[0]
            profile = psf.profile[channel]
            steps = np.searchsorted(-profile, -pixel[channel] / max(height[k, channel], 1e-30)) / PER_SIGMA
            outer = first + 0.5 + min(steps / np.sqrt(min(p, s)), _WIDEST_RING_PX)
            half = int(np.ceil(1.3 * outer))
            row, column = int(np.rint(points.y[k])) - y0, int(np.rint(points.x[k])) - x0
            rows = slice(max(row - half, 0), max(row + half + 1, 0))
            columns = slice(max(column - half, 0), max(column + half + 1, 0))
            part = plane[rows, columns].astype(np.float64)
            dy = (np.arange(rows.start, rows.start + part.shape[0]) + y0 - points.y[k])[:, None]
            dx = (np.arange(columns.start, columns.start + part.shape[1]) + x0 - points.x[k])[None]
            away = np.sqrt(p * dx * dx + 2.0 * q * dx * dy + s * dy * dy)
            light = np.interp(away * PER_SIGMA, np.arange(len(profile)), profile, right=0.0)
            r = np.hypot(dx, dy)
            outside = part[(r > outer) & (r < 1.3 * outer)]
            if not len(outside):
                continue
            level, old = float(np.median(outside)), height[k, channel]
            for inner in np.arange(first, outer, 1.5):
                ring = (r >= inner) & (r < inner + 1.5)
                share = float(np.median(light[ring])) if ring.sum() >= 12 else 0.0
                if share * old > pixel[channel]:
                    seen = float(np.median(part[ring])) - level + old * share
                    height[k, channel] = min(height[k, channel], max(seen / share, 0.0))
    return Points(points.x, points.y, height, points.snr, points.plateau_px)
