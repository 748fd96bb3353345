"""The synthetic sky is what it says: positions, fluxes, noise, headers, names, calibration, faults."""

import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from skyquilt.core import Box, Transform
from skyquilt.kernels.render import moffat_share
from skyquilt.testing.laws import fit_fwhm, hash_folder, measure_star_fluxes
from skyquilt.testing.sky import (
    FAULTS,
    TARGETS,
    Scenario,
    calibration_frame,
    make_frames,
    make_session,
    make_truth,
    raw_frame,
    render_frame,
)
from skyquilt.testing.sky.coordinates import precess_from_j2000
from skyquilt.testing.sky.field import load_star_field

SMALL = {"width": 360, "height": 480}
CLEAN = {
    "n_hot_pixels": 0,
    "n_cold_pixels": 0,
    "n_cosmics_per_frame": 0,
    "nebula": False,
    "gradient": 0.0,
    "noise": False,
    "tycho": False,
}


def clean_mono(**changes):
    return Scenario(**{"device": "generic", "cfa": None, "n_faint_stars": 40, "n_frames": 3} | SMALL | CLEAN | changes)


def isolated(stars, distance, count, margin, shape):
    """Return the brightest stars without neighbours and away from the edges."""
    kept = []
    for i in range(len(stars)):
        far = np.hypot(stars.x - stars.x[i], stars.y - stars.y[i])
        far[i] = np.inf
        inside = margin < stars.x[i] < shape[1] - margin and margin < stars.y[i] < shape[0] - margin
        if inside and far.min() > distance:
            kept.append(i)
    return stars.take(np.array(kept[:count]))


def centroid(image, x, y, half=12):
    """Return the centre of gravity of the light around a star on a flat background of 0."""
    column, row = round(float(x)), round(float(y))
    part = image[row - half : row + half + 1, column - half : column + half + 1].astype(np.float64)
    down, across = np.mgrid[row - half : row + half + 1, column - half : column + half + 1]
    return (part * across).sum() / part.sum(), (part * down).sum() / part.sum()


def test_stars_have_the_position_flux_and_width_that_the_truth_tells():
    truth = make_truth(clean_mono(rotation_deg=(0.0, 40.0)))
    frame = truth.frames[2]
    image = render_frame(truth, 2) - np.float32(frame.sky_adu[0])
    stars = isolated(truth.frame_stars(2), 40.0, 8, 32, image.shape)
    assert len(stars) >= 5
    for x, y in zip(stars.x, stars.y, strict=True):
        np.testing.assert_allclose(centroid(image, x, y), (x, y), atol=1e-3)
        assert fit_fwhm(image, x, y)[0] == pytest.approx(frame.fwhm_px, rel=1e-3)
    np.testing.assert_allclose(measure_star_fluxes(image, stars.x, stars.y, 12.0), stars.flux[:, 0], rtol=1e-3)


def test_moffat_stars_have_the_flux_that_the_truth_tells_core_and_wings():
    truth = make_truth(clean_mono(rotation_deg=(0.0, 40.0), moffat_beta=3.0))
    frame = truth.frames[2]
    image = render_frame(truth, 2) - np.float32(frame.sky_adu[0])
    near = truth.stars_near(2, 100.0)
    alpha = 0.5 * frame.fwhm_px / np.sqrt(2.0 ** (1.0 / 3.0) - 1.0)
    chosen = isolated(truth.frame_stars(2), 40.0, 6, 32, image.shape)
    assert len(chosen) >= 5
    for x, y in zip(chosen.x, chosen.y, strict=True):
        for column, row in ((round(x), round(y)), (round(x) + 2, round(y) - 1)):
            shares = [moffat_share(column - u, row - v, alpha, 3.0) for u, v in zip(near.x, near.y, strict=True)]
            # every star leaves out what lies below 0.02 ADU
            assert image[row, column] == pytest.approx(near.flux[:, 0] @ np.array(shares), rel=1e-3, abs=0.2)


