"""The app on a port of this machine, and a page that talks to it."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from skyquilt.apps.web import AppOptions, ServerRun, serve_app

FAKE = (sys.executable, str(Path(__file__).parent / "fake_engine.py"))
"""A child that does nearly nothing."""


class RunningApp:
    """Serves in a thread; the client has come in already."""

    def __init__(self, folders: tuple[Path, ...], out: Path, engine: tuple[str, ...], **options: Any) -> None:
        self._options = AppOptions(folders, out, engine_command=engine, **options)
        self._up = threading.Event()
        self._error: BaseException | None = None
        self.out = out
        self.run: ServerRun

    def _serve(self) -> None:
        try:
            serve_app(self._options, self._ready)
        except BaseException as error:
            self._error = error
        finally:
            self._up.set()

    def _ready(self, run: ServerRun) -> None:
        self.run = run
        self._up.set()

    def __enter__(self) -> RunningApp:
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        assert self._up.wait(20)
        if self._error is not None:
            raise self._error
        self.token = self.run.url.partition("#token=")[2]
        self.base = f"http://127.0.0.1:{self.run.port}"
        self.client = httpx.Client(base_url=self.base, headers={"origin": self.base}, timeout=20)
        assert self.client.post("/api/session", json={"token": self.token}).status_code == 204
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.run.end()
        self._thread.join(30)
        assert not self._thread.is_alive()
        assert self._error is None, self._error

    @property
    def cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.client.cookies.items())

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, status: int = 200, **body: Any) -> Any:
        answer = self.client.post(path, json=body)
        assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def finish(self, started: Any, limit_s: float = 60.0) -> Any:
        """Wait for a task and return it."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            task = self.get(f"/api/task/{started['task']['id']}")
            if task["state"] != "running":
                return task
            time.sleep(0.02)
        raise AssertionError("the task does not end")

    def job(self, *, until: Any, limit_s: float = 60.0) -> Any:
        """Wait until the job is as it should be and return it."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            job = self.get("/api/job")["job"]
            if until(job):
                return job
            time.sleep(0.01)
        raise AssertionError(f"the job stays {job}")

    def open_night(self) -> Any:
        """Open the session and return it."""
        root = self.get("/api/folders")["folders"][0]["id"]
        night = next(one for one in self.get(f"/api/folders?folder={root}")["folders"] if one["name"] == "night")
        task = self.finish(self.post("/api/open", 202, folder=night["id"]))
        assert task["state"] == "done", task
        return task["result"]

    def events(self) -> ClientConnection:
        """Return a WebSocket as a page opens it."""
        return connect(
            f"ws://127.0.0.1:{self.run.port}/api/events", origin=self.base, additional_headers={"cookie": self.cookie}
        )


def next_event(socket: ClientConnection, wanted: Any, limit_s: float = 60.0) -> Any:
    """Return the next event that is wanted."""
    end = time.monotonic() + limit_s
    while True:
        event = json.loads(socket.recv(timeout=max(0.01, end - time.monotonic())))
        if wanted(event):
            return event
