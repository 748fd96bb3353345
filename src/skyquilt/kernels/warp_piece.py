"""
From the raw pixels of a box to pixels that can be resampled: calibrated, mended, debayered, in one compiled call.

The names are those of `kernels.warp_prepare` and `kernels.debayer`; there is one entry a way of debayering, so that
only what a run uses is compiled. All of them take the same arguments:

raw : float32 (c, h, w), ADU
    The box of the frame that was read; calibrated and mended in place.
usable, dark, inverse_flat, defects, rows, saturation
    As `calibrate_piece`.
frame : (x0, y0, width, height)
    First pixel of `raw`, and the size of the frame.
piece : (x0, y0, x1, y1)
    The pixels (superpixels) that the samples need; may reach beyond the frame.
origin : (x, y)
    Parity of the frame's red sites.
star_colour : (float, float)
    As `debayer_malvar`; the others do not need it.
influence : float32 (5, 5)
    `INFLUENCE` of the method.
bad : as `calibrate_piece`, written
planes : float32 (c, h', w'), written
    The piece with the reach of the method more on every side, mirrored beyond the frame.
pixels : float32 (piece height, piece width, 4), written; (..., 1) for mono frames
flags : float32, like `pixels`, written if anything is bad
    For those whose `pixels` have no lane for the validity: that validity (mono), the bad sites (cfa).

They return whether anything in the box is bad.
"""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, I32, I64, Mask
from skyquilt.kernels.backend import exact_kernel
from skyquilt.kernels.debayer import debayer_bilinear, debayer_malvar_inside, debayer_superpixel, interleave
from skyquilt.kernels.debayer_rcd import debayer_rcd
from skyquilt.kernels.warp_prepare import calibrate_piece, is_within_box, mark_bad, mirror_into, scatter_cfa

__all__ = [
    "prepare_bilinear",
    "prepare_cfa",
    "prepare_cube",
    "prepare_malvar",
    "prepare_mono",
    "prepare_rcd",
    "prepare_superpixel",
]

Four = tuple[int, int, int, int]


