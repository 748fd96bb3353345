"""Stored FITS pixels (big-endian, with zero and scale) made float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.core.arrays import F32, U16, Mask
from skyquilt.kernels.backend import kernel

__all__ = ["decode_floats", "decode_int16", "decode_plain", "stored_dtype"]

_DTYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


def stored_dtype(bitpix: int) -> np.dtype[Any]:
    """Return the big-endian type of stored pixels; `bitpix` is 8 (unsigned), 16, 32, 64, -32 or -64."""
    return np.dtype(_DTYPES[bitpix])


def decode_plain(stored: NDArray[Any], zero: float, scale: float, blank: int | None = None) -> F32:
    """
    Return stored pixels as float32 ADU, NaN where there is no value: the definition that the kernels equal.

    Parameters
    ----------
    stored : integers or floats, any shape
        As they lie in the file (`stored_dtype`), or as a decompressor gave them.
    zero, scale : float
        value = zero + scale * stored, computed in float64 and rounded once.
    blank : int or None
        Stored integer that stands for "no value".
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if zero == 0.0 and scale == 1.0:
            values = stored.astype(np.float32)
        else:
            values = (stored.astype(np.float64) * scale + zero).astype(np.float32)
    if stored.dtype.kind == "f":
        values[~np.isfinite(values)] = np.nan
    elif blank is not None:
        values[stored == blank] = np.nan
    return values


@kernel
def decode_int16(
    raw: U16, row_items: int, bias: float, out: F32, out_start: int, out_stride: int, width: int, height: int
) -> None:
    """
    Write a box of stored 16-bit pixels as float32.

    Parameters
    ----------
    raw : uint16 (n,)
        Rows of `row_items` big-endian values from the box's first column on, read as if they were native.
    bias : float, ADU
        BZERO - 32768: 0 for unsigned 16-bit frames, -32768 for signed ones. With BSCALE 1, every sum is exact.
    out : float32 (m,)
        Written in place from `out_start`, one row of the box every `out_stride` items.

    Notes
    -----
    Definition: ``decode_plain(raw as >i2, bias + 32768, 1)`` cut to the box.
    The swap is kept in uint16: an unwrapped ``>> | <<`` becomes int64 and loses the 16-bit lanes (2.5 times slower).
    """
    offset = np.float32(bias)
    for y in range(height):
        row = raw[y * row_items : y * row_items + width]  # slices: x cannot be negative, so the loop vectorises
        target = out[out_start + y * out_stride : out_start + y * out_stride + width]
        for x in range(width):
            stored = row[x]
            swapped = np.uint16((stored >> np.uint16(8)) | (stored << np.uint16(8)))
            target[x] = np.float32(np.uint16(swapped ^ np.uint16(0x8000))) + offset


@kernel
def decode_floats(
    raw: NDArray[np.uint32],
    row_items: int,
    out: NDArray[np.uint32],
    out_start: int,
    out_stride: int,
    width: int,
    height: int,
    mask: Mask,
    mask_start: int,
) -> int:
    """
    Write a box of stored 32-bit floats as float32 and return how many of them are not finite.

    Parameters
    ----------
    raw : uint32 (n,)
        Rows of `row_items` big-endian floats from the box's first column on, read as if they were native integers.
    out : uint32 (m,)
        The float32 result seen as its bits; pixels that are not finite become 0.
    mask : bool
        False is written where a pixel is not finite, from `mask_start`, rows `out_stride` apart. Of size 0: no mask is
        wanted.

    Notes
    -----
    Definition: ``decode_plain(raw as >f4, 0, 1)`` cut to the box, NaN replaced by 0. Infinities count as NaN.
    """
    exponent = np.uint32(0x7F800000)
    n_bad = 0
    for y in range(height):
        row = raw[y * row_items : y * row_items + width]
        target = out[out_start + y * out_stride : out_start + y * out_stride + width]
        n_bad_here = 0
        for x in range(width):
            v = row[x]
            bits = np.uint32(
                (v >> np.uint32(24))
                | ((v >> np.uint32(8)) & np.uint32(0xFF00))
                | ((v << np.uint32(8)) & np.uint32(0xFF0000))
                | (v << np.uint32(24))
            )
            n_bad_here += int((bits & exponent) == exponent)
            target[x] = bits
        if n_bad_here:
            n_bad += n_bad_here
            for x in range(width):
                if (target[x] & exponent) == exponent:
                    target[x] = np.uint32(0)
                    if mask.size:
                        mask[mask_start + y * out_stride + x] = False
    return n_bad
