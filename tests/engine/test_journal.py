"""The journal keeps finished tiles through crashes and damage; the lock lets one run at a time into a folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from small_session import stack_one

from skyquilt.apps.cli import main
from skyquilt.core import I64, Box, CanvasTile
from skyquilt.engine.journal import Journal, tile_bytes_on_disk, unfinished_tile
from skyquilt.engine.lock import locked
from skyquilt.errors import NotEnoughDisk, OutputBlocked

CANVAS = Box(-3, 5, 47, 45)
TILE = (16, 16)
N_FRAMES = 7


def a_tile(box: Box, n_channels: int = 3) -> CanvasTile:
    rng = np.random.default_rng(abs(hash((box.x0, box.y0, box.x1, box.y1))) % 2**32)
    shape = (n_channels, *box.shape)
    return CanvasTile(
        box,
        rng.normal(1000, 30, shape).astype(np.float32),
        rng.random(shape).astype(np.float32),
        rng.random(box.shape).astype(np.float32),
        rng.integers(0, 9, shape).astype(np.uint16),
        rng.integers(0, 9, shape).astype(np.uint16),
    )


def counts_of(box: Box) -> I64:
    return np.arange(3 * N_FRAMES).reshape(N_FRAMES, 3) * (1 + box.n_pixels)


def open_journal(folder: Path, key: str = "a", tile: tuple[int, int] = TILE) -> Journal:
    return Journal(folder, key, tile, 3, N_FRAMES)


def filled(folder: Path) -> list[Box]:
    """Make a journal with every tile of the canvas; return their boxes in the order in which they were kept."""
    journal = open_journal(folder)
    boxes = list(CANVAS.tiles(*TILE))
    for box in boxes:
        journal.write(a_tile(box), counts_of(box))
    journal.close()
    return boxes


def check_tile(journal: Journal, box: Box) -> None:
    found, expected = journal.read(box), a_tile(box)
    assert found.box == box
    for name in ("value", "variance", "coverage", "rejected_low", "rejected_high"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(journal.read_counts(box), counts_of(box))


def test_what_was_kept_is_read_back_now_and_by_the_next_run(tmp_path: Path) -> None:
    boxes = filled(tmp_path)
    for _ in range(2):
        journal = open_journal(tmp_path)
        assert journal.done == frozenset(boxes)
        for box in boxes:
            check_tile(journal, box)
        journal.close()
    counts_bytes = (tmp_path / "tiles.bin").stat().st_size - tile_bytes_on_disk(CANVAS.n_pixels, 3)
    assert 0 < counts_bytes < len(boxes) * N_FRAMES * 12 + 20 * len(boxes)


@pytest.mark.parametrize("change", ["key", "tile"])
def test_a_journal_of_other_pixels_or_other_tiles_is_thrown_away(tmp_path: Path, change: str) -> None:
    filled(tmp_path)
    journal = open_journal(tmp_path, key="b") if change == "key" else open_journal(tmp_path, tile=(32, 16))
    assert journal.done == frozenset()
    assert (tmp_path / "tiles.bin").stat().st_size == 0
    journal.close()


def test_the_tiles_of_an_unfinished_journal_are_known_to_who_has_its_key(tmp_path: Path) -> None:
    assert unfinished_tile(tmp_path, "a") is None
    filled(tmp_path)
    assert unfinished_tile(tmp_path, "a") == TILE
    assert unfinished_tile(tmp_path, "b") is None
    for head in (b"", b"[]", b'{"key": "a"}', b'{"key": "a", "tile": [0, 9]}', b'{"key": "a", "tile": "x"}', b"\xff"):
        (tmp_path / "journal.jsonl").write_bytes(head + b"\n")
        assert unfinished_tile(tmp_path, "a") is None


def test_a_journal_cut_anywhere_keeps_the_lines_before_and_takes_the_rest_again(tmp_path: Path) -> None:
    boxes = filled(tmp_path)
    text, data = (tmp_path / "journal.jsonl").read_bytes(), (tmp_path / "tiles.bin").read_bytes()
    for length in [*range(0, len(text), 37), len(text) - 1]:
        (tmp_path / "journal.jsonl").write_bytes(text[:length])
        (tmp_path / "tiles.bin").write_bytes(data)
        n_whole = max(0, len(text[:length].split(b"\n")) - 2)
        journal = open_journal(tmp_path)
        assert n_whole <= len(journal.done) <= n_whole + 1
        assert journal.done == frozenset(boxes[: len(journal.done)])
        for box in boxes:
            if box not in journal.done:
                journal.write(a_tile(box), counts_of(box))
        journal.close()
        journal = open_journal(tmp_path)
        assert journal.done == frozenset(boxes)
        for box in boxes:
            check_tile(journal, box)
        journal.close()


def test_tiles_cut_short_are_taken_again(tmp_path: Path) -> None:
    boxes = filled(tmp_path)
    data = (tmp_path / "tiles.bin").read_bytes()
    for length in (0, 1, len(data) // 2, len(data) - 1):
        (tmp_path / "tiles.bin").write_bytes(data[:length])
        journal = open_journal(tmp_path)
        kept = len(journal.done)
        assert journal.done == frozenset(boxes[:kept])
        assert kept < len(boxes)
        journal.close()


def test_no_flipped_bit_of_the_tiles_goes_unseen(tmp_path: Path) -> None:
    boxes = filled(tmp_path)
    data = (tmp_path / "tiles.bin").read_bytes()
    for at in np.random.default_rng(3).integers(0, len(data), 60):
        damaged = bytearray(data)
        damaged[at] ^= 1 << int(at % 8)
        (tmp_path / "tiles.bin").write_bytes(damaged)
        journal = open_journal(tmp_path)
        assert len(journal.done) == len(boxes) - 1
        journal.close()


def test_no_flipped_bit_of_the_lines_leads_to_a_wrong_tile_or_an_error(tmp_path: Path) -> None:
    boxes = filled(tmp_path)
    text = (tmp_path / "journal.jsonl").read_bytes()
    data = (tmp_path / "tiles.bin").read_bytes()
    for at in np.random.default_rng(4).integers(0, len(text), 120):
        damaged = bytearray(text)
        damaged[at] ^= 1 << int(at % 8)
        (tmp_path / "journal.jsonl").write_bytes(damaged)
        (tmp_path / "tiles.bin").write_bytes(data)
        journal = open_journal(tmp_path)
        assert journal.done <= frozenset(boxes)
        assert len(journal.done) >= len(boxes) - 2 or at < text.index(b"\n") + 1
        for box in journal.done:
            check_tile(journal, box)
        journal.close()


HOSTILE = [
    {"box": [0, 0, 2**70, 2**70], "offset": 0, "size": 9, "crc": 0},
    {"box": [0, 0, 16, 16], "offset": 2**80, "size": 9, "crc": 0},
    {"box": [0, 0, 16, 16], "offset": -5, "size": 2**70, "crc": 0},
    {"box": [16, 16, 0, 0], "offset": 0, "size": 9, "crc": 0},
    {"box": ["a", 0, 1, 1], "offset": 0, "size": 9, "crc": 0},
    {"box": [0, 0, 1.5, 1], "offset": 0, "size": 9, "crc": 0},
    {"box": {"x": 1}, "offset": 0, "size": 9, "crc": 0},
    {"box": [0, 0, 16], "offset": 0, "size": 9, "crc": 0},
    {"box": [0, 0, 16, 16], "offset": 0, "size": -9, "crc": 0},
    {"offset": 0, "size": 9, "crc": 0},
    [1, 2],
    None,
]


@pytest.mark.parametrize("entry", HOSTILE, ids=[json.dumps(entry)[:36] for entry in HOSTILE])
def test_a_line_that_makes_no_sense_is_passed_over(tmp_path: Path, entry: object) -> None:
    boxes = filled(tmp_path)
    path = tmp_path / "journal.jsonl"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], json.dumps(entry).encode(), b"[" * 5000, b"\xff\xfe", *lines[2:]]))
    journal = open_journal(tmp_path)
    assert journal.done == frozenset(boxes[1:])
    journal.close()


@pytest.mark.parametrize(("number", "kind"), [(28, NotEnoughDisk), (5, OutputBlocked)])
def test_a_tile_that_cannot_be_stored_is_one_sentence_and_harms_no_other(
    tmp_path: Path, number: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = list(CANVAS.tiles(*TILE))
    real = os.pwrite
    for failing in range(1, 7):
        folder = tmp_path / str(failing)
        journal = open_journal(folder)
        calls = iter(range(1, 100))

        def pwrite(descriptor: int, data: bytes, offset: int, calls=calls, failing=failing) -> int:  # type: ignore[no-untyped-def]
            if next(calls) >= failing:
                real(descriptor, data[: len(data) // 2], offset)
                raise OSError(number, os.strerror(number))
            return real(descriptor, data, offset)

        monkeypatch.setattr(os, "pwrite", pwrite)
        with pytest.raises(kind) as caught:
            for box in boxes:
                journal.write(a_tile(box), counts_of(box))
        assert "\n" not in str(caught.value).split("\n\nhint")[0]
        journal.close()
        monkeypatch.setattr(os, "pwrite", real)
        journal = open_journal(folder)
        assert journal.done == frozenset(boxes[: (failing - 1) // 2])
        for box in boxes:
            journal.write(a_tile(box), counts_of(box))
        for box in boxes:
            check_tile(journal, box)
        journal.close()


def test_scratch_that_somebody_cuts_short_while_it_is_read_is_one_sentence(tmp_path: Path) -> None:
    boxes = filled(tmp_path)
    journal = open_journal(tmp_path)
    os.truncate(tmp_path / "tiles.bin", 100)
    with pytest.raises(OutputBlocked, match="cut short"):
        journal.read(boxes[-1])
    journal.remove()
    assert not tmp_path.exists()
    journal.close()


def test_a_folder_where_none_can_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputBlocked):
        open_journal(tmp_path / "file" / "journal")
    with pytest.raises(OutputBlocked), locked(tmp_path / "file" / ".skyquilt"):
        pass


def hold_lock(folder: Path) -> subprocess.Popen[str]:
    """Start a process that holds the lock of a folder and says so."""
    program = (
        "import sys, pathlib\nfrom skyquilt.engine.lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_a_second_run_is_kept_out_while_the_first_one_lives_and_let_in_when_it_is_killed(
    tmp_path: Path, tiny_session: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    group = stack_one(tiny_session, tmp_path).folder
    scratch = group / ".skyquilt"
    with hold_lock(scratch) as child:
        try:
            with pytest.raises(OutputBlocked, match=str(child.pid)), locked(scratch):
                pass
            with pytest.raises(SystemExit) as ended:
                main(["stack", str(tiny_session), "--out", str(tmp_path), "--quiet"])
            assert ended.value.code == 9
            assert "another run" in capfd.readouterr().err
            child.kill()
            # a dead process that nobody has asked after yet holds nothing
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            with locked(scratch):
                assert json.loads((scratch / "lock").read_text())["pid"] == os.getpid()
        finally:
            child.kill()
    assert not (scratch / "lock").exists()


def test_a_second_run_in_the_same_process_is_kept_out(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(OutputBlocked), locked(tmp_path):
            pass
        assert (tmp_path / "lock").exists()
    with locked(tmp_path):
        pass


def test_of_many_who_want_the_lock_at_once_one_has_it(tmp_path: Path) -> None:
    inside = threading.Semaphore(1)
    entered = []

    def want(_: int) -> None:
        for _ in range(40):
            try:
                with locked(tmp_path):
                    assert inside.acquire(blocking=False), "two are inside"
                    entered.append(1)
                    inside.release()
            except OutputBlocked:
                pass

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(want, range(6)))
    assert entered
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize("content", ['{"pid": 999999999, "start": 5}', '{"pid": 1, "start": -3}', "", "{", "[]", "\0"])
def test_a_stale_or_damaged_lock_is_taken_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "lock").write_text(content)
    with locked(tmp_path):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "lock").exists()


def test_without_the_system_s_locks_the_process_number_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skyquilt.engine.lock._is_held", lambda descriptor: None)
    with locked(tmp_path), pytest.raises(OutputBlocked), locked(tmp_path):
        pass
    (tmp_path / "lock").write_text('{"pid": 999999999, "start": 5}')
    with locked(tmp_path):
        pass
    assert not (tmp_path / "lock").exists()


def test_who_takes_the_lock_removes_what_a_killed_run_had_half_written(tmp_path: Path) -> None:
    group = tmp_path / "M 94"
    (group / "stacked").mkdir(parents=True)
    stacked = group / "stacked"
    part, living = stacked / ".master_linear.fits.999999999-3.part", stacked / f".a.fits.{os.getppid()}-0.part"
    other = stacked / "mine.part"
    part.write_bytes(b"half")
    living.write_bytes(b"a process that lives is still writing it")
    other.write_bytes(b"not ours")
    with locked(group / ".skyquilt"):
        assert not part.exists()
    assert other.exists()
    assert living.exists()
