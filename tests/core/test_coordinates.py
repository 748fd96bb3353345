"""Directions, projections and world coordinates, beside astropy and ERFA."""

from __future__ import annotations

import erfa
import numpy as np
import pytest
from astropy.io.fits import Header as AstropyHeader
from astropy.wcs import WCS as ASTROPY_WCS

from skyquilt.core import CatalogueStars, Sip, SkyGrid, Wcs
from skyquilt.core.sky import (
    deproject,
    deproject_equal_area,
    directions,
    move,
    precess_to_icrs,
    project,
    project_equal_area,
    separation_deg,
    tangent_frame,
    unit_vectors,
)
from skyquilt.errors import BadInput
from skyquilt.io.fits import Header
from skyquilt.io.fits.cards import format_cards

PLACES = [(10.0, 41.0), (0.0, 0.0), (359.99, -5.0), (123.0, 89.7), (200.0, -90.0), (80.0, 90.0)]


def distorted() -> Sip:
    """A distortion of up to about 4 px in the corner of a 1080 x 1920 frame."""
    rng = np.random.default_rng(3)
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    for i in range(4):
        for j in range(4 - i):
            if i + j >= 2:
                a[i, j], b[i, j] = rng.normal(0.0, 1.5, 2) / 1000.0 ** (i + j)
    return Sip(a, b)


def wcs_at(ra: float, dec: float, *, sip: Sip | None = None, mirrored: bool = False, turn_deg: float = 33.0) -> Wcs:
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    scale = 2.37 / 3600.0
    cd = scale * np.array([[-c, s], [s, c]]) * (np.array([[-1.0], [1.0]]) if mirrored else 1.0)
    return Wcs((ra, dec), (539.2, 960.7), cd, sip)


def astropy_of(wcs: Wcs) -> ASTROPY_WCS:
    return ASTROPY_WCS(AstropyHeader(wcs.cards()))


def back_and_forth(wcs: Wcs, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Through astropy's forward polynomial, then its inverse one."""
    theirs = astropy_of(wcs)
    return theirs.sip_foc2pix(*theirs.sip_pix2foc(x, y, 0), 0)


def pixels() -> tuple[np.ndarray, np.ndarray]:
    x, y = np.meshgrid(np.linspace(0, 1079, 15), np.linspace(0, 1919, 17))
    return x.ravel(), y.ravel()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("with_sip", [False, True])
@pytest.mark.parametrize("mirrored", [False, True])
def test_pixels_lie_where_astropy_says(place: tuple[float, float], with_sip: bool, mirrored: bool) -> None:
    wcs = wcs_at(*place, sip=distorted() if with_sip else None, mirrored=mirrored)
    x, y = pixels()
    ra, dec = wcs.to_sky(x, y)
    ours = np.stack(astropy_of(wcs).all_world2pix(ra, dec, 0, tolerance=1e-9))
    assert np.abs(ours - [x, y]).max() < 1e-6
    their_ra, their_dec = astropy_of(wcs).all_pix2world(x, y, 0)
    back = np.stack(wcs.to_pixels(their_ra, their_dec))
    assert np.abs(back - [x, y]).max() < 1e-6
    assert ra.min() >= 0.0 and ra.max() < 360.0


def test_header_cards_read_back_as_the_same_coordinates() -> None:
    wcs = wcs_at(10.0, 41.0, sip=distorted().with_inverse((539.2, 960.7), 1080, 1920))
    lines = format_cards(wcs.cards())
    read = Wcs.from_header(Header(list(lines)))
    assert read.crval_deg == wcs.crval_deg
    assert read.crpix0 == pytest.approx(wcs.crpix0, abs=1e-12)
    assert np.array_equal(read.cd, wcs.cd)
    assert read.sip is not None and wcs.sip is not None
    for name in ("a", "b", "ap", "bp"):
        assert np.array_equal(getattr(read.sip, name), getattr(wcs.sip, name))
    words = {line[:8].strip() for line in lines}
    assert {"PLTSOLVD", "RADESYS", "CD1_1", "AP_ORDER", "BP_ORDER"} <= words
    assert not {"CDELT1", "PC1_1", "CROTA2"} & words


def test_the_fitted_inverse_undoes_the_distortion_for_programs_that_use_it() -> None:
    wcs = wcs_at(10.0, 41.0, sip=distorted().with_inverse((539.2, 960.7), 1080, 1920))
    x, y = pixels()
    assert np.abs(np.stack(back_and_forth(wcs, x, y)) - [x, y]).max() < 0.02


def test_a_tangent_point_on_the_north_pole_is_read_with_its_own_default_of_lonpole() -> None:
    cards = {keyword: value for keyword, value, _ in wcs_at(80.0, 90.0).cards() if keyword != "LONPOLE"}
    theirs = ASTROPY_WCS(AstropyHeader(list(cards.items()))).all_pix2world(*pixels(), 0)
    assert separation_deg(*Wcs.from_header(cards).to_sky(*pixels()), *theirs).max() * 3600 < 1e-6


@pytest.mark.parametrize("style", ["pc", "crota"])
def test_older_matrices_are_read(style: str) -> None:
    wcs = wcs_at(10.0, 41.0)
    cards: dict[str, object] = {keyword: value for keyword, value, _ in wcs.cards() if not keyword.startswith("CD")}
    cards |= {"CDELT1": -2.37 / 3600, "CDELT2": 2.37 / 3600}
    angle = np.radians(20.0)
    if style == "crota":
        cards["CROTA2"] = 20.0
    else:
        cards |= {"PC1_1": np.cos(angle), "PC1_2": -np.sin(angle), "PC2_1": np.sin(angle), "PC2_2": np.cos(angle)}
    read = Wcs.from_header(cards)
    theirs = ASTROPY_WCS(AstropyHeader(list(cards.items()))).all_pix2world(*pixels(), 0)
    assert separation_deg(*read.to_sky(*pixels()), *theirs).max() * 3600 < 1e-6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"CTYPE1": None}, "no world coordinates"),
        ({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"}, "only TAN"),
        ({"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN"}, "only TAN"),
        ({"RADESYS": "FK4", "EQUINOX": 1950.0}, "ICRS or J2000"),
        ({"CUNIT1": "rad"}, "degrees"),
        ({"CRVAL2": "x"}, "lack CRVAL2"),
        ({"CD1_1": 0.0, "CD1_2": 0.0}, "singular"),
        ({"LONPOLE": 90.0}, "LONPOLE"),
    ],
)
def test_coordinates_that_would_be_misread_are_refused(change: dict[str, object], words: str) -> None:
    cards = {keyword: value for keyword, value, _ in wcs_at(10.0, 41.0).cards()} | change
    with pytest.raises(BadInput, match=words):
        Wcs.from_header(cards)


