"""How much memory and disk a run may take, and what that means for the size of its tiles."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from pathlib import Path

from skyquilt.errors import NotEnoughDisk, NotEnoughMemory

__all__ = ["available_memory", "check_disk", "memory_budget", "n_processors", "release_memory", "resident_memory"]

_DEFAULT_BUDGET = 1_000_000_000
_DEFAULT_BESIDE = 400_000_000
_LEAST_BUDGET = 64_000_000


def n_processors() -> int:
    """Return the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def available_memory() -> int:
    """Return the bytes of memory that are free for programs, the limit of the control group included."""
    free = 4_000_000_000
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        used = Path("/sys/fs/cgroup/memory.current")
        taken = int(used.read_text()) if used.exists() else 0
        free = min(free, max(0, int(text) - taken))
    return free


def resident_memory() -> int:
    """Return the bytes of memory that this process holds now (an estimate where the system does not tell)."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 250_000_000


def release_memory() -> None:
    """
    Give the memory that was freed back to the system, where the allocator would keep it for later.

    The GNU library keeps up to 64 MB for each thread that ever was; without this a phase adds its peak to what the
    one before left over. A few milliseconds.
    """
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def memory_budget(asked: int | None) -> int:
    """
    Return the bytes that the process may hold in all: what was asked for, or else half of what is free, up to 1 GB.

    Within a program that holds much already, such as a notebook, the run may take 400 MB beside it.

    Raises
    ------
    NotEnoughMemory
        If the answer leaves nothing to work with beside the program itself.
    """
    held = resident_memory()
    budget = asked
    if budget is None:
        budget = held + min(available_memory() // 2, max(_DEFAULT_BUDGET - held, _DEFAULT_BESIDE))
    if budget < held + _LEAST_BUDGET:
        raise NotEnoughMemory(
            f"{budget / 1e6:.0f} MB of memory are too few: the program itself holds {held / 1e6:.0f} MB",
            f"give at least --memory {(held + _LEAST_BUDGET) / 1e6 + 50:.0f}MB",
        )
    return budget


def check_disk(folder: Path, needed: int, option: str = "--out") -> None:
    """
    Refuse to start when the products and the scratch cannot fit.

    Parameters
    ----------
    folder : Path
        Need not exist yet.
    needed : int, bytes
    option : str
        That chooses the folder.

    Raises
    ------
    NotEnoughDisk
        With both figures.
    """
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise NotEnoughDisk(
            f"{needed / 1e6:.0f} MB are needed in {folder}, {free / 1e6:.0f} MB are free",
            f"free some space or choose another disk with {option}",
        )
