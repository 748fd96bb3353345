"""What the stars of one frame have in common: their profile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, I64
from skyquilt.kernels import detect_fit as fit
from skyquilt.kernels.detect_surroundings import guess_shapes, local_levels
from skyquilt.steps.stars.peaks import Peaks, Plane

__all__ = [
    "FWHM_PER_SIGMA",
    "SHARPEST",
    "Profile",
    "fwhm_of",
    "local_sky",
    "measure_profile",
    "sky_annulus",
    "weighted_median",
]

FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
_USUAL_INVERSE_BETA = 0.25  # Moffat beta 4: atmosphere and optics of small telescopes
_SPREAD_OF_INVERSE_BETA = 0.06
_TRIALS = (0.0, 0.12, _USUAL_INVERSE_BETA, 0.38, 0.5)
_LARGEST_INVERSE_BETA = 0.36  # beyond it an undersampled core and its wings trade places from frame to frame
_MOST_STARS = 60
_BEST_STARS = 24
_REACH = 3.5  # sigma: far enough out for the wings to tell their steepness
_MODEL_ERROR = 0.005  # of the height, per pixel: no real star is a Moffat function to the last digit
_SKY_FROM_FWHM, _SKY_FROM_PX = 2.6, 4.0  # where the annulus of the sky around a star begins, plane px
_SKY_WIDTH_FWHM, _SKY_WIDTH_PX = 1.4, 2.5
_PIXEL_FWHM2 = 8.0 * np.log(2.0) / 12.0  # px²: that of the Gaussian of a pixel's variance
_ERROR_OF_MEDIAN = 1.2533 * 1.4826  # over the median deviation, for one value
_STEEPER_BY_PIXEL_PX2 = 0.65
_LARGEST_SIGMA = 14.0  # px of the frame
_SMALLEST_FWHM = 1.42  # px: hot pairs and cosmic rays end below it
SHARPEST = 0.75  # sigma of the sharpest image that optics and pixel make, px


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """
    The shape that the stars of a frame share.

    Attributes
    ----------
    moments : float64 (3,), px²
        xx, xy, yy of the Gaussian of the same FWHM.
    inverse_beta : float
        1 / beta of the Moffat profile, 0 for a Gaussian.
    n_stars : int
        How many stars told; 0: a guess.
    fwhm_error : float, px
        Of `fwhm`, from how much the stars differ; NaN for a guess.
    sky_px : (float, float), px
        Radii between which the sky around a star was measured; NaN before it was.
    """

    moments: F64
    inverse_beta: float
    n_stars: int
    fwhm_error: float = np.nan
    sky_px: tuple[float, float] = (np.nan, np.nan)

    @property
    def fwhm(self) -> float:
        """Geometric mean of both axes, px of the frame, the pixel's own width included."""
        return float(fwhm_of(self.moments[0], self.moments[1], self.moments[2]))

    @property
    def seeing(self) -> float:
        """FWHM before the pixels widened it, px; half of what they see where that is all of it."""
        return float(np.sqrt(max(self.fwhm**2 - _PIXEL_FWHM2, 0.25 * self.fwhm**2)))

    @property
    def seeing_inverse_beta(self) -> float:
        """
        1 / beta before the pixels rounded the core off, by which a fit takes the wings for steeper than they are.

        The share was found by fits to synthetic stars of beta 3.5 (FWHM 1.9, 2.9 and 3.6 px: 1.15, 1.08 and 1.06).
        """
        return self.inverse_beta * (1.0 + _STEEPER_BY_PIXEL_PX2 / self.fwhm**2)

    @property
    def largest_sigma(self) -> float:
        """Of the longer axis, px."""
        xx, xy, yy = self.moments
        return float(np.sqrt(0.5 * (xx + yy) + np.hypot(0.5 * (xx - yy), xy)))


def fwhm_of(xx: F64 | float, xy: F64 | float, yy: F64 | float) -> F64 | float:
    """Return the FWHM of the round Gaussian of the same area, px."""
    fwhm: F64 | float = FWHM_PER_SIGMA * np.sqrt(np.sqrt(np.maximum(xx * yy - np.square(xy), 0.0)))
    return fwhm


