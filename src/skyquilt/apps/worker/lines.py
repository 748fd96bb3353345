"""Lines of bytes from a stream, and objects from lines: whatever comes in, one object or one error comes out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any, BinaryIO

from skyquilt.errors import UsageError

__all__ = ["MAX_LINE_BYTES", "TooLong", "parse_line", "read_lines"]

MAX_LINE_BYTES = 16 << 20
"""A longer line is refused; what is left of it is skipped."""

_BLANK = b" \t\r\n"
_MOST_LEVELS = 100
_MARK = b"\xef\xbb\xbf"  # some shells put it before the first line


class TooLong:
    """Stands for a line that was skipped."""


def read_lines(source: BinaryIO, limit: int = MAX_LINE_BYTES) -> Iterator[bytes | TooLong]:
    """Yield the lines of a stream that are not blank; the last one may lack its line break."""
    while line := source.readline(limit + 1):
        if len(line) > limit and not line.endswith(b"\n"):
            while rest := source.readline(limit):
                if rest.endswith(b"\n"):
                    break
            yield TooLong()
        elif line.strip(_BLANK):
            yield line


def parse_line(line: bytes) -> dict[str, Any]:
    """
    Return the object of a line.

    Raises
    ------
    UsageError
        If it is no JSON object of finite numbers, each name once.
    """
    try:
        text = line.removeprefix(_MARK).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"the line is not UTF-8: byte {error.start} cannot be read", "send UTF-8") from None
    try:
        found = json.loads(
            text.strip(), parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_without_repeats
        )
        if _is_deep(found):  # how deep the reader goes depends on the version of Python
            raise RecursionError
    except RecursionError:
        raise UsageError("the line is nested too deeply", "requests are flat") from None
    except json.JSONDecodeError as error:
        raise UsageError(f"the line is not JSON: {error.msg} at character {error.pos}", "one object a line") from None
    except ValueError as error:
        raise UsageError(f"the line cannot be read: {str(error)[:200]}", "one object a line") from None
    if not isinstance(found, dict):
        raise UsageError("the line is JSON, but not an object", 'such as {"id": "1", "cmd": "version"}')
    return found


def _refuse(word: str) -> float:
    raise ValueError(f"{word} is not a number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"{name[:80]!r} stands twice in one object")
            seen.add(name)
    return found


def _is_deep(value: Any) -> bool:
    """Return whether lists and objects stand in each other more than `_MOST_LEVELS` deep."""
    level = [value]
    for _ in range(_MOST_LEVELS):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return bool(level)
