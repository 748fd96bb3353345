"""Which frames below a growing folder are complete on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skyquilt.core import FrameFile
from skyquilt.errors import UnreadableFrame
from skyquilt.io.discover import walk
from skyquilt.io.fits import open_frame

__all__ = ["FolderWatch", "FrameProblem"]

_Signature = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class FrameProblem:
    """A file that has not changed for a while and still is no complete frame."""

    path: Path
    reason: str


@dataclass(slots=True)
class _Seen:
    """What was last seen of a file: inode, size, time of change, and since when it has been so."""

    signature: _Signature
    since: float
    is_complete: bool = False
    is_told: bool = False


@dataclass(eq=False)
class FolderWatch:
    """
    Looks into a folder again and again; a frame is complete when its file rests and all its data are there.

    Parameters
    ----------
    root : Path
    exclude : sequence of str
        Shell patterns of files to pass over.
    settle_s : float
        A file rests when it has not changed for so long: one that is written slowly does not enter early, one that
        was renamed into place waits no longer than that.
    tell_after_s : float
        A file that rests for so long without being complete is a problem to tell.
    """

    root: Path
    exclude: Sequence[str] = ()
    settle_s: float = 0.3
    tell_after_s: float = 10.0
    _files: dict[Path, _Seen] = field(default_factory=dict)
    _opened: dict[Path, tuple[_Signature, FrameFile]] = field(default_factory=dict)

    @property
    def n_waiting(self) -> int:
        """Files that are not complete yet, and not given up on."""
        return sum(not seen.is_complete and not seen.is_told for seen in self._files.values())

    def since(self, path: Path) -> float:
        """Return when a file last changed, on the clock of `look`."""
        return self._files[path].since

    def look(self, now: float) -> tuple[list[Path], list[FrameProblem]]:
        """
        Return the files that have become complete since the last look, and those that are a problem.

        A file that changes after it was complete is a new one. One that goes away stays what it was.

        Parameters
        ----------
        now : float, s
            On a clock that never goes back.
        """
        arrived: list[Path] = []
        problems: list[FrameProblem] = []
        for candidate in walk(self.root, self.exclude).candidates:
            path = candidate.path
            try:
                signature = _signature(path)
            except OSError:
                continue  # it has just gone, or been renamed
            seen = self._files.get(path)
            if seen is None or seen.signature != signature:
                self._files[path] = _Seen(signature, now)
            elif not seen.is_complete and not seen.is_told and now - seen.since >= self.settle_s:
                reason = self._problem(path)
                if not reason:
                    seen.is_complete = True
                    arrived.append(path)
                elif now - seen.since >= self.tell_after_s:
                    seen.is_told = True
                    problems.append(FrameProblem(path, reason))
        return arrived, problems

    def _problem(self, path: Path) -> str:
        """Return what a file that rests lacks, or ""."""
        try:
            self.open_file(path)
        except UnreadableFrame as error:
            return error.message
        except OSError as error:
            return f"{path.name} cannot be read: {error.strerror or error}"
        return ""

    def open_file(self, path: Path) -> FrameFile:
        """Return the frame in a file as `io.fits.open_frame` does; the header of an unchanged file is read once."""
        signature = _signature(path)
        known = self._opened.get(path)
        if known is None or known[0] != signature:
            known = self._opened[path] = signature, open_frame(path)
        return known[1]


def _signature(path: Path) -> _Signature:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns
