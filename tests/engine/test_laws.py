"""The laws of a whole stack: same bits however it is computed, constants add, order does not matter."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import pytest
from small_session import SMALL, product_hashes, read_pixels, stack_one, steady

from skyquilt import stack
from skyquilt.core import Box
from skyquilt.engine import RunOptions
from skyquilt.testing.laws import RawGuard
from skyquilt.testing.sky import Scenario, make_session

SCHEDULES = ("cube", "sweep")


@pytest.fixture(scope="module")
def reference(small_session: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Hashes of every product array of the plainest run: one thread, plenty of memory, no cache."""
    hashes = {}
    for schedule in SCHEDULES:
        out = tmp_path_factory.mktemp(schedule)
        with RawGuard(small_session):
            result = stack_one(small_session, out, schedule=schedule, threads=1, options=RunOptions(use_cache=False))
        records = result.manifest.frames
        assert sum(record.status == "stacked" for record in records) == SMALL.n_frames
        assert any(record.n_trails for record in records), "the laws should see trails"
        assert {"dark", "flat", "bias"} <= {master.kind for master in result.manifest.calibration}
        assert result.manifest.statistics.rotation_range_deg > 2.0
        hashes[schedule] = product_hashes(out)
    return hashes


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_and_repetition_leave_every_bit_of_every_product(
    small_session: Path, tmp_path: Path, reference: dict[str, dict[str, str]], schedule: str, threads: int
) -> None:
    for _ in range(2):  # the first run measures, the second one takes the measurements from the cache
        stack_one(small_session, tmp_path, schedule=schedule, threads=threads)
        assert product_hashes(tmp_path) == reference[schedule]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(("budget", "tile"), [("320MB", (64, 16)), ("360MB", (128, 64)), ("500MB", (240, 208))])
def test_three_memory_budgets_and_tilings_give_the_same_bits(
    small_session: Path,
    tmp_path: Path,
    reference: dict[str, dict[str, str]],
    schedule: str,
    budget: str,
    tile: tuple[int, int],
) -> None:
    with steady(tile):
        result = stack(small_session, tmp_path, schedule=schedule, threads=8, memory=budget)
    assert (result.plans[0].tile, result.plans[0].schedule) == (tile, schedule)
    assert product_hashes(tmp_path) == reference[schedule]


