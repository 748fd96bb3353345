"""PNG and TIFF pictures written whole or not at all, with the profile of their colours."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.io.atomic import write_atomically
from skyquilt.io.images.icc import grey_profile, rgb_profile

__all__ = ["encode_png", "write_png", "write_tiff"]

_PNG = b"\x89PNG\r\n\x1a\n"
_IHDR_END = len(_PNG) + 4 + 4 + 13 + 4


def encode_png(picture: NDArray[Any]) -> bytes:
    """
    Return a PNG file with an embedded sRGB profile.

    Parameters
    ----------
    picture : uint8 or uint16 (y, x) or (y, x, 3), first row on top

    Raises
    ------
    ValueError
        If the picture has another shape or type.
    """
    import imagecodecs

    is_rgb = _check(picture, (np.uint8, np.uint16))
    # noise does not repeat: looking for repetitions takes three times as long and saves nothing
    data = bytes(imagecodecs.png_encode(np.ascontiguousarray(picture), level=1, strategy=3))
    return _with_profile(data, rgb_profile() if is_rgb else grey_profile())


def write_png(path: Path, picture: NDArray[Any]) -> None:
    """
    Write `encode_png(picture)` atomically.

    Raises
    ------
    ValueError
        As `encode_png`.
    NotEnoughDisk, OutputBlocked
        If the system refuses to write.
    """
    write_atomically(Path(path), encode_png(picture))


def write_tiff(path: Path, picture: NDArray[Any]) -> None:
    """
    Write a TIFF atomically: uint16 with the sRGB profile, float32 with that of linear light.

    Parameters
    ----------
    picture : uint16 or float32 (y, x) or (y, x, 3), first row on top
        Stored plainly: 16 bits of noise do not pack, and every program reads it.

    Raises
    ------
    ValueError
        If the picture has another shape or type.
    NotEnoughDisk, OutputBlocked
        If the system refuses to write.
    """
    import tifffile

    is_rgb = _check(picture, (np.uint16, np.float32))
    is_linear = picture.dtype == np.float32
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        np.ascontiguousarray(picture),
        photometric="rgb" if is_rgb else "minisblack",
        iccprofile=rgb_profile(is_linear=is_linear) if is_rgb else grey_profile(is_linear=is_linear),
        metadata=None,
        software=False,
    )
    write_atomically(Path(path), file.getbuffer())


def _check(picture: NDArray[Any], types: tuple[type[Any], ...]) -> bool:
    """Return whether the picture has three channels; raise if it is not one that is written here."""
    if picture.dtype not in [np.dtype(kind) for kind in types]:
        raise ValueError(f"the picture is {picture.dtype}, it may be {' or '.join(kind.__name__ for kind in types)}")
    if picture.ndim not in (2, 3) or (picture.ndim == 3 and picture.shape[2] != 3) or 0 in picture.shape:
        raise ValueError(f"the picture is {picture.shape}, it may be (y, x) or (y, x, 3)")
    return picture.ndim == 3


def _with_profile(png: bytes, profile: bytes) -> bytes:
    """Return a PNG with an iCCP chunk right after its IHDR, where the standard wants it."""
    body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(profile, 9)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:_IHDR_END] + chunk + png[_IHDR_END:]
