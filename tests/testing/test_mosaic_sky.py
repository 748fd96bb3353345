"""Synthetic mosaics are what their truth says: places anywhere on the sphere, fluxes, nebula, sky, headers, folders."""

import json
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from scipy.spatial import KDTree

from skyquilt.core import Box, SkyGrid
from skyquilt.core.sky import precess_to_icrs, separation_deg
from skyquilt.io.discover import discover
from skyquilt.testing.laws import hash_folder
from skyquilt.testing.mosaic_sky import (
    Cloud,
    MosaicScenario,
    make_mosaic,
    make_mosaic_frames,
    make_mosaic_truth,
    make_panels,
    raw_mosaic_frame,
    render_mosaic_frame,
)
from skyquilt.testing.mosaic_sky.camera_axes import CameraAxes
from skyquilt.testing.sky import Scenario

SMALL = Scenario(
    target="Quilt", width=200, height=160, ra_deg=83.0, dec_deg=22.0, n_faint_stars=25, zero_point=22.5, tycho=False
)
PLAIN = replace(
    SMALL, device="generic", cfa=None, noise=False, n_hot_pixels=0, n_cold_pixels=0, n_cosmics_per_frame=0, nebula=False
)
PLACES = {
    "at declination 86, turning": replace(PLAIN, dec_deg=86.0, rotation_deg=(-20.0, 50.0)),
    "over the pole": replace(PLAIN, ra_deg=30.0, dec_deg=89.95, rotation_deg=(0.0, 90.0)),
    "exactly on the south pole": replace(PLAIN, ra_deg=0.0, dec_deg=-90.0),
    "across right ascension 0": replace(PLAIN, ra_deg=0.02, dec_deg=-1.0, tycho=True),
    "twenty degrees wide": replace(PLAIN, scale_arcsec=90.0, dec_deg=70.0),
    "through a lens that distorts": replace(PLAIN, distortion_px=1.5, dither_px=12.0, dither_every=1),
}


def lonely(shown, far_px):
    """Return which stars have no other within `far_px`."""
    places = np.stack([shown.x, shown.y], axis=1)
    return KDTree(places).query(places, k=2)[0][:, 1] > far_px


def oracle(header):
    """Return the coordinates of a header as astropy reads them: not our own projection."""
    words = ("CTYPE", "CRVAL", "CRPIX", "CUNIT", "CD1", "CD2", "A_", "B_", "AP_", "BP_", "LONP", "RADE", "WCSAXES")
    return WCS(fits.Header([card for card in header.cards if card.keyword.startswith(words)]))


@pytest.mark.parametrize("place", PLACES)
def test_stars_are_drawn_where_the_coordinates_of_the_header_say(tmp_path, place):
    scenario = MosaicScenario(PLACES[place], rows=2, columns=3, subs=2, header_wcs=True)
    truth = make_mosaic(tmp_path, scenario)
    n_stars = 0
    for frame in truth.frames[::3]:
        image = render_mosaic_frame(truth, frame.index).astype(np.float64)
        y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(float)
        light = image - frame.sky(x, y)[0]
        near = truth.frame_stars(frame.index, 40.0)
        flux = near.flux[:, 0]
        good = lonely(near, 24.0) & frame.grid.holds(near.x, near.y, 13.0) & (flux > 5000.0)
        index = near.index[good]
        sky = truth.stars.ra_deg[index], truth.stars.dec_deg[index]
        told = oracle(fits.getheader(frame.path)).all_world2pix(*sky, 0, tolerance=1e-6)
        told = np.stack(told, axis=1)
        for (u, v), true_flux in zip(told, flux[good], strict=True):
            j, i = round(v), round(u)
            part = np.s_[j - 12 : j + 13, i - 12 : i + 13]
            total = light[part].sum()
            found = (light[part] * x[part]).sum() / total, (light[part] * y[part]).sum() / total
            np.testing.assert_allclose(found, (u, v), atol=2e-3)
            assert total == pytest.approx(true_flux, rel=1e-4)
            n_stars += 1
    assert n_stars >= 8


