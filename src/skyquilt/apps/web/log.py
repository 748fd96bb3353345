"""What the engine says, kept for the pages."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

from skyquilt.apps.web.hub import Hub

__all__ = ["Log"]

_MOST_LINES = 5000
_LONGEST_TEXT = 2000
_EVENT_EVERY_S = 0.1


class Log:
    """
    The last lines.

    Parameters
    ----------
    hub : Hub
        Gets new lines, ten times a second at most.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._lines: deque[dict[str, Any]] = deque(maxlen=_MOST_LINES)
        self._n = 0
        self._waiting: list[dict[str, Any]] = []

    def add(self, level: str, phase: str, text: str) -> None:
        """Add a line: level "info", "notice", "warning" or "error"."""
        self._n += 1
        line = {
            "n": self._n,
            "time": round(time.time(), 3),
            "level": level,
            "phase": phase,
            "text": text[:_LONGEST_TEXT],
        }
        self._lines.append(line)
        if not self._waiting:
            asyncio.get_running_loop().call_later(_EVENT_EVERY_S, self._tell)
        self._waiting.append(line)

    def after(self, number: int) -> dict[str, Any]:
        """Return the lines after a number, and how many of those are not kept any more."""
        lines = [line for line in self._lines if line["n"] > number]
        first = lines[0]["n"] if lines else self._n + 1
        return {"lines": lines, "n_lost": max(0, first - 1 - max(0, number))}

    def _tell(self) -> None:
        lines, self._waiting = self._waiting, []
        self._hub.publish("log", lines=lines)
