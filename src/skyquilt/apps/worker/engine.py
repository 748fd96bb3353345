"""The engine: takes lines, hands requests to those who do them, and answers each line once."""

from __future__ import annotations

import json
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError

from skyquilt.apps.worker.commands import COMMANDS
from skyquilt.apps.worker.lanes import Lane
from skyquilt.apps.worker.lines import MAX_LINE_BYTES, TooLong, parse_line, read_lines
from skyquilt.apps.worker.messages import Request, Watch
from skyquilt.apps.worker.output import Output
from skyquilt.apps.worker.progress import JobProgress
from skyquilt.apps.worker.session import Session
from skyquilt.apps.worker.tasks import Command, Task
from skyquilt.core import Event
from skyquilt.engine.images import ImageStore
from skyquilt.errors import Interrupted, NotEnoughMemory, SkyquiltError, UsageError

__all__ = ["Engine"]

_MOST_WAITING = {"images": 1000, "looks": 100, "runs": 100}
_LONGEST_ERROR = 2000
_JOBS = ("looks", "runs")

Log = Callable[[str, str], None]


def _no_log(level: str, text: str) -> None:
    """Say nothing."""


class Engine:
    """
    Answers every line that is not blank with exactly one final line, whatever the line is.

    - Commands about the engine itself are answered at once, those about images one after the other in the order of
      their lines, whatever jobs are at work.
    - Jobs: those that only look (sessions, frames, solve, finish as a preview) and those that run (frames scored, plan,
      stack, mosaic, finish, a pipeline of files) each stand in a line of their own: one of each kind works at a time,
      up to 100 wait.
    - The folder of a run is locked against other processes.

    Parameters
    ----------
    stream : BinaryIO
        Where the lines go.
    log : callable
        Takes level ("notice", "warning", "error", "detail") and text.
    store : ImageStore or None
    max_line_bytes : int
    """

    def __init__(
        self,
        stream: BinaryIO,
        log: Log = _no_log,
        *,
        store: ImageStore | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        self.session = Session(store or ImageStore())
        self._log = log
        self._max_line_bytes = max_line_bytes
        self._ended = threading.Event()
        self._output = Output(stream, self._on_gone)
        self._lanes = {name: Lane(name, self._work, most) for name, most in _MOST_WAITING.items()}
        self._jobs: dict[str, Task] = {}
        self._lock = threading.RLock()
        self._kinds: frozenset[str] | None = frozenset()
        self._phases: frozenset[str] | None = None

    def serve(self, source: BinaryIO) -> None:
        """
        Answer the lines of a stream until it ends, or until nobody reads the answers any more.

        When the lines end, what was asked is done before this returns. When the reader of the answers has gone, jobs
        stop after the block in hand (they can be gone on with) and this returns without a word.

        Raises
        ------
        KeyboardInterrupt
            If the process is asked to end; `stop` then ends the jobs.
        """
        reader = threading.Thread(target=self._read, args=(source,), name="skyquilt lines", daemon=True)
        reader.start()
        self._ended.wait()
        self.finish()

    def _read(self, source: BinaryIO) -> None:
        try:
            for line in read_lines(source, self._max_line_bytes):
                self.handle(line)
                if self._output.is_gone:
                    break
        except (OSError, ValueError) as error:  # the stream was closed under us
            self._log("warning", f"the lines ended: {error}")
        finally:
            self._ended.set()

    def finish(self) -> None:
        """Do what was asked, then let everything go."""
        for lane in self._lanes.values():
            lane.finish()
        self.session.close()

    def stop(self) -> None:
        """Ask all jobs to stop after the block in hand."""
        for task in self._open_tasks():
            self._stop_task(task)

    def handle(self, line: bytes | TooLong) -> None:
        """Take in one line; its answer comes now or later, from this thread or another."""
        request_id: str | int | None = None
        try:
            if isinstance(line, TooLong):
                raise UsageError(
                    f"the line is longer than {self._max_line_bytes:,} bytes; it was skipped",
                    "name files, do not send them",
                )
            found = parse_line(line)
            named = _id_of(found)
            if str(named) in self._jobs:
                raise UsageError(f"the id {str(named)[:80]!r} belongs to a job that is not done", "choose another id")
            request_id = named
            command = _command_of(found)
            self._start(command, _request_of(command, found))
        except Exception as error:  # the engine never dies of a line
            self._send_failure(request_id, error)

    def _start(self, command: Command, request: Request) -> None:
        task = Task(command, request)
        lane = command.lane_of(request)
        if lane == "now":
            self._answer(task, lambda: command.run(self, task))
            return
        is_job = lane in _JOBS
        if is_job:
            task.progress = JobProgress(command.name)
            task.listener = lambda event: self._on_event(task, event)
            with self._lock:
                self._jobs[task.job] = task
        if not self._lanes[lane].put(task, wait=not is_job):
            with self._lock:
                self._jobs.pop(task.job, None)
            raise UsageError(f"{_MOST_WAITING[lane]} jobs are waiting already", "wait for some of them, or cancel them")

    def _work(self, task: Task) -> None:
        """Do a task of a lane."""
        with self._lock:
            if task.state != "waiting":
                return
            task.state = "running"
        self._answer(task, lambda: task.command.run(self.session, task))

    def _answer(self, task: Task, run: Callable[[], dict[str, Any] | None]) -> None:
        """Send the final line of a task."""
        try:
            data = run()
        except BaseException as error:
            self._close(task)
            self._send_failure(task.request.id, error)
            return
        if self._jobs.get(task.job) is task:
            task.progress.complete()
            self._send_progress(task)
        self._close(task)
        self._output.send({"id": task.request.id, "ok": True, "data": data})

    def _close(self, task: Task) -> None:
        """Take a task off the list of open jobs: its id may be used again, and no progress comes any more."""
        with task.telling, self._lock:
            task.state = "answered"
            if self._jobs.get(task.job) is task:
                del self._jobs[task.job]

    def _send_failure(self, request_id: str | int | None, error: BaseException) -> None:
        named = _named(error)
        if not isinstance(error, SkyquiltError):
            self._log("error", "".join(traceback.format_exception(error)))
        message: dict[str, Any] = {
            "id": request_id,
            "ok": False,
            "error": named.message[:_LONGEST_ERROR],
            "hint": named.hint[:_LONGEST_ERROR],
            "kind": type(named).__name__,
        }
        if isinstance(named, Interrupted):
            message["cancelled"] = True
        self._output.send(message)

    def _on_event(self, task: Task, event: Event) -> None:
        """Pass an event of a job on, as progress and, if it was subscribed to, as it is."""
        if event.message and event.kind in ("notice", "warning", "left_out"):
            self._log("warning" if event.kind == "warning" else "detail", f"{task.job}: {event.message}")
        is_wanted = (self._kinds is None or event.kind in self._kinds) and (
            self._phases is None or event.phase in self._phases
        )
        with task.telling:  # what is told from several threads keeps its order
            if task.state != "running":
                return
            before = task.progress.stage, task.progress.percent
            task.progress.take(event)
            if is_wanted:
                self._send_progress(task, event)
            elif (task.progress.stage, task.progress.percent) != before:
                self._send_progress(task)

    def _send_progress(self, task: Task, event: Event | None = None) -> None:
        progress = {"stage": task.progress.stage, "percent": round(task.progress.percent, 6)}
        message: dict[str, Any] = {"id": task.request.id, "progress": progress}
        if event is not None:
            message["event"] = asdict(event)
        self._output.send(message)

    def _on_gone(self) -> None:
        """Nobody reads any more: stop what is at work."""
        self.stop()
        self._ended.set()

    def subscribe(self, kinds: Sequence[str] | None, phases: Sequence[str] | None) -> None:
        """Choose the events that come along; None: all."""
        self._kinds = None if kinds is None else frozenset(kinds)
        self._phases = None if phases is None else frozenset(phases)

    def cancel(self, job: str | None) -> list[str | int]:
        """
        Stop a job, or all of them; return their ids.

        Raises
        ------
        UsageError
            If there is no such job.
        """
        if job is None:
            tasks = self._open_tasks()
        else:
            with self._lock:
                if job not in self._jobs:
                    raise UsageError(f"no job {job[:80]!r} waits or is at work", "the command jobs lists them")
                tasks = [self._jobs[job]]
        for task in tasks:
            self._stop_task(task)
        return [task.request.id for task in tasks]

    def adjust(self, job: str, exclude: Sequence[str], include: Sequence[str], *, finish: bool) -> list[str]:
        """
        Change the choice of frames of a watch, or let it end; return the names of all excluded frames.

        Raises
        ------
        UsageError
            If there is no such watch.
        NotEnoughDisk, OutputBlocked
            If the choice cannot be kept.
        """
        from skyquilt.engine.live import Choice

        with self._lock:
            task = self._jobs.get(job)
        if task is None or not isinstance(task.request, Watch):
            raise UsageError(f"no watch {job[:80]!r} waits or is at work", "the command jobs lists them")
        excluded = Choice(Path(task.request.out)).change(exclude, include)
        if finish:
            task.finish()
        return sorted(excluded)

    def _stop_task(self, task: Task) -> None:
        task.stop()
        with self._lock:
            if task.state != "waiting":
                return
            task.state = "stopped"
        self._close(task)
        self._send_failure(task.request.id, Interrupted("cancelled before it began", "ask again"))

    def open_jobs(self) -> list[dict[str, Any]]:
        """Return the jobs that wait or are at work, in the order in which they came."""
        return [
            {
                "id": task.request.id,
                "cmd": task.command.name,
                "state": "stopping" if task.should_stop() else task.state,
                "stage": task.progress.stage if task.state == "running" else None,
                "percent": task.progress.percent,
            }
            for task in self._open_tasks()
        ]

    def _open_tasks(self) -> list[Task]:
        with self._lock:
            return list(self._jobs.values())


def _id_of(found: dict[str, Any]) -> str | int:
    """Return the id of a request that can be used in its answer."""
    if "id" not in found:
        raise UsageError("the request has no id", "give text or a whole number as id")
    named = found["id"]
    if isinstance(named, bool) or not isinstance(named, str | int):
        raise UsageError("the id is neither text nor a whole number", 'such as 1 or "1"')
    if not 1 <= len(str(named)) <= 200:
        raise UsageError("the id has not 1 to 200 characters", "choose a short one")
    return named


def _command_of(found: dict[str, Any]) -> Command:
    name = found.get("cmd")
    if not isinstance(name, str):
        raise UsageError("the request has no cmd", f"commands: {', '.join(COMMANDS)}")
    if name not in COMMANDS:
        near = get_close_matches(name[:80], list(COMMANDS), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"commands: {', '.join(COMMANDS)}"
        raise UsageError(f"there is no command {name[:80]!r}", hint)
    return COMMANDS[name]


def _request_of(command: Command, found: dict[str, Any]) -> Request:
    """Return the request as its model; one sentence on the first thing that is wrong with it."""
    # names of files that are no UTF-8 hold lone surrogates, which the model does not read: it sees them as "?"
    odd = {name: value for name, value in found.items() if _is_odd(value)}
    clean = {name: _without_surrogates(value) if name in odd else value for name, value in found.items()}
    try:
        request = command.request.model_validate_json(json.dumps(clean))
    except ValidationError as error:
        raise _refusal(command, error) from None
    except RecursionError:
        raise UsageError(f"{command.name}: the request is nested too deeply", "requests are flat") from None
    names = {info.alias or name: name for name, info in command.request.model_fields.items()}
    return request.model_copy(update={names[name]: value for name, value in odd.items()}) if odd else request


def _is_odd(value: Any) -> bool:
    texts = value if isinstance(value, list) else [value]
    return any(isinstance(text, str) and _without_surrogates(text) != text for text in texts)


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_surrogates(inner) for inner in value]
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value


def _refusal(command: Command, error: ValidationError) -> UsageError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])[:200]
    if first["type"] == "extra_forbidden":
        known = [info.alias or name for name, info in command.request.model_fields.items()]
        near = get_close_matches(place, known, n=1)
        return UsageError(
            f"{command.name}: there is no field {place}",
            f"did you mean {near[0]}?" if near else f"fields: {', '.join(known)}",
        )
    if first["type"] == "missing":
        return UsageError(f"{command.name}: {place} is missing", "see docs/reference/engine.md")
    told = first["msg"].removeprefix("Value error, ")
    return UsageError(f"{command.name}: {place + ': ' if place else ''}{told}", "see docs/reference/engine.md")


def _named(error: BaseException) -> SkyquiltError:
    """Return what went wrong as an error with a sentence."""
    if isinstance(error, SkyquiltError):
        return error
    if isinstance(error, MemoryError):
        return NotEnoughMemory("the memory is full", "release images, or give a smaller memory setting")
    if isinstance(error, OSError):
        place = f": {error.filename}" if error.filename else ""
        return SkyquiltError(f"{error.strerror or type(error).__name__}{place}", "check the path and the disk")
    if isinstance(error, ValueError) and "null" in str(error):  # a path with a null character
        return UsageError("a path with a null character names no file", "check the path")
    return SkyquiltError(f"a fault of the program ({type(error).__name__}: {error})", "the log has the details")
