"""From a master flat to the factor that undoes it."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, Cfa, Mask

__all__ = ["normalise_flat"]

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
    channels = _channel_map(height, width, cfa)
    centre = (slice(height // 4, height - height // 4), slice(width // 4, width - width // 4))
    for channel in np.unique(channels):
        here = channels == channel
        level = _clipped_mean(master_flat[centre][here[centre]])
        if not level > 0.0:
            raise ValueError(f"the flat has no light in colour {int(channel)}: its level is {level:.1f} ADU")
        usable = here & np.isfinite(master_flat) & (master_flat >= LOWEST_RESPONSE * level)
        inverse[usable] = np.float32(level) / master_flat[usable]
    return inverse, inverse == 0.0


def _channel_map(height: int, width: int, cfa: Cfa | None) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Channel index of every pixel, int64 (y, x)."""
    if cfa is None:
        return np.zeros((height, width), dtype=np.int64)
    return np.asarray(cfa.table[np.arange(height)[:, None] % 2, np.arange(width)[None, :] % 2])


def _clipped_mean(values: F32) -> float:
    """Mean without what lies more than 3 robust sigma from the median (twice); NaN without values."""
    kept = values[np.isfinite(values)].astype(np.float64)
    for _ in range(2):
        if kept.size == 0:
            return float("nan")
        median = float(np.median(kept))
        reach = 3.0 * 1.4826 * float(np.median(np.abs(kept - median)))
        kept = kept[np.abs(kept - median) <= reach] if reach > 0.0 else kept
    return float(kept.mean()) if kept.size else float("nan")
