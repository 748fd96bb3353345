"""
Vectors of pixels that lie side by side, as values that compiled loops compute with.

A loop over the frames of one pixel is a chain of dependent steps; the same loop over `WIDTH` neighbouring pixels at
once costs no more. The compiler finds such vectors only in simple loops, so they are written out: `F32Lanes` holds
`WIDTH` float32, `F64Lanes` as many float64, `MaskLanes` as many truth values. They take the operators ``+ - * /``, the
comparisons, ``& | ~``, and the functions below. Every operation rounds as IEEE 754 says, on every processor, and no
lane ever looks at its neighbour (except `count_true`, `any_true` and `largest`): hence results do not depend on the
tiling.

Arrays are one-dimensional and contiguous; nothing checks an index. The file is a catalogue of small operations: it
stays whole.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from skyquilt.kernels.backend import compiler_extending, compiler_types, intrinsic, llvm_ir, vector_floats

__all__ = [
    "WIDTH",
    "any_true",
    "copy_bytes",
    "count_true",
    "gather_rows",
    "lane_numbers",
    "larger",
    "largest",
    "load",
    "load_bytes",
    "load_double",
    "load_four",
    "lookup",
    "magnitude",
    "narrow",
    "pick",
    "row_network",
    "smaller",
    "splat",
    "splat_double",
    "square_root",
    "store",
    "store_bytes",
    "store_double",
    "store_four",
    "whole_part",
    "widen",
]

WIDTH = vector_floats()

_FLOAT = llvm_ir.FloatType()
_DOUBLE = llvm_ir.DoubleType()
_INT32 = llvm_ir.IntType(32)
_F32 = llvm_ir.VectorType(_FLOAT, WIDTH)
_F64 = llvm_ir.VectorType(_DOUBLE, WIDTH)
_I32 = llvm_ir.VectorType(_INT32, WIDTH)
_U8 = llvm_ir.VectorType(llvm_ir.IntType(8), WIDTH)
_MASK = llvm_ir.VectorType(llvm_ir.IntType(1), WIDTH)


class _Lanes(compiler_types.Type):  # type: ignore[misc]  # the compiler's classes carry no types
    """One kind of vector, as the compiler knows it."""


F32Lanes = _Lanes("F32Lanes")
F64Lanes = _Lanes("F64Lanes")
MaskLanes = _Lanes("MaskLanes")

_STORED = {F32Lanes: _F32, F64Lanes: _F64, MaskLanes: _MASK}


@compiler_extending.register_model(_Lanes)
class _LanesModel(compiler_extending.models.PrimitiveModel):  # type: ignore[misc]  # as above
    def __init__(self, manager: Any, lanes: Any) -> None:
        super().__init__(manager, lanes, _STORED[lanes])


def _define(symbol: Callable[..., Any], kinds: Sequence[Any], result: Any, emit: Callable[..., Any]) -> None:
    """Teach the compiler one operator for one list of operand kinds."""

    @compiler_extending.type_callable(symbol)
    def _typed(context: Any) -> Any:
        if len(kinds) == 1:
            return lambda a: result if a == kinds[0] else None
        return lambda a, b: result if (a, b) == tuple(kinds) else None

    @compiler_extending.lower_builtin(symbol, *kinds)
    def _lowered(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return emit(builder, *arguments)


def _define_operators() -> None:
    arithmetic = {operator.add: "fadd", operator.sub: "fsub", operator.mul: "fmul", operator.truediv: "fdiv"}
    compared = {
        operator.lt: "<",
        operator.le: "<=",
        operator.gt: ">",
        operator.ge: ">=",
        operator.eq: "==",
    }
    for lanes in (F32Lanes, F64Lanes):
        for symbol, name in arithmetic.items():
            _define(symbol, (lanes, lanes), lanes, lambda builder, a, b, name=name: getattr(builder, name)(a, b))
        for symbol, sign in compared.items():
            _define(
                symbol, (lanes, lanes), MaskLanes, lambda builder, a, b, sign=sign: builder.fcmp_ordered(sign, a, b)
            )
    _define(operator.and_, (MaskLanes, MaskLanes), MaskLanes, lambda builder, a, b: builder.and_(a, b))
    _define(operator.or_, (MaskLanes, MaskLanes), MaskLanes, lambda builder, a, b: builder.or_(a, b))
    _define(operator.invert, (MaskLanes,), MaskLanes, lambda builder, a: builder.not_(a))


_define_operators()


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def _aligned_load(builder: Any, pointer: Any, vector: Any, align: int) -> Any:
    loaded = builder.load(builder.bitcast(pointer, vector.as_pointer()))
    loaded.align = align
    return loaded


def _aligned_store(builder: Any, value: Any, pointer: Any, align: int) -> None:
    stored = builder.store(value, builder.bitcast(pointer, value.type.as_pointer()))
    stored.align = align


def _call(builder: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    """Call an intrinsic function of the code generator."""
    signature = llvm_ir.FunctionType(result, [argument.type for argument in arguments])
    function = builder.module.globals.get(name) or llvm_ir.Function(builder.module, signature, name)
    return builder.call(function, arguments)


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Return the float32 lanes at ``array[index:index + WIDTH]``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _aligned_load(builder, _pointer(context, builder, signature.args[0], *arguments), _F32, 4)

    return F32Lanes(array, compiler_types.intp), emit


@intrinsic
def load_double(typing: Any, array: Any, index: Any) -> Any:
    """Return the float64 lanes at ``array[index:index + WIDTH]``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _aligned_load(builder, _pointer(context, builder, signature.args[0], *arguments), _F64, 8)

    return F64Lanes(array, compiler_types.intp), emit


