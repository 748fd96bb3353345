"""What a mosaic leaves in its scratch folder besides the measurements, and how to be rid of it."""

from __future__ import annotations

from pathlib import Path

from skyquilt.engine.mosaic.assembly import remove_canvas
from skyquilt.engine.mosaic.job import remove_jobs
from skyquilt.engine.mosaic.solution import forget_solution

__all__ = ["clear_mosaic"]


def clear_mosaic(scratch: Path) -> None:
    """
    Throw away canvas, solution and jobs; the measurements of the frames stay, and what a stack keeps there.

    The solution goes first: whatever a process that is killed meanwhile leaves behind is not taken over without it.
    """
    forget_solution(scratch)
    remove_jobs(scratch)
    remove_canvas(scratch)
