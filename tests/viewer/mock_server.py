"""
A small stand-in for `skyquilt app`: its interface with made-up frames, pictures and a run, and its content policy.

`python tests/viewer/mock_server.py 8765` serves the built viewer with it, to work on the pages without an engine.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import time
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import mock_pictures as pictures
import numpy as np
from mock_words import FOLDERS, REPORT, SESSION, frame_table, sky_group
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from skyquilt.apps.web.bodies import FinishRun
from skyquilt.apps.web.finishing import offer
from skyquilt.engine.finish import Chain
from skyquilt.engine.mosaic import MosaicRecipe
from skyquilt.engine.recipe import PRESETS, Recipe
from skyquilt.errors import UsageError
from skyquilt.steps.finish import auto_stretch

STATIC = Path(__file__).resolve().parents[2] / "src" / "skyquilt" / "apps" / "web" / "static"
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; connect-src 'self'; object-src 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'"
PHASES = ["discover", "calibrate", "measure", "select", "register", "integrate", "products"]


class Mock:
    """The state that the pages see, and everything they asked for."""

    def __init__(self, n_frames: int = 10_000) -> None:
        self.requests: list[str] = []
        self.settings: dict[str, Any] = {}
        self.listeners: set[asyncio.Queue[dict[str, Any]]] = set()
        self.table = frame_table(n_frames)
        self.revision = 1
        self.job: dict[str, Any] | None = None
        self.holds_at: int | None = None  # the step at which a run waits to be stopped
        self.session: dict[str, Any] | None = SESSION
        self.saved: dict[str, dict[str, Any]] = {}
        master = pictures.galaxy(1800, 1200)
        coverage = (
            np.nan_to_num(master[..., :1] * 0 + 1) * np.linspace(40, 412, master.shape[1])[None, :, None]
        ).astype(np.float32)
        self.sources: dict[str, tuple[str, str, pictures.Picture]] = {
            "master": ("master_linear", "image", pictures.Held(master)),
            "second": ("master_quick", "image", pictures.Held(self.add_noise(master, 2e-3))),
            "coverage": ("COVERAGE", "map", pictures.Held(coverage)),
            "huge": ("mosaic_20k", "image", pictures.Endless()),
        }
        self.live_noise = 4e-3
        self.small = master[::3, ::3]
        self.live: pictures.Picture = pictures.Held(self.add_noise(self.small, self.live_noise))
        self.live_revision = 1
        self.tasks: set[asyncio.Task[None]] = set()
        self.told: dict[str, dict[str, Any]] = {}
        self.finished: list[dict[str, Any]] = []
        self.chains: dict[str, list[dict[str, Any]]] = {}
        self.cancelled: list[str] = []
        self.finish_s = 0.1
        self.board = live_board(40)

    @staticmethod
    def add_noise(pixels: pictures.F32, noise: float) -> pictures.F32:
        """Return the picture as a shorter exposure would show it."""
        return (pixels + np.random.default_rng(2).normal(0, noise, pixels.shape)).astype(np.float32)

    def tell(self, event: dict[str, Any]) -> None:
        if event["type"] == "task":
            self.told[event["task"]["id"]] = event["task"]
        for queue in self.listeners:
            queue.put_nowait(event)

    def state(self) -> dict[str, Any]:
        return {
            "version": "0.1.0",
            "api": 1,
            "engine": {"state": "ready", "restarts": 0, "pid": 1},
            "roots": FOLDERS[None]["folders"],
            "is_read_only": False,
            "project": {"folder": FOLDERS["m94"]["folder"], "out": "processedData"} if self.session else None,
            "session": self.session,
            "job": self.job,
            "tasks": [],
            "settings": self.settings,
        }

    def picture(self, handle: str) -> tuple[str, str, pictures.Picture]:
        if handle == "live":
            return ("live", "live", self.live)
        if handle.startswith("frame"):
            return (self.table["rows"][int(handle[5:])][1], "frame", self.sources["second"][2])
        return self.sources[handle]

    def info(self, handle: str) -> dict[str, Any]:
        name, kind, picture = self.picture(handle)
        sizes = pictures.level_sizes(picture)
        small = picture.box(len(sizes) - 1, 0, 0, *sizes[-1])
        stack = np.moveaxis(small, -1, 0)
        statistics = []
        for channel in stack:
            known = channel[np.isfinite(channel)].astype(np.float64)
            median = float(np.median(known))
            statistics.append(
                {
                    "median": median,
                    "madn": 1.4826 * float(np.median(np.abs(known - median))),
                    "minimum": float(known.min()),
                    "maximum": float(known.max()),
                    "n_known": int(known.size),
                    "is_sampled": True,
                }
            )
        curves = {name: auto_stretch(stack, linked=name == "linked") for name in ("linked", "unlinked")}
        is_sky = handle in ("master", "second")
        return {
            "handle": handle,
            "name": name,
            "kind": kind,
            "unit": "s" if kind == "map" else "stretched" if handle.startswith("finish") else "",
            "width": picture.width,
            "height": picture.height,
            "channels": picture.channels,
            "channel_names": ["R", "G", "B"] if picture.channels == 3 else ["L"],
            "row_order": "BOTTOM-UP" if handle == "live" else "TOP-DOWN",
            "tile": pictures.TILE,
            "levels": len(sizes),
            "level_sizes": sizes,
            "rough_from": None,
            "revision": self.live_revision if handle == "live" else 1,
            "wcs": None,
            "sky": {
                "ra_deg": 192.7213,
                "dec_deg": 41.1203,
                "scale_arcsec": 2.371,
                "north_deg": 12.4,
                "is_mirrored": False,
            }
            if is_sky
            else None,
            "header": [
                ["SIMPLE", True, "file conforms to FITS standard"],
                ["OBJECT", "M 94", "name of the target"],
                ["EXPTIME", 4120.0, "s"],
            ],
            "statistics": statistics,
            "stretch": {
                key: {"shadows": s.shadows, "midtones": s.midtones, "highlights": s.highlights}
                for key, s in curves.items()
            },
            "maps": [{"name": "coverage", "product": "coverage"}] if is_sky else [],
            "overlays": ["grid", "stars", "objects", "footprints"] if is_sky else [],
        }

    def histogram(self, handle: str) -> dict[str, Any]:
        _, _, picture = self.picture(handle)
        sizes = pictures.level_sizes(picture)
        level = max(0, len(sizes) - 2)
        pixels = picture.box(level, 0, 0, *sizes[level])
        channels = []
        for c in range(picture.channels):
            known = pixels[..., c][np.isfinite(pixels[..., c])]
            centre = float(np.median(known))
            scale = max(1.4826 * float(np.median(np.abs(known - centre))), 1e-9)
            u = np.arcsinh((known - centre) / scale)
            low, high = float(u.min()), float(max(u.max(), u.min() + 1e-6))
            counts, _ = np.histogram(u, 4096, (low, high))
            axis = {"centre": centre, "scale": scale, "low": low, "high": high}
            channels.append({**axis, "below": 0, "above": 0, "counts": counts.tolist()})
        return {"channels": channels, "is_sampled": True}

    def products(self) -> list[dict[str, Any]]:
        return [
            {
                "id": key,
                "name": name,
                "file": f"{name}.fits",
                "kind": kind,
                "size_bytes": 46_000_000,
                "mtime": 1764484800.0,
            }
            for key, (name, kind, _) in self.sources.items()
            if not key.startswith("finish")
        ]

    def start(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def finish_task(self, kind: str, result: Any, stages: int = 3) -> None:
        task = {"id": f"t-{kind}", "kind": kind, "stage": kind, "error": None}
        for i in range(stages):
            self.tell({"type": "task", "task": {**task, "state": "running", "percent": i / stages, "result": None}})
            await asyncio.sleep(0.1)
        self.tell({"type": "task", "task": {**task, "state": "done", "percent": 1.0, "result": result}})

    async def finish(self, body: FinishRun, task_id: str) -> None:
        """Make a picture of the master that tells its chain: brighter by the target, on cells of 3 px for a preview."""
        task = {"id": task_id, "kind": "preview" if body.preview else "finish", "stage": "finish", "error": None}
        try:
            steps = [step.operation for step in Chain.from_values({"steps": body.steps}).steps]
        except UsageError as refusal:
            await asyncio.sleep(self.finish_s)
            error = {"message": refusal.message, "hint": refusal.hint}
            failed = {**task, "state": "failed", "percent": 0, "result": None, "error": error}
            self.tell({"type": "task", "task": failed})
            return
        for i in range(len(steps)):
            if task_id in self.cancelled:
                self.tell({"type": "task", "task": {**task, "state": "stopped", "percent": 0.5, "result": None}})
                return
            share = i / max(1, len(steps))
            self.tell({"type": "task", "task": {**task, "state": "running", "percent": share, "result": None}})
            await asyncio.sleep(self.finish_s)
        factor = 3 if body.preview else 1
        box = [60, 30, 1740, 1170] if "crop" in steps else [0, 0, 1800, 1200]
        linear = np.moveaxis(self.sources["master"][2].box(0, *box), -1, 0)[:, 1::factor, 1::factor]
        target = next((float(str(one["target"])) for one in body.steps if "target" in one), 0.25)
        shown = auto_stretch(linear, linked=False, target=target).apply(linear, np.uint16)
        self.finished.append(body.model_dump())
        handle = f"finish{len(self.finished)}"
        self.sources[handle] = (handle, "image", pictures.Held((shown / 65535.0).astype(np.float32)))
        result = {
            "image": handle,
            "steps": [
                {
                    "operation": name,
                    "facts": {"order": 2, "gains": [1.21, 1.0, 1.43]} if name in ("gradient", "balance") else {},
                    "notes": ["few catalogue stars: the usual star is white"] if name == "balance" else [],
                    "skipped": "the image has one channel" if name == "scnr" and "balance" not in steps else None,
                }
                for name in steps
            ],
            "is_picture": True,
            "factor": factor,
            "box": box,
            "files": [] if body.preview else [f"{body.name}.fits", *(f"{body.name}.{one}" for one in body.formats)],
        }
        self.tell({"type": "task", "task": {**task, "state": "done", "percent": 1.0, "result": result}})

    async def watch(self) -> None:
        """Let eight frames come, one every quarter of a second; then wait until the live stack is told to end."""
        assert self.job is not None
        self.job.update(live="live", phase="live")
        while self.job["state"] == "running":
            await asyncio.sleep(0.25)
            n = len(self.board["frames"]) + 1
            if n > 8:
                continue
            figures, point, frame = live_frame(n, len(self.board["excluded"]))
            self.board["figures"] = figures
            self.board["frames"].append(frame)
            self.board["curve"].append(point)
            self.tell_live([frame], [point])
            self.tell({"type": "job", "job": self.job})
        self.job.update(state="done" if self.job["state"] == "finishing" else "stopped", live=None, percent=1.0)
        self.tell({"type": "job", "job": self.job})

    def tell_live(self, frames: list[dict[str, Any]], curve: list[dict[str, Any]]) -> None:
        board = {**self.board, "frames": frames, "curve": curve, "is_anew": False}
        self.tell({"type": "live", **board})

    async def work(self, first: float = 0.0) -> None:
        """Go through a run of about four seconds."""
        assert self.job is not None
        start, n = time.time(), 0
        for step in range(round(first * 60), 61):
            while step == self.holds_at and self.job["state"] != "stopping":
                await asyncio.sleep(0.02)
            if self.job["state"] == "stopping":
                self.job.update(state="stopped", eta_s=None)
                self.tell({"type": "job", "job": self.job})
                return
            share = step / 60
            self.job.update(
                percent=share,
                elapsed_s=time.time() - start,
                eta_s=(1 - share) * 42,
                phase=PHASES[min(6, int(share * 7))],
            )
            self.job["phases"] = [
                {
                    "name": name,
                    "state": "done" if share * 7 >= i + 1 else "running" if share * 7 >= i else "waiting",
                    "done": round(np.clip(share * 7 - i, 0, 1) * 412),
                    "total": 412,
                    "seconds": 6.0,
                }
                for i, name in enumerate(PHASES)
            ]
            if step % 4 == 0:
                n += 1
                level = "warning" if step % 20 == 8 else "info"
                text = f"tile {step} of 60 is done" if level == "info" else f"Light_{step:04d}.fit has clouds: left out"
                line = {
                    "n": step + 1,
                    "time": 1764484800.0 + step,
                    "level": level,
                    "phase": self.job["phase"],
                    "text": text,
                }
                self.tell({"type": "log", "lines": [line]})
                self.tell(
                    {
                        "type": "gauges",
                        "memory": {
                            "engine_bytes": 400e6 + 9e6 * step,
                            "total_bytes": 24e9,
                            "available_bytes": 12e9,
                            "limit_bytes": 1e9,
                        },
                        "disk": {"free_bytes": 71e9, "total_bytes": 252e9, "scratch_bytes": 12e6 * step},
                    }
                )
            if step >= 20 and step % 10 == 0:
                self.live_noise /= 2
                self.live = pictures.Held(self.add_noise(self.small, self.live_noise))
                self.live_revision += 1
                self.job["live"] = "live"
                self.tell({"type": "image", "handle": "live", "revision": self.live_revision, "rough_from": None})
            self.tell({"type": "job", "job": self.job})
            await asyncio.sleep(0.06)
        self.job.update(state="done", eta_s=None, live=None, products=self.products())
        self.tell({"type": "job", "job": self.job})
        self.tell({"type": "products"})


def new_job(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "j1",
        "kind": kind,
        "state": "running",
        "settings": settings,
        "phase": "discover",
        "phases": [],
        "percent": 0.0,
        "eta_s": None,
        "elapsed_s": 0.0,
        "n_left_out": 3,
        "restarts": 0,
        "error": None,
        "products": [],
        "live": None,
    }


def live_frame(n: int, n_excluded: int = 0) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return figures, point of the curve and record of the n-th frame of a live stack."""
    point = {"n_in": n - n_excluded, "exposure_s": 10.0 * n, "noise_adu": 60 / n**0.5, "expected_adu": 59 / n**0.5}
    figures = {**point, "group": "M 94", "n_left_out": n // 9, "level_adu": 1100.0, "delay_s": 0.8, "problem": ""}
    is_out = n % 9 == 0
    frame = {
        "file": f"Light_M 94_10.0s_IRCUT_20250326-2120{n:02d}.fit",
        "status": "left_out" if is_out else "stacked",
        "reason": "trailed: eccentricity 0.72 > 0.60" if is_out else None,
        "date_obs": f"2025-03-26T21:20:{n:02d}",
        "fwhm_px": 2.5 + 0.01 * n,
        "n_stars": 400 - n,
        "background_adu": 1100.0,
    }
    return figures, point, frame


def live_board(n_frames: int) -> dict[str, Any]:
    told = [live_frame(n) for n in range(1, n_frames + 1)]
    return {
        "figures": told[-1][0],
        "frames": [frame for _, _, frame in told],
        "curve": [point for _, point, _ in told],
        "excluded": [],
    }


def begun(task: str, kind: str) -> JSONResponse:
    """Return the answer to a request that begins a task."""
    state = {"state": "running", "stage": "", "percent": 0, "result": None, "error": None}
    return JSONResponse({"task": {"id": task, "kind": kind, **state}}, 202)


def build(mock: Mock) -> Starlette:
    """Return the application."""

    async def post_settings(request: Request) -> Response:
        mock.settings.update(await request.json())
        return JSONResponse(mock.settings)

    async def folders(request: Request) -> Response:
        return JSONResponse(FOLDERS.get(request.query_params.get("folder"), FOLDERS[None]))

    async def open_folder(request: Request) -> Response:
        mock.session = SESSION

        async def finish() -> None:
            await mock.finish_task("open", SESSION)
            mock.tell({"type": "state", "state": mock.state()})

        mock.start(finish())
        return begun("t-open", "open")

    async def frames(request: Request) -> Response:
        if request.method == "POST":
            mock.start(mock.finish_task("frames", None))
            return begun("t-frames", "frames")
        return JSONResponse({**mock.table, "revision": mock.revision})

    async def choice(request: Request) -> Response:
        body = await request.json()
        for key, value in (("exclude", "exclude"), ("include", None), ("clear", None)):
            for frame in body[key]:
                mock.table["rows"][int(frame[1:])][-1] = value
        mock.revision += 1
        n = sum(row[-1] == "exclude" for row in mock.table["rows"])
        return JSONResponse({"revision": mock.revision, "n_excluded": n})

    async def preview(request: Request) -> Response:
        number = int(request.path_params["frame"][1:])
        held = mock.sources["second"][2].box(2, 0, 0, 450, 300)
        shifted = np.roll(held, (number % 7 - 3, number % 5 - 2), axis=(0, 1))
        shown = auto_stretch(np.moveaxis(shifted, -1, 0)).apply(np.moveaxis(shifted, -1, 0))
        buffer = io.BytesIO()
        Image.fromarray(shown).save(buffer, "JPEG", quality=85)
        return Response(buffer.getvalue(), media_type="image/jpeg")

    async def recipe(request: Request) -> Response:
        def kind(model: type[Recipe]) -> dict[str, Any]:
            schema = model.model_json_schema()
            groups = list(dict.fromkeys(field["group"] for field in schema["properties"].values()))
            return {
                "schema": schema,
                "groups": groups,
                "presets": PRESETS,
                "defaults": json.loads(model().model_dump_json()),
            }

        return JSONResponse({"stack": kind(Recipe), "mosaic": kind(MosaicRecipe)})

    async def finish_offer(request: Request) -> Response:
        return JSONResponse({**offer(), "chains": [{"id": name, "name": f"{name}.toml"} for name in mock.chains]})

    async def finish_run(request: Request) -> Response:
        body = FinishRun.model_validate(await request.json())
        task_id = f"t-finish-{time.monotonic_ns()}"
        mock.start(mock.finish(body, task_id))
        return begun(task_id, "preview")

    async def cancel(request: Request) -> Response:
        mock.cancelled.append(request.path_params["task"])
        return JSONResponse({})

    async def chain(request: Request) -> Response:
        body = await request.json()
        steps = mock.chains[body["kept"]] if "kept" in body else None
        if steps is None:
            steps = Chain.from_values(tomllib.loads(body["text"])).to_values()["steps"]
        return JSONResponse({"steps": steps})

    async def save_chain(request: Request) -> Response:
        body = await request.json()
        mock.chains[body["name"]] = body["steps"]
        return JSONResponse({"file": f"{body['name']}.toml", "saved": "s2", "size_bytes": 512})

    async def plan(request: Request) -> Response:
        result = {
            "plans": [
                {
                    "name": "M 94",
                    "n_frames": 412,
                    "width": 1080,
                    "height": 1920,
                    "peak_memory_bytes": 9e8,
                    "scratch_bytes": 2e8,
                    "output_bytes": 1.2e8,
                    "seconds": 74,
                    "schedule": "cube",
                    "lines": ["412 frames in 60 tiles"],
                }
            ]
        }
        mock.start(mock.finish_task("plan", result))
        return begun("t-plan", "plan")

    async def run(request: Request) -> Response:
        body = await request.json()
        mock.job = new_job(body["kind"], body["settings"])
        mock.start(mock.work())
        return JSONResponse({"job": mock.job}, 202)

    async def watch(request: Request) -> Response:
        body = await request.json()
        assert body["folder"] in ("m94", "root")
        mock.board = live_board(1)
        mock.tell({"type": "live", **mock.board, "is_anew": True})
        mock.job = {**new_job("watch", body["settings"]), "n_left_out": 0}
        mock.start(mock.watch())
        return JSONResponse({"job": mock.job}, 202)

    async def choose_live(request: Request) -> Response:
        body = await request.json()
        names = (set(mock.board["excluded"]) | set(body.get("exclude", []))) - set(body.get("include", []))
        mock.board["excluded"] = sorted(names)
        mock.tell_live([], [])
        return JSONResponse({"excluded": mock.board["excluded"]})

    async def finish_live(request: Request) -> Response:
        assert mock.job is not None
        mock.job["state"] = "finishing"
        return JSONResponse({"job": mock.job}, 202)

    async def stop(request: Request) -> Response:
        assert mock.job is not None
        mock.job["state"] = "stopping"
        return JSONResponse({"job": mock.job})

    async def go_on(request: Request) -> Response:
        assert mock.job is not None
        mock.job["state"] = "running"
        mock.start(mock.work(mock.job["percent"]))
        return JSONResponse({"job": mock.job}, 202)

    async def open_image(request: Request) -> Response:
        body = await request.json()
        handle = (
            "live" if body.get("live") else body["product"] if "product" in body else f"frame{int(body['frame'][1:])}"
        )
        return JSONResponse(mock.info(handle))

    async def image(request: Request) -> Response:
        return JSONResponse(mock.info(request.path_params["handle"]))

    async def tile(request: Request) -> Response:
        p = request.path_params
        data = pictures.tile(
            mock.picture(p["handle"])[2], p["level"], p["x"], p["y"], exact=request.query_params.get("exact") == "1"
        )
        if data is None:
            return JSONResponse({"error": {"message": "no such tile", "hint": ""}}, 404)
        return Response(
            data,
            media_type="application/octet-stream",
            headers={"Cache-Control": "private, max-age=31536000, immutable"},
        )

    async def pixel(request: Request) -> Response:
        x, y = float(request.query_params["x"]), float(request.query_params["y"])
        _, _, picture = mock.picture(request.path_params["handle"])
        i, j = round(x), round(y)
        values = picture.box(0, i, j, i + 1, j + 1)[0, 0]
        shown = [float(value) if np.isfinite(value) else None for value in values]
        return JSONResponse({"x": i, "y": j, "values": shown, "ra_deg": 192.72 + x * 1e-4, "dec_deg": 41.12 - y * 1e-4})

    async def overlay(request: Request) -> Response:
        name = request.path_params["name"]
        lines: list[dict[str, Any]] = []
        marks: list[dict[str, Any]] = []
        if name == "grid":
            lines = [
                {
                    "points": [[x + 40 * np.sin(y / 900), y] for y in range(0, 1601, 50)],
                    "label": f"12h{50 + i}m",
                    "kind": "ra",
                }
                for i, x in enumerate(range(0, 2500, 400))
            ]
            lines += [
                {
                    "points": [[x, y + 40 * np.sin(x / 900)] for x in range(0, 2401, 50)],
                    "label": f"+41° {10 * i:02d}′",
                    "kind": "dec",
                }
                for i, y in enumerate(range(0, 1700, 400))
            ]
        elif name == "footprints":
            lines = [
                {
                    "points": [
                        [10 * i, 5 * i],
                        [2300 + 10 * i, 20 + 5 * i],
                        [2280 + 10 * i, 1500 + 5 * i],
                        [10 * i, 1480 + 5 * i],
                        [10 * i, 5 * i],
                    ],
                    "label": "",
                    "kind": "footprint",
                }
                for i in range(8)
            ]
        elif name == "objects":
            marks = [{"x": 1248, "y": 768, "radius": 330, "label": "M 94", "magnitude": 8.2, "kind": "object"}]
        else:
            rng = np.random.default_rng(1)
            marks = [
                {"x": float(x), "y": float(y), "radius": 8, "label": f"HD {1000 + i}", "magnitude": 9.0, "kind": "star"}
                for i, (x, y) in enumerate(zip(rng.uniform(0, 2400, 40), rng.uniform(0, 1600, 40), strict=True))
            ]
        return JSONResponse({"lines": lines, "marks": marks})

    async def save(request: Request) -> Response:
        body = await request.json()
        mock.saved["s1"] = body
        mock.start(
            mock.finish_task(
                "save", {"file": f"{body['name']}.{body['format']}", "saved": "s1", "size_bytes": 12_300_000}
            )
        )
        return begun("t-save", "save")

    async def events(socket: WebSocket) -> None:
        await socket.accept()
        queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        mock.listeners.add(queue)
        await socket.send_json({"type": "state", "state": mock.state()})

        async def send() -> None:
            while True:
                await socket.send_json(await queue.get())

        sender = asyncio.ensure_future(send())
        try:
            while True:
                await socket.receive_text()
        except WebSocketDisconnect:
            pass
        finally:
            mock.listeners.discard(queue)
            sender.cancel()

    def answer(make: Any) -> Any:
        async def endpoint(request: Request) -> Response:
            return JSONResponse(make(request))

        return endpoint

    async def nothing(request: Request) -> Response:
        return Response(status_code=204)

    async def report(request: Request) -> Response:
        return HTMLResponse(
            REPORT,
            headers={"Content-Security-Policy": REPORT_POLICY},
        )

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        for task in list(mock.tasks):
            task.cancel()

    app = Starlette(
        routes=[
            Route("/api/session", nothing, methods=["POST"]),
            Route("/api/state", answer(lambda request: mock.state())),
            Route("/api/folders", folders),
            Route("/api/open", open_folder, methods=["POST"]),
            Route("/api/frames", frames, methods=["GET", "POST"]),
            Route("/api/frames/choice", choice, methods=["POST"]),
            Route("/api/frame/{frame}/preview", preview),
            Route("/api/recipe", recipe),
            Route("/api/finish", finish_offer),
            Route("/api/finish/run", finish_run, methods=["POST"]),
            Route("/api/finish/chain", chain, methods=["POST"]),
            Route("/api/finish/chain/save", save_chain, methods=["POST"]),
            Route("/api/task/{task}/cancel", cancel, methods=["POST"]),
            Route("/api/plan", plan, methods=["POST"]),
            Route("/api/run", run, methods=["POST"]),
            Route("/api/watch", watch, methods=["POST"]),
            Route("/api/live", answer(lambda request: mock.board)),
            Route("/api/live/choice", choose_live, methods=["POST"]),
            Route("/api/live/finish", finish_live, methods=["POST"]),
            Route("/api/job/stop", stop, methods=["POST"]),
            Route("/api/job/continue", go_on, methods=["POST"]),
            Route(
                "/api/task/{task}",
                answer(
                    lambda request: mock.told.get(
                        request.path_params["task"],
                        {
                            "id": request.path_params["task"],
                            "kind": "",
                            "state": "running",
                            "stage": "",
                            "percent": 0,
                            "result": None,
                            "error": None,
                        },
                    )
                ),
            ),
            Route("/api/log", answer(lambda request: {"lines": [], "n_lost": 0})),
            Route(
                "/api/products",
                answer(
                    lambda request: {
                        "groups": [{"name": "M 94", "kind": "stack", "products": mock.products(), "report": "r1"}]
                    }
                ),
            ),
            Route("/api/image", open_image, methods=["POST"]),
            Route("/api/image/{handle}", image),
            Route("/api/image/{handle}/close", nothing, methods=["POST"]),
            Route("/api/image/{handle}/tile/{level:int}/{x:int}/{y:int}", tile),
            Route(
                "/api/image/{handle}/histogram", answer(lambda request: mock.histogram(request.path_params["handle"]))
            ),
            Route("/api/image/{handle}/pixel", pixel),
            Route("/api/image/{handle}/overlay/{name}", overlay),
            Route("/api/image/{handle}/save", save, methods=["POST"]),
            Route("/api/sky", answer(lambda request: {"groups": [sky_group(mock.table)]})),
            Route("/report/{report}", report),
            Route("/api/report/{report}", answer(lambda request: {"program": "skyquilt"})),
            Route("/api/settings", post_settings, methods=["POST"]),
            WebSocketRoute("/api/events", events),
            Mount("/", StaticFiles(directory=STATIC, html=True)),
        ],
        lifespan=lifespan,
    )

    async def guarded(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        mock.requests.append(scope["path"])

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start" and not scope["path"].startswith("/report/"):
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await app(scope, receive, send_with_policy)

    return guarded  # type: ignore[return-value]


if __name__ == "__main__":
    import uvicorn

    uvicorn.run(build(Mock()), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
