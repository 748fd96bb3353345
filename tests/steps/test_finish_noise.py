"""Noise measured size by size, and lowered where nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from detail_sky import NOISE, SIZE, cut, disc, lone_stars, master

from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.kernels.starlet import WHITE_SIGMA, define_shrink, define_smooth
from skyquilt.steps.finish import (
    DenoiseSettings,
    NoiseCells,
    measure_noise,
    plan_denoise,
    read_noise,
    reduce_noise,
)


def sky_blocks(residual: np.ndarray, is_sky: np.ndarray) -> np.ndarray:
    """Means of the 8x8 blocks that show sky alone."""
    n = SIZE // 8
    blocks = np.where(is_sky, residual, np.nan)[: 8 * n, : 8 * n].reshape(n, 8, n, 8).mean(axis=(1, 3))
    return blocks[np.isfinite(blocks)]


def width(image: np.ndarray, x: float, y: float, fwhm: float) -> float:
    """Size of a star from its light about the centre, weighed by a Gaussian."""
    rows, columns = np.mgrid[int(y) - 8 : int(y) + 9, int(x) - 8 : int(x) + 9]
    part, square = image[rows, columns], (columns - x) ** 2 + (rows - y) ** 2
    weight = np.exp(-square / (2.0 * (0.51 * fwhm) ** 2))
    return float(np.sqrt(np.sum(part * weight * square) / np.sum(part * weight)))


def test_the_noise_of_white_noise_is_found_in_every_band() -> None:
    image = np.random.default_rng(1).normal(500.0, 8.0, (1, 512, 512)).astype(np.float32)
    model = measure_noise(read_noise(image))
    assert model.pixel_sigma()[0] == pytest.approx(8.0, rel=0.03)
    for ratio, white in zip(model.ratio[0], WHITE_SIGMA, strict=False):
        assert ratio == pytest.approx(white / WHITE_SIGMA[0], rel=0.15)


def test_correlated_noise_has_its_shares() -> None:
    sky = master("galaxy")
    model = measure_noise(read_noise(sky.image))
    assert model.pixel_sigma()[1] == pytest.approx(NOISE, rel=0.1)
    plane = ((sky.image - sky.clean)[1] / np.sqrt(sky.clean[1])).astype(np.float32)
    finest = 1.0
    for j in range(5):
        coarser = define_smooth(plane, 2**j)
        sigma = float((plane - coarser).std())
        finest = sigma if j == 0 else finest
        reach = 0.12 if j < 2 else 0.6  # a crowd of unseen stars is in the coarser bands
        assert model.ratio[1, j] == pytest.approx(sigma / finest, rel=reach if j < 4 else 0.8)
        plane = coarser


def test_noise_follows_the_place_and_the_variance() -> None:
    sigma = np.where(np.arange(512) < 256, 4.0, 12.0)[None, None].repeat(256, axis=1)
    image = (np.random.default_rng(2).normal(0.0, 1.0, (1, 256, 512)) * sigma).astype(np.float32)
    model = measure_noise(read_noise(image))
    scale = model.scale_at(0, 0, 0, (256, 512)) * model.pixel_ratio[0]
    assert np.median(scale[:, :200]) == pytest.approx(4.0, rel=0.1)
    assert np.median(scale[:, 312:]) == pytest.approx(12.0, rel=0.1)
    variance = (sigma**2).astype(np.float32)
    told = measure_noise(read_noise(image, variance))
    exact = told.scale_at(0, 0, 0, (256, 512), variance[0]) * told.pixel_ratio[0]
    assert np.abs(exact / sigma[0] - 1.0).max() < 0.05
    with pytest.raises(UsageError, match="variance"):
        told.scale_at(0, 0, 0, (256, 512))


def test_bands_of_cells_join_to_the_whole() -> None:
    image = master("galaxy").image[:, :384]
    whole = read_noise(image)
    joined = NoiseCells.joined([read_noise(image[:, :192]), read_noise(image[:, 192:])])
    assert joined.sigma.shape == whole.sigma.shape
    assert joined.height == whole.height
    assert measure_noise(joined).ratio == pytest.approx(measure_noise(whole).ratio, rel=0.1)


def test_the_sky_loses_noise_on_pixels_and_on_blocks() -> None:
    sky = master("galaxy")
    out = reduce_noise(sky.image, DenoiseSettings())
    for channel in range(3):
        before, after = ((image - sky.clean)[channel] for image in (sky.image, out))
        assert after[sky.is_sky].std() < 0.45 * before[sky.is_sky].std()
        assert sky_blocks(after, sky.is_sky).std() < 0.75 * sky_blocks(before, sky.is_sky).std()
        assert abs(after[sky.is_sky].mean() - before[sky.is_sky].mean()) < 0.02 * NOISE


def test_stars_keep_flux_and_width() -> None:
    sky = master("galaxy")
    out = reduce_noise(sky.image, DenoiseSettings())
    stars = lone_stars(sky, 4000.0)
    assert len(stars) >= 10
    change, wider = [], []
    for x, y, flux in zip(stars.x, stars.y, stars.flux[:, 1], strict=True):
        aperture = disc(x, y, 0.0, 2.0 * sky.fwhm_px)
        change.append(float((out - sky.image)[1][aperture].sum()) / flux)
        before, after = (image[1] - sky.extended[1] - 570.0 for image in (sky.image, out))
        wider.append(width(after, x, y, sky.fwhm_px) / width(before, x, y, sky.fwhm_px) - 1.0)
    bright = stars.flux[:, 1] > 12000.0
    assert abs(np.median(change)) < 0.005
    assert np.abs(np.array(change)[bright]).max() < 0.005
    assert np.abs(wider).max() < 0.02


def test_the_mean_of_many_faint_stars_stays() -> None:
    y, x = np.mgrid[0:512, 0:512]
    rng = np.random.default_rng(8)
    image = rng.normal(500.0, 5.0, (1, 512, 512))
    places = [(32 + 64 * i + rng.uniform(), 32 + 64 * j + rng.uniform()) for i in range(8) for j in range(8)]
    for a, b in places:
        image[0] += 40.0 / (1.0 + ((x - a) ** 2 + (y - b) ** 2) / 11.6) ** 3
    out = reduce_noise(image.astype(np.float32), DenoiseSettings()) - image
    change = np.mean([out[0][np.hypot(x - a, y - b) < 7.0].sum() for a, b in places])
    assert abs(change) < 0.02 * 40.0 * np.pi * 11.6 / 2.0  # of stars of 8 sigma


def test_tiles_are_bits_of_the_whole() -> None:
    image = master("galaxy").image.copy()
    image[1, 180:190, 200:230] = np.nan
    plan = plan_denoise(image, DenoiseSettings(n_scales=4))
    whole = plan.apply(image)
    rows, columns = slice(130, 230), slice(160, 280)
    tile, x0, y0, wanted = cut(image, plan.halo, rows, columns)
    part = plan.apply(tile, x0, y0)[:, wanted[0], wanted[1]]
    assert np.array_equal(part, whole[:, rows, columns], equal_nan=True)
    assert np.isnan(whole[1, 180:190, 200:230]).all()
    assert np.array_equal(whole[0, 180:190, 200:230], image[0, 180:190, 200:230])
    assert np.isfinite(np.delete(whole[1].ravel(), np.flatnonzero(np.isnan(image[1].ravel())))).all()


def test_one_channel_is_the_definition() -> None:
    image = master("galaxy").image[:1, :150, :150]
    settings = DenoiseSettings(n_scales=3, strength=0.7, threshold=2.0)
    plan = plan_denoise(image, settings)
    scale = plan.noise.scale_at(0, 0, 0, (150, 150))
    finer, total, keep = image[0], np.zeros((150, 150), np.float32), np.zeros((150, 150), np.float32)
    for j in range(3):
        coarser = define_smooth(finer, 2**j)
        band = finer - coarser
        z = band / scale / plan.noise.ratio[0, j]
        if j < 2:
            padded = np.pad(z, 2**j, mode="edge")
            around = [
                padded[a : a + 150, b : b + 150] for a in (0, 2**j, 2 ** (j + 1)) for b in (0, 2**j, 2 ** (j + 1))
            ]
            z = np.maximum(z, 1.5 * np.minimum((sum(around) - z) / 8.0, 0.0) - 1.4)
        left, keep = define_shrink(band, define_smooth((z * z).astype(np.float32), 2**j), 1.9, 4.75, 0.7, keep)
        total += left + define_smooth((band - left).astype(np.float32), 2**j)
        finer = coarser
    assert np.abs(plan.apply(image)[0] / (total + finer) - 1.0).max() < 1e-6


def test_no_strength_changes_nothing_and_a_variance_serves() -> None:
    sky = master("galaxy")
    plan = plan_denoise(sky.image, DenoiseSettings(strength=0.0, colour_strength=0.0))
    assert np.abs(plan.apply(sky.image) / sky.image - 1.0).max() < 1e-6
    variance = (NOISE**2 * sky.clean / 570.0).astype(np.float32)
    out = reduce_noise(sky.image, DenoiseSettings(), variance)
    assert (out - sky.clean)[1][sky.is_sky].std() < 0.45 * NOISE


def test_settings_and_inputs_out_of_range_are_refused() -> None:
    with pytest.raises(UsageError):
        DenoiseSettings(strength=1.2)
    with pytest.raises(UsageError):
        DenoiseSettings(n_scales=7)
    with pytest.raises(NoUsableInput):
        plan_denoise(np.full((3, 64, 64), np.nan, np.float32), DenoiseSettings())
    plan = plan_denoise(master("galaxy").image, DenoiseSettings())
    with pytest.raises(UsageError, match="channels"):
        plan.apply(master("galaxy").image[:1])
