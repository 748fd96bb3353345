"""skyquilt annotate: solved images in, pictures with labels out, one sentence where that cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS as ASTROPY_WCS
from click.testing import CliRunner, Result

from skyquilt.apps.cli.program import program
from skyquilt.core import SkyGrid, Wcs
from skyquilt.core.sky import separation_deg
from skyquilt.io.fits import read_wcs, write_image
from skyquilt.io.images import read_image

WIDTH, HEIGHT = 540, 960
DATE = ("DATE-OBS", "2025-03-26T21:20:46", "")
GRID = SkyGrid(Wcs((192.72, 41.12), (269.5, 479.5), np.array([[-4.5, 1.5], [1.5, 4.5]]) / 3600.0), WIDTH, HEIGHT)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(program, ["annotate", *map(str, arguments)], prog_name="skyquilt")


def image(path: Path, cards: list[Any], planes: int = 1) -> Path:
    rng = np.random.default_rng(1)
    pixels = rng.normal(500, 10, (planes, HEIGHT, WIDTH)).astype(np.float32)
    write_image(path, pixels if planes > 1 else pixels[0], [DATE, ("OBJECT", "M 94 <test> & co", ""), *cards])
    return path


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("planes", [1, 3])
def test_a_solved_image_becomes_a_png_beside_the_caller(tmp_path: Path, planes: int) -> None:
    before = image(tmp_path / "in.fits", GRID.cards(), planes).read_bytes()
    document = json.loads(run("in.fits", "--json").stdout)
    assert document["schema_id"] == "skyquilt.cli.annotate"
    assert document["output"] == "in_annotated.png" and document["objects"][0] == "M 94"
    assert document["n_stars"] > 5 and document["epoch_year"] == pytest.approx(2025.23, abs=0.01)
    assert (document["ra_deg"], document["dec_deg"]) == pytest.approx(GRID.centre_deg, abs=1e-3)
    assert document["scale_arcsec"] == pytest.approx(GRID.wcs.scale_arcsec)
    picture = read_image(tmp_path / "in_annotated.png")
    assert picture.shape == (2 * HEIGHT, 2 * WIDTH, 3)  # small images are enlarged
    assert (np.ptp(picture.astype(int), axis=2) > 60).sum() > 500  # coloured marks on grey noise
    assert (tmp_path / "in.fits").read_bytes() == before


def test_an_svg_says_the_same_and_escapes_the_header(tmp_path: Path) -> None:
    image(tmp_path / "in.fits", GRID.cards())
    assert run("in.fits", "--out", "out.svg", "--stars", 0, "--no-grid").exit_code == 0
    root = ElementTree.parse(tmp_path / "out.svg").getroot()
    texts = [one.text or "" for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "M 94" in texts and any(text.startswith("M 94 <test> & co") for text in texts)
    assert not any("h" in text and "m" in text and len(text) < 8 for text in texts)  # no numbers of a grid


def test_what_is_switched_off_is_not_drawn(tmp_path: Path) -> None:
    image(tmp_path / "in.fits", GRID.cards())
    document = json.loads(run("in.fits", "--stars", 3, "--no-objects", "--json").stdout)
    assert document["n_stars"] == 3 and document["objects"] == []


def test_a_catalogue_of_the_users_is_drawn_instead(tmp_path: Path) -> None:
    image(tmp_path / "in.fits", GRID.cards())
    (tmp_path / "own.csv").write_text("ra_deg,dec_deg,mag\n192.7,41.1,13.5\n192.8,41.2,14\n")
    own = ("--catalogue", "own.csv", "--json")
    assert json.loads(run("in.fits", *own, "--catalogue-use", "instead").stdout)["n_stars"] == 2
    tycho = json.loads(run("in.fits", "--json").stdout)["n_stars"]
    assert json.loads(run("in.fits", *own).stdout)["n_stars"] == tycho + 2


@pytest.mark.parametrize("own", [[], GRID.wcs.shifted(300.0, 300.0).cards()])
def test_a_sidecar_serves_instead_of_the_header(tmp_path: Path, own: list[Any]) -> None:
    image(tmp_path / "raw.fit", own)
    header = fits.Header(GRID.wcs.cards())
    (tmp_path / "raw.wcs").write_text(header.tostring(sep="\r\n", endcard=True))
    assert run("raw.fit").exit_code == 0
    text = read_wcs(tmp_path / "raw.fit")
    (tmp_path / "raw.wcs").unlink()
    fits.PrimaryHDU(header=header).writeto(tmp_path / "raw.fit.wcs")
    binary = read_wcs(tmp_path / "raw.fit")
    assert text.crpix0 == pytest.approx(GRID.wcs.crpix0)
    assert np.array_equal(text.cd, binary.cd) and np.allclose(text.cd, GRID.wcs.cd, rtol=1e-12)


def test_an_image_with_its_rows_bottom_up_is_shown_the_right_way_up(tmp_path: Path) -> None:
    image(tmp_path / "up.fits", [*GRID.cards(), ("ROWORDER", "BOTTOM-UP", "")])
    image(tmp_path / "down.fits", [*GRID.cards(), ("ROWORDER", "TOP-DOWN", "")])
    marks = []
    for name in ("up", "down"):
        assert run(f"{name}.fits", "--out", f"{name}.svg", "--no-grid", "--no-objects").exit_code == 0
        root = ElementTree.parse(tmp_path / f"{name}.svg").getroot()
        rings = list(root.iter("{http://www.w3.org/2000/svg}circle"))
        marks.append(sorted((float(one.get("cx", 0)), float(one.get("cy", 0))) for one in rings))
    up, down = (np.array(places) for places in marks)
    assert len(up) > 5
    assert np.allclose(up[:, 0], down[:, 0], atol=0.2) and np.allclose(up[:, 1], 2 * HEIGHT - 1 - down[:, 1], atol=0.2)


def test_a_raw_colour_frame_is_shown_in_colour_at_half_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    raw = rng.normal(2000, 30, (1920, 1920)).astype(np.uint16)
    grid = SkyGrid(Wcs((192.72, 41.12), (959.5, 959.5), np.diag([-2.4, 2.4]) / 3600.0), 1920, 1920)
    x, y = (round(float(v)) for v in grid.wcs.to_pixels(192.7214, 41.1203))
    raw[y - 6 : y + 7, x - 6 : x + 7] = 40000  # a mark where M 94 is
    write_image(tmp_path / "raw.fit", raw, [DATE, ("BAYERPAT", "GRBG", ""), *grid.cards()])
    assert run("raw.fit", "--out", "raw.png", "--no-grid", "--stars", 0, "--no-objects").exit_code == 0
    picture = read_image(tmp_path / "raw.png")
    assert picture.shape == (960, 960, 3)
    rows, columns = np.nonzero(picture.min(axis=2) > 250)
    near = np.hypot(rows - (y - 0.5) / 2, columns - (x - 0.5) / 2) < 8
    assert near.sum() > 20
    assert rows[near].mean() == pytest.approx((y - 0.5) / 2, abs=0.6)


@pytest.mark.parametrize("kind", ["SIN", "galactic", "ZEA"])
def test_other_coordinates_are_understood(tmp_path: Path, kind: str) -> None:
    theirs = ASTROPY_WCS(naxis=2)
    theirs.wcs.crpix, theirs.wcs.cdelt = [270, 480], [-4 / 3600, 4 / 3600]
    theirs.wcs.crval = [120.0, 70.0] if kind == "galactic" else [192.72, 41.12]
    axes = ("GLON-TAN", "GLAT-TAN") if kind == "galactic" else (f"RA---{kind}", f"DEC--{kind}")
    theirs.wcs.ctype = axes
    image(tmp_path / "in.fits", [(card.keyword, card.value, "") for card in theirs.to_header().cards])
    x, y = np.array([0.0, 539.0, 100.0]), np.array([0.0, 959.0, 800.0])
    place = theirs.pixel_to_world(x, y).icrs
    ours = read_wcs(tmp_path / "in.fits").to_sky(x, y)
    assert separation_deg(*ours, place.ra.deg, place.dec.deg).max() * 3600 < 0.2
    assert run("in.fits").exit_code == 0


def test_an_image_without_a_date_says_where_its_stars_are_from(tmp_path: Path) -> None:
    write_image(tmp_path / "in.fits", np.zeros((HEIGHT, WIDTH), np.float32), GRID.cards())
    result = run("in.fits")
    assert result.exit_code == 0 and "no date" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("unsolved.fits",), 6, "has no coordinates"),
        (("none.fits",), 5, "none.fits"),
        (("solved.fits", "--out", "picture.jpg"), 2, "neither .png nor .svg"),
        (("solved.fits", "--catalogue", "bad.csv"), 5, "no column dec_deg"),
        (("broken.fits",), 5, "lack CRVAL2"),
        (("odd.fits",), 5, "only TAN"),
    ],
)
def test_what_cannot_be_gets_one_sentence(tmp_path: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    image(tmp_path / "solved.fits", GRID.cards())
    image(tmp_path / "unsolved.fits", [])
    image(tmp_path / "broken.fits", [card for card in GRID.cards() if card[0] != "CRVAL2"])
    image(tmp_path / "odd.fits", [("CTYPE1", "LINEAR", ""), ("CTYPE2", "LINEAR", "")])
    (tmp_path / "bad.csv").write_text("ra_deg,mag\n1,2\n")
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert words in result.stderr and "Traceback" not in result.stderr
    assert not list(tmp_path.glob("*.png"))


def test_the_picture_never_replaces_the_image(tmp_path: Path) -> None:
    path = image(tmp_path / "solved.fits", GRID.cards())
    path.rename(tmp_path / "solved.png")
    before = (tmp_path / "solved.png").read_bytes()
    result = run("solved.png", "--out", "solved.png")
    assert result.exit_code == 2 and "is the image itself" in result.stderr
    assert (tmp_path / "solved.png").read_bytes() == before
