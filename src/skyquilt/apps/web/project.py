"""What the app remembers of a project: settings, excluded frames, the last job; one file, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from skyquilt.engine.lock import locked
from skyquilt.errors import OutputBlocked
from skyquilt.io.atomic import write_atomically

__all__ = ["Project", "Remembered", "Settings"]

_FOLDER = ".skyquilt"
_FILE = "app.json"
_LARGEST_FILE = 64 << 20
_MOST_LEVELS = 32


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class Settings(_Model):
    """What the pages set (docs/reference/app-api.md, section 8)."""

    language: Literal["en", "fr"] | None = None
    theme: Literal["dark", "light", "night"] | None = None
    kind: Literal["stack", "mosaic"] = "stack"
    recipe: dict[str, JsonValue] = {}
    preset: str | None = Field(None, max_length=100)
    view: dict[str, JsonValue] = {}


class Remembered(_Model):
    """The file of a project."""

    schema_id: Literal["skyquilt.app"] = "skyquilt.app"
    schema_version: Literal[1] = 1
    settings: Settings = Field(default_factory=lambda: Settings(preset=None))
    folders: list[str] = []
    excluded: dict[str, list[str]] = {}
    scored: list[str] = []
    job: dict[str, JsonValue] | None = None


class Project:
    """
    An output folder and what is remembered in it.

    Attributes
    ----------
    out : Path
        Where everything is written.
    is_read_only : bool
        Because another app works in it.
    remembered : Remembered
    """

    def __init__(self, out: Path) -> None:
        self.out = out.absolute()
        self.remembered = Remembered()
        self.is_read_only = False
        self._held = ExitStack()
        self._exchange: Path | None = None

    @property
    def folder(self) -> Path:
        """Where the app keeps what is its own."""
        return self.out / _FOLDER

    def __enter__(self) -> Project:
        """Read what is there; from then on this app is the one that writes."""
        self.remembered = self._read()
        if self.folder.is_dir():
            self._hold()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._exchange is not None:
            shutil.rmtree(self._exchange, ignore_errors=True)
        self._held.close()

    def save(self) -> None:
        """
        Write what is remembered; the folder is made when there is something to keep.

        Raises
        ------
        OutputBlocked
            If another app works here, or the folder may not be written.
        NotEnoughDisk
        """
        self.must_write()
        content = self.remembered.model_dump_json(indent=1) + "\n"
        write_atomically(self.folder / _FILE, content.encode("utf-8", "surrogatepass"))

    def must_write(self) -> None:
        """Make the folder and hold it; raise `OutputBlocked` if another app does."""
        if not self.is_read_only and not self.folder.is_dir():
            self._hold()
        if self.is_read_only:
            raise OutputBlocked(
                f"another app works in {self.out.name}: this one only looks", "use the other one, or end it"
            )

    def exchange(self) -> Path:
        """Return a folder for files that the engine hands over; it goes with the app."""
        if self._exchange is None:
            home = None if self.is_read_only else self._made(self.folder / "app")
            self._exchange = Path(tempfile.mkdtemp(prefix="exchange-", dir=home))
        return self._exchange

    def levels(self) -> Path | None:
        """Return where reduced levels of large images are kept; None where nothing may be written."""
        return None if self.is_read_only else self._made(self.folder / "app" / "levels")

    def previews(self) -> Path:
        """Return where small pictures of frames are kept."""
        return self.exchange() if self.is_read_only else self._made(self.folder / "app" / "previews")

    def _made(self, folder: Path) -> Path:
        self.must_write()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise OutputBlocked(
                f"nothing can be kept in {self.out.name}: {error.strerror}", "choose another folder with --out"
            ) from error
        return folder

    def _hold(self) -> None:
        try:
            self._held.enter_context(locked(self.folder))
            self._tidy()
        except OutputBlocked as error:
            if not self.folder.is_dir():
                raise
            self.is_read_only = "another run" in error.message or not os.access(self.folder, os.W_OK)
            if not self.is_read_only:
                raise

    def _tidy(self) -> None:
        """Remove what an app that was killed left, and the levels of images that were not opened for long."""
        for left in (self.folder / "app").glob("exchange-*"):
            shutil.rmtree(left, ignore_errors=True)
        with contextlib.suppress(OSError):
            levels = sorted((self.folder / "app" / "levels").iterdir(), key=lambda path: path.stat().st_mtime)
            for old in levels[:-_MOST_LEVELS]:
                shutil.rmtree(old, ignore_errors=True)

    def _read(self) -> Remembered:
        """Return what an earlier app left; what cannot be read is as if it were not there."""
        with contextlib.suppress(OSError, ValueError, ValidationError, RecursionError):
            path = self.folder / _FILE
            if path.stat().st_size <= _LARGEST_FILE:
                return Remembered.model_validate(json.loads(path.read_text("utf-8")))
        return Remembered()
