"""The picture of a live stack for people: small enough to be written at every frame."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from skyquilt.core import F32
from skyquilt.engine.statistics import noise_of_plane
from skyquilt.io.atomic import write_atomically
from skyquilt.io.images import encode_png
from skyquilt.steps.finish import auto_stretch

__all__ = ["measure_picture", "write_picture"]

_LONGEST_PX = 1024
_MEASURED_PX = 1024


def measure_picture(values: F32) -> tuple[float, float]:
    """Return sky level and noise of a pixel in the middle of the picture, of its green or only plane, ADU."""
    plane = values[len(values) // 2]
    height, width = plane.shape
    side = min(height, width, _MEASURED_PX)
    y0, x0 = (height - side) // 2, (width - side) // 2
    level, noise, _ = noise_of_plane(np.ascontiguousarray(plane[y0 : y0 + side, x0 : x0 + side]))
    return level, noise


def reduced(values: F32) -> F32:
    """Return means over square cells, at most 1024 px long; a cell that a hole touches is a hole."""
    c, height, width = values.shape
    cell = max(1, -(-max(height, width) // _LONGEST_PX))
    rows, columns = height // cell, width // cell
    if cell == 1:
        return values
    cells = values[:, : rows * cell, : columns * cell].reshape(c, rows, cell, columns, cell)
    means: F32 = cells.mean(axis=(2, 4), dtype=np.float32)
    return means


def write_picture(values: F32, array_path: Path, png_path: Path) -> None:
    """
    Write the picture twice: as numbers (.npy, float32 (channel, y, x), ADU) and stretched for the eye.

    Raises
    ------
    NotEnoughDisk, OutputBlocked
    """
    small = reduced(values)
    content = io.BytesIO()
    np.save(content, small, allow_pickle=False)
    write_atomically(array_path, content.getvalue())
    picture = auto_stretch(small).apply(small, np.uint8)
    write_atomically(png_path, encode_png(picture[:, :, 0] if picture.shape[2] == 1 else picture))
