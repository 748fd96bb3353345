"""What lives as long as the engine: open images, the pictures of jobs, its folder for links and intermediate files."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path

from skyquilt.apps.worker.reduced import ReducedOnes
from skyquilt.engine.images import ImageStore, LivePicture, OpenImage
from skyquilt.errors import NoUsableInput, UsageError

__all__ = ["JOB_PREFIX", "Session", "existing_folder"]

JOB_PREFIX = "job:"
_MOST_PICTURES = 8


class Session:
    """
    The state that commands share; safe under threads.

    Parameters
    ----------
    store : ImageStore
    """

    def __init__(self, store: ImageStore) -> None:
        self.store = store
        self.reduced = ReducedOnes()
        self._pictures: OrderedDict[str, LivePicture | Path] = OrderedDict()
        self._opened: dict[str, str] = {}
        self._folder: Path | None = None
        self._lock = threading.Lock()

    def image(self, handle: str) -> OpenImage:
        """
        Return an open image, or the picture of a job: as far as it has grown, then its result.

        Raises
        ------
        UsageError
            If there is none of that handle.
        NoUsableInput
            If the job has no picture yet.
        """
        if not handle.startswith(JOB_PREFIX):
            return self.store.get(handle)
        with self._lock:
            picture = self._pictures.get(handle)
            opened = self._opened.get(handle)
        if picture is None:
            raise UsageError(
                f"no job {handle.removeprefix(JOB_PREFIX)[:80]!r} has a picture", "stacks and mosaics have one"
            )
        if isinstance(picture, LivePicture):
            return picture.image()
        if opened is None:
            opened = self.store.open(picture)
            with self._lock:
                self._opened[handle] = opened
        return self.store.get(opened)

    def show(self, job: str, picture: LivePicture | Path) -> None:
        """Keep what a job shows: those of the last eight jobs, of which one grows or was stopped."""
        with self._lock:
            if isinstance(picture, LivePicture):  # one run works at a time: the others are results, or given up
                for handle in [one for one, other in self._pictures.items() if isinstance(other, LivePicture)]:
                    del self._pictures[handle]
            self._pictures[JOB_PREFIX + job] = picture
            self._pictures.move_to_end(JOB_PREFIX + job)
            old = list(self._pictures)[:-_MOST_PICTURES]
        for handle in old:
            self._forget(handle)

    def release(self, handle: str) -> None:
        """Let an image go, or the picture of a job."""
        if not handle.startswith(JOB_PREFIX):
            self.store.release(handle)
        elif not self._forget(handle):
            raise UsageError(f"no job {handle.removeprefix(JOB_PREFIX)[:80]!r} has a picture")

    def release_all(self) -> int:
        """Let all images go; the pictures of jobs stay until they are released, and are read anew."""
        with self._lock:
            self._opened.clear()
        return self.store.release_all()

    def _forget(self, handle: str) -> bool:
        with self._lock:
            was_there = self._pictures.pop(handle, None) is not None
            opened = self._opened.pop(handle, None)
        if opened is not None:
            self.store.release(opened)
        return was_there

    def folder(self) -> Path:
        """Return a folder for what only this engine needs; it goes with the engine."""
        with self._lock:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="skyquilt-engine-"))
            return self._folder

    def close(self) -> None:
        """Let everything go."""
        self.release_all()
        with self._lock:
            folder, self._folder = self._folder, None
            self._pictures.clear()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def existing_folder(text: str) -> Path:
    """Return a folder that is there, or raise `NoUsableInput`."""
    folder = Path(text)
    if not folder.is_dir():
        what = f"{folder} is a file, a folder is expected" if folder.exists() else f"there is no folder {folder}"
        raise NoUsableInput(what, "give the folder that holds the frames")
    return folder
