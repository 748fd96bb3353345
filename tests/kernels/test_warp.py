"""The interpolation tables and the vector code of the resampling loops."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core import F32, F64, I32, Box, Normalisation, Transform
from skyquilt.kernels.backend import exact_kernel
from skyquilt.kernels.warp import find_footprint
from skyquilt.kernels.warp_prepare import INFLUENCE, has_saturated, mirror_into
from skyquilt.kernels.warp_simd import (
    window1x2,
    window1x4,
    window1x6,
    window4x2,
    window4x4,
    window4x4_of_four,
    window4x6,
)
from skyquilt.kernels.warp_table import KERNEL_TAPS, KERNELS, N_PHASES, gaussian_table, kernel_table
from skyquilt.steps.resample import NodeGrid


@exact_kernel
def run_windows(pixels: F32, stride: int, lanes: int, taps: int, start: int, table: F32, px: int, py: int) -> F32:
    out = np.zeros(lanes, dtype=np.float32)
    if lanes == 4:
        if taps == 2:
            window4x2(pixels, start, stride, table, px * 2, py * 2, out, 0)
        elif taps == 4:
            window4x4(pixels, start, stride, table, px * 4, py * 4, out, 0)
        else:
            window4x6(pixels, start, stride, table, px * 6, py * 6, out, 0)
    elif taps == 2:
        window1x2(pixels, start, stride, table, px * 2, py * 2, out, 0)
    elif taps == 4:
        window1x4(pixels, start, stride, table, px * 4, py * 4, out, 0)
    else:
        window1x6(pixels, start, stride, table, px * 6, py * 6, out, 0)
    return out


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("kernel", ["bilinear", "catmull_rom", "least_squares", "lanczos3"])
def test_a_window_is_the_sum_over_its_rows_and_columns(kernel: str, lanes: int) -> None:
    rng = np.random.default_rng(4)
    pixels = rng.normal(1000, 100, (9, 11, lanes)).astype(np.float32)
    table, taps = kernel_table(kernel), KERNEL_TAPS[kernel]
    for px, py, x, y in ((0, 1024, 0, 0), (300, 777, 2, 1), (512, 3, 5, 3)):
        found = run_windows(pixels.ravel(), 11 * lanes, lanes, taps, (y * 11 + x) * lanes, table.ravel(), px, py)
        window = pixels[y : y + taps, x : x + taps].astype(np.float64)
        expected = np.einsum("yxl,x,y->l", window, table[px].astype(float), table[py].astype(float))
        np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", KERNELS)
def test_the_weights_of_every_phase_sum_to_one(name: str) -> None:
    table = kernel_table(name)
    assert table.shape == (N_PHASES + 1, KERNEL_TAPS[name])
    np.testing.assert_allclose(table.sum(axis=1), 1.0, atol=2e-7)


@pytest.mark.parametrize("name", KERNELS)
def test_whole_pixels_are_picked_exactly_and_the_table_is_symmetric(name: str) -> None:
    table = kernel_table(name)
    first = KERNEL_TAPS[name] // 2 - 1
    np.testing.assert_array_equal(np.flatnonzero(table[0]), [first])
    np.testing.assert_array_equal(np.flatnonzero(table[-1]), [first + 1])
    if name != "nearest":
        np.testing.assert_allclose(table, table[::-1, ::-1], atol=1e-7)


@pytest.mark.parametrize("name", ["catmull_rom", "least_squares"])
def test_kernels_of_four_taps_reproduce_a_slope(name: str) -> None:
    table = kernel_table(name).astype(float)
    np.testing.assert_allclose(table @ np.array([-1.0, 0, 1, 2]), np.arange(N_PHASES + 1) / N_PHASES, atol=3e-7)


def star_misses(weights: F64, phase: float, fwhm_px: float) -> float:
    """Return the mean square by which four weights miss a Gaussian star at `phase`, over its places."""
    centres = np.linspace(-6.0, 7.0, 2601)
    values = np.exp(-4 * np.log(2) * ((np.array([-1.0, 0, 1, 2, phase])[:, None] - centres) / fwhm_px) ** 2)
    return float(np.mean((weights @ values[:4] - values[4]) ** 2))


@pytest.mark.parametrize("phase", [0.125, 0.5, 0.75])
def test_no_other_weights_that_keep_levels_and_slopes_miss_a_star_by_less(phase: float) -> None:
    weights = kernel_table("least_squares")[int(phase * N_PHASES)].astype(float)
    least = star_misses(weights, phase, 2.2)
    for change in ((1.0, -2.0, 1.0, 0.0), (0.0, 1.0, -2.0, 1.0), (1.0, -1.0, -1.0, 1.0), (1.0, -3.0, 3.0, -1.0)):
        for size in (-0.01, 0.01):
            assert star_misses(weights + size * np.array(change), phase, 2.2) > least
    assert least < 0.6 * star_misses(kernel_table("catmull_rom")[int(phase * N_PHASES)].astype(float), phase, 2.2)


def test_a_wide_gaussian_window_gets_more_taps() -> None:
    assert gaussian_table(0.6).shape[1] == 4
    assert gaussian_table(1.0).shape[1] == 6


def make_nodes(rng: np.random.Generator, rows: int, columns: int) -> F64:
    y, x = np.mgrid[0:rows, 0:columns] * 16.0
    return np.stack([x + 3 * rng.normal(size=x.shape), y + 3 * rng.normal(size=x.shape)], axis=-1)


def test_the_footprint_is_the_range_of_all_positions() -> None:
    rng = np.random.default_rng(2)
    nodes = make_nodes(rng, 5, 6)
    for box in ((3, 5, 70, 60), (0, 0, 64, 64), (17, 18, 19, 20), (15, 15, 33, 17)):
        x0, y0, x1, y1 = box
        y, x = np.mgrid[y0:y1, x0:x1]
        i, j, ty, tx = y // 16 - y0 // 16, x // 16 - x0 // 16, (y % 16 / 16)[..., None], (x % 16 / 16)[..., None]
        top, low = nodes[i, j] * (1 - tx) + nodes[i, j + 1] * tx, nodes[i + 1, j] * (1 - tx) + nodes[i + 1, j + 1] * tx
        positions = top * (1 - ty) + low * ty
        expected = [*positions.min(axis=(0, 1)), *positions.max(axis=(0, 1))]
        np.testing.assert_allclose(find_footprint(nodes, box), expected, atol=1e-9)


def test_a_footprint_of_nowhere_is_empty() -> None:
    x_min, _, x_max, _ = find_footprint(np.full((3, 3, 2), np.nan), (0, 0, 20, 20))
    assert x_min > x_max


def test_a_piece_is_mirrored_about_the_outermost_pixels() -> None:
    frame = np.arange(7 * 9, dtype=np.float32).reshape(7, 9)
    out = np.zeros((7 + 8, 9 + 8), dtype=np.float32)
    mirror_into(frame, 0, 0, 9, 7, -4, -4, out)
    np.testing.assert_array_equal(out, np.pad(frame, 4, mode="reflect"))
    tiny = np.zeros((6, 7), dtype=np.float32)
    mirror_into(frame[:2, :2].copy(), 0, 0, 2, 2, -2, -2, tiny)
    np.testing.assert_array_equal(tiny, np.pad(frame[:2, :2], ((2, 2), (2, 3)), mode="reflect"))


def test_saturation_and_not_a_number_are_seen() -> None:
    raw = np.full((1, 20, 30), 100, dtype=np.float32)
    assert not has_saturated(raw, 1000.0)
    for value in (1000.0, np.nan, np.inf):
        raw[0, 11, 17] = value
        assert has_saturated(raw, 1000.0)


def test_a_pixel_has_all_influence_on_itself_and_less_further_off() -> None:
    for table in INFLUENCE.values():
        assert table[2, 2] == 1
        assert table.max() == 1
        assert (table[2, 2:] == np.sort(table[2, 2:])[::-1]).all()
        np.testing.assert_array_equal(table, table.T)


@exact_kernel
def run_four(pixels: F32, where: I32, stride: int, table: F32, across: I32, down: I32, four: F32, single: F32) -> None:
    window4x4_of_four(pixels, where, stride, table, across, down, 1, four, 0)
    for k in range(4):
        window4x4(pixels, where[k + 1], stride, table, across[k + 1], down[k + 1], single, 4 * k)


def test_four_windows_at_once_are_those_of_one_after_the_other() -> None:
    rng = np.random.default_rng(6)
    pixels = rng.normal(1000, 100, (12, 15, 4)).astype(np.float32).ravel()
    table = kernel_table("least_squares").ravel()
    where = (4 * (15 * rng.integers(0, 8, 5) + rng.integers(0, 11, 5))).astype(np.int32)
    across, down = ((4 * rng.integers(0, N_PHASES + 1, 5)).astype(np.int32) for _ in range(2))
    four, single = np.zeros(16, np.float32), np.zeros(16, np.float32)
    run_four(pixels, where, 60, table, across, down, four, single)
    np.testing.assert_array_equal(four, single)


def test_the_nodes_of_a_linear_map_are_the_map() -> None:
    matrix = np.array([[1.01, -0.02, 3.5], [0.03, 0.98, -7.25], [1e-6, -2e-6, 1.0]])
    surface = np.array([[5.0, 1.0, -2.0, 0.5, 0.25, -0.125], [1.0, 0.0, 0.0, 0.0, 0.0, 3.0]])
    normalisation = Normalisation(np.ones(2), surface, (100.0, 50.0), 80.0, 1.0)
    to_frame = Transform.from_matrix(matrix, "homography")
    grid = NodeGrid(to_frame, 2, normalisation)
    x, y = np.meshgrid(np.arange(-2.0, 5.0) * 16, np.arange(3.0, 9.0) * 16)
    np.testing.assert_allclose(grid.cover(Box(-32, 48, 64, 128)), grid.evaluate(x, y), rtol=1e-13)
    part = grid.cover(Box(0, 64, 48, 100))
    np.testing.assert_array_equal(part, grid.cover(Box(-32, 48, 64, 128))[1:5, 2:6])