def test_figures_of_an_image_with_north_up_and_east_left() -> None:
    wcs = Wcs((30.0, 20.0), (100.0, 100.0), np.diag([-2.0, 2.0]) / 3600.0)
    assert wcs.scale_arcsec == pytest.approx(2.0)
    assert wcs.rotation_deg == pytest.approx(0.0)
    assert wcs.parity == -1
    assert wcs.flipped(200).parity == 1
    turned = Wcs(wcs.crval_deg, wcs.crpix0, np.array([[0.0, 2.0], [2.0, 0.0]]) / 3600.0)
    assert turned.rotation_deg == pytest.approx(90.0)  # y points east
    ra, dec = turned.to_sky(100.0, 101.0)
    assert ra > 30.0 and dec == pytest.approx(20.0, abs=1e-6)


def test_a_crop_a_finer_grid_and_a_flip_keep_every_point_in_its_place() -> None:
    wcs = wcs_at(123.0, 89.7, sip=distorted().with_inverse((539.2, 960.7), 1080, 1920))
    x, y = pixels()
    place = wcs.to_sky(x, y)
    for other in (
        wcs.shifted(-12.5, 40.0).to_sky(x + 12.5, y - 40.0),
        wcs.scaled(2.0).to_sky(2 * x + 0.5, 2 * y + 0.5),
        wcs.flipped(1920).to_sky(x, 1919 - y),
        wcs.flipped(1920).flipped(1920).to_sky(x, y),
    ):
        assert separation_deg(*place, *other).max() * 3600 < 1e-8
    finer = wcs.scaled(2.0)
    assert finer.sip is not None and finer.sip.ap is not None
    u, v = 2 * x + 0.5, 2 * y + 0.5
    assert np.abs(np.stack(back_and_forth(finer, u, v)) - [u, v]).max() < 0.04


def test_points_off_the_plane_have_no_pixel() -> None:
    for sip in (None, distorted()):
        x, _ = wcs_at(10.0, 41.0, sip=sip).to_pixels(np.array([190.0, 10.0]), np.array([-41.0, 41.0]))
        assert np.isnan(x[0]) and np.isfinite(x[1])


def test_a_grid_knows_its_centre_its_reach_and_what_it_holds() -> None:
    grid = SkyGrid(wcs_at(0.0, 89.9), 1080, 1920)
    ra, dec = grid.outline()
    assert separation_deg(ra, dec, *grid.centre_deg).max() == pytest.approx(grid.radius_deg)
    half_diagonal = np.hypot(1080, 1920) / 2 * 2.37 / 3600
    assert grid.radius_deg == pytest.approx(half_diagonal, rel=1e-3)
    x, y = np.array([-0.4, -0.6, 500.0, np.nan]), np.array([0.0, 0.0, 1919.4, 3.0])
    assert grid.holds(x, y).tolist() == [True, False, True, False]
    assert grid.holds(x, y, margin_px=1.0).tolist() == [False, False, False, False]
    cards = {keyword: value for keyword, value, _ in grid.cards()}
    assert (cards["RA"], cards["DEC"]) == grid.centre_deg


