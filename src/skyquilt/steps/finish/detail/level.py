"""The level of the sky under an image: what is brighter is an object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64
from skyquilt.errors import NoUsableInput

__all__ = ["SkyLevel", "measure_level"]

_CELL_PX = 64
_SAMPLE_STEP = 4
_DARK_SHARE = 0.3
_ROUNDS = 8
_LOW, _HIGH = 3.0, 1.5  # sigma of the cells about the plane: what is above is an object, not sky


@dataclass(frozen=True, slots=True, eq=False)
class SkyLevel:
    """
    A plane under each channel, in the unit of the image.

    Attributes
    ----------
    coefficients : float64 (c, 3)
        Of 1, x, y with x, y in px of the image.
    """

    coefficients: F64

    def over(self, channel: int, x0: int, y0: int, shape: tuple[int, int]) -> F32:
        """Return the level over a tile, float32 (y, x); from absolute coordinates."""
        constant, slope_x, slope_y = self.coefficients[channel]
        row = constant + slope_x * np.arange(x0, x0 + shape[1])
        return np.asarray(row[None] + slope_y * np.arange(y0, y0 + shape[0])[:, None], dtype=np.float32)


def measure_level(image: F32) -> SkyLevel:
    """
    Return the level of the darkest parts of an image.

    Parameters
    ----------
    image : float32 (c, y, x)
        Linear; NaN where there is no data.

    Raises
    ------
    NoUsableInput
        If no pixel has data.

    Notes
    -----
    Medians of cells of 64 px (every 4th row and column); a plane is fitted to the darkest 30 % of them, then to all
    within -3 to 1.5 sigma of it, eight times. It is no gradient removal (`gradient`): what is left of one stays in.
    """
    coefficients = []
    for plane in image:
        values, x, y = [], [], []
        for row in range(0, plane.shape[0], _CELL_PX):
            for column in range(0, plane.shape[1], _CELL_PX):
                cell = plane[row : row + _CELL_PX : _SAMPLE_STEP, column : column + _CELL_PX : _SAMPLE_STEP]
                good = cell[np.isfinite(cell)]
                if 2 * good.size >= cell.size:
                    values.append(float(np.median(good)))
                    x.append(column + 0.5 * (min(_CELL_PX, plane.shape[1] - column) - 1))
                    y.append(row + 0.5 * (min(_CELL_PX, plane.shape[0] - row) - 1))
        if not values:
            raise NoUsableInput("no part of the image has enough data to tell its level", "crop it to what is covered")
        coefficients.append(_fit_plane(np.array(values), np.array(x), np.array(y)))
    return SkyLevel(np.stack(coefficients))


def _fit_plane(values: F64, x: F64, y: F64) -> F64:
    terms = np.stack([np.ones_like(x), x, y], axis=1)
    used = values <= np.quantile(values, _DARK_SHARE)
    solution = np.array([float(np.median(values[used])), 0.0, 0.0])
    for step in range(_ROUNDS):
        if used.sum() < 6:
            break
        if step:
            solution = np.linalg.lstsq(terms[used], values[used], rcond=None)[0]
        residual = values - terms @ solution
        below = residual[residual < 0.0]
        sigma = 1.4826 * float(np.median(-below)) if len(below) else 0.0
        used = (residual > -_LOW * sigma) & (residual < _HIGH * sigma)
    return np.asarray(solution)
