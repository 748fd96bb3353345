"""How the camera stands on the sphere: the directions of its x, y and line of sight, and the coordinates they make."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, Sip, Wcs
from skyquilt.core.sky import directions
from skyquilt.testing.sky.field import axes_at

__all__ = ["CameraAxes"]


@dataclass(frozen=True, slots=True, eq=False)
class CameraAxes:
    """
    A camera that looks in one direction.

    Attributes
    ----------
    rows : float64 (3, 3)
        Unit vectors: where x of the frame grows, where y does, and the line of sight.
    """

    rows: F64

    @classmethod
    def at(cls, ra_deg: float, dec_deg: float, angle_deg: float) -> CameraAxes:
        """Return the camera that looks there; at angle 0, x grows to the east and y to the north (as `Plane`)."""
        east, north, out = axes_at(ra_deg, dec_deg)
        c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
        return cls(np.stack([c * east + s * north, -s * east + c * north, out]))

    @property
    def direction_deg(self) -> tuple[float, float]:
        """(ra, dec) of the line of sight, degrees."""
        ra, dec = directions(self.rows[2])
        return float(ra), float(dec)

    def beside(self, x_rad: float, y_rad: float) -> F64:
        """Return the unit vector that lies so far from the line of sight, along great circles towards x and y."""
        angle = float(np.hypot(x_rad, y_rad))
        if angle == 0.0:
            straight: F64 = self.rows[2].copy()
            return straight
        across = (x_rad * self.rows[0] + y_rad * self.rows[1]) / angle
        vector: F64 = np.cos(angle) * self.rows[2] + np.sin(angle) * across
        return vector

    def carried_to(self, vector: F64) -> CameraAxes:
        """Return the camera after the shortest turn that takes its line of sight to a unit vector (Rodrigues)."""
        axis = np.cross(self.rows[2], vector)
        cross = np.array([[0.0, -axis[2], axis[1]], [axis[2], 0.0, -axis[0]], [-axis[1], axis[0], 0.0]])
        turn = np.eye(3) + cross + cross @ cross / (1.0 + float(self.rows[2] @ vector))
        return CameraAxes(self.rows @ turn.T)

    def turned(self, angle_deg: float) -> CameraAxes:
        """Return the camera with its picture of the sky turned from +x towards +y."""
        c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
        x, y, out = self.rows
        return CameraAxes(np.stack([c * x - s * y, s * x + c * y, out]))

    def wcs(self, centre: tuple[float, float], scale_arcsec: float, sip: Sip | None = None) -> Wcs:
        """Return the coordinates of a frame whose pixel `centre` is on the line of sight."""
        ra, dec = self.direction_deg
        east, north, _ = axes_at(ra, dec)
        x, y = self.rows[0], self.rows[1]
        cd = scale_arcsec / 3600.0 * np.array([[x @ east, y @ east], [x @ north, y @ north]])
        return Wcs((ra, dec), centre, cd, sip)
