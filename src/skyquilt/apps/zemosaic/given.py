"""Values that another program's settings hold, each asked for as what it must be; a wrong one is named."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from skyquilt.errors import UsageError

__all__ = ["Given"]


@dataclass(frozen=True, slots=True)
class Given:
    """
    Values by key, and what each is called in an error. Every method returns None for a key that is not there.

    Attributes
    ----------
    origin : str
        Where they were written: the name of a file, or "".
    names : mapping of str to str
        What a key is called there, if not by its name: the option that stands for it.
    """

    values: Mapping[str, Any]
    origin: str = ""
    names: Mapping[str, str] = field(default_factory=dict)

    def called(self, key: str) -> str:
        """Return the key with its place, such as "stacking_kappa_low in zemosaic_config.json"."""
        name = self.names.get(key, key)
        return f"{name} in {self.origin}" if self.origin else name

    def refuse(self, key: str, expected: str) -> NoReturn:
        """
        Refuse a value.

        Raises
        ------
        UsageError
            Always: one sentence with key, value, place and what was expected.
        """
        shown = repr(self.values[key])
        raise UsageError(
            f"{self.called(key)} is {shown if len(shown) < 60 else shown[:57] + '...'}, which cannot be meant: "
            f"{expected} was expected",
            "correct it there, or leave it out",
        )

    def text(self, key: str) -> str | None:
        """Return a text; None for an empty one too."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or "\0" in value:
            self.refuse(key, "a text")
        return value.strip() or None

    def word(self, key: str, words: Mapping[str, str]) -> str | None:
        """Return what one of some words, in any case, stands for."""
        if key not in self.values:
            return None
        value = self.values[key]
        found = words.get(value.strip().lower()) if isinstance(value, str) else None
        if found is None:
            self.refuse(key, f"one of {', '.join(words)}")
        return found

    def switch(self, key: str) -> bool | None:
        """Return true or false."""
        if key not in self.values:
            return None
        value = self.values[key]
        if not isinstance(value, bool):
            self.refuse(key, "true or false")
        return value

    def number(self, key: str, low: float, high: float) -> float | None:
        """Return a number above `low` and at most `high`."""
        if key not in self.values:
            return None
        value = self.values[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
            self.refuse(key, "a number")
        if not low < value <= high:
            self.refuse(key, f"a number above {low:g} and at most {high:g}")
        return float(value)

    def whole(self, key: str, low: int, high: int) -> int | None:
        """Return a whole number, `low` and `high` included."""
        if key not in self.values:
            return None
        value = self.values[key]
        is_whole = type(value) is int or (isinstance(value, float) and value.is_integer())
        if not is_whole or not low <= value <= high:
            self.refuse(key, f"a whole number from {low} to {high}")
        return int(value)

    def size(self, key: str) -> str | None:
        """Return a size in px as "6000x4000", from such a text or a pair of numbers; None for null and ""."""
        value = self.values.get(key)
        if value is None or value == "":
            return None
        sides: Sequence[Any] = ()
        if isinstance(value, str):
            match = re.fullmatch(r"\s*(\d{1,6})\s*[xX,]\s*(\d{1,6})\s*", value)
            sides = [int(side) for side in match.groups()] if match else ()
        elif isinstance(value, list):
            sides = value
        if len(sides) != 2 or not all(type(side) is int and 0 < side <= 200_000 for side in sides):
            self.refuse(key, "WIDTHxHEIGHT in px, such as 6000x4000")
        return f"{sides[0]}x{sides[1]}"
