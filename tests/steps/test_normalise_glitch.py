"""A readout glitch is a sharp step between rows that the reference does not show; clouds and nebulae are none."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core import F64, Figures, Measurement, Registration, Stars, Transform
from skyquilt.steps.normalise import find_row_step

CELL, GY, GX = 64, 20, 12
NOISE = 40.0


def frame(sky: F64, seed: int = 1) -> Measurement:
    random = np.random.default_rng(seed)
    levels = (sky + random.normal(0.0, NOISE / 40.0, sky.shape)).astype(np.float32)
    figures = Figures(float(np.median(sky)), NOISE, 0.0, 0, 3.0, 0.3, 0.0)
    background = np.stack([0.8 * levels, levels, 0.7 * levels])
    return Measurement(figures, Stars.empty(), background, np.full(3, NOISE), CELL, GX * CELL, GY * CELL)


def registration(transform: Transform) -> Registration:
    return Registration(transform, 0, 0.1, 0.1, np.zeros((0, 2), dtype=np.int64))


def smooth_sky(level: float = 1000.0) -> F64:
    y, x = np.mgrid[:GY, :GX]
    nebula = 400.0 * np.exp(-((y - 9) ** 2 + (x - 5) ** 2) / 8.0)
    return level + 6.0 * y - 4.0 * x + nebula


STILL = registration(Transform.identity())


@pytest.mark.parametrize("first_row", [4, 11, 16])
def test_rows_at_the_pedestal_are_found_with_their_place_and_height(first_row: int) -> None:
    sky = smooth_sky()
    sky[first_row:] = 430.0
    step = find_row_step(frame(sky, 2), frame(smooth_sky()), STILL)
    assert step is not None
    assert step.y == first_row * CELL
    assert step.height_adu < -500.0


def test_the_reference_shows_its_own_glitch_against_every_frame() -> None:
    sky = smooth_sky()
    sky[12:] -= 300.0
    step = find_row_step(frame(smooth_sky(), 3), frame(sky), STILL)
    assert step is not None
    assert step.height_adu == pytest.approx(300.0, abs=30.0)


@pytest.mark.parametrize(
    "change",
    [
        lambda y, x: 0.3 * 40.0 * y,  # a gradient
        lambda y, x: 200.0 / (1.0 + np.exp(-(y - 10) / 2.0)),  # a bank of clouds
        lambda y, x: np.where((y > 8) & (x > 8), 400.0, 0.0),  # a tree at the edge
        lambda y, x: np.where(y > 10, 40.0, 0.0),  # less than five in a hundred
        lambda y, x: 0.0 * y,
    ],
)
def test_what_is_smooth_or_small_or_partial_is_no_glitch(change: object) -> None:
    y, x = np.mgrid[:GY, :GX].astype(np.float64)
    sky = smooth_sky() + change(y, x)  # type: ignore[operator]
    assert find_row_step(frame(sky, 4), frame(smooth_sky()), STILL) is None


def test_a_nebula_cancels_when_the_frame_is_shifted_and_turned() -> None:
    y, x = np.mgrid[:GY, :GX].astype(np.float64)
    turn = Transform.similarity(angle_deg=180.0, dx=GX * CELL - 1.0, dy=GY * CELL - 1.0)
    assert find_row_step(frame(smooth_sky()[::-1, ::-1].copy(), 5), frame(smooth_sky()), registration(turn)) is None
    moved = 1000.0 + 400.0 * np.exp(-((y - 8) ** 2 + (x - 5) ** 2) / 8.0) + 6.0 * (y + 1) - 4.0 * x
    shift = Transform.shift(0.0, float(CELL))
    assert find_row_step(frame(moved, 6), frame(smooth_sky()), registration(shift)) is None


def test_too_little_overlap_tells_nothing() -> None:
    away = Transform.shift(0.0, (GY - 2.0) * CELL)
    assert find_row_step(frame(smooth_sky()), frame(smooth_sky()), registration(away)) is None
