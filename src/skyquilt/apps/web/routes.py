"""From an address to what stands behind it: one function a route (docs/reference/app-api.md)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from skyquilt.apps.web import bodies
from skyquilt.apps.web.child import EngineGone
from skyquilt.apps.web.desk import Desk
from skyquilt.apps.web.gate import Gate
from skyquilt.apps.web.hub import Listening, event_text
from skyquilt.apps.web.job import NotNow
from skyquilt.apps.web.policy import REPORT_POLICY, Policy, Rules
from skyquilt.apps.web.static_files import StaticFiles
from skyquilt.errors import NotEnoughDisk, OutputBlocked, SkyquiltError, UsageError

__all__ = ["make_app"]

_BEHIND_S = 10.0
_DOWNLOAD_S = 30.0
_GAUGES_EVERY_S = 2.0
_CHUNK = 1 << 18
_IMMUTABLE = "private, max-age=31536000, immutable"
_MOST_SIZE = 1280
_LEAST_SIZE = 64
_TYPES = {
    ".toml": "application/toml",
    ".fits": "application/fits",
    ".tif": "image/tiff",
    ".png": "image/png",
    ".jpg": "image/jpeg",
}
_LARGEST_LEVEL = 40
_LARGEST_PLACE = 1e9

Answer = Callable[[Request], Awaitable[Response]]


def make_app(desk: Desk, gate: Gate, rules: Rules, files: StaticFiles) -> ASGIApp:
    """
    Return the app with the policy around it.

    Parameters
    ----------
    desk : Desk
        Started and stopped with the app.
    gate : Gate
    rules : Rules
    files : StaticFiles
    """
    routes = _Routes(desk, gate, rules, files)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await desk.start()
        gauges = asyncio.create_task(routes.tell_gauges(), name="gauges")
        yield
        gauges.cancel()
        await desk.stop()

    return Policy(Starlette(routes=routes.table(), lifespan=lifespan), gate, rules)


class _Routes:
    """Every route of the app."""

    def __init__(self, desk: Desk, gate: Gate, rules: Rules, files: StaticFiles) -> None:
        self._desk, self._gate, self._rules, self._files = desk, gate, rules, files

    def table(self) -> list[BaseRoute]:
        """Return the routes; what is not in it is not there."""
        get, post = self._reading, self._changing
        return [
            WebSocketRoute("/api/events", self._events),
            Route("/api/session", _told(self._enter), methods=["POST"]),
            get("/api/state", self._state),
            get("/api/folders", self._folders),
            post("/api/open", self._open),
            get("/api/task/{id}", self._task),
            post("/api/task/{id}/cancel", self._cancel),
            get("/api/frames", self._frames),
            post("/api/frames", self._list),
            post("/api/frames/choice", self._choice),
            get("/api/frame/{id}/preview", self._preview),
            get("/api/recipe", self._recipe),
            post("/api/plan", self._plan),
            post("/api/run", self._run),
            get("/api/job", self._job),
            post("/api/watch", self._watch),
            get("/api/live", self._live),
            post("/api/live/choice", self._choose_live),
            post("/api/live/finish", self._finish_live),
            post("/api/job/stop", self._stop),
            post("/api/job/continue", self._continue),
            get("/api/log", self._log),
            get("/api/gauges", self._gauges),
            get("/api/products", self._products),
            post("/api/image", self._open_image),
            get("/api/image/{id}", self._image),
            post("/api/image/{id}/close", self._close_image),
            get("/api/image/{id}/tile/{level}/{x}/{y}", self._tile),
            get("/api/image/{id}/histogram", self._histogram),
            get("/api/image/{id}/pixel", self._pixel),
            get("/api/image/{id}/overlay/{kind}", self._overlay),
            post("/api/image/{id}/save", self._save),
            get("/api/saved/{id}", self._saved),
            get("/api/finish", self._finish),
            post("/api/finish/run", self._finish_run),
            post("/api/finish/chain", self._chain),
            post("/api/finish/chain/save", self._save_chain),
            get("/api/sky", self._sky),
            get("/api/report/{id}", self._report_facts),
            get("/report/{id}", self._report),
            post("/api/settings", self._settings),
            get("/{name:path}", self._static),
        ]

    def _reading(self, path: str, answer: Answer) -> Route:
        return Route(path, _told(answer), methods=["GET"])

    def _changing(self, path: str, answer: Answer) -> Route:
        return Route(path, _told(answer), methods=["POST"])

    async def tell_gauges(self) -> None:
        """Tell the pages how full memory and disk are while a job runs."""
        while True:
            await asyncio.sleep(_GAUGES_EVERY_S)
            job = self._desk.jobs.job
            if job is not None and job.is_running:
                gauges = await asyncio.to_thread(self._desk.gauges)
                self._desk.hub.publish("gauges", **gauges)
                self._desk.jobs.tell(job, is_urgent=False)

    # getting in, state

    async def _enter(self, request: Request) -> Response:
        tried = self._gate.try_token((await _body(request, bodies.Token)).token)
        if tried.locked_s:
            wait = str(int(tried.locked_s) + 1)
            return _error(429, "too many wrong tokens", f"wait for {wait} s", {"retry-after": wait})
        if not tried.is_right:
            return _error(403, "the token is wrong", "open the address that skyquilt app printed")
        answer = Response(status_code=204)
        answer.set_cookie(self._rules.cookie_name, self._gate.cookie, path="/", httponly=True, samesite="strict")
        return answer

    async def _state(self, request: Request) -> Response:
        return _json(await asyncio.to_thread(self._desk.state))

    async def _settings(self, request: Request) -> Response:
        part = await _body(request, bodies.SettingsPart)
        return _json(self._desk.change_settings(part).model_dump(mode="json"))

    # tasks, folders, frames

    async def _task(self, request: Request) -> Response:
        return _json(self._desk.tasks.get(_id(request)).as_json())

    async def _cancel(self, request: Request) -> Response:
        await _body(request, bodies.Nothing)
        task = self._desk.tasks.get(_id(request))
        if task.state != "running" or task.cancel is None:
            raise NotNow("this task cannot be stopped", "it has ended, or is about to")
        await task.cancel()
        return _json(task.as_json())

    async def _folders(self, request: Request) -> Response:
        folder = request.query_params.get("folder")
        return _json(await asyncio.to_thread(self._desk.roots.listing, folder))

    async def _open(self, request: Request) -> Response:
        ids = (await _body(request, bodies.Open)).ids
        if not ids:
            raise UsageError("no folder is given", "give folder, or folders")
        folders = list(dict.fromkeys(self._desk.roots.path(one) for one in ids))
        return _started(self._desk.begin_open(folders))

    async def _frames(self, request: Request) -> Response:
        return _json(self._desk.frames.as_json())

    async def _list(self, request: Request) -> Response:
        return _started(self._desk.begin_listing(is_scored=(await _body(request, bodies.Scored)).scored))

    async def _choice(self, request: Request) -> Response:
        choice = await _body(request, bodies.Choice)
        return _json(self._desk.choose(choice.exclude, [*choice.include, *choice.clear]))

    async def _preview(self, request: Request) -> Response:
        size = _whole(request, "size", 640)
        like = request.query_params.get("like")
        if not _LEAST_SIZE <= size <= _MOST_SIZE:
            raise UsageError(f"a preview has {_LEAST_SIZE} to {_MOST_SIZE} px", "")
        content = await self._desk.frames.preview(_id(request), size, like)
        return Response(content, media_type="image/jpeg", headers={"cache-control": _IMMUTABLE})

    # the run

    async def _recipe(self, request: Request) -> Response:
        return _json(self._desk.recipes())

    async def _plan(self, request: Request) -> Response:
        return _started(self._desk.begin_plan(await _body(request, bodies.Run)))

    async def _run(self, request: Request) -> Response:
        self._desk.begin_run(await _body(request, bodies.Run))
        return _json({"job": self._desk.jobs.as_json()}, 202)

    async def _job(self, request: Request) -> Response:
        return _json({"job": self._desk.jobs.as_json()})

    async def _watch(self, request: Request) -> Response:
        self._desk.begin_watch(await _body(request, bodies.Watch))
        return _json({"job": self._desk.jobs.as_json()}, 202)

    async def _live(self, request: Request) -> Response:
        return _json(self._desk.live.as_json())

    async def _choose_live(self, request: Request) -> Response:
        return _json(await self._desk.choose_live(await _body(request, bodies.LiveChoice)))

    async def _finish_live(self, request: Request) -> Response:
        await _body(request, bodies.Nothing)
        await self._desk.jobs.adjust(finish=True)
        return _json({"job": self._desk.jobs.as_json()}, 202)

    async def _stop(self, request: Request) -> Response:
        await _body(request, bodies.Nothing)
        await self._desk.jobs.stop()
        return _json({"job": self._desk.jobs.as_json()})

    async def _continue(self, request: Request) -> Response:
        await _body(request, bodies.Nothing)
        self._desk.jobs.go_on()
        return _json({"job": self._desk.jobs.as_json()}, 202)

    async def _log(self, request: Request) -> Response:
        return _json(self._desk.log.after(_whole(request, "after", 0)))

    async def _gauges(self, request: Request) -> Response:
        return _json(await asyncio.to_thread(self._desk.gauges))

    # products and images

    async def _products(self, request: Request) -> Response:
        return _json(await asyncio.to_thread(self._desk.products.as_json))

    async def _open_image(self, request: Request) -> Response:
        image = await self._desk.open_image(await _body(request, bodies.OpenImage))
        return _json(await image.describe())

    async def _image(self, request: Request) -> Response:
        return _json(await self._desk.images.get(_id(request)).describe())

    async def _close_image(self, request: Request) -> Response:
        await _body(request, bodies.Nothing)
        await self._desk.images.close(_id(request))
        return Response(status_code=204)

    async def _tile(self, request: Request) -> Response:
        image = self._desk.images.get(_id(request))
        level, x, y = (_number(request.path_params[name], 100_000) for name in ("level", "x", "y"))
        is_exact = request.query_params.get("exact") == "1"
        if level > _LARGEST_LEVEL:
            return _error(404, "there is no such tile")
        async with self._desk.images.decodes:
            found = await image.tile(level, x, y, is_exact=is_exact)
        if found is None:
            return _error(404, "there is no such tile")
        content, is_rough = found
        etag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
        headers = {"etag": etag, "cache-control": "no-store" if is_rough else _IMMUTABLE}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type="application/octet-stream", headers=headers)

    async def _histogram(self, request: Request) -> Response:
        channels, is_sampled = await self._desk.images.get(_id(request)).histogram()
        return _json({"channels": channels, "is_sampled": is_sampled})

    async def _pixel(self, request: Request) -> Response:
        image = self._desk.images.get(_id(request))
        return _json(await image.pixel(_fraction(request, "x"), _fraction(request, "y")))

    async def _overlay(self, request: Request) -> Response:
        image = self._desk.images.get(_id(request))
        overlay = await self._desk.overlay(image, request.path_params["kind"])
        return _json({"lines": overlay.lines, "marks": overlay.marks})

    async def _save(self, request: Request) -> Response:
        asked = await _body(request, bodies.Save)
        image = self._desk.images.get(_id(request))
        return _started(self._desk.begin_save(image, asked))

    async def _saved(self, request: Request) -> Response:
        path = self._desk.saved(_id(request))
        return _Download(path)

    # finish

    async def _finish(self, request: Request) -> Response:
        return _json(await asyncio.to_thread(self._desk.finishing.as_json))

    async def _finish_run(self, request: Request) -> Response:
        return _started(self._desk.finishing.begin(await _body(request, bodies.FinishRun)))

    async def _chain(self, request: Request) -> Response:
        return _json(self._desk.finishing.read_chain(await _body(request, bodies.ChainText)))

    async def _save_chain(self, request: Request) -> Response:
        return _json(self._desk.save_chain(await _body(request, bodies.ChainSave)))

    # sky and report

    async def _sky(self, request: Request) -> Response:
        desk = self._desk
        return _json(await asyncio.to_thread(desk.products.sky, desk.frames.id_of_file, desk.frames_size()))

    async def _report(self, request: Request) -> Response:
        language = request.query_params.get("language")
        content = await asyncio.to_thread(self._desk.products.report_page, _id(request), language)
        theme = request.query_params.get("theme")
        if theme in ("dark", "light"):  # otherwise as the system of the reader asks
            content = content.replace(b"<html ", b'<html data-theme="%s" ' % theme.encode(), 1)
        headers = {"content-security-policy": REPORT_POLICY}
        return Response(content, media_type="text/html", headers=headers)

    async def _report_facts(self, request: Request) -> Response:
        path = await asyncio.to_thread(self._desk.products.report, _id(request), ".json")
        return Response(await asyncio.to_thread(path.read_bytes), media_type="application/json")

    async def _static(self, request: Request) -> Response:
        file = self._files.find(request.path_params["name"])
        if file is None:
            return _error(404, "there is nothing at this address")
        headers = {"etag": file.etag, "cache-control": _IMMUTABLE if file.is_immutable else "no-cache"}
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        return Response(file.content, headers={**headers, "content-type": file.media_type})

    # events

    async def _events(self, socket: WebSocket) -> None:
        """Send a page the state, then what happens, until it goes or falls behind."""
        await socket.accept()
        if self._desk.hub.is_full:
            await socket.close(1013)
            return
        page = self._desk.hub.join()
        page.put(event_text("state", {"state": await asyncio.to_thread(self._desk.state)}))
        tasks = [
            asyncio.create_task(_send_all(socket, page)),
            asyncio.create_task(_hear(socket, page)),
            asyncio.create_task(page.is_behind.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._desk.hub.leave(page)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if page.is_behind.is_set() or tasks[0] in done:
            with contextlib.suppress(RuntimeError, OSError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await socket.close(4408)


async def _send_all(socket: WebSocket, page: Listening) -> None:
    """Send what waits for a page; ends when the page does not take it in time."""
    with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError, OSError):
        while True:
            text = await page.next()
            # not `wait_for`, which in Python 3.11 forgets that it was cancelled when the text has just been sent
            async with asyncio.timeout(_BEHIND_S):
                await socket.send_text(text)


async def _hear(socket: WebSocket, page: Listening) -> None:
    """Listen to a page, which has next to nothing to say; ends when it goes."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text") or ""
        if '"ping"' in text[:100]:
            page.put(event_text("pong", {}))


