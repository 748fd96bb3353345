"""Who may ask the app what: SAFETY.md, section 7.4, as tables of requests that are let through or refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from asgi_client import HOST, ORIGIN, Answer, Headers, ask

from skyquilt.apps.web.desk import Desk
from skyquilt.apps.web.gate import Gate
from skyquilt.apps.web.policy import Rules
from skyquilt.apps.web.project import Project
from skyquilt.apps.web.roots import Roots
from skyquilt.apps.web.routes import make_app
from skyquilt.apps.web.static_files import StaticFiles

RULES = Rules.for_port(8765)
COOKIE = "skyquilt_8765"
GATE = Gate(token="t" * 43, cookie="c" * 43)
GOOD: dict[str, str] = {"host": HOST, "origin": ORIGIN, "cookie": f"{COOKIE}={GATE.cookie}"}
JSON = {**GOOD, "content-type": "application/json"}
_LONG = "a" * 5000


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An app whose engine is never started: the policy looks before anything else does."""
    folder = tmp_path_factory.mktemp("policy")
    root, static = folder / "root", folder / "static"
    for one in (root, static / "assets"):
        one.mkdir(parents=True)
    (static / "index.html").write_text("<!doctype html>")
    (static / "assets" / "x-1.js").write_text("1")
    (folder / "secret.txt").write_text("secret")
    (static / "link.txt").symlink_to(folder / "secret.txt")
    with Project(folder / "out") as project:
        desk = Desk(Roots([root]), project, ("false",))
        yield make_app(desk, GATE, RULES, StaticFiles(static))


def headers(changes: dict[str, str | None], base: dict[str, str] = GOOD) -> Headers:
    return [(name, value) for name, value in {**base, **changes}.items() if value is not None]


def send(app: Any, method: str, path: str, given: Headers, body: bytes = b"", **more: Any) -> Answer:
    answer = asyncio.run(ask(app, method, path, given, body, **more))
    if answer.status != 101:
        is_safe(answer)
    return answer


def is_safe(answer: Answer) -> None:
    """Whatever the answer is: it has the headers of the policy, and none that lets another origin in."""
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors" in policy and "unsafe-eval" not in policy and "script-src" not in policy
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert "server" not in answer.headers
    assert GATE.token.encode() not in answer.body and GATE.cookie.encode() not in answer.body
    assert b"secret" not in answer.body


FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:8765",
    "127.0.0.1",
    "127.0.0.1:80",
    "127.0.0.1:87650",
    "localhost",
    "localhost:8766",
    "[::1]",
    "::1:8765",
    "[::ffff:127.0.0.1]:8765",
    "127.0.0.2:8765",
    "127.1:8765",
    "0.0.0.0:8765",
    "2130706433:8765",
    "0x7f000001:8765",
    "localhost.:8765",
    "localhost:8765.evil.example",
    "evil.example#127.0.0.1:8765",
    "user@127.0.0.1:8765",
    "127.0.0.1:8765 ",
    "127.0.0.1:8765, evil.example",
    "",
    None,
]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
@pytest.mark.parametrize("path", ["/", "/api/state", "/assets/x-1.js"])
def test_a_foreign_host_is_misdirected_before_anything_is_looked_at(app: Any, host: str | None, path: str) -> None:
    assert send(app, "GET", path, headers({"host": host})).status == 421


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_foreign_host_opens_no_socket(app: Any, host: str | None) -> None:
    assert send(app, "GET", "/api/events", headers({"host": host}), kind="websocket").status == 421


@pytest.mark.parametrize("host", [HOST, "localhost:8765", "[::1]:8765", "LocalHost:8765"])
def test_our_own_names_are_served(app: Any, host: str) -> None:
    given = headers({"host": host, "origin": None})
    assert send(app, "GET", "/", given).status == 200
    assert send(app, "GET", "/api/folders", given).status == 200


