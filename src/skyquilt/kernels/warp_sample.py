"""
One compiled call for one box of one frame: calibrate, debayer, resample.

The names are those of `kernels.warp` and `kernels.warp_prepare`; there is one entry a way of debayering, so that only what a
run uses is compiled. Common arguments:

raw : float32 (c, h, w), ADU
    The box of the frame that was read; not-a-number becomes 0 in place.
frame : (x0, y0, width, height)
    First pixel of `raw`, and the size of the frame.
piece : (x0, y0, x1, y1)
    The pixels (superpixels) that the samples need; may reach beyond the frame.
origin : (x, y)
    Parity of the frame's red sites.
scratch : float32 (n,)
    Working space for the calibrated box, the mirrored plane and the interleaved pixels, one after the other.
"""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64, U8, Mask
from skyquilt.kernels.backend import exact_kernel
from skyquilt.kernels.debayer import debayer_bilinear, debayer_malvar, debayer_superpixel, interleave
from skyquilt.kernels.debayer_rcd import debayer_rcd
from skyquilt.kernels.warp import warp_cfa, warp_mono, warp_rgb
from skyquilt.kernels.warp_prepare import calibrate_piece, mark_bad, mirror_into, scatter_cfa

__all__ = [
    "sample_bilinear",
    "sample_cfa",
    "sample_cube",
    "sample_malvar",
    "sample_mono",
    "sample_rcd",
    "sample_superpixel",
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
def make_pixels(piece: Four, scratch: F32) -> F32:
    """Return room for the interleaved pixels of the piece, at the end of the scratch."""
    height, width = piece[3] - piece[1], piece[2] - piece[0]
    return scratch[scratch.size - 4 * height * width :].reshape((height, width, 4))


@exact_kernel
def sample_bilinear(
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
    nodes: F64,
    box: Four,
    table: F32,
    scale: tuple[float, float, float],
    feather: tuple[float, float],
    values: F32,
    weights: U8,
) -> None:
    """Fill the samples of a box, by the mean of the nearest sites of each colour."""
    bad = np.empty(raw.shape[1:], dtype=np.bool_)
    calibrated = scratch[: raw.size].reshape(raw.shape)
    is_bad = calibrate_piece(raw, usable, dark, inverse_flat, defects, frame[0], frame[1], saturation, 2, bad, calibrated)
    plane = make_plane(calibrated, frame, piece, 1, scratch)
    pixels = make_pixels(piece, scratch)
    debayer_bilinear(plane, (origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1, pixels)
    if is_bad:
        mark_bad(bad, frame[0] - piece[0], frame[1] - piece[1], 1, influence, pixels)
    place = (piece[0], piece[1], frame[2], frame[3], 1)
    warp_rgb(pixels, nodes, box, place, table, scale, feather, values, weights)


@exact_kernel
def sample_malvar(
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
    nodes: F64,
    box: Four,
    table: F32,
    scale: tuple[float, float, float],
    feather: tuple[float, float],
    values: F32,
    weights: U8,
) -> None:
    """Fill the samples of a box, by gradient-corrected linear debayering."""
    bad = np.empty(raw.shape[1:], dtype=np.bool_)
    calibrated = scratch[: raw.size].reshape(raw.shape)
    is_bad = calibrate_piece(raw, usable, dark, inverse_flat, defects, frame[0], frame[1], saturation, 2, bad, calibrated)
    plane = make_plane(calibrated, frame, piece, 2, scratch)
    pixels = make_pixels(piece, scratch)
    debayer_malvar(plane, (origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1, pixels)
    if is_bad:
        mark_bad(bad, frame[0] - piece[0], frame[1] - piece[1], 1, influence, pixels)
    place = (piece[0], piece[1], frame[2], frame[3], 1)
    warp_rgb(pixels, nodes, box, place, table, scale, feather, values, weights)


@exact_kernel
def sample_rcd(
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
    nodes: F64,
    box: Four,
    table: F32,
    scale: tuple[float, float, float],
    feather: tuple[float, float],
    values: F32,
    weights: U8,
) -> None:
    """Fill the samples of a box, by edge-directed debayering."""
    bad = np.empty(raw.shape[1:], dtype=np.bool_)
    calibrated = scratch[: raw.size].reshape(raw.shape)
    is_bad = calibrate_piece(raw, usable, dark, inverse_flat, defects, frame[0], frame[1], saturation, 2, bad, calibrated)
    plane = make_plane(calibrated, frame, piece, 7, scratch)
    pixels = make_pixels(piece, scratch)
    debayer_rcd(plane, (origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1, pixels)
    if is_bad:
        mark_bad(bad, frame[0] - piece[0], frame[1] - piece[1], 1, influence, pixels)
    place = (piece[0], piece[1], frame[2], frame[3], 1)
    warp_rgb(pixels, nodes, box, place, table, scale, feather, values, weights)


@exact_kernel
def sample_superpixel(
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
    nodes: F64,
    box: Four,
    table: F32,
    scale: tuple[float, float, float],
    feather: tuple[float, float],
    values: F32,
    weights: U8,
) -> None:
    """Fill the samples of a box from superpixels; `piece` counts superpixels."""
    bad = np.empty(raw.shape[1:], dtype=np.bool_)
    calibrated = scratch[: raw.size].reshape(raw.shape)
    is_bad = calibrate_piece(raw, usable, dark, inverse_flat, defects, frame[0], frame[1], saturation, 2, bad, calibrated)
    cells = (2 * piece[0], 2 * piece[1], 2 * piece[2], 2 * piece[3])
    plane = make_plane(calibrated, frame, cells, 0, scratch)
    pixels = make_pixels(piece, scratch)
    debayer_superpixel(plane, origin[0], origin[1], pixels)
    if is_bad:
        mark_bad(bad, frame[0] - cells[0], frame[1] - cells[1], 2, influence, pixels)
    place = (piece[0], piece[1], frame[2] // 2, frame[3] // 2, 2)
    warp_rgb(pixels, nodes, box, place, table, scale, feather, values, weights)


@exact_kernel
def sample_cube(
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
    nodes: F64,
    box: Four,
    table: F32,
    scale: tuple[float, float, float],
    feather: tuple[float, float],
    values: F32,
    weights: U8,
) -> None:
    """Fill the samples of a box of a frame that has three planes."""
    bad = np.empty(raw.shape[1:], dtype=np.bool_)
    calibrated = scratch[: raw.size].reshape(raw.shape)
    is_bad = calibrate_piece(raw, usable, dark, inverse_flat, defects, frame[0], frame[1], saturation, 1, bad, calibrated)
    height, width = piece[3] - piece[1], piece[2] - piece[0]
    planes = scratch[raw.size : raw.size + 3 * height * width].reshape((3, height, width))
    for channel in range(3):
        mirror_into(calibrated[channel], frame[0], frame[1], frame[2], frame[3], piece[0], piece[1], planes[channel])
    pixels = make_pixels(piece, scratch)
    interleave(planes, pixels)
    if is_bad:
        mark_bad(bad, frame[0] - piece[0], frame[1] - piece[1], 1, influence, pixels)
    place = (piece[0], piece[1], frame[2], frame[3], 1)
    warp_rgb(pixels, nodes, box, place, table, scale, feather, values, weights)


@exact_kernel
def sample_mono(
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
    nodes: F64,
    box: Four,
    table: F32,
    scale: tuple[float, float, float],
    feather: tuple[float, float],
    values: F32,
    weights: U8,
) -> None:
    """Fill the samples of a box of a frame without colours."""
    bad = np.empty(raw.shape[1:], dtype=np.bool_)
    calibrated = scratch[: raw.size].reshape(raw.shape)
    is_bad = calibrate_piece(raw, usable, dark, inverse_flat, defects, frame[0], frame[1], saturation, 1, bad, calibrated)
    plane = make_plane(calibrated, frame, piece, 0, scratch)
    validity = np.ones(plane.shape if is_bad else (0, 0), dtype=np.float32)
    if is_bad:
        lane = validity.reshape((plane.shape[0], plane.shape[1], 1))
        mark_bad(bad, frame[0] - piece[0], frame[1] - piece[1], 1, influence, lane)
    place = (piece[0], piece[1], frame[2], frame[3], 1)
    warp_mono(plane, validity, nodes, box, place, table, scale[0], feather, values, weights)


@exact_kernel
def sample_cfa(
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
    nodes: F64,
    box: Four,
    table: F32,
    scale: tuple[float, float, float],
    feather: tuple[float, float],
    values: F32,
    weights: U8,
) -> None:
    """Fill the samples of a box straight from the sites of each colour; `table` is a `gaussian_table`."""
    bad = np.empty(raw.shape[1:], dtype=np.bool_)
    calibrated = scratch[: raw.size].reshape(raw.shape)
    is_bad = calibrate_piece(raw, usable, dark, inverse_flat, defects, frame[0], frame[1], saturation, 2, bad, calibrated)
    plane = make_plane(calibrated, frame, piece, 0, scratch)
    pixels = make_pixels(piece, scratch)
    red = ((origin[0] + piece[0]) & 1, (origin[1] + piece[1]) & 1)
    scatter_cfa(plane, red[0], red[1], pixels)
    bad_pixels = np.zeros(pixels.shape if is_bad else (0, 0, 0), dtype=np.float32)
    if is_bad:
        good = np.ones((plane.shape[0], plane.shape[1], 1), dtype=np.float32)
        mark_bad(bad, frame[0] - piece[0], frame[1] - piece[1], 1, influence, good)
        scatter_cfa(np.float32(1.0) - good[:, :, 0], red[0], red[1], bad_pixels)
    place = (piece[0], piece[1], frame[2], frame[3], 1)
    warp_cfa(pixels, bad_pixels, red, nodes, box, place, table, scale, feather, values, weights)
