"""The combination of colours that an image's nebulae do not show in: what is left is sky."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F64, Mask
from skyquilt.steps.finish.gradient.objects import box_mean

__all__ = ["emission_free"]

_WIDE = 9  # cells: structure is what is left of a cell's level without the mean of that square
_LEAST_CONTRAST = 0.1
_LEAST_STRENGTH = 4.0
_BRIGHTEST = 0.98


def emission_free(level: F64, known: Mask, floor: F64, noise: F64) -> tuple[F64, float] | None:
    """
    Return the sky as the sum of channels that cancels the nebula, in units of its level, and the noise of a cell of it.

    Parameters
    ----------
    level : float64 (c, gy, gx)
    known : bool (gy, gx)
    floor : float64 (c,)
        Sky level of each channel, about; above 0.
    noise : float64 (c,)
        Of one cell.

    Returns
    -------
    sky : float64 (gy, gx)
    noise : float
        None instead of both where no such sum can be told.

    Notes
    -----
    Cells are taken as level_c = floor_c (1 + g) + a_c E: a sky of one colour with a gradient g, and emission E of one
    colour. With h_c the structure of level_c / floor_c finer than 9 cells, the first eigenvector q of the covariance of
    h, less the noise, is the colour of the emission in units of the sky's. d = 1 - (1.q) q is across it, and
    sum d_c level_c / floor_c / sum d_c = 1 + g. The noise grows by 1 / sqrt(sum d); where that is more than threefold
    (a grey object is no other than the sky), or there is no structure above the noise, there is no answer. Emission of
    a second colour stays in, with either sign.
    """
    if len(level) < 2 or not (floor > 0.0).all():
        return None
    share = level / floor[:, None, None]
    fine = np.stack([channel - box_mean(channel, known, _WIDE)[0] for channel in share])[:, known]
    size = np.sqrt(np.mean(fine**2, axis=0))
    fine = fine[:, size <= np.quantile(size, _BRIGHTEST)]
    spread = np.diag((noise / floor) ** 2)
    values, vectors = np.linalg.eigh(np.cov(fine) - spread)
    if not values[-1] > _LEAST_STRENGTH * float(np.trace(spread)) / len(level):
        return None
    q = vectors[:, -1]
    across = 1.0 - q.sum() * q
    if across.sum() < _LEAST_CONTRAST:
        return None
    across /= across.sum()
    return np.tensordot(across, share, axes=1), float(np.sqrt(np.sum((across * noise / floor) ** 2)))
