"""The tiled canvas keeps its tiles through kills, damage and full disks, and its overview is what the tiles say."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiled_writer import CHANNELS, CHUNK, HEIGHT, WIDTH, a_tile, counts_of, make

from skyquilt.core import Box, CanvasTile
from skyquilt.errors import NotEnoughDisk, OutputBlocked, UsageError
from skyquilt.io.images import read_image
from skyquilt.io.tiled import TiledCanvas, reduce_half, reduce_to, write_preview
from skyquilt.io.tiled.arrays import ChunkedArrays
from skyquilt.steps.finish import auto_stretch
from skyquilt.testing.laws import check_crop_law

PARTS = ("value", "variance", "coverage", "rejected_low", "rejected_high")
PROGRAM = Path(__file__).parent / "tiled_writer.py"


@pytest.fixture(scope="module", autouse=True)
def _template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fill a canvas once; `filled` copies it."""
    folder = tmp_path_factory.mktemp("template")
    canvas = make(folder)
    for box in canvas.tiles():
        canvas.write(a_tile(box), "a", counts_of(box))
    TEMPLATE.append(folder)
    yield
    TEMPLATE.clear()


TEMPLATE: list[Path] = []


def filled(folder: Path) -> TiledCanvas:
    shutil.copytree(TEMPLATE[0], folder, dirs_exist_ok=True)
    return make(folder)


def check_tile(canvas: TiledCanvas, box: Box, key: str = "a") -> None:
    found, expected = canvas.planes(box), a_tile(box, key)
    for name in PARTS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name, array in counts_of(box).items():
        np.testing.assert_array_equal(canvas.side(box)[name], array)


def check_overview(canvas: TiledCanvas) -> None:
    """Every level is the one below, reduced: the definition, bit for bit."""
    value, coverage = canvas.overview(0)
    for level in range(1, canvas.n_levels + 1):
        value, coverage = reduce_half(value, coverage)
        found = canvas.overview(level)
        np.testing.assert_array_equal(found[0], value)
        np.testing.assert_array_equal(found[1], coverage)
    assert max(value.shape[1:]) <= canvas.chunk


def key_of(canvas: TiledCanvas, box: Box) -> str:
    entry = canvas._states.done().get(box)
    assert entry is not None
    return entry.key


def test_half_the_size_is_the_mean_of_what_is_known_weighted_by_exposure() -> None:
    value = np.array([[[1, 5, 7], [np.nan, 9, 8], [4, np.nan, np.nan]]], np.float32)
    coverage = np.array([[10, 30, 5], [40, 0, 15], [2, 0, 6]], np.float32)
    half, seconds = reduce_half(value, coverage)
    expected = [[(10 * 1 + 30 * 5) / 40, (5 * 7 + 15 * 8) / 20], [4.0, np.nan]]
    np.testing.assert_allclose(half[0], expected, rtol=1e-7)
    np.testing.assert_allclose(seconds, [[80 / 4, 20 / 2], [2 / 2, 6 / 1]])


