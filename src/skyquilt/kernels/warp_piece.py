"""
From the raw pixels of a box to pixels that can be resampled: calibrated, mended, debayered, in one compiled call.

The names are those of `kernels.warp_prepare` and `kernels.debayer`; there is one entry a way of debayering, so that only what
a run uses is compiled. All of them take the same arguments:

raw : float32 (c, h, w), ADU
    The box of the frame that was read; not-a-number becomes 0 in place.
usable, dark, inverse_flat, defects, saturation
    As `calibrate_piece`.
frame : (x0, y0, width, height)
    First pixel of `raw`, and the size of the frame.
piece : (x0, y0, x1, y1)
    The pixels (superpixels) that the samples need; may reach beyond the frame.
origin : (x, y)
    Parity of the frame's red sites.
influence : float32 (5, 5)
    `INFLUENCE` of the method.
scratch : float32 (n,)
    Working space for the calibrated box, then the mirrored plane.
pixels : float32 (piece height, piece width, 4), written; (..., 1) for mono frames
flags : float32, like `pixels`, written if anything is bad
    For those whose `pixels` have no lane for the validity: that validity (mono), the bad sites (cfa).

They return whether anything in the box is bad.
"""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, Mask
from skyquilt.kernels.backend import exact_kernel
from skyquilt.kernels.debayer import debayer_bilinear, debayer_malvar, debayer_superpixel, interleave
from skyquilt.kernels.debayer_rcd import debayer_rcd
from skyquilt.kernels.warp_prepare import calibrate_piece, mark_bad, mirror_into, scatter_cfa

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
def make_plane(calibrated: F32, frame: Four, piece: Four, reach: int, scratch: F32) -> F32:
    """Return the first plane of the piece with `reach` pixels more on every side, mirrored beyond the frame."""
    left, top = piece[0] - reach, piece[1] - reach
    height, width = piece[3] - top + reach, piece[2] - left + reach
    if left == frame[0] and top == frame[1] and calibrated.shape[1] == height and calibrated.shape[2] == width:
        return calibrated[0]
    plane = scratch[calibrated.size : calibrated.size + height * width].reshape((height, width))
    mirror_into(calibrated[0], frame[0], frame[1], frame[2], frame[3], left, top, plane)
    return plane


