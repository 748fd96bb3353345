"""Trails of one frame: lines in its residual against the first result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from skyquilt.core import F32, F64, Normalisation, Trail, Transform
from skyquilt.kernels.levels import row_levels
from skyquilt.kernels.trails import cell_medians, star_activity, whiten
from skyquilt.steps.trails.band import Band, measure_band, trails_of_band
from skyquilt.steps.trails.planes import expected_in_frame, green_index
from skyquilt.steps.trails.track import SHORTEST, Track, follow_track, seek_track

__all__ = ["find_trails"]

_THRESHOLD = (
    7.5  # sigma; the best of 10^6 lines of noise and star residues reaches 5 to 6.5 (simulated and real frames)
)
_MOST_LINES = 12  # a frame with more is beyond help
_CELL = 24  # cells per background patch: a trail, 3 to 6 cells wide, does not move its median much
_SHARE = 0.5  # of a star's slope may be left by seeing and by resampling it at 4 px a cell
_QUIET = 2.0  # times the median activity: what noise alone makes the largest of eight differences
_DENIED = 4.0  # cells to either side of a line that is no trail, not looked at again
_SAMPLED = 7  # one cell in seven tells the noise


@dataclass(frozen=True, slots=True, eq=False)
class _Residual:
    """What a frame shows beyond the first result: in ADU of the reference (NaN on stars, too), and in sigma."""

    values: F32
    sigmas: F32


def find_trails(
    plane: F32,
    first: F32,
    transform: Transform,
    normalisation: Normalisation,
    *,
    factor: int,
    fwhm_px: float,
    noise_adu: float,
) -> tuple[Trail, ...]:
    """
    Return the trails of a frame, in its full-resolution pixels, the most significant first.

    Parameters
    ----------
    plane : float32 (h, w), ADU
        The frame, from `bin_plane`.
    first : float32 (reference h, w), ADU of the reference
        From `first_result`.
    transform : Transform
        Full frame pixels to full reference pixels.
    normalisation : Normalisation
        Of this frame.
    factor : int, px per cell
    fwhm_px : float, px
        Of the frame's stars; NaN if unknown (3 px are then assumed).
    noise_adu : float, ADU of the frame
        Sigma of the sky per pixel of full resolution.

    Returns
    -------
    tuple of Trail
        Ends may lie outside of the frame by about `half_width`, so that the band fills the corner it leaves by. A
        curved trail comes as several chords. Empty if nothing is found, or if too little of the frame is covered.

    Notes
    -----
    Residual = scale * plane + surface - first, less its patchwise median, over an error that grows with the slope of
    the stars; clipped at 3 sigma; searched for lines of 32 cells to the whole frame (`strongest_line`); each line is
    followed, checked for being seen along its whole length, measured across, blanked, and the search goes on.
    """
    residual = _residual(plane, first, transform, normalisation, factor)
    if residual is None:
        return ()
    sky_adu = noise_adu * float(normalisation.scale[green_index(normalisation)])
    fwhm = fwhm_px if np.isfinite(fwhm_px) and fwhm_px > 0 else 3.0
    found: list[tuple[Track, Band]] = []
    for _ in range(_MOST_LINES):
        seed = seek_track(residual.sigmas, _THRESHOLD)
        if seed.significance < _THRESHOLD:
            break
        track, is_trail = follow_track(residual.sigmas, seed)
        if is_trail:
            band = measure_band(residual.values, track, factor=factor, fwhm_px=fwhm, sky_adu=sky_adu)
            found.append((track, band))
            _blank(residual.sigmas, track, band.half_width / (factor * track.cosine) + 2.0)
        _blank(residual.sigmas, seed, 1.5 if is_trail else _DENIED)
    trails = [trail for track, band in found for trail in trails_of_band(track, band, plane.shape, factor)]
    return tuple(sorted(trails, key=lambda trail: -trail.significance))


def _residual(
    plane: F32, first: F32, transform: Transform, normalisation: Normalisation, factor: int
) -> _Residual | None:
    """Return the residual, or None where too little of the frame is covered to judge."""
    h, w = plane.shape
    if min(h, w) < SHORTEST:
        return None
    expected = expected_in_frame(first, (h, w), transform, normalisation, factor)
    values = np.float32(normalisation.scale[green_index(normalisation)]) * plane - expected
    activity = np.empty((h, w), dtype=np.float32)
    star_activity(expected, activity)
    some = _sample(activity)
    if some.size * _SAMPLED < SHORTEST * SHORTEST:
        return None
    quiet = _QUIET * _level(some, 0.5)
    values -= _background(values)
    noise = _spread(_sample(values))
    if not noise > 0:
        return None
    sigmas = np.empty((h, w), dtype=np.float32)
    plain = np.empty((h, w), dtype=np.float32)
    whiten(values, activity, noise, quiet, _SHARE, sigmas, plain)
    return _Residual(plain, sigmas)


def _background(values: F32) -> F32:
    """Return the patchwise median, interpolated; patches without cells take the median of all others."""
    h, w = values.shape
    patches = np.empty((max(h // _CELL, 1), max(w // _CELL, 1)))
    cell_medians(values, _CELL, patches)
    is_known = np.isfinite(patches)
    patches[~is_known] = np.median(patches[is_known]) if is_known.any() else 0.0
    rows, columns = (_weights(n, count) for n, count in zip(values.shape, patches.shape, strict=True))
    smooth: F32 = (rows @ patches @ columns.T).astype(np.float32)
    return smooth


@lru_cache(maxsize=8)
def _weights(n: int, n_patches: int) -> F64:
    """Return float64 (n, n_patches): linear interpolation between the patches' centres, level beyond the last."""
    centres = (np.arange(n_patches) + 0.5) * _CELL - 0.5
    at = np.interp(np.arange(n), centres, np.arange(n_patches))
    weights = np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(n_patches)[None, :]))
    weights.flags.writeable = False
    return weights


def _sample(values: F32) -> F32:
    """Return the finite ones of a thin sample of the values."""
    some = values.ravel()[::_SAMPLED]
    return some[np.isfinite(some)]


def _level(values: F32, share: float) -> float:
    """Return the value that a share of all does not exceed."""
    levels = np.empty(1)
    row_levels(values.reshape(1, -1), share, 0, 1, levels)
    return float(levels[0])


def _spread(values: F32) -> float:
    """
    Return half of what lies between the 16th and the 84th hundredth of the values.

    A median deviation would not do: a frame that itself is the first result's middle (or smaller) sample leaves a
    residual of zero in a third (or half) of its cells.
    """
    return 0.5 * (_level(values, 0.8413) - _level(values, 0.1587))


def _blank(sigmas: F32, track: Track, half: float) -> None:
    """Take the cells within `half` (along t) of the track out of the search, in place."""
    lanes = sigmas.T if track.along_x else sigmas
    part = lanes[track.low : track.high]
    centre = track.at(np.arange(track.low, track.high, dtype=np.float64))
    part[np.abs(np.arange(lanes.shape[1])[None, :] - centre[:, None]) <= half] = np.nan
