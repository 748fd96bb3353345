"""What frames of different pointings show in common, pixel by pixel: the sky of narrow overlaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, I64, U8, Box, Mask, SampleSource, SkyGrid
from skyquilt.kernels.order import row_medians
from skyquilt.steps.mosaic.footprints import footprints_of
from skyquilt.steps.mosaic.frame_index import FrameIndex
from skyquilt.steps.mosaic.frame_sky import Lattice
from skyquilt.steps.mosaic.sky_map import SkyMap

__all__ = ["BLOCK_FEATHER_PX", "BlockCanvas", "block_canvas", "compared_frames", "shared_blocks"]

_GRAIN_PX = 16  # sides of blocks are multiples
_BLOCK_PX = (16, 64)
_BLOCKS_ACROSS = 64  # the shorter side of a frame: an overlap of a tenth is six blocks wide
_TILE = 128  # samples a side of what is compared at once
_KNOWN_SHARE = 0.75  # of a block's samples
_WHOLE_SHARE = 0.95
_LEAST_COMMON = 0.5
_CLIP_SIGMA = 2.5
_CLIP_ROUNDS = 5
_BELOW = 0.1587  # the share of a Gaussian that lies more than a sigma below its middle
_FRAMES_A_POINTING = 8
_MOST_FRAMES = 32  # compared in one tile
BLOCK_FEATHER_PX = 8.0
"""Feather of the samples: those of less than half the full weight lie on a rim of 4 px, and are not looked at.

