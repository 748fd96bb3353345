"""Bands of an image that has gaps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from skyquilt.core import F32, Mask
from skyquilt.kernels.starlet import smooth

__all__ = ["Smoother"]

_LEAST_SHARE = 1e-6


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
