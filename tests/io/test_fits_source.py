"""Boxes of a frame: the crop law on every path, files that are bad or change, and what a read costs."""

import hashlib
import os
import pickle
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyquilt.core import Box, FrameFile
from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits import frame_source, open_frame
from skyquilt.io.fits import source as source_module
from skyquilt.kernels.decode import decode_floats, decode_int16, decode_plain

HEIGHT, WIDTH = 37, 53
KINDS = [
    "u16",
    "i16",
    "u8",
    "i32",
    "i64",
    "f32",
    "f64",
    "scaled",
    "blank",
    "chw",
    "hwc",
    "hwcf",
    "nan3",
    "mef",
    "gz",
    "fz",
]


def make(path, kind):
    """Write a frame of some kind with astropy; return its values as float64 (c, y, x), NaN where there is none."""
    rng = np.random.default_rng(KINDS.index(kind))
    shape = {
        "chw": (3, HEIGHT, WIDTH),
        "nan3": (3, HEIGHT, WIDTH),
        "hwc": (HEIGHT, WIDTH, 3),
        "hwcf": (HEIGHT, WIDTH, 3),
    }.get(kind, (HEIGHT, WIDTH))
    noise = rng.integers(0, 65536, shape)
    types = {"i16": np.int16, "u8": np.uint8, "i32": np.int32, "i64": np.int64, "f64": np.float64}
    data = noise.astype(types.get(kind, np.float32 if kind in ("f32", "nan3", "hwcf", "mef") else np.uint16))
    values = data.astype(np.float64)
    if kind in ("f32", "nan3"):
        data[rng.random(shape) < 0.02] = np.nan
        data[..., 3, 4] = np.inf
        values = np.where(np.isfinite(data), data, np.nan).astype(np.float64)
    hdus = fits.HDUList([fits.PrimaryHDU(data)])
    if kind in ("scaled", "blank"):
        stored = (noise - 32768).astype(np.int16)
        hdus = fits.HDUList([fits.PrimaryHDU(stored)])
        hdus[0].header["BSCALE"], hdus[0].header["BZERO"] = 0.25, 100.0
        values = stored * 0.25 + 100.0
        if kind == "blank":
            hdus[0].header["BLANK"] = int(stored[5, 6])
            values[stored == stored[5, 6]] = np.nan
    if kind == "mef":
        hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(data, name="SCI"), fits.ImageHDU(data * 2)])
    if kind == "fz":
        hdus = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, compression_type="RICE_1")])
    hdus.writeto(path, output_verify="silentfix")
    if values.ndim == 2:
        values = values[None]
    elif kind.startswith("hwc"):
        values = values.transpose(2, 0, 1)
    return values


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    made = {}
    for kind in KINDS:
        path = folder / f"{kind}.fits{'.gz' if kind == 'gz' else ''}"
        values = make(path, kind)
        made[kind] = (frame_source(open_frame(path)), values)
    return made


def expected_tile(values, box):
    """The definition: values inside of the frame and present, else 0 and masked."""
    pixels = np.zeros((len(values), *box.shape), dtype=np.float32)
    mask = np.zeros(box.shape, dtype=bool)
    inside = box.intersect(Box.of_shape(*values.shape[1:]))
    piece = values[:, inside.y0 : inside.y1, inside.x0 : inside.x1]
    good = np.isfinite(piece).all(axis=0)
    rows, columns = inside.slices(box)
    pixels[:, rows, columns] = np.where(good, piece, 0.0)
    mask[rows, columns] = good
    return pixels, mask


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_frame_is_what_was_written(frames, kind):
    source, values = frames[kind]
    box = Box.of_shape(HEIGHT, WIDTH)
    tile = source.read(box)
    pixels, mask = expected_tile(values, box)
    assert source.bounds == box
    assert source.n_channels == len(values)
    assert tile.pixels.dtype == np.float32
    assert tile.pixels.dtype.isnative
    np.testing.assert_array_equal(tile.mask, mask)
    np.testing.assert_array_equal(tile.pixels, pixels)


boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.integers(-20, 70),
    st.integers(-20, 50),
    st.integers(0, 90),
    st.integers(0, 70),
)


@settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(KINDS),
    box=boxes,
    chunk=st.sampled_from([256, 1 << 18]),
    skip=st.sampled_from([0, 16, 1 << 14]),
)
def test_a_crop_of_a_read_is_a_read_of_the_crop(frames, monkeypatch, kind, box, chunk, skip):
    monkeypatch.setattr(source_module, "_CHUNK", chunk)
    monkeypatch.setattr(source_module, "_SKIP", skip)
    source, values = frames[kind]
    tile = source.read(box)
    pixels, mask = expected_tile(values, box)
    np.testing.assert_array_equal(tile.mask, mask)
    np.testing.assert_array_equal(tile.pixels, pixels)
    out = np.full((source.n_channels, *box.shape), 7.0, dtype=np.float32)
    assert source.read_into(box, out) == bool(mask.all())
    np.testing.assert_array_equal(out, pixels)


def test_an_out_array_with_gaps_is_filled_all_the_same(frames):
    source, values = frames["chw"]
    whole = np.full((3, 20, 30), 7.0, dtype=np.float32)
    assert source.read_into(Box(3, 4, 13, 14), whole[:, 5:15, 10:20])
    np.testing.assert_array_equal(whole[:, 5:15, 10:20], values[:, 4:14, 3:13])
    assert (whole[:, :5] == 7.0).all()


def test_rows_of_unsigned_words_are_read_as_the_file_holds_them_and_others_are_left_alone(frames):
    for kind in KINDS:
        source, values = frames[kind]
        rows = np.full((4, WIDTH), 7, dtype=np.uint16)
        if source.read_stored(3, rows):
            assert kind == "u16"
            np.testing.assert_array_equal((rows.byteswap() ^ np.uint16(0x8000)), values[0, 3:7])
        else:
            assert kind != "u16" and (rows == 7).all()


def test_rows_that_are_not_of_the_frame_are_refused(frames):
    source, _ = frames["u16"]
    for y0, shape in ((HEIGHT - 1, (2, WIDTH)), (-1, (1, WIDTH)), (0, (1, WIDTH - 1))):
        with pytest.raises(ValueError, match="are not of"):
            source.read_stored(y0, np.zeros(shape, dtype=np.uint16))


def test_an_out_array_of_another_shape_or_type_is_refused(frames):
    source, _ = frames["u16"]
    with pytest.raises(ValueError, match="the box needs"):
        source.read_into(Box(0, 0, 4, 4), np.empty((1, 4, 5), dtype=np.float32))
    with pytest.raises(ValueError, match="the box needs"):
        source.read_into(Box(0, 0, 4, 4), np.empty((1, 4, 4), dtype=np.float64))


def test_a_frame_of_several_images_says_which_one_it_took(frames):
    source, _ = frames["mef"]
    assert source.frame.hdu == 1
    assert source.frame.meta.notes == ("the pixels are those of HDU 1; 1 more image after it left aside",)


def test_the_16_bit_kernel_equals_its_definition():
    stored = np.arange(65536, dtype=np.uint16).reshape(64, 1024)
    raw = stored.astype(">u2").tobytes()
    for zero in (32768.0, 0.0, 100.0):
        out = np.full(64 * 1030, -1.0, dtype=np.float32)
        decode_int16(np.frombuffer(raw, np.uint16), 1024, zero - 32768.0, out, 3, 1030, 1000, 64)
        expected = decode_plain(np.frombuffer(raw, ">i2").reshape(64, 1024), zero, 1.0)[:, :1000]
        np.testing.assert_array_equal(out.reshape(64, 1030)[:, 3:1003], expected)
        assert (out.reshape(64, 1030)[:, 1003:] == -1.0).all()


