"""A column of whole numbers as a FITS binary table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from skyquilt.core import I64
from skyquilt.io.atomic import write_atomically
from skyquilt.io.fits.cards import CardToWrite, format_card, format_cards
from skyquilt.io.fits.checksums import add_sums, encode_checksum, sum_words
from skyquilt.io.fits.layout import BLOCK

__all__ = ["write_number_table"]


def write_number_table(path: Path, column: str, numbers: I64, cards: Sequence[CardToWrite]) -> None:
    """
    Write a FITS file with an empty primary image and a binary table of one column of 64-bit integers, with checksums.

    Parameters
    ----------
    path : Path
        Replaced as a whole, at the end.
    column : str
        Name of the column.
    numbers : int64 (n,)
    cards : sequence of (keyword, value, comment)
        Added to the header of the table.

    Raises
    ------
    NotEnoughDisk, OutputBlocked
        If the system refuses to write.
    """
    primary: list[CardToWrite] = [
        ("SIMPLE", True, "FITS standard 4.0"),
        ("BITPIX", 8, "bits per pixel"),
        ("NAXIS", 0, "axes"),
        ("EXTEND", True, "extensions follow"),
    ]
    table: list[CardToWrite] = [
        ("XTENSION", "BINTABLE", "binary table"),
        ("BITPIX", 8, "bytes"),
        ("NAXIS", 2, "axes"),
        ("NAXIS1", 8, "bytes a row"),
        ("NAXIS2", len(numbers), "rows"),
        ("PCOUNT", 0, ""),
        ("GCOUNT", 1, ""),
        ("TFIELDS", 1, "columns"),
        ("TTYPE1", column, ""),
        ("TFORM1", "1K", "64-bit integer"),
        *cards,
    ]
    data = numbers.astype(">i8").tobytes()
    data += bytes(-len(data) % BLOCK)
    write_atomically(Path(path), _unit(primary, b"") + _unit(table, data))


def _unit(cards: Sequence[CardToWrite], data: bytes) -> bytes:
    """Return header and data with their sums."""
    lines = format_cards(cards)
    total = sum_words(data)

    def header(checksum: str) -> bytes:
        sums = [*format_card("CHECKSUM", checksum, "header and data"), *format_card("DATASUM", str(total), "data")]
        text = ("".join([*lines, *sums]) + "END").encode("ascii")
        return text.ljust(-(-len(text) // BLOCK) * BLOCK)

    return header(encode_checksum(add_sums(total, sum_words(header("0" * 16))))) + data
