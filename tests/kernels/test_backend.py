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


def call() -> str:
    return subprocess.run([sys.executable, "-c", CALL], capture_output=True, text=True, check=True, timeout=120).stdout


def test_a_kernel_that_is_compiled_is_loaded_without_linear_algebra() -> None:
    call()  # compiles it, if no other test has done so
    assert call().split() == ["[2.0,", "8.0]", "1", "False"]
