"""Where the pixels of an opened image come from: a file, a tiled canvas, or memory."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from skyquilt.core import F32, Box, PixelSource
from skyquilt.io.tiled import TiledCanvas

__all__ = ["ArraySource", "CanvasSource", "FileSource", "ImageSource"]


class ImageSource(Protocol):
    """Values of any box within an image, float32 (channel, y, x); NaN where nothing is known."""

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def values(self, box: Box) -> F32: ...

    def overview(self, level: int) -> tuple[F32, F32] | None:
        """Return value and coverage of a reduced level (1 and up) that is kept already, or None."""
        ...


class FileSource:
    """A file that is read at the box, or a debayered one: no pixels are held."""

    def __init__(self, source: PixelSource) -> None:
        self._source = source

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self._source.n_channels, *self._source.bounds.shape)

    def values(self, box: Box) -> F32:
        tile = self._source.read(box)
        pixels = tile.pixels
        if not tile.mask.all():
            pixels = np.where(tile.mask, pixels, np.float32(np.nan))
        return np.ascontiguousarray(pixels, dtype=np.float32)

    def overview(self, level: int) -> tuple[F32, F32] | None:
        return None


class ArraySource:
    """Pixels in memory, float32 (channel, y, x)."""

    def __init__(self, pixels: F32) -> None:
        self._pixels = pixels

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self._pixels.shape
        return channels, height, width

    def values(self, box: Box) -> F32:
        return self._pixels[:, box.y0 : box.y1, box.x0 : box.x1]

    def overview(self, level: int) -> tuple[F32, F32] | None:
        return None


class CanvasSource:
    """The values of a mosaic's tiled canvas, with the overview that lies beside them."""

    def __init__(self, canvas: TiledCanvas) -> None:
        self._canvas = canvas

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._canvas.shape

    def values(self, box: Box) -> F32:
        return self._canvas.values(box)

    def overview(self, level: int) -> tuple[F32, F32] | None:
        return self._canvas.overview(level) if level <= self._canvas.n_levels else None
