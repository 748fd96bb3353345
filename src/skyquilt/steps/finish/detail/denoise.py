"""Noise reduction that spares what is significant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, Mask
from skyquilt.errors import UsageError
from skyquilt.kernels.starlet import reach_of, shrink_band
from skyquilt.steps.finish.detail.noise import NOISE_SCALES, NoiseCells, NoiseModel, measure_noise, read_noise
from skyquilt.steps.finish.detail.scales import FIRM, SCATTER, Smoother

__all__ = [
    "DenoisePlan",
    "DenoiseSettings",
    "luminance_weights",
    "plan_denoise",
    "read_plane_noise",
    "reduce_noise",
    "shrink_plane",
]

_LEAST_WEIGHT = 0.1
_VARIANCE_SCALES = 2  # the scatter of 20 samples tells their variance to a third: that of some 30 pixels, to 6 %
_POINT_SCALES, _DARKEST, _DARK_AROUND = (
    2,
    1.4,
    1.5,
)  # no sky has dark points: they are what defects and rejection leave in few frames


@dataclass(frozen=True, slots=True)
class DenoiseSettings:
    """
    How much noise is taken, and from what.

    Attributes
    ----------
    strength : float, 0 to 1
        Share of the noise that is taken where nothing is significant. A rest of a few tenths keeps the look of a
        photograph.
    colour_strength : float, 0 to 1
        The same for the colour (each channel's difference from the luminance) of an image of three channels.
    threshold : float, 0 to 10
        Sigma of local significance above which structure counts: less keeps more of faint detail, and of the noise.
    colour_threshold : float, 0 to 10
    n_scales : int, 1 to 6
        Sizes of structure that noise is taken from: about 1, 2, 4, 8, 16 and 32 px.
    """

    strength: float = 0.85
    colour_strength: float = 0.9
    threshold: float = 3.0
    colour_threshold: float = 4.0
    n_scales: int = 5

    def __post_init__(self) -> None:
        for name in ("strength", "colour_strength"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"a {name} of {getattr(self, name):g} is out of range", "give 0 to 1")
        for name in ("threshold", "colour_threshold"):
            if not 0.0 <= getattr(self, name) <= 10.0:
                raise UsageError(f"a {name} of {getattr(self, name):g} sigma is out of range", "give 0 to 10")
        if not 1 <= self.n_scales <= NOISE_SCALES:
            raise UsageError(f"noise cannot be taken from {self.n_scales} sizes", f"give 1 to {NOISE_SCALES}")


@dataclass(frozen=True, slots=True, eq=False)
class DenoisePlan:
    """
    The noise reduction of one image.

    Attributes
    ----------
    settings : DenoiseSettings
    weights : float64 (c,)
        Share of each channel in the luminance; empty where every channel is treated by itself.
    noise : NoiseModel
        Of the planes: luminance, then the differences of the first and last channel from it; or of the channels.

    Notes
    -----
    Definition. Each plane is the sum of its bands (`kernels.starlet`). Of band j, with sigma_j from the noise model,
    E = smooth_j(z²), z = w / sigma_j, says how significant its surroundings are; pure noise has 1 +- 0.45. With
    t = 1 + 0.45 threshold, s rises smoothly from 0 at E = t to 1 at E = 2.5 t, k_j = max(s, k_(j-1)) is what is kept,
    and d = w strength (1 - k_j) is noise. The band becomes w - d + smooth_j(d): of d only what is noise on its own
    scale goes; its local mean stays, so that fluxes hold (the faint wings of stars would lose more dark than bright).

    To judge a neighbourhood, not single coefficients, leaves no worms and no lone specks (Cai & Silverman 2001, Sankhya
    B 63, 127). That finer bands pass on what they keep leaves a star its whole profile, and what stands well above the
    noise is not changed at all. In the two finest bands of brightness z is at least 1.5 times the mean of the eight z
    around it (2^j px away), or 0 where that is more, minus 1.4, as the sky has no dark dots; in those of colour z² is
    multiplied by what the brightness keeps, as there are no specks of mere colour. In colour images the luminance is
    the mean of the channels with weights 1 / variance, 0.1 at least.
    """

    settings: DenoiseSettings
    weights: F64
    noise: NoiseModel

    @property
    def halo(self) -> int:
        """How many px around a tile its result depends on."""
        n = self.settings.n_scales
        return reach_of(n) + 2 * int(2**n) + (reach_of(_VARIANCE_SCALES) if self.noise.is_relative else 0)

    def apply(self, tile: F32, x0: int = 0, y0: int = 0, variance: F32 | None = None) -> F32:
        """
        Return a tile with less noise.

        Parameters
        ----------
        tile : float32 (c, y, x)
            With `halo` px around what is wanted, except where the image ends. Pixels with NaN in any channel stay as
            they are and take no part.
        x0, y0 : int, px
            Where it begins in the image.
        variance : float32 (c, y, x) or None
            Of the pixels of the tile, where the noise was measured with it.

        Raises
        ------
        UsageError
            If the tile has other channels than the image of the plan, or the variance is missing.

        Notes
        -----
        Within the halo's distance from its cut edges the result has the bits of the whole image's.
        """
        n_channels = len(self.weights) or len(self.noise.grid)
        if tile.shape[0] != n_channels:
            raise UsageError(
                f"the noise of {n_channels} channels was measured, the image has {tile.shape[0]}",
                "plan with the same image",
            )
        known: Mask = np.asarray(np.isfinite(tile).all(axis=0))
        smoother = Smoother(known)
        planes, variances = _colour_planes(tile, self.weights, variance)
        done: list[F32] = []
        fine: list[F32] = []  # what the finest bands of the luminance keep
        for index, plane in enumerate(planes):
            scale = self.noise.scale_at(index, x0, y0, plane.shape, None if variances is None else variances[index])
            done.append(self._reduce(index, plane, smoother, scale, fine))
        out = _channels(done, self.weights)
        if not known.all():
            np.copyto(out, tile, where=~known)
        return out

    def _reduce(self, index: int, plane: F32, smoother: Smoother, scale: F32, fine: list[F32]) -> F32:
        """Return one plane with less noise; the luminance, which comes first, fills `fine`."""
        settings, ratio = self.settings, self.noise.ratio[index, : self.settings.n_scales]
        if len(self.weights) and index > 0:
            low = 1.0 + SCATTER * settings.colour_threshold
            return shrink_plane(plane, smoother, scale, ratio, settings.colour_strength, low, of=fine)
        low = 1.0 + SCATTER * settings.threshold
        return shrink_plane(plane, smoother, scale, ratio, settings.strength, low, keeps=fine)


def shrink_plane(
    plane: F32, smoother: Smoother, scale: F32, ratio: F64, strength: float, low: float,
    *, keeps: list[F32] | None = None, of: list[F32] | None = None,
) -> F32:  # fmt: skip
    """
    Return one plane with less noise, as `DenoisePlan` defines it.

    Parameters
    ----------
    plane : float32 (y, x)
    smoother : Smoother
        Which pixels are known.
    scale : float32 (y, x)
        Noise of the finest band (`NoiseModel.scale_at`).
    ratio : float64 (n_scales,)
        Of the noise of each band to that.
    strength : float, 0..1
    low : float
        Local mean of squared significance from which on structure counts.
    keeps : list or None
        Filled with what the finest bands keep.
    of : list or None
        The plane is one of colour: what the finest bands of the luminance keep.
    """
    inverse = np.float32(1.0) / np.maximum(scale, np.float32(1e-30))
    total = np.zeros(plane.shape, np.float32)
    keep = np.zeros(plane.shape, np.float32)
    filled = smoother.fill(plane)
    coarsest = filled
    for j, (band, coarser) in enumerate(smoother.bands(filled, len(ratio))):
        square: F32 = np.asarray(band * inverse * np.float32(1.0 / ratio[j]), dtype=np.float32)
        if j < _POINT_SCALES and of is None:
            square = _without_dark_dots(square, 2**j)
        square *= square
        if j < _POINT_SCALES and of is not None:
            square *= of[j]
        left = np.zeros(plane.shape, np.float32)
        shrink_band(band, smoother.smooth(square, 2**j), low, FIRM * low, strength, keep, left)
        if j < _POINT_SCALES and keeps is not None:
            keeps.append(keep.copy())
        band -= left
        left += smoother.smooth(band, 2**j)
        total += left
        coarsest = coarser
    total += coarsest
    return total


def _without_dark_dots(z: F32, step: int) -> F32:
    """Return significances that are not much darker than those around them, `step` px away."""
    height, width = z.shape
    padded = np.pad(z, step, mode="edge")
    around = np.zeros_like(z)
    for dy in (0, step, 2 * step):
        for dx in (0, step, 2 * step):
            if (dy, dx) != (step, step):
                around += padded[dy : dy + height, dx : dx + width]
    np.minimum(around, np.float32(0.0), out=around)
    around *= np.float32(_DARK_AROUND / 8.0)
    around -= np.float32(_DARKEST)
    return np.asarray(np.maximum(z, around), dtype=np.float32)


def _colour_planes(tile: F32, weights: F64, variance: F32 | None) -> tuple[list[F32], list[F32] | None]:
    """
    Return luminance and differences of colour of a tile, and the variances of these, smoothed; None where not given.

    Parameters
    ----------
    tile : float32 (c, y, x)
    weights : float64 (c,) or empty
        Empty: the channels themselves.
    variance : float32 (c, y, x) or None
    """
    if variance is not None:
        variance = np.stack([_evened(plane) for plane in variance])
    if not len(weights):
        return list(tile), None if variance is None else list(variance)
    w = weights.astype(np.float32)
    mean = tile[0] * w[0] + tile[1] * w[1] + tile[2] * w[2]
    planes = [mean, tile[0] - mean, tile[2] - mean]
    if variance is None:
        return planes, None
    variances: list[F32] = []
    for shares in (w, np.array([1, 0, 0], np.float32) - w, np.array([0, 0, 1], np.float32) - w):
        square = shares * shares
        variances.append(variance[0] * square[0] + variance[1] * square[1] + variance[2] * square[2])
    return planes, variances


def _evened(variance: F32) -> F32:
    """Return a map of the variance without the scatter of its own, float32 (y, x); NaN where it tells nothing."""
    known: Mask = np.asarray(np.isfinite(variance) & (variance > 0.0))
    smoother = Smoother(known)
    even = smoother.fill(variance)
    for scale in range(_VARIANCE_SCALES):
        even = smoother.smooth(even, 2**scale)
    return np.where(known, even, np.float32(np.nan))


def _channels(planes: list[F32], weights: F64) -> F32:
    """Return the channels of luminance and differences, float32 (c, y, x)."""
    if not len(weights):
        return np.stack(planes)
    w = weights.astype(np.float32)
    mean, first, last = planes
    out = np.empty((3, *mean.shape), np.float32)
    np.add(mean, first, out=out[0])
    np.add(mean, last, out=out[2])
    first *= w[0] / w[1]
    last *= w[2] / w[1]
    np.subtract(mean, first, out=out[1])
    out[1] -= last
    return out


def plan_denoise(image: F32, settings: DenoiseSettings, variance: F32 | None = None) -> DenoisePlan:
    """
    Return the noise reduction of an image.

    Parameters
    ----------
    image : float32 (c, y, x)
        Linear; the image or a part of it that is like the whole, of the same resolution (the noise of a reduced view
        is another); a plan made from a part holds for that part's place.
    settings : DenoiseSettings
    variance : float32 (c, y, x) or None
        Of each pixel.

    Raises
    ------
    NoUsableInput
        If there is too little data to measure noise.
    """
    weights = luminance_weights(image)
    return DenoisePlan(settings, weights, measure_noise(read_plane_noise(image, weights, settings, variance)))


def luminance_weights(image: F32) -> F64:
    """Return the share of each channel in the luminance, float64 (3,), of an image or a part; (0,) without colours."""
    if image.shape[0] != 3:
        return np.zeros(0)
    sigma = measure_noise(read_noise(image, n_scales=2)).pixel_sigma()
    weights = 1.0 / np.maximum(sigma, 1e-30) ** 2
    weights = np.maximum(weights / weights.sum(), _LEAST_WEIGHT)
    return np.asarray(weights / weights.sum())


def read_plane_noise(image: F32, weights: F64, settings: DenoiseSettings, variance: F32 | None = None) -> NoiseCells:
    """
    Return the noise of the planes that a `DenoisePlan` works on, of an image or a band of it of whole cells of 64 px.

    An image that does not fit into memory is planned band by band: ``DenoisePlan(settings, weights,
    measure_noise(NoiseCells.joined(bands)))``, as `plan_denoise` does with the whole.
    """
    planes, variances = _colour_planes(image, weights, variance)
    known: Mask = np.asarray(np.isfinite(image).all(axis=0))
    stacked = np.stack(planes)
    if not known.all():
        stacked[:, ~known] = np.nan
    return read_noise(stacked, None if variances is None else np.stack(variances), n_scales=settings.n_scales)


def reduce_noise(image: F32, settings: DenoiseSettings, variance: F32 | None = None) -> F32:
    """Return the image with less noise: `DenoisePlan.apply` of `plan_denoise`; 0.1 s a million pixels of colour."""
    return plan_denoise(image, settings, variance).apply(image, variance=variance)