@pytest.mark.parametrize("place", PLACES)
def test_neighbouring_pointings_share_the_stated_part_of_a_frame(place):
    still = replace(PLACES[place], dither_px=0.0, drift_px=0.0, jitter_px=0.0, rotation_deg=(0.0, 0.0), distortion_px=0)
    truth = make_mosaic_truth(MosaicScenario(still, rows=3, columns=2, subs=1, pointing_error_px=0.0, overlap=0.3))
    ahead, right, below = (truth.frames[k].wcs for k in (0, 1, 2))
    x, y = ahead.to_pixels(*right.to_sky(0.0, 79.5))
    # great circles that run together towards the corners: less than 1 % of 200 px even over twenty degrees
    assert (float(x), float(y)) == (pytest.approx(0.7 * 200, abs=2.5), pytest.approx(79.5, abs=4.0))
    x, y = ahead.to_pixels(*below.to_sky(99.5, 0.0))
    assert (float(x), float(y)) == (pytest.approx(99.5, abs=4.0), pytest.approx(0.7 * 160, abs=2.5))


@pytest.mark.parametrize("place", PLACES)
def test_the_short_way_from_canvas_to_frame_is_the_way_over_the_sky(place):
    truth = make_mosaic_truth(MosaicScenario(PLACES[place], rows=2, columns=3, subs=1))
    grid = truth.canvas()
    box = Box(10, 20, 90, 110)
    y, x = np.mgrid[20:110, 10:90].astype(float)
    for frame in truth.frames[::2]:
        over_the_sky = frame.wcs.to_pixels(*grid.wcs.to_sky(x, y))
        np.testing.assert_allclose(truth.places(frame, grid, box), over_the_sky, atol=1e-6)
    ra, dec = truth.frames[0].grid.centre_deg
    behind = SkyGrid(CameraAxes.at(ra + 180.0, -dec, 0.0).wcs((99.5, 79.5), 2.0), 200, 160)
    assert np.isnan(truth.places(truth.frames[0], behind, box)).all()


def test_a_frame_on_an_equal_area_canvas_lies_where_the_sky_says():
    camera = replace(PLACES["twenty degrees wide"], rotation_deg=(0.0, 30.0))
    truth = make_mosaic_truth(MosaicScenario(camera, rows=2, columns=3, subs=1))
    flat = truth.canvas()
    grid = replace(flat, wcs=replace(flat.wcs, projection="ZEA"))
    y, x = np.mgrid[: grid.height, : grid.width].astype(float)
    sky = grid.wcs.to_sky(x, y)
    expected = np.zeros(x.shape)
    for frame in truth.frames:
        over_the_sky = frame.wcs.to_pixels(*sky)
        found = truth.places(frame, grid, Box.of_shape(grid.height, grid.width))
        np.testing.assert_allclose(found, over_the_sky, atol=1e-6)
        expected += frame.grid.holds(*over_the_sky, 0.5 - 1e-6) * PLAIN.exposure_s
    np.testing.assert_array_equal(truth.seconds(grid), expected)
    assert (expected != truth.seconds(flat)).mean() > 0.005  # edges lie elsewhere than on the gnomonic plane
    wide = SkyGrid(replace(grid.wcs, cd=10.0 * grid.wcs.cd), grid.width, grid.height)
    far = separation_deg(*wide.wcs.to_sky(0.0, 0.0), *wide.wcs.crval_deg)
    assert far > 90.0 and np.isnan(truth.places(truth.frames[0], wide, Box(0, 0, 1, 1))).all()


def test_centres_given_by_hand_are_where_the_frames_look():
    centres = ((10.0, 41.0), (10.8, 41.3), (11.1, 40.6))
    camera = replace(PLAIN, ra_deg=10.6, dec_deg=41.0, dither_px=0.0, drift_px=0.0, jitter_px=0.0)
    truth = make_mosaic_truth(MosaicScenario(camera, centres=centres, subs=2, pointing_error_px=0.0))
    assert len(truth.frames) == 6
    for frame in truth.frames:
        assert float(separation_deg(*frame.grid.centre_deg, *centres[frame.panel])) < 1e-9
        assert frame.told_deg == pytest.approx(centres[frame.panel], abs=1e-9)


