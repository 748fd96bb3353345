"""An image as an operation may look at it when it is planned: samples, cells, a part, its stars, its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from skyquilt.core import F32, Box, Stars, Wcs
from skyquilt.engine.finish.working import MemoryImage, WorkingImage, sampled
from skyquilt.io.catalogue import Catalogue
from skyquilt.steps import stars
from skyquilt.steps.finish import (
    POINT_HALO_PX,
    Background,
    Cells,
    ImageStars,
    Points,
    StarSettings,
    find_points,
    measure_background,
    measure_stars,
    read_cells,
    sample_pixels,
)

__all__ = ["Look", "Surroundings", "find_stars"]

_SAMPLES = 120_000
_LARGEST_PART = 4608  # px a side: the stars and the noise of a larger image are those of its middle
_CELL_BAND_BYTES = 1 << 24
_MOST_STARS = 1000
_POINT_TILE = 2048
_SATURATION_SHARE = 0.9
_LEAST_KNOWN = 0.5  # of the pixels of the row in the middle: a map of the variance that tells less is not used


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """
    What is known of a master besides its pixels.

    Attributes
    ----------
    wcs : Wcs or None
        Of the whole master.
    epoch_year : float or None
        Julian year of the exposures.
    full_scale : float
        Level of the pixels at which the sensor was full.
    coverage : callable
        Returns the exposure on each pixel, float32 (y, x), s, or None.
    variance : callable
        Returns what reads the variance of a box of the master, float32 (c, y, x), or None.
    folder : Path
        From which relative paths in settings are meant.
    open_catalogue : callable
        Opens the star catalogue.
    """

    wcs: Wcs | None
    epoch_year: float | None
    full_scale: float
    coverage: Callable[[], F32 | None]
    variance: Callable[[], Callable[[Box], F32] | None]
    folder: Path
    open_catalogue: Callable[[], Catalogue]


@dataclass(eq=False)
class Look:
    """
    The image before an operation.

    Attributes
    ----------
    image : WorkingImage
    box : Box
        What of the master the image covers.
    is_picture : bool
        Whether it is stretched.
    around : Surroundings
    has_noise_of_master : bool
        Whether the noise of each channel is that of the master but for a factor.
    """

    image: WorkingImage
    box: Box
    is_picture: bool
    around: Surroundings
    has_noise_of_master: bool = False
    _found: dict[StarSettings, ImageStars] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, y, x)."""
        return self.image.shape

    @cached_property
    def sample(self) -> F32:
        """About 120,000 pixels: every k-th row and column, float32 (c, y, x)."""
        if isinstance(self.image, MemoryImage):
            return sample_pixels(self.image.pixels, _SAMPLES)
        return sampled(self.image, _SAMPLES)

    @cached_property
    def background(self) -> Background:
        """Of the sample."""
        return measure_background(self.sample)

    def cells(self, cell_px: int) -> Cells:
        """Return the cells of the whole image, read band by band."""
        channels, height, width = self.shape
        if isinstance(self.image, MemoryImage):
            return read_cells(self.image.pixels, cell_px)
        rows = max(1, _CELL_BAND_BYTES // (4 * channels * width * cell_px)) * cell_px
        bands = [Box(0, y, width, min(y + rows, height)) for y in range(0, height, rows)]
        return Cells.joined([read_cells(self.image.read(band), cell_px) for band in bands])

    @cached_property
    def part(self) -> tuple[F32, int, int]:
        """
        The image, or what fits into 4608x4608 px about its middle: float32 (c, y, x), and its first column and row.

        What is measured on it stands for the whole; `is_whole` tells which it is.
        """
        _, height, width = self.shape
        rows, columns = min(height, _LARGEST_PART), min(width, _LARGEST_PART)
        x0, y0 = (width - columns) // 2, (height - rows) // 2
        return self.image.read(Box(x0, y0, x0 + columns, y0 + rows)), x0, y0

    @property
    def is_whole(self) -> bool:
        """Whether `part` is the image."""
        return max(self.shape[1:]) <= _LARGEST_PART

    @cached_property
    def stars(self) -> Stars:
        """Stars of the part, in its pixels, brightest first."""
        return find_stars(self.part[0], self.around.full_scale)

    def image_stars(self, settings: StarSettings | None = None) -> ImageStars:
        """
        Return the stars, their profile and the noise of the image, in pixels of the part.

        Profile and noise are those of the part; the stars those of the whole image, found tile by tile where it is
        larger.

        Raises
        ------
        NoUsableInput
            If too few stars tell the profile.
        """
        settings = settings or StarSettings()
        if settings not in self._found:
            self._found[settings] = self._find(settings)
        return self._found[settings]

    def _find(self, settings: StarSettings) -> ImageStars:
        pixels, left, top = self.part
        found = measure_stars(pixels, settings)
        if self.is_whole:
            return found
        _, height, width = self.shape
        bounds = Box.of_shape(height, width)
        points = []
        for y in range(0, height, _POINT_TILE):
            for x in range(0, width, _POINT_TILE):
                box = Box(x, y, x + _POINT_TILE, y + _POINT_TILE).intersect(bounds)
                seen = box.grow(POINT_HALO_PX).intersect(bounds)
                tile = self.image.read(seen)
                near = find_points(tile, found.psf, found.noise, settings, seen.x0 - left, seen.y0 - top)
                points.append(near.within(Box(box.x0 - left, box.y0 - top, box.x1 - left, box.y1 - top)))
        return replace(found, points=Points.joined(points))

    @cached_property
    def variance(self) -> Callable[[Box], F32] | None:
        """
        What reads the variance of a box of the image, float32 (c, y, x), but for a factor for each channel.

        None where the master has no map of it, or what was done since has changed the noise.
        """
        read = self.around.variance() if self.has_noise_of_master else None
        if read is None:
            return None
        left, top = self.box.x0, self.box.y0
        sample = read(Box(left, top + self.shape[1] // 2, left + self.shape[2], top + self.shape[1] // 2 + 1))
        if len(sample) != self.shape[0] or not (np.isfinite(sample) & (sample > 0.0)).mean() > _LEAST_KNOWN:
            return None
        return lambda box: read(Box(box.x0 + left, box.y0 + top, box.x1 + left, box.y1 + top))

    @property
    def wcs(self) -> Wcs | None:
        """Of the part."""
        if self.around.wcs is None:
            return None
        _, x0, y0 = self.part
        return self.around.wcs.shifted(self.box.x0 + x0, self.box.y0 + y0)


def find_stars(pixels: F32, full_scale: float) -> Stars:
    """
    Return the stars of an image, brightest first: from its green plane where it has three.

    Parameters
    ----------
    pixels : float32 (c, y, x)
        Linear; NaN where there is no data.
    full_scale : float
        Level at which the sensor was full.
    """
    known = np.isfinite(pixels).all(axis=0)
    if not known.any():
        return Stars.empty()
    if not known.all():
        level = np.median(pixels[:, known], axis=1).astype(np.float32)
        pixels = np.where(known, pixels, level[:, None, None])
    limit = _SATURATION_SHARE * full_scale
    if len(pixels) == 3:
        return stars.measure_cube(pixels, saturation_adu=limit, max_stars=_MOST_STARS).stars
    return stars.measure(pixels[0], None, saturation_adu=limit, max_stars=_MOST_STARS).stars
