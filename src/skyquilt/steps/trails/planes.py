"""Binned planes: how they are made of frames, and how one is laid on the grid of another."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from skyquilt.core import F32, F64, Normalisation, Transform
from skyquilt.kernels.trails import bin_blocks, warp_plane

__all__ = ["bin_plane", "cell_to_pixel", "expected_in_frame", "green_index", "laid_on_reference"]

_STEP = 16  # cells between the points where a map is evaluated: a distortion of 1 % bends by < 0.01 cell in between
_GREEN = 1


def bin_plane(halved: F32, factor: int = 4) -> F32:
    """
    Return the mean of the green sites (of all pixels of a mono frame) of every factor x factor block of a frame.

    Parameters
    ----------
    halved : float32 (h // 2, w // 2), ADU
        The half-resolution plane of a calibrated frame: the mean of those sites of every 2x2 cell.
    factor : int, px
        Even.

    Returns
    -------
    float32 (h // factor, w // factor), ADU
        Cell (i, j) is centred at x = factor * (j + 0.5) - 0.5, y = factor * (i + 0.5) - 0.5 px of the frame.
        Rows and columns that fill no whole cell are left out.

    Raises
    ------
    ValueError
        If `factor` is odd.
    """
    if factor % 2:
        raise ValueError(f"blocks of a halved plane have an even side, not {factor}")
    side = factor // 2
    out = np.empty((halved.shape[0] // side, halved.shape[1] // side), dtype=np.float32)
    bin_blocks(np.ascontiguousarray(halved, dtype=np.float32), side, out)
    return out


def cell_to_pixel(cell: F64, factor: int) -> F64:
    """Return the full-frame coordinate of a (fractional) cell, px."""
    return factor * (cell + 0.5) - 0.5


def green_index(normalisation: Normalisation) -> int:
    """Return the channel that a binned plane speaks of."""
    return _GREEN if normalisation.scale.size > _GREEN else 0


def surface_at(normalisation: Normalisation, x: F64, y: F64) -> F64:
    """Return the additive surface of the green (or mono) channel at reference pixels (x, y), ADU of the reference."""
    u = (x - normalisation.centre[0]) / normalisation.radius
    v = (y - normalisation.centre[1]) / normalisation.radius
    coefficients = normalisation.surface[green_index(normalisation)]
    total = np.zeros_like(u)
    for coefficient, term in zip(coefficients, (np.ones_like(u), u, v, u * u, u * v, v * v), strict=False):
        total = total + coefficient * term
    return total


def laid_on_reference(
    plane: F32, shape: tuple[int, int], transform: Transform, normalisation: Normalisation, factor: int
) -> F32:
    """
    Return a frame's plane, normalised and resampled (bilinearly) to the binned grid of the reference.

    Parameters
    ----------
    plane : float32 (h, w), ADU
    shape : (int, int), cells of the reference
    transform : Transform
        Full frame pixels to full reference pixels.

    Returns
    -------
    float32 of `shape`, ADU of the reference; NaN where the frame does not cover.
    """
    x, y = _nodes(shape, factor)
    u, v = transform.inverse()(x, y)
    scale = float(normalisation.scale[green_index(normalisation)])
    return _resampled(plane, shape, (u, v, surface_at(normalisation, x, y)), scale, factor)


def expected_in_frame(
    first: F32, shape: tuple[int, int], transform: Transform, normalisation: Normalisation, factor: int
) -> F32:
    """
    Return what scale * plane of a frame should be if it showed nothing but the first result.

    Parameters
    ----------
    first : float32 (h, w), ADU of the reference
    shape : (int, int), cells of the frame
    transform : Transform
        Full frame pixels to full reference pixels.

    Returns
    -------
    float32 of `shape`, ADU of the reference: the first result minus the frame's surface; NaN where it does not cover.
    """
    u, v = transform(*_nodes(shape, factor))
    return _resampled(first, shape, (u, v, -surface_at(normalisation, u, v)), 1.0, factor)


@lru_cache(maxsize=4)
def _nodes(shape: tuple[int, int], factor: int) -> tuple[F64, F64]:
    """Return full pixel coordinates (x, y) of every _STEP-th cell, past the last one included."""
    rows, columns = (np.arange((n + _STEP - 1) // _STEP + 1, dtype=np.float64) * _STEP for n in shape)
    x, y = np.meshgrid(cell_to_pixel(columns, factor), cell_to_pixel(rows, factor))
    x.flags.writeable = y.flags.writeable = False
    return x, y


def _resampled(plane: F32, shape: tuple[int, int], at: tuple[F64, F64, F64], scale: float, factor: int) -> F32:
    """Return scale * plane at full pixels (u, v), plus what is to be added; all three known at the nodes."""
    u, v, add = at
    nodes = np.stack([(u + 0.5) / factor - 0.5, (v + 0.5) / factor - 0.5, add])
    out = np.empty(shape, dtype=np.float32)
    warp_plane(np.ascontiguousarray(plane, dtype=np.float32), nodes, _STEP, scale, out)
    return out
