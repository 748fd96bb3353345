"""XISF: written, read, and refused where it is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skyquilt.errors import UnreadableFrame
from skyquilt.io.images import XisfWriter, read_xisf, write_xisf

CARDS = [("OBJECT", "Barnard's <star> & co", 'a "target"'), ("EXPTIME", 10.0, "[s]"), ("PLTSOLVD", True, "")]


def image(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).normal(0.1, 0.5, (channels, 37, 53)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("compress", [False, True])
def test_write_then_read_is_identity(channels: int, compress: bool, tmp_path: Path) -> None:
    write_xisf(tmp_path / "a.xisf", image(channels), CARDS, compress=compress)
    found = read_xisf(tmp_path / "a.xisf")
    assert np.array_equal(found.pixels, image(channels))
    assert found.cards[0] == ("OBJECT", "'Barnard''s <star> & co'", 'a "target"')
    assert [card[1] for card in found.cards[1:]] == ["10.0", "T"]


def test_rows_may_come_in_any_order(tmp_path: Path) -> None:
    with XisfWriter(tmp_path / "a.xisf", (3, 37, 53)) as writer:
        for y0 in (20, 0, 10, 30):
            writer.write_rows(y0, image()[:, y0 : y0 + 10])
    write_xisf(tmp_path / "b.xisf", image())
    assert (tmp_path / "a.xisf").read_bytes() == (tmp_path / "b.xisf").read_bytes()


def test_the_head_is_as_the_specification_wants_it(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    write_xisf(tmp_path / "a.xisf", image(), CARDS)
    data = (tmp_path / "a.xisf").read_bytes()
    assert data[:8] == b"XISF0100"
    length = int.from_bytes(data[8:12], "little")
    assert data[12:16] == bytes(4)
    root = ElementTree.fromstring(data[16 : 16 + length])
    space = "{http://www.pixinsight.com/xisf}"
    assert root.tag == f"{space}xisf"
    assert root.get("version") == "1.0"
    head = root.find(f"{space}Image")
    assert head is not None
    assert (head.get("geometry"), head.get("sampleFormat"), head.get("colorSpace")) == ("53:37:3", "Float32", "RGB")
    _, start, size = str(head.get("location")).split(":")
    stored = np.frombuffer(data[int(start) : int(start) + int(size)], "<f4").reshape(3, 37, 53)
    assert np.array_equal(stored, image())
    names = {element.get("id") for element in root.iter(f"{space}Property")}
    assert {"XISF:CreationTime", "XISF:CreatorApplication"} <= names


def foreign(pixels: np.ndarray, attributes: str, *, data: bytes | None = None) -> bytes:
    """A file as another program may write it."""
    block = pixels.tobytes() if data is None else data
    xml = (
        '<?xml version="1.0"?><xisf version="1.0" xmlns="http://www.pixinsight.com/xisf">'
        f'<Image {attributes} location="attachment:1024:{len(block)}"/></xisf>'
    ).encode()
    return (b"XISF0100" + len(xml).to_bytes(4, "little") + bytes(4) + xml).ljust(1024, b"\0") + block


@pytest.mark.parametrize(
    ("kind", "name", "top"),
    [("<u1", "UInt8", 255), ("<u2", "UInt16", 65535), ("<f8", "Float64", 1), (">f4", "Float32", 1)],
)
def test_other_sample_formats_are_read(kind: str, name: str, top: float, tmp_path: Path) -> None:
    values = np.array([[0.0, 0.2, 0.4], [0.6, 0.8, 1.0]])
    order = "big" if kind[0] == ">" else "little"
    given = foreign((values * top).astype(kind), f'geometry="3:2:1" sampleFormat="{name}" byteOrder="{order}"')
    (tmp_path / "a.xisf").write_bytes(given)
    np.testing.assert_allclose(read_xisf(tmp_path / "a.xisf").pixels[0], values, atol=0.5 / top if top > 1 else 1e-7)


def test_pixels_side_by_side_are_read(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype="<f4").reshape(2, 4, 3)
    text = 'geometry="4:2:3" sampleFormat="Float32" pixelStorage="Normal"'
    (tmp_path / "a.xisf").write_bytes(foreign(pixels, text))
    assert np.array_equal(read_xisf(tmp_path / "a.xisf").pixels, pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("codec", ["zlib", "lz4", "zstd"])
def test_packed_pixels_are_read(codec: str, tmp_path: Path) -> None:
    import imagecodecs

    plain = image(1).tobytes()
    packers = {
        "zlib": lambda: imagecodecs.zlib_encode(plain),
        "lz4": lambda: imagecodecs.lz4_encode(plain, header=False),
        "zstd": lambda: imagecodecs.zstd_encode(plain),
    }
    text = f'geometry="53:37:1" sampleFormat="Float32" compression="{codec}:{len(plain)}"'
    (tmp_path / "a.xisf").write_bytes(foreign(image(1), text, data=bytes(packers[codec]())))
    assert np.array_equal(read_xisf(tmp_path / "a.xisf").pixels, image(1))


FLOATS = 'geometry="53:37:1" sampleFormat="Float32"'


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"SIMPLE  =", "no XISF"),
        (b"XISF0100" + (10**6).to_bytes(4, "little") + bytes(4), "cut short"),
        (foreign(image(1), FLOATS)[:-9], "cut short"),
        (foreign(image(1), FLOATS.replace("53", "54")), "unpacked"),
        (foreign(image(1), FLOATS.replace("53", "x")), "unpacked"),
        (foreign(image(1), FLOATS.replace("Float32", "Complex32")), "Complex32"),
        (foreign(image(1), FLOATS.replace("53:37", "9999999:99999") + ' compression="zlib:1"'), "announces"),
        (foreign(image(1), FLOATS + ' compression="rar:1"'), "rar"),
        (foreign(image(1), FLOATS + ' checksum="sha-1:00"'), "checksum"),
        (foreign(image(1), FLOATS).replace(b"<Image", b"<Imago"), "holds no image"),
        (foreign(image(1), FLOATS).replace(b"</xisf>", b"</xixf>"), "no XML"),
        (foreign(image(1), FLOATS).replace(b'<?xml version="1.0"?>', b"<!DOCTYPE x [] >     "), "entities"),
    ],
)
def test_damage_is_told_in_one_sentence(content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.xisf").write_bytes(content)
    with pytest.raises(UnreadableFrame, match=words) as caught:
        read_xisf(tmp_path / "a.xisf")
    assert "\n" not in caught.value.message


def test_what_xisf_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 or 3 channels"):
        write_xisf(tmp_path / "a.xisf", image(2))
    assert not list(tmp_path.iterdir())
