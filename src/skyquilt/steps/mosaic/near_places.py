"""Which frames look at about the same place."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F64, I64

__all__ = ["group_near"]

_NEAR = 0.5  # of half the longer side of a frame


def group_near(x: F64, y: F64, radius: F64, *, near: float = _NEAR) -> I64:
    """
    Return the number of the pointing of each frame, int64 (n,).

    Parameters
    ----------
    x, y : float64 (n,), px
        Middles of the frames on the canvas.
    radius : float64 (n,), px
        Half their longer sides.
    near : float
        Frames within this share of the radius of a pointing's first frame belong to it.

    Notes
    -----
    Frames are taken from left to right, so that their order does not matter; each joins the nearest pointing that is
    near enough, or opens one.
    """
    number = np.full(len(x), -1, dtype=np.int64)
    first: list[int] = []
    for k in np.lexsort((radius, y, x)):
        if first:
            distance = np.hypot(x[first] - x[k], y[first] - y[k])
            nearest = int(np.argmin(distance))
            if distance[nearest] <= near * radius[k]:
                number[k] = nearest
                continue
        number[k] = len(first)
        first.append(int(k))
    return number
