"""The pixels of packed frames, decoded once and kept within a limit of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from skyquilt.core.arrays import F32
from skyquilt.core.box import Box
from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits.layout import ImageLayout
from skyquilt.io.fits.stream import ByteStream
from skyquilt.io.fits.tiles import unpack_tiles
from skyquilt.kernels.decode import decode_plain, stored_dtype

__all__ = ["DECODE_CACHE_BYTES", "Key", "decode_frame", "decoded", "set_decode_cache"]

DECODE_CACHE_BYTES = 256 << 20
Key = tuple[str, int, int, int]  # path, size, mtime_ns, hdu


@dataclass(slots=True)
class _Shelf:
    """Decoded frames, the least lately used first; one lock for the shelf, one for each frame being decoded."""

    limit: int = DECODE_CACHE_BYTES
    used: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    frames: OrderedDict[Key, F32] = field(default_factory=OrderedDict)
    busy: dict[Key, threading.Lock] = field(default_factory=dict)

    def find(self, key: Key) -> F32 | None:
        with self.lock:
            pixels = self.frames.get(key)
            if pixels is not None:
                self.frames.move_to_end(key)
            return pixels

    def keep(self, key: Key, pixels: F32) -> None:
        with self.lock:
            if key not in self.frames:
                self.frames[key] = pixels
                self.used += pixels.nbytes
            self.trim()

    def trim(self) -> None:
        """Drop frames, the least lately used first, until the rest fits; the lock is held by the caller."""
        while self.used > self.limit and self.frames:
            _, pixels = self.frames.popitem(last=False)
            self.used -= pixels.nbytes


_shelf = _Shelf()


def set_decode_cache(limit_bytes: int) -> None:
    """
    Set how many bytes of decoded frames may be kept (float32, all threads together); 0 keeps none.

    A frame larger than the limit is decoded for each read: give the cache room for one frame a thread.
    """
    with _shelf.lock:
        _shelf.limit = max(0, limit_bytes)
        _shelf.trim()


def decoded(key: Key, decode: Callable[[], F32]) -> F32:
    """Return the pixels kept under `key`, else those that `decode` gives; threads that ask at once decode once."""
    pixels = _shelf.find(key)
    if pixels is not None:
        return pixels
    with _shelf.lock:
        turn = _shelf.busy.setdefault(key, threading.Lock())
    try:
        with turn:
            pixels = _shelf.find(key)
            if pixels is None:
                pixels = decode()
                pixels.flags.writeable = False
                _shelf.keep(key, pixels)
    finally:
        with _shelf.lock:
            _shelf.busy.pop(key, None)
    return pixels


def decode_frame(name: str, layout: ImageLayout, stream: ByteStream) -> F32:
    """
    Return all pixels of an image as float32 (n_planes, y, x) ADU, NaN where there is no value.

    Raises
    ------
    UnreadableFrame
        If the file ends early or is damaged.
    """
    box = Box.of_shape(layout.height, layout.width)
    if layout.is_tiled:
        n_bytes = _table_bytes(layout)
        raw = _read_all(name, stream, layout.data_start, n_bytes)
        stored = unpack_tiles(name, layout, raw)
    else:
        raw = _read_all(name, stream, layout.data_start, layout.n_bytes)
        stored = np.frombuffer(raw, dtype=stored_dtype(layout.bitpix))
    values = decode_plain(stored, layout.zero, layout.scale, layout.blank)
    if layout.is_interleaved:
        return np.ascontiguousarray(values.reshape(*box.shape, layout.n_planes).transpose(2, 0, 1))
    return values.reshape(layout.n_planes, *box.shape)


def _table_bytes(layout: ImageLayout) -> int:
    """Return the bytes of the table, heap included, that holds the tiles of a packed image."""
    word = layout.header.integer
    return (word("NAXIS1") or 0) * (word("NAXIS2") or 0) + (word("PCOUNT") or 0)


def _read_all(name: str, stream: ByteStream, start: int, count: int) -> bytes:
    """Return exactly `count` bytes."""
    raw = stream.read_at(start, count)
    while len(raw) < count:
        more = stream.read_at(start + len(raw), count - len(raw))
        if not more:
            raise UnreadableFrame(
                f"{name} is cut short: {len(raw):,} of {count:,} bytes of pixels are there", "copy the frame again"
            )
        raw += more
    return raw
