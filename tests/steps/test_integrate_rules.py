"""The kernels accept exactly what the readable definitions accept."""

from __future__ import annotations

import numpy as np
import pytest
from memory_frame import MemoryFrame

from skyquilt.core import Box
from skyquilt.kernels.lanes import WIDTH
from skyquilt.kernels.reject import empty_block, find_intervals
from skyquilt.kernels.reject_pairs import settle_pairs as settle_pairs_fast
from skyquilt.steps.integrate import FrameTerms, IntegrateSettings, integrate_cube
from skyquilt.steps.integrate.definitions import combine_pixel, keep_noise_model, keep_samples, settle_pairs, structure
from skyquilt.steps.integrate.limits import critical_deviates, mad_corrections, reach, widenings

RULES = ["sigma", "winsorized", "mad", "linear_fit", "esd", "percentile", "none"]


def noisy_frames(
    n_frames: int, *, seed: int, missing: float = 0.0, outliers: float = 0.03, height: int = 9, width: int = 37
) -> list[MemoryFrame]:
    """Sky of 1000 ± 30 ADU with outliers on both sides; some samples missing, weights uneven."""
    rng = np.random.default_rng(seed)
    shape = (n_frames, 2, height, width)
    values = rng.normal(1000, 30, shape)
    values += np.where(rng.random(shape) < outliers, rng.choice([-400, 150, 3000, 40000], shape), 0)
    weights = rng.integers(2, 256, (n_frames, 1, height, width))
    weights[rng.random(weights.shape) < missing] = 0
    return [MemoryFrame(v.astype(np.float32), w.astype(np.uint8)) for v, w in zip(values, weights, strict=True)]


def plain_terms(n_frames: int, n_channels: int = 2, sigma: float = 30.0) -> FrameTerms:
    flat = np.ones((n_frames, n_channels))
    weight = np.linspace(0.5, 1.5, n_frames)
    return FrameTerms(weight, np.full(n_frames, 10.0), flat * sigma, flat * 0.0, flat * 1000.0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("n_frames", "missing"), [(1, 0), (2, 0), (3, 0.2), (6, 0), (13, 0.3), (40, 0), (57, 0.4), (130, 0.1)]
)
def test_a_rule_accepts_what_its_definition_accepts(rule: str, n_frames: int, missing: float) -> None:
    frames = noisy_frames(n_frames, seed=n_frames, missing=missing)
    terms = plain_terms(n_frames)
    limit = 5.0 if rule == "linear_fit" else 2.5
    settings = IntegrateSettings(rule=rule, low=limit + 0.2, high=limit, jitter_px=0, blur_px2=0)
    tile = integrate_cube(frames, Box.of_shape(9, 37), terms, settings)
    values = np.stack([frame.values for frame in frames])
    weights = np.stack([frame.weights for frame in frames])
    frame_rejected = np.zeros((n_frames, 2), dtype=np.int64)
    for channel, y, x in np.ndindex(values.shape[1:]):
        there = weights[:, 0, y, x] >= 2
        samples = values[there, channel, y, x].astype(np.float64)
        if len(samples) == 0:
            assert np.isnan(tile.value[channel, y, x])
            continue
        lowest, highest = (float(np.float32(end)) for end in keep_samples(samples, settings))
        w = terms.weight[there] * weights[there, 0, y, x] / 255
        value, variance, kept = combine_pixel(samples, w, (lowest, highest), np.full(len(samples), 900.0))
        assert tile.n_used[channel, y, x] == kept.sum()
        assert tile.rejected_low[channel, y, x] == (samples < lowest).sum()
        assert tile.rejected_high[channel, y, x] == (samples > highest).sum()
        assert tile.value[channel, y, x] == pytest.approx(value, rel=1e-6)
        assert tile.variance[channel, y, x] == pytest.approx(variance, rel=1e-4)
        frame_rejected[there, 0] += samples < lowest
        frame_rejected[there, 1] += samples > highest
    assert np.array_equal(tile.frame_rejected, frame_rejected)
    assert np.array_equal(tile.frame_samples, 2 * (weights >= 2).sum(axis=(1, 2, 3)))


