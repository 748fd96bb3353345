"""The background of an image: level and scatter of the pixels that show nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, Mask
from skyquilt.errors import NoUsableInput

__all__ = ["Background", "measure_background", "sample_pixels"]

_SAMPLES = 120_000
_BLOCK = 6  # pixels of the sample
_BLOCKS_ACROSS = 8
_DARK_SHARE = 0.15
_REACH_SIGMA = 2.0
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """
    Background of each channel, in the unit of the image.

    Attributes
    ----------
    level, sigma : float64 (c,)
        Median and scatter of the background pixels.
    share : float, 0..1
        Of the image, that is background.
    """

    level: F64
    sigma: F64
    share: float


def sample_pixels(image: F32, n: int = _SAMPLES) -> F32:
    """Return every k-th row and column, about `n` pixels, float32 (c, y, x): what plans are made from."""
    step = max(1, int(np.sqrt(image.shape[1] * image.shape[2] / n)))
    return image[:, ::step, ::step]


def measure_background(sample: F32) -> Background:
    """
    Return the background of a sample of pixels.

    Parameters
    ----------
    sample : float32 (c, y, x)
        `sample_pixels` of the image, or the image. Pixels with NaN in any channel do not count.

    Raises
    ------
    NoUsableInput
        If no pixel has data.

    Notes
    -----
    Definition: blocks of 6x6 pixels of the sample are ranked by S = sum_c (mean_c - median of all) / sigma_c, sigma
    from the differences of neighbours. Those up to 2 sigma of S above its 15 % quantile are background: of a plain sky
    that is nearly all of them, of a field full of nebulae the darkest places. The level is the median of their pixels,
    sigma 1.4826 times the median depth of those below it.
    """
    channels, height, width = sample.shape
    side = min(_BLOCK, max(1, min(height, width) // _BLOCKS_ACROSS))
    rows, columns = height // side, width // side
    cut = sample[:, : rows * side, : columns * side].astype(np.float64)
    blocks = (
        cut.reshape(channels, rows, side, columns, side).transpose(0, 1, 3, 2, 4).reshape(channels, -1, side * side)
    )
    known: Mask = np.asarray(np.isfinite(blocks).all(axis=0))
    usable: Mask = np.asarray(2 * known.sum(axis=1) >= side * side)
    if not usable.any():
        raise NoUsableInput("the image has no place with data in every channel", "crop it to what is covered")
    blocks, known = blocks[:, usable], np.asarray(known[usable])
    mean = np.where(known, blocks, 0.0).sum(axis=2) / known.sum(axis=1)
    noise = np.array([_neighbour_sigma(channel) for channel in sample])
    noise = np.maximum(noise, 1e-9 * np.abs(mean).max() + 1e-30)
    brightness = ((mean - np.median(mean, axis=1, keepdims=True)) / noise[:, None]).sum(axis=0)
    limit = np.quantile(brightness, _DARK_SHARE) + _REACH_SIGMA * np.sqrt(channels) / side
    dark: Mask = np.asarray(brightness <= limit)
    pixels = blocks[:, dark][:, known[dark]]
    level = np.median(pixels, axis=1)
    sigma = np.array([_lower_sigma(channel, middle) for channel, middle in zip(pixels, level, strict=True)])
    return Background(level, sigma, float(dark.mean()))


def _neighbour_sigma(values: F32) -> float:
    """Return the scatter of the pixels from the differences of neighbours along x."""
    d = np.diff(values, axis=1)
    d = np.abs(d[np.isfinite(d)])
    return _MAD_TO_SIGMA * float(np.median(d)) / np.sqrt(2.0) if len(d) else 0.0


def _lower_sigma(values: F64, level: float) -> float:
    """Return the scatter about a level from the values below it, which stars and nebulae do not reach."""
    return _MAD_TO_SIGMA * float(np.median(level - values[values <= level]))
