"""Frames of many pointings laid on one sky: against the truth, at every place, with wrong stars and wrong frames."""

from __future__ import annotations

import time
from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
from mosaic_frames import (
    Mosaic,
    Sky,
    disagreement_px,
    distortion,
    grid_of_pointings,
    make_mosaic,
    make_sky,
    misses_px,
    rms,
    shifted_wcs,
    with_frame,
)

from skyquilt.core import CatalogueStars, Stars
from skyquilt.core.sky import deproject, separation_deg, unit_vectors
from skyquilt.errors import BadInput, NoUsableInput, UsageError
from skyquilt.steps.mosaic import AstroSettings, AstroSolution, solve_astrometry
from skyquilt.steps.mosaic.astrometry_maps import Devices, columns, given_maps, tangent_basis
from skyquilt.steps.mosaic.astrometry_normal import eliminate_stars, solve_frames
from skyquilt.steps.mosaic.astrometry_rounds import linear_equations, settle
from skyquilt.steps.mosaic.astrometry_state import Problem, State, Tied, count_stars, groups_of_frames
from skyquilt.steps.mosaic.astrometry_sums import Equations
from skyquilt.steps.mosaic.astrometry_ties import Points, group_points, match_ties, pick_points
from skyquilt.steps.mosaic.astrometry_weights import Weights, weigh

OVERLAP_PX, ABSOLUTE_PX = 0.05, 0.1


def shaken(stars: Stars, error_px: float, rng: np.random.Generator) -> Stars:
    """Return stars with errors that they do not state."""
    x, y = rng.normal(0.0, error_px, (2, len(stars)))
    return replace(stars, x=stars.x + x, y=stars.y + y)


@cache
def nine_pointings(ra: float, dec: float) -> Mosaic:
    sky = make_sky(1, ra, dec, 2.5)
    return make_mosaic(sky, grid_of_pointings(ra, dec, 3, 3, 0.55, 1.0), 6, 2)


@cache
def solved_nine(ra: float, dec: float) -> AstroSolution:
    return solve_astrometry(nine_pointings(ra, dec).frames)


@pytest.mark.parametrize("place", [(150.0, 30.0), (10.0, 86.0), (200.0, 90.0), (0.0, -5.0), (77.0, -90.0)])
def test_frames_agree_with_each_other_and_with_the_truth(place: tuple[float, float]) -> None:
    mosaic, solution = nine_pointings(*place), solved_nine(*place)
    misses = misses_px(mosaic, solution)
    assert disagreement_px(mosaic, solution) <= OVERLAP_PX
    assert rms(misses.values()) <= ABSOLUTE_PX
    assert max(rms([miss]) for miss in misses.values()) <= ABSOLUTE_PX
    assert not solution.left_out
    assert len(solution.components) == 1 and solution.components[0].is_anchored


def test_frames_were_further_apart_before() -> None:
    """What the solution is worth: the same measures on the coordinates that the frames came with."""
    mosaic = nine_pointings(150.0, 30.0)
    before = solve_astrometry(mosaic.frames)
    given = replace(
        before, frames=tuple(replace(f, wcs=g.wcs) for f, g in zip(before.frames, mosaic.frames, strict=True))
    )
    assert disagreement_px(mosaic, given) > 10 * OVERLAP_PX
    assert rms(misses_px(mosaic, given).values()) > 4 * ABSOLUTE_PX


def test_a_strip_of_twenty_degrees_stays_straight() -> None:
    places = [tuple(float(v) for v in deproject(0.6 * k - 10.0, 0.0, 355.0, 60.0)) for k in range(34)]
    sky = make_sky(4, 355.0, 60.0, 11.5)
    mosaic = make_mosaic(sky, places, 2, 5, turn_deg=10.0)
    solution = solve_astrometry(mosaic.frames)
    assert len(solution.components) == 1
    assert disagreement_px(mosaic, solution, n=60_000) <= OVERLAP_PX
    assert rms(misses_px(mosaic, solution).values()) <= ABSOLUTE_PX


def test_coordinates_are_tangent_at_the_centre_with_the_distortion_of_the_device() -> None:
    solution = solved_nine(150.0, 30.0)
    (device,) = solution.devices
    assert device.order == 3 and device.sip is not None and device.sip.ap is not None
    for frame in solution.frames:
        assert frame.wcs.crpix0 == (539.5, 959.5)
        assert frame.wcs.sip is device.sip
        ra, dec = frame.wcs.to_sky(539.5, 959.5)
        assert separation_deg(ra, dec, *frame.wcs.crval_deg) * 3600 < 1e-6


