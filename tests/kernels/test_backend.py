"""Compiled kernels are loaded from the disk without what only a compiler needs."""

from __future__ import annotations

import subprocess
import sys

CALL = """
import sys
import numpy as np
from skyquilt.kernels.levels import word_levels
levels = np.empty(2)
word_levels(np.array([[3, 1, 2], [9, 7, 8]], dtype=np.uint16), levels)
print(levels.tolist(), sum(word_levels.stats.cache_hits.values()), "scipy.linalg" in sys.modules)
"""

CALL_FROM_ANOTHER = """
import numba
from skyquilt.kernels.sort import padded_rows
padded_rows(20)
@numba.njit
def doubled(n):
    return 2 * padded_rows(n)
print(doubled(20), sum(padded_rows.stats.cache_hits.values()))
"""


def call(code: str = CALL) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout


def test_a_function_that_is_compiled_later_can_call_a_kernel_from_the_disk() -> None:
    call(CALL_FROM_ANOTHER)
    assert call(CALL_FROM_ANOTHER).split() == ["64", "1"]


def test_a_kernel_that_is_compiled_is_loaded_without_linear_algebra() -> None:
    call()  # compiles it, if no other test has done so
    assert call().split() == ["[2.0,", "8.0]", "1", "False"]


def test_where_nothing_can_be_kept_a_kernel_is_compiled_all_the_same() -> None:
    # what has no file has no place beside it
    code = "from skyquilt.kernels.backend import kernel\n@kernel\ndef twice(n):\n    return 2 * n\nprint(twice(4))"
    assert call(code).split() == ["8"]
