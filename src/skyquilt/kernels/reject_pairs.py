"""Which of two samples the noise model believes: that of the frame which is the smoother one there."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, U8
from skyquilt.kernels.backend import exact_called, exact_kernel
from skyquilt.kernels.reject import PROPER
from skyquilt.kernels.reject_structure import structure_of

__all__ = ["EXPLAINED", "ROUGHER", "settle_pairs"]

ROUGHER = 2.0
"""So many times the structure variance of the other frame make a frame the rougher one; 1 to 8 serve about as well."""

EXPLAINED = 8.0
"""
Times limit² (sky variance + structure variance of its frame): a squared difference that a rough sample explains.

At the limits it would be 2. Rings of particles need 2 to 7 where their ground is flat; what noise makes of the slopes
of an empty sky must not explain a trail.
"""


@exact_called
def _is_proper(value: float, weight: int) -> bool:
    return weight >= PROPER and abs(value) < np.inf


@exact_called
def _difference(values: F32, weights: U8, value_place: int, weight_place: int, step: int) -> float:
    """Return by how much a neighbour in the same frame differs from a pixel; 0 where the frame has none."""
    neighbour = values[value_place + step]
    if not _is_proper(neighbour, weights[weight_place + step]):
        return 0.0
    return np.float64(neighbour) - np.float64(values[value_place])


@exact_called
def _frame_structure(
    values: F32,
    weights: U8,
    value_place: int,
    weight_place: int,
    width: int,
    noise: float,
    jitter_px: float,
    blur_px2: float,
) -> float:
    """Return the structure variance of one frame alone at one of its samples."""
    return structure_of(
        _difference(values, weights, value_place, weight_place, -1),
        _difference(values, weights, value_place, weight_place, 1),
        _difference(values, weights, value_place, weight_place, -width),
        _difference(values, weights, value_place, weight_place, width),
        noise,
        jitter_px,
        blur_px2,
    )


@exact_kernel
def settle_pairs(
    values: F32,
    weights: U8,
    shape: tuple[int, int, int, int],
    channel: int,
    counts: F32,
    width: int,
    limit: float,
    jitter_px: float,
    blur_px2: float,
    sky_variance: float,
    centre: F32,
    structure: F32,
) -> None:
    """
    Find centre and structure variance anew where exactly two frames have a proper sample, from each frame by itself.

    Parameters
    ----------
    values, weights, shape, channel
        As for `kernels.reject.find_intervals`.
    counts : float32 (at least n_pixels,)
        Number of proper samples.
    width : int, px
    limit : float
        The smaller one of both limits, in sigmas. Samples that differ by no more than so many sigmas of the sky are
        both accepted, as the limits are those of a difference (unless one frame is far quieter than the mean): they
        keep what they have, which saves four fifths of the time.
    jitter_px, blur_px2, sky_variance
        As for `kernels.reject_structure.structure_variance`.
    centre, structure : float32 (at least n_pixels,)
        The lower of both samples, and the structure of the image that these make; changed in place, but for the
        outermost pixels.

    Notes
    -----
    Definition (`steps.integrate.definitions.settle_pairs`): S_k is the structure variance in the plane of frame k
    alone. The structure of the pixel is the smaller of both: the sky's is in every frame. Its centre is the lower
    sample, as what lands wrongly is light. Where the frame of the lower one is the rougher, S_lower > 2 S_upper, and
    difference² <= 8 limit² (sky variance + S_lower), it is the upper one: debayering digs a dark ring around a
    particle, and the ring's slopes would pass for structure of the sky. The second condition keeps the slopes that
    noise gives to an empty sky from electing the flat middle of a wide trail.
    """
    _, n_channels, weight_channels, n_pixels = shape
    value_step, weight_step = n_channels * n_pixels, weight_channels * n_pixels
    value_start = channel * n_pixels
    weight_start = value_start if weight_channels > 1 else 0
    noise = 4.0 * sky_variance
    for y in range(1, n_pixels // width - 1):
        for here in range(y * width + 1, (y + 1) * width - 1):
            if counts[here] != 2.0:
                continue
            lower_value, lower_weight = value_start + here, weight_start + here
            while not _is_proper(values[lower_value], weights[lower_weight]):
                lower_value += value_step
                lower_weight += weight_step
            upper_value, upper_weight = lower_value + value_step, lower_weight + weight_step
            while not _is_proper(values[upper_value], weights[upper_weight]):
                upper_value += value_step
                upper_weight += weight_step
            difference = np.float64(values[upper_value]) - np.float64(values[lower_value])
            squared = difference * difference
            if squared <= limit * limit * sky_variance:
                continue
            if difference < 0.0:
                lower_value, upper_value = upper_value, lower_value
                lower_weight, upper_weight = upper_weight, lower_weight
            lower = _frame_structure(values, weights, lower_value, lower_weight, width, noise, jitter_px, blur_px2)
            upper = _frame_structure(values, weights, upper_value, upper_weight, width, noise, jitter_px, blur_px2)
            is_explained = squared <= EXPLAINED * limit * limit * (sky_variance + lower)
            centre[here] = values[upper_value if lower > ROUGHER * upper and is_explained else lower_value]
            structure[here] = min(lower, upper)
