"""
What two solutions of the same frames have in common to differ in: it says nothing of the frames.

Overlaps tell differences only. Where no star of the catalogue holds it, a whole mosaic may be moved; its flux scale is
that of one frame; its sky may have any level and tilt. All of these follow the mean of the frames, so that every
further frame moves them a little. `Gauge` brings frames from the gauge of one solution to that of an earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skyquilt.core import F64, SkyGrid, Wcs
from skyquilt.core.sky import project
from skyquilt.engine.mosaic.job import TileFrame, WcsData

__all__ = ["Gauge", "points_of", "sky_at"]

_GRID = 5  # points a side at which two solutions of a frame are compared
_FEW = 3  # frames that tell a turn or a tilt


@dataclass(frozen=True, slots=True, eq=False)
class Gauge:
    """
    The common difference of two solutions.

    Attributes
    ----------
    canvas : SkyGrid
    move : float64 (3, 2), px of the canvas
        Shift in x and y as ``[1, u, v] @ move``, with (u, v) from -1 to 1 over the canvas.
    factor : float64 (n_channels,)
        Flux scale of the earlier solution over that of the later one.
    sky : float64 (p, n_channels), ADU
        Level to be added, as a polynomial of (u, v) with p = 1, 3 or 6 terms.
    """

    canvas: SkyGrid
    move: F64
    factor: F64
    sky: F64

    @classmethod
    def between(cls, later: Sequence[TileFrame], earlier: Sequence[TileFrame], canvas: SkyGrid) -> Gauge:
        """
        Return the gauge that brings the later solution of some frames nearest to an earlier one of the same frames.

        Least squares over 5 x 5 points of every frame; the flux factor is the median over the frames. Fewer than three
        frames tell a shift and a level alone.
        """
        places, moves = [], []
        for one, other in zip(later, earlier, strict=True):
            x, y = points_of(one)
            old, new = (np.stack(canvas.wcs.to_pixels(*frame.wcs.wcs().to_sky(x, y)), axis=1) for frame in (other, one))
            places.append(new)
            moves.append(old - new)
        n_terms = 3 if len(later) >= _FEW else 1
        u, v = _unit(canvas, *np.concatenate(places).T)
        move = np.zeros((3, 2))
        move[:n_terms] = np.linalg.lstsq(_powers(u, v)[:, :n_terms], np.concatenate(moves), rcond=None)[0]
        ratios = np.array([other.scale for other in earlier]) / np.array([one.scale for one in later])
        factor: F64 = np.median(ratios, axis=0)
        steps = [
            (sky_at(other, other, *place.T) - factor[:, None] * sky_at(one, other, *place.T)).T
            for one, other, place in zip(later, earlier, places, strict=True)
        ]
        n_terms = min(len(earlier[0].surface[0]), len(later[0].surface[0])) if len(later) >= _FEW else 1
        sky = np.linalg.lstsq(_powers(u, v)[:, :n_terms], np.concatenate(steps), rcond=None)[0]
        return cls(canvas, move, factor, np.asarray(sky, dtype=np.float64))

    def applied(self, frame: TileFrame) -> TileFrame:
        """Return a frame of the later solution as the earlier one would have had it."""
        surface = self.factor[:, None] * np.array(frame.surface)
        added = self._surface_of(frame, surface.shape[1])
        level = self.factor * np.array(frame.sky_level) + added[:, 0]
        green = float(self.factor[len(self.factor) // 2])
        return frame.model_copy(
            update={
                "wcs": WcsData.of(self._moved(frame)),
                "scale": (self.factor * np.array(frame.scale)).tolist(),
                "surface": (surface + added).tolist(),
                "transparency": frame.transparency / green,
                "weight": frame.weight / green**2,
                "sky_sigma": (self.factor * np.array(frame.sky_sigma)).tolist(),
                "shot": (self.factor * np.array(frame.shot)).tolist(),
                "sky_level": level.tolist(),
            }
        )

    def _surface_of(self, frame: TileFrame, n_terms: int) -> F64:
        """Return the common sky as a surface about the middle of a frame, (n_channels, n_terms)."""
        x, y = (
            axis.ravel() for axis in np.meshgrid(*(c + frame.radius * np.linspace(-1, 1, _GRID) for c in frame.centre))
        )
        level = _powers(*_unit(self.canvas, x, y))[:, : len(self.sky)] @ self.sky
        design = _powers((x - frame.centre[0]) / frame.radius, (y - frame.centre[1]) / frame.radius)[:, :n_terms]
        found: F64 = np.asarray(np.linalg.lstsq(design, level, rcond=None)[0].T, dtype=np.float64)
        return found

    def _moved(self, frame: TileFrame) -> Wcs:
        """Return the coordinates of a frame, moved on the canvas; its distortion stays."""
        wcs = frame.wcs.wcs()
        x, y = points_of(frame)
        place = np.stack(self.canvas.wcs.to_pixels(*wcs.to_sky(x, y)), axis=1)
        place = place + _powers(*_unit(self.canvas, *place.T))[:, :3] @ self.move
        if wcs.projection != "TAN":
            return wcs
        plane = np.stack(project(*self.canvas.wcs.to_sky(*place.T), *wcs.crval_deg), axis=1)
        u, v = x - wcs.crpix0[0], y - wcs.crpix0[1]
        if wcs.sip is not None:
            u, v = wcs.sip.apply(u, v)
        found = np.linalg.lstsq(np.stack([u, v, np.ones_like(u)], axis=1), plane, rcond=None)[0]
        cd: F64 = np.ascontiguousarray(found[:2].T, dtype=np.float64)
        shift = np.linalg.solve(cd, found[2])
        return replace(wcs, crpix0=(wcs.crpix0[0] - float(shift[0]), wcs.crpix0[1] - float(shift[1])), cd=cd)


def points_of(frame: TileFrame) -> tuple[F64, F64]:
    """Return x and y of 5 x 5 points of a frame, px."""
    x, y = np.meshgrid(np.linspace(0, frame.width - 1, _GRID), np.linspace(0, frame.height - 1, _GRID))
    return x.ravel(), y.ravel()


def sky_at(terms: TileFrame, frame: TileFrame, x: F64, y: F64) -> F64:
    """Return what the terms of one solution make of the sky of a frame at canvas positions, (n_channels, n)."""
    u, v = (x - terms.centre[0]) / terms.radius, (y - terms.centre[1]) / terms.radius
    surface = np.array(terms.surface)
    raw = (np.array(frame.sky_level) - np.array(frame.surface)[:, 0]) / np.array(frame.scale)
    level: F64 = surface @ _powers(u, v)[:, : surface.shape[1]].T + (np.array(terms.scale) * raw)[:, None]
    return level


def _unit(canvas: SkyGrid, x: F64, y: F64) -> tuple[F64, F64]:
    """Return places of the canvas from -1 to 1 along its longer side."""
    half = max(canvas.width, canvas.height) / 2.0
    return (x - canvas.width / 2.0) / half, (y - canvas.height / 2.0) / half


def _powers(u: F64, v: F64) -> F64:
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