def test_a_host_that_was_allowed_is_served_and_is_an_origin() -> None:
    rules = Rules.for_port(8765, ["localhost:9000"])
    assert "http://localhost:9000" in rules.origins and "http://localhost:9001" not in rules.origins


FOREIGN_ORIGINS = [
    "http://evil.example",
    "https://127.0.0.1:8765",
    "http://127.0.0.1:8766",
    "http://127.0.0.1",
    "http://localhost",
    "http://127.0.0.1:8765.evil.example",
    "http://evil.example:8765",
    "null",
    "file://",
    "http://user@127.0.0.1:8765",
    "http://127.0.0.1:8765/",
    "http://127.0.0.1:8765, http://evil.example",
]
CHANGING = ["/api/session", "/api/run", "/api/settings", "/api/job/stop", "/api/finish/run", "/api/finish/chain/save"]


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
@pytest.mark.parametrize("path", CHANGING)
def test_a_foreign_origin_changes_nothing(app: Any, origin: str, path: str) -> None:
    body = json.dumps({"token": GATE.token}).encode()
    assert send(app, "POST", path, headers({"origin": origin}, JSON), body).status == 403


@pytest.mark.parametrize("origin", FOREIGN_ORIGINS)
def test_a_foreign_origin_reads_nothing_and_hears_nothing(app: Any, origin: str) -> None:
    assert send(app, "GET", "/api/state", headers({"origin": origin})).status == 403
    assert send(app, "GET", "/api/events", headers({"origin": origin}), kind="websocket").status == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765"])
def test_an_origin_that_equals_the_host_is_no_proof(app: Any, host: str) -> None:
    given = headers({"host": host, "origin": f"http://{host}"}, JSON)
    assert send(app, "POST", "/api/session", given, json.dumps({"token": GATE.token}).encode()).status == 421


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", "", "same-origin, cross-site", None])
@pytest.mark.parametrize("path", CHANGING)
def test_without_an_origin_only_same_origin_counts(app: Any, site: str | None, path: str) -> None:
    given = headers({"origin": None, "sec-fetch-site": site}, JSON)
    assert send(app, "POST", path, given, b"{}").status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none", None])
def test_a_socket_without_an_origin_is_refused(app: Any, site: str | None) -> None:
    given = headers({"origin": None, "sec-fetch-site": site})
    assert send(app, "GET", "/api/events", given, kind="websocket").status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_reads_nothing_even_without_an_origin(app: Any, site: str) -> None:
    given = headers({"origin": None, "sec-fetch-site": site})
    for path in ("/api/state", "/api/folders", "/report/abc", "/api/frame/f1/preview"):
        assert send(app, "GET", path, given).status == 403


def test_same_origin_by_the_browsers_word_is_let_through(app: Any) -> None:
    given = headers({"origin": None, "sec-fetch-site": "same-origin"}, JSON)
    assert send(app, "POST", "/api/settings", given, b'{"language": "en"}').status == 200
    assert send(app, "GET", "/api/events", given, kind="websocket").status == 101


WRONG_COOKIES = [
    None,
    "",
    COOKIE,
    f"{COOKIE}=",
    f"{COOKIE}={'c' * 42}",
    f"{COOKIE}={'c' * 44}",
    f"{COOKIE}={'C' * 43}",
    f"{COOKIE}={'t' * 43}",
    f"skyquilt_8766={'c' * 43}",
    f"skyquilt={'c' * 43}",
    f"{COOKIE}=é{'c' * 42}",
    f"a=b; {COOKIE}=wrong",
    "=;=;==",
]
GUARDED = [
    "/api/finish",
    "/api/state",
    "/api/folders",
    "/api/image/h1/tile/0/0/0",
    "/report/p1",
    "/api/saved/h1",
    "/api/no/such",
]


