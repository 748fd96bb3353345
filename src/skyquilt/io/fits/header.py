"""A FITS header as a small ordered mapping: 80-column cards, parsed only when they are asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = ["CARD", "Card", "Header", "Value", "read_number"]

CARD = 80
Value = str | int | float | bool | None

_COMMENTARY = frozenset({"COMMENT", "HISTORY", ""})
_UNREAD = object()
_INTEGER = re.compile(r"[+-]?\d{1,30}$")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([EeDd][+-]?\d+)?$")
_FRACTION = re.compile(r"(\d+(?:\.\d*)?)\s*/\s*(\d+(?:\.\d*)?)$")


class Card(NamedTuple):
    """One header entry: its keyword, its value (None where the card gives none) and its comment."""

    keyword: str
    value: Value
    comment: str


def read_number(text: str) -> float | None:
    """
    Return the finite number that `text` spells, or None.

    Takes what programs write besides the standard: exponents with D, a decimal comma (``6,4E-05``), a fraction
    (``1/400``). Never depends on the locale.
    """
    text = text.strip()
    if not _FLOAT.match(text):
        fraction = _FRACTION.match(text)
        if fraction:
            below = float(fraction[2])
            return float(fraction[1]) / below if below > 0.0 else None
        text = text.replace(",", ".") if text.count(",") == 1 and "." not in text else text
        if not _FLOAT.match(text):
            return None
    number = float(text.replace("D", "E").replace("d", "e"))
    return number if math.isfinite(number) else None


def _read_string(field: str) -> tuple[str, str]:
    """Return (value, rest) of a field that begins with a quote; a missing closing quote ends at the card's end."""
    at = field.find("'", 1)
    while at != -1 and field[at : at + 2] == "''":
        at = field.find("'", at + 2)
    inside = field[1:] if at == -1 else field[1:at]
    return (inside.replace("''", "'") if "'" in inside else inside).rstrip(), "" if at == -1 else field[at + 1 :]


def _read_token(token: str) -> Value:
    """Return the value that a field without quotes spells; what is neither number nor logical stays text."""
    if token == "T":
        return True
    if token == "F":
        return False
    if not token:
        return None
    if _INTEGER.match(token):
        return int(token)
    if _FLOAT.match(token):
        number = float(token.replace("D", "E").replace("d", "e"))
        return number if math.isfinite(number) else token
    return token


def _read_field(field: str) -> tuple[Value, str]:
    """Return (value, comment) of what follows the equals sign."""
    field = field.strip()
    if field.startswith("'"):
        text, rest = _read_string(field)
        return text, rest.partition("/")[2].strip()
    token, _, comment = field.partition("/")
    return _read_token(token.rstrip()), comment.strip()


def _keyword_of(line: str) -> str:
    """Return the keyword of a card; for HIERARCH the long one, in capitals."""
    keyword = line[:8].rstrip()
    if keyword == "HIERARCH" and "=" in line:
        return line[9:].partition("=")[0].strip().upper()
    return keyword


def _split(line: str) -> Card:
    """Return the card on one line, without the CONTINUE lines that may follow."""
    keyword = line[:8].rstrip()
    if keyword == "HIERARCH" and "=" in line:
        return Card(_keyword_of(line), *_read_field(line.partition("=")[2]))
    if keyword == "CONTINUE":
        return Card(keyword, *_read_field(line[8:]))
    if line[8:9] == "=" and keyword not in _COMMENTARY:
        return Card(keyword, *_read_field(line[9:]))
    return Card(keyword, line[8:].rstrip(), "")


