"""Which of two samples the noise model believes: that of the frame which is the smoother one there."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, U8
from skyquilt.kernels.backend import exact_called, exact_kernel
from skyquilt.kernels.reject import PROPER
from skyquilt.kernels.reject_structure import structure_of

__all__ = ["ROUGHER", "settle_pairs"]

ROUGHER = 4.0
"""So many times the structure variance of the other frame make the frame of the lower sample the rougher one."""


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
    jitter_px, blur_px2, sky_variance
        As for `kernels.reject_structure.structure_variance`.
    centre, structure : float32 (at least n_pixels,)
        The lower of both samples, and the structure of the image that these make; changed in place for all pairs but
        those of the outermost pixels.

    Notes
    -----
    Definition (`steps.integrate.definitions.settle_pairs`): S_k is the structure variance in the plane of frame k
    alone. The structure of the pixel is the smaller of both: the sky's is in every frame. Its centre is the lower
    sample, as what lands wrongly is light, unless the frame of the lower one is the rougher: S_lower > 4 S_upper. Then
    it is the upper one: debayering digs a dark ring around a particle, and the ring's slopes would pass for structure
    of the sky.
    """
    n_frames, n_channels, weight_channels, n_pixels = shape
    weight_channel = channel if weight_channels > 1 else 0
    noise = 4.0 * sky_variance
    for y in range(1, n_pixels // width - 1):
        for x in range(1, width - 1):
            here = y * width + x
            if counts[here] != 2.0:
                continue
            n_found = 0
            first, second = np.float32(0.0), np.float32(0.0)
            first_structure, second_structure = 0.0, 0.0
            row = 0
            while n_found < 2:
                value_place = (row * n_channels + channel) * n_pixels + here
                weight_place = (row * weight_channels + weight_channel) * n_pixels + here
                row += 1
                if not _is_proper(values[value_place], weights[weight_place]):
                    continue
                first, first_structure = second, second_structure
                second = values[value_place]
                second_structure = _frame_structure(
                    values, weights, value_place, weight_place, width, noise, jitter_px, blur_px2
                )
                n_found += 1
            lower_structure, upper_structure = first_structure, second_structure
            if second < first:
                lower_structure, upper_structure = second_structure, first_structure
            is_upper = lower_structure > ROUGHER * upper_structure
            centre[here] = max(first, second) if is_upper else min(first, second)
            structure[here] = min(first_structure, second_structure)
