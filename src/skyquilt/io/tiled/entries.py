"""
What every writer of a canvas has noted: a file of lines for each of them, read together by all.

A line is ``{"crc": ..., "entry": ...}``, the CRC-32 of the entry as it stands in the line; a line that is cut short or
damaged is passed over. Files only grow, and a writer appends to its own alone.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyquilt.core import Box
from skyquilt.errors import UsageError
from skyquilt.io.atomic import blocked
from skyquilt.io.tiled.arrays import Sum

__all__ = ["Journals", "NodeEntry", "Place", "SideEntry", "TileEntry"]

Place = tuple[int, int, int]
"""Level, row and column of a chunk of the overview."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}")
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True, slots=True)
class SideEntry:
    """Where the small data of a tile lie: the writer's file, and offset, size and CRC-32 there."""

    writer: str
    offset: int
    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class TileEntry:
    """
    One tile at one time.

    Attributes
    ----------
    turn : int
        Counts how often the tile was begun: of all entries those with the highest count.
    is_done : bool
        False: it was begun, or found damaged; its chunks may be anything.
    key : str
        Names what went into it.
    sums : dict
        Size and CRC-32 of the chunk of each array.
    """

    box: Box
    turn: int
    is_done: bool
    key: str = ""
    sums: dict[str, Sum] | None = None
    side: SideEntry | None = None


@dataclass(frozen=True, slots=True)
class NodeEntry:
    """
    One chunk of the overview.

    Attributes
    ----------
    turn : int
        Counts how often it was made: the highest is the last.
    made_of : int
        Checksum of the sums of the four chunks below; -1: it is damaged.
    is_full : bool
        All of those four, and what they are made of, were there.
    """

    place: Place
    turn: int
    made_of: int
    is_full: bool
    sums: dict[str, Sum]


class Journals:
    """
    The lines of all writers of a folder.

    Parameters
    ----------
    folder : Path
    writer : str or None
        Name of the one who writes here: letters, digits, ``_``, ``.``, ``-``. No two processes at once may have the
        same. None: only read.
    """

    def __init__(self, folder: Path, writer: str | None) -> None:
        if writer is not None and not _NAME.fullmatch(writer):
            raise UsageError(f"{writer!r} is no name for a writer", "use up to 80 letters, digits, _, . or -")
        self.folder = folder
        self.writer = writer
        self._read_to: dict[str, int] = {}

    def new_entries(self) -> list[TileEntry | NodeEntry]:
        """Return what was appended by anybody since the last call."""
        entries: list[TileEntry | NodeEntry] = []
        for path in sorted(self.folder.glob("journal-*.jsonl")):
            begin = self._read_to.get(path.name, 0)
            try:
                if path.stat().st_size <= begin:
                    continue
                with path.open("rb") as file:
                    file.seek(begin)
                    text = file.read()
            except OSError as error:
                raise blocked(path, error) from error
            whole = text.rfind(b"\n") + 1
            self._read_to[path.name] = begin + whole
            entries += [entry for line in text[:whole].split(b"\n") if (entry := _entry_of(line)) is not None]
        return entries

    def append_tile(self, entry: TileEntry) -> None:
        """Note a tile."""
        box, side = entry.box, entry.side
        self._append(
            {
                "box": [box.x0, box.y0, box.x1, box.y1],
                "turn": entry.turn,
                "done": entry.is_done,
                "key": entry.key,
                "sums": entry.sums or {},
                "side": [side.writer, side.offset, side.size, side.crc] if side else None,
            }
        )

    def append_node(self, entry: NodeEntry) -> None:
        """Note a chunk of the overview."""
        self._append(
            {
                "place": list(entry.place),
                "turn": entry.turn,
                "of": entry.made_of,
                "full": entry.is_full,
                "sums": entry.sums,
            },
        )

    def _append(self, entry: dict[str, Any]) -> None:
        """Add a line; on a full disk the line is cut short, and the next one begins behind a line break."""
        text = json.dumps(entry, separators=(",", ":"))
        line = f'{{"crc":{zlib.crc32(text.encode("ascii"))},"entry":{text}}}\n'
        path = self.folder / f"journal-{self.writer}.jsonl"
        _append_bytes(path, line.encode("ascii"), is_line=True)

    def append_side(self, data: bytes) -> SideEntry:
        """Store the small data of a tile at the end of the writer's file."""
        assert self.writer is not None
        offset = _append_bytes(self.folder / f"side-{self.writer}.bin", data, is_line=False)
        return SideEntry(self.writer, offset, len(data), zlib.crc32(data))

    def read_side(self, entry: SideEntry) -> bytes | None:
        """Return the small data of a tile, None if they are damaged."""
        try:
            with (self.folder / f"side-{entry.writer}.bin").open("rb") as file:
                file.seek(entry.offset)
                data = file.read(entry.size)
        except OSError:
            return None
        return data if len(data) == entry.size and zlib.crc32(data) == entry.crc else None


def _append_bytes(path: Path, data: bytes, *, is_line: bool) -> int:
    """Append to a file; return where the data begin. A line is put on a line of its own."""
    try:
        if is_line and _ends_within_a_line(path):
            data = b"\n" + data
        descriptor = os.open(path, _APPEND, 0o666)
        try:
            offset = os.lseek(descriptor, 0, os.SEEK_END)
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)
    except OSError as error:
        raise blocked(path, error) from error
    return offset


def _ends_within_a_line(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            if not file.seek(0, os.SEEK_END):
                return False
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except FileNotFoundError:
        return False


def _entry_of(line: bytes) -> TileEntry | NodeEntry | None:
    """Return what a line says, or None if it is not whole."""
    head, mark, rest = line.partition(b',"entry":')
    if not mark or not head.startswith(b'{"crc":') or not rest.endswith(b"}"):
        return None
    text = rest[:-1]
    if head[7:] != str(zlib.crc32(text)).encode("ascii"):
        return None
    try:
        entry = json.loads(text)
        sums = {str(name): (int(size), int(crc)) for name, (size, crc) in entry["sums"].items()}
        if "place" in entry:
            level, row, column = entry["place"]
            return NodeEntry((level, row, column), entry["turn"], entry["of"], entry["full"], sums)
        side = SideEntry(*entry["side"]) if entry["side"] else None
        return TileEntry(Box(*entry["box"]), entry["turn"], entry["done"], entry["key"], sums, side)
    except (ValueError, TypeError, KeyError, RecursionError):  # a line of another version
        return None
