"""The overlaps of pointings told by the pixels of some of their frames, for the fit of all skies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from skyquilt.core import F64, I64, SkyGrid
from skyquilt.engine.light import Light
from skyquilt.engine.sampling import Guarded
from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits import frame_source
from skyquilt.steps import mosaic, resample

__all__ = ["pixel_overlaps"]

_SAMPLES, _SAMPLES_OF_PANELS = 8, 16


def _ignored(_error: UnreadableFrame) -> None:
    """Let a frame show nothing: the integration finds out that it is lost, and says so."""


def pixel_overlaps(
    lights: Sequence[Light], grids: Sequence[SkyGrid], canvas: SkyGrid, pointing: I64, skies: Sequence[mosaic.FrameSky]
) -> Callable[[F64], mosaic.Lattice] | None:
    """
    Return what compares frames for `solve_photometry`; None of one pointing, or of colours mixed with mono.

    Frames of one pointing are compared by their own skies, pointings by the pixels of `compared_frames` where they
    overlap. Those overlaps are a few cells of the frames' own skies wide, at the rim, where these are told worst.
    """
    chosen = mosaic.compared_frames(pointing)
    n_channels = {_n_channels(light) for light in lights} | {len(one.level) for one in skies}
    if not len(chosen) or len(n_channels) > 1:
        return None
    is_alone = len(chosen) == len(set(pointing.tolist()))
    is_stacked = is_alone and all(light.file.meta.cfa is None for light in lights)
    looked = mosaic.block_canvas(grids, canvas, _SAMPLES_OF_PANELS if is_stacked else _SAMPLES)

    def show(scale: F64) -> mosaic.Lattice:
        frames = {int(k): Guarded(_sampler(lights[k], grids[k], looked.grid), _ignored) for k in chosen}
        coarse = mosaic.make_lattice(skies)
        blocks = mosaic.shared_blocks(frames, grids, looked, scale, pointing)
        return blocks.joined(coarse, pointing)

    return show


def _n_channels(light: Light) -> int:
    meta = light.file.meta
    return 3 if meta.cfa is not None else meta.n_planes


def _sampler(light: Light, grid: SkyGrid, canvas: SkyGrid) -> resample.CanvasSampler:
    """Return the calibrated pixels of a frame on a canvas, each colour from its own sites, not normalised."""
    return resample.CanvasSampler(
        frame_source(light.file),
        cfa=light.file.meta.cfa,
        calibration=light.calibration,
        to_frame=mosaic.SkyMap(canvas.wcs, grid),
        method="superpixel",
        kernel="bilinear",
        saturation_adu=inf,  # a few pixels more or less on bright stars do not move a median; left out, they might
        feather_px=mosaic.BLOCK_FEATHER_PX,
    )
