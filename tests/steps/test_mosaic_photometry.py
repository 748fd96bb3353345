"""The joint photometric solution of a mosaic against known truth, and the laws that it keeps."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from mosaic_sky import CELL_NOISE, NOISE, Pointed, World, assembled, mosaic, seams

from skyquilt.core import Figures, Measurement, Normalisation, Stars
from skyquilt.steps.mosaic import (
    FluxObservations,
    PhotometricSolution,
    fit_device_factors,
    fit_flux_scales,
    fit_sky_surfaces,
    frame_sky,
    make_lattice,
    seam_figures,
    solve_photometry,
)
from skyquilt.steps.mosaic.agreement import (
    Looks,
    common_values,
    connected_groups,
    settle_plainly,
    solve_agreement,
    tukey,
)
from skyquilt.steps.mosaic.near_places import group_near

INVISIBLE = 0.2 * NOISE  # ADU: the step from one 32 px block to the next that may not be seen


@cache
def nine_panels() -> World:
    return World(mosaic(3, 3, 6, seed=1), seed=2, nebula=(1600.0, 1900.0, 900.0, 300.0), stars_per_frame=200)


@cache
def nine_panels_solved() -> PhotometricSolution:
    return solve_photometry(nine_panels().maps, nine_panels().observations)


def without_plane(x: np.ndarray, y: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value less its plane where it is known, and the slopes of that plane, ADU over 480 px."""
    known = np.isfinite(value)
    design = np.stack([np.ones(known.sum()), x[known] / 480.0, y[known] / 480.0], axis=1)
    plane = np.linalg.lstsq(design, value[known], rcond=None)[0]
    return value[known] - design @ plane, plane[1:]


def flux_errors(world: World, scale: np.ndarray) -> np.ndarray:
    error = np.log(scale / world.true_scale())
    return error - np.median(error)


# --- the solver against its definition -------------------------------------------------------------------------------


def some_looks(seed: int, n_frames: int = 7, n_things: int = 30, p: int = 3) -> tuple[Looks, np.ndarray]:
    rng = np.random.default_rng(seed)
    seen = rng.random((n_things, n_frames)) < 0.4
    thing, frame = np.nonzero(seen)
    terms = np.concatenate([np.ones((len(frame), 1)), rng.uniform(-1, 1, (len(frame), p - 1))], axis=1)
    looks = Looks(frame, thing, terms, rng.normal(0, 10, (len(frame), 2)), n_frames, n_things)
    return looks, rng.uniform(0.1, 3.0, len(frame))


@pytest.mark.parametrize("n_coarse", [2, 5, 21])
def test_the_solver_equals_dense_least_squares_with_all_unknowns(n_coarse: int) -> None:
    from scipy.sparse import csr_array

    looks, weight = some_looks(1)
    weight[3:6] = 0.0
    rng = np.random.default_rng(2)
    precision, pull = rng.uniform(1e-3, 1e-2, (7, 3)), rng.normal(0, 5, (7, 3, 2))
    coarse = np.eye(21) if n_coarse == 21 else rng.normal(0, 1, (21, n_coarse))
    found = solve_agreement(looks, weight, precision, pull, np.zeros((7, 3, 2)), csr_array(coarse), tolerance=1e-13)
    assert found == pytest.approx(settle_plainly(looks, weight, precision, pull), rel=1e-7, abs=1e-7)


def test_eliminating_the_common_values_is_using_all_pairs() -> None:
    """The sum of squares about the weighted mean is that of all pairs, w_i w_j / W each."""
    looks, weight = some_looks(3)
    residual = looks.value - common_values(looks, weight, looks.value)[looks.thing]
    pairs = 0.0
    for thing in range(looks.n_things):
        mine = np.flatnonzero(looks.thing == thing)
        for i in mine:
            for j in mine[mine > i]:
                share = weight[i] * weight[j] / weight[mine].sum()
                pairs += share * float(np.sum((looks.value[i] - looks.value[j]) ** 2))
    assert float(weight @ np.sum(residual**2, axis=1)) == pytest.approx(pairs)


