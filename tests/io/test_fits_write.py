"""Results on disk: read back the same, whole or not at all, with checksums that astropy agrees with."""

import errno
import os
import warnings

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyquilt.core import Box
from skyquilt.errors import NotEnoughDisk, OutputBlocked
from skyquilt.io.fits import (
    Header,
    ImageWriter,
    data_hash,
    frame_source,
    open_frame,
    read_header,
    verify_checksums,
    write_image,
)
from skyquilt.io.fits.cards import format_card
from skyquilt.io.fits.checksums import add_sums, sum_words

CARDS = [("OBJECT", "M 94", "target"), ("EXPTIME", 10.0, "s"), ("HISTORY", "integrated 20 frames", "")]


def image(shape, dtype, seed=1):
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, 65536, shape).astype(np.uint16)
        if dtype == np.uint16
        else rng.normal(0, 1e3, shape).astype(np.float32)
    )


def read_back(path):
    frame = open_frame(path)
    return frame_source(frame).read(Box.of_shape(frame.meta.height, frame.meta.width)).pixels


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (3, 33, 47), (1, 20, 30)])
def test_write_then_read_is_identity(tmp_path, shape, dtype):
    pixels = image(shape, dtype)
    path = tmp_path / "a.fits"
    write_image(path, pixels, CARDS)
    np.testing.assert_array_equal(read_back(path), pixels.reshape(-1, *shape[-2:]).astype(np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as hdus:
            hdus.verify("exception")
            np.testing.assert_array_equal(hdus[0].data, pixels)
            assert hdus[0].header["BITPIX"] == (16 if dtype == np.uint16 else -32)
            assert ("BZERO" in hdus[0].header) == (dtype == np.uint16)
    assert verify_checksums(path) == []
    assert path.stat().st_size % 2880 == 0


def test_nan_and_negative_values_are_written_as_they_are(tmp_path):
    pixels = image((6, 8), np.float32)
    pixels[2, 3], pixels[0, 0] = np.nan, -0.0
    write_image(tmp_path / "a.fits", pixels, [])
    with fits.open(tmp_path / "a.fits") as hdus:
        np.testing.assert_array_equal(hdus[0].data.astype(np.float32).view(np.uint32), pixels.view(np.uint32))


def test_extensions_are_written_with_names_and_checksums(tmp_path):
    path = tmp_path / "maps.fits"
    extensions = [
        ("COVERAGE", image((9, 11), np.float32, 2), [("BUNIT", "s", "")]),
        ("REJ_LOW", image((9, 11), np.uint16), []),
    ]
    write_image(path, image((9, 11), np.float32), CARDS, extensions)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as hdus:
            hdus.verify("exception")
            assert [hdu.name for hdu in hdus] == ["PRIMARY", "COVERAGE", "REJ_LOW"]
            for (name, array, _), hdu in zip(extensions, hdus[1:], strict=True):
                np.testing.assert_array_equal(hdu.data, array, err_msg=name)
    assert verify_checksums(path) == []


def test_the_same_pixels_and_cards_give_the_same_bytes(tmp_path):
    pixels = image((20, 30), np.float32)
    for name in ("a.fits", "b.fits"):
        write_image(tmp_path / name, pixels, CARDS)
    assert (tmp_path / "a.fits").read_bytes() == (tmp_path / "b.fits").read_bytes()
    assert b"DATE" not in (tmp_path / "a.fits").read_bytes()[:2880]


def test_the_data_hash_is_of_the_pixels_alone(tmp_path):
    pixels = image((20, 30), np.float32)
    write_image(tmp_path / "a.fits", pixels, CARDS)
    write_image(tmp_path / "b.fits", pixels, [("OBJECT", "another", "")])
    pixels[3, 3] += 1
    write_image(tmp_path / "c.fits", pixels, CARDS)
    first, second, third = (data_hash(tmp_path / f"{name}.fits") for name in "abc")
    assert first == second != third


def test_a_flipped_bit_in_pixels_or_header_is_found(tmp_path):
    path = tmp_path / "a.fits"
    write_image(path, image((40, 50), np.float32), CARDS)
    sound = path.read_bytes()
    for at, words in ((2880 + 777, "DATASUM"), (sound.index(b"M 94"), "CHECKSUM")):
        data = bytearray(sound)
        data[at] ^= 1
        path.write_bytes(data)
        problems = verify_checksums(path)
        assert problems
        assert any(words in problem for problem in problems)
    path.write_bytes(sound[:-2880])
    assert any("cut short" in problem for problem in verify_checksums(path))
    assert verify_checksums(tmp_path / "none.fits") == ["none.fits is not there any more"]


def test_a_file_without_checksums_has_no_problem(tmp_path):
    fits.PrimaryHDU(np.zeros((4, 4), dtype=np.int16)).writeto(tmp_path / "a.fits")
    assert verify_checksums(tmp_path / "a.fits") == []


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.binary(min_size=1, max_size=300), cut=st.integers(0, 300))
def test_sums_of_pieces_add_up_to_the_sum_of_the_whole(data, cut):
    cut = min(cut, len(data))
    assert add_sums(sum_words(data[:cut]), sum_words(data[cut:], cut)) == sum_words(data)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    width=st.integers(1, 30), height=st.integers(1, 25), step=st.integers(1, 9), planes=st.sampled_from([1, 3]),
    is_integer=st.booleans(), by_plane=st.booleans(), order=st.randoms(use_true_random=False),
)  # fmt: skip
def test_rows_in_any_order_give_the_bytes_of_the_whole(
    tmp_path, width, height, step, planes, is_integer, by_plane, order
):
    pixels = image((planes, height, width), np.uint16 if is_integer else np.float32)
    write_image(tmp_path / "whole.fits", pixels, CARDS)
    jobs = [(y, plane) for y in range(0, height, step) for plane in (range(planes) if by_plane else [None])]
    order.shuffle(jobs)
    with ImageWriter(tmp_path / "rows.fits", pixels.shape, pixels.dtype, CARDS) as writer:
        for y, plane in jobs:
            block = pixels[:, y : y + step] if plane is None else pixels[plane, y : y + step]
            writer.write_rows(y, block, plane)
    assert (tmp_path / "rows.fits").read_bytes() == (tmp_path / "whole.fits").read_bytes()


