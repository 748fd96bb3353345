"""The colour of a frame's stars."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64, I64, Cfa, Stars

__all__ = ["NEUTRAL", "star_colour"]

NEUTRAL = (1.0, 1.0)
_LEAST_SNR = 20.0
_LEAST_STARS = 5
_MOST_STARS = 100
_SPREAD = 4.0  # how far from the neutral a colour may lie: beyond it something else than stars was measured
_FWHM_PER_SIGMA = 2.3548200450309493


def star_colour(pixels: F32, cfa: Cfa, stars: Stars) -> tuple[float, float]:
    """
    Return red over green and blue over green of the usual star of a CFA frame.

    Parameters
    ----------
    pixels : float32 (y, x), ADU
        Calibrated or raw: the sky is taken off around each star.
    stars : Stars
        Of that frame.

    Returns
    -------
    (float, float)
        Rounded to 1 / 64, between 1/4 and 4; (1, 1) where fewer than five stars tell.

    Notes
    -----
    Definition: the medians, over the 100 brightest stars of 20 sigma or more that are not saturated, of A_c / A_green.
    A_c = sum g (v - sky) / sum g² over the sites of the colour within two FWHM of the star, g the Gaussian of the
    median FWHM at the star's place, and sky the median of the sites between three and four FWHM.
    """
    usable = ~stars.is_saturated & (stars.flux > _LEAST_SNR * stars.flux_error) & np.isfinite(stars.fwhm)
    chosen = stars.take(np.flatnonzero(usable)[:_MOST_STARS])
    if len(chosen) < _LEAST_STARS:
        return NEUTRAL
    fwhm = float(np.median(chosen.fwhm))
    ratios = _ratios(pixels, cfa, chosen, fwhm)
    if len(ratios) < _LEAST_STARS:
        return NEUTRAL
    red, blue = (float(np.rint(64.0 * np.clip(np.median(ratios[:, k]), 1 / _SPREAD, _SPREAD)) / 64.0) for k in (0, 1))
    return red, blue


def _ratios(pixels: F32, cfa: Cfa, stars: Stars, fwhm: float) -> F64:
    """Return red and blue over green, float64 (n, 2), of the stars that lie well inside of the frame."""
    reach = int(np.ceil(4.0 * fwhm)) + 1
    height, width = pixels.shape
    found = []
    for x, y in zip(stars.x, stars.y, strict=True):
        column, row = int(np.rint(x)), int(np.rint(y))
        if not (reach <= column < width - reach and reach <= row < height - reach):
            continue
        rows, columns = np.mgrid[row - reach : row + reach + 1, column - reach : column + reach + 1]
        part = pixels[row - reach : row + reach + 1, column - reach : column + reach + 1].astype(np.float64)
        heights = _heights(part, cfa.table[rows % 2, columns % 2], np.hypot(columns - x, rows - y) / fwhm)
        if np.isfinite(heights).all() and heights[1] > 0.0:
            found.append((heights[0] / heights[1], heights[2] / heights[1]))
    return np.array(found).reshape(-1, 2)


def _heights(part: F64, colour: I64, distance: F64) -> F64:
    """Return the height of a star in each colour, float64 (3,); distances in FWHM."""
    profile = np.exp(-0.5 * (_FWHM_PER_SIGMA * distance) ** 2)
    heights = np.empty(3)
    for channel in range(3):
        on, beside = ((colour == channel) & near for near in (distance <= 2.0, (distance > 3.0) & (distance <= 4.0)))
        g = profile[on]
        heights[channel] = np.sum(g * (part[on] - np.median(part[beside]))) / np.sum(g * g)
    return heights