class Header:
    """
    The cards of one header in file order, duplicates kept; look-ups answer with the first of equals.

    Cards are kept as text and parsed when asked for: a frame's header is read for twenty of its fifty cards, and a
    session has thousands of headers.

    Parameters
    ----------
    lines : list of str
        The cards without END, up to 80 characters each.
    """

    __slots__ = ("_index", "_lines", "_values")

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        keywords = [line[:8].rstrip() for line in lines]
        if "HIERARCH" in keywords:
            keywords = [_keyword_of(line) for line in lines]
        n_cards = len(keywords)
        # from the last to the first: of equal keywords the first stays
        self._index = dict(zip(reversed(keywords), range(n_cards - 1, -1, -1), strict=True))
        self._values: dict[str, Any] = {}

    @classmethod
    def from_bytes(cls, block: bytes) -> Header:
        """Return the header of 80-byte cards; anything that is not ASCII is read as Latin-1."""
        text = block.decode("latin-1")
        return cls([text[at : at + CARD] for at in range(0, len(text), CARD)])

    @classmethod
    def from_text(cls, text: str) -> Header:
        """Return the header of a text with one card a line, up to END (a dump, or a solver's ``.wcs`` in text form)."""
        lines = []
        for line in text.splitlines():
            if line.rstrip() == "END":
                break
            lines.append(line.rstrip("\r\n"))
        return cls(lines)

    def over(self, other: Header) -> Header:
        """Return these cards followed by those of `other` whose keyword is not here (FITS inheritance)."""
        return Header(self._lines + [line for line in other._lines if _keyword_of(line) not in self._index])

    def __contains__(self, keyword: object) -> bool:
        return keyword in self._index

    def __len__(self) -> int:
        return len(self._lines)

    def __iter__(self) -> Iterator[str]:
        return (_keyword_of(line) for line in self._lines)

    @property
    def lines(self) -> tuple[str, ...]:
        """The cards as written, without END."""
        return tuple(self._lines)

    @property
    def cards(self) -> tuple[Card, ...]:
        """Every card, parsed; a string carried on by CONTINUE is one card, as it means to be."""
        cards: list[Card] = []
        for position, line in enumerate(self._lines):
            if line.startswith("CONTINUE") and cards and isinstance(cards[-1].value, str) and position:
                continue
            cards.append(self._card_at(position))
        return tuple(cards)

    def card(self, keyword: str) -> Card | None:
        """Return the first card of that keyword, or None."""
        position = self._index.get(keyword)
        return None if position is None else self._card_at(position)

    def _card_at(self, position: int) -> Card:
        """Return the card at `position`, its CONTINUE lines joined to it."""
        card = _split(self._lines[position])
        if not (isinstance(card.value, str) and card.value.endswith("&")):
            return card
        text = card.value
        for line in self._lines[position + 1 :]:
            if not line.startswith("CONTINUE") or not text.endswith("&"):
                break
            more = _split(line).value
            text = text[:-1] + (more if isinstance(more, str) else "")
        return Card(card.keyword, text, card.comment)

    def get(self, keyword: str, default: Value = None) -> Value:
        """Return the value of the first card of that keyword; `default` if there is none or it has no value."""
        position = self._index.get(keyword)
        if position is None:
            return default
        value = self._values.get(keyword, _UNREAD)
        if value is _UNREAD:
            value = self._values[keyword] = self._value_at(position)
        return default if value is None else value

    def _value_at(self, position: int) -> Value:
        """Return the value of the card at `position`; the common card is read without its comment."""
        line = self._lines[position]
        if line[8:10] != "= " or line.startswith(("HIERARCH", "COMMENT", "HISTORY", " ")):
            return self._card_at(position).value
        field = line[10:].strip()
        if not field.startswith("'"):
            return _read_token(field.partition("/")[0].rstrip())
        text = _read_string(field)[0]
        return self._card_at(position).value if text.endswith("&") else text

    def number(self, keyword: str) -> float | None:
        """Return the value as a finite float, also where it was written as a string or with a decimal comma."""
        if keyword not in self._index:
            return None
        value = self.get(keyword)
        if value is None or isinstance(value, bool):
            return None
        return read_number(value) if isinstance(value, str) else float(value)

    def integer(self, keyword: str) -> int | None:
        """Return the value as a whole number (``1.`` counts as 1), or None."""
        if keyword not in self._index:
            return None
        value = self.get(keyword)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        number = self.number(keyword)
        return int(number) if number is not None and number == int(number) else None

    def text(self, keyword: str) -> str | None:
        """Return the value as text without blanks around it, or None where there is nothing."""
        if keyword not in self._index:
            return None
        value = self.get(keyword)
        if value is None or isinstance(value, bool):
            return None
        return str(value).strip() or None

    def all(self, keyword: str) -> tuple[Value, ...]:
        """Return the values of every card of that keyword, in file order (for HISTORY and COMMENT)."""
        return tuple(self._card_at(at).value for at, line in enumerate(self._lines) if _keyword_of(line) == keyword)
