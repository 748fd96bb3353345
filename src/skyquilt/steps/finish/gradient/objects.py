"""Which cells of an image show more than sky: stars, galaxies, nebulae."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F64, Mask

__all__ = ["box_mean", "cell_noise", "find_objects", "grow"]

_SCALES = (1, 3, 7)  # cells: the wider, the fainter what is seen
_QUANTILE = 0.3
_QUANTILE_OF_NORMAL = 0.38532  # of |z|


def box_mean(values: F64, known: Mask, side: int) -> tuple[F64, F64]:
    """Return the mean of the known cells in a square around each cell and their number; mean 0 where there is none."""
    total = _box_sum(np.where(known, values, 0.0), side)
    count = np.rint(_box_sum(known.astype(np.float64), side))
    return np.where(count > 0, total / np.maximum(count, 1.0), 0.0), count


def _box_sum(values: F64, side: int) -> F64:
    half = side // 2
    padded = np.pad(values, ((half + 1, half), (half + 1, half)))
    sums = padded.cumsum(axis=0).cumsum(axis=1)
    total: F64 = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    return total


def grow(cells: Mask, by: int) -> Mask:
    """Return the cells and those within a square of `by` cells around them."""
    return np.asarray(_box_sum(cells.astype(np.float64), 2 * by + 1) > 0.5) if by else cells


def cell_noise(level: F64) -> float:
    """
    Return the scatter of the cells' levels about a smooth surface, from the quieter of them.

    Notes
    -----
    d = level - mean of the four neighbours has sigma sqrt(1.25) times that of a level; the 30 % quantile of |d| stands
    for it, which structure in two thirds of the cells does not reach.
    """
    d = level[1:-1, 1:-1] - 0.25 * (level[:-2, 1:-1] + level[2:, 1:-1] + level[1:-1, :-2] + level[1:-1, 2:])
    d = np.abs(d[np.isfinite(d)])
    return float(np.quantile(d, _QUANTILE) / _QUANTILE_OF_NORMAL / np.sqrt(1.25)) if len(d) else 0.0


def find_objects(residual: F64, known: Mask, noise: float, *, kappa: float, least: float) -> Mask:
    """
    Return the cells that are brighter than the sky, alone or together with those around them.

    Parameters
    ----------
    residual : float64 (gy, gx)
        Level less model.
    noise : float
        Of one cell.
    kappa, least : float
        The mean of 1, 3x3 or 7x7 cells counts from ``max(kappa * noise / sqrt(n), least)`` on.
    """
    found = np.zeros(known.shape, dtype=bool)
    for side in _SCALES:
        mean, count = box_mean(residual, known, side)
        found |= mean > np.maximum(kappa * noise / np.sqrt(np.maximum(count, 1.0)), least)
    return found & known
