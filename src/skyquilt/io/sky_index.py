"""The index of asterisms kept in the user's cache: written once, read under a memory map."""

from __future__ import annotations

import contextlib
import json
import mmap
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.errors import SkyquiltError
from skyquilt.io.atomic import AtomicFile

__all__ = ["load_arrays", "store_arrays"]

_MAGIC = b"SKYQIDX1"
_ALIGNED = 64


def store_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> bool:
    """
    Write arrays into one file, which appears whole or not at all; return whether it could be written.

    A cache that cannot be written is no error: the arrays are made again next time.
    """
    places: dict[str, dict[str, Any]] = {}
    at, crc = 0, 0
    pieces: list[bytes] = []
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        data += b"\0" * (-len(data) % _ALIGNED)
        places[name] = {"dtype": array.dtype.str, "shape": list(array.shape), "at": at}
        crc, at = zlib.crc32(data, crc), at + len(data)
        pieces.append(data)
    text = json.dumps({"n_bytes": at, "crc32": crc, "arrays": places}).encode("ascii")
    begin = len(_MAGIC) + 4
    text += b" " * (-(begin + len(text)) % _ALIGNED)
    try:
        with contextlib.suppress(FileExistsError):
            path.parent.mkdir(parents=True)
        with AtomicFile(path) as file:
            place = 0
            for piece in (_MAGIC + len(text).to_bytes(4, "little") + text, *pieces):
                file.write_at(place, piece)
                place += len(piece)
    except (OSError, SkyquiltError):
        return False
    return True


def load_arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """
    Return the arrays of a file as read-only views of its memory map; None where it is missing or damaged.

    The checksum is looked at: what compiled loops read without looking must be what was written.
    """
    try:
        with path.open("rb") as file:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        begin = len(_MAGIC) + 4
        if memory[: len(_MAGIC)] != _MAGIC:
            return None
        start = begin + int.from_bytes(memory[len(_MAGIC) : begin], "little")
        description = json.loads(memory[begin:start])
        view = memoryview(memory)[start:]
        if len(view) != description["n_bytes"] or zlib.crc32(view) != description["crc32"]:
            return None
        arrays = {}
        for name, place in description["arrays"].items():
            count = int(np.prod(place["shape"], dtype=np.int64))
            array: NDArray[Any] = np.frombuffer(memory, place["dtype"], count, start + place["at"])
            arrays[name] = array.reshape(place["shape"])
        return arrays
    except (OSError, ValueError, KeyError, TypeError):
        return None
