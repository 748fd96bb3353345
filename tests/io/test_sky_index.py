"""Arrays kept in the cache: the same when they come back, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skyquilt.io.sky_index import load_arrays, store_arrays

ARRAYS = {
    "a": np.arange(12, dtype=np.int32).reshape(3, 4),
    "b": np.linspace(0, 1, 7, dtype=np.float32),
    "empty": np.zeros((0, 3), dtype=np.uint8),
}


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "sky.index"
    assert store_arrays(path, ARRAYS)
    back = load_arrays(path)
    assert back is not None
    assert set(back) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert back[name].dtype == array.dtype
        assert np.array_equal(back[name], array)
        assert not back[name].flags.writeable


@pytest.mark.parametrize("damage", ["cut", "flip", "other", "empty", "missing"])
def test_a_damaged_file_counts_as_missing(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "sky.index"
    store_arrays(path, ARRAYS)
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[:-70])
    elif damage == "flip":
        content[-80] ^= 0xFF
        path.write_bytes(content)
    elif damage == "other":
        path.write_bytes(b"{}" * 100)
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    assert load_arrays(path) is None


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here already")
    assert not store_arrays(tmp_path / "file" / "sky.index", ARRAYS)
