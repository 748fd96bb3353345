"""Masks, and local contrast that spares stars and sky."""

from __future__ import annotations

import numpy as np
import pytest
from detail_sky import NOISE, SIZE, SKY, cut, disc, lone_stars, master, measured

from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.finish import (
    MASK_KINDS,
    ContrastSettings,
    MaskSettings,
    SeparationPlan,
    SeparationSettings,
    blend,
    feather_mask,
    grow_mask,
    measure_level,
    plan_contrast,
    plan_mask,
)


def mask_of(kind: str, sky_kind: str = "galaxy", **settings: float) -> np.ndarray:
    return plan_mask(master(sky_kind).image, measured(sky_kind), MaskSettings(kind=kind, **settings)).apply(
        master(sky_kind).image
    )


def test_a_star_mask_covers_stars_and_nothing_else() -> None:
    sky, mask = master("galaxy"), mask_of("star")
    for x, y in zip(*(lambda s: (s.x, s.y))(lone_stars(sky, 2000.0)), strict=True):
        assert mask[disc(x, y, 0.0, 2.5)].min() == 1.0
    assert mask[sky.is_sky].mean() < 0.05
    assert mask[disc(SIZE / 2 - 30, SIZE / 2 + 10, 0.0, 5.0)].mean() < 0.3


def test_a_galaxy_mask_covers_the_galaxy_without_the_stars() -> None:
    sky, mask = master("galaxy"), mask_of("galaxy")
    assert mask[sky.extended[1] > 15.0].mean() > 0.97
    far = (sky.extended[1] < 0.05) & (sky.star_light[1] > 20.0)
    assert mask[far].mean() < 0.1
    assert mask_of("object")[far].mean() > 0.9


def test_a_soft_mask_rises_with_the_light() -> None:
    sky, mask = master("galaxy"), mask_of("soft", grow_px=0.0, feather_px=0.0)
    bright, faint = sky.extended[1] > 100.0, (sky.extended[1] > 10.0) & (sky.extended[1] < 20.0)
    assert mask[sky.is_sky].mean() < 0.02
    assert 1.0 >= mask[bright].mean() > mask[faint].mean() > mask[sky.is_sky].mean()
    wider = mask_of("soft", grow_px=4.0, feather_px=0.0)
    assert (wider >= mask).all()


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_masks_of_tiles_are_bits_of_the_whole(kind: str) -> None:
    image = master("galaxy").image.copy()
    image[0, 30:40, 90:95] = np.nan
    plan = plan_mask(image, measured("galaxy"), MaskSettings(kind=kind, grow_px=2.0, feather_px=4.0))
    whole = plan.apply(image)
    rows, columns = slice(150, 230), slice(170, 260)
    tile, x0, y0, wanted = cut(image, plan.halo, rows, columns)
    assert np.array_equal(plan.apply(tile, x0, y0)[wanted], whole[rows, columns])
    assert not whole[30:40, 90:95].any()
    assert 0.0 <= whole.min() <= whole.max() <= 1.0


def test_growing_and_feathering_are_distances() -> None:
    mask = np.zeros((41, 41), dtype=bool)
    mask[20, 20] = True
    r = np.hypot(*(np.indices(mask.shape) - 20.0))
    assert np.array_equal(grow_mask(mask, 5.5), r <= 5.5)
    back = grow_mask(grow_mask(mask, 8.0), -4.0)
    assert back[r <= 3.0].all()
    assert not back[r > 5.0].any()
    soft = feather_mask(mask, 3.0)
    t = np.clip(1.0 - r / 4.0, 0.0, 1.0)
    assert np.abs(soft - t * t * (3.0 - 2.0 * t)).max() < 1e-6
    assert not grow_mask(np.zeros((5, 5)), 3.0).any()
    assert grow_mask(np.ones((5, 5)), -3.0).all()


def test_blending_leaves_both_ends_bit_by_bit() -> None:
    rng = np.random.default_rng(1)
    before, after = rng.normal(size=(2, 3, 9, 9)).astype(np.float32)
    mask = np.zeros((9, 9), np.float32)
    mask[3:6], mask[6:] = 0.5, 1.0
    before[0, 7, 7] = np.nan
    out = blend(before, after, mask)
    assert np.array_equal(out[:, :3], before[:, :3])
    assert np.array_equal(out[:, 6:], after[:, 6:])
    assert np.abs(out[:, 3:6] - 0.5 * (before + after)[:, 3:6]).max() < 1e-6


