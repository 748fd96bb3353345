"""What frames show in common, pixel by pixel: the lattice of frames that hold nothing but the sky, stacked panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, I64, Box, Mask, PixelSource, SkyGrid
from skyquilt.kernels.order import row_medians
from skyquilt.steps.mosaic.footprints import footprints_of
from skyquilt.steps.mosaic.frame_index import FrameIndex
from skyquilt.steps.mosaic.frame_sky import Lattice
from skyquilt.steps.mosaic.sky_map import SkyMap

__all__ = ["ShownFrame", "shared_blocks"]

_SAMPLES = 16  # a side of a block: the median of 256 differences has a twelfth of a pixel's noise
_LARGEST_BLOCK = 4  # times as many px
_BLOCKS_ACROSS = 64  # the shorter side of a frame: an overlap of a tenth is six blocks wide
_BLOCKS_A_TILE = 16
_KNOWN_SHARE = 0.75  # of a block's samples: any two frames that show it then share half of them
_RIM_PX = 4.0  # the outermost pixels of stacked panels rest on few exposures, or on none


@dataclass(frozen=True, slots=True, eq=False)
class ShownFrame:
    """
    One frame whose pixels are looked at where others show the same sky.

    Attributes
    ----------
    source : PixelSource
        Its pixels, ADU; all frames have the same number of channels.
    grid : SkyGrid
        Its place and size.
    """

    source: PixelSource
    grid: SkyGrid


def shared_blocks(frames: Sequence[ShownFrame], canvas: SkyGrid, scale: F64) -> Lattice:
    """
    Return what the frames show in blocks of the canvas that two of them show at least.

    Parameters
    ----------
    frames : sequence of ShownFrame
    canvas : SkyGrid
    scale : float64 (n_frames, n_channels)
        Flux scales, with which stars and nebulae of two frames cancel.

    Notes
    -----
    A block is a square of the canvas, 16 to 64 px a side, sampled bilinearly at 16 x 16 pixels of it. Definition of the
    levels L of a block, with d_kl the median over the samples that both know of ``scale_k v_k - scale_l v_l``::

        L minimises sum over pairs (L_k - L_l - d_kl)² with sum L_k = sum of the medians of scale_k v_k

    so L_k = m + mean over l of d_kl (d_kk = 0), m the mean of the medians. The differences carry neither stars nor
    nebulae, which bias the sky that each frame tells by itself (compare mDiffFit of Montage, Jacob et al. 2010, IJCSE
    4, 73, which fits a plane to each pair). What is returned are L_k / scale_k.

    Cost: about 0.1 us a sample; one box of each frame in memory, 256 to 1024 px a side.
    """
    block = _block_px(frames, canvas)
    index = FrameIndex(canvas, footprints_of([one.grid for one in frames]), 0.0)
    maps = [SkyMap(canvas.wcs, one.grid) for one in frames]
    across = -(-canvas.width // block)
    found_frames, found_points, found_levels = [], [], []
    for tile in Box.of_shape(canvas.height, canvas.width).tiles(_BLOCKS_A_TILE * block, _BLOCKS_A_TILE * block):
        touching = index.touching(tile)
        if len(touching) < 2:
            continue
        x, y = _sample_places(tile, block)
        values = [scale[k, :, None, None] * _sampled(frames[k], maps[k], x, y) for k in touching]
        number, place, level = _levels_of(values)
        column, row = tile.x0 // block + place % _across(tile, block), tile.y0 // block + place // _across(tile, block)
        found_frames.append(touching[number])
        found_points.append(row * across + column)
        found_levels.append(level)
    covered = np.array([_area_px2(one, canvas) / block**2 for one in frames]).astype(np.int64)
    return _lattice(found_frames, found_points, found_levels, block, across, covered, scale)


def _block_px(frames: Sequence[ShownFrame], canvas: SkyGrid) -> int:
    """Return the side of a block, a multiple of its samples."""
    sides = [min(one.grid.width, one.grid.height) * one.grid.wcs.scale_arcsec for one in frames]
    wanted = float(np.median(sides)) / canvas.wcs.scale_arcsec / _BLOCKS_ACROSS
    return _SAMPLES * int(np.clip(wanted // _SAMPLES, 1, _LARGEST_BLOCK))


def _area_px2(frame: ShownFrame, canvas: SkyGrid) -> float:
    """Return the area of a frame in pixels of the canvas."""
    side = frame.grid.wcs.scale_arcsec / canvas.wcs.scale_arcsec
    return frame.grid.width * frame.grid.height * side**2


def _across(tile: Box, block: int) -> int:
    return -(-tile.width // block)


def _sample_places(tile: Box, block: int) -> tuple[F64, F64]:
    """Return the places of the samples of a tile's blocks, canvas px, (n_blocks, n_samples)."""
    step = block // _SAMPLES
    offset = (step - 1) / 2.0 + step * np.arange(_SAMPLES)
    left = np.arange(tile.x0, tile.x1, block, dtype=np.float64)
    top = np.arange(tile.y0, tile.y1, block, dtype=np.float64)
    shape = (len(top), len(left), _SAMPLES, _SAMPLES)
    x = np.broadcast_to(left[None, :, None, None] + offset, shape).reshape(-1, _SAMPLES**2)
    y = np.broadcast_to(top[:, None, None, None] + offset[:, None], shape).reshape(-1, _SAMPLES**2)
    return np.ascontiguousarray(x), np.ascontiguousarray(y)


