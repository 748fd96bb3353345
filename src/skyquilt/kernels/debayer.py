"""
Debayering loops: from a mirrored piece of the colour filter array to interleaved red, green, blue, validity.

Readable definitions: `kernels.debayer_definition`. Every loop computes all the filters for every pixel of a row and
picks by parity, which the compiler turns into vector code (through row buffers: it does not vectorise the filters and
the interleaving in one loop); nothing is contracted, so that a pixel does not depend on its box.

Names shared by all of them:

plane : float32 (h + 2 reach, w + 2 reach)
    The raw pixels with a margin of the method's reach on every side.
red_x, red_y : 0 or 1
    Parity of the red sites, counted from the first output pixel.
out : float32 (h, w, 4), written
    Red, green, blue and 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from skyquilt.core import F32
from skyquilt.kernels.backend import exact_called, exact_inlined, exact_kernel
from skyquilt.kernels.lanes import WIDTH, lane_numbers, load, pick, splat, store_four, whole_part

__all__ = ["REACH", "debayer_bilinear", "debayer_malvar", "debayer_malvar_inside", "debayer_superpixel", "interleave"]

REACH = {"bilinear": 1, "malvar": 2, "rcd": 8, "superpixel": 0, "cfa": 0}


@exact_kernel
def interleave_row(red: F32, green: F32, blue: F32, line: F32) -> None:
    """Fill `line`, float32 (4 n,), with red, green, blue, 1 of each of its n pixels."""
    for x in range(line.shape[0] // 4):
        line[4 * x] = red[x]
        line[4 * x + 1] = green[x]
        line[4 * x + 2] = blue[x]
        line[4 * x + 3] = np.float32(1.0)


@exact_kernel
def debayer_bilinear(plane: F32, red_x: int, red_y: int, out: F32) -> None:
    """
    Fill `out` with the mean of the nearest sites of each colour; reach 1.

    Notes
    -----
    Definition: `debayer_definition.bilinear`.
    """
    height, width, _ = out.shape
    quarter, half = np.float32(0.25), np.float32(0.5)
    rows = np.empty((3, width), dtype=np.float32)
    own, green, other = rows[0], rows[1], rows[2]
    for y in range(height):
        above, row, below = plane[y], plane[y + 1], plane[y + 2]
        is_red_row = (y & 1) == red_y
        colour_x = red_x if is_red_row else 1 - red_x
        for x in range(width):
            centre = row[x + 1]
            beside = row[x] + row[x + 2]
            over = above[x + 1] + below[x + 1]
            corners = (above[x] + above[x + 2]) + (below[x] + below[x + 2])
            is_colour = (x & 1) == colour_x
            own[x] = centre if is_colour else half * beside
            green[x] = quarter * (beside + over) if is_colour else centre
            other[x] = quarter * corners if is_colour else half * over
        interleave_row(own if is_red_row else other, green, other if is_red_row else own, out[y].ravel())


@exact_inlined
def _malvar_lanes(flat: F32, start: int, stride: int, is_colour: Any, shares: tuple[Any, Any, Any, Any]) -> Any:
    """
    Return the row's own colour, green and the other colour of lanes whose 5 x 5 windows begin at `start`.

    `shares` says what a Laplacian of the colour that was measured is worth in the colour that is wanted: own in green,
    green in own, green in the other, own in the other.
    """
    to_green, to_own, to_other, own_to_other = shares
    eighth, half, three_halves = splat(0.125), splat(0.5), splat(1.5)
    two, four, five, six = splat(2.0), splat(4.0), splat(5.0), splat(6.0)
    above, row, below = start + stride, start + 2 * stride, start + 3 * stride
    centre = load(flat, row + 2)
    beside = load(flat, row + 1) + load(flat, row + 3)
    over = load(flat, above + 2) + load(flat, below + 2)
    far_beside = load(flat, row) + load(flat, row + 4)
    far_over = load(flat, start + 2) + load(flat, start + 4 * stride + 2)
    corners = (load(flat, above + 1) + load(flat, above + 3)) + (load(flat, below + 1) + load(flat, below + 3))
    far = far_beside + far_over
    cross = (two * (beside + over) + to_green * (four * centre - far)) * eighth
    sideways = five * centre - (far_beside + corners) + half * far_over
    upwards = five * centre - (far_over + corners) + half * far_beside
    across = (four * beside + to_own * sideways) * eighth
    along = (four * over + to_other * upwards) * eighth
    diagonal = (two * corners + own_to_other * (six * centre - three_halves * far)) * eighth
    return pick(is_colour, centre, across), pick(is_colour, cross, centre), pick(is_colour, diagonal, along)


@exact_kernel
def debayer_malvar(plane: F32, red_x: int, red_y: int, star_colour: tuple[float, float], out: F32) -> None:
    """
    Fill `out` with the 5 x 5 gradient-corrected linear interpolation, balanced for stars; reach 2.

    Parameters
    ----------
    star_colour : (float, float)
        Red over green and blue over green of a usual star.

    Notes
    -----
    Definition: `debayer_definition.malvar`. Source: Malvar, He & Cutler 2004, ICASSP, figure 2.
    """
    debayer_malvar_inside(plane, int(0), int(0), red_x, red_y, star_colour, out)


@exact_kernel
def debayer_malvar_inside(
    plane: F32, left: int, top: int, red_x: int, red_y: int, star_colour: tuple[float, float], out: F32
) -> None:
    """
    Do `debayer_malvar` for the part of a larger plane that begins at (left, top).

    `WIDTH` pixels at a time; the last ones of a row once more with some of those before, so that nothing beyond the row
    is touched.
    """
    height, width, _ = out.shape
    flat, start, stride, n = plane.ravel(), top * plane.shape[1] + left, plane.shape[1], width
    result = out.ravel()
    if width < WIDTH:  # too narrow for a vector: with room to the right, of which nothing is kept
        n = int(WIDTH)
        wide = np.zeros((height + 4) * (n + 4), dtype=np.float32)
        for y in range(height + 4):
            for x in range(width + 4):
                wide[y * (n + 4) + x] = flat[start + y * stride + x]
        flat, start, stride = wide, start - start, n + 4
        result = np.empty(4 * height * n, dtype=np.float32)
    _malvar_rows(flat, start, stride, red_x, red_y, star_colour, height, n, result)
    if width < WIDTH:
        for y in range(height):
            for x in range(width):
                for lane in range(4):
                    out[y, x, lane] = result[4 * (y * n + x) + lane]


@exact_called
def _malvar_rows(
    flat: F32,
    start: int,
    stride: int,
    red_x: int,
    red_y: int,
    star_colour: tuple[float, float],
    height: int,
    width: int,
    out: F32,
) -> None:
    one = splat(1.0)
    lanes = splat(0.5) * lane_numbers()
    even = whole_part(lanes) >= lanes
    odd = ~even
    red, blue = splat(star_colour[0]), splat(star_colour[1])
    by_red, by_blue = one / red, one / blue
    red_by_blue, blue_by_red = red * by_blue, blue * by_red
    for y in range(height):
        is_red_row = (y & 1) == red_y
        colour_x = red_x if is_red_row else 1 - red_x
        shares = (by_red, red, blue, blue_by_red) if is_red_row else (by_blue, blue, red, red_by_blue)
        x = 0
        while x < width:
            x = min(x, width - WIDTH)
            is_colour = even if (x & 1) == colour_x else odd
            own, green, other = _malvar_lanes(flat, start + y * stride + x, stride, is_colour, shares)
            first, last = (own, other) if is_red_row else (other, own)
            store_four(out, 4 * (y * width + x), first, green, last, one)
            x += WIDTH


@exact_kernel
def debayer_superpixel(plane: F32, red_x: int, red_y: int, out: F32) -> None:
    """
    Fill `out`, one pixel for each 2 x 2 cell of `plane`: its red, the mean of its two greens, its blue; reach 0.

    Notes
    -----
    Definition: `debayer_definition.superpixel`. The first pixel of `plane` is the first of a cell.
    """
    height, width, _ = out.shape
    half = np.float32(0.5)
    rows = np.empty((3, width), dtype=np.float32)
    red, green, blue = rows[0], rows[1], rows[2]
    is_diagonal = red_x == red_y  # red on the main diagonal: the greens are on the other one
    for y in range(height):
        upper, lower = plane[2 * y], plane[2 * y + 1]
        for x in range(width):
            a, b, c, d = upper[2 * x], upper[2 * x + 1], lower[2 * x], lower[2 * x + 1]
            first = a if is_diagonal else b
            second = d if is_diagonal else c
            red[x] = first if red_y == 0 else second
            green[x] = half * (b + c) if is_diagonal else half * (a + d)
            blue[x] = second if red_y == 0 else first
        interleave_row(red, green, blue, out[y].ravel())


@exact_kernel
def interleave(planes: F32, out: F32) -> None:
    """Fill `out`, float32 (h, w, 4), with the three planes, float32 (3, h, w), and 1."""
    for y in range(out.shape[0]):
        interleave_row(planes[0, y], planes[1, y], planes[2, y], out[y].ravel())
