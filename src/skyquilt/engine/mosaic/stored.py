"""The assembled canvas, read in strips from its store, in the unit of the products."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from skyquilt.core import F32, U16, Box, Tile
from skyquilt.io.tiled import TiledCanvas
from skyquilt.kernels.coverage import coverage_box

__all__ = ["StoredCanvas"]

_OVERVIEW_PX = 2048


class StoredCanvas:
    """
    A complete canvas.

    Parameters
    ----------
    store : TiledCanvas
    scale : float
        Factor that brings the values to the unit of the products.
    n_rows : int
        Rows of a strip; a divisor or a multiple of the chunk's side reads every chunk as few times as can be.
    """

    def __init__(self, store: TiledCanvas, scale: float, n_rows: int) -> None:
        self.store = store
        self._scale = np.float32(scale)
        self._n_rows = n_rows

    @property
    def box(self) -> Box:
        return self.store.bounds

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channel, y, x)."""
        return self.store.shape

    @property
    def bounds(self) -> Box:
        return self.store.bounds

    @property
    def n_channels(self) -> int:
        return self.store.n_channels

    def read(self, box: Box) -> Tile:
        """Return the values of a box, 0 and masked where nothing is known (`PixelSource`)."""
        tile = self.store.read(box)
        return Tile(tile.pixels * self._scale, tile.mask, tile.box)

    def values(self, box: Box) -> F32:
        """Return the values of a box, float32 (channel, y, x); NaN where nothing is known."""
        return self.store.values(box) * self._scale

    def value_rows(self) -> Iterator[tuple[int, F32]]:
        """Yield (first row, values), float32 (channel, rows, x), from top to bottom."""
        for strip in self._strips():
            yield strip.y0, self.store.plane("value", strip) * self._scale

    def variance_rows(self) -> Iterator[tuple[int, F32]]:
        """Yield (first row, variance), float32 (channel, rows, x)."""
        for strip in self._strips():
            yield strip.y0, self.store.plane("variance", strip) * self._scale * self._scale

    def coverage_rows(self) -> Iterator[tuple[int, F32]]:
        """Yield (first row, coverage), float32 (rows, x), seconds."""
        for strip in self._strips():
            yield strip.y0, self.store.plane("coverage", strip)

    def rejected_low_rows(self) -> Iterator[tuple[int, U16]]:
        """Yield (first row, counts), uint16 (channel, rows, x)."""
        for strip in self._strips():
            yield strip.y0, self.store.plane("rejected_low", strip)

    def rejected_high_rows(self) -> Iterator[tuple[int, U16]]:
        """Yield (first row, counts), uint16 (channel, rows, x)."""
        for strip in self._strips():
            yield strip.y0, self.store.plane("rejected_high", strip)

    def _strips(self) -> Iterator[Box]:
        return self.box.tiles(self.box.width, self._n_rows)

    def overview(self) -> tuple[F32, F32, int]:
        """Return values and coverage, reduced until they are 2048 px at the most, and by which factor."""
        level = 0
        while max(self.box.shape) >> level > _OVERVIEW_PX:
            level += 1
        value, coverage = self.store.overview(level)
        return value * self._scale, coverage, 2**level

    def picture_box(self, crop: float | None) -> Box:
        """Return the part of the canvas that the pictures show: all, or what is covered to that share of the most."""
        if crop is None:
            return self.box
        _, coverage, factor = self.overview()
        cut = coverage_box(coverage, crop)
        if cut.is_empty:
            return self.box
        return Box(cut.x0 * factor, cut.y0 * factor, cut.x1 * factor, cut.y1 * factor).intersect(self.box)
