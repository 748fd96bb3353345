"""Whether a session can be stacked without resampling: whole-pixel shifts that keep the colour pattern."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skyquilt.core import Cfa, Registration, Transform

__all__ = ["choose_mode", "integer_shift"]

_CORNER_LIMIT_PX = 0.7  # what turning and stretching may move a corner before a shift smears the stars


def choose_mode(
    registrations: Sequence[Registration], *, width: int = 1080, height: int = 1920, limit_px: float = _CORNER_LIMIT_PX
) -> str:
    """
    Return "integer" where whole-pixel shifts would do for every frame, else "resample".

    Parameters
    ----------
    registrations : sequence of Registration
    width, height : int, px of the frames (a Seestar frame unless told)
    limit_px : float
        By how much a shift may be wrong at a corner, beyond the rounding itself.
    """
    for registration in registrations:
        transform = registration.transform
        if transform.parity < 0:
            return "resample"
        x, y = np.array([0.0, width - 1.0, 0.0, width - 1.0]), np.array([0.0, 0.0, height - 1.0, height - 1.0])
        u, v = transform(x, y)
        cu, cv = transform((width - 1) / 2, (height - 1) / 2)
        error = np.hypot(u - x - (cu - (width - 1) / 2), v - y - (cv - (height - 1) / 2))
        if float(error.max()) > limit_px:
            return "resample"
    return "integer"


def integer_shift(
    transform: Transform, cfa: Cfa | None, *, width: int | None = None, height: int | None = None
) -> Transform:
    """
    Return the shift by whole pixels (even ones for a CFA, which keep its pattern) nearest to a transform.

    Parameters
    ----------
    transform : Transform
        Frame pixels to reference pixels.
    cfa : Cfa or None
    width, height : int, px, or None
        Size of the frame: the shift is that of its centre. Without them that of pixel (0, 0).

    Raises
    ------
    ValueError
        If the transform turns the frame by more than 90 degrees or mirrors it: no shift comes near.
    """
    if transform.parity < 0 or abs(transform.rotation_deg) > 90.0:
        raise ValueError(
            f"a shift cannot stand for a map that turns by {transform.rotation_deg:.1f} degrees or mirrors"
        )
    step = 1 if cfa is None else 2
    x, y = (width - 1) / 2 if width else 0.0, (height - 1) / 2 if height else 0.0
    u, v = transform(x, y)
    return Transform.shift(step * float(np.round((u - x) / step)), step * float(np.round((v - y) / step)))
