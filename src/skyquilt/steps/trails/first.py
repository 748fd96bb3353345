"""The first rough result: the sky without the trails, on the binned grid of the reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skyquilt.core import F32, Normalisation, Transform
from skyquilt.kernels.trails import median_planes
from skyquilt.steps.trails.planes import laid_on_reference

__all__ = ["first_result"]

_MOST = 15  # the median's noise is then 0.32 of a frame's; more frames cost time and gain little
_SIGMA_OF_GAP = 1.0484  # sigma of one sample, in medians of the absolute difference of two (Gaussian)


def first_result(
    planes: Sequence[F32],
    transforms: Sequence[Transform],
    normalisations: Sequence[Normalisation],
    shape: tuple[int, int],
    factor: int,
) -> F32:
    """
    Return the median of up to 15 normalised planes on the binned grid of the reference.

    Parameters
    ----------
    planes : sequence of float32 (h, w), ADU
        From `bin_plane`; of more than 15, 15 spread evenly over the sequence take part.
    transforms : sequence of Transform
        Full frame pixels to full reference pixels.
    normalisations : sequence of Normalisation
    shape : (int, int), px
        Height and width of the reference frame (or canvas) at full resolution.
    factor : int, px per cell

    Returns
    -------
    float32 (shape[0] // factor, shape[1] // factor), ADU of the reference
        NaN where fewer than two planes cover. Where two cover, it is their mean, but never more than 1 sigma above the
        smaller one: a trail in one of them does not show.

    Raises
    ------
    ValueError
        If the sequences differ in length.

    Notes
    -----
    Bright samples of one frame never reach the result, whatever their height: of two samples the smaller decides, of
    three the middle one, of four the mean of the middle two. The smaller of two as such would not do: its residuals are
    lopsided, and where coverage changes from two to three frames they would step along a straight line.
    """
    if not len(planes) == len(transforms) == len(normalisations):
        raise ValueError(
            f"one transform and one normalisation a plane are needed: "
            f"{len(planes)} planes, {len(transforms)} transforms, {len(normalisations)} normalisations"
        )
    out_shape = (shape[0] // factor, shape[1] // factor)
    out = np.full(out_shape, np.nan, dtype=np.float32)
    if len(planes) < 2:
        return out
    chosen = np.unique(np.round(np.linspace(0, len(planes) - 1, min(_MOST, len(planes)))).astype(np.int64))
    warped = np.stack(
        [laid_on_reference(planes[k], out_shape, transforms[k], normalisations[k], factor) for k in chosen]
    )
    gap = np.empty(out_shape, dtype=np.float32)
    median_planes(warped, out, gap)
    is_pair = np.isfinite(gap)
    if is_pair.any():
        gaps = gap[is_pair]
        out[is_pair] += np.minimum(0.5 * gaps, np.float32(_SIGMA_OF_GAP * np.median(gaps)))
    return out
