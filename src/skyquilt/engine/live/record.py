"""What a live stack has come through: a line for each change of its picture, kept between runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from skyquilt.io.atomic import blocked

__all__ = ["LiveRecord"]


class LiveRecord:
    """
    The journal of a live stack, one JSON object a line.

    Parameters
    ----------
    path : Path
        A line that a killed run left unfinished is passed over.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.lines: list[dict[str, Any]] = []
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
        for line in text.splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                self.lines.append(found)
        self._is_cut = bool(text) and not text.endswith("\n")

    def curve(self, most: int = 1000) -> list[dict[str, Any]]:
        """Return frames, noise and expected noise of the lines, thinned out to at most about so many."""
        names = ("n_in", "exposure_s", "noise_adu", "expected_adu")
        step = max(1, -(-len(self.lines) // most))
        return [{name: line.get(name) for name in names} for line in self.lines[::step]]

    def add(self, line: dict[str, Any]) -> None:
        """
        Keep a line.

        Raises
        ------
        NotEnoughDisk, OutputBlocked
        """
        self.lines.append(line)
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n" * self._is_cut + json.dumps(line) + "\n")
        except OSError as error:
            raise blocked(self._path, error) from error
        self._is_cut = False
