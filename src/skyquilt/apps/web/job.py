"""The run: one stack or mosaic at a time, which outlives the engine and the app."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from skyquilt.apps.web.child import EngineChild, EngineGone, EngineRefusal
from skyquilt.apps.web.hub import Hub
from skyquilt.apps.web.log import Log
from skyquilt.apps.web.project import Project
from skyquilt.errors import SkyquiltError

__all__ = ["Job", "JobKeeper", "NotNow"]

_MOST_TRIES = 3
_EVENT_EVERY_S = 0.1
_READY_LIMIT_S = 60.0
_LEAST_SHARE = 0.02
_COMPLETE = "complete"
_PHASES = {
    "stack": ("discover", "calibrate", "measure", "register", "trails", "integrate", "products"),
    "watch": ("live", "integrate", "products"),
    "mosaic": ("discover", "calibrate", "measure", "solve", "register", "normalise", "integrate", "products"),
}
"""What a run goes through, as far as it is known before; others are told when they come."""


class NotNow(SkyquiltError):
    """What was asked for does not go with what is going on."""


@dataclass(eq=False)
class Job:
    """
    A run and how far it is (docs/reference/app-api.md, section 5).

    Attributes
    ----------
    request : dict
        What the engine is asked: the same again goes on where it stopped.
    number : str
        The id of the request that runs, "" where none does.
    """

    id: str
    kind: str
    settings: dict[str, Any]
    request: dict[str, Any]
    state: str = "running"
    number: str = ""
    phase: str = ""
    phases: list[dict[str, Any]] = field(default_factory=list)
    percent: float = 0.0
    n_left_out: int = 0
    restarts: int = 0
    live: str | None = None
    error: dict[str, str] | None = None
    result: Any = None
    begun: float = field(default_factory=time.monotonic)
    begun_percent: float = 0.0
    elapsed_before_s: float = 0.0
    phase_begun: float = 0.0

    @property
    def is_running(self) -> bool:
        return self.state in ("running", "stopping")

    @property
    def elapsed_s(self) -> float:
        """Seconds of work, pauses left out."""
        return self.elapsed_before_s + (time.monotonic() - self.begun if self.is_running else 0.0)

    @property
    def eta_s(self) -> float | None:
        """Seconds that are left at the pace since it began or went on; None where that cannot be said yet."""
        share = self.percent - self.begun_percent
        if self.state != "running" or share < _LEAST_SHARE:
            return None
        return (time.monotonic() - self.begun) * (1.0 - self.percent) / share

    def lay_out(self) -> None:
        """Set all phases to waiting."""
        self.phase, self.n_left_out = "", 0
        self.phases = [
            {"name": name, "state": "waiting", "done": 0, "total": 0, "seconds": 0.0} for name in _PHASES[self.kind]
        ]

    def as_json(self, products: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the job as the page gets it."""
        eta = self.eta_s
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "settings": self.settings,
            "phase": self.phase,
            "phases": self.phases,
            "percent": round(self.percent, 5),
            "eta_s": None if eta is None else round(eta, 1),
            "elapsed_s": round(self.elapsed_s, 1),
            "n_left_out": self.n_left_out,
            "restarts": self.restarts,
            "live": self.live,
            "error": self.error,
            "products": products,
        }


