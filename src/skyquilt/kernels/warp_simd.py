"""
Weighted sums over a square window of pixels, written as vector code.

The compiler does not find these vectors by itself: the four lanes of a pixel and the pixels of a row lie side by side
in memory, so that a row of taps is one load. Every function has a fixed order of operations:
``sum over rows (fused multiply-add, top to bottom) -> times the column weights -> halves folded onto each other``.

Called as ``window4x4(pixels, start, stride, table, across, down, out, at)``, all arrays one-dimensional float32: the
taps begin at ``pixels[start]``, a row further down is `stride` floats on; the weights begin at ``table[across]`` and
``table[down]``; the sums are written to ``out[at:at + lanes]``. Nothing checks the indices.
"""

from __future__ import annotations

from typing import Any

from skyquilt.kernels.backend import compiler_types, intrinsic, llvm_ir

__all__ = ["window1x2", "window1x4", "window1x6", "window4x2", "window4x4", "window4x4_of_four", "window4x6"]

_FLOAT = llvm_ir.FloatType()
_INDEX = llvm_ir.IntType(32)


def _load_vector(builder: Any, pointer: Any, n: int) -> Any:
    """Load n floats from an address that need not be aligned."""
    vector = llvm_ir.VectorType(_FLOAT, n)
    loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    loaded.align = 4
    return loaded


def _spread(builder: Any, vector: Any, picks: list[int]) -> Any:
    """Rearrange the lanes of a vector."""
    mask = llvm_ir.Constant(llvm_ir.VectorType(_INDEX, len(picks)), picks)
    return builder.shuffle_vector(vector, llvm_ir.Constant(vector.type, llvm_ir.Undefined), mask)


