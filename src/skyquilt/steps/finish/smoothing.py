"""Smoothing of the background by the classical filters; objects keep their pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32
from skyquilt.errors import UsageError
from skyquilt.steps.finish.colour import Background, measure_background, sample_pixels

__all__ = ["SMOOTH_METHODS", "SmoothPlan", "SmoothSettings", "plan_smooth", "smooth_background"]

SMOOTH_METHODS = ("median", "gaussian", "bilateral")
_LARGEST_PX = 25
_SEEN_SIGMA_PX = 2.0  # objects are looked for in the image smoothed by it
_TRUNCATE = 4.0
_RANGE_SIGMA = 3.0


@dataclass(frozen=True, slots=True)
class SmoothSettings:
    """
    Which filter smooths what shows nothing but sky.

    Attributes
    ----------
    method : "median", "gaussian" or "bilateral"
        Median of a square; mean weighed by distance; the same, weighed by likeness too.
    size_px : int, 3 to 25
        Side of the square; a third of it is the sigma of the distances.
    protect_sigma : float, 0 to 20
        What is brighter than the sky by this many sigma, over about 7 px, is an object and stays. 0: all is smoothed.
    """

    method: str = "median"
    size_px: int = 3
    protect_sigma: float = 3.0

    def __post_init__(self) -> None:
        if self.method not in SMOOTH_METHODS:
            raise UsageError(f"{self.method!r} is no filter", f"one of {', '.join(SMOOTH_METHODS)}")
        if not 3 <= self.size_px <= _LARGEST_PX:
            raise UsageError(f"a filter of {self.size_px} px is out of range", f"give 3 to {_LARGEST_PX}")
        if not 0.0 <= self.protect_sigma <= 20.0:
            raise UsageError(f"objects cannot be told at {self.protect_sigma:g} sigma", "give 0 to 20")


@dataclass(frozen=True, slots=True, eq=False)
class SmoothPlan:
    """
    The smoothing of one image.

    Attributes
    ----------
    settings : SmoothSettings
    background : Background
        Level and noise of each channel.

    Notes
    -----
    With s the filtered image and m the mean of the channels, each less its level and over its noise, smoothed by a
    Gaussian of 2 px: out = s + q (v - s), q a smooth step from 0 at m = k n to 1 at m = 2 k n, n the noise of m in
    white noise, k `protect_sigma`. Bilateral weights fall with the distance and with the difference over three times
    the noise (Tomasi & Manduchi 1998, ICCV, 839).
    """

    settings: SmoothSettings
    background: Background

    @property
    def halo(self) -> int:
        """How many px around a tile its result depends on."""
        seen = int(_TRUNCATE * _SEEN_SIGMA_PX + 0.5) if self.settings.protect_sigma else 0
        return max(self._reach, seen)

    @property
    def _sigma_px(self) -> float:
        return self.settings.size_px / 3.0

    @property
    def _reach(self) -> int:
        if self.settings.method == "gaussian":
            return int(_TRUNCATE * self._sigma_px + 0.5)
        return self.settings.size_px // 2 + 1

    def apply(self, tile: F32, x0: int = 0, y0: int = 0) -> F32:
        """
        Return the tile with a smooth background, float32 (c, y, x); pixels without data stay so, and count as sky.

        Parameters
        ----------
        tile : float32 (c, y, x)
            With `halo` px around what is wanted, except where the image ends.
        x0, y0 : int, px
            Not used: it is the same everywhere.
        """
        known = np.isfinite(tile)
        filled = np.where(known, tile, self.background.level.astype(np.float32)[:, None, None])
        smooth = np.stack([self._filtered(plane, k) for k, plane in enumerate(filled)])
        if self.settings.protect_sigma:
            smooth += self._objects(filled) * (filled - smooth)
        return np.where(known, smooth, np.float32(np.nan)).astype(np.float32)

    def _filtered(self, plane: F32, channel: int) -> F32:
        from scipy import ndimage

        if self.settings.method == "median":
            return np.asarray(ndimage.median_filter(plane, size=self.settings.size_px | 1, mode="nearest"), np.float32)
        if self.settings.method == "gaussian":
            found = ndimage.gaussian_filter(plane, self._sigma_px, mode="nearest", truncate=_TRUNCATE)
            return np.asarray(found, np.float32)
        return self._bilateral(plane, max(float(self.background.sigma[channel]), 1e-30))

    def _bilateral(self, plane: F32, noise: float) -> F32:
        half = self.settings.size_px // 2
        padded = np.pad(plane, half, mode="edge")
        total, weights = np.zeros_like(plane), np.zeros_like(plane)
        height, width = plane.shape
        for j in range(-half, half + 1):
            for i in range(-half, half + 1):
                other = padded[half + j : half + j + height, half + i : half + i + width]
                near = np.float32(np.exp(-0.5 * (i * i + j * j) / self._sigma_px**2))
                difference = (other - plane) * np.float32(1.0 / (_RANGE_SIGMA * noise))
                weight = near * np.exp(np.float32(-0.5) * difference * difference)
                total += weight * other
                weights += weight
        result: F32 = total / weights
        return result

    def _objects(self, filled: F32) -> F32:
        """Return q, float32 (y, x)."""
        from scipy import ndimage

        level = self.background.level.astype(np.float32)[:, None, None]
        sigma = np.maximum(self.background.sigma, 1e-30).astype(np.float32)[:, None, None]
        mean = ((filled - level) / sigma).mean(axis=0, dtype=np.float32)
        seen = ndimage.gaussian_filter(mean, _SEEN_SIGMA_PX, mode="nearest", truncate=_TRUNCATE)
        noise = 1.0 / (np.sqrt(4.0 * np.pi) * _SEEN_SIGMA_PX * np.sqrt(len(filled)))
        limit = np.float32(self.settings.protect_sigma * noise)
        q = np.clip((seen - limit) / limit, np.float32(0.0), np.float32(1.0))
        return np.asarray(q * q * (np.float32(3.0) - np.float32(2.0) * q), dtype=np.float32)


def plan_smooth(sample: F32, settings: SmoothSettings) -> SmoothPlan:
    """
    Return the smoothing of an image.

    Parameters
    ----------
    sample : float32 (c, y, x)
        `sample_pixels` of the image, or the image.

    Raises
    ------
    NoUsableInput
        If no pixel has data.
    """
    return SmoothPlan(settings, measure_background(sample))


def smooth_background(image: F32, settings: SmoothSettings) -> F32:
    """Return the image with a smooth background: `plan_smooth` of a sample of it, applied."""
    return plan_smooth(sample_pixels(image), settings).apply(image)
