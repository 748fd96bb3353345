"""The brightness of stars in every channel of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, I64, Mask, Stars

__all__ = ["StarFluxes", "measure_star_fluxes"]

_APERTURE, _INNER, _OUTER = 1.6, 3.0, 5.0  # FWHM
_LEAST_PX = 2.5
_MOST_STARS = 400
_MAD_TO_SIGMA = 1.4826
_FLOOR = 0.004  # relative: what no aperture is better than


@dataclass(frozen=True, slots=True, eq=False)
class StarFluxes:
    """
    Fluxes of stars through the same aperture.

    Attributes
    ----------
    index : int64 (n,)
        Which stars of the list these are.
    flux, error : float64 (n, c), unit of the image
        Above the sky around each star; 1 sigma.
    """

    index: I64
    flux: F64
    error: F64

    def __len__(self) -> int:
        return len(self.flux)

    def bright(self, least_snr: float) -> Mask:
        """Tell which stars are above `least_snr` in every channel."""
        return np.asarray((self.flux > least_snr * self.error).all(axis=1))


def measure_star_fluxes(image: F32, stars: Stars) -> StarFluxes:
    """
    Return the fluxes of the brightest 400 stars that are not saturated and lie within the image.

    Parameters
    ----------
    image : float32 (c, y, x)
        Linear.
    stars : Stars
        As `steps.stars.measure_cube` finds them on it.

    Notes
    -----
    Definition: sum of (v - sky) over an aperture of 1.6 FWHM (2.5 px at least, the median FWHM of the list), pixels at
    its edge by the part of them that lies within it; sky is the median between 3 and 5 FWHM, of the pixels within 3
    sigma of it. Stars with a pixel without data there are left out. The error is that of the sky's scatter over the
    aperture, and 0.4 %.
    """
    usable = np.flatnonzero(~stars.is_saturated & np.isfinite(stars.x) & np.isfinite(stars.y))
    widths = stars.fwhm[usable]
    widths = widths[np.isfinite(widths)]
    none = np.zeros((0, len(image)))
    if not len(widths):
        return StarFluxes(np.zeros(0, dtype=np.int64), none, none)
    fwhm = float(np.median(widths))
    radius = max(_APERTURE * fwhm, _LEAST_PX)
    inner, outer = max(_INNER * fwhm, radius + 1.0), max(_OUTER * fwhm, radius + 4.0)
    reach = int(np.ceil(outer)) + 1
    height, width = image.shape[1:]
    found: list[tuple[int, F64, F64]] = []
    for number in usable:
        column, row = int(np.rint(stars.x[number])), int(np.rint(stars.y[number]))
        if not (reach <= column < width - reach and reach <= row < height - reach):
            continue
        part = image[:, row - reach : row + reach + 1, column - reach : column + reach + 1].astype(np.float64)
        if not np.isfinite(part).all():
            continue
        rows, columns = np.ogrid[row - reach : row + reach + 1, column - reach : column + reach + 1]
        distance = np.hypot(columns - stars.x[number], rows - stars.y[number])
        found.append((int(number), *_measure(part, distance, radius, inner, outer)))
        if len(found) == _MOST_STARS:
            break
    if not found:
        return StarFluxes(np.zeros(0, dtype=np.int64), none, none)
    numbers, flux, error = zip(*found, strict=True)
    return StarFluxes(np.array(numbers), np.array(flux), np.array(error))


def _measure(part: F64, distance: F64, radius: float, inner: float, outer: float) -> tuple[F64, F64]:
    weight = np.clip(radius + 0.5 - distance, 0.0, 1.0)
    beside = part[:, (distance > inner) & (distance <= outer)]
    sky = np.median(beside, axis=1)
    sigma = _MAD_TO_SIGMA * np.median(np.abs(beside - sky[:, None]), axis=1)
    near = np.abs(beside - sky[:, None]) <= 3.0 * sigma[:, None]
    sky = np.where(near, beside, 0.0).sum(axis=1) / np.maximum(near.sum(axis=1), 1)
    flux = np.tensordot(part - sky[:, None, None], weight, axes=2)
    area = float(weight.sum())
    error = np.hypot(sigma * np.sqrt(np.sum(weight**2) + area**2 / max(beside.shape[1], 1)), _FLOOR * np.abs(flux))
    return flux, error
