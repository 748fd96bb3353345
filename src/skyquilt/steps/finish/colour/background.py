"""The background of an image: level and scatter of the pixels that show nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, Mask
from skyquilt.errors import NoUsableInput

__all__ = ["Background", "measure_background", "sample_pixels"]

_SAMPLES = 120_000
_ROUNDS = 12
_CLIP = 2.0
_HALF_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """
    Background of each channel, in the unit of the image.

    Attributes
    ----------
    level, sigma : float64 (c,)
        Median and scatter of the background pixels.
    share : float, 0..1
        Of the pixels, that are background.
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
    Definition: from the median of every channel on, the pixels that lie within 2 sigma of the level in all channels are
    taken, and the level is their median; sigma is 1.4826 times the median depth of the pixels below the level. After a
    few rounds it rests on the most frequent colour among the darker pixels, which stars and nebulae in half of them do
    not move.
    """
    values = sample.reshape(len(sample), -1).astype(np.float64)
    values = values[:, np.isfinite(values).all(axis=0)]
    if not values.shape[1]:
        raise NoUsableInput("no pixel of the image has data in every channel", "crop it to what is covered")
    level = np.median(values, axis=1)
    kept: Mask = np.ones(values.shape[1], dtype=bool)
    for _ in range(_ROUNDS):
        sigma = np.array([_lower_sigma(channel, middle) for channel, middle in zip(values, level, strict=True)])
        now = np.asarray((np.abs(values - level[:, None]) <= _CLIP * sigma[:, None]).all(axis=0))
        if not now.any() or np.array_equal(now, kept):
            break
        kept = now
        level = np.median(values[:, kept], axis=1)
    return Background(level, sigma, float(kept.mean()))


def _lower_sigma(values: F64, level: float) -> float:
    below = level - values[values <= level]
    return _HALF_TO_SIGMA * float(np.median(below))
