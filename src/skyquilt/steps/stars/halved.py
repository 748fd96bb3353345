"""The half-resolution plane of a frame, on which its stars are looked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, I64, Cfa
from skyquilt.kernels.look import halve_frame

__all__ = ["Halved", "halve", "halved_sites", "saturation_limit"]

_SATURATION_SHARE = 0.95  # of the largest value: a sensor bends before it stops
_GREEN = 1


@dataclass(frozen=True, slots=True, eq=False)
class Halved:
    """
    A frame at half the resolution, and what was counted while it was made.

    Attributes
    ----------
    pixels : float32 (y // 2, x // 2), ADU
        Mean of the `halved_sites` of each 2x2 cell; NaN where one of them is.
    n_saturated : int
        Pixels of the frame at or above the `saturation_limit`.
    """

    pixels: F32
    n_saturated: int


def halved_sites(cfa: Cfa | None) -> I64:
    """Return (y, x) of the sites of a 2x2 cell that tell about stars, int64 (n, 2): the greens, all of mono."""
    if cfa is None:
        return np.argwhere(np.ones((2, 2), dtype=np.bool_))
    return np.argwhere(cfa.table == _GREEN)


def saturation_limit(saturation_adu: float) -> float:
    """Return from which value on a pixel counts as saturated, ADU."""
    return _SATURATION_SHARE * saturation_adu


def halve(pixels: F32, cfa: Cfa | None, saturation_adu: float) -> Halved:
    """Return the half-resolution plane of a calibrated frame (y, x)."""
    plane = np.empty((pixels.shape[0] // 2, pixels.shape[1] // 2), dtype=np.float32)
    return Halved(plane, halve_frame(pixels, halved_sites(cfa), saturation_limit(saturation_adu), plane))
