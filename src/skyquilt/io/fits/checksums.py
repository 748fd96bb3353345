"""Checksums of FITS units (FITS Standard 4.0, 4.4.2.7 and appendix J) and the hash of the pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits.layout import HeaderUnit, read_unit
from skyquilt.io.fits.stream import PlainStream, open_to_read, unreadable

__all__ = ["add_sums", "data_hash", "encode_checksum", "sum_words", "verify_checksums"]

_PIECE = 1 << 22
_ALL_ONES = 0xFFFFFFFF


def add_sums(first: int, second: int) -> int:
    """Return the 32-bit ones' complement sum: the carry goes round."""
    total = first + second
    while total >> 32:
        total = (total & _ALL_ONES) + (total >> 32)
    return total


def sum_words(data: bytes | memoryview, offset: int = 0) -> int:
    """
    Return the 32-bit ones' complement sum of big-endian words.

    Parameters
    ----------
    data : bytes
    offset : int
        Where the bytes lie in their unit: sums of pieces add up (`add_sums`) to that of the whole in any order.
    """
    head = offset % 4
    if head or len(data) % 4:
        data = bytes(head) + bytes(data)
        data += bytes(-len(data) % 4)
    words = np.frombuffer(data, dtype=">u4")
    return add_sums(int(words.sum(dtype=np.uint64)), 0)


def encode_checksum(total: int) -> str:
    """
    Return the 16 characters that bring a unit of ones' complement sum `total` to all ones.

    `total` is the sum of the unit with the CHECKSUM value set to sixteen zeros. Each byte of the complement is spread
    over four characters, letters and digits only (appendix J of the standard).
    """
    complement = ~total & _ALL_ONES
    columns = []
    for shift in (24, 16, 8, 0):
        byte = (complement >> shift) & 0xFF
        quarter = [byte // 4 + ord("0") + (byte % 4 if k == 0 else 0) for k in range(4)]
        while any(not chr(code).isalnum() for code in quarter):
            for k in (0, 2):  # a pair keeps its sum: one goes up, the other down
                if not (chr(quarter[k]).isalnum() and chr(quarter[k + 1]).isalnum()):
                    quarter[k] += 1
                    quarter[k + 1] -= 1
        columns.append(quarter)
    text = "".join(chr(columns[byte][k]) for k in range(4) for byte in range(4))
    return text[-1] + text[:-1]


def data_hash(path: Path) -> str:
    """
    Return the SHA-256, in hexadecimal, of the data of all HDUs as stored: pixels only, no header and no padding.

    Two results with the same hash have the same pixels, whatever their headers say.

    Raises
    ------
    UnreadableFrame
        If the file is not FITS or is cut short.
    """
    digest = hashlib.sha256()
    descriptor = _open(path)
    try:
        stream = PlainStream(descriptor, os.fstat(descriptor).st_size)
        for unit in _units(path, stream):
            for piece in _pieces(path, stream, unit.data_start, unit.n_bytes):
                digest.update(piece)
    except OSError as cause:
        raise unreadable(path, cause) from cause
    finally:
        os.close(descriptor)
    return digest.hexdigest()


def verify_checksums(path: Path) -> list[str]:
    """
    Return what is wrong with a FITS file's checksums, a sentence each; an empty list if every one that is there fits.

    A unit without CHECKSUM and DATASUM is not wrong. A file that is cut short or not FITS is one problem.
    """
    problems: list[str] = []
    try:
        descriptor = _open(path)
    except UnreadableFrame as error:
        return [error.message]
    try:
        stream = PlainStream(descriptor, os.fstat(descriptor).st_size)
        for unit in _units(path, stream):
            problems += _problems_of(path, stream, unit)
    except UnreadableFrame as error:
        problems.append(error.message)
    except OSError as cause:
        problems.append(unreadable(path, cause).message)
    finally:
        os.close(descriptor)
    return problems


def _problems_of(path: Path, stream: PlainStream, unit: HeaderUnit) -> list[str]:
    """Return what is wrong with one unit."""
    written_data, written = unit.header.text("DATASUM"), unit.header.text("CHECKSUM")
    if written_data is None and written is None:
        return []
    total = 0
    for piece in _pieces(path, stream, unit.data_start, unit.end - unit.data_start):
        total = add_sums(total, sum_words(piece))
    problems = []
    where = f"{path.name}, HDU {unit.index}:"
    if written_data is not None and written_data != str(total):
        problems.append(f"{where} the pixels sum to {total}, DATASUM says {written_data[:20]}")
    if written is not None:
        for piece in _pieces(path, stream, unit.start, unit.data_start - unit.start):
            total = add_sums(total, sum_words(piece))
        if total not in (0, _ALL_ONES):
            problems.append(f"{where} CHECKSUM does not fit the header and the pixels")
    return problems


def _open(path: Path) -> int:
    try:
        return open_to_read(path)
    except OSError as cause:
        raise unreadable(path, cause) from cause


def _units(path: Path, stream: PlainStream) -> Iterator[HeaderUnit]:
    """Yield the units of a FITS file."""
    index, start = 0, 0
    while index == 0 or start < stream.limit:
        unit = read_unit(stream, index, start)
        if not isinstance(unit, HeaderUnit):
            clause = "is empty" if unit is None else unit.clause
            where = "" if index == 0 else f" (after HDU {index - 1})"
            raise UnreadableFrame(f"{path.name} {clause}{where}", "copy the file again")
        yield unit
        index, start = index + 1, unit.end


def _pieces(path: Path, stream: PlainStream, start: int, count: int) -> Iterator[bytes]:
    """Yield `count` bytes from `start`, some at a time; every piece but the last is a multiple of 4 bytes."""
    end = start + count
    while start < end:
        want = min(_PIECE, end - start)
        piece = stream.read_at(start, want)
        while 0 < len(piece) < want:
            more = stream.read_at(start + len(piece), want - len(piece))
            if not more:
                break
            piece += more
        if len(piece) < want:
            raise UnreadableFrame(f"{path.name} is cut short: it ends at byte {stream.limit:,}", "copy the file again")
        yield piece
        start += want