def _told(answer: Answer) -> Answer:
    """Return a route whose errors are answers: a sentence and what to do."""

    async def told(request: Request) -> Response:
        try:
            return await answer(request)
        except ClientDisconnect:
            return Response(status_code=400)
        except NotNow as error:
            return _error(409, error.message, error.hint)
        except EngineGone as error:
            return _error(503, error.message, error.hint, {"retry-after": "1"})
        except (OutputBlocked, NotEnoughDisk) as error:
            return _error(409, error.message, error.hint)
        except UsageError as error:
            is_lost = error.message.startswith(("there is no such", "this image is not open"))
            return _error(404 if is_lost else 400, error.message, error.hint)
        except SkyquiltError as error:
            return _error(400, error.message, error.hint)
        except FileNotFoundError as error:
            return _error(404, f"a file is not there any more: {Path(str(error.filename)).name}", "")

    return told


def _error(status: int, message: str, hint: str = "", headers: dict[str, str] | None = None) -> Response:
    return _json({"error": {"message": message, "hint": hint}}, status, headers)


def _json(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = json.dumps(content, allow_nan=False, separators=(",", ":"), default=str)
    return Response(text, status, headers, media_type="application/json")


def _started(task: Any) -> Response:
    return _json({"task": task.as_json()}, 202)


async def _body(request: Request, kind: type[bodies.AnyBody]) -> bodies.AnyBody:
    return bodies.read_body(await request.body(), kind)


def _id(request: Request) -> str:
    return str(request.path_params["id"])


def _number(text: str, most: int) -> int:
    """Return a whole number that is not negative."""
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) <= most):
        raise UsageError("there is no such tile", "")
    return int(text)


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise UsageError(f"{name} is no whole number", "")
    return int(text)