def test_the_mount_misses_a_pointing_and_wanders_by_what_the_dials_say():
    camera = replace(PLAIN, dither_px=6.0, dither_every=1, drift_px=0.0, jitter_px=0.0, rotation_deg=(0.0, 8.0))
    truth = make_mosaic_truth(MosaicScenario(camera, rows=4, columns=4, subs=4, rounds=2, pointing_error_px=10.0))
    assert [frame.panel for frame in truth.frames[:5]] == [0, 0, 1, 1, 2]
    assert truth.frames[32].panel == 0 and truth.frames[32].visit == 16
    miss = [
        float(separation_deg(*frame.grid.centre_deg, *truth.panels_deg[frame.panel])) * 3600.0 / camera.scale_arcsec
        for frame in truth.frames
    ]
    assert np.sqrt(np.mean(np.square(miss))) == pytest.approx(
        np.hypot(10.0 * np.sqrt(2.0), 6.0 / np.sqrt(2.0)), rel=0.2
    )
    first, last = truth.frames[0].wcs, truth.frames[-1].wcs
    turned = [wcs.rotation_deg for wcs in (first, last)]
    assert abs((turned[1] - turned[0] + 180.0) % 360.0 - 180.0) == pytest.approx(8.0, abs=0.3)  # north leans a little


@pytest.mark.parametrize("sigma_deg", [0.05, 0.002])  # smooth over a frame; narrower than its nodes
@pytest.mark.parametrize("cfa", [None, "GRBG"])
def test_the_nebula_has_the_stated_brightness_in_every_pixel(sigma_deg, cfa):
    peak = (300.0,) if cfa is None else (300.0, 200.0, 100.0)
    clouds = (Cloud(83.0, 22.0, sigma_deg, peak), Cloud(83.03, 21.97, 2.0 * sigma_deg, peak))
    camera = replace(PLAIN, cfa=cfa, nebula=True, n_faint_stars=0, distortion_px=1.0, rotation_deg=(0.0, 30.0))
    truth = make_mosaic_truth(MosaicScenario(camera, rows=1, columns=2, subs=2, nebula_clouds=clouds))
    for frame in truth.frames:
        y, x = np.mgrid[:160, :200].astype(float)
        light = render_mosaic_frame(truth, frame.index).astype(np.float64)
        by_channel = frame.sky(x, y) + frame.transparency * truth.emission(*frame.wcs.to_sky(x, y))
        channel = np.tile(camera.channel_of, (80, 100))
        expected = np.take_along_axis(by_channel, channel[None], axis=0)[0]
        np.testing.assert_allclose(light, expected, atol=1e-3)
    assert truth.emission(83.0, 22.0)[0] > 0.999 * 300.0


def test_random_clouds_are_larger_than_frames_and_reach_everywhere():
    camera = replace(SMALL, nebula=True)
    truth = make_mosaic_truth(MosaicScenario(camera, rows=3, columns=3, subs=1))
    side_deg = 200 * camera.scale_arcsec / 3600.0
    assert len(truth.nebula.sigma) == 12
    assert (np.degrees(truth.nebula.sigma) >= 0.25 * side_deg).all()
    light = truth.emission(*truth.panels_deg.T)
    assert light.shape == (3, 9) and (light > 10.0).all()


def test_air_and_sky_differ_from_pointing_to_pointing_and_the_gradient_turns():
    scenario = MosaicScenario(
        replace(PLAIN, gradient=0.2),
        subs=3,
        panel_transparency={2: 0.5},
        panel_transparency_scatter=0.0,
        gradient_turn_deg=90.0,
        sky_curvature=0.1,
    )
    truth = make_mosaic_truth(scenario)
    clear = np.array([frame.transparency for frame in truth.frames]).reshape(4, 3).mean(axis=1)
    assert clear[2] == pytest.approx(0.5, rel=0.05) and clear[[0, 1, 3]] == pytest.approx(1.0, rel=0.05)
    levels = [frame.sky_light_adu[0] for frame in truth.frames]
    assert np.ptp(levels) > 0.05 * np.mean(levels)
    first, last = np.array(truth.frames[0].slope), np.array(truth.frames[-1].slope)
    assert first @ last == pytest.approx(0.0, abs=1e-9) and np.hypot(*last) == pytest.approx(np.hypot(*first))
    frame = truth.frames[0]
    corners = frame.sky_shape(np.array([0.0, 199.0]), np.array([0.0, 159.0]))
    assert corners.mean() == pytest.approx(1.1)