def test_groups_are_what_is_tied() -> None:
    looks = Looks(np.array([0, 1, 2, 3, 3, 4]), np.array([0, 0, 1, 1, 2, 2]), np.ones((6, 1)), np.zeros((6, 1)), 6, 3)
    assert connected_groups(looks, np.ones(6)).tolist() == [0, 0, 1, 1, 1, 2]
    assert connected_groups(looks, np.array([1, 1, 1, 1, 0, 1.0])).tolist() == [0, 0, 1, 1, 2, 3]


def test_the_sky_is_the_fixed_point_of_weighted_dense_least_squares() -> None:
    """Two clean frames: what is found is the plain fit of one plane to the difference, split by what is known."""
    frames = [Pointed(0, 0, sky=800.0), Pointed(150, 40, sky=950.0, gradient=(30.0, -20.0))]
    world = World(frames, seed=4, cell_noise=0.0)
    sky = fit_sky_surfaces(world.maps, np.ones((2, 3)), surface_order=1)
    x, y = np.meshgrid(np.arange(-150, 250, 30.0), np.arange(-300, 300, 30.0))
    first, second = (
        Normalisation(np.ones(3), sky.surface[k], world.maps[k].centre, world.maps[k].radius, 1.0) for k in (0, 1)
    )
    from mosaic_sky import shown

    difference = shown(world, 0, first, x, y) - shown(world, 1, second, x, y)
    assert np.nanmax(np.abs(difference)) < 1e-3, "ADU"


def test_what_is_solved_together_first_has_no_part_in_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    from skyquilt.steps.mosaic import flux_scales, sky_surfaces

    world = small()
    found = [solve_photometry(world.maps, world.observations)]
    for few, most in ((0, 1500), (0, 12), (1000, 1500)):
        for module in (flux_scales, sky_surfaces):
            monkeypatch.setattr(module, "_FEW_UNKNOWNS", few)
            monkeypatch.setattr(module, "_MOST_COARSE", most)
        found.append(solve_photometry(world.maps, world.observations))
    for other in found[1:]:
        assert other.flux.scale == pytest.approx(found[0].flux.scale, rel=1e-5)
        assert other.sky.surface == pytest.approx(found[0].sky.surface, abs=0.05), "ADU"


# --- flux scales -----------------------------------------------------------------------------------------------------


def test_star_fluxes_agree_between_panels() -> None:
    errors = flux_errors(nine_panels(), nine_panels_solved().flux.scale)
    panels = errors.reshape(9, 6).mean(axis=1)
    assert np.abs(panels).max() < 0.005, "ratio between panels 1.000 +- 0.005"
    assert np.abs(errors).max() < 0.015, "a single frame of 70 stars"
    flux = nine_panels_solved().flux
    assert np.all(flux.group == 0) and flux.n_stars.min() > 40 and not flux.unfit
    assert 0.003 < flux.rms < 0.03


def test_frames_of_low_transparency_are_not_favoured_by_the_faint_stars_that_noise_lifts() -> None:
    slopes = []
    for seed in range(5):
        world = World(mosaic(2, 1, 10, seed=seed), seed=60 + seed, stars_per_frame=250)
        scales = fit_flux_scales(world.observations, 20)
        slopes.append(
            np.polyfit(np.log([f.transparency for f in world.frames]), flux_errors(world, scales.scale), 1)[0]
        )
    assert abs(np.mean(slopes)) < 0.004, "0.2 % from transparency 0.6 to 1"


def test_variable_and_mistaken_stars_are_passed_over() -> None:
    world = nine_panels()
    rng = np.random.default_rng(5)
    flux = world.observations.flux.copy()
    wrong = rng.random(len(flux)) < 0.08
    flux[wrong] *= rng.choice([0.4, 2.5], wrong.sum())
    clean = fit_flux_scales(world.observations, 54)
    spoiled = fit_flux_scales(replace(world.observations, flux=flux), 54)
    assert np.abs(np.log(spoiled.scale / clean.scale)).max() < 0.012
    assert np.abs(flux_errors(world, spoiled.scale).reshape(9, 6).mean(axis=1)).max() < 0.006


