"""Images that come band by band, whatever their size, as FITS files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from skyquilt.core import F32
from skyquilt.errors import NoUsableInput
from skyquilt.io.fits.cards import CardToWrite
from skyquilt.io.fits.sixteen_bits import SixteenBits
from skyquilt.io.fits.write import ImageWriter

__all__ = ["ArrayBands", "Banded", "value_range", "write_bands"]

_BAND_ROWS = 128


class Banded(Protocol):
    """
    An image that yields its rows from top to bottom, as often as it is asked (`TiledCanvas`, `ArrayBands`).

    `shape` is (channel, y, x); `value_rows` yields (first row, float32 (channel, rows, x)).
    """

    @property
    def shape(self) -> tuple[int, int, int]: ...

    def value_rows(self) -> Iterator[tuple[int, F32]]: ...


class ArrayBands:
    """An array, float32 (channel, y, x), as bands."""

    def __init__(self, values: F32) -> None:
        self._values = values

    @property
    def shape(self) -> tuple[int, int, int]:
        channels, height, width = self._values.shape
        return channels, height, width

    def value_rows(self) -> Iterator[tuple[int, F32]]:
        for y0 in range(0, self.shape[1], _BAND_ROWS):
            yield y0, self._values[:, y0 : y0 + _BAND_ROWS]


def value_range(image: Banded) -> tuple[float, float]:
    """
    Return the lowest and the highest finite value.

    Raises
    ------
    NoUsableInput
        If there is none.
    """
    low, high = np.inf, -np.inf
    for _, rows in image.value_rows():
        known = rows[np.isfinite(rows)]
        if known.size:
            low, high = min(low, float(known.min())), max(high, float(known.max()))
    if low > high:
        raise NoUsableInput("no pixel of the image is known: there is nothing to export", "stack it first")
    return low, high


def write_bands(
    path: Path,
    image: Banded,
    cards: Sequence[CardToWrite],
    *,
    sixteen_bits: Literal["numbers", "values"] | None = None,
    axes: Literal["planes first", "planes last"] = "planes first",
) -> None:
    """
    Write an image of any size as FITS, one band in memory at a time.

    Parameters
    ----------
    path : Path
        Replaced as a whole, at the end.
    image : Banded
        An image of one channel is written with two axes. Read twice: first for its range.
    cards : sequence of (keyword, value, comment)
        DATAMIN and DATAMAX are added.
    sixteen_bits : "numbers", "values" or None
        None: float32. Else 16 bits over the range of the image, as `SixteenBits` says.
    axes : "planes first" or "planes last"
        As `ImageWriter`.

    Raises
    ------
    NoUsableInput
        If no pixel is known.
    NotEnoughDisk, OutputBlocked, ValueError
        As `ImageWriter`.
    """
    low, high = value_range(image)
    shape = image.shape if image.shape[0] > 1 else image.shape[1:]
    scale = SixteenBits(low, high if high > low else low + 1.0, sixteen_bits) if sixteen_bits else None
    limits: list[CardToWrite] = [("DATAMIN", low, "lowest value"), ("DATAMAX", high, "highest value")]
    if sixteen_bits == "numbers":
        limits = [("DATAMIN", 1, "lowest number"), ("DATAMAX", 65535 if high > low else 1, "highest number")]
    with ImageWriter(path, shape, np.float32, [*cards, *limits], scale=scale, axes=axes) as writer:
        for y0, rows in image.value_rows():
            writer.write_rows(y0, rows)
