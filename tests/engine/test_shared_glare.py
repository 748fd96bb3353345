"""A star that saturates in one frame is treated alike in all; what no other frame shows is no star."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skyquilt.core import Calibration, Figures, FrameFile, FrameMeta, Measurement, Registration, Stars, Transform
from skyquilt.engine.glare import share_glare
from skyquilt.engine.light import Light

SHIFT = Transform.shift(10.0, -5.0)  # frame to reference


def make_light(x: list[float], saturated: list[bool], transform: Transform, pairs: list[tuple[int, int]]) -> Light:
    n = len(x)
    blank = {name: np.zeros(n) for name in Stars.__slots__}
    stars = Stars(**{**blank, "x": np.array(x), "y": np.full(n, 50.25), "is_saturated": np.array(saturated)})
    light = Light(FrameFile(Path("a.fit"), FrameMeta(100, 100), 0), Calibration())
    figures = Figures(0.0, 1.0, 0.0, n, 2.0, 0.0, 0.0)
    light.measurement = Measurement(figures, stars, np.zeros((1, 1, 1), np.float32), np.ones(1), 64, 100, 100)
    light.registration = Registration(transform, n, 0.1, 0.1, np.array(pairs, dtype=np.int64).reshape(-1, 2))
    return light


def test_a_star_that_saturates_anywhere_is_told_to_all() -> None:
    # stars of the reference: 20 unsaturated, 40 saturated, 60 saturated but seen nowhere else, 95 off the other frame
    reference = make_light([20.5, 40.5, 60.5, 5.5], [False, True, True, True], Transform.identity(), [])
    other = make_light([10.5, 30.5, 70.5, -4.5], [True, False, True, True], SHIFT, [(0, 0), (1, 1), (3, 3)])
    share_glare([reference, other], reference)
    assert reference.saturated_stars is not None
    assert other.saturated_stars is not None
    assert reference.saturated_stars.tolist() == [[20, 50], [40, 50], [5, 50]]
    assert other.saturated_stars.tolist() == [[10, 55], [30, 55]]


def test_without_saturated_stars_nothing_is_told() -> None:
    reference = make_light([20.5, 40.5], [False, True], Transform.identity(), [])
    other = make_light([10.5, 50.5], [False, True], SHIFT, [(0, 0)])
    share_glare([reference, other], reference)
    assert reference.saturated_stars is None
    assert other.saturated_stars is None
