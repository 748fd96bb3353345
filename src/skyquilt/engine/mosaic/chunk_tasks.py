"""The chunks of a mosaic as tasks of a cluster: a task is the path of the job and the number of a chunk."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from skyquilt.engine.budget import release_memory
from skyquilt.engine.executors.cluster import Cluster
from skyquilt.engine.mosaic.assembly import ChunkOutcome, ChunkRunner, canvas_of_worker, make_chunk
from skyquilt.engine.mosaic.job import read_job
from skyquilt.errors import ClusterFailed, UnreadableFrame
from skyquilt.io.atomic import write_atomically
from skyquilt.io.fits import frame_source
from skyquilt.io.tiled import TiledCanvas

__all__ = ["make_chunk_of_job", "on_cluster"]

_TURN = "turn"
_SEEN_S = 120.0  # network disks show what another machine wrote after up to a minute
_POLL_S = 0.5

_lock = threading.Lock()
_canvases: dict[tuple[Path, str], TiledCanvas] = {}
_process = uuid.uuid4().hex


def on_cluster(cluster: Cluster, at_once: int) -> ChunkRunner:
    """
    Return the runner that makes chunks on the workers of a cluster.

    Parameters
    ----------
    at_once : int
        Chunks that a worker process may have at work; it has memory for so many.
    """

    def run(
        job_path: Path, canvas: TiledCanvas, numbers: Sequence[int], should_stop: Callable[[], bool]
    ) -> Iterator[ChunkOutcome]:
        job_path, turn = job_path.absolute(), uuid.uuid4().hex
        write_atomically(job_path.parent / _TURN, turn.encode("ascii"))
        tasks = ((str(job_path), turn, number) for number in numbers)
        made = []
        with closing(cluster.run(make_chunk_of_job, tasks, at_once=at_once, should_stop=should_stop)) as results:
            for _, (number, gone, reason) in results:
                if gone >= 0:
                    _must_be_gone(job_path, gone, reason)
                else:
                    made.append(number)
                yield ChunkOutcome(number, gone, reason)
        _await(job_path, canvas, made)

    return run


def _must_be_gone(job_path: Path, number: int, reason: str) -> None:
    """Raise if a frame that a worker cannot read can be read here."""
    frame = read_job(job_path).frames[number]
    source = frame_source(frame.file)
    try:
        source.read(source.bounds)
    except UnreadableFrame:
        return
    raise ClusterFailed(
        f"a worker cannot read {frame.path}, this machine can: {reason}",
        "all machines must see the frames under the same path, with the same times of change",
    )


def _await(job_path: Path, canvas: TiledCanvas, numbers: Sequence[int]) -> None:
    """Wait until the chunks that workers have written show here."""
    job = read_job(job_path)
    chunks = job.chunks()
    keys = {chunks[number]: job.tile_key(chunks[number]) for number in numbers}
    begun = time.monotonic()
    while missing := keys.keys() - canvas.done(keys):
        if time.monotonic() - begun > _SEEN_S:
            raise ClusterFailed(
                f"{len(missing)} pieces that workers have written to {canvas.folder} do not show on this machine",
                "put --out on a disk that all machines see under the same path",
            )
        time.sleep(_POLL_S)


def make_chunk_of_job(job_path: str, turn: str, number: int) -> tuple[int, int, str]:
    """
    Integrate one chunk and store it: the task of a worker.

    Parameters
    ----------
    job_path : str
    turn : str
        Names the run that asks for it. A worker that was cut off, or whose run was killed, may come to the end of a
        chunk when a later run is at work on the same canvas: it then writes nothing.
    number : int
        Of the chunk in `MosaicJob.chunks`.

    Returns
    -------
    number, gone, reason
        As of `ChunkOutcome`.

    Raises
    ------
    ClusterFailed
        If the worker does not see the job.
    Interrupted
        If a later run has taken over.
    NotEnoughDisk, OutputBlocked
    """
    path = Path(job_path)
    if not path.is_file():
        raise ClusterFailed(
            f"{path} is not there for a worker", "put --out on a disk that all machines see under the same path"
        )
    outcome = make_chunk(path, number, _canvas(path, turn), lambda: _is_turn_of(path, turn))
    release_memory()
    return outcome.number, outcome.gone, outcome.reason


def _is_turn_of(path: Path, turn: str) -> bool:
    try:
        return (path.parent / _TURN).read_bytes() == turn.encode("ascii")
    except OSError:
        return False


def _canvas(path: Path, turn: str) -> TiledCanvas:
    """Return the store, opened once a process and run: two in one process must not share a name."""
    with _lock:
        if (path, turn) not in _canvases:
            _canvases.clear()
            _canvases[path, turn] = canvas_of_worker(path, f"{os.getpid()}-{_process}")
        return _canvases[path, turn]
