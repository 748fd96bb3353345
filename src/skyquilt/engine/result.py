"""What a run is asked besides its recipe, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skyquilt.core import Box, Session
from skyquilt.engine.manifest import Manifest
from skyquilt.errors import SkyquiltError

__all__ = ["GroupFailure", "Plan", "RunOptions", "RunResult", "StackResult"]


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class RunOptions:
    """
    How a run goes about its work; none of these changes a pixel.

    Attributes
    ----------
    dry_run : bool
        Plan, predict and stop.
    frame_list : Path or None
        Only the frames named in that text or CSV file take part.
    load_transforms, save_transforms
        Reuse the registration of an earlier run; write `transforms.json`.
    use_cache, refresh_cache : bool
        Whether measurements are kept and reused; whether kept ones are thrown away first, and the canvas of a mosaic.
    should_stop : callable
        Polled; when it returns True the run ends with `Interrupted` after the tile in hand and can be resumed.
    sky_cache : Path or None
        Folder in which the index of the whole sky is kept between blind searches; None: it is built each time.
    scratch : Path or None
        Folder in which a mosaic works, in a folder of its name; None: in the folder of its products.
    keep_canvas : bool
        Whether the canvas that a mosaic grew on stays after success, so that frames can be added later.
    created : str or None
        ISO date for the DATE card of the products; None leaves it out (reproducible files).
    scheduler : str or None
        Address of a Dask scheduler, such as "tcp://host:8786", whose workers measure and place the frames, look for
        trails and make the tiles of a mosaic; frames and output folder lie on a disk that all machines share. A dry
        run, which writes nothing, measures and places on this machine. None: all on this machine.
    """

    dry_run: bool = False
    frame_list: Path | None = None
    load_transforms: Path | None = None
    save_transforms: bool = False
    use_cache: bool = True
    refresh_cache: bool = False
    should_stop: Callable[[], bool] = _never
    sky_cache: Path | None = None
    scratch: Path | None = None
    keep_canvas: bool = True
    created: str | None = None
    scheduler: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """
    What a stack will take: predicted before any pixel is integrated.

    Attributes
    ----------
    canvas : Box, px of the reference
    peak_memory_bytes, scratch_bytes, output_bytes : int
    seconds : float
    schedule : str
        "cube" or "sweep".
    n_threads, n_writers : int
        Tiles that are integrated, and products that are written at once.
    holds_values : bool
        Whether all products share the values of the canvas in memory; else each reads them from the scratch.
    lines : list of str
        The plan in sentences.
    calibration_table : list of dict
        One row for each set of calibration frames considered, with the verdict and the reason.
    """

    name: str
    n_frames: int
    n_channels: int
    canvas: Box
    tile: tuple[int, int]
    peak_memory_bytes: int
    scratch_bytes: int
    output_bytes: int
    seconds: float
    schedule: str
    n_threads: int = 1
    n_writers: int = 1
    holds_values: bool = False
    lines: list[str] = field(default_factory=list)
    calibration_table: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class StackResult:
    """One finished stack: where its products lie, by name, and its manifest."""

    name: str
    folder: Path
    manifest: Manifest
    outputs: dict[str, Path]


@dataclass(frozen=True, slots=True)
class GroupFailure:
    """A group that could not be stacked, and why."""

    name: str
    error: SkyquiltError


@dataclass(frozen=True, slots=True)
class RunResult:
    """All stacks of one folder."""

    session: Session
    plans: tuple[Plan, ...] = ()
    stacks: tuple[StackResult, ...] = ()
    failures: tuple[GroupFailure, ...] = ()
