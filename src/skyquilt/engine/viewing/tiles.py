"""The bytes of a tile as the viewer takes them (docs/reference/app-api.md, section 7)."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F32, F64, Box

__all__ = ["TILE_PX", "encode_halves", "encode_tile", "half_floats", "tile_box"]

TILE_PX = 512
"""Side of a tile without its gutter of 1 px on every side."""

_MAGIC = b"SQT1"
_HALF, _FLOAT = 1, 2
_UNKNOWN, _ROUGH = 1, 2
_GUTTER = 1
_HALF_TOP = 32768.0  # of the range of a half float (65504)
_LEAST_SCALE = 2.0**-100


def tile_box(size: tuple[int, int], x: int, y: int) -> Box | None:
    """
    Return the pixels of a tile of a level with a size of (height, width), gutter included; None if there is no tile.

    The gutter of tiles at the edge lies outside of the level.
    """
    height, width = size
    if not (0 <= x * TILE_PX < width and 0 <= y * TILE_PX < height):
        return None
    inner = Box(x * TILE_PX, y * TILE_PX, min(width, (x + 1) * TILE_PX), min(height, (y + 1) * TILE_PX))
    return inner.grow(_GUTTER)


def encode_tile(values: F32, *, is_exact: bool = False, is_rough: bool = False) -> bytes:
    """
    Return the bytes of a tile.

    Parameters
    ----------
    values : float32 (channel, y, x), gutter included
        NaN or infinite where nothing is known. A pixel is known where all of its channels are.
    is_exact : bool
        Write the values themselves, not half floats.
    is_rough : bool
        Say so in the flags.

    """
    if is_exact:
        known = np.asarray(np.isfinite(values).all(axis=0))
        unit = [(0.0, 1.0)] * len(values)
        return _assembled(values, known, unit, np.dtype("<f4"), is_rough=is_rough)
    return encode_halves(*half_floats(values), is_rough=is_rough)


def half_floats(values: F32) -> tuple[NDArray[np.float16], tuple[float, ...], tuple[float, ...]]:
    """
    Return values as half floats, float16 (channel, y, x), with the offset and the scale of each channel.

    Parameters
    ----------
    values : float32 (channel, y, x)
        What is not finite stays so, and does not count for offset and scale.

    Notes
    -----
    Definition:: value = offset + scale h
    offset is the median of the channel, near which half floats are finest: the sky. scale is a power of two for which
    no h is above 32768. |error| <= 2^-11 |v - offset| + 2^-25 scale.
    """
    pairs = [_offset_and_scale(plane[np.isfinite(plane)]) for plane in values]
    halves = np.empty(values.shape, dtype=np.float16)
    with np.errstate(invalid="ignore", over="ignore"):
        for out, plane, (offset, scale) in zip(halves, values, pairs, strict=True):
            out[:] = (plane - np.float32(offset)) * np.float32(1.0 / scale)
    return halves, tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def encode_halves(
    halves: NDArray[np.float16], offset: Sequence[float], scale: Sequence[float], *, is_rough: bool = False
) -> bytes:
    """
    Return the bytes of a tile whose half floats are known already.

    Parameters
    ----------
    halves : float16 (channel, y, x), gutter included
        NaN where nothing is known.
    offset, scale : sequence of float, one a channel
    """
    known = np.asarray(np.isfinite(halves).all(axis=0))
    pairs = list(zip(offset, scale, strict=True))
    return _assembled(halves, known, pairs, np.dtype("<f2"), is_rough=is_rough)


def _offset_and_scale(known: F32) -> tuple[float, float]:
    """Return what a channel is told relative to; known: float32 (n,)."""
    if known.size == 0:
        return 0.0, 1.0
    step = max(1, known.size // 30_000)
    offset = float(np.median(known[::step].astype(np.float64)))  # two values of 3e38 have a mean
    reach = max(float(known.max()) - offset, offset - float(known.min()))
    if not reach > 0.0:
        return offset, 1.0
    return offset, max(2.0 ** float(np.ceil(np.log2(reach / _HALF_TOP))), _LEAST_SCALE)


def _assembled(
    values: F32 | F64 | NDArray[np.float16],
    known: NDArray[np.bool_],
    pairs: Sequence[tuple[float, float]],
    dtype: np.dtype[np.float16] | np.dtype[np.float32],
    *,
    is_rough: bool,
) -> bytes:
    """Return header and payload; unknown pixels are 0 in all numbers."""
    channels, height, width = values.shape
    flags = (0 if known.all() else _UNKNOWN) | (_ROUGH if is_rough else 0)
    kind = _HALF if dtype.itemsize == 2 else _FLOAT
    header = _MAGIC + struct.pack("<BBBBHHI", kind, channels, flags, _GUTTER, width, height, 0)
    payload = np.zeros((height, width, channels + 1), dtype=dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        for channel, plane in enumerate(values):
            payload[:, :, channel] = np.where(known, plane, 0)
    payload[:, :, channels] = known
    return header + b"".join(struct.pack("<ff", *pair) for pair in pairs) + payload.tobytes()
