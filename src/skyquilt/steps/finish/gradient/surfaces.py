"""What of the sky a polynomial leaves: smoothed cells (mesh), or thin plates through them (radial)."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F64, Mask

__all__ = ["mesh_surface", "radial_surface"]

_LEAST_SUPPORT = 0.05  # of a full neighbourhood: with less the mesh returns to the polynomial
_MOST_POINTS = 400
_STIFFNESS = tuple(10.0**k for k in range(-3, 4))
_FOLDS = 5


def mesh_surface(residual: F64, free: Mask, smoothing: float) -> F64:
    """
    Return the residuals of free cells smoothed by a Gaussian, float64 (c, gy, gx); to 0 far from any.

    Parameters
    ----------
    residual : float64 (c, gy, gx)
        Level less polynomial; NaN where unknown.
    free : bool (gy, gx)
    smoothing : float, cells
        Sigma.

    Notes
    -----
    Definition:: G * (f r) / (G * f + 0.05), f 1 in free cells and 0 elsewhere, edges extended by nothing.
    """
    support = _blur(free.astype(np.float64), smoothing) + _LEAST_SUPPORT
    return np.stack([_blur(np.where(free, channel, 0.0), smoothing) / support for channel in residual])


def _blur(values: F64, sigma: float) -> F64:
    for axis in (0, 1):
        place = np.arange(values.shape[axis])
        kernel = np.exp(-0.5 * ((place[:, None] - place[None, :]) / sigma) ** 2)
        kernel /= np.sqrt(2.0 * np.pi) * sigma
        values = np.moveaxis(np.tensordot(kernel, values, axes=(1, axis)), 0, axis)
    return values


def radial_surface(residual: F64, free: Mask, u: F64, v: F64, noise: F64) -> tuple[F64, float]:
    """
    Return thin plates through the residuals of free cells, float64 (c, gy, gx), and their stiffness.

    Parameters
    ----------
    residual : float64 (c, gy, gx)
    free : bool (gy, gx)
    u, v : float64 (gy, gx)
    noise : float64 (c,)
        Of a cell: weighs the channels in the choice of the stiffness.

    Notes
    -----
    Thin-plate smoothing spline (Duchon 1977; Wahba 1990) of at most 400 cells, the stiffness of 1e-3 ... 1e3 that
    predicts every fifth cell best from the others. Far from free cells it is the plane that the plates end in.
    """
    from scipy.interpolate import RBFInterpolator

    known = np.flatnonzero(free)
    chosen = known[:: max(1, -(-len(known) // _MOST_POINTS))]
    places = np.stack([u.ravel()[chosen], v.ravel()[chosen]], axis=1)
    values = (residual.reshape(len(residual), -1)[:, chosen] / noise[:, None]).T
    fold = np.random.default_rng(3).permutation(len(chosen)) % _FOLDS

    def error(stiffness: float) -> float:
        total = 0.0
        for k in range(_FOLDS):
            out = fold == k
            surface = RBFInterpolator(places[~out], values[~out], smoothing=stiffness, kernel="thin_plate_spline")
            total += float(np.sum(np.minimum(np.abs(surface(places[out]) - values[out]), 4.0) ** 2))
        return total

    stiffness = min(_STIFFNESS, key=error)
    surface = RBFInterpolator(places, values, smoothing=stiffness, kernel="thin_plate_spline")
    grid = surface(np.stack([u.ravel(), v.ravel()], axis=1)).T.reshape(residual.shape)
    return grid * noise[:, None, None], stiffness
