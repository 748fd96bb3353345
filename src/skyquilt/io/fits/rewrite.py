"""A product's header changed without touching its pixels; and files that are a header alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from skyquilt.errors import UnreadableFrame
from skyquilt.io.atomic import AtomicFile, write_atomically
from skyquilt.io.fits.cards import CardToWrite, format_card, format_cards
from skyquilt.io.fits.checksums import add_sums, encode_checksum, sum_words
from skyquilt.io.fits.layout import BLOCK, HeaderUnit, read_unit
from skyquilt.io.fits.stream import PlainStream, open_to_read, unreadable

__all__ = ["replace_cards", "write_header"]

_PIECE = 1 << 22


def write_header(path: Path, cards: Sequence[CardToWrite]) -> None:
    """
    Write a FITS file that is a header without data, such as the ``.wcs`` of a plate solver.

    Raises
    ------
    NotEnoughDisk, OutputBlocked
    """
    begin: list[CardToWrite] = [("SIMPLE", True, "FITS standard 4.0"), ("BITPIX", 8, ""), ("NAXIS", 0, "no data")]
    write_atomically(path, _blocks(format_cards([*begin, *cards])))


def replace_cards(path: Path, cards: Sequence[CardToWrite], drop: Callable[[str], bool]) -> None:
    """
    Put cards into the primary header of a FITS file; the file is replaced as a whole, its data stay as they are.

    Parameters
    ----------
    path : Path
        Plain FITS.
    cards : sequence of (keyword, value, comment)
        Appended; older cards of the same keyword go.
    drop : callable
        Tells of other keywords whether they go.

    Raises
    ------
    UnreadableFrame
        If the file is not FITS or is cut short.
    NotEnoughDisk, OutputBlocked
    """
    try:
        descriptor = open_to_read(path)
    except OSError as cause:
        raise unreadable(path, cause) from cause
    with open(descriptor, "rb", closefd=True) as file:  # noqa: PTH123 - a descriptor, opened to read only
        size = file.seek(0, 2)
        unit = read_unit(PlainStream(descriptor, size), 0, 0)
        if not isinstance(unit, HeaderUnit) or unit.end > size:
            raise UnreadableFrame(f"{path.name} is not a whole FITS file", "copy the file again")
        lines, has_sums = _changed(unit, cards, drop)
        header = _with_sums(lines, unit, file.fileno(), size) if has_sums else _blocks(lines)
        with AtomicFile(path) as changed:
            changed.write_at(0, header)
            at = len(header)
            stream = PlainStream(file.fileno(), size)
            for start in range(unit.data_start, size, _PIECE):
                piece = stream.read_at(start, min(_PIECE, size - start))
                changed.write_at(at, piece)
                at += len(piece)


def _changed(unit: HeaderUnit, cards: Sequence[CardToWrite], drop: Callable[[str], bool]) -> tuple[list[str], bool]:
    """Return the new lines without sums and END, and whether the header had sums."""
    new = {keyword for keyword, _, _ in cards}
    kept = []
    has_sums = False
    for line in unit.header.lines:
        keyword = line[:8].strip()
        if keyword in ("CHECKSUM", "DATASUM"):
            has_sums = True
        elif keyword != "END" and keyword not in new and not drop(keyword):
            kept.append(line.ljust(80))
    while kept and not kept[-1].strip():
        kept.pop()
    return [*kept, *format_cards(cards)], has_sums


def _with_sums(lines: list[str], unit: HeaderUnit, descriptor: int, size: int) -> bytes:
    """Return the header with DATASUM and a CHECKSUM that fits."""
    stream = PlainStream(descriptor, size)
    data = 0
    for start in range(unit.data_start, unit.end, _PIECE):
        data = add_sums(data, sum_words(stream.read_at(start, min(_PIECE, unit.end - start))))

    def header(checksum: str) -> bytes:
        sums = [*format_card("CHECKSUM", checksum, "header and data"), *format_card("DATASUM", str(data), "data")]
        return _blocks([*lines, *sums])

    return header(encode_checksum(add_sums(data, sum_words(header("0" * 16)))))


def _blocks(lines: Sequence[str]) -> bytes:
    """Return lines and END as whole blocks."""
    text = "".join(lines) + "END".ljust(80)
    return text.encode("ascii").ljust(-(-len(text) // BLOCK) * BLOCK)
