"""Pixels of the sky from pixels of a canvas."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F32, F64, Box, PixelSource
from skyquilt.core.sky import SkyGrid, separation_deg

__all__ = ["sample", "sample_sky"]

_MARGIN = 2  # px that cubic convolution looks at beyond the four next ones


def sample(values: F32, x: F64, y: F64) -> F32:
    """
    Return values between pixels, float32 (channel, n).

    Parameters
    ----------
    values : float32 (channel, y, x)
        NaN where nothing is known.
    x, y : float64 (n,), px

    Returns
    -------
    float32 (channel, n)
        Cubic convolution where all of 4 x 4 pixels are known; else the mean of the known ones of 2 x 2, weighted as
        bilinear interpolation does; NaN where the nearest pixel is not known or lies outside.

    Notes
    -----
    Source: Keys 1981, IEEE Trans. ASSP 29, 1153, with a = -1/2: exact for polynomials of second degree.
    """
    channels, height, width = values.shape
    margin = np.full((channels, height + 2 * _MARGIN, width + 2 * _MARGIN), np.nan, np.float32)
    margin[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = values
    flat = margin.reshape(channels, -1)
    stride = width + 2 * _MARGIN
    near_x, near_y = np.rint(x), np.rint(y)
    is_inside = (near_x >= 0) & (near_x < width) & (near_y >= 0) & (near_y < height)
    result = np.full((channels, x.size), np.nan, np.float32)
    x, y = x[is_inside], y[is_inside]
    left, upper = np.floor(x), np.floor(y)
    part_x, part_y = x - left, y - upper
    corner = (upper.astype(np.intp) + _MARGIN) * stride + left.astype(np.intp) + _MARGIN
    nearest = flat[:, corner + (part_y > 0.5) * stride + (part_x > 0.5)]
    found = _cubic(flat, corner, stride, part_x, part_y)
    is_rough = ~np.isfinite(found).all(axis=0)
    rough = _bilinear(flat, corner[is_rough], stride, part_x[is_rough], part_y[is_rough])
    found[:, is_rough] = np.where(np.isfinite(found[:, is_rough]), found[:, is_rough], rough)
    result[:, is_inside] = np.where(np.isfinite(nearest), found, np.nan)
    return result


def _cubic(flat: F32, corner: NDArray[np.intp], stride: int, part_x: F64, part_y: F64) -> F64:
    total: F64 = np.zeros((len(flat), corner.size))
    along_x, along_y = _keys(part_x), _keys(part_y)
    for j in range(4):
        row = np.zeros_like(total)
        for i in range(4):
            row += along_x[i] * flat[:, corner + (j - 1) * stride + (i - 1)]
        total += along_y[j] * row
    return total


def _keys(t: F64) -> tuple[F64, F64, F64, F64]:
    """Return the weights of the four pixels around a place, t behind the second of them."""
    return (
        ((-0.5 * t + 1.0) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((-1.5 * t + 2.0) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    )


def _bilinear(flat: F32, corner: NDArray[np.intp], stride: int, part_x: F64, part_y: F64) -> F64:
    total: F64 = np.zeros((len(flat), corner.size))
    weight = np.zeros_like(total)
    for j, along_y in enumerate((1.0 - part_y, part_y)):
        for i, along_x in enumerate((1.0 - part_x, part_x)):
            taken = flat[:, corner + j * stride + i]
            weights = np.where(np.isfinite(taken), along_x * along_y, 0.0)
            total += np.where(np.isfinite(taken), taken, np.float32(0.0)) * weights
            weight += weights
    with np.errstate(invalid="ignore"):
        return total / weight


def sample_sky(source: PixelSource, grid: SkyGrid, ra_deg: F64, dec_deg: F64) -> F32 | None:
    """
    Return the values of a canvas in directions, float32 (channel, *shape of ra_deg); None if none is known.

    Parameters
    ----------
    source : PixelSource
        The canvas; pixel (0, 0) of it is that of `grid`.
    grid : SkyGrid
    ra_deg, dec_deg : float64, any shape, degrees
    """
    x, y = grid.wcs.to_pixels(ra_deg, dec_deg)
    is_inside = grid.holds(x, y)
    if grid.wcs.sip is not None:  # far outside, a polynomial may lead back into the image
        is_inside &= separation_deg(ra_deg, dec_deg, *grid.centre_deg) <= 1.001 * grid.radius_deg
    if not is_inside.any():
        return None
    at_x, at_y = x[is_inside], y[is_inside]
    box = Box(int(at_x.min()) - 1, int(at_y.min()) - 1, int(at_x.max()) + 2, int(at_y.max()) + 2).grow(_MARGIN)
    tile = source.read(box.intersect(source.bounds))
    if not tile.mask.any():
        return None
    values = np.where(tile.mask, tile.pixels, np.float32(np.nan))
    result = np.full((source.n_channels, *x.shape), np.nan, np.float32)
    result[:, is_inside] = sample(values, at_x - tile.box.x0, at_y - tile.box.y0)
    return result if np.isfinite(result).any() else None
