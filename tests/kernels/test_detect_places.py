"""The fit of stars' places to all colours: equal to its definition, unbiased, and as good as the photons allow."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core import F32, F64, Cfa
from skyquilt.kernels import detect_fit as fit
from skyquilt.kernels.detect_places import refine_places, refine_places_slowly

SIGMA_PX = 1.45
SKY = np.array([600.0, 900.0, 500.0])
GAIN = 0.25  # electrons an ADU
NOISE = np.sqrt(SKY / GAIN)
COLOUR = np.array([0.8, 1.0, 0.6])
MOMENTS = np.array([SIGMA_PX**2, 0.0, SIGMA_PX**2])
GREYS = np.zeros((2, 2), dtype=np.int64)


def make_stars(n: int, height: float, cfa: Cfa, seed: int) -> tuple[F32, F64, F64]:
    """Return a strip of stars with photon noise, and their places."""
    rng = np.random.default_rng(seed)
    x, y = 20.0 + 40.0 * np.arange(n) + rng.uniform(-1, 1, n), 20.0 + rng.uniform(-1, 1, n)
    rows, columns = np.indices((40, 40 * n))
    light = np.zeros(rows.shape)
    for cx, cy in zip(x, y, strict=True):
        light += height * np.exp(-0.5 * ((columns - cx) ** 2 + (rows - cy) ** 2) / SIGMA_PX**2)
    colour = cfa.table[rows % 2, columns % 2]
    mean = SKY[colour] + COLOUR[colour] * light
    return (rng.poisson(mean * GAIN) / GAIN).astype(np.float32), x, y


def make_table(x: F64, y: F64, seed: int = 5) -> F64:
    rng = np.random.default_rng(seed)
    table = np.zeros((len(x), fit.COLUMNS))
    table[:, fit.X], table[:, fit.Y] = x + rng.normal(0, 0.1, len(x)), y + rng.normal(0, 0.1, len(y))
    table[:, fit.POSITION_ERROR] = 0.1
    return table


def refine(how, pixels: F32, table: F64, channel_of, inverse_beta: float = 0.0, saturation: float = 65535.0) -> F64:
    n = 1 if channel_of is GREYS else 3
    sky, noise = (SKY, NOISE) if n == 3 else (SKY[1:2], NOISE[1:2])
    samples, bend, _ = fit.moffat_profile(inverse_beta)
    table = table.copy()
    level, shot = np.tile(sky, (len(table), 1)), noise**2 / sky
    how(pixels, channel_of, level, noise, shot, MOMENTS, samples, bend, saturation, table)
    return table


@pytest.mark.parametrize("inverse_beta", [0.0, 0.3])
@pytest.mark.parametrize("height", [300.0, 20000.0])
def test_the_compiled_fit_equals_its_definition(height: float, inverse_beta: float) -> None:
    cfa = Cfa("GRBG")
    pixels, x, y = make_stars(6, height, cfa, seed=1)
    table = make_table(x, y)
    table[2, fit.X] = 1.3  # at the edge
    table[4, fit.SATURATED] = 1.0
    found, expected = (
        refine(how, pixels, table, cfa.table, inverse_beta, 15000.0) for how in (refine_places, refine_places_slowly)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7)
    assert (found[4] == table[4]).all()
    assert (found[[0, 1, 3, 5], fit.X] != table[[0, 1, 3, 5], fit.X]).all()


@pytest.mark.parametrize("height", [400.0, 3000.0, 30000.0])
def test_places_are_as_good_as_the_photons_allow(height: float) -> None:
    cfa = Cfa("RGGB")
    pixels, x, y = make_stars(300, height, cfa, seed=2)
    table = refine(refine_places, pixels, make_table(x, y), cfa.table)
    offset = np.concatenate([table[:, fit.X] - x, table[:, fit.Y] - y])
    error = np.sqrt(np.mean(offset**2))
    assert abs(offset.mean()) < 4 * error / np.sqrt(len(offset))
    assert error == pytest.approx(np.sqrt(np.mean(table[:, fit.POSITION_ERROR] ** 2)), rel=0.12)
    # Cramér-Rao: 1 / error² = sum over the pixels of slope² / variance, on average over places and sites
    grid = (np.arange(-120, 121) + 0.5) / 10
    r2 = grid[None, :] ** 2 + grid[:, None] ** 2
    light = height * np.exp(-0.5 * r2 / SIGMA_PX**2)
    slope = light * grid[None, :] / SIGMA_PX**2
    shares = np.array([0.25, 0.5, 0.25])
    information = sum(
        share * np.sum((colour * slope) ** 2 / ((sky + colour * light) / GAIN)) / 100
        for share, colour, sky in zip(shares, COLOUR, SKY, strict=True)
    )
    assert error < 1.1 / np.sqrt(information)


def test_a_frame_without_colours_is_fitted_too() -> None:
    rng = np.random.default_rng(3)
    down, across = np.indices((40, 40))
    star = 5000 * np.exp(-0.5 * ((across - 20.3) ** 2 + (down - 19.6) ** 2) / SIGMA_PX**2)
    pixels = (SKY[1] + star + rng.normal(0, 5, star.shape)).astype(np.float32)
    table = refine(refine_places, pixels, make_table(np.array([20.3]), np.array([19.6])), GREYS)
    np.testing.assert_allclose(table[0, [fit.X, fit.Y]], [20.3, 19.6], atol=0.01)


def test_a_fit_that_walks_away_changes_nothing() -> None:
    pixels, x, y = make_stars(1, 5000.0, Cfa("RGGB"), seed=4)
    table = make_table(x + 3.0, y)
    np.testing.assert_array_equal(refine(refine_places, pixels, table, Cfa("RGGB").table), table)
