"""Copies of one frame under two names."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Hashable, Sequence
from pathlib import Path

from skyquilt.core import FrameFile

__all__ = ["find_duplicates"]


def find_duplicates(frames: Sequence[FrameFile]) -> dict[Path, FrameFile]:
    """
    Return, for each file that repeats another one, the file it repeats (the first in the order of their paths).

    Only files of equal size and moment are read and hashed; where the header gives no moment, of equal size and name.
    """
    suspects: dict[Hashable, list[FrameFile]] = defaultdict(list)
    for frame in frames:
        moment = ("date", frame.meta.date_obs) if frame.meta.date_obs else ("name", frame.name)
        suspects[(frame.size_bytes, *moment)].append(frame)
    repeats: dict[Path, FrameFile] = {}
    for group in suspects.values():
        if len(group) < 2:
            continue
        first: dict[bytes, FrameFile] = {}
        for frame in sorted(group, key=lambda frame: str(frame.path)):
            digest = _digest(frame.path)
            if digest is None:
                continue
            original = first.setdefault(digest, frame)
            if original is not frame:
                repeats[frame.path] = original
    return repeats


def _digest(path: Path) -> bytes | None:
    """Return the hash of a file's content; None if it can no longer be read (which the reader will report)."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return None
