"""Header cards as they are written: fixed format, ASCII, 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from skyquilt.io.fits.header import CARD

__all__ = ["CardToWrite", "format_card", "format_cards"]

CardToWrite = tuple[str, object, str]
_COMMENTARY = ("HISTORY", "COMMENT", "")
_TEXT_COLUMNS = 72
_ALLOWED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def format_cards(cards: Iterable[CardToWrite]) -> list[str]:
    """Return the 80-column lines of (keyword, value, comment) entries; long HISTORY and COMMENT texts are wrapped."""
    return [line for keyword, value, comment in cards for line in format_card(keyword, value, comment)]


def format_card(keyword: str, value: object, comment: str = "") -> Sequence[str]:
    """
    Return the lines of one entry, 80 columns each.

    Parameters
    ----------
    keyword : str
        Up to 8 of A-Z, 0-9, - and _; a longer one is written with HIERARCH.
    value : str, bool, int, float, a NumPy scalar or None
        Floats in the shortest form that reads back the same. None, NaN and infinity give a card without value: FITS
        has no other way to say them. Text is brought to ASCII and cut at 68 columns: CONTINUE cards break readers.
    comment : str
        Cut where the card ends.

    Raises
    ------
    ValueError
        If the keyword cannot be one.
    """
    keyword = keyword.upper()
    if keyword in _COMMENTARY:
        text = _ascii(str(value))
        pieces = [text[at : at + _TEXT_COLUMNS] for at in range(0, len(text), _TEXT_COLUMNS)] or [""]
        return [f"{keyword:<8}{piece}".ljust(CARD) for piece in pieces]
    if not keyword or any(letter not in _ALLOWED for letter in keyword.replace(" ", "")):
        raise ValueError(f"{keyword!r} is no FITS keyword")
    is_plain = len(keyword) <= 8 and " " not in keyword
    begin = f"{keyword:<8}= " if is_plain else f"HIERARCH {keyword} = "
    if isinstance(value, str):
        field = _quote(_ascii(value), CARD - len(begin))
        field = f"{field:<20}"
    else:
        field = f"{_number(value):>20}"
    line = f"{begin}{field}"
    if comment and len(line) + 4 < CARD:
        line = f"{line} / {_ascii(comment)}"
    if len(line.rstrip()) > CARD and (len(begin) + len(field.strip())) > CARD:
        raise ValueError(f"{keyword!r} is too long a keyword for its value")
    return [line[:CARD].ljust(CARD)]


def _number(value: object) -> str:
    """Return a logical, whole or floating value as FITS writes it."""
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "T" if value else "F"
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, np.float32):
        text = str(value)  # the shortest that reads back as the same float32
    elif isinstance(value, float | np.floating):
        text = repr(float(value))
    else:
        raise ValueError(f"a card cannot hold a {type(value).__name__}")
    if not math.isfinite(float(value)):
        return ""
    mantissa, mark, exponent = text.upper().partition("E")
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}{mark}{exponent}"


def _quote(text: str, columns: int) -> str:
    """Return text in quotes, at least eight characters wide, cut to the columns that there are."""
    inside = text.rstrip().replace("'", "''")
    most = columns - 2
    if len(inside) > most:
        inside = inside[:most]
        if (len(inside) - len(inside.rstrip("'"))) % 2:  # do not cut a doubled quote in two
            inside = inside[:-1]
    return f"'{inside:<8}'"


def _ascii(text: str) -> str:
    """Return text in printable ASCII: accents dropped where letters remain, all else a question mark."""
    import unicodedata

    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else (" " if c in "\t\r\n" else "?") for c in plain)
