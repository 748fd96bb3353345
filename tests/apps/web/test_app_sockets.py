"""What comes over the wire before there is a request: broken lines, floods, slow clients, sockets of events."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_app import FAKE, RunningApp, next_event
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from skyquilt.apps.web import AppOptions, host_and_port, serve_app, server
from skyquilt.errors import NoUsableInput, UsageError


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningApp]:
    folder = tmp_path_factory.mktemp("sockets")
    (folder / "sky").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "_REQUEST_LIMIT_S", 0.5)
        with RunningApp((folder / "sky",), folder / "out", FAKE) as running:
            yield running


def raw(app: RunningApp, data: bytes, *, limit_s: float = 5.0) -> bytes:
    """Send bytes and return all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", app.run.port), timeout=limit_s) as wire:
        wire.sendall(data)
        answer = b""
        try:
            while piece := wire.recv(1 << 16):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


def host(app: RunningApp) -> bytes:
    return f"Host: 127.0.0.1:{app.run.port}\r\n".encode()


BROKEN = [
    b"\r\n\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\nHost: x\n\n\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHo\x00st: a\r\n\r\n",
    b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 5000,
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    bytes(range(256)) * 20,
]


@pytest.mark.parametrize("data", BROKEN, ids=range(len(BROKEN)))
def test_what_is_no_request_is_refused_and_the_server_lives(app: RunningApp, data: bytes) -> None:
    answer = raw(app, data)
    assert answer == b"" or answer.split(b" ")[1] in (b"400", b"421", b"414", b"431", b"501"), answer[:200]
    assert app.get("/api/state")["api"] == 1


@pytest.mark.parametrize("data", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_a_client_that_says_nothing_or_half_a_request_is_left_alone(app: RunningApp, data: bytes) -> None:
    begun = time.monotonic()
    assert raw(app, data) == b""
    assert 0.3 < time.monotonic() - begun < 4.0


def test_a_body_that_never_comes_ends_the_connection(app: RunningApp) -> None:
    head = b"POST /api/settings HTTP/1.1\r\n" + host(app) + f"Origin: {app.base}\r\nCookie: {app.cookie}\r\n".encode()
    begun = time.monotonic()
    raw(app, head + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    assert time.monotonic() - begun < 4.0
    assert app.get("/api/state")["api"] == 1


def test_two_requests_in_one_body_are_two_requests(app: RunningApp) -> None:
    """A body is never taken for the next request, nor the next request for a body."""
    smuggled = b"GET /api/state HTTP/1.1\r\n" + host(app) + b"\r\n"
    answer = raw(app, b"GET / HTTP/1.1\r\n" + host(app) + b"Content-Length: %d\r\n\r\n" % len(smuggled) + smuggled)
    assert answer.count(b"HTTP/1.1 ") == 1


def test_more_connections_than_allowed_are_turned_away(app: RunningApp) -> None:
    wires = [socket.create_connection(("127.0.0.1", app.run.port)) for _ in range(40)]
    try:
        time.sleep(0.2)
        wires[-1].sendall(b"GET / HTTP/1.1\r\n" + host(app) + b"\r\n")
        wires[-1].settimeout(3)
        assert wires[-1].recv(100).startswith(b"HTTP/1.1 503")
    finally:
        for wire in wires:
            wire.close()
    time.sleep(0.2)
    assert app.get("/api/state")["api"] == 1


def test_only_this_machine_is_listened_to(app: RunningApp) -> None:
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for address in others:
        with pytest.raises(OSError):
            socket.create_connection((address, app.run.port), timeout=1)


@pytest.mark.parametrize("given", [{}, {"origin": "http://evil.example"}, {"cookie": "x=y"}])
def test_a_socket_of_events_needs_origin_and_cookie(app: RunningApp, given: dict[str, str]) -> None:
    origin = given.get("origin", app.base if "cookie" in given else None)
    cookie = {"cookie": given.get("cookie", app.cookie)}
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{app.run.port}/api/events", origin=origin, additional_headers=cookie)
    assert refused.value.response.status_code in (401, 403)


def test_there_is_one_socket_only(app: RunningApp) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://127.0.0.1:{app.run.port}/api/state", origin=app.base, additional_headers={"cookie": app.cookie})
    assert refused.value.response.status_code in (403, 404)


def test_the_first_event_is_the_state_and_a_ping_is_answered(app: RunningApp) -> None:
    with app.events() as page:
        assert next_event(page, lambda event: True)["type"] == "state"
        page.send('{"type":"ping"}')
        assert next_event(page, lambda event: event["type"] == "pong")
        page.send("[" * 10_000)
        page.send(b"\x00\xff" * 100)
        page.send('{"type":"ping"}')
        assert next_event(page, lambda event: event["type"] == "pong")


@pytest.mark.parametrize("size", [(256 << 10) + 1, 2 << 20])
def test_a_message_that_is_too_large_ends_the_socket(app: RunningApp, size: int) -> None:
    with app.events() as page, pytest.raises(ConnectionClosed) as closed:
        page.send("x" * size)
        while True:
            page.recv(timeout=5)
    assert closed.value.rcvd is not None and closed.value.rcvd.code == 1009
    assert app.get("/api/state")["api"] == 1


def test_settings_reach_the_other_page(app: RunningApp) -> None:
    with app.events() as page:
        app.post("/api/settings", theme="night")
        event = next_event(page, lambda event: event["type"] == "settings")
    assert event["settings"]["theme"] == "night"


@pytest.mark.parametrize("name", ["0.0.0.0", "192.168.1.2", "example.org", "::", ""])
def test_no_other_interface_is_served(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"ssh|machine"):
        serve_app(AppOptions((tmp_path,), tmp_path / "out", host=name), lambda run: None)


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UsageError, match="cannot be used"):
            serve_app(AppOptions((tmp_path,), tmp_path / "out", port=taken.getsockname()[1]), lambda run: None)


def test_a_root_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoUsableInput, match="no folder"):
        serve_app(AppOptions((tmp_path / "none",), tmp_path / "out"), lambda run: None)


@pytest.mark.parametrize("text", ["localhost", "localhost:", ":9000", "a b:9000", "http://x:1", "x:9000/"])
def test_an_allowed_host_is_a_name_and_a_port(text: str) -> None:
    with pytest.raises(UsageError):
        host_and_port(text)


def test_the_token_file_is_for_the_user_alone_and_goes(tmp_path: Path) -> None:
    path = tmp_path / "token"
    with RunningApp((tmp_path,), tmp_path / "out", FAKE, token_file=path) as running:
        assert path.read_text().strip() == running.token
        assert path.stat().st_mode & 0o777 == 0o600
    assert not path.exists()


def test_the_token_stands_in_no_log(app: RunningApp, capfd: Any) -> None:
    raw(app, b"POST /api/session HTTP/1.1\r\n" + host(app) + b"\r\n" + app.token.encode())
    told = capfd.readouterr()
    assert app.token not in told.out + told.err
