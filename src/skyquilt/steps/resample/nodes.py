"""The map from canvas to frame on a grid of nodes, bilinear between them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from skyquilt.core import F64, Box, Linear, Normalisation
from skyquilt.kernels.warp import NODE_PX, linear_nodes

__all__ = ["NodeGrid", "PixelMap"]

PixelMap = Callable[[F64, F64], tuple[F64, F64]]
"""Canvas pixels (x, y) to frame pixels, elementwise on float64 arrays; a `Transform` is one. NaN: not on the frame."""

_CELLS = 16  # node cells a block side: what is evaluated at once and kept
# Blocks kept by all grids together, 9 to 12 kB each: bounded whatever the number of frames.
_N_BLOCKS_KEPT = 2048


class NodeGrid:
    """
    The map of one frame and its background surface, at absolute multiples of `NODE_PX` canvas pixels.

    One code path for affine maps (exact to rounding), homographies, polynomials and sky projections (a curvature of
    1e-5 a pixel is off by 16² / 8 x 1e-5 = 3e-4 px).

    Parameters
    ----------
    to_frame : PixelMap
    n_channels : int
    normalisation : Normalisation or None
        Its surface becomes the third and following quantities of a node; 0 if None.
    """

    def __init__(self, to_frame: PixelMap, n_channels: int, normalisation: Normalisation | None = None) -> None:
        self.to_frame = to_frame
        self.n_channels = n_channels
        self.normalisation = normalisation
        self._matrix = _matrix_of(to_frame)
        self._surface = np.zeros((n_channels, 6))
        self._circle = (0.0, 0.0, 1.0)
        if normalisation is not None:
            self._surface[:, : normalisation.surface.shape[1]] = normalisation.surface[:n_channels]
            x, y = normalisation.centre
            self._circle = (float(x), float(y), float(normalisation.radius))

    def cover(self, box: Box) -> F64:
        """
        Return the nodes of all cells that the box touches, float64 (ny, nx, 2 + n_channels): x, y, surfaces.

        Node [0, 0] lies at the multiple of `NODE_PX` at or before the box's first pixel. A node does not depend on the
        box that it was asked for: a linear map is computed node by node; other maps (powers, sines), which NumPy may
        round in another way elsewhere in an array, are always evaluated in the same block.
        """
        x0, y0 = box.x0 // NODE_PX, box.y0 // NODE_PX
        x1, y1 = (box.x1 - 1) // NODE_PX + 1, (box.y1 - 1) // NODE_PX + 1
        nodes = np.empty((y1 - y0 + 1, x1 - x0 + 1, 2 + self.n_channels))
        if self._matrix is not None:
            linear_nodes(self._matrix, self._surface, self._circle, x0, y0, nodes)
            return nodes
        for block_y in range(y0 // _CELLS, (y1 - 1) // _CELLS + 1):
            for block_x in range(x0 // _CELLS, (x1 - 1) // _CELLS + 1):
                left, top = block_x * _CELLS, block_y * _CELLS
                from_x, to_x = max(x0, left), min(x1, left + _CELLS) + 1
                from_y, to_y = max(y0, top), min(y1, top + _CELLS) + 1
                block = _evaluate_block(self, block_x, block_y)
                nodes[from_y - y0 : to_y - y0, from_x - x0 : to_x - x0] = block[
                    from_y - top : to_y - top, from_x - left : to_x - left
                ]
        return nodes

    def evaluate(self, x: F64, y: F64) -> F64:
        """Return frame x, frame y and the surfaces at canvas points of any shape, (..., 2 + n_channels)."""
        quantities = np.zeros((*x.shape, 2 + self.n_channels))
        quantities[..., 0], quantities[..., 1] = self.to_frame(x, y)
        if self.normalisation is not None:
            centre, radius = self.normalisation.centre, self.normalisation.radius
            u, v = (x - centre[0]) / radius, (y - centre[1]) / radius
            terms = (np.ones_like(u), u, v, u * u, u * v, v * v)
            for channel in range(self.n_channels):
                for coefficient, term in zip(self.normalisation.surface[channel], terms, strict=False):
                    quantities[..., 2 + channel] += coefficient * term
        return quantities


def _matrix_of(to_frame: PixelMap) -> F64 | None:
    """Return the matrix of a map that is linear throughout."""
    stages = getattr(to_frame, "stages", None)
    if stages is None or not all(isinstance(stage, Linear) for stage in stages):
        return None
    matrix = np.eye(3)
    for stage in stages:
        matrix = stage.matrix @ matrix
    return matrix


@lru_cache(maxsize=_N_BLOCKS_KEPT)
def _evaluate_block(grid: NodeGrid, block_x: int, block_y: int) -> F64:
    """Return the nodes of one block of cells, its last row and column shared with the next ones."""
    steps = np.arange(_CELLS + 1, dtype=np.float64) * NODE_PX
    size = _CELLS * NODE_PX
    x, y = np.meshgrid(steps + block_x * size, steps + block_y * size)
    return grid.evaluate(x, y)
