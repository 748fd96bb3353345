"""Finished images as files: the ending of the name is the format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt import __version__
from skyquilt.core import F32
from skyquilt.engine.headers import Card
from skyquilt.errors import UsageError
from skyquilt.io.atomic import write_atomically
from skyquilt.io.fits import value_range, write_bands
from skyquilt.io.images import TiffWriter, XisfWriter, encode_jpeg, encode_png

__all__ = ["FORMATS", "Product", "check_name", "write_product"]

FORMATS = {
    ".fits": "fits",
    ".fit": "fits",
    ".fts": "fits",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".xisf": "xisf",
}
"""Endings and what they mean."""

_BITS = {"fits": (32, 16), "tiff": (16, 32), "png": (8, 16), "jpeg": (8,), "xisf": (32,)}
_LARGEST_JPEG = 65500
_HEADROOM = 2.0  # means of normalised frames may exceed the end of the range


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """
    An image to be written.

    Attributes
    ----------
    shape : (c, y, x)
    rows : callable
        Yields (first row, float32 (c, rows, x)) from top to bottom; can be called again.
    is_picture : bool
        Whether it is stretched to 0..1.
    is_bottom_up : bool
        Whether the first row is the lowest: pictures are turned over, FITS and XISF keep the rows as they are.
    cards : sequence of (keyword, value, comment)
    """

    shape: tuple[int, int, int]
    rows: Callable[[], Iterator[tuple[int, F32]]]
    is_picture: bool
    is_bottom_up: bool
    cards: Sequence[Card]

    def value_rows(self) -> Iterator[tuple[int, F32]]:
        """As `io.fits.write_bands` asks for the rows."""
        return self.rows()


def check_name(path: Path, bits: int | None = None) -> str:
    """
    Return the format that a name means.

    Raises
    ------
    UsageError
        If its ending is none of `FORMATS`, or the format has no such number of bits.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"{path.name} has no ending of an image", f"one of {', '.join(FORMATS)}")
    if bits is not None and bits not in _BITS[kind]:
        possible = " or ".join(map(str, _BITS[kind]))
        raise UsageError(f"{path.name} cannot have {bits} bits", f"{kind} has {possible}")
    return kind


def write_product(path: Path, product: Product, *, bits: int | None = None, quality: int = 92) -> None:
    """
    Write an image; it appears whole or not at all.

    Parameters
    ----------
    path : Path
        FITS float32 or 16 bits, XISF float32, TIFF 16 bits or float32, PNG 8 or 16 bits, JPEG.
    bits : int or None
        None: the first of these.
    quality : int, 1 to 100
        Of a JPEG.

    Raises
    ------
    UsageError
        If the format cannot hold the image.
    NotEnoughDisk, OutputBlocked
    """
    kind = check_name(path, bits)
    bits = bits or _BITS[kind][0]
    if kind == "fits":
        write_bands(path, product, product.cards, sixteen_bits="numbers" if bits == 16 else None)
        return
    channels = product.shape[0]
    if channels not in (1, 3):
        raise UsageError(
            f"{path.name} cannot hold an image of {channels} channels",
            "make colours of them (palette), or write FITS",
        )
    if kind == "xisf":
        with XisfWriter(
            path,
            product.shape,
            product.cards,
            is_linear=not product.is_picture,
            white=_white(product),
            creator=f"skyquilt {__version__}",
            **_created(product.cards),
        ) as xisf:
            for y0, rows in product.rows():
                xisf.write_rows(y0, rows)
        return
    if not product.is_picture and not (kind == "tiff" and bits == 32):
        raise UsageError(
            f"the chain ends in linear light, which {path.name} cannot show",
            "add a stretch (--step auto_stretch), or write FITS, XISF or a TIFF of 32 bits",
        )
    if kind == "tiff":
        dtype: type[Any] = np.float32 if bits == 32 else np.uint16
        with TiffWriter(path, _on_screen(product.shape), dtype, is_linear=not product.is_picture) as tiff:
            for y0, picture in _picture_rows(product, bits):
                tiff.write_rows(y0, picture)
        return
    whole = np.empty(_on_screen(product.shape), dtype=np.uint8 if bits == 8 else np.uint16)
    for y0, picture in _picture_rows(product, bits):
        whole[y0 : y0 + len(picture)] = picture
    if kind == "jpeg" and max(whole.shape[:2]) > _LARGEST_JPEG:
        raise UsageError(f"{path.name} would be longer than a JPEG can be, {_LARGEST_JPEG} px", "write PNG or TIFF")
    write_atomically(path, encode_png(whole) if kind == "png" else encode_jpeg(whole, quality))


def _white(product: Product) -> float:
    """Return 1, or the end of 16 bits of an image in ADU, or what is above that."""
    high = value_range(product)[1]
    return next((top for top in (1.0, 65535.0) if high <= _HEADROOM * top), high)


def _created(cards: Sequence[Card]) -> dict[str, str]:
    """Return when the image was made, as far as its cards tell; no clock is read."""
    told = {card[0]: str(card[1]) for card in cards if card[0] in ("DATE", "DATE-END", "DATE-OBS")}
    found = told.get("DATE") or told.get("DATE-END") or told.get("DATE-OBS")
    return {"created": f"{found}Z"} if found else {}


def _on_screen(shape: tuple[int, int, int]) -> tuple[int, ...]:
    channels, height, width = shape
    return (height, width, channels) if channels > 1 else (height, width)


def _picture_rows(product: Product, bits: int) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (first row, rows) as a screen shows them: (rows, x) or (rows, x, 3); NaN is black."""
    top = np.float32((1 << bits) - 1) if bits < 32 else np.float32(1.0)
    dtype: type[Any] = {8: np.uint8, 16: np.uint16, 32: np.float32}[bits]
    for y0, rows in product.rows():
        values = np.nan_to_num(rows, nan=0.0, posinf=1.0, neginf=0.0)
        if bits < 32:
            values *= top
            values += np.float32(0.5)
            np.clip(values, np.float32(0.0), top, out=values)
        picture = values.astype(dtype).transpose(1, 2, 0)
        first = product.shape[1] - y0 - len(picture) if product.is_bottom_up else y0
        picture = picture[::-1] if product.is_bottom_up else picture
        yield first, np.ascontiguousarray(picture[:, :, 0] if product.shape[0] == 1 else picture)
