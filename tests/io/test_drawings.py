"""Drawings as PNG and SVG, and the objects that are drawn."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import numpy as np
import pytest

from skyquilt.core import Drawing, Label, Line, Ring
from skyquilt.core.sky import separation_deg
from skyquilt.io.catalogue import open_catalogue
from skyquilt.io.deepsky import objects_within
from skyquilt.io.drawings import draw_picture, drawing_svg, text_width
from skyquilt.steps.annotate.star_names import STAR_NAMES

SVG = "{http://www.w3.org/2000/svg}"
NASTY = '<M & "31"> \' \x00\x1b é 漢'


def drawing(text: str = "M 31") -> Drawing:
    line = Line(np.array([[-5.0, 20.0], [105.0, 20.0]]), "#ff0000", 1.0)
    label = Label(text, 10.0, 60.0, text_width(text, 14.0), 17.0, 14.0, "#ffffff")
    return Drawing(100, 700, (line,), (Ring(50.0, 510.0, 12.0, "#00ff00", 1.5),), (label,))


def test_lines_rings_and_text_are_drawn_at_their_pixels() -> None:
    grey = np.full((700, 100), 40, np.uint8)
    drawn = draw_picture(grey, drawing())
    assert drawn.shape == (700, 100, 3) and drawn.dtype == np.uint8
    assert (drawn[20, :, 0] > 150).all() and (drawn[20, :, 1] < 40).all()
    assert (drawn[17] == 40).all() and (drawn[23] == 40).all()
    rows, columns = np.nonzero(drawn[:, :, 1] > drawn[:, :, 0].astype(int) + 40)  # the ring, across two bands
    distance = np.hypot(columns - 50.0, rows - 510.0)
    assert abs(distance - 12.0).max() < 1.8 and np.ptp(rows) >= 23
    written = drawn[60:78, 10:50].max(axis=2) > 200
    assert 30 < written.sum() < 400
    assert (drawn[100:480] == 40).all()


def test_a_colour_picture_keeps_its_colours() -> None:
    colour = np.zeros((700, 100, 3), np.uint8)
    colour[..., 2] = 90
    drawn = draw_picture(colour, drawing())
    assert (drawn[300:400] == [0, 0, 90]).all()


def test_the_svg_is_xml_with_the_picture_and_any_text_escaped() -> None:
    text = drawing_svg(np.zeros((700, 100, 3), np.uint8), drawing(NASTY), title=NASTY)
    root = ElementTree.parse(io.StringIO(text)).getroot()
    assert root.get("viewBox") == "0 0 100 700"
    assert root.findtext(f"{SVG}title") == '<M & "31"> \'  é 漢'
    assert [one.text for one in root.iter(f"{SVG}text")] == ['<M & "31"> \'  é 漢'] * 2  # a halo, and the text
    image = root.find(f"{SVG}image")
    assert image is not None and (image.get("href") or "").startswith("data:image/png;base64,iVBOR")
    assert len(list(root.iter(f"{SVG}polyline"))) == len(list(root.iter(f"{SVG}circle"))) == 1


def test_text_that_the_font_lacks_can_be_measured_and_drawn() -> None:
    assert text_width("Arps é 漢", 14.0) > text_width("Arps", 14.0) > 0.0
    draw_picture(np.zeros((700, 100), np.uint8), drawing(NASTY))


@pytest.mark.parametrize(
    ("place", "radius", "name", "common"),
    [
        ((192.72, 41.12), 0.7, "M 94", ""),
        ((315.4, 68.16), 0.7, "NGC 7023", "Iris Nebula"),
        ((56.75, 24.12), 1.0, "M 45", "Pleiades"),
        ((0.0, 16.1), 1.5, "NGC 7814", ""),
        ((10.0, 89.0), 6.0, "NGC 188", ""),
        ((359.9, 27.7), 3.0, "NGC 1", ""),
    ],
)
def test_objects_are_found_wherever_they_are(place: tuple[float, float], radius: float, name: str, common: str) -> None:
    found = objects_within(*place, radius)
    assert name in [thing.name for thing in found]
    thing = next(one for one in found if one.name == name)
    assert thing.common_name == common or not common
    distance = [float(separation_deg(one.ra_deg, one.dec_deg, *place)) for one in found]
    assert distance == sorted(distance) and distance[-1] <= radius
    assert not {one.kind for one in found} & {"Star", "Duplicated record", "Nonexistent object"}


def test_an_object_is_known_by_its_messier_number_and_its_facts() -> None:
    galaxy = next(one for one in objects_within(192.72, 41.12, 0.3) if one.is_messier)
    assert galaxy.kind == "Galaxy" and galaxy.mag == pytest.approx(8.1, abs=0.3)
    assert galaxy.major_arcmin is not None and 5 < galaxy.major_arcmin < 15


def test_every_named_star_is_a_bright_star_of_the_catalogue() -> None:
    catalogue = open_catalogue()
    for name, ra, dec in STAR_NAMES:
        near = catalogue.cone(ra, dec, 8 / 3600, epoch_year=2000.0, brightest=1)
        assert len(near) == 1 and near.mag[0] < (7.5 if name == "Mira" else 5.3), name
