"""What stands behind the routes: the engine, the project, the frames, the images and the job, put together."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import skyquilt
from skyquilt.apps.web.bodies import ChainSave, LiveChoice, OpenImage, Run, Save, SettingsPart, Watch
from skyquilt.apps.web.child import EngineChild
from skyquilt.apps.web.finishing import Finishing, free_stem, make_kept_folder
from skyquilt.apps.web.frames import FrameTable
from skyquilt.apps.web.hub import Hub
from skyquilt.apps.web.images import Images, OpenedImage, handle_of
from skyquilt.apps.web.job import Job, JobKeeper, NotNow
from skyquilt.apps.web.live import LiveBoard
from skyquilt.apps.web.log import Log
from skyquilt.apps.web.preflight import note_calibration, preflight, session_json
from skyquilt.apps.web.project import Project, Settings
from skyquilt.apps.web.roots import Roots, shown_name
from skyquilt.apps.web.tasks import Task, Tasks
from skyquilt.engine.budget import available_memory
from skyquilt.errors import SkyquiltError, UsageError

if TYPE_CHECKING:
    from skyquilt.apps.web.opened import ChildImage
    from skyquilt.apps.web.products import Products
    from skyquilt.engine.viewing import Footprint, Overlay

__all__ = ["Desk"]

_API = 1
_SAVED = "saved"
_ENDINGS = {"fits": ".fits", "tiff": ".tif", "png": ".png", "jpeg": ".jpg"}
_MOST_NAMES = 10_000
_WARM_AFTER_S = 20.0
_MOST_OVERLAYS = 100
_MOST_SCORED = 100


class Desk:
    """
    The state of the app.

    Parameters
    ----------
    roots : Roots
    project : Project
        Entered already.
    engine_command : sequence of str
        What starts the engine.
    """

    def __init__(self, roots: Roots, project: Project, engine_command: Sequence[str]) -> None:
        self.roots, self.project = roots, project
        self.hub = Hub()
        self.log = Log(self.hub)
        self.child = EngineChild(
            engine_command,
            on_state=self._engine_changed,
            on_log=lambda line: self.log.add("info", "engine", line),
            greeting=({"cmd": "subscribe", "kinds": None},),
        )
        self.tasks = Tasks(self.hub)
        self.frames = FrameTable(self.child, project)
        self.images = Images(self.hub, self.log)
        self.session: dict[str, Any] | None = None
        self.live = LiveBoard(self.hub)
        self.jobs = JobKeeper(self.child, project, self.hub, self.log, self._products_of)
        self.jobs.on_tiles, self.jobs.on_end = self._tiles_landed, self._job_ended
        self.jobs.on_event = self._heard
        self.finishing = Finishing(
            project, self.tasks, self.images, lambda: self.products, self._asked, self._tell_products
        )
        self._saved: dict[str, Path] = {}
        self._overlays: dict[tuple[str, int, str], Overlay] = {}

    @cached_property
    def products(self) -> Products:
        """What lies finished in the output folder."""
        from skyquilt.apps.web.products import Products

        return Products(self.project.out)

    async def start(self) -> None:
        """Start the engine, and open what was open the last time, or the one session that was given."""
        await self.child.start()
        self._warming = asyncio.create_task(self._warm_up(), name="warm up")
        with contextlib.suppress(OSError, SkyquiltError):
            folders = [Path(text) for text in self.project.remembered.folders]
            if not all(self.roots.id_of(folder) for folder in folders):
                folders = []
            if not folders and self.roots.lone_session is not None:
                folders = [self.roots.lone_session]
            if folders:
                self.begin_open(folders, remember=False)

    async def stop(self) -> None:
        """End what runs; a job can go on with the next start."""
        self._warming.cancel()
        await self.jobs.close()
        await self.tasks.close()
        await self.images.close_all()
        await self.child.stop()

    async def _warm_up(self) -> None:
        """Load what images need, once the engine is up, so that the first one opens at once."""
        await self.child.wait_ready(_WARM_AFTER_S)
        for name in ("opened", "products", "wanted"):
            await asyncio.to_thread(importlib.import_module, f"skyquilt.apps.web.{name}")

    # what is

    def state(self) -> dict[str, Any]:
        """Return everything a page needs to begin (docs/reference/app-api.md, section 2)."""
        folders = self.frames.folders
        project = None
        if folders:
            project = {
                "folder": self.roots.describe(folders[0]),
                "folders": [self.roots.describe(one) for one in folders],
            }
            project["out"] = shown_name(self.project.out)
        return {
            "version": skyquilt.__version__,
            "api": _API,
            "engine": self.engine_json(),
            "roots": [self.roots.describe(root) for root in self.roots.roots],
            "is_read_only": self.project.is_read_only,
            "project": project,
            "session": self.session,
            "job": self.jobs.as_json(),
            "tasks": [task.as_json() for task in self.tasks.running()],
            "settings": self.project.remembered.settings.model_dump(mode="json"),
        }

    def engine_json(self) -> dict[str, Any]:
        """Return how the engine is."""
        return {"state": self.child.state, "restarts": self.child.n_restarts, "pid": self.child.pid}

    def gauges(self) -> dict[str, Any]:
        """Return memory and disk."""
        place = next((one for one in (self.project.out, *self.project.out.parents) if one.is_dir()), Path("/"))
        disk = shutil.disk_usage(place)
        return {
            "memory": {
                "engine_bytes": _held_by(self.child.pid),
                "total_bytes": _total_memory(),
                "available_bytes": available_memory(),
                "limit_bytes": None,
            },
            "disk": {
                "free_bytes": disk.free,
                "total_bytes": disk.total,
                "scratch_bytes": _scratch_bytes(self.project.out),
            },
        }

    # Open and Frames

    def begin_open(self, folders: list[Path], *, remember: bool = True) -> Task:
        """Look at folders; they are the project from then on."""
        if self.jobs.job is not None and self.jobs.job.is_running:
            raise NotNow("a job is running on the folder that is open", "stop it first")

        async def work(task: Task) -> dict[str, Any]:
            found = [await self._asked(task, "sessions", folder=str(folder)) for folder in folders]
            self.frames.open(folders)
            if remember and not self.project.is_read_only:
                self.project.remembered.folders = [str(folder) for folder in folders]
                self.project.save()
            await self._list(task, is_scored=False)
            session = session_json(folders, found)
            session["preflight"] = await asyncio.to_thread(preflight, session, self.project.out)
            for group in session["groups"]:
                group["products"] = await asyncio.to_thread(self.products.of_groups, {group["name"]})
            self.session = session
            self.hub.publish("state", state=await asyncio.to_thread(self.state))
            if self.frames.key in self.project.remembered.scored:  # the figures are kept: they come back at once
                self.begin_listing(is_scored=True)
            return session

        return self.tasks.start("open", work)

    def begin_listing(self, *, is_scored: bool) -> Task:
        """List the frames, measured if that is asked for."""
        self._must_be_open()

        async def work(task: Task) -> dict[str, Any]:
            await self._list(task, is_scored=is_scored)
            scored = self.project.remembered.scored
            if is_scored and self.frames.key not in scored and not self.project.is_read_only:
                self.project.remembered.scored = [*scored[1 - _MOST_SCORED :], self.frames.key]
                self.project.save()
            return {"revision": self.frames.revision}

        return self.tasks.start("frames", work)

    def choose(self, exclude: list[str], include: list[str]) -> dict[str, Any]:
        """Exclude frames, and take others in again."""
        told = self.frames.choose(exclude, include)
        self.hub.publish("frames", revision=self.frames.revision)
        return told

    async def _list(self, task: Task, *, is_scored: bool) -> None:
        listed: list[dict[str, Any]] = []
        for folder in self.frames.folders:
            found = await self._asked(task, "frames", folder=str(folder), out=str(self.project.out), scored=is_scored)
            listed += found["frames"]
        self.frames.take(listed, is_scored=is_scored)
        self.hub.publish("frames", revision=self.frames.revision)

    async def _asked(self, task: Task, cmd: str, **fields: Any) -> Any:
        """Ask the engine for a task: its progress is told, and it can be cancelled."""
        await self.child.wait_ready(60.0)
        number = self.child.next_number()

        async def cancel() -> None:
            await self.child.request("cancel", job=number)

        def heard(line: dict[str, Any]) -> None:
            progress = line.get("progress") or {}
            self.tasks.tell_progress(task, str(progress.get("stage")), float(progress.get("percent") or 0.0))
            self._heard(line.get("event") or {})

        task.cancel = cancel
        return await self.child.request(cmd, heard=heard, number=number, **fields)

    def _heard(self, event: dict[str, Any]) -> None:
        """Take in what an event tells of the session, or of the live stack."""
        data = event.get("data") or {}
        if event.get("kind") == "progress" and event.get("phase") == "live":
            self.live.take(data)
        rows = data.get("rows")
        if event.get("kind") == "table" and event.get("phase") == "calibrate" and rows and self.session:
            note_calibration(self.session, rows)

    def _must_be_open(self) -> None:
        if not self.frames.folders:
            raise NotNow("no folder is open", "open one first")

    # Run

    def recipes(self) -> dict[str, Any]:
        """Return the settings of stacks and mosaics, with their help."""
        from skyquilt.apps.web.wanted import recipes_json

        return recipes_json()

    def begin_plan(self, run: Run) -> Task:
        """Predict what a run takes."""
        fields = self._request_of(run)

        async def work(task: Task) -> Any:
            if run.kind == "mosaic":
                return await self._asked(task, "mosaic", dry_run=True, **fields)
            return await self._asked(task, "plan", **{name: fields[name] for name in fields if name != "out"})

        return self.tasks.start("plan", work)

    def begin_run(self, run: Run) -> Job:
        """Start a job."""
        return self.jobs.start(run.kind, dict(run.settings), self._request_of(run))

    def begin_watch(self, asked: Watch) -> Job:
        """Start a live stack; its folder need not hold a frame yet."""
        self.project.must_write()
        from skyquilt.apps.web.wanted import wanted_recipe

        if asked.folder is not None:
            folder = self.roots.path(asked.folder)
        else:
            folder = self.frames.folders[0] if self.frames.folders else self.roots.roots[0]
        recipe = wanted_recipe(Run(settings=asked.settings, preset=asked.preset), folder)
        request = {"folder": str(folder), "out": str(self.project.out), "preset": asked.preset, "recipe": recipe}
        job = self.jobs.start("watch", dict(asked.settings), request)
        self.live.clear()
        return job

    async def choose_live(self, choice: LiveChoice) -> dict[str, Any]:
        """Exclude frames of the live stack and take others in again."""
        told = await self.jobs.adjust(exclude=choice.exclude, include=choice.include)
        self.live.choose(list(told["excluded"]))
        return {"excluded": told["excluded"]}

    def _request_of(self, run: Run) -> dict[str, Any]:
        """Return what the engine is asked; settings that cannot be meant are refused here, by name."""
        self._must_be_open()
        self.project.must_write()
        from skyquilt.apps.web.wanted import wanted_recipe

        folders = self.frames.folders
        recipe = wanted_recipe(run, folders[0])
        frame_list = self.frames.write_list()
        fields: dict[str, Any] = {
            "out": str(self.project.out),
            "preset": run.preset,
            "recipe": recipe,
            "frame_list": None if frame_list is None else str(frame_list),
        }
        if run.kind == "mosaic":
            return {**fields, "folders": [str(folder) for folder in folders]}
        if len(folders) > 1:
            raise UsageError("several folders are open: a stack has one", "make a mosaic, or open one folder")
        return {**fields, "folder": str(folders[0])}

    def _products_of(self, result: Any) -> list[dict[str, Any]]:
        """Return the products of what the engine answered to a run."""
        done = (result or {}).get("stacks") or (result or {}).get("mosaics") or []
        return self.products.of_groups({str(one.get("name")) for one in done if isinstance(one, dict)})

    def _tiles_landed(self, job: Job) -> None:
        """Tell the pages that the picture of the job has grown."""
        if not job.number:
            return
        handle = handle_of("live", job.id, job.restarts, job.number)
        image = self.images.find(handle)
        if image is None:
            image = self._live_image(job, handle)
            self.images.hold(image)
        else:
            image.revision += 1
        job.live = handle
        self.hub.publish("image", handle=handle, revision=image.revision, rough_from=None)

    def _live_image(self, job: Job, handle: str) -> OpenedImage:
        return self._child_image(handle, "live", "live", None, image=f"job:{job.number}")

    def _job_ended(self, job: Job) -> None:
        self._tell_products()

    def _tell_products(self) -> None:
        self.hub.publish("products")

    # Image

    async def open_image(self, asked: OpenImage) -> OpenedImage:
        """Open a product, a frame, or the picture of the job."""
        if asked.product is not None:
            return await self._open_product(asked.product)
        if asked.frame is not None:
            path = self.frames.path(asked.frame)
            image: OpenedImage = self._child_image(
                handle_of("frame", path, path.stat().st_mtime_ns), shown_name(path), "frame", path
            )
        else:
            job = self.jobs.job
            if job is None or job.live is None:
                raise NotNow("there is no picture yet", "ask again when the job integrates")
            image = self._live_image(job, job.live)
        known = self.images.find(image.handle)
        if known is not None:
            return known
        self.images.hold(image)
        return image

    async def _open_product(self, product_id: str) -> OpenedImage:
        from skyquilt.apps.web.opened import ProductImage
        from skyquilt.engine.viewing import open_product

        group, product = await asyncio.to_thread(self.products.get, product_id)
        if product.kind not in ("image", "map"):
            raise UsageError(f"{product.path.name} is no image that can be opened here", "open a FITS product")
        status = product.path.stat()
        handle = handle_of(product.path, product.hdu, status.st_size, status.st_mtime_ns)
        known = self.images.find(handle)
        if known is not None:
            return known
        async with self.images.decodes:
            viewed = await asyncio.to_thread(open_product, product.path, self.project.levels(), product.hdu)
        is_master = group is not None and group.master is not None and product.id == group.master.id
        maps = group.maps() if group is not None and is_master else []
        saved_from = product.path if product.hdu == 0 else None
        image = ProductImage(handle, product.name, product.kind, viewed, product.group, maps, saved_from)
        self.images.hold(image)
        return image

    async def overlay(self, image: OpenedImage, kind: str) -> Overlay:
        """Return what can be drawn over an image; made once."""
        from skyquilt.engine.viewing import OVERLAYS, overlay_of

        if kind not in OVERLAYS:
            raise UsageError("there is no such overlay", f"one of: {', '.join(OVERLAYS)}")
        grid = image.grid
        if grid is None:
            raise NotNow("the place of this image on the sky is not known", "solve it first")
        key = (image.handle, image.revision, kind)
        if key not in self._overlays:
            async with self.images.decodes:
                footprints = await asyncio.to_thread(self._footprints, image) if kind == "footprints" else []
                found = await asyncio.to_thread(overlay_of, kind, grid, footprints)
            while len(self._overlays) >= _MOST_OVERLAYS:
                del self._overlays[next(iter(self._overlays))]
            self._overlays[key] = found
        return self._overlays[key]

    def _footprints(self, image: OpenedImage) -> list[Footprint]:
        from skyquilt.engine.viewing import Footprint

        name = getattr(image, "group", None)
        group = next((one for one in self.products.groups() if one.name == name), None)
        if group is None:
            return []
        return [
            Footprint(one.file, self.frames.id_of_file(one.file), one.corners)
            for one in self.products.footprints(group, self.frames_size())
        ]

    def _child_image(self, handle: str, name: str, kind: str, path: Path | None, image: str = "") -> ChildImage:
        from skyquilt.apps.web.opened import ChildImage

        return ChildImage(
            handle, name, kind, self.child, self.project.exchange(), image, path, image if path is None else path
        )

    def frames_size(self) -> tuple[int, int] | None:
        """Return (width, height) of the frames of the open session, None where they differ."""
        sizes = {(group["width"], group["height"]) for group in (self.session or {}).get("groups", [])}
        return next(iter(sizes)) if len(sizes) == 1 else None

    def begin_save(self, image: OpenedImage, asked: Save) -> Task:
        """Save an image below the output folder, never over a file."""
        if image.saved_from is None:
            raise UsageError("this map cannot be saved alone", "take it from the file of the maps")
        path = self._free_name(asked.name, _ENDINGS[asked.format])
        source = image.saved_from

        async def work(task: Task) -> dict[str, Any]:
            handle = (
                source if isinstance(source, str) else (await self.child.request("load", path=str(source)))["imageId"]
            )
            stretch = None if asked.stretch is None else asked.stretch.model_dump(exclude_none=True)
            try:
                await self.child.request(
                    "save", imageId=handle, outputPath=str(path), format=asked.format, stretch=stretch
                )
            finally:
                if not isinstance(source, str):
                    with contextlib.suppress(SkyquiltError):
                        await self.child.request("release", imageId=handle)
            return self._keep_saved(path)

        return self.tasks.start("save", work)

    def save_chain(self, asked: ChainSave) -> dict[str, Any]:
        """Keep a chain of the Finish screen as a file, which can be fetched as one that was saved."""
        return self._keep_saved(self.finishing.save_chain(asked))

    def _keep_saved(self, path: Path) -> dict[str, Any]:
        saved = handle_of("saved", path)
        self._saved[saved] = path
        return {"file": path.name, "saved": saved, "size_bytes": path.stat().st_size}

    def saved(self, saved_id: str) -> Path:
        """Return a file that was saved, or raise `UsageError`."""
        path = self._saved.get(saved_id)
        if path is None or path.is_symlink() or not path.is_file():
            raise UsageError("there is no such file", "save the image again")
        return path

    def _free_name(self, name: str, ending: str) -> Path:
        folder = make_kept_folder(self.project, _SAVED)
        taken = frozenset(self._saved.values())
        return folder / f"{free_stem(folder, name, (ending,), taken)}{ending}"

    # settings

    def change_settings(self, part: SettingsPart) -> Settings:
        """Take over a part of the settings; remembered at once."""
        before = self.project.remembered.settings
        given = {name: getattr(part, name) for name in part.model_fields_set}
        if "view" in given:
            merged = {**before.view, **given["view"]}
            given["view"] = {key: value for key, value in merged.items() if value is not None}
        self.project.remembered.settings = Settings(**{**before.model_dump(), **given})
        try:
            self.project.save()
        except BaseException:
            self.project.remembered.settings = before
            raise
        settings = self.project.remembered.settings
        self.hub.publish("settings", settings=settings.model_dump(mode="json"))
        return settings

    def _engine_changed(self, state: str, text: str) -> None:
        self.hub.publish("engine", **self.engine_json(), message=text)
        self.log.add("warning" if state == "dead" else "info", "engine", text)


def _held_by(pid: int | None) -> int | None:
    """Return the bytes of memory that a process holds, None where the system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _total_memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _scratch_bytes(out: Path) -> int:
    """Return the bytes of unfinished work below an output folder, looked at to a limit."""
    total = n_seen = 0
    for scratch in out.glob("*/.skyquilt"):
        for folder, _, names in os.walk(scratch):
            for name in names:
                n_seen += 1
                if n_seen > _MOST_NAMES:
                    return total
                with contextlib.suppress(OSError):
                    total += (Path(folder) / name).lstat().st_size
    return total