@pytest.mark.parametrize("cookie", WRONG_COOKIES)
def test_without_the_cookie_nothing_is_told(app: Any, cookie: str | None) -> None:
    for path in GUARDED:
        assert send(app, "GET", path, headers({"cookie": cookie})).status == 401
    assert send(app, "POST", "/api/run", headers({"cookie": cookie}, JSON), b"{}").status == 401
    assert send(app, "GET", "/api/events", headers({"cookie": cookie}), kind="websocket").status == 401


def test_the_page_itself_needs_no_cookie_and_tells_nothing(app: Any) -> None:
    answer = send(app, "GET", "/", headers({"cookie": None}))
    assert (answer.status, answer.body) == (200, b"<!doctype html>")


def test_two_headers_of_a_kind_that_decides_are_refused(app: Any) -> None:
    for name in ("host", "origin", "cookie"):
        given = [*headers({}), (name, GOOD[name])]
        assert send(app, "GET", "/api/state", given).status == 400


METHODS = ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "Post", "FOO", "", "G E T"]


@pytest.mark.parametrize("method", METHODS)
def test_other_methods_are_not_known(app: Any, method: str) -> None:
    answer = send(app, method, "/api/state", headers({}, JSON))
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST")


@pytest.mark.parametrize(
    "path",
    [
        "/api/run",
        "/api/job/stop",
        "/api/settings",
        "/api/open",
        "/api/image/h1/close",
        "/api/finish/run",
        "/api/finish/chain",
        "/api/finish/chain/save",
    ],
)
def test_reading_changes_nothing(app: Any, path: str) -> None:
    assert send(app, "GET", path, headers({})).status in (404, 405)
    assert send(app, "HEAD", path, headers({})).status in (404, 405)


@pytest.mark.parametrize("path", ["/api/state", "/api/folders", "/", "/api/job", "/report/p1", "/api/finish"])
def test_what_is_read_cannot_be_posted_to(app: Any, path: str) -> None:
    assert send(app, "POST", path, headers({}, JSON), b"{}").status == 405


TRAVERSALS = [
    "/../secret.txt",
    "/..",
    "/assets/../../secret.txt",
    "/assets/..%2f..%2fsecret.txt",
    "/%2e%2e/secret.txt",
    "/%2e%2e%2fsecret.txt",
    "/.%2e/secret.txt",
    "/%252e%252e%252fsecret.txt",
    "/..%5csecret.txt",
    "/..\\secret.txt",
    "/assets\\..\\..\\secret.txt",
    "/%c0%ae%c0%ae/secret.txt",
    "/%uff0e%uff0e/secret.txt",
    "/..;/secret.txt",
    "/....//secret.txt",
    "//secret.txt",
    "//evil.example/",
    "/./assets/x-1.js",
    "/assets//x-1.js",
    "/.git/config",
    "/assets/.hidden",
    "/etc/passwd",
    "/C:/Windows/win.ini",
    "/link.txt",
    "/assets/x-1.js/",
    "/assets",
    "/assets/x-1.js%00.html",
    "/\x00",
    "/api/image/..%2f..%2fetc%2fpasswd",
    "/api/image/../state",
    "/api/folders?folder=../../etc",
    "/api/folders?folder=..%2f..%2fetc",
    "/api/folders?folder=/etc",
    "/api/frame/..%2f..%2fsecret.txt/preview",
    "/api/frame/f%00/preview",
    "/report/..%2f..%2fsecret.txt",
    "/report/p1/../../secret.txt",
    "/api/saved/..",
    "/api/report/%2e%2e",
    "/api/image/h/tile/0/0/..",
    "/api/image/h/tile/-1/0/0",
    "/api/image/h/overlay/..",
    "/\u00e9",
    "/%",
    "/%zz",
    "/api/state;x=1",
    "/api/state#x",
    "/api/ state",
    "/API/state",
    "/api/state/",
    "*",
    "http://evil.example/",
    "",
]


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_address_leads_out(app: Any, path: str) -> None:
    answer = send(app, "GET", path, headers({}))
    assert answer.status in (400, 404, 307), answer
    assert answer.status != 307 or answer.headers["location"].startswith(ORIGIN), answer


