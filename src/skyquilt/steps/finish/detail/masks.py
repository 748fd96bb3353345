"""Masks: where an image shows stars, objects, galaxies, or much light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, Mask
from skyquilt.errors import UsageError
from skyquilt.kernels.starlet import reach_of
from skyquilt.steps.finish.detail.level import SkyLevel, measure_level
from skyquilt.steps.finish.detail.points import ImageStars
from skyquilt.steps.finish.detail.scales import Smoother

__all__ = ["MASK_KINDS", "MaskPlan", "MaskSettings", "blend", "feather_mask", "grow_mask", "plan_mask"]

MASK_KINDS = ("star", "object", "galaxy", "soft")
_LARGEST_PX = 128.0
_SCALES = {"star": 0, "object": 3, "galaxy": 4, "soft": 1}
_SMOOTHED_FROM_BAND = 1.36  # sigma of the image after k smoothings over that of band k + 1, white noise
_WHITE_AT = 0.998
_SAMPLES = 200_000
_HOLES_BY = 2.0  # px by which stars are widened where a galaxy is looked for under them


@dataclass(frozen=True, slots=True)
class MaskSettings:
    """
    What a mask shows.

    Attributes
    ----------
    kind : "star", "object", "galaxy" or "soft"
        "star": the light of the stars. "object": all that is brighter than the sky. "galaxy": the same at sizes of
        16 px and more, without the stars: galaxies and nebulae. "soft": the brightness itself, from 0 at the sky to 1.
    kappa : float, 0.5 to 100
        Sigma (of the smoothed image; of a pixel for stars) from which on something counts; "soft" leaves 0 there.
    grow_px : float, -128 to 128 px
        By how much the mask is widened, or narrowed.
    feather_px : float, 0 to 128 px
        Width of the ramp around it.
    """

    kind: str = "star"
    kappa: float = 3.0
    grow_px: float = 1.0
    feather_px: float = 3.0

    def __post_init__(self) -> None:
        if self.kind not in MASK_KINDS:
            raise UsageError(f"{self.kind!r} is no kind of mask", f"one of {', '.join(MASK_KINDS)}")
        if not 0.5 <= self.kappa <= 100.0:
            raise UsageError(f"a mask from {self.kappa:g} sigma on is out of range", "give 0.5 to 100")
        if not abs(self.grow_px) <= _LARGEST_PX:
            raise UsageError(f"a mask cannot be widened by {self.grow_px:g} px", "give -128 to 128")
        if not 0.0 <= self.feather_px <= _LARGEST_PX:
            raise UsageError(f"a mask cannot be feathered over {self.feather_px:g} px", "give 0 to 128")


@dataclass(frozen=True, slots=True, eq=False)
class MaskPlan:
    """
    A mask of one image.

    Attributes
    ----------
    settings : MaskSettings
    stars : ImageStars
    level : SkyLevel
        Of the mean of the channels.
    white : float, unit of the image
        How far above the level "soft" reaches 1.

    Notes
    -----
    Definition. With L the mean of the channels, c_k its k-th smoothing (`kernels.starlet`), M the light of the stars:
    "star", M > kappa sigma, or saturated; "object", c_3 > level + kappa sigma_3; "galaxy", c_4 of L - M, the stars'
    cores left out, likewise; then `grow_mask` and `feather_mask`. "soft": (c_1 - level - kappa sigma_1) / (white -
    kappa sigma_1), 0 to 1; growing moves it by a maximum (or minimum) filter, feathering by a mean over a square.
    """

    settings: MaskSettings
    stars: ImageStars
    level: SkyLevel
    white: float

    @property
    def halo(self) -> int:
        """How many px around a tile its result depends on."""
        settings = self.settings
        edge = int(np.ceil(abs(settings.grow_px))) + int(np.ceil(settings.feather_px)) + 2
        return reach_of(_SCALES[settings.kind]) + edge + int(np.ceil(_HOLES_BY))

    def apply(self, tile: F32, x0: int = 0, y0: int = 0) -> F32:
        """
        Return the mask over a tile, float32 (y, x), 0..1; 0 where there is no data.

        Parameters
        ----------
        tile : float32 (c, y, x)
            With `halo` px around what is wanted, except where the image ends.
        x0, y0 : int, px
            Where it begins in the image.

        Notes
        -----
        Within the halo's distance from its cut edges the result has the bits of the whole image's.
        """
        settings = self.settings
        mean = tile.mean(axis=0, dtype=np.float32)
        known = np.isfinite(mean)
        if settings.kind == "soft":
            out = self._soft(mean, known, x0, y0)
        else:
            inside = self._stars(known.shape, x0, y0) if settings.kind == "star" else self._objects(mean, known, x0, y0)
            out = feather_mask(grow_mask(inside, settings.grow_px), settings.feather_px)
        out[~known] = 0.0
        return out

    def _light(self, shape: tuple[int, int], x0: int, y0: int) -> F32:
        """Return the light of the stars in the mean of the channels, float32 (y, x)."""
        channels = len(self.stars.psf.profile)
        total = np.zeros(shape, np.float32)
        for channel in range(channels):
            total += self.stars.light(channel, x0, y0, shape)
        return total / np.float32(channels)

    def _stars(self, shape: tuple[int, int], x0: int, y0: int) -> Mask:
        noise = self.stars.noise
        sigma = noise.scale_at(len(noise.grid) - 1, x0, y0, shape) * np.float32(noise.pixel_ratio[-1])
        inside = self._light(shape, x0, y0) > np.float32(self.settings.kappa) * sigma
        points = self.stars.points
        rows, columns = (start + np.arange(size) for start, size in zip((y0, x0), shape, strict=True))
        for k in np.flatnonzero(points.plateau_px > 0.0):
            square = (rows - points.y[k])[:, None] ** 2 + (columns - points.x[k])[None] ** 2
            inside |= square <= (points.plateau_px[k] + 1.0) ** 2
        return inside

    def _smoothed(self, mean: F32, known: Mask, x0: int, y0: int) -> tuple[F32, F32]:
        """Return the smoothed image above its level, and its sigma, float32 (y, x) each."""
        k = _SCALES[self.settings.kind]
        smoother = Smoother(known)
        out = smoother.fill(mean - self.level.over(0, x0, y0, (mean.shape[0], mean.shape[1])))
        for step in range(k):
            out = smoother.smooth(out, 2**step)
        noise = self.stars.noise
        ratio = np.float32(_SMOOTHED_FROM_BAND * noise.ratio[-1, k])
        return out, noise.scale_at(len(noise.grid) - 1, x0, y0, (mean.shape[0], mean.shape[1])) * ratio

    def _objects(self, mean: F32, known: Mask, x0: int, y0: int) -> Mask:
        if self.settings.kind == "galaxy":
            cores = grow_mask(self._stars((mean.shape[0], mean.shape[1]), x0, y0), _HOLES_BY)
            mean = mean - self._light((mean.shape[0], mean.shape[1]), x0, y0)
            known = known & ~(cores > 0.5)
        light, sigma = self._smoothed(mean, known, x0, y0)
        inside: Mask = light > np.float32(self.settings.kappa) * sigma
        if self.settings.kind == "galaxy" and not known.all():  # under a star as around it
            around = np.empty_like(light)
            share = Smoother(np.ones(known.shape, dtype=np.bool_))
            around = share.smooth((inside & known).astype(np.float32), 4)
            weight = share.smooth(known.astype(np.float32), 4)
            inside = np.where(known, inside, around > 0.5 * np.maximum(weight, 1e-6))
        return inside

    def _soft(self, mean: F32, known: Mask, x0: int, y0: int) -> F32:
        from scipy.ndimage import correlate1d, maximum_filter, minimum_filter

        light, sigma = self._smoothed(mean, known, x0, y0)
        low = np.float32(self.settings.kappa) * sigma
        out = np.clip((light - low) / np.maximum(np.float32(self.white) - low, sigma), 0.0, 1.0).astype(np.float32)
        grow, feather = round(self.settings.grow_px), round(self.settings.feather_px)
        if grow:
            out = (maximum_filter if grow > 0 else minimum_filter)(out, size=2 * abs(grow) + 1, mode="nearest")
        if feather:
            share = np.full(
                2 * feather + 1, 1.0 / (2 * feather + 1)
            )  # sums that run along a row depend on where it starts
            for axis in (0, 1):
                out = correlate1d(out.astype(np.float64), share, axis=axis, mode="nearest").astype(np.float32)
        return np.asarray(out, dtype=np.float32)


def grow_mask(mask: Mask | F32, px: float) -> Mask:
    """
    Return a mask widened by `px`, or narrowed where that is negative, bool (y, x); of soft masks what is above 1/2.

    Definition: what lies within `px` of the mask; narrowing widens what is outside. A tile needs |px| around it.
    """
    from scipy.ndimage import distance_transform_edt

    inside: Mask = np.asarray(mask > 0.5)
    if px > 0.0 and not inside.all():
        return np.asarray(distance_transform_edt(~inside) <= px) if inside.any() else inside
    if px < 0.0 and inside.any():
        return np.asarray(distance_transform_edt(inside) > -px) if not inside.all() else inside
    return inside


def feather_mask(mask: Mask | F32, px: float) -> F32:
    """
    Return a mask with a smooth ramp of width `px` around it, float32 (y, x), 1 inside.

    Definition: t = 1 - d / (px + 1) at distance d from the mask, 0 at least, 3 t² - 2 t³. A tile needs px + 1 more.
    """
    from scipy.ndimage import distance_transform_edt

    inside: Mask = np.asarray(mask > 0.5)
    if not px > 0.0 or inside.all() or not inside.any():
        return inside.astype(np.float32)
    t = np.clip(1.0 - distance_transform_edt(~inside) / (px + 1.0), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t), dtype=np.float32)


def blend(before: F32, after: F32, mask: F32) -> F32:
    """Return `after` where the mask is 1 and `before` where it is 0, bit by bit; between them their weighted mean."""
    mixed = before + (after - before) * mask
    return np.asarray(np.where(mask >= 1.0, after, np.where(mask <= 0.0, before, mixed)), dtype=np.float32)


def plan_mask(image: F32, stars: ImageStars, settings: MaskSettings | None = None) -> MaskPlan:
    """
    Return a mask of an image.

    Parameters
    ----------
    image : float32 (c, y, x)
        Linear; the image or a part that tells for it.
    stars : ImageStars
        `points.measure_stars` of it.
    settings : MaskSettings or None

    Raises
    ------
    NoUsableInput
        If no pixel has data.
    """
    settings = settings or MaskSettings()
    mean = image.mean(axis=0, dtype=np.float32)[None]
    level = measure_level(mean)
    step = max(1, int(np.sqrt(mean[0].size / _SAMPLES)))
    above = (mean[0] - level.over(0, 0, 0, (mean.shape[1], mean.shape[2])))[::step, ::step]
    white = float(np.quantile(above[np.isfinite(above)], _WHITE_AT))
    return MaskPlan(settings, stars, level, max(white, float(stars.noise.pixel_sigma()[-1])))
