"""The frames of the open folder: their figures, what the person chose, small pictures of them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

from skyquilt.apps.web.child import EngineChild, EngineGone, EngineRefusal
from skyquilt.apps.web.project import Project
from skyquilt.apps.web.roots import shown_name
from skyquilt.errors import UsageError
from skyquilt.io.atomic import write_atomically

__all__ = ["COLUMNS", "FrameTable", "widened"]

_RECORD = (
    "status",
    "code",
    "reason",
    "date_obs",
    "exposure_s",
    "gain",
    "temperature_c",
    "filter",
    "n_stars",
    "fwhm_px",
    "eccentricity",
    "background_adu",
    "noise_adu",
    "transparency",
    "score",
    "saturated_share",
)
COLUMNS = ("id", "file", "group", *_RECORD, "choice")


class FrameTable:
    """
    The frames of the folders that are open.

    Parameters
    ----------
    child : EngineChild
        Reads the frames: a file that takes it down does not take down the server.
    project : Project
        Remembers what is excluded.
    """

    def __init__(self, child: EngineChild, project: Project) -> None:
        self._child, self._project = child, project
        self.folders: list[Path] = []
        self.revision = 0
        self.is_scored = False
        self._records: dict[str, dict[str, Any]] = {}
        self._paths: dict[str, Path] = {}
        self._curves: dict[str, dict[str, Any]] = {}
        self._at_work: dict[str, asyncio.Task[bytes]] = {}

    def open(self, folders: list[Path]) -> None:
        """Begin anew with other folders."""
        self.folders = folders
        self._records, self._paths, self._curves = {}, {}, {}
        self.is_scored = False
        self.revision += 1

    def take(self, frames: list[dict[str, Any]], *, is_scored: bool) -> None:
        """Take over what the engine listed: path and record of each."""
        self._records, self._paths = {}, {}
        for frame in sorted(frames, key=lambda one: (str(one.get("date_obs") or ""), str(one.get("file")))):
            path = Path(str(frame["path"]))
            name = _id_of(path)
            self._records[name], self._paths[name] = frame, path
        self.is_scored = is_scored
        self.revision += 1

    def path(self, frame_id: str) -> Path:
        """Return the file of a frame, or raise `UsageError`; it lies below an open folder."""
        path = self._paths.get(frame_id)
        if path is None or not any(_is_below(path, folder) for folder in self.folders):
            raise UsageError("there is no such frame", "look at the list of frames again")
        return path

    def id_of_file(self, file: str) -> str | None:
        """Return the id of the frame with a name, None where there is none."""
        return next((key for key, record in self._records.items() if record.get("file") == file), None)

    def as_json(self) -> dict[str, Any]:
        """Return the table as the page gets it."""
        excluded = self.excluded()
        rows = [
            [
                key,
                shown_name(self._paths[key]),
                record.get("group"),
                *(record.get(name) for name in _RECORD),
                "exclude" if self._name(self._paths[key]) in excluded else None,
            ]
            for key, record in self._records.items()
        ]
        return {"revision": self.revision, "is_scored": self.is_scored, "columns": list(COLUMNS), "rows": rows}

    def excluded(self) -> set[str]:
        """Return the names of the frames that take no part, below the open folders."""
        return set(self._project.remembered.excluded.get(self.key, []))

    def choose(self, exclude: list[str], include: list[str]) -> dict[str, Any]:
        """
        Exclude frames, and take others in again; remembered at once.

        Raises
        ------
        UsageError
            If an id is not known.
        OutputBlocked, NotEnoughDisk
            If it cannot be remembered.
        """
        out = {self._name(self.path(one)) for one in exclude}
        back = {self._name(self.path(one)) for one in include}
        before = dict(self._project.remembered.excluded)
        names = sorted((self.excluded() | out) - back)
        self._project.remembered.excluded = {**before, self.key: names}
        try:
            self._project.save()
        except BaseException:
            self._project.remembered.excluded = before
            raise
        self.revision += 1
        return {"revision": self.revision, "n_excluded": len(names)}

    def write_list(self) -> Path | None:
        """
        Write the frames that take part where some do not, and return that file; None where all do.

        The same choice has the same file: a run that goes on is asked the same.
        """
        excluded = self.excluded()
        if not excluded or not self._records:
            return None
        names = [
            self._name(path)
            for key, path in self._paths.items()
            if self._name(path) not in excluded and self._records[key].get("stage") != "discover"
        ]
        if not names:
            raise UsageError("all frames are excluded", "include two at least")
        content = "".join(f"{name}\n" for name in sorted(names)).encode("utf-8", "surrogateescape")
        self._project.must_write()
        path = self._project.folder / f"frames-{hashlib.sha256(content).hexdigest()[:16]}.txt"
        if not path.exists():
            write_atomically(path, content)
        return path

    async def preview(self, frame_id: str, size: int, like: str | None) -> bytes:
        """
        Return a small JPEG of a frame, stretched by itself or as another one; kept on the disk.

        As another one: the curve is as wide as that one's and begins at the black point of the frame itself, so that
        stars compare while a frame under a darker sky is not black.

        Raises
        ------
        UsageError
            If there is no such frame.
        EngineGone, EngineRefusal
            From the engine.
        """
        path, other = self.path(frame_id), None if like in (None, frame_id) else self.path(str(like))
        stamp = "|".join(_stamp(one) for one in (path, other) if one is not None)
        name = hashlib.sha256(f"{stamp}|{size}".encode("utf-8", "surrogateescape")).hexdigest()[:32]
        kept = self._project.previews() / f"{name}.jpg"
        with contextlib.suppress(OSError):
            return await asyncio.to_thread(kept.read_bytes)
        if name not in self._at_work:
            work = asyncio.create_task(self._make_preview(path, other, size, kept))
            self._at_work[name] = work
            work.add_done_callback(lambda done: self._at_work.pop(name, None))
        return await asyncio.shield(self._at_work[name])

    async def _make_preview(self, path: Path, other: Path | None, size: int, kept: Path) -> bytes:
        wanted = None if other is None else await self._curve_of(other)
        # a pixel of each colour is enough for a small picture, and is read four times as quickly
        image = (await self._child.request("load", path=str(path), debayer="superpixel"))["imageId"]
        raw = self._project.exchange() / f"{kept.stem}.rgba"
        try:
            stretch: Any = "auto" if wanted is None else widened(await self._curve(image), wanted)
            made = await self._child.request(
                "preview", imageId=image, outputPath=str(raw), stretch=stretch, longest=size
            )
            from skyquilt.engine.viewing import jpeg_of_rgba

            content = await asyncio.to_thread(jpeg_of_rgba, raw, int(made["width"]), int(made["height"]))
            with contextlib.suppress(OSError):
                await asyncio.to_thread(write_atomically, kept, content)
            return content
        finally:
            raw.unlink(missing_ok=True)
            with contextlib.suppress(EngineGone, EngineRefusal):
                await self._child.request("release", imageId=image)

    async def _curve_of(self, path: Path) -> dict[str, Any]:
        """Return the auto stretch of a frame, one curve a channel, as the engine takes it."""
        key = _stamp(path)
        if key not in self._curves:
            image = (await self._child.request("load", path=str(path), debayer="superpixel"))["imageId"]
            try:
                self._curves[key] = await self._curve(image)
            finally:
                with contextlib.suppress(EngineGone, EngineRefusal):
                    await self._child.request("release", imageId=image)
        return self._curves[key]

    async def _curve(self, image: str) -> dict[str, Any]:
        return dict(await self._child.request("autoStretch", imageId=image, linked=False))

    @property
    def key(self) -> str:
        """What tells the open folders apart in the memory of the project."""
        return "\n".join(str(folder) for folder in self.folders)

    def _name(self, path: Path) -> str:
        """Return the name of a frame below the folder that holds it."""
        folder = next((one for one in self.folders if one in path.parents), None)
        return path.name if folder is None else path.relative_to(folder).as_posix()


def widened(own: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the curve `other`, moved along to the black points of `own`; each has a number a channel."""
    if len(own["shadows"]) != len(other["shadows"]):
        return own  # a frame of another kind of camera
    ends = zip(own["shadows"], other["shadows"], other["highlights"], strict=True)
    return {**other, "shadows": own["shadows"], "highlights": [low + high - black for low, black, high in ends]}


def _id_of(path: Path) -> str:
    return "f" + hashlib.sha256(os.fsencode(path)).hexdigest()[:24]


def _is_below(path: Path, folder: Path) -> bool:
    """Return whether a file lies below a folder by its true place."""
    try:
        return folder in path.resolve(strict=True).parents and path.is_file()
    except OSError:
        return False


def _stamp(path: Path) -> str:
    """Return what tells the content of a file apart from that of others."""
    try:
        status = path.stat()
    except OSError:
        raise UsageError(f"{shown_name(path)} is not there any more", "look at the list of frames again") from None
    return f"{path}|{status.st_size}|{status.st_mtime_ns}"
