"""The one door to the compiler: every loop in `kernels` is compiled through this decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba
from llvmlite import binding as _binding
from llvmlite import ir as llvm_ir
from numba import extending as compiler_extending
from numba import types as compiler_types
from numba.extending import intrinsic

__all__ = [
    "compiler_extending",
    "compiler_types",
    "exact_inlined",
    "exact_kernel",
    "inlined",
    "intrinsic",
    "kernel",
    "llvm_ir",
    "vector_floats",
]

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """
    Compile a loop: releases the interpreter lock, cached on disk, no fast-math reordering.

    Sums keep the order in which they are written, so that every tiling and thread count gives the same bits;
    contraction to fused multiply-add is allowed, as it does not depend on the tiling.
    """
    return cast(Function, numba.njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")(function))


def exact_kernel(function: Function) -> Function:
    """
    Compile a loop like `kernel`, but without contraction: every operation rounds as IEEE 754 writes it.

    For loops over x that the compiler vectorises: the vector body and the scalar remainder may contract differently,
    and which pixel falls in the remainder depends on the box that was asked for.
    """
    return cast(Function, numba.njit(nogil=True, cache=True, error_model="numpy")(function))


def inlined(function: Function) -> Function:
    """Compile a small function that is put into the loops that call it."""
    return cast(
        Function,
        numba.njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy", inline="always")(function),
    )


def exact_inlined(function: Function) -> Function:
    """Compile a small function, without contraction, that the optimiser puts into the loops that call it."""
    return cast(Function, numba.njit(nogil=True, error_model="numpy", forceinline=True)(function))


def vector_floats() -> int:
    """Return how many float32 the widest vector register of this processor holds, at least 8."""
    try:
        return 16 if _binding.get_host_cpu_features().get("avx512f") else 8
    except RuntimeError:  # the compiler cannot tell on some processors
        return 8
