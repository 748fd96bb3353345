"""Files placed on the sky: hints from headers, what is written and what is never touched."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_sky import small_session, stacked

from skyquilt.core import FrameMeta, Pointing, SkyGrid, Wcs
from skyquilt.core.sky import precess_to_icrs, separation_deg
from skyquilt.engine import (
    SkySolver,
    SolveRequest,
    check_product,
    update_product,
    verify_products,
    write_sidecar,
)
from skyquilt.engine.solving import hints_of, julian_year
from skyquilt.errors import UnreadableFrame, UsageError
from skyquilt.io.catalogue import open_catalogue
from skyquilt.io.fits import read_header, verify_checksums, write_image
from skyquilt.steps.solve import Hints
from skyquilt.testing.fields import draw_sky

PLACE = (83.8, -5.4)
SHAPE = (500, 640)
WCS = Wcs(PLACE, (319.5, 249.5), 6.0 / 3600 * np.array([[-0.8, 0.6], [0.6, 0.8]]))
GRID = SkyGrid(WCS, SHAPE[1], SHAPE[0])
DATE = ("DATE-OBS", "2025-01-10T22:00:00", "")


PIXELS = draw_sky(open_catalogue(), GRID)
SCALE_CARDS = [("FOCALLEN", 100.0, ""), ("XPIXSZ", 2.9, "")]  # 5.98 arcsec/px


def frame(folder: Path, *cards: tuple[str, object, str], pixels: np.ndarray = PIXELS) -> Path:
    path = folder / "light.fit"
    write_image(path, pixels, [DATE, *cards])
    return path


@pytest.fixture(scope="module")
def solver() -> SkySolver:
    return SkySolver()


def check(solver: SkySolver, path: Path, request: SolveRequest | None = None) -> None:
    found = solver.solve_file(path, request or SolveRequest(solver="own"))
    assert found.grid is not None, found.reason
    assert float(separation_deg(*found.grid.centre_deg, *PLACE)) * 3600 < 3.0
    assert found.grid.wcs.scale_arcsec == pytest.approx(6.0, rel=1e-3)
    assert found.grid.wcs.rotation_deg == pytest.approx(WCS.rotation_deg, abs=0.05)


def test_a_frame_is_solved_from_its_header(tmp_path: Path, solver: SkySolver) -> None:
    path = frame(tmp_path, ("RA", 84.5, ""), ("DEC", -5.9, ""), *SCALE_CARDS)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    check(solver, path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert [p.name for p in tmp_path.iterdir()] == ["light.fit"]


def test_a_colour_cube_is_solved(tmp_path: Path, solver: SkySolver) -> None:
    cube = np.stack([PIXELS, PIXELS, PIXELS]).astype(np.float32) / np.float32(65535)
    check(solver, frame(tmp_path, ("RA", 84.0, ""), ("DEC", -5.5, ""), *SCALE_CARDS, pixels=cube))


def test_a_direction_that_someone_names_counts_more_than_the_header(tmp_path: Path, solver: SkySolver) -> None:
    path = frame(tmp_path, ("RA", 200.0, ""), ("DEC", 50.0, ""))
    check(solver, path, SolveRequest(ra_deg=83.0, dec_deg=-5.0, radius_deg=2.0, scale_arcsec=6.3, solver="own"))
    elsewhere = SolveRequest(ra_deg=93.0, dec_deg=-5.0, radius_deg=2.0, scale_arcsec=6.3, solver="own")
    found = solver.solve_file(path, elsewhere)
    assert not found.is_solved
    assert "within 2 degrees of RA 93.00" in found.reason


def test_two_pointings_that_disagree_are_both_tried(tmp_path: Path, solver: SkySolver) -> None:
    wcs = [("CTYPE1", "RA---TAN", ""), ("CTYPE2", "DEC--TAN", ""), ("CRVAL1", 84.0, ""), ("CRVAL2", -5.2, "")]
    path = frame(tmp_path, ("RA", 200.0, ""), ("DEC", 50.0, ""), *wcs, *SCALE_CARDS)
    found = solver.solve_file(path, SolveRequest(solver="own"))
    assert found.is_solved
    assert any("the stars agree with one of them" in note for note in found.notes)


def test_zeros_are_not_a_direction(tmp_path: Path, solver: SkySolver) -> None:
    path = frame(tmp_path, ("RA", 0.0, ""), ("DEC", 0.0, ""), *SCALE_CARDS)
    found = solver.solve_file(path, SolveRequest(ra_deg=84.0, dec_deg=-5.0, solver="own"))
    assert found.is_solved
    assert found.notes == ("RA and DEC are both 0: taken as not known",)


def test_a_wrong_focal_length_is_told(tmp_path: Path, solver: SkySolver) -> None:
    path = frame(tmp_path, ("RA", 84.0, ""), ("DEC", -5.5, ""), ("FOCALLEN", 200.0, ""), ("XPIXSZ", 2.9, ""))
    hints = replace(hints_of(FrameMeta(640, 500, pixel_um=2.9, focal_mm=200.0, pointing=Pointing(84.0, -5.5))))
    from skyquilt.io.fits import frame_source, open_frame
    from skyquilt.steps import stars

    source = frame_source(open_frame(path))
    measured = stars.measure(source.read(source.bounds).pixels[0], None, saturation_adu=65535.0)
    found = solver.solve_stars(measured.stars, SHAPE, hints, anywhere=False)
    told = " ".join(getattr(found, "notes", ()))
    assert "make 2.99 arcsec/px, the stars say 6.0" in told


def plain_noise(kind: str) -> np.ndarray:
    rng = np.random.default_rng(3)
    pixels = rng.normal(1000.0, 12.0, SHAPE)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    if kind == "planet":
        pixels += 90000.0 / (1.0 + np.exp((np.hypot(x - 300, y - 240) - 20) / 1.5))
    elif kind == "trails":
        for k in range(25):
            x0, y0 = rng.uniform(20, 560), rng.uniform(20, 480)
            along = np.clip(x - x0, 0, 50 + k)
            pixels += 4000 * np.exp(-((x - x0 - along) ** 2 + (y - y0) ** 2) / 4.0)
    return np.clip(pixels, 0, 65535).astype(np.uint16)


@pytest.mark.parametrize(("kind", "words"), [("noise", "solving takes 6"), ("planet", "a planet"), ("trails", "")])
def test_what_shows_no_stars_is_one_sentence(tmp_path: Path, solver: SkySolver, kind: str, words: str) -> None:
    path = frame(tmp_path, ("RA", 84.0, ""), ("DEC", -5.5, ""), *SCALE_CARDS, pixels=plain_noise(kind))
    found = solver.solve_file(path, SolveRequest(ra_deg=84.0, dec_deg=-5.5, scale_arcsec=6.0, solver="own"))
    assert not found.is_solved
    assert words in found.reason
    assert found.reason and "\n" not in found.reason


def test_what_is_no_image_is_an_error(tmp_path: Path, solver: SkySolver) -> None:
    (tmp_path / "x.fit").write_bytes(b"no image at all, just text that is long enough")
    with pytest.raises(UnreadableFrame):
        solver.solve_file(tmp_path / "x.fit")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ra_deg": 10.0}, "both RA and Dec"),
        ({"ra_deg": 400.0, "dec_deg": 0.0}, "no right ascension"),
        ({"ra_deg": 40.0, "dec_deg": -91.0}, "no declination"),
        ({"radius_deg": 0.0}, "radius"),
        ({"scale_arcsec": -1.0}, "no pixel scale"),
        ({"solver": "magic"}, "no solver"),
        ({"blind": True, "ra_deg": 1.0, "dec_deg": 1.0}, "no direction"),
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        SolveRequest(**change)  # type: ignore[arg-type]


# --- hints


def test_coordinates_of_date_are_precessed() -> None:
    meta = FrameMeta(10, 10, pointing=Pointing(193.04166, 40.970556, "date"), date_obs="2025-03-27T01:20:32")
    hints = hints_of(meta)
    expected = precess_to_icrs(193.04166, 40.970556, 2025.2329)
    assert float(separation_deg(*hints.places[0], *expected)) * 3600 < 0.1
    assert float(separation_deg(*hints.places[0], 193.04166, 40.970556)) > 0.2
    assert hints.epoch_year == pytest.approx(2025.233, abs=0.001)


def test_what_the_header_does_not_say_stays_unknown() -> None:
    hints = hints_of(FrameMeta(10, 10))
    assert hints.places == ()
    assert hints.scale_arcsec is None
    assert isinstance(hints, Hints)


def test_years_are_julian() -> None:
    assert julian_year("2000-01-01T12:00:00") == 2000.0
    assert julian_year("2025-07-02T03:00:00.5") == pytest.approx(2025.49932, abs=1e-5)
    assert julian_year(None) is None
    assert julian_year("soon") is None


# --- what is written


def test_a_sidecar_holds_the_coordinates(tmp_path: Path) -> None:
    frame(tmp_path)
    path = write_sidecar(tmp_path / "light.fit", GRID)
    assert path == tmp_path / "light.wcs"
    from skyquilt.io.fits import Header

    lines = Header.from_bytes(path.read_bytes())
    back = Wcs.from_header(lines)
    assert float(separation_deg(*back.to_sky(0, 0), *WCS.to_sky(0, 0))) < 1e-9
    other = write_sidecar(tmp_path / "light.fit", GRID, tmp_path)
    assert other == path


def test_raw_frames_are_never_changed(tmp_path: Path) -> None:
    path = frame(tmp_path, ("PROGRAM", "Seestar 4.2", ""))
    before = path.read_bytes()
    for change in (lambda: check_product(path), lambda: update_product(path, GRID)):
        with pytest.raises(UsageError, match="raw frames are never changed"):
            change()
    assert path.read_bytes() == before


def test_a_product_gets_its_coordinates_and_stays_verified(tmp_path: Path) -> None:
    path = tmp_path / "master_linear.fits"
    old = [("RA", 1.0, ""), ("CTYPE1", "RA---TAN-SIP", ""), ("A_2_0", 1.0, ""), ("CDELT1", 1.0, "")]
    write_image(path, PIXELS.astype(np.float32), [("PROGRAM", "skyquilt 0.1", ""), ("STACKCNT", 12, ""), *old])
    update_product(path, GRID)
    header = read_header(path)
    assert "A_2_0" not in header and "CDELT1" not in header
    assert header.integer("STACKCNT") == 12
    assert float(separation_deg(*Wcs.from_header(header).to_sky(3, 4), *WCS.to_sky(3, 4))) < 1e-9
    assert header.number("RA") == pytest.approx(PLACE[0])
    assert verify_checksums(path) == []


def test_a_master_that_was_solved_is_still_what_its_manifest_says(tmp_path: Path) -> None:
    truth = small_session(tmp_path / "raw", n_frames=3)
    result = stacked(truth.folder, tmp_path / "out", maps=False)
    master = result.stacks[0].outputs["master_linear"]
    assert verify_products(tmp_path / "out") == []
    update_product(master, SkyGrid(WCS, 270, 480))
    assert verify_products(tmp_path / "out") == []
    assert read_header(master).text("CTYPE1") == "RA---TAN"
    assert read_header(master).integer("STACKCNT") == 3