def _multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c, fused where the processor can: a processor that cannot may differ in the last bit."""
    name = f"llvm.fmuladd.v{a.type.count}f32"
    signature = llvm_ir.FunctionType(a.type, [a.type] * 3)
    function = builder.module.globals.get(name) or llvm_ir.Function(builder.module, signature, name)
    return builder.call(function, [a, b, c])


def _sum_window(builder: Any, taps: int, lanes: int, pixels: Any, stride: Any, across: Any, down: Any) -> Any:
    """Emit the weighted sum of `taps` rows of `taps` pixels of `lanes` floats; return the vector of the lanes."""
    down_weights = [builder.load(builder.gep(down, [_INDEX(row)])) for row in range(taps)]
    total = None
    first = 0
    for width in (4, 2) if taps == 6 else (taps,):
        n = width * lanes
        column = None
        row_pointer = builder.gep(pixels, [_INDEX(first * lanes)])
        for row in range(taps):
            values = _load_vector(builder, row_pointer, n)
            one = builder.insert_element(
                llvm_ir.Constant(llvm_ir.VectorType(_FLOAT, 1), llvm_ir.Undefined), down_weights[row], _INDEX(0)
            )
            weight = _spread(builder, one, [0] * n)
            column = builder.fmul(values, weight) if column is None else _multiply_add(builder, values, weight, column)
            row_pointer = builder.gep(row_pointer, [stride])
        weights = _load_vector(builder, builder.gep(across, [_INDEX(first)]), width)
        part = builder.fmul(column, _spread(builder, weights, [k // lanes for k in range(n)]))
        if total is not None:  # the 6-tap kernels: fold the four-tap part to the size of the two-tap part
            n_total = total.type.count
            total = _fold(builder, total, n_total // 2)
            part = builder.fadd(total, part)
        total = part
        first += width
    return _fold(builder, total, lanes)


def _fold(builder: Any, vector: Any, n: int) -> Any:
    """Add the upper half of the lanes to the lower half until n are left."""
    while vector.type.count > n:
        half = vector.type.count // 2
        low = _spread(builder, vector, list(range(half)))
        high = _spread(builder, vector, list(range(half, 2 * half)))
        vector = builder.fadd(low, high)
    return vector


def _fold_four(builder: Any, vectors: list[Any]) -> Any:
    """
    Return the 16 lanes that four vectors of 16 lanes give when each is folded to 4, side by side.

    The sums are those of `_fold`: upper half onto lower half, twice; a shuffle does two vectors at a time.
    """
    halves = []
    for a, b in ((vectors[0], vectors[1]), (vectors[2], vectors[3])):
        lower = _join(builder, a, b, [*range(8), *range(16, 24)])
        upper = _join(builder, a, b, [*range(8, 16), *range(24, 32)])
        halves.append(builder.fadd(lower, upper))
    a, b = halves
    even = [lane for first in (0, 8, 16, 24) for lane in range(first, first + 4)]
    return builder.fadd(_join(builder, a, b, even), _join(builder, a, b, [lane + 4 for lane in even]))


def _join(builder: Any, a: Any, b: Any, picks: list[int]) -> Any:
    """Return the picked lanes of two vectors, those of the second one numbered on."""
    return builder.shuffle_vector(a, b, llvm_ir.Constant(llvm_ir.VectorType(_INDEX, len(picks)), picks))


@intrinsic
def window4x4_of_four(
    typing_context: Any,
    pixels: Any,
    where: Any,
    stride: Any,
    table: Any,
    across: Any,
    down: Any,
    at: Any,
    out: Any,
    to: Any,
) -> Any:
    """
    Sum the windows of four samples, 4 x 4 pixels of 4 floats each: the same sums as four times `window4x4`.

    ``where``, ``across`` and ``down`` are int32 arrays; the samples' entries are at ``at`` to ``at + 3``, their sums
    are written to ``out[to:to + 16]``.
    """
    signature = compiler_types.void(pixels, where, stride, table, across, down, at, out, to)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def data(k: int) -> Any:
            return context.make_array(signature.args[k])(context, builder, arguments[k]).data

        pixels_data, table_data = data(0), data(3)
        stride, at = arguments[2], arguments[6]
        parts = []
        for sample in range(4):
            index = builder.add(at, at.type(sample))
            start, across_at, down_at = (
                builder.sext(builder.load(builder.gep(data(k), [index])), stride.type) for k in (1, 4, 5)
            )
            parts.append(
                _weigh_columns(
                    builder,
                    builder.gep(pixels_data, [start]),
                    stride,
                    builder.gep(table_data, [across_at]),
                    builder.gep(table_data, [down_at]),
                )
            )
        total = _fold_four(builder, parts)
        target = builder.gep(data(7), [arguments[8]])
        builder.store(total, builder.bitcast(target, total.type.as_pointer()), align=4)
        return context.get_dummy_value()

    return signature, generate


def _weigh_columns(builder: Any, pixels: Any, stride: Any, across: Any, down: Any) -> Any:
    """Emit the sum over four rows of four pixels of 4 floats, each column with its weight: 16 lanes."""
    column = None
    for row in range(4):
        values = _load_vector(builder, pixels, 16)
        one = builder.insert_element(
            llvm_ir.Constant(llvm_ir.VectorType(_FLOAT, 1), llvm_ir.Undefined),
            builder.load(builder.gep(down, [_INDEX(row)])),
            _INDEX(0),
        )
        weight = _spread(builder, one, [0] * 16)
        column = builder.fmul(values, weight) if column is None else _multiply_add(builder, values, weight, column)
        pixels = builder.gep(pixels, [stride])
    weights = _load_vector(builder, across, 4)
    return builder.fmul(column, _spread(builder, weights, [k // 4 for k in range(16)]))


def _make_window(taps: int, lanes: int) -> Any:
    """Return the compiled-in function that sums a window of `taps` x `taps` pixels of `lanes` floats."""

    @intrinsic
    def window(
        typing_context: Any, pixels: Any, start: Any, stride: Any, table: Any, across: Any, down: Any, out: Any, at: Any
    ) -> Any:
        signature = compiler_types.void(pixels, start, stride, table, across, down, out, at)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pixels_type, _, _, table_type, _, _, out_type, _ = signature.args
            pixels_data = context.make_array(pixels_type)(context, builder, arguments[0]).data
            table_data = context.make_array(table_type)(context, builder, arguments[3]).data
            out_data = context.make_array(out_type)(context, builder, arguments[6]).data
            total = _sum_window(
                builder,
                taps,
                lanes,
                builder.gep(pixels_data, [arguments[1]]),
                arguments[2],
                builder.gep(table_data, [arguments[4]]),
                builder.gep(table_data, [arguments[5]]),
            )
            target = builder.gep(out_data, [arguments[7]])
            builder.store(total, builder.bitcast(target, total.type.as_pointer()), align=4)
            return context.get_dummy_value()

        return signature, generate

    return window


window4x2 = _make_window(2, 4)
window4x4 = _make_window(4, 4)
window4x6 = _make_window(6, 4)
window1x2 = _make_window(2, 1)
window1x4 = _make_window(4, 1)
window1x6 = _make_window(6, 1)
