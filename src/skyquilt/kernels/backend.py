"""The one door to the compiler: every loop in `kernels` is compiled through this decorator."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from llvmlite import binding as _binding
from llvmlite import ir as llvm_ir
from numba import extending as compiler_extending
from numba import types as compiler_types
from numba.core.caching import FunctionCache, NullCache, _Cache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompileResult
from numba.core.runtime import rtsys
from numba.extending import intrinsic

__all__ = [
    "cache_folder_of",
    "called",
    "compiler_extending",
    "compiler_types",
    "compiler_version",
    "exact_called",
    "exact_inlined",
    "exact_kernel",
    "inlined",
    "intrinsic",
    "kernel",
    "llvm_ir",
    "machine_code_target",
    "vector_floats",
]

Function = TypeVar("Function", bound=Callable[..., object])

# every entry for callers outside of compiled code takes a tenth of the time to compile: kernels need the interpreter's
# alone, functions that only compiled code calls need none
_OUTER = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
_INNER = {"nogil": True, "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


class _LinkedLibrary(JITCodeLibrary):  # type: ignore[misc]  # the compiler's classes carry no types
    """
    The machine code of a kernel from the disk.

    Its intermediate code comes with it, for functions that are compiled later and call it. There are hardly ever any:
    it is parsed, and its symbols are listed, when one asks.
    """

    _bitcode: bytes | None = None
    _parsed: Any = None

    @property
    def _shared_module(self) -> Any:
        if self._parsed is None and self._bitcode is not None:
            self._parsed = _binding.parse_bitcode(self._bitcode)
        return self._parsed

    @_shared_module.setter
    def _shared_module(self, module: Any) -> None:
        self._parsed = module

    def get_pointer_to_function(self, name: str) -> int:
        engine = self.codegen._engine
        if self._bitcode is not None and not engine.is_symbol_defined(name):
            engine._load_defined_symbols(self._shared_module)
        return int(super().get_pointer_to_function(name))

    @classmethod
    def from_disk(cls, codegen: Any, state: tuple[str, str, Any], entry: str) -> Any:
        """
        Return the library, linked; what is stored in another form than machine code is left to the compiler.

        `entry` is the symbol that the interpreter calls.
        """
        name, kind, data = state
        if kind != "object":
            return codegen.unserialize_library(state)
        library = cls(codegen, name)
        library.enable_object_caching()
        machine_code, library._bitcode = data
        library._set_compiled_object(machine_code)
        library._finalize_final_module()
        codegen._engine._defined_symbols.add(entry)
        return library


class _Linker:
    """What of the compiler's context is asked for while a compiled kernel is put together again."""

    def __init__(self, context: Any, entry: str) -> None:
        self._context = context
        self._entry = entry
        self.typing_context = context.typing_context
        self.get_executable = context.get_executable

    def codegen(self) -> _Linker:
        return self

    def unserialize_library(self, state: tuple[str, str, Any]) -> Any:
        return _LinkedLibrary.from_disk(self._context.codegen(), state, self._entry)


class _QuickCache(_Cache):  # type: ignore[misc]  # the compiler's classes carry no types
    """
    Compiled kernels on disk, found when they are first called and loaded without what only the compiler needs.

    The compiler's own cache looks at its folder for each function that is defined, first makes ready for compiling,
    which imports linear algebra and a good part of SciPy, and lists every symbol: a quarter of a second, then 4 ms a
    kernel. Linking what is compiled needs but the runtime; where nothing is found, the compiler makes itself ready.
    """

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function
        self._found: Any = None

    @property
    def _on_disk(self) -> Any:
        if self._found is None:
            try:
                self._found = FunctionCache(self._function)
            except RuntimeError:  # there is no folder that can be written: compiled anew by every process
                self._found = NullCache()
        return self._found

    @property
    def cache_path(self) -> str:
        return str(self._on_disk.cache_path)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        disk = self._on_disk
        try:
            rtsys.initialize(target_context)
            with disk._guard_against_spurious_io_errors():
                stored = disk._cache_file.load(disk._index_key(sig, target_context.codegen()))
                if stored is not None:
                    linker = _Linker(target_context, stored[1].llvm_cpython_wrapper_name)
                    result = CompileResult._rebuild(linker, *stored)
                    return result._replace(target_context=target_context)
        except (AttributeError, TypeError):  # another version of the compiler, built otherwise
            return disk.load_overload(sig, target_context)
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        self._on_disk.save_overload(sig, data)

    def enable(self) -> None:
        self._on_disk.enable()

    def disable(self) -> None:
        self._on_disk.disable()

    def flush(self) -> None:
        self._on_disk.flush()