def sky_annulus(profile_sigma: float, step: int) -> tuple[float, float]:
    """Return the inner and the outer radius of the sky around a star, px of a plane of that step."""
    fwhm = FWHM_PER_SIGMA * profile_sigma / step
    inner = max(_SKY_FROM_FWHM * fwhm, _SKY_FROM_PX)
    return inner, inner + max(_SKY_WIDTH_FWHM * fwhm, _SKY_WIDTH_PX)


def local_sky(plane: Plane, x: F64, y: F64, profile_sigma: float) -> F64:
    """
    Return the level around each star above the sky map, ADU: the clipped mean of an annulus outside of the star.

    It begins at 2.6 FWHM and grows with the star: nearer, and of a fixed width, it took up to 1 % of the light of stars
    with wings for sky, and a share that changed with the seeing.
    """
    inner, outer = sky_annulus(profile_sigma, plane.step)
    level = np.empty(len(x))
    local_levels(plane.pixels, plane.from_frame(x), plane.from_frame(y), inner, outer, level)
    return level


def measure_profile(
    pixels: F32, parity: int, plane: Plane, sky: F64, peaks: Peaks, noise: float, saturation: float
) -> Profile:
    """
    Return the profile of the brightest stars that are neither saturated nor too sharp to be stars.

    Parameters
    ----------
    sky : float64 (n,), ADU
        Sky map at each peak.
    """
    guess = Profile(np.array([2.2, 0.0, 2.2]), _USUAL_INVERSE_BETA, 0)
    tells = _brightest_unsaturated(pixels, peaks, saturation)
    x, y, sky = peaks.x[tells], peaks.y[tells], sky[tells]
    if not len(x):
        return guess
    level = local_sky(plane, x, y, 1.3 * plane.step)
    shape = np.zeros((len(x), 5))
    guess_shapes(plane.pixels, plane.from_frame(x), plane.from_frame(y), level, _LARGEST_SIGMA / plane.step, shape)
    good = shape[:, 2] > 0
    if not good.any():
        return guess
    x, y, background = plane.to_frame(shape[good, 0]), plane.to_frame(shape[good, 1]), (sky + level)[good]
    binning = (plane.step**2 - 1) / 12.0
    start = shape[good, 2:] * plane.step**2
    start[:, 0] = np.maximum(start[:, 0] - binning, 0.5)
    start[:, 2] = np.maximum(start[:, 2] - binning, 0.5)
    start[:, 1] = np.clip(
        start[:, 1], -0.95 * np.sqrt(start[:, 0] * start[:, 2]), 0.95 * np.sqrt(start[:, 0] * start[:, 2])
    )

    def fitted(inverse_beta: float, chosen: I64) -> F64:
        profile, bend, _ = fit.moffat_profile(inverse_beta)
        table = np.zeros((len(x[chosen]), fit.COLUMNS))
        fit.fit_stars(
            pixels, parity, x[chosen], y[chosen], background[chosen], start[chosen], profile, bend, _REACH, 5, True,
            noise, saturation, table,
        )  # fmt: skip
        return table

    table = fitted(_USUAL_INVERSE_BETA, np.arange(len(x)))
    distance2 = 1.0 if parity < 0 else 2.0
    usable = (
        (table[:, fit.OK] > 0)
        & (table[:, fit.SATURATED] == 0)
        & (table[:, fit.SHARPNESS] > 0.5 * np.exp(-0.5 * distance2 / SHARPEST**2))
        & (table[:, fit.AMPLITUDE] > 5.0 * table[:, fit.AMPLITUDE_ERROR])
    )
    if not usable.any():
        return guess
    chosen = np.flatnonzero(usable)
    sizes = np.asarray(fwhm_of(table[chosen, fit.SXX], table[chosen, fit.SXY], table[chosen, fit.SYY]))
    wide = sizes > _SMALLEST_FWHM
    if 2 * wide.sum() <= len(sizes):  # mostly hot pairs and cosmic rays: what else passes is one too
        return guess
    chosen, sizes = chosen[wide], sizes[wide]
    typical = np.median(sizes)
    chosen = chosen[np.abs(np.log(sizes / typical)) < 0.5][:_BEST_STARS]
    start[chosen] = table[chosen][:, [fit.SXX, fit.SXY, fit.SYY]]
    inverse_beta = _best_beta(fitted, chosen, table[chosen], noise)
    table = fitted(inverse_beta, chosen)
    table = table[table[:, fit.OK] > 0]
    if not len(table):
        return guess
    snr = table[:, fit.AMPLITUDE] / np.maximum(table[:, fit.AMPLITUDE_ERROR], 1e-9)
    moments = [weighted_median(table[:, column], snr) for column in (fit.SXX, fit.SXY, fit.SYY)]
    sizes = np.asarray(fwhm_of(table[:, fit.SXX], table[:, fit.SXY], table[:, fit.SYY]))
    scatter = float(np.median(np.abs(sizes - np.median(sizes)))) / max(np.sqrt(len(sizes) - 1.0), 0.5)
    return Profile(np.array(moments), inverse_beta, len(table), _ERROR_OF_MEDIAN * scatter)


