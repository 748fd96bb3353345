"""Pixels that the engine process hands over in files: raw pictures, and tiles of half floats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F32
from skyquilt.errors import BadInput
from skyquilt.io.images import encode_jpeg

__all__ = ["decode_halves", "jpeg_of_rgba", "read_halves"]

_QUALITY = 85
_LARGEST = 64 << 20


def jpeg_of_rgba(path: Path, width: int, height: int) -> bytes:
    """
    Return the JPEG of a file of raw bytes: red, green, blue and opacity of each pixel, rows from the top.

    Raises
    ------
    BadInput
        If the file does not hold as many bytes.
    """
    pixels = _read(path, np.dtype(np.uint8), width * height * 4).reshape(height, width, 4)
    return encode_jpeg(np.ascontiguousarray(pixels[:, :, :3]), _QUALITY)


def read_halves(path: Path, channels: int, height: int, width: int) -> NDArray[np.float16]:
    """
    Return the half floats of a tile, (channel, y, x), from a file that holds them little-endian.

    Raises
    ------
    BadInput
        If the file does not hold as many bytes.
    """
    halves = _read(path, np.dtype("<f2"), channels * height * width)
    return np.asarray(halves.reshape(channels, height, width), dtype=np.float16)


def decode_halves(halves: NDArray[np.float16], offset: Sequence[float], scale: Sequence[float]) -> F32:
    """Return the values of a tile, float32 (channel, y, x): offset + scale h."""
    values = halves.astype(np.float32)
    for plane, one, factor in zip(values, offset, scale, strict=True):
        plane *= np.float32(factor)
        plane += np.float32(one)
    return values


def _read(path: Path, dtype: np.dtype[np.uint8] | np.dtype[np.float16], n: int) -> NDArray[np.generic]:
    size = path.stat().st_size
    if n < 1 or size != n * dtype.itemsize or size > _LARGEST:
        raise BadInput(f"{path.name} holds {size:,} bytes, {n * dtype.itemsize:,} were announced")
    return np.frombuffer(path.read_bytes(), dtype=dtype)
