"""What every request must be before anything looks at it (SAFETY.md, 7.4): the outermost layer of the app."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

from skyquilt.apps.web.gate import Gate

__all__ = ["APP_POLICY", "REPORT_POLICY", "Policy", "Rules"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

APP_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
REPORT_POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'self'"

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_READING = ("GET", "HEAD")
_METHODS = (*_READING, "POST")
_PATH = re.compile(rb"/(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*/?)?")
_QUERY = re.compile(rb"[A-Za-z0-9_.=&+-]*")
_LONGEST_PATH, _LONGEST_QUERY = 512, 1024
_ENTRANCE = "/api/session"
_GUARDED = ("/api/", "/report/")
_JSON = re.compile(r'application/json(?:\s*;\s*charset="?utf-8"?)?', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rules:
    """
    What the policy lets through.

    Attributes
    ----------
    hosts : frozenset of str
        Values of the Host header, lower case, with port.
    cookie_name : str
    max_body_bytes : int
    time_limit_s : float
        For a request; a WebSocket and a download have none.
    """

    hosts: frozenset[str]
    cookie_name: str
    max_body_bytes: int = 1 << 20
    time_limit_s: float = 30.0

    @property
    def origins(self) -> frozenset[str]:
        """The origins from which pages may ask: those of the hosts, never what a request says of itself."""
        return frozenset(f"http://{host}" for host in self.hosts)

    @classmethod
    def for_port(cls, port: int, more_hosts: Iterable[str] = ()) -> Rules:
        """Return the rules of a server on the loopback interface, and further names under which it is reached."""
        names = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        return cls(frozenset(names | {host.lower() for host in more_hosts}), f"skyquilt_{port}")


class _Refused(Exception):
    """A request that is not let through: status, sentence, and what to do."""

    def __init__(self, status: int, message: str, hint: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()):
        super().__init__(message)
        self.status, self.message, self.hint, self.headers = status, message, hint, headers


class _TooMuch(Exception):
    """More body than is taken."""


class Policy:
    """
    An ASGI application around another one.

    Parameters
    ----------
    app : ASGI application
    gate : Gate
    rules : Rules
    """

    def __init__(self, app: App, gate: Gate, rules: Rules) -> None:
        self._app = app
        self._gate = gate
        self._rules = rules

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            self._check(scope)
        except _Refused as refusal:
            await _refuse(scope, receive, send, refusal)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        await self._answer(scope, receive, send)

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        """Let the app answer, within limits of size and time."""
        state = _Answer(send)
        limit = None if scope["path"].startswith("/api/saved/") else self._rules.time_limit_s
        try:
            async with asyncio.timeout(limit):
                await self._app(scope, _limited(receive, self._rules.max_body_bytes, state), state.send)
        except _TooMuch:
            await state.refuse(scope, receive, _too_large(self._rules))
        except TimeoutError:
            if state.has_begun:
                raise
            await state.refuse(scope, receive, _Refused(504, "the answer took too long", "try again"))

    def _check(self, scope: Message) -> None:
        """Raise `_Refused` if a request is not let through; the order is that of SAFETY.md."""
        headers = _Headers(scope)
        is_socket = scope["type"] == "websocket"
        method = "GET" if is_socket else scope["method"]
        if headers.one("host").lower() not in self._rules.hosts:
            raise _Refused(421, "this address is not served here", "open the address that skyquilt app printed")
        if method not in _METHODS:
            raise _Refused(405, f"{method[:20]} is not a method here", headers=((b"allow", b"GET, HEAD, POST"),))
        self._check_address(scope)
        self._check_origin(scope, headers, is_changing=is_socket or method not in _READING)
        path = scope["path"]
        is_entrance = path == _ENTRANCE and method == "POST"
        if path.startswith(_GUARDED) and not is_entrance and not self._gate.knows(self._cookie_of(headers)):
            raise _Refused(401, "the token is missing", "open the address that skyquilt app printed")
        if method == "POST":
            self._check_body(headers)

    def _check_address(self, scope: Message) -> None:
        """Ids and the names of our own files need no more than letters, digits, dots and dashes: nothing is escaped."""
        path, query = scope.get("raw_path") or scope["path"].encode("utf-8"), scope.get("query_string", b"")
        path = path.partition(b"?")[0]
        if len(path) > _LONGEST_PATH or len(query) > _LONGEST_QUERY:
            raise _Refused(414, "the address is too long")
        if not _PATH.fullmatch(path) or b".." in path or not _QUERY.fullmatch(query):
            raise _Refused(404, "there is nothing at this address")

    def _check_origin(self, scope: Message, headers: _Headers, *, is_changing: bool) -> None:
        """A page of another origin may neither change nor read anything."""
        origin, site = headers.one("origin"), headers.one("sec-fetch-site")
        if origin and origin.lower() not in self._rules.origins:
            raise _Refused(403, "pages of other origins have no access")
        if site and site not in ("same-origin", "none") and scope["path"].startswith(_GUARDED):
            raise _Refused(403, "pages of other origins have no access")
        if is_changing and not origin and site != "same-origin":
            raise _Refused(403, "the request does not tell its origin")

    def _check_body(self, headers: _Headers) -> None:
        if not _JSON.fullmatch(headers.one("content-type").strip()):
            raise _Refused(415, "a JSON body is expected", "send Content-Type: application/json")
        if headers.one("content-encoding"):
            raise _Refused(415, "the body may not be packed", "leave Content-Encoding out")
        length = headers.one("content-length")
        if length and not (length.isascii() and length.isdigit()):
            raise _Refused(400, "Content-Length is no number")
        if length and int(length[:20]) > self._rules.max_body_bytes:
            raise _too_large(self._rules)

    def _cookie_of(self, headers: _Headers) -> str:
        """Return our cookie, or ""."""
        try:
            found = SimpleCookie(headers.one("cookie")).get(self._rules.cookie_name)
        except CookieError:
            return ""
        return found.value if found else ""


class _Headers:
    """The headers of a request; one that comes twice is as if it said nothing that is allowed."""

    def __init__(self, scope: Message) -> None:
        self._found: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            self._found.setdefault(name.lower(), []).append(value)

    def one(self, name: str) -> str:
        """Return a header as text, "" where it is missing; raises `_Refused` where it is there more than once."""
        values = self._found.get(name.encode("ascii"), [])
        if len(values) > 1:
            raise _Refused(400, f"the header {name} is there more than once")
        return values[0].decode("latin-1") if values else ""


class _Answer:
    """Sends the answer of the app with the headers that every answer has."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False
        self.is_cut = False

    async def send(self, message: Message) -> None:
        if self.is_cut:  # what the app makes of a body that was not read to its end is not told
            return
        if message["type"] == "http.response.start":
            self.has_begun = True
            message = {**message, "headers": _with_ours(message.get("headers", []))}
        await self._send(message)

    async def refuse(self, scope: Message, receive: Receive, refusal: _Refused) -> None:
        if not self.has_begun:
            await _refuse(scope, receive, self._send, refusal)


