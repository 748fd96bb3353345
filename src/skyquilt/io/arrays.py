"""
Arrays from numpy's own files, one thread at a time.

numpy reads their headers with `ast.literal_eval`, which two threads must not do at once in Python 3.11: now and then it
ends with "AST constructor recursion depth mismatch" (CPython issue 106905).
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_array", "read_arrays"]

_lock = threading.Lock()


def read_array(path: Path) -> NDArray[Any]:
    """
    Return the array of an `.npy` file.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or is no such file.
    """
    with _lock:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    return array


def read_arrays(source: Path | BinaryIO) -> dict[str, NDArray[Any]]:
    """
    Return all arrays of an `.npz` file by their names.

    Raises
    ------
    OSError, ValueError, zipfile.BadZipFile
        If it cannot be read, or is no such file.
    """
    with _lock, np.load(source, allow_pickle=False) as data:
        return {name: data[name] for name in data.files}
