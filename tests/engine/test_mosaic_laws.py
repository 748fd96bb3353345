"""The laws of a mosaic: same bits however it is made, whatever breaks meanwhile; raw files stay as they are."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nursery import Nursery, half_done, watched_calls
from small_mosaic import (
    CHUNK,
    SCENE,
    SETTINGS,
    Ear,
    coverage_of,
    grid_of,
    hashes_of,
    leftovers,
    pixels_of,
    sew,
    small_chunks,
    statuses,
)

from skyquilt import mosaic
from skyquilt.core import Event, Wcs
from skyquilt.engine import RunOptions
from skyquilt.engine.mosaic import MosaicResult, planning
from skyquilt.errors import Interrupted, NotEnoughDisk, NoUsableInput, OutputBlocked, SkyquiltError
from skyquilt.io.fits import data_hash
from skyquilt.testing.laws import RawGuard
from skyquilt.testing.mosaic_sky import make_mosaic

PIECES = (64, 32)


@pytest.fixture(autouse=True)
def _small_chunks() -> Iterator[None]:
    with small_chunks():
        yield


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mosaic") / "in"
    make_mosaic(folder, SCENE)
    return folder


@dataclass(frozen=True, eq=False)
class Plain:
    """The plainest run: its hashes, its events and its products."""

    hashes: dict[str, str]
    ear: Ear
    made: MosaicResult


@pytest.fixture(scope="module")
def plain(session: Path, tmp_path_factory: pytest.TempPathFactory) -> Plain:
    """Make a mosaic on one thread, without a cache and with plenty of memory."""
    ear = Ear()
    with small_chunks(), RawGuard(session):
        options = RunOptions(use_cache=False)
        made = sew(session, tmp_path_factory.mktemp("plain"), threads=1, options=options, listener=ear)
    assert all(status == "stacked" for status, _ in statuses(made).values())
    assert sum(frame.n_trails for frame in made.manifest.frames) == SCENE.camera.n_trails, "the laws should see trails"
    assert [master.kind for master in made.manifest.calibration] == ["dark"]
    assert made.manifest.mosaic.surface_order == 1 and len(made.manifest.mosaic.panels) == 4
    assert made.manifest.statistics.rotation_range_deg > 4.0
    assert len(ear.made) == len(set(ear.made)) == 9, "several chunks, and some at the edge"
    assert len({len(box) for box in ear.made}) == 1 and (256, 256, 365, 296) in ear.made
    return Plain(hashes_of(made), ear, made)


def test_threads_and_repetition_leave_every_bit(session: Path, tmp_path: Path, plain: Plain) -> None:
    assert hashes_of(sew(session, tmp_path / "two", threads=2)) == plain.hashes
    for threads in (4, 1):  # the second run takes measurements and chunks over
        assert hashes_of(sew(session, tmp_path / "four", threads=threads)) == plain.hashes


@pytest.mark.parametrize(
    ("memory", "pieces", "n_threads"), [("600MB", (512, 128), 2), ("268MB", (512, 64), 2), ("268MB", (128, 32), 8)]
)
def test_three_memory_budgets_cut_other_pieces_and_give_the_same_bits(
    session: Path,
    tmp_path: Path,
    plain: Plain,
    memory: str,
    pieces: tuple[int, int],
    n_threads: int,
) -> None:
    result = mosaic(session, tmp_path, **{**SETTINGS, "threads": n_threads, "memory": memory})
    assert result.plans[0].pieces.sub_tile == pieces and result.plans[0].pieces.schedule == "cube"
    assert hashes_of(result.mosaics[0]) == plain.hashes


def test_the_sweep_gives_the_same_bits_for_any_pieces(session: Path, tmp_path: Path) -> None:
    hashes = []
    for number, pieces in enumerate(((128, 64), (64, 16))):
        with small_chunks(pieces):
            result = mosaic(session, tmp_path / str(number), **SETTINGS, schedule="sweep")
        assert (result.plans[0].pieces.schedule, result.plans[0].pieces.sub_tile) == ("sweep", pieces)
        hashes.append(hashes_of(result.mosaics[0]))
    assert hashes[0] == hashes[1]


def test_two_bands_do_not_see_the_pieces_nor_the_threads(session: Path, tmp_path: Path) -> None:
    hashes = []
    for number, pieces in enumerate(((128, 64), (64, 16))):
        with small_chunks(pieces):
            hashes.append(hashes_of(sew(session, tmp_path / str(number), blend="multiband", threads=1 + number)))
    assert hashes[0] == hashes[1]


def split_up(session: Path, target: Path, n_folders: int, seed: int) -> list[Path]:
    """Copy the lights to several folders under other names, each beside the darks; return the folders, shuffled."""
    rng = np.random.default_rng(seed)
    folders = [target / f"night {k}" for k in range(n_folders)]
    for folder in folders:
        shutil.copytree(session / "darks", folder / "darks")
        (folder / "lights").mkdir()
    for number, light in enumerate(sorted((session / "lights").iterdir())):
        name = f"{light.stem.rsplit('_', 1)[0]}_{rng.integers(10**6):06d}.fits"
        shutil.copyfile(light, folders[number % n_folders] / "lights" / name)
    return [folders[k] for k in rng.permutation(n_folders)]


def test_order_and_names_of_folders_and_files_do_not_matter(session: Path, tmp_path: Path, plain: Plain) -> None:
    folders = split_up(session, tmp_path, 3, seed=1)
    assert hashes_of(sew(folders, tmp_path / "out")) == plain.hashes


def test_a_frame_that_is_given_twice_counts_once(session: Path, tmp_path: Path, plain: Plain) -> None:
    light = sorted((session / "lights").iterdir())[2]
    (tmp_path / "again" / "lights").mkdir(parents=True)
    shutil.copytree(session / "darks", tmp_path / "again" / "darks")
    shutil.copyfile(light, tmp_path / "again" / "lights" / "other_name.fits")
    made = sew([session, tmp_path / "again"], tmp_path / "out")
    assert hashes_of(made) == plain.hashes
    left_out = [frame for frame in made.manifest.frames if frame.status == "left_out"]
    assert len(left_out) == 1 and "the same bytes" in (left_out[0].reason or "")


def test_a_part_of_the_canvas_has_the_pixels_of_the_whole(session: Path, tmp_path: Path) -> None:
    # the solution of the skies looks at points of the canvas, which are others for another canvas
    whole = sew(session, tmp_path / "whole", normalise="none")
    grid = grid_of(whole)
    x0, y0, width, height = 50, 40, grid.width - 100, grid.height - 90
    asked = tmp_path / "canvas.fits"
    write_canvas(asked, grid.wcs.shifted(x0, y0), width, height)
    part = sew(session, tmp_path / "part", normalise="none", canvas=str(asked))
    assert (grid_of(part).width, grid_of(part).height) == (width, height)
    assert grid_of(part).wcs.crpix0 == pytest.approx(grid.wcs.shifted(x0, y0).crpix0, abs=1e-9)
    cut, own = pixels_of(whole)[:, y0 : y0 + height, x0 : x0 + width], pixels_of(part)
    assert np.mean(np.isnan(cut) != np.isnan(own)) < 1e-4
    apart = np.abs(cut - own)[np.isfinite(cut) & np.isfinite(own)]
    assert np.quantile(apart, 0.999) < 2e-5 * np.nanmax(cut), np.quantile(apart, [0.5, 0.99, 0.999])
    assert np.mean((coverage_of(whole)[y0 : y0 + height, x0 : x0 + width] > 0) != (coverage_of(part) > 0)) < 1e-4


def write_canvas(path: Path, wcs: Wcs, width: int, height: int) -> None:
    """Write an image that has coordinates and nothing to see."""
    from astropy.io import fits

    header = fits.Header([*wcs.cards(), ("ROWORDER", "TOP-DOWN", "")])
    fits.PrimaryHDU(np.zeros((height, width), np.uint8), header).writeto(path)


def lifted(source: Path, target: Path, constant: int) -> None:
    """Copy a session with a number added to every stored pixel of the lights; darks and headers stay."""
    for path in sorted(source.rglob("*.fits")):
        content = path.read_bytes()
        if path.parent.name == "lights":
            start = (content.index(b"END" + b" " * 77) // 2880 + 1) * 2880
            pixels = np.frombuffer(content[start:], ">i2").astype(np.int32) + constant
            content = content[:start] + np.minimum(pixels, 32767).astype(">i2").tobytes()
        there = target / path.relative_to(source)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(content)


def test_a_constant_added_to_every_frame_is_added_to_the_mosaic(session: Path, tmp_path: Path) -> None:
    lifted(session, tmp_path / "lifted", 512)
    # with the scales left alone: they multiply the constant, as they do the sky
    settings: dict[str, Any] = {"unit": "adu", "normalise": "additive"}
    low = pixels_of(sew(session, tmp_path / "a", **settings))
    high = pixels_of(sew(tmp_path / "lifted", tmp_path / "b", **settings))
    known = np.isfinite(low) & np.isfinite(high)
    assert np.mean(np.isfinite(low) != np.isfinite(high)) < 0.002  # nearer to the top of the scale, more is saturated
    off = (high - low)[known] - 512.0
    assert abs(np.median(off)) < 0.2, np.median(off)
    # what lies beside saturated pixels is treated in another way, and more of them are
    assert np.quantile(np.abs(off), 0.98) < 3.0, np.quantile(np.abs(off), [0.5, 0.9, 0.98])


# --- runs that are killed, damaged or stopped


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    if not Nursery.is_possible:
        pytest.skip("runs are killed in forked children")
    with Nursery("mosaic") as nursery:
        yield nursery


def check_resumed(session: Path, out: Path, plain: Plain, what: str) -> Ear:
    """Run again; compare every bit."""
    ear = Ear()
    for product in out.rglob("mosaic/*.fits"):  # what has its name already is whole
        assert data_hash(product) == plain.hashes[product.name], what
    made = sew(session, out, listener=ear)
    assert hashes_of(made) == plain.hashes, what
    assert not leftovers(out), what
    return ear


def test_killed_in_every_phase_it_ends_with_the_same_bits(
    nursery: Nursery, session: Path, tmp_path: Path, plain: Plain
) -> None:
    rng = np.random.default_rng(4)
    shares = {"measure": 1, "trails": 1, "integrate": 2, "products": 1}
    taken_over = 0
    for phase, n in shares.items():
        for moment in sorted({int(moment) for moment in rng.choice(plain.ear.moments_of(phase), n)}):
            out = tmp_path / f"{phase}{moment}"
            with RawGuard(session):
                assert nursery.run(session, out, SETTINGS, PIECES, event=moment)
            ear = check_resumed(session, out, plain, f"killed at event {moment}, {phase}")
            event = plain.ear.events[moment - 1]
            done = event.done if phase == "integrate" and event.kind == "progress" else 0
            assert len(ear.made) <= 9 - done, "a finished chunk was made again"
            taken_over += 9 - len(ear.made)
    assert taken_over > 3


def test_killed_half_way_through_a_write_it_ends_with_the_same_bits(
    nursery: Nursery, session: Path, tmp_path: Path, plain: Plain
) -> None:
    killed = 0
    for call in (40, 100):
        killed += nursery.run(session, tmp_path / str(call), SETTINGS, PIECES, call=call)
        check_resumed(session, tmp_path / str(call), plain, f"killed in writing call {call}")
    assert killed == 2


@pytest.mark.long
def test_killed_at_twenty_random_moments_it_ends_with_the_same_bits(
    nursery: Nursery, session: Path, tmp_path: Path, plain: Plain
) -> None:
    killed = 0
    usual = nursery.usual_seconds(session, tmp_path / "whole", SETTINGS, PIECES)
    for number, seconds in enumerate(usual * np.random.default_rng(20).uniform(0.02, 0.9, 20)):
        out = tmp_path / str(number)
        killed += nursery.run(session, out, SETTINGS, PIECES, seconds=float(seconds))
        check_resumed(session, out, plain, f"killed after {seconds:.3f} s")
    assert killed >= 15


@pytest.fixture(scope="module")
def killed_late(
    nursery: Nursery, session: Path, tmp_path_factory: pytest.TempPathFactory, plain: Plain
) -> tuple[Path, int]:
    """A run that was killed when two thirds of the chunks were done, and how many those were at the least."""
    moments = [k for k in plain.ear.moments_of("integrate") if plain.ear.events[k - 1].kind == "progress"]
    out = tmp_path_factory.mktemp("killed") / "out"
    assert nursery.run(session, out, SETTINGS, PIECES, event=moments[5])
    return out, 6


@pytest.fixture
def stopped(killed_late: tuple[Path, int], tmp_path: Path) -> tuple[Path, int]:
    """A copy of what that run left, to be harmed."""
    shutil.copytree(killed_late[0], tmp_path / "out")
    return tmp_path / "out", killed_late[1]


def chunk_files(out: Path, array: str) -> list[Path]:
    return sorted(path for path in out.rglob(f".skyquilt/canvas/canvas.zarr/{array}/c/**/*") if path.is_file())


def flip_a_byte(out: Path) -> None:
    path = chunk_files(out, "value")[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


def cut_a_chunk(out: Path) -> None:
    path = chunk_files(out, "variance")[2]
    path.write_bytes(path.read_bytes()[:-7])


def remove_a_chunk(out: Path) -> None:
    chunk_files(out, "coverage")[0].unlink()


def cut_the_journal(out: Path) -> None:
    (path,) = out.rglob("journal-main.jsonl")
    path.write_bytes(path.read_bytes()[:-9])


def flip_a_byte_of_the_side(out: Path) -> None:
    (path,) = out.rglob("side-main.bin")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x08
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [flip_a_byte, cut_a_chunk, remove_a_chunk, cut_the_journal, flip_a_byte_of_the_side])
def test_what_is_damaged_on_disk_is_found_and_made_again(
    stopped: tuple[Path, int],
    session: Path,
    plain: Plain,
    damage: Callable[[Path], None],
) -> None:
    out, done = stopped
    damage(out)
    ear = check_resumed(session, out, plain, damage.__name__)
    assert 9 - len(ear.made) >= done - 1, "more than the damaged chunk was made again"
    if damage in (flip_a_byte, flip_a_byte_of_the_side):
        assert any("damaged" in message for message in ear.messages)
        assert len(ear.made) >= 10 - (done + 2 * 2 * SETTINGS["threads"]), "the damage was not looked for"


def test_a_finished_canvas_that_rots_is_made_again(session: Path, tmp_path: Path, plain: Plain) -> None:
    sew(session, tmp_path)
    flip_a_byte(tmp_path)
    ear = Ear()
    assert hashes_of(sew(session, tmp_path, listener=ear)) == plain.hashes
    assert len(ear.made) == 1


def test_a_run_that_is_stopped_says_so_and_is_gone_on_with(session: Path, tmp_path: Path, plain: Plain) -> None:
    first = Ear()
    options = RunOptions(should_stop=lambda: len(first.made) >= 2)
    with pytest.raises(Interrupted) as caught:
        mosaic(session, tmp_path, listener=first, options=options, **SETTINGS)
    assert caught.value.exit_code == 130
    assert not list(tmp_path.rglob("mosaic_linear.fits"))
    ear = check_resumed(session, tmp_path, plain, "stopped")
    assert len(ear.made) == 9 - len(first.made) > 0


@pytest.mark.parametrize("change", [{"feather_px": 20.0}, {"weights": "none"}])
def test_another_recipe_takes_no_chunk_over(
    stopped: tuple[Path, int], session: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    ear = Ear()
    again = sew(session, stopped[0], listener=ear, **change)
    assert len(ear.made) == 9
    assert hashes_of(again) == hashes_of(sew(session, tmp_path / "fresh", **change))


# --- frames that are lost meanwhile


def lose(path: Path) -> None:
    path.unlink()


def rot(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(("harm", "code"), [(lose, "vanished"), (rot, "changed")])
def test_a_frame_that_is_lost_while_it_is_integrated_is_left_out_with_the_reason(
    session: Path, tmp_path: Path, plain: Plain, harm: Callable[[Path], None], code: str
) -> None:
    own = tmp_path / "in"
    shutil.copytree(session, own)
    victim = sorted((own / "lights").iterdir())[7]
    ear = Ear()

    def listener(event: Event) -> None:
        ear(event)
        if len(ear.made) == 1 and victim.exists() and victim.stat().st_size > 60_000:
            harm(victim)

    whole = plain.made
    made = sew(own, tmp_path / "out", listener=listener, threads=1)
    records = {frame.file: frame for frame in made.manifest.frames}
    record = records.pop(victim.name)
    assert (record.status, record.code, record.stage) == ("left_out", code, "integrate"), record
    assert record.reason
    assert all(one.status == "stacked" for one in records.values())
    assert made.manifest.statistics.n_stacked == 11 and made.manifest.statistics.n_left_out == 1
    # every trace of it is gone: where it lay, its exposure is missing; elsewhere, not one bit is another
    missing = coverage_of(whole) - coverage_of(made)
    lay = np.isclose(missing, 60.0, atol=1.0)
    assert 0.2 < lay.mean() < 0.5
    far = np.ones_like(lay)
    for box in ear.made:
        part = np.s_[box[1] : box[3], box[0] : box[2]]
        if lay[part].any():
            far[part] = False
    assert far.any() and np.array_equal(pixels_of(whole)[:, far], pixels_of(made)[:, far], equal_nan=True)
    # what they had made with it was made again, and no more than that
    twice = [box for box in ear.made if ear.made.count(box) > 1]
    for box in set(twice):
        assert lay[box[1] : box[3], box[0] : box[2]].any()


def test_all_frames_lost_ends_with_a_sentence(session: Path, tmp_path: Path) -> None:
    own = tmp_path / "in"
    shutil.copytree(session, own)

    def listener(event: Event) -> None:
        if event.phase == "integrate" and event.kind == "phase":
            for light in (own / "lights").iterdir():
                light.unlink()

    with pytest.raises(NoUsableInput, match="none of its frames can be read") as caught:
        mosaic(own, tmp_path / "out", listener=listener, **SETTINGS)
    assert caught.value.exit_code == NoUsableInput.exit_code
    assert not list((tmp_path / "out").rglob("mosaic_linear.fits"))


# --- the disk

ERRORS = {errno.ENOSPC: NotEnoughDisk, errno.EIO: OutputBlocked, errno.EROFS: OutputBlocked}
on_linux = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="files are told by /proc/self/fd")


class Faults:
    """The k-th writing call below a folder fails, half done."""

    def __init__(self, failing: int, number: int) -> None:
        self.n_calls = 0
        self._failing, self._number = failing, number
        self._lock = threading.Lock()

    def __call__(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        with self._lock:
            self.n_calls += 1
            fails = self.n_calls == self._failing and name != "unlink"
        if fails:
            half_done(name, function, arguments)
            raise OSError(self._number, os.strerror(self._number))
        return function(*arguments)


def sew_with_faults(session: Path, out: Path, faults: Faults) -> SkyquiltError | None:
    """Make a mosaic while a call fails; return how it ended."""
    with pytest.MonkeyPatch.context() as patch:
        for name, call in watched_calls(out, faults).items():
            patch.setattr(os, name, call)
        try:
            mosaic(session, out, **SETTINGS)
        except SkyquiltError as error:
            return error
    return None


def check_fault(session: Path, out: Path, plain: Plain, failing: int, number: int) -> bool:
    """Let one call fail, then run again without a fault; return whether the first run ended with an error."""
    error = sew_with_faults(session, out, Faults(failing, number))
    if error is not None:
        assert isinstance(error, ERRORS[number]), f"call {failing}: {error!r}"
        assert error.message.strip() and "\n" not in error.message and "Errno" not in error.message
    check_resumed(session, out, plain, f"call {failing} failed with {errno.errorcode[number]}")
    return error is not None


@pytest.fixture(scope="module")
def n_calls(session: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How often a run without faults writes."""
    faults = Faults(0, 0)
    with small_chunks():
        assert sew_with_faults(session, tmp_path_factory.mktemp("count"), faults) is None
    return faults.n_calls


