"""Which part of a FITS file holds the image, checked against the length of the file before anything is allocated."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits.header import CARD, Header
from skyquilt.io.fits.stream import ByteStream, expansion_limit

__all__ = ["BLOCK", "HeaderUnit", "ImageLayout", "data_bytes", "find_image", "read_unit"]

BLOCK = 2880
_BITPIX = (8, 16, 32, 64, -32, -64)
_FIRST_READ = 4 * BLOCK  # a Seestar header fills two blocks; one call reads it
_LONGEST_HEADER = 4 << 20
_MOST_HDUS = 1000
_END = b"END     "
_STRUCTURE = (
    *("SIMPLE", "XTENSION", "BITPIX", "NAXIS", "EXTEND", "PCOUNT", "GCOUNT", "BZERO", "BSCALE", "BLANK"),
    *("CHECKSUM", "DATASUM", "COMMENT", "HISTORY", " "),
)


@dataclass(frozen=True, slots=True)
class HeaderUnit:
    """
    One header and the place of the data that follow it.

    Attributes
    ----------
    index : int
        0 for the primary HDU.
    start, data_start : int, bytes
        Offsets of the header and of its data.
    n_bytes : int
        Bytes of data, without padding.
    """

    index: int
    header: Header
    start: int
    data_start: int
    n_bytes: int

    @property
    def end(self) -> int:
        """Offset of the next HDU: the data end, padded to whole blocks."""
        return self.data_start + -(-self.n_bytes // BLOCK) * BLOCK


@dataclass(frozen=True, slots=True)
class ImageLayout:
    """
    How the pixels of one image lie in its file.

    Attributes
    ----------
    hdu : int
    header : Header
        Of that HDU, with what it inherits from the primary one.
    bitpix : int
    width, height, n_planes : int
    data_start : int
        Offset of the first pixel; of the table's first byte if `is_tiled`.
    n_bytes : int
    is_interleaved : bool
        True where the planes change fastest: (y, x, channel) on disk.
    is_tiled : bool
        True for a tile-compressed image (`.fz`).
    is_packed : bool
        True where the offsets are those of the unpacked stream (.gz, .bz2, .Z).
    zero, scale : float
        value = zero + scale * stored.
    blank : int or None
        Stored integer that means "no value here".
    notes : tuple of str
    """

    hdu: int
    header: Header
    bitpix: int
    width: int
    height: int
    n_planes: int
    data_start: int
    n_bytes: int
    is_interleaved: bool = False
    is_tiled: bool = False
    is_packed: bool = False
    zero: float = 0.0
    scale: float = 1.0
    blank: int | None = None
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why an HDU is no frame: a clause that goes after the file's name."""

    clause: str
    hint: str = ""


def data_bytes(header: Header, prefix: str = "") -> int | _Refusal:
    """Return the bytes of the data unit that a header announces, or why it announces none that can be."""
    bitpix, n_axes = header.get(f"{prefix}BITPIX"), header.get(f"{prefix}NAXIS")
    if type(bitpix) is not int or bitpix not in _BITPIX:
        return _Refusal(f"has a damaged header: BITPIX is {bitpix!r}", "allowed are 8, 16, 32, 64, -32 and -64")
    if type(n_axes) is not int or not 0 <= n_axes <= 999:
        return _Refusal(f"has a damaged header: NAXIS is {n_axes!r}")
    if n_axes == 0:
        return 0
    n_values = 1
    is_grouped = header.get("GROUPS") is True and header.get("NAXIS1") == 0
    for axis in range(2 if is_grouped else 1, n_axes + 1):
        length = header.get(f"{prefix}NAXIS{axis}")
        if type(length) is not int or length < 0:
            return _Refusal(f"has a damaged header: NAXIS{axis} is {length!r}")
        n_values *= length
        if n_values > 1 << 60:
            return _Refusal("has a damaged header: its axes multiply to more pixels than any disk holds")
    groups, parameters = header.get("GCOUNT", 1), header.get("PCOUNT", 0)
    if not prefix and ("XTENSION" in header or is_grouped):
        if type(groups) is not int or type(parameters) is not int or not 0 <= parameters < 1 << 60 or groups < 0:
            return _Refusal("has a damaged header: PCOUNT or GCOUNT is not a count")
        n_values = groups * (parameters + n_values)
    return abs(bitpix) // 8 * n_values


