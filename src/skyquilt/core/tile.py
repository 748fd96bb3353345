"""Pixels that know which box they cover, which of them may be used, and where more come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from skyquilt.core.arrays import F32, U8, U16, Mask
from skyquilt.core.box import Box

__all__ = ["CanvasTile", "PixelSource", "SampleSource", "Tile"]


@dataclass(frozen=True, slots=True, eq=False)
class Tile:
    """
    A piece of an image.

    Attributes
    ----------
    pixels : float32 (channel, y, x), ADU unless said otherwise
    mask : bool (y, x)
        True where the pixel may be used. Coverage is never implied by zero or NaN.
    box : Box
        What the tile covers, in the pixel coordinates of its source.
    """

    pixels: F32
    mask: Mask
    box: Box


@dataclass(frozen=True, slots=True, eq=False)
class CanvasTile:
    """
    What is kept of one integrated tile.

    Attributes
    ----------
    value, variance : float32 (channel, y, x)
    coverage : float32 (y, x), seconds
    rejected_low, rejected_high : uint16 (channel, y, x)
    """

    box: Box
    value: F32
    variance: F32
    coverage: F32
    rejected_low: U16
    rejected_high: U16


class PixelSource(Protocol):
    """
    Something that can be asked for any box of itself: a file, a calibrated file, a debayered or a warped one.

    Law: a crop of a read is a read of the crop. Reading outside of `bounds` gives masked pixels of value 0.
    """

    @property
    def n_channels(self) -> int: ...

    @property
    def bounds(self) -> Box: ...

    def read(self, box: Box) -> Tile: ...


class SampleSource(Protocol):
    """
    One frame made ready for the canvas: calibrated, debayered, resampled, normalised samples for any canvas box.

    `weight_channels` is 1 where all channels share one weight, or `n_channels` where each has its own (CFA sampling).
    """

    @property
    def n_channels(self) -> int: ...

    @property
    def weight_channels(self) -> int: ...

    def sample(self, box: Box, values: F32, weights: U8) -> None:
        """
        Fill the samples of one canvas box.

        Parameters
        ----------
        box : Box
            In canvas (reference frame) pixels.
        values : float32 (n_channels, box.height, box.width), normalised ADU
            Written in place. The value is unspecified (but finite) where the weight is 0.
        weights : uint8 (weight_channels, box.height, box.width)
            Written in place. 0: no sample here (outside the frame, masked). 1: a stopgap (repaired defect, saturated),
            used only where no frame has a proper sample. 2 to 255: a proper sample; 255 is full, less is feathered or
            partly covered.
        """
        ...
