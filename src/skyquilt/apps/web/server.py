"""The server: its sockets on the loopback interface, its limits, and how it is started and ended."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from skyquilt.apps.web.desk import Desk
from skyquilt.apps.web.gate import Gate
from skyquilt.apps.web.policy import Rules
from skyquilt.apps.web.project import Project
from skyquilt.apps.web.roots import Roots
from skyquilt.apps.web.routes import make_app
from skyquilt.apps.web.static_files import StaticFiles
from skyquilt.errors import OutputBlocked, UsageError
from skyquilt.io.atomic import blocked

__all__ = ["AppOptions", "ServerRun", "host_and_port", "serve_app"]

_STATIC = Path(__file__).parent / "static"
_MOST_CONNECTIONS = 32
_LARGEST_HEADERS = 16 << 10
_LARGEST_MESSAGE = 256 << 10
_REQUEST_LIMIT_S = 10.0
_LEAVE_S = 3
_FREE_PORT_TRIES = 20
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class AppOptions:
    """
    How the app is started.

    Attributes
    ----------
    folders : tuple of Path
        The roots: nothing outside of them can be opened.
    out : Path
        Where products and the memory of the project go.
    host : str
        "127.0.0.1", "::1", or "localhost" for both.
    port : int
        0: a free one.
    allow_hosts : tuple of str
        Further values of the Host header, such as "localhost:9000" at the far end of a tunnel.
    token_file : Path or None
        Where the token is written for scripts, readable by the user alone.
    engine_command : tuple of str
        What starts the engine.
    """

    folders: tuple[Path, ...]
    out: Path
    host: str = "localhost"
    port: int = 0
    allow_hosts: tuple[str, ...] = ()
    token_file: Path | None = None
    engine_command: tuple[str, ...] = (sys.executable, "-m", "skyquilt", "engine", "--quiet")


@dataclass(frozen=True, slots=True)
class ServerRun:
    """
    A server that listens.

    Attributes
    ----------
    url : str
        With the token in its fragment, which browsers never send.
    port : int
    is_built : bool
        Whether the viewer is there.
    end : callable
        Ends the server; from any thread.
    """

    url: str
    port: int
    is_built: bool
    end: Callable[[], None]


class _Protocol(H11Protocol):
    """HTTP, with an end to requests that do not become complete."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._deadline = self.loop.call_later(_REQUEST_LIMIT_S, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        self._deadline.cancel()
        super().handle_websocket_upgrade(event)

    def on_response_complete(self) -> None:
        self._deadline.cancel()
        self._deadline = self.loop.call_later(_REQUEST_LIMIT_S, self._give_up)
        super().on_response_complete()

    def _give_up(self) -> None:
        """Close a connection whose request has not come in whole; one that is being answered has its own limit."""
        is_read = self.cycle is not None and not self.cycle.more_body
        if is_read and not self.cycle.response_complete:
            return
        if not self.transport.is_closing():
            self.transport.close()


def serve_app(options: AppOptions, on_ready: Callable[[ServerRun], None]) -> None:
    """
    Serve the app until it is ended.

    Parameters
    ----------
    options : AppOptions
    on_ready : callable
        Called when the server listens, from the thread of the server.

    Raises
    ------
    UsageError
        If the host is not of this machine, or the port is taken.
    NoUsableInput
        If a root is no folder.
    OutputBlocked
        If the token cannot be written.
    """
    roots = Roots(list(options.folders))
    sockets = _listen(options.host, options.port)
    port = int(sockets[0].getsockname()[1])
    gate = Gate()
    files = StaticFiles(_STATIC)
    try:
        if options.token_file is not None:
            _write_token(options.token_file, gate.token)
        with Project(options.out) as project:
            app = make_app(
                Desk(roots, project, options.engine_command), gate, Rules.for_port(port, options.allow_hosts), files
            )
            server = uvicorn.Server(_config(app))
            url = f"http://{_shown(options.host)}:{port}/#token={gate.token}"
            with contextlib.suppress(KeyboardInterrupt), _ended_politely():
                asyncio.run(_serve(server, sockets, lambda: on_ready(_run(server, url, port, files))))
    finally:
        for one in sockets:
            one.close()
        if options.token_file is not None:
            options.token_file.unlink(missing_ok=True)


