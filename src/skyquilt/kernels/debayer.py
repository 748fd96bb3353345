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

import numpy as np

from skyquilt.core import F32
from skyquilt.kernels.backend import exact_kernel

__all__ = ["REACH", "debayer_bilinear", "debayer_malvar", "debayer_superpixel", "interleave"]

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
    height, width, _ = out.shape
    red, blue = np.float32(star_colour[0]), np.float32(star_colour[1])
    by_red, by_blue = np.float32(1.0) / red, np.float32(1.0) / blue
    red_by_blue, blue_by_red = red * by_blue, blue * by_red
    eighth, half, three_halves = np.float32(0.125), np.float32(0.5), np.float32(1.5)
    two, four, five, six = np.float32(2), np.float32(4), np.float32(5), np.float32(6)
    rows = np.empty((3, width), dtype=np.float32)
    own, green, other = rows[0], rows[1], rows[2]
    for y in range(height):
        far_above, above, row = plane[y], plane[y + 1], plane[y + 2]
        below, far_below = plane[y + 3], plane[y + 4]
        is_red_row = (y & 1) == red_y
        colour_x = red_x if is_red_row else 1 - red_x
        # what a Laplacian of the colour that was measured is worth in the colour that is wanted
        to_green = by_red if is_red_row else by_blue
        to_own, to_other = (red, blue) if is_red_row else (blue, red)
        own_to_other = blue_by_red if is_red_row else red_by_blue
        for x in range(width):
            centre = row[x + 2]
            beside = row[x + 1] + row[x + 3]
            over = above[x + 2] + below[x + 2]
            far_beside = row[x] + row[x + 4]
            far_over = far_above[x + 2] + far_below[x + 2]
            corners = (above[x + 1] + above[x + 3]) + (below[x + 1] + below[x + 3])
            far = far_beside + far_over
            cross = (two * (beside + over) + to_green * (four * centre - far)) * eighth
            sideways = five * centre - (far_beside + corners) + half * far_over
            upwards = five * centre - (far_over + corners) + half * far_beside
            across = (four * beside + to_own * sideways) * eighth
            along = (four * over + to_other * upwards) * eighth
            diagonal = (two * corners + own_to_other * (six * centre - three_halves * far)) * eighth
            is_colour = (x & 1) == colour_x
            own[x] = centre if is_colour else across
            green[x] = cross if is_colour else centre
            other[x] = diagonal if is_colour else along
        interleave_row(own if is_red_row else other, green, other if is_red_row else own, out[y].ravel())


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