def read_unit(stream: ByteStream, index: int, start: int) -> HeaderUnit | _Refusal | None:
    """Return the header unit at an offset; None where the file ends there; a refusal where it is no header."""
    block = stream.read_at(start, _FIRST_READ)
    if len(block) < CARD:
        return None
    first = block[:CARD]
    if not (first.startswith(b"SIMPLE  =") if index == 0 else first.startswith(b"XTENSION=")):
        return _Refusal("is not FITS: it does not begin with SIMPLE")
    end = _find_end(block, 0)
    while end < 0:
        size = len(block)
        if size > _LONGEST_HEADER:
            return _Refusal(f"has a header without END in its first {_LONGEST_HEADER:,} bytes")
        more = stream.read_at(start + size, max(_FIRST_READ, size))
        block += more
        end = _find_end(block, size - size % CARD)
        if end < 0 and not more:
            return _Refusal(
                f"is cut short: its header ends without END after {len(block):,} bytes", "copy the file again"
            )
    header = Header.from_bytes(block[:end])
    n_bytes = data_bytes(header)
    if isinstance(n_bytes, _Refusal):
        return n_bytes
    return HeaderUnit(index, header, start, start + -(-(end + CARD) // BLOCK) * BLOCK, n_bytes)


def _find_end(block: bytes, begin: int) -> int:
    """Return the offset of the END card at or after `begin` (a multiple of 80), or -1."""
    at = block.find(_END, begin)
    while at >= 0 and at % CARD:
        at = block.find(_END, at + 1)
    return at


def find_image(path: Path, stream: ByteStream, wanted: int | None = None) -> ImageLayout:
    """
    Return the layout of the first usable image of a FITS stream, or of HDU `wanted`.

    Usable: two axes, or three of which one counts 3 planes; further axes of length 1 are ignored. All figures are
    checked against the length of the file before a byte is allocated for pixels.

    Raises
    ------
    UnreadableFrame
        One sentence on why there is none: the most telling of the reasons met.
    """
    refusals: list[_Refusal] = []
    primary: Header | None = None
    n_tables, start = 0, 0
    for index in range(_MOST_HDUS):
        unit = read_unit(stream, index, start)
        if not isinstance(unit, HeaderUnit):
            if index == 0:
                refusals.append(unit or _Refusal("is not FITS: it holds less than one header card"))
            break
        primary = primary or unit.header
        found = _image_of(unit, stream, primary)
        if isinstance(found, _Refusal):
            refusals.append(found)
        elif found is None:
            n_tables += unit.n_bytes > 0
        elif wanted is None:
            return _with_note(found, stream, unit.end, bool(refusals))
        elif wanted == index:
            return found
        start = unit.end
    if not refusals:
        clause = "holds no image, only tables" if n_tables else "holds no image: no HDU has pixels"
        refusals.append(_Refusal(clause, "give a file with pixels"))
    told = next((each for each in refusals if each.clause.startswith("is cut short")), refusals[0])
    raise UnreadableFrame(f"{path.name} {told.clause}", told.hint)


def _with_note(layout: ImageLayout, stream: ByteStream, end: int, has_skipped: bool) -> ImageLayout:
    """Return the layout with a note where the file holds other images than the one that is used."""
    others, start, index = 0, end, layout.hdu + 1
    while stream.is_exact and start < stream.limit and index < _MOST_HDUS:
        unit = read_unit(stream, index, start)
        if not isinstance(unit, HeaderUnit):
            break
        others += unit.n_bytes > 0 and _is_image(unit)
        start, index = unit.end, index + 1
    if not others and not has_skipped:
        return layout
    note = f"the pixels are those of HDU {layout.hdu}"
    if others:
        note += f"; {others} more image{'s' if others > 1 else ''} after it left aside"
    return replace(layout, notes=(*layout.notes, note))


def _is_image(unit: HeaderUnit) -> bool:
    """Return whether a unit holds an image, plain or tile-compressed."""
    if unit.index == 0:
        return unit.n_bytes > 0
    return unit.header.text("XTENSION") in ("IMAGE", "IUEIMAGE") or unit.header.get("ZIMAGE") is True


def _image_of(unit: HeaderUnit, stream: ByteStream, primary: Header) -> ImageLayout | _Refusal | None:
    """Return the image layout of one unit, why it is no frame, or None where it is no image at all."""
    header = unit.header
    if not _is_image(unit):
        return None
    if header.get("GROUPS") is True and header.get("NAXIS1") == 0:
        return _Refusal("holds random groups, not an image")
    is_tiled = unit.index > 0 and header.get("ZIMAGE") is True
    prefix = "Z" if is_tiled else ""
    n_bytes = data_bytes(header, prefix) if unit.index else unit.n_bytes
    if isinstance(n_bytes, _Refusal):
        return n_bytes
    shape = _shape_of(header, prefix)
    if shape is None or isinstance(shape, _Refusal):
        return shape
    room = _room_for(unit, stream, n_bytes, is_tiled)
    if room is not None:
        return room
    notes: list[str] = []
    if unit.index == 0 and header.get("SIMPLE") is not True:
        notes.append("SIMPLE is not T: the file says itself that it bends the standard")
    scaling = _scaling_of(header, notes)
    if isinstance(scaling, _Refusal):
        return scaling
    width, height, n_planes, is_interleaved = shape
    bitpix = header.get(f"{prefix}BITPIX")
    assert isinstance(bitpix, int)  # data_bytes has looked
    blank = header.integer("BLANK") if bitpix > 0 else None
    if blank is None and is_tiled and bitpix > 0:
        blank = header.integer("ZBLANK")
    return ImageLayout(
        hdu=unit.index,
        header=header.over(_inherited(primary)) if unit.index else header,
        bitpix=bitpix,
        width=width,
        height=height,
        n_planes=n_planes,
        data_start=unit.data_start,
        n_bytes=n_bytes,
        is_interleaved=is_interleaved,
        is_tiled=is_tiled,
        is_packed=not stream.is_exact,
        zero=scaling[0],
        scale=scaling[1],
        blank=blank,
        notes=tuple(notes),
    )


def _shape_of(header: Header, prefix: str) -> tuple[int, int, int, bool] | _Refusal | None:
    """Return (width, height, planes, planes fastest), a refusal, or None where an axis is 0: no pixels."""
    n_axes = header.integer(f"{prefix}NAXIS") or 0
    axes = [header.integer(f"{prefix}NAXIS{axis}") or 0 for axis in range(1, n_axes + 1)]
    if not axes or 0 in axes:
        return None
    while len(axes) > 2 and axes[-1] == 1:
        axes.pop()
    if len(axes) == 1:
        return _Refusal(f"holds a row of {axes[0]:,} values, not an image", "a frame has two axes")
    if len(axes) == 2:
        return axes[0], axes[1], 1, False
    if len(axes) > 3:
        return _Refusal(f"has {len(axes)} axes, and a frame has 2, or 3 with colour planes")
    if axes[2] == 3:
        return axes[0], axes[1], 3, False
    if axes[0] == 3:
        return axes[1], axes[2], 3, True
    return _Refusal(f"is a cube of {axes[2]:,} planes, and a frame has 1 or 3", "save its planes as files of their own")


def _room_for(unit: HeaderUnit, stream: ByteStream, n_bytes: int, is_tiled: bool) -> _Refusal | None:
    """Return why the announced data cannot be in the file, or None if they can."""
    stored = unit.n_bytes if is_tiled else n_bytes
    there = stream.limit - unit.data_start
    if stored > there:
        if stream.is_exact:
            return _Refusal(
                f"is cut short: {max(0, there):,} of {stored:,} bytes of pixels are there", "copy the frame again"
            )
        return _Refusal(f"announces {stored:,} bytes of pixels, more than its packed size can hold")
    if is_tiled and n_bytes > expansion_limit(unit.n_bytes):
        return _Refusal(f"announces {n_bytes:,} bytes of pixels packed in {unit.n_bytes:,}, which no real frame does")
    return None


def _scaling_of(header: Header, notes: list[str]) -> tuple[float, float] | _Refusal:
    """Return (BZERO, BSCALE)."""
    zero, scale = header.number("BZERO"), header.number("BSCALE")
    for keyword, value in (("BZERO", zero), ("BSCALE", scale)):
        if value is None and header.get(keyword) is not None:
            notes.append(f"{keyword} is no number and is ignored: {str(header.get(keyword))[:20]!r}")
    if scale == 0.0:
        return _Refusal("has a damaged header: BSCALE is 0")
    return zero or 0.0, 1.0 if scale is None else scale


def _inherited(primary: Header) -> Header:
    """Return the cards of the primary header that an extension inherits: what is not structure."""
    return Header([line for line in primary.lines if not line.startswith(_STRUCTURE)])
