"""Measuring as tasks of a cluster: a batch of frames comes as a file, the measurements go to the cache."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from skyquilt.core import Cfa, FrameFile, FrameMeta, Measurement
from skyquilt.engine.budget import release_memory
from skyquilt.engine.cache import MeasurementCache
from skyquilt.engine.executors.cluster import Cluster, Task
from skyquilt.engine.kept_calibrations import keep_calibrations, read_calibration
from skyquilt.engine.light import Light
from skyquilt.engine.measuring import Look, LookRunner, look_at_light, measurement_key
from skyquilt.errors import ClusterFailed
from skyquilt.io.atomic import write_atomically

__all__ = ["looks_on_cluster", "measure_batch"]

_MOST_FRAMES = 50  # a task: two or three seconds of full frames, beside which handing it over is nothing
_TASKS_A_THREAD = 3


class _Data(BaseModel):
    # JSON has no infinity, which is where frames of floats saturate
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class FrameToMeasure(_Data):
    """A frame and what of its header the measuring asks for."""

    path: str
    hdu: int
    size_bytes: int
    mtime_ns: int
    width: int
    height: int
    n_planes: int
    cfa: str | None
    saturation_adu: float
    calibration: str

    @classmethod
    def of(cls, light: Light) -> FrameToMeasure:
        """Return what a worker needs of a light."""
        file, meta = light.file, light.file.meta
        return cls(
            path=str(file.path.absolute()),
            hdu=file.hdu,
            size_bytes=file.size_bytes,
            mtime_ns=file.mtime_ns,
            width=meta.width,
            height=meta.height,
            n_planes=meta.n_planes,
            cfa=meta.cfa.name if meta.cfa else None,
            saturation_adu=light.saturation_adu,
            calibration=light.calibration_key,
        )

    def light(self, scratch: Path) -> Light:
        """Return the light; `scratch` holds the arrays that calibrate it."""
        meta = FrameMeta(
            self.width,
            self.height,
            self.n_planes,
            saturation_adu=self.saturation_adu,
            cfa=None if self.cfa is None else Cfa(self.cfa),
        )
        file = FrameFile(Path(self.path), meta, self.hdu, self.size_bytes, self.mtime_ns)
        return Light(file, read_calibration(scratch, self.calibration), self.calibration)


class Batch(_Data):
    """The frames of one task; `cfa` is that of their group, `cache` the folder of the measurements."""

    cfa: str | None
    scratch: str
    cache: str
    frames: list[FrameToMeasure]


def looks_on_cluster(cluster: Cluster, scratch: Path, *, at_once: int, keeps: bool) -> LookRunner:
    """
    Return the runner that looks at lights on the workers of a cluster.

    Parameters
    ----------
    scratch : Path
        On a disk that all machines share.
    at_once : int
        Frames that a worker process may look at at once.
    keeps : bool
        Whether the measurements stay in the cache; else they are removed with the run.
    """
    scratch = scratch.absolute()

    def run(lights: Sequence[Light], cfa: Cfa | None, should_stop: Callable[[], bool]) -> Iterator[tuple[int, Look]]:
        folder = scratch / f"measuring-{uuid.uuid4().hex}"
        cache = MeasurementCache(scratch if keeps else folder)
        folder.mkdir(parents=True)
        try:
            keep_calibrations(scratch, {light.calibration_key: light.calibration for light in lights})
            size = min(_MOST_FRAMES, max(1, len(lights) // (_TASKS_A_THREAD * max(1, cluster.n_threads))))
            firsts = range(0, len(lights), size)

            def tasks() -> Iterator[Task]:
                for first in firsts:
                    batch = Batch(
                        cfa=cfa.name if cfa else None,
                        scratch=str(scratch),
                        cache=str(scratch if keeps else folder),
                        frames=[FrameToMeasure.of(light) for light in lights[first : first + size]],
                    )
                    path = folder / f"{first}.json"
                    write_atomically(path, batch.model_dump_json().encode())
                    yield (str(path),)

            with closing(cluster.run(measure_batch, tasks(), at_once=at_once, should_stop=should_stop)) as results:
                for number, answers in results:
                    (folder / f"{firsts[number]}.json").unlink(missing_ok=True)
                    for k, answer in enumerate(answers, start=firsts[number]):
                        yield k, _look(lights[k], cfa, cache, *answer)
        finally:
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)

    return run


def _look(
    light: Light, cfa: Cfa | None, cache: MeasurementCache, sha256: str | None, kind: str, reason: str, note: str
) -> Look:
    """
    Return what came of looking at a light, from the answer of a worker.

    What the worker could not read, or what the disk does not show here, is looked at here.
    """
    if kind == "blank":
        return Look(sha256, reason, note)
    if kind == "measured" and sha256 is not None:
        kept = cache.load(measurement_key(light, sha256, cfa, cache))
        if kept is not None:
            return Look(sha256, kept, note)
    look = look_at_light(light, cfa, cache)
    if kind == "unreadable" and isinstance(look.outcome, Measurement):
        raise ClusterFailed(
            f"a worker cannot read {light.file.path.absolute()}, this machine can: {reason}",
            "all machines must see the frames under the same path, with the same times of change",
        )
    return replace(look, note=look.note or note)


def measure_batch(path: str) -> list[tuple[str | None, str, str, str]]:
    """
    Look at the frames of a batch: the task of a worker.

    Returns
    -------
    list of (sha256, kind, reason, note)
        kind is "measured" (then the measurement is in the cache), "unreadable" or "blank".

    Raises
    ------
    ClusterFailed
        If the worker does not see the batch.
    """
    try:
        batch = Batch.model_validate_json(Path(path).read_bytes())
        lights = [frame.light(Path(batch.scratch)) for frame in batch.frames]
    except FileNotFoundError as error:
        raise ClusterFailed(
            f"{path} is not there for a worker", "put --out on a disk that all machines see under the same path"
        ) from error
    cache, cfa = MeasurementCache(Path(batch.cache)), Cfa(batch.cfa) if batch.cfa else None
    answers = []
    for light in lights:
        look = look_at_light(light, cfa, cache)
        if isinstance(look.outcome, Measurement):
            answers.append((look.sha256, "measured", "", look.note))
        elif isinstance(look.outcome, str):
            answers.append((look.sha256, "blank", look.outcome, look.note))
        else:
            answers.append((look.sha256, "unreadable", look.outcome.message, look.note))
    release_memory()
    return answers