def test_the_reference_has_scale_one_and_exposures_count() -> None:
    frames = [replace(f, exposure=1.0 + (k % 3)) for k, f in enumerate(mosaic(2, 1, 6, seed=6))]
    world = World(frames, seed=6, stars_per_frame=200)
    exposures = [10.0 * f.exposure for f in frames]
    scales = fit_flux_scales(world.observations, 12, reference=4, exposure_s=exposures)
    assert scales.scale[4] == pytest.approx(1.0, abs=1e-12)
    true = world.true_scale()
    assert scales.scale == pytest.approx(true / true[4], rel=0.015)
    assert scales.relative_exposure == pytest.approx(np.array(exposures) / exposures[4])
    without = fit_flux_scales(world.observations, 12, reference=4)
    assert without.scale == pytest.approx(scales.scale, rel=1e-7), "exposures say where nothing else does"
    median = fit_flux_scales(world.observations, 12, exposure_s=exposures)
    assert np.median(np.log(median.scale * np.array(exposures) / np.median(exposures))) == pytest.approx(0.0, abs=1e-9)


def islands(seed: int, distance: float = 9000.0) -> list[Pointed]:
    left = mosaic(2, 1, 6, seed=seed)
    right = [replace(f, x=f.x + distance, transparency=0.75 * f.transparency) for f in mosaic(1, 2, 5, seed=seed + 1)]
    return left + right


def test_the_catalogue_ties_islands() -> None:
    world = World(islands(7), seed=7, stars_per_frame=60)
    alone = fit_flux_scales(world.observations, 22)
    assert alone.group.tolist() == [0] * 12 + [1] * 10
    gauge = [np.median(np.log(alone.scale[part])) for part in (slice(0, 12), slice(12, 22))]
    assert gauge == pytest.approx([0.0, 0.0], abs=1e-9), "each its own"
    tied = fit_flux_scales(
        world.observations, 22, catalogue_star=np.arange(len(world.star_mag)), catalogue_mag=world.star_mag
    )
    assert np.all(tied.group == 0)
    error = np.log(tied.scale / world.true_scale())
    assert np.median(error[:12]) == pytest.approx(np.median(error[12:]), abs=0.04), "0.1 mag over sqrt of the stars"
    assert np.ptp(error[:12]) < 0.03 and np.ptp(error[12:]) < 0.03


def test_frames_without_shared_stars_get_the_scale_of_their_exposure() -> None:
    frames = [*mosaic(1, 1, 4, seed=8), Pointed(30000.0, 0.0, exposure=2.0)]
    world = World(frames, seed=8)
    scales = fit_flux_scales(world.observations, 5, reference=0, exposure_s=[f.exposure for f in frames])
    assert scales.group[4] == -1 and np.isnan(scales.scatter[4])
    assert scales.scale[4] == pytest.approx(np.exp(np.median(np.log(scales.scale[:4]))) / 2.0)
    assert [k for k, _ in scales.unfit] == [4] and "stars in common" in scales.unfit[0][1]


def test_a_frame_through_clouds_of_unequal_depth_is_named() -> None:
    world = World(mosaic(1, 1, 6, seed=9), seed=9, stars_per_frame=200)
    flux = world.observations.flux.copy()
    mine = world.observations.frame == 2
    flux[mine] *= np.exp(np.random.default_rng(9).normal(0, 0.4, mine.sum()))
    scales = fit_flux_scales(replace(world.observations, flux=flux), 6)
    assert [k for k, _ in scales.unfit] == [2] and "scatter" in scales.unfit[0][1]
    others = np.delete(flux_errors(world, scales.scale), 2)
    assert np.ptp(others) < 0.02


def test_each_device_gets_one_factor_a_channel() -> None:
    world = World(mosaic(1, 1, 8, seed=10), seed=10, stars_per_frame=200)
    device = np.array([0, 0, 1, 1, 0, 1, 1, 0])
    green = fit_flux_scales(world.observations, 8)
    seen = world.observations
    red = replace(seen, flux=seen.flux * np.where(device[seen.frame] == 1, 0.8, 1.0))
    factor = fit_device_factors(red, green, device, reference=0)
    assert factor[device == 0] == pytest.approx(1.0, abs=1e-12)
    assert factor[device == 1] == pytest.approx(1 / 0.8, rel=0.005)


def test_no_stars_at_all_are_survived() -> None:
    none = FluxObservations(
        np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool)
    )
    scales = fit_flux_scales(none, 3, exposure_s=[10.0, 20.0, float("nan")])
    assert scales.scale == pytest.approx([1.5, 0.75, 1.0]), "the median exposure has scale 1, the unknown is taken so"
    assert np.isnan(scales.rms) and len(scales.unfit) == 3