def _cached(function: Function, **options: Any) -> Function:
    """Compile a function that callers outside of compiled code use, and keep the result on disk."""
    compiled = numba.njit(**options)(function)
    if not numba.config.DISABLE_JIT:
        compiled._cache = _QuickCache(function)
    return cast(Function, compiled)


def kernel(function: Function) -> Function:
    """
    Compile a loop: releases the interpreter lock, cached on disk, no fast-math reordering.

    Sums keep the order in which they are written, so that every tiling and thread count gives the same bits;
    contraction to fused multiply-add is allowed, as it does not depend on the tiling.
    """
    return _cached(function, fastmath={"contract"}, **_OUTER)


def exact_kernel(function: Function) -> Function:
    """
    Compile a loop like `kernel`, but without contraction: every operation rounds as IEEE 754 writes it.

    For loops over x that the compiler vectorises: the vector body and the scalar remainder may contract differently,
    and which pixel falls in the remainder depends on the box that was asked for.
    """
    return _cached(function, **_OUTER)


def inlined(function: Function) -> Function:
    """Compile a small function that is put into the loops that call it."""
    return cast(
        Function,
        numba.njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy", inline="always")(function),
    )


def called(function: Function) -> Function:
    """Compile a part of a kernel that stays a function of its own, which only compiled code can call."""
    return cast(Function, numba.njit(fastmath={"contract"}, **_INNER)(function))


def exact_inlined(function: Function) -> Function:
    """Compile a small function, without contraction, that the optimiser puts into the loops that call it."""
    return cast(Function, numba.njit(forceinline=True, **_INNER)(function))


def exact_called(function: Function) -> Function:
    """Compile a part of a kernel, without contraction, that stays a function of its own: it keeps compilation short."""
    return cast(Function, numba.njit(**_INNER)(function))


def vector_floats() -> int:
    """
    Return how many float32 are computed side by side: two of the widest vector registers of 512 bits, else 8.

    Two vectors at once hide the time that one of them would wait for its own last result; processors with shorter
    registers have too few of them for that.
    """
    try:
        features = numba.config.CPU_FEATURES or _binding.get_host_cpu_features().flatten()
        return 32 if "+avx512f" in features.split(",") else 8
    except RuntimeError:  # the compiler cannot tell on some processors
        return 8


def compiler_version() -> str:
    """Return what a compiled kernel depends on besides its source: the compiler and the processor."""
    return f"numba {numba.__version__} on {_binding.get_host_cpu_name()}"


def machine_code_target() -> tuple[str, str]:
    """
    Return the name of this processor, and a digest of what the kernels are compiled for.

    Two processes with the same compiler and digest run the same instructions. The digest is that of NUMBA_CPU_NAME and
    NUMBA_CPU_FEATURES where these are set: they make different processors alike.
    """
    try:
        features = numba.config.CPU_FEATURES or _binding.get_host_cpu_features().flatten()
    except RuntimeError:  # the compiler cannot tell on some processors
        features = "unknown"
    name = _binding.get_host_cpu_name()
    facts = (numba.config.CPU_NAME or name, sorted(features.split(",")), numba.config.OPT, numba.config.DISABLE_JIT)
    return name, hashlib.sha256(repr((_binding.get_process_triple(), facts)).encode()).hexdigest()


def cache_folder_of(function: Callable[..., object]) -> Path:
    """Return the folder where the compiler keeps a kernel between runs."""
    return Path(cast(Any, function).stats.cache_path)