def reduced_by_definition(value: Any, coverage: Any) -> tuple[Any, Any]:
    """Return what `reduce_half` says, in NumPy."""
    height, width = coverage.shape
    half = (-(-height // 2), -(-width // 2))
    total, weight = np.zeros((len(value), *half)), np.zeros((len(value), *half))
    seconds, count = np.zeros(half), np.zeros(half)
    for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
        times, values = coverage[y::2, x::2].astype(float), value[:, y::2, x::2].astype(float)
        rows, columns = times.shape
        times[~(times > 0.0)] = 0.0
        weights = np.where(np.isfinite(values) & (times > 0.0), times, 0.0)
        weight[:, :rows, :columns] += weights
        total[:, :rows, :columns] += weights * np.where(weights > 0.0, values, 0.0)
        seconds[:rows, :columns] += times
        count[:rows, :columns] += 1.0
    with np.errstate(invalid="ignore"):
        return (total / weight).astype(np.float32), (seconds / count).astype(np.float32)


@pytest.mark.parametrize("shape", [(64, 48), (33, 64), (32, 31), (7, 5), (1, 1)])
def test_half_the_size_equals_its_definition_to_the_bit(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(shape[0])
    value = random.normal(100.0, 30.0, (3, *shape)).astype(np.float32)
    coverage = (random.integers(0, 4, shape) * random.random(shape)).astype(np.float32)
    value[random.random(value.shape) < 0.1] = np.nan
    for found, expected in zip(reduce_half(value, coverage), reduced_by_definition(value, coverage), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(3, 200, 180), (1, 30, 40)])
def test_the_arrays_are_described_as_zarr_does(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    ours = ChunkedArrays(tmp_path / "ours", shape, CHUNK, is_new=True)
    theirs = zarr.create_group(tmp_path / "theirs", zarr_format=3)
    for name in sorted(path.parent.relative_to(ours.folder).as_posix() for path in ours.folder.rglob("zarr.json")):
        if (found := zarr.open(ours.folder / name, mode="r")) and isinstance(found, zarr.Array):
            theirs.create_array(
                name,
                shape=found.shape,
                chunks=found.chunks,
                dtype=found.dtype,
                fill_value=np.nan if name.endswith(("value", "variance")) else 0,
                compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"), Crc32cCodec()],
                dimension_names=("y", "x") if len(found.shape) == 2 else ("channel", "y", "x"),
            )
        elif name != ".":
            theirs.require_group(name)
    written = sorted(path.relative_to(tmp_path / "theirs") for path in (tmp_path / "theirs").rglob("zarr.json"))
    assert written == sorted(path.relative_to(ours.folder) for path in ours.folder.rglob("zarr.json"))
    for path in written:
        expected = json.loads((tmp_path / "theirs" / path).read_text())
        assert json.loads((ours.folder / path).read_text()) == expected, path


def test_a_chunk_is_the_file_that_zarr_writes(tmp_path: Path) -> None:
    import zarr

    canvas = filled(tmp_path / "ours")
    shutil.copytree(tmp_path / "ours", tmp_path / "zarr")
    group = zarr.open_group(tmp_path / "zarr" / "canvas.zarr", mode="r+")
    for name in PARTS:
        array = group[name].with_config({"write_empty_chunks": True})
        array[...] = array[...]
    names = [path.relative_to(tmp_path / "ours") for path in (tmp_path / "ours").rglob("c/**/*") if path.is_file()]
    assert len(names) > len(PARTS) * len(list(canvas.tiles())) - 1
    for name in names:
        assert (tmp_path / "zarr" / name).read_bytes() == (tmp_path / "ours" / name).read_bytes(), name


def test_what_is_written_is_read_back_now_and_by_the_next_run(tmp_path: Path) -> None:
    canvas = filled(tmp_path)
    again = make(tmp_path)
    for here in (canvas, again):
        assert here.done() == frozenset(here.tiles())
        for box in here.tiles():
            check_tile(here, box)
        check_overview(here)
    assert again.shape == (CHANNELS, HEIGHT, WIDTH)
    assert again.n_levels == 3
    again.remove()
    assert not tmp_path.exists()


def test_any_zarr_reader_reads_the_arrays(tmp_path: Path) -> None:
    import zarr

    canvas = filled(tmp_path)
    group = zarr.open_group(tmp_path / "canvas.zarr", mode="r")
    whole = canvas.planes(canvas.bounds)
    for name in PARTS:
        array = group[name]
        assert isinstance(array, zarr.Array)
        assert array.metadata.zarr_format == 3
        assert array.chunks[-2:] == (CHUNK, CHUNK)
        np.testing.assert_array_equal(array[...], getattr(whole, name))
    np.testing.assert_array_equal(group["overview/2/value"][...], canvas.overview(2)[0])


def test_it_is_a_pixel_source(tmp_path: Path) -> None:
    canvas = make(tmp_path)
    for box in list(canvas.tiles())[::2]:
        canvas.write(a_tile(box), "a")
    check_crop_law(canvas)
    values = canvas.values(canvas.bounds)
    tile = canvas.read(canvas.bounds)
    np.testing.assert_array_equal(tile.mask, np.isfinite(values[0]))
    missing = list(canvas.tiles())[1]
    assert np.isnan(values[:, missing.y0 : missing.y1, missing.x0 : missing.x1]).all()


def test_rows_and_bands_are_the_canvas_from_top_to_bottom(tmp_path: Path) -> None:
    canvas = filled(tmp_path)
    rows = list(canvas.value_rows())
    assert [y0 for y0, _ in rows] == list(range(0, HEIGHT, CHUNK))
    np.testing.assert_array_equal(np.concatenate([part for _, part in rows], axis=1), canvas.values(canvas.bounds))
    coverage = np.concatenate([band.coverage for band in canvas.bands()])
    np.testing.assert_array_equal(coverage, canvas.planes(canvas.bounds).coverage)


def test_only_tiles_whose_own_key_changed_are_done_again(tmp_path: Path) -> None:
    canvas = filled(tmp_path)
    boxes = list(canvas.tiles())
    keys = {box: "b" if k in (2, 9) else "a" for k, box in enumerate(boxes)}
    assert canvas.done(keys) == frozenset(boxes) - {boxes[2], boxes[9]}
    for k in (2, 9):
        canvas.write(a_tile(boxes[k], "b"), "b", counts_of(boxes[k]))
    again = make(tmp_path)
    assert again.done(keys) == frozenset(boxes)
    assert again.done(dict.fromkeys(boxes[:4], "a")) == frozenset(boxes[:4]) - {boxes[2]}
    for box in boxes:
        check_tile(again, box, keys[box])
    check_overview(again)


def test_a_canvas_of_another_key_or_size_is_thrown_away(tmp_path: Path) -> None:
    filled(tmp_path)
    assert not make(tmp_path, key="other").done()
    filled_again = TiledCanvas.create(tmp_path, "other", WIDTH + 1, HEIGHT, CHANNELS, chunk=CHUNK)
    assert not filled_again.done()
    assert np.isnan(filled_again.values(filled_again.bounds)).all()
    with pytest.raises(OutputBlocked, match="another mosaic"):
        TiledCanvas.open(tmp_path, "k")
    with pytest.raises(OutputBlocked, match="no tiled canvas"):
        TiledCanvas.open(tmp_path / "elsewhere")


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    canvas = make(tmp_path)
    for box in (Box(0, 0, 63, 64), Box(1, 0, 65, 64), Box(-64, 0, 0, 64), Box(320, 0, 384, 64), Box(0, 0, 0, 0)):
        with pytest.raises(ValueError, match="no tile"):
            canvas.write(a_tile(box))
    good = a_tile(Box(0, 0, 64, 64))
    with pytest.raises(ValueError, match="variance"):
        canvas.write(CanvasTile(good.box, good.value, good.value[:1], good.coverage, *[good.rejected_low] * 2))
    with pytest.raises(OutputBlocked, match="to be read"):
        TiledCanvas.open(tmp_path).write(good)
    with pytest.raises(UsageError, match="writer"):
        TiledCanvas.open(tmp_path, writer="a/b")
    with pytest.raises(OutputBlocked, match="not done"):
        canvas.side(good.box)
    with pytest.raises(ValueError, match="chunks"):
        TiledCanvas.create(tmp_path, "k", 5, 5, 1, chunk=63)


def test_no_file_stays_open_and_none_is_left_over(tmp_path: Path) -> None:
    import psutil

    process = psutil.Process()
    canvas = filled(tmp_path)
    canvas.values(canvas.bounds)
    before = process.num_fds()
    for box in canvas.tiles():
        canvas.write(a_tile(box, "b"), "b", counts_of(box))
        canvas.values(box.grow(5))
    assert process.num_fds() == before
    assert not list(tmp_path.rglob("*.part*"))


# --- order, threads, processes


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_tiles_and_the_threads_do_not_matter(tmp_path: Path, seed: int) -> None:
    canvas = make(tmp_path)
    boxes = list(canvas.tiles())
    order = np.random.default_rng(seed).permutation(len(boxes))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda k: canvas.write(a_tile(boxes[k]), "a", counts_of(boxes[k])), order))
    # not asked for it: a part is complete once its four tiles are
    stored = TiledCanvas.open(tmp_path)
    check_overview(stored)
    check_overview(canvas)
    for box in boxes:
        check_tile(stored, box)


def test_the_overview_shows_what_there_is_so_far(tmp_path: Path) -> None:
    canvas = make(tmp_path)
    boxes = list(canvas.tiles())
    for k in (0, 7, 8, 3, 19):
        canvas.write(a_tile(boxes[k]), "a")
        check_overview(canvas)
    canvas.write(a_tile(boxes[7], "b"), "b")
    check_overview(canvas)


def start(folder: Path, writer: str, seed: int, part: int, n_parts: int, how: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), writer, str(seed), str(part), str(n_parts), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def let_go(*children: subprocess.Popen[str]) -> None:
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()


def test_processes_write_different_tiles_at_the_same_time(tmp_path: Path) -> None:
    make(tmp_path)
    children = [start(tmp_path, f"worker-{k}", 5, k, 2, "once") for k in range(2)]
    let_go(*children)
    for child in children:
        child.communicate(timeout=60)
        assert child.returncode == 0
    canvas = make(tmp_path)
    assert canvas.done() == frozenset(canvas.tiles())
    canvas.settle()
    for box in canvas.tiles():
        check_tile(canvas, box, "5.0")
    check_overview(canvas)
    check_overview(TiledCanvas.open(tmp_path))


def kill_at(folder: Path, seed: int) -> None:
    """Kill two writers at a random moment; what they leave can be trusted and completed."""
    rng = np.random.default_rng(seed)
    children = [start(folder, f"worker-{k}", seed, k, 2, "endless") for k in range(2)]
    let_go(*children)
    time.sleep(float(rng.uniform(0.0, 0.4)))
    for child in children:
        child.kill()
    for child in children:
        child.wait()
        assert child.stdout is not None and child.stdin is not None
        child.stdout.close()
        child.stdin.close()
    canvas = make(folder)
    assert not [path for path in folder.rglob("*") if path.suffix in (".partial", ".part")]
    done = canvas.done()
    assert not canvas.verify(), "a tile that was done has other bytes"
    for box in done:
        check_tile(canvas, box, key_of(canvas, box))
    check_overview(canvas)


def test_writers_that_are_killed_leave_whole_tiles(tmp_path: Path) -> None:
    filled(tmp_path)
    for seed in range(2):  # each goes on where the last one was killed
        kill_at(tmp_path, seed)
    canvas = make(tmp_path)
    n_undone = len(list(canvas.tiles())) - len(canvas.done())
    assert n_undone <= 4
    for box in canvas.tiles():
        canvas.write(a_tile(box), "a", counts_of(box))
    canvas.settle()
    for box in canvas.tiles():
        check_tile(canvas, box)
    check_overview(canvas)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 120))