def test_the_centre_in_hours_and_degrees_carries_over() -> None:
    grid = SkyGrid(Wcs((359.9999999, -0.00001), (0.0, 0.0), np.diag([-1.0, 1.0]) / 3600.0), 1, 1)
    cards = {keyword: value for keyword, value, _ in grid.cards()}
    assert cards["OBJCTRA"] == "00 00 00.00"
    assert cards["OBJCTDEC"] == "-00 00 00.0"


@pytest.mark.parametrize("place", PLACES)
def test_projection_and_its_inverse_agree(place: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    xi, eta = rng.uniform(-5, 5, (2, 400))
    ra, dec = deproject(xi, eta, *place)
    assert np.abs(np.stack(project(ra, dec, *place)) - [xi, eta]).max() < 1e-9
    distance = np.degrees(np.arctan(np.radians(np.hypot(xi, eta))))
    assert separation_deg(ra, dec, *place) == pytest.approx(distance, abs=1e-9)


def test_vectors_and_directions_are_inverse_and_separations_exact() -> None:
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 360, 500), np.degrees(np.arcsin(rng.uniform(-1, 1, 500)))
    back_ra, back_dec = directions(unit_vectors(ra, dec))
    assert separation_deg(ra, dec, back_ra, back_dec).max() < 1e-12
    assert separation_deg(10.0, 20.0, 10.0, 20.0 + 1e-7) == pytest.approx(1e-7, rel=1e-6)
    assert separation_deg(10.0, 20.0, 190.0, -20.0) == pytest.approx(180.0)


def test_proper_motion_moves_by_the_years_it_is_given_even_at_the_pole() -> None:
    ra, dec = move(np.array([100.0, 40.0]), np.array([90.0, -45.0]), np.full(2, 3000.0), np.full(2, -4000.0), 20.0)
    moved = separation_deg(ra, dec, np.array([100.0, 40.0]), np.array([90.0, -45.0])) * 3600
    assert moved == pytest.approx([100.0, 100.0], rel=1e-6)
    assert dec[1] == pytest.approx(-45.0 - 80.0 / 3600, abs=1e-5)


@pytest.mark.parametrize("year", [1900.0, 2000.0, 2025.23, 2100.0])
def test_precession_is_that_of_the_iau(year: float) -> None:
    matrix = erfa.pmat06(2451545.0, (year - 2000.0) * 365.25)
    rng = np.random.default_rng(4)
    ra, dec = rng.uniform(0, 360, 50), rng.uniform(-90, 90, 50)
    of_date = directions(unit_vectors(ra, dec) @ matrix.T)
    assert separation_deg(*precess_to_icrs(*of_date, year), ra, dec).max() * 3600 < 1e-6


def test_catalogue_stars_are_ordered_by_vt_or_bt() -> None:
    nan = np.nan
    stars = CatalogueStars(
        np.arange(3.0), np.zeros(3), np.array([5.0, nan, 7.0], np.float32), np.array([6.0, 6.5, nan], np.float32)
    )
    assert stars.mag.tolist() == [5.0, 6.5, 7.0]
    assert len(stars.brightest(2)) == 2 and len(CatalogueStars.empty()) == 0
    assert stars.take(stars.mag > 6).ra_deg.tolist() == [1.0, 2.0]


def wide_at(ra: float, dec: float) -> Wcs:
    """A canvas in equal area, turned, of one minute of arc a pixel."""
    c, s = np.cos(np.radians(20.0)), np.sin(np.radians(20.0))
    return Wcs((ra, dec), (5999.5, 6100.25), np.array([[-c, s], [s, c]]) / 60.0, None, "ZEA")


def sky_within(reach_deg: float, ra: float, dec: float) -> tuple[np.ndarray, np.ndarray]:
    """Directions spread over a cap, its rim and its centre among them."""
    rng = np.random.default_rng(5)
    z = np.concatenate(
        [[0.0, 1e-9, 1e-4], np.radians(rng.uniform(0, reach_deg, 3000)), np.full(50, reach_deg / 57.2958)]
    )
    angle = rng.uniform(0, 2 * np.pi, len(z))
    local = np.stack([np.sin(z) * np.sin(angle), np.sin(z) * np.cos(angle), np.cos(z)], axis=1)
    return directions(local @ tangent_frame(ra, dec))