def test_the_transform_takes_reference_pixels_to_frame_pixels_and_back_to_the_sky():
    scenario = clean_mono(rotation_deg=(3.0, 75.0), distortion_px=2.0, n_frames=4, fault={0: "cloudy"})
    truth = make_truth(scenario)
    assert truth.reference == 1
    x, y = truth.frames[1].transform(100.0, 200.0)
    assert (x, y) == (pytest.approx(100.0, abs=1e-9), pytest.approx(200.0, abs=1e-9))
    shown = truth.frame_stars(3)
    image = render_frame(truth, 3) - np.float32(truth.frames[3].sky_adu[0])
    chosen = isolated(shown, 40.0, 6, 32, image.shape)
    x, y = truth.frames[3].transform(*truth.from_sky(chosen.ra_deg, chosen.dec_deg))
    for i in range(len(chosen)):
        np.testing.assert_allclose(centroid(image, x[i], y[i]), (x[i], y[i]), atol=2e-3)
    ra, dec = truth.to_sky(*truth.from_sky(192.75, 41.15))
    assert (float(ra), float(dec)) == (pytest.approx(192.75, abs=1e-9), pytest.approx(41.15, abs=1e-9))


def test_barrel_distortion_does_not_fold_far_stars_into_the_frame():
    dials = {"distortion_px": -6.0, "tycho": True, "target": "NGC 7000", "n_frames": 2}
    truth = make_truth(clean_mono(**dials))
    plain = make_truth(clean_mono(**dials | {"distortion_px": 0.0}))
    for shown in (truth.frame_stars(1), truth.stars_in(Box(0, 0, 360, 480))):
        assert len(shown) == pytest.approx(len(plain.frame_stars(1)), rel=0.1)
    image = render_frame(truth, 1)
    assert image.sum() == pytest.approx(render_frame(plain, 1).sum(), rel=0.02)


def test_session_without_distortion_is_related_by_similarities():
    truth = make_truth(clean_mono(rotation_deg=(0.0, 80.0), n_frames=9, meridian_flip=True))
    for frame in truth.frames:
        assert frame.transform.kind == "similarity"
        assert frame.transform.scale == pytest.approx(1.0, abs=1e-12)
    turn = truth.frames[8].transform.rotation_deg
    assert (turn + 180.0) % 360.0 == pytest.approx(80.0, abs=1e-6)


def test_mosaic_panels_are_exact_views_of_one_sky():
    scenario = clean_mono(target="M 31", tycho=True, n_frames=2, panels=((0.0, 0.0), (0.18, 0.05)))
    truth = make_truth(scenario)
    assert truth.frames[1].transform.kind == "homography"
    ra, dec = truth.frame_centre(1)
    away = (ra - TARGETS["M 31"].ra_deg) * np.cos(np.radians(dec))
    # the mount's jitter (0.15 px) and drift (0.5 px) move it by an arcsecond
    assert away == pytest.approx(0.18, abs=1e-3)
    assert dec - TARGETS["M 31"].dec_deg == pytest.approx(0.05, abs=1e-3)


def test_sky_noise_is_what_the_truth_says_in_every_colour():
    truth = make_truth(Scenario(n_frames=1, **SMALL, **(CLEAN | {"noise": True, "n_faint_stars": 0})))
    frame = raw_frame(truth, 0).astype(np.float64)
    channel_of = truth.scenario.channel_of
    for row in (0, 1):
        for column in (0, 1):
            channel = channel_of[row, column]
            plane = frame[row::2, column::2]
            assert plane.mean() == pytest.approx(truth.frames[0].sky_adu[channel], abs=1.5)
            assert plane.std() == pytest.approx(truth.frames[0].sky_sigma_adu[channel], rel=0.015)


def test_a_seestar_frame_resembles_the_real_ones():
    # M 94, 2025-03-27: medians G 996, R 842, B 794, superpixel sigma 41 ADU
    truth = make_truth(Scenario(n_frames=1, width=540, height=960))
    frame = raw_frame(truth, 0).astype(np.float64)
    planes = [frame[0::2, 0::2], frame[0::2, 1::2], frame[1::2, 0::2], frame[1::2, 1::2]]
    medians = [np.median(plane) for plane in planes]
    np.testing.assert_allclose(medians, [996, 842, 794, 993], rtol=0.02)
    difference = np.diff(sum(planes) / 4.0, axis=1)
    assert 1.4826 * np.median(np.abs(difference)) / np.sqrt(2.0) == pytest.approx(41.0, rel=0.06)