def test_a_cache_that_is_thrown_away_or_damaged_changes_nothing(
    small_session: Path, tmp_path: Path, reference: dict[str, dict[str, str]]
) -> None:
    stack_one(small_session, tmp_path, schedule="cube")
    kept = sorted(tmp_path.rglob(".skyquilt/measurements/*.npz"))
    assert len(kept) == SMALL.n_frames
    kept[0].write_bytes(kept[0].read_bytes()[:-100])
    kept[1].write_bytes(b"")
    middle = bytearray(kept[2].read_bytes())
    middle[len(middle) // 2] ^= 0x10
    kept[2].write_bytes(middle)
    stack_one(small_session, tmp_path, schedule="cube")
    assert product_hashes(tmp_path) == reference["cube"]
    stack_one(small_session, tmp_path, schedule="cube", options=RunOptions(refresh_cache=True))
    assert product_hashes(tmp_path) == reference["cube"]


class _Shuffled:
    """What `os.scandir` gives, in another order."""

    def __init__(self, folder: str | Path, seed: int) -> None:
        with _scandir(folder) as scan:
            self._entries = list(scan)
        np.random.default_rng(seed).shuffle(self._entries)  # type: ignore[arg-type]

    def __enter__(self) -> _Shuffled:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def __iter__(self) -> Iterator[os.DirEntry[str]]:
        return iter(self._entries)


_scandir = os.scandir


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_in_which_the_disk_gives_the_files_does_not_matter(
    small_session: Path,
    tmp_path: Path,
    reference: dict[str, dict[str, str]],
    seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(seed)
    files = sorted(path for path in small_session.rglob("*") if path.is_file())
    copy = tmp_path / small_session.name
    for k in rng.permutation(len(files)):
        target = copy / files[k].relative_to(small_session)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files[k], target)
        moment = 1.7e9 + float(rng.uniform(0, 1e6))
        os.utime(target, (moment, moment))
    monkeypatch.setattr(os, "scandir", lambda folder=".": _Shuffled(folder, seed))
    stack_one(copy, tmp_path / "out", schedule="cube")
    monkeypatch.undo()
    assert product_hashes(tmp_path / "out") == reference["cube"]


def test_a_frame_list_in_any_order_gives_the_same_bits(
    small_session: Path, tmp_path: Path, reference: dict[str, dict[str, str]]
) -> None:
    names = sorted(path.name for path in (small_session / "lights").iterdir())
    np.random.default_rng(7).shuffle(names)
    frames = tmp_path / "frames.txt"
    frames.write_text("\n".join(names) + "\n")
    stack_one(small_session, tmp_path / "out", schedule="cube", options=RunOptions(frame_list=frames))
    assert product_hashes(tmp_path / "out") == reference["cube"]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_constant_added_to_every_frame_is_added_to_the_result(tmp_path: Path, schedule: str) -> None:
    constant = 512
    plain = Scenario(
        device="generic",
        n_frames=10,
        width=240,
        height=200,
        seed=6,
        rotation_deg=(0.0, 2.0),
        n_trails=1,
        trail_adu=2000.0,
        zero_point=18.5,
        n_hot_pixels=0,
        n_cosmics_per_frame=0,
    )
    make_session(tmp_path / "plain", plain)
    _copy_with_constant(tmp_path / "plain", tmp_path / "lifted", constant)
    settings = {"schedule": schedule, "unit": "adu", "threads": 2}
    a = stack_one(tmp_path / "plain", tmp_path / "out_a", **settings)
    b = stack_one(tmp_path / "lifted", tmp_path / "out_b", **settings)
    low, high = (read_pixels(result.outputs["master_linear"]) for result in (a, b))
    assert np.array_equal(np.isnan(low), np.isnan(high))
    assert np.isfinite(low).mean() > 0.95
    error = np.abs((high - low)[np.isfinite(low)] - constant)
    step = np.spacing(np.nanmedian(high))
    assert np.quantile(error, 0.999) < 16 * step, f"{np.quantile(error, 0.999) / step:.0f} steps of float32"
    # the rounding of pixels moves the transforms by 1e-5 px, which the flanks of stars show; and a sample that lies on
    # a limit of the rejection to the last digit may fall to its other side
    moved = np.sort(error[error >= 1e-5 * np.nanmax(high)])
    assert len(moved) <= 2, f"{len(moved)} values, up to {error.max():.3f} ADU of {np.nanmax(high):.0f}"


def _copy_with_constant(source: Path, target: Path, constant: int) -> None:
    """Copy a session with a number added to every stored pixel; the headers stay."""
    for path in sorted(source.rglob("*.fit*")):
        content = path.read_bytes()
        start = (content.index(b"END" + b" " * 77) // 2880 + 1) * 2880
        shape_ends = len(content) - (len(content) - start) % 2
        pixels = np.frombuffer(content[start:shape_ends], ">i2").astype(np.int32) + constant
        assert pixels.max() < 32767, "saturated pixels would not be lifted"
        there = target / path.relative_to(source)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(content[:start] + pixels.astype(">i2").tobytes())


def test_a_crop_of_the_canvas_is_the_canvas_of_the_crop(small_session: Path, tmp_path: Path) -> None:
    canvases = {}
    for framing in ("reference", "union", "intersection"):
        result = stack_one(small_session, tmp_path / framing, framing=framing)
        canvases[framing] = (Box(*result.manifest.canvas), read_pixels(result.outputs["master_linear"]))
    union, whole = canvases["union"]
    for framing in ("reference", "intersection"):
        box, part = canvases[framing]
        assert box.intersect(union) == box and box.n_pixels < union.n_pixels
        rows, columns = box.slices(union)
        np.testing.assert_array_equal(whole[:, rows, columns], part)
