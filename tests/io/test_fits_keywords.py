"""Dialects of capture programs, card by card."""

import pytest

from skyquilt.core import FrameKind
from skyquilt.io.fits import Header
from skyquilt.io.fits.keywords import frame_meta
from skyquilt.io.fits.kinds import kind_of_words
from skyquilt.io.fits.layout import ImageLayout
from skyquilt.io.fits.pointing import read_angle


def meta_of(*lines, height=10, n_planes=1, bitpix=16, zero=32768.0):
    return frame_meta(
        ImageLayout(0, Header.from_text("\n".join(lines)), bitpix, 8, height, n_planes, 2880, 160, zero=zero)
    )


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("Light   ", "light"), ("Light Frame", "light"), ("LIGHT", "light"), ("object", "light"), ("Licht", "light"),
        ("lumière", "light"), ("DARK", "dark"), ("Master Dark", "dark"), ("Dark Frame", "dark"), ("Noir", "dark"),
        ("Dunkelbild", "dark"), ("Flat Field", "flat"), ("MasterFlat", "flat"), ("PLU", "flat"), ("Flachfeld", "flat"),
        ("Bias Frame", "bias"), ("Offset", "bias"), ("zero", "bias"), ("Flat Dark", "flat_dark"),
        ("DARKFLAT", "flat_dark"), ("dark_flat", "flat_dark"), ("Master Light", "stack"), ("Integration", "stack"),
        ("", "unknown"), ("RGB", "unknown"),
    ],
)  # fmt: skip
def test_the_word_for_a_kind_is_known(words, kind):
    assert kind_of_words(words) is FrameKind(kind)


def test_a_device_stack_is_no_light_and_has_no_pattern():
    cards = ("IMAGETYP= 'Light'", "STACKCNT= 187", "BAYERPAT= 'GRBG'", "TOTALEXP= 1870.", "EXPTIME = 10.")
    meta = meta_of(*cards, n_planes=3)
    assert (meta.kind, meta.cfa, meta.n_stacked, meta.exposure_s) == (FrameKind.STACK, None, 187, 10.0)


def test_a_single_shot_that_counts_itself_is_a_light():
    meta = meta_of("IMAGETYP= 'Light'", "STACKCNT= 1", "BAYERPAT= 'GRBG'")
    assert (meta.kind, meta.n_stacked, meta.cfa.name) == (FrameKind.LIGHT, 1, "GRBG")


def test_a_master_dark_of_many_frames_stays_a_dark():
    meta = meta_of("IMAGETYP= 'Master Dark'", "NCOMBINE= 20")
    assert (meta.kind, meta.n_stacked) == (FrameKind.DARK, 20)


@pytest.mark.parametrize(
    ("cards", "height", "name"),
    [
        (("BAYERPAT= 'RGGB'",), 10, "RGGB"),
        (("BAYERPAT= 'rggb'", "XBAYROFF= 1"), 10, "GRBG"),
        (("BAYERPAT= 'RGGB'", "YBAYROFF= 1"), 10, "GBRG"),
        (("BAYERPAT= 'RGGB'", "XBAYROFF= 1", "YBAYROFF= 1"), 10, "BGGR"),
        (("BAYERPAT= 'RGGB'", "ROWORDER= 'TOP-DOWN'"), 10, "RGGB"),
        (("BAYERPAT= 'RGGB'", "ROWORDER= 'BOTTOM-UP'"), 10, "GBRG"),
        (("BAYERPAT= 'RGGB'", "ROWORDER= 'BOTTOM-UP'"), 9, "RGGB"),
        (("COLORTYP= 'GBRG'",), 10, "GBRG"),
        (("CFAIMAGE= 'RGGB'",), 10, "RGGB"),
    ],
)
def test_the_pattern_speaks_of_the_rows_as_stored(cards, height, name):
    assert meta_of(*cards, height=height).cfa.name == name


@pytest.mark.parametrize("written", ["NONE", "INVALID", "RGBG", "TRUE"])
def test_what_is_no_pattern_is_ignored_with_a_note(written):
    meta = meta_of(f"BAYERPAT= '{written}'")
    assert meta.cfa is None
    assert any("BAYERPAT" in note for note in meta.notes)


def test_a_mono_frame_of_asi_has_no_pattern_and_no_note():
    meta = meta_of("COLORTYP= 'RAW16'")
    assert (meta.cfa, meta.notes) == (None, ())


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        (("DATE-OBS= '2025-03-27T01:22:59.022187'",), "2025-03-27T01:22:59.022187"),
        (("DATE-OBS= '2026-02-22T01:06:14.323'",), "2026-02-22T01:06:14.323000"),
        (("DATE-OBS= '2019-04-29T20:25:29.8219583'",), "2019-04-29T20:25:29.821958"),
        (("DATE-OBS= '2017-12-19T21:33:12.942-0700'",), "2017-12-20T04:33:12.942000"),
        (("DATE-OBS= '2017-12-19T21:33:12Z'",), "2017-12-19T21:33:12"),
        (("DATE-OBS= '29/11/51'",), "1951-11-29T00:00:00"),
        (("DATE-OBS= '2018-07-04'", "TIME-OBS= '14:03:03'"), "2018-07-04T14:03:03"),
        (("MJD-OBS = 60000.5",), "2023-02-25T12:00:00"),
        ((), None),
    ],
)
def test_a_date_is_brought_to_utc(cards, expected):
    meta = meta_of(*cards)
    assert (meta.date_obs, meta.notes) == (expected, ())


