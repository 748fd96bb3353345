"""Events for every page that listens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["Hub", "Listening", "event_text"]

_MOST_WAITING = 2000
_MOST_PAGES = 16


class Listening:
    """One page: texts that wait for it, until it has fallen too far behind."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[str] = asyncio.Queue(_MOST_WAITING)
        self.is_behind = asyncio.Event()

    def put(self, text: str) -> None:
        """Add a text for it."""
        try:
            self._waiting.put_nowait(text)
        except asyncio.QueueFull:
            self.is_behind.set()

    async def next(self) -> str:
        """Return the next text when there is one."""
        return await self._waiting.get()


class Hub:
    """Where events come in and go out; used from the event loop alone."""

    def __init__(self) -> None:
        self._pages: set[Listening] = set()

    @property
    def is_full(self) -> bool:
        """Whether no further page is taken."""
        return len(self._pages) >= _MOST_PAGES

    def join(self) -> Listening:
        """Return a new page; it gets what is published from now on."""
        page = Listening()
        self._pages.add(page)
        return page

    def leave(self, page: Listening) -> None:
        """Forget a page."""
        self._pages.discard(page)

    def publish(self, kind: str, **fields: Any) -> None:
        """Send an event to all pages."""
        if self._pages:
            text = event_text(kind, fields)
            for page in self._pages:
                page.put(text)


def event_text(kind: str, fields: Mapping[str, Any]) -> str:
    """Return an event as JSON."""
    return json.dumps({"type": kind, **fields}, allow_nan=False)
