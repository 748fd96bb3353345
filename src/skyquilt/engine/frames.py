"""Whole calibrated frames, for the looks that need all pixels at once."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, I64, Calibration, Cfa
from skyquilt.engine.light import Light
from skyquilt.io.fits import frame_source
from skyquilt.kernels.calibrate import NO_DARK, NO_DEFECTS, NO_FLAT
from skyquilt.kernels.look import look_at_frame
from skyquilt.steps import stars, trails

__all__ = ["BINNING", "CalibratedFrame", "binned_plane", "calibrated_frame"]

BINNING = 4
"""Side of the cells, px, on which satellite trails are looked for."""

_NO_PLACES: I64 = np.zeros(0, dtype=np.int64)


class _Memory(threading.local):
    """What a thread uses again from frame to frame."""

    pixels: F32 = np.zeros((0, 0, 0), dtype=np.float32)
    half: F32 = np.zeros((0, 0), dtype=np.float32)
    calibration: Calibration | None = None
    places: I64 = _NO_PLACES

    def places_of(self, calibration: Calibration) -> I64:
        """Return the flat indices of the defects; they are looked for once."""
        if self.calibration is not calibration:
            self.calibration = calibration
            self.places = _NO_PLACES if calibration.defects is None else np.flatnonzero(calibration.defects)
        return self.places


_memory = _Memory()


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedFrame:
    """
    All pixels of a light.

    Attributes
    ----------
    pixels : float32 (channel, y, x), ADU
        Memory of the calling thread that its next call uses again; NaN where there is no number.
    usable : float, 0..1
        Share of the pixels that are numbers.
    halved : Halved or None
        At half the resolution, in memory as `pixels`; None for a frame of three planes.
    """

    pixels: F32
    usable: float
    halved: stars.Halved | None


def calibrated_frame(light: Light, cfa: Cfa | None) -> CalibratedFrame:
    """
    Return the calibrated pixels of a light.

    Raises
    ------
    UnreadableFrame
    """
    source = frame_source(light.file)
    shape = (source.n_channels, *source.bounds.shape)
    if _memory.pixels.shape != shape:
        _memory.pixels = np.empty(shape, dtype=np.float32)
        _memory.half = np.empty((shape[1] // 2, shape[2] // 2), dtype=np.float32)
    pixels = _memory.pixels
    usable = 1.0
    if not source.read_into(source.bounds, pixels):
        tile = source.read(source.bounds)
        pixels[:] = tile.pixels
        pixels[:, ~tile.mask] = np.nan
        usable = float(np.mean(tile.mask))
    if source.n_channels > 1:
        return CalibratedFrame(pixels, usable, None)
    calibration = light.calibration
    n_saturated = look_at_frame(
        pixels[0],
        NO_DARK if calibration.dark is None else calibration.dark,
        NO_FLAT if calibration.inverse_flat is None else calibration.inverse_flat,
        NO_DEFECTS if calibration.defects is None else calibration.defects,
        _memory.places_of(calibration),
        1 if cfa is None else 2,
        stars.halved_sites(cfa),
        stars.saturation_limit(light.file.meta.saturation_adu),
        _memory.half,
    )
    return CalibratedFrame(pixels, usable, stars.Halved(_memory.half, n_saturated))


def binned_plane(frame: CalibratedFrame) -> F32 | None:
    """Return the plane on which trails are looked for; None of a frame of three planes."""
    return None if frame.halved is None else trails.bin_plane(frame.halved.pixels, BINNING)
