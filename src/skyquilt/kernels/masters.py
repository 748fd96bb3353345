"""
The robust mean of calibration frames straight from the bytes of their files.

Calibration frames neither move nor hold stars, and nearly all of them are stored as unsigned 16-bit integers: no sample
is missing, all weigh the same, and nothing but the mean is asked for. The definition is the integration of the lights
(`steps.integrate.integrate_cube` with the rule "sigma" and no structure); the same bits come out, without its cube of
floats, its weights and its other planes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skyquilt.core import F32, U16
from skyquilt.kernels.backend import compiler_types, exact_kernel, intrinsic, llvm_ir
from skyquilt.kernels.lanes import (
    WIDTH,
    F32Lanes,
    larger,
    load,
    narrow,
    pick,
    smaller,
    splat,
    splat_double,
    store,
    widen,
)
from skyquilt.kernels.reject_rules import keep_sigma
from skyquilt.kernels.sort import padded_rows, sort_columns

__all__ = ["average_stored", "sample_blocks"]

_INFINITY = np.float32(np.inf)
_WORDS = llvm_ir.VectorType(llvm_ir.IntType(16), WIDTH)
_INTEGERS = llvm_ir.VectorType(llvm_ir.IntType(32), WIDTH)
_FLOATS = llvm_ir.VectorType(llvm_ir.FloatType(), WIDTH)
_SIGN = 0x8000


@intrinsic
def load_stored(typing: Any, array: Any, index: Any) -> Any:
    """Return the stored pixels at ``array[index:index + WIDTH]`` as float32 lanes: ``decode_plain(.., 32768, 1)``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        words = builder.load(builder.bitcast(builder.gep(data, [arguments[1]]), _WORDS.as_pointer()))
        words.align = 2
        name = f"llvm.bswap.v{WIDTH}i16"
        swap = builder.module.globals.get(name) or llvm_ir.Function(
            builder.module, llvm_ir.FunctionType(_WORDS, [_WORDS]), name
        )
        signed = builder.xor(builder.call(swap, [words]), llvm_ir.Constant(_WORDS, [_SIGN] * WIDTH))
        return builder.sitofp(builder.zext(signed, _INTEGERS), _FLOATS)

    return F32Lanes(array, compiler_types.intp), emit


def sample_blocks(n_frames: int) -> tuple[F32, F32]:
    """Return memory for one group of columns: samples in frame order, and a block to sort them in (all +inf)."""
    rows = padded_rows(n_frames) + 1
    return np.empty(n_frames * WIDTH, dtype=np.float32), np.full(rows * WIDTH, np.inf, dtype=np.float32)


@exact_kernel
def average_stored(
    stored: U16,
    n_frames: int,
    n_pixels: int,
    subtract: F32,
    scales: F32,
    weight: float,
    low: float,
    high: float,
    max_iterations: int,
    tables: tuple[F32, F32, F32, F32],
    blocks: tuple[F32, F32],
    out: F32,
) -> None:
    """
    Combine the frames of a band to their robust mean.

    Parameters
    ----------
    stored : uint16 (n_frames * n_pixels + WIDTH,)
        The frames one after the other: big-endian integers of 16 bits with BZERO 32768, read as if they were native.
    subtract : float32 (n_pixels + WIDTH,), ADU, or of size 0
    scales : float32 (n_frames,), finite
        A sample is (v - subtract) * scale.
    weight : float
        Of every frame, as float32.
    low, high, max_iterations, tables
        Of `kernels.reject_rules.keep_sigma`; tables: reach below and above, correction of the MAD, widening.
    blocks
        From `sample_blocks(n_frames)`.
    out : float32 (n_pixels rounded up to WIDTH,)
        Written in place.

    Notes
    -----
    Definition: the value of `kernels.reject.find_intervals` (rule "sigma") followed by `kernels.combine.combine_means`,
    the structure being 0; the same operations in the same order, hence the same bits.
    """
    samples, block = blocks
    reach_low, reach_high, correction, widening = tables
    spare = padded_rows(n_frames)
    has_subtract = len(subtract) > 0
    lower_row = (n_frames - 1) // 2 * WIDTH
    upper_row = n_frames // 2 * WIDTH
    count = splat(n_frames)
    zero = splat(0.0)
    nothing = splat_double(0.0)
    w = widen(splat(weight))
    for pixel in range(0, n_pixels, WIDTH):
        for row in range(n_frames):
            value = load_stored(stored, row * n_pixels + pixel)
            if has_subtract:
                value = value - load(subtract, pixel)
            value = value * splat(scales[row])
            store(samples, row * WIDTH, value)
            store(block, row * WIDTH, value)
        sort_columns(block, n_frames)
        lower = load(block, lower_row)
        upper = load(block, upper_row)
        middle = splat(0.5) * (lower + upper)
        start, end = keep_sigma(
            block,
            n_frames,
            spare,
            middle,
            count,
            low,
            high,
            max_iterations,
            reach_low,
            reach_high,
            correction,
            widening,
        )
        start = smaller(smaller(start, lower), middle)
        end = larger(larger(end, upper), middle)
        total, weighted = nothing, nothing
        for row in range(n_frames):
            value = load(samples, row * WIDTH)
            kept = ~((value < start) | (value > end))
            deviation = pick(kept, value - middle, zero)
            total = total + pick(kept, w, nothing)
            weighted = weighted + w * widen(deviation)
        store(out, pixel, narrow(widen(middle) + weighted / total))
