"""The frames that a person took out of a live stack: a text file that any program can change while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from skyquilt.io.atomic import write_atomically

__all__ = ["Choice"]

_NAME = "live_excluded.txt"
_HEAD = "# Frames that the live stack leaves out, a name a line. Changes are seen at once.\n"


class Choice:
    """
    The list of excluded frames in an output folder.

    Parameters
    ----------
    out : Path
        The file is `live_excluded.txt` in it.
    """

    def __init__(self, out: Path) -> None:
        self.path = out / _NAME

    def excluded(self) -> frozenset[str]:
        """Return the names of the excluded frames; none if there is no such file."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return frozenset()
        return frozenset(name for line in lines if (name := line.strip()) and not name.startswith("#"))

    def change(self, exclude: Iterable[str] = (), include: Iterable[str] = ()) -> frozenset[str]:
        """
        Exclude frames and take others in again; return all that are excluded.

        Raises
        ------
        NotEnoughDisk, OutputBlocked
        """
        before = self.excluded()
        names = (before | frozenset(exclude)) - frozenset(include)
        if names != before:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, (_HEAD + "".join(f"{name}\n" for name in sorted(names))).encode())
        return names
