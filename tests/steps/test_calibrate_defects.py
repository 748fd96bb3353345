"""Hot and cold pixels, from darks and from lights."""

from __future__ import annotations

import time

import numpy as np
import pytest

from skyquilt.core import F32, Cfa
from skyquilt.kernels.defects import count_spikes, count_spikes_slowly, neighbour_median, neighbour_median_slowly
from skyquilt.steps.calibrate import find_defects, find_defects_in_lights

GRBG = Cfa("GRBG")


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("shape", [(31, 40), (3, 2), (1, 1)])
def test_the_neighbour_median_equals_its_readable_definition(step: int, shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(3).normal(100.0, 9.0, shape).astype(np.float32)
    if step < max(shape):
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(neighbour_median(pixels, step), neighbour_median_slowly(pixels, step))


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize("width", [40, 41])
def test_counting_spikes_equals_its_readable_definition(step: int, width: int) -> None:
    rng = np.random.default_rng(5)
    levels = rng.normal(500.0, 50.0, (2, 2)).astype(np.float32)
    fast = [np.zeros((33, width), np.uint8), np.zeros((33, width), np.uint8), np.zeros((33, width), np.float32)]
    slow = [array.copy() for array in fast]
    for _ in range(4):
        pixels = rng.normal(500.0, 20.0, (33, width)).astype(np.float32)
        count_spikes(pixels, levels, step, 8.0, fast[0], fast[1], fast[2])
        count_spikes_slowly(pixels, levels, step, 8.0, slow[0], slow[1], slow[2])
    for one, other in zip(fast, slow, strict=True):
        np.testing.assert_array_equal(one, other)
    assert fast[0].any() and fast[1].any()


def test_hot_cold_and_broken_pixels_of_a_dark_are_found_and_nothing_else() -> None:
    rng = np.random.default_rng(6)
    y, x = np.mgrid[0:200, 0:300]
    glow = 400.0 * np.exp(-((x - 300) ** 2 + y**2) / 60.0**2)  # amplifier glow is no defect
    dark = (300.0 + 15.0 * GRBG.table[y % 2, x % 2] + glow + rng.normal(0.0, 4.0, y.shape)).astype(np.float32)
    truth = np.zeros(dark.shape, dtype=bool)
    truth[rng.integers(0, 200, 60), rng.integers(0, 300, 60)] = True
    dark[truth] += np.where(rng.random(int(truth.sum())) < 0.8, 90.0, -90.0).astype(np.float32)
    dark[11, 12] = np.nan
    truth[11, 12] = True
    np.testing.assert_array_equal(find_defects(dark, GRBG), truth)


def test_a_dark_full_of_warm_pixels_gives_the_worst_two_percent() -> None:
    rng = np.random.default_rng(7)
    dark = (
        300.0 + rng.normal(0.0, 2.0, (200, 200)) + rng.exponential(500.0, (200, 200)) * (rng.random((200, 200)) < 0.1)
    )
    found = find_defects(dark.astype(np.float32), None)
    assert 0.015 < found.mean() <= 0.02
    assert dark[found].min() > np.percentile(dark, 95)


def test_a_dark_of_equal_values_has_no_defects() -> None:
    dark = np.full((50, 50), 64.0, dtype=np.float32)
    assert not find_defects(dark, None).any()
    dark[20, 20] = 66.0  # two counts above a noiseless neighbourhood are rounding, not heat
    assert not find_defects(dark, None).any()
    dark[20, 20] = 80.0
    assert find_defects(dark, None).sum() == 1


def draw_lights(
    n: int, fwhm: float, jitter: float, cfa: Cfa | None, seed: int, shape: tuple[int, int] = (240, 320)
) -> tuple[list[F32], np.ndarray, np.ndarray]:
    """Lights with stars of every brightness, hot and cold pixels; also the truth and where the stars are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    n_stars = 120
    star_x, star_y = rng.uniform(8, shape[1] - 8, n_stars), rng.uniform(8, shape[0] - 8, n_stars)
    flux = 10.0 ** rng.uniform(2.3, 5.0, n_stars)
    colour = rng.uniform(0.15, 1.0, (n_stars, 3))
    defects = np.zeros(shape, dtype=np.int64)
    picks = rng.choice(shape[0] * shape[1], 80, replace=False)
    defects.flat[picks[:60]] = 1
    defects.flat[picks[60:]] = -1
    height = np.where(defects == 1, rng.uniform(150.0, 5000.0, shape), np.where(defects == -1, -250.0, 0.0))
    sigma = fwhm / 2.3548
    channel = cfa.table[y % 2, x % 2] if cfa else np.zeros(shape, dtype=np.int64)
    near = np.zeros(shape, dtype=bool)
    frames = []
    for _ in range(n):
        image = 800.0 + 60.0 * channel + height
        dx, dy = rng.normal(0.0, jitter, 2) if jitter else (0.0, 0.0)
        for k in range(n_stars):
            r2 = (x - star_x[k] - dx) ** 2 + (y - star_y[k] - dy) ** 2
            image = image + flux[k] / (2 * np.pi * sigma**2) * np.exp(-r2 / (2 * sigma**2)) * colour[k][channel]
            near |= r2 < (1.5 * fwhm + 2.0) ** 2
        frames.append((image + rng.normal(0.0, 25.0, shape)).round().clip(0, 65535).astype(np.float32))
    return frames, defects, near


@pytest.mark.parametrize(("fwhm", "cfa"), [(1.6, None), (2.5, None), (4.0, None), (2.5, GRBG), (4.0, GRBG)])
def test_undithered_star_cores_are_never_taken_for_hot_pixels(fwhm: float, cfa: Cfa | None) -> None:
    frames, truth, near = draw_lights(8, fwhm, 0.0, cfa, seed=int(10 * fwhm))
    found = find_defects_in_lights(iter(frames), cfa)
    assert not (found & (truth == 0)).any()
    open_sky = (truth != 0) & ~near
    inner = np.zeros_like(open_sky)
    inner[3:-3, 3:-3] = True
    assert found[open_sky & inner].mean() > 0.95


def test_hot_pixels_are_found_in_dithered_lights_in_any_order() -> None:
    frames, truth, near = draw_lights(10, 3.0, 4.0, GRBG, seed=3)
    found = find_defects_in_lights(frames, GRBG)
    np.testing.assert_array_equal(found, find_defects_in_lights(frames[::-1], GRBG))
    assert not (found & (truth == 0)).any()
    near[:3], near[-3:], near[:, :3], near[:, -3:] = True, True, True, True  # pixels without a neighbour are not judged
    assert found[(truth == 1) & ~near].mean() > 0.95


def test_two_lights_are_too_few_to_tell_and_none_is_an_error() -> None:
    frames, _, _ = draw_lights(2, 3.0, 0.0, None, seed=3, shape=(60, 60))
    assert not find_defects_in_lights(frames, None).any()
    with pytest.raises(ValueError, match="no frame"):
        find_defects_in_lights([], None)
    with pytest.raises(ValueError, match="frame 1 is"):
        find_defects_in_lights([frames[0], frames[0][:50]], None)


def test_a_cosmic_ray_in_one_frame_is_no_defect() -> None:
    rng = np.random.default_rng(9)
    frames = [rng.normal(500.0, 10.0, (80, 80)).astype(np.float32) for _ in range(8)]
    frames[3][40, 41] = 60000.0
    assert not find_defects_in_lights(frames, None).any()


def test_counting_spikes_in_a_seestar_frame_stays_in_its_budget() -> None:
    pixels = np.random.default_rng(1).normal(900.0, 40.0, (1920, 1080)).astype(np.float32)
    hot, cold = np.zeros(pixels.shape, np.uint8), np.zeros(pixels.shape, np.uint8)
    total = np.zeros(pixels.shape, np.float32)
    levels = np.full((2, 2), 900.0, dtype=np.float32)
    count_spikes(pixels, levels, 2, 120.0, hot, cold, total)
    best = 1.0
    for _ in range(5):
        start = time.thread_time()
        count_spikes(pixels, levels, 2, 120.0, hot, cold, total)
        best = min(best, time.thread_time() - start)
    assert best < 0.02  # 6 ms is the aim; generous, as the machine may be shared
