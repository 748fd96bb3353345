"""Tile-compressed images (`.fz`): bounds checked here, tiles unpacked by astropy."""

from __future__ import annotations

import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits.header import CARD, Header
from skyquilt.io.fits.layout import BLOCK, ImageLayout

__all__ = ["unpack_tiles"]

_METHODS = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1", "NOCOMPRESS")
_COPIED = (
    *("TTYPE", "TFORM", "TSCAL", "TZERO", "TNULL", "ZNAME", "ZVAL", "ZTILE", "ZNAXIS", "ZCMPTYPE", "ZBITPIX"),
    *("ZQUANTIZ", "ZDITHER0", "ZSCALE", "ZZERO", "ZBLANK", "ZIMAGE", "THEAP"),
)
_FORM = re.compile(r"(\d*)([LXBIJKAEDCMPQ])")
_WIDTH = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}
_GZIP_SLACK = 64
# What unpacking damaged tiles raises; none of it is a bug of ours.
_DAMAGE = (OSError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError, EOFError)
_CODEC_ERROR = "CfitsioException"  # of astropy's compiled codecs: derives from Exception and has no public name
_WARNING_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of the tile table that points into the heap."""

    name: str
    at: int
    code: str
    item_bytes: int


def unpack_tiles(name: str, layout: ImageLayout, table: bytes) -> NDArray[Any]:
    """
    Return the stored pixels of a tile-compressed image, not yet scaled.

    Parameters
    ----------
    name : str
        Of the file, for the sentence of an error.
    layout : ImageLayout
        With ``is_tiled``.
    table : bytes
        The data unit of the binary table, heap included.

    Returns
    -------
    integers or floats (n_planes, y, x), or (y, x, n_planes) if interleaved, or (y, x)

    Raises
    ------
    UnreadableFrame
        If the table points outside of its heap, a tile claims another size than its own or would unpack to more, the
        method is not known, or a tile is damaged.

    Notes
    -----
    astropy is given a header composed here of the cards that say how tiles are packed; a damaged card elsewhere in
    the frame's header cannot disturb it.
    """
    header = layout.header
    method = header.text("ZCMPTYPE") or ""
    if method not in _METHODS:
        raise UnreadableFrame(
            f"{name} is packed by a method that is not known here: {method[:20]!r}", "unpack it first"
        )
    problem = _problem_of_tiles(header, method, table)
    if problem:
        raise UnreadableFrame(f"{name} is damaged: {problem}", "copy the file again, or unpack it with funpack")
    try:
        pixels = _unpack_by_astropy(header, table)
    except Exception as cause:
        if not isinstance(cause, _DAMAGE) and type(cause).__name__ != _CODEC_ERROR:
            raise
        reason = " ".join(str(cause).split())[:100] or type(cause).__name__
        raise UnreadableFrame(f"{name} is damaged: its tiles cannot be unpacked ({reason})", "copy it again") from cause
    if pixels is None or pixels.size * (abs(layout.bitpix) // 8) != layout.n_bytes:
        raise UnreadableFrame(f"{name} is damaged: its tiles do not make the image announced", "copy the file again")
    return pixels


def _unpack_by_astropy(header: Header, table: bytes) -> NDArray[Any] | None:
    """Return the pixels that astropy finds in a file of one packed image."""
    from astropy.io import fits

    structure = ["XTENSION= 'BINTABLE'", _card("BITPIX", 8), _card("NAXIS", 2)]
    structure += [_card(word, header.integer(word) or 0) for word in ("NAXIS1", "NAXIS2", "PCOUNT")]
    structure += [_card("GCOUNT", 1), _card("TFIELDS", header.integer("TFIELDS") or 0)]
    structure += [line for line in header.lines if line.startswith(_COPIED)]
    primary = [
        "SIMPLE  =                    T",
        _card("BITPIX", 8),
        _card("NAXIS", 0),
        "EXTEND  =                    T",
    ]
    packed = _block_of(primary) + _block_of(structure) + table + bytes(-len(table) % BLOCK)
    with _WARNING_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.HDUList.fromstring(packed) as hdus:
            data = hdus[1].data
    return None if data is None else np.asarray(data)


def _card(keyword: str, value: int) -> str:
    return f"{keyword:<8}= {value:>20}"


def _block_of(lines: list[str]) -> bytes:
    """Return the header block of some cards."""
    text = "".join(line[:CARD].ljust(CARD) for line in [*lines, "END"])
    return text.encode("latin-1").ljust(-(-len(text) // BLOCK) * BLOCK)


def _problem_of_tiles(header: Header, method: str, table: bytes) -> str:
    """Return a clause on what is wrong with the tile table, or "" if every tile may be unpacked."""
    n_axes = header.integer("ZNAXIS") or 0
    axes = [header.integer(f"ZNAXIS{axis}") or 0 for axis in range(1, n_axes + 1)]
    tile = [header.integer(f"ZTILE{axis}") for axis in range(1, n_axes + 1)]
    sides = [(side if side is not None else (axes[0] if k == 0 else 1)) for k, side in enumerate(tile)]
    if any(side < 1 for side in sides):
        return "a tile has a side of 0"
    n_tiles, n_pixels = 1, 1
    for length, side in zip(axes, sides, strict=True):
        n_tiles *= -(-length // side)
        n_pixels *= min(side, length)
    row_bytes, n_rows = header.integer("NAXIS1") or 0, header.integer("NAXIS2") or 0
    if n_rows != n_tiles:
        return f"it has {n_rows:,} tiles and its size calls for {n_tiles:,}"
    columns, width = _columns(header)
    if width != row_bytes:
        return f"its tile table has rows of {row_bytes:,} bytes and columns of {width:,}"
    heap = header.integer("THEAP") or row_bytes * n_rows
    if not row_bytes * n_rows <= heap <= len(table):
        return "the heap of its tile table lies outside of it"
    most_bytes = n_pixels * 8 + _GZIP_SLACK
    for column in columns:
        for at, count in _descriptors(column, table, row_bytes, n_rows):
            if at < 0 or count < 0 or heap + at + count * column.item_bytes > len(table):
                return "a tile lies outside of the file"
            piece = memoryview(table)[heap + at : heap + at + count * column.item_bytes]
            problem = _problem_of_piece(column.name, method, piece, n_pixels, most_bytes)
            if problem:
                return problem
    return ""


def _columns(header: Header) -> tuple[list[_Column], int]:
    """Return the columns that point into the heap, and the bytes of a row."""
    columns, at = [], 0
    for index in range(1, min(header.integer("TFIELDS") or 0, 999) + 1):
        form = _FORM.match(header.text(f"TFORM{index}") or "")
        if form is None:
            return [], -1
        code = form[2]
        repeat = int(form[1]) if form[1] else 1
        if code in "PQ" and repeat:
            inner = (header.text(f"TFORM{index}") or "")[form.end() : form.end() + 1]
            columns.append(_Column(header.text(f"TTYPE{index}") or "", at, code, _WIDTH.get(inner, 1)))
        at += -(-repeat // 8) if code == "X" else repeat * _WIDTH[code]
    return columns, at


def _descriptors(column: _Column, table: bytes, row_bytes: int, n_rows: int) -> Iterator[tuple[int, int]]:
    """Yield (offset in the heap, items) of every row of a column."""
    form = ">ii" if column.code == "P" else ">qq"
    for row in range(n_rows):
        count, at = struct.unpack_from(form, table, row * row_bytes + column.at)
        yield at, count


def _problem_of_piece(name: str, method: str, piece: memoryview, n_pixels: int, most_bytes: int) -> str:
    """Return what is wrong with one packed tile, or ""."""
    if not len(piece):
        return ""
    if name == "COMPRESSED_DATA" and method == "HCOMPRESS_1":
        # decompressors before cfitsio 4.6.4 trust these two numbers and write past their buffer
        if len(piece) < 14 or bytes(piece[:2]) != b"\xdd\x99":
            return "a tile is not HCOMPRESS data"
        nx, ny = struct.unpack_from(">ii", piece, 2)
        if not (0 < nx <= n_pixels and 0 < ny <= n_pixels and nx * ny <= n_pixels):
            return f"a tile claims {nx} x {ny} pixels and may have {n_pixels:,}"
    if name == "GZIP_COMPRESSED_DATA" or (name == "COMPRESSED_DATA" and method.startswith("GZIP")):
        unpacker = zlib.decompressobj(wbits=47)
        try:
            if len(unpacker.decompress(piece, most_bytes)) >= most_bytes:
                return "a tile unpacks to more than its pixels"
        except zlib.error:
            return "a tile is not gzip data"
    return ""