def test_writers_that_are_killed_leave_whole_tiles_at_many_moments(tmp_path: Path, seed: int) -> None:
    make(tmp_path)
    kill_at(tmp_path, seed)
    kill_at(tmp_path, seed + 1000)


def test_a_tile_that_changes_while_the_overview_is_made_of_it_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canvas = filled(tmp_path)
    other = TiledCanvas.open(tmp_path, writer="other")
    box = next(canvas.tiles())
    canvas.write(a_tile(box, "b"), "b")
    from skyquilt.io.tiled import states

    changes = ["d", "c"]

    def reduce_late(value: Any, coverage: Any) -> Any:
        result = reduce_half(value, coverage)
        if changes:  # somebody else is done with the tile after it was read, before this is written
            key = changes.pop()
            later, changes[:] = changes[:], []
            other.write(a_tile(box, key), key)
            changes[:] = later
        return result

    canvas.write(a_tile(box, "x"), "x")
    monkeypatch.setattr(states, "reduce_half", reduce_late)
    canvas.write(a_tile(box, "e"), "e")
    monkeypatch.undo()
    assert not changes
    check_overview(TiledCanvas.open(tmp_path))
    check_overview(canvas)


# --- damage


def chunk_files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "canvas.zarr").rglob("*") if path.is_file() and path.name.isdigit())


