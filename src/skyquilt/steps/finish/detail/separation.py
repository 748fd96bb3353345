"""Stars on one image, all the rest on another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from skyquilt.core import F32, F64, Mask
from skyquilt.errors import UsageError
from skyquilt.kernels.hashed_noise import fill_normal
from skyquilt.kernels.starlet import WHITE_SIGMA, reach_of
from skyquilt.steps.finish.detail.finding import StarSettings, measure_stars
from skyquilt.steps.finish.detail.noise import NoiseModel
from skyquilt.steps.finish.detail.points import ImageStars
from skyquilt.steps.finish.detail.scales import Smoother

__all__ = ["SeparationPlan", "SeparationSettings", "plan_separation", "separate_stars"]

_FILL_SCALES = 6
_LEAST_KNOWN = 0.05  # share of known light under the smoothing from which a filling is believed
_FINE_SCALES = 3
_EVEN_STEPS = (2, 2, 1, 1)
_MISFIT_SIGMA = 4.0
_FOOTPRINT_SIGMA = 0.5
_NOISE_SCALES = 4
_PLATEAU_RIM_PX = 2.0
_SPIKE_HALF_PX, _SPIKE_SIGMA, _SPIKE_MOST_SIGMA = 6, 1.2, 4.0  # mean along 13 px; what one pixel counts at most
_SPIKE_PLATEAUS, _SPIKE_PX = 16.0, 120.0  # how far they are looked for


@dataclass(frozen=True, slots=True)
class SeparationSettings:
    """
    How stars are taken out of an image.

    Attributes
    ----------
    stars : StarSettings
    core_sigma : float, 2 to 100
        Where a star's light exceeds so many sigma of the noise the image is filled from around it; below, the star's
        profile is subtracted and the image's own noise stays.
    noise : float, 0 to 1
        Share of the image's noise that the filled places get.
    seed : int
        Of that noise.
    """

    stars: StarSettings = field(default_factory=StarSettings)
    core_sigma: float = 8.0
    noise: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2.0 <= self.core_sigma <= 100.0:
            raise UsageError(f"cores of stars from {self.core_sigma:g} sigma on are out of range", "give 2 to 100")
        if not 0.0 <= self.noise <= 1.0:
            raise UsageError(f"a share of noise of {self.noise:g} is out of range", "give 0 to 1")


@dataclass(frozen=True, slots=True, eq=False)
class SeparationPlan:
    """
    The separation of one image.

    Attributes
    ----------
    settings : SeparationSettings
    stars : ImageStars

    Notes
    -----
    Definition. With M the light of all points (`kernels.point_light`), R = image - M. Filled is where M exceeds
    `core_sigma`, where a star is saturated, and where within M > sigma / 2 the bands of R up to 4 px exceed 4 sigma:
    what the profile misses; and spikes: within 16 radii of what is saturated, where the mean of those bands along 13 px
    of the line to the star exceeds 1.2 sigma. There R becomes the finest smoothing of the rest of R, by taps 1 to 32 px
    apart, each leaving out what is to be filled, that at least 5 % of known pixels decide, and noise: a hash of the
    pixel's absolute coordinates, its bands scaled to those of the image's noise. That is the starless image; the stars
    are the image minus it, so that both add up to it.
    """

    settings: SeparationSettings
    stars: ImageStars

    @property
    def halo(self) -> int:
        """How many px around a tile its result depends on."""
        return reach_of(_FILL_SCALES) + reach_of(_FINE_SCALES) + 2 * sum(_EVEN_STEPS) + _SPIKE_HALF_PX + 2

    def apply(self, tile: F32, x0: int = 0, y0: int = 0) -> tuple[F32, F32]:
        """
        Return (starless, stars) of a tile.

        Parameters
        ----------
        tile : float32 (c, y, x)
            With `halo` px around what is wanted, except where the image ends. NaN stays NaN in both.
        x0, y0 : int, px
            Where it begins in the image.

        Returns
        -------
        starless, stars : float32 (c, y, x)
            Their sum is the tile, to the rounding of float32.

        Raises
        ------
        UsageError
            If the tile has other channels than the image of the plan.

        Notes
        -----
        Within the halo's distance from its cut edges the result has the bits of the whole image's.
        """
        channels = len(self.stars.psf.profile)
        if tile.shape[0] != channels:
            raise UsageError(
                f"the stars of {channels} channels were measured, the image has {tile.shape[0]}",
                "plan with the same image",
            )
        shape = (tile.shape[1], tile.shape[2])
        known: Mask = np.asarray(np.isfinite(tile).all(axis=0))
        light = np.stack([self.stars.light(channel, x0, y0, shape) for channel in range(channels)])
        rest = tile - light
        hole = self._hole(rest, light, known, x0, y0)
        starless = rest
        if hole.any():
            smoother = Smoother(known & ~hole)
            for channel, noise in enumerate(self._noise(shape, x0, y0)):
                noise += _fill(rest[channel], smoother)
                np.copyto(starless[channel], noise, where=hole & known)
        return starless, tile - starless

    def _hole(self, rest: F32, light: F32, known: Mask, x0: int, y0: int) -> Mask:
        """Return what is to be filled."""
        smoother = Smoother(known)
        noise = self.stars.noise
        pixel = noise.pixel_ratio
        core = np.zeros(known.shape, dtype=np.bool_)
        for channel, (plane, star) in enumerate(zip(rest, light, strict=True)):
            scale = noise.scale_at(channel, x0, y0, known.shape)
            sigma = scale * np.float32(pixel[channel])
            core |= star > np.float32(self.settings.core_sigma) * sigma
            misfit = np.abs(smoother.fine(plane, _FINE_SCALES)) > np.float32(_MISFIT_SIGMA) * sigma
            core |= misfit & (star > np.float32(_FOOTPRINT_SIGMA) * sigma)
        self._add_plateaus(core, x0, y0)
        self._add_spikes(core, rest.mean(axis=0), smoother, x0, y0)
        return _widened(core)

    def _add_plateaus(self, core: Mask, x0: int, y0: int) -> None:
        """Mark what is saturated."""
        points = self.stars.points
        rows, columns = (start + np.arange(size) for start, size in zip((y0, x0), core.shape, strict=True))
        for k in np.flatnonzero(points.plateau_px > 0.0):
            radius = points.plateau_px[k] + _PLATEAU_RIM_PX
            square = (rows - points.y[k])[:, None] ** 2 + (columns - points.x[k])[None] ** 2
            core |= square <= radius * radius

    def _add_spikes(self, core: Mask, rest: F32, smoother: Smoother, x0: int, y0: int) -> None:
        """Mark light around saturated stars that is narrow across and long along the line to them."""
        points = self.stars.points
        saturated = np.flatnonzero(points.plateau_px > 0.0)
        if not len(saturated):
            return
        noise = self.stars.noise
        height, width = core.shape
        sigma = noise.scale_at(len(noise.grid) - 1, x0, y0, (height, width)) * np.float32(noise.pixel_ratio[-1])
        fine = smoother.fine(rest, _FINE_SCALES) / np.maximum(sigma, np.float32(1e-30))
        for k in saturated:
            x, y, plateau = points.x[k] - x0, points.y[k] - y0, points.plateau_px[k]
            reach = min(_SPIKE_PLATEAUS * plateau, _SPIKE_PX)
            rows = slice(max(int(y - reach), 0), min(max(int(y + reach) + 2, 0), height))
            columns = slice(max(int(x - reach), 0), min(max(int(x + reach) + 2, 0), width))
            dy = (np.arange(rows.start, rows.stop) - y)[:, None]
            dx = (np.arange(columns.start, columns.stop) - x)[None]
            r = np.hypot(dx, dy)
            if not r.size:
                continue
            along_x, along_y = dx / np.maximum(r, 1.0), dy / np.maximum(r, 1.0)
            total = np.zeros(r.shape, np.float32)
            for t in range(-_SPIKE_HALF_PX, _SPIKE_HALF_PX + 1):
                i = np.clip(np.rint(y + dy + t * along_y).astype(np.int64), 0, height - 1)
                j = np.clip(np.rint(x + dx + t * along_x).astype(np.int64), 0, width - 1)
                total += np.minimum(fine[i, j], np.float32(_SPIKE_MOST_SIGMA))
            mean = total / np.float32(2 * _SPIKE_HALF_PX + 1)
            core[rows, columns] |= (mean > np.float32(_SPIKE_SIGMA)) & (r > plateau) & (r < reach)

    def _noise(self, shape: tuple[int, int], x0: int, y0: int) -> F32:
        """Return noise like that of the image, in size, in its bands and in what channels share, float32 (c, y, x)."""
        model = self.stars.noise
        n_channels, height, width = len(self.stars.psf.profile), *shape
        shared = _shared_noise(model, n_channels)
        total = np.zeros((n_channels, height, width), np.float32)
        common = list(self._white_bands(n_channels, height, width, x0, y0)) if n_channels > 1 else []
        for channel in range(n_channels):
            for j, band in enumerate(self._white_bands(channel, height, width, x0, y0)):
                amount = self.settings.noise * model.ratio[channel, j] / WHITE_SIGMA[j]
                total[channel] += band * np.float32(amount * np.sqrt(1.0 - shared[j]))
                if common:
                    total[channel] += common[j] * np.float32(amount * np.sqrt(shared[j]))
            total[channel] *= model.scale_at(channel, x0, y0, (height, width))
        return total

    def _white_bands(self, number: int, height: int, width: int, x0: int, y0: int) -> Iterator[F32]:
        """Yield the bands of white noise."""
        white = np.empty((height, width), np.float32)
        fill_normal(white, x0, y0, int(self.settings.seed + number))
        smoother = Smoother(np.ones((height, width), dtype=np.bool_))
        for band, _ in smoother.bands(white, _NOISE_SCALES):
            yield band


def _shared_noise(model: NoiseModel, n_channels: int) -> F64:
    """
    Return the correlation of the channels' noise in each band, the same for every pair, float64 (band,).

    It follows from the noise of the channels and that of their mean: debayered channels share much of it.
    """
    sigma = np.median(model.grid, axis=(1, 2))[:, None] * model.ratio
    squares = np.sum(sigma[:n_channels] ** 2, axis=0)
    products = np.sum(sigma[:n_channels], axis=0) ** 2 - squares
    excess = n_channels**2 * sigma[-1] ** 2 - squares
    return np.asarray(np.clip(excess / np.maximum(products, 1e-300), 0.0, 1.0)) if n_channels > 1 else 0.0 * squares


def _widened(mask: Mask) -> Mask:
    """Return a mask and the eight neighbours of its pixels."""
    padded = np.pad(mask, 1)
    wide = padded[:-2] | padded[1:-1] | padded[2:]
    out: Mask = wide[:, :-2] | wide[:, 1:-1] | wide[:, 2:]
    return out


def _fill(plane: F32, smoother: Smoother) -> F32:
    """Return the plane with what its smoother does not know filled from around."""
    out = smoother.fill(plane)
    missing = ~smoother.known
    coarser, share = out, smoother.known.astype(np.float32)
    weighted = coarser * share
    for scale in range(_FILL_SCALES):
        weighted, share = _smooth(weighted, 2**scale), _smooth(share, 2**scale)
        good = missing & (share > np.float32(_LEAST_KNOWN))
        if scale == _FILL_SCALES - 1:
            good = missing & (share > 0.0)
        out[good] = weighted[good] / share[good]
        missing &= ~good
    hole = ~smoother.known
    for step in _EVEN_STEPS:  # no seams where the scale of the filling changes
        np.copyto(out, _smooth(out, step), where=hole)
    return out


def _smooth(plane: F32, step: int) -> F32:
    return Smoother(np.ones(plane.shape, dtype=np.bool_)).smooth(plane, step)


def plan_separation(image: F32, settings: SeparationSettings | None = None) -> SeparationPlan:
    """
    Return the separation of the stars of an image.

    Parameters
    ----------
    image : float32 (c, y, x)
        Linear; NaN where there is no data.
    settings : SeparationSettings or None

    Raises
    ------
    NoUsableInput
        If too few stars tell the PSF.
    """
    settings = settings or SeparationSettings()
    return SeparationPlan(settings, measure_stars(image, settings.stars))


def separate_stars(image: F32, settings: SeparationSettings | None = None) -> tuple[F32, F32]:
    """Return (starless, stars) of an image: `SeparationPlan.apply` of `plan_separation`."""
    return plan_separation(image, settings).apply(image)
