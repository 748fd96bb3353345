"""How much each frame counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skyquilt.core import F64, Measurement, Normalisation

__all__ = ["METHODS", "weights"]

METHODS = ("point_source", "noise", "fwhm", "stars", "transparency", "exposure", "none")


def weights(
    measurements: Sequence[Measurement],
    normalisations: Sequence[Normalisation | None],
    exposures: Sequence[float | None] | None = None,
    method: str = "point_source",
    *,
    relative: bool = True,
) -> F64:
    """
    Return the weight of every frame, float64 (n,), of mean 1.

    Parameters
    ----------
    measurements : sequence of Measurement
    normalisations : sequence of Normalisation or None
        Their transparency counts; 1 where None.
    exposures : sequence of float or None, seconds, or None
    method : str
        With transparency T, noise sigma and FWHM F of the frame:
        "point_source" T² / (sigma² F²), which maximises the signal-to-noise of a point source; "noise" T² / sigma²,
        the inverse variance of the normalised pixels; "fwhm" 1 / F²; "stars" their number; "transparency" T²;
        "exposure" seconds; "none" 1.
    relative : bool
        False leaves the weights as the formula gives them, so that a further frame does not change those of the others.

    Raises
    ------
    ValueError
        If `method` is none of those or the lists differ in length.

    Notes
    -----
    A figure that is unknown in some frames is taken as the median of the others, in all frames as 1.
    """
    if method not in METHODS:
        raise ValueError(f"{method!r} is no method of weighting: {', '.join(METHODS)}")
    n = len(measurements)
    seconds = list(exposures) if exposures is not None else [None] * n
    if len(normalisations) != n or len(seconds) != n:
        raise ValueError(f"{n} measurements, {len(normalisations)} normalisations and {len(seconds)} exposures")
    if not n:
        return np.zeros(0)
    transparency = _known([1.0 if one is None else one.transparency for one in normalisations])
    noise = _known([m.figures.noise_adu for m in measurements])
    fwhm = _known([m.figures.fwhm_px for m in measurements])
    if method == "point_source":
        weight = transparency**2 / (noise**2 * fwhm**2)
    elif method == "noise":
        weight = transparency**2 / noise**2
    elif method == "fwhm":
        weight = 1.0 / fwhm**2
    elif method == "stars":
        weight = _known([float(m.figures.n_stars) for m in measurements])
    elif method == "transparency":
        weight = transparency**2
    elif method == "exposure":
        weight = _known([float("nan") if s is None else s for s in seconds])
    else:
        weight = np.ones(n)
    normed: F64 = weight / weight.mean() if relative else weight
    return normed


def _known(values: Sequence[float]) -> F64:
    """Positive values; those that are unknown become the median of the others, or 1."""
    array: F64 = np.array(values, dtype=np.float64)
    good = np.isfinite(array) & (array > 0)
    return np.where(good, array, np.median(array[good]) if good.any() else 1.0)
