"""Nebulae, clusters and galaxies as a catalogue knows them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DeepSkyObject"]


@dataclass(frozen=True, slots=True)
class DeepSkyObject:
    """
    One object.

    Attributes
    ----------
    name : str
        "M 94", "NGC 7023"
    common_name : str
        "Iris Nebula", or "".
    kind : str
        In words: "Galaxy", "Open Cluster", ...
    ra_deg, dec_deg : float, degrees, ICRS
    major_arcmin, minor_arcmin : float or None
        Full axes; None where not known.
    position_angle_deg : float or None
        Of the major axis, from north through east.
    mag : float or None
        V, or B where there is no V.
    """

    name: str
    common_name: str
    kind: str
    ra_deg: float
    dec_deg: float
    major_arcmin: float | None
    minor_arcmin: float | None
    position_angle_deg: float | None
    mag: float | None

    @property
    def is_messier(self) -> bool:
        return self.name.startswith("M ")
