"""Stars told from the rest: found, measured, and separated so that both images add up."""

from __future__ import annotations

import numpy as np
import pytest
from detail_sky import NOISE, SIZE, SKY, cut, disc, lone_stars, master, measured

from skyquilt.core import Box
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.finish import (
    POINT_HALO_PX,
    Points,
    SeparationPlan,
    SeparationSettings,
    StarSettings,
    find_points,
    measure_stars,
    separate_stars,
)


def separated(kind: str) -> tuple[np.ndarray, np.ndarray]:
    return SeparationPlan(SeparationSettings(), measured(kind)).apply(master(kind).image)


def round_light(x: float, y: float, height: float, half_width: float, beta: float) -> np.ndarray:
    """Light of a galaxy or a star on a SIZE x SIZE field: a Moffat profile of that half width at half maximum."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    scale = half_width**2 / (2.0 ** (1.0 / beta) - 1.0)
    return height * (1.0 + ((columns - x) ** 2 + (rows - y) ** 2) / scale) ** -beta


@pytest.mark.parametrize("kind", ["galaxy", "nebula"])
def test_places_and_fluxes_are_those_of_the_truth(kind: str) -> None:
    sky, stars = master(kind), measured(kind)
    truth = lone_stars(sky, 3000.0)
    away = np.hypot(stars.points.x - truth.x[:, None], stars.points.y - truth.y[:, None])
    assert away.min(axis=1).max() < 0.15
    flux = stars.points.height[away.argmin(axis=1), 1] * stars.psf.flux_per_height(1)
    assert np.median(flux / truth.flux[:, 1]) == pytest.approx(1.0, abs=0.04)
    assert stars.psf.fwhm_px(1) == pytest.approx(sky.fwhm_px, rel=0.04)


def test_the_profile_is_that_of_the_stars() -> None:
    stars = measured("nebula")
    stamp = stars.psf.stamp(1, SIZE / 2, SIZE / 2, 8)
    assert stamp.sum() == pytest.approx(1.0)
    truth = round_light(20.0, 20.0, 1.0, 0.5 * master("nebula").fwhm_px, 3.5)[12:29, 12:29]
    assert np.abs(stamp / stamp.max() - truth).max() < 0.03
    assert (np.diff(stars.psf.profile[1]) <= 0.0).all()
    assert stars.psf.uniform(90, 80).fwhm_px(1) == pytest.approx(stars.psf.fwhm_px(1))


def test_a_profile_that_changes_over_the_field_is_followed() -> None:
    rng = np.random.default_rng(11)
    image = rng.normal(100.0, 1.0, (1, SIZE, SIZE))
    for x in range(20, SIZE, 40):
        for y in range(20, SIZE, 40):
            a, b = x + rng.uniform(-3, 3), y + rng.uniform(-3, 3)
            image[0] += round_light(a, b, rng.uniform(60.0, 400.0), 1.3 + 0.8 * a / SIZE, 4.0)
    psf = measure_stars(image.astype(np.float32)).psf
    assert psf.fwhm_px(0, 40.0, 200.0) == pytest.approx(2.76, rel=0.03)
    assert psf.fwhm_px(0, 360.0, 200.0) == pytest.approx(4.04, rel=0.03)


@pytest.mark.parametrize("kind", ["galaxy", "nebula"])
def test_both_images_add_up_to_the_original(kind: str) -> None:
    image = master(kind).image
    starless, stars = separated(kind)
    assert np.abs(starless + stars - image).max() <= np.spacing(np.abs(image).max())


@pytest.mark.parametrize("kind", ["plain", "nebula"])
def test_the_light_of_stars_is_taken(kind: str) -> None:
    sky = master(kind)
    starless, stars = separated(kind)
    left = starless - sky.extended - SKY
    for channel in range(3):
        total = sky.star_light[channel].sum()
        assert stars[channel].sum() == pytest.approx(total, rel=0.03)
        footprint = sky.star_light[channel] > 1.0
        assert abs(left[channel][footprint].sum()) < 0.05 * total


def test_the_nebula_stays() -> None:
    from scipy.ndimage import uniform_filter

    sky = master("nebula")
    starless, _ = separated("nebula")
    for channel in range(3):
        miss = uniform_filter((starless - sky.extended - SKY)[channel], 9)
        share = miss / (sky.extended[channel] + 20.0)
        footprint = sky.star_light[channel] > 1.0
        assert np.sqrt(np.mean(share[footprint] ** 2)) < 0.03
        assert (starless - SKY)[channel].sum() == pytest.approx(sky.extended[channel].sum(), rel=0.01)


def test_filled_places_have_the_noise_of_the_image() -> None:
    sky = master("plain")
    starless, _ = separated("plain")
    core = sky.star_light[1] > 200.0
    assert core.sum() > 400
    spread = float(np.std((starless - SKY)[1][core]))
    assert spread == pytest.approx(NOISE, rel=0.25)


def test_galaxies_are_not_eaten() -> None:
    sky = master("plain")
    galaxies = [(80.0, 300.0, 90.0, 3.6), (310.0, 90.0, 150.0, 5.0), (200.0, 210.0, 400.0, 3.4)]
    light = sum(round_light(x, y, height, size, 1.8) for x, y, height, size in galaxies)
    image = (sky.image + light).astype(np.float32)
    starless, stars = separate_stars(image)
    for x, y, height, size in galaxies:
        inside = disc(x, y, 0.0, 2.0)
        taken = stars[1][inside].sum() / round_light(x, y, height, size, 1.8)[inside].sum()
        near = sky.star_light[1][disc(x, y, 0.0, 2.0)].sum()
        assert near < 100.0
        assert abs(taken) < 0.1
    assert np.abs(starless[1] - image[1]).max() > 1000.0  # stars went


def test_a_core_on_wider_light_is_spared_unless_told_otherwise() -> None:
    sky = master("plain")
    bulge = round_light(150.0, 250.0, 80.0, 8.0, 1.5) + round_light(150.0, 250.0, 200.0, 0.5 * sky.fwhm_px, 20.0)
    image = (sky.image + bulge).astype(np.float32)
    core = disc(150.0, 250.0, 0.0, 1.5)
    _, spared = separate_stars(image)
    _, taken = separate_stars(image, SeparationSettings(stars=StarSettings(spare_cores=False)))
    assert spared[1][core].mean() < 10.0
    assert taken[1][core].mean() > 80.0


def test_saturated_stars_go_with_their_halo_and_spikes() -> None:
    sky = master("nebula")
    image = sky.image.astype(np.float64)
    image += round_light(210.3, 160.8, 40000.0, 0.5 * sky.fwhm_px, 3.5)
    rows, columns = np.mgrid[0:SIZE, 0:SIZE]
    away, across = columns - 210.3, rows - 160.8
    spike = 60.0 * np.exp(-0.5 * (across / 0.8) ** 2) * np.exp(-np.abs(away) / 18.0)
    image = np.minimum(image + spike, 6000.0).astype(np.float32)
    stars = measure_stars(image)
    nearest = np.hypot(stars.points.x - 210.3, stars.points.y - 160.8).argmin()
    assert stars.points.plateau_px[nearest] > 2.0
    assert 20000.0 < stars.points.height[nearest, 1] < 50000.0  # told by wings in a nebula, bounded by the rings
    starless, _ = SeparationPlan(SeparationSettings(), stars).apply(image)
    miss = np.abs((starless - sky.extended - SKY)[1])
    assert np.median(miss[disc(210.3, 160.8, 0.0, 6.0)]) < 25.0  # of 6000, in a nebula of 60
    on_spike = (np.abs(across) < 1.5) & (np.abs(away) > 10) & (np.abs(away) < 24) & (sky.star_light[1] < 5.0)
    assert (starless - sky.extended - SKY)[1][on_spike].mean() < 0.3 * spike[on_spike].mean()


def test_tiles_are_bits_of_the_whole() -> None:
    image = master("nebula").image.copy()
    image[:, 100:103, 50:300] = np.nan
    plan = SeparationPlan(SeparationSettings(), measured("nebula"))
    whole = plan.apply(image)
    rows, columns = slice(0, 60), slice(170, 230)
    tile, x0, y0, wanted = cut(image, plan.halo, rows, columns)
    part = plan.apply(tile, x0, y0)
    for a, b in zip(part, whole, strict=True):
        assert np.array_equal(a[:, wanted[0], wanted[1]], b[:, rows, columns], equal_nan=True)
        assert np.isnan(b[:, 100:103, 50:300]).all()
    assert np.isfinite(whole[0][:, :100]).all()


def test_stars_of_tiles_join_to_those_of_the_whole() -> None:
    sky, stars = master("galaxy"), measured("galaxy")
    parts = []
    for box in Box.of_shape(SIZE, SIZE).tiles(200, 200):
        seen = box.grow(POINT_HALO_PX).intersect(Box.of_shape(SIZE, SIZE))
        rows, columns = seen.slices(Box.of_shape(SIZE, SIZE))
        tile = np.ascontiguousarray(sky.image[:, rows, columns])
        found = find_points(tile, stars.psf, stars.noise, StarSettings(), seen.x0, seen.y0)
        parts.append(found.within(box))
    joined = Points.joined(parts)
    bright = stars.points.take(stars.points.snr > 20.0)
    away = np.hypot(joined.x - bright.x[:, None], joined.y - bright.y[:, None])
    assert (away.min(axis=1) < 0.1).mean() > 0.97
    near = away.argmin(axis=1)[away.min(axis=1) < 0.1]
    same = bright.take(away.min(axis=1) < 0.1)
    assert np.median(np.abs(joined.height[near, 1] / same.height[:, 1] - 1.0)) < 0.01


def test_an_image_without_stars_is_told_in_plain_words() -> None:
    noise = np.random.default_rng(1).normal(100.0, 1.0, (1, 128, 128)).astype(np.float32)
    with pytest.raises(NoUsableInput, match="star"):
        measure_stars(noise)
    with pytest.raises(UsageError):
        StarSettings(kappa=1.0)
    with pytest.raises(UsageError):
        SeparationSettings(core_sigma=1.0)
    with pytest.raises(UsageError, match="channels"):
        SeparationPlan(SeparationSettings(), measured("galaxy")).apply(noise)
