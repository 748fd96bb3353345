"""The walk through a folder: every file that may be a frame, and every one that cannot, with the reason."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from skyquilt.core import LeftOut

__all__ = ["Candidate", "Findings", "walk"]

_FITS_NAME = re.compile(r"\.(fits?|fts)(\.(gz|bz2|z|fz))?$|\.fz$", re.IGNORECASE)
_PREVIEW_NAME = re.compile(r"\.(jpe?g|png|tiff?|avi|mp4)$", re.IGNORECASE)
_HASH_NAME = re.compile(r"[0-9a-f]{16,}", re.IGNORECASE)
_SIDECAR = "shotsinfo.json"

_CLOSED_FOLDERS = (
    (re.compile(r"processeddata$"), "own_output", "it lies in processedData, where results of earlier runs are kept"),
    (re.compile(r"thumbnails?$"), "thumbnail", "it lies in a folder of thumbnails"),
    (re.compile(r"restacked(_.*)?$"), "device_stack", "it lies in a folder of stacks that the device made anew"),
    (re.compile(r"startrails(_.*)?$"), "star_trails", "it lies in a folder of star-trail pictures"),
    (re.compile(r"solving_failed$"), "device_refused", "the device could not find its place on the sky"),
)
_CLOSED_NAMES = (
    (re.compile(r"failed[_-]"), "device_refused", "the device refused it (its name begins with failed_)"),
    (re.compile(r"(dso_|video_)?stacked[_-]"), "device_stack", "it is a stack made by the device, no single exposure"),
    (re.compile(r".*_thn\.\w+"), "thumbnail", "it is a thumbnail"),
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    A file whose header is worth reading.

    Attributes
    ----------
    path : Path
    folders : tuple of str
        Names of the folders from the root (included) down to the file's own.
    """

    path: Path
    folders: tuple[str, ...]


@dataclass(slots=True)
class Findings:
    """What the walk came across; filled while walking."""

    candidates: list[Candidate] = field(default_factory=list)
    sidecars: dict[Path, Path] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    n_previews: int = 0

    @property
    def is_empty(self) -> bool:
        return not self.candidates and not self.left_out


def walk(root: Path, exclude: Sequence[str] = ()) -> Findings:
    """
    Return every FITS file below `root` at any depth, in the order of their paths.

    Folders are entered once, links to folders included, so that a loop of links ends. A folder or a file that may not
    be read is left out with that reason. `exclude` holds shell patterns, compared without regard to case with the name,
    with the path below the root, and with each folder on the way.
    """
    findings = Findings()
    _enter(root, (root.resolve().name,), [pattern.casefold() for pattern in exclude], findings, set())
    return findings


def _enter(
    folder: Path, folders: tuple[str, ...], exclude: Sequence[str], findings: Findings, seen: set[tuple[int, int]]
) -> None:
    """Take in one folder, then those below it."""
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen and status.st_ino != 0:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as error:
        findings.left_out.append(_refused_by_system(folder, "the folder", error))
        return
    below: list[os.DirEntry[str]] = []
    for entry in entries:
        if _is_folder(entry):
            below.append(entry)
        elif entry.name.casefold() == _SIDECAR:
            findings.sidecars[folder] = Path(entry.path)
        elif _FITS_NAME.search(entry.name):
            _take(entry, folders, exclude, findings)
        elif _PREVIEW_NAME.search(entry.name) and not entry.name.startswith("."):
            findings.n_previews += 1
    for entry in below:
        _enter(Path(entry.path), (*folders, entry.name), exclude, findings, seen)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _take(entry: os.DirEntry[str], folders: tuple[str, ...], exclude: Sequence[str], findings: Findings) -> None:
    """File one FITS-like file as a candidate, or leave it out."""
    path = Path(entry.path)
    code, reason = _closed(entry.name, folders, exclude)
    if not code:
        try:
            if not stat.S_ISREG(entry.stat().st_mode):
                code, reason = "unreadable", "it is not a regular file"
        except OSError as error:
            findings.left_out.append(_refused_by_system(path, "the file", error))
            return
    if code:
        findings.left_out.append(LeftOut(path, code, reason, "discover"))
    else:
        findings.candidates.append(Candidate(path, folders))


def _closed(name: str, folders: tuple[str, ...], exclude: Sequence[str]) -> tuple[str, str]:
    """Return (code, reason) why a file is not even opened, or ("", "")."""
    if ".skyquilt" in folders[1:]:
        return "own_output", "it belongs to the working state of an earlier run"
    hidden = next((part for part in (*folders[1:], name) if part.startswith(".")), None)
    if hidden is not None:
        return "hidden", f"{hidden} is hidden: files and folders that begin with a dot are not frames"
    pattern = _excluding_pattern(name, folders, exclude)
    if pattern:
        return "excluded", f"it matches --exclude {pattern}"
    for folder in folders[1:]:
        for closed, code, reason in _CLOSED_FOLDERS:
            if closed.match(folder.casefold()):
                return code, reason
    for closed, code, reason in _CLOSED_NAMES:
        if closed.match(name.casefold()):
            return code, reason
    if _HASH_NAME.fullmatch(name.partition(".")[0]) and "dwarf" in folders[-1].casefold():
        return "device_stack", "it is the copy of the device's stack under a hash name"
    return "", ""


def _excluding_pattern(name: str, folders: tuple[str, ...], exclude: Sequence[str]) -> str:
    """Return the first pattern that the file or a folder on its way matches, or ""."""
    parts = [unicodedata.normalize("NFC", part).casefold() for part in (*folders[1:], name)]
    texts = [*parts, "/".join(parts)]
    return next((p for p in exclude if any(fnmatch(t, unicodedata.normalize("NFC", p)) for t in texts)), "")


def _refused_by_system(path: Path, what: str, error: OSError) -> LeftOut:
    """Say in one sentence why the system does not let us read."""
    if isinstance(error, PermissionError):
        return LeftOut(path, "permission", f"{what} may not be read: permission denied", "discover")
    if isinstance(error, FileNotFoundError):
        return LeftOut(path, "vanished", f"{what} is a broken link or was removed while looking", "discover")
    return LeftOut(path, "unreadable", f"{what} cannot be read: {error.strerror or error}", "discover")
