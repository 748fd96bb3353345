"""How much light a star gave."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64
from skyquilt.kernels import detect_fit as fit
from skyquilt.kernels.detect_surroundings import aperture_sums
from skyquilt.kernels.robust_mean import clipped_mean_and_scatter
from skyquilt.steps.stars.shape import FWHM_PER_SIGMA, Profile, weighted_median

__all__ = ["aperture_radius", "measure_flux"]

_RADIUS_FWHM = 2.0
_LEAST_RADIUS = 6.0  # px: what a sharp star has beyond it depends least on the seeing, and crowding is borne still
_MOST_STARS = 150
_NEIGHBOUR_SHARE = 0.02  # of the star's height: what others may have within the aperture
_APERTURE_FLOOR = 0.004  # relative: sky under the star, pixels at the edge
_USUAL_CORRECTION = 0.05  # how far from 1 the correction usually lies


def aperture_radius(profile: Profile) -> float:
    """
    Return the radius within which stars are measured, px: two FWHM, 6 px at least.

    It follows the mean of both axes. That it should not follow the longer one was seen on frames whose tracking smears
    some (MicroObservatory, HAT-P-32; Jocular, Arp 145): their fluxes then differed from a smooth change over the night
    by 0.6 and 0.5 %, and by half of that with this radius, which is the same for nearly all of them.
    """
    return max(_RADIUS_FWHM * profile.fwhm, _LEAST_RADIUS)


def measure_flux(
    pixels: F32, parity: int, table: F64, level: F64, profile: Profile, flux_per_height: float, noise: float,
    saturation: float,
) -> tuple[F64, F64]:  # fmt: skip
    """
    Return (flux, error) of the fitted stars, ADU within the `aperture_radius`.

    Parameters
    ----------
    table : float64 (n, COLUMNS)
        Of `fit_stars`, brightest first.
    level : float64 (n,), ADU
        Sky under each star.
    flux_per_height : float
        As `moffat_profile` gives it.

    Notes
    -----
    Definition: p = height * flux_per_height * FWHM² / 5.545 is the profile's flux, a the sum in the aperture.
    C = mean of a / p over stars that stand alone, weighted by 1 / (e² + t²), with the error e of
    each ratio and the scatter t beyond the errors, and with a ratio of 1 +- 0.05 as a prior. Where the stars are as the
    profile says, t is 0 and flux = C p. Where they are not (trailed, undersampled, changing over the field), p misses a
    share that differs from star to star and from frame to frame; then bright stars get their own a:
    flux = (C p / s_p² + a / s_a²) / (1 / s_p² + 1 / s_a²), s_p² = e_p² + (t C p)².
    """
    area = flux_per_height * (profile.fwhm / FWHM_PER_SIGMA) ** 2
    flux, error = table[:, fit.AMPLITUDE] * area, table[:, fit.AMPLITUDE_ERROR] * area
    if not len(flux):
        return flux, error
    radius = aperture_radius(profile)
    # in a field of bright stars the brightest of all are saturated, and tell nothing
    n = min(int(np.searchsorted(np.cumsum(table[:, fit.SATURATED] == 0), _MOST_STARS)) + 1, len(table))
    sums = np.full(len(table), np.nan)
    x, y = table[:, fit.X].copy(), table[:, fit.Y].copy()
    height, crowd = table[:, fit.AMPLITUDE].copy(), np.empty(n)
    aperture_sums(pixels, parity, x, y, height, level, radius, radius + profile.fwhm, saturation, sums[:n], crowd)
    usable = np.isfinite(sums) & (table[:, fit.SATURATED] == 0) & (sums > 0.3 * flux) & (sums < 3.0 * flux)
    usable[:n] &= crowd < _NEIGHBOUR_SHARE * height[:n]
    white = noise * np.sqrt(np.pi * radius**2 * (1 if parity < 0 else 2))
    sums_error = np.hypot(white, _APERTURE_FLOOR * flux)
    correction, scatter = _compare(sums[usable] / flux[usable], sums_error[usable] / flux[usable])
    flux, error = correction * flux, correction * error
    model_error = np.hypot(error, scatter * flux)
    best, best_error = flux.copy(), model_error.copy()
    share = model_error[usable] ** 2 / (model_error[usable] ** 2 + sums_error[usable] ** 2)
    best[usable] = flux[usable] + share * (sums[usable] - flux[usable])
    best_error[usable] = sums_error[usable] * np.sqrt(share)
    return best, best_error


def _compare(ratio: F64, error: F64) -> tuple[float, float]:
    """Return the mean ratio of aperture to profile, and by how much single stars differ from it beyond their errors."""
    values, errors = np.append(ratio, 1.0), np.append(error, _USUAL_CORRECTION)
    return clipped_mean_and_scatter(values, errors, len(ratio), weighted_median(values, 1.0 / errors))
