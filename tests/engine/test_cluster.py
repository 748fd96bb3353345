"""A mosaic on a Dask cluster of real processes: the same bits as threads, whatever happens to the workers."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("distributed", reason="the extra skyquilt[cluster] is not installed")

from machines import Machines, machines

import skyquilt as sq
from skyquilt.core import Calibration, CatalogueStars, Event, Measurement, Sip, Wcs, silent
from skyquilt.engine.cache import MeasurementCache, file_sha256
from skyquilt.engine.executors import cluster as executor
from skyquilt.engine.executors.cluster import Cluster
from skyquilt.engine.identity import difference, identity
from skyquilt.engine.light import Light
from skyquilt.engine.measuring import look_at_light
from skyquilt.engine.measuring_tasks import Batch, FrameToMeasure, _look, measure_batch
from skyquilt.engine.mosaic import MosaicRecipe, MosaicRunResult
from skyquilt.engine.mosaic.chunk_tasks import make_chunk_of_job
from skyquilt.engine.mosaic.place_tasks import _answer, _packed, _placed, _unpacked, place_batch
from skyquilt.engine.mosaic.places import Place, Placed
from skyquilt.engine.mosaic.trail_tasks import find_trails_of_batch
from skyquilt.errors import ClusterFailed, Interrupted, NotEnoughDisk, UnreadableFrame, UsageError
from skyquilt.io.fits import open_frame
from skyquilt.testing.mosaic_sky import MosaicScenario, make_mosaic
from skyquilt.testing.sky import Scenario

CAMERA = Scenario(
    target="none",
    ra_deg=85.0,
    dec_deg=34.0,
    scale_arcsec=5.0,
    width=256,
    height=320,
    n_faint_stars=300,
    zero_point=22.0,
    rotation_deg=(0.0, 8.0),
    dither_px=5.0,
    device="dwarf3",
    n_dark=4,
    n_trails=2,
    seed=3,
)
SKY = MosaicScenario(CAMERA, rows=2, columns=2, subs=3, overlap=0.25)
RECIPE = MosaicRecipe(scale_arcsec=1.9, unit="adu", quicklook=False, threads=1, memory=2 * 10**9)
"""A canvas of 12 chunks, 10 of which frames touch."""

DIES = """
import os, signal
from skyquilt.io.tiled import arrays
def stand_in(inner, seen):
    def write(self, name, box, pixels):
        seen.append(name)
        if name == "coverage" and seen.count("value") == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(self, name, box, pixels)
    return write
if arrays.ChunkedArrays.write.__module__ == arrays.__name__:  # this file is run more than once
    arrays.ChunkedArrays.write = stand_in(arrays.ChunkedArrays.write, [])
"""
HAS_NO_ROOM = """
import errno
from skyquilt.io.tiled import arrays
def write(self, name, box, pixels):
    with self._told():
        raise OSError(errno.ENOSPC, "No space left on device")
