"""How far the samples of a pixel may stray because the sky has structure there."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32
from skyquilt.kernels.backend import exact_inlined, exact_kernel

__all__ = ["structure_of", "structure_variance"]


@exact_inlined
def structure_of(
    left: float, right: float, above: float, below: float, noise: float, jitter_px: float, blur_px2: float
) -> float:
    """Return the structure variance where the four neighbours differ by so much from a pixel; `noise` is 4 V there."""
    across = max(abs(left), abs(right))
    down = max(abs(above), abs(below))
    curvature = left + right + above + below
    slope = max(0.0, across * across + down * down - 4.0 * noise)
    bend = max(0.0, curvature * curvature - 20.0 * noise)
    return jitter_px * jitter_px * slope + blur_px2 * blur_px2 * bend


@exact_kernel
def structure_variance(
    centre: F32,
    counts: F32,
    width: int,
    height: int,
    jitter_px: float,
    blur_px2: float,
    sky_variance: float,
    median_variances: F32,
    out: F32,
) -> None:
    """
    Tell how far samples may stray because the sky has structure: registration jitter on slopes, seeing on stars.

    Parameters
    ----------
    centre, counts : float32 (at least height * width,)
        Median image and number of samples; pixels without samples count as equal to the pixel in hand.
    jitter_px : float, px
        Rms registration error per axis.
    blur_px2 : float, px²
        Rms variation of half the variance of the star profile.
    sky_variance : float, ADU²
        Of one sample.
    median_variances : float32 (at least the largest count + 1,)
        As in `combine_means`.
    out : float32
        Variance, ADU²; written for all but the outermost pixels, which become 0.

    Notes
    -----
    Definition, m the median image: ``jitter² max(0, |grad m|² - 4 V_g) + blur² max(0, (lap m)² - 4 V_l)``, where each
    component of the gradient is the larger of its two one-sided differences and lap m = m(x-1) + m(x+1) + m(y-1) +
    m(y+1) - 4 m. Blurring an image by a Gaussian of variance s² (px²) adds s²/2 lap m to it (heat equation), hence the
    second term. V_g = 4 V and V_l = 20 V are what the noise of the median image, of variance V, adds on an empty sky:
    without taking off four times that, the limits of few frames would widen everywhere.
    """
    for pixel in range(height * width):
        out[pixel] = 0.0
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            here = y * width + x
            middle = np.float64(centre[here])
            left = np.float64(centre[here - 1]) - middle if counts[here - 1] > 0 else 0.0
            right = np.float64(centre[here + 1]) - middle if counts[here + 1] > 0 else 0.0
            above = np.float64(centre[here - width]) - middle if counts[here - width] > 0 else 0.0
            below = np.float64(centre[here + width]) - middle if counts[here + width] > 0 else 0.0
            noise = 4.0 * sky_variance * median_variances[int(counts[here])]
            out[here] = structure_of(left, right, above, below, noise, jitter_px, blur_px2)
