"""The engine as a child process: requests and answers as JSON lines, started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from skyquilt.errors import SkyquiltError

__all__ = ["EngineChild", "EngineGone", "EngineRefusal"]

_LONGEST_LINE = 64 << 20
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 10.0
_LIVES_S = 5.0
_LEAVE_S = 5.0

Heard = Callable[[dict[str, Any]], None]


class EngineGone(SkyquiltError):
    """The engine ended before it answered; it is started again."""


class EngineRefusal(SkyquiltError):
    """
    The engine says no.

    Attributes
    ----------
    is_cancelled : bool
        Because it was asked to stop.
    """

    def __init__(self, message: str, hint: str = "", *, is_cancelled: bool = False) -> None:
        super().__init__(message, hint)
        self.is_cancelled = is_cancelled


@dataclass(eq=False)
class _Asked:
    """A request that waits for its answer."""

    answer: asyncio.Future[Any]
    heard: Heard | None = None


@dataclass(eq=False)
class EngineChild:
    """
    Keeps one engine alive.

    Attributes
    ----------
    command : sequence of str
        What is started; it reads requests from its standard input and writes answers to its standard output.
    on_state : callable
        Called with "starting", "ready" or "dead" and a sentence.
    on_log : callable
        Called with each line that it writes to its standard error.
    greeting : sequence of dict
        Requests that every new engine gets first; it is ready when it has answered them.
    """

    command: Sequence[str]
    on_state: Callable[[str, str], None]
    on_log: Callable[[str], None]
    greeting: Sequence[dict[str, Any]] = ()
    state: str = "starting"
    n_restarts: int = 0
    _process: asyncio.subprocess.Process | None = None
    _asked: dict[str, _Asked] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _keeper: asyncio.Task[None] | None = None
    _is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    _is_leaving: bool = False

    @property
    def pid(self) -> int | None:
        """Its process, or None while there is none."""
        return self._process.pid if self._process is not None and self.state != "dead" else None

    async def start(self) -> None:
        """Start the engine and keep it alive from now on."""
        self._keeper = asyncio.create_task(self._keep(), name="engine")

    async def stop(self) -> None:
        """End the engine: politely, then not."""
        self._is_leaving = True
        process = self._process
        if process is not None and process.returncode is None:
            if process.stdin is not None:
                process.stdin.close()
            for end in (None, process.terminate, process.kill):
                if end is not None:
                    with contextlib.suppress(ProcessLookupError):
                        end()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LEAVE_S):
                        await process.wait()
                    break
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper

    async def wait_ready(self, limit_s: float) -> bool:
        """Wait until the engine takes requests; return whether it does within the limit."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                await self._is_ready.wait()
        return self._is_ready.is_set()

    async def request(self, cmd: str, *, heard: Heard | None = None, number: str | None = None, **fields: Any) -> Any:
        """
        Ask the engine and return the data of its answer.

        Parameters
        ----------
        cmd : str
        heard : callable or None
            Called with every progress line.
        number : str or None
            The id of the request; None: a new one.
        **fields
            Of the request.

        Raises
        ------
        EngineRefusal
            With the sentence of the engine.
        EngineGone
            If it is not there, or ends before it answers.
        """
        if not self._is_ready.is_set():
            raise EngineGone("the engine is not there at the moment", "it is being started; try again")
        return await self._ask({"cmd": cmd, **fields}, heard, number)

    def next_number(self) -> str:
        """Return an id for a request."""
        return f"r{next(self._numbers)}"

    async def _ask(self, request: dict[str, Any], heard: Heard | None = None, number: str | None = None) -> Any:
        process = self._process
        if process is None or process.stdin is None or process.returncode is not None:
            raise _gone()
        key = number or self.next_number()
        asked = _Asked(asyncio.get_running_loop().create_future(), heard)
        self._asked[key] = asked
        try:
            process.stdin.write(json.dumps({"id": key, **request}).encode("ascii") + b"\n")
            await process.stdin.drain()
            return await asked.answer
        except (ConnectionError, RuntimeError) as error:
            raise _gone() from error
        finally:
            self._asked.pop(key, None)

    async def _keep(self) -> None:
        """Start the engine again and again."""
        wait = _FIRST_WAIT_S
        while not self._is_leaving:
            begun = time.monotonic()
            self._tell("starting", "the engine is being started")
            reason = await self._live()
            self._is_ready.clear()
            self._tell("dead", reason)
            for asked in list(self._asked.values()):
                if not asked.answer.done():
                    asked.answer.set_exception(_gone())
            if self._is_leaving:
                return
            wait = _FIRST_WAIT_S if time.monotonic() - begun > _LIVES_S else min(2.0 * wait, _LONGEST_WAIT_S)
            await asyncio.sleep(wait)
            self.n_restarts += 1

    async def _live(self) -> str:
        """Run one engine to its end and say how it ended."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LONGEST_LINE,
                start_new_session=True,  # Ctrl-C in the terminal is for the server, which then ends the engine
            )
        except OSError as error:
            return f"the engine cannot be started: {error.strerror}"
        self._process = process
        greeter = asyncio.create_task(self._greet())
        log = asyncio.create_task(self._read_log(process))
        try:
            await self._read_answers(process)
        finally:
            for task in (greeter, log):
                task.cancel()
            code = await _ended(process)
        return "the engine was ended" if code < 0 else f"the engine has ended (exit code {code})"

    async def _greet(self) -> None:
        try:
            for request in self.greeting:
                await self._ask(request)
        except EngineGone:
            return
        except EngineRefusal as refusal:
            self.on_log(f"the engine refuses {refusal.message}")
        self._is_ready.set()
        self._tell("ready", "the engine is ready")

    async def _read_answers(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # a line without end: this is no engine of ours
                self.on_log("the engine wrote a line that is too long")
                return
            if not line:
                return
            self._take(line)

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while line := await process.stderr.readline():
            self.on_log(line.decode("utf-8", "replace").rstrip())

    def _take(self, line: bytes) -> None:
        """Bring a line to the one who asked."""
        try:
            message = json.loads(line)
        except ValueError:
            self.on_log("the engine wrote a line that is no JSON")
            return
        asked = self._asked.get(str(message.get("id"))) if isinstance(message, dict) else None
        if asked is None or asked.answer.done():
            return
        if "progress" in message:
            if asked.heard is not None:
                asked.heard(message)
        elif message.get("ok") is True:
            asked.answer.set_result(message.get("data"))
        else:
            text, hint = str(message.get("error") or "the engine failed"), str(message.get("hint") or "")
            asked.answer.set_exception(EngineRefusal(text, hint, is_cancelled=message.get("cancelled") is True))

    def _tell(self, state: str, text: str) -> None:
        self.state = state
        self.on_state(state, text)


def _gone() -> EngineGone:
    return EngineGone("the engine has ended", "it is started again; try again")


async def _ended(process: asyncio.subprocess.Process) -> int:
    """Return the exit code of a process that has closed its output; one that lives on nevertheless is ended."""
    try:
        async with asyncio.timeout(_LEAVE_S):
            return await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        return await process.wait()
