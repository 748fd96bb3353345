"""The header parser: values of every spelling, and no input that can harm it."""

import random
import time

import pytest

from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits import Header, frame_source, open_frame, read_header, write_image

LINES = """\
SIMPLE  =                    T / conforms
BITPIX  =                   16
EXPTIME =              6,4E-05 / decimal comma
EXP     = '1/400   '
OBJECT  = 'Barnard''s star' / it's quoted
OPEN    = 'no end
ANGLE   =            1.5D+01
BLANKED =
LONG    = 'first &'
CONTINUE  'second &'
CONTINUE  'third' / done
HIERARCH CAMERA-DATE-OBS = '2018-09-17' / long word
HISTORY one
HISTORY two
OBJECT  = 'again'
SIRIL   =   9.87654321E+107
HUGE    = 1E999
WORD    = <redacted>
NOSPACE =12
END
AFTER   = 1
"""


@pytest.fixture
def header():
    return Header.from_text(LINES)


def test_values_are_read_in_every_spelling(header):
    assert header.get("SIMPLE") is True
    assert header.get("BITPIX") == 16
    assert header.number("EXPTIME") == 6.4e-05
    assert header.number("EXP") == 1 / 400
    assert header.get("OPEN") == "no end"
    assert header.get("ANGLE") == 15.0
    assert header.get("BLANKED", "absent") == "absent"
    assert header.get("WORD") == "<redacted>"
    assert header.get("NOSPACE") == 12
    assert header.number("SIRIL") == 9.87654321e107
    assert header.number("HUGE") is None


def test_the_first_of_equal_keywords_answers_and_all_are_kept(header):
    assert header.get("OBJECT") == "Barnard's star"
    assert header.all("OBJECT") == ("Barnard's star", "again")
    assert header.all("HISTORY") == ("one", "two")


def test_continued_strings_are_one_value_and_one_card(header):
    assert header.get("LONG") == "first second third"
    assert "CONTINUE" not in [card.keyword for card in header.cards]


def test_long_keywords_and_comments_are_kept(header):
    assert header.get("CAMERA-DATE-OBS") == "2018-09-17"
    assert header.card("OBJECT").comment == "it's quoted"


def test_nothing_after_end_is_read(header):
    assert "AFTER" not in header


def test_an_extension_inherits_what_it_does_not_say():
    own, primary = Header.from_text("FILTER  = 'R'"), Header.from_text("FILTER  = 'V'\nGAIN    = 3")
    both = own.over(primary)
    assert (both.get("FILTER"), both.get("GAIN")) == ("R", 3)


@pytest.fixture(scope="module")
def real_file(tmp_path_factory):
    import numpy as np

    path = tmp_path_factory.mktemp("fuzz") / "frame.fits"
    pixels = np.arange(12 * 16, dtype=np.uint16).reshape(12, 16)
    cards = [
        ("EXPTIME", 10.0, "s"),
        ("BAYERPAT", "GRBG", ""),
        ("XBAYROFF", 0, ""),
        ("DATE-OBS", "2025-03-27T01:22:59", ""),
    ]
    cards += [("RA", "12 34 56.7", ""), ("DEC", -12.5, ""), ("BINNING", "2*2", ""), ("ROWORDER", "BOTTOM-UP", "")]
    write_image(path, pixels, cards, [("MORE", pixels.astype(np.float32), [("NOTE", "x", "")])])
    return path.read_bytes()


ALPHABET = [
    b"'",
    b"/",
    b"=",
    b" ",
    b"9",
    b"-",
    b"E",
    b"\0",
    b"\xff",
    b"&",
    b"T",
    b"END     ",
    b"1E400",
    b"99999999999999",
]
WORDS = [b"NAXIS   =                  999", b"NAXIS1  =           2147483647", b"NAXIS2  =                   -1"]
WORDS += [b"BITPIX  =                   17", b"BITPIX  =                  -64", b"NAXIS3  =          10000000000"]
WORDS += [b"XTENSION= 'BINTABLE'          ", b"ZIMAGE  =                    T", b"PCOUNT  =        9999999999999"]
WORDS += [b"BSCALE  =                  0.0", b"BSCALE  =                1E308", b"BZERO   =             'text' /"]
WORDS += [b"CONTINUE  'more&'             ", b"HIERARCH = =                  ", b"GROUPS  =                    T"]


def mutate(data, rng):
    """Return the file with some bytes changed, cards replaced, or its end cut off."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        kind = rng.random()
        if kind < 0.4:
            at = rng.randrange(min(len(data), 3000))
            piece = rng.choice(ALPHABET)
            data[at : at + len(piece)] = piece
        elif kind < 0.8:
            at = 80 * rng.randrange(1, 25)
            data[at : at + 30] = rng.choice(WORDS)
        elif kind < 0.9:
            data = data[: rng.randrange(1, len(data) + 1)]
        else:
            data[2880:2880] = bytes(rng.randrange(0, 200))
    return bytes(data)


def test_no_damaged_header_does_worse_than_being_refused(real_file, tmp_path):
    rng = random.Random(20250327)
    path = tmp_path / "frame.fits"
    n_read = 0
    slowest = 0.0
    for _ in range(3000):
        path.write_bytes(mutate(real_file, rng))
        began = time.thread_time()
        try:
            frame = open_frame(path)
            frame_source(frame).read(frame_box(frame))
            read_header(path).cards  # noqa: B018
            n_read += 1
        except UnreadableFrame as error:
            assert "\n" not in error.message
            assert error.message.startswith("frame.fits ")
        slowest = max(slowest, time.thread_time() - began)
    assert 100 < n_read < 2900
    assert slowest < 1.0


def frame_box(frame):
    from skyquilt.core import Box

    assert frame.meta.width * frame.meta.height <= 1 << 20
    return Box.of_shape(frame.meta.height, frame.meta.width)


def test_a_header_without_end_is_refused_after_a_bounded_read(tmp_path):
    path = tmp_path / "endless.fits"
    path.write_bytes(b"SIMPLE  =                    T".ljust(80) + b" " * 80 * 80_000)
    with pytest.raises(UnreadableFrame, match="without END"):
        open_frame(path)
