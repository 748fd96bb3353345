"""Star lists placed on the sky: around a hint, anywhere, and never in the wrong place."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from skyquilt.core import Stars
from skyquilt.core.sky import separation_deg
from skyquilt.io.catalogue import open_catalogue
from skyquilt.steps.solve import STARS_A_CELL, Hints, NoSolution, SkyIndex, Solution, build_index, solve_stars
from skyquilt.testing.fields import PLACES, Field, FieldFaults, make_field, offset_place, random_list

CATALOGUE = open_catalogue()
NORTH = 55.0  # the quick tests of the blind search build the index of the sky north of this declination alone


@cache
def northern_index() -> SkyIndex:
    stars = CATALOGUE.cone(0.0, 90.0, 90.0 - NORTH, epoch_year=2020.0)
    column = np.floor(stars.ra_deg * np.cos(np.radians(np.floor(stars.dec_deg)))).astype(np.int64)
    cell = np.floor(stars.dec_deg).astype(np.int64) * 1000 + column
    order = np.argsort(cell, kind="stable")
    start = np.searchsorted(cell[order], cell[order])
    kept = np.sort(order[np.arange(len(order)) - start < STARS_A_CELL])
    return build_index(stars.take(kept))


@cache
def whole_index() -> SkyIndex:
    return build_index(CATALOGUE.brightest_of_cells(STARS_A_CELL, epoch_year=2020.0))


def hinted(field: Field, seed: int, *, away_deg: float = 2.0, wrong_scale: float = 1.05) -> Hints:
    return Hints(
        places=(offset_place(field.grid.centre_deg, away_deg, seed),),
        scale_arcsec=field.grid.wcs.scale_arcsec * (wrong_scale if seed % 2 else 1 / wrong_scale),
        epoch_year=field.epoch_year,
    )


def miss_px(found: Solution, field: Field) -> float:
    """Largest distance between where the solution and the truth put the corners and the centre, px."""
    h, w = field.shape
    x, y = np.array([0, w - 1, 0, w - 1, w / 2]), np.array([0, 0, h - 1, h - 1, h / 2])
    apart = separation_deg(*found.wcs.to_sky(x, y), *field.grid.wcs.to_sky(x, y))
    return float(apart.max()) * 3600 / field.grid.wcs.scale_arcsec


def check_solved(found: Solution | NoSolution, field: Field) -> None:
    assert isinstance(found, Solution), found
    assert miss_px(found, field) < 0.5
    assert found.rms_px <= 0.2
    assert found.wcs.parity == field.grid.wcs.parity


# --- with hints


@pytest.mark.parametrize("place", PLACES)
def test_fields_where_solvers_stumble_are_solved(place: tuple[float, float]) -> None:
    field = make_field(CATALOGUE, 5, place=place)
    check_solved(solve_stars(field.stars, field.shape, hinted(field, 5), CATALOGUE), field)


@pytest.mark.parametrize("seed", range(30))
def test_fields_anywhere_are_solved_from_a_hint_two_degrees_off(seed: int) -> None:
    field = make_field(CATALOGUE, seed)
    check_solved(solve_stars(field.stars, field.shape, hinted(field, seed), CATALOGUE), field)


@pytest.mark.long
def test_of_many_fields_with_hints_all_but_one_in_a_hundred_are_solved() -> None:
    n, failed, rms = 600, 0, []
    for seed in range(1000, 1000 + n):
        field = make_field(CATALOGUE, seed, place=PLACES[seed % len(PLACES)] if seed % 10 == 0 else None)
        found = solve_stars(field.stars, field.shape, hinted(field, seed), CATALOGUE)
        if isinstance(found, NoSolution):
            failed += 1
            continue
        assert miss_px(found, field) < 1.0
        rms.append(found.rms_px)
    assert failed <= n // 100
    assert max(rms) <= 0.2


def test_a_hint_without_scale_is_enough() -> None:
    field = make_field(CATALOGUE, 3, shorter_side_deg=0.9)
    hints = Hints(places=(offset_place(field.grid.centre_deg, 0.5, 1),), epoch_year=field.epoch_year)
    check_solved(solve_stars(field.stars, field.shape, hints, CATALOGUE), field)


def test_stars_are_looked_for_where_they_are_at_the_epoch_of_the_frame() -> None:
    # 61 Cygni moves by 5.2 arcsec a year
    field = make_field(CATALOGUE, 2, place=(316.75, 38.76), shorter_side_deg=0.8, faults=FieldFaults(0, 0, 0, 0, 0.02))
    found = solve_stars(field.stars, field.shape, hinted(field, 1), CATALOGUE)
    check_solved(found, field)
    assert isinstance(found, Solution)
    assert float(separation_deg(found.catalogue.ra_deg, found.catalogue.dec_deg, 316.7613, 38.7702).min()) < 0.01


@pytest.mark.parametrize("corner_px", [6.0, 25.0])
def test_distortion_is_fitted_where_stars_carry_it(corner_px: float) -> None:
    faults = FieldFaults(distortion_px=corner_px, spurious=0.1)
    field = make_field(CATALOGUE, 8, place=(300.0, 35.0), shorter_side_deg=1.6, faults=faults)
    found = solve_stars(field.stars, field.shape, hinted(field, 1, away_deg=0.3, wrong_scale=1.02), CATALOGUE)
    assert isinstance(found, Solution)
    assert found.model == "polynomial"
    assert found.wcs.sip is not None
    assert found.wcs.sip.ap is not None
    assert miss_px(found, field) < 0.6
    assert found.rms_px <= 0.2


def test_no_distortion_is_believed_from_a_handful_of_stars() -> None:
    field = make_field(CATALOGUE, 4, place=(192.86, 27.13), shorter_side_deg=0.8)
    found = solve_stars(field.stars, field.shape, hinted(field, 1), CATALOGUE)
    assert isinstance(found, Solution)
    assert found.wcs.sip is None


def test_pixels_that_are_not_square_are_no_obstacle() -> None:
    field = make_field(CATALOGUE, 6, place=(280.0, 10.0), shorter_side_deg=0.9)
    squeezed = Stars(*(getattr(field.stars, name) for name in ("x",)), field.stars.y / 1.03, *rest_of(field.stars))
    hints = hinted(field, 1, away_deg=0.5, wrong_scale=1.0)
    found = solve_stars(squeezed, (int(field.shape[0] / 1.03), field.shape[1]), hints, CATALOGUE)
    assert isinstance(found, Solution)
    assert found.rms_px <= 0.2
    sides = np.hypot(found.wcs.cd[0], found.wcs.cd[1])
    assert sides[1] / sides[0] == pytest.approx(1.03, abs=0.002)


def rest_of(stars: Stars) -> list[np.ndarray]:
    names = ("position_error", "flux", "flux_error", "peak", "fwhm", "eccentricity", "is_saturated")
    return [getattr(stars, name) for name in names]


def test_matched_pairs_belong_together() -> None:
    field = make_field(CATALOGUE, 7)
    found = solve_stars(field.stars, field.shape, hinted(field, 1), CATALOGUE)
    assert isinstance(found, Solution)
    assert len(found.pairs) == len(found.catalogue) == len(found.residual_px) == found.n_matched
    x, y = found.wcs.to_pixels(found.catalogue.ra_deg, found.catalogue.dec_deg)
    apart = np.hypot(field.stars.x[found.pairs] - x, field.stars.y[found.pairs] - y)
    assert apart.max() < 1.0
    assert np.sqrt(np.mean(apart**2) / 2) == pytest.approx(found.rms_px, rel=0.05)


def test_the_same_list_gives_the_same_bits() -> None:
    field = make_field(CATALOGUE, 9)
    first, second = (solve_stars(field.stars, field.shape, hinted(field, 1), CATALOGUE) for _ in range(2))
    assert isinstance(first, Solution)
    assert isinstance(second, Solution)
    assert np.array_equal(first.wcs.cd, second.wcs.cd)
    assert first.wcs.crval_deg == second.wcs.crval_deg


# --- without hints


@pytest.mark.parametrize("seed", range(12))
def test_northern_fields_are_solved_without_any_hint(seed: int) -> None:
    rng = np.random.default_rng(seed)
    place = (float(rng.uniform(0, 360)), float(rng.uniform(NORTH + 3.0, 90.0)))
    field = make_field(CATALOGUE, seed, place=place)
    found = solve_stars(field.stars, field.shape, Hints(epoch_year=2025.3), CATALOGUE, northern_index)
    check_solved(found, field)
    assert isinstance(found, Solution)
    assert found.found_by == "blind"


@pytest.mark.long
def test_of_many_fields_without_hints_nearly_all_are_solved() -> None:
    n, failed = 300, 0
    for seed in range(2000, 2000 + n):
        field = make_field(CATALOGUE, seed)
        found = solve_stars(field.stars, field.shape, Hints(epoch_year=2025.3), CATALOGUE, whole_index)
        if isinstance(found, NoSolution):
            failed += 1
        else:
            assert miss_px(found, field) < 1.0
    assert failed <= n // 50


@pytest.mark.long
@pytest.mark.parametrize("side", [8.0, 14.0])
def test_wide_fields_are_solved_without_hints(side: float) -> None:
    solved = 0
    for seed in range(12):
        field = make_field(CATALOGUE, seed, shorter_side_deg=side, faults=FieldFaults(deeper=0.0))
        found = solve_stars(field.stars, field.shape, Hints(epoch_year=2025.3), CATALOGUE, whole_index)
        solved += isinstance(found, Solution) and miss_px(found, field) < 1.5
    assert solved >= 10


def test_wrong_hints_are_left_behind_and_told() -> None:
    field = make_field(CATALOGUE, 1, place=(20.0, 70.0), shorter_side_deg=1.0)
    hints = Hints(places=((200.0, 60.0),), scale_arcsec=2.2 * field.grid.wcs.scale_arcsec, epoch_year=2025.3)
    found = solve_stars(field.stars, field.shape, hints, CATALOGUE, northern_index)
    check_solved(found, field)
    assert isinstance(found, Solution)
    told = " ".join(found.notes)
    assert "the stars say" in told
    assert "degrees from where it was said to point" in told


def test_two_directions_that_disagree_are_both_tried_and_told() -> None:
    field = make_field(CATALOGUE, 2, place=(20.0, -30.0))
    right = offset_place(field.grid.centre_deg, 0.2, 1)
    hints = Hints(places=((140.0, 5.0), right), scale_arcsec=field.grid.wcs.scale_arcsec, epoch_year=2025.3)
    found = solve_stars(field.stars, field.shape, hints, CATALOGUE)
    check_solved(found, field)
    assert isinstance(found, Solution)
    assert any("the stars agree with one of them" in note for note in found.notes)


def test_a_place_that_binds_is_not_left() -> None:
    field = make_field(CATALOGUE, 1, place=(20.0, 70.0), shorter_side_deg=1.0)
    hints = Hints(places=((200.0, 60.0),), radius_deg=3.0, place_binds=True, epoch_year=2025.3)
    found = solve_stars(field.stars, field.shape, hints, CATALOGUE, northern_index)
    assert isinstance(found, NoSolution)
    assert "within 3 degrees of RA 200.00, Dec +60.00" in found.reason


def test_a_scale_that_binds_is_kept() -> None:
    field = make_field(CATALOGUE, 1, place=(20.0, 70.0), shorter_side_deg=1.0)
    scale = field.grid.wcs.scale_arcsec
    for factor, solves in ((1.04, True), (2.0, False)):
        hints = Hints(scale_arcsec=factor * scale, scale_tolerance=0.1, scale_binds=True, epoch_year=2025.3)
        found = solve_stars(field.stars, field.shape, hints, CATALOGUE, northern_index)
        assert isinstance(found, Solution) == solves


# --- what is no field of stars


@pytest.mark.parametrize(("n_stars", "words"), [(0, "shows no star"), (1, "shows 1 star"), (5, "shows 5 stars")])
def test_too_few_stars_are_a_reason(n_stars: int, words: str) -> None:
    found = solve_stars(random_list(1, n_stars, 1000, 800), (800, 1000), Hints(), CATALOGUE)
    assert isinstance(found, NoSolution)
    assert words in found.reason
    assert found.figures["n_stars"] == n_stars


def test_trails_are_a_reason() -> None:
    stars = random_list(1, 80, 1000, 800)
    trailed = Stars(stars.x, stars.y, *rest_of(stars)[:5], np.full(80, 0.98), stars.is_saturated)
    found = solve_stars(trailed, (800, 1000), Hints(places=((10.0, 20.0),), scale_arcsec=2.4), CATALOGUE)
    assert isinstance(found, NoSolution)
    assert "trails" in found.reason


def test_a_field_too_small_for_the_catalogue_is_a_reason() -> None:
    hints = Hints(places=((192.86, 27.13),), scale_arcsec=0.3)
    found = solve_stars(random_list(1, 60, 1000, 800), (800, 1000), hints, CATALOGUE)
    assert isinstance(found, NoSolution)
    assert "deeper catalogue" in found.reason


def test_without_any_hint_and_without_the_index_nothing_is_claimed() -> None:
    found = solve_stars(random_list(1, 60, 1000, 800), (800, 1000), Hints(), CATALOGUE)
    assert isinstance(found, NoSolution)
    assert "nothing tells where" in found.reason


@pytest.mark.parametrize("seed", range(20))
def test_points_that_are_no_stars_are_not_solved(seed: int) -> None:
    check_unsolved(seed, None)


@pytest.mark.parametrize("seed", range(6))
def test_points_that_are_no_stars_are_not_solved_anywhere(seed: int) -> None:
    check_unsolved(seed, northern_index)


@pytest.mark.long
def test_ten_thousand_random_lists_give_no_solution() -> None:
    """Nine in ten are looked for around a place, one in ten over the whole sky at any scale."""
    for seed in range(10_000):
        check_unsolved(seed, whole_index if seed % 10 == 0 else None)


def check_unsolved(seed: int, index: object) -> None:
    rng = np.random.default_rng(seed)
    n_stars = int(np.exp(rng.uniform(np.log(6), np.log(100))))
    height, width = ((1920, 1080), (1000, 1000), (2160, 3840))[rng.integers(3)]
    place = (float(rng.uniform(0, 360)), float(np.degrees(np.arcsin(rng.uniform(-1, 1)))))
    hints = Hints()
    if index is None:
        hints = Hints(places=(place,), scale_arcsec=float(rng.uniform(1, 6)), scale_binds=True)
    stars = random_list(seed, n_stars, width, height)
    found = solve_stars(stars, (height, width), hints, CATALOGUE, index)  # type: ignore[arg-type]
    assert isinstance(found, NoSolution)


@pytest.mark.parametrize("step", [40.0, 90.0])
def test_a_lattice_of_detections_is_not_solved(step: float) -> None:
    """Hot columns and reflections come in lattices, whose triangles are all alike."""
    x, y = np.meshgrid(np.arange(50.0, 950.0, step), np.arange(50.0, 950.0, step))
    one = np.ones(x.size)
    stars = Stars(x.ravel(), y.ravel(), 0.1 * one, one, one, one, one, 0 * one, one < 0)
    hints = Hints(places=((305.0, 40.0),), scale_arcsec=4.0)
    assert isinstance(solve_stars(stars, (1000, 1000), hints, CATALOGUE, northern_index), NoSolution)
