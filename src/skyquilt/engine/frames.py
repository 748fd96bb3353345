"""Whole calibrated frames, for the looks that need all pixels at once."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, Calibration, Cfa
from skyquilt.engine.light import Light
from skyquilt.io.fits import frame_source
from skyquilt.kernels.calibrate import NO_DARK, NO_DEFECTS, NO_FLAT
from skyquilt.kernels.look import look_at_frame
from skyquilt.steps import stars, trails

__all__ = ["BINNING", "CalibratedFrame", "binned_plane", "calibrated_frame", "look_at"]

BINNING = 4
"""Side of the cells, px, on which satellite trails are looked for."""


class _Memory(threading.local):
    """What a thread uses again from frame to frame."""

    pixels: F32 = np.zeros((0, 0, 0), dtype=np.float32)
    half: F32 = np.zeros((0, 0), dtype=np.float32)


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
    halved = look_at(pixels[0], light.calibration, cfa, light.saturation_adu, _memory.half)
    return CalibratedFrame(pixels, usable, halved)


def look_at(pixels: F32, calibration: Calibration, cfa: Cfa | None, saturation_adu: float, half: F32) -> stars.Halved:
    """
    Calibrate the pixels of a frame in place, the same as `calibrate.Calibrated` gives, and return it halved.

    Parameters
    ----------
    pixels : float32 (y, x), ADU
        Raw frame. A defect without any good neighbour keeps its value.
    calibration : Calibration
        Arrays of the size of the frame.
    cfa : Cfa or None
    saturation_adu : float
    half : float32 (y // 2, x // 2)
        The memory of what is returned.
    """
    n_saturated = look_at_frame(
        pixels,
        NO_DARK if calibration.dark is None else calibration.dark,
        NO_FLAT if calibration.inverse_flat is None else calibration.inverse_flat,
        NO_DEFECTS if calibration.defects is None else calibration.defects,
        calibration.defect_rows,
        1 if cfa is None else 2,
        stars.halved_sites(cfa),
        stars.saturation_limit(saturation_adu),
        half,
    )
    return stars.Halved(half, n_saturated)


def binned_plane(frame: CalibratedFrame) -> F32 | None:
    """Return the plane on which trails are looked for; None of a frame of three planes."""
    return None if frame.halved is None else trails.bin_plane(frame.halved.pixels, BINNING)