def test_figures_are_those_of_the_residuals() -> None:
    solution = solved_nine(150.0, 30.0)
    assert 0.04 < solution.rms_px < 0.11  # errors of 0.05 to 0.2 px, most of the weight on the better ones
    assert 0.05 < solution.rms_catalogue_arcsec < 0.1  # 0.08 was put in
    (device,) = solution.devices
    assert device.residual_map_px.shape == (2, 12, 7)
    assert device.residual_count.sum() == device.n_observations == solution.n_observations
    # cells of about 90 stars: the mean of residuals of 0.07 px; nothing is left of 1 px of distortion
    assert np.nanmax(np.abs(device.residual_map_px[:, device.residual_count > 30])) < 0.05
    for frame in solution.frames:
        assert frame.n_ties > 60 and frame.n_catalogue > 20
        assert frame.rms_px < 0.15 and frame.rms_catalogue_px < 0.15


def test_a_distortion_that_is_not_solved_for_shows_in_the_map() -> None:
    mosaic = nine_pointings(150.0, 30.0)
    solution = solve_astrometry(mosaic.frames, AstroSettings(most_order=0))
    (device,) = solution.devices
    assert device.sip is None and device.order == 0
    assert np.nanmax(np.abs(device.residual_map_px)) > 0.2
    assert rms(misses_px(mosaic, solution).values()) > ABSOLUTE_PX


def test_no_distortion_is_believed_where_there_is_none() -> None:
    sky = make_sky(1, 150.0, 30.0, 2.0)
    mosaic = make_mosaic(sky, grid_of_pointings(150.0, 30.0, 2, 2, 0.55, 1.0), 5, 3, sip=distortion(1e-9))
    solution = solve_astrometry(mosaic.frames)
    assert solution.devices[0].order == 0
    assert rms(misses_px(mosaic, solution).values()) <= ABSOLUTE_PX / 2


def test_the_order_of_the_frames_does_not_matter() -> None:
    mosaic, first = nine_pointings(150.0, 30.0), solved_nine(150.0, 30.0)
    order = np.random.default_rng(8).permutation(len(mosaic.frames))
    again = solve_astrometry([mosaic.frames[k] for k in order])
    for place, k in enumerate(order):
        one, other = first.frames[k], again.frames[place]
        assert one.key == other.key
        assert one.wcs.crval_deg == other.wcs.crval_deg
        np.testing.assert_array_equal(one.wcs.cd, other.wcs.cd)
        assert (one.n_ties, one.n_catalogue, one.rms_px, one.reason) == (
            other.n_ties,
            other.n_catalogue,
            other.rms_px,
            other.reason,
        )


def test_frames_without_catalogue_stars_are_held_by_their_neighbours() -> None:
    mosaic = nine_pointings(150.0, 30.0)
    none = np.zeros(0, np.int64)
    frames = [
        replace(frame, catalogue_index=none, catalogue=CatalogueStars.empty()) if k % 3 else frame
        for k, frame in enumerate(mosaic.frames)
    ]
    solution = solve_astrometry(frames)
    assert disagreement_px(mosaic, solution) <= OVERLAP_PX
    assert rms(misses_px(mosaic, solution).values()) <= ABSOLUTE_PX
    assert not solution.left_out


def test_an_island_without_catalogue_stars_stays_where_it_was_given() -> None:
    sky = make_sky(1, 150.0, 30.0, 2.5)
    shore = make_mosaic(sky, grid_of_pointings(150.0, 29.0, 2, 1, 0.55, 1.0), 4, 3, name="shore")
    island = make_mosaic(sky, grid_of_pointings(150.0, 31.4, 2, 1, 0.55, 1.0), 4, 4, name="island", known=False)
    both = Mosaic(shore.frames + island.frames, shore.truth | island.truth, sky)
    solution = solve_astrometry(both.frames)
    assert [component.is_anchored for component in solution.components] == [False, True]  # by size, then by name
    assert solution.components[0].n_catalogue == 0
    assert {solution.frames[-1].component, solution.frames[0].component} == {0, 1}
    assert not solution.left_out
    assert disagreement_px(both, solution) <= OVERLAP_PX
    misses = misses_px(both, solution)
    assert rms(misses[f.key] for f in shore.frames) <= ABSOLUTE_PX
    # each of the 8 came with an error of 0.4 px a axis: their mean, and the distortion that the other frames told
    assert rms(misses[f.key] for f in island.frames) <= 0.6
    assert rms(misses[f.key] for f in island.frames) < rms(
        misses_px(
            island,
            replace(
                solution,
                frames=tuple(replace(s, wcs=f.wcs) for s, f in zip(solution.frames[8:], island.frames, strict=True)),
            ),
        ).values()
    )


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("off_px", [5.0, 20.0])
def test_a_frame_that_came_some_pixels_off_is_found_again(known: bool, off_px: float) -> None:
    mosaic = nine_pointings(150.0, 30.0)
    frame = mosaic.frames[20]
    changes = {} if known else {"catalogue_index": frame.catalogue_index[:0], "catalogue": CatalogueStars.empty()}
    moved = with_frame(mosaic, 20, wcs=shifted_wcs(frame.wcs, 0.8 * off_px, -0.6 * off_px), **changes)
    solution = solve_astrometry(moved.frames)
    assert not solution.left_out
    assert abs(solution.frames[20].moved_px - off_px) < 2.0
    assert rms([misses_px(moved, solution)[frame.key]]) <= ABSOLUTE_PX
    assert disagreement_px(moved, solution) <= OVERLAP_PX


