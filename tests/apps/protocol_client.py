"""A client of the engine within the same process: lines in, lines out, each as it comes."""

from __future__ import annotations

import io
import json
import queue
from collections.abc import Callable
from typing import Any

from skyquilt.apps.worker import Engine
from skyquilt.engine.images import ImageStore

WAIT_S = 60.0


class Lines(io.RawIOBase):
    """A stream that keeps every line, and tells of it before the engine goes on."""

    def __init__(self, on_line: Callable[[dict[str, Any]], None] | None = None) -> None:
        self.messages: list[dict[str, Any]] = []
        self.arrived: queue.Queue[dict[str, Any]] = queue.Queue()
        self.on_line = on_line

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        text = bytes(data)
        assert text.endswith(b"\n") and text.count(b"\n") == 1
        message = json.loads(text)
        self.messages.append(message)
        if self.on_line:
            self.on_line(message)
        self.arrived.put(message)
        return len(text)


class Client:
    """Asks an engine and takes its answers."""

    def __init__(self, max_bytes: int = 200_000_000, **options: Any) -> None:
        self.lines = Lines()
        self.log: list[tuple[str, str]] = []
        self.engine = Engine(
            self.lines, lambda level, text: self.log.append((level, text)), store=ImageStore(max_bytes), **options
        )
        self._number = 0

    def send(self, **request: Any) -> None:
        self.engine.handle(json.dumps(request).encode() + b"\n")

    def wait(self, request_id: Any) -> dict[str, Any]:
        """Return the final line of a request."""
        while True:
            message = self.lines.arrived.get(timeout=WAIT_S)
            if message["id"] == request_id and "ok" in message:
                return message

    def ask(self, cmd: str, **fields: Any) -> dict[str, Any]:
        """Ask, and return the final line."""
        self._number += 1
        name = f"ask-{self._number}"
        self.send(id=name, cmd=cmd, **fields)
        return self.wait(name)

    def data(self, cmd: str, **fields: Any) -> Any:
        """Ask, and return the data of an answer that must be good."""
        answer = self.ask(cmd, **fields)
        assert answer["ok"], answer
        return answer["data"]

    def of(self, request_id: Any) -> list[dict[str, Any]]:
        """Return all lines of a request so far."""
        return [message for message in self.lines.messages if message["id"] == request_id]
