"""Bands of an image that has gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from skyquilt.core import F32, Mask
from skyquilt.kernels.starlet import smooth

__all__ = ["FIRM", "SCATTER", "Smoother", "structure_share"]

_LEAST_SHARE = 1e-6
SCATTER = 0.45
"""Of the local mean of the squared significance of a band, in white noise, about its mean 1; every band."""
FIRM = 2.5
"""From where that mean starts to count as structure to where all of it is."""


def structure_share(square: F32, threshold: float) -> F32:
    """
    Return how much structure there is, float32 (y, x), 0..1: a smooth rise (3 t² - 2 t³) of the mean of squares.

    Parameters
    ----------
    square : float32 (y, x)
        Local mean of the squared significance of a band.
    threshold : float
        It starts at 1 + 0.45 threshold, and ends at 2.5 times that.
    """
    low = 1.0 + SCATTER * threshold
    t = np.clip((square - np.float32(low)) * np.float32(1.0 / ((FIRM - 1.0) * low)), np.float32(0.0), np.float32(1.0))
    return np.asarray(t * t * (np.float32(3.0) - np.float32(2.0) * t), dtype=np.float32)


class Smoother:
    """
    Smoothing of the planes of one image: pixels without data take no part.

    Notes
    -----
    Definition: smooth(v k) / smooth(k), k = 1 where a pixel is known, 0 elsewhere; 0 where nothing near is known. All
    taps are powers of 2 and multiples of them, so that without gaps the divisor is exactly 1, and a tile that is far
    enough from a gap has the bits of a smoothing without it.
    """

    def __init__(self, known: Mask) -> None:
        self.known = known
        self._has_gaps = not bool(known.all())
        self._share: dict[int, F32] = {}

    def fill(self, plane: F32) -> F32:
        """Return the plane with 0 for what is not known, float32 (y, x), contiguous."""
        if self._has_gaps:
            return np.where(self.known, plane, np.float32(0.0))
        return np.ascontiguousarray(plane, dtype=np.float32)

    def smooth(self, filled: F32, step: int) -> F32:
        """Return a filled plane smoothed with taps `step` px apart; what is not known stays 0."""
        out = np.empty_like(filled)
        smooth(filled, step, out)
        if self._has_gaps:
            if step not in self._share:
                share = np.empty_like(filled)
                smooth(self.known.astype(np.float32), step, share)
                self._share[step] = np.maximum(share, np.float32(_LEAST_SHARE))
            out /= self._share[step]
            out[~self.known] = 0.0
        return out

    def bands(self, filled: F32, n_scales: int) -> Iterator[tuple[F32, F32]]:
        """Yield (band, what is coarser), finest first; the bands and the last of the others add up to the plane."""
        for scale in range(n_scales):
            coarser = self.smooth(filled, 2**scale)
            yield filled - coarser, coarser
            filled = coarser

    def fine(self, plane: F32, n_scales: int) -> F32:
        """Return the sum of the finest bands of a plane, float32 (y, x)."""
        filled = self.fill(plane)
        coarse = filled
        for scale in range(n_scales):
            coarse = self.smooth(coarse, 2**scale)
        return filled - coarse
