"""Plain FITS as devices write it: 80-character cards in cfitsio's hand, 2880-byte blocks, unsigned 16-bit pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, U16

__all__ = ["BLOCK", "COMMENTARY", "Card", "fits_bytes", "structure_cards"]

BLOCK = 2880


@dataclass(frozen=True, slots=True)
class Card:
    """
    One keyword of a header.

    Attributes
    ----------
    value : bool, int, float, str or None
        None: the whole card after the keyword is `comment` (COMMENT cards).
    is_literal : bool
        Write the text of `value` without quotes, whatever it says (malformed cards).
    """

    keyword: str
    value: bool | int | float | str | None
    comment: str = ""
    is_literal: bool = False

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.keyword:<8}{self.comment}"[:80].ljust(80)
        text = f"{self.keyword:<8}= {self._value_text()}"
        return (f"{text} / {self.comment}" if self.comment else text)[:80].ljust(80)

    def _value_text(self) -> str:
        if isinstance(self.value, bool):
            return f"{'T' if self.value else 'F':>20}"
        if isinstance(self.value, str):
            quoted = "'" + self.value.replace("'", "''").ljust(8) + "'"
            return f"{self.value:>20}" if self.is_literal else f"{quoted:<20}"
        if isinstance(self.value, float):
            return f"{_float_text(self.value):>20}"
        return f"{self.value:>20}"


def _float_text(value: float) -> str:
    """Return up to 15 digits, with a point even where none is needed, as cfitsio writes doubles."""
    text = f"{value:.15G}"
    return text if "." in text or "E" in text else f"{text}."


COMMENTARY = (
    Card("COMMENT", None, "  FITS (Flexible Image Transport System) format is defined in 'Astronomy"),
    Card("COMMENT", None, "  and Astrophysics', volume 376, page 359; bibcode: 2001A&A...376..359H"),
)
"""What cfitsio puts into every new file."""


def structure_cards(pixels: U16 | F32) -> list[Card]:
    """Return the cards that describe the array itself, BZERO and BSCALE left out."""
    bits = {"u": 16, "f": -8 * pixels.dtype.itemsize}[pixels.dtype.kind]
    cards = [
        Card("SIMPLE", True, "file does conform to FITS standard"),
        Card("BITPIX", bits, "number of bits per data pixel"),
        Card("NAXIS", pixels.ndim, "number of data axes"),
    ]
    cards += [Card(f"NAXIS{i + 1}", n, f"length of data axis {i + 1}") for i, n in enumerate(pixels.shape[::-1])]
    return [*cards, Card("EXTEND", True, "FITS dataset may contain extensions")]


def fits_bytes(cards: Sequence[Card], pixels: U16 | F32) -> bytes:
    """
    Return the bytes of a primary HDU.

    Parameters
    ----------
    cards : sequence of Card
        The whole header but END, structure and BZERO included.
    pixels : uint16 or float32 (y, x) or (c, y, x)
        uint16 is stored as signed big-endian, 32768 below its value.
    """
    header = "".join(map(str, [*cards, "END".ljust(80)])).encode("ascii")
    header += b" " * (-len(header) % BLOCK)
    # x - 32768 is x with its highest bit turned over
    if pixels.dtype == np.uint16:
        data = np.bitwise_xor(pixels.astype(np.uint16, copy=False), np.uint16(0x8000)).byteswap().tobytes()
    else:
        data = pixels.astype(">f4").tobytes()
    return b"".join((header, data, bytes(-len(data) % BLOCK)))
