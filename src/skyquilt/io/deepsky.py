"""
Deep-sky objects of OpenNGC, through the package pyongc.

OpenNGC is by Mattia Verga, licence CC-BY-SA 4.0 (https://github.com/mattiaverga/OpenNGC); pyongc carries the data,
skyquilt does not.
"""

from __future__ import annotations

import re

import numpy as np

from skyquilt.core import DeepSkyObject
from skyquilt.core.sky import separation_deg

__all__ = ["SOURCE", "objects_within"]

SOURCE = "OpenNGC, M. Verga, CC-BY-SA 4.0"
_NO_OBJECTS = frozenset({"Star", "Double star", "Nonexistent object", "Duplicated record", "Nova star"})
_MARGIN_DEG = 0.01
_NAME = re.compile(r"([A-Za-z]+)0*(\d.*)")


def objects_within(ra_deg: float, dec_deg: float, radius_deg: float) -> list[DeepSkyObject]:
    """Return the nebulae, clusters and galaxies whose centre lies within a circle, the nearest to its middle first."""
    from pyongc import ongc

    # by declination alone: the package's limits in right ascension do not hold near the poles
    south, north = max(dec_deg - radius_deg - _MARGIN_DEG, -90.0), min(dec_deg + radius_deg + _MARGIN_DEG, 90.0)
    found = []
    for entry in ongc.listObjects(mindec=south, maxdec=north, **_ra_limits(ra_deg, dec_deg, radius_deg)):
        if entry.type in _NO_OBJECTS or entry.rad_coords is None:
            continue
        ra, dec = (float(angle) for angle in np.degrees(entry.rad_coords))
        distance = float(separation_deg(ra, dec, ra_deg, dec_deg))
        if distance <= radius_deg:
            found.append((distance, entry.name, _object(entry, ra, dec)))
    return [thing for _, _, thing in sorted(found, key=lambda one: one[:2])]


def _ra_limits(ra_deg: float, dec_deg: float, radius_deg: float) -> dict[str, float]:
    """Return limits in RA that hold the circle, or none where it holds a pole or RA = 0."""
    reach = abs(dec_deg) + radius_deg
    if reach >= 89.0:
        return {}
    half = np.degrees(np.arcsin(np.sin(np.radians(radius_deg)) / np.cos(np.radians(dec_deg)))) + _MARGIN_DEG
    west, east = ra_deg % 360.0 - half, ra_deg % 360.0 + half
    return {} if west < 0.0 or east > 360.0 else {"minra": float(west), "maxra": float(east)}


def _object(entry: object, ra: float, dec: float) -> DeepSkyObject:
    """Return one of pyongc's objects as ours."""
    messier, _, _, common, _ = entry.identifiers  # type: ignore[attr-defined]  # pyongc has no types
    major, minor, angle = entry.dimensions  # type: ignore[attr-defined]
    blue, visual = entry.magnitudes[:2]  # type: ignore[attr-defined]
    return DeepSkyObject(
        name=_spaced(messier or entry.name),  # type: ignore[attr-defined]
        common_name=common[0] if common else "",
        kind=str(entry.type),  # type: ignore[attr-defined]
        ra_deg=ra,
        dec_deg=dec,
        major_arcmin=major,
        minor_arcmin=minor,
        position_angle_deg=None if angle is None else float(angle),
        mag=visual if visual is not None else blue,
    )


def _spaced(name: str) -> str:
    """Return ``NGC0224`` as ``NGC 224``."""
    parts = _NAME.fullmatch(name)
    return f"{parts[1]} {parts[2]}" if parts else name
