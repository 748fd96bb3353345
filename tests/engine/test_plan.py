"""The plan: what fits is chosen, what is predicted holds, what cannot be is told with a way out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from small_session import HELD, SMALL, steady

from skyquilt import stack
from skyquilt.core import Box, Cfa
from skyquilt.engine import Plan, Recipe, RunOptions, budget
from skyquilt.engine.budget import check_disk, memory_budget, release_memory, resident_memory
from skyquilt.engine.planning import frame_threads, make_plan
from skyquilt.engine.sampling import choose_sampling
from skyquilt.errors import NotEnoughDisk, NotEnoughMemory

MB = 1_000_000
SEESTAR = Box(0, 0, 1080, 1920)
DWARF = Box(0, 0, 3840, 2160)


def plan_of(
    n_frames: int, memory: int, *, canvas: Box = SEESTAR, n_threads: int = 2, cfa: str | None = "RGGB", **recipe: Any
) -> Plan:
    settings = Recipe(**recipe)
    sampling = choose_sampling(settings, Cfa(cfa) if cfa else None, 1, is_rotated=False)
    with steady():
        return make_plan(
            "M 94",
            n_frames,
            canvas.n_pixels,
            sampling,
            canvas,
            settings,
            budget=memory,
            n_threads=n_threads,
            calibration_table=[],
        )


def work_of(plan: Plan) -> int:
    return plan.tile[0] * plan.tile[1] * plan.n_threads


SETTINGS: list[dict[str, Any]] = [
    {},
    {"schedule": "cube"},
    {"schedule": "sweep"},
    {"debayer": "cfa"},
    {"debayer": "superpixel"},
    {"debayer": "bayer-first", "align_mode": "integer"},
    {"quicklook": False, "maps": False},
    {"crop": 0.5},
    {"cfa": None},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("n_frames", [2, 60, 1000, 20000])
def test_what_is_predicted_fits_the_budget_and_more_memory_does_more_at_once(
    n_frames: int, settings: dict[str, Any]
) -> None:
    work = n_refused = 0
    for memory in range(HELD + 30 * MB, HELD + 2000 * MB, 35 * MB):
        try:
            plan = plan_of(n_frames, memory, n_threads=8, **settings)
        except NotEnoughMemory:
            assert not work, "refused although less was enough"
            n_refused += 1
            continue
        assert plan.peak_memory_bytes <= memory
        if plan.schedule == "cube" or settings.get("schedule") == "sweep":
            assert work_of(plan) >= work
            work = work_of(plan)
    assert n_refused < 40


@pytest.mark.parametrize("canvas", [SEESTAR, DWARF])
@pytest.mark.parametrize("n_frames", [3, 400, 30000])
def test_too_little_memory_is_told_and_following_the_hint_helps(n_frames: int, canvas: Box) -> None:
    with pytest.raises(NotEnoughMemory) as caught:
        plan_of(n_frames, HELD + 28 * MB, canvas=canvas)
    assert caught.value.exit_code == 8
    hint = re.search(r"--memory (\d+)MB", caught.value.hint)
    assert hint
    for _ in range(3):  # the next hurdle may be another one
        try:
            plan_of(n_frames, int(hint[1]) * MB, canvas=canvas)
            return
        except NotEnoughMemory as error:
            hint = re.search(r"--memory (\d+)MB", error.hint)
            assert hint
    raise AssertionError("three hints followed, still refused")


@pytest.mark.parametrize("n_frames", [5, 500, 5000, 50000])
@pytest.mark.parametrize("memory", [400 * MB, 1000 * MB])
def test_the_schedule_and_so_the_pixels_do_not_depend_on_the_threads(n_frames: int, memory: int) -> None:
    plans = [plan_of(n_frames, memory, n_threads=n) for n in (1, 2, 3, 8, 64)]
    assert len({plan.schedule for plan in plans}) == 1
    assert all(1 <= plan.n_threads <= n for plan, n in zip(plans, (1, 2, 3, 8, 64), strict=True))


def test_the_tiles_of_the_cube_shrink_with_the_frames_and_those_of_the_sweep_do_not() -> None:
    areas = [work_of(plan_of(n, 600 * MB, schedule="cube")) for n in (10, 100, 1000, 4000)]
    assert areas == sorted(areas, reverse=True)
    assert areas[-1] < areas[0]
    sweeps = [plan_of(n, 600 * MB, schedule="sweep") for n in (100, 1000, 100_000)]
    assert len({(plan.tile, plan.n_threads, plan.peak_memory_bytes) for plan in sweeps}) == 1


def test_so_many_frames_that_no_cube_fits_are_swept() -> None:
    assert plan_of(400, 512 * MB).schedule == "cube"
    assert plan_of(100_000, 512 * MB).schedule == "sweep"


@pytest.mark.parametrize("n_frames", [10, 1000, 10_000])
def test_scratch_stays_about_the_size_of_output_and_maps(n_frames: int) -> None:
    plan = plan_of(n_frames, 1000 * MB)
    pixels = SEESTAR.n_pixels
    assert plan.scratch_bytes < 1.5 * pixels * (3 * 4 + 4 + 3 * (4 + 2 + 2))


def test_whole_frames_are_looked_at_by_as_many_threads_as_fit_and_by_one_at_least() -> None:
    with steady():
        assert frame_threads(4000 * MB, SEESTAR.n_pixels, 8) == 8
        assert 1 < frame_threads(1000 * MB, DWARF.n_pixels, 64) < 8
        assert frame_threads(512 * MB, DWARF.n_pixels, 8) == 1
        assert frame_threads(HELD, DWARF.n_pixels, 8) == 1


def test_what_the_process_holds_counts_and_what_was_asked_for_is_the_budget() -> None:
    with steady():
        assert memory_budget(512 * MB) == 512 * MB
        with pytest.raises(NotEnoughMemory, match="the program itself holds 200 MB"):
            memory_budget(HELD + 10 * MB)


@pytest.mark.parametrize(
    ("held", "free", "expected"), [(200, 20_000, 1000), (200, 600, 500), (3000, 20_000, 3400), (3000, 300, 3150)]
)
def test_the_default_budget_leaves_room_for_others_and_for_itself(
    held: int, free: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "resident_memory", lambda: held * MB)
    monkeypatch.setattr(budget, "available_memory", lambda: free * MB)
    assert memory_budget(None) == expected * MB


def test_freed_memory_goes_back_to_the_system() -> None:
    blocks = [bytearray(100_000) for _ in range(1500)]
    keep = blocks[::50]
    before = resident_memory()
    del blocks
    release_memory()
    assert len(keep) == 30
    assert resident_memory() < before


def test_a_disk_without_room_is_told_with_both_figures(tmp_path: Path) -> None:
    check_disk(tmp_path / "not" / "there" / "yet", 1)
    with pytest.raises(NotEnoughDisk, match=r"\d+ MB are needed in .*, \d+ MB are free") as caught:
        check_disk(tmp_path, 10**18)
    assert caught.value.exit_code == 7


@pytest.mark.usefixtures("steady_memory")
def test_a_dry_run_plans_what_the_run_does_and_writes_nothing(small_session: Path, tmp_path: Path) -> None:
    settings = {"threads": 2, "memory": "400MB"}
    dry = stack(small_session, tmp_path / "out", options=RunOptions(dry_run=True), **settings)
    assert not (tmp_path / "out").exists()
    assert not dry.stacks
    real = stack(small_session, tmp_path / "out", **settings)
    assert dry.plans == real.plans
    (plan,) = real.plans
    assert plan.n_frames == SMALL.n_frames
    assert any("memory" in line and "scratch" in line for line in plan.lines)
    products = [path for path in (tmp_path / "out").rglob("stacked/*") if path.is_file()]
    size = sum(path.stat().st_size for path in products)
    assert 0.8 * plan.output_bytes < size < 1.25 * plan.output_bytes