@pytest.mark.parametrize("path", ["/" + _LONG, "/api/state?x=" + _LONG, "/api/" + "a/" * 2000, "/?" + "&" * 2000])
def test_long_addresses_are_refused(app: Any, path: str) -> None:
    assert send(app, "GET", path, headers({})).status == 414


CONTENT_TYPES = [
    None,
    "",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json; charset=latin-1",
    "application/jsonp",
    "application/json, text/plain",
    "text/json",
    "application/json;",
    "application/xml",
    "application/json\x00",
]


@pytest.mark.parametrize("kind", CONTENT_TYPES)
def test_a_body_is_json_or_nothing(app: Any, kind: str | None) -> None:
    assert send(app, "POST", "/api/settings", headers({"content-type": kind}, JSON), b"{}").status == 415


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"']
)
def test_json_is_taken(app: Any, kind: str) -> None:
    assert send(app, "POST", "/api/settings", headers({"content-type": kind}, JSON), b"{}").status == 200


@pytest.mark.parametrize("packing", ["gzip", "br", "deflate", "identity, gzip"])
def test_a_packed_body_is_refused(app: Any, packing: str) -> None:
    given = headers({"content-encoding": packing}, JSON)
    assert send(app, "POST", "/api/settings", given, b"{}").status == 415


@pytest.mark.parametrize(
    ("length", "status"),
    [("1048577", 413), ("99999999999999999999999", 413), ("-1", 400), ("1e3", 400), ("0x10", 400), ("1_0", 400)],
)
def test_an_announced_length_is_believed_where_it_is_too_large(app: Any, length: str, status: int) -> None:
    assert send(app, "POST", "/api/settings", headers({"content-length": length}, JSON), b"{}").status == status


@pytest.mark.parametrize("size", [(1 << 20) + 1, 3 << 20])
def test_a_body_is_counted_whatever_it_announces(app: Any, size: int) -> None:
    body = b'{"language": "' + b"e" * size + b'"}'
    assert send(app, "POST", "/api/settings", headers({}, JSON), body).status == 413


