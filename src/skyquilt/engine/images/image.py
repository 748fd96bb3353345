"""An opened image: values of any box, of rows from top to bottom, and of the whole at half, a quarter ... the size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyquilt.core import F32, Box, Wcs
from skyquilt.engine.budget import n_processors
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.images.cache import PixelCache
from skyquilt.engine.images.sources import ImageSource
from skyquilt.errors import UsageError
from skyquilt.kernels.halve import ALL_ALIKE, halve

__all__ = ["ImageFacts", "OpenImage"]

_BAND_ROWS = 64
_SMALLEST_PX = 512
_DIRECT_PX = 4096  # a box of a reduced level is read from the full size if it is no larger there


@dataclass(frozen=True, slots=True, eq=False)
class ImageFacts:
    """
    What is known of an image besides its pixels.

    Attributes
    ----------
    name : str
    path : Path or None
        The file or folder that it was opened from; it is never written to.
    kind : str
        "frame" (raw), "image" (a linear FITS), "picture" (TIFF, PNG, JPEG), "canvas" (tiled), "result" (of
        operations), "growing" (of a job at work).
    wcs : Wcs or None
        Where on the sky it lies.
    row_order : str
        ROWORDER of the FITS header, for the files that are saved.
    """

    name: str
    path: Path | None
    kind: str
    wcs: Wcs | None = None
    row_order: str = "TOP-DOWN"


class OpenImage:
    """
    An image that can be asked for any part of itself; it holds no pixels but those of its source and of its levels.

    Parameters
    ----------
    source : ImageSource
    facts : ImageFacts
    cache : PixelCache
        Keeps the reduced levels.
    handle : str
        Its name in the cache.
    """

    def __init__(self, source: ImageSource, facts: ImageFacts, cache: PixelCache, handle: str) -> None:
        self.source = source
        self.facts = facts
        self.handle = handle
        self.cache = cache
        self.ranges: dict[int, tuple[float, float]] = {}
        """Lowest and highest value by channel, where they were asked for."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channel, y, x)."""
        return self.source.shape

    @property
    def bounds(self) -> Box:
        return Box.of_shape(*self.shape[1:])

    @property
    def n_bytes(self) -> int:
        """Bytes of all values as float32."""
        return 4 * int(np.prod(self.shape))

    @property
    def n_levels(self) -> int:
        """Reduced levels; level 1 has half the size, the last one fits into 512 px."""
        levels, longest = 0, max(self.shape[1:])
        while longest > _SMALLEST_PX:
            longest, levels = -(-longest // 2), levels + 1
        return levels

    def level_shape(self, level: int) -> tuple[int, int]:
        """Return (height, width) of a level."""
        return _reduced(self.shape[1], level), _reduced(self.shape[2], level)

    def values(self, box: Box) -> F32:
        """
        Return the values of a box, float32 (channel, y, x); NaN outside of the image and where nothing is known.

        Raises
        ------
        UnreadableFrame, OutputBlocked
            If the file is not what it was, or damaged.
        """
        inside = box.intersect(self.bounds)
        if inside == box:
            return self.source.values(box)
        result = np.full((self.shape[0], *box.shape), np.nan, dtype=np.float32)
        if not inside.is_empty:
            rows, columns = inside.slices(box)
            result[:, rows, columns] = self.source.values(inside)
        return result

    def value_rows(self) -> Iterator[tuple[int, F32]]:
        """Yield (first row, values), float32 (channel, rows, x), from top to bottom."""
        for band in self.bounds.tiles(self.shape[2], _BAND_ROWS):
            yield band.y0, self.source.values(band)

    def overview(self, level: int) -> tuple[F32, F32]:
        """
        Return the image reduced by 2^level: value, float32 (channel, y, x), and the known share, float32 (y, x).

        Every level is `skyquilt.io.tiled.reduce_half` of the one below; known pixels count alike.

        Raises
        ------
        UsageError
            If there is no such level.
        NotEnoughMemory
            If it is larger than the memory for images.
        """
        self.check_level(level)
        if level == 0:
            self.cache.check_room(self.n_bytes)
            value = self.values(self.bounds)
            return value, _known(value)
        found = self.source.overview(level) or self.cache.find(self.handle, level)
        if found is None:
            self.cache.check_room((self.n_bytes >> (2 * level)) * 2)
            self._make_levels(level)
            found = self.cache.find(self.handle, level) or self._reduced_by_rows(level)
        return found

    def check_level(self, level: int) -> None:
        """Raise `UsageError` if there is no such level."""
        if not 0 <= level <= self.n_levels:
            raise UsageError(f"the image has no level {level}", f"its levels are 0 (full size) to {self.n_levels}")

    def level_values(self, level: int, box: Box) -> F32:
        """Return a box of a level, in pixels of that level; NaN outside of the image and where nothing is known."""
        self.check_level(level)
        if level == 0:
            return self.values(box)
        side = max(box.shape) << level
        if side <= _DIRECT_PX and self.cache.find(self.handle, level) is None and self.source.overview(level) is None:
            value = self.values(Box(box.x0 << level, box.y0 << level, box.x1 << level, box.y1 << level))
            return _halved(value, level)[0]
        whole, _ = self.overview(level)
        result = np.full((len(whole), *box.shape), np.nan, dtype=np.float32)
        bounds = Box.of_shape(*whole.shape[1:])
        inside = box.intersect(bounds)
        if not inside.is_empty:
            there, here = inside.slices(box), inside.slices(bounds)
            result[:, there[0], there[1]] = whole[:, here[0], here[1]]
        return result

    def rough_values(self, level: int, box: Box) -> F32:
        """Return what `level_values` does, but the pixel in the middle of each cell in place of the mean."""
        self.check_level(level)
        height, width = self.level_shape(level)
        result = np.full((self.shape[0], *box.shape), np.nan, dtype=np.float32)
        inside = box.intersect(Box.of_shape(height, width))
        if inside.is_empty:
            return result
        middle = (1 << level) >> 1
        columns = np.minimum((np.arange(inside.x0, inside.x1) << level) + middle, self.shape[2] - 1)
        x0, x1 = int(columns[0]), int(columns[-1]) + 1
        for y in range(inside.y0, inside.y1):
            row = min((y << level) + middle, self.shape[1] - 1)
            values = self.source.values(Box(x0, row, x1, row + 1))[:, 0]
            result[:, y - box.y0, inside.x0 - box.x0 : inside.x1 - box.x0] = values[:, columns - x0]
        return result

    def _make_levels(self, wanted: int) -> None:
        """Read the image once and keep all levels from the finest one that has room; at least the wanted one."""
        level = 1
        while level < wanted and (self.n_bytes >> (2 * level)) * 2 > self.cache.max_bytes // 2:
            level += 1
        value, coverage = self._reduced_by_rows(level)
        self.cache.keep(self.handle, level, value, coverage)
        while level < self.n_levels:
            value, coverage = _half(value, coverage)
            level += 1
            self.cache.keep(self.handle, level, value, coverage)

    def _reduced_by_rows(self, level: int) -> tuple[F32, F32]:
        """Return a level, made from the full size some rows at a time."""
        step = max(1, _BAND_ROWS >> level) << level  # whole cells, so that a band has the bits of the whole
        height, width = self.level_shape(level)
        value = np.empty((self.shape[0], height, width), dtype=np.float32)
        coverage = np.empty((height, width), dtype=np.float32)

        def work(band: Box) -> None:
            rows = slice(band.y0 >> level, (band.y0 >> level) + _reduced(band.height, level))
            value[:, rows], coverage[rows] = _halved(self.source.values(band), level)

        bands = self.bounds.tiles(self.shape[2], step)
        for _ in run_in_order(work, bands, n_threads=n_processors()):
            pass
        return value, coverage


def _halved(value: F32, level: int) -> tuple[F32, F32]:
    """Return full-size values reduced by 2^level, one or more, and their coverage."""
    value, coverage = _half(value, ALL_ALIKE)
    for _ in range(level - 1):
        value, coverage = _half(value, coverage)
    return value, coverage


def _half(value: F32, coverage: F32) -> tuple[F32, F32]:
    """Return value and coverage at half the size (see `skyquilt.io.tiled.reduce_half`)."""
    shape = (_reduced(value.shape[1], 1), _reduced(value.shape[2], 1))
    half_value = np.empty((value.shape[0], *shape), dtype=np.float32)
    half_coverage = np.empty(shape, dtype=np.float32)
    halve(np.ascontiguousarray(value), coverage, half_value, half_coverage)
    return half_value, half_coverage


def _known(value: F32) -> F32:
    """Return 1 where any channel is known, else 0."""
    return np.asarray(np.isfinite(value).any(axis=0), dtype=np.float32)


def _reduced(length: int, level: int) -> int:
    for _ in range(level):
        length = -(-length // 2)
    return length
