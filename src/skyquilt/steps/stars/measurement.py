"""A frame's measurement: stars, sky map, noise and the figures that summarise them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from skyquilt.core import F32, F64, Cfa, Figures, Measurement, Stars
from skyquilt.kernels import detect_fit as fit
from skyquilt.kernels.detect import subtract_sky
from skyquilt.kernels.detect_surroundings import mark_duplicates
from skyquilt.kernels.order import median_of
from skyquilt.steps.stars.flux import aperture_radius, measure_flux
from skyquilt.steps.stars.halved import Halved, halve, saturation_limit
from skyquilt.steps.stars.peaks import Peaks, Plane, find_candidates
from skyquilt.steps.stars.places import Colours, refine
from skyquilt.steps.stars.shape import (
    FWHM_PER_SIGMA,
    SHARPEST,
    Profile,
    fwhm_of,
    local_sky,
    measure_profile,
    sky_annulus,
)
from skyquilt.steps.stars.sky import Sky, measure_sky

__all__ = ["measure", "measure_cube"]

_FEW_STARS = 10
_WIDE_FWHM = 3.2  # plane px: beyond it a coarser plane finds more and splits less
_COARSEST_STEP = 16
_REACH = 2.2
_SHAPE_STEPS = 2
_SHAPE_SNR = 10.0
_SMALLEST_SHARE = 0.65  # of the frame's FWHM: sharper things are hot pairs and cosmic rays
_LARGEST_SHARE = 3.0
_LEAST_SNR = 4.5
_FIGURE_SNR = 20.0
_FIGURE_STARS = 300
_SMALLEST_FRAME = 32
_POSITION_FLOOR = 0.003  # of the FWHM: pixel-to-pixel response, profile not quite the model


def measure(
    pixels: F32, cfa: Cfa | None, *, saturation_adu: float, max_stars: int = 2000, halved: Halved | None = None
) -> Measurement:
    """
    Return the measurement of a CFA or mono frame.

    Parameters
    ----------
    pixels : float32 (y, x), ADU
        Calibrated. Pixels that are not finite take no part.
    cfa : Cfa or None
        None for a mono frame. Of a CFA frame the green pixels tell about the stars, each at its true place; where the
        brightest stand is told by all.
    saturation_adu : float
        The largest value a pixel can take; those above 95 % of it count as saturated.
    max_stars : int
        The brightest are kept.
    halved : Halved or None
        What `halve` gives of these pixels, if it is at hand.

    Returns
    -------
    Measurement
        Without stars `Stars.empty()` and NaN figures; never an exception for what the pixels are.

    Notes
    -----
    The plane of the mean green (or of 2x2 mono pixels) minus the sky map is filtered, and its local maxima above
    4.5 sigma are candidates (pieces of a trail are left out). The brightest give the profile that all stars share, an
    elliptical Moffat function; it is fitted to every candidate for position and flux, and once more with a free shape
    for FWHM and eccentricity. The places of the brightest 150 are improved by a fit to the sites of all colours, each
    weighed by its noise (`places.refine`). Where stars are wide or few, the same is done on a plane of half the
    resolution. FWHM is that of the image as it is sampled, the pixel's own width included. `flux` is what falls within
    two FWHM (6 px at least): from the profile for faint stars, from an aperture for bright ones where the profile does
    not hold (`flux.measure_flux`).
    """
    if pixels.ndim != 2:
        raise ValueError(f"a frame to measure is (y, x), not of shape {pixels.shape}; a cube goes to measure_cube")
    pixels = np.ascontiguousarray(pixels, dtype=np.float32)
    table = np.zeros((2, 2), dtype=np.int64) if cfa is None else cfa.table
    n_channels = 1 if cfa is None else 3
    height, width = pixels.shape
    if min(height, width) < _SMALLEST_FRAME:
        return _nothing(n_channels, height, width)
    sky = measure_sky(pixels, table, n_channels)
    green = 0 if cfa is None else 1
    parity = -1 if cfa is None else int(np.argwhere(table == 1)[0].sum() % 2)
    halved = halved or halve(pixels, cfa, saturation_adu)
    even = sky.smoothed(green)
    colours = None if cfa is None else Colours.of(table, sky, even, green)
    found = find_stars(pixels, parity, halved, sky, even, green, saturation_adu, max_stars, colours)
    return _measurement(pixels, sky, even, green, *found, halved.n_saturated)


def measure_cube(cube: F32, *, saturation_adu: float, max_stars: int = 2000) -> Measurement:
    """
    Return the measurement of a three-plane colour frame: stars from the green plane, sky and noise from each.

    Parameters
    ----------
    cube : float32 (3, y, x), ADU

    See `measure` for the rest.
    """
    if cube.ndim != 3:
        raise ValueError(f"a cube to measure is (channel, y, x), not of shape {cube.shape}")
    planes = [np.ascontiguousarray(plane, dtype=np.float32) for plane in cube]
    n_channels, height, width = cube.shape
    if min(height, width) < _SMALLEST_FRAME:
        return _nothing(n_channels, height, width)
    table = np.zeros((2, 2), dtype=np.int64)
    skies = [measure_sky(plane, table, 1) for plane in planes]
    sky = Sky(
        np.concatenate([s.level for s in skies]),
        np.concatenate([s.sigma for s in skies]),
        np.concatenate([s.noise for s in skies]),
        skies[0].cell_px,
    )
    green = min(1, n_channels - 1)
    halved = halve(planes[green], None, saturation_adu)
    even = sky.smoothed(green)
    found = find_stars(planes[green], -1, halved, sky, even, green, saturation_adu, max_stars)
    return _measurement(planes[green], sky, even, green, *found, halved.n_saturated)


def find_stars(
    pixels: F32, parity: int, halved: Halved, sky: Sky, background: F32, channel: int, saturation_adu: float,
    max_stars: int, colours: Colours | None = None,
) -> tuple[Stars, Profile | None]:  # fmt: skip
    """
    Return the stars of one plane of pixels, brightest first, and the profile that was fitted to them.

    Parameters
    ----------
    parity : int
        -1 for all pixels, else (x + y) % 2 of those that take part.
    halved : Halved
        Of these pixels.
    background : float32 (gy, gx), ADU
        Smoothed sky of that channel.
    channel : int
        Which channel of `sky` is meant.
    colours : Colours or None
        Of a CFA frame: where the brightest stars stand is told by the sites of all of them.
    """
    noise = float(sky.noise[channel])
    if not noise > 0.0:
        return Stars.empty(), None
    half = np.empty_like(halved.pixels)
    subtract_sky(halved.pixels, background, sky.cell_px, half)
    n_sites = 4 if parity < 0 else 2
    sigma = np.where(np.isfinite(sky.sigma[channel]), sky.sigma[channel], noise)
    plane = Plane(half, 2, (np.maximum(sigma, noise) / np.sqrt(n_sites)).astype(np.float32), sky.cell_px // 2)
    saturation = saturation_limit(saturation_adu)
    best, best_profile = Stars.empty(), None
    while True:
        peaks = find_candidates(plane, 2 * max_stars)
        base = _interpolate(background, sky.cell_px, peaks.x, peaks.y)
        profile = measure_profile(pixels, parity, plane, base, peaks, noise, saturation)
        can_be_coarser = 2 * plane.step <= _COARSEST_STEP and min(plane.pixels.shape) >= 40
        is_wide = profile.n_stars > 0 and profile.fwhm > _WIDE_FWHM * plane.step
        if is_wide and can_be_coarser and profile.n_stars >= 3:
            plane = plane.binned()
            continue
        stars = _fit_all(pixels, parity, plane, base, peaks, profile, noise, saturation, colours).brightest(max_stars)
        if len(stars) > len(best):
            inner, outer = sky_annulus(profile.largest_sigma, plane.step)
            best, best_profile = stars, replace(profile, sky_px=(plane.step * inner, plane.step * outer))
        if len(best) >= _FEW_STARS or not can_be_coarser or plane.step > 4:
            return best, best_profile
        plane = plane.binned()


def _fit_all(
    pixels: F32, parity: int, plane: Plane, base: F64, peaks: Peaks, profile: Profile, noise: float, saturation: float,
    colours: Colours | None = None,
) -> Stars:  # fmt: skip
    """Fit the shared profile to every peak and keep those that are stars."""
    if not len(peaks):
        return Stars.empty()
    around = local_sky(plane, peaks.x, peaks.y, profile.largest_sigma)
    level = base + around
    samples, bend, flux_per_height = fit.moffat_profile(profile.inverse_beta)
    table = np.zeros((len(peaks), fit.COLUMNS))
    shapes = np.repeat(profile.moments[None], len(peaks), axis=0)
    fit.fit_stars(
        pixels, parity, peaks.x, peaks.y, level, shapes, samples, bend, _REACH, _SHAPE_STEPS, False, noise,
        saturation, table,
    )  # fmt: skip
    with np.errstate(divide="ignore", invalid="ignore"):
        fwhm = np.asarray(fwhm_of(table[:, fit.SXX], table[:, fit.SXY], table[:, fit.SYY]))
        snr = table[:, fit.AMPLITUDE] / table[:, fit.AMPLITUDE_ERROR]
    distance2 = 1.0 if parity < 0 else 2.0
    sigma = max(profile.fwhm / FWHM_PER_SIGMA, SHARPEST)
    smallest = _SMALLEST_SHARE * profile.fwhm
    faint = _SHAPE_SNR if profile.n_stars else 0.0  # below it a single star's shape tells nothing
    is_star = (
        (table[:, fit.OK] > 0)
        & (snr > _LEAST_SNR)
        & (table[:, fit.SHARPNESS] > 0.4 * np.exp(-0.5 * distance2 / sigma**2))
        & ((fwhm > smallest) & (fwhm < _LARGEST_SHARE * profile.fwhm) | (snr < faint) | (table[:, fit.SATURATED] > 0))
    )
    table, fwhm, level, around = table[is_star], fwhm[is_star], level[is_star], around[is_star]
    order = np.argsort(-table[:, fit.AMPLITUDE], kind="stable")
    table, fwhm, level, around = table[order], fwhm[order], level[order], around[order]
    drop = np.zeros(len(table), dtype=bool)
    x, y = table[:, fit.X].copy(), table[:, fit.Y].copy()
    mark_duplicates(x, y, np.argsort(y, kind="stable"), 0.7 * profile.fwhm, drop)
    table, fwhm, level, around = table[~drop], fwhm[~drop], level[~drop], around[~drop]
    flux, flux_error = measure_flux(pixels, parity, table, level, profile, flux_per_height, noise, saturation)
    if colours is not None:
        levels = [_interpolate(grid, colours.cell_px, table[:, fit.X], table[:, fit.Y]) for grid in colours.background]
        refine(pixels, colours, profile, np.stack(levels, axis=1), around, saturation, table)
    order = np.argsort(-flux, kind="stable")
    return _stars_of(table[order], fwhm[order], flux[order], flux_error[order], profile)


def _stars_of(table: F64, fwhm: F64, flux: F64, flux_error: F64, profile: Profile) -> Stars:
    xx, xy, yy = table[:, fit.SXX], table[:, fit.SXY], table[:, fit.SYY]
    mean, half_difference = 0.5 * (xx + yy), np.hypot(0.5 * (xx - yy), xy)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip((mean - half_difference) / (mean + half_difference), 0.0, 1.0)
    return Stars(
        x=table[:, fit.X].copy(),
        y=table[:, fit.Y].copy(),
        position_error=np.hypot(table[:, fit.POSITION_ERROR], _POSITION_FLOOR * profile.fwhm),
        flux=flux,
        flux_error=flux_error,
        peak=table[:, fit.MAXIMUM].copy(),
        fwhm=fwhm,
        eccentricity=np.sqrt(1.0 - share),
        is_saturated=table[:, fit.SATURATED] > 0,
    )


def _interpolate(grid: F32, cell_px: int, x: F64, y: F64) -> F64:
    """Bilinear value of the sky map at frame positions, constant beyond the outermost cell centres."""
    gy, gx = grid.shape
    u = np.clip((x + 0.5) / cell_px - 0.5, 0.0, gx - 1.0)
    v = np.clip((y + 0.5) / cell_px - 0.5, 0.0, gy - 1.0)
    j, i = np.minimum(u.astype(np.int64), max(gx - 2, 0)), np.minimum(v.astype(np.int64), max(gy - 2, 0))
    j2, i2 = np.minimum(j + 1, gx - 1), np.minimum(i + 1, gy - 1)
    fx, fy = u - j, v - i
    top = grid[i, j] * (1 - fx) + grid[i, j2] * fx
    bottom = grid[i2, j] * (1 - fx) + grid[i2, j2] * fx
    value: F64 = top * (1 - fy) + bottom * fy
    return value


def _measurement(
    pixels: F32, sky: Sky, even: F32, green: int, stars: Stars, profile: Profile | None, n_saturated: int
) -> Measurement:
    known = sky.level[green][np.isfinite(sky.level[green])]
    background, gradient = np.nan, np.nan
    if len(known):
        background = median_of(known)
        gradient = float(even.max() - even.min()) / abs(background) if background else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        clean = ~stars.is_saturated & (stars.flux > _FIGURE_SNR * stars.flux_error)
    if clean.sum() < 5:
        clean = ~stars.is_saturated
    chosen = np.flatnonzero(clean)[:_FIGURE_STARS]
    figures = Figures(
        background_adu=background,
        noise_adu=float(sky.noise[green]),
        saturated_share=n_saturated / pixels.size,
        n_stars=len(stars),
        fwhm_px=median_of(stars.fwhm[chosen]),
        eccentricity=median_of(stars.eccentricity[chosen]),
        gradient=gradient,
    )
    if profile is not None:
        inner, outer = profile.sky_px
        figures = replace(figures, aperture_px=aperture_radius(profile), sky_from_px=inner, sky_to_px=outer)
        if profile.n_stars:
            figures = replace(
                figures,
                seeing_px=profile.seeing,
                seeing_error_px=profile.fwhm_error * profile.fwhm / profile.seeing,
                inverse_beta=profile.seeing_inverse_beta,
            )
    height, width = pixels.shape
    return Measurement(figures, stars, sky.level, sky.noise, sky.cell_px, width, height)


def _nothing(n_channels: int, height: int, width: int) -> Measurement:
    """Return the measurement of a frame too small to hold a sky."""
    figures = Figures(np.nan, np.nan, 0.0, 0, np.nan, np.nan, np.nan)
    level = np.full((n_channels, 1, 1), np.nan, dtype=np.float32)
    return Measurement(figures, Stars.empty(), level, np.full(n_channels, np.nan), 64, width, height)