@on_linux
def test_a_call_that_fails_is_told_and_the_next_run_is_whole(
    session: Path, tmp_path: Path, plain: Plain, n_calls: int
) -> None:
    assert n_calls > 100
    numbers = list(ERRORS)
    moments = [int(share * n_calls) for share in (0.3, 0.6, 0.9)]
    told = [check_fault(session, tmp_path / str(k), plain, k, numbers[i % len(numbers)]) for i, k in enumerate(moments)]
    assert sum(told) >= 2


@on_linux
@pytest.mark.long
@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
def test_every_fifth_call_may_fail(session: Path, tmp_path: Path, plain: Plain, n_calls: int, number: int) -> None:
    told = [check_fault(session, tmp_path / str(k), plain, k, number) for k in range(1, n_calls, 5)]
    assert sum(told) > 0.5 * len(told)


def test_a_disk_that_is_too_small_is_told_before_anything_is_integrated(
    session: Path, small_disk: Callable[[int], Path]
) -> None:
    ear = Ear()
    with pytest.raises(NotEnoughDisk, match=r"MB are needed in .*, .* MB are free") as caught:
        mosaic(session, small_disk(3_000_000), listener=ear, **SETTINGS)
    assert caught.value.exit_code == 7
    assert not ear.moments_of("integrate")