def _brightest_unsaturated(pixels: F32, peaks: Peaks, saturation: float) -> I64:
    """Index of the highest peaks with no saturated pixel within 2 px; a rich field saturates at the first hundred."""
    height, width = pixels.shape
    offsets = np.arange(-2, 3)
    rows = np.clip(np.rint(peaks.y).astype(np.int64)[:, None] + offsets, 0, height - 1)
    columns = np.clip(np.rint(peaks.x).astype(np.int64)[:, None] + offsets, 0, width - 1)
    is_saturated = np.any(pixels[rows[:, :, None], columns[:, None, :]] >= saturation, axis=(1, 2))
    return np.flatnonzero(~is_saturated)[:_MOST_STARS]


def _best_beta(fitted: Callable[[float, I64], F64], chosen: I64, usual: F64, noise: float) -> float:
    """1 / beta that leaves the smallest residuals, from a parabola through the best of five trials and a prior."""
    usual_at = _TRIALS.index(_USUAL_INVERSE_BETA)
    tables = {k: usual if k == usual_at else fitted(_TRIALS[k], chosen) for k in range(usual_at - 1, usual_at + 2)}
    known = noise**2 + (_MODEL_ERROR * usual[:, fit.AMPLITUDE]) ** 2

    def costs() -> dict[int, F64]:
        """Mean squares over as many pixels in every trial: a fit that shrinks must not win by seeing fewer."""
        good = np.all([table[:, fit.OK] > 0 for table in tables.values()], axis=0)
        return {k: (0.5 * table[:, fit.CHI2] * usual[:, fit.N_USED] / known)[good] for k, table in tables.items()}

    cost = costs()
    best = min(cost, key=lambda k: float(cost[k].sum()))
    if best != usual_at:  # the outermost trials are made only where one of them may be the neighbour that is needed
        outer = 2 * best - usual_at
        tables[outer] = fitted(_TRIALS[outer], chosen)
        cost = costs()
    if not cost[best].size:
        return _USUAL_INVERSE_BETA
    return weighted_median(
        *_vertices(np.array(_TRIALS[best - 1 : best + 2]), np.stack([cost[k] for k in range(best - 1, best + 2)]))
    )


def _vertices(at: F64, cost: F64) -> tuple[F64, F64]:
    """Where the parabola through three costs is lowest, and one over its error; one entry a star, and the prior."""
    x = at - at[1]
    left, right = (cost[0] - cost[1]) / x[0], (cost[2] - cost[1]) / x[2]
    curvature = (right - left) / (x[2] - x[0])
    slope = left - curvature * x[0]
    bent = curvature > 0
    lowest = np.clip(at[1] - 0.5 * slope[bent] / curvature[bent], 0.0, _LARGEST_INVERSE_BETA)
    return (
        np.append(lowest, _USUAL_INVERSE_BETA),
        np.append(np.sqrt(2.0 * curvature[bent]), 1.0 / _SPREAD_OF_INVERSE_BETA),
    )


def weighted_median(value: F64, weight: F64) -> float:
    """Value with half of the weight on either side, interpolated; a blended star does not drag it along."""
    order = np.argsort(value, kind="stable")
    share = np.cumsum(weight[order]) - 0.5 * weight[order]
    return float(np.interp(0.5 * weight.sum(), share, value[order]))
