"""The bytes of a file at any offset, whether it lies there plain or packed by gzip, bzip2 or compress."""

from __future__ import annotations

import bz2
import errno
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits.lzw import LzwDamaged, unpack_lzw

__all__ = [
    "EXPANSION_CAP",
    "EXPANSION_FLOOR",
    "ByteStream",
    "PackedStream",
    "PlainStream",
    "expansion_limit",
    "open_stream",
    "open_to_read",
    "unreadable",
]

EXPANSION_CAP = 50
EXPANSION_FLOOR = 1 << 20  # a small file may unpack to this much whatever its ratio: a blank test frame is no bomb
_STEP = 1 << 18
_LARGEST_PACKED = 1 << 30
_PACKERS = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\x1f\x9d": "compress"}


def expansion_limit(packed_bytes: int) -> int:
    """Return the most bytes that a compressed file of that size may unpack to."""
    return max(EXPANSION_CAP * packed_bytes, EXPANSION_FLOOR)


def unreadable(path: Path | str, cause: OSError) -> UnreadableFrame:
    """Return the error that tells in one sentence why the system would not give the file."""
    name = os.path.basename(path)  # noqa: PTH119 (a str or a Path)
    if cause.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE):
        return UnreadableFrame(f"{name} is not there any more", "it was moved, renamed or its disk was taken away")
    if cause.errno in (errno.EACCES, errno.EPERM):
        return UnreadableFrame(f"{name} may not be read", "check the permissions of the file and of its folder")
    if cause.errno == errno.EISDIR:
        return UnreadableFrame(f"{name} is a folder, not a file", "give the files in it")
    reason = cause.strerror or type(cause).__name__
    return UnreadableFrame(f"{name} cannot be read: {reason}", "check the disk; copy the frame again")


def open_to_read(path: str | Path) -> int:
    """Return a file descriptor that can only read, of a regular file: never waits on a pipe, never follows it away."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.open(path, flags)


class ByteStream(Protocol):
    """
    Bytes by offset.

    `limit` is where the stream ends if `is_exact`, else the most it may unpack to.
    """

    @property
    def limit(self) -> int: ...

    @property
    def is_exact(self) -> bool: ...

    def read_at(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset`; fewer only at the end."""
        ...


class PlainStream:
    """The bytes of an open file descriptor."""

    __slots__ = ("_descriptor", "limit")
    is_exact = True

    def __init__(self, descriptor: int, size: int) -> None:
        self._descriptor = descriptor
        self.limit = size

    def read_at(self, offset: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, count, offset)
        os.lseek(self._descriptor, offset, os.SEEK_SET)
        return os.read(self._descriptor, count)


class PackedStream:
    """
    The bytes of a packed file, unpacked as far as they have been asked for and no further than the limit.

    Parameters
    ----------
    name : str
        For the sentence of an error.
    packed : bytes
        The whole file.
    """

    is_exact = False

    def __init__(self, name: str, packed: bytes) -> None:
        self.limit = expansion_limit(len(packed))
        self._name = name
        self._packer = _PACKERS[packed[:2]]
        self._pieces = _unpackers[self._packer](packed)
        self._done = bytearray()
        self._is_at_end = False

    def read_at(self, offset: int, count: int) -> bytes:
        self._unpack_to(offset + count)
        return bytes(self._done[offset : offset + count])

    def _unpack_to(self, end: int) -> None:
        while len(self._done) < end and not self._is_at_end:
            try:
                piece = next(self._pieces, None)
            except (zlib.error, OSError, EOFError, ValueError, LzwDamaged) as cause:
                raise UnreadableFrame(
                    f"{self._name} is damaged: its {self._packer} packing breaks after {len(self._done):,} bytes",
                    "copy the file again, or unpack it by hand to see what is left",
                ) from cause
            if piece is None:
                self._is_at_end = True
                return
            self._done += piece
            if len(self._done) > self.limit:
                self._done.clear()
                raise UnreadableFrame(
                    f"{self._name} unpacks to more than {self.limit:,} bytes, over {EXPANSION_CAP} times its size",
                    "no real frame packs so well; unpack it by hand if you trust it",
                )


def _gunzip(packed: bytes) -> Iterator[bytes]:
    """Yield the unpacked pieces of every member of a gzip file."""
    at = 0
    while packed[at : at + 2] == b"\x1f\x8b":
        member = zlib.decompressobj(wbits=31)
        tail = b""
        while not member.eof:
            if not tail:
                tail = packed[at : at + _STEP]
                at += len(tail)
            piece = member.decompress(tail, _STEP)
            if not piece and not tail and not member.eof:
                raise EOFError("the gzip member ends early")
            tail = member.unconsumed_tail
            yield piece
        at -= len(member.unused_data)


def _bunzip(packed: bytes) -> Iterator[bytes]:
    """Yield the unpacked pieces of every member of a bzip2 file."""
    rest = packed
    while rest[:2] == b"BZ":
        member = bz2.BZ2Decompressor()
        piece = member.decompress(rest, _STEP)
        yield piece
        while not member.eof:
            if member.needs_input:
                raise EOFError("the bzip2 member ends early")
            yield member.decompress(b"", _STEP)
        rest = member.unused_data


_unpackers = {"gzip": _gunzip, "bzip2": _bunzip, "compress": unpack_lzw}


def open_stream(path: Path | str, descriptor: int, size: int, head: bytes) -> ByteStream:
    """
    Return the bytes of an open file, unpacked where its first bytes say that it is packed.

    Parameters
    ----------
    head : bytes
        The first bytes of the file, two at least.
    """
    if head[:2] not in _PACKERS or (head[:2] == b"BZ" and head[2:3] != b"h"):
        return PlainStream(descriptor, size)
    name = os.path.basename(path)  # noqa: PTH119 (a str or a Path)
    if size > _LARGEST_PACKED:
        raise UnreadableFrame(f"{name} is a packed file of {size:,} bytes, too large to unpack in memory", "unpack it")
    plain = PlainStream(descriptor, size)
    packed = bytearray()
    while len(packed) < size:
        piece = plain.read_at(len(packed), min(size - len(packed), 1 << 24))
        if not piece:
            break
        packed += piece
    return PackedStream(name, bytes(packed))
