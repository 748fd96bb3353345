"""Directions on the sky in plain NumPy: vectors, distances, zenithal projections, proper motion, precession."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F64

__all__ = [
    "deproject",
    "deproject_equal_area",
    "directions",
    "move",
    "precess_to_icrs",
    "project",
    "project_equal_area",
    "separation_deg",
    "tangent_frame",
    "unit_vectors",
]

_ARCSEC = np.pi / 648000.0
_MAS_PER_DEG = 3.6e6
_NEAREST_HORIZON = 1e-6

# Fukushima-Williams angles of the IAU 2006 precession, frame bias included; arcsec, powers of Julian centuries
# (Hilton et al. 2006, Celest. Mech. Dyn. Astron. 94, 351; Capitaine & Wallace 2006, A&A 450, 855)
_GAMMA = (-0.052928, 10.556378, 0.4932044, -0.00031238, -0.000002788, 0.0000000260)
_PHI = (84381.412819, -46.811016, 0.0511268, 0.00053289, -0.000000440, -0.0000000176)
_PSI = (-0.041775, 5038.481484, 1.5584175, -0.00018522, -0.000026452, -0.0000000148)
_OBLIQUITY = (84381.406, -46.836769, -0.0001831, 0.00200340, -0.000000576, -0.0000000434)


def unit_vectors(ra_deg: F64 | float, dec_deg: F64 | float) -> F64:
    """Return the unit vectors (..., 3), float64, of directions in degrees."""
    ra, dec = np.radians(np.asarray(ra_deg, np.float64)), np.radians(np.asarray(dec_deg, np.float64))
    vectors: F64 = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec) + 0.0 * ra], axis=-1)
    return vectors


def directions(vectors: F64) -> tuple[F64, F64]:
    """Return (ra, dec) in degrees, 0 <= ra < 360, of vectors (..., 3) of any length above 0."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return _full_circle(np.degrees(np.arctan2(y, x))), np.degrees(np.arctan2(z, np.hypot(x, y)))


def separation_deg(
    ra_deg: F64 | float, dec_deg: F64 | float, other_ra_deg: F64 | float, other_dec_deg: F64 | float
) -> F64:
    """Return the angles between directions, degrees; exact for tiny and for opposite ones alike."""
    one, other = unit_vectors(ra_deg, dec_deg), unit_vectors(other_ra_deg, other_dec_deg)
    across = np.linalg.norm(np.cross(one, other), axis=-1)
    angle: F64 = np.degrees(np.arctan2(across, np.sum(one * other, axis=-1)))
    return angle


def project(ra_deg: F64 | float, dec_deg: F64 | float, ra0_deg: float, dec0_deg: float) -> tuple[F64, F64]:
    """
    Return (xi, eta), the gnomonic standard coordinates about a tangent point, in degrees: xi east, eta north.

    NaN where the direction lies 90 degrees or more from the tangent point.
    Source: Calabretta & Greisen 2002, A&A 395, 1077, section 5.1.3.
    """
    a, d = np.radians(np.asarray(ra_deg, np.float64) - ra0_deg), np.radians(np.asarray(dec_deg, np.float64))
    d0 = np.radians(dec0_deg)
    sin_d, cos_d, cos_a = np.sin(d), np.cos(d), np.cos(a)
    depth = sin_d * np.sin(d0) + cos_d * np.cos(d0) * cos_a
    depth = np.where(depth > _NEAREST_HORIZON, depth, np.nan)
    xi = np.degrees(cos_d * np.sin(a) / depth)
    eta = np.degrees((sin_d * np.cos(d0) - cos_d * np.sin(d0) * cos_a) / depth)
    return xi, eta


def deproject(xi_deg: F64 | float, eta_deg: F64 | float, ra0_deg: float, dec0_deg: float) -> tuple[F64, F64]:
    """Return (ra, dec) in degrees, 0 <= ra < 360, of gnomonic coordinates in degrees: the inverse of `project`."""
    xi, eta = np.radians(np.asarray(xi_deg, np.float64)), np.radians(np.asarray(eta_deg, np.float64))
    d0 = np.radians(dec0_deg)
    across = np.cos(d0) - eta * np.sin(d0)
    ra = _full_circle(ra0_deg + np.degrees(np.arctan2(xi, across)))
    dec = np.degrees(np.arctan2(np.sin(d0) + eta * np.cos(d0), np.hypot(xi, across)))
    return ra, dec


def project_equal_area(ra_deg: F64 | float, dec_deg: F64 | float, ra0_deg: float, dec0_deg: float) -> tuple[F64, F64]:
    """
    Return (x, y), the zenithal equal-area coordinates about a centre, in degrees: x east, y north.

    At a distance z from the centre the radius is 2 sin(z / 2). NaN within 0.1 degrees of the point opposite to it.
    Source: Calabretta & Greisen 2002, A&A 395, 1077, section 5.1.7 (ZEA).
    """
    a, d = np.radians(np.asarray(ra_deg, np.float64) - ra0_deg), np.radians(np.asarray(dec_deg, np.float64))
    d0 = np.radians(dec0_deg)
    sin_d, cos_d, cos_a = np.sin(d), np.cos(d), np.cos(a)
    depth = 1.0 + (sin_d * np.sin(d0) + cos_d * np.cos(d0) * cos_a)
    stretch = np.sqrt(2.0 / np.where(depth > _NEAREST_HORIZON, depth, np.nan))
    x = np.degrees(cos_d * np.sin(a) * stretch)
    y = np.degrees((sin_d * np.cos(d0) - cos_d * np.sin(d0) * cos_a) * stretch)
    return x, y


