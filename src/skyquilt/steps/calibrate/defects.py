"""Pixels that cannot be trusted: hot and cold ones, from a master dark or from the lights themselves."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from skyquilt.core import F32, F64, I64, Cfa, Mask
from skyquilt.kernels.defects import count_spikes, neighbour_median

__all__ = ["find_defects", "find_defects_in_lights"]

MOST_DEFECTS = 0.02
"""Share of a sensor that may be called defective; a sensor with more warm pixels than that needs its dark."""

SCALE_SAMPLES = 200_000
"""About so many differences tell their scale to 0.3 %; they lie an odd number of pixels apart, so all colours count."""

FEWEST_LIGHTS = 3
PERSISTENT = 0.6
"""A defect stands out in at least this share of the frames, ..."""
SPIKE_SIGMAS = 3.0
"""... each time this far above its four same-colour neighbours, ..."""
STAR_SHARE = 0.05
"""
... and in the mean frame both the 8 nearest pixels and the 8 nearest of its colour (the highest of each eight left out,
it may be a defect too) stay below this share of its height on average. Around a star of FWHM 1.6 px, sharper than any
of these telescopes, the first average is 0.21; where a strong colour hides it on a CFA, the second is 0.08 at 2.5 px.
"""
BACKGROUND_PX = 6
"""Distance of the eight pixels whose median is the sky around a pixel; even, so that they have its colour."""


def find_defects(dark: F32, cfa: Cfa | None, sigma: float = 8.0) -> Mask:
    """
    Return the hot and cold pixels of a master dark, bool (y, x).

    A defect differs from the median of its 8 same-colour neighbours by more than `sigma` robust standard deviations of
    such differences. At most 2 % of the pixels (the farthest off) are taken: what remains is warm, and the
    subtraction of the dark deals with it. Pixels that are not finite are always defects.

    Parameters
    ----------
    dark : float32 (y, x), ADU
    cfa : Cfa or None
        None for a mono frame: the neighbours are then the 8 nearest pixels, else those at distance 2.
    sigma : float
    """
    broken = ~np.isfinite(dark)
    is_broken = bool(broken.any())
    filled = dark
    if is_broken:
        level = np.float32(np.median(dark[~broken])) if not broken.all() else np.float32(0.0)
        filled = np.where(broken, level, dark)
    away = neighbour_median(np.ascontiguousarray(filled), 1 if cfa is None else 2)
    np.subtract(filled, away, out=away)
    np.abs(away, out=away)
    stride = max(1, int(np.sqrt(dark.size / SCALE_SAMPLES))) | 1
    scale = 1.4826 * float(np.median(away[::stride, ::stride]))
    limit = max(sigma * scale, 1e-6)
    # Stored values are integers: where most differences are 0, one count is the finest scale that exists.
    limit = max(limit, sigma * 0.29) if scale == 0.0 else limit
    found = away > limit
    most = int(MOST_DEFECTS * dark.size)
    if int(np.count_nonzero(found)) > most:
        limit = float(np.partition(away.ravel(), -most - 1)[-most - 1]) if most else float(away.max())
        found = away > limit
    return np.asarray(found | broken) if is_broken else found


def find_defects_in_lights(frames: Iterable[F32], cfa: Cfa | None) -> Mask:
    """
    Return the persistent hot and cold pixels of up to 255 lights (16 are plenty), bool (y, x).

    Used where no dark exists. A pixel is a defect if it stands out from its same-colour neighbours in most frames and
    is sharper in their mean than any star can be; the cores of undithered stars are thus never taken, and nothing is
    taken from fewer than three frames.

    Parameters
    ----------
    frames : iterable of float32 (y, x), ADU, raw
        Spread over the session; read one after the other, only counts are kept.
    cfa : Cfa or None

    Raises
    ------
    ValueError
        If there is no frame, or if two differ in shape.
    """
    step = 1 if cfa is None else 2
    n = 0
    noises: list[float] = []
    for frame in frames:
        pixels = np.ascontiguousarray(frame, dtype=np.float32)
        if n == 0:
            hot = np.zeros(pixels.shape, dtype=np.uint8)
            cold = np.zeros(pixels.shape, dtype=np.uint8)
            total = np.zeros(pixels.shape, dtype=np.float32)
        elif pixels.shape != hot.shape:
            raise ValueError(f"frame {n} is {pixels.shape}, the first one {hot.shape}")
        levels, noise = _sky(pixels, cfa)
        count_spikes(pixels, levels, step, SPIKE_SIGMAS * noise, hot, cold, total)
        noises.append(noise)
        n += 1
    if n == 0:
        raise ValueError("no frame to look for defects in")
    if n < FEWEST_LIGHTS:
        return np.zeros(hot.shape, dtype=np.bool_)
    needed = int(np.ceil(PERSISTENT * min(n, 255)))
    mean = total / np.float32(n)
    is_hot = hot >= needed
    y, x = np.nonzero(is_hot)
    is_hot[y, x] = _is_sharp(mean, y, x, step)
    return np.asarray(is_hot | (cold >= needed))


def _sky(pixels: F32, cfa: Cfa | None) -> tuple[F32, float]:
    """Level of each of the four sites and the noise of a pixel, from a sparse grid of a frame."""
    levels = np.zeros((2, 2), dtype=np.float32)
    noises = []
    stride = max(2, 2 * (int(np.sqrt(pixels.size / 10_000)) // 2))
    for y in (0, 1):
        for x in (0, 1):
            site = pixels[y::stride, x::stride]
            levels[y, x] = np.median(site)
            noises.append(1.4826 * float(np.median(np.abs(site - levels[y, x]))))
    if cfa is None:
        levels[:] = np.float32(levels.astype(np.float64).mean())
    return levels, max(float(np.median(noises)), 0.5)


def _is_sharp(mean: F32, y: I64, x: I64, step: int) -> Mask:
    """Return which of the pixels (x, y) tower over their 8 nearest and their 8 same-colour neighbours, bool (n,)."""
    sky = np.nanmedian(_around(mean, y, x, BACKGROUND_PX), axis=0)
    height = mean[y, x] - sky
    sharp = height > 0.0
    for reach in sorted({1, step}):
        ring = np.sort(_around(mean, y, x, reach) - sky, axis=0)[:-1]  # without the highest
        sharp &= ring.mean(axis=0) < STAR_SHARE * height
    return np.asarray(sharp)


def _around(mean: F32, y: I64, x: I64, reach: int) -> F64:
    """Return the 8 pixels at distance `reach` of each pixel, float64 (8, n); NaN outside of the frame."""
    rings = np.full((8, len(y)), np.nan)
    for k, (dy, dx) in enumerate((a, b) for a in (-reach, 0, reach) for b in (-reach, 0, reach) if (a, b) != (0, 0)):
        v, u = y + dy, x + dx
        inside = (v >= 0) & (v < mean.shape[0]) & (u >= 0) & (u < mean.shape[1])
        rings[k, inside] = mean[v[inside], u[inside]]
    return rings
