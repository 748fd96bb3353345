"""Placing frames on the sky as tasks of a cluster: a batch of star lists comes as a file, the answers are places."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from math import isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from skyquilt.core import Calibration, CatalogueStars, Figures, FrameFile, Measurement, Stars
from skyquilt.engine.executors.cluster import Cluster, Task
from skyquilt.engine.light import Light
from skyquilt.engine.mosaic.job import WcsData
from skyquilt.engine.mosaic.places import Place, Placed, PlaceRunner, place_alone
from skyquilt.engine.mosaic.recipe import MosaicRecipe
from skyquilt.engine.solving import SkySolver
from skyquilt.errors import ClusterFailed
from skyquilt.io.arrays import read_arrays
from skyquilt.io.atomic import write_atomically

__all__ = ["place_batch", "places_on_cluster"]

_MOST_FRAMES = 100  # a task: about a second
_TASKS_A_THREAD = 3
_FILES: TypeAdapter[list[FrameFile]] = TypeAdapter(list[FrameFile])
_NO_FIGURES = Figures(nan, nan, nan, 0, nan, nan, nan)

_lock = threading.Lock()
_solvers: dict[tuple[str, str], SkySolver] = {}


def places_on_cluster(cluster: Cluster, scratch: Path, recipe: MosaicRecipe, sky_cache: Path | None) -> PlaceRunner:
    """
    Return the runner that places lights on the workers of a cluster.

    Parameters
    ----------
    scratch : Path
        On a disk that all machines share.
    sky_cache : Path or None
        As of `SkySolver`; the same path on every machine.
    """
    scratch = scratch.absolute()
    catalogue = str(Path(recipe.catalogue).absolute()) if recipe.catalogue else ""
    kept = str(sky_cache.absolute()) if sky_cache else ""

    def run(lights: Sequence[Light], should_stop: Callable[[], bool]) -> Iterator[tuple[int, Placed]]:
        folder = scratch / f"placing-{uuid.uuid4().hex}"
        folder.mkdir(parents=True)
        try:
            size = min(_MOST_FRAMES, max(1, len(lights) // (_TASKS_A_THREAD * max(1, cluster.n_threads))))
            firsts = range(0, len(lights), size)

            def tasks() -> Iterator[Task]:
                for first in firsts:
                    path = folder / f"{first}.npz"
                    write_atomically(path, _packed(lights[first : first + size]))
                    yield str(path), recipe.solve, catalogue, kept

            at_once = cluster.threads_of_worker
            with closing(cluster.run(place_batch, tasks(), at_once=at_once, should_stop=should_stop)) as results:
                for number, answers in results:
                    (folder / f"{firsts[number]}.npz").unlink(missing_ok=True)
                    yield from enumerate(map(_placed, answers), start=firsts[number])
        finally:
            with contextlib.suppress(OSError):
                shutil.rmtree(folder)

    return run


def _packed(lights: Sequence[Light]) -> bytes:
    """Return files, headers and stars of a batch."""
    tables = [light.measurement.stars.table for light in lights if light.measurement is not None]
    files = [replace(light.file, path=light.file.path.absolute()) for light in lights]
    content = io.BytesIO()
    np.savez(
        content,
        files=np.frombuffer(json.dumps(_FILES.dump_python(files, mode="json")).encode(), np.uint8),
        n_stars=np.array([table.shape[1] for table in tables], np.int64),
        stars=np.concatenate(tables, axis=1),
    )
    return content.getvalue()


def _unpacked(path: Path) -> list[Light]:
    """Return the lights of a batch, with nothing measured but their stars."""
    data = read_arrays(path)
    files = _FILES.validate_python(json.loads(bytes(data["files"])))
    tables = np.split(data["stars"], np.cumsum(data["n_stars"])[:-1], axis=1)
    lights = [Light(file, Calibration()) for file in files]
    no_sky, no_noise = np.zeros((0, 0, 0), np.float32), np.zeros(0)
    for light, table in zip(lights, tables, strict=True):
        meta, stars = light.file.meta, Stars.of_table(table)
        light.measurement = Measurement(_NO_FIGURES, stars, no_sky, no_noise, 1, meta.width, meta.height)
    return lights


def place_batch(path: str, mode: str, catalogue: str, sky_cache: str) -> list[dict[str, Any]]:
    """
    Place the frames of a batch, each by itself: the task of a worker.

    Parameters
    ----------
    path : str
        Of the batch.
    mode : str
        `MosaicRecipe.solve`.
    catalogue, sky_cache : str
        Of `SkySolver`; "" for none.

    Returns
    -------
    list of dict
        `Placed`, as JSON values.

    Raises
    ------
    ClusterFailed
        If the worker does not see the batch or the catalogue.
    """
    try:
        lights = _unpacked(Path(path))
    except FileNotFoundError as error:
        raise ClusterFailed(
            f"{path} is not there for a worker", "put --out on a disk that all machines see under the same path"
        ) from error
    if catalogue and not Path(catalogue).is_file():
        raise ClusterFailed(
            f"{catalogue} is not there for a worker", "put --catalogue on a disk that all machines see, too"
        )
    solver = _solver(catalogue, sky_cache)
    return [_answer(place_alone(light, mode, solver)) for light in lights]


def _solver(catalogue: str, sky_cache: str) -> SkySolver:
    """Return the catalogue and the index of the sky, opened once a process."""
    with _lock:
        if (catalogue, sky_cache) not in _solvers:
            _solvers.clear()
            _solvers[catalogue, sky_cache] = SkySolver(
                Path(catalogue) if catalogue else None, Path(sky_cache) if sky_cache else None
            )
        return _solvers[catalogue, sky_cache]


def _answer(found: Placed) -> dict[str, Any]:
    answer: dict[str, Any] = {"reason": found.reason, "notes": list(found.notes)}
    if (place := found.place) is not None:
        stars = place.catalogue
        answer |= {
            "wcs": WcsData.of(place.wcs).model_dump_json(),
            "found_by": place.found_by,
            "stars": place.stars.tolist(),
            "ra_deg": stars.ra_deg.tolist(),
            "dec_deg": stars.dec_deg.tolist(),
            "vt_mag": _numbers(stars.vt_mag),
            "bt_mag": _numbers(stars.bt_mag),
        }
    return answer


def _placed(answer: dict[str, Any]) -> Placed:
    if "wcs" not in answer:
        return Placed(None, answer["reason"], tuple(answer["notes"]))
    magnitudes = (np.array(answer[name], dtype=np.float32) for name in ("vt_mag", "bt_mag"))  # None becomes NaN
    stars = CatalogueStars(np.array(answer["ra_deg"], np.float64), np.array(answer["dec_deg"], np.float64), *magnitudes)
    wcs = WcsData.model_validate_json(answer["wcs"]).wcs()
    place = Place(wcs, np.array(answer["stars"], np.int64), stars, answer["found_by"])
    return Placed(place, answer["reason"], tuple(answer["notes"]))


def _numbers(values: np.ndarray[Any, np.dtype[np.float32]]) -> list[float | None]:
    """Return magnitudes as JSON has them, which knows no NaN."""
    return [float(value) if isfinite(value) else None for value in values]
