"""Whole calibrated frames, for the looks that need all pixels at once."""

from __future__ import annotations

import threading

import numpy as np

from skyquilt.core import F32, Cfa
from skyquilt.engine.light import Light
from skyquilt.io.fits import frame_source
from skyquilt.steps import calibrate, trails

__all__ = ["BINNING", "binned_plane", "calibrated_frame"]

BINNING = 4
"""Side of the cells, px, on which satellite trails are looked for."""

_memory = threading.local()


def calibrated_frame(light: Light, cfa: Cfa | None) -> tuple[F32, float]:
    """
    Return the calibrated pixels of a light and the share of them that are numbers.

    Returns
    -------
    pixels : float32 (channel, y, x), ADU
        Memory of the calling thread that its next call uses again; NaN where there is no number.
    usable : float, 0..1

    Raises
    ------
    UnreadableFrame
    """
    source = frame_source(light.file)
    shape = (source.n_channels, *source.bounds.shape)
    pixels: F32 | None = getattr(_memory, "pixels", None)
    if pixels is None or pixels.shape != shape:
        pixels = _memory.pixels = np.empty(shape, dtype=np.float32)
    usable = 1.0
    if not source.read_into(source.bounds, pixels):
        tile = source.read(source.bounds)
        pixels[:] = tile.pixels
        pixels[:, ~tile.mask] = np.nan
        usable = float(np.mean(tile.mask))
    if source.n_channels == 1:
        calibrate.calibrate_frame(pixels[0], light.calibration, cfa)
    return pixels, usable


def binned_plane(pixels: F32, cfa: Cfa | None) -> F32:
    """Return the plane on which trails are looked for, of a calibrated frame."""
    return trails.bin_plane(pixels[0], cfa, BINNING)
