"""Colour matrices: how far the filters' colours are drawn apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32
from skyquilt.errors import UsageError
from skyquilt.steps.finish.colour.linear_colour import LinearColour
from skyquilt.steps.finish.colour.spaces import LUMINANCE

__all__ = ["COLOUR_MATRICES", "MatrixSettings", "apply_colour_matrix", "plan_colour_matrix"]

COLOUR_MATRICES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "neutral": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "rich": ((1.45, -0.35, -0.10), (-0.15, 1.35, -0.20), (-0.05, -0.25, 1.30)),
    "vivid": ((1.6, -0.4, -0.2), (-0.2, 1.6, -0.4), (-0.1, -0.3, 1.4)),
    "ha_emission": ((1.1, -0.1, 0.0), (-0.1, 1.1, 0.0), (0.0, 0.0, 1.0)),
}
"""Every row adds up to 1, so that grey stays grey."""


@dataclass(frozen=True, slots=True)
class MatrixSettings:
    """
    Which matrix, and how much of it.

    Attributes
    ----------
    matrix : str or 3x3 tuple of float
        A name of `COLOUR_MATRICES`, or rows of red, green and blue, which are divided by their sums.
    boost : float, 0 to 2
        0 changes nothing, 1 is the matrix: I + boost (M - I).
    keep_luminance : bool
        Whether the luminance of every pixel stays.
    """

    matrix: str | tuple[tuple[float, float, float], ...] = "rich"
    boost: float = 1.0
    keep_luminance: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.matrix, str):
            if self.matrix not in COLOUR_MATRICES:
                raise UsageError(f"{self.matrix!r} is no colour matrix", f"one of {', '.join(COLOUR_MATRICES)}")
        else:
            rows = np.array(self.matrix, dtype=np.float64)
            if rows.shape != (3, 3) or not np.isfinite(rows).all() or (np.abs(rows.sum(axis=1)) < 1e-6).any():
                raise UsageError("a colour matrix has three rows of three numbers that do not add up to 0")
        if not 0.0 <= self.boost <= 2.0:
            raise UsageError(f"a colour matrix cannot be boosted by {self.boost:g}", "give 0 to 2")


def plan_colour_matrix(settings: MatrixSettings) -> LinearColour:
    """
    Return the map of channels of a matrix; it needs nothing of the image.

    Notes
    -----
    Definition: M = I + boost (M0 - I), rows of M0 divided by their sums. To keep the luminance Y = w.v of every pixel,
    what M takes from it is added to all channels alike: M + 1 (w - w M). That is linear too, keeps grey, and does not
    divide by the light of the background.
    """
    rows = np.array(COLOUR_MATRICES[settings.matrix] if isinstance(settings.matrix, str) else settings.matrix)
    matrix = np.eye(3) + settings.boost * (rows / rows.sum(axis=1, keepdims=True) - np.eye(3))
    if settings.keep_luminance:
        matrix = matrix + np.ones((3, 1)) * (LUMINANCE - LUMINANCE @ matrix)
    matrix[np.abs(matrix) < 1e-12] = 0.0
    return LinearColour(matrix, np.zeros(3))


def apply_colour_matrix(image: F32, settings: MatrixSettings) -> F32:
    """Return the image, float32 (3, y, x), through the matrix; negative values stay."""
    return plan_colour_matrix(settings).apply(image)
