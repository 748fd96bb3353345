"""
XISF images, monolithic: the format of PixInsight, written as planar float32 and read in its common forms.

A file is the word ``XISF0100``, the length of the header (uint32, little-endian), 4 reserved bytes, the header in XML,
and blocks of pixels at the places that it names. Source: XISF 1.0 specification (Pleiades Astrophoto, pixinsight.com).
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from skyquilt.core.arrays import F32
from skyquilt.errors import UnreadableFrame
from skyquilt.io.atomic import AtomicFile
from skyquilt.io.images.icc import grey_profile, rgb_profile

__all__ = ["XisfImage", "XisfWriter", "read_xisf", "write_xisf"]

CardToWrite = tuple[str, Any, str]

_SIGNATURE = b"XISF0100"
_NAMESPACE = "http://www.pixinsight.com/xisf"
_PREFIX = f"{{{_NAMESPACE}}}"
_LARGEST_HEADER = 8 << 20
_MOST_EXPANSION = 1100
_BLOCK = 4096  # blocks begin at a multiple of it
_UNDATED = "1970-01-01T00:00:00Z"
_FORMATS: dict[str, tuple[str, float]] = {
    "UInt8": ("u1", 255.0),
    "UInt16": ("u2", 65535.0),
    "UInt32": ("u4", 4294967295.0),
    "Float32": ("f4", 1.0),
    "Float64": ("f8", 1.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class XisfImage:
    """
    The first image of a file.

    Attributes
    ----------
    pixels : float32 (c, y, x)
        First row on top. Whole numbers are divided by the largest of their kind, floats are as stored.
    cards : tuple of (keyword, value as FITS spells it, comment)
    """

    pixels: F32
    cards: tuple[tuple[str, str, str], ...]


class XisfWriter:
    """
    Write an image row by row, so that it never has to be in memory as a whole.

    Parameters
    ----------
    path : Path
        Appears when the `with` block ends well.
    shape : (c, y, x)
        1 or 3 channels.
    cards : sequence of (keyword, value, comment)
        Become FITSKeyword elements.
    is_linear : bool
        Which profile the colours get: that of light itself, or sRGB.
    white : float
        The value that a screen shows as white, before any stretch: 1, or 65535 of an image in ADU.
    creator : str
        The program, as XISF wants to know.
    created : str
        ISO 8601 in UTC; XISF wants one, no clock is read here.

    Raises
    ------
    ValueError
        If the image has another number of channels.
    NotEnoughDisk, OutputBlocked
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int, int],
        cards: Sequence[CardToWrite] = (),
        *,
        is_linear: bool = True,
        white: float = 1.0,
        creator: str = "skyquilt",
        created: str = _UNDATED,
    ) -> None:
        self._shape = shape
        header = _Header(shape, cards, is_linear, white, creator, created)
        n_bytes = 4 * int(np.prod(shape, dtype=np.int64))
        self._start, text = header.placed(n_bytes, "")
        self._file = AtomicFile(Path(path))
        try:
            self._file.write_at(0, text)
        except BaseException:
            self._file.abandon()
            raise

    def __enter__(self) -> XisfWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def write_rows(self, y0: int, rows: F32) -> None:
        """Write rows of all channels, float32 (c, rows, x), from `y0` on."""
        channels, height, width = self._shape
        if rows.shape[0] != channels or rows.shape[2] != width or y0 + rows.shape[1] > height:
            raise ValueError(f"rows {rows.shape} from {y0} on are not of an image {self._shape}")
        for channel, plane in enumerate(rows):
            data = np.ascontiguousarray(plane, dtype="<f4")
            self._file.write_at(self._start + 4 * width * (channel * height + y0), data.data.cast("B"))


def write_xisf(
    path: Path,
    pixels: F32,
    cards: Sequence[CardToWrite] = (),
    *,
    is_linear: bool = True,
    compress: bool = False,
    white: float = 1.0,
    creator: str = "skyquilt",
    created: str = _UNDATED,
) -> None:
    """
    Write an image, float32 (c, y, x), at once; `compress` packs it by zlib, its bytes shuffled first.

    See `XisfWriter`.
    """
    shape = (pixels.shape[0], pixels.shape[1], pixels.shape[2])
    if not compress:
        with XisfWriter(
            path, shape, cards, is_linear=is_linear, white=white, creator=creator, created=created
        ) as writer:
            writer.write_rows(0, pixels)
        return
    plain = np.ascontiguousarray(pixels, dtype="<f4")
    shuffled = np.ascontiguousarray(plain.reshape(-1).view(np.uint8).reshape(-1, 4).T).tobytes()
    packed = zlib.compress(shuffled, 6)
    form = f' compression="zlib+sh:{plain.nbytes}:4" checksum="sha-1:{hashlib.sha1(packed).hexdigest()}"'
    start, text = _Header(shape, cards, is_linear, white, creator, created).placed(len(packed), form)
    with AtomicFile(Path(path)) as file:
        file.write_at(0, text)
        file.write_at(start, packed)


