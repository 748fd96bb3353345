"""The one door to zarr: arrays in chunks, one file for each chunk, that any zarr reader of version 3 can open."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec
from zarr.storage import LocalStore

from skyquilt.core import Box
from skyquilt.errors import OutputBlocked
from skyquilt.io.atomic import blocked

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
# LZ4 over shuffled bits: noise in float32 packs to 0.73, maps of counts to 0.13, of exposure to 0.004, at 4 GB/s;
# Zstandard takes 0.71 (level 1) or 0.66 (level 5) for the noise, and is four to ten times slower
_PACKING = {"cname": "lz4", "clevel": 5, "shuffle": "bitshuffle"}


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
        self._arrays: dict[str, Any] = {}
        names = [*PLANES, *(self.name(level, part) for level in range(1, self.n_levels + 1) for part in _OVERVIEW)]
        with self._told():
            self._store = LocalStore(folder)
            if is_new:
                self._create(zarr.create_group(self._store, zarr_format=3), names)
            for name in names:
                folder.joinpath(name, "zarr.json").stat()

    @staticmethod
    def name(level: int, part: str) -> str:
        """Return the name of an array of a level."""
        return part if level == 0 else f"overview/{level}/{part}"

    def _array(self, name: str) -> Any:
        """Return an array, opened when it is first asked for."""
        if name not in self._arrays:
            array = cast(Any, zarr.open_array(self._store, path=name, mode="r+"))
            # chunks that are all NaN are written too: the journal has the checksum of every file
            self._arrays[name] = array.with_config({"write_empty_chunks": True})
        return self._arrays[name]

    def _create(self, group: Any, names: list[str]) -> None:
        """Make the arrays, empty."""
        for level in range(1, self.n_levels + 1):
            group.require_group(f"overview/{level}")
        for name in names:
            level = int(name.split("/")[1]) if "/" in name else 0
            dtype, has_channels = PLANES[name.rsplit("/", 1)[-1]]
            channels = self.shape[:1] if has_channels else ()
            group.create_array(
                name,
                shape=(*channels, *level_shape(*self.shape[1:], level)),
                chunks=(*channels, self.chunk, self.chunk),
                dtype=dtype,
                fill_value=np.nan if name.endswith(("value", "variance")) else 0,
                compressors=[BloscCodec(**cast(Any, _PACKING)), Crc32cCodec()],
                dimension_names=(*(("channel",) if has_channels else ()), "y", "x"),
            )

    def write(self, name: str, box: Box, pixels: NDArray[Any]) -> Sum:
        """
        Write one whole chunk; return size and CRC-32 of its file.

        The bytes go to a temporary file which is renamed (zarr's LocalStore): the chunk is the old or the new one.
        """
        with self._told():
            array = self._array(name)
            array[(..., slice(box.y0, box.y1), slice(box.x0, box.x1))] = np.asarray(pixels, array.dtype)
            return sum_of(self._path(name, box))

    def read(self, name: str, box: Box) -> NDArray[Any]:
        """Return a box of an array, which must lie inside; NaN or 0 where nothing was written."""
        with self._told():
            part = self._array(name)[(..., slice(box.y0, box.y1), slice(box.x0, box.x1))]
        return np.asarray(part)

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
        """Turn what the system and zarr say into one sentence."""
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


def sum_of(path: Path) -> Sum:
    """Return size and CRC-32 of a file."""
    data = path.read_bytes()
    return len(data), zlib.crc32(data)