@intrinsic
def load_bytes(typing: Any, array: Any, index: Any) -> Any:
    """Return the uint8 at ``array[index:index + WIDTH]`` as float32 lanes."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        loaded = _aligned_load(builder, _pointer(context, builder, signature.args[0], *arguments), _U8, 1)
        return builder.sitofp(builder.zext(loaded, _I32), _F32)

    return F32Lanes(array, compiler_types.intp), emit


@intrinsic
def store(typing: Any, array: Any, index: Any, lanes: Any) -> Any:
    """Write float32 lanes to ``array[index:index + WIDTH]``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        _aligned_store(builder, arguments[2], pointer, 4)
        return context.get_dummy_value()

    return compiler_types.void(array, compiler_types.intp, F32Lanes), emit


@intrinsic
def store_double(typing: Any, array: Any, index: Any, lanes: Any) -> Any:
    """Write float64 lanes to ``array[index:index + WIDTH]``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        _aligned_store(builder, arguments[2], pointer, 8)
        return context.get_dummy_value()

    return compiler_types.void(array, compiler_types.intp, F64Lanes), emit


@intrinsic
def store_bytes(typing: Any, array: Any, index: Any, lanes: Any) -> Any:
    """Write float32 lanes, whole numbers from 0 to 255, as uint8 to ``array[index:index + WIDTH]``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        _aligned_store(builder, builder.trunc(builder.fptosi(arguments[2], _I32), _U8), pointer, 1)
        return context.get_dummy_value()

    return compiler_types.void(array, compiler_types.intp, F32Lanes), emit


def _shuffled(builder: Any, a: Any, b: Any, picks: list[int]) -> Any:
    """Return the picked lanes of two vectors, those of the second one numbered on from `WIDTH`."""
    return builder.shuffle_vector(a, b, llvm_ir.Constant(_I32, picks))


def _zipped(builder: Any, a: Any, b: Any, size: int) -> tuple[Any, Any]:
    """Return two vectors that hold the lanes of a and b by turns, `size` of each at a time."""
    order = [
        place + side for lane in range(0, WIDTH, size) for side in (0, WIDTH) for place in range(lane, lane + size)
    ]
    return _shuffled(builder, a, b, order[:WIDTH]), _shuffled(builder, a, b, order[WIDTH:])


