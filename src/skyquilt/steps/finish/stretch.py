"""Stretches: curves that make a linear image visible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F32, F64, U8, U16

__all__ = ["Stretch", "asinh_stretch", "auto_stretch", "midtones"]

_BLOCK_PIXELS = 1 << 16
_SAMPLES = 250_000
_SHADOWS_SIGMA = -2.8
_TARGET_BACKGROUND = 0.25


def midtones(x: F32 | F64 | float, m: float) -> F64:
    """
    Return the midtones transfer function: 0 -> 0, m -> 0.5, 1 -> 1.

    Notes
    -----
    Definition:: MTF(m, x) = (m - 1) x / ((2 m - 1) x - m)
    Source: PixInsight reference documentation, HistogramTransformation.
    """
    value = np.asarray(x, dtype=np.float64)
    result: F64 = (m - 1.0) * value / ((2.0 * m - 1.0) * value - m)
    return result


@dataclass(frozen=True, slots=True)
class Stretch:
    """
    A screen transfer function, one entry a channel, in the units of the image it was made for.

    Attributes
    ----------
    shadows, highlights : tuple of float
        Become black and white.
    midtones : tuple of float, 0..1
        The balance, of the range between shadows and highlights.
    """

    shadows: tuple[float, ...]
    midtones: tuple[float, ...]
    highlights: tuple[float, ...]

    def apply(self, pixels: F32, dtype: type = np.uint8) -> U8 | U16:
        """
        Return the stretched picture.

        Parameters
        ----------
        pixels : float32 (channel, y, x)
            NaN becomes black.
        dtype : numpy.uint8 or numpy.uint16

        Returns
        -------
        uint8 or uint16 (y, x, channel)
        """
        one, top = np.float32(1.0), np.float32(np.iinfo(dtype).max)
        channels, height, width = pixels.shape
        picture: NDArray[Any] = np.empty((height, width, channels), dtype=dtype)
        step = max(1, _BLOCK_PIXELS // max(1, width))
        for c, (low, balance, high) in enumerate(zip(self.shadows, self.midtones, self.highlights, strict=True)):
            for y0 in range(0, height, step):
                t = pixels[c, y0 : y0 + step] - np.float32(low)
                t *= np.float32(1.0 / (high - low))
                np.fmax(t, np.float32(0.0), out=t)  # not `maximum`: NaN becomes 0
                np.fmin(t, one, out=t)
                below = one - t
                below *= np.float32(balance)
                t *= np.float32(1.0 - balance)
                below += t  # t (1 - m) / (t (1 - m) + m (1 - t)), which is `midtones`
                t /= below
                t *= top
                picture[y0 : y0 + step, :, c] = np.rint(t, out=t)
        return picture


def auto_stretch(
    pixels: F32, *, linked: bool = False, target: float = _TARGET_BACKGROUND, shadows_sigma: float = _SHADOWS_SIGMA
) -> Stretch:
    """
    Return the stretch that puts the sky at `target` of the range.

    Parameters
    ----------
    pixels : float32 (channel, y, x)
        NaN where nothing was exposed; every second, third ... pixel is looked at so that about 250,000 decide.
    linked : bool
        One curve for all channels (keeps colours) instead of one each (neutral sky).
    target : float, 0..1
        What the sky becomes.
    shadows_sigma : float
        What becomes black, in sigma from the sky; below 0.

    Notes
    -----
    Definition:: MADN = 1.4826 MAD; shadows = median + shadows_sigma MADN; midtones = MTF(target, median - shadows);
    highlights = the largest value. Source: the STF auto stretch of PixInsight, used likewise by Siril.
    """
    step = max(1, int(np.sqrt(pixels.shape[1] * pixels.shape[2] / _SAMPLES)))
    shadows, balances, highlights = [], [], []
    for channel in pixels:
        values = channel[::step, ::step]
        values = values[np.isfinite(values)]
        if values.size == 0:
            values = np.zeros(1, dtype=np.float32)
        median = float(np.median(values))
        spread = 1.4826 * float(np.median(np.abs(values - median)))
        low, high = median + shadows_sigma * spread, float(values.max())
        if not high > low:
            low, high = median - 1.0, median + 1.0
        shadows.append(low)
        highlights.append(high)
        balances.append(float(midtones(np.clip((median - low) / (high - low), 1e-6, 1.0), target)))
    if linked:
        n = len(shadows)
        low, high = float(np.mean(shadows)), max(highlights)
        medians = [float(np.nanmedian(channel[::step, ::step])) for channel in pixels]
        balance = float(midtones(np.clip((float(np.mean(medians)) - low) / (high - low), 1e-6, 1.0), target))
        return Stretch((low,) * n, (balance,) * n, (high,) * n)
    return Stretch(tuple(shadows), tuple(balances), tuple(highlights))


def asinh_stretch(pixels: F32, a: float, black: float, white: float) -> F32:
    """
    Return asinh(a t) / asinh(a) of t = (pixels - black) / (white - black), clipped to 0..1.

    Parameters
    ----------
    pixels : float32, any shape
    a : float > 0
        Strength: the slope at the black end is a / asinh(a).
    black, white : float
        Become 0 and 1.

    Notes
    -----
    Source: Lupton et al. 2004, PASP 116, 133.
    """
    t = np.clip((pixels - np.float32(black)) / np.float32(white - black), 0.0, 1.0)
    strength = np.float32(a)  # of one type with t, so that white is 1 exactly
    result: F32 = (np.arcsinh(strength * t) / np.arcsinh(strength)).astype(np.float32)
    return result
