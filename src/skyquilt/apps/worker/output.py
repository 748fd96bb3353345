"""The one way out: a JSON line at a time, from any thread."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

__all__ = ["Output"]


class Output:
    """
    Writes lines until the reader has gone.

    Parameters
    ----------
    stream : BinaryIO
    on_gone : callable
        Called once, when the other end was found closed.
    """

    def __init__(self, stream: BinaryIO, on_gone: Callable[[], None]) -> None:
        self._stream = stream
        self._on_gone = on_gone
        self._lock = threading.Lock()
        self.is_gone = False

    def send(self, message: Mapping[str, Any]) -> None:
        """Write a line; numbers that JSON has not become null. Nothing happens once the reader has gone."""
        try:
            text = json.dumps(message, allow_nan=False, default=str)
        except ValueError:
            text = json.dumps(_plain(message), allow_nan=False, default=str)
        with self._lock:
            if self.is_gone:
                return
            try:
                self._stream.write(text.encode("ascii") + b"\n")
                self._stream.flush()
                return
            except (OSError, ValueError):  # a broken pipe, a closed stream
                self.is_gone = True
        self._on_gone()


def _plain(value: Any) -> Any:
    """Return JSON values with null in place of NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
