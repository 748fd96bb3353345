"""The canvas while it grows, on disk: tiles written by any number of processes, and read as if they were one image."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import threading
import zipfile
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F32, Box, CanvasTile, Tile
from skyquilt.errors import OutputBlocked, SkyquiltError
from skyquilt.io.arrays import read_arrays
from skyquilt.io.atomic import blocked, write_atomically
from skyquilt.io.tiled.states import States

if TYPE_CHECKING:
    from skyquilt.io.tiled.arrays import ChunkedArrays

__all__ = ["TiledCanvas"]

_HEAD = "canvas.json"
_ARRAYS = "canvas.zarr"
_VERSION = 1


class TiledCanvas:
    """
    A canvas in a folder: arrays in the zarr format (version 3) and the journals of those who write them.

    Made by `create` or `open`. It is a `PixelSource`: `read` gives any box, masked where no finished tile is.

    What holds, whatever happens:

    - A tile counts as done when its line is in a journal, which is after all of its chunks are in their places. A
      process that is killed, or a disk that is full, at any moment leaves the tile undone, or done, and no other
      tile touched.
    - Every line has the size and the CRC-32 of the chunks. `done` compares the sizes, `verify` the bytes: a run that
      goes on after a power cut or on a doubtful disk calls it first (nothing is flushed to the disk tile by tile).
      Every chunk has a CRC-32C of its own, too: a reader never gets damaged pixels.
    - Processes with different writer names may write different tiles at the same time, threads of one as well.
    - No file stays open between two calls, and one at a time is open within a call.

    On disk: ``canvas.json`` (what the canvas is), ``canvas.zarr`` (the arrays, readable by any zarr of version 3),
    ``journal-<writer>.jsonl`` and ``side-<writer>.bin``.
    """

    def __init__(self, folder: Path, head: dict[str, Any], arrays: ChunkedArrays, writer: str | None) -> None:
        self.folder = folder
        self.key: str = head["key"]
        self.chunk: int = head["chunk"]
        self._arrays = arrays
        self._states = States(folder, writer, arrays)
        self._lock = threading.Lock()  # one pass over the overview at a time
        self.shape: tuple[int, int, int] = arrays.shape

    @classmethod
    def create(
        cls,
        folder: Path,
        key: str,
        width: int,
        height: int,
        n_channels: int,
        *,
        chunk: int = 512,
        writer: str = "main",
    ) -> TiledCanvas:
        """
        Make a canvas, or take over the one that an earlier run with the same arguments left.

        Parameters
        ----------
        folder : Path
            Made if it is missing.
        key : str
            Names what all tiles have in common (the place on the sky, settings). A canvas of another key, size or
            chunk is thrown away. What a single tile is made of is told to `write`.
        width, height : int, px
        n_channels : int
        chunk : int, px, even
            Side of the tiles.
        writer : str
            Name of this process among those that write at the same time.

        Raises
        ------
        NotEnoughDisk, OutputBlocked
            If it cannot be made.

        Notes
        -----
        One process makes it before others `open` it: half-written files of killed processes are removed here.
        """
        folder = Path(folder)
        if min(width, height, n_channels) < 1 or chunk < 2 or chunk % 2:
            raise ValueError(f"a canvas of {width} x {height} px, {n_channels} channels, chunks of {chunk} is none")
        head = {
            "schema_id": "skyquilt.tiled",
            "schema_version": _VERSION,
            "key": key,
            "shape": [n_channels, height, width],
            "chunk": chunk,
        }
        if _read_head(folder) == head:
            with contextlib.suppress(OSError):
                for path in folder.rglob("*"):
                    if path.suffix in (".partial", ".part"):  # of killed processes
                        path.unlink(missing_ok=True)
            return cls._opened(folder, head, writer)
        _throw_away(folder)
        from skyquilt.io.tiled.arrays import ChunkedArrays

        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise blocked(folder / _HEAD, error) from error
        arrays = ChunkedArrays(folder / _ARRAYS, (n_channels, height, width), chunk, is_new=True)
        write_atomically(folder / _HEAD, json.dumps(head, indent=1).encode("ascii"))
        return cls(folder, head, arrays, writer)

    @classmethod
    def open(cls, folder: Path, key: str | None = None, *, writer: str | None = None) -> TiledCanvas:
        """
        Open a canvas that is there.

        Parameters
        ----------
        folder : Path
        key : str or None
            What it must be; None: whatever it is.
        writer : str or None
            As for `create`; None: it is only read, and its overview as far as others keep it.

        Raises
        ------
        OutputBlocked
            If there is none, or one of another key.
        """
        folder = Path(folder)
        head = _read_head(folder)
        if head is None:
            raise OutputBlocked(f"there is no tiled canvas in {folder}", "run the mosaic first")
        if key is not None and head["key"] != key:
            raise OutputBlocked(f"the tiled canvas in {folder} is of another mosaic", "choose another folder")
        return cls._opened(folder, head, writer)

    @classmethod
    def _opened(cls, folder: Path, head: dict[str, Any], writer: str | None) -> TiledCanvas:
        from skyquilt.io.tiled.arrays import ChunkedArrays

        channels, height, width = head["shape"]
        arrays = ChunkedArrays(folder / _ARRAYS, (channels, height, width), head["chunk"], is_new=False)
        return cls(folder, head, arrays, writer)

    def __enter__(self) -> TiledCanvas:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._states.can_write:
            self.settle()

    @property
    def n_channels(self) -> int:
        return self.shape[0]

    @property
    def bounds(self) -> Box:
        return Box.of_shape(*self.shape[1:])

    @property
    def n_levels(self) -> int:
        """Levels of the overview; level 1 has half the size of the canvas, the last one fits into a tile."""
        return self._arrays.n_levels

    def tiles(self) -> Iterator[Box]:
        """Yield the boxes of all tiles, row by row."""
        return self.bounds.tiles(self.chunk, self.chunk)

    def write(self, tile: CanvasTile, key: str = "", side: Mapping[str, NDArray[Any]] | None = None) -> None:
        """
        Keep one finished tile, and bring the overview up where it completes a part of it.

        Parameters
        ----------
        tile : CanvasTile
            Its box is one of `tiles`.
        key : str
            Names what went into this tile (a digest of frames and terms): a later run asks `done` for it.
        side : dict of arrays of numbers or text, or None
            Small data kept with the tile, e.g. how many samples each frame gave.

        Raises
        ------
        NotEnoughDisk, OutputBlocked
            If the bytes cannot be stored; what was stored before stays good.
        """
        self._check(tile)
        self._states.must_write()
        turn = self._states.begin(tile.box)
        from skyquilt.io.tiled.arrays import PLANES

        sums = {name: self._arrays.write(name, tile.box, getattr(tile, name)) for name in PLANES}
        self._states.finish(tile.box, turn, key, sums, _pack(side) if side else None)
        with self._lock:
            self._states.lift(tile.box)

    def _check(self, tile: CanvasTile) -> None:
        """Raise if a tile does not fit into its place."""
        box = tile.box
        if box.is_empty or box.x0 % self.chunk or box.y0 % self.chunk or box != self._tile_at(box.x0, box.y0):
            raise ValueError(f"{box} is no tile of this canvas")
        expected = (self.n_channels, *box.shape)
        for name in ("value", "variance", "rejected_low", "rejected_high"):
            if getattr(tile, name).shape != expected:
                raise ValueError(f"the {name} of {box} is {getattr(tile, name).shape}, not {expected}")
        if tile.coverage.shape != box.shape:
            raise ValueError(f"the coverage of {box} is {tile.coverage.shape}, not {box.shape}")

    def _tile_at(self, x0: int, y0: int) -> Box:
        return Box(x0, y0, x0 + self.chunk, y0 + self.chunk).intersect(self.bounds)

    def done(self, keys: Mapping[Box, str] | None = None) -> frozenset[Box]:
        """
        Return the tiles that need not be done again.

        Parameters
        ----------
        keys : dict of Box to str, or None
            What each tile should be made of: tiles of another key, or that are not named, are not done. None: all.

        Notes
        -----
        The sizes of the chunks on disk are compared with the journals; `verify` reads the bytes.
        """
        done = self._states.done()
        if keys is None:
            return frozenset(done)
        return frozenset(box for box, entry in done.items() if keys.get(box) == entry.key)

    def verify(self) -> frozenset[Box]:
        """
        Return the tiles whose chunks or small data are not what was written; they are not done any more.

        Reads every byte. Damaged parts of the overview are remade when they are asked for.
        """
        with self._lock:
            return self._states.verify()

    def side(self, box: Box) -> dict[str, NDArray[Any]]:
        """
        Return the small data of a finished tile, as `write` got them; empty if there are none.

        Raises
        ------
        OutputBlocked
            If the tile is not done, or its small data are damaged.
        """
        entry = self._states.entry(box)
        if entry is None:
            raise OutputBlocked(f"the tile {box} of the canvas is not done", "run again; it is made then")
        if entry.side is None:
            return {}
        data = self._states.journals.read_side(entry.side)
        try:
            if data is not None:
                return read_arrays(io.BytesIO(data))
        except (ValueError, OSError, zipfile.BadZipFile):
            pass
        raise OutputBlocked(f"the small data of tile {box} are damaged", "run again; the tile is remade")

    def read(self, box: Box) -> Tile:
        """Return the values of a box, 0 and masked where a channel is not known (`PixelSource`)."""
        value = self.values(box)
        mask = np.logical_and.reduce(np.isfinite(value), axis=0)
        value[:, ~mask] = 0.0
        return Tile(value, mask, box)

    def values(self, box: Box) -> F32:
        """
        Return the values of any box, float32 (channel, y, x); NaN where there is no finished tile.

        Raises
        ------
        OutputBlocked
            If a chunk is damaged.
        """
        return self._assemble("value", box, self._states.trusted())

    def planes(self, box: Box) -> CanvasTile:
        """Return all that is known of any box; NaN and 0 where there is no finished tile."""
        trusted = self._states.trusted()
        parts = ("value", "variance", "coverage", "rejected_low", "rejected_high")
        return CanvasTile(box, *(self._assemble(name, box, trusted) for name in parts))

    def plane(self, name: str, box: Box) -> NDArray[Any]:
        """Return a box of one of the arrays, "value" ... "rejected_high"; NaN or 0 where there is no finished tile."""
        return self._assemble(name, box, self._states.trusted())

    def _assemble(self, name: str, box: Box, trusted: Mapping[Box, Mapping[str, tuple[int, int]]]) -> NDArray[Any]:
        """Return a box of one array."""
        from skyquilt.io.tiled.arrays import PLANES

        dtype, has_channels = PLANES[name]
        shape = (*((self.n_channels,) if has_channels else ()), *box.shape)
        result: NDArray[Any] = np.zeros(shape, np.dtype(dtype))
        if name in ("value", "variance"):
            result.fill(np.nan)
        inside = box.intersect(self.bounds)
        if inside.is_empty:
            return result
        first = Box(inside.x0 // self.chunk * self.chunk, inside.y0 // self.chunk * self.chunk, inside.x1, inside.y1)
        for corner in first.tiles(self.chunk, self.chunk):
            tile = self._tile_at(corner.x0, corner.y0)
            sums = trusted.get(tile)
            if sums is None:
                continue
            if self._arrays.size(name, tile) != sums[name][0]:
                raise OutputBlocked(f"the tile {tile} of the canvas is damaged", "run again; it is found and remade")
            part = tile.intersect(inside)
            rows, columns = part.slices(box)
            result[..., rows, columns] = self._arrays.read(name, part)
        return result

    def value_rows(self) -> Iterator[tuple[int, F32]]:
        """Yield (first row, values) of each row of tiles, float32 (channel, rows, width), from top to bottom."""
        for band in self._bands():
            yield band.y0, self.values(band)

    def bands(self) -> Iterator[CanvasTile]:
        """Yield all that is known of each row of tiles, from top to bottom."""
        for band in self._bands():
            yield self.planes(band)

    def _bands(self) -> Iterator[Box]:
        for _, boxes in groupby(self.tiles(), key=lambda box: box.y0):
            row = list(boxes)
            yield row[0].union(row[-1])

    def overview(self, level: int) -> tuple[F32, F32]:
        """
        Return the canvas reduced by 2^level: value, float32 (channel, y, x), and coverage, float32 (y, x), seconds.

        Level 0 is the canvas. What is there of level k + 1 is `reduce_half` of level k. One who may write first brings
        the overview up to the tiles that there are; one who only reads gets what others have kept.
        """
        if not 0 <= level <= self.n_levels:
            raise ValueError(f"level {level} is not between 0 and {self.n_levels}")
        if level == 0:
            trusted = self._states.trusted()
            return self._assemble("value", self.bounds, trusted), self._assemble("coverage", self.bounds, trusted)
        if self._states.can_write:
            with self._lock:
                self._states.bring_up(proves=False)
        return self._states.read_level(level)

    def settle(self) -> None:
        """
        Bring the overview up to the tiles, and read it all to make sure of it.

        Called when all writers are through: what two of them did to the overview at the same time, or what a killed
        one left undone, is put right.
        """
        self._states.must_write()
        with self._lock:
            self._states.bring_up(proves=True)

    def remove(self) -> None:
        """Throw the canvas away."""
        _throw_away(self.folder)
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def _pack(side: Mapping[str, NDArray[Any]]) -> bytes:
    packed = io.BytesIO()
    np.savez_compressed(packed, allow_pickle=False, **dict(side))
    return packed.getvalue()


def _read_head(folder: Path) -> dict[str, Any] | None:
    """Return what the canvas in a folder is, None if there is none that is whole."""
    try:
        head = json.loads((folder / _HEAD).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    is_head = isinstance(head, dict) and head.get("schema_id") == "skyquilt.tiled"
    return head if is_head and head.get("schema_version") == _VERSION else None


def _throw_away(folder: Path) -> None:
    """Remove a canvas, its head first: what is half removed is no canvas."""
    try:
        (folder / _HEAD).unlink(missing_ok=True)
        for pattern in ("journal-*.jsonl", "side-*.bin"):
            for path in folder.glob(pattern):
                path.unlink()
        if (folder / _ARRAYS).exists():
            shutil.rmtree(folder / _ARRAYS)
    except NotADirectoryError as error:
        raise blocked(folder / _HEAD, error) from error
    except OSError as error:
        raise _cannot_remove(folder, error) from error


def _cannot_remove(folder: Path, error: OSError) -> SkyquiltError:
    reason = error.strerror or type(error).__name__
    return OutputBlocked(f"the old canvas in {folder} cannot be removed: {reason}", "remove it, or choose another")
