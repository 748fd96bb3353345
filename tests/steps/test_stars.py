"""What the star detector finds, how well it places and measures it, and what it does not fall for."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from star_field import CHANNELS, PIXEL_FWHM, isolated, pairs, render, scatter

from skyquilt.core import CFA_NAMES, Cfa, Measurement
from skyquilt.kernels.background import define_cell, measure_cells
from skyquilt.steps.stars import measure, measure_cube

SATURATION = 65535.0
WIDTH, HEIGHT = 540, 640


def field(seed: int, n: int, **options: object) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y, flux = scatter(rng, n, WIDTH, HEIGHT)
    return x, y, flux, render(WIDTH, HEIGHT, x, y, flux, rng=rng, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("cfa", [None, *CFA_NAMES])
def test_isolated_stars_are_found_and_placed_to_a_tenth_of_a_pixel(cfa: str | None) -> None:
    x, y, flux, image = field(1, 120, cfa=cfa)
    stars = measure(image, Cfa(cfa) if cfa else None, saturation_adu=SATURATION).stars
    inside = (x > 12) & (x < WIDTH - 12) & (y > 12) & (y < HEIGHT - 12)
    wanted = isolated(x, y, 15.0) & inside
    truth, found = pairs(stars, x, y)
    assert set(np.flatnonzero(wanted)) <= set(truth), "every isolated star above 1,500 ADU is found"
    miss = np.stack([stars.x[found] - x[truth], stars.y[found] - y[truth]])
    bright = wanted[truth] & (flux[truth] > 10_000)
    middling = wanted[truth] & (flux[truth] > 3_000) & (flux[truth] < 10_000)
    assert miss[:, bright].std() < 0.025, "px per axis, stars above 10,000 ADU"
    assert miss[:, middling].std() < 0.085, "px per axis, stars of 3,000 to 10,000 ADU"
    assert abs(miss[:, bright].mean()) < 0.01, "px, no offset between the CFA's sites"


def test_errors_are_those_that_are_met() -> None:
    x, y, flux, image = field(2, 200)
    stars = measure(image, Cfa("RGGB"), saturation_adu=SATURATION).stars
    truth, found = pairs(stars, x, y)
    good = isolated(x, y, 15.0)[truth] & (flux[truth] < 10_000)
    truth, found = truth[good], found[good]
    pull = np.concatenate([stars.x[found] - x[truth], stars.y[found] - y[truth]])
    pull /= np.tile(stars.position_error[found], 2)
    assert 0.75 < pull.std() < 1.25
    assert 0.75 < ((stars.flux[found] - flux[truth]) / stars.flux_error[found]).std() < 1.35


@pytest.mark.parametrize("shape", ["gaussian", "moffat"])
@pytest.mark.parametrize("fwhm", [1.8, 2.8, 4.0, 6.0])
def test_fwhm_is_right_to_three_percent_also_where_the_cfa_undersamples(fwhm: float, shape: str) -> None:
    *_, image = field(3, 90, fwhm=fwhm, shape=shape)
    figures = measure(image, Cfa("GRBG"), saturation_adu=SATURATION).figures
    assert figures.fwhm_px == pytest.approx(np.hypot(fwhm, PIXEL_FWHM), rel=0.03)
    assert figures.eccentricity < 0.45


@pytest.mark.parametrize("fwhm", [2.0, 2.8, 4.5])
def test_flux_does_not_depend_on_the_seeing(fwhm: float) -> None:
    ratios = []
    for seed in range(4, 10):  # of one field some ten stars stand alone, which tell their median to 0.4 % only
        x, y, flux, image = field(seed, 90, fwhm=fwhm)
        stars = measure(image, Cfa("RGGB"), saturation_adu=SATURATION).stars
        truth, found = pairs(stars, x, y)
        good = isolated(x, y, 8 * fwhm)[truth] & (flux[truth] > 10_000)
        ratios.append(stars.flux[found][good] / flux[truth][good])
        assert np.all(np.diff(stars.flux) <= 0), "brightest first"
    assert np.median(np.concatenate(ratios)) == pytest.approx(1.0, abs=0.006), "share of the true flux"


@pytest.mark.parametrize("fwhm", [1.8, 2.8, 4.0])
def test_seeing_and_wings_are_told_with_the_aperture(fwhm: float) -> None:
    *_, image = field(3, 90, fwhm=fwhm, shape="moffat")
    figures = measure(image, Cfa("GRBG"), saturation_adu=SATURATION).figures
    assert figures.seeing_px == pytest.approx(fwhm, rel=0.05)
    assert 0.0 < figures.seeing_error_px < 0.05 * fwhm
    assert figures.inverse_beta == pytest.approx(1.0 / 3.5, abs=0.05)
    assert figures.aperture_px == pytest.approx(max(6.0, 2.0 * np.hypot(fwhm, PIXEL_FWHM)), rel=0.05)
    assert figures.sky_from_px == pytest.approx(max(8.0, 2.6 * np.hypot(fwhm, PIXEL_FWHM)), rel=0.08)
    assert figures.sky_to_px > figures.sky_from_px + 5.0 - 1e-9
    assert np.isnan(measure(np.zeros((200, 300), np.float32), None, saturation_adu=SATURATION).figures.seeing_px)


def test_wide_stars_are_not_split() -> None:
    rng = np.random.default_rng(5)
    x, y, flux = scatter(rng, 35, WIDTH, HEIGHT, faintest=15_000)
    image = render(WIDTH, HEIGHT, x, y, flux, fwhm=10.0, rng=rng)
    stars = measure(image, Cfa("RGGB"), saturation_adu=SATURATION).stars
    truth, _ = pairs(stars, x, y, radius=3.0)
    bright = isolated(x, y, 40.0) & (flux > 20_000) & (x > 20) & (x < 520) & (y > 20) & (y < 620)
    assert bright.sum() >= 5
    assert set(np.flatnonzero(bright)) <= set(truth)
    assert len(stars) <= len(x)
    assert np.median(stars.fwhm[:10]) == pytest.approx(10.0, rel=0.05)


def test_stars_drawn_out_by_bad_tracking_are_still_found() -> None:
    rng = np.random.default_rng(6)
    x, y, flux = scatter(rng, 40, WIDTH, HEIGHT, faintest=20_000)
    steps = np.linspace(-7, 7, 29)
    trailed = np.mean([render(WIDTH, HEIGHT, x + s, y + 0.3 * s, flux, sky=0.0) for s in steps], axis=0)
    image = (trailed + 900.0 + rng.normal(0, 30, trailed.shape)).astype(np.float32)
    measured = measure(image, Cfa("RGGB"), saturation_adu=SATURATION)
    good = isolated(x, y, 40.0) & (x > 25) & (x < WIDTH - 25) & (y > 25) & (y < HEIGHT - 25)
    truth, _ = pairs(measured.stars, x, y, radius=3.0)
    assert len(set(np.flatnonzero(good)) & set(truth)) >= 0.9 * good.sum()
    assert measured.figures.eccentricity > 0.85


def test_a_satellite_trail_does_not_fill_the_list() -> None:
    _x, _y, _, image = field(7, 80)
    along = np.arange(-40, 760, 0.25)
    column, line = np.clip(np.rint(along), 0, WIDTH - 1), np.rint(0.6 * along + 150)
    inside = (along >= 0) & (along < WIDTH) & (line >= 1) & (line < HEIGHT - 1)
    trail = np.zeros_like(image)
    for offset, share in ((-1, 0.5), (0, 1.0), (1, 0.5)):
        trail[line[inside].astype(int) + offset, column[inside].astype(int)] = 1500.0 * share
    trail += np.random.default_rng(8).normal(0, 0.2, image.shape).astype(np.float32) * trail
    clean = measure(image, Cfa("RGGB"), saturation_adu=SATURATION)
    crossed = measure(image + trail, Cfa("RGGB"), saturation_adu=SATURATION)
    distance = np.abs(crossed.stars.y - 0.6 * crossed.stars.x - 150) / np.hypot(1, 0.6)
    assert (distance < 6).sum() <= 8, "of the hundreds of peaks along the trail"
    assert len(crossed.stars) < len(clean.stars) + 8
    assert len(crossed.stars) > 0.9 * len(clean.stars)
    assert crossed.figures.fwhm_px == pytest.approx(clean.figures.fwhm_px, rel=0.03)


@pytest.mark.parametrize("cfa", [None, "RGGB"])
def test_hot_pixels_are_no_stars(cfa: str | None) -> None:
    rng = np.random.default_rng(9)
    x, y, _, image = field(9, 60, cfa=cfa)
    hot = rng.choice(image.size, 400, replace=False)
    image.ravel()[hot] += rng.uniform(500, 20_000, 400).astype(np.float32)
    stars = measure(image, Cfa(cfa) if cfa else None, saturation_adu=SATURATION).stars
    d2 = (stars.x[:, None] - x) ** 2 + (stars.y[:, None] - y) ** 2
    assert (d2.min(axis=1) > 9.0).sum() <= 3, "false stars from 400 hot pixels"


def test_a_frame_of_hot_pixels_alone_shows_no_stars() -> None:
    rng = np.random.default_rng(10)
    image = rng.normal(500, 20, (HEIGHT, WIDTH)).astype(np.float32)
    for shift in (0, 1):  # single ones and pairs
        image.ravel()[rng.choice(image.size - 1, 100, replace=False) + shift] += 5000.0
    image[100, 100:102] += 4000.0
    image[200:202, 300] += 6000.0
    assert len(measure(image, None, saturation_adu=SATURATION).stars) <= 2


def test_noise_alone_shows_hardly_a_star() -> None:
    rng = np.random.default_rng(11)
    image = rng.normal(900, 30, (1920, 1080)).astype(np.float32)
    assert len(measure(image, Cfa("GRBG"), saturation_adu=SATURATION).stars) <= 3


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((200, 300), np.float32),
        np.full((200, 300), 65535.0, np.float32),
        np.full((200, 300), np.nan, np.float32),
        np.full((200, 300), np.inf, np.float32),
        np.zeros((8, 300), np.float32),
        np.zeros((33, 35), np.float32),
        np.where(np.indices((200, 300)).sum(0) % 2, np.nan, 7.0).astype(np.float32),
        np.full((200, 300), -1e30, np.float32),
    ],
)
@pytest.mark.parametrize("cfa", [None, "BGGR"])
def test_a_frame_without_stars_gives_an_empty_list_and_no_warning(image: np.ndarray, cfa: str | None) -> None:
    measured = measure(image, Cfa(cfa) if cfa else None, saturation_adu=SATURATION)
    assert len(measured.stars) == 0
    assert measured.figures.n_stars == 0
    assert np.isnan(measured.figures.fwhm_px)
    assert np.isnan(measured.figures.eccentricity)


def test_pixels_that_are_not_finite_take_no_part() -> None:
    x, y, flux, image = field(12, 60)
    image[:, 200:203] = np.nan
    image[300, :] = np.inf
    stars = measure(image, Cfa("RGGB"), saturation_adu=SATURATION).stars
    truth, found = pairs(stars, x, y)
    away = (np.abs(x[truth] - 201) > 12) & (np.abs(y[truth] - 300) > 12) & isolated(x, y, 15)[truth]
    bright = away & (flux[truth] > 10_000)
    assert bright.sum() > 5
    assert np.abs(stars.x[found] - x[truth])[bright].max() < 0.1


def test_saturated_stars_are_marked_and_still_placed() -> None:
    x, y = np.array([100.3, 300.0, 200.2]), np.array([120.4, 400.7, 250.1])
    flux = np.array([3e6, 1e5, 5e4])
    image = np.minimum(render(WIDTH, HEIGHT, x, y, flux, rng=np.random.default_rng(13)), SATURATION)
    measured = measure(image.astype(np.float32), Cfa("RGGB"), saturation_adu=SATURATION)
    truth, found = pairs(measured.stars, x, y)
    assert list(truth) == [0, 1, 2]
    assert list(measured.stars.is_saturated[found]) == [True, False, False]
    assert abs(measured.stars.x[found[0]] - x[0]) < 0.2
    assert 0 < measured.figures.saturated_share < 1e-3


def test_sky_and_noise_are_measured_colour_by_colour() -> None:
    slope = np.linspace(0, 120, WIDTH)[None, :] + np.linspace(0, 60, HEIGHT)[:, None]
    *_, image = field(14, 200, sky=900.0 + slope)
    measured = measure(image, Cfa("RGGB"), saturation_adu=SATURATION)
    size = measured.cell_px
    assert measured.background.shape == (3, -(-HEIGHT // size), -(-WIDTH // size))
    assert measured.noise_adu == pytest.approx([30, 30, 30], rel=0.05)
    centre = (np.arange(WIDTH // size) + 0.5) * size - 0.5
    for channel in range(3):
        for row in (1, 5):
            truth = CHANNELS[channel] * (900 + centre / (WIDTH - 1) * 120 + ((row + 0.5) * size) / HEIGHT * 60)
            error = measured.background[channel, row, : len(centre)] - truth
            assert np.abs(error).max() < 0.3 * 30, "ADU, 0.3 sigma of a pixel"
            assert abs(error.mean()) < 0.08 * 30


@pytest.mark.parametrize("kind", ["gaussian", "skewed", "whole numbers", "slope", "few"])
def test_the_fast_sky_agrees_with_its_definition(kind: str) -> None:
    rng = np.random.default_rng(15)
    image = rng.normal(1000, 12, (128, 192))
    if kind == "skewed":
        image += rng.exponential(15, image.shape)
    elif kind == "whole numbers":
        image = np.rint(rng.normal(350, 3, image.shape))
    elif kind == "slope":
        image += np.arange(192) * 40.0
    elif kind == "few":
        image[:, ::2] = np.nan
    pixels = image.astype(np.float32)
    level, sigma = np.empty((1, 2, 3), np.float32), np.empty((1, 2, 3), np.float32)
    seeds = np.array([990.0]), np.array([10.0])
    measure_cells(pixels, np.zeros((2, 2), np.int64), 64, 1, *seeds, level, sigma)
    for i in range(2):
        for j in range(3):
            cell = pixels[64 * i : 64 * i + 64, 64 * j : 64 * j + 64].astype(np.float64).ravel()
            expected = define_cell(cell)
            step = 1.0 if kind == "whole numbers" else 0.0
            assert level[0, i, j] == pytest.approx(expected[0], abs=0.03 * expected[1] + 0.1 * step)
            assert sigma[0, i, j] == pytest.approx(expected[1], abs=0.05 * expected[1] + 0.5 * step)


def test_a_cube_is_measured_on_its_green_plane() -> None:
    _x, _y, _flux, green = field(16, 60, cfa=None)
    noise = np.random.default_rng(17).normal(0, 30, (2, HEIGHT, WIDTH))
    cube = np.stack([noise[0] + 500, green, noise[1] + 700]).astype(np.float32)
    measured = measure_cube(cube, saturation_adu=SATURATION)
    mono = measure(green, None, saturation_adu=SATURATION)
    assert np.array_equal(measured.stars.x, mono.stars.x)
    assert np.nanmedian(measured.background, axis=(1, 2)) == pytest.approx([500, 900, 700], abs=2)
    assert len(measured.noise_adu) == 3


def test_measuring_twice_gives_the_same_bits() -> None:
    *_, image = field(18, 100)
    first, second = (measure(image, Cfa("RGGB"), saturation_adu=SATURATION) for _ in range(2))
    assert np.array_equal(first.stars.x, second.stars.x)
    assert np.array_equal(first.stars.flux, second.stars.flux)
    assert np.array_equal(first.background, second.background, equal_nan=True)


def test_a_constant_added_to_the_frame_changes_no_star() -> None:
    _x, _y, _, image = field(19, 80)
    low = measure(image, Cfa("RGGB"), saturation_adu=1e9)
    high = measure(image + np.float32(2048.0), Cfa("RGGB"), saturation_adu=1e9)
    assert abs(len(low.stars) - len(high.stars)) <= 1
    same, other = pairs(high.stars, low.stars.x, low.stars.y)
    assert len(same) >= len(low.stars) - 1
    assert np.abs(low.stars.x[same] - high.stars.x[other]).max() < 0.02


def test_the_number_of_stars_is_limited_to_the_brightest() -> None:
    *_, image = field(20, 100)
    everything = measure(image, Cfa("RGGB"), saturation_adu=SATURATION).stars
    some = measure(image, Cfa("RGGB"), saturation_adu=SATURATION, max_stars=20).stars
    assert len(some) == 20
    assert np.allclose(some.x[:15], everything.x[:15])


def test_an_array_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="measure_cube"):
        measure(np.zeros((3, 64, 64), np.float32), None, saturation_adu=SATURATION)
    with pytest.raises(ValueError, match="channel"):
        measure_cube(np.zeros((64, 64), np.float32), saturation_adu=SATURATION)


DATA = Path(os.environ.get("SKYQUILT_DATA", Path.home() / ".cache" / "skyquilt-data"))


def measure_file(path: Path, cfa: str | None, saturation: float = SATURATION) -> Measurement:
    import warnings

    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = fits.getdata(path)
    return measure(np.ascontiguousarray(pixels, dtype=np.float32), Cfa(cfa) if cfa else None, saturation_adu=saturation)


@pytest.mark.real
@pytest.mark.parametrize(
    ("pattern", "cfa", "n_least", "fwhm"),
    [
        ("seestar/MyWorks/M 94_sub/*212046.fit", "GRBG", 55, (1.7, 4.0)),
        ("seestar/MyWorks/M 94_sub/*014525.fit", "GRBG", 80, (1.7, 4.0)),
        ("seestar/MyWorks/NGC 7023_sub/*224436.fit", "GRBG", 200, (1.4, 4.0)),
        ("mono-jocular/Arp 145/*00002.fit", None, 400, (1.6, 4.0)),
        ("mono-jocular/Messier 8/light_B_15000ms_1.fit", None, 250, (1.6, 5.0)),
    ],
)
def test_real_frames_show_their_stars(pattern: str, cfa: str | None, n_least: int, fwhm: tuple[float, float]) -> None:
    paths = sorted(DATA.glob(pattern))
    if not paths:
        pytest.skip(f"no real frames {pattern}: set SKYQUILT_DATA")
    figures = measure_file(paths[0], cfa).figures
    assert figures.n_stars >= n_least
    assert fwhm[0] < figures.fwhm_px < fwhm[1]


@pytest.mark.real
def test_the_starless_stray_of_a_real_session_shows_next_to_nothing() -> None:
    path = DATA / "mono-jocular" / "Messier 8" / "L_12.fit"
    if not path.exists():
        pytest.skip("no real frames: set SKYQUILT_DATA")
    assert measure_file(path, None).figures.n_stars < 8