def deproject_equal_area(x_deg: F64 | float, y_deg: F64 | float, ra0_deg: float, dec0_deg: float) -> tuple[F64, F64]:
    """
    Return (ra, dec) in degrees, 0 <= ra < 360, of zenithal equal-area coordinates: the inverse of `project_equal_area`.

    NaN outside of the circle that the whole sphere fills (a radius of 2 radians).
    """
    x, y = np.radians(np.asarray(x_deg, np.float64)), np.radians(np.asarray(y_deg, np.float64))
    d0 = np.radians(dec0_deg)
    half = (x * x + y * y) / 2.0
    shrink = np.sqrt(1.0 - np.where(half <= 2.0, half, np.nan) / 2.0)
    east, north, depth = x * shrink, y * shrink, 1.0 - half
    across = depth * np.cos(d0) - north * np.sin(d0)
    ra = _full_circle(ra0_deg + np.degrees(np.arctan2(east, across)))
    dec = np.degrees(np.arctan2(depth * np.sin(d0) + north * np.cos(d0), np.hypot(east, across)))
    return ra, dec


def tangent_frame(ra0_deg: float, dec0_deg: float) -> F64:
    """Return float64 (3, 3): the unit vectors towards east and north at a direction, and of the direction itself."""
    ra, dec = np.radians(ra0_deg), np.radians(dec0_deg)
    sin_ra, cos_ra, sin_dec, cos_dec = np.sin(ra), np.cos(ra), np.sin(dec), np.cos(dec)
    return np.array(
        [
            [-sin_ra, cos_ra, 0.0],
            [-sin_dec * cos_ra, -sin_dec * sin_ra, cos_dec],
            [cos_dec * cos_ra, cos_dec * sin_ra, sin_dec],
        ]
    )


def move(ra_deg: F64, dec_deg: F64, pmra_mas: F64, pmdec_mas: F64, years: float) -> tuple[F64, F64]:
    """
    Return (ra, dec) in degrees after `years` of proper motion.

    Parameters
    ----------
    ra_deg, dec_deg : float64 (n,), degrees
    pmra_mas, pmdec_mas : float64 (n,), milliarcseconds a year
        Along east (mu_alpha cos delta) and north.

    Notes
    -----
    Each star steps on its own tangent plane, so that the poles are ordinary places. Parallax and radial velocity are
    left out: below 1 mas in a century for all but the nearest dozen stars.
    """
    xi, eta = np.radians(pmra_mas * (years / _MAS_PER_DEG)), np.radians(pmdec_mas * (years / _MAS_PER_DEG))
    d0 = np.radians(dec_deg)
    sin_d, cos_d = np.sin(d0), np.cos(d0)
    across = cos_d - eta * sin_d
    ra = _full_circle(ra_deg + np.degrees(np.arctan2(xi, across)))
    return ra, np.degrees(np.arctan2(sin_d + eta * cos_d, np.hypot(xi, across)))


def precess_to_icrs(ra_deg: F64 | float, dec_deg: F64 | float, year: float) -> tuple[F64, F64]:
    """
    Return (ra, dec) ICRS in degrees of directions referred to the mean equator and equinox of a Julian epoch.

    `year` is decimal, e.g. 2025.23. Nutation and aberration (up to 40 arcsec together) are left out: telescopes point
    worse. Source: IAU 2006 precession with frame bias, Capitaine & Wallace 2006, A&A 450, 855, section 8.
    """
    to_date = _precession_matrix((year - 2000.0) / 100.0)
    return directions(unit_vectors(ra_deg, dec_deg) @ to_date)  # a row times the matrix: times its transpose


def _precession_matrix(centuries: float) -> F64:
    """Return the (3, 3) rotation that takes ICRS vectors to the mean equator of date."""
    gamma, phi, psi, obliquity = (
        float(np.polynomial.polynomial.polyval(centuries, terms)) * _ARCSEC
        for terms in (_GAMMA, _PHI, _PSI, _OBLIQUITY)
    )
    matrix: F64 = _about_x(-obliquity) @ _about_z(-psi) @ _about_x(phi) @ _about_z(gamma)
    return matrix


def _about_x(angle: float) -> F64:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, s], [0.0, -s, c]])


def _about_z(angle: float) -> F64:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


def _full_circle(angle_deg: F64) -> F64:
    """Return angles in [0, 360): `mod` alone gives 360 for a tiny negative angle."""
    turned = np.mod(angle_deg, 360.0)
    return np.where(turned >= 360.0, 0.0, turned)
