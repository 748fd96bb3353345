"""The mean of frames as their files hold them is that of the integration, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core import F32, F64, U8, U16, Box
from skyquilt.kernels.lanes import WIDTH
from skyquilt.steps.integrate import FrameTerms, IntegrateSettings, StoredStack, integrate_cube, takes_stored

STILL = {"jitter_px": 0.0, "blur_px2": 0.0}


class Plane:
    """Samples (v - subtract) * scale of a frame in memory."""

    n_channels = 1
    weight_channels = 1

    def __init__(self, pixels: U16, subtract: F32 | None, scale: float) -> None:
        values = pixels.astype(np.float32)
        self._values = (values if subtract is None else values - subtract) * np.float32(scale)

    def sample(self, box: Box, values: F32, weights: U8) -> None:
        values[0] = self._values[box.y0 : box.y1, box.x0 : box.x1]
        weights.fill(255)


def draw_frames(n_frames: int, shape: tuple[int, int]) -> U16:
    """Noise with strays, dead columns and both ends of the range."""
    random = np.random.default_rng(n_frames)
    frames = random.normal(500.0, 8.0, (n_frames, *shape))
    frames[random.random(frames.shape) < 0.03] += 4000.0
    frames[:, :, 3] = 65535.0
    frames[:, 2, :] = 0.0
    frames[:, 1, :] = np.rint(random.random((n_frames, shape[1])))
    return np.clip(np.rint(frames), 0, 65535).astype(np.uint16)


@pytest.mark.parametrize("n_frames", [8, 9, 20, 33])
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize(("rule", "low", "high", "max_iterations"), [("auto", 3.0, 3.0, 10), ("sigma", 1.5, 4.0, 2)])
def test_it_equals_the_integration_bit_for_bit(
    n_frames: int, has_bias: bool, rule: str, low: float, high: float, max_iterations: int
) -> None:
    shape = (5, 2 * WIDTH + 3)
    frames = draw_frames(n_frames, shape)
    random = np.random.default_rng(1)
    bias = random.normal(100.0, 2.0, shape).astype(np.float32) if has_bias else None
    scales: F64 = random.uniform(0.8, 1.2, n_frames) if has_bias else np.ones(n_frames)
    settings = IntegrateSettings(rule=rule, low=low, high=high, max_iterations=max_iterations, **STILL)
    stack = StoredStack(n_frames, shape[1], 8, settings)
    stack.rows(shape[0])[...] = (frames ^ np.uint16(0x8000)).byteswap()
    mean = stack.mean(shape[0], bias, scales)
    ones = np.ones(n_frames)
    terms = FrameTerms(ones, ones, 8.0 * ones[:, None], 0.1 * ones[:, None], 500.0 * ones[:, None])
    planes = [Plane(frame, bias, scale) for frame, scale in zip(frames, scales, strict=True)]
    expected = integrate_cube(planes, Box.of_shape(*shape), terms, settings)
    np.testing.assert_array_equal(mean, expected.value[0])
    assert expected.rejected_high.any()


def test_the_memory_is_used_again_for_other_rows() -> None:
    frames = draw_frames(9, (7, 40))
    stored = (frames ^ np.uint16(0x8000)).byteswap()
    settings = IntegrateSettings(**STILL)
    stack = StoredStack(9, 40, 7, settings)
    stack.rows(7)[...] = stored
    whole = stack.mean(7, None, np.ones(9)).copy()
    stack.rows(3)[...] = stored[:, 4:]
    np.testing.assert_array_equal(stack.mean(3, None, np.ones(9)), whole[4:])


def test_what_it_cannot_do_is_refused() -> None:
    assert takes_stored(IntegrateSettings(**STILL), 8)
    for settings, n_frames in (
        (IntegrateSettings(**STILL), 7),
        (IntegrateSettings(), 20),
        (IntegrateSettings(rule="winsorized", **STILL), 20),
        (IntegrateSettings(combine="median", **STILL), 20),
    ):
        assert not takes_stored(settings, n_frames)
        with pytest.raises(ValueError, match="as they are stored"):
            StoredStack(n_frames, 10, 10, settings)
