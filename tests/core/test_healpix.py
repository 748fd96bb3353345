"""Equal pixels on the sphere: against the rings of the paper, published values and their own laws."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core.sky import (
    face_pixels,
    healpix_corner_reach_deg,
    healpix_directions,
    healpix_number,
    healpix_side_deg,
    separation_deg,
    spread_bits,
)


def random_directions(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def ring_centres(nside: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all centres ring by ring from the north pole: equations 4 to 9 of Gorski et al. 2005."""
    ra, z = [], []
    for ring in range(1, 4 * nside):
        n = 4 * min(ring, nside, 4 * nside - ring)
        mirrored = min(ring, 4 * nside - ring)
        if mirrored < nside:
            height, shift = 1.0 - mirrored**2 / (3.0 * nside**2), 0.5
        else:
            height, shift = 4.0 / 3.0 - 2.0 * mirrored / (3.0 * nside), 0.5 * ((mirrored - nside + 1) % 2)
        phi = 360.0 / n * (np.arange(1, n + 1) - shift)
        ra.append(phi % 360.0)
        z.append(np.full(n, height if ring <= 2 * nside else -height))
    return np.concatenate(ra), np.degrees(np.arcsin(np.concatenate(z)))


@pytest.mark.parametrize("order", [0, 1, 2, 5])
def test_the_centres_are_those_of_the_rings_of_the_paper(order: int) -> None:
    ra, dec = healpix_directions(order, np.arange(12 * 4**order))
    expected_ra, expected_dec = ring_centres(2**order)
    found = sorted(zip(np.round(dec, 8), np.round(ra, 8) % 360, strict=True))
    expected = sorted(zip(np.round(expected_dec, 8), np.round(expected_ra, 8) % 360, strict=True))
    np.testing.assert_allclose(found, expected, atol=2e-8)


def test_numbers_that_are_published() -> None:
    # nside 16: number 1130 nested is 1504 in rings, the first one of the ring on the equator
    ra, dec = healpix_directions(4, np.array([1130]))
    np.testing.assert_allclose([ra[0], dec[0]], [ring_centres(16)[0][1504], 0.0], atol=1e-12)
    assert healpix_number(4, 2.8125, 0.0) == 1130
    # nside 1: three rows of four faces
    np.testing.assert_array_equal(healpix_number(0, [45, 135, 225, 315, 0, 90, 180, 270], [60] * 4 + [0] * 4), range(8))
    np.testing.assert_array_equal(healpix_number(0, [45, 135, 225, 315], -60.0), range(8, 12))


@pytest.mark.parametrize("order", [0, 1, 4, 12, 21, 29])
def test_a_centre_lies_in_its_pixel(order: int) -> None:
    number = np.random.default_rng(order).integers(0, 12 * 4**order, 40_000)
    np.testing.assert_array_equal(healpix_number(order, *healpix_directions(order, number)), number)


def test_a_pixel_lies_in_the_one_above() -> None:
    ra, dec = random_directions(100_000, 3)
    deep = healpix_number(12, ra, dec)
    for order in range(12):
        np.testing.assert_array_equal(healpix_number(order, ra, dec), deep >> 2 * (12 - order))


def test_pixels_have_the_same_area() -> None:
    n = 48 * 8000
    counts = np.bincount(healpix_number(1, *random_directions(n, 5)), minlength=48)
    assert np.abs(counts - n / 48).max() < 4.5 * np.sqrt(n / 48)
    assert healpix_side_deg(0) ** 2 * 12 == pytest.approx(360.0**2 / np.pi)


def test_every_direction_lies_near_the_centre_of_its_pixel() -> None:
    ra, dec = random_directions(100_000, 6)
    for order in (0, 3, 10):
        centre = healpix_directions(order, healpix_number(order, ra, dec))
        assert separation_deg(ra, dec, *centre).max() < healpix_corner_reach_deg(order)


@pytest.mark.parametrize("order", [0, 3, 29])
def test_poles_and_the_first_meridian_are_ordinary_places(order: int) -> None:
    ra = np.array([0.0, 90.0, 180.0, 270.0, 360.0, -1e-15, 359.999999999])
    for dec in (90.0, -90.0, 0.0, 41.8103148957786, -41.8103148957786, 89.9999999):
        number = healpix_number(order, ra, dec)
        assert ((number >= 0) & (number < 12 * 4**order)).all()
        centre = healpix_directions(order, number)
        assert separation_deg(ra, dec, *centre).max() < healpix_corner_reach_deg(order)


def test_bits_are_spread_and_gathered() -> None:
    assert spread_bits(np.array([0b1011]))[0] == 0b1000101
    face, ix, iy = face_pixels(3, np.array([5 * 64 + 0b100111]))
    assert (face[0], ix[0], iy[0]) == (5, 0b011, 0b101)
