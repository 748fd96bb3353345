"""A source seen from the canvas: the readable definition of the resampling."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64, I64, Box, Mask, PixelSource, Tile, Transform
from skyquilt.kernels.warp import NODE_PX
from skyquilt.kernels.warp_table import KERNEL_TAPS, N_PHASES, kernel_table
from skyquilt.steps.resample.nodes import NodeGrid

__all__ = ["Shielded", "Warped"]


class Warped:
    """
    A source on the canvas, interpolated once: a `PixelSource` in plain NumPy.

    Parameters
    ----------
    source : PixelSource
    to_frame : Transform
        Canvas pixels to the source's pixels.
    kernel : one of `kernels.warp_table.KERNELS`

    Notes
    -----
    With (u, v) the source position of a canvas pixel and w the kernel, its phase rounded to 1 / `N_PHASES` px::

        value = sum_ij w(j - u) w(i - v) pixel[i, j]

    masked where a pixel with a weight lies outside of the source's bounds or may not be used. `CanvasSampler` is the
    compiled twin of ``Warped(Debayered(Calibrated(file)))``.
    """

    def __init__(self, source: PixelSource, to_frame: Transform, kernel: str = "catmull_rom") -> None:
        self.source = source
        self.to_frame = to_frame
        self.kernel = kernel
        self._grid = NodeGrid(to_frame, 0)

    @property
    def n_channels(self) -> int:
        return self.source.n_channels

    @property
    def bounds(self) -> Box:
        """The canvas pixels that the source can reach."""
        x_min, y_min, x_max, y_max = self.to_frame.inverse().image_of(self.source.bounds.grow(1))
        return Box(int(np.floor(x_min)), int(np.floor(y_min)), int(np.ceil(x_max)) + 1, int(np.ceil(y_max)) + 1)

    def read(self, box: Box) -> Tile:
        """Return the samples of a canvas box, (n_channels, box.height, box.width); masked ones are 0."""
        u, v = source_positions(self._grid, box)
        bounds, taps = self.source.bounds, KERNEL_TAPS[self.kernel]
        is_near = (u >= bounds.x0 - 1) & (u <= bounds.x1) & (v >= bounds.y0 - 1) & (v <= bounds.y1)
        left, x_weights = _find_taps(np.where(is_near, u, 0.0), self.kernel)
        top, y_weights = _find_taps(np.where(is_near, v, 0.0), self.kernel)
        pixels = np.zeros((self.n_channels, *box.shape), dtype=np.float32)
        if not is_near.any():
            return Tile(pixels, is_near, box)
        piece = _bounding_box(left[is_near], top[is_near], taps)
        tile = self.source.read(piece)
        values, is_usable = _sum_taps(tile, left, top, x_weights, y_weights, is_near)
        mask = is_near & is_usable
        pixels[:, mask] = values[:, mask]
        return Tile(pixels, mask, box)


class Shielded:
    """
    A source on the canvas, shielded from its saturated pixels: a `PixelSource` in plain NumPy.

    Parameters
    ----------
    sharp : Warped
        The samples everywhere else.
    held : Warped
        The same map with the kernel "bilinear", of the source with its colours held (`Debayered`), where it has any.
    glare : bool (y, x) of the bounds of the warped source
        `kernels.glare.find_glare` of its saturated pixels.

    Notes
    -----
    Definition: a sample is that of `held` where any of the four pixels around it lies in the glare.
    """

    def __init__(self, sharp: Warped, held: Warped, glare: Mask) -> None:
        self.sharp = sharp
        self.held = held
        self.glare = glare

    @property
    def n_channels(self) -> int:
        return self.sharp.n_channels

    @property
    def bounds(self) -> Box:
        return self.sharp.bounds

    def read(self, box: Box) -> Tile:
        """Return the samples of a canvas box, masked where those of `sharp` are."""
        sharp, held = self.sharp.read(box), self.held.read(box)
        u, v = source_positions(self.sharp._grid, box)
        bounds = self.sharp.source.bounds
        x = np.where(sharp.mask, np.floor(u) - bounds.x0, 0.0).astype(np.int64)
        y = np.where(sharp.mask, np.floor(v) - bounds.y0, 0.0).astype(np.int64)
        glare = np.pad(self.glare, ((0, 1), (0, 1)))
        is_in_glare = glare[y, x] | glare[y + 1, x] | glare[y, x + 1] | glare[y + 1, x + 1]
        pixels = np.where(is_in_glare & sharp.mask, held.pixels, sharp.pixels)
        return Tile(pixels, sharp.mask, box)


def source_positions(grid: NodeGrid, box: Box) -> tuple[F64, F64]:
    """Return the source's (x, y) of every pixel of a canvas box, from the nodes, float64 (box.height, box.width)."""
    nodes = grid.cover(box)
    y, x = np.mgrid[box.y0 : box.y1, box.x0 : box.x1]
    i, j = y // NODE_PX - box.y0 // NODE_PX, x // NODE_PX - box.x0 // NODE_PX
    down, along = (y % NODE_PX / NODE_PX)[..., None], (x % NODE_PX)[..., None]
    left = nodes[i, j] + (nodes[i + 1, j] - nodes[i, j]) * down
    right = nodes[i, j + 1] + (nodes[i + 1, j + 1] - nodes[i, j + 1]) * down
    positions = left + (right - left) / NODE_PX * along
    return positions[..., 0], positions[..., 1]


def _find_taps(position: F64, kernel: str) -> tuple[I64, F32]:
    """Return the first pixel under the kernel and the weights of all its taps, (..., taps)."""
    pixel = np.floor(position).astype(np.int64)
    phase = np.floor((position - pixel) * N_PHASES + 0.5).astype(np.int64)
    return pixel - (KERNEL_TAPS[kernel] // 2 - 1), kernel_table(kernel)[phase]


def _bounding_box(left: I64, top: I64, taps: int) -> Box:
    return Box(int(left.min()), int(top.min()), int(left.max()) + taps, int(top.max()) + taps)


def _sum_taps(tile: Tile, left: I64, top: I64, x_weights: F32, y_weights: F32, is_near: Mask) -> tuple[F64, Mask]:
    """Return the weighted sums, and where every pixel with a weight may be used."""
    height, width = tile.box.shape
    j, i = np.where(is_near, left - tile.box.x0, 0), np.where(is_near, top - tile.box.y0, 0)
    total = np.zeros((tile.pixels.shape[0], *left.shape))
    is_usable = np.ones(left.shape, dtype=np.bool_)
    for row in range(y_weights.shape[-1]):
        for column in range(x_weights.shape[-1]):
            weight = y_weights[..., row].astype(np.float64) * x_weights[..., column]
            at = np.minimum(i + row, height - 1), np.minimum(j + column, width - 1)
            total += weight * tile.pixels[:, at[0], at[1]]
            is_usable &= tile.mask[at] | (weight == 0.0)
    return total, is_usable
