"""
Stopping a run from outside.

Ctrl-C once: the tile in hand is finished and the run ends so that it can go on later. Twice: it ends at once; what was
finished before is safe on disk all the same. SIGTERM is the polite request of a system that shuts down.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from skyquilt.apps.cli.console import Console, write_at_once

__all__ = ["StopRequest"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = "\x1b[?25h"


class StopRequest:
    """
    Listens to the signals that end a run; calling it tells whether one has come.

    Parameters
    ----------
    console : Console
    resume : str
        The command that goes on with the run.
    answer : str
        What is said to the first signal.
    """

    def __init__(self, console: Console, resume: str, answer: str = "stopping after the tile in hand") -> None:
        self._answer = answer
        self._console = console
        self._resume = resume
        self._before: dict[int, Any] = {}
        self._signal = 0

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        """Tell whether the run is to stop."""
        return self._signal != 0

    @property
    def is_interrupt(self) -> bool:
        """Whether it was Ctrl-C."""
        return self._signal == signal.SIGINT

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, 143 after SIGTERM."""
        return 128 + (self._signal or int(signal.SIGINT))

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signal:
            self._end_now(number)
        self._signal = number
        if not self._console.as_events:
            write_at_once(f"\n{self._answer}; once more to stop now\n")

    def _end_now(self, number: int) -> None:
        """Leave without waiting for the threads; the journal of finished tiles is complete at every moment."""
        cursor = _SHOW_CURSOR if self._console.is_terminal else ""
        if not self._console.as_events:
            write_at_once(f"{cursor}\nstopped; to go on: {self._resume}\n")
        os._exit(128 + number)
