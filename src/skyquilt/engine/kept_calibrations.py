"""The arrays that calibrate frames, as files: for workers on other machines, and for later runs."""

from __future__ import annotations

import io
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from skyquilt.core import Calibration
from skyquilt.io.arrays import read_arrays
from skyquilt.io.atomic import write_atomically

__all__ = ["keep_calibrations", "kept_calibrations", "read_calibration", "remove_calibrations"]

_FOLDER = "calibrations"


def keep_calibrations(scratch: Path, calibrations: dict[str, Calibration]) -> None:
    """
    Write calibrations under their keys, those that are not there yet.

    Raises
    ------
    NotEnoughDisk, OutputBlocked
    """
    (scratch / _FOLDER).mkdir(parents=True, exist_ok=True)
    for key, calibration in calibrations.items():
        path = scratch / _FOLDER / f"{key}.npz"
        if not path.exists():
            write_atomically(path, _packed(calibration))


def kept_calibrations(scratch: Path) -> set[str]:
    """Return the keys of the calibrations that were written."""
    return {path.stem for path in (scratch / _FOLDER).glob("*.npz")}


def remove_calibrations(scratch: Path) -> None:
    """Throw away what `keep_calibrations` wrote."""
    shutil.rmtree(scratch / _FOLDER, ignore_errors=True)


@lru_cache(maxsize=8)
def read_calibration(scratch: Path, key: str) -> Calibration:
    """Return the arrays of one calibration; the frames of a group share them."""
    return Calibration(**read_arrays(scratch / _FOLDER / f"{key}.npz"))


def _packed(calibration: Calibration) -> bytes:
    parts: dict[str, Any] = {
        name: getattr(calibration, name)
        for name in ("dark", "inverse_flat", "defects")
        if getattr(calibration, name) is not None
    }
    content = io.BytesIO()
    np.savez(content, **parts)
    return content.getvalue()