@pytest.mark.parametrize("together", [True, False])
def test_six_frames_of_one_place_that_came_off_are_brought_back(together: bool) -> None:
    """Together: one was placed wrongly and five were registered to it. The catalogue knows none of them."""
    mosaic = nine_pointings(150.0, 30.0)
    moved = mosaic
    for k in range(24, 30):
        frame = mosaic.frames[k]
        there = deproject(40.0 / 3600.0, -20.0 / 3600.0, *frame.wcs.crval_deg)
        off = replace(frame.wcs, crval_deg=(float(there[0]), float(there[1])))
        moved = with_frame(
            moved,
            k,
            wcs=off if together else shifted_wcs(frame.wcs, 15.0, -8.0),
            catalogue_index=frame.catalogue_index[:0],
            catalogue=CatalogueStars.empty(),
        )
    solution = solve_astrometry(moved.frames)
    assert len(solution.components) == 1 and not solution.left_out
    assert disagreement_px(moved, solution) <= OVERLAP_PX
    assert rms(misses_px(moved, solution).values()) <= ABSOLUTE_PX


def test_a_frame_that_came_turned_is_found_again() -> None:
    mosaic = nine_pointings(150.0, 30.0)
    frame = mosaic.frames[20]
    turn = np.array([[1.0, -0.004], [0.004, 1.0]])  # 4 px at the edge
    turned = with_frame(
        mosaic,
        20,
        wcs=replace(frame.wcs, cd=frame.wcs.cd @ turn),
        catalogue_index=frame.catalogue_index[:0],
        catalogue=CatalogueStars.empty(),
    )
    solution = solve_astrometry(turned.frames)
    assert not solution.left_out
    assert rms([misses_px(turned, solution)[frame.key]]) <= ABSOLUTE_PX


def test_a_frame_that_is_somewhere_else_is_named() -> None:
    mosaic = nine_pointings(150.0, 30.0)
    frame = mosaic.frames[20]
    changes = {"catalogue_index": frame.catalogue_index[:0], "catalogue": CatalogueStars.empty()}
    moved = with_frame(mosaic, 20, wcs=shifted_wcs(frame.wcs, 300.0, 200.0), **changes)
    solution = solve_astrometry(moved.frames)
    assert [left.key for left in solution.left_out] == [frame.key]
    assert "stars" in solution.left_out[0].reason
    others = {key: miss for key, miss in misses_px(moved, solution).items() if key != frame.key}
    assert rms(others.values()) <= ABSOLUTE_PX


def test_a_frame_of_smeared_stars_is_named_and_pulls_no_other() -> None:
    mosaic = nine_pointings(150.0, 30.0)
    frame, rng = mosaic.frames[7], np.random.default_rng(3)
    smeared = with_frame(mosaic, 7, stars=shaken(frame.stars, 1.0, rng))
    solution = solve_astrometry(smeared.frames)
    assert [left.key for left in solution.left_out] == [frame.key]
    others = {key: miss for key, miss in misses_px(smeared, solution).items() if key != frame.key}
    assert rms(others.values()) <= ABSOLUTE_PX / 2


def test_two_devices_have_a_distortion_each() -> None:
    sky = make_sky(1, 150.0, 30.0, 3.0)
    first = make_mosaic(sky, grid_of_pointings(150.0, 30.0, 2, 2, 0.55, 1.0), 4, 3, name="s")
    other_sip = distortion(-2.0, (2160, 3840))
    second = make_mosaic(
        sky, [(150.0, 30.0)], 6, 4, name="d", device="dwarf", shape=(2160, 3840), scale=3.0 / 3600.0, sip=other_sip
    )
    both = Mosaic(first.frames + second.frames, first.truth | second.truth, sky)
    solution = solve_astrometry(both.frames)
    assert [device.device for device in solution.devices] == ["dwarf", "seestar"]
    assert [device.order for device in solution.devices] == [3, 3]
    assert disagreement_px(both, solution) <= OVERLAP_PX
    assert rms(misses_px(both, solution).values()) <= ABSOLUTE_PX


