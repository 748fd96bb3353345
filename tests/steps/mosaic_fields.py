"""Frames on the sky whose places are known, for the tests of mosaics."""

from __future__ import annotations

import numpy as np

from skyquilt.core import Sip, SkyGrid, Wcs
from skyquilt.core.sky import directions, tangent_frame

WIDTH, HEIGHT = 108, 192
SCALE = 24.0  # arcsec/px: a smart telescope's field on few pixels


def distortion(seed: int = 3, width: int = WIDTH) -> Sip:
    """Of up to some tenths of a percent of the frame, as a wide lens has."""
    rng = np.random.default_rng(seed)
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    for i in range(4):
        for j in range(4 - i):
            if i + j >= 2:
                a[i, j], b[i, j] = rng.normal(0.0, 0.15, 2) / (0.93 * width) ** (i + j)
    return Sip(a, b)


def frame_at(
    ra: float,
    dec: float,
    turn_deg: float = 0.0,
    *,
    sip: Sip | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
    scale: float = SCALE,
    mirrored: bool = False,
    projection: str = "TAN",
) -> SkyGrid:
    """A frame about a place, its y axis turned from north to east."""
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    cd = scale / 3600.0 * np.array([[-c, s], [s, c]]) * (np.array([-1.0, 1.0]) if mirrored else 1.0)
    centre = ((width - 1) / 2.0, (height - 1) / 2.0)
    return SkyGrid(Wcs((ra % 360.0, dec), centre, cd, sip, projection), width, height)


def beside(place: tuple[float, float], east_deg: float, north_deg: float) -> tuple[float, float]:
    """The place so far from another, straight over the sphere; poles are ordinary."""
    distance = np.radians(np.hypot(east_deg, north_deg))
    angle = np.arctan2(east_deg, north_deg)
    step = np.array([np.sin(distance) * np.sin(angle), np.sin(distance) * np.cos(angle), np.cos(distance)])
    ra, dec = directions(step @ tangent_frame(*place))
    return float(ra), float(dec)


def panels(
    place: tuple[float, float],
    n: int = 3,
    step_deg: float = 0.55,
    repeats: int = 2,
    seed: int = 1,
    turn_deg: float = 10,
) -> list[SkyGrid]:
    """n x n pointings about a place, each some times with a little dither; every other frame is distorted."""
    rng = np.random.default_rng(seed)
    frames = []
    for row in range(n):
        for column in range(n):
            for k in range(repeats):
                east, north = ((index - (n - 1) / 2) * step_deg for index in (column, row))
                at = beside(place, east + rng.normal(0, 0.01), north * 1.6 + rng.normal(0, 0.01))
                frames.append(frame_at(*at, turn_deg + rng.normal(0, 1.0), sip=distortion(seed) if k % 2 else None))
    return frames
