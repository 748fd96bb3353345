"""
The tiles of a HiPS: which pixel of the sky is where in them, their names and headers.

Inside this room a tile is an array [..., ix, iy] of HEALPix pixels, ix to the north-east, iy to the north-west. In a
FITS file the first row has the largest ix (east to north), columns count iy; in a PNG or JPEG the rows go the other
way (HiPS 1.0, section 4.2.1: contrary to FITS, lines are stored from top to bottom).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F32, F64, I64
from skyquilt.core.sky import face_pixels, healpix_side_deg, spread_bits

__all__ = [
    "LOWEST_ORDER",
    "SHIFT",
    "WIDTH",
    "deepest_order",
    "fits_rows",
    "halved",
    "picture_rows",
    "tile_cards",
    "tile_path",
    "tile_pixels",
]

Card = tuple[str, object, str]
SHIFT = 9
WIDTH = 1 << SHIFT
LOWEST_ORDER = 3
_MOST_ORDER = 20
_FACE_MIDDLE_DEG = (
    [(45 + 90 * k, 45) for k in range(4)] + [(90 * k, 0) for k in range(4)] + [(45 + 90 * k, -45) for k in range(4)]
)


def deepest_order(scale_arcsec: float) -> int:
    """Return the first order, from 3 up, whose pixels are not larger than those of a canvas of that scale."""
    order = LOWEST_ORDER
    while order < _MOST_ORDER and healpix_side_deg(order + SHIFT) * 3600.0 > scale_arcsec:
        order += 1
    return order


def tile_path(folder: Path, order: int, number: int, suffix: str) -> Path:
    """Return where a tile lies: ``NorderK/DirD/NpixN.suffix``, D being N in whole ten thousands."""
    return folder / f"Norder{order}" / f"Dir{number // 10000 * 10000}" / f"Npix{number}.{suffix}"


def tile_pixels(number: int) -> I64:
    """Return the nested numbers, int64 (512, 512), of the pixels [ix, iy] of a tile, nine orders below it."""
    bits = spread_bits(np.arange(WIDTH, dtype=np.int64))
    return (number << 2 * SHIFT) + bits[:, None] + (bits[None, :] << 1)


def fits_rows(tile: NDArray[Any]) -> NDArray[Any]:
    """Return a tile [..., ix, iy] as its rows stand in a FITS file; undoes itself."""
    return tile[..., ::-1, :]


def picture_rows(tile: NDArray[Any]) -> NDArray[Any]:
    """Return a tile [..., ix, iy] as its rows stand in a PNG or JPEG, the uppermost first."""
    return fits_rows(tile)[..., ::-1, :]


def halved(tile: F32) -> F32:
    """Return the means of the known ones of 2 x 2 pixels, float32 (channel, y / 2, x / 2); NaN where none is known."""
    c, h, w = tile.shape
    cells = tile.reshape(c, h // 2, 2, w // 2, 2).astype(np.float64)
    is_known = np.isfinite(cells)
    with np.errstate(invalid="ignore"):
        mean: F64 = np.where(is_known, cells, 0.0).sum(axis=(2, 4)) / is_known.sum(axis=(2, 4))
    result: F32 = mean.astype(np.float32)
    return result


def tile_cards(order: int, number: int) -> list[Card]:
    """
    Return the cards of a FITS tile: its place in the HiPS, and the same as world coordinates.

    In the projection HPX the faces are squares standing on a corner, so that a tile has square pixels turned by 45
    degrees (HiPS 1.0; Calabretta & Roukema 2007, MNRAS 381, 865).
    """
    face, ix, iy = (int(part) for part in face_pixels(order, np.asarray(number)))
    n = 1 << order
    u, v = (ix + 0.5) / n - 0.5, (iy + 0.5) / n - 0.5
    middle_x, middle_y = _FACE_MIDDLE_DEG[face]
    x, y = middle_x + 45.0 * (u - v), middle_y + 45.0 * (u + v)
    x -= 360.0 * (x > 180.0)
    step = 45.0 / (n * WIDTH)
    # the middle of the tile, pixel (257, 257) - 0.5, lies at (x, y): x = -s (a + b), y = s (a - b)
    a, b = (y - x) / (2.0 * step), -(y + x) / (2.0 * step)
    return [
        ("ORDER", order, "HiPS order of the tile"),
        ("NPIX", number, "HEALPix number of the tile, nested"),
        ("WCSAXES", 2, "number of world axes"),
        ("CTYPE1", "RA---HPX", "right ascension, HEALPix"),
        ("CTYPE2", "DEC--HPX", "declination, HEALPix"),
        ("CUNIT1", "deg", ""),
        ("CUNIT2", "deg", ""),
        ("CRVAL1", 0.0, ""),
        ("CRVAL2", 0.0, ""),
        ("CRPIX1", (WIDTH + 1) / 2.0 - a, ""),
        ("CRPIX2", (WIDTH + 1) / 2.0 - b, ""),
        ("CD1_1", -step, ""),
        ("CD1_2", -step, ""),
        ("CD2_1", step, ""),
        ("CD2_2", -step, ""),
        ("PV2_1", 4, "facets around the equator"),
        ("PV2_2", 3, "facets from pole to pole"),
        ("RADESYS", "ICRS", "frame of the coordinates"),
    ]
