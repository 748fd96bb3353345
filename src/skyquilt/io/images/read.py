"""Pictures read: PNG, TIFF and JPEG, their size checked before they are unpacked."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.errors import UnreadableFrame

__all__ = ["read_image"]

_MOST_EXPANSION = 1100  # deflate packs 1032:1 at best: more is a lie
_FLOOR = 1 << 24
_SIZE_MARKERS = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_DAMAGE = (OSError, ValueError, TypeError, LookupError, RuntimeError, EOFError, struct.error)


def read_image(path: Path) -> NDArray[Any]:
    """
    Return the pixels of a PNG, TIFF (its first page) or JPEG, as stored.

    Returns
    -------
    uint8, uint16 or float32, as the file has it: (y, x) or (y, x, channels), first row on top

    Raises
    ------
    UnreadableFrame
        With one sentence, if the file is none of these, is damaged, or announces more pixels than it can hold.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as cause:
        reason = cause.strerror or type(cause).__name__
        raise UnreadableFrame(f"{path.name} cannot be read: {reason}", "check that the file is there") from cause
    try:
        pixels = _decode(path.name, data)
    except _DAMAGE as cause:
        raise UnreadableFrame(f"{path.name} is damaged: its pixels cannot be unpacked", "copy it again") from cause
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim not in (2, 3):
        raise UnreadableFrame(f"{path.name} has {pixels.ndim} axes, and a picture has 2 or 3")
    return pixels


def _decode(name: str, data: bytes) -> NDArray[Any]:
    """Return the pixels of a file in memory."""
    import imagecodecs

    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
        channels = {0: 1, 2: 3, 3: 4, 4: 2, 6: 4}.get(colour, 4)
        _check_size(name, width * height * channels * (2 if depth == 16 else 1), len(data))
        return np.asarray(imagecodecs.png_decode(data))
    if data.startswith(b"\xff\xd8\xff"):
        _check_size(name, _jpeg_bytes(data), len(data))
        return np.asarray(imagecodecs.jpeg_decode(data))
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return _decode_tiff(name, data)
    raise UnreadableFrame(f"{name} is no PNG, TIFF or JPEG picture", "convert it first")


def _decode_tiff(name: str, data: bytes) -> NDArray[Any]:
    """Return the first page of a TIFF, its channels last."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        if not file.pages:
            raise ValueError("no page")
        page = file.pages[0]
        _check_size(name, page.nbytes, len(data))
        pixels = np.asarray(page.asarray())
    if pixels.ndim == 3 and pixels.shape[0] in (3, 4) and pixels.shape[2] not in (3, 4):
        pixels = np.moveaxis(pixels, 0, -1)
    return pixels


def _jpeg_bytes(data: bytes) -> int:
    """Return the bytes that a JPEG unpacks to, from its frame header."""
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            raise ValueError("no JPEG marker where one must be")
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:
            at += 1
            continue
        if marker in _SIZE_MARKERS:
            height, width, channels = struct.unpack_from(">HHB", data, at + 5)
            return int(height) * int(width) * int(channels)
        at += 2 + length
    raise ValueError("no JPEG frame header")


def _check_size(name: str, n_bytes: int, packed: int) -> None:
    """Raise if a picture would unpack to more than any packing explains."""
    if n_bytes > max(_FLOOR, _MOST_EXPANSION * packed):
        raise UnreadableFrame(
            f"{name} announces {n_bytes:,} bytes of pixels packed in {packed:,}, which no real picture does",
            "do not trust this file",
        )
