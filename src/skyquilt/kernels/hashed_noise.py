"""Noise that depends on nothing but where a pixel lies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyquilt.core.arrays import F32
from skyquilt.kernels.backend import exact_called, exact_kernel

__all__ = ["define_normal", "fill_normal"]

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_ORIGIN = 1048576  # so that coordinates of tiles beyond the edges are positive too


def define_normal(shape: tuple[int, int], x0: int, y0: int, seed: int) -> F32:
    """Return what `fill_normal` fills an array of that shape with: its readable definition."""

    def mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
        value = (value ^ (value >> np.uint64(30))) * np.uint64(_FIRST)
        value = (value ^ (value >> np.uint64(27))) * np.uint64(_SECOND)
        return value ^ (value >> np.uint64(31))

    rows = (np.arange(shape[0]) + y0 + _ORIGIN).astype(np.uint64) + np.array(seed, np.uint64) * np.array(
        [_GOLDEN], np.uint64
    )
    columns = (np.arange(shape[1]) + x0 + _ORIGIN).astype(np.uint64) * np.array([_GOLDEN], np.uint64)
    bits = mixed(mixed(rows)[:, None] + columns[None])
    total = sum(((bits >> np.uint64(16 * k)) & np.uint64(0xFFFF)).astype(np.float32) for k in range(4))
    return np.asarray((total - np.float32(131070.0)) * np.float32(np.sqrt(3.0) / 65536.0), dtype=np.float32)


@exact_called
def _mixed(value: np.uint64) -> np.uint64:
    """Mix the bits of a counter: the finaliser of SplitMix64."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(_FIRST)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(_SECOND)
    return value ^ (value >> np.uint64(31))


@exact_kernel
def fill_normal(out: F32, x0: int, y0: int, seed: int) -> None:
    """
    Fill `out` (y, x) with noise of mean 0 and sigma 1 that is a function of absolute coordinates and seed.

    Notes
    -----
    Definition: the sum of four 16-bit parts of a 64-bit hash of (x, y, seed), centred and scaled: nearly normal
    (kurtosis 2.7), never beyond 3.5 sigma. Source of the hash: Steele, Lea & Flood 2014, OOPSLA, SplitMix64.
    """
    part = np.uint64(0xFFFF)
    scale = np.float32(np.sqrt(3.0) / 65536.0)
    for i in range(out.shape[0]):
        row = _mixed(np.uint64(seed) * np.uint64(_GOLDEN) + np.uint64(y0 + i + _ORIGIN))
        for j in range(out.shape[1]):
            bits = _mixed(row + np.uint64(x0 + j + _ORIGIN) * np.uint64(_GOLDEN))
            total = (bits & part) + ((bits >> np.uint64(16)) & part)
            total += ((bits >> np.uint64(32)) & part) + (bits >> np.uint64(48))
            out[i, j] = (np.float32(np.int64(total)) - np.float32(131070.0)) * scale
