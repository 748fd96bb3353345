"""
Runs that are killed: a process that has everything loaded makes a child for each run, and the child kills itself.

`python nursery.py stack` reads one job a line from its input (JSON) and answers with a line when the child is dead. The
child dies by SIGKILL at the k-th event of the run, or at the k-th call by which something is written, half of it done,
or from outside after some seconds.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from small_session import TINY, steady

WRITING_CALLS = ("open", "mkdir", "write", "pwrite", "fsync", "replace", "truncate", "unlink")


class Nursery:
    """
    A context in which runs can be killed.

    Parameters
    ----------
    kind : "stack", "mosaic" or "live"
        What the children make; a mosaic's `tile` is the size of its pieces.

    Attributes
    ----------
    is_possible : bool
        Whether the system can fork.
    """

    is_possible = hasattr(os, "fork")

    def __init__(self, kind: str = "stack") -> None:
        self._kind = kind

    def __enter__(self) -> Nursery:
        settings = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, self._kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **settings},
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)

    def run(self, folder: Path, out: Path, settings: dict[str, Any], tile: tuple[int, int], **moment: float) -> bool:
        """
        Stack in a child that is killed; return whether it was, or finished before.

        Parameters
        ----------
        event, call : int
            Die at this event, or half way through this writing call; counted from 1.
        seconds : float
            Die after this time.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        job = {"folder": str(folder), "out": str(out), "settings": settings, "tile": tile, **moment}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer in ("killed\n", "finished\n"), f"{moment}: {answer or 'the nursery is dead'}"
        return answer == "killed\n"

    def usual_seconds(self, folder: Path, out: Path, settings: dict[str, Any], tile: tuple[int, int]) -> float:
        """Return how long a run takes that nobody kills; 1 s at the most, should it have been held up."""
        start = time.perf_counter()
        assert not self.run(folder, out, settings, tile)
        return min(time.perf_counter() - start, 1.0)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def watched_calls(
    folder: Path, hook: Callable[[str, Callable[..., Any], tuple[Any, ...]], Any]
) -> dict[str, Callable[..., Any]]:
    """Return, for every call of `os` that writes, one that gives `hook(name, function, arguments)` below a folder."""

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if named or not is_below(folder, name, arguments):
                return function(*arguments, **named)
            return hook(name, function, arguments)

        return call

    return {name: watched(name, getattr(os, name)) for name in WRITING_CALLS}


def is_below(folder: Path, name: str, arguments: tuple[Any, ...]) -> bool:
    """Return whether a call changes something below the folder."""
    if name == "open" and not arguments[1] & (os.O_WRONLY | os.O_RDWR):
        return False
    place = arguments[0]
    if isinstance(place, int):
        try:
            place = Path(f"/proc/self/fd/{place}").readlink()
        except OSError:
            return False
    return str(folder) in str(place)


def half_done(name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Do half of a write; of other calls nothing."""
    if name in ("write", "pwrite"):
        data = memoryview(arguments[1]).cast("B")
        function(arguments[0], data[: len(data) // 2], *arguments[2:])


def _run(job: dict[str, Any]) -> None:
    """What the child does."""
    from skyquilt.core import Event

    n_events = n_calls = 0
    lock = threading.Lock()

    def listener(event: Event) -> None:
        nonlocal n_events
        n_events += 1
        if n_events == job.get("event"):
            die()

    def hook(name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        nonlocal n_calls
        with lock:
            n_calls += 1
            if n_calls == job["call"]:
                half_done(name, function, arguments)
                die()
        return function(*arguments)

    if "call" in job:
        for name, call in watched_calls(Path(job["out"]), hook).items():
            setattr(os, name, call)
    _make(job, listener)


def _make(job: dict[str, Any], listener: Callable[[Any], None]) -> None:
    """Stack or sew what a job asks for."""
    from skyquilt import mosaic, stack

    if job["kind"] == "live":
        _watch(job, listener)
        return
    if job["kind"] == "mosaic":
        from small_mosaic import small_chunks

        with small_chunks(tuple(job["tile"])):
            mosaic(job["folder"], job["out"], listener=listener, **job["settings"])
        return
    with steady(tuple(job["tile"])):
        stack(job["folder"], job["out"], listener=listener, **job["settings"])


def _watch(job: dict[str, Any], listener: Callable[[Any], None]) -> None:
    """Stack a folder live, two frames at a time."""
    from skyquilt.engine import Recipe
    from skyquilt.engine.live import WatchOptions, session, watch_folder

    session._MOST_AT_ONCE = 2
    options = WatchOptions(idle_s=0.0, poll_s=0.01, settle_s=0.01)
    watch_folder(Path(job["folder"]), Path(job["out"]), Recipe(**job["settings"]), listener=listener, options=options)


def _answer(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def _load_everything(kind: str) -> None:
    """Make one of each kind, so that the children need not load anything."""
    from skyquilt import stack
    from skyquilt.testing.sky import make_session

    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        if kind == "mosaic":
            from small_mosaic import SCENE, SETTINGS

            from skyquilt.testing.mosaic_sky import make_mosaic

            make_mosaic(folder / "in", SCENE)
            job = {"kind": kind, "folder": folder / "in", "out": folder / "out", "tile": (128, 64)}
            _make({**job, "settings": {**SETTINGS, "threads": 1}}, lambda event: None)
            return
        make_session(folder / "in", TINY)
        for schedule in ("cube", "sweep"):
            stack(folder / "in", folder / schedule, threads=1, schedule=schedule)


def _serve(kind: str) -> None:
    _load_everything(kind)
    for line in sys.stdin:
        job = {"kind": kind, **json.loads(line)}
        child = os.fork()
        if child == 0:
            try:
                _run(job)
                os._exit(0)
            except BaseException as error:
                os.write(1, f"failed: {error!r}\n".encode())
                os._exit(1)
        if "seconds" in job:
            time.sleep(job["seconds"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            _answer("killed")
        elif os.WEXITSTATUS(status) == 0:
            _answer("finished")


if __name__ == "__main__":
    _serve(sys.argv[1])