@contextlib.contextmanager
def _ended_politely() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C: uvicorn raises it once more when all is closed, which would end us within."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(server: uvicorn.Server, url: str, port: int, files: StaticFiles) -> ServerRun:
    def end() -> None:
        server.should_exit = True

    return ServerRun(url, port, files.is_built, end)


async def _serve(server: uvicorn.Server, sockets: list[socket.socket], on_ready: Callable[[], None]) -> None:
    async def tell() -> None:
        while not server.started:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(on_ready)

    telling = asyncio.create_task(tell())
    try:
        if threading.current_thread() is threading.main_thread():
            await server.serve(sockets=sockets)
        else:
            await server._serve(sockets)  # signals belong to the main thread
    finally:
        telling.cancel()


def _config(app: Any) -> uvicorn.Config:
    """Return the limits of the server (SAFETY.md, 7.4.7)."""
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="websockets-sansio",
        ws_max_size=_LARGEST_MESSAGE,
        ws_max_queue=8,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        h11_max_incomplete_event_size=_LARGEST_HEADERS,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_LEAVE_S,
    )


def _listen(host: str, port: int) -> list[socket.socket]:
    """Return the listening sockets: of IPv4, and of IPv6 where the machine has it, on one port."""
    if host not in _LOOPBACK:
        raise UsageError(
            f"--host {host} is not of this machine alone: the app is served on 127.0.0.1 and ::1 only",
            "use it from elsewhere through SSH: ssh -L PORT:127.0.0.1:PORT user@machine",
        )
    for _ in range(_FREE_PORT_TRIES):
        first: list[socket.socket] = []
        try:
            if host != "::1":
                first.append(_bound(socket.AF_INET, "127.0.0.1", port))
            if host != "127.0.0.1":
                taken = int(first[0].getsockname()[1]) if first else port
                with contextlib.suppress(_NoSuchFamily):
                    first.append(_bound(socket.AF_INET6, "::1", taken))
            if not first:
                raise UsageError("this machine has no ::1", "use --host 127.0.0.1")
            return first
        except OSError as error:
            for one in first:
                one.close()
            if port or error.errno != errno.EADDRINUSE:
                raise UsageError(
                    f"port {port} cannot be used: {error.strerror}", "choose another with --port, or leave it out"
                ) from error
    raise UsageError("no free port was found", "choose one with --port")


class _NoSuchFamily(Exception):
    """The machine has no such addresses."""


def _bound(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    try:
        found = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _NoSuchFamily from error
    try:
        if os.name != "nt":
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found.bind((address, port))
        found.listen(128)
    except OSError as error:
        found.close()
        if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise _NoSuchFamily from error
        raise
    return found


def _shown(host: str) -> str:
    return "[::1]" if host == "::1" else "127.0.0.1"


def _write_token(path: Path, token: str) -> None:
    """Write the token into a new file that only the user can read."""
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    except OSError as error:
        raise blocked(path, error) from error
    try:
        os.write(descriptor, token.encode("ascii") + b"\n")
    except OSError as error:
        raise OutputBlocked(f"the token cannot be written to {path.name}", "choose another file") from error
    finally:
        os.close(descriptor)


def host_and_port(text: str) -> str:
    """Return a value of --allow-host if it is one; raises `UsageError`."""
    name, _, port = text.rpartition(":")
    if not name or not port.isdigit() or not all(one.isalnum() or one in ".-[]:" for one in name):
        raise UsageError(f"--allow-host {text} is not NAME:PORT", "write for example localhost:9000")
    return text.lower()
