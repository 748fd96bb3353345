"""The zero point of a channel: the magnitude of a star that gives one count a second, and how colour changes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, Mask

__all__ = ["SUNLIKE_COLOUR", "NoZeroPoint", "ZeroPoint", "catalogue_error", "fit_zero_point"]

SUNLIKE_COLOUR = 0.7
"""BT - VT at which the limit and the sky are quoted: near that of the Sun and of the middling star."""

_LEAST_STARS = 4
_LEAST_FOR_COLOUR = 8
_LEAST_SPREAD = 0.15  # mag: true scatter of the colours below which their effect cannot be told
_LEAST_RELIABILITY = 0.4  # share of the observed scatter of the colours that is true
_CLIP = 3.5
_STEPS = 25
_MOST_FOR_SLOPES = 200
_MAD_TO_SIGMA = 1.4826
_FLOOR_MAG = 0.01


@dataclass(frozen=True, slots=True)
class NoZeroPoint:
    """Why there is no zero point, in one sentence."""

    reason: str
    n_stars: int = 0


@dataclass(frozen=True, slots=True)
class ZeroPoint:
    """
    VT = zero_point_mag - 2.5 log10(flux / s) + colour_term (BT - VT).

    Attributes
    ----------
    zero_point_mag, zero_point_error_mag : float, mag
        Of a star with BT - VT = `colour`; flux in ADU a second.
    colour : float, mag
        0.7 (sun-like), where the stars are and the zero point is known best.
    colour_term, colour_term_error : float
        0 and NaN where the stars are too few or too alike to tell.
    scatter_mag : float, mag
        Robust scatter of the stars that count about the fit.
    n_stars, n_clipped : int
        Stars that count, and those that were too far off (variable, blended, saturated).
    """

    zero_point_mag: float
    zero_point_error_mag: float
    colour_term: float
    colour_term_error: float
    scatter_mag: float
    n_stars: int
    n_clipped: int
    colour: float = SUNLIKE_COLOUR

    def magnitude(self, flux_adu_s: F64 | float, colour: float = SUNLIKE_COLOUR) -> F64:
        """Return VT of a flux in ADU a second of something with that BT - VT; NaN where it is not positive."""
        flux = np.asarray(flux_adu_s, np.float64)
        bright = np.where(flux > 0.0, flux, np.nan)
        return self.zero_point_mag - 2.5 * np.log10(bright) + self.colour_term * (colour - self.colour)


def catalogue_error(mag: F64) -> F64:
    """
    Return the standard error of Tycho-2 magnitudes, mag: 0.013 for bright stars, 0.1 near 11.7, growing with 10^0.35m.

    A model for the weights, drawn through the figures of Hog et al. 2000, A&A 355, L27 (0.013 mag for VT < 9; 0.10 mag
    for all stars).
    """
    error: F64 = np.hypot(0.013, 0.10 * 10.0 ** (0.35 * (mag - 11.7)))
    return error


def fit_zero_point(
    flux_adu: F64, flux_error_adu: F64, vt_mag: F32 | F64, bt_mag: F32 | F64, *, exposure_s: float
) -> ZeroPoint | NoZeroPoint:
    """
    Return the zero point of matched stars, or why there is none.

    Parameters
    ----------
    flux_adu, flux_error_adu : float64 (n,), ADU
        In one exposure; above 0.
    vt_mag, bt_mag : float32 or float64 (n,), mag
    exposure_s : float, s

    Notes
    -----
    Definition: y = VT + 2.5 log10(flux / s) = Z + k (BT - VT - 0.7), weighted least squares with the errors of flux and
    catalogue and the scatter s beyond them; stars farther than 3.5 sigma are left out, until nothing changes. The first
    line is that of Theil and Sen. Colours are noisy, and an ordinary fit would flatten k; the moments are freed
    from the catalogue's errors: k = (Sxy + <eV²>) / (Sxx - <eV²> - <eB²>) (W. A. Fuller 1987, Measurement Error
    Models, section 1.2; VT stands on both sides, hence the first term).
    """
    flux = np.asarray(flux_adu, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        instrumental = -2.5 * np.log10(flux / exposure_s)
        error = 1.0857 * np.asarray(flux_error_adu, np.float64) / flux
    vt, bt = np.asarray(vt_mag, np.float64), np.asarray(bt_mag, np.float64)
    usable = np.isfinite(instrumental) & np.isfinite(error) & np.isfinite(vt) & np.isfinite(bt)
    n_usable = int(usable.sum())
    if n_usable < _LEAST_STARS:
        return NoZeroPoint(
            f"{n_usable} stars of the catalogue were measured, a zero point takes {_LEAST_STARS}", n_usable
        )
    data = _Data(
        bt[usable] - vt[usable] - SUNLIKE_COLOUR,
        vt[usable] - instrumental[usable],
        error[usable],
        catalogue_error(vt[usable]),
        catalogue_error(bt[usable]),
    )
    line = _line(data)
    if line.n_kept < _LEAST_STARS:
        return NoZeroPoint(f"{n_usable} stars of the catalogue disagree with each other", n_usable)
    return ZeroPoint(
        zero_point_mag=line.zero,
        zero_point_error_mag=line.zero_error,
        colour_term=line.slope,
        colour_term_error=line.slope_error,
        scatter_mag=line.scatter,
        n_stars=line.n_kept,
        n_clipped=n_usable - line.n_kept,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """Colour less 0.7, VT less instrumental magnitude, and errors of the instrument, of VT and of BT; mag."""

    x: F64
    y: F64
    instrument: F64
    vt: F64
    bt: F64

    def variance(self, slope: float) -> F64:
        """Return the variance of y - slope x: VT stands in both."""
        total: F64 = self.instrument**2 + ((1.0 + slope) * self.vt) ** 2 + (slope * self.bt) ** 2
        return total


@dataclass(frozen=True, slots=True)
class _Line:
    zero: float
    zero_error: float
    slope: float
    slope_error: float
    scatter: float
    n_kept: int


def _line(data: _Data) -> _Line:
    slope = _first_slope(data)
    zero = float(np.median(data.y - slope * data.x))
    keep = np.ones(len(data.x), dtype=bool)
    for step in range(_STEPS):
        residual = data.y - zero - slope * data.x
        spread = float(_MAD_TO_SIGMA * np.median(np.abs(residual[keep])))
        variance = data.variance(slope)
        excess = max(spread**2 - float(np.median(variance[keep])), _FLOOR_MAG**2)
        total = variance + excess
        now = np.abs(residual) < _CLIP * np.sqrt(total)
        if now.sum() < _LEAST_STARS or (step and np.array_equal(now, keep) and step > 5):
            keep = now
            break
        keep = now
        zero, slope, _, _ = _solve(data, 1.0 / total, keep)
    zero, slope, zero_error, slope_error = _solve(data, 1.0 / total, keep)
    residual = (data.y - zero - slope * data.x)[keep]
    scatter = float(_MAD_TO_SIGMA * np.median(np.abs(residual - np.median(residual)))) if len(residual) else np.nan
    return _Line(zero, zero_error, slope, slope_error, scatter, int(keep.sum()))


def _first_slope(data: _Data) -> float:
    """Return the median of the slopes between pairs of stars; 0 where there are too few for a colour term."""
    if len(data.x) < _LEAST_FOR_COLOUR:
        return 0.0
    best = np.argsort(data.variance(0.0), kind="stable")[:_MOST_FOR_SLOPES]
    i, j = np.triu_indices(len(best), 1)
    run = data.x[best][j] - data.x[best][i]
    wide = np.abs(run) > _LEAST_SPREAD
    if wide.sum() < _LEAST_FOR_COLOUR:
        return 0.0
    return float(np.median((data.y[best][j] - data.y[best][i])[wide] / run[wide]))


def _solve(data: _Data, weight: F64, keep: Mask) -> tuple[float, float, float, float]:
    """Return zero, slope and their errors from the weighted moments of the stars that count."""
    if not keep.any():
        return np.nan, 0.0, np.nan, np.nan
    w, x, y = weight[keep], data.x[keep], data.y[keep]
    total = float(w.sum())
    mean_x, mean_y = float(w @ x) / total, float(w @ y) / total
    seen = float(w @ (x - mean_x) ** 2) / total
    noise = float(w @ (data.vt[keep] ** 2 + data.bt[keep] ** 2)) / total
    true = seen - noise
    is_known = len(x) >= _LEAST_FOR_COLOUR and true > max(_LEAST_SPREAD**2, _LEAST_RELIABILITY * seen)
    if not is_known:
        return mean_y, 0.0, total**-0.5, np.nan
    slope = (float(w @ ((x - mean_x) * (y - mean_y))) + float(w @ data.vt[keep] ** 2)) / total / true
    slope_error = float(np.sqrt(seen / total) / true)
    return mean_y - slope * mean_x, slope, float(np.hypot(total**-0.5, mean_x * slope_error)), slope_error
