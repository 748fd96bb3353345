"""The assembly of a mosaic: every chunk that is not done yet, on threads or on a cluster; resumable at any moment."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from skyquilt.core import Event, Listener
from skyquilt.engine.budget import release_memory
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.mosaic.chunks import FrameGoneError, forget_samplers, integrate_chunk
from skyquilt.engine.mosaic.job import CHUNK_PX, MosaicJob, read_job
from skyquilt.errors import Interrupted
from skyquilt.io.tiled import TiledCanvas

__all__ = [
    "ChunkOutcome",
    "ChunkRunner",
    "assemble",
    "canvas_of_worker",
    "frame_counts",
    "make_chunk",
    "on_threads",
    "open_canvas",
    "remove_canvas",
]

_CANVAS = "canvas"


@dataclass(frozen=True, slots=True)
class ChunkOutcome:
    """
    What became of one chunk.

    Attributes
    ----------
    number : int
        Of the chunk in `MosaicJob.chunks`.
    gone : int
        Number of the frame that cannot be read any more, or -1; the chunk is not done then.
    reason : str
    """

    number: int
    gone: int = -1
    reason: str = ""


class ChunkRunner(Protocol):
    """Makes chunks somewhere and yields what became of each, in any order."""

    def __call__(
        self, job_path: Path, canvas: TiledCanvas, numbers: Sequence[int], should_stop: Callable[[], bool]
    ) -> Iterator[ChunkOutcome]: ...


def open_canvas(job: MosaicJob, scratch: Path) -> TiledCanvas:
    """Return the store of the canvas, taken over from an earlier run where that made the same mosaic."""
    return TiledCanvas.create(
        scratch / _CANVAS, job.key, job.canvas.width, job.canvas.height, job.n_channels, chunk=CHUNK_PX
    )


def remove_canvas(scratch: Path) -> None:
    """Throw away the store of the canvas."""
    shutil.rmtree(scratch / _CANVAS, ignore_errors=True)


def assemble(
    job_path: Path, canvas: TiledCanvas, run_chunks: ChunkRunner, listener: Listener, should_stop: Callable[[], bool]
) -> list[ChunkOutcome]:
    """
    Make every chunk that is not done; return the outcomes of those that could not be made since a frame is gone.

    Parameters
    ----------
    job_path : Path
        As `write_job` returned it.
    canvas : TiledCanvas
        As `open_canvas` returned it.

    Raises
    ------
    Interrupted
        On request; what is done is kept.
    NotEnoughDisk, OutputBlocked
        If a chunk cannot be stored.
    """
    job = read_job(job_path)
    chunks = job.chunks()
    keys = {box: job.tile_key(box) for box in chunks}
    damaged = canvas.verify() if canvas.done() else frozenset()
    if damaged:
        listener(
            Event("warning", "integrate", f"{len(damaged)} pieces of the canvas were damaged; they are made again")
        )
    done = canvas.done({box: key for box, key in keys.items() if key})
    stale = canvas.done() - done
    missing = [k for k, box in enumerate(chunks) if box not in done and (keys[box] or box in stale)]
    n_known = sum(bool(key) for key in keys.values())
    if done:
        listener(Event("notice", "integrate", f"{len(done)} of {n_known} pieces of the canvas are there already"))
    place = {
        "canvas": [0, 0, job.canvas.width, job.canvas.height],
        "channels": job.n_channels,
        "store": str(canvas.folder),
    }
    listener(Event("phase", "integrate", done=len(done), total=n_known, data=place))
    gone: list[ChunkOutcome] = []
    finished = len(done)
    for outcome in run_chunks(job_path, canvas, missing, should_stop):
        if outcome.gone >= 0:
            gone.append(outcome)
            continue
        finished += 1
        box = chunks[outcome.number]
        listener(
            Event(
                "progress",
                "integrate",
                done=finished,
                total=n_known,
                data={"boxes": [[box.x0, box.y0, box.x1, box.y1]]},
            )
        )
    return gone


def on_threads(n_threads: int) -> ChunkRunner:
    """Return the runner that makes chunks on threads of this process."""

    def run(
        job_path: Path, canvas: TiledCanvas, numbers: Sequence[int], should_stop: Callable[[], bool]
    ) -> Iterator[ChunkOutcome]:
        try:
            yield from run_in_order(
                lambda number: make_chunk(job_path, number, canvas),
                numbers,
                n_threads=n_threads,
                should_stop=should_stop,
            )
        finally:
            forget_samplers()
            release_memory()

    return run


def _always() -> bool:
    return True


def make_chunk(
    job_path: Path, number: int, canvas: TiledCanvas, may_write: Callable[[], bool] = _always
) -> ChunkOutcome:
    """
    Integrate one chunk and store it: the task of a thread, or of a worker on another machine.

    Parameters
    ----------
    job_path : Path
        On a disk that all of them share.
    number : int
        Of the chunk.
    canvas : TiledCanvas
        The store, opened by this process.
    may_write : callable
        Asked before the chunk is stored.

    Raises
    ------
    Interrupted
        If it may not.
    NotEnoughDisk, OutputBlocked
    """
    job = read_job(job_path)
    box = job.chunks()[number]
    try:
        tile, counts = integrate_chunk(job, job_path.parent, box)
    except FrameGoneError as error:
        return ChunkOutcome(number, error.index, error.reason)
    if not may_write():
        raise Interrupted("another run is at work on this mosaic")
    canvas.write(tile, job.tile_key(box), {"samples": counts})
    return ChunkOutcome(number)


def canvas_of_worker(job_path: Path, writer: str) -> TiledCanvas:
    """Return the store as another process opens it, under its own name."""
    return TiledCanvas.open(job_path.parent / _CANVAS, read_job(job_path).key, writer=writer)


def frame_counts(canvas: TiledCanvas, job: MosaicJob) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Return int64 (n_frames, 3): samples of every frame that landed, that were rejected low, high."""
    total = np.zeros((len(job.frames), 3), dtype=np.int64)
    keys = {box: key for box in job.chunks() if (key := job.tile_key(box))}
    for box in canvas.done(keys):
        np.add.at(total, job.deciding(box), canvas.side(box)["samples"])
    return total
