"""Packed frames: gzip, bzip2, compress and tiles, bombs refused, the decode cache within its limit."""

import bz2
import gzip
import struct
import time
import tracemalloc

import numpy as np
import pytest
from astropy.io import fits

from skyquilt.core import Box
from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits import decoded, frame_source, open_frame, set_decode_cache
from skyquilt.io.fits.decoded import DECODE_CACHE_BYTES
from skyquilt.io.fits.lzw import LzwDamaged, unpack_lzw
from skyquilt.io.fits.stream import expansion_limit


@pytest.fixture
def pixels():
    return np.random.default_rng(3).integers(0, 4000, (64, 96)).astype(np.uint16)


@pytest.fixture(autouse=True)
def fresh_cache():
    set_decode_cache(0)
    set_decode_cache(DECODE_CACHE_BYTES)
    yield
    set_decode_cache(DECODE_CACHE_BYTES)


def plain_file(pixels):
    import io

    file = io.BytesIO()
    fits.PrimaryHDU(pixels).writeto(file)
    return file.getvalue()


def read_all(path):
    frame = open_frame(path)
    return frame_source(frame).read(Box.of_shape(frame.meta.height, frame.meta.width)).pixels[0]


def compress_lzw(data):
    """Pack with `compress` codes of 9 bits only, cleared before the table is full: enough for a test."""
    out, n_bits, word = bytearray(b"\x1f\x9d\x90"), 0, 0
    codes = []
    for k, byte in enumerate(data):
        if k and k % 200 == 0:
            codes += [256, None]
        codes.append(byte)
    in_group = 0
    for code in codes:
        if code is None:  # the clear code pads its group of eight
            while in_group % 8:
                n_bits += 9
                in_group += 1
            in_group = 0
            continue
        word |= code << n_bits
        n_bits += 9
        in_group += 1
    out += word.to_bytes(-(-n_bits // 8), "little")
    return bytes(out)


@pytest.mark.parametrize(
    ("ending", "pack"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".Z", lambda data: compress_lzw(data[: 2880 * 4]))],
)
def test_a_packed_frame_is_read_like_a_plain_one(tmp_path, pixels, ending, pack):
    small = pixels[:20, :30]
    path = tmp_path / f"frame.fits{ending}"
    path.write_bytes(pack(plain_file(small)))
    np.testing.assert_array_equal(read_all(path), small)


def test_members_one_after_the_other_are_one_file(tmp_path, pixels):
    data = plain_file(pixels)
    for name, pack in (("a.gz", gzip.compress), ("a.bz2", bz2.compress)):
        path = tmp_path / name
        path.write_bytes(pack(data[:5000]) + pack(data[5000:]))
        np.testing.assert_array_equal(read_all(path), pixels)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_packed_frame_that_is_cut_or_damaged_is_refused_in_one_sentence(tmp_path, pixels, pack):
    packed = pack(plain_file(pixels))
    path = tmp_path / "frame.fits.gz"
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    for data in (packed[: len(packed) // 2], bytes(damaged), packed[:40]):
        path.write_bytes(data)
        with pytest.raises(UnreadableFrame) as caught:
            read_all(path)
        assert "\n" not in caught.value.message


def test_a_short_frame_inside_a_sound_packing_says_how_many_bytes_are_there(tmp_path, pixels):
    path = tmp_path / "frame.fits.gz"
    path.write_bytes(gzip.compress(plain_file(pixels)[: 2880 + 1000]))
    with pytest.raises(UnreadableFrame, match=r"1,000 of 12,288 bytes"):
        read_all(path)


def bomb_header(width, height):
    lines = [
        "SIMPLE  =                    T",
        "BITPIX  = 16",
        "NAXIS   = 2",
        f"NAXIS1  = {width}",
        f"NAXIS2  = {height}",
        "END",
    ]
    return "".join(line.ljust(80) for line in lines).encode().ljust(2880)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("size", [(20000, 20000), (4000, 4000)])
def test_a_bomb_is_refused_quickly_and_in_little_memory(tmp_path, pack, size):
    path = tmp_path / "bomb.fits.gz"
    path.write_bytes(pack(bomb_header(*size) + bytes(40 << 20)))
    tracemalloc.start()
    began = time.thread_time()
    try:
        with pytest.raises(UnreadableFrame) as caught:
            read_all(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "\n" not in caught.value.message
    assert time.thread_time() - began < 1.0
    assert peak < 64 << 20


def test_an_endless_header_in_a_bomb_stops_at_the_limit(tmp_path):
    path = tmp_path / "bomb.fits.gz"
    path.write_bytes(gzip.compress(b"SIMPLE  =                    T".ljust(80) + b" " * (50 << 20)))
    with pytest.raises(UnreadableFrame, match=r"over 50 times|without END"):
        open_frame(path)
    assert expansion_limit(100) == 1 << 20
    assert expansion_limit(1 << 20) == 50 << 20


def test_damaged_compress_streams_are_refused():
    for data in (b"\x1f\x9d", b"\x1f\x9d\xff123", b"\x1f\x9d\x90\xff\xff\xff\xff"):
        with pytest.raises(LzwDamaged):
            list(unpack_lzw(data))


@pytest.mark.parametrize("method", ["RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1"])
def test_tiles_of_every_method_are_unpacked(tmp_path, pixels, method):
    path = tmp_path / "frame.fits.fz"
    signed = pixels.astype(np.int16)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(signed, compression_type=method, tile_shape=(16, 96))]).writeto(
        path
    )
    np.testing.assert_array_equal(read_all(path), signed)


def test_quantised_floats_are_unpacked_with_their_gaps_masked(tmp_path):
    rng = np.random.default_rng(8)
    data = rng.normal(100.0, 5.0, (60, 60)).astype(np.float32)
    data[5:8, 9] = np.nan
    path = tmp_path / "frame.fits.fz"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(data, compression_type="RICE_1", quantize_level=16)]).writeto(
        path
    )
    frame = open_frame(path)
    tile = frame_source(frame).read(Box.of_shape(60, 60))
    np.testing.assert_array_equal(tile.mask, np.isfinite(data))
    assert np.abs(tile.pixels[0] - np.where(tile.mask, data, 0.0)).max() < 1.0
    assert (tile.pixels[0][~tile.mask] == 0.0).all()