def test_observations_that_cannot_be_meant_are_refused() -> None:
    seen = nine_panels().observations
    with pytest.raises(ValueError, match="there are 3 frames"):
        fit_flux_scales(seen, 3)
    with pytest.raises(ValueError, match="length"):
        fit_flux_scales(replace(seen, flux=seen.flux[1:]), 54)
    with pytest.raises(ValueError, match="exposures"):
        fit_flux_scales(seen, 54, exposure_s=[10.0])
    with pytest.raises(ValueError, match="reference"):
        fit_flux_scales(seen, 54, reference=54)


# --- the sky ---------------------------------------------------------------------------------------------------------


def test_no_seam_is_left_and_emission_larger_than_a_frame_is_kept() -> None:
    world, solved = nine_panels(), nine_panels_solved()
    x, y, mean, spread = assembled(world, solved.normalisations)
    truth = world.true_sky(x, y) * float(np.median(solved.flux.scale / world.true_scale()))
    assert np.nanmax(spread) < INVISIBLE, "between any two frames, anywhere"
    assert seams(mean, truth) < INVISIBLE
    left, slopes = without_plane(x, y, mean - truth)
    assert left.std() < 0.005 * 300.0, "of the nebula's 300 ADU, less the plane that overlaps cannot tell"
    emission, _ = without_plane(x, y, np.where(np.isfinite(mean), truth, np.nan))
    kept = emission @ without_plane(x, y, mean)[0] / (emission @ emission)
    assert kept == pytest.approx(1.0, abs=0.01), "share of the emission"
    # the plane is that of the frames' own levels (230 ADU rms between them) and slopes
    assert np.abs(slopes).max() < 15.0
    assert np.all(solved.sky.rms_after < 1.2 * CELL_NOISE) and np.all(solved.sky.rms_before > 80.0)
    assert np.all(solved.sky.order == 1), "the gradients are planes; more would only follow the noise"
    assert not solved.unfit


def test_bowls_are_followed_where_the_overlap_carries_them() -> None:
    world = World(mosaic(2, 2, 5, seed=11, bowl=25.0), seed=11)
    scale = np.repeat(world.true_scale()[:, None], 3, axis=1)
    bent, flat = (fit_sky_surfaces(world.maps, scale, surface_order=order) for order in (2, 1))
    assert np.all(bent.order == 2) and bent.surface.shape == (20, 3, 6)
    assert np.all(flat.order == 1) and flat.surface.shape == (20, 3, 3)
    assert np.all(bent.rms_after < 0.5 * flat.rms_after)
    shallow = fit_sky_surfaces(
        [m for m, f in zip(world.maps, world.frames, strict=True) if f in world.frames[::5]], scale[::5]
    )
    assert shallow.order.max() <= 1, "one frame a panel: the edges that it shares tell no bowl"


@pytest.mark.parametrize("persistent", [0.0, 40.0])
def test_a_strip_of_ten_panels_stays_flat(persistent: float) -> None:
    """Neither the noise of the overlaps nor a gradient that all frames share piles up along the strip."""
    frames = [
        replace(f, angle_deg=0.0, gradient=(f.gradient[0] + persistent, f.gradient[1]))
        for f in mosaic(10, 1, 6, seed=12, gradient=30.0)
    ]
    world = World(frames, seed=12)
    scale = np.repeat(world.true_scale()[:, None], 3, axis=1)
    found = fit_sky_surfaces(world.maps, scale)
    normalisations = tuple(
        Normalisation(scale[k], found.surface[k], world.maps[k].centre, world.maps[k].radius, 1.0) for k in range(60)
    )
    x, y, mean, spread = assembled(world, normalisations)
    left, _ = without_plane(x, y, mean)
    assert np.nanmax(spread) < INVISIBLE
    assert left.std() < INVISIBLE, "the bow of 5,600 px"
    # what overlaps cannot tell: random levels of 115 ADU rms and the gradients say; piled up these make 58 a panel
    along = np.polyfit(x[np.isfinite(mean)], mean[np.isfinite(mean)], 1)[0] * 563.0
    assert abs(along) < 35.0, "ADU a panel"