def test_errors_beyond_the_stated_ones_are_found() -> None:
    mosaic, rng = nine_pointings(150.0, 30.0), np.random.default_rng(5)
    frames = [replace(frame, stars=shaken(frame.stars, 0.15, rng)) for frame in mosaic.frames]
    solution = solve_astrometry(frames)
    assert 0.13 < solution.devices[0].floor_px < 0.17
    assert rms(misses_px(mosaic, solution).values()) <= ABSOLUTE_PX


def test_leaning_frames_need_the_affine_model() -> None:
    """Refraction at low altitude presses a frame by some parts in a thousand."""
    sky = make_sky(1, 150.0, 30.0, 2.0)
    mosaic = make_mosaic(sky, grid_of_pointings(150.0, 30.0, 2, 2, 0.55, 1.0), 5, 3, lean=5e-4)
    affine = solve_astrometry(mosaic.frames)
    similar = solve_astrometry(mosaic.frames, AstroSettings(model="similarity"))
    assert disagreement_px(mosaic, affine) <= OVERLAP_PX
    assert disagreement_px(mosaic, similar) > 3 * OVERLAP_PX
    upright = make_mosaic(sky, grid_of_pointings(150.0, 30.0, 2, 2, 0.55, 1.0), 5, 3, lean=0.0)
    held = solve_astrometry(upright.frames, AstroSettings(model="similarity"))
    assert disagreement_px(upright, held) <= OVERLAP_PX / 2


def test_one_frame_alone_is_laid_on_its_catalogue_stars() -> None:
    mosaic = nine_pointings(150.0, 30.0)
    one = Mosaic(mosaic.frames[:1], mosaic.truth, mosaic.sky)
    solution = solve_astrometry(one.frames)
    assert solution.frames[0].n_ties == 0 and solution.frames[0].n_catalogue > 20
    assert np.isnan(solution.frames[0].rms_px)
    assert rms(misses_px(one, solution).values()) < 0.5


def test_frames_without_stars_are_named() -> None:
    mosaic = nine_pointings(150.0, 30.0)
    empty = replace(
        mosaic.frames[3],
        stars=mosaic.frames[3].stars.take(slice(0, 0)),
        catalogue_index=np.zeros(0, np.int64),
        catalogue=CatalogueStars.empty(),
    )
    solution = solve_astrometry([*mosaic.frames[:3], empty])
    assert [left.key for left in solution.left_out] == [empty.key]
    assert solution.frames[3].component == -1
    alone = solve_astrometry([empty])
    assert alone.n_observations == 0 and alone.left_out and not alone.components
    ra, dec = empty.wcs.to_sky(539.5, 959.5)
    assert separation_deg(ra, dec, *alone.frames[0].wcs.crval_deg) * 3600 < 0.1


def test_what_cannot_be_meant_is_refused() -> None:
    frames = nine_pointings(150.0, 30.0).frames
    with pytest.raises(NoUsableInput):
        solve_astrometry([])
    with pytest.raises(UsageError, match="two frames"):
        solve_astrometry([frames[0], frames[0]])
    with pytest.raises(BadInput, match="others of it are"):
        solve_astrometry([frames[0], replace(frames[1], width=1000)])
    with pytest.raises(BadInput, match="indices of catalogue stars"):
        solve_astrometry([replace(frames[0], catalogue_index=frames[0].catalogue_index + 10_000)])
    with pytest.raises(BadInput, match="no area"):
        solve_astrometry([replace(frames[0], wcs=replace(frames[0].wcs, cd=np.zeros((2, 2))))])
    for wrong in (
        {"model": "shift"},
        {"most_order": 1},
        {"lean": 0.0},
        {"stars_a_frame": 0},
        {"reach_px": float("nan")},
    ):
        with pytest.raises(UsageError):
            AstroSettings(**wrong)


def test_the_cap_on_observations_bounds_the_stars_of_a_frame() -> None:
    mosaic = nine_pointings(150.0, 30.0)
    solution = solve_astrometry(mosaic.frames, AstroSettings(most_observations=54 * 60))
    assert solution.n_observations <= 54 * 60
    assert rms(misses_px(mosaic, solution).values()) <= ABSOLUTE_PX


