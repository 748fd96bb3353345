"""The files of the viewer: a table that is made at the start, so that no path of a request ever meets the disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["StaticFile", "StaticFiles"]

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
_NOT_BUILT = (
    b"<!doctype html>\n<html lang=en><meta charset=utf-8><title>skyquilt</title>\n"
    b"<p>The viewer is not built in this installation: run <code>make viewer</code>, then start skyquilt app again.\n"
)
_HASHED = "assets/"
_LARGEST = 16 << 20


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent: its bytes, type, ETag, and whether it never changes under its name."""

    content: bytes
    media_type: str
    etag: str
    is_immutable: bool


class StaticFiles:
    """
    The files below a folder, read once.

    Parameters
    ----------
    folder : Path
        Links in it are left aside. Without an index.html a page says in one sentence what to do.
    """

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, StaticFile] = {}
        for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
            name = path.relative_to(folder).as_posix()
            if path.is_symlink() or not path.is_file() or path.suffix not in _TYPES or path.stat().st_size > _LARGEST:
                continue
            if not any(part.startswith(".") for part in path.relative_to(folder).parts):
                self._files[name] = _file(name, path.read_bytes(), _TYPES[path.suffix])
        self.is_built = "index.html" in self._files
        if not self.is_built:
            self._files["index.html"] = _file("index.html", _NOT_BUILT, _TYPES[".html"])

    def find(self, name: str) -> StaticFile | None:
        """Return the file of a name; "" is the page itself."""
        return self._files.get(name or "index.html")


def _file(name: str, content: bytes, media_type: str) -> StaticFile:
    etag = f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"'
    return StaticFile(content, media_type, etag, name.startswith(_HASHED))
