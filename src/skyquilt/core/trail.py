"""The track of a satellite or an aeroplane through one frame."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Trail"]


@dataclass(frozen=True, slots=True)
class Trail:
    """
    A straight band of pixels that takes no part, in the pixels of the frame it was found in.

    Attributes
    ----------
    x0, y0, x1, y1 : float, px
        Ends of its centre line (it runs on to the frame's edge where the line was seen to).
    half_width : float, px
        Everything closer to the centre line than this is masked: the core and its wings.
    significance : float
        How many sigma the line stands above the residuals around it.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    half_width: float
    significance: float
