"""An image on its way through a chain: any box of it can be asked for, in memory or, where it is large, on disk."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import numpy as np

from skyquilt.core import F32, Box
from skyquilt.io.atomic import blocked

__all__ = ["DiskImage", "MemoryImage", "WorkingImage", "row_bands", "sampled"]

_BAND_BYTES = 1 << 20  # stays in the second-level cache from operation to operation
_LEAST_ROWS = 16
_PIECE = 1 << 22


class WorkingImage(Protocol):
    """
    Pixels, float32 (c, y, x), NaN where there is no data.

    `read` gives a box that lies within, not to be changed. `write` puts pixels at a place; several threads may write
    at once where they do not overlap. `cropped` is a view of a box. `blank` is another image of the same kind, its
    pixels not yet written.
    """

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def read(self, box: Box) -> F32: ...

    def write(self, x0: int, y0: int, pixels: F32) -> None: ...

    def cropped(self, box: Box) -> WorkingImage: ...

    def blank(self, shape: tuple[int, int, int]) -> WorkingImage: ...


class MemoryImage:
    """An image that is an array."""

    def __init__(self, pixels: F32) -> None:
        self.pixels = pixels

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self.pixels.shape
        return channels, height, width

    def read(self, box: Box) -> F32:
        part: F32 = self.pixels[:, box.y0 : box.y1, box.x0 : box.x1]
        return part

    def write(self, x0: int, y0: int, pixels: F32) -> None:
        self.pixels[:, y0 : y0 + pixels.shape[1], x0 : x0 + pixels.shape[2]] = pixels

    def cropped(self, box: Box) -> MemoryImage:
        return MemoryImage(self.pixels[:, box.y0 : box.y1, box.x0 : box.x1])

    def blank(self, shape: tuple[int, int, int]) -> MemoryImage:
        return MemoryImage(np.empty(shape, dtype=np.float32))


class _ScratchFile:
    """A file without a name, plane after plane of float32; it is gone when nobody holds it."""

    def __init__(self, folder: Path, shape: tuple[int, int, int]) -> None:
        self.folder, self.shape = folder, shape
        self._descriptor, self._path = -1, ""
        try:
            self._descriptor, self._path = tempfile.mkstemp(".part", ".skyquilt-", folder)
            if os.name != "nt":  # taken away at once: nothing is left behind, however the process ends
                os.unlink(self._path)  # noqa: PTH108  # may run while the interpreter ends
        except OSError as cause:
            raise blocked(folder / "scratch", cause) from cause
        self._lock = threading.Lock()

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            if os.name == "nt":
                os.unlink(self._path)  # noqa: PTH108

    def offset(self, channel: int, y: int, x: int) -> int:
        """Return where a pixel lies."""
        _, height, width = self.shape
        return 4 * ((channel * height + y) * width + x)

    def fill(self, view: memoryview, offset: int) -> None:
        """Fill memory with the bytes from an offset on."""
        while len(view):
            piece = self._read(len(view), offset)
            if not piece:
                raise ValueError("pixels of a scratch image are read that were never written")
            view[: len(piece)] = piece
            view, offset = view[len(piece) :], offset + len(piece)

    def _read(self, size: int, offset: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, min(size, _PIECE), offset)
        with self._lock:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, min(size, _PIECE))

    def put(self, data: memoryview, offset: int) -> None:
        """Write bytes at an offset."""
        try:
            while len(data):
                done = self._write(data, offset)
                data, offset = data[done:], offset + done
        except OSError as cause:
            raise blocked(self.folder / "scratch", cause) from cause

    def _write(self, data: memoryview, offset: int) -> int:
        if hasattr(os, "pwrite"):
            return os.pwrite(self._descriptor, data, offset)
        with self._lock:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.write(self._descriptor, data)


class DiskImage:
    """
    An image in a file that vanishes with it.

    Parameters
    ----------
    folder : Path
        Where the file goes.
    shape : (c, y, x)

    Raises
    ------
    NotEnoughDisk, OutputBlocked
        From the constructor and from `write`.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int]) -> None:
        self._file = _ScratchFile(folder, shape)
        self._box = Box.of_shape(shape[1], shape[2])

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._file.shape[0], self._box.height, self._box.width

    def read(self, box: Box) -> F32:
        out = np.empty((self._file.shape[0], *box.shape), dtype=np.float32)
        x, y = box.x0 + self._box.x0, box.y0 + self._box.y0
        for channel, plane in enumerate(out):
            if box.width == self._file.shape[2]:
                self._file.fill(_bytes(plane), self._file.offset(channel, y, x))
                continue
            for k, row in enumerate(plane):
                self._file.fill(_bytes(row), self._file.offset(channel, y + k, x))
        return out

    def write(self, x0: int, y0: int, pixels: F32) -> None:
        x, y = x0 + self._box.x0, y0 + self._box.y0
        for channel, plane in enumerate(np.ascontiguousarray(pixels, dtype=np.float32)):
            if plane.shape[1] == self._file.shape[2]:
                self._file.put(_bytes(plane), self._file.offset(channel, y, x))
                continue
            for k, row in enumerate(plane):
                self._file.put(_bytes(row), self._file.offset(channel, y + k, x))

    def cropped(self, box: Box) -> DiskImage:
        """Return the view of a box of the same file."""
        view = object.__new__(DiskImage)
        x0, y0 = self._box.x0, self._box.y0
        view._file, view._box = self._file, Box(box.x0 + x0, box.y0 + y0, box.x1 + x0, box.y1 + y0)
        return view

    def blank(self, shape: tuple[int, int, int]) -> DiskImage:
        return DiskImage(self._file.folder, shape)


def _bytes(pixels: F32) -> memoryview:
    return pixels.data.cast("B")


def row_bands(shape: tuple[int, int, int], multiple: int = 1) -> Iterator[tuple[int, int]]:
    """Yield (first row, row after the last) of bands of about a megabyte, of a multiple of rows each."""
    rows = max(_LEAST_ROWS, _BAND_BYTES // max(1, 4 * shape[0] * shape[2]))
    rows = -(-rows // multiple) * multiple
    for y0 in range(0, shape[1], rows):
        yield y0, min(y0 + rows, shape[1])


def sampled(image: WorkingImage, n: int) -> F32:
    """Return every k-th row and column, about `n` pixels: the bits of `steps.finish.sample_pixels` of the array."""
    channels, height, width = image.shape
    step = max(1, int(np.sqrt(height * width / n)))
    rows = [image.read(Box(0, y, width, y + 1))[:, :, ::step] for y in range(0, height, step)]
    return np.ascontiguousarray(np.concatenate(rows, axis=1)) if rows else np.empty((channels, 0, 0), np.float32)
