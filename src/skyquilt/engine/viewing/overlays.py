"""What can be drawn over a picture of the sky: lines of the grid, stars, objects, footprints of frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skyquilt.core import F64, SkyGrid
from skyquilt.errors import UsageError
from skyquilt.io.catalogue import open_catalogue
from skyquilt.io.deepsky import objects_within
from skyquilt.steps.annotate import names_of, sky_lines

__all__ = ["OVERLAYS", "Footprint", "Overlay", "overlay_of"]

OVERLAYS = ("grid", "stars", "objects", "footprints")

_MOST_STARS = 2000
_MOST_OBJECTS = 500
_UNDATED_YEAR = 2020.0


@dataclass(frozen=True, slots=True)
class Footprint:
    """The corners of a frame on the sky, (ra, dec) in degrees, its file and its id."""

    file: str
    frame: str | None
    corners: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Overlay:
    """
    Lines and marks in pixels of the image, as JSON values (docs/reference/app-api.md, section 6).

    Attributes
    ----------
    lines, marks : list of dict
    """

    lines: list[dict[str, Any]] = field(default_factory=list)
    marks: list[dict[str, Any]] = field(default_factory=list)


def overlay_of(kind: str, grid: SkyGrid, footprints: Sequence[Footprint] = ()) -> Overlay:
    """
    Return what an overlay shows.

    Parameters
    ----------
    kind : str
        One of `OVERLAYS`.
    grid : SkyGrid
        Of the picture.
    footprints : sequence of Footprint
        For that overlay.

    Raises
    ------
    UsageError
        If there is no such overlay.
    """
    if kind == "grid":
        return _grid(grid)
    if kind == "stars":
        return _stars(grid)
    if kind == "objects":
        return _objects(grid)
    if kind == "footprints":
        return _footprints(grid, footprints)
    raise UsageError(f"there is no overlay {kind}", f"one of: {', '.join(OVERLAYS)}")


def _grid(grid: SkyGrid) -> Overlay:
    return Overlay(
        lines=[_line(line.points, line.text, "ra" if line.is_meridian else "dec") for line in sky_lines(grid)]
    )


def _stars(grid: SkyGrid) -> Overlay:
    """Return the brightest stars of the catalogue within."""
    found = open_catalogue().cone(*grid.centre_deg, grid.radius_deg, epoch_year=_UNDATED_YEAR)
    x, y = grid.wcs.to_pixels(found.ra_deg, found.dec_deg)
    inside = np.flatnonzero(grid.holds(x, y))[:_MOST_STARS]
    stars = found.take(inside)
    names = names_of(stars)
    brightness = np.clip(12.0 - stars.mag, 1.0, 12.0)
    return Overlay(
        marks=[
            _mark(x[k], y[k], 3.0 + float(size), names.get(n, ""), float(mag), "star")
            for n, (k, size, mag) in enumerate(zip(inside, brightness, stars.mag, strict=True))
        ]
    )


def _objects(grid: SkyGrid) -> Overlay:
    """Return the objects of the deep sky within; their radius is half of the longer axis."""
    marks = []
    for thing in objects_within(*grid.centre_deg, grid.radius_deg):
        x, y = grid.wcs.to_pixels(thing.ra_deg, thing.dec_deg)
        if not bool(grid.holds(x, y)):
            continue
        radius = max(8.0, 30.0 * (thing.major_arcmin or 0.0) / grid.wcs.scale_arcsec)
        label = f"{thing.name} {thing.common_name}".strip()
        marks.append(_mark(x, y, radius, label, thing.mag, "object"))
    return Overlay(marks=sorted(marks, key=lambda mark: -mark["radius"])[:_MOST_OBJECTS])


def _footprints(grid: SkyGrid, footprints: Sequence[Footprint]) -> Overlay:
    lines = []
    for footprint in footprints:
        ra, dec = np.array(footprint.corners, dtype=np.float64).T
        points = np.stack(grid.wcs.to_pixels(ra, dec), axis=1)
        if np.isfinite(points).all():
            closed = np.concatenate([points, points[:1]])
            lines.append(_line(closed, footprint.file, "footprint", footprint.frame))
    return Overlay(lines=lines)


def _line(points: F64, label: str, kind: str, frame: str | None = None) -> dict[str, Any]:
    return {"points": np.round(points, 2).tolist(), "label": label, "kind": kind, "id": frame}


def _mark(x: Any, y: Any, radius: float, label: str, magnitude: float | None, kind: str) -> dict[str, Any]:
    known = None if magnitude is None or not np.isfinite(magnitude) else round(float(magnitude), 2)
    return {
        "x": round(float(x), 2),
        "y": round(float(y), 2),
        "radius": round(radius, 2),
        "label": label,
        "magnitude": known,
        "kind": kind,
    }
