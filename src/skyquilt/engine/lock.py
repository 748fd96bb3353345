"""One run at a time in one output folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skyquilt.errors import OutputBlocked
from skyquilt.io.atomic import blocked

__all__ = ["locked"]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """
    Hold the lock of a scratch folder.

    The lock is a file with the process number and its start time, so that one left behind by a killed run, or by
    another program that got the same number since, does not block.

    Raises
    ------
    OutputBlocked
        If a living run holds it.
    """
    path = folder / "lock"
    me = {"pid": os.getpid(), "start": _start_of(os.getpid())}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        holder = _holder(path)
        if holder and holder != me and _start_of(holder["pid"]) == holder["start"]:
            raise OutputBlocked(
                f"another run (process {holder['pid']}) is working in {folder.parent}",
                "wait for it, or choose another folder with --out",
            )
        path.write_text(json.dumps(me))
    except OSError as error:
        raise blocked(folder, error) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _holder(path: Path) -> dict[str, int] | None:
    try:
        data = json.loads(path.read_text())
        return {"pid": int(data["pid"]), "start": int(data["start"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _start_of(pid: int) -> int:
    """Return when a process started, in the system's ticks; 0 if it does not run or the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[19])
    except (OSError, IndexError, ValueError):
        pass
    try:
        os.kill(pid, 0)
    except OSError:
        return 0
    return 1
