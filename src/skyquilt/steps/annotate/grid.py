"""Lines of equal right ascension and declination across a picture, the poles and RA = 0 included."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, SkyGrid
from skyquilt.core.sky import separation_deg

__all__ = ["GridLine", "sky_lines"]

_RA_STEPS_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800)  # of time; each divides a day
_DEC_STEPS_ARCSEC = (5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 36000)
_LINES_ACROSS = 4.0
_POINTS = 240
_SAMPLES = 33
_POLE_STEP_S = 7200


@dataclass(frozen=True, slots=True, eq=False)
class GridLine:
    """
    One piece of a line of the grid within the picture.

    Attributes
    ----------
    points : float64 (n, 2), px
        The outermost ones lie just outside where the line leaves the picture.
    text : str
        "12h50m" or "+41°30'".
    ends : tuple of (x, y)
        Where it crosses the edge of the picture.
    is_meridian : bool
    """

    points: F64
    text: str
    ends: tuple[tuple[float, float], ...]
    is_meridian: bool


def sky_lines(grid: SkyGrid) -> list[GridLine]:
    """Return the lines of the grid: about four across the shorter side, at round values."""
    x, y = np.meshgrid(
        np.linspace(-0.5, grid.width - 0.5, _SAMPLES), np.linspace(-0.5, grid.height - 0.5, _SAMPLES), indexing="xy"
    )
    ra, dec = grid.wcs.to_sky(x, y)
    centre_ra = grid.centre_deg[0]
    turn = (ra - centre_ra + 180.0) % 360.0 - 180.0
    south, north = float(dec.min()), float(dec.max())
    west, east = float(turn.min()), float(turn.max())
    has_pole = False
    for pole in (-90.0, 90.0):
        if bool(grid.holds(*grid.wcs.to_pixels(centre_ra, pole))):
            has_pole = True
            west, east = -180.0, 180.0
            south, north = (south, 90.0) if pole > 0 else (-90.0, north)
    spacing = _side_deg(grid) / _LINES_ACROSS
    lines: list[GridLine] = []
    dec_step = _at_least(_DEC_STEPS_ARCSEC, 3600.0 * spacing)
    for k in range(math.ceil(south * 3600 / dec_step), math.floor(north * 3600 / dec_step) + 1):
        value = k * dec_step
        if abs(value) >= 90 * 3600:
            continue
        angles = np.linspace(west, east, 3 * _POINTS if has_pole else _POINTS) * (1.0 if has_pole else 1.02)
        text = _degrees_text(value, dec_step)
        lines += _pieces(grid, centre_ra + angles, np.full(len(angles), value / 3600.0), text, is_meridian=False)
    lines += _meridians(grid, centre_ra, (west, east), (south, north), spacing, has_pole=has_pole)
    return lines


def _meridians(
    grid: SkyGrid,
    centre_ra: float,
    turns: tuple[float, float],
    decs: tuple[float, float],
    spacing: float,
    *,
    has_pole: bool,
) -> Iterator[GridLine]:
    widest = max(math.cos(math.radians(dec)) for dec in decs)
    step = _POLE_STEP_S if has_pole else _at_least(_RA_STEPS_S, 240.0 * spacing / max(widest, 1e-6))
    first, last = math.ceil((centre_ra + turns[0]) * 240 / step), math.floor((centre_ra + turns[1]) * 240 / step)
    margin = 0.02 * (decs[1] - decs[0])
    dec = np.linspace(max(decs[0] - margin, -90.0), min(decs[1] + margin, 90.0), _POINTS)
    for k in range(first, min(last, first + 86400 // step - 1) + 1):
        text = _hours_text(k * step % 86400, step)
        yield from _pieces(grid, np.full(_POINTS, k * step / 240.0), dec, text, is_meridian=True)


def _side_deg(grid: SkyGrid) -> float:
    """Return the length of the shorter side on the sky, degrees."""
    middle_x, middle_y = (grid.width - 1) / 2.0, (grid.height - 1) / 2.0
    ra, dec = grid.wcs.to_sky(
        np.array([0.0, grid.width - 1.0, middle_x, middle_x]), np.array([middle_y, middle_y, 0.0, grid.height - 1.0])
    )
    return float(separation_deg(ra[::2], dec[::2], ra[1::2], dec[1::2]).min())


def _at_least(steps: tuple[int, ...], wanted: float) -> int:
    return next((step for step in steps if step >= wanted), steps[-1])


def _pieces(grid: SkyGrid, ra: F64, dec: F64, text: str, *, is_meridian: bool) -> Iterator[GridLine]:
    """Yield the parts of a curve that lie in the picture."""
    x, y = grid.wcs.to_pixels(ra % 360.0, dec)
    inside = grid.holds(x, y)
    known = np.isfinite(x) & np.isfinite(y)
    starts = np.flatnonzero(inside & ~np.append(False, inside[:-1]))
    stops = np.flatnonzero(inside & ~np.append(inside[1:], False))
    for start, stop in zip(starts, stops, strict=True):
        before, after = start - 1, stop + 1
        ends = []
        if before >= 0 and known[before]:
            ends.append(_crossing(grid, (x[start], y[start]), (x[before], y[before])))
        if after < len(x) and known[after]:
            ends.append(_crossing(grid, (x[stop], y[stop]), (x[after], y[after])))
        first = before if before >= 0 and known[before] else start
        last = after if after < len(x) and known[after] else stop
        points = np.stack([x[first : last + 1], y[first : last + 1]], axis=1)
        if len(points) > 1:
            yield GridLine(points, text, tuple(ends), is_meridian)


def _crossing(grid: SkyGrid, inner: tuple[float, float], outer: tuple[float, float]) -> tuple[float, float]:
    """Return where the way from a point inside to one outside meets the edge."""
    share = 1.0
    for from_, to, high in ((inner[0], outer[0], grid.width - 0.5), (inner[1], outer[1], grid.height - 0.5)):
        for edge in (-0.5, high):
            if (to - edge) * (from_ - edge) < 0.0:
                share = min(share, (edge - from_) / (to - from_))
    return inner[0] + share * (outer[0] - inner[0]), inner[1] + share * (outer[1] - inner[1])


def _hours_text(seconds: int, step: int) -> str:
    text = f"{seconds // 3600}h"
    if step < 3600:
        text += f"{seconds // 60 % 60:02d}m"
    if step < 60:
        text += f"{seconds % 60:02d}s"
    return text


def _degrees_text(arcsec: int, step: int) -> str:
    size = abs(arcsec)
    text = f"{'-' if arcsec < 0 else '+'}{size // 3600}°"
    if step < 3600:
        text += f"{size // 60 % 60:02d}'"
    if step < 60:
        text += f'{size % 60:02d}"'
    return text
