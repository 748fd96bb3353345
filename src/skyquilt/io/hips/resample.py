"""Pixels of the sky from pixels of a canvas."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64, Box, PixelSource
from skyquilt.core.sky import SkyGrid, separation_deg
from skyquilt.kernels.cubic import sample_cubic

__all__ = ["sample_sky"]

_MARGIN = 2  # px beyond the next one that cubic convolution looks at


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
    found = np.empty((source.n_channels, at_x.size), np.float32)
    sample_cubic(values, at_x - tile.box.x0, at_y - tile.box.y0, found)
    result[:, is_inside] = found
    return result if np.isfinite(result).any() else None
