"""The value at which a camera really stops, where that is below what its files could hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32

__all__ = ["FrameTop", "find_ceiling", "frame_top"]

_LEAST_AT = 8  # pixels of a frame: two or three small saturated stars
_TIMES_BELOW = 4
_VALUES_BELOW = 2
_MOST_SHARE = 0.25  # of the pixels: more is a frame of hardly any value but one, not a sky
_WELL_BELOW = 0.95  # of what the file could hold: what is nearer makes no difference (`stars.saturation_limit`)


@dataclass(frozen=True, slots=True)
class FrameTop:
    """
    The highest values of a frame.

    Attributes
    ----------
    value : float, ADU
        The highest of all; -inf for a frame without numbers.
    n_at : int
        How many pixels have it.
    n_below : int
        How many pixels have the next two values that occur, within the upper half of the range.
    share : float, 0..1
        `n_at` over all pixels.
    """

    value: float
    n_at: int
    n_below: int
    share: float

    @property
    def is_piled_up(self) -> bool:
        """Whether far more pixels have the highest value than have those that come next: they were cut off there."""
        is_many = self.n_at >= _LEAST_AT and self.n_at >= _TIMES_BELOW * self.n_below
        return is_many and self.n_below > 0 and self.share < _MOST_SHARE


def frame_top(pixels: F32) -> FrameTop:
    """
    Return the highest values of a raw frame, float32 (channel, y, x), ADU; what is not a finite number is left out.

    Notes
    -----
    One pass for the largest value and one for those above its half, which are few in a picture of the sky.
    """
    finite = pixels if np.isfinite(pixels.max()) and np.isfinite(pixels.min()) else pixels[np.isfinite(pixels)]
    if finite.size == 0:
        return FrameTop(-np.inf, 0, 0, 0.0)
    highest = finite.max()
    _, counts = np.unique(finite[finite >= np.float32(0.5) * highest], return_counts=True)
    n_below = int(counts[:-1][-_VALUES_BELOW:].sum())
    return FrameTop(float(highest), int(counts[-1]), n_below, float(counts[-1] / pixels.size))


def find_ceiling(tops: Sequence[FrameTop], saturation_adu: float) -> float:
    """
    Return the value at which the pixels of a set of frames stop, ADU; inf where they do not show one.

    Parameters
    ----------
    tops : sequence of FrameTop
        Of some frames of one camera with the same settings.
    saturation_adu : float
        The largest value that the files could hold.

    Notes
    -----
    Definition: the highest value of all frames, if it lies below 0.95 of `saturation_adu` and at least half of the
    frames, two or more, are piled up at it. A frame is piled up if 8 pixels or more have its highest value, and at
    least four times as many as have the next two values that occur, yet not a quarter of all. A brightest star or a hot
    pixel has a value of its own in every frame; the noise of a coarse converter has more pixels at each lower value,
    not fewer. A device that subtracts a dark before it saves has no single value at the top, and none is found.
    """
    if not tops:
        return np.inf
    highest = max(top.value for top in tops)
    n_piled = sum(top.is_piled_up and top.value == highest for top in tops)
    if n_piled < 2 or 2 * n_piled < len(tops) or not highest < _WELL_BELOW * saturation_adu:
        return np.inf
    return highest
