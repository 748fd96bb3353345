"""
Arrays in chunks, one file for each chunk, that any zarr reader of version 3 can open.

Chunks are packed and unpacked here, by the codecs of the format in its order, on the thread that has them: zarr itself
would hand each to an event loop and to a thread of its own, which takes longer than the packing.
"""

from __future__ import annotations

import contextlib
import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs.blosc import Blosc
from numpy.typing import NDArray

from skyquilt.core import Box
from skyquilt.errors import OutputBlocked
from skyquilt.io.atomic import blocked
from skyquilt.io.tiled.documents import ARRAY_DOCUMENT, array_document, group_document

__all__ = ["PLANES", "ChunkedArrays", "Sum", "level_shape", "n_levels_of"]

Sum = tuple[int, int]
"""Size and CRC-32 of the file of a chunk."""

PLANES: dict[str, tuple[np.dtype[Any], bool]] = {
    "value": (np.dtype(np.float32), True),
    "variance": (np.dtype(np.float32), True),
    "coverage": (np.dtype(np.float32), False),
    "rejected_low": (np.dtype(np.uint16), True),
    "rejected_high": (np.dtype(np.uint16), True),
}
"""The arrays of a canvas: their type, and whether they have channels."""

_OVERVIEW = ("value", "coverage")
_FILL = {name: np.nan if name in ("value", "variance") else 0 for name in PLANES}
# LZ4 over shuffled bits: noise in float32 packs to 0.73, maps of counts to 0.13, of exposure to 0.004, at 4 GB/s;
# Zstandard takes 0.71 (level 1) or 0.66 (level 5) for the noise, and is four to ten times slower
_PACKING = {"cname": "lz4", "clevel": 5, "shuffle": "bitshuffle"}
_PACK = Blosc("lz4", 5, Blosc.BITSHUFFLE)
_CRC_BYTES = 4


