"""The picture of a run while it grows, from the tiles that have landed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from skyquilt.core import F32, F64, Box, Event
from skyquilt.engine.images.cache import PixelCache
from skyquilt.engine.images.image import ImageFacts, OpenImage
from skyquilt.engine.images.sources import ArraySource
from skyquilt.engine.journal import JournalReader
from skyquilt.errors import NoUsableInput, SkyquiltError
from skyquilt.io.arrays import read_array
from skyquilt.io.tiled import TiledCanvas

__all__ = ["LivePicture"]

_LONGEST_PX = 1024
_LEVEL_BYTES = 64_000_000


class Tiles(Protocol):
    """Gives the tiles that have landed since it was last asked."""

    def new_values(self) -> Iterator[tuple[Box, F32]]: ...


class _StoreReader:
    """Reads the finished tiles of a mosaic's canvas while others write it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._canvas: TiledCanvas | None = None
        self._seen: set[Box] = set()

    def new_values(self) -> Iterator[tuple[Box, F32]]:
        try:
            if self._canvas is None:
                self._canvas = TiledCanvas.open(self._folder)
            for box in sorted(self._canvas.done() - self._seen, key=lambda box: (box.y0, box.x0)):
                values = self._canvas.values(box)
                self._seen.add(box)
                yield box, values
        except (SkyquiltError, OSError):  # made anew, or removed since the mosaic is complete
            return


class LivePicture:
    """
    A listener of a run that can show the canvas at any moment, at most 1024 px long.

    It holds the rough picture alone; every tile is read once, when it is asked for its image.

    Parameters
    ----------
    name : str
        What the picture is called.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._tiles: Tiles | None = None
        self._whole: Path | None = None
        self._canvas = Box(0, 0, 0, 0)
        self._cell = 1
        self._total: F64 = np.zeros((1, 0, 0))
        self._count: F64 = np.zeros((1, 0, 0))

    def __call__(self, event: Event) -> None:
        """Take in one event: it says where the tiles of an integration will be, or where a live picture lies."""
        data = event.data
        if "values" in data:
            with self._lock:
                self._whole = Path(data["values"])
            return
        if event.kind != "phase" or "canvas" not in data:
            return
        tiles: Tiles = (
            JournalReader(Path(data["journal"]), data["channels"])
            if "journal" in data
            else _StoreReader(Path(data["store"]))
        )
        with self._lock:
            self._tiles, self._whole = tiles, None
            self._canvas = Box(*data["canvas"])
            self._cell = max(1, -(-max(self._canvas.shape) // _LONGEST_PX))
            shape = (data["channels"], *(-(-side // self._cell) for side in self._canvas.shape))
            self._total, self._count = np.zeros(shape), np.zeros(shape)

    def image(self) -> OpenImage:
        """
        Return what has landed: means over cells of the canvas, NaN where nothing has.

        Raises
        ------
        NoUsableInput
            If the integration has not begun.
        """
        with self._lock:
            if self._whole is not None:
                return self._shown(self._read_whole(self._whole))
            if self._tiles is None:
                raise NoUsableInput(f"{self._name} has no picture yet", "ask again when it integrates")
            for box, values in self._tiles.new_values():
                self._add(box, values)
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = (self._total / self._count).astype(np.float32)
        return self._shown(mean)

    def _shown(self, values: F32) -> OpenImage:
        return OpenImage(
            ArraySource(values), ImageFacts(self._name, None, "growing"), PixelCache(_LEVEL_BYTES), self._name
        )

    def _read_whole(self, path: Path) -> F32:
        """Return the picture that a live stack writes anew with every frame."""
        try:
            values: F32 = read_array(path)
        except (OSError, ValueError) as error:
            raise NoUsableInput(f"{self._name} has no picture any more", "ask again when it integrates") from error
        return values

    def _add(self, box: Box, values: F32) -> None:
        """Add a tile to the cells that it covers, in part or in whole."""
        cell = self._cell
        x0, y0 = box.x0 - self._canvas.x0, box.y0 - self._canvas.y0
        if not self._canvas.contains(box) or len(values) != len(self._total):
            return
        before_y, before_x = y0 % cell, x0 % cell
        rows, columns = -(-(before_y + box.height) // cell), -(-(before_x + box.width) // cell)
        padded = np.full((len(values), rows * cell, columns * cell), np.nan)
        padded[:, before_y : before_y + box.height, before_x : before_x + box.width] = values
        cells = padded.reshape(len(values), rows, cell, columns, cell)
        known = np.isfinite(cells)
        there = (slice(None), slice(y0 // cell, y0 // cell + rows), slice(x0 // cell, x0 // cell + columns))
        self._total[there] += np.where(known, cells, 0.0).sum(axis=(2, 4))
        self._count[there] += known.sum(axis=(2, 4))
