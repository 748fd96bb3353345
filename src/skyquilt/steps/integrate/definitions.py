"""
What the rejection rules mean: one short function each, in plain NumPy, for the samples of one pixel.

The kernels in `kernels.reject_rules` accept the same samples a hundred times faster; the tests hold them to it. Every
function takes the samples (float, in any order) and returns the interval (lowest, highest) of accepted values; what
lies in it is accepted, whatever rule made it. The middle sample, or the middle two, are always accepted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skyquilt.core import F64
from skyquilt.kernels.reject_pairs import EXPLAINED, ROUGHER
from skyquilt.steps.integrate.limits import critical_deviates, mad_corrections, median_variances, reach, widenings
from skyquilt.steps.integrate.terms import FEW_SAMPLES, IntegrateSettings

__all__ = [
    "Interval",
    "RunningPixel",
    "combine_pixel",
    "keep_esd",
    "keep_linear_fit",
    "keep_mad",
    "keep_noise_model",
    "keep_percentile",
    "keep_samples",
    "keep_sigma",
    "keep_winsorized",
    "settle_pairs",
    "structure",
]

Interval = tuple[float, float]

_SIGMA_OF_MAD = 1.4826022
_SIGMA_OF_MEAN_DEVIATION = 1.2533141


def _middle(samples: F64, interval: Interval) -> Interval:
    """Widen an interval so that it holds the middle sample, or the middle two."""
    ordered = np.sort(samples)
    n = len(ordered)
    return min(interval[0], ordered[(n - 1) // 2]), max(interval[1], ordered[n // 2])


def _inside(samples: F64, interval: Interval) -> F64:
    return samples[(samples >= interval[0]) & (samples <= interval[1])]


def _mad_sigma(samples: F64, centre: float) -> float:
    """Return the sigma that the median absolute deviation of n samples stands for."""
    correction = float(mad_corrections(len(samples))[len(samples)])
    return _SIGMA_OF_MAD * correction * float(np.median(np.abs(samples - centre)))


def _robust_sigma(samples: F64, centre: float) -> float:
    """Return the sigma by the MAD, or by the mean deviation where more than half of the samples are equal."""
    return _mad_sigma(samples, centre) or _SIGMA_OF_MEAN_DEVIATION * float(np.abs(samples - centre).mean())


def keep_sigma(samples: ArrayLike, low: float, high: float, max_iterations: int) -> Interval:
    """
    Accept what lies near the mean of what is accepted.

    Median and MAD make the start, so that outliers do not inflate the scale that should reject them. Then mean and
    standard deviation of the accepted samples give the next interval, applied to all samples, until nothing changes.
    The interval reaches `limits.reach` standard deviations below and above the mean.
    """
    x = np.asarray(samples, dtype=np.float64)
    below, above = reach(low, high, len(x))
    centre = float(np.median(x))
    sigma = _robust_sigma(x, centre) * float(widenings("sigma", len(x))[len(x)])
    interval = (centre - low * sigma, centre + high * sigma)
    kept = _inside(x, interval)
    for _ in range(max_iterations):
        n = len(kept)
        if n < 2:
            break
        mean, deviation = float(kept.mean()), float(kept.std(ddof=1))
        interval = (mean - float(below[n]) * deviation, mean + float(above[n]) * deviation)
        now = _inside(x, interval)
        if np.array_equal(now, kept):
            break
        kept = now
    return _middle(x, interval)


def keep_winsorized(samples: ArrayLike, low: float, high: float, max_iterations: int) -> Interval:
    """
    Accept what lies near the median, by the scale of samples that are drawn in.

    The scale starts as the standard deviation; samples beyond 1.5 of it about the median are drawn in to that distance,
    and 1.134 times the standard deviation of the result is the new scale, until it changes by less than 0.05 %; every
    second step, the limit to which the last three scales tend is taken for the next one. What lies beyond the limits is
    rejected, and all is done again with the rest. For n samples the limits widen by `limits.widenings`.

    Source: Huber 1981, Robust Statistics, as PixInsight's ImageIntegration uses it; the limit of a sequence by Aitken
    1926, Proc. R. Soc. Edinburgh 46, 289.
    """
    kept = np.asarray(samples, dtype=np.float64)
    x = kept
    interval = (-np.inf, np.inf)
    for _ in range(max_iterations):
        centre, sigma = float(np.median(kept)), _deviation(kept)
        before = sigma
        for step in range(10):
            if sigma == 0:
                break
            drawn = 1.134 * _deviation(np.clip(kept, centre - 1.5 * sigma, centre + 1.5 * sigma))
            settled = abs(drawn - sigma) <= 0.0005 * sigma
            following, bend = drawn, (drawn - sigma) - (sigma - before)
            if step % 2 == 1 and not settled and bend != 0:
                jump = drawn - (drawn - sigma) ** 2 / bend
                following = jump if 0.5 * drawn < jump < 2.0 * drawn else drawn
            before, sigma = sigma, following
            if settled:
                break
        sigma *= float(widenings("winsorized", len(x))[len(kept)])
        new = (max(interval[0], centre - low * sigma), min(interval[1], centre + high * sigma))
        now = _inside(x, new)
        if len(now) == 0:
            break
        interval = new
        if len(now) == len(kept):
            break
        kept = now
    return _middle(x, interval)


def _deviation(samples: F64) -> float:
    return float(samples.std(ddof=1)) if len(samples) > 1 else 0.0


def keep_mad(samples: ArrayLike, low: float, high: float, max_iterations: int) -> Interval:
    """Accept what lies near the median of what is accepted, by 1.4826 of its median absolute deviation, iterated."""
    kept = np.asarray(samples, dtype=np.float64)
    x = kept
    interval = (-np.inf, np.inf)
    sigma = 0.0
    for iteration in range(max_iterations):
        centre = float(np.median(kept))
        sigma = (_robust_sigma(kept, centre) if iteration == 0 else _mad_sigma(kept, centre)) or sigma
        wide = sigma * float(widenings("mad", len(x))[len(kept)])
        new = (max(interval[0], centre - low * wide), min(interval[1], centre + high * wide))
        now = _inside(x, new)
        if len(now) == 0:
            break
        interval = new
        if len(now) == len(kept):
            break
        kept = now
    return _middle(x, interval)


def keep_linear_fit(samples: ArrayLike, low: float, high: float, max_iterations: int) -> Interval:
    """
    Accept from the first to the last sample that lies near the line fitted to the sorted samples.

    A line by least squares over the sample's rank, the mean absolute residual as the scale, until nothing is rejected
    any more. It bears with a sky that drifts evenly through the session.
    """
    kept = np.sort(np.asarray(samples, dtype=np.float64))
    x = kept
    for _ in range(max_iterations):
        n = len(kept)
        rank = np.arange(n) - (n - 1) / 2
        slope = 12 * float((rank * kept).sum()) / (n * (n * n - 1)) if n > 1 else 0.0
        residual = kept - (kept.mean() + slope * rank)
        scale = float(np.abs(residual).mean())
        good = np.flatnonzero((residual >= -low * scale) & (residual <= high * scale))
        if len(good) == 0 or good[-1] - good[0] + 1 == n:
            break
        kept = kept[good[0] : good[-1] + 1]
    return _middle(x, (float(kept[0]), float(kept[-1])))


def keep_esd(samples: ArrayLike, fraction: float, significance: float) -> Interval:
    """
    Accept what the generalised extreme Studentised deviate test leaves.

    The sample farthest from the mean is taken away, in standard deviations of what is left, `fraction` of the samples
    at most; the last one whose deviate was above the critical value is rejected, and so are all before it.

    Source: Rosner 1983, Technometrics 25, 165, doi:10.1080/00401706.1983.10487848.
    """
    x = np.sort(np.asarray(samples, dtype=np.float64))
    critical = critical_deviates(significance, len(x))
    left = x
    kept = x
    for _ in range(int(np.float32(fraction) * np.float32(len(x)))):
        if len(left) < 3:
            break
        mean, deviation = left.mean(), max(left.std(ddof=1), 1e-150)
        is_upper = left[-1] - mean >= mean - left[0]
        extreme = left[-1] - mean if is_upper else mean - left[0]
        is_outlier = extreme > float(critical[len(left)]) * deviation
        left = left[:-1] if is_upper else left[1:]
        if is_outlier:
            kept = left
    return _middle(x, (float(kept[0]), float(kept[-1])))


def keep_percentile(samples: ArrayLike, low: float, high: float) -> Interval:
    """Accept what lies within a share of the median: from median - low |median| to median + high |median|."""
    x = np.asarray(samples, dtype=np.float64)
    centre = float(np.median(x))
    return _middle(x, (centre - low * abs(centre), centre + high * abs(centre)))


def keep_noise_model(
    samples: ArrayLike,
    own_variance: F64,
    structure_variance: float,
    low: float,
    high: float,
    centre: float | None = None,
) -> tuple[float, F64, F64]:
    """
    Return the centre of the samples, and the accepted interval of each frame: the scale is known beforehand.

    Frame k accepts centre ± limit x sqrt((own_variance_k + structure variance) (1 + c_n)), where c_n is the variance of
    the centre of n samples in variances of one (`limits.median_variances`). The centre is the lower median, as what
    lands wrongly on a frame is light; of two samples it may be the upper one, which their neighbours tell
    (`settle_pairs`) and `centre` gives.
    """
    x = np.sort(np.asarray(samples, dtype=np.float64))
    centre = float(x[(len(x) - 1) // 2]) if centre is None else centre
    scale = np.sqrt((own_variance + structure_variance) * (1 + float(median_variances(len(x))[len(x)])))
    return centre, centre - low * scale, centre + high * scale


def keep_samples(samples: ArrayLike, settings: IntegrateSettings) -> Interval:
    """Return the interval of any rule that needs nothing but the samples."""
    rule = "sigma" if settings.rule == "auto" else settings.rule
    low, high, most = settings.low, settings.high, settings.max_iterations
    if rule == "sigma":
        return keep_sigma(samples, low, high, most)
    if rule == "winsorized":
        return keep_winsorized(samples, low, high, most)
    if rule == "mad":
        return keep_mad(samples, low, high, most)
    if rule == "linear_fit":
        return keep_linear_fit(samples, low, high, most)
    if rule == "esd":
        return keep_esd(samples, settings.esd_fraction, settings.esd_significance)
    if rule == "percentile":
        return keep_percentile(samples, settings.percentile_low, settings.percentile_high)
    return -np.inf, np.inf


def structure(image: F64, noise_variance: float, jitter_px: float, blur_px2: float) -> F64:
    """
    Return the structure variance (y, x) of an image with equal noise everywhere, 0 on its rim.

    NaN where there is no sample: that counts as equal to its neighbours.
    """
    variance = np.zeros_like(image)
    here = image[1:-1, 1:-1]
    left, right = np.nan_to_num(image[1:-1, :-2] - here), np.nan_to_num(image[1:-1, 2:] - here)
    above, below = np.nan_to_num(image[:-2, 1:-1] - here), np.nan_to_num(image[2:, 1:-1] - here)
    across = np.maximum(np.abs(left), np.abs(right))
    down = np.maximum(np.abs(above), np.abs(below))
    slope = np.maximum(0, across**2 + down**2 - 16 * noise_variance)
    bend = np.maximum(0, (left + right + above + below) ** 2 - 80 * noise_variance)
    variance[1:-1, 1:-1] = jitter_px**2 * slope + blur_px2**2 * bend
    return variance


def settle_pairs(
    frames: F64, local: F64, limit: float, sky_variance: float, jitter_px: float, blur_px2: float
) -> tuple[F64, F64]:
    """
    Return centre and structure variance (y, x) of two frames (2, y, x) for the noise model; NaN: no sample.

    The structure is the smaller one of both frames, each by itself: the sky's is in both. The lower sample is the
    centre, as what lands wrongly is light, but debayering digs a dark ring around it: where the frame of the lower one
    is clearly the rougher, so rough that it explains the difference (`kernels.reject_pairs.ROUGHER`, `EXPLAINED`), the
    upper one is. Where the samples differ by no more than `limit` sigmas of the sky, which no limit calls wrong, the
    lower one stays with `local`, the structure of the image of all frames.
    """
    rough = np.stack([structure(frame, sky_variance, jitter_px, blur_px2) for frame in frames])
    lower, upper = np.where(frames[1] < frames[0], rough[::-1], rough)
    squared = np.ptp(frames, axis=0) ** 2
    is_alike = squared <= limit**2 * sky_variance
    is_explained = squared <= EXPLAINED * limit**2 * (sky_variance + lower)
    is_upper = (lower > ROUGHER * upper) & is_explained & ~is_alike
    centre = np.where(is_upper, frames.max(axis=0), frames.min(axis=0))
    return centre, np.where(is_alike, local, rough.min(axis=0))


def combine_pixel(
    samples: F64, weights: F64, interval: tuple[F64 | float, F64 | float], own_variance: F64
) -> tuple[float, float, NDArray[np.bool_]]:
    """Return weighted mean, its variance and the mask of accepted samples (`kernels.combine.combine_means`)."""
    kept = (samples >= interval[0]) & (samples <= interval[1])
    x, w = samples[kept], weights[kept]
    value = float((w * x).sum() / w.sum())
    if kept.sum() >= FEW_SAMPLES:
        variance = float((w**2 * (x - value) ** 2).sum() / (w.sum() ** 2 - (w**2).sum()))
    else:
        variance = float((w**2 * own_variance[kept]).sum() / w.sum() ** 2)
    return value, variance, kept


@dataclass(slots=True)
class RunningPixel:
    """
    One pixel of a sweep under a rule that follows the samples, for pixels with 8 seeds or more.

    Attributes
    ----------
    centre, slack : float
        Median of the seeds; square root of the structure variance there.
    count, mean, squares : float
        Number, mean and sum of squared residuals of the samples accepted so far, the accepted seeds first of all.
    """

    settings: IntegrateSettings
    centre: float
    slack: float
    count: float = 0.0
    mean: float = 0.0
    squares: float = 0.0

    @classmethod
    def start(cls, seeds: F64, settings: IntegrateSettings, slack: float) -> RunningPixel:
        """Return the state before the first frame."""
        lowest, highest = keep_samples(seeds, settings)
        pixel = cls(settings, float(np.median(seeds)), slack)
        lowest, highest = pixel._widened(lowest, highest)
        for sample in seeds:
            if lowest <= sample <= highest:
                pixel._take(sample)
        return pixel

    def accept(self, sample: float) -> bool:
        """Judge the next sample; if it is accepted, it changes what the next one is judged by."""
        below, above = reach(self.settings.low, self.settings.high, 1024)
        n = min(int(self.count), 1024)
        deviation = float(np.sqrt(self.squares / max(self.count - 1, 1)))
        lowest, highest = self._widened(
            self.mean - float(below[n]) * deviation, self.mean + float(above[n]) * deviation
        )
        if not lowest <= sample <= highest:
            return False
        self._take(sample)
        return True

    def _widened(self, lowest: float, highest: float) -> Interval:
        return (
            min(lowest, self.centre - self.settings.low * self.slack),
            max(highest, self.centre + self.settings.high * self.slack),
        )

    def _take(self, sample: float) -> None:
        self.count += 1
        step = sample - self.mean
        self.mean += step / self.count
        self.squares += step * (sample - self.mean)