class JobKeeper:
    """
    Runs the job, and goes on with it when the engine died.

    Parameters
    ----------
    child : EngineChild
    project : Project
        Remembers the job for the next start.
    hub : Hub
    log : Log
    products_of : callable
        Returns the products of what the engine answered.
    """

    def __init__(
        self,
        child: EngineChild,
        project: Project,
        hub: Hub,
        log: Log,
        products_of: Callable[[Any], list[dict[str, Any]]],
    ) -> None:
        self._child, self._project, self._hub, self._log, self._products_of = child, project, hub, log, products_of
        self._work: asyncio.Task[None] | None = None
        self._told = 0.0
        self.on_tiles: Callable[[Job], None] = lambda job: None
        self.on_event: Callable[[dict[str, Any]], None] = lambda event: None
        self.on_end: Callable[[Job], None] = lambda job: None
        self.job: Job | None = self._left()

    def as_json(self) -> dict[str, Any] | None:
        """Return the job as the page gets it, or None."""
        job = self.job
        return None if job is None else job.as_json(self._products_of(job.result) if job.result else [])

    def start(self, kind: str, settings: dict[str, Any], request: dict[str, Any]) -> Job:
        """
        Start a job.

        Raises
        ------
        NotNow
            If one runs.
        OutputBlocked, NotEnoughDisk
            If it cannot be remembered.
        """
        if self.job is not None and self.job.is_running:
            raise NotNow("a job is running", "stop it first, or wait for it")
        before = self.job
        self.job = Job(f"j{int(time.time() * 1000)}", kind, settings, request)
        try:
            self._remember()
        except SkyquiltError:
            self.job = before
            raise
        return self._begin(self.job)

    def go_on(self) -> Job:
        """Go on with the job that was stopped, was interrupted or failed; raises `NotNow` where there is none."""
        job = self.job
        if job is None or job.state not in ("stopped", "interrupted", "failed"):
            raise NotNow("there is no job that could go on", "start one")
        job.state, job.error = "running", None
        self._remember()
        return self._begin(job)

    async def stop(self) -> Job:
        """Ask the job to stop after the tile in hand; raises `NotNow` where none runs."""
        job = self.job
        if job is None or not job.is_running:
            raise NotNow("no job is running")
        job.state = "stopping"
        self.tell(job)
        if job.number:
            with contextlib.suppress(EngineGone, EngineRefusal):  # it has just ended: `_until_it_ends` says how
                await self._child.request("cancel", job=job.number)
        return job

    async def adjust(self, **fields: Any) -> Any:
        """
        Change the live stack that runs: `exclude`, `include`, `finish` as the engine's command takes them.

        Raises
        ------
        NotNow
            If none runs.
        """
        job = self.job
        if job is None or job.kind != "watch" or job.state != "running" or not job.number:
            raise NotNow("no live stack is running", "start one")
        return await self._child.request("adjust", job=job.number, **fields)

    async def close(self) -> None:
        """Leave the job as it is: the next start can go on with it."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)

    def tell(self, job: Job, *, is_urgent: bool = True) -> None:
        """Tell the pages how the job is; what is not urgent ten times a second at most."""
        now = time.monotonic()
        if is_urgent or now - self._told >= _EVENT_EVERY_S:
            self._told = now
            self._hub.publish("job", job=self.as_json())

    def _begin(self, job: Job) -> Job:
        job.begun, job.begun_percent = time.monotonic(), 0.0
        job.lay_out()
        self._work = asyncio.create_task(self._run(job), name="job")
        self.tell(job)
        return job

    async def _run(self, job: Job) -> None:
        try:
            await self._until_it_ends(job)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a fault of ours must not leave the page waiting
            self._end(job, "failed", f"a fault of the program ({type(error).__name__}: {error})")

    async def _until_it_ends(self, job: Job) -> None:
        n_tries, reached = 0, -1.0
        while True:
            try:
                if not await self._child.wait_ready(_READY_LIMIT_S):
                    self._end(job, "failed", "the engine does not start", "look at the log, then continue")
                    return
                job.number = self._child.next_number()
                job.result = await self._child.request(
                    job.kind, heard=lambda line: self._hear(job, line), number=job.number, **job.request
                )
                self._end(job, "done")
                return
            except EngineRefusal as refusal:
                is_stopped = refusal.is_cancelled
                self._end(
                    job, "stopped" if is_stopped else "failed", "" if is_stopped else refusal.message, refusal.hint
                )
                return
            except EngineGone:
                if job.state == "stopping":
                    self._end(job, "stopped")
                    return
                n_tries = 0 if job.percent > reached else n_tries + 1
                reached = max(reached, job.percent)
                if n_tries >= _MOST_TRIES:
                    self._end(job, "failed", "the engine ended again and again", "look at the log, then continue")
                    return
                self._interrupt(job)
                await self._child.wait_ready(_READY_LIMIT_S)
                job.state, job.percent, job.begun = "running", 0.0, time.monotonic()
                job.lay_out()
                self.tell(job)

    def _interrupt(self, job: Job) -> None:
        """Say that the engine has died within the job."""
        job.elapsed_before_s, job.number, job.live = job.elapsed_s, "", None
        job.state = "interrupted"
        job.restarts += 1
        self._log.add("warning", job.phase, "the engine has ended; the run goes on when it is back")
        self.tell(job)

    def _end(self, job: Job, state: str, message: str = "", hint: str = "") -> None:
        job.elapsed_before_s = job.elapsed_s
        job.state, job.number, job.live = state, "", None
        job.error = {"message": message, "hint": hint} if message else None
        if state == "done":
            job.percent = 1.0
            self._enter_phase(job, "", 0, 0)
        level = "error" if state == "failed" else "notice"
        self._log.add(level, job.phase, message or f"the run is {state}")
        try:
            self._remember()
        except SkyquiltError as error:
            self._log.add("warning", "", error.message)
        self.on_end(job)
        self.tell(job)

    def _hear(self, job: Job, line: dict[str, Any]) -> None:
        """Take in a progress line of the engine."""
        progress, event = line.get("progress") or {}, line.get("event") or {}
        job.percent = max(job.percent, min(1.0, float(progress.get("percent") or 0.0)))
        kind, phase = str(event.get("kind") or ""), str(event.get("phase") or progress.get("stage") or "")
        done, total = int(event.get("done") or 0), int(event.get("total") or 0)
        if kind in ("phase", "progress", ""):
            self._enter_phase(job, phase, done, total)
            if phase == "integrate" or "values" in (event.get("data") or {}):
                self.on_tiles(job)
        self.on_event(event)
        text = str(event.get("message") or "")
        if kind == "left_out":
            job.n_left_out += 1
        if text:
            level = {"warning": "warning", "notice": "notice", "left_out": "notice"}.get(kind, "info")
            self._log.add(level, phase, text)
        self.tell(job, is_urgent=kind == "phase")

    def _enter_phase(self, job: Job, name: str, done: int, total: int) -> None:
        """Note how far a phase is; the one before has then ended."""
        now = time.monotonic()
        at = next((k for k, phase in enumerate(job.phases) if phase["name"] == name), len(job.phases))
        if name != job.phase:
            for k, phase in enumerate(job.phases):
                if phase["state"] == "running":
                    phase["state"], phase["seconds"] = "done", round(now - job.phase_begun, 2)
                elif k < at and phase["state"] == "waiting":
                    phase["state"] = "done"
            job.phase, job.phase_begun = name, now
        if not name or name == _COMPLETE:
            return
        if at == len(job.phases):
            at = next((k for k, phase in enumerate(job.phases) if phase["state"] == "waiting"), at)
            job.phases.insert(at, {"name": name})
        job.phases[at] |= {"state": "running", "done": done, "total": total, "seconds": round(now - job.phase_begun, 2)}

    def _remember(self) -> None:
        job = self.job
        if job is None:
            return
        self._project.remembered.job = {
            "id": job.id,
            "kind": job.kind,
            "settings": job.settings,
            "request": job.request,
            "state": job.state,
            "error": cast(Any, job.error),
            "result": job.result if job.state == "done" else None,
        }
        self._project.save()

    def _left(self) -> Job | None:
        """Return the job of the last start; one that ran then was interrupted."""
        kept: Any = self._project.remembered.job
        if not kept:
            return None
        try:
            job = Job(str(kept["id"]), str(kept["kind"]), dict(kept["settings"]), dict(kept["request"]))
            job.state = "interrupted" if kept["state"] in ("running", "stopping", "interrupted") else str(kept["state"])
            job.error, job.result = kept.get("error"), kept.get("result")
            job.percent = 1.0 if job.state == "done" else 0.0
        except (KeyError, TypeError, ValueError):
            return None
        return job
