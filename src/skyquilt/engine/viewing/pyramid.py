"""An image at full, half, a quarter ... of its size, of which any box can be asked at once, however large it is."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F32, Box
from skyquilt.engine.viewing.figures import ChannelFigures, ChannelHistogram, HistogramSums, describe
from skyquilt.engine.viewing.tiles import TILE_PX
from skyquilt.io.atomic import blocked
from skyquilt.io.tiled import reduce_half

__all__ = ["Pyramid", "ViewedPixels"]

_SMALL_PX = 4096
"""Up to this side level 2 is made from the file when it is asked for (2056 x 2056 px a tile), beyond level 1 alone."""

_BAND_BYTES = 16_000_000
_SAMPLE_PX = 1024
_FACTS = "levels.json"
_VERSION = 1


class ViewedPixels(Protocol):
    """What a pyramid stands on: any box of an image."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channel, y, x)."""
        ...

    def values(self, box: Box) -> F32:
        """Return a box that lies within, float32 (channel, y, x); NaN where nothing is known."""
        ...


class Pyramid:
    """
    The levels of an image; level k has half the size of level k - 1, and the last one fits into one tile.

    An exact level is `skyquilt.io.tiled.reduce_half` of the one below. The levels from 2 on (3 for small images) need
    a pass over the whole image (`build`), which keeps them in files, a tenth of the bytes of the image; before it is
    done, a box of them is a first look: the pixel in the middle of each cell.

    Parameters
    ----------
    pixels : ViewedPixels
    folder : Path or None
        Where levels are kept, in a folder named `key`; None: in memory.
    key : str
        Names the content of the image.
    """

    def __init__(self, pixels: ViewedPixels, folder: Path | None, key: str) -> None:
        self._pixels = pixels
        self._first_kept = 3 if max(pixels.shape[1:]) <= _SMALL_PX else 2
        self._home = None if folder is None else folder / key
        self._lock = threading.Lock()
        self._levels: dict[int, NDArray[np.float32]] = {}
        self._histograms: tuple[ChannelHistogram, ...] | None = None
        self._sample = self._rough_whole()
        self.figures: tuple[ChannelFigures, ...] = describe(self._sample)
        """Median, spread and range of every channel, from the sample."""
        self._open_kept()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channel, y, x)."""
        return self._pixels.shape

    @property
    def n_levels(self) -> int:
        """How many there are, the full size included."""
        level = 0
        while max(self.size(level)) > TILE_PX:
            level += 1
        return level + 1

    @property
    def sample(self) -> F32:
        """Every k-th pixel of the image, at most 1024 along a side, float32 (channel, y, x)."""
        return self._sample

    @property
    def rough_from(self) -> int | None:
        """The first level of which only a first look is there; None when all are exact."""
        return None if self.n_levels <= self._first_kept or self._levels else self._first_kept

    @property
    def histograms(self) -> tuple[tuple[ChannelHistogram, ...], bool]:
        """The histogram of every channel, and whether it is of the sample only."""
        if self._histograms is not None:
            return self._histograms, False
        sums = HistogramSums(self.figures)
        sums.add(self._sample)
        return sums.histograms(), self._sample.size != int(np.prod(self.shape))

    def size(self, level: int) -> tuple[int, int]:
        """Return (height, width) of a level."""
        height, width = self.shape[1:]
        return _halved(height, level), _halved(width, level)

    def values(self, level: int, box: Box) -> tuple[F32, bool]:
        """
        Return a box of a level, and whether it is a first look.

        Outside of the level the pixels at its edge stand again.

        Parameters
        ----------
        level : int, 0 to n_levels - 1
        box : Box
            In pixels of the level; touches it.

        Returns
        -------
        values : float32 (channel, y, x)
            NaN where nothing is known.
        is_rough : bool
        """
        height, width = self.size(level)
        inside = box.intersect(Box.of_shape(height, width))
        kept = self._levels.get(level)
        is_rough = False
        if level < self._first_kept:
            values = self._reduced(level, inside)
        elif kept is not None:
            values = np.array(kept[:-1, inside.y0 : inside.y1, inside.x0 : inside.x1])
        else:
            values, is_rough = self._rough(level, inside), True
        around = ((0, 0), (inside.y0 - box.y0, box.y1 - inside.y1), (inside.x0 - box.x0, box.x1 - inside.x1))
        return np.pad(values, around, mode="edge"), is_rough

    def probe(self, x: int, y: int) -> tuple[float | None, ...]:
        """Return the exact values of a pixel of the image, None where nothing is known."""
        values = self._pixels.values(Box(x, y, x + 1, y + 1))[:, 0, 0]
        return tuple(float(value) if np.isfinite(value) else None for value in values)

    def build(self, should_stop: Callable[[], bool]) -> None:
        """
        Make what is not exact yet: a pass over the image, some rows at a time.

        Parameters
        ----------
        should_stop : callable
            Polled between bands; nothing is kept if it says so.

        Raises
        ------
        NotEnoughDisk, OutputBlocked
            If the levels cannot be kept.
        UnreadableFrame
            If the file changes meanwhile.
        """
        with self._lock:
            if self._histograms is not None:
                return
            partial = None if self._home is None else self._home.with_name(f".{self._home.name}.{os.getpid()}.part")
            try:
                if partial is not None:
                    partial.mkdir(parents=True, exist_ok=True)
                if not self._build_in(partial, should_stop):
                    return
                if partial is not None and self._home is not None:
                    shutil.rmtree(self._home, ignore_errors=True)
                    partial.replace(self._home)
            except OSError as error:
                raise blocked(self._home or Path("levels"), error) from error
            finally:
                if partial is not None:
                    shutil.rmtree(partial, ignore_errors=True)

    def _build_in(self, folder: Path | None, should_stop: Callable[[], bool]) -> bool:
        """Make levels and histogram; return whether it came to its end."""
        levels = self._new_levels(folder)
        channels, height, width = self.shape
        step = 1 << self._first_kept
        rows = max(1, _BAND_BYTES // (4 * channels * width * step)) * step
        sums = HistogramSums(self.figures)
        for y0 in range(0, height, rows):
            if should_stop():
                return False
            value = self._pixels.values(Box(0, y0, width, min(height, y0 + rows)))
            sums.add(value)
            if levels:
                _put(
                    levels[self._first_kept],
                    y0 >> self._first_kept,
                    *_reduced_by(value, _known(value), self._first_kept),
                )
        for level in range(self._first_kept + 1, self.n_levels):
            _reduce_file(levels[level - 1], levels[level])
        histograms = sums.histograms()
        if folder is not None and levels:
            for array in levels.values():
                if isinstance(array, np.memmap):
                    array.flush()
            facts = {"version": _VERSION, "histograms": [each.as_json() for each in histograms]}
            (folder / _FACTS).write_text(json.dumps(facts))
        self._histograms = histograms
        self._levels = levels
        return True

    def _new_levels(self, folder: Path | None) -> dict[int, NDArray[np.float32]]:
        """Return an empty array for each level that is kept: its channels, and the known share as the last plane."""
        levels: dict[int, NDArray[np.float32]] = {}
        for level in range(self._first_kept, self.n_levels):
            shape = (self.shape[0] + 1, *self.size(level))
            if folder is None:
                levels[level] = np.empty(shape, dtype=np.float32)
            else:
                path = folder / f"level-{level}.npy"
                levels[level] = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        return levels

    def _open_kept(self) -> None:
        """Take over the levels that an earlier `build` left, if they are whole."""
        if self._home is None:
            return
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            facts = json.loads((self._home / _FACTS).read_text())
            levels: dict[int, NDArray[np.float32]] = {}
            for level in range(self._first_kept, self.n_levels):
                array = np.lib.format.open_memmap(self._home / f"level-{level}.npy", mode="r")
                if array.shape != (self.shape[0] + 1, *self.size(level)) or array.dtype != np.float32:
                    return
                levels[level] = array
            histograms = tuple(ChannelHistogram.from_json(each) for each in facts["histograms"])
            if facts["version"] == _VERSION and len(histograms) == self.shape[0]:
                self._histograms, self._levels = histograms, levels

    def _reduced(self, level: int, box: Box) -> F32:
        """Return a box of a level, made from the full size."""
        height, width = self.shape[1:]
        below = Box(box.x0 << level, box.y0 << level, min(width, box.x1 << level), min(height, box.y1 << level))
        value = self._pixels.values(below)
        return value if level == 0 else _reduced_by(value, _known(value), level)[0]

    def _rough(self, level: int, box: Box) -> F32:
        """Return the pixels in the middle of the cells of a box of a level."""
        height, width = self.shape[1:]
        rows = np.minimum((np.arange(box.y0, box.y1) << level) + (1 << level >> 1), height - 1)
        columns = np.minimum((np.arange(box.x0, box.x1) << level) + (1 << level >> 1), width - 1)
        x0, x1 = int(columns[0]), int(columns[-1]) + 1
        result = np.empty((self.shape[0], len(rows), len(columns)), dtype=np.float32)
        for k, y in enumerate(rows):
            line = self._pixels.values(Box(x0, int(y), x1, int(y) + 1))
            result[:, k] = line[:, 0, columns - x0]
        return result

    def _rough_whole(self) -> F32:
        """Return every 2^k-th pixel of the image, at most 1024 along a side."""
        level = 0
        while max(self.size(level)) > _SAMPLE_PX:
            level += 1
        if level == 0:
            return self._pixels.values(Box.of_shape(*self.shape[1:]))
        return self._rough(level, Box.of_shape(*self.size(level)))


def _halved(length: int, times: int) -> int:
    """Return ceil(length / 2^times)."""
    return -(-length // (1 << times))


def _known(value: F32) -> F32:
    """Return 1 where any channel is known, else 0; float32 (y, x)."""
    return np.asarray(np.isfinite(value).any(axis=0), dtype=np.float32)


def _reduced_by(value: F32, coverage: F32, times: int) -> tuple[F32, F32]:
    for _ in range(times):
        value, coverage = reduce_half(value, coverage)
    return value, coverage


def _put(level: NDArray[np.float32], y0: int, value: F32, coverage: F32) -> None:
    """Write rows of a level, from `y0` on."""
    level[:-1, y0 : y0 + value.shape[1]] = value
    level[-1, y0 : y0 + value.shape[1]] = coverage


def _reduce_file(below: NDArray[np.float32], level: NDArray[np.float32]) -> None:
    """Fill a level from the one below it, some rows at a time."""
    rows = max(1, _BAND_BYTES // (8 * below.shape[0] * below.shape[2])) * 2
    for y0 in range(0, below.shape[1], rows):
        band = np.array(below[:, y0 : y0 + rows])
        _put(level, y0 // 2, *reduce_half(band[:-1], band[-1]))
