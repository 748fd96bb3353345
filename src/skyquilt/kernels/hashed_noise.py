"""Noise that depends on nothing but where a pixel lies."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32
from skyquilt.kernels.backend import exact_called, exact_kernel

__all__ = ["fill_normal"]


@exact_called
def _mixed(value: np.uint64) -> np.uint64:
    """Mix the bits of a counter: the finaliser of SplitMix64."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@exact_kernel
def fill_normal(out: F32, x0: int, y0: int, seed: int) -> None:
    """
    Fill `out` (y, x) with noise of mean 0 and sigma 1 that is a function of absolute coordinates and seed.

    Notes
    -----
    Definition: the sum of four 16-bit parts of a 64-bit hash of (x, y, seed), centred and scaled: nearly normal (kurtosis
    2.7), never beyond 3.5 sigma. Source of the hash: Steele, Lea & Flood 2014, OOPSLA, SplitMix64.
    """
    part = np.uint64(0xFFFF)
    scale = np.float32(np.sqrt(3.0) / 65536.0)
    for i in range(out.shape[0]):
        row = _mixed(np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(y0 + i + 1048576))
        for j in range(out.shape[1]):
            bits = _mixed(row + np.uint64(x0 + j + 1048576) * np.uint64(0x9E3779B97F4A7C15))
            total = (bits & part) + ((bits >> np.uint64(16)) & part)
            total += ((bits >> np.uint64(32)) & part) + (bits >> np.uint64(48))
            out[i, j] = (np.float32(np.int64(total)) - np.float32(131070.0)) * scale
