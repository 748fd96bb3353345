"""
The canvas while it grows: finished tiles on disk, a journal of them, and the way back after a crash.

One file holds the tiles one after the other, a second one a line for each tile that is complete with the checksum of
its bytes. A run that is killed at tile 37 finds 36 lines it can trust and goes on; bits are never guessed: a line that
is cut short or a tile whose checksum differs is done again. Both files only grow, so that no moment is a bad one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F32, I64, Box, CanvasTile
from skyquilt.errors import OutputBlocked
from skyquilt.io.atomic import blocked

__all__ = ["Journal", "JournalReader", "tile_bytes_on_disk", "unfinished_tile"]

_LINES = "journal.jsonl"
_TILES = "tiles.bin"
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def tile_bytes_on_disk(n_pixels: int, n_channels: int) -> int:
    """Return the scratch bytes of that many canvas pixels; the packed frame counts come on top, 1 to 4 bytes each."""
    return n_pixels * (n_channels * (4 + 4 + 2 + 2) + 4)


def unfinished_tile(folder: Path, key: str) -> tuple[int, int] | None:
    """Return (width, height) of the tiles that an earlier run with the same key left, or None."""
    try:
        with (folder / _LINES).open("rb") as file:
            head = _entry(file.readline(1000))
    except OSError:
        return None
    tile = head.get("tile") if head and head.get("key") == key else None
    is_tile = isinstance(tile, list) and len(tile) == 2 and all(isinstance(side, int) and side > 0 for side in tile)
    return (tile[0], tile[1]) if tile and is_tile else None


class Journal:
    """
    The store of finished tiles of one run.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    key : str
        Names everything that decides the pixels. A journal of another key or another tile is thrown away.
    tile : (int, int)
        Width and height of the tiles, px.
    n_channels, n_frames : int

    Raises
    ------
    NotEnoughDisk, OutputBlocked
        If the folder or its files cannot be made.
    """

    def __init__(self, folder: Path, key: str, tile: tuple[int, int], n_channels: int, n_frames: int) -> None:
        self.folder = folder
        self._n_channels = n_channels
        self._n_frames = n_frames
        self._done: dict[Box, tuple[int, int]] = {}
        self._lock = threading.Lock()
        self._lines = self._data = -1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lines = os.open(folder / _LINES, _FLAGS, 0o666)
            self._data = os.open(folder / _TILES, _FLAGS, 0o666)
            self._resume({"key": key, "tile": list(tile)})
        except OSError as error:
            self.close()
            raise blocked(folder, error) from error

    def _resume(self, head: dict[str, Any]) -> None:
        """Take over the complete tiles of an earlier run with the same head line, or begin anew."""
        text = (self.folder / _LINES).read_bytes()
        first, *lines = text.split(b"\n")
        if _entry(first) != head:
            os.truncate(self._lines, 0)
            os.truncate(self._data, 0)
            self._next_line = self._append(0, json.dumps(head))
            self._end = 0
            return
        n_bytes = os.fstat(self._data).st_size
        for line in lines:
            entry = _tile_entry(line)
            if entry is None:
                continue
            box, offset, size, checksum = entry
            if offset + size > n_bytes or size < self._n_pixel_bytes(box):
                continue
            if _checksum(box, _read_all(self._data, size, offset)) == checksum:
                self._done[box] = (offset, size)
        # a line that was cut short stays, ended by the line break in front of the next one
        self._next_line = len(text)
        self._end = max((offset + size for offset, size in self._done.values()), default=0)

    def _append(self, at: int, line: str) -> int:
        """Write a line at an offset of the journal; return where the next one begins."""
        text = ("\n" * (at > 0) + line).encode("ascii")
        _write_all(self._lines, text, at)
        return at + len(text)

    def _n_pixel_bytes(self, box: Box) -> int:
        return tile_bytes_on_disk(box.n_pixels, self._n_channels)

    @property
    def done(self) -> frozenset[Box]:
        """Boxes of the tiles that are complete."""
        return frozenset(self._done)

    def write(self, tile: CanvasTile, frame_counts: I64) -> None:
        """
        Keep one finished tile.

        Parameters
        ----------
        tile : CanvasTile
        frame_counts : int64 (n_frames, 3)
            Samples of every frame in this tile: that landed, that were rejected low, high.

        Raises
        ------
        NotEnoughDisk, OutputBlocked
            If the bytes cannot be stored; what was stored before stays good.
        """
        parts = (tile.value, tile.variance, tile.coverage, tile.rejected_low, tile.rejected_high)
        # small numbers, many of them alike: packed, thousands of frames take less than the pixels
        counts = zlib.compress(np.ascontiguousarray(frame_counts.T, dtype="<u4").tobytes(), 1)
        block = b"".join([*(np.ascontiguousarray(part).tobytes() for part in parts), counts])
        box = tile.box
        with self._lock:
            place = {"box": [box.x0, box.y0, box.x1, box.y1], "offset": self._end, "size": len(block)}
            entry = {**place, "crc": _checksum(box, block)}
            try:
                _write_all(self._data, block, self._end)
                self._next_line = self._append(self._next_line, json.dumps(entry))
            except OSError as error:
                raise blocked(self.folder, error) from error
            self._done[box] = (self._end, len(block))
            self._end += len(block)

    def read(self, box: Box) -> CanvasTile:
        """
        Return a finished tile.

        Raises
        ------
        OutputBlocked
            If somebody else cut the file short meanwhile, or the disk fails.
        """
        block = self._read(box, 0, self._n_pixel_bytes(box))
        c, (h, w) = self._n_channels, box.shape
        at = 0

        def take(dtype: type, *shape: int) -> NDArray[Any]:
            nonlocal at
            array: NDArray[Any] = np.frombuffer(block, dtype, int(np.prod(shape)), at).reshape(shape)
            at += array.nbytes
            return array

        return CanvasTile(
            box,
            value=take(np.float32, c, h, w),
            variance=take(np.float32, c, h, w),
            coverage=take(np.float32, h, w),
            rejected_low=take(np.uint16, c, h, w),
            rejected_high=take(np.uint16, c, h, w),
        )

    def read_values(self, box: Box) -> F32:
        """Return the values of a finished tile alone, float32 (channel, y, x)."""
        return self._read_planes(box, 0)

    def read_variance(self, box: Box) -> F32:
        """Return the variance of a finished tile alone, float32 (channel, y, x)."""
        return self._read_planes(box, 1)

    def _read_planes(self, box: Box, part: int) -> F32:
        """Return the first or the second float32 (channel, y, x) of a finished tile."""
        n_bytes = 4 * self._n_channels * box.n_pixels
        planes: F32 = np.frombuffer(self._read(box, part * n_bytes, n_bytes), np.float32)
        return planes.reshape(self._n_channels, *box.shape)

    def read_counts(self, box: Box) -> I64:
        """Return the frame counts of a finished tile, as `write` got them."""
        skipped = self._n_pixel_bytes(box)
        packed = self._read(box, skipped, self._done[box][1] - skipped)
        counts: NDArray[Any] = np.frombuffer(zlib.decompress(packed), "<u4").reshape(3, self._n_frames)
        return np.ascontiguousarray(counts.T, dtype=np.int64)

    def _read(self, box: Box, skipped: int, n_bytes: int) -> bytes:
        """Return some bytes of a finished tile."""
        try:
            with self._lock:
                block = _read_all(self._data, n_bytes, self._done[box][0] + skipped)
        except OSError as error:
            raise blocked(self.folder, error) from error
        if len(block) != n_bytes:
            raise OutputBlocked(f"the unfinished tiles in {self.folder} were cut short", "run again; they are remade")
        return block

    def close(self) -> None:
        """Let go of the files; what they hold stays for the next run."""
        for descriptor in (self._lines, self._data):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._lines = self._data = -1

    def remove(self) -> None:
        """Throw the scratch away: the products are complete."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class JournalReader:
    """
    Reads the finished tiles of a journal while a run writes it, for a live picture; it locks and changes nothing.

    Parameters
    ----------
    folder : Path
    n_channels : int
    """

    def __init__(self, folder: Path, n_channels: int) -> None:
        self._folder = folder
        self._n_channels = n_channels
        self._at = 0
        self._seen: set[Box] = set()

    def new_values(self) -> Iterator[tuple[Box, F32]]:
        """
        Yield box and values, float32 (channel, y, x), of the tiles that have landed since the last call.

        Ends where the journal ends, or is not there any more.
        """
        try:
            with (self._folder / _LINES).open("rb") as lines, (self._folder / _TILES).open("rb") as tiles:
                lines.seek(self._at)
                text = lines.read()
                # what an earlier run left may be damaged; what comes while the run is at work is read as it is
                is_proved = self._at == 0
                for line in text.split(b"\n"):
                    entry = _tile_entry(line)
                    if entry is None or entry[0] in self._seen:
                        continue
                    values = self._values(tiles, *entry, is_proved=is_proved)
                    if values is not None:
                        self._seen.add(entry[0])
                        yield entry[0], values
                # the last line may be cut short as yet: it is looked at again
                self._at += text.rfind(b"\n") + 1
        except OSError:
            return

    def _values(
        self, tiles: BinaryIO, box: Box, offset: int, size: int, checksum: int, *, is_proved: bool
    ) -> F32 | None:
        """Return the values of a tile, or None where its bytes are not there or, if proved, not those of its line."""
        n_values = self._n_channels * box.n_pixels
        wanted = size if is_proved else 4 * n_values
        tiles.seek(offset)
        block = tiles.read(wanted)
        if len(block) != wanted or size < 4 * n_values or (is_proved and _checksum(box, block) != checksum):
            return None
        values: F32 = np.frombuffer(block, np.float32, n_values).reshape(self._n_channels, *box.shape)
        return values


