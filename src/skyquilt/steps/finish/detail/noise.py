"""The noise of an image, size by size, measured on the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, Mask
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.kernels.starlet import WHITE_SIGMA, reach_of
from skyquilt.steps.finish.detail.scales import Smoother

__all__ = ["NOISE_SCALES", "NoiseCells", "NoiseModel", "measure_noise", "read_noise"]

NOISE_SCALES = 6
_CELL_PX = 64
_SAMPLES_ACROSS = 16
_ABSOLUTE_TO_SIGMA = 1.4826
_QUIET_SHARE = 0.3  # of the cells: those with the least structure of a size tell the noise of that size
# what that quantile of the cells' sigmas is of the sigma of white noise, by band; from 12 images of 960x540
_QUIET_BIAS = (1.0, 0.963, 0.963, 0.938, 0.896, 0.855)
# by how much a band may exceed what white noise would have after the band before it: resampling and debayering spread
# noise over a few pixels (1.03 to 1.45 in band 3, 1.04 to 1.13 in band 4 of Seestar masters); beyond that is structure
_MOST_RISE = (np.inf, np.inf, 1.5, 1.2, 1.15, 1.15)
_PIXEL_FROM_BANDS = 1.0932  # the bands overlap: the squares of their sigmas add up to less than that of the pixels


@dataclass(frozen=True, slots=True, eq=False)
class NoiseCells:
    """
    Scatter of the bands of an image in coarse cells: all that a model of its noise is made from.

    Attributes
    ----------
    sigma : float32 (plane, band, gy, gx)
        Median of |band| / 0.6745, finest band first; NaN where less than half of the cell has data. In units of the
        image, or of the square root of the variance where that was given.
    cell_px : int, px
    height, width : int, px
        Of the image.
    is_relative : bool
        Whether `sigma` is relative to a map of the variance.
    """

    sigma: F32
    cell_px: int
    height: int
    width: int
    is_relative: bool

    @classmethod
    def joined(cls, bands: Sequence[NoiseCells]) -> NoiseCells:
        """Return the cells of an image of which `bands` are the parts from top to bottom, each of whole cells."""
        sigma = np.concatenate([band.sigma for band in bands], axis=2)
        first = bands[0]
        return cls(sigma, first.cell_px, sum(band.height for band in bands), first.width, first.is_relative)


@dataclass(frozen=True, slots=True, eq=False)
class NoiseModel:
    """
    The noise of an image: how large where, and how it is shared among sizes.

    Attributes
    ----------
    grid : float64 (plane, gy, gx)
        Sigma of the finest band at the centres of the cells: units of the image; or 1 everywhere, to be multiplied by
        the square root of the variance, where a map of that was given.
    ratio : float64 (plane, band)
        Sigma of each band over that of `grid`. Noise of a resampled image is correlated: its finest band has less, and
        the coarser ones more, than white noise.
    cell_px, height, width : int, px
    is_relative : bool
    """

    grid: F64
    ratio: F64
    cell_px: int
    height: int
    width: int
    is_relative: bool

    @property
    def pixel_ratio(self) -> F64:
        """Sigma of a pixel over that of `grid`, float64 (plane,)."""
        total: F64 = _PIXEL_FROM_BANDS * np.sqrt(np.sum(self.ratio**2, axis=1))
        return total

    def pixel_sigma(self) -> F64:
        """Return the usual sigma of a pixel of each plane, float64 (plane,): the median over the image."""
        return np.asarray(np.median(self.grid, axis=(1, 2)) * self.pixel_ratio)

    def scale_at(self, plane: int, x0: int, y0: int, shape: tuple[int, int], variance: F32 | None = None) -> F32:
        """
        Return what `ratio` is to be multiplied by at the pixels of a tile, float32 (y, x).

        Parameters
        ----------
        plane : int
        x0, y0 : int, px
            Where the tile begins in the image.
        shape : (height, width), px
        variance : float32 (y, x) or None
            Of that plane, where the model is relative to it.

        Notes
        -----
        Bilinear between the centres of the cells, constant beyond the outermost; from absolute coordinates, so that
        tiles have the bits of the whole image.
        """
        if self.is_relative:
            if variance is None:
                raise UsageError(
                    "the noise was measured with a map of the variance, none is given now", "give it again"
                )
            root = np.sqrt(np.maximum(variance, np.float32(0.0))) * np.float32(self.grid[plane, 0, 0])
            return np.where(np.isfinite(root), root, np.float32(0.0))
        rows, row_share = _nodes(y0, shape[0], self.cell_px, self.grid.shape[1])
        columns, column_share = _nodes(x0, shape[1], self.cell_px, self.grid.shape[2])
        grid = self.grid[plane]
        across = (
            grid[:, columns] * (1.0 - column_share) + grid[:, columns + 1] * column_share
            if grid.shape[1] > 1
            else (np.repeat(grid, shape[1], axis=1))
        )
        if grid.shape[0] == 1:
            return np.repeat(across, shape[0], axis=0).astype(np.float32)
        low, high = across.astype(np.float32)[rows], across.astype(np.float32)[rows + 1]
        share = row_share.astype(np.float32)[:, None]
        return np.asarray(low + (high - low) * share, dtype=np.float32)


def _nodes(start: int, n: int, cell_px: int, n_cells: int) -> tuple[np.ndarray, F64]:
    """Return the cell centre before each pixel and the share of the way to the next."""
    at = (start + np.arange(n) + 0.5) / cell_px - 0.5
    first = np.clip(np.floor(at).astype(np.int64), 0, max(n_cells - 2, 0))
    return first, np.clip(at - first, 0.0, 1.0)


def read_noise(planes: F32, variance: F32 | None = None, *, n_scales: int = NOISE_SCALES) -> NoiseCells:
    """
    Return the scatter of the bands of an image, or of a part of it of whole cells of 64 px.

    Parameters
    ----------
    planes : float32 (plane, y, x)
        Linear; NaN where there is no data.
    variance : float32 (plane, y, x) or None
        Of each pixel, where it is known.
    n_scales : int, 1 to 6

    Notes
    -----
    Parts are mirrored at their edges, so that their outermost cells differ by a few per cent from those of the whole.
    Cost: about 15 ns a value.
    """
    height, width = planes.shape[1:]
    if variance is not None and variance.shape != planes.shape:
        raise UsageError(
            f"the variance is of shape {variance.shape}, the image of {planes.shape}", "give one of the same shape"
        )
    gy, gx = -(-height // _CELL_PX), -(-width // _CELL_PX)
    sigma = np.full((len(planes), n_scales, gy, gx), np.nan, np.float32)
    for index, plane in enumerate(planes):
        known = np.isfinite(plane)
        unit: F32 | None = None
        if variance is not None:
            known &= np.isfinite(variance[index]) & (variance[index] > 0.0)
            unit = np.sqrt(np.where(known, variance[index], np.float32(1.0))).astype(np.float32)
        smoother = Smoother(known)
        for scale, (band, _) in enumerate(smoother.bands(smoother.fill(plane), n_scales)):
            if reach_of(scale + 1) > 2 * max(height, width):
                break
            sigma[index, scale] = _cell_sigma(
                band if unit is None else np.asarray(band / unit, dtype=np.float32), known
            )
    return NoiseCells(sigma, _CELL_PX, height, width, variance is not None)


def _cell_sigma(band: F32, known: Mask) -> F32:
    """Return the scatter of each cell from about 16 x 16 of its pixels, float32 (gy, gx)."""
    step = _CELL_PX // _SAMPLES_ACROSS
    values, used = np.abs(band[1::step, 1::step]), known[1::step, 1::step]
    gy, gx = (-(-size // _CELL_PX) for size in band.shape)
    padded = np.full((gy * _SAMPLES_ACROSS, gx * _SAMPLES_ACROSS), np.inf, np.float32)
    padded[: values.shape[0], : values.shape[1]] = np.where(used, values, np.float32(np.inf))
    cells = padded.reshape(gy, _SAMPLES_ACROSS, gx, _SAMPLES_ACROSS).swapaxes(1, 2).reshape(gy, gx, -1)
    cells = np.sort(cells, axis=2)  # what is not known comes last
    n = np.isfinite(cells).sum(axis=2)
    middle = np.take_along_axis(cells, np.maximum(n - 1, 0)[:, :, None] // 2, axis=2)[:, :, 0]
    return np.where(n >= _SAMPLES_ACROSS**2 // 2, middle * np.float32(_ABSOLUTE_TO_SIGMA), np.float32(np.nan))


def measure_noise(cells: NoiseCells) -> NoiseModel:
    """
    Return the model of the noise among the cells of an image.

    Raises
    ------
    NoUsableInput
        If no cell has data.

    Notes
    -----
    `grid` is the finest band's sigma: a median of 3 x 3 cells (stars and edges do not reach it), so that it follows
    coverage and the photon noise of nebulae. The share of each band is the 30 % quantile, over the cells, of its sigma
    over `grid`, divided by what that quantile is for white noise: cells full of structure do not reach it. From band 3
    on no band is given more than 1.5, 1.2, 1.15 and 1.15 times what white noise would have after the one before: where
    structure (nebulae, crowds of faint stars) fills the field it is not told from noise there.
    """
    known = np.isfinite(cells.sigma[:, 0])
    if not known.any(axis=(1, 2)).all():
        raise NoUsableInput("no part of the image has enough data to measure its noise", "crop it to what is covered")
    grid = np.stack([_even(plane, mask) for plane, mask in zip(cells.sigma[:, 0], known, strict=True)])
    n_scales = cells.sigma.shape[1]
    ratio = np.ones((len(grid), n_scales))
    if cells.is_relative:
        quiet = [np.quantile(plane[mask], 0.5) for plane, mask in zip(cells.sigma[:, 0], known, strict=True)]
        grid = np.repeat(np.asarray(quiet)[:, None], grid[0].size, axis=1).reshape(grid.shape)
    for plane in range(len(grid)):
        for scale in range(1, n_scales):
            share = cells.sigma[plane, scale] / np.maximum(grid[plane], 1e-30)
            share = share[np.isfinite(share)]
            white = WHITE_SIGMA[scale] / WHITE_SIGMA[scale - 1] * ratio[plane, scale - 1]
            measured = float(np.quantile(share, _QUIET_SHARE)) / _QUIET_BIAS[scale] if len(share) else white
            ratio[plane, scale] = min(measured, _MOST_RISE[scale] * white)
    return NoiseModel(grid, ratio, cells.cell_px, cells.height, cells.width, cells.is_relative)


def _even(sigma: F32, known: Mask) -> F64:
    """Return the cells with the median of the 3 x 3 around each; unknown ones get that of all."""
    filled = np.where(known, sigma, np.float32(np.nan)).astype(np.float64)
    padded = np.pad(filled, 1, constant_values=np.nan)
    gy, gx = sigma.shape
    around = np.stack([padded[i : i + gy, j : j + gx] for i in range(3) for j in range(3)])
    ordered = np.sort(around, axis=0)  # NaN last
    n = np.isfinite(ordered).sum(axis=0)
    middle = np.take_along_axis(ordered, np.maximum(n - 1, 0)[None] // 2, axis=0)[0]
    usual = float(np.median(filled[known]))
    return np.where(n > 0, middle, usual)