def level_shape(height: int, width: int, level: int) -> tuple[int, int]:
    """Return (y, x) of a level of the overview; level 0 is the canvas."""
    for _ in range(level):
        height, width = -(-height // 2), -(-width // 2)
    return height, width


def n_levels_of(height: int, width: int, chunk: int) -> int:
    """Return how often a canvas is halved until it fits into one chunk."""
    level = 0
    while max(level_shape(height, width, level)) > chunk:
        level += 1
    return level


class ChunkedArrays:
    """
    The arrays of a canvas in a folder: ``value`` ... ``rejected_high``, and ``overview/1/value`` and so on.

    Parameters
    ----------
    folder : Path
    shape : (int, int, int)
        (channel, y, x).
    chunk : int, px
        All channels of chunk x chunk pixels are one file.
    is_new : bool
        Make the arrays; else open what is there.

    Raises
    ------
    NotEnoughDisk, OutputBlocked
        If they cannot be made or opened.
    """

    def __init__(self, folder: Path, shape: tuple[int, int, int], chunk: int, *, is_new: bool) -> None:
        self.folder = folder
        self.chunk = chunk
        self.shape = shape
        self.n_levels = n_levels_of(*shape[1:], chunk)
        names = [*PLANES, *(self.name(level, part) for level in range(1, self.n_levels + 1) for part in _OVERVIEW)]
        with self._told():
            if is_new:
                self._create(names)
            for name in names:
                folder.joinpath(name, ARRAY_DOCUMENT).stat()

    @staticmethod
    def name(level: int, part: str) -> str:
        """Return the name of an array of a level."""
        return part if level == 0 else f"overview/{level}/{part}"

    def _create(self, names: list[str]) -> None:
        """Make the arrays, empty."""
        groups = ["", *(["overview"] if self.n_levels else []), *(f"overview/{k + 1}" for k in range(self.n_levels))]
        for group in groups:
            self._describe(group, group_document())
        for name in names:
            level = int(name.split("/")[1]) if "/" in name else 0
            part = name.rsplit("/", 1)[-1]
            dtype, has_channels = PLANES[part]
            channels = self.shape[:1] if has_channels else ()
            document = array_document(
                (*channels, *level_shape(*self.shape[1:], level)),
                (*channels, self.chunk, self.chunk),
                dtype,
                _FILL[part],
                _PACKING,
                (*(("channel",) if has_channels else ()), "y", "x"),
            )
            self._describe(name, document)

    def _describe(self, name: str, document: bytes) -> None:
        """Write what an array or a group is."""
        folder = self.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        _put(folder / ARRAY_DOCUMENT, document)

    def write(self, name: str, box: Box, pixels: NDArray[Any]) -> Sum:
        """
        Write one whole chunk; return size and CRC-32 of its file.

        The bytes go to a temporary file which is renamed: the chunk is the old or the new one. At the far edges of the
        array the file is filled up to a whole chunk. Chunks that are all NaN or 0 are written too: the journal has the
        checksum of every file.
        """
        with self._told():
            whole = self._empty(name)
            whole[..., : box.height, : box.width] = pixels
            data = _PACK.encode(whole)
            data += google_crc32c.value(data).to_bytes(_CRC_BYTES, "little")
            _put(self._path(name, box), data)
            return len(data), zlib.crc32(data)

    def read(self, name: str, box: Box) -> NDArray[Any]:
        """Return a box of an array, which must lie inside; NaN or 0 where nothing was written."""
        size = self.chunk
        corner = Box(box.x0 // size * size, box.y0 // size * size, box.x1, box.y1)
        whole = corner.tiles(size, size)
        parts = [(part, part.intersect(box)) for part in whole]
        if len(parts) == 1:
            return self._read_part(name, box)
        first = self._read_part(name, parts[0][1])
        result = np.empty((*first.shape[:-2], *box.shape), first.dtype)
        for k, (_, part) in enumerate(parts):
            rows, columns = part.slices(box)
            result[..., rows, columns] = self._read_part(name, part) if k else first
        return result

    def _read_part(self, name: str, box: Box) -> NDArray[Any]:
        """Return a box within one chunk."""
        rows = slice(box.y0 % self.chunk, box.y0 % self.chunk + box.height)
        columns = slice(box.x0 % self.chunk, box.x0 % self.chunk + box.width)
        with self._told():
            chunk = self._empty(name)
            try:
                data = self._path(name, box).read_bytes()
            except FileNotFoundError:
                return chunk[..., rows, columns]
            packed, crc = data[:-_CRC_BYTES], data[-_CRC_BYTES:]
            if google_crc32c.value(packed).to_bytes(_CRC_BYTES, "little") != crc:
                raise ValueError("the checksum does not fit")
            _PACK.decode(packed, chunk)
        return chunk[..., rows, columns]

    def _empty(self, name: str) -> NDArray[Any]:
        """Return a chunk in which nothing is known."""
        part = name.rsplit("/", 1)[-1]
        dtype, has_channels = PLANES[part]
        shape = (*(self.shape[:1] if has_channels else ()), self.chunk, self.chunk)
        return np.full(shape, _FILL[part], dtype.newbyteorder("<"))

    def sum(self, name: str, box: Box) -> Sum | None:
        """Return size and CRC-32 of the file of a chunk as it is now, or None if it is not there."""
        try:
            return sum_of(self._path(name, box))
        except OSError:
            return None

    def size(self, name: str, box: Box) -> int:
        """Return the bytes of the file of a chunk, -1 if it is not there."""
        try:
            return self._path(name, box).stat().st_size
        except OSError:
            return -1

    def _path(self, name: str, box: Box) -> Path:
        """Return the file of the chunk that holds a box."""
        channels = ("0",) if PLANES[name.rsplit("/", 1)[-1]][1] else ()
        return self.folder.joinpath(name, "c", *channels, str(box.y0 // self.chunk), str(box.x0 // self.chunk))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the system and the codecs say into one sentence."""
        try:
            yield
        except FileNotFoundError as error:
            raise OutputBlocked(
                f"the tiled canvas in {self.folder} is not whole: an array is missing", "remove it, then run again"
            ) from error
        except OSError as error:
            raise blocked(self.folder, error) from error
        except (ValueError, RuntimeError) as error:  # the checksum or the packing of a chunk does not fit
            raise OutputBlocked(
                f"a tile of the canvas in {self.folder} is damaged", "run again; damaged tiles are found and remade"
            ) from error


def _put(path: Path, data: bytes) -> None:
    """Write a file under another name, and rename it."""
    temporary = path.with_suffix(f".{uuid.uuid4().hex}.partial")
    try:
        try:
            temporary.write_bytes(data)
        except FileNotFoundError:  # the first of its row
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def sum_of(path: Path) -> Sum:
    """Return size and CRC-32 of a file."""
    data = path.read_bytes()
    return len(data), zlib.crc32(data)