def tile_of(path: Path) -> Box | None:
    """Return the tile that a chunk file belongs to, None for one of the overview."""
    if "overview" in path.parts:
        return None
    x0, y0 = int(path.name) * CHUNK, int(path.parent.name) * CHUNK
    return Box(x0, y0, min(x0 + CHUNK, WIDTH), min(y0 + CHUNK, HEIGHT))


def flip(path: Path, at: float) -> None:
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= 0x10
    path.write_bytes(data)


def truncate(path: Path, at: float) -> None:
    os.truncate(path, int(at * (path.stat().st_size - 1)))


def remove(path: Path, at: float) -> None:
    path.unlink()


@pytest.mark.parametrize("harm", [flip, truncate, remove])
def test_damaged_chunks_are_found_and_done_again(tmp_path: Path, harm: Callable[[Path, float], None]) -> None:
    filled(tmp_path)
    rng = np.random.default_rng(8)
    files = chunk_files(tmp_path)
    harmed = [files[k] for k in rng.choice(len(files), 12, replace=False)]
    for path in harmed:
        harm(path, float(rng.random()))
    tiles = frozenset(tile for path in harmed if (tile := tile_of(path)) is not None)
    assert 0 < len(tiles) < 12
    canvas = make(tmp_path)
    if harm is not flip:
        assert canvas.done() == frozenset(canvas.tiles()) - tiles
    for tile in tiles:
        with pytest.raises(OutputBlocked, match="damaged"):
            canvas.planes(tile)
    assert canvas.verify() == tiles
    assert not canvas.verify()
    for here in (canvas, make(tmp_path)):
        assert here.done() == frozenset(canvas.tiles()) - tiles
        check_overview(here)
    for box in tiles:
        canvas.write(a_tile(box), "a", counts_of(box))
    for box in canvas.tiles():
        check_tile(canvas, box)
    check_overview(canvas)


