"""What a viewer asks of an image: histogram, stretch, exact values, tiles of half floats, a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, I64, U8, Box
from skyquilt.engine.images.image import OpenImage
from skyquilt.engine.images.screen import ScreenLook, make_look
from skyquilt.engine.viewing import half_floats, tile_box
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.io.tiled import reduce_to
from skyquilt.steps import finish
from skyquilt.steps.finish import Stretch

__all__ = [
    "EncodedTile",
    "Probe",
    "auto_stretch",
    "encode_tile",
    "histogram",
    "picture_of",
    "probe",
]

_SAMPLED_PIXELS = 400_000
_MOST_BINS = 65536


@dataclass(frozen=True, slots=True, eq=False)
class EncodedTile:
    """
    A tile for the graphics card: value = offset + scale * half, by channel (`engine.viewing.half_floats`).

    Attributes
    ----------
    halves : float16 (channel, y, x)
        NaN where nothing is known.
    offset, scale : tuple of float
    """

    halves: np.ndarray[tuple[int, ...], np.dtype[np.float16]]
    offset: tuple[float, ...]
    scale: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """Exact values of a pixel, None where nothing is known, and its direction (ICRS, degrees), None without one."""

    values: tuple[float | None, ...]
    ra_deg: float | None
    dec_deg: float | None


def histogram(image: OpenImage, channel: int, n_bins: int) -> tuple[I64, float, float]:
    """
    Return the counts of all known pixels in equal bins from the lowest to the highest value, and those two.

    Parameters
    ----------
    channel : int
    n_bins : int, 1 to 65536

    Raises
    ------
    UsageError
        If there is no such channel, or the bins cannot be meant.
    NoUsableInput
        If no pixel is known.
    """
    _check_channel(image, channel)
    if not 1 <= n_bins <= _MOST_BINS:
        raise UsageError(f"a histogram of {n_bins} bins cannot be made", f"ask for 1 to {_MOST_BINS}")
    low, high = _range(image, channel)
    counts = np.zeros(n_bins, dtype=np.int64)
    factor = n_bins / (high - low) if high > low else 0.0
    for _, rows in image.value_rows():
        values = rows[channel].astype(np.float64)
        values = values[np.isfinite(values)]
        places = np.minimum(((values - low) * factor).astype(np.int64), n_bins - 1)
        counts += np.bincount(places, minlength=n_bins)
    return counts, low, high


def _range(image: OpenImage, channel: int) -> tuple[float, float]:
    """Return the lowest and highest value of a channel; read once an image."""
    if channel not in image.ranges:
        low = np.full(image.shape[0], np.inf)
        high = -low
        for _, rows in image.value_rows():
            known = np.isfinite(rows)
            low = np.minimum(low, np.where(known, rows, np.inf).min(axis=(1, 2)))
            high = np.maximum(high, np.where(known, rows, -np.inf).max(axis=(1, 2)))
        for k in range(image.shape[0]):
            image.ranges[k] = (float(low[k]), float(high[k]))
    low_k, high_k = image.ranges[channel]
    if low_k > high_k:
        raise NoUsableInput(f"no pixel of channel {channel} of {image.facts.name} has a value", "open another image")
    return low_k, high_k


def _check_channel(image: OpenImage, channel: int) -> None:
    if not 0 <= channel < image.shape[0]:
        raise UsageError(f"there is no channel {channel}", f"the image has the channels 0 to {image.shape[0] - 1}")


def auto_stretch(image: OpenImage, *, linked: bool = True) -> Stretch:
    """
    Return the stretch that shows the sky at a quarter of the range (`steps.finish.auto_stretch`), in the image's unit.

    Raises
    ------
    NoUsableInput
        If no pixel is known.
    """
    values = _sampled(image)
    if not np.isfinite(values).any():
        raise NoUsableInput(f"no pixel of {image.facts.name} has a value", "open another image")
    empty = ~np.isfinite(values).any(axis=(1, 2))
    values[empty] = 0.0  # a channel without any value is black, whatever the curve
    return finish.auto_stretch(values, linked=linked)


def _sampled(image: OpenImage) -> F32:
    """Return every k-th row and column of an image, at most about 400 000 pixels."""
    step = max(1, int(np.ceil(np.sqrt(image.bounds.n_pixels / _SAMPLED_PIXELS))))
    parts = [rows[:, -y0 % step :: step, ::step].copy() for y0, rows in image.value_rows()]
    return np.ascontiguousarray(np.concatenate(parts, axis=1))


def linear_look(image: OpenImage) -> ScreenLook:
    """Return the straight line from the lowest to the highest value of all channels."""
    ranges = []
    for channel in range(image.shape[0]):
        try:
            ranges.append(_range(image, channel))
        except NoUsableInput:
            continue
    low = min((one[0] for one in ranges), default=0.0)
    high = max((one[1] for one in ranges), default=1.0)
    return make_look(image.shape[0], (low, high if high > low else low + 1.0), midtones=0.5)


def picture_of(image: OpenImage, look: ScreenLook | None, longest_px: int | None = None) -> U8:
    """
    Return an image as a picture, uint8 (y, x, channel), reduced until its longest side is `longest_px`.

    Raises
    ------
    NotEnoughMemory
        If the picture is larger than the memory for images.
    """
    values = reduce_to(image, longest_px or max(image.shape[1:]))
    return np.asarray((look or linear_look(image)).picture(values), dtype=np.uint8)


def probe(image: OpenImage, x: int, y: int) -> Probe:
    """
    Return what is at a pixel of the full size.

    Raises
    ------
    UsageError
        If the pixel is not in the image.
    """
    _, height, width = image.shape
    if not (0 <= x < width and 0 <= y < height):
        raise UsageError(f"({x}, {y}) is not in the image of {width} x {height} px", "pixels are counted from 0")
    values = image.values(Box(x, y, x + 1, y + 1))[:, 0, 0]
    known = tuple(float(value) if np.isfinite(value) else None for value in values)
    if image.facts.wcs is None:
        return Probe(known, None, None)
    ra, dec = (float(one) for one in image.facts.wcs.to_sky(float(x), float(y)))
    return Probe(known, ra, dec) if np.isfinite(ra + dec) else Probe(known, None, None)


def encode_tile(image: OpenImage, level: int, column: int, row: int, *, rough: bool = False) -> EncodedTile:
    """
    Return a tile of a level for the viewer: 512 px and a gutter of 1 px, less at the right and bottom edges.

    Parameters
    ----------
    level : int
        0 is the full size.
    column, row : int
        Of the tile.
    rough : bool
        Pixels from the middles of the cells in place of means: at once, however large a file is that was not read yet.

    Raises
    ------
    UsageError
        If there is no such level or tile.
    """
    image.check_level(level)
    box = tile_box(image.level_shape(level), column, row)
    if box is None:
        raise UsageError(
            f"level {level} has no tile in column {column}, row {row}", "count from the upper left, from 0"
        )
    return EncodedTile(*half_floats((image.rough_values if rough else image.level_values)(level, box)))
