"""A live stack is at any moment what a run over the same frames makes; frames enter whole and can be taken out."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nursery import Nursery
from small_session import product_hashes, read_pixels, stack_one

from skyquilt.core import F32, Event
from skyquilt.engine import Recipe, RunOptions, RunResult
from skyquilt.engine.live import Choice, WatchOptions, watch_folder
from skyquilt.engine.live.folder import FolderWatch
from skyquilt.engine.live.record import LiveRecord
from skyquilt.engine.opening import opening_size
from skyquilt.errors import Interrupted, NoUsableInput, UsageError
from skyquilt.testing.sky import Scenario, make_session

NIGHT = Scenario(device="generic", n_frames=14, width=160, height=120, seed=5, n_dark=3, n_trails=1, n_faint_stars=120)
RECIPE = Recipe(unit="adu", solve="off", threads=2, quicklook=False)
N = NIGHT.n_frames


class Telescope:
    """
    A folder into which a session comes frame by frame, whenever the live stack has told of what it has.

    Parameters
    ----------
    source : Path
        The whole session; its calibration frames are there from the start.
    folder : Path
    on_picture : callable
        Is told the number of frames in each picture and the event; the next one comes unless it returns False.
    """

    def __init__(
        self, source: Path, folder: Path, on_picture: Callable[[int, Event], bool | None] = lambda n, event: None
    ) -> None:
        self.folder, self.on_picture = folder, on_picture
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*_LIGHT_*"))
        self.waiting = sorted(source.rglob("*_LIGHT_*.fits"))
        self.lights = folder / self.waiting[0].parent.relative_to(source)
        self.events: list[Event] = []

    def expose(self, n_frames: int = 1) -> None:
        """Let the next frames come."""
        for path in self.waiting[:n_frames]:
            self.lights.mkdir(exist_ok=True)
            shutil.copy(path, self.lights / path.name)
        del self.waiting[:n_frames]

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if event.phase == "live" and event.kind == "phase":
            self.expose(2)
        is_picture = event.phase == "live" and event.kind == "progress"
        if is_picture and self.on_picture(event.done, event) is not False:
            self.expose()

    def watch(self, out: Path, **options: Any) -> RunResult:
        """Stack live until all frames are in the picture."""
        quick = {"until": N, "idle_s": 20.0, "poll_s": 0.01, "settle_s": 0.01}
        return watch_folder(self.folder, out, RECIPE, listener=self, options=WatchOptions(**{**quick, **options}))


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night")
    make_session(folder, NIGHT)
    return folder


def picture_of(event: Event) -> F32:
    values: F32 = np.load(event.data["values"])
    return values


def offline(folder: Path, out: Path, **options: Any) -> Path:
    """Stack the frames that are in a folder now, as a live stack does; return the master."""
    recipe = RECIPE.model_copy(update={"schedule": "live", **options})
    return stack_one(folder, out, recipe=recipe).outputs["master_linear"]


def test_the_picture_is_at_any_moment_what_a_run_over_the_same_frames_makes(night: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def compare(n: int, event: Event) -> None:
        if n in (2, 5, 13):
            master = offline(telescope.folder, tmp_path / f"offline{n}")
            np.testing.assert_array_equal(picture_of(event), read_pixels(master))
            seen.append(n)

    telescope = Telescope(night, tmp_path / "growing", compare)
    telescope.watch(tmp_path / "live")
    assert seen == [2, 5, 13]
    offline(telescope.folder, tmp_path / "offline")
    assert product_hashes(tmp_path / "live") == product_hashes(tmp_path / "offline")
    assert any("going on where an earlier run stopped" in event.message for event in telescope.events), (
        "the products should be made of the picture itself"
    )


def test_a_frame_that_is_taken_out_leaves_no_trace_and_can_come_back(night: Path, tmp_path: Path) -> None:
    choice = Choice(tmp_path / "live")
    names = [path.name for path in sorted(night.rglob("*_LIGHT_*.fits"))]
    told: list[tuple[int, list[str]]] = []

    def choose(n: int, event: Event) -> bool:
        told.append((n, event.data["excluded"]))
        if told[-1] == (6, []):
            choice.change(exclude=[names[1], names[4]])
        elif n == 4 and event.data["excluded"]:
            master = offline(telescope.folder, tmp_path / "without", exclude=(names[1], names[4]))
            np.testing.assert_array_equal(picture_of(event), read_pixels(master))
            choice.change(include=[names[1]])
        else:
            return True
        return False

    telescope = Telescope(night, tmp_path / "growing", choose)
    telescope.watch(tmp_path / "live", until=N - 1)
    assert (4, sorted([names[1], names[4]])) in told
    assert told[-1] == (N - 1, [names[4]])
    offline(telescope.folder, tmp_path / "offline", exclude=(names[4],))
    assert product_hashes(tmp_path / "live") == product_hashes(tmp_path / "offline")


def test_a_frame_that_comes_late_takes_its_place(night: Path, tmp_path: Path) -> None:
    telescope = Telescope(night, tmp_path / "growing")
    late = telescope.waiting.pop(3)
    telescope.waiting.append(late)
    telescope.watch(tmp_path / "live")
    offline(telescope.folder, tmp_path / "offline")
    assert product_hashes(tmp_path / "live") == product_hashes(tmp_path / "offline")


def test_a_night_that_begins_with_clouds_opens_when_they_have_gone(night: Path, tmp_path: Path) -> None:
    telescope = Telescope(night, tmp_path / "growing")
    n_data = 2 * NIGHT.width * NIGHT.height
    rng = np.random.default_rng(3)
    for path in telescope.waiting[:10]:
        content = path.read_bytes()
        start = len(content) - -(-n_data // 2880) * 2880
        fog = rng.normal(-30_000, 20, n_data // 2).astype(">i2").tobytes()
        (telescope.lights / path.name).write_bytes(content[:start] + fog + content[start + n_data :])
    telescope.waiting[:] = telescope.waiting[10:12]
    result = telescope.watch(tmp_path / "live", until=2)
    told = [event.data["problem"] for event in telescope.events if event.phase == "live" and event.data]
    assert "frames can be used: no stars" in told[0]
    assert told[-1] == ""
    records = result.stacks[0].manifest.frames
    assert [record.status for record in records] == ["left_out"] * 10 + ["stacked"] * 2
    assert all(record.reason for record in records[:10])
    offline(telescope.folder, tmp_path / "offline")
    assert product_hashes(tmp_path / "live") == product_hashes(tmp_path / "offline")


def test_stopped_and_started_again_it_goes_on_to_the_same_bits(night: Path, tmp_path: Path) -> None:
    choice = Choice(tmp_path / "live")
    name = min(path.name for path in night.rglob("*_LIGHT_*.fits"))
    is_enough = False

    def count(n: int, event: Event) -> None:
        nonlocal is_enough
        is_enough = n == 5
        if n == 3:
            choice.change(exclude=[name])

    telescope = Telescope(night, tmp_path / "growing", count)
    with pytest.raises(Interrupted):
        telescope.watch(tmp_path / "live", run=RunOptions(should_stop=lambda: is_enough))
    assert not list(tmp_path.rglob("master_linear.fits"))
    telescope.expose(N)
    telescope.on_picture = lambda n, event: None
    n_before = len(telescope.events)
    telescope.watch(tmp_path / "live", until=N - 1)
    first = next(event for event in telescope.events[n_before:] if event.data.get("history"))
    assert [line["n_in"] for line in first.data["history"]][:2] == [2, 3], "the curve should begin where it began"
    offline(telescope.folder, tmp_path / "offline", exclude=(name,))
    assert product_hashes(tmp_path / "live") == product_hashes(tmp_path / "offline")


@pytest.mark.long
@pytest.mark.skipif(not Nursery.is_possible, reason="runs are killed in forked children")
def test_killed_at_any_event_and_started_again_it_ends_with_the_same_bits(night: Path, tmp_path: Path) -> None:
    telescope = Telescope(night, tmp_path / "growing")
    telescope.expose(N)
    offline(telescope.folder, tmp_path / "offline")
    settings = {**RECIPE.model_dump(), "threads": 1}
    with Nursery("live") as nursery:
        for moment in (3, 6, 8, 9, 11, 20):
            out = tmp_path / f"live{moment}"
            assert nursery.run(telescope.folder, out, settings, (1, 1), event=moment)
            telescope.watch(out)
            assert product_hashes(out) == product_hashes(tmp_path / "offline"), f"killed at event {moment}"


@pytest.fixture
def frame(night: Path) -> bytes:
    return min(night.rglob("*_LIGHT_*.fits")).read_bytes()


def test_a_file_that_is_written_slowly_enters_when_it_is_whole(tmp_path: Path, frame: bytes) -> None:
    folder, path = FolderWatch(tmp_path, settle_s=1.0), tmp_path / "a.fits"
    for now in range(0, 10, 2):  # each look finds it longer
        path.write_bytes(frame[: 1000 + len(frame) * now // 12])
        assert folder.look(now) == ([], [])
    path.write_bytes(frame)
    assert folder.look(10.0) == ([], [])
    assert folder.look(10.9) == ([], []), "it has not rested yet"
    assert folder.look(11.1) == ([path], [])
    assert folder.look(12.0) == ([], []), "it enters once"


def test_a_file_of_full_length_that_still_changes_waits(tmp_path: Path, frame: bytes) -> None:
    folder, path = FolderWatch(tmp_path, settle_s=1.0), tmp_path / "a.fits"
    path.write_bytes(bytes(len(frame)))
    folder.look(0.0)
    path.write_bytes(frame)  # the room was made first, as some systems do
    os.utime(path, ns=(1, 1))
    assert folder.look(1.1) == ([], [])
    assert folder.look(2.2) == ([path], [])


def test_a_file_that_is_renamed_into_place_enters_after_a_short_rest(tmp_path: Path, frame: bytes) -> None:
    folder, path = FolderWatch(tmp_path, settle_s=0.4), tmp_path / "a.fits"
    (tmp_path / "a.fits.part").write_bytes(frame)
    assert folder.look(0.0) == ([], [])
    (tmp_path / "a.fits.part").rename(path)
    assert folder.look(5.0) == ([], [])
    assert folder.look(5.5) == ([path], [])


def test_a_file_that_stays_cut_short_is_told_once_and_taken_when_it_is_mended(tmp_path: Path, frame: bytes) -> None:
    folder, path = FolderWatch(tmp_path, settle_s=0.4, tell_after_s=10.0), tmp_path / "a.fits"
    path.write_bytes(frame[:-3000])
    assert [folder.look(now) for now in (0.0, 1.0, 9.0)] == [([], [])] * 3
    arrived, problems = folder.look(10.5)
    assert not arrived
    assert "cut short" in problems[0].reason
    assert folder.look(11.0) == ([], [])
    path.write_bytes(frame)
    folder.look(12.0)
    assert folder.look(13.0) == ([path], [])


def test_a_frame_that_changes_is_a_new_one(tmp_path: Path, frame: bytes) -> None:
    folder, path = FolderWatch(tmp_path, settle_s=0.4), tmp_path / "a.fits"
    path.write_bytes(frame)
    folder.look(0.0)
    assert folder.look(1.0)[0] == [path]
    path.write_bytes(bytes(reversed(frame[-2880:])) + frame)
    assert folder.look(2.0) == ([], [])
    path.write_bytes(frame)
    os.utime(path, ns=(1, 1))
    folder.look(3.0)
    assert folder.look(4.0)[0] == [path]


def test_the_opening_grows_in_steps_and_then_stays() -> None:
    assert [opening_size(n) for n in (0, 1, 2, 3, 5, 7, 9, 10, 11, 5000)] == [0, 1, 2, 3, 4, 6, 8, 10, 10, 10]


@pytest.mark.parametrize("settings", [{"keep": 0.9}, {"framing": "union"}, {"combine": "median"}])
def test_settings_that_need_all_frames_are_refused(night: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="needs all frames at once"):
        watch_folder(night, tmp_path / "out", Recipe(**settings))
    assert not list(tmp_path.iterdir())


def test_another_schedule_is_refused(night: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has the schedule live"):
        watch_folder(night, tmp_path / "out", Recipe(schedule="cube"))


def test_a_folder_into_which_nothing_comes_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoUsableInput, match="no frame has come"):
        watch_folder(tmp_path / "empty", tmp_path / "out", options=WatchOptions(idle_s=0.0))


def test_a_record_that_was_cut_short_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "live.jsonl"
    path.write_text('{"n_in": 2}\n{"n_in": 3, "noi')
    record = LiveRecord(path)
    record.add({"n_in": 4})
    assert [line["n_in"] for line in LiveRecord(path).lines] == [2, 4]


@pytest.mark.long
def test_a_frame_of_two_megapixels_is_in_the_picture_soon_after_it_came(tmp_path: Path) -> None:
    sky = Scenario(device="seestar", n_frames=15, seed=4, n_faint_stars=300)
    make_session(tmp_path / "source", sky)
    lights = sorted((tmp_path / "source").rglob("Light_*.fit"))
    folder = tmp_path / "growing"
    folder.mkdir()
    taken: list[tuple[int, float, float]] = []
    clock = [time.process_time()]

    def hear(event: Event) -> None:
        if event.phase != "live":
            return
        if event.kind == "progress":
            taken.append((event.done, time.process_time() - clock[0], event.data["delay_s"]))
        if lights:
            shutil.copy(lights.pop(0), folder)
        clock[0] = time.process_time()

    options = WatchOptions(until=sky.n_frames, run=RunOptions())
    watch_folder(folder, tmp_path / "out", RECIPE, listener=hear, options=options)
    added = [(cpu_s, delay_s) for n, cpu_s, delay_s in taken if n > 10]
    assert len(added) == 5
    # the moment on the clock is that of a machine with nothing else to do; the work is the same on any
    assert min(cpu_s for cpu_s, _ in added) < 1.2, taken
    assert max(cpu_s for _, cpu_s, _ in taken) < 8.0, taken
    if hasattr(os, "getloadavg") and os.getloadavg()[0] < 1.5:
        assert max(delay_s for _, _, delay_s in taken) < 2.0, taken