def _checksum(box: Box, block: bytes) -> int:
    """Return the CRC-32 of a tile, its place included: a line that names another box does not fit its bytes."""
    place = f"{box.x0} {box.y0} {box.x1} {box.y1}"
    return zlib.crc32(block, zlib.crc32(place.encode("ascii")))


def _entry(line: bytes) -> dict[str, Any] | None:
    """Return one line of the journal, or None if it is not whole."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _tile_entry(line: bytes) -> tuple[Box, int, int, int] | None:
    """Return box, offset, size and checksum of a line, or None if it is no line of a tile."""
    entry = _entry(line)
    if entry is None or set(entry) != {"box", "offset", "size", "crc"} or not isinstance(entry["box"], list):
        return None
    numbers = [*entry["box"], entry["offset"], entry["size"], entry["crc"]]
    if len(numbers) != 7 or not all(type(number) is int for number in numbers):
        return None
    x0, y0, x1, y1, offset, size, checksum = numbers
    return (Box(x0, y0, x1, y1), offset, size, checksum) if x0 < x1 and y0 < y1 and offset >= 0 else None


def _write_all(descriptor: int, block: bytes, offset: int) -> None:
    view = memoryview(block)
    while view:
        if hasattr(os, "pwrite"):
            written = os.pwrite(descriptor, view, offset)
        else:
            os.lseek(descriptor, offset, os.SEEK_SET)
            written = os.write(descriptor, view)
        view = view[written:]
        offset += written


def _read_all(descriptor: int, n_bytes: int, offset: int) -> bytes:
    """Return the bytes from an offset on, fewer where the file ends."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, n_bytes, offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    return os.read(descriptor, n_bytes)