def test_the_float_kernel_equals_its_definition():
    rng = np.random.default_rng(5)
    stored = rng.integers(0, 1 << 32, (16, 64), dtype=np.uint32).view(np.float32)
    stored[3, 5], stored[4, 6], stored[7, 8] = np.nan, -np.inf, -0.0
    out, mask = np.empty(16 * 64, dtype=np.float32), np.ones(16 * 64, dtype=np.bool_)
    raw = np.frombuffer(stored.astype(">f4").tobytes(), np.uint32)
    n_bad = decode_floats(raw, 64, out.view(np.uint32), 0, 64, 64, 16, mask, 0)
    expected = decode_plain(stored, 0.0, 1.0)
    bad = np.isnan(expected)
    np.testing.assert_array_equal(out.reshape(16, 64), np.where(bad, 0.0, expected))
    np.testing.assert_array_equal(mask.reshape(16, 64), ~bad)
    assert n_bad == np.count_nonzero(bad)


@pytest.fixture
def frame_path(tmp_path):
    path = tmp_path / "Light 1.fits"
    make(path, "u16")
    return path


BAD = {
    "empty": (b"", "is empty"),
    "five bytes": (b"hello", "holds 5 bytes"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64, "Git LFS pointer"),
    "text": (b"not a frame at all, only some words in a file\n", "is not FITS"),
    "zeros": (bytes(5760), "zeros only"),
    "web page": (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "web page"),
    "jpeg": (b"\xff\xd8\xff\xe0" + bytes(100), "JPEG"),
    "xisf": (b"XISF0100" + bytes(100), "XISF"),
    "gzip of nothing": (b"\x1f\x8b\x08\x00" + bytes(40), "is damaged|is not FITS"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_is_no_frame_is_refused_in_one_sentence(tmp_path, kind):
    content, words = BAD[kind]
    path = tmp_path / "bad.fits"
    path.write_bytes(content)
    with pytest.raises(UnreadableFrame, match=words) as caught:
        open_frame(path)
    assert "\n" not in caught.value.message
    assert caught.value.message.startswith("bad.fits ")


CARDS = {
    "huge axes": (["NAXIS   = 2", "NAXIS1  = 200000000", "NAXIS2  = 200000000"], "cut short"),
    "axes that overflow": (
        ["NAXIS   = 3"] + [f"NAXIS{k}  = 2000000000" for k in (1, 2, 3)],
        "more pixels than any disk",
    ),
    "999 axes": (["NAXIS   = 999"] + [f"NAXIS{k:<3}= 2" for k in range(1, 1000)], "more pixels than any disk"),
    "a negative axis": (["NAXIS   = 2", "NAXIS1  = -5", "NAXIS2  = 5"], "NAXIS1 is -5"),
    "no such BITPIX": (["NAXIS   = 2", "NAXIS1  = 5", "NAXIS2  = 5"], "BITPIX is 12"),
    "one axis": (["NAXIS   = 1", "NAXIS1  = 38"], "row of 38 values"),
    "no pixels": (["NAXIS   = 0"], "holds no image"),
    "seven planes": (["NAXIS   = 3", "NAXIS1  = 4", "NAXIS2  = 4", "NAXIS3  = 7"], "cube of 7 planes"),
    "a data unit that stops": (["NAXIS   = 2", "NAXIS1  = 100", "NAXIS2  = 100"], r"2,880 of 20,000 bytes"),
    "a scale of 0": (["NAXIS   = 2", "NAXIS1  = 10", "NAXIS2  = 10", "BSCALE  = 0.0"], "BSCALE is 0"),
}


@pytest.mark.parametrize("kind", CARDS)
def test_figures_that_cannot_be_are_refused_before_anything_is_allocated(tmp_path, kind):
    cards, words = CARDS[kind]
    bitpix = 12 if "BITPIX" in kind else 16
    lines = ["SIMPLE  =                    T", f"BITPIX  = {bitpix}", *cards, "END"]
    header = "".join(line.ljust(80) for line in lines).encode()
    path = tmp_path / "bad.fits"
    path.write_bytes(header.ljust(-(-len(header) // 2880) * 2880) + bytes(2880))
    with pytest.raises(UnreadableFrame, match=words) as caught:
        open_frame(path)
    assert "\n" not in caught.value.message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_table_a_folder_and_a_missing_file_are_refused(tmp_path):
    table = tmp_path / "table.fits"
    fits.BinTableHDU.from_columns([fits.Column("a", "E", array=np.zeros(9))]).writeto(table)
    pipe = tmp_path / "pipe.fits"
    os.mkfifo(pipe)
    for path, words in [
        (table, "only tables"),
        (tmp_path, "is a folder"),
        (tmp_path / "no.fits", "not there"),
        (pipe, "no regular file"),
    ]:
        with pytest.raises(UnreadableFrame, match=words):
            open_frame(path)


def test_a_third_plane_count_of_one_is_mono(tmp_path):
    path = tmp_path / "one.fits"
    fits.PrimaryHDU(np.ones((1, 1, 6, 7), dtype=np.float32)).writeto(path)
    meta = open_frame(path).meta
    assert (meta.n_planes, meta.height, meta.width) == (1, 6, 7)


def test_a_file_that_vanishes_shrinks_or_changes_between_opening_and_reading_is_an_error(frame_path):
    box = Box(0, 0, 5, 5)
    source = frame_source(open_frame(frame_path))
    source.read(box)
    data = frame_path.read_bytes()
    os.utime(frame_path, ns=(1, 1))
    with pytest.raises(UnreadableFrame, match="written again"):
        source.read(box)
    frame_path.write_bytes(data[:-2880])
    with pytest.raises(UnreadableFrame, match="it had 8,640 bytes and has 5,760 now"):
        source.read(box)
    frame_path.unlink()
    with pytest.raises(UnreadableFrame, match="not there any more") as caught:
        source.read(box)
    assert "\n" not in caught.value.message


def test_a_frame_that_was_announced_with_another_size_is_an_error(frame_path):
    from dataclasses import replace

    frame = open_frame(frame_path)
    lie = FrameFile(frame.path, replace(frame.meta, width=frame.meta.width + 1), 0, frame.size_bytes, frame.mtime_ns)
    with pytest.raises(UnreadableFrame, match="announced"):
        frame_source(lie).read(Box(0, 0, 5, 5))


def test_reading_changes_nothing_and_leaves_no_file_open(frame_path):
    before = (hashlib.sha256(frame_path.read_bytes()).hexdigest(), frame_path.stat().st_mtime_ns)
    source = frame_source(open_frame(frame_path))
    open_files = Path("/proc/self/fd")
    n_open = len(list(open_files.iterdir())) if open_files.is_dir() else 0
    for _ in range(50):
        source.read(Box(0, 0, 5, 5))
    if n_open:
        assert len(list(open_files.iterdir())) == n_open
    assert (hashlib.sha256(frame_path.read_bytes()).hexdigest(), frame_path.stat().st_mtime_ns) == before


def test_a_source_survives_pickling(frame_path):
    source = frame_source(open_frame(frame_path))
    box = Box(2, 3, 9, 9)
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(again.read(box).pixels, source.read(box).pixels)


def test_threads_read_the_same_pixels_as_one(frames):
    wanted = [(kind, Box(x, x, x + 20, x + 15)) for kind in KINDS for x in range(0, 20, 5)]
    expected = [frames[kind][0].read(box).pixels for kind, box in wanted]
    wrong = []

    def work():
        for (kind, box), pixels in zip(wanted, expected, strict=True):
            if not np.array_equal(frames[kind][0].read(box).pixels, pixels):
                wrong.append(kind)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def least_cpu_s(work, n=60):
    best = 9.0
    for _ in range(n):
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
    return best


def test_a_seestar_sized_frame_is_opened_and_read_within_its_budget(tmp_path):
    path = tmp_path / "seestar.fits"
    rng = np.random.default_rng(1)
    fits.PrimaryHDU(rng.integers(0, 65536, (1920, 1080)).astype(np.uint16)).writeto(path)
    frame = open_frame(path)
    source = frame_source(frame)
    whole, part = np.empty((1, 1920, 1080), dtype=np.float32), np.empty((1, 100, 200), dtype=np.float32)
    source.read_into(source.bounds, whole)
    # measured 0.43 ms, 25 us and 0.1 ms; the bounds leave room for a busy machine
    assert least_cpu_s(lambda: source.read_into(source.bounds, whole)) < 2.5e-3
    assert least_cpu_s(lambda: source.read_into(Box(500, 500, 700, 600), part)) < 1.5e-4
    assert least_cpu_s(lambda: open_frame(path)) < 5e-4