def _fraction(request: Request, name: str) -> float:
    try:
        value = float(request.query_params.get(name, ""))
    except ValueError:
        raise UsageError(f"{name} is no number", "") from None
    if not abs(value) < _LARGEST_PLACE:
        raise UsageError(f"{name} is no place in a picture", "")
    return value


class _Download(Response):
    """A file, piece by piece; a page that takes nothing for 30 s is left alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        size = path.stat().st_size
        super().__init__(
            headers={
                "content-type": _TYPES.get(path.suffix, "application/octet-stream"),
                "content-disposition": _attachment(path.name),
            }
        )
        self.raw_headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
        self.raw_headers.append((b"content-length", str(size).encode("ascii")))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        file = await asyncio.to_thread(self._path.open, "rb")
        try:
            while scope["method"] != "HEAD":
                content = await asyncio.to_thread(file.read, _CHUNK)
                body = {"type": "http.response.body", "body": content, "more_body": bool(content)}
                async with asyncio.timeout(_DOWNLOAD_S):
                    await send(body)
                if not content:
                    return
            await send({"type": "http.response.body", "body": b""})
        finally:
            file.close()


def _attachment(name: str) -> str:
    """Return the header that says under which name a file is kept (RFC 6266)."""
    from urllib.parse import quote

    plain = "".join(letter if letter.isascii() and letter not in '"\\' and letter >= " " else "_" for letter in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
