"""How noisy the sky of a finished image is."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32

__all__ = ["background_noise"]

_MOST_VALUES = 200_000
_MAD_TO_SIGMA = 1.4826022185056018


def background_noise(plane: F32, binning: int = 1) -> float:
    """
    Return the robust sigma of the means of `binning` x `binning` pixels, in the units of the plane.

    Parameters
    ----------
    plane : float32 (y, x)
        Values that are not finite take no part.
    binning : int
        1: the noise of a pixel. Resampled pixels share noise with their neighbours; 8 times the noise of 8x8 means
        tells the noise that survives smoothing.

    Returns
    -------
    float
        NaN where the plane is too small.

    Notes
    -----
    Definition: 1.4826 MAD of m(x) - (m(x - d) + m(x + d)) / 2, over sqrt(1.5), along rows, with d = 8 pixels or 2 bins,
    whichever is wider: slopes cancel, and d is beyond the reach of resampling kernels.
    """
    height, width = plane.shape[0] // binning, plane.shape[1] // binning
    distance = max(2, -(-8 // binning))
    if height < 1 or width < 2 * distance + 8:
        return float("nan")
    every = max(1, height * width // _MOST_VALUES)
    rows = np.arange(height)[::every]
    if binning == 1:
        means = plane[rows].astype(np.float64)
    else:
        bands = plane[: height * binning, : width * binning].reshape(height, binning, width * binning)[rows]
        means = bands.sum(axis=1, dtype=np.float64).reshape(len(rows), width, binning).sum(axis=2) / binning**2
    with np.errstate(invalid="ignore"):
        difference = means[:, distance:-distance] - 0.5 * (means[:, : -2 * distance] + means[:, 2 * distance :])
    known = difference[np.isfinite(difference)]
    if len(known) < 8:
        return float("nan")
    return float(_MAD_TO_SIGMA * np.median(np.abs(known - np.median(known))) / np.sqrt(1.5))
