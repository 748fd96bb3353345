"""The integrated canvas, read band by band from the journal, so that its size does not matter to the memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from skyquilt.core import F32, I64, U16, Box, Cfa
from skyquilt.engine.integration import IntegrationJob
from skyquilt.engine.journal import Journal
from skyquilt.steps.debayer import debayer

__all__ = ["Band", "Canvas"]


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """
    Whole rows of the canvas, all but the values.

    Attributes
    ----------
    y0 : int
        First row, counted from the top of the canvas.
    variance : float32 (channel, rows, width)
    coverage : float32 (rows, width), seconds
    rejected_low, rejected_high : uint16 (channel, rows, width)
    """

    y0: int
    variance: F32
    coverage: F32
    rejected_low: U16
    rejected_high: U16


class Canvas:
    """
    A complete canvas.

    Parameters
    ----------
    job : IntegrationJob
    journal : Journal
        Holds every tile of the job.
    scale : float
        Factor that brings the values to the unit of the products.
    """

    def __init__(self, job: IntegrationJob, journal: Journal, scale: float) -> None:
        self._job = job
        self._journal = journal
        self._scale = scale

    @property
    def box(self) -> Box:
        return self._job.canvas

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channel, y, x)."""
        return (self._job.sampling.n_channels, *self.box.shape)

    def bands(self) -> Iterator[Band]:
        """Yield the canvas from top to bottom, one row of tiles at a time."""
        for _, boxes in groupby(self._job.tiles(), key=lambda box: box.y0):
            tiles = [self._journal.read(box) for box in boxes]
            yield Band(
                tiles[0].box.y0 - self.box.y0,
                variance=self._scaled([tile.variance for tile in tiles], 2),
                coverage=np.concatenate([tile.coverage for tile in tiles], axis=1),
                rejected_low=np.concatenate([tile.rejected_low for tile in tiles], axis=2),
                rejected_high=np.concatenate([tile.rejected_high for tile in tiles], axis=2),
            )

    def value_rows(self) -> Iterator[tuple[int, F32]]:
        """Yield (first row, values) of each row of tiles."""
        for y0, boxes in groupby(self._job.tiles(), key=lambda box: box.y0):
            yield y0 - self.box.y0, self._scaled([self._journal.read_values(box) for box in boxes], 1)

    def variance_rows(self) -> Iterator[tuple[int, F32]]:
        """Yield (first row, variance) of each row of tiles: less to read and to hold than the bands."""
        for y0, boxes in groupby(self._job.tiles(), key=lambda box: box.y0):
            yield y0 - self.box.y0, self._scaled([self._journal.read_variance(box) for box in boxes], 2)

    def _scaled(self, tiles: list[F32], power: int) -> F32:
        """Put tiles side by side and bring them to the unit of the products, as a power of it."""
        rows = np.concatenate(tiles, axis=2)
        for _ in range(power):
            rows *= np.float32(self._scale)
        return rows

    def values(self) -> F32:
        """Return all values at once, float32 (channel, y, x)."""
        values = np.empty(self.shape, dtype=np.float32)
        for y0, rows in self.value_rows():
            values[:, y0 : y0 + rows.shape[1]] = rows
        return values

    def debayered(self, cfa: Cfa, method: str) -> F32:
        """
        Return the colour image of a stacked mosaic, float32 (3, y, x); holes are filled by the median of their colour.

        `cfa` is the pattern as the canvas begins.
        """
        mosaic = self.values()[0]
        holes = ~np.isfinite(mosaic)
        for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
            site, empty = mosaic[y::2, x::2], holes[y::2, x::2]
            if empty.any():
                site[empty] = np.median(site[~empty]) if not empty.all() else 0.0
        colour = debayer(mosaic, cfa, method, self._job.sampling.star_colour)
        colour[:, holes] = np.nan
        return colour

    def frame_counts(self) -> I64:
        """Return int64 (n_frames, 3): samples of every frame that landed, that were rejected low, high."""
        total = np.zeros((len(self._job.lights), 3), dtype=np.int64)
        for box in self._job.tiles():
            total += self._journal.read_counts(box)
        return total
