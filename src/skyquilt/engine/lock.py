"""One run at a time in one output folder."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skyquilt.errors import OutputBlocked
from skyquilt.io.atomic import blocked

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["locked"]

_CANNOT_LOCK = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)
_PART = re.compile(r"\..+\.(\d+)-\d+\.part")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """
    Hold the lock of a scratch folder; what a killed run left half written beside it is removed first.

    The system's lock on a file decides, which ends with its process however that ends. Where the disk or the system
    has none, the process number and its start time in the file do: one left behind by a killed run, or by another
    program that got the same number since, does not block.

    Raises
    ------
    OutputBlocked
        If a living run holds it.
    """
    path = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _take(path)
    except OSError as error:
        raise blocked(folder, error) from error
    try:
        _remove_parts(folder.parent)
        yield
    finally:
        with contextlib.suppress(OSError):
            if fcntl is None:  # Windows removes no open file
                os.close(descriptor)
                path.unlink(missing_ok=True)
            else:
                path.unlink(missing_ok=True)
                os.close(descriptor)


def _take(path: Path) -> int:
    """Return the descriptor of the lock, held by this process."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            holder = _holder(descriptor)
            is_held = _is_held(descriptor)
            if is_held is None:
                is_held = bool(holder) and _start_of(holder["pid"]) == holder["start"]
            if is_held:
                name = f" (process {holder['pid']})" if holder else ""
                raise OutputBlocked(
                    f"another run{name} is working in {path.parent.parent}",
                    "wait for it, or choose another folder with --out",
                )
            if _is_same_file(descriptor, path):
                me = {"pid": os.getpid(), "start": _start_of(os.getpid())}
                os.truncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, json.dumps(me).encode("ascii"))
                return descriptor
            os.close(descriptor)  # its holder has just let it go and removed it
        except BaseException:
            with contextlib.suppress(OSError):
                os.close(descriptor)
            raise


def _is_held(descriptor: int) -> bool | None:
    """Take the system's lock of a file; return whether another one holds it, or None where there are no such locks."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno in _CANNOT_LOCK:
            return None
        raise
    return False


def _is_same_file(descriptor: int, path: Path) -> bool:
    """Return whether the open file still lies at its path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _holder(descriptor: int) -> dict[str, int]:
    """Return who wrote the lock, or {} if nobody did."""
    try:
        data = json.loads(os.read(descriptor, 1000))
        return {"pid": int(data["pid"]), "start": int(data["start"])}
    except (ValueError, KeyError, TypeError):
        return {}


def _start_of(pid: int) -> int:
    """Return when a process started, in the system's ticks; 0 if it does not run or the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return 0 if fields[0] in "ZX" else int(fields[19])  # the dead that nobody has asked after hold nothing
    except (OSError, IndexError, ValueError):
        pass
    try:
        os.kill(pid, 0)
    except OSError:
        return 0
    return 1


def _remove_parts(folder: Path) -> None:
    """Remove the files that a process had begun to write that is dead now: none of them has its name yet."""
    for path in folder.rglob(".*.part"):
        match = _PART.fullmatch(path.name)
        if match and not _start_of(int(match[1])):
            with contextlib.suppress(OSError):
                path.unlink()
