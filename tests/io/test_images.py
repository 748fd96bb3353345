"""Pictures: read back the same, with a profile that colour management takes for sRGB."""

import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile

from skyquilt.errors import OutputBlocked, UnreadableFrame
from skyquilt.io.images import encode_jpeg, encode_png, grey_profile, read_image, rgb_profile, write_png, write_tiff


def picture(shape, dtype):
    rng = np.random.default_rng(4)
    return (rng.random(shape) * (1.0 if dtype == np.float32 else np.iinfo(dtype).max)).astype(dtype)


def chunks(png):
    found, at = [], 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        name, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length)[0] == zlib.crc32(name + body)
        found.append((name, body))
        at += 12 + length
    return found


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_a_png_reads_back_and_carries_its_profile(tmp_path, shape, dtype):
    pixels = picture(shape, dtype)
    path = tmp_path / "a.png"
    write_png(path, pixels)
    np.testing.assert_array_equal(read_image(path), pixels)
    found = chunks(path.read_bytes())
    assert [name for name, _ in found[:2]] == [b"IHDR", b"iCCP"]
    name, _, packed = found[1][1].partition(b"\0")
    assert name == b"ICC profile"
    assert packed[:1] == b"\0"
    assert zlib.decompress(packed[1:]) == (rgb_profile() if len(shape) == 3 else grey_profile())
    assert path.read_bytes() == encode_png(pixels)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3)])
def test_a_tiff_reads_back_and_carries_its_profile(tmp_path, shape, dtype):
    pixels = picture(shape, dtype)
    path = tmp_path / "a.tif"
    write_tiff(path, pixels)
    np.testing.assert_array_equal(read_image(path), pixels)
    make = rgb_profile if len(shape) == 3 else grey_profile
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].iccprofile == make(is_linear=dtype == np.float32)


def test_the_same_picture_gives_the_same_bytes(tmp_path):
    for write, dtype in ((write_png, np.uint16), (write_tiff, np.uint16), (write_tiff, np.float32)):
        write(tmp_path / "a", picture((9, 8, 3), dtype))
        write(tmp_path / "b", picture((9, 8, 3), dtype))
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_colour_management_takes_the_profile_for_srgb():
    pixels = picture((40, 40, 3), np.uint16)
    imagecodecs.cms_profile_validate(rgb_profile())
    imagecodecs.cms_profile_validate(grey_profile())
    srgb = imagecodecs.cms_profile("srgb")
    through = imagecodecs.cms_transform(pixels, rgb_profile(), srgb, colorspace="rgb", outcolorspace="rgb")
    assert np.abs(through.astype(int) - pixels).max() <= 4


def test_the_linear_profile_means_light():
    pixels = np.full((4, 4, 3), 0.5, dtype=np.float32)
    srgb = imagecodecs.cms_profile("srgb")
    through = imagecodecs.cms_transform(
        pixels, rgb_profile(is_linear=True), srgb, colorspace="rgb", outcolorspace="rgb"
    )
    assert through == pytest.approx(1.055 * 0.5 ** (1 / 2.4) - 0.055, abs=1e-3)


def test_a_jpeg_is_read(tmp_path):
    pixels = np.full((16, 24, 3), 120, dtype=np.uint8)
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg_encode(pixels, level=95))
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - 120).max() <= 2


@pytest.mark.parametrize("shape", [(4,), (4, 4, 5), (0, 4), (2, 2, 2, 3)])
def test_a_picture_of_another_shape_is_refused(tmp_path, shape):
    with pytest.raises(ValueError, match="it may be"):
        write_png(tmp_path / "a.png", np.zeros(shape, dtype=np.uint8))


def test_a_picture_of_another_type_is_refused(tmp_path):
    with pytest.raises(ValueError, match="float64"):
        write_tiff(tmp_path / "a.tif", np.zeros((4, 4)))
    assert list(tmp_path.iterdir()) == []


def test_a_blocked_output_is_one_sentence(tmp_path):
    with pytest.raises(OutputBlocked, match="is not there"):
        write_png(tmp_path / "no" / "a.png", np.zeros((4, 4), dtype=np.uint8))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_damaged_pictures_are_refused_in_one_sentence(tmp_path, name):
    path = tmp_path / name
    pixels = picture((30, 40, 3), np.uint8)
    write = {
        "a.png": lambda: write_png(path, pixels),
        "a.tif": lambda: write_tiff(path, pixels.astype(np.uint16)),
        "a.jpg": lambda: path.write_bytes(imagecodecs.jpeg_encode(pixels)),
    }
    write[name]()
    sound = path.read_bytes()
    for cut in (6, 20, 60, len(sound) // 3):
        path.write_bytes(sound[:cut])
        try:
            read_image(path)
        except UnreadableFrame as error:
            assert "\n" not in error.message
        else:
            assert name == "a.jpg"  # decoders fill up what is missing at a JPEG's end


def test_a_png_that_announces_too_much_is_refused_before_it_is_unpacked(tmp_path):
    data = bytearray(encode_png(picture((4, 4), np.uint8)))
    struct.pack_into(">II", data, 16, 100_000, 100_000)
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UnreadableFrame, match="which no real picture does"):
        read_image(tmp_path / "a.png")


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"plain words")
    with pytest.raises(UnreadableFrame, match="no PNG, TIFF or JPEG"):
        read_image(tmp_path / "a.png")
    with pytest.raises(UnreadableFrame, match="cannot be read"):
        read_image(tmp_path / "none.png")


def test_a_png_may_show_through(tmp_path):
    pixels = picture((30, 20, 4), np.uint8)
    np.testing.assert_array_equal(imagecodecs.png_decode(encode_png(pixels)), pixels)
    with pytest.raises(ValueError, match="it may be"):
        write_tiff(tmp_path / "a.tif", pixels.astype(np.uint16))


@pytest.mark.parametrize("shape", [(40, 64), (40, 64, 3)])
def test_a_jpeg_has_its_profile_and_looks_like_the_picture(shape):
    y, x = np.mgrid[0:40, 0:64]
    pixels = np.broadcast_to((2 * x + 3 * y).reshape(40, 64, *(1,) * (len(shape) - 2)), shape).astype(np.uint8)
    data = encode_jpeg(pixels)
    assert (rgb_profile() if len(shape) == 3 else grey_profile()) in data
    found = imagecodecs.jpeg_decode(data)
    assert found.shape == shape
    assert np.abs(found.astype(int) - pixels).max() < 12
    assert len(encode_jpeg(pixels, quality=30)) < len(data)
    with pytest.raises(ValueError, match="it may be"):
        encode_jpeg(pixels.astype(np.uint16))
