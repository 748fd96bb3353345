"""Local contrast: structure of chosen sizes made stronger."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, Mask
from skyquilt.errors import UsageError
from skyquilt.kernels.starlet import reach_of
from skyquilt.steps.finish.detail.level import SkyLevel, measure_level
from skyquilt.steps.finish.detail.scales import Smoother, structure_share
from skyquilt.steps.finish.detail.separation import SeparationPlan

__all__ = ["ContrastPlan", "ContrastSettings", "plan_contrast"]

_MOST_SCALES = 6
_MOST_CHANGE = 0.5  # of the light above the sky
_LEAST_BOUND = 0.1  # sigma of a pixel


@dataclass(frozen=True, slots=True)
class ContrastSettings:
    """
    Which structure is made how much stronger.

    Attributes
    ----------
    strength : float, -1 to 3
        0.5 makes significant structure half as strong again; below 0 softens.
    smallest, largest : int, 1 to 6
        Bands: sizes of about 2^(k - 1) px; 3 to 6 are 4 to 32 px.
    threshold : float, 0 to 10
        Sigma of local significance from which structure counts: noise is not made stronger.
    """

    strength: float = 0.5
    smallest: int = 3
    largest: int = 6
    threshold: float = 4.0

    def __post_init__(self) -> None:
        if not -1.0 <= self.strength <= 3.0:
            raise UsageError(f"a strength of {self.strength:g} is out of range", "give -1 to 3")
        if not 1 <= self.smallest <= self.largest <= _MOST_SCALES:
            raise UsageError(
                f"bands {self.smallest} to {self.largest} cannot be made stronger", f"give two of 1 to {_MOST_SCALES}"
            )
        if not 0.0 <= self.threshold <= 10.0:
            raise UsageError(f"a threshold of {self.threshold:g} sigma is out of range", "give 0 to 10")


@dataclass(frozen=True, slots=True, eq=False)
class ContrastPlan:
    """
    The local contrast of one image.

    Attributes
    ----------
    settings : ContrastSettings
    separation : SeparationPlan
        Stars are taken out before and put back after: no dark rings around them, and none of them grows.
    level : SkyLevel
        Of the channels.

    Notes
    -----
    Definition. Of the starless image's mean of channels, g_j rises from 0 to 1 as `denoise` has it with the local mean
    of squared significance of band j. Each channel gets d = strength sum_j g_j w_j (its own bands), bounded smoothly to
    a tanh(d / a), a = half of the light above the sky that the smoothing of the smallest band shows there, 0.1 sigma of
    a pixel at least: no dark rings around what is bright.
    """

    settings: ContrastSettings
    separation: SeparationPlan
    level: SkyLevel

    @property
    def halo(self) -> int:
        """How many px around a tile its result depends on."""
        n = self.settings.largest
        return self.separation.halo + reach_of(n) + int(2**n)

    def apply(self, tile: F32, x0: int = 0, y0: int = 0) -> F32:
        """
        Return a tile with stronger local contrast.

        Parameters
        ----------
        tile : float32 (c, y, x)
            With `halo` px around what is wanted, except where the image ends. Pixels with NaN in any channel stay as
            they are.
        x0, y0 : int, px
            Where it begins in the image.

        Raises
        ------
        UsageError
            If the tile has other channels than the image of the plan.

        Notes
        -----
        Within the halo's distance from its cut edges the result has the bits of the whole image's.
        """
        starless, _ = self.separation.apply(tile, x0, y0)
        known: Mask = np.asarray(np.isfinite(tile).all(axis=0))
        smoother = Smoother(known)
        gains = self._gains(starless, smoother, x0, y0)
        noise = self.separation.stars.noise
        out = tile.copy()
        shape = (tile.shape[1], tile.shape[2])
        for channel, plane in enumerate(starless):
            filled = smoother.fill(plane)
            change = np.zeros(shape, np.float32)
            local = filled
            for j, (band, coarser) in enumerate(smoother.bands(filled, self.settings.largest)):
                if j + 1 >= self.settings.smallest:
                    change += band * gains[j + 1 - self.settings.smallest]
                if j + 1 <= self.settings.smallest:
                    local = coarser
            change *= np.float32(self.settings.strength)
            sigma = noise.scale_at(channel, x0, y0, shape) * np.float32(noise.pixel_ratio[channel])
            light = local - self.level.over(channel, x0, y0, shape)
            bound = np.maximum(np.float32(_MOST_CHANGE) * light, np.float32(_LEAST_BOUND) * sigma)
            bound = np.maximum(bound, np.float32(1e-30))
            change = bound * np.tanh(change / bound)
            np.add(out[channel], change, out=out[channel], where=known)
        return out

    def _gains(self, starless: F32, smoother: Smoother, x0: int, y0: int) -> list[F32]:
        """Return how much of each chosen band is structure, float32 (y, x), 0..1."""
        mean = smoother.fill(starless.mean(axis=0, dtype=np.float32))
        noise = self.separation.stars.noise
        unit = noise.scale_at(len(noise.grid) - 1, x0, y0, (mean.shape[0], mean.shape[1]))
        gains = []
        for j, (band, _) in enumerate(smoother.bands(mean, self.settings.largest)):
            if j + 1 < self.settings.smallest:
                continue
            square = np.square(band / np.maximum(unit * np.float32(noise.ratio[-1, j]), np.float32(1e-30)))
            gains.append(structure_share(smoother.smooth(square, 2**j), self.settings.threshold))
        return gains


def plan_contrast(image: F32, separation: SeparationPlan, settings: ContrastSettings | None = None) -> ContrastPlan:
    """
    Return the local contrast of an image.

    Parameters
    ----------
    image : float32 (c, y, x)
        Linear; the image or a part that tells for it.
    separation : SeparationPlan
        Of the same image, not yet deconvolved (saturated stars keep their profile there, the others do not) nor freed
        of noise. In order: contrast, deconvolution, noise reduction, with stars measured once, at first.
    settings : ContrastSettings or None

    Raises
    ------
    NoUsableInput
        If no pixel has data.
    """
    return ContrastPlan(settings or ContrastSettings(), separation, measure_level(image))
