"""The stars of a finished image: where they stand, how bright they are, and their light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from skyquilt.core import F32, F64, I64, Box, Mask
from skyquilt.kernels.point_light import PER_SIGMA, add_points
from skyquilt.steps.finish.detail.noise import NoiseModel
from skyquilt.steps.finish.detail.point_spread import PointSpread

__all__ = ["ImageStars", "Points", "reach_of_light"]

_DRAWN_TO = 0.05  # sigma of a pixel: a star's light is drawn down to there
_WIDEST_PX = 200.0


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """
    Stars of an image, brightest first; one entry a star in every array.

    Attributes
    ----------
    x, y : float64 (n,), px of the image
    height : float64 (n, c), unit of the image
        Of the PSF that fits it, in each channel; of a saturated star as its wings tell.
    snr : float64 (n,)
        Height in the mean of the channels over the noise of a pixel.
    plateau_px : float64 (n,), px
        Radius of what is saturated; 0 where nothing is.
    """

    x: F64
    y: F64
    height: F64
    snr: F64
    plateau_px: F64

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: I64 | Mask | slice) -> Points:
        """Return the chosen stars, in the order of `index`."""
        return Points(*(getattr(self, f.name)[index] for f in fields(self)))

    def within(self, box: Box) -> Points:
        """Return the stars whose centres lie in a box of the image."""
        inside = (self.x >= box.x0 - 0.5) & (self.x < box.x1 - 0.5) & (self.y >= box.y0 - 0.5) & (self.y < box.y1 - 0.5)
        return self.take(inside)

    @classmethod
    def none(cls, channels: int) -> Points:
        """Return a list of no stars."""
        empty = np.zeros(0)
        return cls(empty, empty, np.zeros((0, channels)), empty, empty)

    @classmethod
    def joined(cls, parts: Sequence[Points]) -> Points:
        """Return the stars of all parts, brightest first."""
        both = cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))
        return both.take(np.argsort(-both.snr, kind="stable"))


@dataclass(frozen=True, slots=True, eq=False)
class ImageStars:
    """
    All that detail work needs to know about an image's stars and noise.

    Attributes
    ----------
    points : Points
    psf : PointSpread
    noise : NoiseModel
        Of the channels, then of their mean.
    """

    points: Points
    psf: PointSpread
    noise: NoiseModel

    def reach_px(self, channel: int) -> F64:
        """How far from its centre each star's light is drawn, float64 (n,), px."""
        return reach_of_light(self.points, self.psf, self.noise, channel)

    def light(self, channel: int, x0: int, y0: int, shape: tuple[int, int]) -> F32:
        """Return the light of the stars over a tile, float32 (y, x): from absolute coordinates, in one order."""
        out = np.zeros(shape, np.float32)
        points = self.points
        if len(points):
            height = np.ascontiguousarray(points.height[:, channel])
            inverse = self.psf.inverse_moments(channel, points.x, points.y)
            profile = self.psf.profile[channel]
            add_points(out, x0, y0, points.x, points.y, height, inverse, profile, self.reach_px(channel))
        return out


def reach_of_light(points: Points, psf: PointSpread, noise: NoiseModel, channel: int) -> F64:
    """Return how far from its centre each point's light is drawn, float64 (n,), px: down to 0.05 sigma of a pixel."""
    sigma = noise.pixel_sigma()[channel]
    largest = np.sqrt(psf.moments(channel, points.x, points.y)[:, [0, 2]].max(axis=1))
    profile = psf.profile[channel]
    limit = _DRAWN_TO * sigma / np.maximum(points.height[:, channel], 1e-30)
    steps = np.searchsorted(-profile, -limit)  # the profile falls
    return np.asarray(np.minimum(np.maximum(steps / PER_SIGMA, 4.0) * largest, _WIDEST_PX), dtype=np.float64)
