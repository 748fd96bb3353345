"""From a light's small values to its samples on the canvas: no pixel moves until a tile is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, U8, Box, Cfa, SampleSource, Transform
from skyquilt.engine.light import Light
from skyquilt.engine.recipe import Recipe
from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits import frame_source
from skyquilt.steps import calibrate, resample, stars

__all__ = ["FrameLostError", "Guarded", "Sampling", "choose_sampling", "is_rotated", "sample_variances", "sampler_of"]

_MOSAIC_METHODS = ("none", "bayer-first")
_MOST_ROTATION_PX = 0.75
_OTHER_NAMES = {"rgb": "bilinear"}


class FrameLostError(Exception):
    """A frame that could be read before cannot be read any more; carries the light and the error."""

    def __init__(self, light: Light, error: UnreadableFrame) -> None:
        super().__init__(light.file.name)
        self.light = light
        self.error = error


@dataclass(frozen=True, slots=True)
class Sampling:
    """
    How the frames of a group are laid on the canvas.

    Attributes
    ----------
    method : str
        A debayer method, "cfa", "mosaic" (whole-pixel shifts that keep the pattern) or "planes" (nothing to debayer).
    kernel : str
    window_px : float
    cfa : Cfa or None
    n_channels : int
    cell : int
        Frame pixels a canvas pixel: 2 for superpixel, else 1.
    debayer_after : str or None
        Method that debayers the stacked mosaic.
    star_colour : (float, float)
        Red over green and blue over green of a usual star of the reference, to which "malvar" is balanced.
    """

    method: str
    kernel: str
    window_px: float
    cfa: Cfa | None
    n_channels: int
    cell: int = 1
    debayer_after: str | None = None
    star_colour: tuple[float, float] = stars.NEUTRAL

    @property
    def is_balanced(self) -> bool:
        """Whether the colour of the stars matters."""
        return "malvar" in (self.method, self.debayer_after)

    @property
    def keeps_mosaic(self) -> bool:
        return self.method == "mosaic"

    def to_reference(self) -> Transform:
        """Return the map from canvas pixels to full pixels of the reference."""
        if self.cell == 1:
            return Transform.identity()
        middle = (self.cell - 1) / 2
        return Transform.similarity(scale=self.cell, dx=middle, dy=middle)


def choose_sampling(recipe: Recipe, cfa: Cfa | None, n_planes: int, *, is_rotated: bool) -> Sampling:
    """
    Return the sampling that recipe and frames ask for.

    Parameters
    ----------
    is_rotated : bool
        Whether the frames are rotated too much for whole-pixel shifts.
    """
    default = resample.DEFAULT_KERNEL if cfa is not None else resample.DEFAULT_KERNEL_WITHOUT_CFA
    kernel = default if recipe.kernel == "auto" else recipe.kernel
    if cfa is None:
        whole = recipe.align_mode == "integer"
        return Sampling("planes", "nearest" if whole else kernel, recipe.window_px, None, n_planes)
    if recipe.align_mode == "integer" and recipe.debayer == "superpixel":
        return Sampling("superpixel", "nearest", recipe.window_px, cfa, 3, cell=2)
    wants_mosaic = recipe.debayer in _MOSAIC_METHODS or recipe.align_mode == "integer"
    if wants_mosaic and not (recipe.align_mode == "rgb_affine" or (recipe.align_mode == "auto" and is_rotated)):
        after = None if recipe.debayer == "none" else _method(recipe)
        after = resample.DEFAULT_METHOD if after == "cfa" else after  # sampling needs frames, a mosaic is debayered
        return Sampling("mosaic", "nearest", recipe.window_px, cfa, 1, debayer_after=after)
    method = _method(recipe)
    return Sampling(method, kernel, recipe.window_px, cfa, 3, cell=2 if method == "superpixel" else 1)


def is_rotated(transforms: Sequence[Transform], width: int, height: int) -> bool:
    """Return whether a whole-pixel shift would leave some corner of some frame more than 0.75 px from its place."""
    for transform in transforms:
        x, y = transform(np.array([0.0, width, 0.0, width]), np.array([0.0, 0.0, height, height]))
        dx, dy = x - [0.0, width, 0.0, width], y - [0.0, 0.0, height, height]
        if max(np.ptp(dx), np.ptp(dy)) > 2 * _MOST_ROTATION_PX:
            return True
    return False


def _method(recipe: Recipe) -> str:
    if recipe.debayer in ("auto", *_MOSAIC_METHODS):
        return resample.DEFAULT_METHOD
    return _OTHER_NAMES.get(recipe.debayer, recipe.debayer)


class Guarded:
    """A sample source whose file may fail: `lost` is asked then, and raises, or the frame shows nothing there."""

    def __init__(self, source: SampleSource, lost: Callable[[UnreadableFrame], None]) -> None:
        self._source = source
        self._lost = lost

    @property
    def n_channels(self) -> int:
        return self._source.n_channels

    @property
    def weight_channels(self) -> int:
        return self._source.weight_channels

    def sample(self, box: Box, values: F32, weights: U8) -> None:
        try:
            self._source.sample(box, values, weights)
        except UnreadableFrame as error:
            self._lost(error)
            values[...], weights[...] = 0.0, 0


def sampler_of(light: Light, sampling: Sampling, recipe: Recipe) -> SampleSource:
    """Return the samples of a registered light."""
    assert light.registration is not None
    raw = frame_source(light.file)
    to_frame = sampling.to_reference().then(light.registration.transform.inverse())
    source: SampleSource
    if sampling.keeps_mosaic:
        source = resample.MosaicSampler(
            calibrate.Calibrated(raw, light.calibration, sampling.cfa),
            raw,
            cfa=sampling.cfa,
            defects=light.calibration.defects,
            to_frame=to_frame,
            normalisation=light.normalisation,
            saturation_adu=stars.saturation_limit(light.saturation_adu),
            trails=light.trails,
        )
    else:
        source = resample.CanvasSampler(
            raw,
            cfa=sampling.cfa,
            calibration=light.calibration,
            to_frame=to_frame,
            method=sampling.method if sampling.cfa else resample.DEFAULT_METHOD,
            kernel=sampling.kernel,
            window_px=sampling.window_px,
            star_colour=sampling.star_colour,
            normalisation=light.normalisation,
            saturation_adu=stars.saturation_limit(light.saturation_adu),
            saturated_stars=light.saturated_stars,
            feather_px=recipe.feather_px,
            radial_feather=recipe.radial_feather,
            trails=light.trails,
        )

    def lost(error: UnreadableFrame) -> None:
        raise FrameLostError(light, error) from error

    return Guarded(source, lost)


def sample_variances(sampling: Sampling, n_planes: int) -> F64:
    """Return the variance of a sample of sky over that of a raw pixel of its colour, float64 (n_channels,)."""
    if sampling.keeps_mosaic:
        return np.ones(1)
    return resample.sample_variances(
        sampling.cfa,
        n_planes,
        sampling.method,
        sampling.kernel,
        sampling.window_px,
        sampling.cell,
        sampling.star_colour,
    )
