"""Sharpening: narrower stars of the same light, no rings, no more noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from detail_sky import NOISE, SIZE, SKY, cut, disc, lone_stars, master, measured
from test_finish_stars import round_light

from skyquilt.errors import UsageError
from skyquilt.steps.finish import DeconvolutionSettings, deconvolve, measure_stars, plan_deconvolution


@lru_cache(maxsize=1)
def sharpened() -> np.ndarray:
    return deconvolve(master("plain").image, measured("plain"))


def half_width(image: np.ndarray, x: float, y: float) -> float:
    """FWHM of a star on a field without sky: of a Gaussian fitted to the logarithm of its core above 30 %."""
    rows, columns = np.mgrid[int(y) - 5 : int(y) + 6, int(x) - 5 : int(x) + 6]
    part = image[rows, columns]
    core = part > 0.3 * part.max()
    dx, dy = columns[core] - x, rows[core] - y
    terms = np.stack([np.ones(core.sum()), dx, dy, dx**2 + dy**2], axis=1)
    weight = part[core]
    bend = np.linalg.lstsq(terms * weight[:, None], np.log(part[core]) * weight, rcond=None)[0][3]
    return float(2.3548 * np.sqrt(-0.5 / bend))


def test_stars_become_narrower() -> None:
    sky = master("plain")
    stars = lone_stars(sky, 5000.0)
    assert len(stars) >= 6
    for channel in range(3):
        before, after = ((image - SKY)[channel] for image in (sky.image, sharpened()))
        share = [half_width(after, x, y) / half_width(before, x, y) for x, y in zip(stars.x, stars.y, strict=True)]
        assert np.median(share) < 0.75


def test_stars_keep_their_light() -> None:
    sky = master("plain")
    change = []
    for x, y, flux in zip(*(lambda s: (s.x, s.y, s.flux[:, 1]))(lone_stars(sky, 5000.0)), strict=True):
        change.append((sharpened() - sky.image)[1][disc(x, y, 0.0, 10.0)].sum() / flux)
    assert abs(np.median(change)) < 0.01
    assert np.abs(change).max() < 0.02
    for channel in range(3):
        total = sky.star_light[channel].sum()
        assert abs((sharpened() - sky.image)[channel].sum()) < 0.01 * total


def test_no_dark_rings() -> None:
    sky = master("plain")
    stars = lone_stars(sky, 5000.0)
    for inner in range(2, 14):
        means = [
            (sharpened() - SKY)[1][disc(x, y, inner, inner + 1.0)].mean() for x, y in zip(stars.x, stars.y, strict=True)
        ]
        assert min(means) > -NOISE


def test_stars_with_wings_become_narrower_and_keep_all_of_their_light() -> None:
    random, beta, side = np.random.default_rng(3), 2.5, 200
    rows, columns = np.mgrid[0:side, 0:side]
    places = [(x + random.uniform(-3, 3), y + random.uniform(-3, 3)) for x in (34, 100, 166) for y in (34, 100, 166)]
    core = 1.8 / np.sqrt(2.0 ** (1.0 / beta) - 1.0)  # FWHM 3.6 px
    light = np.sum(
        [
            10.0 ** random.uniform(3.0, 4.0) * (1.0 + ((columns - x) ** 2 + (rows - y) ** 2) / core**2) ** -beta
            for x, y in places
        ],
        axis=0,
    )
    noise = random.normal(0.0, NOISE, light.shape) * np.sqrt(1.0 + light / 400.0)
    before = (light + noise).astype(np.float32)
    image = before[None] + np.float32(400.0)
    after = before + (deconvolve(image, measure_stars(image)) - image)[0]
    for x, y in places:
        r = np.hypot(columns - x, rows - y)
        # all of the star; light moves inward, so that smaller apertures hold more of it
        assert abs((after - before)[r < 28.0].sum() / light[r < 28.0].sum()) < 0.01
        assert min(after[(r >= inner) & (r < inner + 1.0)].mean() for inner in range(2, 20)) > -NOISE
    assert np.median([half_width(after, x, y) / half_width(before, x, y) for x, y in places]) < 0.75


def test_what_shows_nothing_stays_bit_by_bit() -> None:
    image = np.random.default_rng(3).normal(100.0, 2.0, (1, SIZE, SIZE))
    for k, (x, y) in enumerate([(x, y) for x in (30, 80, 130) for y in range(25, SIZE, 50)]):
        image[0] += round_light(x + 0.3, y - 0.2, 60.0 + 20.0 * k, 1.8, 4.0)
    image = image.astype(np.float32)
    change = deconvolve(image, measure_stars(image)) - image
    assert (change[0, :, 190:] != 0.0).mean() < 0.02
    assert (change[0, :, 25:135] != 0.0).mean() > 0.5


def test_pixels_far_below_the_sky_do_no_harm() -> None:
    sky = master("plain")
    image = sky.image.copy()
    star = lone_stars(sky, 5000.0)
    row, column = round(star.y[0]), round(star.x[0])
    image[:, row + 1, column + 3] = -30000.0
    out = deconvolve(image, measured("plain"))
    assert np.isfinite(out).all()
    assert out.max() < 3.0 * image.max()
    others = ~disc(star.x[0], star.y[0], 0.0, 60.0)
    assert np.abs(out - sharpened())[:, others].max() < 0.02 * image.max()


def test_noise_stays_as_it_was() -> None:
    sky = master("plain")
    before, after = ((image - sky.clean)[1][sky.is_sky].std() for image in (sky.image, sharpened()))
    assert after < 1.12 * before


def test_trailed_stars_become_round() -> None:
    rng = np.random.default_rng(4)
    image = rng.normal(100.0, 1.0, (1, SIZE, SIZE))
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    places = [
        (x + rng.uniform(-3, 3), y + rng.uniform(-3, 3)) for x in range(25, SIZE, 50) for y in range(25, SIZE, 50)
    ]
    for x, y in places:
        image[0] += 300.0 * np.exp(-0.5 * (((columns - x) / 2.0) ** 2 + ((rows - y) / 1.5) ** 2))
    image = image.astype(np.float32)
    out = deconvolve(image, measure_stars(image))

    def ratio(plane: np.ndarray, x: float, y: float) -> float:
        near = disc(x, y, 0.0, 6.0)
        light = (plane[0] - 100.0)[near]
        return float(np.sqrt(np.sum(light * (columns[near] - x) ** 2) / np.sum(light * (rows[near] - y) ** 2)))

    assert np.median([ratio(image, x, y) for x, y in places]) > 1.25
    assert np.median([ratio(out, x, y) for x, y in places]) < 1.15


def test_saturated_stars_are_left_alone() -> None:
    sky = master("plain")
    image = sky.image + round_light(210.3, 160.8, 60000.0, 0.5 * sky.fwhm_px, 20.0)
    image = np.minimum(image, 6000.0).astype(np.float32)
    out = deconvolve(image, measure_stars(image))
    top = (image > 5900.0).all(axis=0)
    assert top.sum() > 20
    assert np.array_equal(out[:, top], image[:, top])
    ring = disc(210.3, 160.8, 4.0, 14.0)
    assert (out - image)[1][ring].min() > -0.5 * (image - SKY)[1][ring].max()
    assert (out - SKY)[1][ring].min() > -6.0 * NOISE


def test_tiles_are_bits_of_the_whole() -> None:
    image = master("plain").image.copy()
    image[2, 150:153, 140:170] = np.nan
    plan = plan_deconvolution(measured("plain"))
    whole = plan.apply(image)
    rows, columns = slice(340, 380), slice(300, 360)
    tile, x0, y0, wanted = cut(image, plan.halo, rows, columns)
    assert tile.shape[1] < SIZE
    assert np.array_equal(plan.apply(tile, x0, y0)[:, wanted[0], wanted[1]], whole[:, rows, columns])
    assert np.array_equal(np.isnan(whole), np.isnan(image))


def test_settings_and_inputs_out_of_range_are_refused() -> None:
    for wrong in ({"fwhm_share": 0.2}, {"least_fwhm_px": 0.5}, {"iterations": 0}, {"threshold": -1.0}):
        with pytest.raises(UsageError):
            DeconvolutionSettings(**wrong)
    with pytest.raises(UsageError, match="channels"):
        plan_deconvolution(measured("plain")).apply(master("plain").image[:1])
    gentle = plan_deconvolution(measured("plain"), DeconvolutionSettings(fwhm_share=0.5, least_fwhm_px=2.9))
    assert gentle.fwhm_px(1) == pytest.approx(2.9)
