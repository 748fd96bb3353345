"""The stars of a finished image: where they stand, how bright, and what only looks like one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from skyquilt.core import F32, F64, I64, Box, Mask
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.kernels import detect_fit as fit
from skyquilt.kernels.detect_surroundings import local_levels
from skyquilt.kernels.point_light import PER_SIGMA, add_points, fit_heights
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
_PAIR_ACROSS, _PAIR_ALONG = 1.25, (1.1, 2.5)  # sigma over that of a star
_PLATEAU_WINDOW_PX = 40
_CUT_SHARE, _LARGEST_PLATEAU_FWHM = 0.5, 4.0
_WIDEST_RING_PX = 60.0
_BRIGHT_SHARE, _BRIGHT_SNR = 0.08, 40.0  # of the brightest pixel; of the noise: what can be saturated
_FULL_FIT = 3.0  # sigma: pixels that tell a height
_ROUNDS = 4
_LARGEST, _SMALLEST = 3.0, 0.6  # FWHM over that of the PSF, neighbours and all
_MISFIT = 0.03  # of the light of the known stars: what their profile may miss
_FIT_RADIUS = 1.2  # FWHM
_RIM = 2.0
_MOST_LEFT, _MOST_LEFT_OF_RIM = 0.2, 0.4
_FEWEST_PIXELS = 5
_MEAN_OF_ABSOLUTE = 0.8  # of noise of sigma 1
_CORE_SHARE = 0.06  # of a point's height: more light than that around it, and it is the core of something
_CORE_SIGMA = 3.0
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
        return _no_points(channels)
    filled = _level_filled(mean, smoother.known)
    middle = channels // 2
    fwhm = psf.fwhm_px(middle)
    scale = min(max(_FIRST_SCALE + int(np.floor(np.log2(max(fwhm / _WIDE_FWHM, 0.5)))) + 1, _FIRST_SCALE), _COARSEST_SCALE)
    pixel = float(noise.pixel_sigma()[-1])
    x, y, _ = _peaks(filled, smoother, noise, scale, settings.kappa, x0, y0)
    points = _candidates(filled, x, y, psf, pixel, channels, x0, y0)
    points, residual = _fit_all(image, smoother.known, points, psf, noise, x0, y0)
    kept = _fit_well(residual.mean(axis=0), smoother.known, points, psf, pixel, x0, y0)
    pairs = _pairs(filled, points.take(~kept), psf, pixel, x0, y0)
    points = Points.joined([points.take(kept), pairs])
    points, residual = _fit_all(image, smoother.known, points, psf, noise, x0, y0)
    kept = _fit_well(residual.mean(axis=0), smoother.known, points, psf, pixel, x0, y0)
    points = points.take(kept)
    flat, is_cut = _saturated(filled, x, y, points, psf, pixel, x0, y0)
    points = Points.joined([points.take(~_lie_on(points, flat)), flat])
    points, residual = _fit_all(image, smoother.known, points, psf, noise, x0, y0)
    rest = residual.mean(axis=0)
    doubt = _MISFIT * np.maximum(filled - rest, np.float32(0.0))
    x, y, _ = _peaks(rest, smoother, noise, scale, settings.kappa, x0, y0, doubt)  # companions
    others = _candidates(rest, x, y, psf, pixel, channels, x0, y0)
    points = Points.joined([points, others.take(~_lie_on(others, flat))])
    points, residual = _fit_all(image, smoother.known, points, psf, noise, x0, y0)
    rest = residual.mean(axis=0)
    kept = _fit_well(rest, smoother.known, points, psf, pixel, x0, y0)
    kept |= _lie_at(points, flat.take(is_cut))
    if settings.spare_cores:
        kept &= ~_are_cores(rest, smoother.known, points, psf, pixel, x0, y0)
    points, residual = _fit_all(image, smoother.known, points.take(kept), psf, noise, x0, y0)
    points = _bounded(residual, points, psf, noise, x0, y0)
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


def _saturated(
    plane: F32, x: F64, y: F64, good: Points, psf: PointSpread, noise: float, x0: int, y0: int
) -> tuple[Points, Mask]:
    """
    Return the stars whose tops are cut off: what is bright, and no good star's; and which are so bright that no galaxy is.

    Around each such peak, the pixels above 55 % of it that are connected to it are one plateau, and its centre of light
    the star's place.
    """
    from scipy.ndimage import label

    level = float(np.median(plane[::7, ::7]))
    top = float(plane.max()) - level
    row, column = np.rint(y).astype(int), np.rint(x).astype(int)
    value = plane[row, column] - level
    fwhm = psf.fwhm_px(len(psf.profile) // 2)
    bright = value > max(_BRIGHT_SHARE * top, _BRIGHT_SNR * noise)
    if len(good):
        distance = np.hypot(good.x[:, None] - x0 - x[bright], good.y[:, None] - y0 - y[bright]).min(axis=0)
        bright[np.flatnonzero(bright)[distance < fwhm]] = False
    rows: list[tuple[float, float, float, float]] = []
    height, width = plane.shape
    for k in np.flatnonzero(bright)[np.argsort(-value[bright], kind="stable")]:
        if any(np.hypot(x[k] - a, y[k] - b) < radius + fwhm for a, b, _, radius in rows):
            continue
        half = _PLATEAU_WINDOW_PX
        first_row, first_column = max(row[k] - half, 0), max(column[k] - half, 0)
        part = plane[first_row : min(row[k] + half + 1, height), first_column : min(column[k] + half + 1, width)] - level
        numbers, _ = label(part > _PLATEAU_EXCLUDED * value[k], np.ones((3, 3)))
        inside = numbers == numbers[row[k] - first_row, column[k] - first_column]
        i, j = np.nonzero(inside)
        light = np.minimum(part[inside], value[k])
        place = first_column + np.average(j, weights=light), first_row + np.average(i, weights=light)
        rows.append((float(place[0]), float(place[1]), float(value[k]), float(np.sqrt(inside.sum() / np.pi))))
    table = np.array(rows).reshape(-1, 4)
    heights = np.repeat(table[:, 2, None], len(psf.profile), axis=1)
    flat = Points(table[:, 0] + x0, table[:, 1] + y0, heights, table[:, 2] / noise, table[:, 3])
    return flat, (table[:, 2] > _CUT_SHARE * top) & (table[:, 3] < _LARGEST_PLATEAU_FWHM * fwhm)


def _lie_at(points: Points, flat: Points) -> Mask:
    """Which points are saturated stars of a list."""
    places = {(float(x), float(y)) for x, y in zip(flat.x, flat.y, strict=True)}
    return np.array([(float(x), float(y)) in places for x, y in zip(points.x, points.y, strict=True)], dtype=np.bool_)


def _lie_on(points: Points, flat: Points) -> Mask:
    """Which points lie on the plateau of a saturated star."""
    on = np.zeros(len(points), dtype=np.bool_)
    for k in range(len(flat)):
        on |= np.hypot(points.x - flat.x[k], points.y - flat.y[k]) < flat.plateau_px[k] + 1.0
    return on & (points.plateau_px == 0.0)


def _bounded(residual: F32, points: Points, psf: PointSpread, noise: NoiseModel, x0: int, y0: int) -> Points:
    """
    Return the points with heights of saturated stars that are no more than any ring around them shows.

    In rings of 1.5 px from the plateau outwards: (median of the image without the other stars, over the level outside) /
    profile. A height told by wings in bright nebulosity is too large; what it would take too much would be a dark ring.
    """
    height = points.height.copy()
    pixel = noise.pixel_sigma()
    for k in np.flatnonzero(points.plateau_px > 0.0):
        for channel, plane in enumerate(residual):
            p, q, s = psf.inverse_moments(channel, points.x[k : k + 1], points.y[k : k + 1])[0]
            profile = psf.profile[channel]
            steps = np.searchsorted(-profile, -pixel[channel] / max(height[k, channel], 1e-30)) / PER_SIGMA
            outer = float(points.plateau_px[k]) + 1.5 + min(steps / np.sqrt(min(p, s)), _WIDEST_RING_PX)
            half = int(np.ceil(1.3 * outer))
            row, column = int(np.rint(points.y[k])) - y0, int(np.rint(points.x[k])) - x0
            rows = slice(max(row - half, 0), max(row + half + 1, 0))
            columns = slice(max(column - half, 0), max(column + half + 1, 0))
            part = plane[rows, columns].astype(np.float64)
            dy = (np.arange(rows.start, rows.start + part.shape[0]) + y0 - points.y[k])[:, None]
            dx = (np.arange(columns.start, columns.start + part.shape[1]) + x0 - points.x[k])[None]
            away = np.sqrt(p * dx * dx + 2.0 * q * dx * dy + s * dy * dy)
            light = np.interp(away * PER_SIGMA, np.arange(len(profile)), profile, right=0.0)
            r = np.hypot(dx, dy)
            outside = part[(r > outer) & (r < 1.3 * outer)]
            if not len(outside):
                continue
            level, old = float(np.median(outside)), height[k, channel]
            for inner in np.arange(points.plateau_px[k] + 1.0, outer, 1.5):
                ring = (r >= inner) & (r < inner + 1.5)
                share = float(np.median(light[ring])) if ring.sum() >= 12 else 0.0
                if share * old > pixel[channel]:
                    seen = float(np.median(part[ring])) - level + old * share
                    height[k, channel] = min(height[k, channel], max(seen / share, 0.0))
    return Points(points.x, points.y, height, points.snr, points.plateau_px)


def _plateau_mask(points: Points, shape: tuple[int, int], x0: int, y0: int) -> Mask:
    """Return which pixels of a tile lie on plateaus of saturated stars."""
    mask = np.zeros(shape, dtype=np.bool_)
    for k in np.flatnonzero(points.plateau_px > 0.0):
        radius = points.plateau_px[k] + 0.5
        rows = slice(max(int(points.y[k] - radius) - y0, 0), max(int(points.y[k] + radius) + 2 - y0, 0))
        columns = slice(max(int(points.x[k] - radius) - x0, 0), max(int(points.x[k] + radius) + 2 - x0, 0))
        part = mask[rows, columns]
        dy = np.arange(rows.start, rows.start + part.shape[0]) + y0 - points.y[k]
        dx = np.arange(columns.start, columns.start + part.shape[1]) + x0 - points.x[k]
        part |= dy[:, None] ** 2 + dx[None] ** 2 <= radius * radius
    return mask


def _ceilings(plane: F32, points: Points, x0: int, y0: int) -> F64:
    """Return from which value on the pixels of saturated stars tell nothing, float64 (n,); infinite for the others."""
    ceilings = np.full(len(points), np.inf)
    level = float(np.median(plane[::7, ::7]))
    for k in np.flatnonzero(points.plateau_px > 0.0):
        half = int(np.ceil(points.plateau_px[k])) + 1
        row, column = int(np.rint(points.y[k])) - y0, int(np.rint(points.x[k])) - x0
        part = plane[max(row - half, 0) : row + half + 1, max(column - half, 0) : column + half + 1]
        if part.size:
            ceilings[k] = level + _PLATEAU_EXCLUDED * (float(part.max()) - level)
    return ceilings


def _fit_well(residual: F32, known: Mask, points: Points, psf: PointSpread, noise: float, x0: int, y0: int) -> Mask:
    """
    Which points the PSF fits: what it leaves within 1.2 FWHM (saturated: within 2 beyond the plateau) is little.

    The mean of |residual - its mean| there, less what noise gives, is at most a fifth (saturated: two fifths) of the
    mean of the point's light there.
    """
    middle = len(psf.profile) // 2
    fwhm = psf.fwhm_px(middle)
    good = np.zeros(len(points), dtype=np.bool_)
    height, width = residual.shape
    known = known & ~_plateau_mask(points, known.shape, x0, y0)
    inverse = psf.inverse_moments(middle, points.x, points.y)
    mean_height = points.height.mean(axis=1)
    profile = psf.profile[middle]
    steps = np.arange(len(profile))
    for k in range(len(points)):
        plateau = points.plateau_px[k]
        reach = _FIT_RADIUS * fwhm if plateau == 0.0 else plateau + _RIM * fwhm
        inner = 0.0 if plateau == 0.0 else plateau + 1.0
        first_row, last_row = max(int(points.y[k] - reach) - y0, 0), min(int(points.y[k] + reach) + 2 - y0, height)
        first, last = max(int(points.x[k] - reach) - x0, 0), min(int(points.x[k] + reach) + 2 - x0, width)
        dy = (np.arange(first_row, last_row) + y0 - points.y[k])[:, None]
        dx = (np.arange(first, last) + x0 - points.x[k])[None]
        square = dx * dx + dy * dy
        used = (square <= reach * reach) & (square >= inner * inner) & known[first_row:last_row, first:last]
        if used.sum() < _FEWEST_PIXELS:
            continue
        p, q, s = inverse[k]
        r = np.sqrt((p * dx * dx + 2.0 * q * dx * dy + s * dy * dy)[used])
        light = mean_height[k] * float(np.mean(np.interp(r * PER_SIGMA, steps, profile, right=0.0)))
        values = residual[first_row:last_row, first:last][used].astype(np.float64)
        left = float(np.mean(np.abs(values - values.mean()))) - _MEAN_OF_ABSOLUTE * noise
        good[k] = left < (_MOST_LEFT if plateau == 0.0 else _MOST_LEFT_OF_RIM) * light
    return good


def _reach(points: Points, psf: PointSpread, noise: NoiseModel, channel: int) -> F64:
    sigma = noise.pixel_sigma()[channel]
    largest = np.sqrt(psf.moments(channel, points.x, points.y)[:, [0, 2]].max(axis=1))
    profile = psf.profile[channel]
    limit = _DRAWN_TO * sigma / np.maximum(points.height[:, channel], 1e-30)
    steps = np.searchsorted(-profile, -limit)  # the profile falls
    return np.minimum(np.maximum(steps / PER_SIGMA, 4.0) * largest, _WIDEST_PX)


def _fit_all(
    image: F32, known: Mask, points: Points, psf: PointSpread, noise: NoiseModel, x0: int, y0: int
) -> tuple[Points, F32]:
    """Return the points with fitted heights, and the image without them."""
    height = points.height.copy()
    plateau = points.plateau_px.copy()
    hidden = _plateau_mask(points, known.shape, x0, y0)
    residual = np.stack([_level_filled(plane, known) for plane in image])
    for channel in range(len(image)):
        inverse = psf.inverse_moments(channel, points.x, points.y)
        sigma_px = psf.fwhm_px(channel) / FWHM_PER_SIGMA
        radius = _FULL_FIT + np.where(plateau > 0, plateau / sigma_px, 0.0)
        ceiling = _ceilings(residual[channel], points, x0, y0)
        residual[channel][hidden] = np.inf
        heights = np.ascontiguousarray(height[:, channel])
        reach = _reach(points, psf, noise, channel)
        profile = psf.profile[channel]
        add_points(residual[channel], x0, y0, points.x, points.y, -heights, inverse, profile, reach)
        fit_heights(
            residual[channel], x0, y0, points.x, points.y, heights, inverse, profile, radius, reach, ceiling, _ROUNDS
        )
        height[:, channel] = heights
    residual[:, hidden] = 0.0
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