@dataclass(frozen=True, slots=True)
class _Header:
    """The XML of an image, but for where its pixels lie."""

    shape: tuple[int, int, int]
    cards: Sequence[CardToWrite]
    is_linear: bool
    white: float
    creator: str
    created: str

    def placed(self, n_bytes: int, form: str) -> tuple[int, bytes]:
        """Return where the pixels begin, and all bytes before them."""
        start = _BLOCK
        while True:
            xml = self._xml(f"attachment:{start}:{n_bytes}", form).encode()
            if len(xml) + 16 <= start:
                return start, (_SIGNATURE + struct.pack("<II", len(xml), 0) + xml).ljust(start, b"\0")
            start = -(-(len(xml) + 16) // _BLOCK) * _BLOCK

    def _xml(self, location: str, form: str) -> str:
        channels, height, width = self.shape
        if channels not in (1, 3):
            raise ValueError(f"an XISF image is of 1 or 3 channels, not {channels}")
        profile = (rgb_profile if channels == 3 else grey_profile)(is_linear=self.is_linear)
        lines = [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<xisf version="1.0" xmlns="{_NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
            f' xsi:schemaLocation="{_NAMESPACE} http://pixinsight.com/xisf/xisf-1.0.xsd">',
            f'<Image geometry="{width}:{height}:{channels}" sampleFormat="Float32" bounds="0:{self.white:g}"'
            f' colorSpace="{"RGB" if channels == 3 else "Gray"}" pixelStorage="Planar" location="{location}"{form}>',
            *(_keyword(*card) for card in self.cards),
            f'<ICCProfile location="inline:base64">{base64.b64encode(profile).decode()}</ICCProfile>',
            "</Image>",
            "<Metadata>",
            f'<Property id="XISF:CreationTime" type="TimePoint" value={quoteattr(self.created)}/>',
            f'<Property id="XISF:CreatorApplication" type="String">{escape(self.creator)}</Property>',
            "</Metadata>",
            "</xisf>",
        ]
        return "\n".join(lines)


def _keyword(name: str, value: Any, comment: str) -> str:
    """Return a FITSKeyword element: text in quotes, logicals as T and F, as FITS spells them."""
    if name in ("HISTORY", "COMMENT"):
        return f'<FITSKeyword name="{name}" value="" comment={quoteattr(_plain(str(value)))}/>'
    if isinstance(value, bool):
        text = "T" if value else "F"
    elif isinstance(value, int | float):
        text = repr(value)
    else:
        text = "" if value is None else "'" + str(value).replace("'", "''") + "'"
    return f"<FITSKeyword name={quoteattr(name)} value={quoteattr(_plain(text))} comment={quoteattr(_plain(comment))}/>"


def _plain(text: str) -> str:
    """Return text that XML can carry."""
    return "".join(c for c in text if c >= " ")


def read_xisf(path: Path) -> XisfImage:
    """
    Return the first image of a monolithic XISF file.

    Raises
    ------
    UnreadableFrame
        With one sentence, if the file is no such file, is damaged, or is of a kind that is not read here.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as cause:
        raise UnreadableFrame(
            f"{path.name} cannot be read: {cause.strerror}", "check that the file is there"
        ) from cause
    if not data.startswith(_SIGNATURE) or len(data) < 16:
        raise UnreadableFrame(f"{path.name} is no XISF file", "give a monolithic .xisf file")
    length = struct.unpack_from("<I", data, 8)[0]
    if length > min(_LARGEST_HEADER, len(data) - 16):
        raise UnreadableFrame(f"{path.name} is cut short: its header is not all there", "copy it again")
    text = data[16 : 16 + length].rstrip(b"\0")
    if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
        raise UnreadableFrame(f"{path.name} has a header that defines entities", "do not trust this file")
    try:
        image = ElementTree.fromstring(text).find(f"{_PREFIX}Image")
    except ElementTree.ParseError as cause:
        raise UnreadableFrame(f"{path.name} is damaged: its header is no XML", "copy it again") from cause
    if image is None:
        raise UnreadableFrame(f"{path.name} holds no image", "save it again from the program that wrote it")
    try:
        pixels = _pixels(path.name, image, data)
    except (ValueError, KeyError, OverflowError, zlib.error, RuntimeError) as cause:
        raise UnreadableFrame(f"{path.name} is damaged: its pixels cannot be unpacked", "copy it again") from cause
    return XisfImage(pixels, tuple(_card(element) for element in image.iter(f"{_PREFIX}FITSKeyword")))


def _card(element: ElementTree.Element) -> tuple[str, str, str]:
    return element.get("name", "").upper(), element.get("value", ""), element.get("comment", "")


def _pixels(name: str, image: ElementTree.Element, data: bytes) -> F32:
    width, height, channels = (int(part) for part in image.get("geometry", "").split(":"))
    kind, full = _FORMATS[image.get("sampleFormat", "")] if image.get("sampleFormat") in _FORMATS else ("", 0.0)
    if not kind:
        raise UnreadableFrame(f"{name} holds pixels of kind {image.get('sampleFormat')}", "save it as Float32 first")
    if not (0 < channels <= 4 and 0 < width < 1 << 24 and 0 < height < 1 << 24):
        raise UnreadableFrame(f"{name} is {width}x{height} px with {channels} channels, which is not read here")
    dtype = np.dtype(("<" if image.get("byteOrder", "little") == "little" else ">") + kind)
    n_bytes = width * height * channels * dtype.itemsize
    block = _block(name, image, data)
    if image.get("compression"):
        if n_bytes > max(1 << 24, _MOST_EXPANSION * len(block)):
            raise UnreadableFrame(f"{name} announces more pixels than it can hold", "do not trust this file")
        block = _unpacked(name, image.get("compression", ""), block, n_bytes)
    if len(block) != n_bytes:
        raise ValueError(f"{len(block)} bytes, {n_bytes} due")
    stored: NDArray[Any] = np.frombuffer(block, dtype=dtype)
    if image.get("pixelStorage", "Planar") == "Planar":
        planes = stored.reshape(channels, height, width)
    else:
        planes = np.moveaxis(stored.reshape(height, width, channels), -1, 0)
    planes = planes[: 3 if channels >= 3 else 1]
    if full == 1.0:
        return np.ascontiguousarray(planes, dtype=np.float32)
    return np.ascontiguousarray(planes.astype(np.float64) / full, dtype=np.float32)


def _block(name: str, image: ElementTree.Element, data: bytes) -> bytes:
    """Return the bytes of the pixels as stored, their checksum proven."""
    location = image.get("location", "").split(":")
    if location[0] == "attachment" and len(location) == 3:
        start, size = int(location[1]), int(location[2])
        if start < 16 or size < 0 or start + size > len(data):
            raise UnreadableFrame(f"{name} is cut short: its pixels are not all there", "copy it again")
        block = data[start : start + size]
    elif location[0] == "inline" and location[1:] == ["base64"]:
        block = base64.b64decode("".join((image.text or "").split()))
    else:
        raise UnreadableFrame(f"{name} keeps its pixels elsewhere", "save it as a monolithic file")
    algorithm, _, expected = image.get("checksum", "").partition(":")
    algorithm = algorithm.replace("-", "")
    if expected and algorithm in ("sha1", "sha256", "sha512") and hashlib.new(algorithm, block).hexdigest() != expected:
        raise UnreadableFrame(f"{name} is damaged: its checksum does not match", "copy it again")
    return block


def _unpacked(name: str, compression: str, block: bytes, n_bytes: int) -> bytes:
    import imagecodecs

    parts = compression.split(":")
    codec, is_shuffled = parts[0].removesuffix("+sh"), parts[0].endswith("+sh")
    if codec == "zlib":
        stream = zlib.decompressobj()
        plain = stream.decompress(block, n_bytes)
    elif codec in ("lz4", "lz4hc"):
        plain = bytes(imagecodecs.lz4_decode(block, header=False, out=n_bytes))
    elif codec == "zstd":
        plain = bytes(imagecodecs.zstd_decode(block, out=n_bytes))
    else:
        raise UnreadableFrame(f"{name} is packed by {codec}, which is not read", "save it again by zlib or plain")
    if is_shuffled:
        size = int(parts[2])
        n_items = len(plain) // size
        body = np.frombuffer(plain, np.uint8, count=n_items * size).reshape(size, n_items).T
        plain = np.ascontiguousarray(body).tobytes() + plain[n_items * size :]
    return plain
