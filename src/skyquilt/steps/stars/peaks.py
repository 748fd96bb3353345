"""Candidates for stars: peaks of the filtered plane, without those that a trail made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, I64, Mask
from skyquilt.kernels.detect import bin_plane, find_peaks, smooth

__all__ = ["Peaks", "Plane", "find_candidates"]

_FILTERED_NOISE = 0.375  # of white noise after [1 2 1]/4 along both axes
_SIGNIFICANCE = 4.3
_MOST = 30_000
_LEAST_ON_LINE = 7
_LINE_WIDTH = 3.0  # plane px
_LINE_STEP_DEG = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """
    The sky-subtracted plane on which stars are looked for.

    Attributes
    ----------
    pixels : float32 (y, x), ADU
    step : int
        Frame pixels per plane pixel.
    noise : float32 (gy, gx), ADU
        Of one plane pixel, by sky cells.
    cell : int, plane px
    """

    pixels: F32
    step: int
    noise: F32
    cell: int

    def binned(self) -> Plane:
        """Return the plane of half the resolution."""
        h, w = self.pixels.shape
        out = np.empty((h // 2, w // 2), dtype=np.float32)
        bin_plane(self.pixels, out)
        return Plane(out, 2 * self.step, self.noise * np.float32(0.5), self.cell // 2)

    def to_frame(self, position: F64) -> F64:
        """Return frame coordinates of plane coordinates."""
        return position * self.step + 0.5 * (self.step - 1)

    def from_frame(self, position: F64) -> F64:
        """Return plane coordinates of frame coordinates."""
        return (position - 0.5 * (self.step - 1)) / self.step


@dataclass(frozen=True, slots=True, eq=False)
class Peaks:
    """
    Peaks of a plane, highest first.

    Attributes
    ----------
    x, y : float64 (n,), px of the frame
    contrast : float64 (n,), ADU
    """

    x: F64
    y: F64
    contrast: F64

    def __len__(self) -> int:
        return len(self.x)


def find_candidates(plane: Plane, n_max: int) -> Peaks:
    """Return the highest `n_max` peaks that stand 4.5 sigma above the sky and their surroundings."""
    none = np.zeros(0)
    if min(plane.pixels.shape) < 10:
        return Peaks(none, none, none)
    filtered = np.empty_like(plane.pixels)
    smooth(plane.pixels, filtered)
    threshold = (_SIGNIFICANCE * _FILTERED_NOISE * plane.noise).astype(np.float32)
    position, contrast, direction = np.empty((_MOST, 2)), np.empty(_MOST), np.empty(_MOST, dtype=np.int64)
    n = find_peaks(filtered, threshold, plane.cell, position, contrast, direction)
    while n > _MOST:  # a field with more peaks than anybody needs
        threshold *= np.float32(1.6)
        n = find_peaks(filtered, threshold, plane.cell, position, contrast, direction)
    position, contrast, direction = position[:n], contrast[:n], direction[:n]
    order = np.argsort(-contrast, kind="stable")
    position, contrast, direction = position[order], contrast[order], direction[order]
    keep = ~_on_trail(position, direction, filtered.shape)
    position, contrast = position[keep][:n_max], contrast[keep][:n_max]
    return Peaks(plane.to_frame(position[:, 0]), plane.to_frame(position[:, 1]), contrast)


def _on_trail(position: F64, direction: I64, shape: tuple[int, ...]) -> Mask:
    """
    Mark the peaks that belong to a straight trail: pieces of a line that all lie on one and the same line.

    Stars drawn out by bad tracking are pieces of a line too, but scattered over the frame; those stay.
    """
    marked = np.zeros(len(position), dtype=bool)
    pieces = np.flatnonzero(direction >= 0)[:2000]
    while len(pieces) >= _LEAST_ON_LINE:
        x, y = position[pieces, 0], position[pieces, 1]
        best, best_line = 0, (0.0, 0.0)
        for k in np.unique(direction[pieces]):
            of_direction = direction[pieces] == k
            for angle in np.radians(30.0 * k + np.arange(-18.0, 18.5, _LINE_STEP_DEG)):
                offset = y[of_direction] * np.cos(angle) - x[of_direction] * np.sin(angle)
                slots = np.floor(offset / _LINE_WIDTH).astype(np.int64)
                slots -= slots.min()
                counts = np.bincount(slots)
                pairs = counts + np.append(counts[1:], 0)
                top = int(pairs.argmax())
                if pairs[top] > best:
                    start = offset.min() // _LINE_WIDTH
                    best, best_line = int(pairs[top]), (float(angle), float((start + top + 1) * _LINE_WIDTH))
        expected = len(pieces) * 2.0 * _LINE_WIDTH / min(shape)
        if best < _LEAST_ON_LINE or best < 6.0 * expected + _LEAST_ON_LINE:
            break
        angle, centre = best_line
        distance = np.abs(position[:, 1] * np.cos(angle) - position[:, 0] * np.sin(angle) - centre)
        aligned = np.abs((direction - np.degrees(angle) / 30.0 + 3.0) % 6.0 - 3.0) < 1.1
        hit = (distance < 2.0 * _LINE_WIDTH) & (direction >= 0) & aligned
        if not (hit & ~marked).any():
            break
        marked |= hit
        pieces = pieces[~marked[pieces]]
    return marked
