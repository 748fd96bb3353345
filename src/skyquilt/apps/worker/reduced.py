"""The reduced master of the last preview, kept for the next one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skyquilt.engine.finish import ReducedMaster

__all__ = ["ReducedOnes"]


@dataclass(eq=False)
class ReducedOnes:
    """The reduced master that was asked for last: the next preview of it reads no file. Used by one thread."""

    _stamp: tuple[str, int, int] | None = None
    _held: ReducedMaster | None = None

    def of(self, path: Path) -> ReducedMaster:
        """Return a master on coarser pixels, from memory while its file has not changed."""
        from skyquilt.engine.finish import open_master, reduce_master

        status = path.stat()
        stamp = (str(path), status.st_size, status.st_mtime_ns)
        if self._held is None or self._stamp != stamp:
            self._held, self._stamp = reduce_master(open_master(path)), stamp
        return self._held
