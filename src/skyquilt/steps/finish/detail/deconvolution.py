"""Sharpening with the profile that the stars of the image show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F32, F64, Box, Mask
from skyquilt.errors import UsageError
from skyquilt.kernels.point_light import PER_SIGMA
from skyquilt.steps.finish.detail.denoise import shrink_plane
from skyquilt.steps.finish.detail.noise import NoiseModel
from skyquilt.steps.finish.detail.point_spread import FWHM_PER_SIGMA, PointSpread
from skyquilt.steps.finish.detail.points import ImageStars, Points
from skyquilt.steps.finish.detail.scales import SCATTER, Smoother, structure_share

__all__ = ["DeconvolutionPlan", "DeconvolutionSettings", "deconvolve", "plan_deconvolution"]

_ZONE_PX = 128
_BLEND_PX = 16
_MARGIN_PX = 40
_SIGNAL_SCALES = 3
_WIDEN = 4.0
_WIENER = 3e-4
_DENOISED_SCALES, _DENOISED_THRESHOLD = 4, 3.0
_LEVEL_QUANTILE = 0.05
_PEDESTAL_SIGMA = 4.0
_FLOOR_FWHM = 1.5
_DARKEST_SIGMA = 0.2
_MOST_PACE = 2.0  # of one iteration
_PAID_SCALES, _MOST_PAID = 3, 0.5
_SATURATED_RIM_FWHM = 1.0
_SATURATED_FADE_FWHM = 1.5


@dataclass(frozen=True, slots=True)
class DeconvolutionSettings:
    """
    How an image is sharpened.

    Attributes
    ----------
    fwhm_share : float, 0.4 to 0.95
        FWHM of the stars afterwards over that before. 0.7 needs a well sampled image of good signal.
    least_fwhm_px : float, 1.2 to 4 px
        Stars are made no narrower than that, whatever the share: pixels cannot show them.
    iterations : int, 1 to 100
    threshold : float, 0 to 20
        Sigma of local significance from which on there is something to sharpen.
    """

    fwhm_share: float = 0.7
    least_fwhm_px: float = 1.8
    iterations: int = 12
    threshold: float = 8.0

    def __post_init__(self) -> None:
        if not 0.4 <= self.fwhm_share <= 0.95:
            raise UsageError(f"stars cannot be made {self.fwhm_share:g} times as wide", "give 0.4 to 0.95")
        if not 1.2 <= self.least_fwhm_px <= 4.0:
            raise UsageError(f"a least width of {self.least_fwhm_px:g} px is out of range", "give 1.2 to 4")
        if not 1 <= self.iterations <= 100:
            raise UsageError(f"{self.iterations} iterations are out of range", "give 1 to 100")
        if not 0.0 <= self.threshold <= 20.0:
            raise UsageError(f"a threshold of {self.threshold:g} sigma is out of range", "give 0 to 20")


@dataclass(frozen=True, slots=True, eq=False)
class DeconvolutionPlan:
    """
    The sharpening of one image.

    Attributes
    ----------
    settings : DeconvolutionSettings
    stars : ImageStars

    Notes
    -----
    Definition. The image is not brought to points but to a round, narrower profile r of the same kind (Magain, Courbin
    & Sohy 1998, ApJ 494, 472): with P the PSF, S = P r* / (|r|² + 0.0003) in Fourier space is what is left to undo, a
    mild kernel that hardly rings. In zones of 128 px, each with the PSF of its middle, blended over 32 px, D is what
    the noise reduction (`denoise.shrink_plane`, 4 bands, full strength) leaves, above a pedestal 4 sigma below the
    zone's darkest twentieth. O = D at first becomes O (1 + S^T (m R / (S O))), R = D - S O: Richardson 1972, JOSA 62,
    55; Lucy 1974, AJ 79, 745; without noise there is none to amplify. m is 1 where structure up to 4 px is significant
    in the mean of the channels, and around it, 0 elsewhere and at saturated stars: there the image stays as it is, bit
    by bit. At last O is no darker than D, or than the darkest of the smoothed D within 1.5 FWHM, less 0.2 sigma: no
    dark rings. What that adds is taken from what O gained around there (the 3rd smoothing of both). The image gets
    O - D, so that its noise stays as it was. Gaps are filled with the level around them.
    """

    settings: DeconvolutionSettings
    stars: ImageStars

    @property
    def halo(self) -> int:
        """How many px around a tile its result depends on."""
        return _ZONE_PX + 2 * _BLEND_PX + _MARGIN_PX

    def fwhm_px(self, channel: int) -> float:
        """Return what stars in the middle of the image are brought to, px."""
        return _target_fwhm(self.stars.psf, self.settings, channel)

    def apply(self, tile: F32, x0: int = 0, y0: int = 0) -> F32:
        """
        Return a sharper tile.

        Parameters
        ----------
        tile : float32 (c, y, x)
            With `halo` px around what is wanted, except where the image ends. NaN stays NaN.
        x0, y0 : int, px
            Where it begins in the image.

        Raises
        ------
        UsageError
            If the tile has other channels than the image of the plan.

        Notes
        -----
        Each zone is always computed from the same pixels, so that within the halo's distance from its cut edges the
        result has the bits of the whole image's. Cost: about 1 s a million values.
        """
        psf = self.stars.psf
        if tile.shape[0] != len(psf.profile):
            raise UsageError(
                f"the stars of {len(psf.profile)} channels were measured, the image has {tile.shape[0]}",
                "plan with the same image",
            )
        box = Box(x0, y0, x0 + tile.shape[2], y0 + tile.shape[1])
        change = np.zeros(tile.shape, np.float32)
        for zone in _zones(box, psf.height, psf.width):
            seen = zone.grow(_BLEND_PX + _MARGIN_PX).intersect(Box.of_shape(psf.height, psf.width))
            if not box.contains(seen):
                continue  # within the halo
            rows, columns = seen.slices(box)
            change[:, rows, columns] += self._sharpen(tile[:, rows, columns], zone, seen)
        return tile + change

    def _sharpen(self, pixels: F32, zone: Box, seen: Box) -> F32:
        """Return what a zone adds to the pixels seen for it, float32 (c, y, x)."""
        known: Mask = np.asarray(np.isfinite(pixels).all(axis=0))
        nothing = np.zeros(pixels.shape, np.float32)
        if not known.any():
            return nothing
        level = [np.float32(np.quantile(plane[known], _LEVEL_QUANTILE)) for plane in pixels]
        filled = np.stack([np.where(known, plane, low) for plane, low in zip(pixels, level, strict=True)])
        share = _signal(filled, seen, self.stars.noise, self.settings.threshold)
        allowed = _unsaturated(self.stars.points, self.stars.psf, seen)
        share *= allowed
        share[~known] = 0.0
        weight = _blend(zone, seen)
        if not (share * weight).any():
            return nothing
        out = nothing
        spread = np.minimum(Smoother(known).smooth(share, 2) * np.float32(_WIDEN), allowed)
        everywhere = Smoother(np.ones(seen.shape, dtype=np.bool_))
        for channel, plane in enumerate(filled):
            unit = self.stars.noise.scale_at(channel, seen.x0, seen.y0, seen.shape)
            sigma = unit * np.float32(self.stars.noise.pixel_ratio[channel])
            ratio = self.stars.noise.ratio[channel, :_DENOISED_SCALES]
            signal = shrink_plane(plane, everywhere, unit, ratio, 1.0, 1.0 + SCATTER * _DENOISED_THRESHOLD)
            sharp = self._sharpen_plane(signal, channel, level[channel], sigma, share, zone)
            np.multiply((sharp - signal) * spread, weight, out=out[channel])
        out[:, ~known] = 0.0
        return out

    def _sharpen_plane(self, plane: F32, channel: int, level: np.float32, sigma: F32, share: F32, zone: Box) -> F32:
        """Return one channel of a zone, sharper."""
        from scipy.fft import irfft2, next_fast_len, rfft2
        from scipy.ndimage import minimum_filter

        psf = self.stars.psf
        margin = _MARGIN_PX // 2  # beyond the edges of what is seen it is mirrored
        size = tuple(next_fast_len(n + 2 * margin, real=True) for n in plane.shape)
        kernel = _kernel(psf, self.settings, channel, zone, size)
        pad = [(margin, total - n - margin) for n, total in zip(plane.shape, size, strict=True)]
        base = level - np.float32(_PEDESTAL_SIGMA) * np.float32(np.median(sigma))
        data, noise, part = (np.pad(values, pad, mode="symmetric") for values in (plane - base, sigma, share))
        least = np.float32(0.1) * noise
        data = np.maximum(data, least)  # a pixel far below the sky (a defect) is no light that could be moved
        light = data

        def convolved(values: F32, transform: NDArray[Any]) -> F32:
            return np.asarray(irfft2(rfft2(values) * transform, s=size), dtype=np.float32)

        for _ in range(self.settings.iterations):
            model = np.maximum(convolved(light, kernel), least)
            ratio = convolved(part * (data - model) / model, kernel.conj())
            pace = np.clip(np.float32(1.0) + ratio, np.float32(1.0 / _MOST_PACE), np.float32(_MOST_PACE))
            light = np.maximum(light * pace, least)
        rows, columns = slice(margin, margin + plane.shape[0]), slice(margin, margin + plane.shape[1])
        smooth = Smoother(np.ones(plane.shape, dtype=np.bool_)).smooth(np.ascontiguousarray(plane), 1)
        radius = int(np.ceil(_FLOOR_FWHM * psf.fwhm_px(channel)))
        floor = np.minimum(minimum_filter(smooth, size=2 * radius + 1, mode="nearest"), plane)
        sharp = light[rows, columns] + base
        bounded = np.maximum(sharp, floor - np.float32(_DARKEST_SIGMA) * sigma)
        return plane + _paid(bounded - plane, bounded - sharp)


def _paid(change: F32, added: F32) -> F32:
    """Return a change whose gains are lowered by what was added around them: light is moved, not made."""
    gain = np.maximum(change, np.float32(0.0))
    smoother = Smoother(np.ones(change.shape, dtype=np.bool_))
    near = gain
    for step in range(_PAID_SCALES):
        near, added = smoother.smooth(near, 2**step), smoother.smooth(added, 2**step)
    share = np.minimum(added / np.maximum(near, np.float32(1e-30)), np.float32(_MOST_PAID))
    return np.asarray(change - gain * share, dtype=np.float32)


def _zones(box: Box, height: int, width: int) -> Iterator[Box]:
    """Yield the zones of the image that reach a box."""
    near = box.grow(_BLEND_PX).intersect(Box.of_shape(height, width))
    first_y, first_x = near.y0 // _ZONE_PX * _ZONE_PX, near.x0 // _ZONE_PX * _ZONE_PX
    for y in range(first_y, near.y1, _ZONE_PX):
        for x in range(first_x, near.x1, _ZONE_PX):
            yield Box(x, y, min(x + _ZONE_PX, width), min(y + _ZONE_PX, height))


def _blend(zone: Box, seen: Box) -> F32:
    """Return the weight of a zone at the pixels seen for it: ramps across its inner borders, float32 (y, x)."""
    ramps = []
    for low, high, start, stop in ((zone.y0, zone.y1, seen.y0, seen.y1), (zone.x0, zone.x1, seen.x0, seen.x1)):
        at = np.arange(start, stop) + 0.5
        up = np.clip((at - low + _BLEND_PX) / (2.0 * _BLEND_PX), 0.0, 1.0) if low > start else np.ones(len(at))
        down = np.clip((high + _BLEND_PX - at) / (2.0 * _BLEND_PX), 0.0, 1.0) if high < stop else np.ones(len(at))
        ramps.append(up * down)
    return np.asarray(ramps[0][:, None] * ramps[1][None], dtype=np.float32)


def _signal(filled: F32, seen: Box, noise: NoiseModel, threshold: float) -> F32:
    """Return where there is something to sharpen, float32 (y, x), 0..1."""
    mean = filled.mean(axis=0, dtype=np.float32)
    smoother = Smoother(np.ones(mean.shape, dtype=np.bool_))
    unit = noise.scale_at(len(noise.grid) - 1, seen.x0, seen.y0, seen.shape)
    share = np.zeros(mean.shape, np.float32)
    for j, (band, _) in enumerate(smoother.bands(mean, _SIGNAL_SCALES)):
        square = np.square(band / np.maximum(unit * np.float32(noise.ratio[-1, j]), np.float32(1e-30)))
        share = np.maximum(share, structure_share(smoother.smooth(square, 2**j), threshold))
    return np.asarray(np.minimum(smoother.smooth(share, 2) * np.float32(_WIDEN), np.float32(1.0)), dtype=np.float32)


def _unsaturated(points: Points, psf: PointSpread, seen: Box) -> F32:
    """Return 0 at saturated stars, 1 away from them, float32 (y, x)."""
    out = np.ones(seen.shape, np.float32)
    fwhm = psf.fwhm_px(len(psf.profile) // 2)
    dy, dx = (np.arange(start, stop) for start, stop in ((seen.y0, seen.y1), (seen.x0, seen.x1)))
    for k in np.flatnonzero(points.plateau_px > 0.0):
        r = np.hypot(dx[None] - points.x[k], dy[:, None] - points.y[k]) / fwhm
        inner = points.plateau_px[k] / fwhm + _SATURATED_RIM_FWHM
        out = np.minimum(out, np.clip((r - inner) / _SATURATED_FADE_FWHM, 0.0, 1.0).astype(np.float32))
    return out


def _target_fwhm(psf: PointSpread, settings: DeconvolutionSettings, channel: int) -> float:
    fwhm = psf.fwhm_px(channel)
    return min(max(settings.fwhm_share * fwhm, settings.least_fwhm_px), 0.98 * fwhm)


def _kernel(
    psf: PointSpread, settings: DeconvolutionSettings, channel: int, zone: Box, size: tuple[int, ...]
) -> NDArray[np.complex64]:
    """Return the transform of what the narrower profile is to be convolved with to give the PSF of a zone."""
    x, y = 0.5 * (zone.x0 + zone.x1 - 1), 0.5 * (zone.y0 + zone.y1 - 1)
    dy, dx = (np.fft.fftfreq(n, 1.0 / n) for n in size)
    p, q, s = psf.inverse_moments(channel, np.array([x]), np.array([y]))[0]
    profile = psf.profile[channel]
    steps = np.arange(len(profile))
    seen = np.sqrt(p * dx[None] ** 2 + 2.0 * q * dx[None] * dy[:, None] + s * dy[:, None] ** 2)
    wanted = np.hypot(dx[None], dy[:, None]) * (FWHM_PER_SIGMA / _target_fwhm(psf, settings, channel))
    transforms = []
    for r in (seen, wanted):
        light = np.interp(r * PER_SIGMA, steps, profile, right=0.0)
        transforms.append(np.fft.rfft2(light / light.sum()))
    wide, narrow = transforms
    kernel = wide * narrow.conj() / (np.abs(narrow) ** 2 + _WIENER)
    strength: F64 = np.abs(kernel)
    kernel = kernel * np.minimum(1.0, 1.0 / np.maximum(strength, 1e-30)) / kernel[0, 0].real
    return np.asarray(kernel, dtype=np.complex64)


def plan_deconvolution(stars: ImageStars, settings: DeconvolutionSettings | None = None) -> DeconvolutionPlan:
    """Return the sharpening of the image that stars, PSF and noise were measured on (`points.measure_stars`)."""
    return DeconvolutionPlan(settings or DeconvolutionSettings(), stars)


def deconvolve(image: F32, stars: ImageStars, settings: DeconvolutionSettings | None = None) -> F32:
    """Return the image sharpened with the profile of its stars; NaN stays NaN. See `DeconvolutionPlan`."""
    return plan_deconvolution(stars, settings).apply(image)