def _with_ours(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return headers with those of the policy; a report brings a stricter policy of its own."""
    theirs = list(headers)
    named = {name.lower() for name, _ in theirs}
    ours = [*_HEADERS, (b"content-security-policy", APP_POLICY.encode("ascii"))]
    if b"cache-control" not in named:
        ours.append((b"cache-control", b"no-store"))
    return [*theirs, *(pair for pair in ours if pair[0] not in named)]


def _limited(receive: Receive, limit: int, state: _Answer) -> Receive:
    """Return a `receive` that ends the request when its body is too large."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > limit:
                state.is_cut = not state.has_begun
                raise _TooMuch
        return message

    return limited


def _too_large(rules: Rules) -> _Refused:
    return _Refused(413, f"the body is larger than {rules.max_body_bytes:,} bytes")


async def _refuse(scope: Message, receive: Receive, send: Send, refusal: _Refused) -> None:
    """Answer with a sentence and end the connection: what else it holds is not read."""
    body = json.dumps({"error": {"message": refusal.message, "hint": refusal.hint}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode("ascii"))]
    headers += refusal.headers
    kind = "http"
    if scope["type"] == "websocket":
        await receive()
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": 4401 if refusal.status == 401 else 4403})
            return
        kind = "websocket.http"
    headers.append((b"connection", b"close"))
    await send({"type": f"{kind}.response.start", "status": refusal.status, "headers": _with_ours(headers)})
    await send({"type": f"{kind}.response.body", "body": body if scope.get("method") != "HEAD" else b""})
