"""Copies of one frame under two names."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from skyquilt.core import FrameFile

__all__ = ["find_duplicates"]

_SAMPLE_BYTES = 4096


def find_duplicates(frames: Sequence[FrameFile]) -> dict[Path, FrameFile]:
    """
    Return, for each file that repeats another one, the file it repeats (the first in the order of their paths).

    Only files of equal size and moment are looked into; where the header gives no moment, of equal size and name. Those
    that agree in some bytes are read and hashed.
    """
    suspects: dict[Hashable, list[FrameFile]] = defaultdict(list)
    for frame in frames:
        moment = ("date", frame.meta.date_obs) if frame.meta.date_obs else ("name", frame.name)
        suspects[(frame.size_bytes, *moment)].append(frame)
    repeats: dict[Path, FrameFile] = {}
    for group in suspects.values():
        for alike in _that_agree(group, _sample):
            for same in _that_agree(alike, _digest):
                repeats |= {frame.path: same[0] for frame in same[1:]}
    return repeats


def _that_agree(frames: Sequence[FrameFile], look: Callable[[FrameFile], bytes | None]) -> list[list[FrameFile]]:
    """Return those for which `look` gives the same as for another one, together, in the order of their paths."""
    if len(frames) < 2:
        return []
    found: dict[bytes, list[FrameFile]] = defaultdict(list)
    for frame in sorted(frames, key=lambda frame: str(frame.path)):
        seen = look(frame)
        if seen is not None:
            found[seen].append(frame)
    return [alike for alike in found.values() if len(alike) > 1]


def _sample(frame: FrameFile) -> bytes | None:
    """Return some bytes from the middle of a file: the noise of two exposures is never the same."""
    try:
        with frame.path.open("rb", buffering=0) as file:
            file.seek(frame.size_bytes // 2)
            return file.read(_SAMPLE_BYTES)
    except OSError:
        return None


def _digest(frame: FrameFile) -> bytes | None:
    """Return the hash of a file's content; None if it can no longer be read (which the reader will report)."""
    try:
        with frame.path.open("rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return None