def test_a_single_strip_frame_by_frame_stays_within_its_noise() -> None:
    world = World(mosaic(10, 1, 1, seed=3, dither=0.0), seed=3)
    scale = np.repeat(world.true_scale()[:, None], 3, axis=1)
    found = fit_sky_surfaces(world.maps, scale)
    normalisations = tuple(
        Normalisation(scale[k], found.surface[k], world.maps[k].centre, world.maps[k].radius, 1.0) for k in range(10)
    )
    x, y, mean, spread = assembled(world, normalisations)
    left, _ = without_plane(x, y, mean)
    assert np.nanmax(spread) < INVISIBLE
    assert left.std() < 0.5 * NOISE, "one frame a panel, over ten panels"


def test_a_cloud_in_a_corner_and_a_trail_do_not_tilt_a_frame() -> None:
    clean = World(mosaic(2, 2, 4, seed=13), seed=13)
    cloudy = World([replace(f, cloud=60.0 if k == 5 else 0.0) for k, f in enumerate(clean.frames)], seed=13)
    scale = np.repeat(clean.true_scale()[:, None], 3, axis=1)
    first, second = (fit_sky_surfaces(world.maps, scale, surface_order=1).surface for world in (clean, cloudy))
    assert np.abs(second - first).max() < 2.0, "ADU; the cloud is 60"


def test_a_frame_full_of_clouds_is_named_and_harms_no_other() -> None:
    clean = World(mosaic(2, 1, 5, seed=14), seed=14)
    scale = np.repeat(clean.true_scale()[:, None], 3, axis=1)
    rng = np.random.default_rng(14)
    maps = list(clean.maps)
    maps[3] = replace(maps[3], level=(maps[3].level + rng.normal(0, 80, maps[3].level.shape)).astype(np.float32))
    first, second = fit_sky_surfaces(clean.maps, scale), fit_sky_surfaces(maps, scale)
    assert [k for k, _ in second.unfit] == [3] and "clouds" in second.unfit[0][1]
    normalisations = tuple(
        Normalisation(scale[k], second.surface[k], maps[k].centre, maps[k].radius, 1.0) for k in range(10) if k != 3
    )
    others = World([f for k, f in enumerate(clean.frames) if k != 3], seed=14)
    *_, spread = assembled(others, normalisations)
    assert np.nanmax(spread) < INVISIBLE
    change = (second.surface - first.surface)[[k for k in range(10) if k != 3], :, 1:]
    assert np.ptp(change, axis=0).max() < 1.5, "ADU, in their slopes against each other"


def test_holes_in_the_maps_are_survived() -> None:
    world = World(mosaic(2, 1, 3, seed=15), seed=15)
    scale = np.repeat(world.true_scale()[:, None], 3, axis=1)
    holed = []
    for one in world.maps:
        level = one.level.copy()
        level[1, 3:5, 2:6] = np.nan
        holed.append(replace(one, level=level))
    difference = (
        fit_sky_surfaces(holed, scale, surface_order=1).surface
        - fit_sky_surfaces(world.maps, scale, surface_order=1).surface
    )
    assert np.abs(difference[:, :, 0]).max() < 3.0 and np.abs(difference[:, :, 1:]).max() < 4.0
    dark = [replace(one, level=np.full_like(one.level, np.nan)) if k == 2 else one for k, one in enumerate(world.maps)]
    found = fit_sky_surfaces(dark, scale)
    assert found.group[2] == -1 and not np.any(found.surface[2])


def test_slivers_in_which_nothing_is_known_do_not_hide_the_cells_beside_them() -> None:
    shape = (1, 8, 7)
    level = np.tile(np.arange(7.0), (8, 1))[None].astype(np.float32)
    level[:, :, 6] = level[:, 7] = np.nan
    figures = Figures(900.0, NOISE, 0.0, 0, 3.0, 0.3, 0.0)
    measured = Measurement(figures, Stars.empty(), level, np.full(1, NOISE), 64, 400, 460)
    sky = frame_sky(measured, lambda x, y: (x, y))
    assert level.shape == shape and sky.level.shape == (1, 7, 6) and np.isfinite(sky.level).all()
    lattice = make_lattice([sky])
    assert lattice.x.max() > 351.5 + 20.0 and lattice.y.max() > 415.5 + 20.0
    np.testing.assert_allclose(lattice.level[:, 0], (lattice.x - 31.5) / 64.0, atol=1e-3)


