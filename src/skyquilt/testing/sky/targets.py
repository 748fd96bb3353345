"""The targets whose real stars ship with the package."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["EXTRACT_RADIUS_DEG", "TARGETS", "Target"]

EXTRACT_RADIUS_DEG = 2.5


@dataclass(frozen=True, slots=True)
class Target:
    """
    A place of the sky.

    Attributes
    ----------
    ra_deg, dec_deg : float, degrees, J2000
    glow : "galaxy", "cloud" or "none"
        What its synthetic extended light looks like.
    """

    ra_deg: float
    dec_deg: float
    glow: str


TARGETS = {
    "M 94": Target(192.7211, 41.1203, "galaxy"),
    "NGC 7023": Target(315.4000, 68.1630, "cloud"),
    "M 31": Target(10.6847, 41.2692, "galaxy"),
    "M 42": Target(83.8221, -5.3911, "cloud"),
    "M 13": Target(250.4235, 36.4613, "galaxy"),
    "M 45": Target(56.7500, 24.1167, "cloud"),
    "NGC 7000": Target(314.7500, 44.3700, "cloud"),
    "M 8": Target(270.9200, -24.3800, "cloud"),
    "Arp 145": Target(35.7800, 41.3700, "galaxy"),
    "NGC 2264": Target(100.2420, 9.8950, "cloud"),
    "North Celestial Pole": Target(0.0000, 90.0000, "none"),
    "NGC 7801": Target(0.0875, 50.7417, "galaxy"),  # RA 0 runs through the field
}