BODIES = [
    b"",
    b"null",
    b"[]",
    b"1",
    b'"x"',
    b"{",
    b"{}{}",
    b"{'a': 1}",
    b"\xff\xfe{\x00}\x00",
    b'{"language": NaN}',
    b'{"language": Infinity}',
    b'{"language": "en", "language": "fr"}',
    b'{"language": "\xff"}',
    b'{"language": "de"}',
    b'{"language": 1}',
    b'{"unknown": 1}',
    b'{"__proto__": {}}',
    b'{"view": []}',
    b'{"view": {"a": ' + b"[" * 60 + b"]" * 60 + b"}}",
    b"[" * 100_000,
    b'{"view": {"a": "' + b"x" * 70_000 + b'"}}',
    b'{"preset": "' + b"x" * 200 + b'"}',
    b"{" + b'"a":{' * 5000 + b"}" * 5001,
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_body_that_cannot_be_meant_gets_a_sentence(app: Any, body: bytes) -> None:
    answer = send(app, "POST", "/api/settings", headers({}, JSON), body)
    assert answer.status == 400
    assert answer.json()["error"]["message"]


WRONG_REQUESTS = [
    ("/api/open", {}),
    ("/api/open", {"folder": "/etc"}),
    ("/api/open", {"folder": "../.."}),
    ("/api/open", {"folder": "x" * 65}),
    ("/api/open", {"folder": "unknown"}),
    ("/api/open", {"folders": ["unknown"] * 51}),
    ("/api/frames/choice", {"exclude": ["unknown"]}),
    ("/api/frames/choice", {"exclude": "all"}),
    ("/api/image", {}),
    ("/api/image", {"product": "p", "frame": "f"}),
    ("/api/image", {"product": "unknown"}),
    ("/api/image", {"frame": "unknown"}),
    ("/api/image", {"live": True}),
    ("/api/image", {"path": "/etc/passwd"}),
    ("/api/image/unknown/save", {"format": "png", "name": "x"}),
    ("/api/image/unknown/save", {"format": "png", "name": "../x"}),
    ("/api/image/unknown/save", {"format": "exe", "name": "x"}),
    ("/api/run", {"kind": "delete"}),
    ("/api/run", {"settings": {"keep": 2}}),
    ("/api/run", {"preset": "../../x.toml"}),
    ("/api/run", {"out": "/etc"}),
    ("/api/job/continue", {}),
    ("/api/job/stop", {}),
    ("/api/job/stop", {"now": True}),
    ("/api/task/t99/cancel", {}),
    ("/api/finish/run", {}),
    ("/api/finish/run", {"product": "unknown", "steps": []}),
    ("/api/finish/run", {"product": "../x", "steps": []}),
    ("/api/finish/run", {"path": "/etc/passwd", "steps": []}),
    ("/api/finish/run", {"product": "p", "steps": [{}]}),
    ("/api/finish/run", {"product": "p", "steps": [{"operation": "delete"}]}),
    ("/api/finish/run", {"product": "p", "steps": [{"operation": "gradient", "order": 9}]}),
    ("/api/finish/run", {"product": "p", "steps": [{"operation": "gradient", "unknown": 1}]}),
    ("/api/finish/run", {"product": "p", "steps": [{"operation": "scnr"}] * 101}),
    ("/api/finish/run", {"product": "p", "steps": [{"operation": "lrgb", "luminance": "/etc/passwd"}]}),
    ("/api/finish/run", {"product": "p", "steps": [], "name": "../x"}),
    ("/api/finish/run", {"product": "p", "steps": [], "formats": ["exe"]}),
    ("/api/finish/chain", {"kept": "unknown"}),
    ("/api/finish/chain", {"kept": "../../x"}),
    ("/api/finish/chain", {"text": "steps = 1"}),
    ("/api/finish/chain", {"text": "[[steps"}),
    ("/api/finish/chain", {"text": "[]", "format": "json"}),
    ("/api/finish/chain", {"text": '[[steps]]\noperation = "delete"'}),
    ("/api/finish/chain", {"text": '[[steps]]\noperation = "lrgb"\nluminance = "/etc/passwd"'}),
    ("/api/finish/chain/save", {"name": "x"}),
    ("/api/finish/chain/save", {"name": "../x", "steps": []}),
    ("/api/finish/chain/save", {"name": "x", "steps": [{"operation": "delete"}]}),
]


@pytest.mark.parametrize(("path", "body"), WRONG_REQUESTS, ids=range(len(WRONG_REQUESTS)))
def test_a_request_that_cannot_be_meant_gets_a_sentence(app: Any, path: str, body: dict[str, Any]) -> None:
    answer = send(app, "POST", path, headers({}, JSON), json.dumps(body).encode())
    assert answer.status in (400, 404, 409)
    assert answer.json()["error"]["message"]


QUERIES = [
    "/api/log?after=-1",
    "/api/log?after=x",
    "/api/log?after=999999999999999",
    "/api/frame/f1/preview?size=1",
    "/api/frame/f1/preview?size=100000",
    "/api/frame/f1/preview?size=1e3",
    "/api/image/h1/pixel?x=nan&y=1",
    "/api/image/h1/tile/a/0/0",
    "/api/image/h1/tile/0/0/99999999999999",
    "/api/image/h1/tile/1e1/0/0",
    "/api/task/unknown",
    "/api/saved/unknown",
    "/report/unknown",
    "/api/report/unknown",
    "/api/folders?folder=unknown",
]


@pytest.mark.parametrize("path", QUERIES)
def test_a_question_that_cannot_be_meant_gets_a_sentence(app: Any, path: str) -> None:
    answer = send(app, "GET", path, headers({}))
    assert answer.status in (400, 404)
    assert answer.json()["error"]["message"]


def test_the_token_is_exchanged_for_a_strict_cookie(app: Any) -> None:
    given = headers({"cookie": None}, JSON)
    answer = asyncio.run(ask(app, "POST", "/api/session", given, json.dumps({"token": GATE.token}).encode()))
    assert answer.status == 204
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}={GATE.cookie};")
    assert {part.strip().lower() for part in cookie.split(";")[1:]} == {"httponly", "path=/", "samesite=strict"}