@pytest.mark.parametrize("place", PLACES)
def test_equal_area_agrees_with_astropy_over_most_of_the_sky(place: tuple[float, float]) -> None:
    wcs = wide_at(*place)
    ra, dec = sky_within(120.0, *place)
    x, y = wcs.to_pixels(ra, dec)
    theirs = astropy_of(wcs).all_world2pix(ra, dec, 0)
    assert np.abs(np.stack([x, y]) - theirs).max() < 1e-9
    back = np.stack(wcs.to_pixels(*astropy_of(wcs).all_pix2world(x, y, 0)))
    assert np.abs(back - [x, y]).max() < 1e-9
    again = np.stack(wcs.to_pixels(*wcs.to_sky(x, y)))
    assert np.abs(again - [x, y]).max() < 1e-9
    assert separation_deg(*wcs.to_sky(x, y), ra, dec).max() < 1e-12


def test_equal_area_ends_at_the_opposite_point_and_at_the_rim_of_the_sphere() -> None:
    x, y = project_equal_area(190.0, -20.0, 10.0, 20.0)
    assert np.isnan(x) and np.isnan(y)
    assert np.isfinite(np.stack(project_equal_area(190.5, -20.0, 10.0, 20.0))).all()
    assert np.isnan(np.stack(deproject_equal_area(np.degrees(2.001), 0.0, 10.0, 20.0))).all()
    ra, dec = deproject_equal_area(0.0, np.degrees(2.0), 10.0, 20.0)
    assert separation_deg(ra, dec, 190.0, -20.0) < 1e-5


def test_equal_area_cards_read_back_and_a_distortion_does_not_go_with_it() -> None:
    wcs = wide_at(10.0, 41.0)
    read = Wcs.from_header(Header(list(format_cards(wcs.cards()))))
    assert read.projection == "ZEA" and read.crval_deg == wcs.crval_deg and np.array_equal(read.cd, wcs.cd)
    kept = wcs.shifted(3.0, 4.0).scaled(2.0).flipped(100)
    assert kept.projection == "ZEA"
    x, y = np.array([7000.0, 9000.0]), np.array([8000.0, 12000.0])
    assert np.abs(np.stack(kept.flipped(100).to_sky(2.0 * x - 5.5, 2.0 * y - 7.5)) - wcs.to_sky(x, y)).max() < 1e-9
    with pytest.raises(BadInput, match="goes with TAN"):
        Wcs((0.0, 0.0), (0.0, 0.0), wcs.cd, distorted(), "ZEA")
    with pytest.raises(BadInput, match="not known"):
        Wcs((0.0, 0.0), (0.0, 0.0), wcs.cd, None, "SIN")


@pytest.mark.parametrize(
    ("wcs", "reach"),
    [(wcs_at(10.0, 41.0, sip=distorted()), 1.0), (wcs_at(0.0, 89.9), 20.0), (wide_at(10.0, 41.0), 4.0)],
)
def test_the_area_of_a_pixel_is_that_between_its_edges(wcs: Wcs, reach: float) -> None:
    x, y = (reach * (at - at.mean()) + at0 for at, at0 in zip(pixels(), wcs.crpix0, strict=True))
    one, other = unit_vectors(*wcs.to_sky(x - 0.5, y)), unit_vectors(*wcs.to_sky(x + 0.5, y))
    low, high = unit_vectors(*wcs.to_sky(x, y - 0.5)), unit_vectors(*wcs.to_sky(x, y + 0.5))
    area = np.linalg.norm(np.cross(other - one, high - low), axis=1) * np.degrees(3600.0) ** 2
    assert np.abs(wcs.pixel_area_arcsec2(x, y) / area - 1.0).max() < 1e-7
    if wcs.projection == "ZEA":
        assert np.abs(wcs.pixel_area_arcsec2(x, y) / 3600.0 - 1.0).max() < 1e-12
        assert np.isnan(wcs.pixel_area_arcsec2(-2000.0, -2000.0))


def test_a_canvas_comes_from_a_header_with_a_size() -> None:
    cards: dict[str, object] = {keyword: value for keyword, value, _ in wide_at(10.0, 41.0).cards()}
    grid = SkyGrid.from_header(cards | {"NAXIS1": 300, "NAXIS2": 200})
    assert (grid.width, grid.height, grid.wcs.projection) == (300, 200, "ZEA")
    with pytest.raises(BadInput, match="no size"):
        SkyGrid.from_header(cards | {"NAXIS1": 0, "NAXIS2": 200})
    with pytest.raises(BadInput, match="no size"):
        SkyGrid.from_header(cards)


def test_a_tangent_frame_points_east_north_and_out() -> None:
    east, north, out = tangent_frame(30.0, 60.0)
    assert np.abs(out - unit_vectors(30.0, 60.0)).max() < 1e-15
    assert np.abs(np.cross(out, east) - north).max() < 1e-15
    assert north[2] == pytest.approx(0.5) and east[2] == 0.0