@exact_kernel
def prepare_bilinear(
    raw: F32,
    usable: Mask,
    dark: F32,
    inverse_flat: F32,
    defects: Mask,
    saturation: float,
    frame: Four,
    piece: Four,
    origin: tuple[int, int],
    influence: F32,
    scratch: F32,
    pixels: F32,
    flags: F32,
) -> bool:
    """Fill the piece by the mean of the nearest sites of each colour."""
    bad = np.empty(raw.shape[1:], dtype=np.bool_)
    calibrated = scratch[: raw.size].reshape(raw.shape)
    is_bad = calibrate_piece(
        raw, usable, dark, inverse_flat, defects, frame[0], frame[1], saturation, 2, bad, calibrated
    )
    plane = make_plane(calibrated, frame, piece, 1, scratch)
    debayer_bilinear(plane, (origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1, pixels)
    if is_bad:
        mark_bad(bad, frame[0] - piece[0], frame[1] - piece[1], 1, influence, pixels)
    return is_bad


@exact_kernel
def prepare_malvar(
    raw: F32,
    usable: Mask,
    dark: F32,
    inverse_flat: F32,
    defects: Mask,
    saturation: float,
    frame: Four,
    piece: Four,
    origin: tuple[int, int],
    influence: F32,
    scratch: F32,
    pixels: F32,
    flags: F32,
) -> bool:
    """Fill the piece by gradient-corrected linear debayering."""
    bad = np.empty(raw.shape[1:], dtype=np.bool_)
    calibrated = scratch[: raw.size].reshape(raw.shape)
    is_bad = calibrate_piece(
        raw, usable, dark, inverse_flat, defects, frame[0], frame[1], saturation, 2, bad, calibrated
    )
    plane = make_plane(calibrated, frame, piece, 2, scratch)
    debayer_malvar(plane, (origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1, pixels)
    if is_bad:
        mark_bad(bad, frame[0] - piece[0], frame[1] - piece[1], 1, influence, pixels)
    return is_bad


@exact_kernel
def prepare_rcd(
    raw: F32,
    usable: Mask,
    dark: F32,
    inverse_flat: F32,
    defects: Mask,
    saturation: float,
    frame: Four,
    piece: Four,
    origin: tuple[int, int],
    influence: F32,
    scratch: F32,
    pixels: F32,
    flags: F32,
) -> bool:
    """Fill the piece by edge-directed debayering."""
    bad = np.empty(raw.shape[1:], dtype=np.bool_)
    calibrated = scratch[: raw.size].reshape(raw.shape)
    is_bad = calibrate_piece(
        raw, usable, dark, inverse_flat, defects, frame[0], frame[1], saturation, 2, bad, calibrated
    )
    plane = make_plane(calibrated, frame, piece, 7, scratch)
    debayer_rcd(plane, (origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1, pixels)
    if is_bad:
        mark_bad(bad, frame[0] - piece[0], frame[1] - piece[1], 1, influence, pixels)
    return is_bad


@exact_kernel
def prepare_superpixel(
    raw: F32,
    usable: Mask,
    dark: F32,
    inverse_flat: F32,
    defects: Mask,
    saturation: float,
    frame: Four,
    piece: Four,
    origin: tuple[int, int],
    influence: F32,
    scratch: F32,
    pixels: F32,
    flags: F32,
) -> bool:
    """Fill the piece with superpixels."""
    bad = np.empty(raw.shape[1:], dtype=np.bool_)
    calibrated = scratch[: raw.size].reshape(raw.shape)
    is_bad = calibrate_piece(
        raw, usable, dark, inverse_flat, defects, frame[0], frame[1], saturation, 2, bad, calibrated
    )
    cells = (2 * piece[0], 2 * piece[1], 2 * piece[2], 2 * piece[3])
    plane = make_plane(calibrated, frame, cells, 0, scratch)
    debayer_superpixel(plane, origin[0], origin[1], pixels)
    if is_bad:
        mark_bad(bad, frame[0] - cells[0], frame[1] - cells[1], 2, influence, pixels)
    return is_bad


@exact_kernel
def prepare_cube(
    raw: F32,
    usable: Mask,
    dark: F32,
    inverse_flat: F32,
    defects: Mask,
    saturation: float,
    frame: Four,
    piece: Four,
    origin: tuple[int, int],
    influence: F32,
    scratch: F32,
    pixels: F32,
    flags: F32,
) -> bool:
    """Fill the piece from the three planes of a colour frame."""
    bad = np.empty(raw.shape[1:], dtype=np.bool_)
    calibrated = scratch[: raw.size].reshape(raw.shape)
    is_bad = calibrate_piece(
        raw, usable, dark, inverse_flat, defects, frame[0], frame[1], saturation, 1, bad, calibrated
    )
    height, width = piece[3] - piece[1], piece[2] - piece[0]
    planes = scratch[raw.size : raw.size + 3 * height * width].reshape((3, height, width))
    for channel in range(3):
        mirror_into(calibrated[channel], frame[0], frame[1], frame[2], frame[3], piece[0], piece[1], planes[channel])
    interleave(planes, pixels)
    if is_bad:
        mark_bad(bad, frame[0] - piece[0], frame[1] - piece[1], 1, influence, pixels)
    return is_bad


@exact_kernel
def prepare_mono(
    raw: F32,
    usable: Mask,
    dark: F32,
    inverse_flat: F32,
    defects: Mask,
    saturation: float,
    frame: Four,
    piece: Four,
    origin: tuple[int, int],
    influence: F32,
    scratch: F32,
    pixels: F32,
    flags: F32,
) -> bool:
    """Fill the piece of a frame without colours."""
    bad = np.empty(raw.shape[1:], dtype=np.bool_)
    calibrated = scratch[: raw.size].reshape(raw.shape)
    is_bad = calibrate_piece(
        raw, usable, dark, inverse_flat, defects, frame[0], frame[1], saturation, 1, bad, calibrated
    )
    plane = pixels.reshape(pixels.shape[:2])
    mirror_into(calibrated[0], frame[0], frame[1], frame[2], frame[3], piece[0], piece[1], plane)
    if is_bad:
        flags[:] = np.float32(1.0)
        mark_bad(bad, frame[0] - piece[0], frame[1] - piece[1], 1, influence, flags)
    return is_bad


@exact_kernel
def prepare_cfa(
    raw: F32,
    usable: Mask,
    dark: F32,
    inverse_flat: F32,
    defects: Mask,
    saturation: float,
    frame: Four,
    piece: Four,
    origin: tuple[int, int],
    influence: F32,
    scratch: F32,
    pixels: F32,
    flags: F32,
) -> bool:
    """Fill the piece with each raw pixel in the lane of its colour."""
    bad = np.empty(raw.shape[1:], dtype=np.bool_)
    calibrated = scratch[: raw.size].reshape(raw.shape)
    is_bad = calibrate_piece(
        raw, usable, dark, inverse_flat, defects, frame[0], frame[1], saturation, 2, bad, calibrated
    )
    plane = make_plane(calibrated, frame, piece, 0, scratch)
    red_x, red_y = (origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1
    scatter_cfa(plane, red_x, red_y, pixels)
    if is_bad:
        good = np.ones((plane.shape[0], plane.shape[1], 1), dtype=np.float32)
        mark_bad(bad, frame[0] - piece[0], frame[1] - piece[1], 1, influence, good)
        scatter_cfa(np.float32(1.0) - good[:, :, 0], red_x, red_y, flags)
    return is_bad
