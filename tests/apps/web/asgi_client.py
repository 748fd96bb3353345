"""Requests to an ASGI app, byte for byte as they are meant: no client in between that tidies them up."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

HOST = "127.0.0.1:8765"
ORIGIN = f"http://{HOST}"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


Headers = list[tuple[str, str]]


def scope_of(kind: str, method: str, path: str, headers: Headers) -> dict[str, Any]:
    raw, _, query = path.encode("latin-1").partition(b"?")
    from urllib.parse import unquote

    return {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "ws" if kind == "websocket" else "http",
        "path": unquote(raw.decode("latin-1")),
        "raw_path": raw,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8765),
        "extensions": {"websocket.http.response": {}},
        "subprotocols": [],
        "state": {},
    }


async def ask(
    app: Any, method: str, path: str, headers: Headers, body: bytes = b"", *, kind: str = "http", piece: int = 1 << 16
) -> Answer:
    """Send one request and return the whole answer; a WebSocket that is accepted answers 101."""
    pieces = [body[at : at + piece] for at in range(0, len(body), piece)] or [b""]
    sent: list[dict[str, Any]] = []
    incoming = [{"type": "websocket.connect"}] if kind == "websocket" else []
    if kind == "http":
        incoming = [
            {"type": "http.request", "body": one, "more_body": k + 1 < len(pieces)} for k, one in enumerate(pieces)
        ]
    accepted = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop(0)
        if kind == "websocket":
            await accepted.wait()
            return {"type": "websocket.disconnect", "code": 1000}
        await asyncio.sleep(3600)
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "websocket.accept":
            accepted.set()

    await asyncio.wait_for(app(scope_of(kind, method, path, headers), receive, send), 20)
    if any(message["type"] == "websocket.accept" for message in sent):
        return Answer(101, {}, b"")
    starts = [message for message in sent if message["type"].endswith("response.start")]
    assert len(starts) == 1, sent
    headers_back = {name.decode().lower(): value.decode("latin-1") for name, value in starts[0]["headers"]}
    parts = b"".join(message.get("body", b"") for message in sent if message["type"].endswith("response.body"))
    return Answer(starts[0]["status"], headers_back, parts)
