"""The stars of a finished image: where they stand, how bright, and what only looks like one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from skyquilt.core import F32, F64, I64, Box, Mask
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.kernels import detect_fit as fit
from skyquilt.kernels.detect_surroundings import local_levels
from skyquilt.kernels.point_light import add_points, fit_heights
from skyquilt.steps.finish.detail.noise import NoiseModel, measure_noise, read_noise
from skyquilt.steps.finish.detail.point_spread import (
    FWHM_PER_SIGMA,
    PointSpread,
    fit_point_spread,
    fit_shapes,
)
from skyquilt.steps.finish.detail.scales import Smoother

__all__ = ["POINT_HALO_PX", "ImageStars", "Points", "StarSettings", "find_points", "measure_stars"]

POINT_HALO_PX = 96
_FIRST_SCALE = 1
_COARSEST_SCALE = 3
_USUAL_FWHM = 3.0
_WIDE_FWHM = 4.8  # per band: from here on stars are looked for one band coarser
_FIRST_KAPPA = 25.0
_MOST_FOR_SHAPE = 400
_PLATEAU = 0.6  # of the brightest pixel above the sky: connected pixels above that are one star
_PLATEAU_EXCLUDED = 0.55
_FULL_FIT = 3.0  # sigma: pixels that tell a height
_ROUNDS = 4
_LARGEST, _SMALLEST = 3.0, 0.6  # FWHM over that of the PSF, neighbours and all
_WHOLE = 1.25
_MISFIT = 0.05  # of the light of the known stars: what their profile may miss
_FIT_RADIUS = 1.2  # FWHM
_MOST_LEFT = 0.2
_MEAN_OF_ABSOLUTE = 0.8  # of noise of sigma 1
_CORE_SHARE = 0.06  # of a point's height: more light than that around it, and it is the core of something
_CORE_SIGMA = 3.0
_SATURATED = 1.25  # height told by the wings over the highest pixel
_DRAWN_TO = 0.05  # sigma of a pixel: a star's light is drawn down to there
_WIDEST_PX = 200.0


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


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """
    Stars of an image, brightest first; one entry a star in every array.

    Attributes
    ----------
    x, y : float64 (n,), px of the image
    height : float64 (n, c), unit of the image
        Of the PSF that fits it, in each channel; of a saturated star as its wings tell.
    snr : float64 (n,)
        Height in the mean of the channels over the noise of a pixel.
    plateau_px : float64 (n,), px
        Radius of what is saturated; 0 where nothing is.
    """

    x: F64
    y: F64
    height: F64
    snr: F64
    plateau_px: F64

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: I64 | Mask | slice) -> Points:
        """Return the chosen stars, in the order of `index`."""
        return Points(*(getattr(self, f.name)[index] for f in fields(self)))

    def within(self, box: Box) -> Points:
        """Return the stars whose centres lie in a box of the image."""
        inside = (
            (self.x >= box.x0 - 0.5) & (self.x < box.x1 - 0.5) & (self.y >= box.y0 - 0.5) & (self.y < box.y1 - 0.5)
        )
        return self.take(inside)

    @classmethod
    def joined(cls, parts: Sequence[Points]) -> Points:
        """Return the stars of all parts, brightest first."""
        both = cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))
        return both.take(np.argsort(-both.snr, kind="stable"))


@dataclass(frozen=True, slots=True, eq=False)
class ImageStars:
    """
    All that detail work needs to know about an image's stars and noise.

    Attributes
    ----------
    points : Points
    psf : PointSpread
    noise : NoiseModel
        Of the channels, then of their mean.
    """

    points: Points
    psf: PointSpread
    noise: NoiseModel

    def reach_px(self, channel: int) -> F64:
        """How far from its centre each star's light is drawn, float64 (n,), px."""
        return _reach(self.points, self.psf, self.noise, channel)


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
    return ImageStars(find_points(image, psf, noise, settings), psf, noise)


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
        alone &= filled[np.rint(y).astype(int), np.rint(x).astype(int)] < _plateau_level(filled)
        if alone.sum() >= 8:
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
    Candidates are local maxima of the two bands of a star's size, and connected regions of the brightest pixels that
    are no profile's top (each one saturated star); then once more those of the image without these stars, which shows
    companions. Heights are fitted in common (`kernels.point_light.fit_heights`), each with a level of its own. Left out
    is what the PSF does not fit, as it is wider (small galaxies) or sharper (defects), and the cores of wider light.
    """
    channels = len(image)
    mean = image.mean(axis=0, dtype=np.float32)
    smoother = Smoother(np.isfinite(mean))
    if not smoother.known.any():
        return _no_points(channels)
    filled = _level_filled(mean, smoother.known)
    middle = channels // 2
    fwhm = psf.fwhm_px(middle)
    scale = min(max(_FIRST_SCALE + int(np.floor(np.log2(max(fwhm / _WIDE_FWHM, 0.5)))) + 1, _FIRST_SCALE), _COARSEST_SCALE)
    pixel = float(noise.pixel_sigma()[-1])
    x, y, _ = _peaks(filled, smoother, noise, scale, settings.kappa, x0, y0)
    plateaus, on_plateau = _find_plateaus(filled, x, y, x0, y0, psf, pixel)
    found = _candidates(filled, x[~on_plateau], y[~on_plateau], psf, pixel, channels, x0, y0)
    points = Points.joined([plateaus, found])
    points, residual = _fit_all(image, smoother.known, points, psf, noise, x0, y0)
    rest = residual.mean(axis=0)
    doubt = _MISFIT * np.maximum(filled - rest, np.float32(0.0))
    x, y, _ = _peaks(rest, smoother, noise, scale, settings.kappa, x0, y0, doubt)  # companions
    points = Points.joined([points, _candidates(rest, x, y, psf, pixel, channels, x0, y0)])
    points, residual = _fit_all(image, smoother.known, points, psf, noise, x0, y0)
    kept = _fit_well(residual.mean(axis=0), smoother.known, points, psf, pixel, x0, y0)
    if settings.spare_cores:
        kept &= ~_are_cores(residual.mean(axis=0), smoother.known, points, psf, pixel, x0, y0)
    points, _ = _fit_all(image, smoother.known, points.take(kept), psf, noise, x0, y0)
    return points.take(points.height.max(axis=1) > 0.0)


def _candidates(
    plane: F32, x: F64, y: F64, psf: PointSpread, noise: float, channels: int, x0: int, y0: int
) -> Points:
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


def _no_points(channels: int) -> Points:
    none = np.zeros(0)
    return Points(none, none, np.zeros((0, channels)), none, none)


def _find_plateaus(
    plane: F32, x: F64, y: F64, x0: int, y0: int, psf: PointSpread, noise: float
) -> tuple[Points, Mask]:
    """Return the saturated stars, and which candidates (tile px) belong to one of the brightest regions."""
    from scipy.ndimage import center_of_mass, label, maximum

    level = float(np.median(plane[::7, ::7]))
    bright = plane > _plateau_level(plane)
    numbers, n = label(bright, np.ones((3, 3)))
    number = numbers[np.rint(y).astype(int), np.rint(x).astype(int)]
    channels = len(psf.profile)
    if not n:
        return _no_points(channels), number > 0
    index = np.arange(1, n + 1)
    area = np.bincount(numbers.ravel(), minlength=n + 1)[1:]
    places = np.array(center_of_mass(np.where(bright, plane, 0.0), numbers, index)).reshape(-1, 2)
    peak = np.asarray(maximum(plane, numbers, index), dtype=np.float64) - level
    # a single candidate that the profile fits up to its top is an ordinary star
    table = _fit_fixed(plane, places[:, 1].copy(), places[:, 0].copy(), psf, noise, x0, y0)
    xx, xy, yy = psf.moments(channels // 2, places[:, 1] + x0, places[:, 0] + y0).T
    share = _widths(table) / (FWHM_PER_SIGMA * (xx * yy - xy * xy) ** 0.25)
    whole = (table[:, fit.OK] > 0) & (share < _WHOLE) & (table[:, fit.AMPLITUDE] < _SATURATED * table[:, fit.MAXIMUM])
    flat = ~whole
    height = np.repeat(peak[flat, None], channels, axis=1)
    stars = Points(places[flat, 1] + x0, places[flat, 0] + y0, height, peak[flat] / noise, np.sqrt(area[flat] / np.pi))
    return stars, np.concatenate([[False], flat])[number]


def _fit_well(residual: F32, known: Mask, points: Points, psf: PointSpread, noise: float, x0: int, y0: int) -> Mask:
    """
    Which points the PSF fits: what it leaves within 1.2 FWHM is little.

    The mean of |residual - its median| there, less what noise gives, is at most a fifth of the mean of the point's
    light there.
    """
    middle = len(psf.profile) // 2
    fwhm = psf.fwhm_px(middle)
    half = int(np.ceil(_FIT_RADIUS * fwhm))
    d = np.arange(-half, half + 1)
    disc = d[None] ** 2 + d[:, None] ** 2 <= (_FIT_RADIUS * fwhm) ** 2
    dy, dx = (offset[disc] for offset in np.meshgrid(d, d, indexing="ij"))
    stamp = psf.stamp(middle, float(psf.width) / 2, float(psf.height) / 2, half)[disc]
    mean_light = float(stamp.mean() / stamp.max())
    padded = np.pad(np.where(known, residual, np.nan), half, constant_values=np.nan)
    row = np.clip(np.rint(points.y).astype(int) - y0, 0, residual.shape[0] - 1) + half
    column = np.clip(np.rint(points.x).astype(int) - x0, 0, residual.shape[1] - 1) + half
    values = padded[row[:, None] + dy, column[:, None] + dx].astype(np.float64)
    missing = np.isnan(values)
    values[missing] = 0.0
    n = np.maximum((~missing).sum(axis=1), 1)
    level = values.sum(axis=1) / n
    spread = (np.abs(values - level[:, None]) * ~missing).sum(axis=1) / n
    height = points.height.mean(axis=1)
    excess = spread - _MEAN_OF_ABSOLUTE * noise
    return np.asarray((excess < _MOST_LEFT * mean_light * height) | (points.plateau_px > 0.0))


def _reach(points: Points, psf: PointSpread, noise: NoiseModel, channel: int) -> F64:
    sigma = noise.pixel_sigma()[channel]
    largest = np.sqrt(psf.moments(channel, points.x, points.y)[:, [0, 2]].max(axis=1))
    profile = psf.profile[channel]
    limit = _DRAWN_TO * sigma / np.maximum(points.height[:, channel], 1e-30)
    steps = np.searchsorted(-profile, -limit)  # the profile falls
    return np.minimum(np.maximum(steps / 8.0, 4.0) * largest, _WIDEST_PX)


def _fit_all(
    image: F32, known: Mask, points: Points, psf: PointSpread, noise: NoiseModel, x0: int, y0: int
) -> tuple[Points, F32]:
    """Return the points with fitted heights, and the image without them."""
    height = points.height.copy()
    plateau = points.plateau_px.copy()
    residual = np.stack([_level_filled(plane, known) for plane in image])
    for channel in range(len(image)):
        inverse = psf.inverse_moments(channel, points.x, points.y)
        sigma_px = psf.fwhm_px(channel) / FWHM_PER_SIGMA
        radius = _FULL_FIT + np.where(plateau > 0, plateau / sigma_px, 0.0)
        level = float(np.median(residual[channel][::7, ::7]))
        ceiling = np.where(plateau > 0, level + _PLATEAU_EXCLUDED * (float(residual[channel].max()) - level), np.inf)
        heights = np.ascontiguousarray(height[:, channel])
        reach = _reach(points, psf, noise, channel)
        profile = psf.profile[channel]
        add_points(residual[channel], x0, y0, points.x, points.y, -heights, inverse, profile, reach)
        fit_heights(
            residual[channel], x0, y0, points.x, points.y, heights, inverse, profile, radius, reach, ceiling, _ROUNDS
        )
        height[:, channel] = heights
    snr = height.mean(axis=1) / max(float(noise.pixel_sigma()[-1]), 1e-30)
    return Points(points.x, points.y, height, snr, plateau), residual


def _are_cores(residual: F32, known: Mask, points: Points, psf: PointSpread, noise: float, x0: int, y0: int) -> Mask:
    """
    Which points are the bright cores of wider light.

    The medians of the residual in three rings, at 1.5 to 2.5, 3 to 4 and 5 to 6.5 FWHM, fall outwards by more than 6 %
    of the point's height and 3 sigma of their noise, and do so in all four quarters.
    """
    fwhm = psf.fwhm_px(psf.profile.shape[0] // 2)
    edges = ((1.5, 2.5), (3.0, 4.0), (5.0, 6.5))
    half = int(np.ceil(edges[-1][1] * fwhm))
    found = np.zeros(len(points), dtype=np.bool_)
    height, width = residual.shape
    mean_height = points.height.mean(axis=1)
    for k in range(len(points)):
        column, row = int(np.rint(points.x[k])) - x0, int(np.rint(points.y[k])) - y0
        if not (0 <= column < width and 0 <= row < height):
            continue
        rows = slice(max(row - half, 0), min(row + half + 1, height))
        columns = slice(max(column - half, 0), min(column + half + 1, width))
        dy, dx = np.mgrid[rows, columns]
        dy, dx = dy - (points.y[k] - y0), dx - (points.x[k] - x0)
        r = np.hypot(dx, dy) / fwhm
        part, usable = residual[rows, columns], known[rows, columns]
        quarter = (dx >= 0) * 2 + (dy >= 0)
        plateau = points.plateau_px[k] / fwhm
        falls = np.zeros((4, 2))
        for q in range(4):
            levels, n = np.zeros(3), np.zeros(3)
            for index, (low, high) in enumerate(edges):
                inside = usable & (quarter == q) & (r >= low + plateau) & (r < high + plateau)
                n[index] = inside.sum()
                levels[index] = np.median(part[inside]) if n[index] else np.nan
            error = noise * 1.25 / np.sqrt(max(n[0], 1.0))
            falls[q] = levels[0] - levels[2], error
        limit = _CORE_SHARE * mean_height[k]
        fall = float(np.nanmean(falls[:, 0])) if np.isfinite(falls[:, 0]).any() else 0.0
        error = float(np.mean(falls[:, 1])) / 2.0
        least = float(np.nanmin(falls[:, 0])) if np.isfinite(falls[:, 0]).any() else 0.0
        found[k] = fall > limit and fall > _CORE_SIGMA * error and least > 0.4 * fall
    return found
