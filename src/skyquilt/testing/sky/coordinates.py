"""Spherical astronomy for the synthetic sky: gnomonic projection, precession, proper motion; all in plain NumPy."""

from __future__ import annotations

from datetime import datetime

import numpy as np

from skyquilt.core import F64

__all__ = ["deproject", "julian_year", "move_stars", "precess_from_j2000", "project"]

_J2000 = datetime(2000, 1, 1, 12)
_ARCSEC = np.pi / 648000.0
_MAS_DEG = 1.0 / 3.6e6


def project(ra_deg: F64, dec_deg: F64, ra0_deg: float, dec0_deg: float) -> tuple[F64, F64, F64]:
    """
    Return (xi, eta, depth): gnomonic standard coordinates about a tangent point, in radians (xi east, eta north).

    `depth` is the cosine of the distance from the tangent point; where it is not positive the point is behind the
    plane and xi, eta mean nothing. Definition: Calabretta & Greisen 2002, A&A 395, 1077, section 5.1.3.
    """
    a, d = np.radians(np.asarray(ra_deg) - ra0_deg), np.radians(dec_deg)
    d0 = np.radians(dec0_deg)
    depth = np.sin(d) * np.sin(d0) + np.cos(d) * np.cos(d0) * np.cos(a)
    safe = np.where(depth > 1e-6, depth, 1.0)
    xi = np.cos(d) * np.sin(a) / safe
    eta = (np.sin(d) * np.cos(d0) - np.cos(d) * np.sin(d0) * np.cos(a)) / safe
    return xi, eta, depth


def deproject(xi: F64, eta: F64, ra0_deg: float, dec0_deg: float) -> tuple[F64, F64]:
    """Return (ra, dec) in degrees, 0 <= ra < 360: the inverse of `project`."""
    d0 = np.radians(dec0_deg)
    across = np.cos(d0) - np.asarray(eta) * np.sin(d0)
    ra = ra0_deg + np.degrees(np.arctan2(xi, across))
    dec = np.arctan2(np.sin(d0) + eta * np.cos(d0), np.hypot(xi, across))
    return np.mod(ra, 360.0), np.degrees(dec)


def julian_year(utc: datetime) -> float:
    """Return the Julian epoch of a time, e.g. 2025.23 (the minute between UTC and TT does not matter here)."""
    return 2000.0 + (utc - _J2000).total_seconds() / (365.25 * 86400.0)


def precess_from_j2000(ra_deg: float, dec_deg: float, year: float) -> tuple[float, float]:
    """
    Return (ra, dec) in degrees referred to the mean equator and equinox of a Julian epoch.

    The angles are those of IAU 1976 (Lieske et al. 1977, A&A 58, 1), good to 1 arcsec for this century; nutation and
    aberration (up to 40 arcsec together) are left out.
    """
    t = (year - 2000.0) / 100.0
    zeta = (2306.2181 * t + 0.30188 * t**2 + 0.017998 * t**3) * _ARCSEC
    z = (2306.2181 * t + 1.09468 * t**2 + 0.018203 * t**3) * _ARCSEC
    theta = (2004.3109 * t - 0.42665 * t**2 - 0.041833 * t**3) * _ARCSEC
    a, d = np.radians(ra_deg) + zeta, np.radians(dec_deg)
    east = np.cos(d) * np.sin(a)
    toward = np.cos(theta) * np.cos(d) * np.cos(a) - np.sin(theta) * np.sin(d)
    north = np.sin(theta) * np.cos(d) * np.cos(a) + np.cos(theta) * np.sin(d)
    ra = np.degrees(np.arctan2(east, toward) + z) % 360.0
    return float(ra), float(np.degrees(np.arctan2(north, np.hypot(east, toward))))


def move_stars(ra_deg: F64, dec_deg: F64, pmra_mas: F64, pmdec_mas: F64, years: float) -> tuple[F64, F64]:
    """
    Return (ra, dec) in degrees after `years` of proper motion (mas a year; pmra is mu_alpha cos delta).

    The step is taken on the tangent plane of each star, so that the poles are ordinary places.
    """
    d0 = np.radians(dec_deg)
    xi, eta = np.radians(pmra_mas * years * _MAS_DEG), np.radians(pmdec_mas * years * _MAS_DEG)
    across = np.cos(d0) - eta * np.sin(d0)
    ra = ra_deg + np.degrees(np.arctan2(xi, across))
    dec = np.arctan2(np.sin(d0) + eta * np.cos(d0), np.hypot(xi, across))
    return np.mod(ra, 360.0), np.degrees(dec)