def test_the_sky_is_tycho_2_and_fainter_stars_of_even_density():
    camera = replace(PLAIN, scale_arcsec=60.0, tycho=True, n_faint_stars=300)
    truth = make_mosaic_truth(MosaicScenario(camera, rows=5, columns=5, subs=1, overlap=0.0))
    stars = truth.stars
    assert stars.is_tycho.sum() > 10_000 and (stars.v_mag[~stars.is_tycho] >= 11.5).all()
    zeta_tauri = separation_deg(stars.ra_deg, stars.dec_deg, 84.4112, 21.1425) < 2.0 / 3600.0
    assert stars.v_mag[zeta_tauri].min() == pytest.approx(2.97, abs=0.1)
    seen = []
    for frame in truth.frames:
        shown = truth.frame_stars(frame.index)
        seen.append((~stars.is_tycho[shown.index]).sum())
    assert np.mean(seen) == pytest.approx(300.0, rel=0.02)
    assert np.std(seen) < 1.6 * np.sqrt(300.0)


def pointings_of(session):
    """Return (ra, dec) ICRS of every light, in the order of the times."""
    lights = sorted((light for group in session.groups for light in group.lights), key=lambda one: one.meta.date_obs)
    found = []
    for light in lights:
        pointing = light.meta.pointing
        if pointing is not None and pointing.equinox == "date":
            found.append(tuple(float(c) for c in precess_to_icrs(pointing.ra_deg, pointing.dec_deg, 2025.235)))
        else:
            found.append(None if pointing is None else (pointing.ra_deg, pointing.dec_deg))
    return found