arrays.ChunkedArrays.write = write
"""
IS_OLDER = "import skyquilt; skyquilt.__version__ = '0.0.9'"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mosaic(tmp_path_factory.mktemp("sky"), SKY).folder


@pytest.fixture(scope="module")
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    with machines(tmp_path_factory.mktemp("machines"), 2) as made:
        yield made


@pytest.fixture(scope="module")
def on_threads(session: Path, tmp_path_factory: pytest.TempPathFactory) -> MosaicRunResult:
    return sq.mosaic(session, tmp_path_factory.mktemp("threads"), recipe=RECIPE)


def hashes(result: MosaicRunResult) -> dict[str, str]:
    """Return the hashes of the pixels of all FITS products."""
    return {
        output.name: output.data_sha256
        for output in result.mosaics[0].manifest.outputs
        if output.data_sha256 is not None
    }


def messages(events: list[Event], kind: str) -> list[str]:
    return [event.message for event in events if event.kind == kind]


def preload(folder: Path, text: str) -> tuple[str, str]:
    (folder / "preload.py").write_text(text)
    return "--preload", str(folder / "preload.py")


def test_workers_give_the_bits_and_the_manifest_of_threads(
    session: Path, crew: Machines, on_threads: MosaicRunResult, tmp_path: Path
) -> None:
    events: list[Event] = []
    options = sq.RunOptions(scheduler=crew.address)
    result = sq.mosaic(session, tmp_path, recipe=RECIPE, options=options, listener=events.append)
    assert hashes(result) == hashes(on_threads)
    assert len(hashes(result)) == 2
    assert result.mosaics[0].manifest.calibration, "the frames were calibrated"
    assert sum(frame.n_trails for frame in result.mosaics[0].manifest.frames) > 0, "trails were found"
    assert {frame.status for frame in result.mosaics[0].manifest.frames} == {"stacked"}, "the frames were solved"
    assert result.mosaics[0].manifest == on_threads.mosaics[0].manifest
    writers = {path.name for path in tmp_path.rglob("journal-*.jsonl")}
    assert len(writers - {"journal-main.jsonl"}) == 2, "both workers have written"
    progress = [event for event in events if event.kind == "progress" and event.phase == "integrate"]
    assert [event.done for event in progress] == list(range(1, 11))
    batches = [path for kind in ("measuring", "placing", "masking") for path in tmp_path.rglob(f"{kind}-*")]
    assert not batches, "the batches are removed"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
def test_a_worker_killed_while_it_writes_costs_its_task_alone(
    session: Path, crew: Machines, on_threads: MosaicRunResult, tmp_path: Path
) -> None:
    doomed = crew.add(1, *preload(tmp_path, DIES))
    events: list[Event] = []
    options = sq.RunOptions(scheduler=crew.address)
    crew.wait_for(3)
    result = sq.mosaic(session, tmp_path / "out", recipe=RECIPE, options=options, listener=events.append)
    assert doomed.wait(executor._RESULT_S) == -signal.SIGKILL
    assert hashes(result) == hashes(on_threads)
    manifest = result.mosaics[0].manifest
    assert manifest == on_threads.mosaics[0].manifest
    crew.wait_for(2)


def test_a_run_that_is_stopped_goes_on_elsewhere(
    session: Path, crew: Machines, on_threads: MosaicRunResult, tmp_path: Path
) -> None:
    events: list[Event] = []

    def has_begun() -> bool:
        return any(event.kind == "progress" and event.phase == "integrate" for event in events)

    options = sq.RunOptions(scheduler=crew.address, should_stop=has_begun, use_cache=False)
    with pytest.raises(Interrupted):
        sq.mosaic(session, tmp_path, recipe=RECIPE, options=options, listener=events.append)
    n_done = max(event.done for event in events if event.phase == "integrate")
    assert 1 <= n_done < 10
    assert not list(tmp_path.rglob("measurements")), "nothing was to be kept of the measuring"
    again: list[Event] = []
    result = sq.mosaic(session, tmp_path, recipe=RECIPE, listener=again.append)
    assert f"{n_done} of 10 pieces of the canvas are there already" in messages(again, "notice")
    assert hashes(result) == hashes(on_threads)


def test_errors_of_workers_come_back_as_they_are(crew: Machines, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere" / "job.json")
    with Cluster.connect(crew.address, silent) as cluster:
        assert (cluster.n_workers, cluster.n_threads, cluster.threads_of_worker) == (2, 2, 1)
        for function, task in (
            (make_chunk_of_job, (nowhere, "turn", 0)),
            (measure_batch, (nowhere,)),
            (place_batch, (nowhere, "auto", "", "")),
            (find_trails_of_batch, (nowhere, 0, 1)),
        ):
            with pytest.raises(
                ClusterFailed, match=r"nowhere/job.json is not there for a worker \(worker tcp:"
            ) as told:
                list(cluster.run(function, [task], at_once=1, should_stop=lambda: False))
            assert "a disk that all machines see" in told.value.hint
        with pytest.raises(RuntimeError, match=r"ZeroDivisionError: .* \(worker tcp:"):  # a fault of the program
            list(cluster.run(divmod, [(1, 0)], at_once=1, should_stop=lambda: False))


def test_tasks_are_asked_for_only_when_a_thread_will_be_free(crew: Machines) -> None:
    asked = []

    def tasks() -> Iterator[tuple[int, int]]:
        for k in range(200):
            asked.append(k)
            yield k, 7

    with Cluster.connect(crew.address, silent) as cluster:
        ahead = []
        found = {}
        for number, value in cluster.run(divmod, tasks(), at_once=1, should_stop=lambda: False):
            found[number] = tuple(value)
            ahead.append(len(asked) - len(found))
    assert found == {k: divmod(k, 7) for k in range(200)}
    assert max(ahead) <= 4 * 2


def test_one_sentence_where_no_scheduler_answers(
    monkeypatch: pytest.MonkeyPatch, session: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(executor, "_CONNECT_S", 0.5)
    options = sq.RunOptions(scheduler="tcp://127.0.0.1:1")
    with pytest.raises(ClusterFailed, match=r"no scheduler answers at tcp://127\.0\.0\.1:1"):
        sq.mosaic(session, tmp_path / "out", options=options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="no address of a scheduler"):
        Cluster.connect("ftp://127.0.0.1:1", silent)
    with pytest.raises(UsageError, match="a cluster makes mosaics"):
        sq.stack(session, tmp_path / "out", options=options)
    monkeypatch.setitem(sys.modules, "distributed", None)  # as where it is not installed
    with pytest.raises(UsageError, match="a cluster needs the package distributed") as told:
        sq.mosaic(session, tmp_path / "out", options=options)
    assert told.value.hint == "pip install 'skyquilt[cluster]'"


def test_processes_that_are_not_alike_are_told_apart() -> None:
    own = json.loads(identity())
    assert difference(identity(), identity()) == ""
    assert difference(json.dumps({**own, "name": "another"}), identity()) == ""
    for name, value, told in (
        ("skyquilt", "0.0.9", f"skyquilt 0.0.9, this machine {own['skyquilt']}"),
        ("sources", "x", f"another build of skyquilt {own['skyquilt']}"),
        ("numpy", "1.0", f"numpy 1.0, this machine {own['numpy']}"),
        ("compiler", "numba 0.1", f"numba 0.1, this machine {own['compiler']}"),
        ("processor", "x", f"another processor ({own['name']}) than this machine ({own['name']})"),
    ):
        assert difference(json.dumps({**own, name: value}), identity()) == told


def test_a_frame_that_workers_alone_cannot_read_ends_the_run(session: Path, tmp_path: Path) -> None:
    path = next(path for path in sorted(session.rglob("*.fits")) if "dark" not in str(path).lower())
    file = open_frame(path)
    light = Light(file, Calibration(), "none")
    cache = MeasurementCache(tmp_path)
    with pytest.raises(ClusterFailed, match=re.escape(f"a worker cannot read {path}, this machine can: it is gone")):
        _look(light, file.meta.cfa, cache, None, "unreadable", "it is gone", "")
    sha256 = file_sha256(path)
    here = _look(light, file.meta.cfa, cache, sha256, "measured", "", "a note")
    assert isinstance(here.outcome, Measurement)
    assert (here.sha256, here.note) == (sha256, "a note")
    lost = Light(replace(file, path=tmp_path / "lost.fits"), Calibration(), "none")
    look = _look(lost, file.meta.cfa, cache, None, "unreadable", "told by a worker", "")
    assert look.sha256 is None
    assert isinstance(look.outcome, UnreadableFrame)


def test_a_place_comes_back_from_a_worker_to_the_last_bit() -> None:
    rng = np.random.default_rng(8)
    vt_mag, bt_mag = rng.random((2, 5), np.float32)
    bt_mag[2] = np.nan
    stars = CatalogueStars(rng.random(5), rng.random(5), vt_mag, bt_mag)
    sip = Sip(*rng.random((2, 3, 3)))
    wcs = Wcs((rng.random(), rng.random()), (rng.random(), 1.0), rng.random((2, 2)), sip)
    place = Place(wcs, np.arange(5), stars, "hint")
    found = _placed(json.loads(json.dumps(_answer(Placed(place, notes=("a note",))))))
    back = found.place
    assert back is not None and back.wcs.sip is not None
    assert (back.found_by, found.notes) == ("hint", ("a note",))
    assert (back.wcs.crval_deg, back.wcs.crpix0, back.wcs.projection) == (wcs.crval_deg, wcs.crpix0, wcs.projection)
    for one, other in (
        (place.stars, back.stars),
        (stars.ra_deg, back.catalogue.ra_deg),
        (stars.dec_deg, back.catalogue.dec_deg),
        (vt_mag, back.catalogue.vt_mag),
        (bt_mag, back.catalogue.bt_mag),
        (wcs.cd, back.wcs.cd),
        (sip.a, back.wcs.sip.a),
        (sip.b, back.wcs.sip.b),
    ):
        np.testing.assert_array_equal(one, other, strict=True)
    nowhere = _placed(json.loads(json.dumps(_answer(Placed(None, "no stars", ("a note",))))))
    assert (nowhere.place, nowhere.reason, nowhere.notes) == (None, "no stars", ("a note",))


def test_a_frame_of_floats_finds_its_way_to_a_worker(session: Path, tmp_path: Path) -> None:
    file = open_frame(next(path for path in sorted(session.rglob("*.fits")) if "dark" not in str(path).lower()))
    endless = replace(file, meta=replace(file.meta, saturation_adu=float("inf")))  # JSON has no infinity
    batch = Batch(cfa=None, scratch="a", cache="b", frames=[FrameToMeasure.of(Light(endless, Calibration(), "none"))])
    assert Batch.model_validate_json(batch.model_dump_json()) == batch
    light = Light(endless, Calibration(), "none")
    light.measurement = look_at_light(light, file.meta.cfa, MeasurementCache(None)).outcome
    (tmp_path / "batch.npz").write_bytes(_packed([light, light]))
    back = _unpacked(tmp_path / "batch.npz")[1]
    assert back.file == endless and isinstance(light.measurement, Measurement) and back.measurement is not None
    assert np.array_equal(back.measurement.stars.table, light.measurement.stars.table, equal_nan=True)


def test_no_more_tasks_than_there_is_memory_for_are_at_work_in_a_process() -> None:
    gates = {executor._gate("one run", 2) for _ in range(3)}
    assert len(gates) == 1
    gate = gates.pop()
    assert gate.acquire(blocking=False)
    assert gate.acquire(blocking=False)
    assert not gate.acquire(blocking=False)
    assert executor._gate("another run", 2).acquire(blocking=False)


@pytest.mark.long
def test_a_task_that_takes_its_workers_with_it_ends_the_run(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    with machines(tmp_path, 0) as made:
        made.add(1, *preload(tmp_path, DIES))
        with pytest.raises(ClusterFailed, match="1 worker was lost at the same task") as told:
            sq.mosaic(session, tmp_path / "out", recipe=RECIPE, options=sq.RunOptions(scheduler=made.address))
        assert "a smaller --memory" in told.value.hint


@pytest.mark.long
def test_a_worker_that_is_not_alike_is_refused(tmp_path: Path) -> None:
    with machines(tmp_path, 1) as made:
        made.wait_for(1)
        with Cluster.connect(made.address, silent) as cluster:
            made.add(1, *preload(tmp_path, IS_OLDER))
            made.wait_for(2)
            with pytest.raises(ClusterFailed, match=r"has skyquilt 0\.0\.9, this machine"):  # it joined later
                list(cluster.run(divmod, [(k, 7) for k in range(200)], at_once=1, should_stop=lambda: False))
        with pytest.raises(ClusterFailed, match=r"the worker tcp://\S+ has skyquilt 0\.0\.9, this machine"):
            Cluster.connect(made.address, silent)
    (tmp_path / "others").mkdir()
    with machines(tmp_path / "others", 0) as made:
        made.add(1, variables={"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"})
        with pytest.raises(ClusterFailed, match="has another processor"):
            Cluster.connect(made.address, silent)


@pytest.mark.long
def test_a_full_disk_of_a_worker_ends_the_run_with_that_error(session: Path, tmp_path: Path) -> None:
    with machines(tmp_path, 0) as made:
        made.add(1, *preload(tmp_path, HAS_NO_ROOM))
        with pytest.raises(NotEnoughDisk, match=r"there is no room left .* \(worker tcp:"):
            sq.mosaic(session, tmp_path / "out", recipe=RECIPE, options=sq.RunOptions(scheduler=made.address))


@pytest.mark.long
def test_a_cluster_that_goes_is_told_and_the_run_can_be_resumed(
    session: Path, on_threads: MosaicRunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_WAIT_FOR_WORKERS_S", 3.0)
    for victim, told in (("workers", "all workers of the scheduler at"), ("scheduler", "the scheduler at")):
        folder = tmp_path / victim
        folder.mkdir()
        with machines(folder, 1) as made:

            def end_it(event: Event, made: Machines = made, victim: str = victim) -> None:
                if event.kind == "progress" and event.phase == "integrate" and event.done == 2:
                    for process in made.workers if victim == "workers" else [made.scheduler]:
                        process.kill()

            options = sq.RunOptions(scheduler=made.address)
            with pytest.raises(ClusterFailed, match=f"{told} .* gone"):
                sq.mosaic(session, folder / "out", recipe=RECIPE, options=options, listener=end_it)
        result = sq.mosaic(session, folder / "out", recipe=RECIPE)
        assert hashes(result) == hashes(on_threads)


@pytest.mark.long
def test_a_scheduler_without_workers_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "_WAIT_FOR_WORKERS_S", 1.0)
    with machines(tmp_path, 0) as made, pytest.raises(ClusterFailed, match="has no workers"):
        Cluster.connect(made.address, silent)


@pytest.mark.long
def test_a_late_worker_of_an_earlier_run_writes_nothing(
    session: Path, crew: Machines, on_threads: MosaicRunResult, tmp_path: Path
) -> None:
    options = sq.RunOptions(scheduler=crew.address)
    sq.mosaic(session, tmp_path, recipe=RECIPE, options=options)
    job = next(tmp_path.rglob("job-*.json"))
    before = {path: path.read_bytes() for path in job.parent.rglob("journal-*")}
    with Cluster.connect(crew.address, silent) as cluster, pytest.raises(Interrupted, match="another run"):
        list(cluster.run(make_chunk_of_job, [(str(job), "an earlier run", 0)], at_once=1, should_stop=lambda: False))
    assert {path: path.read_bytes() for path in job.parent.rglob("journal-*")} == before


@pytest.mark.long
def test_the_command_line_ends_with_the_code_of_a_cluster_that_failed(session: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    words = ["mosaic", str(session), "--out", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:1"]
    ended = subprocess.run(
        [sys.executable, "-m", "skyquilt.apps.cli", *words], capture_output=True, text=True, check=False
    )
    assert ended.returncode == ClusterFailed.exit_code == 11
    assert "no scheduler answers at tcp://127.0.0.1:1" in ended.stderr
    assert "Traceback" not in ended.stderr + ended.stdout
    assert time.monotonic() - begun < 60
