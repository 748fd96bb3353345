"""From a master flat to the factor that undoes it."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, Cfa, Mask

__all__ = ["normalise_flat"]

MOST_SAMPLES = 100_000
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
    top, left = height // 4 // 2 * 2, width // 4 // 2 * 2
    centre = master_flat[top : height - top, left : width - left]
    levels = np.empty((2, 2), dtype=np.float64)
    for channel, sites in _sites(cfa).items():
        level = _clipped_mean(_spread([centre[y::2, x::2] for y, x in sites]))
        if not level > 0.0:
            raise ValueError(f"the flat has no light in colour {channel}: its level is {level:.1f} ADU")
        for y, x in sites:
            levels[y, x] = level
    inverse = np.empty((height, width), dtype=np.float32)
    defects = np.empty((height, width), dtype=np.bool_)
    for y in (0, 1):
        flat, result, unusable = master_flat[y::2], inverse[y::2], defects[y::2]
        row = np.resize(levels[y], width)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            np.divide(row.astype(np.float32), flat, out=result)
        # NaN is not above anything
        np.greater_equal(flat, (LOWEST_RESPONSE * row).astype(np.float32), out=unusable)
        unusable &= flat < np.inf
        np.logical_not(unusable, out=unusable)
        result[unusable] = 0.0
    return inverse, defects


def _sites(cfa: Cfa | None) -> dict[int, list[tuple[int, int]]]:
    """Return the sites (first row, first column; every second from there) of every channel."""
    sites: dict[int, list[tuple[int, int]]] = {}
    for y in (0, 1):
        for x in (0, 1):
            sites.setdefault(0 if cfa is None else int(cfa.table[y, x]), []).append((y, x))
    return dict(sorted(sites.items()))


def _spread(sites: list[F32]) -> F32:
    """Return at most `MOST_SAMPLES` values of the sites (about), evenly spread over each."""
    n_values = sum(site.size for site in sites)
    stride = max(1, int(np.ceil(np.sqrt(n_values / MOST_SAMPLES))))
    return np.concatenate([site[::stride, ::stride].ravel() for site in sites])


def _clipped_mean(values: F32) -> float:
    """Mean without what lies more than 3 robust sigma from the median (twice); NaN without values."""
    kept = values[np.isfinite(values)]
    for _ in range(2):
        if kept.size == 0:
            return float("nan")
        median = np.median(kept)
        away = np.abs(kept - median)
        reach = 3.0 * 1.4826 * float(np.median(away))
        kept = kept[away <= reach] if reach > 0.0 else kept
    return float(kept.mean(dtype=np.float64)) if kept.size else float("nan")
