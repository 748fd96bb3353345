"""One number for a frame, and the figures it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, Measurement

__all__ = ["Quality", "score"]

_RANKS = 60
_LEAST_RANKS = 3
_SKIPPED_RANKS = 2  # the very brightest are saturated, or planets, or just off the edge


@dataclass(frozen=True, slots=True)
class Quality:
    """
    Explainable figures of one frame.

    Attributes
    ----------
    name : str
    n_stars : int
    fwhm_px : float, px; NaN without stars
    eccentricity : float, 0..1; NaN without stars
    background_adu : float, ADU
    noise_adu : float, ADU per pixel
    saturated_share : float, 0..1
    gradient : float
        Largest minus smallest sky level over the median.
    transparency : float
        Star flux per second of exposure over that of the typical frame of the session; NaN without stars.
    exposure_s : float, seconds; NaN where the header is silent
    score : float
        Signal-to-noise of a point source over that of the typical frame: flux / (noise * FWHM), 1 for the typical
        frame, 0 without stars.
    """

    name: str
    n_stars: int
    fwhm_px: float
    eccentricity: float
    background_adu: float
    noise_adu: float
    saturated_share: float
    gradient: float
    transparency: float
    exposure_s: float
    score: float


def score(
    measurements: Sequence[Measurement],
    names: Sequence[str],
    exposures: Sequence[float | None] | None = None,
) -> list[Quality]:
    """
    Return the figures and the score of every frame, in the order given.

    Parameters
    ----------
    measurements : sequence of Measurement
        Of one group: same field, same camera.
    names : sequence of str
    exposures : sequence of float or None, seconds, or None

    Notes
    -----
    Before the frames are matched, transparency is told by rank: the k-th brightest star of this frame against the
    median of the k-th brightest of all frames, median over k = 3 to 60. It needs no match and little overlap.
    """
    flux = _relative_flux(measurements)
    seconds = np.array([s if s else np.nan for s in (exposures or [None] * len(measurements))], dtype=np.float64)
    known = seconds[np.isfinite(seconds)]
    relative_exposure = seconds / np.median(known) if len(known) else np.ones(len(measurements))
    noise = np.array([m.figures.noise_adu for m in measurements], dtype=np.float64)
    fwhm = np.array([m.figures.fwhm_px for m in measurements], dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = flux / (noise * fwhm)
        typical = snr[np.isfinite(snr) & (snr > 0)]
        snr = np.where(np.isfinite(snr), snr / (np.median(typical) if len(typical) else 1.0), 0.0)
        transparency = flux / np.where(np.isfinite(relative_exposure), relative_exposure, 1.0)
    return [
        Quality(
            name=name,
            n_stars=m.figures.n_stars,
            fwhm_px=m.figures.fwhm_px,
            eccentricity=m.figures.eccentricity,
            background_adu=m.figures.background_adu,
            noise_adu=m.figures.noise_adu,
            saturated_share=m.figures.saturated_share,
            gradient=m.figures.gradient,
            transparency=float(transparency[k]),
            exposure_s=float(seconds[k]),
            score=float(snr[k]),
        )
        for k, (m, name) in enumerate(zip(measurements, names, strict=True))
    ]


def _relative_flux(measurements: Sequence[Measurement]) -> F64:
    """Star flux of each frame over the typical one, by rank; NaN for frames with too few stars."""
    table = np.full((len(measurements), _RANKS), np.nan)
    for k, measurement in enumerate(measurements):
        stars = measurement.stars
        flux = np.sort(stars.flux[stars.flux > 0])[::-1][_SKIPPED_RANKS : _SKIPPED_RANKS + _RANKS]
        if len(stars) < _SKIPPED_RANKS + _LEAST_RANKS:
            flux = np.sort(stars.flux[stars.flux > 0])[::-1][:_RANKS]
        table[k, : len(flux)] = np.log(flux)
    relative = np.full(len(measurements), np.nan)
    if not len(measurements):
        return relative
    known = np.isfinite(table)
    full = known.sum(axis=0) >= max(1, 0.5 * (known.sum(axis=1) > 0).sum())
    if not full.any():
        return relative
    typical = np.array([np.median(table[known[:, r], r]) if full[r] else np.nan for r in range(_RANKS)])
    for k in range(len(measurements)):
        both = known[k] & full
        if both.any():
            relative[k] = np.exp(np.median(table[k, both] - typical[both]))
    return relative
