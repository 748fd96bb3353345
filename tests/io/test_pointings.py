"""All directions and the scale that a header gives."""

from __future__ import annotations

import pytest

from skyquilt.core import Pointing
from skyquilt.io.fits import Header, read_pointings, read_scale
from skyquilt.io.fits.cards import format_cards

WCS = [("CTYPE1", "RA---TAN", ""), ("CTYPE2", "DEC--TAN", ""), ("CRVAL1", 50.0, ""), ("CRVAL2", -20.0, "")]


def header(*cards: tuple[str, object, str]) -> Header:
    return Header(format_cards(cards))


def test_every_system_is_told_the_most_trusted_first() -> None:
    found = read_pointings(
        header(("RA", 10.0, ""), ("DEC", 5.0, ""), ("OBJCTRA", "02 00 00", ""), ("OBJCTDEC", "+30 00 00", ""), *WCS),
        None,
    )
    assert found == [Pointing(10.0, 5.0), Pointing(30.0, 30.0), Pointing(50.0, -20.0)]


def test_a_seestar_writes_coordinates_of_date_and_its_solvers_do_not() -> None:
    found = read_pointings(header(("RA", 10.0, ""), ("DEC", 5.0, ""), *WCS), "seestar")
    assert [pointing.equinox for pointing in found] == ["date", "J2000"]


@pytest.mark.parametrize(
    "cards", [[], [("RA", 0.0, ""), ("DEC", 0.0, "")], [("RA", 10.0, "")], [("RA", 10.0, ""), ("DEC", 95.0, "")]]
)
def test_what_is_not_told_is_absent(cards: list[tuple[str, object, str]]) -> None:
    assert read_pointings(header(*cards), None) == []


@pytest.mark.parametrize(
    ("cards", "scale"),
    [
        ([("IM_SCALE", 5.21, "")], 5.21),
        ([("SECPIX", "1.5", "")], 1.5),
        ([*WCS, ("CD1_1", -2.0 / 3600, ""), ("CD2_2", 2.0 / 3600, "")], 2.0),
        ([*WCS, ("CDELT1", -1.0 / 3600, ""), ("CDELT2", 4.0 / 3600, "")], 2.0),
        ([*WCS, ("CDELT1", 1.0, ""), ("CDELT2", 1.0, ""), ("PC1_2", 3 / 3600, ""), ("PC2_1", -3 / 3600, "")], 3.0),
        ([("CDELT1", 1.0, ""), ("CDELT2", 1.0, "")], None),
        ([("PIXSCALE", 0.0, "")], None),
        (WCS, None),
    ],
)
def test_the_scale_is_read_where_it_stands(cards: list[tuple[str, object, str]], scale: float | None) -> None:
    assert read_scale(header(*cards)) == (None if scale is None else pytest.approx(scale))