def test_damaged_parts_of_the_overview_are_remade(tmp_path: Path) -> None:
    canvas = filled(tmp_path)
    for path in chunk_files(tmp_path):
        if tile_of(path) is None:
            flip(path, 0.7)
    with pytest.raises(OutputBlocked, match="damaged"):
        canvas.overview(1)
    canvas.settle()
    check_overview(canvas)
    check_overview(TiledCanvas.open(tmp_path))


def test_damaged_small_data_cost_their_tile(tmp_path: Path) -> None:
    canvas = filled(tmp_path)
    flip(tmp_path / "side-main.bin", 0.5)
    bad = [box for box in canvas.tiles() if not _has_side(canvas, box)]
    assert len(bad) == 1
    assert canvas.verify() == frozenset(bad)


def _has_side(canvas: TiledCanvas, box: Box) -> bool:
    try:
        return bool(canvas.side(box))
    except OutputBlocked:
        return False


def test_a_journal_cut_anywhere_keeps_the_lines_before(tmp_path: Path) -> None:
    canvas = filled(tmp_path)
    journal = tmp_path / "journal-main.jsonl"
    text = journal.read_bytes()
    boxes = list(canvas.tiles())
    for length in [*range(0, len(text), 2777), len(text) - 1]:
        journal.write_bytes(text[:length])
        again = TiledCanvas.open(tmp_path, writer="main")
        done = again.done()
        assert done == frozenset(boxes[: len(done)])
        assert len(done) == text[:length].count(b'"done":true') - (b'"done":true' in text[:length].split(b"\n")[-1])
        again.write(a_tile(boxes[-1], "b"), "b")
        assert TiledCanvas.open(tmp_path).done() == done | {boxes[-1]}
        again.write(a_tile(boxes[-1]), "a", counts_of(boxes[-1]))


def test_no_flipped_bit_of_a_journal_leads_to_a_wrong_tile_or_an_error(tmp_path: Path) -> None:
    boxes = list(filled(tmp_path).tiles())
    journal = tmp_path / "journal-main.jsonl"
    text = journal.read_bytes()
    for at in np.random.default_rng(4).integers(0, len(text), 25):
        damaged = bytearray(text)
        damaged[at] ^= 1 << int(at % 8)
        journal.write_bytes(damaged)
        canvas = TiledCanvas.open(tmp_path)
        assert len(boxes) - 2 <= len(canvas.done()) <= len(boxes)
        assert all(key_of(canvas, box) == "a" for box in canvas.done())


