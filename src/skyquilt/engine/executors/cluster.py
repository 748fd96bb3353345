"""
Independent tasks on the workers of a Dask cluster: the one door to it, loaded when a cluster is asked for.

A task is a function of a module and some texts and numbers; what it works on and most of what it makes are files on a
disk that all machines share. What comes back is JSON values, errors too.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from skyquilt import __version__, errors
from skyquilt.core import Event, Listener
from skyquilt.engine.identity import difference, identity
from skyquilt.errors import ClusterFailed, Interrupted, SkyquiltError, UsageError

__all__ = ["Cluster", "Task", "perform"]

Task = tuple[str | int, ...]
"""The arguments of a task."""

_CONNECT_S = 10.0
_WAIT_FOR_WORKERS_S = 30.0
_POLL_S = 0.1
_WATCH_S = 2.0
_RESULT_S = 10.0
_IN_FLIGHT = 4  # tasks a thread: enough that no worker waits for this machine
_LOGGERS = ("distributed", "distributed.client", "tornado", "tornado.application")

_locks: dict[str, threading.BoundedSemaphore] = {}
_lock = threading.Lock()
_is_settled = False


class Cluster:
    """
    The workers of a Dask scheduler, each able to give the bits that this machine gives.

    Made by `connect`; leaving the `with` block lets go of it.

    Attributes
    ----------
    address : str
        Of the scheduler.
    threads : dict of str to int
        Threads of each worker, by its address, as they were when last looked at.
    """

    def __init__(self, client: Any, address: str, listener: Listener, let_go: ExitStack) -> None:
        self.address = address
        self.threads: dict[str, int] = {}
        self._client = client
        self._listener = listener
        self._let_go = let_go
        self._looked_at = 0.0
        self._empty_since: float | None = None

    @classmethod
    def connect(cls, address: str, listener: Listener) -> Cluster:
        """
        Return the cluster of a scheduler, all of whose workers have proven to be alike.

        Parameters
        ----------
        address : str
            Such as "tcp://host:8786".
        listener : callable
            Is told of workers that come and go.

        Raises
        ------
        UsageError
            If the package `distributed` is missing, or the address cannot be meant.
        ClusterFailed
            If no scheduler answers, it has no workers, or one of them would give other bits.
        """
        try:
            from distributed import Client
        except ImportError as error:
            raise UsageError(
                "a cluster needs the package distributed, which is not installed", "pip install 'skyquilt[cluster]'"
            ) from error
        let_go = ExitStack()
        let_go.enter_context(_quiet())
        try:
            client = Client(address, timeout=_CONNECT_S, set_as_default=False, name="skyquilt")
        except (ValueError, TypeError) as error:
            let_go.close()
            raise UsageError(
                f"--scheduler {address}: this is no address of a scheduler", "write it as tcp://host:8786"
            ) from error
        except OSError as error:
            let_go.close()
            raise ClusterFailed(
                f"no scheduler answers at {address}", "check the address, or start one there with: dask scheduler"
            ) from error
        let_go.callback(client.close, timeout=_CONNECT_S)
        cluster = cls(client, address, listener, let_go)
        try:
            cluster._prove()
        except BaseException:
            cluster.close()
            raise
        return cluster

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the cluster; tasks that nobody waits for any more are dropped."""
        self._let_go.close()

    @property
    def n_threads(self) -> int:
        """Threads of all workers together."""
        return sum(self.threads.values())

    @property
    def n_workers(self) -> int:
        """Worker processes."""
        return len(self.threads)

    @property
    def threads_of_worker(self) -> int:
        """The most threads that a worker has."""
        return max(self.threads.values(), default=1)

    def _prove(self) -> None:
        """Wait for the workers; make sure that they and the scheduler have this very program."""
        try:
            self._client.run_on_scheduler(identity)
        except Exception as error:  # whatever it is that the other process cannot load
            raise ClusterFailed(
                f"the scheduler at {self.address} cannot load skyquilt {__version__}: {_told(error)}",
                "install the same version for the scheduler and all workers",
            ) from error
        begun = time.monotonic()
        self.threads = self._client.nthreads()
        if not self.threads:
            self._listener(Event("notice", "cluster", f"waiting for workers at {self.address}"))
        while not self.threads:
            if time.monotonic() - begun > _WAIT_FOR_WORKERS_S:
                raise ClusterFailed(
                    f"the scheduler at {self.address} has no workers", f"start some with: dask worker {self.address}"
                )
            time.sleep(_POLL_S)
            self.threads = self._client.nthreads()
        answers = self._client.run(identity, on_error="return")
        for worker, answer in sorted(answers.items()):
            if isinstance(answer, OSError):  # it has gone meanwhile
                continue
            if not isinstance(answer, str):
                raise ClusterFailed(
                    f"the worker {worker} cannot load skyquilt {__version__}: {_told(answer)}",
                    "install the same version for the scheduler and all workers",
                )
            if found := difference(answer, identity()):
                raise _unlike(worker, found)
        n, k = self.n_workers, self.n_threads
        told = f"{n} worker{'s' if n > 1 else ''} with {k} thread{'s' if k > 1 else ''}"
        self._listener(Event("notice", "cluster", f"{told} at {self.address}"))

    def run(
        self,
        function: Callable[..., object],
        tasks: Iterable[Task],
        *,
        at_once: int,
        should_stop: Callable[[], bool],
    ) -> Generator[tuple[int, Any], None, None]:
        """
        Yield (number of the task, what ``function(*task)`` returned on some worker), as they are done.

        Parameters
        ----------
        function : callable
            Of a module; it takes texts and numbers, returns JSON values, and may be called twice for one task: of a
            worker that is lost, what it had at work is done again by another.
        tasks : iterable
            Asked for the next one when a thread will soon be free.
        at_once : int
            How many of these tasks a worker process may have at work, whatever its threads.
        should_stop : callable
            Polled ten times a second.

        Raises
        ------
        Interrupted
            When `should_stop` says so; tasks that have begun are finished and their results yielded first.
        ClusterFailed
            If the scheduler or all workers are lost, or a task takes one worker after the other with it.
        SkyquiltError, OSError
            As the function raised it, with the name of the worker.
        RuntimeError
            If the function raised anything else: a fault of the program; where it lies is in its notes.
        """
        run = uuid.uuid4().hex
        finished: SimpleQueue[Any] = SimpleQueue()
        pending: dict[str, tuple[int, Any]] = {}
        numbered = enumerate(tasks)
        is_stopped = False
        try:
            while True:
                self._watch()
                if not is_stopped and should_stop():
                    is_stopped = True
                    self._withdraw(pending)
                while not is_stopped and len(pending) < _IN_FLIGHT * max(1, self.n_threads):
                    number, task = next(numbered, (-1, ()))
                    if number < 0:
                        break
                    future = self._client.submit(
                        perform, function, identity(), run, at_once, *task, key=f"skyquilt-{run}-{number}"
                    )
                    pending[future.key] = number, future
                    future.add_done_callback(finished.put)
                if not pending:
                    break
                with contextlib.suppress(Empty):
                    future = finished.get(timeout=_POLL_S)
                    if future.key not in pending:
                        continue
                    answer = self._answer(future)
                    if answer is None:
                        future.add_done_callback(finished.put)
                        continue
                    number, _ = pending.pop(future.key)
                    del future
                    yield number, _value(answer)
        finally:
            self._cancel([future for _, future in pending.values()])
        if is_stopped:
            raise Interrupted("stopped on request")

    def _cancel(self, futures: list[Any]) -> None:
        if futures and self._client.status == "running":
            with contextlib.suppress(OSError, TimeoutError):
                self._client.cancel(futures, force=True)

    def _withdraw(self, pending: dict[str, tuple[int, Any]]) -> None:
        """Take back the tasks that no worker has begun."""
        try:
            at_work = {str(key) for keys in self._client.processing().values() for key in keys}
        except (OSError, TimeoutError) as error:
            raise self._lost() from error
        idle = [key for key, (_, future) in pending.items() if key not in at_work and not future.done()]
        self._cancel([pending.pop(key)[1] for key in idle])

    def _answer(self, future: Any) -> dict[str, Any] | None:
        """Return what `perform` returned for a task, or None if it was lost with its worker and is made again."""
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError, FuturesCancelledError

        try:
            answer: dict[str, Any] = future.result(timeout=_RESULT_S)
        except KilledWorker as error:
            n, last = error.allowed_failures + 1, error.last_worker.address
            raise ClusterFailed(
                f"{n} worker{'s were' if n > 1 else ' was'} lost at the same task, the last one {last}",
                "if their memory was full, give a smaller --memory or start workers with fewer threads",
            ) from error
        except (FutureCancelledError, FuturesCancelledError) as error:
            raise self._lost() from error
        except TimeoutError:
            if self._client.status != "running":
                raise self._lost() from None
            return None
        except (ImportError, AttributeError) as error:
            raise ClusterFailed(
                f"a worker cannot load skyquilt {__version__}: {_told(error)}",
                "install the same version for the scheduler and all workers",
            ) from error
        return answer

    def _watch(self) -> None:
        """Look, now and then, which workers there are, and tell of those that come and go."""
        now = time.monotonic()
        if now - self._looked_at < _WATCH_S:
            return
        self._looked_at = now
        if self._client.status != "running":
            raise self._lost()
        try:
            threads = self._client.nthreads()
        except (OSError, TimeoutError) as error:
            raise self._lost() from error
        for worker in sorted(self.threads.keys() - threads.keys()):
            told = f"the worker {worker} is gone; what it had at work is done again"
            self._listener(Event("notice", "cluster", told))
        for worker in sorted(threads.keys() - self.threads.keys()):
            self._listener(Event("notice", "cluster", f"the worker {worker} has joined"))
        self.threads = threads
        if threads:
            self._empty_since = None
            return
        self._empty_since = self._empty_since or now
        if now - self._empty_since > _WAIT_FOR_WORKERS_S:
            raise ClusterFailed(
                f"all workers of the scheduler at {self.address} are gone",
                f"start some with: dask worker {self.address}; then run again: what is done is kept",
            )

    def _lost(self) -> ClusterFailed:
        return ClusterFailed(
            f"the scheduler at {self.address} is gone", "start the cluster anew, then run again: what is done is kept"
        )