def _sampled(frame: ShownFrame, to_frame: SkyMap, x: F64, y: F64) -> F32:
    """Return a frame at places of the canvas, float32 (n_channels, n_blocks, n_samples); NaN where it is not known."""
    fx, fy = to_frame(x, y)
    width, height = frame.grid.width, frame.grid.height
    with np.errstate(invalid="ignore"):
        inside: Mask = (fx >= _RIM_PX) & (fx <= width - 1 - _RIM_PX) & (fy >= _RIM_PX) & (fy <= height - 1 - _RIM_PX)
    values = np.full((frame.source.n_channels, *x.shape), np.nan, dtype=np.float32)
    if not inside.any():
        return values
    fx, fy = fx[inside], fy[inside]
    left, top = np.floor(fx).astype(np.int64), np.floor(fy).astype(np.int64)
    box = Box(int(left.min()), int(top.min()), int(left.max()) + 2, int(top.max()) + 2)
    tile = frame.source.read(box)
    at_x, at_y = (fx - left).astype(np.float32), (fy - top).astype(np.float32)
    first = (top - box.y0) * box.width + (left - box.x0)
    for channel, plane in enumerate(tile.pixels):
        flat = np.where(tile.mask, plane, np.float32(np.nan)).ravel()
        above = flat[first] * (1 - at_x) + flat[first + 1] * at_x
        below = flat[first + box.width] * (1 - at_x) + flat[first + box.width + 1] * at_x
        values[channel, inside] = above * (1 - at_y) + below * at_y
    return values


def _levels_of(values: Sequence[F64]) -> tuple[I64, I64, F64]:
    """
    Return the levels of the blocks that two frames show at least, as (number in `values`, block, level (n, channels)).

    `values` holds scaled samples (n_channels, n_blocks, n_samples) of each frame.
    """
    n_channels, n_blocks, n_samples = values[0].shape
    least = int(_KNOWN_SHARE * n_samples)
    known = np.array([np.all(np.isfinite(one), axis=0).sum(axis=1) >= least for one in values])
    known[:, known.sum(axis=0) < 2] = False
    size = known.sum(axis=0)
    total = np.zeros((n_blocks, n_channels))
    offset = np.zeros((len(values), n_blocks, n_channels))
    for k, one in enumerate(values):
        own = np.flatnonzero(known[k])
        if not len(own):
            continue
        total[own] += _medians(one[:, own])
        for other in range(k + 1, len(values)):
            both = np.flatnonzero(known[k] & known[other])
            if len(both):
                apart = _medians(one[:, both] - values[other][:, both])
                offset[k, both] += apart
                offset[other, both] -= apart
    number, place = np.nonzero(known)
    level = (total[place] + offset[number, place]) / size[place, None]
    return number.astype(np.int64), place.astype(np.int64), level


def _medians(samples: F64) -> F64:
    """Return the medians of the finite samples, float64 (n_blocks, n_channels)."""
    n_channels, n_blocks, n_samples = samples.shape
    middle = np.empty(n_channels * n_blocks)
    row_medians(np.ascontiguousarray(samples, dtype=np.float64).reshape(-1, n_samples), 1, middle)
    return middle.reshape(n_channels, n_blocks).T


def _lattice(
    frames: list[I64], points: list[I64], levels: list[F64], block: int, across: int, covered: I64, scale: F64
) -> Lattice:
    """Return the blocks of all tiles as one lattice."""
    none = np.zeros(0, dtype=np.int64)
    frame, point = np.concatenate([none, *frames]), np.concatenate([none, *points])
    level = np.concatenate([np.zeros((0, scale.shape[1])), *levels]) / scale[frame]
    order = np.lexsort((frame, point))
    places, compact = np.unique(point[order], return_inverse=True)
    x, y = (block * np.stack([point[order] % across, point[order] // across]) + (block - 1) / 2.0).astype(np.float64)
    return Lattice(
        float(block), frame[order], compact.astype(np.int64), x, y, level[order], len(scale), len(places), covered
    )