def test_missing_and_repeated_rows_are_errors_and_leave_nothing(tmp_path):
    path = tmp_path / "a.fits"
    pixels = image((1, 8, 5), np.float32)
    with (
        pytest.raises(ValueError, match="4 of 8 rows were never written"),
        ImageWriter(path, (8, 5), np.float32, []) as writer,
    ):
        writer.write_rows(0, pixels[:, :4])
    with pytest.raises(ValueError, match="written before"), ImageWriter(path, (8, 5), np.float32, []) as writer:
        writer.write_rows(0, pixels[:, :4])
        writer.write_rows(3, pixels[:, :4])
    with pytest.raises(ValueError, match="are not of"), ImageWriter(path, (8, 5), np.float32, []) as writer:
        writer.write_rows(6, pixels[:, :4])
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "a.fits"
    write_image(path, image((8, 5), np.float32), CARDS)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), ImageWriter(path, (8, 5), np.float32, []) as writer:
        writer.write_rows(0, image((1, 4, 5), np.float32))
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.fits"]


@pytest.mark.parametrize("call", ["pwrite", "fsync"])
@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.ENOSPC, NotEnoughDisk),
        (errno.EDQUOT, NotEnoughDisk),
        (errno.EACCES, OutputBlocked),
        (errno.EROFS, OutputBlocked),
        (errno.EIO, OutputBlocked),
    ],
)
def test_every_failing_call_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, call, number, error):
    real = getattr(os, call)
    for failing in range(20):
        count = 0

        def fail(*given):
            nonlocal count
            count += 1
            if count == failing + 1:  # noqa: B023
                raise OSError(number, os.strerror(number))
            return real(*given)

        monkeypatch.setattr(os, call, fail)
        try:
            write_image(tmp_path / "a.fits", image((8, 5), np.float32), CARDS)
        except error as caught:
            assert "\n" not in caught.message
            assert [each for each in tmp_path.iterdir() if each.name != "a.fits"] == []
        else:
            break
    assert 1 <= failing < 19
    assert verify_checksums(tmp_path / "a.fits") == []


def test_a_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(OutputBlocked, match=r"the folder for a\.fits is not there"):
        write_image(tmp_path / "no" / "a.fits", image((8, 5), np.float32), [])


def test_big_images_are_written_in_bounded_memory(tmp_path):
    import tracemalloc

    with ImageWriter(tmp_path / "a.fits", (3, 1000, 4000), np.float32, []) as writer:
        rows = np.ones((3, 50, 4000), dtype=np.float32)
        tracemalloc.start()
        for y in range(0, 1000, 50):
            writer.write_rows(y, rows)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8 << 20
    assert verify_checksums(tmp_path / "a.fits") == []


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (True, "T"), (np.bool_(False), "F"), (7, "7"), (np.int16(-3), "-3"), (1.0, "1.0"), (1e-20, "1.0E-20"),
        (0.1, "0.1"), (np.float32(0.1), "0.1"), (np.float64(1e300), "1.0E+300"), (None, ""), (float("nan"), ""),
        ("it's", "'it''s   '"),
    ],
)  # fmt: skip
def test_a_value_is_written_in_the_shortest_form_that_reads_back(value, field):
    (line,) = format_card("KEY", value, "note")
    assert len(line) == 80
    assert line[10:].partition(" / ")[0].strip() == field
    read = Header([line]).get("KEY")
    if field:
        assert read == (float("0.1") if isinstance(value, np.float32) else value)
    else:
        assert read is None


def test_long_and_foreign_texts_are_cut_and_wrapped_in_ascii(tmp_path):
    cards = [
        ("OBJECT", "é" * 90, ""),
        ("HISTORY", "x" * 200, ""),
        ("ACCENT", "Nébuleuse “Ω”", ""),
        ("QUOTES", "'" * 60, ""),
    ]
    write_image(tmp_path / "a.fits", image((4, 4), np.float32), [*cards, ("SKYQUILT_LONG_WORD", 3, "")])
    header = read_header(tmp_path / "a.fits")
    assert header.get("OBJECT") == "e" * 68
    assert header.all("HISTORY") == ("x" * 72, "x" * 72, "x" * 56)
    assert header.get("ACCENT") == "Nebuleuse ???"
    assert set(header.get("QUOTES")) == {"'"}
    assert header.get("SKYQUILT_LONG_WORD") == 3
    assert (tmp_path / "a.fits").read_bytes()[:2880].isascii()
    with fits.open(tmp_path / "a.fits", checksum=True) as hdus:
        hdus.verify("exception")


@pytest.mark.parametrize("keyword", ["BITPIX", "naxis2", "CHECKSUM", "END", "BZERO", "ÉTÉ", ""])
def test_cards_that_the_writer_owns_or_nobody_can_write_are_refused(tmp_path, keyword):
    if keyword == "":
        assert format_card("", "a blank card")[0].strip() == "a blank card"
        return
    with pytest.raises(ValueError, match=r"written by the writer|no FITS keyword"):
        write_image(tmp_path / "a.fits", image((4, 4), np.float32), [(keyword, 1, "")])
    assert list(tmp_path.iterdir()) == []