@pytest.mark.parametrize("written", ["N/A", "yesterday", "2025-13-01T00:00:00", "99/99/99", "0001-01-01T00:00:00+2300"])
def test_what_is_no_date_leaves_a_note(written):
    meta = meta_of(f"DATE-OBS= '{written}'")
    assert meta.date_obs is None
    assert len(meta.notes) == 1


@pytest.mark.parametrize(
    ("cards", "exposure"),
    [
        (("EXPTIME = 10.", "EXPOSURE= 10."), 10.0),
        (("EXPOSURE= 20",), 20.0),
        (("EXP     = 15.",), 15.0),
        (("EXP     = '1/400'",), 0.0025),
        (("EXPOINUS= 64",), 6.4e-05),
        (("EXPTIME = 6,4E-05",), 6.4e-05),
        (("EXPTIME = 600.", "EXPOSURE= 10.", "SWCREATE= 'ASIDeepStack'"), 10.0),
        (("EXPTIME = 600.", "EXPOSURE= 10.", "STACKCNT= 60"), 10.0),
        (("EXPTIME = 0",), 0.0),
        (("EXPTIME = -1",), None),
        ((), None),
    ],
)
def test_the_exposure_is_that_of_one_sub(cards, exposure):
    assert meta_of(*cards).exposure_s == exposure


SEESTAR = ("TELESCOP= 'S50_1a2b3c4d'", "INSTRUME= 'Seestar S50'")


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ((*SEESTAR, "RA      = 193.07", "DEC     = 40.98"), (193.07, 40.98, "date")),
        (("TELESCOP= 'DWARFII'", "RA      = 5.5 / [h] target", "DEC     = 22.0"), (82.5, 22.0, "J2000")),
        (("TELESCOP= 'DWARF 3'", "RA      = 100.2417", "DEC     = 9.895"), (100.2417, 9.895, "J2000")),
        (("TELESCOP= 'DWARF 3'", "RA      = 0.", "DEC     = 0."), None),
        (("RA      = '18 20 48.12'", "DEC     = '-16 10 58.8'"), (275.2005, -16.183, "J2000")),
        (("OBJCTRA = '18 20 48.12'", "OBJCTDEC= '-00 30 00'"), (275.2005, -0.5, "J2000")),
        (("RA      = 10.", "DEC     = 20.", "EQUINOX = 2024.5"), (10.0, 20.0, "date")),
        (("RA      = 10.", "DEC     = 20.", "EQUINOX = 9.87654321E+107"), (10.0, 20.0, "J2000")),
        (("RA      = 10.", "DEC     = 120."), None),
        (
            ("CTYPE1  = 'RA---SIN'", "CTYPE2  = 'DEC--SIN'", "CRVAL1  = 275.1", "CRVAL2  = -16."),
            (275.1, -16.0, "J2000"),
        ),
    ],
)
def test_the_pointing_is_in_degrees_and_knows_its_equinox(cards, expected):
    pointing = meta_of(*cards).pointing
    if expected is None:
        assert pointing is None
    else:
        assert (pointing.ra_deg, pointing.dec_deg) == pytest.approx(expected[:2], abs=1e-6)
        assert pointing.equinox == expected[2]


def test_sexagesimal_angles_keep_the_sign_of_minus_zero():
    assert read_angle("-00:30:00") == -0.5
    assert read_angle("+00 30 00") == 0.5
    assert read_angle("12 75 00") is None


def test_dwarf_words_are_known():
    cards = ("TELESCOP= 'DWARF 3'", "CAMERA  = 'TELE'", "DET-TEMP= 30", "FILTER  = 'Duo-Band'", "EQMODE  = 0")
    meta = meta_of(*cards, "FIRMWARE= '1.4.15.2'")
    assert (meta.device, meta.camera, meta.temperature_c, meta.filter) == ("dwarf", "TELE", 30.0, "Duo-Band")
    assert (meta.is_equatorial, meta.software, meta.kind) == (False, "DWARF 1.4.15.2", FrameKind.UNKNOWN)


def test_seestar_s30_pro_through_siril_is_a_seestar():
    meta = meta_of("TELESCOP= 'S30 Pro_1a2b3c4d'", "INSTRUME= 'imx585'", "FOCALLEN= 160.0", "APERTURE= 5.")
    assert (meta.device, meta.aperture_mm) == ("seestar", 32.0)


def test_absence_is_not_zero():
    meta = meta_of()
    for word in ("exposure_s", "gain", "offset", "temperature_c", "filter", "pixel_um", "focal_mm", "object_name"):
        assert getattr(meta, word) is None
    assert (meta.binning, meta.n_stacked, meta.kind) == ((1, 1), 1, FrameKind.UNKNOWN)


@pytest.mark.parametrize(
    ("bitpix", "zero", "cards", "saturation"),
    [
        (16, 32768.0, (), 65535.0), (16, 0.0, (), 32767.0), (8, 0.0, (), 255.0), (-32, 0.0, (), float("inf")),
        (-32, 0.0, ("SATURATE= 1.0",), 1.0), (-32, 0.0, ("DATAMAX = 0.7",), float("inf")),
        (16, 32768.0, ("SATURATE= 60000",), 60000.0), (16, 32768.0, ("SATURATE= 1E9",), 65535.0),
    ],
)  # fmt: skip
def test_saturation_is_what_the_stored_type_holds(bitpix, zero, cards, saturation):
    assert meta_of(*cards, bitpix=bitpix, zero=zero).saturation_adu == saturation