PLACE = ("target", "width", "height", "ra_deg", "dec_deg", "n_faint_stars", "tycho")
LAYOUTS = {
    "seestar, one folder": (SMALL, "device", 1),
    "seestar, a folder a panel": (SMALL, "panels", 4),
    "dwarf": (Scenario(**{name: getattr(SMALL, name) for name in PLACE}, device="dwarf3"), "device", 4),
    "generic, one folder": (PLAIN, "device", 1),
    "generic, a folder a panel": (PLAIN, "panels", 1),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_pointing_is_found_in_the_folders_of_the_device(tmp_path, name):
    camera, layout, n_groups = LAYOUTS[name]
    truth = make_mosaic(tmp_path, MosaicScenario(camera, subs=2, layout=layout))
    session = discover(tmp_path)
    assert not session.left_out
    assert len(session.groups) == n_groups
    found = pointings_of(session)
    assert len(found) == 8
    for (ra, dec), frame in zip(found, truth.frames, strict=True):
        assert float(separation_deg(ra, dec, *truth.panels_deg[frame.panel])) < 3.0 / 3600.0


def test_the_folders_have_the_names_that_the_devices_give(tmp_path):
    seestar = make_mosaic_truth(MosaicScenario(SMALL, subs=1), tmp_path)
    place = seestar.frames[1].path.relative_to(tmp_path).as_posix()
    assert place == "MyWorks/Quilt_mosaic_sub/Light_mosaic_Quilt_10.0s_IRCUT_20250326-212122.fit"
    alp = make_mosaic_truth(MosaicScenario(SMALL, subs=1, layout="panels"), tmp_path)
    assert alp.frames[3].path.parent.name == "Quilt_22_sub"
    dwarf = make_mosaic_truth(MosaicScenario(LAYOUTS["dwarf"][0], subs=1), tmp_path)
    outer, inner, file = dwarf.frames[1].path.relative_to(tmp_path / "Astronomy").parts
    assert outer == "DWARF_RAW_TELE_MOSAIC_Quilt_EXP_15_GAIN_60_2025-03-26-21-20-32-955"
    assert inner == "DWARF_RAW_TELE_Quilt(2)_EXP_15_GAIN_60_2025-03-26-21-20-32-959"
    assert file.startswith("Quilt(2)_15s60_Astro_20250326-")


@pytest.mark.parametrize("name", ["seestar, one folder", "dwarf"])
def test_headers_may_know_the_target_alone_or_nothing(tmp_path, name):
    camera, layout, _ = LAYOUTS[name]
    make_mosaic(tmp_path / "target", MosaicScenario(camera, subs=1, layout=layout, told="target"))
    for ra, dec in pointings_of(discover(tmp_path / "target")):
        assert (ra, dec) == (pytest.approx(83.0, abs=1e-3), pytest.approx(22.0, abs=1e-3))
    make_mosaic(tmp_path / "none", MosaicScenario(camera, subs=1, layout=layout, told="none"))
    assert pointings_of(discover(tmp_path / "none")) == [None] * 4


def test_a_dwarf_keeps_a_sidecar_in_every_panel(tmp_path):
    truth = make_mosaic(tmp_path, MosaicScenario(LAYOUTS["dwarf"][0], subs=2))
    for frame in truth.frames[::2]:
        info = json.loads((frame.path.parent / "shotsInfo.json").read_text())
        assert info["target"] == f"Quilt({frame.panel + 1})" and info["shotsStacked"] == 2
        assert 15.0 * info["RA"] == pytest.approx(truth.panels_deg[frame.panel, 0], abs=1e-6)


def test_the_header_tells_the_scale_of_the_frames(tmp_path):
    make_mosaic(tmp_path, MosaicScenario(PLACES["twenty degrees wide"], rows=1, columns=1, subs=1))
    (light,) = discover(tmp_path).groups[0].lights
    assert light.meta.scale_arcsec == pytest.approx(90.0, rel=1e-4)


def test_the_same_scenario_makes_the_same_bytes_and_another_night_does_not(tmp_path):
    scenario = MosaicScenario(SMALL, rows=1, subs=2)
    make_mosaic(tmp_path / "one", scenario)
    make_mosaic(tmp_path / "two", scenario)
    assert hash_folder(tmp_path / "one") == hash_folder(tmp_path / "two")
    first, later = make_mosaic_truth(scenario), make_mosaic_truth(replace(scenario, camera=replace(SMALL, night=1)))
    assert first.frames[0].transparency != later.frames[0].transparency
    places = np.array([83.0, 83.05]), np.array([22.0, 21.95])
    np.testing.assert_array_equal(first.emission(*places), later.emission(*places))
    shared = np.isin(first.stars.ra_deg, later.stars.ra_deg)
    assert shared.mean() > 0.9


def test_quick_noise_is_noise_of_the_same_strength_and_no_two_frames_share_a_pixel_s():
    camera = replace(SMALL, nebula=False, n_faint_stars=0, gradient=0.0, n_hot_pixels=0, n_cosmics_per_frame=0)
    sigmas = {}
    for quick in (False, True):
        scenario = MosaicScenario(replace(camera, zero_point=1.0), rows=1, subs=2, quick_noise=quick)
        truth = make_mosaic_truth(scenario)
        frames = [raw_mosaic_frame(truth, k)[0::2, 0::2].astype(float) for k in range(4)]
        sigmas[quick] = frames[0].std() / truth.frames[0].sky_sigma_adu[1]
        assert abs(np.corrcoef(frames[0].ravel(), frames[1].ravel())[0, 1]) < 0.06
    assert sigmas[True] == pytest.approx(1.0, abs=0.04) and sigmas[False] == pytest.approx(1.0, abs=0.04)


def test_faults_reach_the_frames_of_a_mosaic(tmp_path):
    faults = {0: "truncated", 1: "missing_keys", 2: "no_stars", 3: "trailed", 4: "other_target", 5: "zero"}
    truth = make_mosaic(tmp_path, MosaicScenario(replace(SMALL, fault=faults), subs=2))
    assert [frame.is_good for frame in truth.frames] == [False, True, False, False, False, False, True, True]
    sizes = [frame.path.stat().st_size for frame in truth.frames]
    assert sizes[0] < 0.5 * sizes[7] and "EXPTIME" not in fits.getheader(truth.frames[1].path)
    assert truth.frames[2].transparency == 0.0 and np.hypot(*truth.frames[3].streak) > 20.0
    assert not fits.getdata(truth.frames[5].path).any()
    plain, other = render_mosaic_frame(truth, 6), render_mosaic_frame(truth, 4)
    assert np.isfinite(plain).all() and other.max() > 2.0 * np.median(other)
    assert {one.code for one in discover(tmp_path).left_out} == {"truncated"}


def test_trails_particles_and_hot_pixels_are_those_of_the_truth():
    camera = replace(PLAIN, n_trails=1, trail_frames=(1,), n_cosmics_per_frame=4, n_hot_pixels=6)
    truth, frames = make_mosaic_frames(MosaicScenario(camera, rows=1, subs=1))
    (trail,) = truth.frames[1].trails
    middle = frames[1][round((trail.y0 + trail.y1) / 2), round((trail.x0 + trail.x1) / 2)]
    assert middle > 0.8 * camera.trail_adu and not truth.frames[0].trails
    hits, hot = truth.frames[0].cosmics, truth.sensor.hot_pixels
    assert (frames[0][hits[:, 1].astype(int), hits[:, 0].astype(int)] > hits[:, 2]).all()
    assert (frames[0][hot[:, 1], hot[:, 0]] > truth.frames[0].sky(0.0, 0.0)[0] + 500.0).all()


def test_calibration_frames_lie_beside_a_mosaic(tmp_path):
    make_mosaic(tmp_path, MosaicScenario(replace(PLAIN, n_dark=2, n_flat=1), rows=1, subs=1))
    session = discover(tmp_path)
    assert (len(session.darks), len(session.flats)) == (2, 1)


def test_stacked_panels_have_true_coordinates_and_a_sky_and_scale_of_their_own(tmp_path):
    truth = make_mosaic_truth(MosaicScenario(replace(SMALL, dec_deg=86.0, nebula=True), subs=3))
    panels = make_panels(truth, tmp_path, noise=0.0)
    assert [panel.path.name for panel in panels] == [f"panel_{k}.fits" for k in (1, 2, 3, 4)]
    assert len({round(panel.scale, 6) for panel in panels}) == 4
    for panel in panels:
        with fits.open(panel.path) as hdus:
            hdus.verify("exception")
            np.testing.assert_array_equal(hdus[0].data, panel.pixels)
            ra, dec = oracle(hdus[0].header).all_pix2world(17.0, 120.0, 0)
            assert hdus[0].header["STACKCNT"] == 3
        assert float(separation_deg(ra, dec, *panel.grid.wcs.to_sky(17.0, 120.0))) < 1e-9
        fwhm = float(np.median([frame.fwhm_px for frame in truth.frames if frame.panel == panel.panel]))
        sky = panel.pixels[1] - panel.scale * truth.render(panel.grid, 1, fwhm_px=fwhm)
        assert sky.mean() == pytest.approx(panel.sky_adu[1], rel=1e-3) and sky.std() > 1.0
        np.testing.assert_allclose(np.diff(sky, 2, axis=1), 0.0, atol=0.05)  # a plane
    one = make_panels(truth, tmp_path / "green", channel=1)
    assert fits.getdata(one[0].path).shape == (160, 200)


def test_the_canvas_holds_every_frame_and_counts_its_exposures():
    truth = make_mosaic_truth(MosaicScenario(PLACES["over the pole"], rows=2, columns=2, subs=2))
    grid = truth.canvas()
    seconds = truth.seconds(grid)
    assert seconds[0].max() == 0.0 and seconds[:, -1].max() == 0.0
    exposure_s = PLAIN.exposure_s
    pixels = seconds.sum() / exposure_s / (8 * 199 * 159)
    assert pixels == pytest.approx(1.0, abs=2e-3)
    assert not (np.unique(seconds) % exposure_s).any() and seconds.max() >= 4 * exposure_s
    _, dec = grid.wcs.to_sky(*grid.wcs.to_pixels(0.0, 90.0))
    assert float(dec) == pytest.approx(90.0)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("margin_px", [-0.5, 0.0, 1.6])
def test_exposures_counted_by_runs_are_those_counted_pixel_by_pixel(place, margin_px):
    truth = make_mosaic_truth(MosaicScenario(PLACES[place], rows=2, columns=2, subs=2))
    whole = truth.canvas(scale_arcsec=1.3 * PLACES[place].scale_arcsec)
    for grid in (whole, replace(whole, width=150, height=90)):
        expected = np.zeros((grid.height, grid.width))
        for frame in truth.frames:
            x, y = truth.places(frame, grid, Box.of_shape(grid.height, grid.width))
            expected += frame.grid.holds(x, y, margin_px + 0.5 - 1e-6) * PLAIN.exposure_s
        np.testing.assert_array_equal(truth.seconds(grid, margin_px=margin_px), expected)
        assert expected.max() >= 2 * PLAIN.exposure_s


def test_light_on_a_wide_canvas_is_counted_per_pixel_of_a_frame_or_of_the_canvas():
    camera = replace(PLACES["twenty degrees wide"], nebula=True, n_faint_stars=12)
    truth = make_mosaic_truth(MosaicScenario(camera, rows=3, columns=4, subs=1))
    grid = truth.canvas()
    shown = truth.stars_on(grid)
    corner = np.hypot(shown.x - grid.wcs.crpix0[0], shown.y - grid.wcs.crpix0[1]) > 300.0
    good = lonely(shown, 24.0) & grid.holds(shown.x, shown.y, 13.0) & corner & (shown.flux[:, 0] > 5000.0)
    assert good.sum() >= 5
    kept = {per: truth.render(grid, per=per, nebula=False).astype(np.float64) for per in ("frame", "canvas")}
    for x, y, flux in zip(shown.x[good], shown.y[good], shown.flux[good, 0], strict=True):
        part = np.s_[round(y) - 12 : round(y) + 13, round(x) - 12 : round(x) + 13]
        assert kept["canvas"][part].sum() == pytest.approx(flux, rel=2e-4)
        away = np.arctan(np.hypot(x - grid.wcs.crpix0[0], y - grid.wcs.crpix0[1]) * np.radians(90.0 / 3600.0))
        assert kept["frame"][part].sum() == pytest.approx(flux / np.cos(away) ** 3, rel=3e-4)
    x, y = 40, 50
    light = truth.render(grid, stars=False)[y, x]
    assert light == pytest.approx(float(truth.emission(*grid.wcs.to_sky(float(x), float(y)))[0]), rel=1e-4)


def test_impossible_mosaics_are_refused_with_a_sentence():
    with pytest.raises(ValueError, match="layout 'pile' is not one of mixed, panels"):
        MosaicScenario(layout="pile")
    with pytest.raises(ValueError, match="told 'all' is not one of"):
        MosaicScenario(told="all")
    with pytest.raises(ValueError, match="a folder of its own"):
        MosaicScenario(Scenario(device="dwarf3"), layout="mixed")
    with pytest.raises(ValueError, match="subs a multiple of rounds"):
        MosaicScenario(subs=3, rounds=2)
    with pytest.raises(ValueError, match="overlap 1"):
        MosaicScenario(overlap=1.0)
    with pytest.raises(ValueError, match="panels of the camera has no place"):
        MosaicScenario(Scenario(panels=((0.0, 0.0), (1.0, 0.0))))
    with pytest.raises(ValueError, match="n_frames follows"):
        MosaicScenario(Scenario(n_frames=7))
    with pytest.raises(ValueError, match="3 peaks, one a channel"):
        make_mosaic_truth(MosaicScenario(nebula_clouds=(Cloud(0.0, 0.0, 1.0, (5.0,)),)))
