"""Threads that take tasks one after the other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from skyquilt.apps.worker.tasks import Task

__all__ = ["Lane"]


class Lane:
    """
    A line of tasks and the thread that works on them, in the order in which they came.

    Parameters
    ----------
    name : str
    work : callable
        Does one task; raises nothing.
    most_waiting : int
        `put` waits, or refuses, beyond that.
    """

    def __init__(self, name: str, work: Callable[[Task], None], most_waiting: int) -> None:
        self._name = name
        self._work = work
        self._most_waiting = most_waiting
        self._tasks: deque[Task] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_busy = False
        self._is_closed = False

    def put(self, task: Task, *, wait: bool) -> bool:
        """Add a task; return False if the line is full and nobody is to wait."""
        with self._changed:
            while len(self._tasks) >= self._most_waiting:
                if not wait:
                    return False
                self._changed.wait()
            self._tasks.append(task)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"skyquilt {self._name}", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return True

    def finish(self) -> None:
        """Wait until nothing is left to do, and end the thread."""
        with self._changed:
            while self._tasks or self._is_busy:
                self._changed.wait()
            self._is_closed = True
            self._changed.notify_all()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._tasks:
                    if self._is_closed:
                        return
                    self._changed.wait()
                task = self._tasks.popleft()
                self._is_busy = True
                self._changed.notify_all()
            try:
                self._work(task)
            finally:
                with self._changed:
                    self._is_busy = False
                    self._changed.notify_all()
