"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from pathlib import Path
from types import TracebackType

from skyquilt.errors import NotEnoughDisk, OutputBlocked, SkyquiltError

__all__ = ["AtomicFile", "blocked", "write_atomically"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_counter = itertools.count()


def blocked(path: Path, cause: OSError) -> SkyquiltError:
    """Return `NotEnoughDisk` or `OutputBlocked`, which tell in one sentence why a file could not be written."""
    if cause.errno in _FULL:
        return NotEnoughDisk(f"there is no room left for {path.name} in its folder", "free some space, then run again")
    if cause.errno in (errno.EACCES, errno.EPERM):
        return OutputBlocked(
            f"{path.name} may not be written", "check the permissions of the folder, or choose another"
        )
    if cause.errno == errno.EROFS:
        return OutputBlocked(f"{path.name} lies on a disk that is read-only", "choose another output folder")
    taken = next((place for place in path.parents if place.is_file()), None)
    if taken is not None:
        return OutputBlocked(f"{taken} is a file, not a folder", "choose another output folder")
    if cause.errno in (errno.ENOENT, errno.ENOTDIR):
        return OutputBlocked(f"the folder for {path.name} is not there", "make it, or choose another output folder")
    if cause.errno in (errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST):
        return OutputBlocked(f"{path.name} is a folder", "choose another name")
    reason = cause.strerror or type(cause).__name__
    return OutputBlocked(f"{path.name} cannot be written: {reason}", "check the disk, then run again")


class AtomicFile:
    """
    A file that appears under its name only when it is complete and on the disk.

    The bytes go to a dot file in the same folder; `commit` flushes them to the disk, renames and flushes the folder.
    Leaving the `with` block commits, or removes the dot file if an exception passes through. An existing file of that
    name is replaced at the rename and is whole until then.

    Raises
    ------
    NotEnoughDisk, OutputBlocked
        From every method, with one sentence.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        name = f".{self.path.name[:60]}.{os.getpid()}-{next(_counter)}.part"
        self._temporary = self.path.parent / name
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            self._descriptor = os.open(self._temporary, flags, 0o666)
        except OSError as cause:
            raise blocked(self.path, cause) from cause

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        else:
            self.abandon()

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all bytes of `data` at an offset; safe from several threads where the system has `pwrite`."""
        view = memoryview(data).cast("B")
        try:
            while len(view):
                if hasattr(os, "pwrite"):
                    done = os.pwrite(self._descriptor, view, offset)
                else:
                    os.lseek(self._descriptor, offset, os.SEEK_SET)
                    done = os.write(self._descriptor, view)
                view, offset = view[done:], offset + done
        except OSError as cause:
            raise blocked(self.path, cause) from cause

    def commit(self) -> None:
        """Flush, rename, flush the folder; the file is there when this returns."""
        if self._descriptor < 0:
            return
        try:
            os.fsync(self._descriptor)
            self._close()
            self._temporary.replace(self.path)
            _flush_folder(self.path.parent)
        except OSError as cause:
            self.abandon()
            raise blocked(self.path, cause) from cause

    def abandon(self) -> None:
        """Remove what was written; nothing appears under the name."""
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            self._temporary.unlink()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write a whole file at once."""
    with AtomicFile(path) as file:
        file.write_at(0, data)


def _flush_folder(folder: Path) -> None:
    """Make the rename outlive a power cut, where the system can flush a folder."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as cause:
        if cause.errno not in (errno.EINVAL, errno.ENOTSUP):  # network disks that cannot flush a folder
            raise
    finally:
        os.close(descriptor)
