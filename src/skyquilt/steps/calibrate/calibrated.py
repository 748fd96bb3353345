"""A frame with the camera taken out, box by box: the readable definition of calibration."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, Box, Calibration, Cfa, Mask, PixelSource, Tile
from skyquilt.kernels.calibrate import calibrate_box, repair_defects

__all__ = ["Calibrated", "negative_share", "warn_of_negatives"]

MOST_NEGATIVES = 0.2
_ABSENT = np.zeros((0, 0), dtype=np.float32)


class Calibrated:
    """
    A `PixelSource` of calibrated pixels: (raw - dark) * inverse_flat, defects replaced from their neighbours.

    Parameters
    ----------
    source : PixelSource
        Raw frame of one channel, ADU.
    calibration : Calibration
        Arrays of the size of the frame.
    cfa : Cfa or None
        Neighbours of a defect are taken at distance 2 on a CFA (same colour), 1 on a mono frame.

    Raises
    ------
    ValueError
        If the frame has several channels, or an array of the calibration another size.

    Notes
    -----
    A defect becomes the median of its up to 8 nearest good neighbours of the same colour, or of those twice as far
    where there is none; where there is none at all the pixel is masked. `stopgaps` tells which pixels are replacements:
    they may be looked at, but are no measurements. Every read takes a margin of 4 px (mono 2), so that a crop of a read
    is a read of the crop.
    """

    def __init__(self, source: PixelSource, calibration: Calibration, cfa: Cfa | None) -> None:
        if source.n_channels != 1:
            raise ValueError(f"only raw frames of one channel can be calibrated, this one has {source.n_channels}")
        expected = source.bounds.shape
        for name in ("dark", "inverse_flat", "defects"):
            array = getattr(calibration, name)
            if array is not None and array.shape != expected:
                raise ValueError(f"{name} of the calibration is {array.shape}, the frame is {expected}")
        self._source = source
        self._calibration = calibration
        self._step = 1 if cfa is None else 2

    @property
    def n_channels(self) -> int:
        return 1

    @property
    def bounds(self) -> Box:
        return self._source.bounds

    def stopgaps(self, box: Box) -> Mask:
        """Return where the pixels of a box are replacements of defects, bool (y, x)."""
        stopgaps = np.zeros(box.shape, dtype=np.bool_)
        inside = box.intersect(self.bounds)
        if self._calibration.defects is not None and not inside.is_empty:
            stopgaps[inside.slices(box)] = self._calibration.defects[inside.slices(self.bounds)]
        return stopgaps

    def read(self, box: Box) -> Tile:
        """Return the calibrated pixels of a box; outside of the frame they are masked zeros."""
        pixels = np.zeros((1, *box.shape), dtype=np.float32)
        mask = np.zeros(box.shape, dtype=np.bool_)
        inside = box.intersect(self.bounds)
        if not inside.is_empty:
            wide = inside.grow(2 * self._step).intersect(self.bounds)
            values, usable = self._calibrate(wide)
            rows, columns = inside.slices(wide)
            pixels[0][inside.slices(box)] = values[rows, columns]
            mask[inside.slices(box)] = usable[rows, columns]
        return Tile(pixels, mask, box)

    def _calibrate(self, box: Box) -> tuple[F32, Mask]:
        """Pixels and mask of a box inside of the frame; right only where the margin around a defect is in the box."""
        tile = self._source.read(box)
        calibration = self._calibration
        values = np.empty(box.shape, dtype=np.float32)
        dark = _ABSENT if calibration.dark is None else calibration.dark
        inverse_flat = _ABSENT if calibration.inverse_flat is None else calibration.inverse_flat
        x0, y0 = box.x0 - self.bounds.x0, box.y0 - self.bounds.y0
        calibrate_box(tile.pixels[0], dark, inverse_flat, x0, y0, values)
        usable = tile.mask
        if calibration.defects is not None:
            defects = calibration.defects[box.slices(self.bounds)]
            unusable = defects | ~tile.mask
            if repair_defects(values, unusable, self._step):
                usable = usable & ~_without_neighbours(unusable, self._step)
        values[~usable] = 0.0
        return values, usable


def _without_neighbours(defects: Mask, step: int) -> Mask:
    """Return the defects that have no good pixel at `step` and at `2 * step`, bool (y, x)."""
    height, width = defects.shape
    lonely = defects.copy()
    for reach in (step, 2 * step):
        good = np.pad(~defects, reach)
        for dy in (0, reach, 2 * reach):
            for dx in (0, reach, 2 * reach):
                lonely &= ~good[dy : dy + height, dx : dx + width]
    return lonely


def negative_share(pixels: F32) -> float:
    """Return the share of the pixels below zero, 0..1."""
    return float(np.count_nonzero(pixels < 0.0)) / max(1, pixels.size)


def warn_of_negatives(share: float) -> str:
    """Return a sentence if so many pixels became negative that the dark cannot be right, else ""."""
    if share <= MOST_NEGATIVES:
        return ""
    return (
        f"{share:.0%} of the pixels are negative after the dark was subtracted (more than {MOST_NEGATIVES:.0%}): "
        "the dark is too bright for these lights; check its gain, exposure and temperature, "
        "or whether the camera has subtracted a dark already"
    )