HOSTILE = [
    {"box": [0, 0, 2**70, 2**70], "turn": 2, "done": True, "key": "a", "sums": {}, "side": None},
    {"box": "x", "turn": 2, "done": True, "key": "a", "sums": {}, "side": None},
    {"box": [0, 0, 64], "turn": 2, "done": True, "key": "a", "sums": {}, "side": None},
    {"box": [0, 0, 64, 64], "turn": 2, "done": True, "key": "a", "sums": {"value": 3}, "side": None},
    {"box": [0, 0, 64, 64], "turn": 2, "done": True, "key": "a", "sums": {"value": [3, 4]}, "side": None},
    {"place": [1, 0, 0], "turn": 9, "of": 3, "full": True, "sums": {}},
    {"place": [1, 2], "turn": 1, "of": 3, "full": True, "sums": {}},
    {"place": [9, 0, 0], "turn": 1, "of": 3, "full": True, "sums": {}},
    [1, 2],
    None,
]


@pytest.mark.parametrize("entry", HOSTILE, ids=[json.dumps(entry)[:40] for entry in HOSTILE])
def test_a_line_that_makes_no_sense_is_passed_over(tmp_path: Path, entry: object) -> None:
    import zlib

    canvas = filled(tmp_path)
    text = json.dumps(entry, separators=(",", ":"))
    line = f'{{"crc":{zlib.crc32(text.encode())},"entry":{text}}}\n'
    (tmp_path / "journal-foe.jsonl").write_bytes(line.encode() + b"[" * 3000 + b"\n\xff\xfe\n")
    again = TiledCanvas.open(tmp_path, writer="main")
    assert again.done() == frozenset(canvas.tiles())
    assert not again.verify()
    check_overview(again)


def test_two_who_wrote_the_same_tile_at_once_are_settled_by_the_bytes(tmp_path: Path) -> None:
    canvas = make(tmp_path)
    other = TiledCanvas.open(tmp_path, writer="other")
    box = next(canvas.tiles())
    # the other one begins before it can see that the first one did
    turn = canvas._states.begin(box)
    sums = {name: canvas._arrays.write(name, box, getattr(a_tile(box, "b"), name)) for name in PARTS}
    canvas._states.finish(box, turn, "b", sums, None)
    sums = {name: canvas._arrays.write(name, box, getattr(a_tile(box), name)) for name in PARTS}
    other._states.finish(box, turn, "a", sums, None)
    again = TiledCanvas.open(tmp_path, writer="main")
    assert again.done({box: "a"}) == {box}
    assert not again.done({box: "b"})
    canvas._arrays.write("value", box, a_tile(box, "b").value)  # a mixture of both is neither
    assert not again.done()
    assert again.verify() == {box}


