"""The one door to the compiler: every loop in `kernels` is compiled through this decorator."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

__all__ = ["inlined", "kernel"]

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """
    Compile a loop: releases the interpreter lock, cached on disk, no fast-math reordering.

    Sums keep the order in which they are written, so that every tiling and thread count gives the same bits;
    contraction to fused multiply-add is allowed, as it does not depend on the tiling.
    """
    return cast(Function, numba.njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")(function))


def inlined(function: Function) -> Function:
    """Compile a small function that is put into the loops that call it."""
    return cast(
        Function,
        numba.njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy", inline="always")(function),
    )
