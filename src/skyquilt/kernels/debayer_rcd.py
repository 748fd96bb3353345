"""
The edge-directed debayering loop.

The names are those of `kernels.debayer`, the definition is `debayer_definition.rcd`; each pass fills a plane, so that
the compiler turns it into vector code.
"""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32
from skyquilt.kernels.backend import exact_kernel, inlined
from skyquilt.kernels.debayer import interleave_row

__all__ = ["debayer_rcd"]

TINY = np.float32(1e-20)
HALF = np.float32(0.5)
QUARTER = np.float32(0.25)


@inlined
def weigh(first: float, first_gradient: float, second: float, second_gradient: float) -> float:
    """Return the mean of two estimates, each weighted by the gradient on the other's side."""
    return (second_gradient * first + first_gradient * second) / (first_gradient + second_gradient)


@exact_kernel
def fill_low_pass(plane: F32, low_pass: F32) -> None:
    """Fill the 3 x 3 low-passed brightness; the outermost pixel stays as it was."""
    height, width = plane.shape
    four, two, share = np.float32(4), np.float32(2), np.float32(1 / 16)
    for y in range(1, height - 1):
        above, row, below, line = plane[y - 1], plane[y], plane[y + 1], low_pass[y]
        for x in range(width - 2):
            beside, over = row[x] + row[x + 2], above[x + 1] + below[x + 1]
            corners = (above[x] + above[x + 2]) + (below[x] + below[x + 2])
            line[x + 1] = (four * row[x + 1] + two * (beside + over) + corners) * share


@exact_kernel
def fill_detail(plane: F32, across_rows: F32, across_columns: F32) -> None:
    """Fill the squared detail along both axes, 3 px from the edge inwards."""
    height, width = plane.shape
    six, three = np.float32(6), np.float32(3)
    for y in range(3, height - 3):
        r0, r1, r2, r3 = plane[y - 3], plane[y - 2], plane[y - 1], plane[y]
        r4, r5, r6 = plane[y + 1], plane[y + 2], plane[y + 3]
        rows, columns = across_rows[y], across_columns[y]
        for x in range(width):
            detail = ((r0[x] + r6[x]) - (r2[x] + r4[x])) + (six * r3[x] - three * (r1[x] + r5[x]))
            rows[x] = detail * detail
        for x in range(width - 6):
            detail = ((r3[x] + r3[x + 6]) - (r3[x + 2] + r3[x + 4])) + (
                six * r3[x + 3] - three * (r3[x + 1] + r3[x + 5])
            )
            columns[x + 3] = detail * detail


@exact_kernel
def fill_direction(across_rows: F32, across_columns: F32, here: F32, prefer_row: F32) -> None:
    """Fill the share with which a row is preferred to a column, 5 px from the edge inwards."""
    height, width = here.shape
    two = np.float32(2)
    for y in range(4, height - 4):
        above, row, below = across_rows[y - 1], across_rows[y], across_rows[y + 1]
        columns, line = across_columns[y], here[y]
        for x in range(width - 8):
            vertical = (above[x + 4] + below[x + 4]) + row[x + 4]
            horizontal = (columns[x + 3] + columns[x + 5]) + columns[x + 4]
            line[x + 4] = (vertical + TINY) / ((vertical + horizontal) + two * TINY)
    for y in range(5, height - 5):
        above, row, below, line = here[y - 1], here[y], here[y + 1], prefer_row[y]
        for x in range(width - 10):
            around = ((above[x + 4] + above[x + 6]) + (below[x + 4] + below[x + 6])) * QUARTER
            is_clearer = abs(row[x + 5] - HALF) < abs(around - HALF)
            line[x + 5] = around if is_clearer else row[x + 5]


@exact_kernel
def fill_green(plane: F32, low_pass: F32, prefer_row: F32, colour_parity: int, green: F32, difference: F32) -> None:
    """
    Fill green and (measured - green), 5 px from the edge inwards.

    colour_parity : parity of x + y at the red and blue sites of `plane`.
    """
    height, width = plane.shape
    for y in range(5, height - 5):
        n4, n3, n2, n1, row = plane[y - 4], plane[y - 3], plane[y - 2], plane[y - 1], plane[y]
        s1, s2, s3, s4 = plane[y + 1], plane[y + 2], plane[y + 3], plane[y + 4]
        low_n, low, low_s, prefer = low_pass[y - 2], low_pass[y], low_pass[y + 2], prefer_row[y]
        line, rest = green[y], difference[y]
        parity = (colour_parity + y + 5) & 1
        for x in range(width - 10):
            c = row[x + 5]
            steep = abs(n1[x + 5] - s1[x + 5])
            up = ((TINY + steep) + abs(c - n2[x + 5]) + abs(n1[x + 5] - n3[x + 5])) + abs(n2[x + 5] - n4[x + 5])
            down = ((TINY + steep) + abs(c - s2[x + 5]) + abs(s1[x + 5] - s3[x + 5])) + abs(s2[x + 5] - s4[x + 5])
            from_up = n1[x + 5] + (low[x + 5] - low_n[x + 5]) * HALF
            from_down = s1[x + 5] + (low[x + 5] - low_s[x + 5]) * HALF
            along_column = weigh(from_up, up, from_down, down)
            steep = abs(row[x + 4] - row[x + 6])
            left = ((TINY + steep) + abs(c - row[x + 3]) + abs(row[x + 4] - row[x + 2])) + abs(row[x + 3] - row[x + 1])
            right = ((TINY + steep) + abs(c - row[x + 7]) + abs(row[x + 6] - row[x + 8])) + abs(row[x + 7] - row[x + 9])
            from_left = row[x + 4] + (low[x + 5] - low[x + 3]) * HALF
            from_right = row[x + 6] + (low[x + 5] - low[x + 7]) * HALF
            along_row = weigh(from_left, left, from_right, right)
            found = along_column + prefer[x + 5] * (along_row - along_column)
            value = found if (x & 1) == parity else c
            line[x + 5] = value
            rest[x + 5] = c - value