@pytest.mark.parametrize("n_frames", [2, 3, 4, 7, 20])
def test_the_noise_model_accepts_what_its_definition_accepts(n_frames: int) -> None:
    rng = np.random.default_rng(n_frames)
    height, width = 16, 33
    y, x = np.mgrid[:height, :width]
    star = 20000 * np.exp(-((x - 15.3) ** 2 + (y - 7.6) ** 2) / 4)
    frames = []
    for _ in range(n_frames):
        image = 1000 + star * rng.normal(1, 0.2) + rng.normal(0, 30, star.shape)
        image[rng.random(image.shape) < 0.05] += 2000
        frames.append(MemoryFrame(image[None].astype(np.float32), np.full((1, height, width), 255, np.uint8)))
    sigma = rng.uniform(20, 40, (n_frames, 1))
    shot = rng.uniform(0.5, 2, (n_frames, 1))
    terms = FrameTerms(np.ones(n_frames), np.ones(n_frames), sigma, shot, np.full((n_frames, 1), 990.0))
    settings = IntegrateSettings(rule="noise_model")
    tile = integrate_cube(frames, Box(1, 1, width - 1, height - 1), terms, settings)
    values = np.stack([frame.values[0] for frame in frames]).astype(np.float64)
    centre = np.sort(values, axis=0)[(n_frames - 1) // 2]
    spread = 1.0 if n_frames == 2 else np.pi / (2 * n_frames)
    sky_variance = float((sigma**2).mean())
    local = structure(centre, spread * sky_variance, settings.jitter_px, settings.blur_px2)
    if n_frames == 2:
        centre, local = settle_pairs(values, local, settings.low, sky_variance, settings.jitter_px, settings.blur_px2)
    for j, i in np.ndindex(tile.value.shape[1:]):
        samples = values[:, j + 1, i + 1]
        own = sigma[:, 0] ** 2 + shot[:, 0] * max(0.0, centre[j + 1, i + 1] - 990)
        settled = centre[j + 1, i + 1] if n_frames == 2 else None
        middle, lowest, highest = keep_noise_model(samples, own, local[j + 1, i + 1], 3, 3, settled)
        assert middle == centre[j + 1, i + 1]
        value, variance, kept = combine_pixel(samples, np.ones(n_frames), (lowest, highest), own)
        assert tile.n_used[0, j, i] == kept.sum()
        assert tile.rejected_low[0, j, i] == (samples < lowest).sum()
        assert tile.value[0, j, i] == pytest.approx(value, rel=1e-6)
        assert tile.variance[0, j, i] == pytest.approx(variance, rel=1e-4)


@pytest.mark.parametrize("n_weights", [1, 2])
def test_pairs_are_settled_as_their_definition_settles_them(n_weights: int) -> None:
    rng = np.random.default_rng(n_weights)
    n_frames, height, width = 3, 60, 67
    y, x = np.mgrid[:height, :width]
    values = 1000 + 3000 * np.exp(-((x - 30.3) ** 2 + (y - 20.6) ** 2) / 6) + rng.normal(0, 30, (3, 2, height, width))
    values += np.where(rng.random(values.shape) < 0.05, rng.choice([-600, 120, 3000], values.shape), 0)
    values[rng.random(values.shape) < 0.01] = np.nan
    values = values.astype(np.float32)
    weights = rng.choice([0, 1, 2, 255], p=[0.2, 0.1, 0.2, 0.5], size=(3, n_weights, height, width)).astype(np.uint8)
    present = np.isfinite(values) & (weights >= 2)
    seen = np.where(present, values.astype(np.float64), np.nan)
    n_upper = 0
    for channel in range(2):
        counts = present[:, channel].sum(axis=0)
        before = np.where(counts == 2, np.nanmin(seen[:, channel], axis=0, initial=np.inf), 7.0).astype(np.float32)
        local = rng.uniform(0, 100, (height, width)).astype(np.float32)
        centre, structure_found = before.copy(), local.copy()
        settle_pairs_fast(
            np.pad(values.reshape(-1), (0, WIDTH)),
            np.pad(weights.reshape(-1), (0, WIDTH)),
            (n_frames, 2, n_weights, height * width),
            channel,
            counts.astype(np.float32).reshape(-1),
            width,
            2.5,
            0.3,
            0.5,
            900.0,
            centre.reshape(-1),
            structure_found.reshape(-1),
        )
        expected_centre, expected_structure = before.copy(), local.copy()
        inner = np.zeros((height, width), dtype=bool)
        inner[1:-1, 1:-1] = True
        for pair in ([0, 1], [0, 2], [1, 2]):
            there = inner & (counts == 2) & present[pair, channel].all(axis=0)
            middle, rough = settle_pairs(seen[pair, channel], local, 2.5, 900.0, 0.3, 0.5)
            expected_centre[there], expected_structure[there] = middle[there], rough[there]
        assert np.array_equal(centre, expected_centre)
        assert np.array_equal(structure_found, expected_structure)
        n_upper += int((centre != before).sum())
    assert n_upper > 50


@pytest.mark.parametrize("rule", ["sigma", "winsorized", "mad", "esd"])
def test_equal_samples_are_all_accepted(rule: str) -> None:
    frames = [
        MemoryFrame(np.full((2, 9, 37), 1234.567, np.float32), np.full((1, 9, 37), 255, np.uint8)) for _ in range(15)
    ]
    tile = integrate_cube(frames, Box.of_shape(9, 37), plain_terms(15), IntegrateSettings(rule=rule))
    assert (tile.n_used == 15).all()
    assert np.array_equal(tile.value, frames[0].values)


@pytest.mark.parametrize("rule", ["auto", "sigma", "winsorized", "mad"])
@pytest.mark.parametrize("n_frames", [8, 11, 20, 60, 200])
def test_gaussian_noise_loses_less_than_half_a_percent(rule: str, n_frames: int) -> None:
    rows = max(8, 160000 // n_frames // 64)
    frames = noisy_frames(n_frames, seed=5, outliers=0, height=rows, width=64)
    tile = integrate_cube(frames, Box.of_shape(rows, 64), plain_terms(n_frames), IntegrateSettings(rule=rule))
    assert tile.frame_rejected.sum() < 0.005 * tile.frame_samples.sum()


@pytest.mark.parametrize("rule", ["auto", "winsorized", "mad"])
@pytest.mark.parametrize("n_frames", [8, 12, 20, 60, 200])
def test_one_outlier_in_twelve_leaves_no_trace(rule: str, n_frames: int) -> None:
    rng = np.random.default_rng(n_frames)
    frames = noisy_frames(n_frames, seed=6, outliers=0, height=20, width=64)
    for index in (
        rng.permuted(np.tile(np.arange(n_frames), (20, 64, 1)), axis=2)[..., : -(-n_frames // 12)].reshape(1280, -1).T
    ):
        for pixel, frame in enumerate(index):
            frames[frame].values[:, pixel // 64, pixel % 64] += 10000
    tile = integrate_cube(frames, Box.of_shape(20, 64), plain_terms(n_frames), IntegrateSettings(rule=rule))
    assert abs(float(tile.value.mean()) - 1000) < 4 * 30 / np.sqrt(n_frames * tile.value.size)
    assert (tile.rejected_high >= -(-n_frames // 12)).all()


@pytest.mark.parametrize("rule", ["auto", "winsorized", "linear_fit", "esd"])
@pytest.mark.parametrize("combine", ["mean", "median", "sum"])
def test_frames_that_do_not_land_change_no_bit(rule: str, combine: str) -> None:
    frames = noisy_frames(30, seed=3)
    for k in range(0, 30, 3):
        frames[k].weights[...] = 0
    settings = IntegrateSettings(rule=rule, combine=combine)
    box = Box(2, 1, 33, 8)
    whole = integrate_cube(frames, box, plain_terms(30), settings)
    landing = [k for k in range(30) if k % 3]
    some = integrate_cube(frames, box, plain_terms(30), settings, landing=landing)
    for name in ("value", "variance", "coverage", "n_used", "rejected_low", "frame_rejected", "frame_samples"):
        assert np.array_equal(getattr(whole, name), getattr(some, name), equal_nan=True), name


@pytest.mark.parametrize("rule", ["sigma", "mad", "winsorized", "linear_fit", "esd"])
@pytest.mark.parametrize("n_full", [0, 1, 20])
def test_a_rule_reads_nothing_that_lies_before_its_memory(rule: str, n_full: int) -> None:
    n_frames, n_pixels = 20, 2 * WIDTH
    rng = np.random.default_rng(n_full)
    values = rng.normal(1000, 30, n_frames * n_pixels + WIDTH).astype(np.float32)
    weights = np.zeros(n_frames * n_pixels + WIDTH, dtype=np.uint8)
    weights[: n_full * n_pixels : 2] = 255  # every other pixel has no sample at all
    found = []
    for before in (-1e30, 1e30):
        memory = np.full(64 * WIDTH + len(empty_block(n_frames)), before, dtype=np.float32)
        memory[64 * WIDTH :] = np.inf
        planes = [np.zeros(n_pixels, dtype=np.float32) for _ in range(4)]
        find_intervals(
            rule,
            values,
            weights,
            (n_frames, 1, 1, n_pixels),
            0,
            0,
            (3.0, 3.0, 0.2, 0.1, 0.3),
            10,
            (
                *reach(3.0, 3.0, n_frames),
                mad_corrections(n_frames),
                widenings(rule, n_frames),
                critical_deviates(0.05, n_frames),
            ),
            memory[64 * WIDTH :],
            *planes,
        )
        found.append(np.stack(planes))
    assert np.array_equal(found[0], found[1], equal_nan=True)
