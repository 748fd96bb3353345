"""The search for trails as tasks of a cluster: the frames of a pointing come as a file, a task is some of them."""

from __future__ import annotations

import contextlib
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from skyquilt.core import F32, Cfa, Normalisation, Trail, Transform
from skyquilt.engine.budget import release_memory
from skyquilt.engine.executors.cluster import Cluster, Task
from skyquilt.engine.kept_calibrations import keep_calibrations
from skyquilt.engine.light import Light
from skyquilt.engine.masking import Masked, Search, TrailRunner, first_result_of, trails_in
from skyquilt.engine.measuring_tasks import FrameToMeasure
from skyquilt.errors import ClusterFailed
from skyquilt.io.atomic import write_atomically

__all__ = ["find_trails_of_batch", "trails_on_cluster"]

_MOST_FRAMES = 100  # a task: each reads fifteen frames besides, unless its process has done so for another
_SEARCHES_KEPT = 4

_lock = threading.Lock()
_searches: dict[str, tuple[Search, F32 | None]] = {}
_turns: dict[str, threading.Lock] = {}


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class MaskedFrame(_Data):
    """A `Masked` light, as numbers."""

    frame: FrameToMeasure
    transform: dict[str, Any]
    scale: list[float]
    surface: list[list[float]]
    centre: tuple[float, float]
    radius: float
    transparency: float
    fwhm_px: float
    noise_adu: float

    @classmethod
    def of(cls, one: Masked) -> MaskedFrame:
        terms = one.normalisation
        return cls(
            frame=FrameToMeasure.of(one.light),
            transform=one.transform.to_dict(),
            scale=terms.scale.tolist(),
            surface=terms.surface.tolist(),
            centre=terms.centre,
            radius=terms.radius,
            transparency=terms.transparency,
            fwhm_px=one.fwhm_px,
            noise_adu=one.noise_adu,
        )

    def masked(self, scratch: Path) -> Masked:
        """Return the light; `scratch` holds the arrays that calibrate it."""
        terms = Normalisation(np.array(self.scale), np.array(self.surface), self.centre, self.radius, self.transparency)
        transform = Transform.from_dict(self.transform)
        return Masked(self.frame.light(scratch), transform, terms, self.fwhm_px, self.noise_adu)


class Pointing(_Data):
    """A `Search`, as numbers."""

    cfa: str | None
    shape: tuple[int, int]
    scratch: str
    frames: list[MaskedFrame]

    @classmethod
    def of(cls, search: Search, scratch: Path) -> Pointing:
        return cls(
            cfa=search.cfa.name if search.cfa else None,
            shape=search.shape,
            scratch=str(scratch),
            frames=[MaskedFrame.of(one) for one in search.lights],
        )

    def search(self) -> Search:
        scratch = Path(self.scratch)
        return Search([frame.masked(scratch) for frame in self.frames], self.shape, Cfa(self.cfa) if self.cfa else None)


def trails_on_cluster(cluster: Cluster, scratch: Path, at_once: int) -> TrailRunner:
    """
    Return the runner that looks for trails on the workers of a cluster.

    Parameters
    ----------
    scratch : Path
        On a disk that all machines share.
    at_once : int
        Frames that a worker process may have at work; it has memory for so many.
    """
    scratch = scratch.absolute()

    def run(searches: Sequence[Search], should_stop: Callable[[], bool]) -> Iterator[tuple[Light, tuple[Trail, ...]]]:
        folder = scratch / f"masking-{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        batches: list[Sequence[Masked]] = []

        def tasks() -> Iterator[Task]:
            for number, search in enumerate(searches):
                keep_calibrations(scratch, {one.light.calibration_key: one.light.calibration for one in search.lights})
                path = folder / f"{number}.json"
                write_atomically(path, Pointing.of(search, scratch).model_dump_json().encode())
                for first in range(0, len(search.lights), _MOST_FRAMES):
                    batches.append(search.lights[first : first + _MOST_FRAMES])
                    yield str(path), first, first + len(batches[-1])

        try:
            found = cluster.run(find_trails_of_batch, tasks(), at_once=at_once, should_stop=should_stop)
            with closing(found) as results:
                for number, answers in results:
                    for one, bands in zip(batches[number], answers, strict=True):
                        yield one.light, tuple(Trail(*band) for band in bands)
        finally:
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)

    return run


def find_trails_of_batch(path: str, first: int, end: int) -> list[list[tuple[float, ...]]]:
    """
    Look for trails in the frames ``first`` to ``end - 1`` of a pointing: the task of a worker.

    Returns
    -------
    list of list of tuple
        The fields of each `Trail` of each frame.

    Raises
    ------
    ClusterFailed
        If the worker does not see the pointing.
    """
    try:
        search, result = _begun(path)
    except FileNotFoundError as error:
        raise ClusterFailed(
            f"{path} is not there for a worker", "put --out on a disk that all machines see under the same path"
        ) from error
    found: list[list[tuple[float, ...]]] = [[] for _ in range(first, end)]
    if result is not None:
        lights = search.lights[first:end]
        found = [[astuple(trail) for trail in trails_in(one, result, search.cfa)] for one in lights]
    release_memory()
    return found


def _begun(path: str) -> tuple[Search, F32 | None]:
    """Return a pointing and its first result, made once a process."""
    with _lock:
        turn = _turns.setdefault(path, threading.Lock())
    with turn:
        if (known := _searches.get(path)) is not None:
            return known
        search = Pointing.model_validate_json(Path(path).read_bytes()).search()
        made = search, first_result_of(search, n_threads=1, should_stop=lambda: False)
        with _lock:
            _searches[path] = made
            while len(_searches) > _SEARCHES_KEPT:
                oldest = next(iter(_searches))
                _searches.pop(oldest)
                _turns.pop(oldest, None)
        return made