def test_the_reference_picture_is_the_frame_without_its_sky():
    truth = make_truth(Scenario(n_frames=2, target="NGC 7023", **SMALL, **(CLEAN | {"nebula": True})))
    frame = truth.frames[0]
    channel_of = truth.scenario.channel_of
    image = render_frame(truth, 0)
    for row, column in ((0, 0), (0, 1), (1, 0)):
        channel = channel_of[row, column]
        expected = truth.render_reference(channel) * frame.transparency + frame.sky_adu[channel]
        np.testing.assert_allclose(image[row::2, column::2], expected[row::2, column::2], rtol=2e-3, atol=0.2)
    part = truth.render_reference(1, box=Box(-20, 30, 100, 90))
    np.testing.assert_allclose(part[:, 20:], truth.render_reference(1)[30:90, :100], atol=0.02)
    y, x = np.mgrid[:5, :7].astype(np.float64)
    assert truth.nebula(x, y).shape == (3, 5, 7)


def test_the_same_seed_gives_the_same_bits_and_frame_k_does_not_depend_on_the_others(tmp_path):
    steady = {"rotation_deg": (0.0, 0.0), "sky_trend": 0.0, "n_trails": 1, "trail_frames": (1,)}
    few = Scenario(n_frames=2, seed=7, **SMALL, **steady)
    more = Scenario(n_frames=12, seed=7, **SMALL, **steady)
    make_session(tmp_path / "a", few)
    make_session(tmp_path / "b", few)
    assert hash_folder(tmp_path / "a") == hash_folder(tmp_path / "b")
    np.testing.assert_array_equal(make_frames(few)[1][1], raw_frame(make_truth(more), 1))
    other = Scenario(n_frames=2, seed=8, **SMALL, **steady)
    assert (raw_frame(make_truth(other), 1) != raw_frame(make_truth(few), 1)).mean() > 0.9


def test_real_stars_stand_where_the_catalogue_has_them_and_faint_ones_cover_the_frame():
    truth = make_truth(Scenario(n_frames=1))
    assert (load_star_field("M 94", 2025.0).vt_mag < 13.0).sum() > 400
    inside = truth.stars_in(Box(0, 0, 1080, 1920))
    assert inside.is_tycho.sum() > 15
    assert 250 < (~inside.is_tycho).sum() < 550
    x, y = truth.from_sky(TARGETS["M 94"].ra_deg, TARGETS["M 94"].dec_deg)
    assert (float(x), float(y)) == (pytest.approx(539.5), pytest.approx(959.5))
    # pictures of a Seestar are not mirrored in array order: det(CD) > 0
    east, _ = truth.to_sky(x + np.array([0.0, 1.0, 0.0]), y + np.array([0.0, 0.0, 1.0]))
    _, north = truth.to_sky(x + np.array([0.0, 1.0, 0.0]), y + np.array([0.0, 0.0, 1.0]))
    step_x = east[1] - east[0], north[1] - north[0]
    step_y = east[2] - east[0], north[2] - north[0]
    assert step_x[0] * step_y[1] - step_x[1] * step_y[0] > 0


def test_two_nights_show_one_sky_through_other_air():
    first = make_truth(Scenario(n_frames=2, target="NGC 7023", **SMALL))
    dials = {"night": 1, "start_utc": "2025-03-29T03:00:00", "position_angle_deg": 75.0}
    second = make_truth(Scenario(n_frames=2, target="NGC 7023", **SMALL, **dials))
    np.testing.assert_array_equal(first.sensor.dark_adu_s, second.sensor.dark_adu_s)
    assert first.frames[1].transparency != second.frames[1].transparency
    x, y = np.array([50.0, 300.0, 170.0]), np.array([30.0, 200.0, 400.0])
    there = second.from_sky(*first.to_sky(x, y))
    np.testing.assert_allclose(first.nebula(x, y), second.nebula(*there), rtol=1e-9)
    middle = Box(120, 180, 240, 300)
    faint = first.stars_in(middle)
    faint = faint.take(~faint.is_tycho)
    assert len(faint) > 10
    for ra, dec in zip(faint.ra_deg, faint.dec_deg, strict=True):
        assert np.hypot(second.stars.ra_deg - ra, second.stars.dec_deg - dec).min() < 1e-9


@pytest.mark.parametrize("target", ["North Celestial Pole", "NGC 7801"])
def test_the_pole_and_right_ascension_zero_are_ordinary_places(target):
    truth = make_truth(Scenario(n_frames=1, target=target))
    inside = truth.stars_in(Box(0, 0, 1080, 1920))
    assert inside.is_tycho.sum() > 15
    if target == "NGC 7801":
        assert (inside.ra_deg < 1.0).any() and (inside.ra_deg > 359.0).any()


