"""Values between pixels: the kernel is its definition, exact for parabolas, and keeps to what is known."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64
from skyquilt.kernels.cubic import sample_cubic, sample_cubic_definition


def sampled(values: F32, x: F64, y: F64) -> F32:
    out = np.empty((len(values), x.size), np.float32)
    sample_cubic(values, x, y, out)
    return out


def test_the_kernel_is_its_definition() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(100, 30, (2, 19, 23)).astype(np.float32)
    values[rng.random(values.shape) < 0.03] = np.nan
    values[0, 4, 4] = np.inf
    x, y = rng.uniform(-2, 25, 3000), rng.uniform(-2, 21, 3000)
    x[:600], y[300:900] = np.rint(x[:600]), np.rint(y[300:900]) + 0.5
    found = sampled(values, x, y)
    np.testing.assert_array_equal(found, sample_cubic_definition(values, x, y))
    assert 0.6 < np.isfinite(found).mean() < 0.95


def test_it_is_exact_for_parabolas() -> None:
    y, x = np.mgrid[0:30, 0:40].astype(float)
    rng = np.random.default_rng(2)
    at_x, at_y = rng.uniform(1, 38, 500), rng.uniform(1, 28, 500)

    def parabola(x: F64, y: F64) -> F64:
        return 3 + x - 2 * y + 0.1 * x * x - 0.2 * x * y

    found = sampled(parabola(x, y)[None].astype(np.float32), at_x, at_y)
    np.testing.assert_allclose(found[0], parabola(at_x, at_y), atol=1e-4)


def test_it_keeps_to_what_is_known() -> None:
    values = np.arange(12.0, dtype=np.float32).reshape(1, 3, 4)
    values[0, 1, 1] = np.nan
    x, y = np.array([0.0, 1.2, 1.6, -0.4, -0.6, 3.4, 2.0]), np.array([0.0, 1.2, 1.0, 0.0, 0.0, 2.4, 2.6])
    found = sampled(values, x, y)[0]
    np.testing.assert_array_equal(np.isnan(found), [False, True, False, False, True, False, True])
    np.testing.assert_allclose(found[[0, 2, 3, 5]], [0.0, 6.0, 0.0, 11.0])
