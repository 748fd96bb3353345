"""A request on its way to its answer."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from skyquilt.apps.worker.messages import Request
from skyquilt.apps.worker.progress import JobProgress
from skyquilt.core import Event, Listener, silent

__all__ = ["Command", "Task"]


@dataclass(eq=False)
class Task:
    """
    One request at work.

    Attributes
    ----------
    listener : callable
        Takes the events of a job.
    state : "waiting", "running", "stopped" (before it began) or "answered"
    telling : lock
        Held while a line of its progress is written.
    """

    command: Command
    request: Request
    listener: Listener = silent
    state: str = "waiting"
    progress: JobProgress = field(default_factory=lambda: JobProgress(""))
    telling: threading.RLock = field(default_factory=threading.RLock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _finish: threading.Event = field(default_factory=threading.Event)

    @property
    def job(self) -> str:
        """The id as text: 7 and "7" are one job."""
        return str(self.request.id)

    def stop(self) -> None:
        """Ask it to stop after the block in hand."""
        self._stop.set()

    def should_stop(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def finish(self) -> None:
        """Ask a job without an end of its own to end, with its products."""
        self._finish.set()

    def should_finish(self) -> bool:
        """Whether it was asked to end with its products."""
        return self._finish.is_set()

    def tell(self, event: Event) -> None:
        """Pass an event on to those who listen."""
        self.listener(event)


@dataclass(frozen=True, eq=False)
class Command:
    """
    What the engine can be asked.

    Attributes
    ----------
    name : str
    request : type of Request
    answer : str
        What the data of the answer are, for the reference.
    run : callable
        Takes the session and the task, returns the data of the answer.
    lane : str or callable
        "now": answered by the reader of the lines; "images": one after the other; "looks" and "runs": jobs, one at a
        time each. Where that depends on the request, a function of it.
    is_from_sidera : bool
    """

    name: str
    request: type[Request]
    answer: str
    run: Callable[[Any, Task], dict[str, Any] | None]
    lane: str | Callable[[Any], str] = "images"
    is_from_sidera: bool = False

    def lane_of(self, request: Request) -> str:
        """Return the lane of a request."""
        return self.lane if isinstance(self.lane, str) else self.lane(request)
