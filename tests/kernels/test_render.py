"""The compiled renderer against its definitions in plain NumPy."""

import numpy as np
import pytest
from scipy.special import ndtr

from skyquilt.core import Cfa
from skyquilt.kernels.render import (
    NODE_PX,
    add_blobs,
    add_gaussian_stars,
    add_moffat_stars,
    add_sky,
    add_trail,
    expose,
    moffat_share,
)

TABLE = Cfa("GRBG").table
SHAPE = (61, 75)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
CHANNEL = TABLE[Y % 2, X % 2]


def blank():
    return np.zeros(SHAPE, dtype=np.float32)


def test_the_sky_is_a_plane_in_every_colour():
    image, level = blank(), np.array([400.0, 570.0, 370.0])
    add_sky(image, TABLE, level, 2e-4, -3e-4)
    rise = 1.0 + 2e-4 * (X - 37.0) - 3e-4 * (Y - 30.0)
    np.testing.assert_allclose(image, level[CHANNEL] * rise, rtol=1e-6)


def test_gaussian_stars_are_differences_of_the_normal_distribution_even_across_the_edge():
    xs, ys = np.array([30.31, -0.4, 74.9]), np.array([25.77, 60.2, 3.5])
    flux, sigma = np.array([[9000.0, 10000.0, 7000.0]] * 3), 1.4
    image, expected = blank(), np.zeros(SHAPE)
    add_gaussian_stars(image, TABLE, xs, ys, flux, sigma, 0.001)
    for x, y, f in zip(xs, ys, flux, strict=True):
        along_x = ndtr((X - x + 0.5) / sigma) - ndtr((X - x - 0.5) / sigma)
        along_y = ndtr((Y - y + 0.5) / sigma) - ndtr((Y - y - 0.5) / sigma)
        expected += f[CHANNEL] * along_x * along_y
    np.testing.assert_allclose(image, expected, rtol=1e-5, atol=0.003)


@pytest.mark.parametrize("beta", [2.5, 3.0, 4.5])
def test_the_moffat_share_of_a_pixel_is_the_integral_over_it(beta):
    fine = (np.arange(400) + 0.5) / 400 - 0.5
    for alpha in (1.5, 3.4):
        for dx, dy in ((0.0, 0.0), (0.4, -0.3), (1.7, 0.6), (9.0, 4.0), (14.2, -3.9)):
            squares = ((dx + fine)[None, :] ** 2 + (dy + fine)[:, None] ** 2) / alpha**2
            expected = (beta - 1.0) / (np.pi * alpha**2) * ((1.0 + squares) ** -beta).mean()
            assert moffat_share(dx, dy, alpha, beta) == pytest.approx(expected, abs=1.5e-6)


def test_a_moffat_star_adds_up_to_its_flux_less_the_wings_it_is_cut_at():
    image = np.zeros((201, 201), dtype=np.float32)
    flux, alpha, beta = np.array([[1e5]]), 3.0, 3.0
    add_moffat_stars(
        image, np.zeros((2, 2), dtype=np.int64), np.array([100.3]), np.array([99.8]), flux, alpha, beta, 0.02
    )
    assert image.sum(dtype=np.float64) == pytest.approx(1e5, rel=5e-4)
    assert image.sum(dtype=np.float64) < 1e5


def test_blobs_are_gaussians_of_a_turned_plane():
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    nodes_y, nodes_x = np.mgrid[: 4 * NODE_PX + 1 : NODE_PX, : 5 * NODE_PX + 1 : NODE_PX].astype(np.float64)
    node_x, node_y = np.tensordot(turn, np.stack([nodes_x, nodes_y]), axes=1) + np.array([12.0, -7.0])[:, None, None]
    u, v = np.tensordot(turn, np.stack([X, Y]), axes=1) + np.array([12.0, -7.0])[:, None, None]
    blobs = np.array([[20.0, 30.0, 0.01, 0.002, 0.005, 100.0, 200.0, 50.0], [5.0, 9.0, 0.02, 0.0, 0.02, 9.0, 8.0, 7.0]])
    image, expected = blank(), np.zeros(SHAPE)
    add_blobs(image, TABLE, node_x, node_y, blobs, 0.7)
    for b in blobs:
        du, dv = u - b[0], v - b[1]
        expected += 0.7 * b[5:][CHANNEL] * np.exp(-0.5 * (b[2] * du**2 + 2 * b[3] * du * dv + b[4] * dv**2))
    np.testing.assert_allclose(image, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("ends", [(-0.5, 10.0, 74.5, 44.0), (20.0, 5.0, 50.0, 5.0), (60.0, 60.5, 33.0, -0.5)])
def test_a_trail_is_a_ridge_of_gaussian_section(ends):
    x0, y0, x1, y1 = ends
    sigma, peak = 1.6, np.array([9000.0, 10000.0, 8000.0])
    image, length = blank(), np.hypot(x1 - x0, y1 - y0)
    add_trail(image, TABLE, *ends, sigma, peak)
    cos, sin = (x1 - x0) / length, (y1 - y0) / length
    across, along = (X - x0) * sin - (Y - y0) * cos, (X - x0) * cos + (Y - y0) * sin
    expected = np.exp(-0.5 * (across / sigma) ** 2) * (ndtr(along / sigma) - ndtr((along - length) / sigma))
    np.testing.assert_allclose(image, peak[CHANNEL] * expected, rtol=1e-5, atol=2e-4)


def test_an_exposure_adds_shot_and_read_noise_and_saturates():
    signal = np.full((400, 400), 1000.0, dtype=np.float32)
    signal[:, 200:] = 70000.0
    normals = np.random.default_rng(3).standard_normal(signal.shape, dtype=np.float32)
    frame = expose(signal, normals, 400.0, 12.5, 20.0, 65000.0)
    assert frame.dtype == np.uint16
    assert frame[:, :200].mean() == pytest.approx(1000.0, abs=1.5)
    assert frame[:, :200].std() == pytest.approx(np.sqrt(600.0 * 12.5 + 400.0), rel=0.01)
    assert (frame[:, 200:] == 65000).mean() > 0.99
    silent = expose(signal - 2000.0, np.zeros((0, 0), dtype=np.float32), 400.0, 12.5, 20.0, 65000.0)
    assert (silent[:, :200] == 0).all()
