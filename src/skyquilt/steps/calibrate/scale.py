"""How strongly the dark current of a dark shows in a light."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, Cfa
from skyquilt.kernels.defects import neighbour_median

__all__ = ["fit_dark_scale"]

WARMEST_SHARE = 0.005
"""Share of the pixels that the fit rests on: those with the strongest dark signal."""


def fit_dark_scale(light: F32, dark_current: F32, cfa: Cfa | None, *, largest: float = 10.0) -> float:
    """
    Return the factor k for which light - k * dark_current has no warm pixels left (dark optimisation).

    Parameters
    ----------
    light : float32 (y, x), ADU
        Raw light, bias subtracted.
    dark_current : float32 (y, x), ADU
        Master dark less bias, of any exposure and temperature.
    cfa : Cfa or None
    largest : float
        The factor is kept between 0 and this.

    Returns
    -------
    float
        NaN if the dark has no warm pixels to go by.

    Notes
    -----
    Both frames are reduced to each pixel's excess over the median of its same-colour neighbours, which takes sky and
    glow out; k is the median over the 0.5 % warmest pixels of light excess / dark excess, so stars (which meet a few
    of them) do not matter.
    """
    step = 1 if cfa is None else 2
    excess = dark_current - neighbour_median(np.ascontiguousarray(dark_current), step)
    n_warm = max(50, int(WARMEST_SHARE * excess.size))
    if n_warm >= excess.size:
        return float("nan")
    limit = float(np.partition(excess.ravel(), -n_warm)[-n_warm])
    noise = 1.4826 * float(np.median(np.abs(excess)))
    warm = excess >= max(limit, 5.0 * noise, 1e-6)
    if int(warm.sum()) < 50:
        return float("nan")
    light_excess = light - neighbour_median(np.ascontiguousarray(light), step)
    return float(np.clip(np.median(light_excess[warm].astype(np.float64) / excess[warm]), 0.0, largest))