@exact_kernel
def fill_opposite(plane: F32, green: F32, difference: F32, opposite: F32) -> None:
    """Fill the colour difference of the opposite colour at red and blue sites, 6 px from the edge inwards."""
    height, width = plane.shape
    for y in range(6, height - 6):
        c_up, c_down = plane[y - 1], plane[y + 1]
        g_up, g_row, g_down = green[y - 1], green[y], green[y + 1]
        d_up, d_down, line = difference[y - 1], difference[y + 1], opposite[y]
        for x in range(width - 12):
            g = g_row[x + 6]
            steep = TINY + abs(c_up[x + 5] - c_down[x + 7])
            first, second = steep + abs(g - g_up[x + 5]), steep + abs(g - g_down[x + 7])
            along_main = weigh(d_up[x + 5], first, d_down[x + 7], second)
            main = first + second
            steep = TINY + abs(c_up[x + 7] - c_down[x + 5])
            first, second = steep + abs(g - g_up[x + 7]), steep + abs(g - g_down[x + 5])
            along_anti = weigh(d_up[x + 7], first, d_down[x + 5], second)
            line[x + 6] = weigh(along_main, main, along_anti, first + second)


@exact_kernel
def debayer_rcd(plane: F32, red_x: int, red_y: int, out: F32) -> None:
    """
    Fill `out` with the edge-directed interpolation; reach 7.

    Notes
    -----
    Definition: `debayer_definition.rcd`.
    """
    height, width, _ = out.shape
    low_pass, across_rows, across_columns = np.empty_like(plane), np.empty_like(plane), np.empty_like(plane)
    here, prefer_row, green = np.empty_like(plane), np.empty_like(plane), np.empty_like(plane)
    difference, opposite = np.empty_like(plane), np.empty_like(plane)
    fill_low_pass(plane, low_pass)
    fill_detail(plane, across_rows, across_columns)
    fill_direction(across_rows, across_columns, here, prefer_row)
    # an even sum of the two shifts of 7 px leaves the parity of x + y as it is in the output
    fill_green(plane, low_pass, prefer_row, (red_x + red_y) & 1, green, difference)
    fill_opposite(plane, green, difference, opposite)
    own, middle, other = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    for y in range(height):
        row, c_row, prefer = green[y + 7], plane[y + 7], prefer_row[y + 7]
        g_up, g_down = green[y + 6], green[y + 8]
        d_up, d_row, d_down = difference[y + 6], difference[y + 7], difference[y + 8]
        o_up, o_row, o_down = opposite[y + 6], opposite[y + 7], opposite[y + 8]
        is_red_row = (y & 1) == red_y
        colour_x = red_x if is_red_row else 1 - red_x
        for x in range(width):
            g = row[x + 7]
            left, right = TINY + abs(g - row[x + 6]), TINY + abs(g - row[x + 8])
            up, down = TINY + abs(g - g_up[x + 7]), TINY + abs(g - g_down[x + 7])
            own_column = weigh(o_up[x + 7], up, o_down[x + 7], down)
            other_column = weigh(d_up[x + 7], up, d_down[x + 7], down)
            own_row = weigh(d_row[x + 6], left, d_row[x + 8], right)
            other_row = weigh(o_row[x + 6], left, o_row[x + 8], right)
            share = prefer[x + 7]
            is_colour = (x & 1) == colour_x
            own_here = g + (own_column + share * (own_row - own_column))
            other_here = g + (other_column + share * (other_row - other_column))
            other_diagonal = g + o_row[x + 7]
            own[x] = c_row[x + 7] if is_colour else own_here
            middle[x] = g
            other[x] = other_diagonal if is_colour else other_here
        interleave_row(own if is_red_row else other, middle, other if is_red_row else own, out[y].ravel())