def test_header_coordinates_of_a_seestar_are_of_date():
    # a real frame: header 193.071, +40.980 on 2025-03-27 for a field centred on 192.775, +41.117
    ra, dec = precess_from_j2000(192.775, 41.117, 2025.235)
    assert (ra, dec) == (pytest.approx(193.071, abs=0.003), pytest.approx(40.980, abs=0.003))


def header_words(text):
    return [line.split("=")[0].strip() for line in text.splitlines() if "=" in line[:9]]


def test_a_seestar_session_has_the_names_and_the_header_of_the_device(tmp_path):
    truth = make_session(tmp_path, Scenario(n_frames=2, device_stack=True, **SMALL))
    lights = tmp_path / "MyWorks" / "M 94_sub"
    assert truth.lights_folder == lights
    assert sorted(path.name for path in lights.iterdir()) == [
        "Light_M 94_10.0s_IRCUT_20250326-212045.fit",
        "Light_M 94_10.0s_IRCUT_20250326-212057.fit",
    ]
    with fits.open(truth.frames[1].path) as hdus:
        hdus.verify("exception")
        header = hdus[0].header
        np.testing.assert_array_equal(hdus[0].data, raw_frame(truth, 1))
    assert header["IMAGETYP"] == "Light" and header["BAYERPAT"] == "GRBG" and header["EXPTIME"] == 10.0
    assert header["RA"] == pytest.approx(193.017, abs=0.003)
    assert datetime.fromisoformat(header["DATE-OBS"]) == truth.frames[1].start
    assert truth.frames[1].path.stat().st_size == 5760 + -(-360 * 480 * 2 // 2880) * 2880
    stacks = list((tmp_path / "MyWorks" / "M 94").iterdir())
    assert [path.name for path in stacks] == ["Stacked_2_M 94_10.0s_IRCUT_20250326-212102.fit"]
    stack = fits.getheader(stacks[0])
    assert (stack["NAXIS3"], stack["STACKCNT"], stack["TOTALEXP"], stack["BAYERPAT"]) == (3, 2, 20.0, "GRBG")


SEESTAR_HEADER = """SIMPLE  =                    T / file does conform to FITS standard
BITPIX  =                   16 / number of bits per data pixel
NAXIS   =                    2 / number of data axes
BZERO   =                32768 / offset data range to that of unsigned short
CREATOR = 'ZWO Seestar S50'    / Capture software
FOCALLEN=                  250 / Focal length of telescope in mm
APERTURE=                   5. / Name of field of view aperture
PROGRAM = '4.27    '           / The name of the software task that created the
XPIXSZ  =     2.90000009536743 / pixel size in microns (with binning)
EXPTIME =                  10. / Exposure time in seconds
FILTER  = 'IRCUT   '           / Filter used when taking image
OBJECT  = 'M 94    '           / name or catalog number of object being imaged
COMMENT   and Astrophysics', volume 376, page 359; bibcode: 2001A&A...376..359H"""


def test_seestar_cards_equal_the_real_ones_to_the_letter(tmp_path):
    truth = make_session(tmp_path, Scenario(n_frames=1, **SMALL))
    block = truth.frames[0].path.read_bytes()[:5760].decode("ascii")
    cards = {block[i : i + 80].rstrip() for i in range(0, 5760, 80)}
    for line in SEESTAR_HEADER.splitlines():
        assert line in cards


def test_a_dwarf_session_has_its_sidecar_refused_frames_and_darks(tmp_path):
    scenario = Scenario(
        device="dwarf3", target="NGC 2264", n_frames=2, n_failed=1, n_dark=2, n_flat=2, device_stack=True, **SMALL
    )
    truth = make_session(tmp_path, scenario)
    names = sorted(path.name for path in truth.lights_folder.iterdir())
    assert truth.lights_folder.name == "DWARF_RAW_TELE_NGC 2264_EXP_15_GAIN_60_2025-03-26-21-20-32-955"
    assert [name.split("_")[0] for name in names] == ["NGC 2264", "NGC 2264", "failed", "shotsInfo.json", "stacked-2"]
    assert names[0] == "NGC 2264_15s60_Astro_20250326-212048955_20C.fits"
    shots = json.loads((truth.lights_folder / "shotsInfo.json").read_text())
    assert shots["RA"] == pytest.approx(TARGETS["NGC 2264"].ra_deg / 15.0) and shots["exp"] == "15"
    assert (shots["shotsStacked"], shots["shotsTaken"]) == (2, 3)
    header = fits.getheader(truth.frames[0].path)
    assert header["RA"] == pytest.approx(100.242) and "IMAGETYP" not in header and header["BAYERPAT"] == "RGGB"
    assert len(list(tmp_path.glob("Astronomy/DWARF_DARK/tele_exp_15_gain_60_bin_1_*/raw_15s_60_*_20C.fits"))) == 2
    assert (tmp_path / "CALI_FRAME/flat/cam_0/flat_gain_2_bin_1_ir_1.fits").is_file()
    assert not truth.frames[2].is_good


def test_a_dwarf_2_writes_its_old_dialect(tmp_path):
    truth = make_session(tmp_path, Scenario(device="dwarf2", target="M 42", n_frames=1, n_dark=1, **SMALL))
    assert truth.frames[0].path.name == "raw_M42_15s_80_0000.fits"
    header = fits.getheader(truth.frames[0].path)
    assert header["EXP"] == 15.0 and "EXPTIME" not in header
    assert header["RA"] == pytest.approx(TARGETS["M 42"].ra_deg / 15.0)
    assert (tmp_path / "Astronomy/DWARF_DARK/exp_15_gain_80_bin_1/0000.fits").is_file()


def test_a_generic_session_brings_its_calibration_folders(tmp_path):
    scenario = Scenario(
        device="generic", cfa=None, filter="R", n_frames=1, n_bias=1, n_dark=1, n_flat=1, n_flat_dark=1, **SMALL
    )
    make_session(tmp_path, scenario)
    kinds = {}
    for path in tmp_path.rglob("*.fits"):
        header = fits.getheader(path)
        kinds[path.relative_to(tmp_path).as_posix()] = header["IMAGETYP"].strip()
        assert header["ROWORDER"] == "TOP-DOWN" and "BAYERPAT" not in header
    assert kinds == {
        "lights/M 94_LIGHT_R_60.00s_0000.fits": "LIGHT",
        "darks/DARK_0000.fits": "DARK",
        "flats/FLAT_0000.fits": "FLAT",
        "biases/BIAS_0000.fits": "BIAS",
        "flat_darks/DARKFLAT_0000.fits": "DARKFLAT",
    }


def test_light_less_dark_over_flat_is_the_light_of_the_sky():
    camera = {"vignetting": 0.3, "dust": 4, "dark_current_adu_s": 2.0, "amp_glow_adu_s": 5.0, "n_hot_pixels": 50}
    dirty = make_truth(clean_mono(**camera, pixel_response=0.01, n_frames=1))
    ideal = render_frame(make_truth(clean_mono(n_frames=1)), 0)
    light, dark, flat, flat_dark = (
        frame.astype(np.float64)
        for frame in (
            raw_frame(dirty, 0),
            *(calibration_frame(dirty.scenario, dirty.sensor, kind, 0) for kind in ("dark", "flat", "flat_dark")),
        )
    )
    response = (flat - flat_dark) / dirty.scenario.flat_adu
    assert response.min() < 0.75
    result, expected = (light - dark) / response, ideal - dirty.scenario.pedestal_adu
    usable = (light < 60000) & (dark < 60000) & (expected < 5000)
    assert usable.mean() > 0.99
    assert np.abs(result - expected)[usable].max() < 2.0  # roundings of four frames


def test_hot_pixels_trails_and_particles_are_where_the_truth_says():
    scenario = clean_mono(n_hot_pixels=20, n_trails=1, trail_frames=(0,), n_cosmics_per_frame=5, n_faint_stars=0)
    truth = make_truth(scenario)
    image = render_frame(truth, 0) - np.float32(truth.frames[0].sky_adu[0])
    hot = truth.hot_pixels
    assert (image[hot[:, 1], hot[:, 0]] > 1000.0).all()
    (trail,) = truth.frames[0].trails
    middle = image[round((trail.y0 + trail.y1) / 2), round((trail.x0 + trail.x1) / 2)]
    assert middle == pytest.approx(10000.0, rel=0.15)
    hits = truth.frames[0].cosmics
    assert len(hits) >= 5
    assert (image[hits[:, 1].astype(int), hits[:, 0].astype(int)] >= hits[:, 2] - 1.0).all()
    assert not truth.frames[1].trails
    y, x = np.mgrid[: scenario.height, : scenario.width]
    far = np.abs((x - trail.x0) * (trail.y1 - trail.y0) - (y - trail.y0) * (trail.x1 - trail.x0))
    far = far / np.hypot(trail.x1 - trail.x0, trail.y1 - trail.y0) > 15.0
    blemished = (np.abs(image) > 1.0) & far
    assert blemished.sum() <= len(hits) + len(hot)


def test_transparency_steps_clouds_and_seeing_reach_the_truth():
    dials = {"transparency_steps": {2: 0.8}, "clouds": {1: 0.3}, "transparency_scatter": 0.0, "fwhm_scatter": 0.0}
    truth = make_truth(clean_mono(**dials, fwhm_trend=0.5))
    assert [frame.transparency for frame in truth.frames] == pytest.approx([1.0, 0.3, 0.8])
    assert [frame.fwhm_px for frame in truth.frames] == pytest.approx([3.6, 4.5, 5.4])
    assert truth.frames[1].sky_light_adu[0] > 1.3 * truth.frames[0].sky_light_adu[0]


def test_the_gradient_keeps_its_direction_in_the_frame_and_has_the_stated_size():
    truth = make_truth(clean_mono(n_faint_stars=0, gradient=0.2, rotation_deg=(0.0, 60.0), sky_trend=0.0))
    first, last = render_frame(truth, 0), render_frame(truth, 2)
    np.testing.assert_allclose(first, last, rtol=1e-5)
    light = truth.frames[0].sky_light_adu[0]
    assert (first.max() - first.min()) / light == pytest.approx(0.2, rel=1e-3)


@pytest.mark.parametrize("word", sorted(FAULTS))
def test_every_fault_shows_in_its_frame(tmp_path, word):
    truth = make_session(tmp_path, Scenario(n_frames=3, fault={1: word}, width=200, height=160))
    path = truth.frames[1].path
    content, before = path.read_bytes(), truth.frames[0].path.read_bytes()
    assert truth.frames[1].is_good is (word in ("missing_keys", "decimal_comma"))
    assert truth.frames[0].is_good and truth.reference == 0
    if word in ("empty", "lfs_pointer", "truncated"):
        assert len(content) < len(before)
        return
    if word == "duplicate":
        assert content == before and path.name != truth.frames[0].path.name
        return
    with fits.open(path) as hdus:
        header, pixels = hdus[0].header, hdus[0].data
    expected = {
        "wrong_size": pixels.shape == (80, 100),
        "nan": np.isnan(pixels).mean() == 0.25,
        "zero": not pixels.any(),
        "saturated": bool((pixels == 65500).all()),
        "glitch_rows": bool((pixels[128:] == 425).all()),
        "wrong_bayer": header.get("BAYERPAT") == "RGGB",
        "missing_keys": "EXPTIME" not in header,
        "decimal_comma": "1,0E+01" in content[:5760].decode("latin-1"),
        "trailed": np.hypot(*truth.frames[1].streak) > 20.0,
        "defocused": truth.frames[1].fwhm_px > 9.0,
        "cloudy": truth.frames[1].transparency < 0.2,
        "no_stars": truth.frames[1].transparency == 0.0,
        "other_target": header.get("OBJECT") == "M 94",
    }
    assert expected[word]


def test_impossible_scenarios_are_refused_with_a_sentence():
    with pytest.raises(ValueError, match="device 'sky' is not one of"):
        Scenario(device="sky")
    with pytest.raises(ValueError, match="cfa 'RGBG'"):
        Scenario(cfa="RGBG")
    with pytest.raises(ValueError, match="frame 2 has fault 'tired'"):
        Scenario(fault={2: "tired"})
    with pytest.raises(ValueError, match="generic camera makes no device_stack"):
        Scenario(device="generic", device_stack=True)
    with pytest.raises(ValueError, match="every frame has a fault"):
        Scenario(n_frames=1, fault={0: "zero"})


def test_a_session_in_memory_needs_no_disk():
    truth, frames = make_frames(Scenario(n_frames=2, **SMALL))
    assert len(frames) == 2 and frames[0].dtype == np.uint16 and frames[0].shape == (480, 360)
    assert truth.frames[0].path == Path("MyWorks/M 94_sub/Light_M 94_10.0s_IRCUT_20250326-212045.fit")
    assert isinstance(truth.frames[1].transform, Transform)
