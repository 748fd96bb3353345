"""Which tiles of a canvas can be trusted, and which parts of its overview still show them."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skyquilt.core import F32, Box
from skyquilt.errors import OutputBlocked
from skyquilt.io.tiled.arrays import PLANES, ChunkedArrays, Sum, level_shape
from skyquilt.io.tiled.entries import Journals, NodeEntry, Place, SideEntry, TileEntry
from skyquilt.io.tiled.reduce import reduce_half

__all__ = ["States"]

_MOST_TRIES = 100


class States:
    """
    The tiles and the overview of a canvas as the journals tell them.

    How the overview stays right with several writers and without locks between processes: a chunk of it (a node) is
    made of the four chunks below, and its line names their checksums. Who has written a node reads all journals again;
    if one of the four has changed meanwhile, the node is made once more. So the one who writes a node last has seen
    what it shows, or is followed by the one who changed it. A process that is killed in between leaves a line that
    does not fit, which `bring_up` finds.
    """

    def __init__(self, folder: Path, writer: str | None, arrays: ChunkedArrays) -> None:
        self.journals = Journals(folder, writer)
        self._arrays = arrays
        self._lock = threading.RLock()
        self._turns: dict[Box, int] = {}
        self._ends: dict[Box, list[TileEntry]] = {}
        self._nodes: dict[Place, NodeEntry] = {}
        self._refresh()

    @property
    def can_write(self) -> bool:
        return self.journals.writer is not None

    def must_write(self) -> None:
        """Raise if the canvas was opened to be read only."""
        if not self.can_write:
            raise OutputBlocked("the canvas was opened to be read", "open it with the name of a writer")

    def _refresh(self) -> None:
        """Take in what was appended to the journals."""
        with self._lock:
            for entry in self.journals.new_entries():
                if not self._is_of_here(entry):
                    continue
                if isinstance(entry, NodeEntry):
                    known = self._nodes.get(entry.place)
                    if known is None or entry.turn >= known.turn:
                        self._nodes[entry.place] = entry
                    continue
                turn = self._turns.get(entry.box, 0)
                if entry.turn > turn:
                    self._turns[entry.box], self._ends[entry.box] = entry.turn, []
                if entry.turn >= turn and entry.is_done:
                    self._ends[entry.box].append(entry)

    def _is_of_here(self, entry: TileEntry | NodeEntry) -> bool:
        """Return whether an entry names a chunk that there is, and the files that it has."""
        if isinstance(entry, NodeEntry):
            level = entry.place[0]
            is_place = 1 <= level <= self._arrays.n_levels and min(entry.place) >= 0
            is_whole = entry.made_of == -1 or set(entry.sums) == {"value", "coverage"}
            return is_place and is_whole and not self._box(entry.place).is_empty
        if entry.is_done and set(entry.sums or ()) != set(PLANES):
            return False
        size = self._arrays.chunk
        row, column = entry.box.y0 // size, entry.box.x0 // size
        return min(row, column) >= 0 and not entry.box.is_empty and entry.box == self._box((0, row, column))

    # --- tiles

    def begin(self, box: Box) -> int:
        """Note that the chunks of a tile are about to change; return the count of the attempt."""
        with self._lock:
            self._refresh()
            turn = self._turns.get(box, 0) + 1
            self.journals.append_tile(TileEntry(box, turn, is_done=False))
        return turn

    def finish(self, box: Box, turn: int, key: str, sums: dict[str, Sum], side: bytes | None) -> None:
        """Note that a tile is complete."""
        with self._lock:
            place: SideEntry | None = None if side is None else self.journals.append_side(side)
            self.journals.append_tile(TileEntry(box, turn, True, key, sums, place))

    def _settled(self, box: Box) -> TileEntry | None:
        """Return the entry of a tile that is done, None if it is not; two that disagree are settled by the bytes."""
        ends = self._ends.get(box, [])
        if len(ends) > 1 and any(end.sums != ends[0].sums for end in ends):
            ends = [end for end in ends if self._has_bytes(end)]
        return ends[-1] if ends else None

    def _has_bytes(self, entry: TileEntry) -> bool:
        """Return whether the chunks of a tile are those that were written."""
        sums = entry.sums or {}
        return all(self._arrays.sum(name, entry.box) == sums.get(name) for name in PLANES)

    def _has_sizes(self, entry: TileEntry) -> bool:
        sums = entry.sums or {}
        return all(name in sums and self._arrays.size(name, entry.box) == sums[name][0] for name in PLANES)

    def trusted(self) -> dict[Box, dict[str, Sum]]:
        """Return the tiles that are done by the journals alone, with the sums of their chunks."""
        with self._lock:
            self._refresh()
            entries = [entry for box in self._ends if (entry := self._settled(box)) is not None]
        return {entry.box: entry.sums for entry in entries if entry.sums}

    def done(self) -> dict[Box, TileEntry]:
        """Return the tiles that are done and whose chunks have the right size."""
        with self._lock:
            self._refresh()
            entries = [entry for box in self._ends if (entry := self._settled(box)) is not None]
        return {entry.box: entry for entry in entries if self._has_sizes(entry)}

    def entry(self, box: Box) -> TileEntry | None:
        """Return what was noted of one tile, None unless it is done and its chunks have the right size."""
        with self._lock:
            self._refresh()
            entry = self._settled(box)
        return entry if entry is not None and self._has_sizes(entry) else None

    def verify(self) -> frozenset[Box]:
        """Note every tile and every node whose bytes are not what they should be; return the tiles."""
        self.must_write()
        with self._lock:
            self._refresh()
            lost = []
            for box in list(self._ends):
                entry = self._settled(box)
                is_lost = entry is None and bool(self._ends[box])
                if entry is not None:
                    side = entry.side
                    is_lost = not self._has_bytes(entry) or (side is not None and not self.journals.read_side(side))
                if is_lost:
                    lost.append(box)
                    self.journals.append_tile(TileEntry(box, self._turns[box] + 1, is_done=False))
            for _place, node in list(self._nodes.items()):
                if node.made_of != -1 and not self._is_proven(node):
                    self._note_damaged(node)
            self._refresh()
        return frozenset(lost)

    # --- the overview

    def _box(self, place: Place) -> Box:
        """Return the box of a chunk in the pixels of its level."""
        level, row, column = place
        size = self._arrays.chunk
        bounds = Box.of_shape(*level_shape(*self._arrays.shape[1:], level))
        return Box(column * size, row * size, (column + 1) * size, (row + 1) * size).intersect(bounds)

    def _children(self, place: Place) -> list[Place]:
        """Return the chunks, up to four, that a node is made of."""
        level, row, column = place
        below = [(level - 1, 2 * row + y, 2 * column + x) for y in (0, 1) for x in (0, 1)]
        return [child for child in below if not self._box(child).is_empty]

    def _places(self, level: int) -> Iterator[Place]:
        size = self._arrays.chunk
        height, width = level_shape(*self._arrays.shape[1:], level)
        for row in range(-(-height // size)):
            for column in range(-(-width // size)):
                yield level, row, column

    def _sums(self, place: Place) -> dict[str, Sum] | None:
        """Return the sums of value and coverage of a chunk, None if it cannot be used."""
        if place[0] == 0:
            entry = self._settled(self._box(place))
            return None if entry is None or entry.sums is None else entry.sums
        node = self._nodes.get(place)
        return None if node is None or node.made_of == -1 else node.sums

    def _signature(self, place: Place) -> tuple[int, bool]:
        """Return the checksum of what a node should be made of, 0 if there is nothing, and whether all is there."""
        sums, is_full = [], True
        for child in self._children(place):
            of_child = self._sums(child)
            sums.append(None if of_child is None else [of_child["value"], of_child["coverage"]])
            node = self._nodes.get(child)
            is_full &= of_child is not None and (child[0] == 0 or (node is not None and node.is_full))
        if all(entry is None for entry in sums):
            return 0, False
        return zlib.crc32(json.dumps(sums).encode("ascii")) or 1, is_full

    def lift(self, tile: Box) -> None:
        """Make the nodes above a tile for which everything is there now."""
        self._refresh()
        size = self._arrays.chunk
        row, column = tile.y0 // size, tile.x0 // size
        for level in range(1, self._arrays.n_levels + 1):
            row, column = row // 2, column // 2
            with self._lock:
                _, is_full = self._signature((level, row, column))
            if not is_full:
                return
            self._make((level, row, column))

    def bring_up(self, *, proves: bool) -> None:
        """Make every node that does not show what lies below it; `proves`: read the bytes of the others, too."""
        self._refresh()
        for level in range(1, self._arrays.n_levels + 1):
            for place in self._places(level):
                node = self._nodes.get(place)
                if proves and node is not None and node.made_of != -1 and not self._is_proven(node):
                    self._note_damaged(node)
                    self._refresh()
                self._make(place)

    def _note_damaged(self, node: NodeEntry) -> None:
        self.journals.append_node(NodeEntry(node.place, node.turn + 1, -1, False, {}))

    def _is_proven(self, node: NodeEntry) -> bool:
        level = node.place[0]
        box = self._box(node.place)
        return all(self._arrays.sum(self._arrays.name(level, part), box) == total for part, total in node.sums.items())

    def _make(self, place: Place) -> None:
        """Make a node until nothing below it has changed while it was made."""
        for _ in range(_MOST_TRIES):
            with self._lock:
                made_of, is_full = self._signature(place)
                node = self._nodes.get(place)
            is_right = node is not None and node.made_of == made_of and node.is_full == is_full
            if is_right or (node is None and made_of == 0):
                return
            try:
                sums = self._write_node(place)
            except OutputBlocked:
                self._refresh()
                if self._signature(place)[0] == made_of:  # nobody is writing there: it is damaged, not in motion
                    raise
                continue
            with self._lock:
                known = self._nodes.get(place)
                entry = NodeEntry(place, 1 if known is None else known.turn + 1, made_of, is_full, sums)
                self.journals.append_node(entry)
                self._refresh()
                # what another one has noted of this node meanwhile does not count: each answers for its own writing
                self._nodes[place] = entry

    def _write_node(self, place: Place) -> dict[str, Sum]:
        level = place[0]
        value, coverage = reduce_half(*self._read_below(place))
        box = self._box(place)
        return {
            part: self._arrays.write(self._arrays.name(level, part), box, pixels)
            for part, pixels in (("value", value), ("coverage", coverage))
        }

    def _read_below(self, place: Place) -> tuple[F32, F32]:
        """Return value and coverage of the chunks below a node, side by side."""
        level = place[0] - 1
        boxes = {child: self._box(child) for child in self._children(place)}
        whole = next(iter(boxes.values()))
        for box in boxes.values():
            whole = whole.union(box)
        return self._read_places(level, whole, boxes)

    def read_level(self, level: int) -> tuple[F32, F32]:
        """Return value and coverage of a level of the overview; NaN and 0 where there is nothing."""
        self._refresh()
        bounds = Box.of_shape(*level_shape(*self._arrays.shape[1:], level))
        return self._read_places(level, bounds, {place: self._box(place) for place in self._places(level)})

    def _read_places(self, level: int, whole: Box, boxes: dict[Place, Box]) -> tuple[F32, F32]:
        value = np.full((self._arrays.shape[0], *whole.shape), np.nan, np.float32)
        coverage = np.zeros(whole.shape, np.float32)
        for place, box in boxes.items():
            with self._lock:
                is_there = self._sums(place) is not None
            if is_there:
                rows, columns = box.slices(whole)
                value[:, rows, columns] = self._arrays.read(self._arrays.name(level, "value"), box)
                coverage[rows, columns] = self._arrays.read(self._arrays.name(level, "coverage"), box)
        return value, coverage
