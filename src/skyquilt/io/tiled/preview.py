"""Pictures of a canvas that is too large to be looked at as a whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from skyquilt.core import F32, F64
from skyquilt.errors import UsageError
from skyquilt.io.images import Stretcher, write_png, write_tiff

__all__ = ["WithOverview", "reduce_to", "write_preview"]


class WithOverview(Protocol):
    """A canvas that knows itself at half, a quarter ... of its size (`TiledCanvas`)."""

    @property
    def n_levels(self) -> int: ...

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def overview(self, level: int) -> tuple[F32, F32]: ...


def reduce_to(canvas: WithOverview, longest_px: int) -> F32:
    """
    Return a canvas reduced until its longest side is `longest_px`, float32 (channel, y, x); never enlarged.

    Starts from the smallest level of the overview that is large enough; every pixel is the mean of what it covers,
    weighted by coverage and by the part of each pixel that lies within.

    Raises
    ------
    UsageError
        If `longest_px` is below 1.
    """
    if longest_px < 1:
        raise UsageError(f"a preview of {longest_px} px cannot be made", "ask for 1 px or more")
    level = 0
    _, height, width = canvas.shape
    target = min(longest_px, max(height, width))
    while level < canvas.n_levels and -(-max(height, width) // 2 ** (level + 1)) >= target:
        level += 1
    value, coverage = canvas.overview(level)
    factor = target / max(height, width)
    shape = (max(1, round(height * factor)), max(1, round(width * factor)))
    if level == 0 and shape == coverage.shape:
        return value
    known = np.isfinite(value) & (coverage > 0.0)
    weight = np.where(known, coverage, np.float32(0.0))
    total = np.where(known, value, np.float32(0.0)) * weight
    with np.errstate(invalid="ignore"):
        extent = (height / 2**level, width / 2**level)  # the last pixel of a level may cover less than the others
        ratio = _area_sum(total, extent, shape) / _area_sum(weight, extent, shape)
    return ratio.astype(np.float32)


def _area_sum(image: F32, extent: tuple[float, float], shape: tuple[int, int]) -> F64:
    """Return the sum over each cell of a coarser grid laid over an extent (y, x) in px, parts of pixels included."""
    down, across = (
        _shares(n_in, *to) for n_in, to in zip(image.shape[1:], zip(extent, shape, strict=True), strict=True)
    )
    return np.stack([(across @ (down @ plane.astype(np.float64)).T).T for plane in image])


def _shares(n_pixels: int, length: float, n_cells: int) -> Any:
    """Return the sparse matrix (n_cells, n_pixels) of the part of each pixel that lies in each cell."""
    from scipy.sparse import csr_array

    edges = np.linspace(0.0, length, n_cells + 1)
    first, last = np.floor(edges[:-1]).astype(int), np.minimum(np.ceil(edges[1:]).astype(int), n_pixels)
    cell = np.repeat(np.arange(n_cells), last - first)
    pixel = np.arange(len(cell)) - np.repeat(np.cumsum(last - first) - (last - first), last - first) + first[cell]
    part = np.minimum(edges[cell + 1], pixel + 1) - np.maximum(edges[cell], pixel)
    return csr_array((part, (cell, pixel)), shape=(n_cells, n_pixels))


def write_preview(
    path: Path, canvas: WithOverview, longest_px: int, make_stretch: Callable[[F32], Stretcher]
) -> tuple[int, int]:
    """
    Write a PNG (8 bits) or TIFF (16 bits) of a canvas, reduced to `longest_px`; return its (width, height).

    Parameters
    ----------
    path : Path
        Ends in .png, .tif or .tiff.
    canvas : WithOverview
    longest_px : int
    make_stretch : callable
        Gets the reduced values, float32 (channel, y, x), and returns the stretch for them, e.g. `auto_stretch`.

    Raises
    ------
    UsageError
        If the name ends otherwise, or the canvas has neither one nor three channels.
    NotEnoughDisk, OutputBlocked
        If the system refuses to write.
    """
    path = Path(path)
    kinds = {".png": (np.uint8, write_png), ".tif": (np.uint16, write_tiff), ".tiff": (np.uint16, write_tiff)}
    if path.suffix.lower() not in kinds:
        raise UsageError(f"{path.name} is no name of a picture that is written here", "use .png, .tif or .tiff")
    if canvas.shape[0] not in (1, 3):
        raise UsageError(f"a picture has 1 or 3 channels, the canvas has {canvas.shape[0]}")
    dtype, write = kinds[path.suffix.lower()]
    values = reduce_to(canvas, longest_px)
    picture = make_stretch(values).apply(values, dtype)
    write(path, picture[:, :, 0] if picture.shape[2] == 1 else picture)
    return picture.shape[1], picture.shape[0]
