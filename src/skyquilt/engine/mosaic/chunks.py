"""One chunk of the canvas: which frames touch it, and their integration in pieces that fit the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from skyquilt.core import F32, I64, Box, CanvasTile, SampleSource
from skyquilt.engine.integration import cube_scratch, integrate_settings
from skyquilt.engine.kept_calibrations import read_calibration
from skyquilt.engine.mosaic.job import BAND_HALO_PX, MosaicJob, TileFrame, frame_terms_of
from skyquilt.engine.sampling import Guarded, sample_variances
from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits import frame_source
from skyquilt.steps import integrate, mosaic, resample

__all__ = ["FrameGoneError", "forget_samplers", "integrate_chunk", "sampler_for"]

_BAND_SIGMA_PX = 16.0
_BAND_REACH = BAND_HALO_PX / _BAND_SIGMA_PX
_FEW_FRAMES = 4
_SAMPLERS_KEPT = 256  # about a kB each, beside their stars
_WIDE_SHARE = 0.25  # of a frame's shorter side
_VARIANCE_BITS = 8  # of the mantissa: to 0.2 %, where no variance is known better than to some per cent


class FrameGoneError(Exception):
    """A frame that could be read before cannot be read any more; carries its number and the reason."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(index, reason)
        self.index = index
        self.reason = reason


def _tell_gone(index: int) -> Callable[[UnreadableFrame], None]:
    def lost(error: UnreadableFrame) -> None:
        raise FrameGoneError(index, error.message) from error

    return lost


