"""What takes longer than a moment: started by a request, told by events, asked after by id."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from skyquilt.apps.web.child import EngineRefusal
from skyquilt.apps.web.hub import Hub
from skyquilt.errors import SkyquiltError, UsageError

__all__ = ["Task", "Tasks"]

_MOST_KEPT = 100
_MOST_RUNNING = 16
_EVENT_EVERY_S = 0.1


@dataclass(eq=False)
class Task:
    """
    One piece of work.

    Attributes
    ----------
    id, kind : str
    state : "running", "done", "failed" or "stopped"
    cancel : callable or None
        Asks it to stop.
    """

    id: str
    kind: str
    state: str = "running"
    stage: str = ""
    percent: float = 0.0
    result: Any = None
    error: dict[str, str] | None = None
    cancel: Callable[[], Awaitable[None]] | None = None
    _told: float = field(default=0.0, repr=False)

    def as_json(self, *, with_result: bool = True) -> dict[str, Any]:
        """Return the task as the page gets it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "stage": self.stage,
            "percent": self.percent,
            "result": self.result if with_result else None,
            "error": self.error,
        }


class Tasks:
    """
    The tasks that run, and the last ones that have ended.

    Parameters
    ----------
    hub : Hub
        Is told of each.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._tasks: OrderedDict[str, Task] = OrderedDict()
        self._work: set[asyncio.Task[None]] = set()
        self._n = 0

    def running(self) -> list[Task]:
        """Return those that have not ended."""
        return [task for task in self._tasks.values() if task.state == "running"]

    def get(self, task_id: str) -> Task:
        """Return a task, or raise `UsageError`."""
        task = self._tasks.get(task_id)
        if task is None:
            raise UsageError("there is no such task", "look at /api/state")
        return task

    def start(self, kind: str, work: Callable[[Task], Awaitable[Any]]) -> Task:
        """
        Start a task.

        Parameters
        ----------
        work : callable
            Gets the task and returns its result; a `SkyquiltError` is its end as well.
        """
        if len(self.running()) >= _MOST_RUNNING:
            raise UsageError(f"{_MOST_RUNNING} tasks are at work already", "wait for one of them")
        self._n += 1
        task = Task(f"t{self._n}", kind)
        self._tasks[task.id] = task
        while len(self._tasks) > _MOST_KEPT:
            oldest = next((one for one in self._tasks.values() if one.state != "running"), None)
            if oldest is None:
                break
            del self._tasks[oldest.id]
        running = asyncio.create_task(self._run(task, work), name=f"{kind} {task.id}")
        self._work.add(running)
        running.add_done_callback(self._work.discard)
        self.tell(task)
        return task

    def tell_progress(self, task: Task, stage: str, percent: float) -> None:
        """Note how far a task is; pages hear of it ten times a second at most."""
        task.stage, task.percent = stage, percent
        if time.monotonic() - task._told >= _EVENT_EVERY_S:
            self.tell(task)

    def tell(self, task: Task) -> None:
        """Tell the pages."""
        task._told = time.monotonic()
        self._hub.publish("task", task=task.as_json())

    async def close(self) -> None:
        """End what runs."""
        for running in list(self._work):
            running.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def _run(self, task: Task, work: Callable[[Task], Awaitable[Any]]) -> None:
        try:
            task.result = await work(task)
            task.state, task.percent = "done", 1.0
        except asyncio.CancelledError:
            task.state = "stopped"
            raise
        except SkyquiltError as error:
            is_stopped = isinstance(error, EngineRefusal) and error.is_cancelled
            task.state = "stopped" if is_stopped else "failed"
            task.error = {"message": error.message, "hint": error.hint}
        except Exception as error:  # a fault of ours must not leave the page waiting
            task.state = "failed"
            task.error = {"message": f"a fault of the program ({type(error).__name__}: {error})", "hint": ""}
        finally:
            self.tell(task)
