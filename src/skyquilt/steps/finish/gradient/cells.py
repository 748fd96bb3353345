"""The light of an image in coarse cells: all that a model of its sky is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64
from skyquilt.errors import UsageError
from skyquilt.kernels.background import LOWER_SIGMA, measure_cells

__all__ = ["Cells", "choose_cell", "read_cells"]

_CELLS_ACROSS = 32  # of the shorter side
_SMALLEST_PX, _LARGEST_PX = 8, 128
_SEED_SAMPLES = 1500
_MOST_SAMPLES = 32 * 32  # pixels of a cell that are looked at, about: 0.03 sigma


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """
    Levels of the cells of an image.

    Attributes
    ----------
    level : float32 (c, gy, gx), unit of the image
        Clipped mean (`kernels.background.define_cell`): stars that fill less than half of a cell hardly reach it. NaN
        where less than half of the cell has data.
    sigma : float32 (c, gy, gx), unit of the image
        Scatter of its pixels, from the lower half.
    cell_px : int, px
        Even side of a cell; the first begins at pixel (0, 0), the last of a row or column is what remains.
    height, width : int, px
        Of the image.
    """

    level: F32
    sigma: F32
    cell_px: int
    height: int
    width: int

    @classmethod
    def joined(cls, bands: Sequence[Cells]) -> Cells:
        """Return the cells of an image of which `bands` are the parts from top to bottom, each of whole cells."""
        level = np.concatenate([band.level for band in bands], axis=1)
        sigma = np.concatenate([band.sigma for band in bands], axis=1)
        return cls(level, sigma, bands[0].cell_px, sum(band.height for band in bands), bands[0].width)

    @property
    def centres(self) -> tuple[F64, F64]:
        """Centres of the columns (gx,) and rows (gy,) of cells, px."""
        gy, gx = self.level.shape[1:]
        return _centres(gx, self.cell_px, self.width), _centres(gy, self.cell_px, self.height)


def _centres(n: int, cell_px: int, size: int) -> F64:
    start = np.arange(n) * float(cell_px)
    centres: F64 = (start + np.minimum(start + cell_px, size) - 1.0) / 2.0
    return centres


def choose_cell(height: int, width: int) -> int:
    """Return the side of a cell, px: a 32nd of the shorter side, even, 8 to 128."""
    return int(np.clip(2 * round(min(height, width) / (2 * _CELLS_ACROSS)), _SMALLEST_PX, _LARGEST_PX))


def read_cells(image: F32, cell_px: int) -> Cells:
    """
    Return the cells of an image, or of a band of whole cells of one.

    Parameters
    ----------
    image : float32 (c, y, x)
        Linear; NaN where there is no data.
    cell_px : int, px
        Even, 8 or more.

    Raises
    ------
    UsageError
        If `cell_px` is odd or below 8.

    Notes
    -----
    Every row of cells is measured by itself, so that bands of ``k * cell_px`` rows, `Cells.joined`, give the bits of
    the whole image. Cost: about 10 ns a pixel.
    """
    if cell_px < _SMALLEST_PX or cell_px % 2:
        raise UsageError(f"a cell of {cell_px} px cannot be used", f"give an even number of {_SMALLEST_PX} or more")
    channels, height, width = image.shape
    gy, gx = -(-height // cell_px), -(-width // cell_px)
    level = np.full((channels, gy, gx), np.nan, np.float32)
    sigma = np.full((channels, gy, gx), np.nan, np.float32)
    mono = np.zeros((2, 2), dtype=np.int64)
    row_step = max(1, cell_px * cell_px // _MOST_SAMPLES)
    for channel in range(channels):
        for row in range(gy):
            band = np.ascontiguousarray(image[channel, row * cell_px : (row + 1) * cell_px], dtype=np.float32)
            seed = _seed(band)
            if seed is not None:
                part = slice(channel, channel + 1), slice(row, row + 1)
                middle, spread = np.array([seed[0]]), np.array([seed[1]])
                measure_cells(band, mono, cell_px, row_step, middle, spread, level[part], sigma[part])
    return Cells(level, sigma, cell_px, height, width)


def _seed(band: F32) -> tuple[float, float] | None:
    """Level and sigma of a thin sample of a band: where its cells start to look; None without data."""
    stride = max(1, int(np.sqrt(band.size / _SEED_SAMPLES)))
    sample = band[::stride, ::stride].ravel()
    sample = np.sort(sample[np.isfinite(sample)])
    if not len(sample):
        sample = np.sort(band[np.isfinite(band)])
    if not len(sample):
        return None
    middle, low = float(sample[len(sample) // 2]), float(sample[int(len(sample) * LOWER_SIGMA)])
    return middle, max(middle - low, 1e-6 * abs(middle) + 1e-12)