def sampler_for(job: MosaicJob, folder: Path, frame: TileFrame, feather_px: float) -> resample.CanvasSampler:
    """Return the samples of a frame on the canvas; `folder` holds the arrays that calibrate it."""
    sampling = job.sampling(frame)
    return resample.CanvasSampler(
        frame_source(frame.file),
        cfa=sampling.cfa,
        calibration=read_calibration(folder, frame.calibration),
        to_frame=mosaic.SkyMap(job.grid.wcs, frame.grid),
        method=sampling.method if sampling.cfa else resample.DEFAULT_METHOD,
        kernel=sampling.kernel,
        window_px=sampling.window_px,
        star_colour=sampling.star_colour,
        normalisation=frame.normalisation,
        saturation_adu=frame.saturation_adu,
        saturated_stars=frame.shielded,
        feather_px=feather_px,
        radial_feather=job.recipe.radial_feather,
        trails=frame.trail_bands,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which samples are asked for: two that are equal give the same ones."""

    canvas: str
    digest: str
    file: tuple[str, int]
    feather_px: float
    folder: Path
    job: MosaicJob = field(compare=False)
    frame: TileFrame = field(compare=False)


@lru_cache(maxsize=_SAMPLERS_KEPT)
def _kept_sampler(asked: _Asked) -> resample.CanvasSampler:
    """Return the samples of a frame; neighbouring chunks share them, and the nodes of the map that they keep."""
    return sampler_for(asked.job, asked.folder, asked.frame, asked.feather_px)


def _sampler(job: MosaicJob, folder: Path, k: int, feather_px: float) -> resample.CanvasSampler:
    frame = job.frames[k]
    return _kept_sampler(_Asked(job.key, frame.digest, (frame.path, frame.mtime_ns), feather_px, folder, job, frame))


def forget_samplers() -> None:
    """Let go of the samplers that the chunks shared, when the last chunk is done."""
    _kept_sampler.cache_clear()


def integrate_chunk(job: MosaicJob, folder: Path, box: Box) -> tuple[CanvasTile, I64]:
    """
    Return a chunk, exact over all samples of all frames that land on it, and what each of them gave.

    The frames that touch the chunk are heard everywhere in it, whatever the size of the pieces, so that the pieces
    change no bit.

    Returns
    -------
    tile : CanvasTile
    counts : int64 (n_deciding, 3)
        Of each frame of `MosaicJob.deciding`: its samples that landed, that were rejected low, high. Not by number: the
        chunk outlives jobs in which its frames have others.

    Raises
    ------
    FrameGoneError
        If a frame cannot be read any more.
    """
    if job.recipe.blend == "multiband":
        tile, counts = _in_two_bands(job, folder, box)
    else:
        tile, counts = _integrated(job, folder, box, job.deciding(box), job.recipe.feather_px, box)
    for plane in (tile.value, tile.variance):
        plane[np.isnan(plane)] = np.nan  # a kernel's NaN has another sign than that of a piece which no frame touches
    _round(tile.variance)
    return tile, counts


def _round(variance: F32) -> None:
    """Round a plane in place to `_VARIANCE_BITS`, to even: what is left packs to half the size."""
    dropped = np.finfo(np.float32).nmant - _VARIANCE_BITS
    bits = variance.view(np.uint32)
    bits += np.uint32((1 << (dropped - 1)) - 1) + ((bits >> np.uint32(dropped)) & np.uint32(1))
    bits &= np.uint32((0xFFFFFFFF << dropped) & 0xFFFFFFFF)


def _in_two_bands(job: MosaicJob, folder: Path, box: Box) -> tuple[CanvasTile, I64]:
    """
    Return a chunk in which frames fade into each other over a narrow zone in small structures, a wide one in large.

    Definition: narrow + G (wide - narrow), where narrow and wide are the chunk with two widths of the fading and G is a
    Gaussian of `_BAND_SIGMA_PX` px, normalised over the known pixels: two bands of Burt & Adelson 1983, ACM
    Transactions on Graphics 2, 217.
    """
    outer = box.grow(BAND_HALO_PX).intersect(job.box)
    touching = job.deciding(box)
    narrow, counts = _integrated(job, folder, outer, touching, job.recipe.feather_px, box)
    sides = [min(job.frames[k].width, job.frames[k].height) for k in touching]
    wide_px = max(4.0 * job.recipe.feather_px, _WIDE_SHARE * min(sides, default=0))
    wide, _ = _integrated(job, folder, outer, touching, wide_px, box)
    value = narrow.value + _smoothed(wide.value - narrow.value)
    rows, columns = box.slices(outer)
    return CanvasTile(
        box,
        np.ascontiguousarray(value[:, rows, columns]),
        np.ascontiguousarray(narrow.variance[:, rows, columns]),
        np.ascontiguousarray(narrow.coverage[rows, columns]),
        np.ascontiguousarray(narrow.rejected_low[:, rows, columns]),
        np.ascontiguousarray(narrow.rejected_high[:, rows, columns]),
    ), counts


def _smoothed(difference: F32) -> F32:
    """Return a plane smoothed over its known pixels; 0 where there is none."""
    from scipy.ndimage import gaussian_filter

    known = np.isfinite(difference)
    part = {"sigma": (0.0, _BAND_SIGMA_PX, _BAND_SIGMA_PX), "mode": "constant", "truncate": _BAND_REACH}
    total = gaussian_filter(np.where(known, difference, 0.0).astype(np.float64), **part)
    weight = gaussian_filter(known.astype(np.float64), **part)
    smooth: F32 = np.where(weight > 0, total / np.maximum(weight, 1e-12), 0.0).astype(np.float32)
    return smooth


def _integrated(
    job: MosaicJob, folder: Path, box: Box, touching: list[int], feather_px: float, counted: Box
) -> tuple[CanvasTile, I64]:
    """Return a box of the canvas and what each frame gave to the part of it that is counted."""
    shape = (job.n_channels, *box.shape)
    chunk, counts = _empty(box, shape), np.zeros((len(touching), 3), dtype=np.int64)
    if not touching:
        return chunk, counts
    samplers = [Guarded(_sampler(job, folder, k, feather_px), _tell_gone(k)) for k in touching]
    terms = frame_terms_of([job.frames[k] for k in touching])
    settings = integrate_settings(job.recipe)
    smoothing = _smoothing(job, job.frames[touching[0]])
    number = {frame: k for k, frame in enumerate(touching)}
    for piece in _pieces(box, counted, job.sub_tile):
        # whom a piece asks changes no bit; where they are few, asking all is cheaper than finding out
        is_few = len(touching) <= _FEW_FRAMES
        landing = list(range(len(touching))) if is_few else [number[frame] for frame in job.touching(piece)]
        if landing:
            tile = _integrate(job, samplers, piece, terms, settings, landing)
            _paste(chunk, tile, smoothing)
            if counted.contains(piece):
                counts[:, 0] += tile.frame_samples
                counts[:, 1:] += tile.frame_rejected
    return chunk, counts


def _pieces(box: Box, inner: Box, size: tuple[int, int]) -> Iterator[Box]:
    """Yield the pieces of an inner box, then those of the rim around it."""
    yield from inner.tiles(*size)
    for part in (
        Box(box.x0, box.y0, box.x1, inner.y0),
        Box(box.x0, inner.y1, box.x1, box.y1),
        Box(box.x0, inner.y0, inner.x0, inner.y1),
        Box(inner.x1, inner.y0, box.x1, inner.y1),
    ):
        if not part.is_empty:
            yield from part.tiles(*size)


def _integrate(
    job: MosaicJob,
    samplers: Sequence[SampleSource],
    piece: Box,
    terms: integrate.FrameTerms,
    settings: integrate.IntegrateSettings,
    landing: Sequence[int],
) -> integrate.IntegratedTile:
    if job.schedule == "cube":
        return integrate.integrate_cube(samplers, piece, terms, settings, cube_scratch(), landing)
    return integrate.integrate_sweep(samplers, piece, terms, settings)


def _empty(box: Box, shape: tuple[int, int, int]) -> CanvasTile:
    return CanvasTile(
        box,
        np.full(shape, np.nan, np.float32),
        np.full(shape, np.nan, np.float32),
        np.zeros(shape[1:], np.float32),
        np.zeros(shape, np.uint16),
        np.zeros(shape, np.uint16),
    )


def _paste(chunk: CanvasTile, tile: integrate.IntegratedTile, smoothing: F32) -> None:
    """Put an integrated piece into its chunk."""
    rows, columns = tile.box.slices(chunk.box)
    chunk.value[:, rows, columns] = tile.value
    # the noise model speaks of raw pixels, the scatter of many samples of the samples themselves
    few = tile.n_used < integrate.FEW_SAMPLES
    chunk.variance[:, rows, columns] = np.where(few, tile.variance * smoothing, tile.variance)
    chunk.coverage[rows, columns] = tile.coverage
    chunk.rejected_low[:, rows, columns] = tile.rejected_low
    chunk.rejected_high[:, rows, columns] = tile.rejected_high


def _smoothing(job: MosaicJob, frame: TileFrame) -> F32:
    """Return the variance of a sample over that of a raw pixel, float32 (n_channels, 1, 1)."""
    shares = sample_variances(job.sampling(frame), frame.n_planes)
    return np.asarray(shares, dtype=np.float32)[:, None, None]