@contextlib.contextmanager
def _quiet() -> Generator[None, None, None]:
    """Keep what the library says of lost connections out of the terminal: it is told in our own words."""
    before = [(logger, logger.level) for logger in map(logging.getLogger, _LOGGERS)]
    for logger, _ in before:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in before:
            logger.setLevel(level)


def _told(error: BaseException) -> str:
    """Return an error of another process in one line."""
    cause = error.__cause__ or error
    return " ".join(f"{type(cause).__name__}: {cause}".split())[:200]


def _unlike(worker: str, found: str) -> ClusterFailed:
    if "processor" in found:
        return ClusterFailed(
            f"the worker {worker} has {found}; the last bits of a picture would depend on who computes which part",
            "start the run and its workers on machines with the same processor, or see docs/guides/cluster.md",
        )
    return ClusterFailed(
        f"the worker {worker} has {found}", "install the same versions for the scheduler and all workers"
    )


def _value(answer: dict[str, Any]) -> Any:
    """Return the value of a task, or raise the error that it ended with."""
    if "value" in answer:
        return answer["value"]
    if "fault" in answer:
        fault = RuntimeError(f"{answer['fault']} (worker {answer['worker']})")
        fault.add_note(answer["trace"])
        raise fault
    if "errno" in answer:
        raise OSError(answer["errno"], f"{answer['message']} (worker {answer['worker']})", answer["filename"])
    kind = getattr(errors, answer["error"], SkyquiltError)
    raise kind(f"{answer['message']} (worker {answer['worker']})", answer["hint"])


