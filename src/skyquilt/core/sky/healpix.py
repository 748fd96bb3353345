"""
The sphere in equal pixels (HEALPix), nested numbering: directions to pixels and back.

Twelve faces of nside x nside pixels. In a face the pixel (ix, iy) counts from its southern corner, ix towards the
north-east, iy towards the north-west; its number is ``face nside^2 + z``, where z has the bits of ix in its even and
those of iy in its odd places. Source: Gorski et al. 2005, ApJ 622, 759, sections 4 and 5 and appendix; the plane in
which the faces are squares is that of Calabretta & Roukema 2007, MNRAS 381, 865 (FITS projection HPX).
"""

from __future__ import annotations

import math

import numpy as np

from skyquilt.core.arrays import F64, I64

__all__ = [
    "MOST_ORDER",
    "face_pixels",
    "healpix_corner_reach_deg",
    "healpix_directions",
    "healpix_number",
    "healpix_side_deg",
    "spread_bits",
]

# where the southern corner of each face lies in units of half a face: rows from the north pole, columns to the east
_ROW = np.array([2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4])
_COLUMN = np.array([1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7])
MOST_ORDER = 29
"""The deepest order whose numbers fit into 62 bits."""


def healpix_side_deg(order: int) -> float:
    """Return the side of a pixel, degrees: the square root of its area."""
    return math.ldexp(math.degrees(math.sqrt(4.0 * math.pi / 12.0)), -order)


def healpix_corner_reach_deg(order: int) -> float:
    """Return a distance, degrees, within which all of a pixel lies from its centre: 5 % above the largest there is."""
    return 1.1 * healpix_side_deg(order)


def spread_bits(numbers: I64) -> I64:
    """Return numbers below 2^31 with a zero bit put in front of each of their bits."""
    z = numbers.astype(np.uint64)
    for shift, mask in (
        (16, 0x0000FFFF0000FFFF),
        (8, 0x00FF00FF00FF00FF),
        (4, 0x0F0F0F0F0F0F0F0F),
        (2, 0x3333333333333333),
        (1, 0x5555555555555555),
    ):
        z = (z | (z << np.uint64(shift))) & np.uint64(mask)
    return z.astype(np.int64)


def _gather_bits(z: I64) -> I64:
    """Return every second bit: the inverse of `spread_bits`."""
    bits = z.astype(np.uint64) & np.uint64(0x5555555555555555)
    for shift, mask in (
        (1, 0x3333333333333333),
        (2, 0x0F0F0F0F0F0F0F0F),
        (4, 0x00FF00FF00FF00FF),
        (8, 0x0000FFFF0000FFFF),
        (16, 0x00000000FFFFFFFF),
    ):
        bits = (bits | (bits >> np.uint64(shift))) & np.uint64(mask)
    return bits.astype(np.int64)


def face_pixels(order: int, number: I64) -> tuple[I64, I64, I64]:
    """Return (face, ix, iy) of pixel numbers."""
    number = np.asarray(number, np.int64)
    inside = number & ((1 << 2 * order) - 1)
    return number >> 2 * order, _gather_bits(inside), _gather_bits(inside >> 1)


def healpix_directions(order: int, number: I64) -> tuple[F64, F64]:
    """
    Return (ra, dec), float64 degrees, of the centres of pixels.

    Parameters
    ----------
    order : int, 0 to 29
        nside = 2^order.
    number : int64, any shape
        0 <= number < 12 nside^2, nested.
    """
    face, ix, iy = face_pixels(order, number)
    return _plane_directions(face, (ix + 0.5) / 2**order, (iy + 0.5) / 2**order)


def _plane_directions(face: I64, u: F64, v: F64) -> tuple[F64, F64]:
    """Return directions of places in faces; u to the north-east and v to the north-west, 0 to 1."""
    down = _ROW[face] - u - v  # from the north pole in half faces: 1 and 3 are where caps and belt meet
    is_north, is_south = down < 1.0, down > 3.0
    ring = np.where(is_north, down, np.where(is_south, 4.0 - down, 1.0))
    across = u - v
    # from the middle of the face to the east, in quarter turns: meridians draw together towards the poles
    with np.errstate(divide="ignore", invalid="ignore"):
        quarter = np.where(ring > 0.0, across / ring, 0.0)
    ra = 45.0 * (_COLUMN[face] + quarter)
    to_pole = np.degrees(2.0 * np.arcsin(np.minimum(1.0, ring / math.sqrt(6.0))))
    belt = np.degrees(np.arcsin(np.clip((2.0 - down) * 2.0 / 3.0, -1.0, 1.0)))
    dec = np.where(is_north, 90.0 - to_pole, np.where(is_south, to_pole - 90.0, belt))
    turned = np.mod(ra, 360.0)
    return np.where(turned >= 360.0, 0.0, turned), dec


def healpix_number(order: int, ra_deg: F64 | float, dec_deg: F64 | float) -> I64:
    """
    Return the nested numbers, int64, of the pixels that hold directions.

    Parameters
    ----------
    order : int, 0 to 29
    ra_deg, dec_deg : float64, degrees
        Finite.
    """
    nside = 1 << order
    turn = np.mod(np.asarray(ra_deg, np.float64), 360.0) / 90.0
    turn = np.where(turn >= 4.0, 0.0, turn)
    dec = np.radians(np.asarray(dec_deg, np.float64))
    z = np.sin(dec)
    turn, z, dec = np.broadcast_arrays(turn, z, dec)
    # the belt between the polar caps: lines of constant turn - 3/4 z and turn + 3/4 z are the edges of the pixels
    falling, rising = 0.5 + turn - 0.75 * z, 0.5 + turn + 0.75 * z
    strip_f, strip_r = np.floor(falling).astype(np.int64), np.floor(rising).astype(np.int64)
    face = np.where(strip_f == strip_r, strip_f % 4 + 4, np.where(strip_f < strip_r, strip_f % 4, strip_r % 4 + 8))
    u, v = rising - strip_r, 1.0 - (falling - strip_f)
    # the caps: each quarter is a triangle of a face whose third corner is the pole
    is_cap = np.abs(z) > 2.0 / 3.0
    quarter = np.minimum(turn.astype(np.int64), 3)
    within = turn - quarter
    # sqrt(3 (1 - |z|)), without cancellation near the poles
    ring = math.sqrt(6.0) * np.sin(0.5 * (0.5 * math.pi - np.abs(dec)))
    east, west = within * ring, (1.0 - within) * ring
    is_north = z > 0.0
    face = np.where(is_cap, np.where(is_north, quarter, quarter + 8), face)
    u = np.where(is_cap, np.where(is_north, 1.0 - west, east), u)
    v = np.where(is_cap, np.where(is_north, 1.0 - east, west), v)
    ix = np.clip(np.floor(u * nside), 0, nside - 1).astype(np.int64)
    iy = np.clip(np.floor(v * nside), 0, nside - 1).astype(np.int64)
    return (face << 2 * order) + spread_bits(ix) + (spread_bits(iy) << 1)