# --- inside the room


def small_problem() -> tuple[Tied, State]:
    """Return a settled solution of a few frames of two devices, cut to few stars."""
    sky = make_sky(1, 150.0, 88.0, 1.5, density=60.0, known=20.0)
    first = make_mosaic(sky, [(150.0, 88.0)], 3, 3)
    second = make_mosaic(sky, [(150.0, 88.2)], 2, 4, name="g", device="other", sip=distortion(-1.0))
    frames = first.frames + second.frames
    devices = Devices.of(frames, 2, 6)
    maps, given = given_maps(frames, devices)
    problem = Problem(devices, pick_points(frames, 40), given, np.radians(2.4 / 3600.0), AstroSettings(most_order=2))
    return settle(problem, frames, maps)


def test_the_sparse_solution_is_the_dense_least_squares() -> None:
    """One linear step beside all rows written under each other: weights, priors, stars, frames and distortions."""
    tied, state = small_problem()
    devices, rng = tied.problem.devices, np.random.default_rng(2)
    # away from the solution, with weights of all sizes
    maps = state.maps.moved(devices, rng.normal(0, 0.3, (5, 6)), rng.normal(0, 0.2, (2, 2, 3)))
    weights = replace(
        state.weights, points=rng.uniform(0.0, 300.0, len(tied.frame)) * (rng.random(len(tied.frame)) > 0.1)
    )
    equations = linear_equations(tied, maps, state.stars, weights)
    normal = eliminate_stars(equations, devices, 5)
    nothing = np.zeros((2, 6))
    step = solve_frames(normal, equations, devices, tolerance_px=1e-12, fixed=nothing > 0, fixed_to=nothing)
    rows, side = dense_rows(equations, devices, 5)
    best = np.linalg.lstsq(rows, side, rcond=None)[0]
    np.testing.assert_allclose(step.frames.ravel(), best[:30], atol=1e-7)
    np.testing.assert_allclose(step.sip.ravel(), best[30:42], atol=1e-7)
    total = np.bincount(tied.star, weights.points, minlength=tied.ties.n_stars) + weights.stars
    placed = np.repeat(total > 1e-6, 2)
    np.testing.assert_allclose(step.stars.ravel()[placed], best[42:][placed], atol=1e-7)
    # the gain counts from the best places of the stars at the frames of now
    alone = np.linalg.lstsq(rows[:, 42:], side, rcond=None)[0]
    before = np.sum((rows[:, 42:] @ alone - side) ** 2)
    assert step.gain == pytest.approx(before - np.sum((rows @ best - side) ** 2), rel=1e-9)


