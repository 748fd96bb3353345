"""
The canvas while it grows: finished tiles on disk, a journal of them, and the way back after a crash.

One file holds the tiles one after the other, a second one a line for each tile that is complete with the checksum of
its bytes. A run that is killed at tile 37 finds 36 lines it can trust and goes on; bits are never guessed: a line that
is cut short or a tile whose checksum differs is done again.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F32, I64, U16, Box
from skyquilt.io.atomic import blocked

__all__ = ["CanvasTile", "Journal", "tile_bytes_on_disk"]


@dataclass(frozen=True, slots=True, eq=False)
class CanvasTile:
    """
    What is kept of one integrated tile.

    Attributes
    ----------
    value, variance : float32 (channel, y, x)
    coverage : float32 (y, x), seconds
    rejected_low, rejected_high : uint16 (channel, y, x)
    frame_counts : int64 (n_frames, 3)
        Samples of every frame in this tile: that landed, that were rejected low, high.
    """

    box: Box
    value: F32
    variance: F32
    coverage: F32
    rejected_low: U16
    rejected_high: U16
    frame_counts: I64


def tile_bytes_on_disk(n_pixels: int, n_channels: int) -> int:
    """Return the scratch bytes of that many canvas pixels, the frame counts left out."""
    return n_pixels * (n_channels * (4 + 4 + 2 + 2) + 4)


class Journal:
    """
    The store of finished tiles of one run.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    key : str
        Names everything that decides the pixels and the tiling. A journal of another key is thrown away.
    n_channels, n_frames : int
    """

    def __init__(self, folder: Path, key: str, n_channels: int, n_frames: int) -> None:
        self.folder = folder
        self._n_channels = n_channels
        self._n_frames = n_frames
        self._done: dict[Box, int] = {}
        self._lock = threading.Lock()
        try:
            self._open(key)
        except OSError as error:
            raise blocked(folder, error) from error

    def _open(self, key: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        journal = self.folder / "journal.jsonl"
        if not self._resume(journal, key):
            journal.write_text(json.dumps({"key": key}) + "\n")
            (self.folder / "tiles.bin").write_bytes(b"")
            self._done = {}
        self._data = os.open(self.folder / "tiles.bin", os.O_RDWR)
        self._end = max((offset + self._size(box) for box, offset in self._done.items()), default=0)
        self._journal = journal.open("a", encoding="ascii")

    def _resume(self, journal: Path, key: str) -> bool:
        """Take over the complete tiles of an earlier run with the same key; the journal is cut after the last."""
        if not journal.exists() or not (self.folder / "tiles.bin").exists():
            return False
        lines = journal.read_bytes().split(b"\n")
        if _entry(lines[0]) != {"key": key}:
            return False
        kept = [lines[0]]
        with (self.folder / "tiles.bin").open("rb") as data:
            for line in lines[1:]:
                entry = _entry(line)
                if entry is None or set(entry) != {"box", "offset", "crc"}:
                    continue
                box = Box(*entry["box"])
                data.seek(entry["offset"])
                if zlib.crc32(data.read(self._size(box))) == entry["crc"]:
                    self._done[box] = entry["offset"]
                    kept.append(line)
        journal.write_bytes(b"\n".join(kept) + b"\n")
        return True

    def _size(self, box: Box) -> int:
        return tile_bytes_on_disk(box.n_pixels, self._n_channels) + self._n_frames * 24

    @property
    def done(self) -> frozenset[Box]:
        """Boxes of the tiles that are complete."""
        return frozenset(self._done)

    def write(self, tile: CanvasTile) -> None:
        """
        Keep one finished tile.

        Raises
        ------
        NotEnoughDisk, OutputBlocked
            If the bytes cannot be stored; what was stored before stays good.
        """
        parts = (tile.value, tile.variance, tile.coverage, tile.rejected_low, tile.rejected_high, tile.frame_counts)
        block = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        with self._lock:
            offset = self._end
            try:
                _write_all(self._data, block, offset)
                entry = {"box": [tile.box.x0, tile.box.y0, tile.box.x1, tile.box.y1], "offset": offset}
                self._journal.write(json.dumps({**entry, "crc": zlib.crc32(block)}) + "\n")
                self._journal.flush()
            except OSError as error:
                raise blocked(self.folder, error) from error
            self._end += len(block)
            self._done[tile.box] = offset

    def read(self, box: Box) -> CanvasTile:
        """Return a finished tile."""
        block = os.pread(self._data, self._size(box), self._done[box])
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
            frame_counts=take(np.int64, self._n_frames, 3),
        )

    def close(self) -> None:
        os.close(self._data)
        self._journal.close()

    def remove(self) -> None:
        """Throw the scratch away: the products are complete."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _entry(line: bytes) -> dict[str, Any] | None:
    """One line of the journal, or None if it is not whole."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _write_all(descriptor: int, block: bytes, offset: int) -> None:
    view = memoryview(block)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view = view[written:]
        offset += written