@pytest.mark.parametrize("phase", ["measure", "integrate", "products"])
def test_a_disk_that_fills_up_meanwhile_is_told_and_the_run_goes_on_when_there_is_room(
    session: Path, small_disk: Callable[[int], Path], plain: Plain, phase: str
) -> None:
    disk = small_disk(30_000_000)
    filler = disk / "filler"
    ear = Ear()

    def fill(event: Event) -> None:
        ear(event)
        is_time = len(ear.made) == 2 if phase == "integrate" else event.phase == phase and event.kind == "phase"
        if is_time and not filler.exists():
            with contextlib.suppress(OSError):  # a chunk may have taken some of it meanwhile
                filler.write_bytes(bytes(max(0, shutil.disk_usage(disk).free - 20_000)))

    with pytest.raises(NotEnoughDisk) as caught:
        mosaic(session, disk / "out", listener=fill, **SETTINGS)
    assert caught.value.exit_code == 7 and "\n" not in caught.value.message
    assert not list((disk / "out").rglob("mosaic_linear.fits"))
    filler.unlink()
    again = check_resumed(session, disk / "out", plain, phase)
    assert len(again.made) == {"measure": 9, "products": 0}.get(phase, len(again.made))
    assert len(again.made) < 9 or phase == "measure", "chunks that were done were thrown away"


# --- frames that are added later


def test_frames_are_told_apart_by_their_bytes_not_by_their_names(session: Path, tmp_path: Path) -> None:
    """A renamed folder is the same mosaic: nothing is made again."""
    own = tmp_path / "in"
    shutil.copytree(session, own)
    first = hashes_of(sew(own, tmp_path / "out"))
    own.rename(tmp_path / "moved")
    (tmp_path / "out" / "in").rename(tmp_path / "out" / "moved")
    ear = Ear()
    assert hashes_of(sew(tmp_path / "moved", tmp_path / "out", listener=ear)) == first
    assert not ear.made


def test_chunks_of_this_size_are_what_the_tests_speak_of() -> None:
    assert planning.CHUNK_PX == CHUNK