def perform(
    function: Callable[..., object], as_this: str, run: str, at_once: int, *arguments: str | int
) -> dict[str, Any]:
    """
    Do one task on a worker; return its value or its error, as JSON values.

    Parameters
    ----------
    as_this : str
        The `identity` of the process that gave the task; a worker that joined later may have another one.
    run : str
        Names the tasks of which `at_once` may be at work in a process.
    """
    from distributed import get_worker

    worker = str(get_worker().address)
    try:
        if found := difference(identity(), as_this):
            raise _unlike(worker, found)
        _settle()
        with _gate(run, at_once):
            return {"value": function(*arguments)}
    except SkyquiltError as error:
        return {"error": type(error).__name__, "message": error.message, "hint": error.hint, "worker": worker}
    except MemoryError:
        hint = "run it again with a smaller --memory, or with fewer threads a worker"
        return {"error": "NotEnoughMemory", "message": "the memory is full", "hint": hint, "worker": worker}
    except OSError as error:
        told = {"message": error.strerror or str(error), "filename": error.filename and str(error.filename)}
        return {"errno": error.errno or 0, **told, "worker": worker}
    except Exception as error:  # an exception that cannot be sent would never arrive, and the run wait for ever
        trace = "".join(traceback.format_exception(error)[-20:])
        return {"fault": f"{type(error).__name__}: {error}", "trace": trace, "worker": worker}


def _gate(run: str, at_once: int) -> threading.BoundedSemaphore:
    """Return what bounds the tasks that are at work in this process."""
    with _lock:
        if run not in _locks:
            while len(_locks) >= 4:  # of runs that are over
                _locks.pop(next(iter(_locks)))
            _locks[run] = threading.BoundedSemaphore(at_once)
        return _locks[run]


def _settle() -> None:
    """Make a process ready for tasks, once: kernels compiled, linear algebra on one thread as in every run."""
    global _is_settled
    with _lock:
        if _is_settled:
            return
        from threadpoolctl import threadpool_limits

        from skyquilt.core import silent
        from skyquilt.engine.warmup import compile_kernels

        threadpool_limits(1)
        compile_kernels(silent)
        _is_settled = True
