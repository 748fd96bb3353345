"""The cube: the same bits for any tiling, trails gone, stars whole, stopgaps and weights as promised."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from memory_frame import MemoryFrame

from skyquilt.core import F32, F64, Box
from skyquilt.errors import UsageError
from skyquilt.steps.integrate import (
    CubeScratch,
    FrameTerms,
    IntegratedTile,
    IntegrateSettings,
    integrate_cube,
    tile_bytes,
)


def terms_of(n_frames: int, n_channels: int = 1, sigma: float = 30.0, shot: float = 1.0) -> FrameTerms:
    flat = np.ones((n_frames, n_channels))
    return FrameTerms(np.ones(n_frames), np.full(n_frames, 10.0), flat * sigma, flat * shot, flat * 1000.0)


def starry_frames(
    n_frames: int, *, fwhm_px: float, peak_adu: float, seed: int, size: int = 40, side: int = 4
) -> tuple[list[MemoryFrame], list[tuple[float, float]]]:
    """Frames whose registration jitters by 0.15 px and whose seeing by 10 %, rms; the flux of a star stays the same."""
    rng = np.random.default_rng(seed)
    grid = (np.arange(side) + 0.5) * size
    places = [(x + rng.uniform(-0.5, 0.5), y + rng.uniform(-0.5, 0.5)) for x in grid for y in grid]
    y, x = np.mgrid[: side * size, : side * size].astype(np.float64)
    frames = []
    for _ in range(n_frames):
        sigma0 = fwhm_px / 2.3548
        sigma = sigma0 * (1 + 0.1 * rng.normal())
        dx, dy = rng.normal(0, 0.15, 2)
        image = np.zeros_like(x)
        for star_x, star_y in places:
            cut = (
                slice(max(0, int(star_y) - size // 2), int(star_y) + size // 2),
                slice(max(0, int(star_x) - size // 2), int(star_x) + size // 2),
            )
            radius2 = (x[cut] - star_x - dx) ** 2 + (y[cut] - star_y - dy) ** 2
            image[cut] += peak_adu * (sigma0 / sigma) ** 2 * np.exp(-radius2 / (2 * sigma**2))
        noisy = 1000 + image + rng.normal(size=image.shape) * np.sqrt(900 + image)
        frames.append(MemoryFrame(noisy[None].astype(np.float32), np.full((1, *image.shape), 255, np.uint8)))
    return frames, places


def star_fluxes(image: F32, places: list[tuple[float, float]]) -> F64:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([float((image[np.hypot(x - a, y - b) < 8] - 1000.0).sum()) for a, b in places])


def ragged_frames(n_frames: int, n_weights: int) -> list[MemoryFrame]:
    """Colour frames with ragged edges, holes, stopgaps, feathered weights, stars and outliers."""
    rng = np.random.default_rng(11)
    y, x = np.mgrid[:40, :70]
    star = 5000 * np.exp(-((x - 30.3) ** 2 + (y - 17.8) ** 2) / 5)
    frames = []
    for _ in range(n_frames):
        values = 1000 + star + rng.normal(0, 30, (3, 40, 70))
        values[rng.random(values.shape) < 0.02] += 5000
        weights = rng.choice([0, 1, 2, 90, 255], p=[0.1, 0.1, 0.1, 0.2, 0.5], size=(n_weights, 40, 70))
        weights[:, :, : rng.integers(0, 20)] = 0
        weights[:, 3:6, 40:44] = 1
        weights[:, 30:33, 10:60] = 0
        frames.append(MemoryFrame(values.astype(np.float32), weights.astype(np.uint8)))
    return frames


def assert_same_bits(tile: IntegratedTile, whole: IntegratedTile) -> None:
    rows, columns = tile.box.slices(whole.box)
    for name in ("value", "variance", "coverage", "n_used", "rejected_low", "rejected_high"):
        part = getattr(whole, name)[..., rows, columns]
        assert np.array_equal(getattr(tile, name), part, equal_nan=True), name


@pytest.mark.parametrize(
    "rule", ["auto", "winsorized", "mad", "linear_fit", "esd", "percentile", "noise_model", "none"]
)
@pytest.mark.parametrize(
    ("n_frames", "n_weights", "combine"), [(2, 3, "mean"), (5, 1, "mean"), (23, 3, "mean"), (100, 1, "median")]
)
def test_any_tiling_gives_the_same_bits(rule: str, n_frames: int, n_weights: int, combine: str) -> None:
    frames = ragged_frames(n_frames, n_weights)
    terms = terms_of(n_frames, 3)
    settings = IntegrateSettings(rule=rule, combine=combine)
    whole = integrate_cube(frames, Box(-2, -1, 73, 42), terms, settings)
    xs, ys = [-2, 3, 4, 21, 38, 39, 66, 73], [-1, 2, 19, 20, 42]
    rejected = np.zeros_like(whole.frame_rejected)
    samples = np.zeros_like(whole.frame_samples)
    scratch = CubeScratch()
    for x0, x1 in pairwise(xs):
        for y0, y1 in pairwise(ys):
            tile = integrate_cube(frames, Box(x0, y0, x1, y1), terms, settings, scratch)
            assert_same_bits(tile, whole)
            rejected += tile.frame_rejected
            samples += tile.frame_samples
    assert np.array_equal(rejected, whole.frame_rejected)
    assert np.array_equal(samples, whole.frame_samples)


def test_stopgaps_count_only_where_there_is_nothing_better() -> None:
    values = np.array([100.0, 300.0, 5000.0], dtype=np.float32)
    frames = [MemoryFrame(np.full((1, 1, 3), value, np.float32), np.array([[[1, 1, 0]]], np.uint8)) for value in values]
    frames[0].weights[0, 0, 1] = 200
    tile = integrate_cube(frames, Box(0, 0, 3, 1), terms_of(3), IntegrateSettings())
    assert tile.value[0, 0, 0] == pytest.approx(values.mean(), rel=1e-6)
    assert tile.value[0, 0, 1] == 100
    assert np.isnan(tile.value[0, 0, 2])
    assert tile.n_used[0, 0].tolist() == [3, 1, 0]
    assert tile.rejected_high.sum() == 0
    assert tile.frame_samples.tolist() == [2, 1, 1]
    assert tile.coverage[0] == pytest.approx([30 / 255, 10 + 20 / 255, 0])


def test_values_that_are_not_finite_take_no_part() -> None:
    frames = [
        MemoryFrame(np.full((1, 2, 2), v, np.float32), np.full((1, 2, 2), 255, np.uint8))
        for v in (5, np.nan, 7, np.inf)
    ]
    tile = integrate_cube(frames, Box(0, 0, 2, 2), terms_of(4), IntegrateSettings(rule="none"))
    assert (tile.value == 6).all()
    assert (tile.n_used == 2).all()


def test_frames_of_weight_zero_are_never_asked() -> None:
    frames = [MemoryFrame(np.full((1, 2, 2), v, np.float32), np.full((1, 2, 2), 255, np.uint8)) for v in (4.0, 8.0)]
    terms = terms_of(2)
    terms.weight[0] = 0
    del frames[0].values
    tile = integrate_cube(frames, Box(0, 0, 2, 2), terms, IntegrateSettings())
    assert (tile.value == 8).all()
    assert tile.frame_samples.tolist() == [0, 4]


@pytest.mark.parametrize(
    ("combine", "expected"), [("mean", 20.0), ("median", 19.0), ("sum", 80.0), ("min", 14.0), ("max", 28.0)]
)
def test_the_ways_of_combining_are_what_they_say(combine: str, expected: float) -> None:
    values = (14.0, 28.0, 18.0, 20.0)
    frames = [MemoryFrame(np.full((1, 3, 5), v, np.float32), np.full((1, 3, 5), 255, np.uint8)) for v in values]
    settings = IntegrateSettings(rule="none", combine=combine)
    tile = integrate_cube(frames, Box(0, 0, 5, 3), terms_of(4), settings)
    assert (tile.value == expected).all()


def test_the_variance_of_the_mean_is_true_with_many_frames_and_with_few() -> None:
    rng = np.random.default_rng(2)
    for n_frames in (5, 40):
        sigmas = rng.uniform(20, 60, n_frames)
        frames = [
            MemoryFrame(rng.normal(1000, s, (1, 100, 100)).astype(np.float32), np.full((1, 100, 100), 255, np.uint8))
            for s in sigmas
        ]
        terms = FrameTerms(1 / sigmas**2, np.ones(n_frames), sigmas[:, None], 0 * sigmas[:, None], 0 * sigmas[:, None])
        tile = integrate_cube(frames, Box(0, 0, 100, 100), terms, IntegrateSettings(rule="none"))
        assert float(tile.variance.mean()) == pytest.approx(float(tile.value.var()), rel=0.05)


@pytest.mark.parametrize("n_frames", [3, 4, 5, 6, 7])
def test_a_lone_trail_among_few_frames_vanishes(n_frames: int) -> None:
    clean, _ = starry_frames(n_frames, fwhm_px=3, peak_adu=400, seed=n_frames)
    y, x = np.mgrid[:160, :160]
    trail = 10000 * np.exp(-((y - 0.6 * x - 30) ** 2) / 4).astype(np.float32)
    trailed = [MemoryFrame(frame.values.copy(), frame.weights) for frame in clean]
    trailed[1].values[0] += trail
    box, terms = Box(0, 0, 160, 160), terms_of(n_frames)
    without = integrate_cube(clean, box, terms, IntegrateSettings())
    result = integrate_cube(trailed, box, terms, IntegrateSettings())
    bright = trail > 300
    assert (result.rejected_high[0][bright] >= 1).mean() > 0.999
    left = (result.value - without.value)[0]
    assert np.abs(left[trail > 1000]).max() < 4 * 30
    assert abs(float(left[bright].mean())) < 3
    assert result.frame_rejected[1, 1] > bright.sum() * 0.99


def test_of_two_frames_the_lower_one_decides() -> None:
    frames = [
        MemoryFrame(np.full((1, 8, 8), v, np.float32), np.full((1, 8, 8), 255, np.uint8)) for v in (1000.0, 1010.0)
    ]
    frames[0].values[0, 4] += 5000
    tile = integrate_cube(frames, Box(0, 0, 8, 8), terms_of(2), IntegrateSettings(blur_px2=0, jitter_px=0))
    assert (tile.value[0, 4] == 1010).all()
    assert (tile.value[0, :4] == 1005).all()


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("width_px", [0.7, 4.0])
def test_a_trail_and_its_dark_borders_leave_nothing_on_one_of_two_frames(upper: int, width_px: float) -> None:
    clean, _ = starry_frames(2, fwhm_px=3, peak_adu=400, seed=2)
    y, x = np.mgrid[:160, :160]
    across = np.abs(y - 0.6 * x - 30) / np.hypot(1, 0.6)
    flat = np.exp(-((across / width_px) ** 4))
    border = np.exp(-((across - width_px - 1.5) ** 2))
    trailed = [MemoryFrame(frame.values.copy(), frame.weights) for frame in clean]
    trailed[upper].values[0] += (10000 * flat - 1500 * border * (1 - flat)).astype(np.float32)
    tile = integrate_cube(trailed, Box(0, 0, 160, 160), terms_of(2), IntegrateSettings())
    left = (tile.value - clean[1 - upper].values)[0][across < width_px + 3]
    # the other frame alone is what should be left, or half of a difference that the limits bear with
    assert np.mean(np.abs(left) > 4 * 30) < 0.005
    assert np.abs(left).max() < 15 * 30
    assert abs(float(left.mean())) < 5


@pytest.mark.parametrize("peak_adu", [3000, 30000])
def test_stars_of_two_frames_of_different_seeing_keep_their_flux_and_their_samples(peak_adu: float) -> None:
    losses, shares = [], []
    for seed in range(4):
        (sharp, _), places = starry_frames(2, fwhm_px=2.5, peak_adu=peak_adu, seed=seed)
        (_, soft), _ = starry_frames(2, fwhm_px=2.5 * 1.15, peak_adu=peak_adu / 1.15**2, seed=seed)
        box, terms = Box(0, 0, 160, 160), terms_of(2)
        plain = integrate_cube([sharp, soft], box, terms, IntegrateSettings(rule="none"))
        result = integrate_cube([sharp, soft], box, terms, IntegrateSettings())
        losses.append(star_fluxes(result.value[0], places) / star_fluxes(plain.value[0], places) - 1)
        y, x = np.mgrid[:160, :160]
        on_stars = np.min([np.hypot(x - a, y - b) for a, b in places], axis=0) < 4
        shares.append(np.mean(result.n_used[0][on_stars] < 2))
    assert abs(float(np.mean(losses))) < 0.002
    assert np.max(np.abs(np.mean(losses, axis=1))) < 0.005
    assert np.mean(shares) < 0.03


@pytest.mark.parametrize("n_frames", [2, 3, 5, 7, 20, 60])
@pytest.mark.parametrize("fwhm_px", [2.5, 4.0])
def test_stars_keep_their_flux_through_jitter_and_seeing(n_frames: int, fwhm_px: float) -> None:
    losses = []
    for seed in range(3 if n_frames < 20 else 1):
        frames, places = starry_frames(n_frames, fwhm_px=fwhm_px, peak_adu=30000, seed=seed)
        box, terms = Box(0, 0, 160, 160), terms_of(n_frames)
        plain = integrate_cube(frames, box, terms, IntegrateSettings(rule="none"))
        result = integrate_cube(frames, box, terms, IntegrateSettings())
        losses.append(star_fluxes(result.value[0], places) / star_fluxes(plain.value[0], places) - 1)
    assert abs(float(np.mean(losses))) < 0.001


def test_adding_a_constant_adds_it() -> None:
    frames, _ = starry_frames(12, fwhm_px=3, peak_adu=3000, seed=4)
    raised = [MemoryFrame(frame.values + np.float32(512), frame.weights) for frame in frames]
    terms = terms_of(12)
    higher = FrameTerms(terms.weight, terms.exposure_s, terms.sky_sigma, terms.shot, terms.sky_level + 512)
    box = Box(0, 0, 160, 160)
    low, high = (
        integrate_cube(frames, box, terms, IntegrateSettings()),
        integrate_cube(raised, box, higher, IntegrateSettings()),
    )
    # the frames round differently after the step: a sample in ten thousand may fall on the other side of a limit
    assert (np.abs(high.value - low.value - 512) > 0.001).mean() < 1e-3


def test_tile_bytes_covers_the_samples() -> None:
    settings = IntegrateSettings()
    assert tile_bytes(100, 3, 1, 4096, settings) >= 100 * (3 * 4 + 1) * 4096
    assert tile_bytes(200, 3, 1, 4096, settings) < 2.01 * tile_bytes(100, 3, 1, 4096, settings)


def test_an_unknown_rule_is_refused_with_the_choices() -> None:
    with pytest.raises(UsageError, match="winsorized"):
        IntegrateSettings(rule="median_of_medians")