def test_the_level_is_that_of_the_sky() -> None:
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    slope = (0.02 * x - 0.03 * y).astype(np.float32)
    level = measure_level(master("galaxy").image + slope)
    for channel in range(3):
        miss = level.over(channel, 0, 0, (SIZE, SIZE)) - slope - SKY[channel, 0, 0]
        assert np.abs(miss).max() < 0.5 * NOISE
    with pytest.raises(NoUsableInput):
        measure_level(np.full((1, 64, 64), np.nan, np.float32))


def contrast(kind: str, **settings: float) -> np.ndarray:
    separation = SeparationPlan(SeparationSettings(), measured(kind))
    return plan_contrast(master(kind).image, separation, ContrastSettings(**settings)).apply(master(kind).image)


def test_structure_becomes_stronger_and_noise_does_not() -> None:
    sky = master("nebula")
    out = contrast("nebula", strength=1.0)
    blurred = [image[1, 50:350, 50:350].reshape(30, 10, 30, 10).mean(axis=(1, 3)) for image in (sky.extended, out)]
    detail = [plane - (np.roll(plane, 2, 0) + np.roll(plane, -2, 0) + np.roll(plane, 2, 1) + np.roll(plane, -2, 1)) / 4
              for plane in blurred]  # fmt: skip
    far = sky.star_light[1, 50:350, 50:350].reshape(30, 10, 30, 10).max(axis=(1, 3)) < 20.0
    inner = far[3:-3, 3:-3]
    slope = np.sum((detail[0] * detail[1])[3:-3, 3:-3][inner]) / np.sum(detail[0][3:-3, 3:-3][inner] ** 2)
    assert slope > 1.15
    plain = contrast("plain", strength=1.0) - master("plain").image
    assert plain[1][master("plain").is_sky].std() < 0.02 * NOISE


def test_stars_and_the_sky_around_a_galaxy_stay() -> None:
    sky = master("galaxy")
    out = contrast("galaxy", strength=1.0)
    for x, y in zip(*(lambda s: (s.x, s.y))(lone_stars(sky, 3000.0, 20.0)), strict=True):
        if sky.extended[1][int(y), int(x)] < 0.5:
            peak = sky.star_light[1][disc(x, y, 0.0, 2.0)].mean()
            assert abs((out - sky.image)[1][disc(x, y, 0.0, 2.0)].mean()) < 0.02 * peak
            assert (out - sky.image)[1][disc(x, y, 4.0, 9.0)].mean() > -0.3 * NOISE
    rim = (sky.extended[1] < 4.0) & (sky.extended[1] > 0.5)
    assert (out - sky.image)[1][rim].mean() > -0.3 * NOISE
    core = disc(SIZE / 2, SIZE / 2, 0.0, 4.0)
    assert (out - sky.image)[1][core].mean() > 0.0


def test_contrast_by_tiles_is_bits_of_the_whole() -> None:
    image = master("nebula").image.copy()
    image[1, 20:22, 20:60] = np.nan
    separation = SeparationPlan(SeparationSettings(), measured("nebula"))
    plan = plan_contrast(image, separation, ContrastSettings(largest=4))
    whole = plan.apply(image)
    rows, columns = slice(0, 40), slice(0, 50)
    tile, x0, y0, wanted = cut(image, plan.halo, rows, columns)
    assert tile.shape[1] < SIZE
    assert np.array_equal(plan.apply(tile, x0, y0)[:, wanted[0], wanted[1]], whole[:, rows, columns], equal_nan=True)
    assert np.array_equal(np.isnan(whole), np.isnan(image))


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"kind": "moon"}, {"kappa": 0.1}, {"grow_px": 200.0}, {"feather_px": -1.0}):
        with pytest.raises(UsageError):
            MaskSettings(**wrong)
    for wrong in ({"strength": 4.0}, {"smallest": 5, "largest": 4}, {"threshold": 11.0}):
        with pytest.raises(UsageError):
            ContrastSettings(**wrong)
