"""
What a report says in a language: sentences, numbers with their units, reasons.

A sentence is asked for by its English template, which stands where it is said and is the key of the catalogue of every
other language. What a catalogue lacks is said in English; a test holds each to be complete.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NewType

from skyquilt.engine.report import words

__all__ = ["ENGLISH", "NO_BREAK_SPACE", "Language", "Phrase"]

NO_BREAK_SPACE = "\u00a0"

Phrase = NewType("Phrase", str)
"""An English template that stands in a table of its module, away from where it is said (see `Language.tell`)."""


@dataclass(frozen=True, slots=True)
class Language:
    """
    How a report speaks.

    Attributes
    ----------
    code : str
        Of the language, as the attribute lang of HTML has it.
    phrases : mapping of str to str
        The template of this language for each English one, with the same placeholders.
    counted : mapping of str to (str, str)
        The two templates of this language, for one and for several, by the English one for several.
    reasons : mapping of str to str
        Why a frame is left out, per code of `core.LEFT_OUT_CODES`; empty in English, the language of the reasons.
    singular : tuple of int
        Numbers that are said like one.
    decimal_mark, list_mark, byte : str
        What stands before decimals, between numbers, and for bytes.
    is_spaced : bool
        Whether numbers are kept on one line with their units.
    """

    code: str
    phrases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    counted: Mapping[str, tuple[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    reasons: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    singular: tuple[int, ...] = (1,)
    decimal_mark: str = "."
    list_mark: str = ", "
    byte: str = "B"
    is_spaced: bool = False

    def say(self, template: str, **values: object) -> str:
        """Return a sentence; the template is written out in the call, where a test of the catalogues finds it."""
        return self.phrases.get(template, template).format(**values)

    def tell(self, phrase: Phrase, **values: object) -> str:
        """Return a sentence whose template comes from a table."""
        return self.say(phrase, **values)

    def count(self, n: int, one: str, several: str, **values: object) -> str:
        """Return a sentence on `n` things; both templates are written out in the call and have the placeholder n."""
        templates = self.counted.get(several, (one, several))
        return templates[n not in self.singular].format(n=n, **values)

    def number(self, text: str) -> str:
        """Return a number, with its unit, as it is written in this language; `text` is the number with a dot."""
        text = text.replace(".", self.decimal_mark)
        return text.replace(" ", NO_BREAK_SPACE) if self.is_spaced else text

    def amount(self, value: float | None, digits: int = 3) -> str:
        """Return a number with that many significant digits (see `words.amount`)."""
        return self.number(words.amount(value, digits))

    def measure(self, value: float | None, unit: str, digits: int = 3) -> str:
        """Return a number with that many significant digits and its unit."""
        return self.number(f"{words.amount(value, digits)} {unit}".rstrip())

    def percent(self, share: float | None) -> str:
        """Return a share as a percentage."""
        return self.number(words.percent(share))

    def duration(self, seconds: float | None) -> str:
        """Return a span of time."""
        return self.number(words.duration(seconds))

    def bytes_text(self, size: float) -> str:
        """Return a number of bytes in decimal units."""
        return self.number(words.bytes_text(size).removesuffix("B")) + self.byte

    def per_channel(self, values: list[float]) -> str:
        """Return one figure for each channel, named; the bare number for one channel."""
        if len(values) == 1:
            return self.amount(values[0])
        named = zip(words.channel_names(len(values)), values, strict=True)
        return self.list_mark.join(self.number(f"{name} {words.amount(value)}") for name, value in named)


ENGLISH = Language("en")