def test_islands_and_a_lost_frame_get_the_mean_level() -> None:
    frames = [*islands(16), Pointed(-20000.0, 0.0, sky=400.0, gradient=(30.0, 0.0))]
    frames = [replace(f, transparency=1.0) for f in frames]
    world = World(frames, seed=16)
    found = fit_sky_surfaces(world.maps, np.ones((23, 3)))
    assert found.group.tolist() == [0] * 12 + [1] * 10 + [-1]
    assert found.order[22] == -1 and [k for k, _ in found.unfit] == [22] and "overlaps no other" in found.unfit[0][1]
    level = np.array([np.median(m.level[1]) for m in world.maps]) + found.surface[:, 1, 0]
    assert level[12:22].mean() == pytest.approx(level[:12].mean(), abs=0.5)
    assert level[22] == pytest.approx(level[:12].mean(), abs=0.5)
    assert not np.any(found.surface[22, :, 1:]), "nothing tells its gradient from the sky's"
    own = np.array([np.median(m.level[1]) for m in world.maps])
    assert level[:12].mean() == pytest.approx(own[:12].mean(), abs=0.5), "the mean level is that of the frames"


def test_a_single_frame_is_left_as_it_is() -> None:
    world = World([Pointed(0.0, 0.0, 20.0, 0.8, gradient=(40.0, 0.0))], seed=17)
    solved = solve_photometry(world.maps, world.observations)
    assert solved.normalisations[0].scale == pytest.approx([1.0, 1.0, 1.0])
    assert solved.normalisations[0].transparency == 1.0
    assert np.abs(solved.normalisations[0].surface).max() < 1e-9
    assert len(solved.unfit) == 2 and solved.overlaps == ()


def test_no_frames_are_no_solution() -> None:
    none = FluxObservations(
        np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool)
    )
    assert solve_photometry([], none).normalisations == ()


def test_settings_that_mean_nothing_are_refused() -> None:
    maps = nine_panels().maps[:2]
    with pytest.raises(ValueError, match="order"):
        fit_sky_surfaces(maps, np.ones((2, 3)), surface_order=3)
    with pytest.raises(ValueError, match="scales"):
        fit_sky_surfaces(maps, np.ones((2, 1)))
    with pytest.raises(ValueError, match="channels"):
        fit_sky_surfaces([maps[0], replace(maps[1], level=maps[1].level[:1])], np.ones((2, 3)))


# --- laws ------------------------------------------------------------------------------------------------------------


@cache
def small() -> World:
    return World(mosaic(2, 2, 4, seed=18), seed=18, nebula=(1300.0, 1400.0, 500.0, 200.0), stars_per_frame=100)


def test_the_order_of_the_frames_changes_nothing() -> None:
    world = small()
    order = np.random.default_rng(19).permutation(16)
    number = np.argsort(order)
    seen = world.observations
    straight = solve_photometry(world.maps, seen)
    mixed = solve_photometry([world.maps[k] for k in order], replace(seen, frame=number[seen.frame]))
    for k in range(16):
        assert mixed.normalisations[number[k]].scale == pytest.approx(straight.normalisations[k].scale, rel=1e-9)
        assert mixed.normalisations[number[k]].surface == pytest.approx(
            straight.normalisations[k].surface, rel=1e-6, abs=1e-4
        )


def test_a_constant_added_to_every_frame_is_added_to_the_result() -> None:
    world = small()
    lifted = [replace(m, level=m.level + np.float32(256.0)) for m in world.maps]
    low = solve_photometry(world.maps, world.observations).normalisations
    high = solve_photometry(lifted, world.observations).normalisations
    for k in range(16):
        added = high[k].surface[:, 0] + 256.0 * high[k].scale - low[k].surface[:, 0]
        assert added == pytest.approx(256.0, abs=2e-3), "ADU"
        assert high[k].surface[:, 1:] == pytest.approx(low[k].surface[:, 1:], abs=2e-3)


def test_frames_of_a_larger_unit_give_a_result_in_it() -> None:
    world = small()
    seen = world.observations
    larger = replace(seen, flux=4.0 * seen.flux, flux_error=4.0 * seen.flux_error)
    maps = [replace(m, level=m.level * np.float32(4.0), noise_adu=4.0 * m.noise_adu) for m in world.maps]
    one, four = solve_photometry(world.maps, seen), solve_photometry(maps, larger)
    for k in range(16):
        assert four.normalisations[k].scale == pytest.approx(one.normalisations[k].scale, rel=1e-9)
        assert four.normalisations[k].surface == pytest.approx(4.0 * one.normalisations[k].surface, rel=1e-6, abs=1e-3)