@pytest.mark.parametrize("token", ["", "t", "t" * 42, "t" * 44, "T" * 43, "c" * 43, "é" * 43])
def test_a_wrong_token_is_refused(app: Any, token: str) -> None:
    gate = Gate(token="t" * 43)
    assert not gate.try_token(token).is_right


def test_ten_wrong_tries_lock_the_gate_for_a_minute() -> None:
    now = [0.0]
    gate = Gate(clock=lambda: now[0])
    for _ in range(9):
        assert gate.try_token("wrong").locked_s == 0.0
    assert gate.try_token("wrong").locked_s == 60.0
    assert not gate.try_token(gate.token).is_right
    now[0] = 59.9
    assert not gate.try_token(gate.token).is_right
    now[0] = 60.1
    assert gate.try_token(gate.token).is_right


def test_the_lock_is_told(tmp_path: Path) -> None:
    gate = Gate()
    with Project(tmp_path / "out") as project:
        app = make_app(Desk(Roots([tmp_path]), project, ("false",)), gate, RULES, StaticFiles(tmp_path / "none"))
        statuses = [
            send(app, "POST", "/api/session", headers({"cookie": None}, JSON), b'{"token": "wrong"}').status
            for _ in range(11)
        ]
    assert statuses == [403] * 9 + [429] * 2


@pytest.mark.long
def test_requests_at_random_are_refused_or_answered_in_json(app: Any) -> None:
    """5,000 requests put together from good and bad parts: none gets further than its worst part allows."""
    random = Random(20261130)
    paths = [*TRAVERSALS, *GUARDED, *QUERIES, *CHANGING, "/", "/api/folders", "/api/recipe", "/api/frames/choice"]
    for _ in range(5000):
        choice = {
            "host": random.choice([HOST, HOST, HOST, *FOREIGN_HOSTS]),
            "origin": random.choice([ORIGIN, ORIGIN, ORIGIN, None, *FOREIGN_ORIGINS]),
            "cookie": random.choice([GOOD["cookie"], GOOD["cookie"], *WRONG_COOKIES]),
            "content-type": random.choice(["application/json", "application/json", *CONTENT_TYPES]),
        }
        method = random.choice(["GET", "GET", "POST", "POST", *METHODS])
        path = random.choice(paths)
        body = random.choice([b"{}", *BODIES]) if method == "POST" else b""
        answer = send(app, method, path, headers(choice), body)
        is_ours = str(choice["host"]).lower() == HOST and choice["origin"] in (ORIGIN, None)
        if not is_ours or method not in ("GET", "POST"):
            assert answer.status in (403, 404, 405, 414, 421)
        elif path.startswith(("/api/", "/report/")) and choice["cookie"] != GOOD["cookie"] and path != "/api/session":
            assert answer.status in (401, 403, 404)
        assert answer.status < 500, (method, path, choice, answer)


def test_tokens_are_random_and_of_256_bits() -> None:
    tokens = {Gate().token for _ in range(100)} | {Gate().cookie for _ in range(100)}
    assert len(tokens) == 200 and all(len(token) == 43 for token in tokens)


def test_a_page_that_is_not_built_says_so_in_a_sentence(tmp_path: Path) -> None:
    files = StaticFiles(tmp_path / "none")
    page = files.find("")
    assert page is not None and b"make viewer" in page.content and not files.is_built
