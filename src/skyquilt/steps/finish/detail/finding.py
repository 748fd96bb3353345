"""The search for the stars of an image, and for what their light looks like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, Mask
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.kernels import detect_fit as fit
from skyquilt.kernels.detect_surroundings import local_levels
from skyquilt.kernels.point_light import add_points, fit_heights
from skyquilt.steps.finish.detail.noise import NoiseModel, measure_noise, read_noise
from skyquilt.steps.finish.detail.point_spread import FWHM_PER_SIGMA, PointSpread, fit_point_spread, fit_shapes
from skyquilt.steps.finish.detail.points import ImageStars, Points, reach_of_light
from skyquilt.steps.finish.detail.saturated import (
    bound_heights,
    find_ceilings,
    find_saturated,
    lie_at,
    lie_on,
    plateau_mask,
)
from skyquilt.steps.finish.detail.scales import Smoother
from skyquilt.steps.finish.detail.star_tests import are_cores, fit_well
from skyquilt.steps.finish.detail.wings import correct_wings

__all__ = ["POINT_HALO_PX", "StarSettings", "find_points", "measure_stars"]

POINT_HALO_PX = 96
_FIRST_SCALE = 1
_COARSEST_SCALE = 3
_USUAL_FWHM = 3.0
_WIDE_FWHM = 4.8  # per band: from here on stars are looked for one band coarser
_FIRST_KAPPA = 25.0
_MOST_FOR_SHAPE = 400
_ENOUGH = 8
_PLATEAU = 0.6  # of the brightest pixel above the sky: connected pixels above that are one star
_PAIR_ACROSS, _PAIR_ALONG = 1.25, (1.1, 2.5)  # sigma over that of a star
_FULL_FIT = 3.0  # sigma: pixels that tell a height
_ROUNDS = 4
_LARGEST, _SMALLEST = 3.0, 0.6  # FWHM over that of the PSF, neighbours and all
_MISFIT = 0.03  # of the light of the known stars: what their profile may miss


@dataclass(frozen=True, slots=True)
class StarSettings:
    """
    What counts as a star.

    Attributes
    ----------
    kappa : float, 3 to 50
        Sigma of the band of its size that a star must reach.
    spare_cores : bool
        Leave the bright cores of galaxies: points with a peak of wider light around them, of 6 % of their height.
    """

    kappa: float = 5.0
    spare_cores: bool = True

    def __post_init__(self) -> None:
        if not 3.0 <= self.kappa <= 50.0:
            raise UsageError(f"stars cannot be found at {self.kappa:g} sigma", "give 3 to 50")


def measure_stars(image: F32, settings: StarSettings | None = None) -> ImageStars:
    """
    Return stars, PSF and noise of an image, or of a part of one that tells for the whole.

    Parameters
    ----------
    image : float32 (c, y, x)
        Linear; NaN where there is no data.
    settings : StarSettings or None

    Raises
    ------
    NoUsableInput
        If too few stars tell the PSF.

    Notes
    -----
    Where an image is too large for memory: measure on a part, then `find_points` of each tile with `POINT_HALO_PX`
    around it, `Points.within` the tile, and `Points.joined` of all.
    """
    settings = settings or StarSettings()
    noise = measure_noise(read_noise(_with_mean(image)))
    psf = _measure_psf(image, noise)
    stars = ImageStars(find_points(image, psf, noise, settings), psf, noise)
    corrected = correct_wings(image, stars)
    if corrected is None:
        return stars
    return ImageStars(find_points(image, corrected, noise, settings), corrected, noise)


def _with_mean(image: F32) -> F32:
    """Return the channels and their mean, NaN where any is, float32 (c + 1, y, x)."""
    return np.concatenate([image, image.mean(axis=0, dtype=np.float32)[None]])


def _measure_psf(image: F32, noise: NoiseModel) -> PointSpread:
    """Return the PSF from the bright stars that stand alone."""
    mean = image.mean(axis=0, dtype=np.float32)
    smoother = Smoother(np.isfinite(mean))
    filled = _level_filled(mean, smoother.known)
    pixel = noise.pixel_sigma()
    fwhm, scale = _USUAL_FWHM, _FIRST_SCALE
    x = y = np.zeros(0)
    for kappa in (_FIRST_KAPPA, _FIRST_KAPPA / 3.0):
        for scale in range(_FIRST_SCALE, _COARSEST_SCALE + 1):
            x, y, _ = _peaks(filled, smoother, noise, scale, kappa, 0, 0)
            table = fit_shapes(filled, x, y, _USUAL_FWHM * 2 ** (scale - _FIRST_SCALE), 0.3, float(pixel[-1]))
            width = _widths(table)
            width = width[table[:, fit.OK] > 0]
            fwhm = float(np.median(width)) if len(width) else fwhm
            if fwhm < _WIDE_FWHM * 2 ** (scale - _FIRST_SCALE):
                break
        alone = _isolated(x, y, 5.0 * fwhm, image.shape[1:])
        dim = filled[np.rint(y).astype(int), np.rint(x).astype(int)] < _plateau_level(filled)
        if (alone & dim).sum() >= _ENOUGH:
            alone &= dim
        if alone.sum() >= _ENOUGH:
            break
    if not alone.any():
        raise NoUsableInput(
            "no isolated star tells what a point looks like on this image",
            "leave out the steps that need the stars' profile, or use a larger part of the image",
        )
    channels = np.stack([_level_filled(plane, smoother.known) for plane in image])
    return fit_point_spread(channels, x[alone][:_MOST_FOR_SHAPE], y[alone][:_MOST_FOR_SHAPE], fwhm, pixel[:-1])


def _level_filled(plane: F32, known: Mask) -> F32:
    """Return the plane with its median where it is not known."""
    if known.all():
        return np.ascontiguousarray(plane, dtype=np.float32)
    level = np.median(plane[known]) if known.any() else np.float32(0.0)
    return np.where(known, plane, level).astype(np.float32)


def _widths(table: F64) -> F64:
    return FWHM_PER_SIGMA * np.maximum(table[:, fit.SXX] * table[:, fit.SYY] - table[:, fit.SXY] ** 2, 0.0) ** 0.25


def _plateau_level(plane: F32) -> float:
    """Value that only the cores of the brightest stars exceed."""
    level = float(np.median(plane[::7, ::7]))
    return level + _PLATEAU * (float(plane.max()) - level)


def _isolated(x: F64, y: F64, distance: float, size: tuple[int, int]) -> Mask:
    """Which places have no other within a distance, and lie so far from the edges."""
    if not len(x):
        return np.zeros(0, dtype=np.bool_)
    from scipy.spatial import cKDTree

    places = np.stack([x, y], axis=1)
    n_near = cKDTree(places).query_ball_point(places, distance, return_length=True)
    inside = (x > distance) & (x < size[1] - 1 - distance) & (y > distance) & (y < size[0] - 1 - distance)
    return np.asarray((n_near == 1) & inside)


def _peaks(
    filled: F32, smoother: Smoother, noise: NoiseModel, scale: int, kappa: float, x0: int, y0: int,
    doubt: F32 | None = None,
) -> tuple[F64, F64, F64]:  # fmt: skip
    """
    Return x, y, px of the tile, and significance of the local maxima of two bands, most significant first.

    `doubt` (y, x) adds to the noise.
    """
    bands = [band for band, _ in smoother.bands(smoother.fill(filled), scale + 2)][scale:]
    seen = bands[0] + bands[1]
    ratio = float(np.hypot(*noise.ratio[-1, scale : scale + 2]))
    unit = noise.scale_at(len(noise.grid) - 1, x0, y0, filled.shape) * np.float32(ratio)
    if doubt is not None:
        unit = np.hypot(unit, doubt)
    significance = seen / np.maximum(unit, np.float32(1e-30))
    significance[~smoother.known] = 0.0
    padded = np.pad(significance, 1, constant_values=-np.inf)
    h, w = significance.shape
    is_peak = significance > np.float32(kappa)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if (dy, dx) != (0, 0):
                near = padded[1 + dy : 1 + dy + h, 1 + dx : 1 + dx + w]
                is_peak &= significance > near if (dy, dx) < (0, 0) else significance >= near
    row, column = np.nonzero(is_peak)
    height = significance[row, column].astype(np.float64)
    order = np.argsort(-height, kind="stable")
    return column[order].astype(np.float64), row[order].astype(np.float64), height[order]


def find_points(
    image: F32, psf: PointSpread, noise: NoiseModel, settings: StarSettings, x0: int = 0, y0: int = 0
) -> Points:
    """
    Return the stars of an image, or of a tile of it.

    Parameters
    ----------
    image : float32 (c, y, x)
        A tile needs `POINT_HALO_PX` around what is wanted; stars in the halo are given too.
    psf : PointSpread
    noise : NoiseModel
        Of the channels and their mean.
    settings : StarSettings
    x0, y0 : int, px
        Where the tile begins in the image.

    Notes
    -----
    Candidates are local maxima of the two bands of a star's size. Heights are fitted in common
    (`kernels.point_light.fit_heights`), each with a level of its own. Bright peaks that the PSF does not fit are taken
    as saturated, the pixels above 55 % of the peak as what is cut off, and their wings fitted. Then once more those of
    the image without these stars are sought, which shows companions. Left out is what the PSF does not fit, as it is
    wider (small galaxies) or sharper (defects), and the cores of wider light.
    """
    channels = len(image)
    mean = image.mean(axis=0, dtype=np.float32)
    smoother = Smoother(np.isfinite(mean))
    if not smoother.known.any():
        return Points.none(channels)
    filled = _level_filled(mean, smoother.known)
    middle = channels // 2
    fwhm = psf.fwhm_px(middle)
    scale = min(
        max(_FIRST_SCALE + int(np.floor(np.log2(max(fwhm / _WIDE_FWHM, 0.5)))) + 1, _FIRST_SCALE), _COARSEST_SCALE
    )
    pixel = float(noise.pixel_sigma()[-1])
    x, y, _ = _peaks(filled, smoother, noise, scale, settings.kappa, x0, y0)
    points = _candidates(filled, x, y, psf, pixel, channels, x0, y0)
    points, residual = _fit_all(image, smoother.known, points, psf, noise, x0, y0)
    kept = fit_well(residual.mean(axis=0), smoother.known, points, psf, pixel, x0, y0)
    pairs = _pairs(filled, points.take(~kept), psf, pixel, x0, y0)
    points = Points.joined([points.take(kept), pairs])
    points, residual = _fit_all(image, smoother.known, points, psf, noise, x0, y0)
    kept = fit_well(residual.mean(axis=0), smoother.known, points, psf, pixel, x0, y0)
    points = points.take(kept)
    flat, is_cut = find_saturated(filled, x, y, points, psf, pixel, x0, y0)
    points = Points.joined([points.take(~lie_on(points, flat)), flat])
    points, residual = _fit_all(image, smoother.known, points, psf, noise, x0, y0)
    rest = residual.mean(axis=0)
    doubt = _MISFIT * np.maximum(filled - rest, np.float32(0.0))
    x, y, _ = _peaks(rest, smoother, noise, scale, settings.kappa, x0, y0, doubt)  # companions
    others = _candidates(rest, x, y, psf, pixel, channels, x0, y0)
    points = Points.joined([points, others.take(~lie_on(others, flat))])
    points, residual = _fit_all(image, smoother.known, points, psf, noise, x0, y0)
    rest = residual.mean(axis=0)
    kept = fit_well(rest, smoother.known, points, psf, pixel, x0, y0)
    kept |= lie_at(points, flat.take(is_cut))
    if settings.spare_cores:
        kept &= ~are_cores(rest, smoother.known, points, psf, pixel, x0, y0)
    points, residual = _fit_all(image, smoother.known, points.take(kept), psf, noise, x0, y0)
    points = bound_heights(residual, points, psf, noise, x0, y0)
    return points.take(points.height.max(axis=1) > 0.0)


def _candidates(plane: F32, x: F64, y: F64, psf: PointSpread, noise: float, channels: int, x0: int, y0: int) -> Points:
    """Return the places of a plane that the PSF can be fitted to."""
    table = _fit_fixed(plane, x, y, psf, noise, x0, y0)
    xx, xy, yy = psf.moments(channels // 2, table[:, fit.X] + x0, table[:, fit.Y] + y0).T
    share = _widths(table) / (FWHM_PER_SIGMA * (xx * yy - xy * xy) ** 0.25)
    good = (table[:, fit.OK] > 0) & (share > _SMALLEST) & (share < _LARGEST)
    height = table[good, fit.AMPLITUDE]
    return Points(
        table[good, fit.X] + x0,
        table[good, fit.Y] + y0,
        np.repeat(height[:, None], channels, axis=1),
        height / noise,
        np.zeros(int(good.sum())),
    )


def _fit_fixed(plane: F32, x: F64, y: F64, psf: PointSpread, noise: float, x0: int, y0: int) -> F64:
    """Return the table of `fit_stars` with place and height of the PSF, and a shape that each point has of its own."""
    table = np.zeros((len(x), fit.COLUMNS))
    if not len(x):
        return table
    middle = len(psf.profile) // 2
    fwhm = psf.fwhm_px(middle)
    sky = np.empty(len(x))
    local_levels(plane, x, y, 1.8 * fwhm, 3.0 * fwhm, sky)
    profile, bend, _ = fit.moffat_profile(psf.inverse_beta)
    shape = np.ascontiguousarray(psf.moments(middle, x + x0, y + y0))
    fit.fit_stars(plane, -1, x, y, sky, shape, profile, bend, 2.0, 3, False, noise, np.inf, table)
    return table


def _pairs(plane: F32, points: Points, psf: PointSpread, noise: float, x0: int, y0: int) -> Points:
    """
    Return two stars for each point that is drawn out in one direction only.

    Moments of a pair of equal stars exceed those of one by the square of half their distance, along it. Candidates are
    points of at most 1.25 times the FWHM across and 1.1 to 2.5 times along.
    """
    middle = len(psf.profile) // 2
    table = fit_shapes(plane, points.x - x0, points.y - y0, psf.fwhm_px(middle), psf.inverse_beta, noise)
    xx, xy, yy = table[:, fit.SXX], table[:, fit.SXY], table[:, fit.SYY]
    of_star = np.sqrt(np.maximum(np.linalg.det(_matrices(psf.moments(middle, points.x, points.y))), 1e-12))
    middle_moment, half = 0.5 * (xx + yy), np.hypot(0.5 * (xx - yy), xy)
    across, along = np.sqrt(np.maximum(middle_moment - half, 0.0) / of_star), np.sqrt((middle_moment + half) / of_star)
    good = (table[:, fit.OK] > 0) & (across < _PAIR_ACROSS) & (along > _PAIR_ALONG[0]) & (along < _PAIR_ALONG[1])
    angle = 0.5 * np.arctan2(2.0 * xy, xx - yy)[good]
    offset = np.sqrt(np.maximum((middle_moment + half)[good] - of_star[good], 0.01))
    x, y = table[good, fit.X] + x0, table[good, fit.Y] + y0
    height = np.repeat(points.height[good], 2, axis=0)
    signs = np.tile([-1.0, 1.0], int(good.sum()))
    dx, dy = np.repeat(offset * np.cos(angle), 2) * signs, np.repeat(offset * np.sin(angle), 2) * signs
    return Points(
        np.repeat(x, 2) + dx, np.repeat(y, 2) + dy, 0.5 * height, np.repeat(points.snr[good], 2) / 2, np.zeros(len(dx))
    )


def _matrices(moments: F64) -> F64:
    """Return moments (n, 3) as matrices (n, 2, 2)."""
    return moments[:, [0, 1, 1, 2]].reshape(-1, 2, 2)


def _fit_all(
    image: F32, known: Mask, points: Points, psf: PointSpread, noise: NoiseModel, x0: int, y0: int
) -> tuple[Points, F32]:
    """Return the points with fitted heights, and the image without them."""
    height = points.height.copy()
    plateau = points.plateau_px.copy()
    hidden = plateau_mask(points, known.shape, x0, y0)
    residual = np.stack([_level_filled(plane, known) for plane in image])
    for channel in range(len(image)):
        inverse = psf.inverse_moments(channel, points.x, points.y)
        sigma_px = psf.fwhm_px(channel) / FWHM_PER_SIGMA
        radius = _FULL_FIT + np.where(plateau > 0, plateau / sigma_px, 0.0)
        ceiling = find_ceilings(residual[channel], points, x0, y0)
        residual[channel][hidden] = np.inf
        heights = np.ascontiguousarray(height[:, channel])
        reach = reach_of_light(points, psf, noise, channel)
        profile = psf.profile[channel]
        add_points(residual[channel], x0, y0, points.x, points.y, -heights, inverse, profile, reach)
        fit_heights(
            residual[channel], x0, y0, points.x, points.y, heights, inverse, profile, radius, reach, ceiling, _ROUNDS
        )
        height[:, channel] = heights
    residual[:, hidden] = 0.0
    snr = height.mean(axis=1) / max(float(noise.pixel_sigma()[-1]), 1e-30)
    return Points(points.x, points.y, height, snr, plateau), residual