def test_normalisations_are_those_of_the_scales_and_surfaces() -> None:
    solved, world = nine_panels_solved(), nine_panels()
    for k in (0, 20, 53):
        one = solved.normalisations[k]
        assert one.transparency == pytest.approx(1.0 / solved.flux.scale[k])
        assert one.centre == pytest.approx((world.frames[k].x, world.frames[k].y))
        assert one.radius == pytest.approx(480.0)
        assert np.array_equal(one.surface, solved.sky.surface[k])


# --- lattice, pointings, figures -------------------------------------------------------------------------------------


def test_the_lattice_shows_each_frame_at_its_place() -> None:
    """A sky that is a plane on the canvas is shown exactly, whatever the angle and wherever the frame."""
    frames = [Pointed(5000.0, -300.0, angle, sky=0.0) for angle in (0.0, 33.0, 200.0)]
    world = World(frames, seed=20, slope=(0.1, -0.05), cell_noise=0.0)
    lattice = make_lattice(world.maps)
    truth = 0.1 * lattice.x - 0.05 * lattice.y
    assert lattice.level[:, 1] == pytest.approx(truth, abs=1e-3)
    assert lattice.step_px == pytest.approx(64.0)
    assert np.bincount(lattice.frame).min() > 150, "704 x 960 px in cells of 64"
    key = lattice.point * 3 + lattice.frame
    assert np.all(np.diff(key) > 0), "sorted, none twice"


def test_pointings_do_not_depend_on_the_order() -> None:
    x = np.array([0.0, 5.0, 900.0, 890.0, 2.0])
    y = np.array([0.0, -4.0, 3.0, 0.0, 7.0])
    number = group_near(x, y, np.full(5, 480.0))
    assert number.tolist() == [0, 0, 1, 1, 0]
    order = np.array([3, 1, 4, 0, 2])
    assert np.array_equal(group_near(x[order], y[order], np.full(5, 480.0)), number[order])


def test_overlaps_tell_what_was_wrong_and_what_is_left() -> None:
    world = World(mosaic(2, 1, 5, seed=21), seed=21, stars_per_frame=250)
    solved = solve_photometry(world.maps, world.observations)
    assert [(o.first, o.second) for o in solved.overlaps] == [(0, 1)]
    one = solved.overlaps[0]
    level, clear = np.array([f.sky for f in world.frames]), np.array([f.transparency for f in world.frames])
    first = solved.pointing == 0
    assert one.flux_ratio_before == pytest.approx(
        np.exp(np.log(clear[first]).mean() - np.log(clear[~first]).mean()), rel=0.03
    )
    assert one.flux_ratio_after == pytest.approx(1.0, abs=0.01)
    assert one.sky_step_before_adu[1] == pytest.approx(level[first].mean() - level[~first].mean(), abs=60.0)
    assert np.abs(one.sky_step_after_sigma).max() < 0.05
    assert np.all(one.sky_rms_after_adu < 3 * CELL_NOISE)
    assert 0.2 * 704 * 960 < one.area_px < 0.35 * 704 * 960, "the fields turn by 16 degrees"
    assert one.n_stars > 15
    flux = solved.flux
    lattice = make_lattice(world.maps)
    each = seam_figures(
        np.arange(10), lattice, lattice.level, world.observations, flux.scale, flux.relative_exposure, np.full(3, NOISE)
    )
    assert [(o.first, o.second) for o in each] == [(i, j) for i in range(10) for j in range(i + 1, 10)]
    pair = each[0]
    assert pair.flux_ratio_before == pytest.approx(clear[0] / clear[1], rel=0.02)
    assert pair.flux_ratio_after == pytest.approx(1.0, abs=0.02)
    assert pair.sky_step_after_adu == pytest.approx(pair.sky_step_before_adu), "nothing was normalised here"


def test_tukey_forgets_what_lies_beyond() -> None:
    assert tukey(np.array([0.0, 2.35, 4.7, 9.0]), 4.7) == pytest.approx([1.0, 0.5625, 0.0, 0.0])
