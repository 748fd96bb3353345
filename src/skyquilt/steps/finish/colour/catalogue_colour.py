"""From the colours of catalogue stars to the gains that make a chosen star white."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, CatalogueStars, Mask

__all__ = ["SENSOR_SLOPES", "WHITE_STARS", "ColourRelation", "b_minus_v", "fit_colour_relation"]

WHITE_STARS = {"A0V": 0.0, "F5V": 0.44, "G2V": 0.65, "K0V": 0.81, "galaxy": 0.80}
"""B - V of the star (or the average spiral galaxy) that is to be white."""

SENSOR_SLOPES = (-0.33, 0.45)
"""d(m_R - m_G) / d(B - V) and d(m_B - m_G) / d(B - V) of a Sony colour sensor behind an infrared-cut filter: means of
this fit to 14 and 39 Tycho-2 stars of a Seestar S50's M 94 and NGC 7023 (-0.32, 0.48 and -0.35, 0.35; zeros 0.30, 0.52
and 0.28, 0.63). Used where the stars of a field are too few or too alike to tell."""

_LEAST_STARS = 5
_LEAST_FOR_SLOPE = 10
_LEAST_SPREAD = 0.15  # mag: true scatter of B - V below which the slope cannot be told
_LEAST_RELIABILITY = 0.4
_CLIP = 3.0
_ROUNDS = 20
_FLOOR_MAG = 0.01
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True, eq=False)
class ColourRelation:
    """
    m_c - m_G = zero_c + slope_c (B - V - white), m = -2.5 log10(flux), of the channels c = red and blue.

    Attributes
    ----------
    zero : float64 (2,), mag
    zero_error : float64 (2,), mag
    slope : float64 (2,)
    scatter_mag : float64 (2,), mag
        Robust, of the stars that count.
    n_stars : int
    white : float, mag
        B - V of the star that the gains make white.
    is_slope_measured : bool
        Whether the stars told the slopes, or those of `SENSOR_SLOPES` were taken.
    """

    zero: F64
    zero_error: F64
    slope: F64
    scatter_mag: F64
    n_stars: int
    white: float
    is_slope_measured: bool

    @property
    def gains(self) -> F64:
        """Gains (3,) with which a star of B - V = `white` has the same flux in all channels; green 1."""
        return np.array([10.0 ** (0.4 * self.zero[0]), 1.0, 10.0 ** (0.4 * self.zero[1])])


def b_minus_v(stars: CatalogueStars) -> F64:
    """
    Return Johnson B - V of Tycho-2 stars, float64 (n,); NaN where one magnitude is missing.

    Notes
    -----
    B - V = 0.850 (BT - VT): ESA 1997, The Hipparcos and Tycho Catalogues, vol. 1, section 1.3, good to 0.05 mag for
    unreddened stars of -0.2 < B - V < 1.8.
    """
    return 0.850 * (stars.bt_mag.astype(np.float64) - stars.vt_mag.astype(np.float64))


def fit_colour_relation(
    flux: F64, flux_error: F64, colour: F64, colour_error: F64, *, white: float = WHITE_STARS["G2V"]
) -> ColourRelation | None:
    """
    Return the relation of a sensor's colours to B - V; None with fewer than five stars that can be used.

    Parameters
    ----------
    flux, flux_error : float64 (n, 3), unit of the image
        Red, green, blue.
    colour, colour_error : float64 (n,), mag
        B - V of the same stars; NaN where unknown.
    white : float, mag
        B - V of the star that is to be white.

    Notes
    -----
    Straight lines through robust moments: weights 1 / (e_c² + e_G² + (slope e_BV)² + s²), s the scatter beyond the
    errors; stars farther than 3 sigma in either channel are left out, until nothing changes. The slope is freed from
    the errors of the colours: Sxy / (Sxx - <e_BV²>) (W. A. Fuller 1987, Measurement Error Models, section 1.2).
    """
    flux, error = np.asarray(flux, np.float64), np.asarray(flux_error, np.float64)
    usable = (flux > 0.0).all(axis=1) & np.isfinite(colour) & np.isfinite(colour_error)
    if usable.sum() < _LEAST_STARS:
        return None
    magnitude = -2.5 * np.log10(flux[usable])
    variance = (1.0857 * error[usable] / flux[usable]) ** 2
    y = magnitude[:, [0, 2]] - magnitude[:, [1]]
    y_variance = variance[:, [0, 2]] + variance[:, [1]]
    x, x_variance = colour[usable] - white, colour_error[usable] ** 2
    keep: Mask = np.ones(len(x), dtype=bool)
    slope = np.array(SENSOR_SLOPES)
    zero = np.median(y - slope * x[:, None], axis=0)
    scatter, is_measured, zero_error = np.zeros(2), False, np.zeros(2)
    for _ in range(_ROUNDS):
        residual = y - zero - slope * x[:, None]
        scatter = _MAD_TO_SIGMA * np.median(np.abs(residual[keep] - np.median(residual[keep], axis=0)), axis=0)
        expected = y_variance + slope**2 * x_variance[:, None]
        excess = np.maximum(scatter**2 - np.median(expected[keep], axis=0), _FLOOR_MAG**2)
        total = expected + excess
        now = np.asarray((np.abs(residual) < _CLIP * np.sqrt(total)).all(axis=1))
        if now.sum() < _LEAST_STARS:
            break
        settled, keep = np.array_equal(now, keep), now
        zero, slope, zero_error, is_measured = _solve(x, x_variance, y, 1.0 / total, keep)
        if settled:
            break
    return ColourRelation(zero, zero_error, slope, scatter, int(keep.sum()), white, is_measured)


def _solve(x: F64, x_variance: F64, y: F64, weight: F64, keep: Mask) -> tuple[F64, F64, F64, bool]:
    """Return zeros, slopes and the errors of the zeros, and whether the slopes could be measured."""
    zero, slope, error = np.empty(2), np.empty(2), np.empty(2)
    is_measured = False
    for k in range(2):
        w = weight[keep, k] / weight[keep, k].sum()
        mean_x, mean_y = float(w @ x[keep]), float(w @ y[keep, k])
        seen = float(w @ (x[keep] - mean_x) ** 2)
        true = seen - float(w @ x_variance[keep])
        is_measured = keep.sum() >= _LEAST_FOR_SLOPE and true > max(_LEAST_SPREAD**2, _LEAST_RELIABILITY * seen)
        slope[k] = float(w @ ((x[keep] - mean_x) * (y[keep, k] - mean_y))) / true if is_measured else SENSOR_SLOPES[k]
        zero[k] = mean_y - slope[k] * mean_x
        error[k] = weight[keep, k].sum() ** -0.5
    return zero, slope, error, bool(is_measured)