# --- a disk that refuses


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, NotEnoughDisk), (errno.EROFS, OutputBlocked), (errno.EIO, OutputBlocked)]
)
def test_a_write_that_fails_is_one_sentence_and_harms_no_other_tile(
    tmp_path: Path, number: int, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    real_replace, real_write = Path.replace, os.write
    for failing in range(1 + number % 4, 13, 4):
        folder = tmp_path / str(failing)
        canvas = make(folder)
        boxes = list(canvas.tiles())
        for box in boxes[:6]:
            canvas.write(a_tile(box), "a", counts_of(box))
        calls = iter(range(1, 10_000))

        def fails(calls: Any = calls, failing: int = failing) -> bool:
            return next(calls) >= failing

        def replace(path: Path, target: Path, fails: Any = fails) -> Path:
            if fails():
                raise OSError(number, os.strerror(number))
            return real_replace(path, target)

        def write(descriptor: int, data: bytes, fails: Any = fails) -> int:
            if fails():
                real_write(descriptor, data[: len(data) // 2])
                raise OSError(number, os.strerror(number))
            return real_write(descriptor, data)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", replace)
            patch.setattr(os, "write", write)
            with pytest.raises(kind) as caught:
                canvas.write(a_tile(boxes[6]), "a", counts_of(boxes[6]))
                canvas.write(a_tile(boxes[1], "b"), "b", counts_of(boxes[1]))
        assert "\n" not in str(caught.value).split("\n\nhint")[0]
        again = make(folder)
        done = again.done()
        assert frozenset(boxes[:6]) - {boxes[1]} <= done <= frozenset(boxes[:7])
        assert not again.verify()
        for box in done:
            check_tile(again, box, key_of(again, box))
        for box in (boxes[1], boxes[6]):
            again.write(a_tile(box), "a", counts_of(box))
        for box in boxes[:7]:
            check_tile(again, box)
        check_overview(again)


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)]
    if os.name != "posix" or os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted by root on Linux")
    try:
        canvas = make(disk / "canvas")
        boxes = list(canvas.tiles())
        with pytest.raises(NotEnoughDisk, match="no room"):
            for box in boxes:
                canvas.write(a_tile(box), "a", counts_of(box))
        again = TiledCanvas.open(disk / "canvas")
        done = again.done()
        assert 2 <= len(done) < len(boxes)
        for box in done:
            check_tile(again, box)
        with pytest.raises(NotEnoughDisk):
            (disk / "rest").write_bytes(b"")
            TiledCanvas.create(disk / "another", "k", 4000, 3000, 3).write(a_tile(Box(0, 0, 512, 512)))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_folder_where_none_can_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputBlocked):
        make(tmp_path / "file" / "canvas")
    with pytest.raises(OutputBlocked):
        make(tmp_path / "file")
    canvas = filled(tmp_path / "canvas")
    shutil.rmtree(tmp_path / "canvas" / "canvas.zarr" / "variance")
    with pytest.raises(OutputBlocked, match="missing"):
        make(tmp_path / "canvas")
    shutil.rmtree(tmp_path / "canvas")
    with pytest.raises(OutputBlocked):
        canvas.write(a_tile(Box(0, 0, 64, 64)))


# --- pictures


@pytest.mark.parametrize("longest_px", [1000, 300, 299, 150, 97, 40, 1])
def test_a_preview_is_the_mean_of_what_it_covers(tmp_path: Path, longest_px: int) -> None:
    canvas = make(tmp_path)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    for box in canvas.tiles():
        rows, columns = box.slices(canvas.bounds)
        plane = 3.0 * x[rows, columns] + 2.0 * y[rows, columns]
        value = np.stack([plane, plane + 50, plane * 2]).astype(np.float32)
        zeros = np.zeros(value.shape, np.uint16)
        canvas.write(CanvasTile(box, value, value, np.full(box.shape, 60, np.float32), zeros, zeros))
    found = reduce_to(canvas, longest_px)
    side = min(longest_px, WIDTH)
    assert found.shape == (3, max(1, round(HEIGHT * side / WIDTH)), side)
    # a plane averaged over a cell is the plane at the centre of the cell
    at_x = (np.arange(found.shape[2]) + 0.5) * WIDTH / found.shape[2] - 0.5
    at_y = (np.arange(found.shape[1]) + 0.5) * HEIGHT / found.shape[1] - 0.5
    expected = 3.0 * at_x[None, :] + 2.0 * at_y[:, None]
    # but for the pixels of a level that lie in two cells: those are flat
    assert np.abs(found[0] - expected).max() < (0.01 if longest_px in (1000, 300, 150) else 1.0)


def test_previews_are_written_as_png_and_tiff(tmp_path: Path) -> None:
    canvas = filled(tmp_path / "canvas")
    for name, dtype in (("a.png", np.uint8), ("a.tif", np.uint16)):
        assert write_preview(tmp_path / name, canvas, 120, auto_stretch) == (120, 84)
        picture = read_image(tmp_path / name)
        assert picture.shape == (84, 120, 3)
        assert picture.dtype == dtype
        values = reduce_to(canvas, 120)
        np.testing.assert_array_equal(picture, auto_stretch(values).apply(values, dtype))
    with pytest.raises(UsageError, match="png"):
        write_preview(tmp_path / "a.gif", canvas, 120, auto_stretch)
    with pytest.raises(UsageError, match="preview"):
        reduce_to(canvas, 0)
