"""Where pixels pile up: found where a converter cut them off, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core import F32
from skyquilt.steps.calibrate import find_ceiling, frame_top


def sky_frames(n: int, *, brightest: float, ceiling: float = 65535.0, step: int = 1, n_hot: int = 0) -> list[F32]:
    """Return raw frames of stars on noise, rounded to multiples of `step` and cut off at `ceiling`."""
    rng = np.random.default_rng(7)
    y, x = np.indices((160, 200))
    places = rng.uniform(5, 155, (40, 2))
    peaks = brightest * 10 ** rng.uniform(-2, 0, 40)
    light = sum(p * np.exp(-((x - b) ** 2 + (y - a) ** 2) / 6.0) for (a, b), p in zip(places, peaks, strict=True))
    hot = rng.integers(0, 160, n_hot), rng.integers(0, 200, n_hot)
    frames = []
    for _ in range(n):
        signal = 300.0 + light * rng.uniform(0.95, 1.0)
        signal[hot] = 0.9 * ceiling
        noisy = rng.normal(signal, np.sqrt(0.5 * signal + 25.0))
        frames.append(np.clip(np.rint(noisy / step) * step, 0, ceiling).astype(np.float32)[None])
    return frames


def ceiling_of(frames: list[F32], saturation_adu: float = 32767.0) -> float:
    return find_ceiling([frame_top(frame) for frame in frames], saturation_adu)


@pytest.mark.parametrize(("ceiling", "step"), [(4095.0, 1), (16383.0, 1), (16380.0, 4)])
def test_the_ceiling_of_a_converter_is_found(ceiling: float, step: int) -> None:
    assert ceiling_of(sky_frames(5, brightest=6 * ceiling, ceiling=ceiling, step=step)) == ceiling
    assert ceiling_of(sky_frames(2, brightest=6 * ceiling, ceiling=ceiling, step=step), np.inf) == ceiling


@pytest.mark.parametrize("step", [1, 4, 16])
@pytest.mark.parametrize("brightest", [50.0, 3000.0, 25000.0])
@pytest.mark.parametrize("n_hot", [0, 60])
def test_frames_that_do_not_saturate_show_none(step: int, brightest: float, n_hot: int) -> None:
    assert ceiling_of(sky_frames(5, brightest=brightest, ceiling=31000.0, step=step, n_hot=n_hot)) == np.inf


def test_the_noise_of_a_coarse_converter_is_no_ceiling() -> None:
    rng = np.random.default_rng(8)
    for spread in (0.3, 1.0, 3.0):
        frames = [np.rint(rng.normal(5, spread, (1, 100, 100))).clip(0, 7).astype(np.float32) for _ in range(5)]
        assert ceiling_of(frames) == np.inf


def test_stuck_pixels_and_blank_frames_show_none() -> None:
    frames = sky_frames(5, brightest=3000.0)
    for frame in frames:
        frame[0, 80, 20:24] = 9000.0  # stuck, brighter than all stars
    assert ceiling_of(frames) == np.inf
    assert ceiling_of([np.full((1, 50, 50), 1234.0, np.float32)] * 5) == np.inf
    assert ceiling_of([np.full((1, 50, 50), np.nan, np.float32)] * 5) == np.inf
    assert ceiling_of([]) == np.inf


def test_one_frame_alone_is_no_evidence() -> None:
    cut, uncut = sky_frames(1, brightest=20000.0, ceiling=4095.0), sky_frames(4, brightest=3000.0)
    assert ceiling_of(cut) == np.inf
    assert ceiling_of(cut + uncut) == np.inf
    assert ceiling_of(sky_frames(4, brightest=20000.0, ceiling=4095.0) + sky_frames(1, brightest=20000.0)) == np.inf


def test_what_is_near_the_largest_value_of_the_file_is_left_alone() -> None:
    frames = sky_frames(3, brightest=400000.0, ceiling=65520.0, step=16)
    assert ceiling_of(frames, 65535.0) == np.inf


def test_values_that_are_not_finite_do_not_count() -> None:
    frames = sky_frames(3, brightest=20000.0, ceiling=4095.0)
    for frame in frames:
        frame[0, 3, 3], frame[0, 4, 4] = np.nan, np.inf
    assert ceiling_of(frames) == 4095.0


def test_after_a_dark_was_subtracted_by_the_device_there_is_no_single_value() -> None:
    rng = np.random.default_rng(9)
    dark = rng.normal(60, 8, (160, 200))
    frames = [np.rint(frame - dark) for frame in sky_frames(4, brightest=20000.0, ceiling=4095.0)]
    assert ceiling_of([frame.astype(np.float32) for frame in frames]) == np.inf
