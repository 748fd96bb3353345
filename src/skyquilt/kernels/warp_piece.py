"""
From the calibrated pixels of a box to pixels that can be resampled, one entry a way of debayering.

There is one entry a way, so that only what a run uses is compiled. All of them take the same arguments:

raw : float32 (c, h, w), ADU
    The box of the frame that was read, calibrated and mended.
frame : (x0, y0, width, height)
    First pixel of `raw`, and the size of the frame.
piece : (x0, y0, x1, y1)
    The pixels (superpixels) that the samples need; may reach beyond the frame, where it is mirrored.
origin : (x, y)
    Parity of the frame's red sites.
star_colour : (float, float)
    As `debayer_malvar`; the others do not need it.
planes : float32 (c, h', w'), written
    Room for the piece with the reach of the method more on every side.
pixels : float32 (piece height, piece width, 4), written; (..., 1) for mono frames
    Red, green, blue and 1.
"""

from __future__ import annotations

from skyquilt.core import F32
from skyquilt.kernels.backend import exact_kernel
from skyquilt.kernels.debayer import debayer_bilinear, debayer_malvar_inside, debayer_superpixel, interleave
from skyquilt.kernels.debayer_rcd import debayer_rcd
from skyquilt.kernels.warp_prepare import is_within_box, mirror_into, scatter_cfa

__all__ = [
    "spread_bilinear",
    "spread_cfa",
    "spread_cube",
    "spread_malvar",
    "spread_mono",
    "spread_rcd",
    "spread_superpixel",
]

Four = tuple[int, int, int, int]
Two = tuple[float, float]


@exact_kernel
def spread_bilinear(
    raw: F32, frame: Four, piece: Four, origin: tuple[int, int], star_colour: Two, planes: F32, pixels: F32
) -> None:
    """Fill the piece by the mean of the nearest sites of each colour."""
    x0, y0, width, height = frame
    mirror_into(raw[0], x0, y0, width, height, piece[0] - 1, piece[1] - 1, planes[0])
    debayer_bilinear(planes[0], (origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1, pixels)


@exact_kernel
def spread_malvar(
    raw: F32, frame: Four, piece: Four, origin: tuple[int, int], star_colour: Two, planes: F32, pixels: F32
) -> None:
    """Fill the piece by gradient-corrected linear debayering, straight from `raw` where nothing is mirrored."""
    x0, y0, width, height = frame
    left, top, right, bottom = piece[0] - 2, piece[1] - 2, piece[2] + 2, piece[3] + 2
    red_x, red_y = (origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1
    plane, dx, dy = raw[0], left - x0, top - y0
    if not is_within_box(left, top, right, bottom, x0, y0, raw.shape[1], raw.shape[2]):
        mirror_into(plane, x0, y0, width, height, left, top, planes[0])
        plane, dx, dy = planes[0], left - left, top - top
    debayer_malvar_inside(plane, dx, dy, red_x, red_y, star_colour, pixels)


@exact_kernel
def spread_rcd(
    raw: F32, frame: Four, piece: Four, origin: tuple[int, int], star_colour: Two, planes: F32, pixels: F32
) -> None:
    """Fill the piece by edge-directed debayering."""
    x0, y0, width, height = frame
    mirror_into(raw[0], x0, y0, width, height, piece[0] - 8, piece[1] - 8, planes[0])
    debayer_rcd(planes[0], (origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1, pixels)


@exact_kernel
def spread_superpixel(
    raw: F32, frame: Four, piece: Four, origin: tuple[int, int], star_colour: Two, planes: F32, pixels: F32
) -> None:
    """Fill the piece with superpixels."""
    x0, y0, width, height = frame
    mirror_into(raw[0], x0, y0, width, height, 2 * piece[0], 2 * piece[1], planes[0])
    debayer_superpixel(planes[0], origin[0], origin[1], pixels)


@exact_kernel
def spread_cube(
    raw: F32, frame: Four, piece: Four, origin: tuple[int, int], star_colour: Two, planes: F32, pixels: F32
) -> None:
    """Fill the piece from the three planes of a colour frame."""
    x0, y0, width, height = frame
    for channel in range(3):
        mirror_into(raw[channel], x0, y0, width, height, piece[0], piece[1], planes[channel])
    interleave(planes, pixels)


@exact_kernel
def spread_mono(
    raw: F32, frame: Four, piece: Four, origin: tuple[int, int], star_colour: Two, planes: F32, pixels: F32
) -> None:
    """Fill the piece of a frame without colours."""
    x0, y0, width, height = frame
    mirror_into(raw[0], x0, y0, width, height, piece[0], piece[1], pixels.reshape(pixels.shape[:2]))


@exact_kernel
def spread_cfa(
    raw: F32, frame: Four, piece: Four, origin: tuple[int, int], star_colour: Two, planes: F32, pixels: F32
) -> None:
    """Fill the piece with each raw pixel in the lane of its colour."""
    x0, y0, width, height = frame
    mirror_into(raw[0], x0, y0, width, height, piece[0], piece[1], planes[0])
    scatter_cfa(planes[0], (origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1, pixels)
