"""Vectors that are written to memory by turns, and read back."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, U8
from skyquilt.kernels.backend import exact_kernel
from skyquilt.kernels.lanes import WIDTH, load_bytes, load_four, store, store_bytes, store_four


@exact_kernel
def take_apart(mixed: F32, apart: F32, again: F32) -> None:
    a, b, c, d = load_four(mixed, 0)
    store(apart, 0, a)
    store(apart, WIDTH, b)
    store(apart, 2 * WIDTH, c)
    store(apart, 3 * WIDTH, d)
    store_four(again, 0, a, b, c, d)


@exact_kernel
def copy_whole_numbers(source: U8, target: U8) -> None:
    store_bytes(target, 0, load_bytes(source, 0))


def test_four_vectors_by_turns_are_taken_apart_and_put_together() -> None:
    mixed = np.arange(4 * WIDTH, dtype=np.float32)
    apart, again = np.zeros_like(mixed), np.zeros_like(mixed)
    take_apart(mixed, apart, again)
    np.testing.assert_array_equal(apart.reshape(4, WIDTH), mixed.reshape(WIDTH, 4).T)
    np.testing.assert_array_equal(again, mixed)


def test_whole_numbers_of_a_byte_survive() -> None:
    source = np.random.default_rng(3).integers(0, 256, WIDTH).astype(np.uint8)
    target = np.zeros(WIDTH, np.uint8)
    copy_whole_numbers(source, target)
    np.testing.assert_array_equal(target, source)