def dense_rows(equations: Equations, devices: Devices, n_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the definition of `Equations`, row by row: unknowns of frames, distortions, stars."""
    k, m, n_stars = devices.n_columns, 2 * devices.n_terms, len(equations.star_weight)
    at_sip, at_star = n_frames * k, n_frames * k + len(devices) * m
    rows, side = [], []

    def add(entries: dict[int, float], right: float, weight: float) -> None:
        row = np.zeros(at_star + 2 * n_stars)
        for place, value in entries.items():
            row[place] += np.sqrt(weight) * value
        rows.append(row)
        side.append(np.sqrt(weight) * right)

    for o, (f, s) in enumerate(zip(equations.frame.tolist(), equations.star.tolist(), strict=True)):
        d = devices.of_frame[f]
        u, v = equations.bent_u[o], equations.bent_v[o]
        frame = ([1, 0, u, -v, u, v], [0, 1, v, u, -v, u])
        terms = [equations.u[o] ** i * equations.v[o] ** j for i, j in devices.powers]
        for axis in range(2):
            entries = {f * k + c: frame[axis][c] for c in range(k)}
            entries |= {at_sip + d * m + axis * len(terms) + c: term for c, term in enumerate(terms)}
            entries |= {at_star + 2 * s + c: -equations.jacobian[o, axis, c] for c in range(2)}
            add(entries, equations.residual[o, axis], equations.weight[o])
    for s in range(n_stars):
        for axis in range(2):
            add({at_star + 2 * s + axis: -1.0}, equations.star_residual[s, axis], equations.star_weight[s])
    for f in range(n_frames):
        # the prior holds a frame with what the distortion does of its work (`Devices.linear_part`)
        d = devices.of_frame[f]
        for c in range(k):
            entries = {f * k + c: 1.0} | {at_sip + d * m + e: devices.linear_part[d, c, e] for e in range(m)}
            add(entries, equations.prior[f, c], equations.prior_weight[f, c])
    for d in range(len(devices)):
        for e in range(m):
            add({at_sip + d * m + e: 1.0}, -equations.sip[d, e], 1.0 / 10.0**2)
    return np.array(rows), np.array(side)


def test_the_equations_are_the_slopes_of_the_maps() -> None:
    """Residuals after a small step, by the maps themselves, are those that the linear equations foretell."""
    tied, state = small_problem()
    devices, rng = tied.problem.devices, np.random.default_rng(2)
    frames, sip = rng.normal(0, 1e-3, (5, 6)), rng.normal(0, 1e-3, (2, 2, 3))
    across = rng.normal(0, 1e-3, (tied.ties.n_stars, 2))
    equations = linear_equations(tied, state.maps, state.stars, state.weights)
    moved = state.maps.moved(devices, frames, sip)
    stars = state.stars + tied.problem.unit * np.einsum("sab,sa->sb", tangent_basis(state.stars), across)
    after = linear_equations(tied, moved, stars / np.linalg.norm(stars, axis=1, keepdims=True), state.weights)
    foretold = equations.residual + np.einsum("nab,nb->na", equations.jacobian, across[tied.star])
    design = columns(equations.bent_u, equations.bent_v, 6)
    terms = np.stack([equations.u**i * equations.v**j for i, j in devices.powers], axis=1)
    foretold -= np.einsum("nak,nk->na", design, frames[tied.frame])
    foretold -= np.einsum("nt,nat->na", terms, sip[devices.of_frame[tied.frame]])
    np.testing.assert_allclose(after.residual, foretold, atol=3e-6)
    # and the priors follow the frames: what is still to go, less what was gone
    gone = frames + np.einsum("dkt,dt->dk", devices.linear_part, sip.reshape(2, -1))[devices.of_frame]
    np.testing.assert_allclose(after.prior, equations.prior - gone, atol=2e-5)


def test_the_maps_are_the_coordinates_that_are_given_out() -> None:
    tied, state = small_problem()
    devices = tied.problem.devices
    maps = state.maps.with_sip(np.random.default_rng(6).normal(0.0, 0.5, (2, 2, 3)))
    u, v = (value.ravel() for value in np.meshgrid(np.linspace(-539.5, 539.5, 7), np.linspace(-959.5, 959.5, 9)))
    for frame in range(5):
        sip = maps.sip_of(devices, int(devices.of_frame[frame]))
        wcs = maps.wcs_of(devices, frame, sip)
        own = maps.to_vectors(devices, np.full(len(u), frame), u, v)
        laid = unit_vectors(*wcs.to_sky(u + 539.5, v + 959.5))
        assert np.abs(own - laid).max() < 1e-12
        assert sip is not None and sip.order == 2
        # the inverse polynomial of the header
        distorted = sip.apply(u, v)
        back = replace(sip, a=sip.ap, b=sip.bp).apply(*distorted)
        assert np.abs(np.stack(back) - np.stack([u, v])).max() < 0.01


def test_the_robust_weights_agree_with_a_plain_account_of_the_noise() -> None:
    """Positions with errors of 0.1 px stated as 0.06 px: the floor is what lacks, sqrt(0.1² - 0.06²) = 0.08."""
    rng = np.random.default_rng(1)
    n_stars, n_frames = 400, 12
    star, frame = np.repeat(np.arange(n_stars), n_frames), np.tile(np.arange(n_frames), n_stars)
    places = rng.normal(0.0, 0.1, (n_stars, n_frames, 2))
    places[:, 11] *= 3.0  # one frame is worse
    weights = Weights(np.ones(n_stars * n_frames), np.ones(n_stars * n_frames), np.zeros(n_stars), np.zeros(n_stars))
    devices = Devices.of(nine_pointings(150.0, 30.0).frames[:12], 0, 4)
    for _ in range(6):
        w = weights.points.reshape(n_stars, n_frames, 1)
        mean = np.sum(w * places, axis=1, keepdims=True) / np.sum(w, axis=1, keepdims=True)
        weights, trust = weigh(
            (mean - places).reshape(-1, 2), np.zeros((n_stars, 2)), weights, error=np.full(len(star), 0.06),
            frame=frame, star=star, catalogue_error=np.full(n_stars, np.inf), devices=devices, least_floor_px=0.01,
        )  # fmt: skip
    assert trust.floor_px[0] == pytest.approx(0.08, rel=0.1)
    assert (trust.frame_factor[:11] == 1.0).all()
    assert trust.frame_factor[11] == pytest.approx(3.0, rel=0.1)
    assert (weights.robust > 0.0).mean() > 0.99
    assert (weights.stars == 0.0).all()


# --- matching


def chain(ra: float, dec: float, offsets_arcsec: list[float]) -> np.ndarray:
    return unit_vectors(*deproject(np.array(offsets_arcsec) / 3600.0, np.zeros(len(offsets_arcsec)), ra, dec))


@pytest.mark.parametrize("place", [(0.0, 0.0), (359.99999, 45.0), (12.0, 90.0)])
def test_points_hang_together_by_steps_as_a_plain_search_finds(place: tuple[float, float]) -> None:
    rng = np.random.default_rng(4)
    xi, eta = rng.uniform(-0.02, 0.02, (2, 300))
    vectors = unit_vectors(*deproject(xi, eta, *place))
    reach = np.radians(5.0 / 3600.0)
    label = group_points(vectors, reach)
    apart = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    for i, j in np.argwhere(apart < reach / 3.0):  # within one cube's side: always together
        assert label[i] == label[j]
    plain = plain_groups(apart < 2.2 * reach)  # two means within the reach, each within a cube of sqrt(3)/3 of it
    assert all(len(set(plain[label == k])) == 1 for k in range(label.max() + 1))
    assert list(dict.fromkeys(label.tolist())) == list(range(label.max() + 1))


def plain_groups(near: np.ndarray) -> np.ndarray:
    label = np.arange(len(near))
    while True:
        new = np.array([label[row].min() for row in near])
        if (new == label).all():
            return label
        label = new


def points_of(frame: list[int], anchor: list[int] | None = None, n_anchors: int = 0) -> Points:
    n = len(frame)
    zero = np.zeros(n)
    claims = np.full(n, -1) if anchor is None else np.array(anchor)
    return Points(np.array(frame), np.arange(n), zero, zero, zero + 0.1, claims, np.zeros((n_anchors, 3)))


REACH = float(np.radians(3.0 / 3600.0))


def test_a_frame_sees_a_star_once() -> None:
    # ten frames see a star at 0, the last one a second thing 2.5 arcsec from it
    points, vectors = points_of([*range(10), 9]), chain(80.0, 20.0, [0.0] * 10 + [2.5])
    ties = match_ties(points, vectors, REACH)
    assert ties.point.tolist() == list(range(10))
    # neither of two things equally near
    unclear = match_ties(points, chain(80.0, 20.0, [0.0] * 9 + [1.0, -1.1]), REACH)
    assert unclear.point.tolist() == list(range(9))


def test_close_pairs_of_stars_are_dropped() -> None:
    points = points_of([0, 0, 1, 1, 2, 2, 3])
    ties = match_ties(points, chain(80.0, 20.0, [0.0, 2.5, 0.1, 2.4, 0.0, 2.5, 0.0]), REACH)
    assert ties.n_stars == 0


def test_points_of_one_frame_alone_count_only_with_a_catalogue_star() -> None:
    vectors = chain(80.0, 20.0, [0.0, 60.0, 120.0, 120.2])
    ties = match_ties(points_of([0, 0, 0, 1], [-1, 0, -1, -1], 1), vectors, REACH)
    assert ties.point.tolist() == [1, 2, 3]
    assert ties.anchor.tolist() == [0, -1]


def test_most_claims_name_a_star_once() -> None:
    vectors = chain(80.0, 20.0, [0.0, 0.1, 0.0, 60.0, 60.1])
    # two frames take the star for 0, one for 1; another star is taken for 0 by one frame
    ties = match_ties(points_of([0, 1, 2, 0, 1], [0, 0, 1, 0, -1], 2), vectors, REACH)
    assert ties.star.tolist() == [0, 0, 0, 1, 1]
    assert ties.anchor.tolist() == [0, -1]


def test_a_capped_frame_keeps_catalogue_stars_and_the_whole_sensor() -> None:
    frame = nine_pointings(150.0, 30.0).frames[0]
    points = pick_points([frame], 80)
    assert len(points) == 80
    assert set(frame.catalogue_index.tolist()) <= set(points.row.tolist())
    assert (points.anchor >= 0).sum() == len(frame.catalogue)
    column = np.floor((points.u / 1080 + 0.5) * 3).astype(int)
    line = np.floor((points.v / 1920 + 0.5) * 3).astype(int)
    assert len(set(zip(column.tolist(), line.tolist(), strict=True))) == 9
    assert np.bincount(line * 3 + column).min() >= 4


@pytest.mark.long
def test_two_thousand_frames_take_seconds() -> None:
    sky = make_sky(1, 10.0, 41.0, 5.5)
    mosaic = make_mosaic(sky, grid_of_pointings(10.0, 41.0, 9, 9, 0.55, 1.0), 25, 2)
    start = time.process_time()
    solution = solve_astrometry(mosaic.frames)
    assert time.process_time() - start < 40.0  # 12 s measured
    assert disagreement_px(mosaic, solution) <= OVERLAP_PX
    assert rms(misses_px(mosaic, solution).values()) <= ABSOLUTE_PX


# --- what real sessions bring


def four_pointings(sky: Sky | None = None, **changes: object) -> Mosaic:
    sky = make_sky(1, 150.0, 30.0, 2.0) if sky is None else sky
    return make_mosaic(sky, grid_of_pointings(150.0, 30.0, 2, 2, 0.55, 1.0), 5, 3, **changes)


def check(mosaic: Mosaic, solution: AstroSolution) -> None:
    assert not solution.left_out
    assert disagreement_px(mosaic, solution) <= OVERLAP_PX
    assert rms(misses_px(mosaic, solution).values()) <= ABSOLUTE_PX


@pytest.mark.parametrize("factor", [3.0, 1.0 / 3.0, np.nan])
def test_stated_errors_may_be_wrong_or_missing(factor: float) -> None:
    mosaic = four_pointings()
    frames = [replace(f, stars=replace(f.stars, position_error=factor * f.stars.position_error)) for f in mosaic.frames]
    check(mosaic, solve_astrometry(frames))


def test_wrong_places_in_the_catalogue_do_not_pull() -> None:
    sky, rng = make_sky(1, 150.0, 30.0, 2.0), np.random.default_rng(4)
    stars = sky.catalogue
    moved = rng.uniform(1.0, 2.0, len(stars)) * (rng.random(len(stars)) < 0.1) / 3600.0
    wrong = replace(sky, catalogue=replace(stars, dec_deg=stars.dec_deg + moved))
    mosaic = four_pointings(wrong)
    check(mosaic, solve_astrometry(mosaic.frames))


def test_a_third_of_the_stars_wrong_and_a_large_distortion_are_no_hindrance() -> None:
    shaky = four_pointings(wrong=0.3)
    check(shaky, solve_astrometry(shaky.frames))
    bent = four_pointings(sip=distortion(60.0))
    frames = [replace(f, wcs=replace(f.wcs, sip=bent.truth[f.key].sip)) for f in bent.frames]
    check(bent, solve_astrometry(frames))


def test_half_of_the_frames_off_and_unknown_to_the_catalogue_find_their_places() -> None:
    mosaic, rng = four_pointings(), np.random.default_rng(6)
    frames = [
        replace(
            frame,
            wcs=shifted_wcs(frame.wcs, *rng.uniform(-15.0, 15.0, 2)),
            catalogue_index=frame.catalogue_index[:0],
            catalogue=CatalogueStars.empty(),
        )
        if k % 2
        else frame
        for k, frame in enumerate(mosaic.frames)
    ]
    check(mosaic, solve_astrometry(frames))


def test_hot_pixels_tie_no_frames() -> None:
    """The same places of the sensor in all frames, which dither."""
    mosaic, rng = four_pointings(), np.random.default_rng(7)
    x, y = rng.uniform(0.0, 1079.0, 40), rng.uniform(0.0, 1919.0, 40)

    def with_hot_pixels(stars: Stars) -> Stars:
        hot = stars.take(np.zeros(40, np.int64))
        both = [np.append(getattr(stars, f.name), getattr(hot, f.name)) for f in fields(Stars)]
        return replace(Stars(*both), x=np.append(stars.x, x), y=np.append(stars.y, y))

    check(mosaic, solve_astrometry([replace(f, stars=with_hot_pixels(f.stars)) for f in mosaic.frames]))


def test_a_few_stars_that_met_by_chance_tie_no_groups() -> None:
    # frames 0 and 1 share stars 0 to 4, frames 2 and 3 stars 5 to 9, frames 1 and 2 stars 10 and 11
    star = np.repeat(np.arange(12), 2)
    frame = np.concatenate([np.tile([0, 1], 5), np.tile([2, 3], 5), np.tile([1, 2], 2)])
    assert groups_of_frames(frame, star, 5, 3).tolist() == [0, 0, 1, 1, 2]
    assert groups_of_frames(frame, star, 5, 2).tolist() == [0, 0, 0, 0, 1]
    assert count_stars(np.array([0, 0, 0, 2]), np.array([4, 4, 5, 4]), 4).tolist() == [2, 0, 1, 0]