def tiled_file(tmp_path, pixels, method):
    path = tmp_path / "frame.fits.fz"
    signed = pixels.astype(np.int16)
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(signed, compression_type=method, tile_shape=(32, 96))]).writeto(
        path
    )
    return path, bytearray(path.read_bytes())


def heap_start(data):
    start = data.index(b"XTENSION= 'BINTABLE'")
    block = bytes(data[start:])
    end = block.index(b"END".ljust(80)) + 80
    return start + -(-end // 2880) * 2880


@pytest.mark.parametrize("method", ["RICE_1", "GZIP_1", "HCOMPRESS_1"])
def test_damaged_tiles_are_refused_or_read_and_never_crash(tmp_path, pixels, method):
    path, sound = tiled_file(tmp_path, pixels, method)
    table = heap_start(sound)
    rng = np.random.default_rng(11)
    n_refused = 0
    for _ in range(60):
        data = bytearray(sound)
        for at in rng.integers(table, min(len(data), table + 3000), 4):
            data[at] = rng.integers(0, 256)
        path.write_bytes(data)
        set_decode_cache(0)
        try:
            read_all(path)
        except UnreadableFrame as error:
            n_refused += 1
            assert "\n" not in error.message
    assert n_refused > 5


def test_a_tile_that_points_outside_of_the_file_is_refused(tmp_path, pixels):
    path, data = tiled_file(tmp_path, pixels, "RICE_1")
    struct.pack_into(">ii", data, heap_start(data), 1 << 30, 0)
    path.write_bytes(data)
    with pytest.raises(UnreadableFrame, match="outside of the file"):
        read_all(path)


def test_an_hcompress_tile_that_claims_more_pixels_than_its_own_is_refused(tmp_path, pixels):
    path, data = tiled_file(tmp_path, pixels, "HCOMPRESS_1")
    at = data.index(b"\xdd\x99", heap_start(data))
    struct.pack_into(">ii", data, at + 2, 60000, 60000)
    path.write_bytes(data)
    with pytest.raises(UnreadableFrame, match="claims 60000 x 60000 pixels"):
        read_all(path)


def test_a_gzip_tile_that_is_a_bomb_is_refused(tmp_path, pixels):
    path, data = tiled_file(tmp_path, pixels, "GZIP_1")
    bomb = gzip.compress(bytes(1 << 20))
    table = heap_start(data)
    count, at = struct.unpack_from(">ii", data, table)
    assert count >= len(bomb)
    heap = table + 2 * 8
    data[heap + at : heap + at + len(bomb)] = bomb
    path.write_bytes(data)
    with pytest.raises(UnreadableFrame, match="more than its pixels"):
        read_all(path)


def test_tiles_that_announce_far_more_than_they_hold_are_refused_at_opening(tmp_path, pixels):
    path, data = tiled_file(tmp_path, pixels, "RICE_1")
    at = data.index(b"ZNAXIS1 =")
    data[at : at + 30] = b"ZNAXIS1 =            900000000"
    path.write_bytes(data)
    with pytest.raises(UnreadableFrame, match="which no real frame does"):
        open_frame(path)


def test_the_cache_keeps_frames_within_its_limit_and_the_last_used_stay(tmp_path, pixels, monkeypatch):
    calls = []
    real = decoded.decode_frame
    monkeypatch.setattr(
        "skyquilt.io.fits.source.decode_frame", lambda name, *rest: calls.append(name) or real(name, *rest)
    )
    frames = []
    for k in range(3):
        path = tmp_path / f"{k}.fits.gz"
        path.write_bytes(gzip.compress(plain_file(pixels)))
        frames.append(frame_source(open_frame(path)))
    box = Box(0, 0, 4, 4)
    set_decode_cache(2 * pixels.size * 4)
    for k in (0, 1, 0, 2, 0, 1):
        frames[k].read(box)
    assert calls == ["0.fits.gz", "1.fits.gz", "2.fits.gz", "1.fits.gz"]
    assert decoded._shelf.used <= 2 * pixels.size * 4
    set_decode_cache(0)
    assert decoded._shelf.used == 0
    frames[0].read(box)
    assert decoded._shelf.used == 0
    assert decoded._shelf.busy == {}
