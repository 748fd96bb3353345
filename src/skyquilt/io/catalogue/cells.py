"""
The cells that a packed catalogue is sorted by: zones of declination, each cut into equal steps of right ascension.

A zone is one degree high and has as many cells as make each about one degree wide at the zone's widest edge: 41,704
cells of nearly equal area. Cells are numbered from the south pole, eastward from RA = 0 within a zone.
"""

from __future__ import annotations

import math

import numpy as np

from skyquilt.core import F64, I64

__all__ = ["FIRST_CELL", "N_CELLS", "N_ZONES", "cells_of", "cells_within", "offsets_in_cell", "place_in_cell"]

N_ZONES = 180
_STEPS = 65536  # of a 16-bit offset
_MARGIN_DEG = 1e-7

_WIDEST_DEC = np.minimum(np.abs(np.arange(-90, 90)), np.abs(np.arange(-89, 91)))
_N_IN_ZONE: I64 = np.ceil(360.0 * np.cos(np.radians(_WIDEST_DEC))).astype(np.int64)
FIRST_CELL: I64 = np.concatenate([[0], np.cumsum(_N_IN_ZONE)])
"""First cell of each zone, int64 (N_ZONES + 1,); the last entry is the number of cells."""
N_CELLS = int(FIRST_CELL[-1])


def cells_of(ra_deg: F64, dec_deg: F64) -> I64:
    """Return the cell of each direction, int64 (n,)."""
    zone, column, _ = _split(ra_deg, dec_deg)
    return FIRST_CELL[zone] + column


def offsets_in_cell(ra_deg: F64, dec_deg: F64) -> tuple[I64, I64]:
    """Return how far east and north in its cell each direction lies, in 65536ths of the cell, int64 (n,)."""
    zone, column, across = _split(ra_deg, dec_deg)
    east = np.clip(((across - column) * _STEPS).astype(np.int64), 0, _STEPS - 1)
    north = np.clip(((dec_deg + 90.0 - zone) * _STEPS).astype(np.int64), 0, _STEPS - 1)
    return east, north


def _split(ra_deg: F64, dec_deg: F64) -> tuple[I64, I64, F64]:
    zone = np.clip(np.floor(dec_deg + 90.0).astype(np.int64), 0, N_ZONES - 1)
    n_in_zone = _N_IN_ZONE[zone]
    across = np.mod(ra_deg, 360.0) * (n_in_zone / 360.0)
    return zone, np.minimum(across.astype(np.int64), n_in_zone - 1), across


def place_in_cell(cell: I64, east: F64, north: F64) -> tuple[F64, F64]:
    """Return (ra, dec) in degrees of the middle of the steps that `offsets_in_cell` gave."""
    zone = np.searchsorted(FIRST_CELL, cell, side="right") - 1
    ra = (cell - FIRST_CELL[zone] + (east + 0.5) / _STEPS) * (360.0 / _N_IN_ZONE[zone])
    dec = zone - 90.0 + (north + 0.5) / _STEPS
    return ra, dec


def cells_within(ra_deg: float, dec_deg: float, radius_deg: float) -> I64:
    """
    Return the cells that a circle on the sky touches, int64, rising.

    A zone is met where the circle is widest within it; a pole inside the circle or RA = 0 across it is nothing special.
    """
    radius = min(radius_deg + _MARGIN_DEG, 180.0)
    south = max(math.floor(dec_deg - radius + 90.0), 0)
    north = min(math.floor(dec_deg + radius + 90.0), N_ZONES - 1)
    met = [_columns_within(zone, ra_deg, dec_deg, radius) for zone in range(south, north + 1)]
    return np.concatenate(met)


def _columns_within(zone: int, ra_deg: float, dec_deg: float, radius: float) -> I64:
    """Return the cells of one zone that the circle touches."""
    n_in_zone = int(_N_IN_ZONE[zone])
    half = _half_width(zone - 90.0, zone - 89.0, dec_deg, radius)
    if half < 0.0:
        return np.zeros(0, np.int64)
    per_cell = 360.0 / n_in_zone
    west, east = math.floor((ra_deg - half) / per_cell), math.floor((ra_deg + half) / per_cell)
    is_whole = east - west + 1 >= n_in_zone
    columns = np.arange(n_in_zone) if is_whole else np.sort(np.arange(west, east + 1) % n_in_zone)
    return int(FIRST_CELL[zone]) + columns


def _half_width(south: float, north: float, dec_deg: float, radius: float) -> float:
    """Return the largest difference in RA, degrees, of the circle's points in a zone from its centre; -1 if none."""
    sin_d0, cos_d0 = math.sin(math.radians(dec_deg)), math.cos(math.radians(dec_deg))
    cos_r = math.cos(math.radians(radius))
    reach_south, reach_north = max(south, dec_deg - radius), min(north, dec_deg + radius)
    if reach_south > reach_north:
        return -1.0
    # the circle is widest where its meridian is tangent to it: sin(dec) = sin(dec0) / cos(radius)
    widest = math.degrees(math.asin(sin_d0 / cos_r)) if abs(sin_d0) < cos_r else math.copysign(90.0, dec_deg)
    candidates = (reach_south, reach_north, min(max(widest, reach_south), reach_north))
    half = 0.0
    for dec in candidates:
        sin_d, cos_d = math.sin(math.radians(dec)), math.cos(math.radians(dec))
        above, below = cos_r - sin_d * sin_d0, cos_d * cos_d0
        if above <= -below:
            return 180.0
        if above < below:
            half = max(half, math.degrees(math.acos(above / below)))
    return half + _MARGIN_DEG / max(math.cos(math.radians(max(abs(reach_south), abs(reach_north)))), 1e-9)