@intrinsic
def store_four(typing: Any, array: Any, index: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Write a[0], b[0], c[0], d[0], a[1], b[1], ... to ``array[index:index + 4 * WIDTH]``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, second = _zipped(builder, arguments[2], arguments[3], 1), _zipped(builder, arguments[4], arguments[5], 1)
        for half in range(2):
            for quarter, vector in enumerate(_zipped(builder, first[half], second[half], 2)):
                place = builder.add(arguments[1], arguments[1].type((2 * half + quarter) * WIDTH))
                _aligned_store(builder, vector, _pointer(context, builder, signature.args[0], arguments[0], place), 4)
        return context.get_dummy_value()

    return compiler_types.void(array, compiler_types.intp, *[F32Lanes] * 4), emit


@intrinsic
def load_four(typing: Any, array: Any, index: Any) -> Any:
    """Return the four lanes that `store_four` writes to ``array[index:index + 4 * WIDTH]``, as a tuple."""
    result = compiler_types.UniTuple(F32Lanes, 4)

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        parts = []
        for quarter in range(4):
            place = builder.add(arguments[1], arguments[1].type(quarter * WIDTH))
            pointer = _pointer(context, builder, signature.args[0], arguments[0], place)
            parts.append(_aligned_load(builder, pointer, _F32, 4))
        for _ in range(2):  # every second lane of neighbours, twice
            even, odd = list(range(0, 2 * WIDTH, 2)), list(range(1, 2 * WIDTH, 2))
            pairs = ((parts[0], parts[1]), (parts[2], parts[3]))
            parts = [_shuffled(builder, *pair, picks) for picks in (even, odd) for pair in pairs]
        return context.make_tuple(builder, result, parts)

    return result(array, compiler_types.intp), emit


@intrinsic
def copy_bytes(typing: Any, source: Any, index: Any, target: Any, place: Any) -> Any:
    """Copy the uint8 at ``source[index:index + WIDTH]`` to ``target[place:place + WIDTH]``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        loaded = _aligned_load(
            builder, _pointer(context, builder, signature.args[0], arguments[0], arguments[1]), _U8, 1
        )
        _aligned_store(builder, loaded, _pointer(context, builder, signature.args[2], arguments[2], arguments[3]), 1)
        return context.get_dummy_value()

    return compiler_types.void(source, compiler_types.intp, target, compiler_types.intp), emit


def _gathered(context: Any, builder: Any, array_type: Any, array: Any, indices: Any) -> Any:
    """Load ``array[indices]``, int32 lanes."""
    data = context.make_array(array_type)(context, builder, array).data
    base = builder.ptrtoint(data, llvm_ir.IntType(64))
    wide = llvm_ir.VectorType(llvm_ir.IntType(64), WIDTH)
    offsets = builder.mul(builder.sext(indices, wide), llvm_ir.Constant(wide, [4] * WIDTH))
    addresses = builder.add(offsets, _spread(builder, base))
    total = llvm_ir.Constant(_F32, llvm_ir.Undefined)
    for lane in range(WIDTH):
        address = builder.extract_element(addresses, _INT32(lane))
        value = builder.load(builder.inttoptr(address, _FLOAT.as_pointer()))
        total = builder.insert_element(total, value, _INT32(lane))
    return total


@intrinsic
def lookup(typing: Any, table: Any, positions: Any) -> Any:
    """Return ``table[position]`` for every lane; positions are whole float32."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _gathered(context, builder, signature.args[0], arguments[0], builder.fptosi(arguments[1], _I32))

    return F32Lanes(table, F32Lanes), emit


@intrinsic
def gather_rows(typing: Any, column: Any, rows: Any) -> Any:
    """Return ``column[row * WIDTH + lane]`` for every lane; rows are whole float32."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows = builder.fptosi(arguments[1], _I32)
        indices = builder.add(
            builder.mul(rows, llvm_ir.Constant(_I32, [WIDTH] * WIDTH)), llvm_ir.Constant(_I32, list(range(WIDTH)))
        )
        return _gathered(context, builder, signature.args[0], arguments[0], indices)

    return F32Lanes(column, F32Lanes), emit


def _spread(builder: Any, value: Any) -> Any:
    """Put one number into every lane."""
    single = llvm_ir.Constant(llvm_ir.VectorType(value.type, WIDTH), llvm_ir.Undefined)
    first = builder.insert_element(single, value, _INT32(0))
    return builder.shuffle_vector(first, single, llvm_ir.Constant(_I32, [0] * WIDTH))


@intrinsic
def splat(typing: Any, value: Any) -> Any:
    """Return float32 lanes that all hold the number."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _spread(builder, arguments[0])

    return F32Lanes(compiler_types.float32), emit


@intrinsic
def splat_double(typing: Any, value: Any) -> Any:
    """Return float64 lanes that all hold the number."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _spread(builder, arguments[0])

    return F64Lanes(compiler_types.float64), emit


@intrinsic
def lane_numbers(typing: Any) -> Any:
    """Return 0, 1, 2, ... as float32 lanes."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return llvm_ir.Constant(_F32, [float(lane) for lane in range(WIDTH)])

    return F32Lanes(), emit


@intrinsic
def widen(typing: Any, lanes: Any) -> Any:
    """Return float32 lanes as float64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fpext(arguments[0], _F64)

    return F64Lanes(F32Lanes), emit


@intrinsic
def narrow(typing: Any, lanes: Any) -> Any:
    """Return float64 lanes rounded to float32."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fptrunc(arguments[0], _F32)

    return F32Lanes(F64Lanes), emit


def _suffix(lanes: Any) -> str:
    return f"v{WIDTH}f32" if lanes == F32Lanes else f"v{WIDTH}f64"


def _unary(name: str, summary: str) -> Any:
    """Make a function of one vector from an intrinsic function of the code generator."""

    def function(typing: Any, lanes: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return _call(builder, f"llvm.{name}.{_suffix(signature.args[0])}", arguments[0].type, list(arguments))

        return lanes(lanes), emit

    function.__doc__ = summary
    function.__name__ = name
    return intrinsic(function)


square_root = _unary("sqrt", "Return the square root of every lane.")
magnitude = _unary("fabs", "Return the absolute value of every lane.")
whole_part = _unary("trunc", "Return every lane rounded towards zero.")


@intrinsic
def smaller(typing: Any, a: Any, b: Any) -> Any:
    """Return ``a if a < b else b`` for every lane."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, second = arguments
        return builder.select(builder.fcmp_ordered("<", first, second), first, second)

    return a(a, b), emit


@intrinsic
def larger(typing: Any, a: Any, b: Any) -> Any:
    """Return ``a if a > b else b`` for every lane."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first, second = arguments
        return builder.select(builder.fcmp_ordered(">", first, second), first, second)

    return a(a, b), emit


@intrinsic
def pick(typing: Any, mask: Any, a: Any, b: Any) -> Any:
    """Return ``a`` where the mask is true, else ``b``."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(*arguments)

    return a(MaskLanes, a, b), emit


def _mask_bits(builder: Any, mask: Any) -> Any:
    return builder.bitcast(mask, llvm_ir.IntType(WIDTH))


@intrinsic
def count_true(typing: Any, mask: Any) -> Any:
    """Return how many lanes are true, int64."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = _mask_bits(builder, arguments[0])
        return builder.zext(_call(builder, f"llvm.ctpop.i{WIDTH}", bits.type, [bits]), llvm_ir.IntType(64))

    return compiler_types.int64(MaskLanes), emit


@intrinsic
def any_true(typing: Any, mask: Any) -> Any:
    """Return whether any lane is true."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = _mask_bits(builder, arguments[0])
        return builder.icmp_unsigned("!=", bits, bits.type(0))

    return compiler_types.boolean(MaskLanes), emit


@intrinsic
def largest(typing: Any, lanes: Any) -> Any:
    """Return the largest of the lanes, float32; none may be NaN."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(builder, f"llvm.vector.reduce.fmax.{_suffix(F32Lanes)}", _FLOAT, list(arguments))

    return compiler_types.float32(F32Lanes), emit


def row_network(n_rows: int, exchanges: Sequence[tuple[int, int]]) -> Any:
    """
    Return a compiled step that compares and exchanges rows of lanes, all in registers.

    Called as ``step(array, first, first_step, second, second_step)``: row j < n_rows / 2 lies at
    ``first + j * first_step``, the others at ``second + j * second_step``. For each (i, j) of `exchanges`, in order,
    row i becomes the lane-wise smaller of the two and row j the larger.
    """
    half = n_rows // 2

    def step(typing: Any, array: Any, first: Any, first_step: Any, second: Any, second_step: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            values, start, stride, other, other_stride = arguments
            data = context.make_array(signature.args[0])(context, builder, values).data
            pointers = []
            for row in range(n_rows):
                base, gap, j = (start, stride, row) if row < half else (other, other_stride, row - half)
                pointers.append(builder.gep(data, [builder.add(base, builder.mul(gap, gap.type(j)))]))
            rows = [_aligned_load(builder, pointer, _F32, 4) for pointer in pointers]
            for i, j in exchanges:
                a, b = rows[i], rows[j]
                rows[i] = builder.select(builder.fcmp_ordered("<", a, b), a, b)
                rows[j] = builder.select(builder.fcmp_ordered(">", a, b), a, b)
            for row, pointer in zip(rows, pointers, strict=True):
                _aligned_store(builder, row, pointer, 4)
            return context.get_dummy_value()

        index = compiler_types.intp
        return compiler_types.void(array, index, index, index, index), emit

    return intrinsic(step)
