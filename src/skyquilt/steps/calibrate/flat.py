"""From a master flat to the factor that undoes it."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, Cfa, Mask

__all__ = ["normalise_flat"]

MOST_SAMPLES = 200_000
"""Pixels that decide the level of a colour: more change it by less than 1e-4."""
LOWEST_RESPONSE = 0.2
"""A pixel that sees less than this share of the centre's light is a defect: its noise would be blown up five-fold."""


def normalise_flat(master_flat: F32, cfa: Cfa | None) -> tuple[F32, Mask]:
    """
    Return (inverse_flat, defects) of a master flat: multiplying by the first takes the flat out.

    Parameters
    ----------
    master_flat : float32 (y, x), ADU
        Dark or bias already subtracted.
    cfa : Cfa or None
        Each colour is normalised by itself, so that the flat's light source leaves no colour cast; both greens share
        one level, so that a difference between them is corrected. None: a mono frame.

    Returns
    -------
    inverse_flat : float32 (y, x)
        level / flat, the level being the clipped mean of that colour over the central half of the frame; 0 at defects.
    defects : bool (y, x)
        True where the flat is not finite or below 0.2 of its level.

    Raises
    ------
    ValueError
        If a colour has no positive level: the frame holds no light.
    """
    height, width = master_flat.shape
    inverse = np.zeros((height, width), dtype=np.float32)
    top, left = height // 4 // 2 * 2, width // 4 // 2 * 2
    centre = master_flat[top : height - top, left : width - left]
    for channel, sites in _sites(cfa).items():
        level = _clipped_mean(np.concatenate([centre[y::step, x::step].ravel() for y, x, step in sites]))
        if not level > 0.0:
            raise ValueError(f"the flat has no light in colour {channel}: its level is {level:.1f} ADU")
        for y, x, step in sites:
            flat = master_flat[y::step, x::step]
            usable = flat >= LOWEST_RESPONSE * level  # False for NaN
            usable &= flat < np.inf
            np.divide(np.float32(level), flat, out=inverse[y::step, x::step], where=usable)
    return inverse, inverse == 0.0


def _sites(cfa: Cfa | None) -> dict[int, list[tuple[int, int, int]]]:
    """Return the sites (first row, first column, step) of every channel."""
    if cfa is None:
        return {0: [(0, 0, 1)]}
    sites: dict[int, list[tuple[int, int, int]]] = {}
    for y in (0, 1):
        for x in (0, 1):
            sites.setdefault(int(cfa.table[y, x]), []).append((y, x, 2))
    return dict(sorted(sites.items()))


def _clipped_mean(values: F32) -> float:
    """Mean without what lies more than 3 robust sigma from the median (twice); NaN without values."""
    kept = values[:: max(1, values.size // MOST_SAMPLES)].astype(np.float64)
    kept = kept[np.isfinite(kept)]
    for _ in range(2):
        if kept.size == 0:
            return float("nan")
        median = float(np.median(kept))
        reach = 3.0 * 1.4826 * float(np.median(np.abs(kept - median)))
        kept = kept[np.abs(kept - median) <= reach] if reach > 0.0 else kept
    return float(kept.mean()) if kept.size else float("nan")
