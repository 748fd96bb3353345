"""Counts to magnitudes: zero point and colour term against truth, and what they rest on."""

from __future__ import annotations

import numpy as np
import pytest

from skyquilt.core import CatalogueStars, Stars, Wcs
from skyquilt.steps.photometry import (
    NoZeroPoint,
    ZeroPoint,
    fit_zero_point,
    limiting_mag,
    match_catalogue,
    sky_brightness_mag,
)
from skyquilt.steps.photometry.zero_point import catalogue_error

ZERO, EXPOSURE = 19.3, 10.0


def observed(
    rng: np.random.Generator, n: int, slope: float, *, spread: float = 0.45, outliers: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Flux and error in ADU, catalogue VT and BT with the catalogue's errors; zero point at BT - VT = 0.7."""
    vt = 8.0 + 3.8 * rng.random(n) ** 0.6
    colour = rng.normal(0.75, spread, n)
    flux = EXPOSURE * 10 ** (0.4 * (ZERO + slope * (colour - 0.7) - vt))
    error = np.hypot(0.008 * flux, 300.0)
    flux = flux + rng.normal(0, error)
    seen_vt = vt + rng.normal(0, catalogue_error(vt))
    seen_bt = vt + colour + rng.normal(0, catalogue_error(vt + colour))
    wrong = rng.random(n) < outliers
    flux[wrong] *= rng.choice([0.3, 2.5], wrong.sum())
    return flux, error, seen_vt, seen_bt


def fitted(rng: np.random.Generator, n: int, slope: float, **keywords: float) -> ZeroPoint:
    zero = fit_zero_point(*observed(rng, n, slope, **keywords), exposure_s=EXPOSURE)
    assert isinstance(zero, ZeroPoint)
    return zero


@pytest.mark.parametrize("slope", [0.1, -0.35, 0.8])
@pytest.mark.parametrize("n_stars", [40, 300])
def test_zero_point_and_colour_term_are_unbiased_and_their_errors_honest(slope: float, n_stars: int) -> None:
    rng = np.random.default_rng(11)
    found = [fitted(rng, n_stars, slope) for _ in range(60)]
    for truth, value, error in (
        (ZERO, [z.zero_point_mag for z in found], [z.zero_point_error_mag for z in found]),
        (slope, [z.colour_term for z in found], [z.colour_term_error for z in found]),
    ):
        pull = (np.array(value) - truth) / np.array(error)
        assert abs(np.mean(value) - truth) < 4 * np.std(value) / np.sqrt(len(value)) + 0.004
        assert 0.6 < np.sqrt(np.mean(pull**2)) < 1.7


def test_one_star_in_eight_may_be_wrong() -> None:
    rng = np.random.default_rng(12)
    for _ in range(20):
        zero = fitted(rng, 80, 0.3, outliers=0.125)
        assert zero.zero_point_mag == pytest.approx(ZERO, abs=0.05)
        assert zero.colour_term == pytest.approx(0.3, abs=0.15)
        assert zero.n_stars + zero.n_clipped == 80 and zero.scatter_mag < 0.2


def test_no_colour_term_is_claimed_from_few_or_equal_stars() -> None:
    rng = np.random.default_rng(13)
    for zero in (fitted(rng, 6, 0.1), fitted(rng, 60, 0.1, spread=0.0)):
        assert zero.colour_term == 0.0 and np.isnan(zero.colour_term_error)
        assert zero.zero_point_mag == pytest.approx(ZERO, abs=0.15)


def test_too_few_stars_are_a_value_with_the_reason() -> None:
    rng = np.random.default_rng(14)
    flux, error, vt, bt = observed(rng, 6, 0.1)
    vt[:2], flux[2], bt[3] = np.nan, -5.0, np.nan
    none = fit_zero_point(flux, error, vt, bt, exposure_s=EXPOSURE)
    assert isinstance(none, NoZeroPoint)
    assert "2 stars of the catalogue" in none.reason and none.n_stars == 2


def test_a_star_of_the_zero_point_gives_one_count_a_second() -> None:
    zero = ZeroPoint(20.0, 0.01, 0.5, 0.1, 0.02, 30, 0)
    assert zero.magnitude(1.0) == pytest.approx(20.0)
    assert zero.magnitude(100.0) == pytest.approx(15.0)
    assert zero.magnitude(1.0, colour=1.7) == pytest.approx(20.5)
    assert np.isnan(zero.magnitude(0.0))


def test_the_limit_is_where_a_fitted_star_is_five_times_its_error() -> None:
    """Simulated: a Gaussian star of the limiting flux on white noise, its flux fitted with the true profile."""
    rng = np.random.default_rng(15)
    fwhm, noise, exposure = 3.1, 7.0, 20.0
    zero = ZeroPoint(20.0, 0.01, 0.0, np.nan, 0.02, 30, 0)
    limit = limiting_mag(zero, noise_adu=noise, fwhm_px=fwhm, exposure_s=exposure)
    flux = exposure * 10 ** (0.4 * (20.0 - limit))
    y, x = np.mgrid[-12:13, -12:13]
    profile = np.exp(-4 * np.log(2) * (x**2 + y**2) / fwhm**2)
    profile /= profile.sum()
    images = flux * profile + rng.normal(0, noise, (4000, 25, 25))
    fluxes = (images * profile).sum(axis=(1, 2)) / (profile**2).sum()
    assert fluxes.mean() / fluxes.std() == pytest.approx(5.0, rel=0.05)
    assert np.isnan(limiting_mag(zero, noise_adu=np.nan, fwhm_px=fwhm, exposure_s=exposure))


def test_the_sky_is_counted_per_square_arcsecond() -> None:
    zero = ZeroPoint(20.0, 0.01, 0.0, np.nan, 0.02, 30, 0)
    assert sky_brightness_mag(zero, sky_adu=40.0, scale_arcsec=2.0, exposure_s=10.0) == pytest.approx(20.0)
    assert np.isnan(sky_brightness_mag(zero, sky_adu=-3.0, scale_arcsec=2.0, exposure_s=10.0))


def measured_at(x: np.ndarray, y: np.ndarray) -> Stars:
    one = np.ones(len(x))
    return Stars(x, y, 0.1 * one, 1000 * one, 10 * one, 100 * one, 3 * one, 0 * one, np.zeros(len(x), bool))


def test_pairs_are_mutual_alone_and_have_a_colour() -> None:
    wcs = Wcs((10.0, 89.95), (100.0, 100.0), np.diag([-2.0, 2.0]) / 3600.0)
    x = np.array([50.0, 120.0, 150.0, 158.0, 60.0, 20.0, 170.0])
    y = np.array([50.0, 80.0, 150.0, 150.0, 160.0, 30.0, 20.0])
    ra, dec = wcs.to_sky(x, y)
    vt = np.array([9.0, 9.5, 9.0, 10.0, 9.0, 9.0, np.nan], np.float32)
    bt = np.array([9.5, 10.0, 9.9, 10.9, np.nan, 9.4, 10.0], np.float32)
    catalogue = CatalogueStars(ra, dec, vt, bt)
    stars = measured_at(np.append(x[[6, 5, 4, 3, 2, 1, 0]], 51.5), np.append(y[[6, 5, 4, 3, 2, 1, 0]] + 0.4, 50.0))
    pairs = match_catalogue(stars, wcs, catalogue, reach_px=2.0, alone_px=12.0)
    # 2 and 3 blend, 4 and 6 lack a magnitude; the star at 51.5 is nearer to entry 0 than nothing, but not its nearest
    assert sorted(zip(pairs.entry.tolist(), pairs.star.tolist(), strict=True)) == [(0, 6), (1, 5), (5, 1)]
    fainter = CatalogueStars(ra, dec, vt + np.where(np.arange(7) == 3, 4, 0).astype(np.float32), bt)
    pairs = match_catalogue(stars, wcs, fainter, reach_px=2.0, alone_px=12.0)
    assert 2 in pairs.entry and 3 not in pairs.entry
    assert len(match_catalogue(stars, wcs, CatalogueStars.empty(), reach_px=2.0, alone_px=12.0)) == 0
    assert len(match_catalogue(Stars.empty(), wcs, catalogue, reach_px=2.0, alone_px=12.0)) == 0