The outermost pixels of stacked panels rest on few exposures, or on none.
"""
_LEAST_WEIGHT = 128


@dataclass(frozen=True, slots=True, eq=False)
class BlockCanvas:
    """
    The canvas as it is looked at in blocks.

    Attributes
    ----------
    grid : SkyGrid
        The canvas with pixels that are `step` times as large: each is a sample.
    step : int, px of the canvas
    samples : int
        A side of a block.
    """

    grid: SkyGrid
    step: int
    samples: int

    @property
    def block_px(self) -> int:
        """Side of a block, px of the canvas."""
        return self.samples * self.step

    def to_canvas(self, at: F64) -> F64:
        """Return positions along an axis, px of the canvas."""
        return self.step * (at + 0.5) - 0.5


def block_canvas(grids: Sequence[SkyGrid], canvas: SkyGrid, samples: int = 16) -> BlockCanvas:
    """
    Return where the frames are sampled: blocks of 16 to 64 px, 64 across a frame where that fits.

    The pixels are those of the canvas, or those of the frames where these are larger: a fine canvas tells no more.

    Parameters
    ----------
    samples : 8 or 16
        A side of a block. Frames of one exposure are many, and 8 are enough; of stacked panels, noise alone bends a
        mosaic of 2 x 2 by 5 % of a nebula if they are not 16.
    """
    sides = [min(grid.width, grid.height) * grid.wcs.scale_arcsec for grid in grids]
    pixel = max(canvas.wcs.scale_arcsec, float(np.median([grid.wcs.scale_arcsec for grid in grids])))
    block = pixel * float(np.clip(np.median(sides) / pixel / _BLOCKS_ACROSS, *_BLOCK_PX))
    step = _GRAIN_PX // samples * round(block / canvas.wcs.scale_arcsec / _GRAIN_PX)
    grid = SkyGrid(canvas.wcs.scaled(1.0 / step), -(-canvas.width // step), -(-canvas.height // step))
    return BlockCanvas(grid, step, samples)


def compared_frames(pointing: I64) -> I64:
    """
    Return the frames whose pixels are worth reading: 8 a pointing at the most, spread over it; none of a lone pointing.

    Parameters
    ----------
    pointing : int64 (n_frames,)

    Notes
    -----
    Frames of one pointing show the same sky; how they differ is told by their own skies (`Lattice.within`), so that the
    step to another pointing may rest on some of them. Eight frames know a block to a thirtieth of a pixel's noise.
    """
    chosen = []
    for number in np.unique(pointing) if len(np.unique(pointing)) > 1 else []:
        members = np.flatnonzero(pointing == number)
        n = min(len(members), _FRAMES_A_POINTING)
        chosen.append(members[np.arange(n) * len(members) // n])
    return np.sort(np.concatenate([np.zeros(0, dtype=np.int64), *chosen]))


def shared_blocks(
    frames: Mapping[int, SampleSource], grids: Sequence[SkyGrid], looked: BlockCanvas, scale: F64, pointing: I64
) -> Lattice:
    """
    Return what the frames show in blocks of the canvas that two pointings show at least.

    Parameters
    ----------
    frames : dict of int to SampleSource
        The frames that are looked at (`compared_frames`) by their numbers: not normalised, on `looked.grid`, one weight
        for all channels, feathered over `BLOCK_FEATHER_PX`; all have the same number of channels.
    grids : sequence of SkyGrid
        Place and size of each of all frames.
    looked : BlockCanvas
    scale : float64 (n_frames, n_channels)
        Flux scales, with which stars and nebulae of two frames cancel.
    pointing : int64 (n_frames,)

    Notes
    -----
    Definition of the level of frame k in a block, r the mean over the frames that show it, sample by sample::

        L_k = median(scale_k v_k - r) + median(r)

    over the samples that all of them know and that show no star (`_is_sky` of r, summed over the channels), in whose
    middle it stands. The differences carry no nebulae, which bias the sky that each frame tells by itself (compare
    mDiffFit of Montage, Jacob et al. 2010, IJCSE 4, 73, which fits a plane to each pair). Stars do not cancel where the
    seeing differs: more samples lie on the flank of a star than in its core, so that the median calls the sharper frame
    the darker. With a star in every block, and 15 % between the FWHM, that was a third of a pixel's noise in the whole
    picture. What is returned are L_k / scale_k.

    Cost: about 30 ns a sample of a block that two pointings show, beside what the sources take. At most 32 frames are
    compared in a tile of 128 x 128 samples, evenly from its pointings: 10 MB a channel, whatever the number of frames.
    """
    index = FrameIndex(looked.grid, footprints_of(grids), 0.0)
    maps = {k: SkyMap(looked.grid.wcs, grids[k]) for k in frames}
    is_looked_at = np.isin(np.arange(len(grids)), list(frames))
    side = looked.samples
    across = -(-looked.grid.width // side)
    found_frames, found_points, found_levels, found_x, found_y = [], [], [], [], []
    for number, tile in enumerate(Box.of_shape(looked.grid.height, looked.grid.width).tiles(_TILE, _TILE)):
        touching = index.touching(tile)
        chosen = _evenly(touching[is_looked_at[touching]], pointing, number)
        if len(np.unique(pointing[chosen])) < 2:
            continue
        inside, column, row = _shared_by_two(chosen, grids, maps, tile, side, pointing)
        if not len(column):
            continue
        values = np.stack([_sampled(frames[k], inside[i], column, row, side) for i, k in enumerate(chosen)])
        values *= scale[chosen, :, None, None].astype(np.float32)
        which, place, level, middle = _levels_of(values, pointing[chosen])
        found_frames.append(chosen[which])
        found_points.append((row * across + column)[place])
        found_levels.append(level)
        found_x.append(side * column[place] + middle[:, 0])
        found_y.append(side * row[place] + middle[:, 1])
    none, covered = np.zeros(0, dtype=np.int64), _area_px2(grids, looked.grid) / side**2
    frame, point = np.concatenate([none, *found_frames]), np.concatenate([none, *found_points])
    level = np.concatenate([np.zeros((0, scale.shape[1])), *found_levels]) / scale[frame]
    x, y = (np.concatenate([np.zeros(0), *found]) for found in (found_x, found_y))
    order = np.lexsort((frame, point))
    places, compact = np.unique(point[order], return_inverse=True)
    return Lattice(
        float(looked.block_px), frame[order], compact.astype(np.int64), looked.to_canvas(x[order]),
        looked.to_canvas(y[order]), level[order], len(scale), len(places), covered.astype(np.int64),
    )  # fmt: skip


def _evenly(touching: I64, pointing: I64, start: int) -> I64:
    """Return at most `_MOST_FRAMES` of the frames, as many of each pointing; others in other tiles."""
    if len(touching) <= _MOST_FRAMES:
        return touching
    numbers, label, size = np.unique(pointing[touching], return_inverse=True, return_counts=True)
    each = max(_MOST_FRAMES // len(numbers), 1)
    order = np.argsort(label, kind="stable")
    rank = np.empty(len(touching), dtype=np.int64)
    rank[order] = np.arange(len(touching)) - np.repeat(np.cumsum(size) - size, size)
    kept = touching[(rank - start) % size[label] < each]
    n = len(kept)
    if n <= _MOST_FRAMES:
        return kept
    return np.sort(kept[(start + np.arange(_MOST_FRAMES) * n // _MOST_FRAMES) % n])


def _area_px2(grids: Sequence[SkyGrid], canvas: SkyGrid) -> F64:
    """Return the areas of frames in pixels of the canvas, float64 (n_frames,)."""
    sides = np.array([grid.wcs.scale_arcsec for grid in grids]) / canvas.wcs.scale_arcsec
    area: F64 = np.array([grid.width * grid.height for grid in grids]) * sides**2
    return area


def _shared_by_two(
    chosen: I64, grids: Sequence[SkyGrid], maps: Mapping[int, SkyMap], tile: Box, side: int, pointing: I64
) -> tuple[Mask, I64, I64]:
    """
    Return the blocks of a tile whose middle lies in frames of two pointings at least: others cannot count.

    The first says which of the chosen frames hold it, bool (n_chosen, n_blocks); then column and row.
    """
    column, row = np.meshgrid(
        np.arange(tile.x0 // side, -(-tile.x1 // side)), np.arange(tile.y0 // side, -(-tile.y1 // side))
    )
    middle_x: F64 = side * column.ravel().astype(np.float64) + (side - 1) / 2.0
    middle_y: F64 = side * row.ravel().astype(np.float64) + (side - 1) / 2.0
    inside = np.array([grids[k].holds(*maps[k](middle_x, middle_y)) for k in chosen])
    shared = _n_pointings(inside, pointing[chosen]) >= 2
    return inside[:, shared], column.ravel()[shared].astype(np.int64), row.ravel()[shared].astype(np.int64)


def _n_pointings(shows: Mask, pointing: I64) -> I64:
    """Return how many pointings show each block, int64 (n_blocks,)."""
    n = np.zeros(shows.shape[1], dtype=np.int64)
    for number in np.unique(pointing):
        n += shows[pointing == number].any(axis=0)
    return n


def _sampled(source: SampleSource, inside: Mask, column: I64, row: I64, side: int) -> F32:
    """Return the samples of a frame in blocks, float32 (n_channels, n_blocks, side²); NaN where it is not known."""
    found = np.full((source.n_channels, len(column), side**2), np.nan, dtype=np.float32)
    if not inside.any():
        return found
    x0, y0 = int(column[inside].min()), int(row[inside].min())
    nx, ny = int(column[inside].max()) + 1 - x0, int(row[inside].max()) + 1 - y0
    box = Box(x0 * side, y0 * side, (x0 + nx) * side, (y0 + ny) * side)
    values = np.empty((source.n_channels, *box.shape), dtype=np.float32)
    weights: U8 = np.empty((1, *box.shape), dtype=np.uint8)
    source.sample(box, values, weights)
    values[:, weights[0] < _LEAST_WEIGHT] = np.nan
    blocks = values.reshape(-1, ny, side, nx, side).swapaxes(2, 3)
    found[:, inside] = blocks[:, row[inside] - y0, column[inside] - x0].reshape(len(values), -1, side**2)
    return found


def _levels_of(values: F32, pointing: I64) -> tuple[I64, I64, F64, F64]:
    """
    Return the levels of the blocks that two pointings show at least.

    `values` holds scaled samples (n_frames, n_channels, n_blocks, n_samples). Where the frames that show a block know
    less than half of its samples in common, those that know it whole are compared. Returned are number in `values`,
    block, level (n, n_channels), and the middle of the samples that count, (n, 2), from the first of the block.
    Stars do not count.
    """
    known: Mask = np.isfinite(values[:, 0])
    share: F64 = np.mean(known, axis=2, dtype=np.float64)
    shows: Mask = share >= _KNOWN_SHARE
    scattered = _in_common(known, shows).mean(axis=1) < _LEAST_COMMON
    shows &= ~scattered | (share >= _WHOLE_SHARE)
    shows &= _n_pointings(shows, pointing) >= 2
    common = _in_common(known, shows)
    shows &= common.any(axis=1)
    size: I64 = np.maximum(np.sum(shows, axis=0, dtype=np.int64), 1)
    mean = np.zeros(values.shape[1:])
    for one, showing in zip(values, shows, strict=True):
        mean[:, showing] += one[:, showing]
    mean /= size[:, None]
    mean[:, ~common] = np.nan
    common &= _is_sky(np.sum(mean, axis=0))
    mean[:, ~common] = np.nan
    level = np.zeros((len(values), values.shape[2], values.shape[1]))
    for k, showing in enumerate(shows):
        if showing.any():
            level[k, showing] = _medians(values[k][:, showing] - mean[:, showing])
    level += _medians(mean)
    number, place = np.nonzero(shows)
    middle = _middles(common)[place]
    return number.astype(np.int64), place.astype(np.int64), level[number, place], middle


def _is_sky(light: F64) -> Mask:
    """
    Return which samples show no star, bool (n_blocks, n_samples); `light` is NaN where nothing is known.

    Definition, block by block: of the n faintest samples, all at first, the sky is the middle one and sigma what lies
    between it and the one that 16 % of them do not exceed; n becomes the number of samples up to sky + 2.5 sigma, but
    at least half of all; five times. A nebula's slope widens sigma, so that it is not clipped.
    """
    n_known: I64 = np.sum(np.isfinite(light), axis=1, dtype=np.int64)
    ordered = np.sort(light, axis=1)  # NaN come last
    least = _ranked(ordered, (n_known + 1) // 2 - 1)
    kept, highest = n_known, least
    for _ in range(_CLIP_ROUNDS):
        sky, low = (_ranked(ordered, (share * kept).astype(np.int64)) for share in (0.5, _BELOW))
        highest = np.fmax(sky + _CLIP_SIGMA * (sky - low), least)
        kept = np.sum(light <= highest[:, None], axis=1, dtype=np.int64)
    is_sky: Mask = light <= highest[:, None]
    return is_sky


def _ranked(ordered: F64, rank: I64) -> F64:
    """Return one sample of each sorted row."""
    chosen: F64 = np.take_along_axis(ordered, np.maximum(rank, 0)[:, None], axis=1)[:, 0]
    return chosen


def _middles(common: Mask) -> F64:
    """Return the mean (column, row) of the samples of blocks, float64 (n_blocks, 2)."""
    row, column = np.divmod(np.arange(common.shape[1]), round(common.shape[1] ** 0.5))
    n: I64 = np.maximum(np.sum(common, axis=1, dtype=np.int64), 1)
    return np.stack([common @ column / n, common @ row / n], axis=1)


def _in_common(known: Mask, shows: Mask) -> Mask:
    """Return which samples all frames know that show the block, bool (n_blocks, n_samples)."""
    common: Mask = np.all(known | ~shows[:, :, None], axis=0)
    return common


def _medians(samples: F64) -> F64:
    """Return the medians of the finite samples, float64 (n_blocks, n_channels)."""
    n_channels, n_blocks, n_samples = samples.shape
    middle = np.empty(n_channels * n_blocks)
    row_medians(np.ascontiguousarray(samples, dtype=np.float64).reshape(-1, n_samples), 1, middle)
    return middle.reshape(n_channels, n_blocks).T
