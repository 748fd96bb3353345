"""The band that a trail covers: how far its wings reach to either side of its centre line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, Trail
from skyquilt.kernels.lines import cut_across
from skyquilt.steps.trails.planes import cell_to_pixel
from skyquilt.steps.trails.track import Track, lanes_of

__all__ = ["Band", "measure_band", "trails_of_band"]

_FAINT = 0.15  # of the sky's sigma in one frame: a wing below this is lost in any stack of 3 frames and more
_REACH = 16  # cells to either side
_FINE = 2  # samples a cell
_FAR = 10  # cells; the sky beside the trail is taken from here on
_MARGIN_PX = 2.0  # demosaicing and resampling carry a pixel's light this far
_FWHM = 2.3548  # sigmas of a Gaussian
_PIECE = 8  # cells
_MOST_PIECES = 16


@dataclass(frozen=True, slots=True)
class Band:
    """
    Half width of a trail in full pixels, perpendicular to it, wings and margin included.

    `core_adu` is the height of its brightest piece at full resolution, if its profile is that of a star.
    """

    half_width: float
    core_adu: float


def measure_band(values: F32, track: Track, *, factor: int, fwhm_px: float, sky_adu: float) -> Band:
    """
    Return how wide the trail is.

    Parameters
    ----------
    values : float32 (h, w), ADU
        Residual of the frame, NaN on stars.
    track : Track
    factor : int, px per cell
    fwhm_px : float, px
    sky_adu : float, ADU
        Sigma of the sky per full pixel, on the scale of `values`.

    Notes
    -----
    The larger of two: where the measured transverse profile (median over the brighter half of the pieces) falls below
    0.15 sigma of the sky or its own error; and where a Gaussian of the stars' FWHM and of the brightest piece's flux
    does. Two px are added.
    """
    n_lanes = track.high - track.low
    n_pieces = int(np.clip(n_lanes // _PIECE, 1, _MOST_PIECES))
    profile = np.empty((n_pieces, 2 * _REACH * _FINE + 1))
    lanes = lanes_of(values, track.along_x)
    cut_across(lanes, track.as_array, track.low, track.high, n_pieces, _REACH, _FINE, profile)
    away = np.abs(np.arange(profile.shape[1]) / _FINE - _REACH)
    is_far = away >= _FAR
    profile = profile - _median(profile[:, is_far])[:, None]
    px_per_cell = factor * track.cosine
    flux = np.nansum(np.where(away <= _FAR / 2, profile, 0.0), axis=1) / _FINE * px_per_cell
    sigma_px = fwhm_px / _FWHM
    core = max(float(flux.max()), 0.0) / (np.sqrt(2.0 * np.pi) * sigma_px)
    faint = _FAINT * sky_adu
    modelled = sigma_px * np.sqrt(2.0 * np.log(core / faint)) if core > faint else 0.0
    bright = _median(profile[flux >= np.median(flux)].T)
    error = 1.4826 * float(_median(np.abs(bright[is_far])[None, :])[0])
    measured = _reach_above(bright, max(faint, 3.0 * error)) * px_per_cell
    return Band(float(max(modelled, measured, fwhm_px)) + _MARGIN_PX, core)


def trails_of_band(track: Track, band: Band, shape: tuple[int, int], factor: int) -> list[Trail]:
    """Return the trail in full pixels: one straight band, or several chords if it is curved."""
    n_lanes, length = (shape[1], shape[0]) if track.along_x else shape
    n_chords = max(1, int(np.ceil(np.sqrt(track.sagitta / 0.25)))) if track.bend != 0.0 else 1
    over = band.half_width / factor * (abs(track.slope) + 1.0) + 1.0  # past the edge, to fill the corner it leaves by
    low, high = float(track.low), float(track.high - 1)
    is_out = [not (1 < t < length - 2) for t in (float(track.at(low)), float(track.at(high)))]
    low -= over if track.low == 0 or is_out[0] else 0.5
    high += over if track.high == n_lanes or is_out[1] else 0.5
    knots = np.linspace(low, high, n_chords + 1)
    along, across = cell_to_pixel(knots, factor), cell_to_pixel(track.at(knots), factor)
    x, y = (along, across) if track.along_x else (across, along)
    width = band.half_width + factor * track.sagitta / n_chords**2 * 0.5
    return [
        Trail(float(x[k]), float(y[k]), float(x[k + 1]), float(y[k + 1]), width, track.significance)
        for k in range(n_chords)
    ]


def _reach_above(profile: F64, threshold: float) -> float:
    """Return the offset in cells at which both sides of the profile have fallen below the threshold."""
    middle = _REACH * _FINE
    for step in range(middle + 1):
        sides = profile[[middle - step, middle + step]]
        if not (sides >= threshold).any():
            return step / _FINE
    return float(_REACH)


def _median(rows: F64) -> F64:
    """Return the median of each row without its NaNs; 0 for a row of nothing else."""
    return np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else 0.0 for row in rows])