@exact_kernel
def prepare_bilinear(
    raw: F32,
    usable: Mask,
    dark: F32,
    inverse_flat: F32,
    defects: Mask,
    rows: tuple[I64, I32],
    saturation: float,
    frame: Four,
    piece: Four,
    origin: tuple[int, int],
    star_colour: tuple[float, float],
    influence: F32,
    bad: I32,
    planes: F32,
    pixels: F32,
    flags: F32,
) -> bool:
    """Fill the piece by the mean of the nearest sites of each colour."""
    x0, y0, width, height = frame
    n_bad = calibrate_piece(raw, usable, dark, inverse_flat, defects, rows, x0, y0, saturation, 2, bad)
    plane = planes[0]
    mirror_into(raw[0], x0, y0, width, height, piece[0] - 1, piece[1] - 1, plane)
    debayer_bilinear(plane, (origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1, pixels)
    if n_bad > 0:
        mark_bad(bad[:n_bad], raw.shape[2], x0 - piece[0], y0 - piece[1], 1, influence, pixels)
    return n_bad > 0


@exact_kernel
def prepare_malvar(
    raw: F32,
    usable: Mask,
    dark: F32,
    inverse_flat: F32,
    defects: Mask,
    rows: tuple[I64, I32],
    saturation: float,
    frame: Four,
    piece: Four,
    origin: tuple[int, int],
    star_colour: tuple[float, float],
    influence: F32,
    bad: I32,
    planes: F32,
    pixels: F32,
    flags: F32,
) -> bool:
    """Fill the piece by gradient-corrected linear debayering."""
    x0, y0, width, height = frame
    n_bad = calibrate_piece(raw, usable, dark, inverse_flat, defects, rows, x0, y0, saturation, 2, bad)
    left, top, right, bottom = piece[0] - 2, piece[1] - 2, piece[2] + 2, piece[3] + 2
    red_x, red_y = (origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1
    if is_within_box(left, top, right, bottom, x0, y0, raw.shape[1], raw.shape[2]):
        debayer_malvar_inside(raw[0], left - x0, top - y0, red_x, red_y, star_colour, pixels)
    else:
        mirror_into(raw[0], x0, y0, width, height, left, top, planes[0])
        debayer_malvar_inside(planes[0], 0, 0, red_x, red_y, star_colour, pixels)
    if n_bad > 0:
        mark_bad(bad[:n_bad], raw.shape[2], x0 - piece[0], y0 - piece[1], 1, influence, pixels)
    return n_bad > 0


@exact_kernel
def prepare_rcd(
    raw: F32,
    usable: Mask,
    dark: F32,
    inverse_flat: F32,
    defects: Mask,
    rows: tuple[I64, I32],
    saturation: float,
    frame: Four,
    piece: Four,
    origin: tuple[int, int],
    star_colour: tuple[float, float],
    influence: F32,
    bad: I32,
    planes: F32,
    pixels: F32,
    flags: F32,
) -> bool:
    """Fill the piece by edge-directed debayering."""
    x0, y0, width, height = frame
    n_bad = calibrate_piece(raw, usable, dark, inverse_flat, defects, rows, x0, y0, saturation, 2, bad)
    plane = planes[0]
    mirror_into(raw[0], x0, y0, width, height, piece[0] - 8, piece[1] - 8, plane)
    debayer_rcd(plane, (origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1, pixels)
    if n_bad > 0:
        mark_bad(bad[:n_bad], raw.shape[2], x0 - piece[0], y0 - piece[1], 1, influence, pixels)
    return n_bad > 0


@exact_kernel
def prepare_superpixel(
    raw: F32,
    usable: Mask,
    dark: F32,
    inverse_flat: F32,
    defects: Mask,
    rows: tuple[I64, I32],
    saturation: float,
    frame: Four,
    piece: Four,
    origin: tuple[int, int],
    star_colour: tuple[float, float],
    influence: F32,
    bad: I32,
    planes: F32,
    pixels: F32,
    flags: F32,
) -> bool:
    """Fill the piece with superpixels."""
    x0, y0, width, height = frame
    n_bad = calibrate_piece(raw, usable, dark, inverse_flat, defects, rows, x0, y0, saturation, 2, bad)
    cells = (2 * piece[0], 2 * piece[1], 2 * piece[2], 2 * piece[3])
    plane = planes[0]
    mirror_into(raw[0], x0, y0, width, height, cells[0], cells[1], plane)
    debayer_superpixel(plane, origin[0], origin[1], pixels)
    if n_bad > 0:
        mark_bad(bad[:n_bad], raw.shape[2], x0 - cells[0], y0 - cells[1], 2, influence, pixels)
    return n_bad > 0


@exact_kernel
def prepare_cube(
    raw: F32,
    usable: Mask,
    dark: F32,
    inverse_flat: F32,
    defects: Mask,
    rows: tuple[I64, I32],
    saturation: float,
    frame: Four,
    piece: Four,
    origin: tuple[int, int],
    star_colour: tuple[float, float],
    influence: F32,
    bad: I32,
    planes: F32,
    pixels: F32,
    flags: F32,
) -> bool:
    """Fill the piece from the three planes of a colour frame."""
    x0, y0, width, height = frame
    n_bad = calibrate_piece(raw, usable, dark, inverse_flat, defects, rows, x0, y0, saturation, 1, bad)
    for channel in range(3):
        mirror_into(raw[channel], x0, y0, width, height, piece[0], piece[1], planes[channel])
    interleave(planes, pixels)
    if n_bad > 0:
        mark_bad(bad[:n_bad], raw.shape[2], x0 - piece[0], y0 - piece[1], 1, influence, pixels)
    return n_bad > 0


@exact_kernel
def prepare_mono(
    raw: F32,
    usable: Mask,
    dark: F32,
    inverse_flat: F32,
    defects: Mask,
    rows: tuple[I64, I32],
    saturation: float,
    frame: Four,
    piece: Four,
    origin: tuple[int, int],
    star_colour: tuple[float, float],
    influence: F32,
    bad: I32,
    planes: F32,
    pixels: F32,
    flags: F32,
) -> bool:
    """Fill the piece of a frame without colours."""
    x0, y0, width, height = frame
    n_bad = calibrate_piece(raw, usable, dark, inverse_flat, defects, rows, x0, y0, saturation, 1, bad)
    mirror_into(raw[0], x0, y0, width, height, piece[0], piece[1], pixels.reshape(pixels.shape[:2]))
    if n_bad > 0:
        flags[:] = np.float32(1.0)
        mark_bad(bad[:n_bad], raw.shape[2], x0 - piece[0], y0 - piece[1], 1, influence, flags)
    return n_bad > 0


@exact_kernel
def prepare_cfa(
    raw: F32,
    usable: Mask,
    dark: F32,
    inverse_flat: F32,
    defects: Mask,
    rows: tuple[I64, I32],
    saturation: float,
    frame: Four,
    piece: Four,
    origin: tuple[int, int],
    star_colour: tuple[float, float],
    influence: F32,
    bad: I32,
    planes: F32,
    pixels: F32,
    flags: F32,
) -> bool:
    """Fill the piece with each raw pixel in the lane of its colour."""
    x0, y0, width, height = frame
    n_bad = calibrate_piece(raw, usable, dark, inverse_flat, defects, rows, x0, y0, saturation, 2, bad)
    plane = planes[0]
    mirror_into(raw[0], x0, y0, width, height, piece[0], piece[1], plane)
    red_x, red_y = (origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1
    scatter_cfa(plane, red_x, red_y, pixels)
    if n_bad > 0:
        good = np.ones((plane.shape[0], plane.shape[1], 1), dtype=np.float32)
        mark_bad(bad[:n_bad], raw.shape[2], x0 - piece[0], y0 - piece[1], 1, influence, good)
        scatter_cfa(np.float32(1.0) - good[:, :, 0], red_x, red_y, flags)
    return n_bad > 0
