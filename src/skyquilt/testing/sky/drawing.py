"""Light drawn on pixels: the compiled renderer under names of the sky."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64, I64, Box, Transform
from skyquilt.kernels.render import NODE_PX, add_blobs, add_gaussian_stars, add_moffat_stars

__all__ = ["CUT_ADU", "draw_blobs", "draw_stars"]

CUT_ADU = 0.02
"""A star's wings are drawn down to this level, ADU."""


def draw_stars(
    image: F32, channel_of: I64, xs: F64, ys: F64, flux: F64, fwhm_px: float, moffat_beta: float | None
) -> None:
    """Add stars of one FWHM to `image` in place: Gaussians, or Moffat profiles of that beta."""
    if moffat_beta is None:
        add_gaussian_stars(image, channel_of, xs, ys, flux, fwhm_px / np.sqrt(8.0 * np.log(2.0)), CUT_ADU)
    else:
        alpha = 0.5 * fwhm_px / np.sqrt(2.0 ** (1.0 / moffat_beta) - 1.0)
        add_moffat_stars(image, channel_of, xs, ys, flux, alpha, float(moffat_beta), CUT_ADU)


def draw_blobs(image: F32, channel_of: I64, blobs: F64, to_plane: Transform, gain: float, box: Box) -> None:
    """Add extended light to the pixels of `box` in place; `to_plane` takes those to the plane of the blobs."""
    if not len(blobs) or gain == 0.0:
        return
    nodes_y, nodes_x = (NODE_PX * np.arange((size + NODE_PX - 1) // NODE_PX + 1) for size in image.shape)
    grid_y, grid_x = np.meshgrid(nodes_y + float(box.y0), nodes_x + float(box.x0), indexing="ij")
    node_x, node_y = to_plane(grid_x, grid_y)
    add_blobs(image, channel_of, node_x, node_y, blobs, gain)
