"""Folders that the page may see: those below the roots that were given at the start, by id and never by path."""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyquilt.core import FrameKind
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.io.discover import kind_of_folder

__all__ = ["Roots", "shown_name"]

_MOST_ENTRIES = 2000
_MOST_LOOKED_AT = 20_000
_MOST_COUNTED = 200
_IMAGES = (".fit", ".fits", ".fts", ".fit.gz", ".fits.gz", ".fz", ".fit.bz2", ".fits.bz2")


def shown_name(path: Path) -> str:
    """Return the name of a file or folder as text; bytes that are no text become question marks."""
    return os.fsencode(path.name or str(path)).decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class _Entry:
    path: Path
    root: Path


class Roots:
    """
    The folders that were handed out, by id.

    Parameters
    ----------
    folders : sequence of Path
        The roots; links in them are followed here, once.

    Raises
    ------
    NoUsableInput
        If a root is no folder.
    """

    def __init__(self, folders: list[Path]) -> None:
        self._salt = secrets.token_bytes(16)
        self._known: dict[str, _Entry] = {}
        self.roots: list[Path] = []
        for folder in folders:
            if not folder.is_dir():
                raise NoUsableInput(f"there is no folder {folder}", "give the folder that holds your sessions")
            self.roots.append(folder.resolve())
        self.root_ids = [self._know(root, root) for root in self.roots]

    def path(self, folder_id: str) -> Path:
        """
        Return the folder of an id, made sure of that it still lies below its root.

        Raises
        ------
        UsageError
            If there is no such folder any more.
        """
        entry = self._known.get(folder_id)
        if entry is None or not _is_inside(entry.path, entry.root):
            raise UsageError("there is no such folder", "look at the list of folders again")
        return entry.path

    def id_of(self, path: Path) -> str | None:
        """Return the id of a folder, None if it does not lie below a root."""
        root = next((root for root in self.roots if path == root or root in path.parents), None)
        return None if root is None or not _is_inside(path, root) else self._know(path, root)

    @property
    def lone_session(self) -> Path | None:
        """The only root, if frames lie in it; None where there is a choice to make."""
        return self.roots[0] if len(self.roots) == 1 and _count_images(self.roots[0]) else None

    def describe(self, path: Path) -> dict[str, Any]:
        """Return a folder as the page gets it."""
        return {"id": self.id_of(path), "name": shown_name(path), "n_images": None}

    def listing(self, folder_id: str | None) -> dict[str, Any]:
        """Return the roots, or what lies in a folder (docs/reference/app-api.md, section 3)."""
        if folder_id is None:
            folders = [self.describe(root) for root in self.roots]
            return {"folder": None, "parents": [], "folders": folders, "n_files": 0, "is_cut": False}
        path, root = self.path(folder_id), self._known[folder_id].root
        inner, n_files, is_cut = _look(path, root)
        parents = [one for one in reversed(path.parents) if one == root or root in one.parents]
        folders = []
        for k, folder in enumerate(inner):
            count = _count_images(folder) if k < _MOST_COUNTED else None
            folders.append({"id": self._know(folder, root), "name": shown_name(folder), "n_images": count})
        own = {"id": folder_id, "name": shown_name(path), "n_images": _count_images(path)}
        return {
            "folder": own,
            "parents": [self.describe(one) for one in parents],
            "folders": folders,
            "n_files": n_files,
            "is_cut": is_cut,
        }

    def _know(self, path: Path, root: Path) -> str:
        name = hashlib.blake2b(os.fsencode(path), key=self._salt, digest_size=15).hexdigest()
        self._known[name] = _Entry(path, root)
        return name


def _is_inside(path: Path, root: Path) -> bool:
    """Return whether a folder lies below a root by its true place, no link on the way."""
    try:
        return path.resolve(strict=True) == path and path.is_dir() and (path == root or root in path.parents)
    except OSError:
        return False


def _look(path: Path, root: Path) -> tuple[list[Path], int, bool]:
    """Return the folders in a folder, sorted, the number of files, and whether there are more than are looked at."""
    folders: list[Path] = []
    n_files = n_seen = 0
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                n_seen += 1
                if n_seen > _MOST_LOOKED_AT:
                    break
                if entry.name.startswith("."):
                    continue
                mode = entry.stat(follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode) and len(folders) < _MOST_ENTRIES:
                    folders.append(Path(entry.path))
                n_files += stat.S_ISREG(mode)
    except OSError as error:
        raise NoUsableInput(f"{shown_name(path)} cannot be read: {error.strerror}", "check its permissions") from error
    is_cut = n_seen > _MOST_LOOKED_AT or len(folders) >= _MOST_ENTRIES
    return sorted(folders, key=lambda folder: folder.name.lower()), n_files, is_cut


def _count_images(folder: Path) -> int | None:
    """Return how many frames a folder holds by their names, those of its folder for lights counted; None: hidden."""
    n_images = 0
    try:
        with os.scandir(folder) as entries:
            for entry, _ in zip(entries, range(_MOST_LOOKED_AT), strict=False):
                if entry.name.lower().endswith(_IMAGES):
                    n_images += 1
                elif kind_of_folder(entry.name) is FrameKind.LIGHT and entry.is_dir(follow_symlinks=False):
                    n_images += _count_images(Path(entry.path)) or 0
    except OSError:
        return None
    return n_images
