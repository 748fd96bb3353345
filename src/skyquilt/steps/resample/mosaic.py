"""Whole-pixel sampling that keeps the colour filter array: the Bayer mosaic itself is stacked."""

from __future__ import annotations

import math

import numpy as np

from skyquilt.core import F32, U8, Box, Cfa, Mask, Normalisation, PixelSource, Trail, Transform

__all__ = ["MosaicSampler", "whole_pixel_shift"]

_FULL, _STOPGAP = 255, 1


def whole_pixel_shift(to_frame: Transform, step: int) -> tuple[int, int]:
    """
    Return the shift (dx, dy), multiples of `step` px, closest to a transform's own at its origin.

    Pixel (x, y) of the canvas then lies at (x + dx, y + dy) of the frame.
    """
    x, y = to_frame(0.0, 0.0)
    return step * math.floor(float(x) / step + 0.5), step * math.floor(float(y) / step + 0.5)


class MosaicSampler:
    """
    Samples of one frame's mosaic, moved by whole cells of the colour filter array.

    Parameters
    ----------
    source : PixelSource
        Calibrated frame, one channel, ADU.
    defects : bool (y, x) or None
        Repaired pixels, which become stopgaps.
    raw : PixelSource
        The frame as it was read, for saturation.
    cfa : Cfa or None
        None for a mono frame, moved by single pixels.
    to_frame : Transform
        Canvas to frame; only its shift is used, rounded to 2 px (1 px without a cfa).
    normalisation : Normalisation or None
        Of three channels for a cfa: every site takes the terms of its colour.
    saturation_adu : float
    trails : tuple of Trail
        In frame pixels; samples within are left out.

    Notes
    -----
    n = scale[c] * v + surface[c](x, y), c the colour of the site; no pixel is interpolated.
    """

    def __init__(
        self,
        source: PixelSource,
        raw: PixelSource,
        *,
        cfa: Cfa | None,
        defects: Mask | None,
        to_frame: Transform,
        normalisation: Normalisation | None,
        saturation_adu: float,
        trails: tuple[Trail, ...] = (),
    ) -> None:
        self._source = source
        self._raw = raw
        self._cfa = cfa
        self._defects = defects
        self._normalisation = normalisation
        self._saturation_adu = saturation_adu
        self._trails = trails
        self._shift = whole_pixel_shift(to_frame, 1 if cfa is None else 2)

    @property
    def n_channels(self) -> int:
        return 1

    @property
    def weight_channels(self) -> int:
        return 1

    def sample(self, box: Box, values: F32, weights: U8) -> None:
        """Fill the samples of a canvas box (see `SampleSource`)."""
        dx, dy = self._shift
        there = Box(box.x0 + dx, box.y0 + dy, box.x1 + dx, box.y1 + dy)
        tile = self._source.read(there)
        values[0] = self._normalised(tile.pixels[0], box, there)
        weights[0] = np.where(tile.mask, _FULL, 0)
        stopgap = self._raw.read(there).pixels[0] >= self._saturation_adu
        inside = there.intersect(self._source.bounds)
        if self._defects is not None and not inside.is_empty:
            stopgap[inside.slices(there)] |= self._defects[inside.slices(self._source.bounds)]
        weights[0][stopgap & tile.mask] = _STOPGAP
        for trail in self._trails:
            weights[0][_near(trail, there)] = 0

    def _normalised(self, pixels: F32, box: Box, there: Box) -> F32:
        """Scale and shift each site by the terms of its colour; coordinates are those of the canvas."""
        terms = self._normalisation
        if terms is None:
            return pixels
        u = (np.arange(box.x0, box.x1) - terms.centre[0]) / terms.radius
        v = ((np.arange(box.y0, box.y1) - terms.centre[1]) / terms.radius)[:, None]
        powers = [np.ones_like(u * v), u + 0 * v, 0 * u + v, u * u + 0 * v, u * v, 0 * u + v * v]
        result = np.empty_like(pixels)
        for j in (0, 1):
            for i in (0, 1):
                # the first site of that row and column parity of the frame, in the box
                y, x = (j - there.y0) % 2, (i - there.x0) % 2
                c = self._channel(i, j, len(terms.scale))
                surface = sum(a * p[y::2, x::2] for a, p in zip(terms.surface[c], powers, strict=False))
                result[y::2, x::2] = terms.scale[c] * pixels[y::2, x::2] + surface
        return result

    def _channel(self, i: int, j: int, n_terms: int) -> int:
        if self._cfa is None or n_terms == 1:
            return 0
        return int(self._cfa.table[j, i])


def _near(trail: Trail, box: Box) -> Mask:
    """Return the pixels of a frame box closer to the centre line than its half width."""
    x = np.arange(box.x0, box.x1, dtype=np.float64)
    y = np.arange(box.y0, box.y1, dtype=np.float64)[:, None]
    dx, dy = trail.x1 - trail.x0, trail.y1 - trail.y0
    length2 = max(dx * dx + dy * dy, 1e-12)
    t = np.clip(((x - trail.x0) * dx + (y - trail.y0) * dy) / length2, 0.0, 1.0)
    near: Mask = np.hypot(x - trail.x0 - t * dx, y - trail.y0 - t * dy) <= trail.half_width
    return near
