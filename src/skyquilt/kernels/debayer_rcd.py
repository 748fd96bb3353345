"""
The edge-directed debayering loop.

The names are those of `kernels.debayer`, the definition is `debayer_definition.rcd`; each pass fills a plane, so that
the compiler turns it into vector code. A pass that says "n px from the edge inwards" leaves the rest as it was.
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
EIGHTH = np.float32(0.125)
SIXTEENTH = np.float32(0.0625)
TWO = np.float32(2)


@inlined
def weigh(first: float, first_gradient: float, second: float, second_gradient: float) -> float:
    """Return the mean of two estimates, each weighted by the gradient on the other's side."""
    return (second_gradient * first + first_gradient * second) / (first_gradient + second_gradient)


@exact_kernel
def fill_low_pass(plane: F32, low_pass: F32) -> None:
    """Fill the 3 x 3 low-passed brightness; the outermost pixel stays as it was."""
    height, width = plane.shape
    four = np.float32(4)
    for y in range(1, height - 1):
        above, row, below, line = plane[y - 1], plane[y], plane[y + 1], low_pass[y]
        for x in range(width - 2):
            beside, over = row[x] + row[x + 2], above[x + 1] + below[x + 1]
            corners = (above[x] + above[x + 2]) + (below[x] + below[x + 2])
            line[x + 1] = (four * row[x + 1] + TWO * (beside + over) + corners) * SIXTEENTH


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
def fill_direction(across_rows: F32, across_columns: F32, prefer_row: F32) -> None:
    """Fill the share with which a row is preferred to a column, 4 px from the edge inwards."""
    height, width = prefer_row.shape
    for y in range(4, height - 4):
        above, row, below = across_rows[y - 1], across_rows[y], across_rows[y + 1]
        columns, line = across_columns[y], prefer_row[y]
        for x in range(width - 8):
            vertical = (above[x + 4] + below[x + 4]) + row[x + 4]
            horizontal = (columns[x + 3] + columns[x + 5]) + columns[x + 4]
            line[x + 4] = (vertical + TINY) / ((vertical + horizontal) + TWO * TINY)


@exact_kernel
def fill_green(plane: F32, low_pass: F32, prefer_row: F32, colour_parity: int, green: F32, difference: F32) -> None:
    """
    Fill green and (measured - green), 4 px from the edge inwards.

    colour_parity : parity of x + y at the red and blue sites of `plane`.
    """
    height, width = plane.shape
    for y in range(4, height - 4):
        n4, n3, n2, n1, row = plane[y - 4], plane[y - 3], plane[y - 2], plane[y - 1], plane[y]
        s1, s2, s3, s4 = plane[y + 1], plane[y + 2], plane[y + 3], plane[y + 4]
        low_n, low, low_s, prefer = low_pass[y - 2], low_pass[y], low_pass[y + 2], prefer_row[y]
        line, rest = green[y], difference[y]
        parity = (colour_parity + y) & 1
        for x in range(width - 8):
            c = row[x + 4]
            steep = abs(n1[x + 4] - s1[x + 4])
            up = ((TINY + steep) + abs(c - n2[x + 4]) + abs(n1[x + 4] - n3[x + 4])) + abs(n2[x + 4] - n4[x + 4])
            down = ((TINY + steep) + abs(c - s2[x + 4]) + abs(s1[x + 4] - s3[x + 4])) + abs(s2[x + 4] - s4[x + 4])
            from_up = n1[x + 4] + (low[x + 4] - low_n[x + 4]) * HALF
            from_down = s1[x + 4] + (low[x + 4] - low_s[x + 4]) * HALF
            along_column = weigh(from_up, up, from_down, down)
            steep = abs(row[x + 3] - row[x + 5])
            left = ((TINY + steep) + abs(c - row[x + 2]) + abs(row[x + 3] - row[x + 1])) + abs(row[x + 2] - row[x])
            right = ((TINY + steep) + abs(c - row[x + 6]) + abs(row[x + 5] - row[x + 7])) + abs(row[x + 6] - row[x + 8])
            from_left = row[x + 3] + (low[x + 4] - low[x + 2]) * HALF
            from_right = row[x + 5] + (low[x + 4] - low[x + 6]) * HALF
            along_row = weigh(from_left, left, from_right, right)
            found = along_column + prefer[x + 4] * (along_row - along_column)
            value = found if (x & 1) == parity else c
            line[x + 4] = value
            rest[x + 4] = c - value


@exact_kernel
def fill_even_green(plane: F32, low_pass: F32, colour_parity: int, green: F32, difference: F32) -> None:
    """Fill green and (measured - green) of the linear interpolation, 3 px from the edge inwards."""
    height, width = plane.shape
    four = np.float32(4)
    for y in range(3, height - 3):
        above, row, below = plane[y - 1], plane[y], plane[y + 1]
        low_n, low, low_s = low_pass[y - 2], low_pass[y], low_pass[y + 2]
        line, rest = green[y], difference[y]
        parity = (colour_parity + y + 3) & 1
        for x in range(width - 6):
            c = row[x + 3]
            mean = ((row[x + 2] + row[x + 4]) + (above[x + 3] + below[x + 3])) * QUARTER
            far = (low[x + 1] + low[x + 5]) + (low_n[x + 3] + low_s[x + 3])
            found = mean + (four * low[x + 3] - far) * EIGHTH
            value = found if (x & 1) == parity else c
            line[x + 3] = value
            rest[x + 3] = c - value


@exact_kernel
def fill_opposite(plane: F32, green: F32, difference: F32, opposite: F32) -> None:
    """Fill the colour difference of the opposite colour at red and blue sites, 5 px from the edge inwards."""
    height, width = plane.shape
    for y in range(5, height - 5):
        c_up, c_down = plane[y - 1], plane[y + 1]
        g_up, g_row, g_down = green[y - 1], green[y], green[y + 1]
        d_up, d_down, line = difference[y - 1], difference[y + 1], opposite[y]
        for x in range(width - 10):
            g = g_row[x + 5]
            steep = TINY + abs(c_up[x + 4] - c_down[x + 6])
            first, second = steep + abs(g - g_up[x + 4]), steep + abs(g - g_down[x + 6])
            along_main = weigh(d_up[x + 4], first, d_down[x + 6], second)
            main = first + second
            steep = TINY + abs(c_up[x + 6] - c_down[x + 4])
            first, second = steep + abs(g - g_up[x + 6]), steep + abs(g - g_down[x + 4])
            along_anti = weigh(d_up[x + 6], first, d_down[x + 4], second)
            line[x + 5] = weigh(along_main, main, along_anti, first + second)


@exact_kernel
def fill_colours(
    plane: F32, prefer_row: F32, green: F32, difference: F32, opposite: F32, red_x: int, red_y: int, directed: F32
) -> None:
    """Fill red, green and blue of the edge-directed interpolation, 6 px from the edge inwards."""
    height, width = plane.shape
    for y in range(6, height - 6):
        row, c_row, prefer, g_up, g_down = green[y], plane[y], prefer_row[y], green[y - 1], green[y + 1]
        d_up, d_row, d_down = difference[y - 1], difference[y], difference[y + 1]
        o_up, o_row, o_down = opposite[y - 1], opposite[y], opposite[y + 1]
        is_red_row = (y & 1) == red_y
        colour_x = red_x if is_red_row else 1 - red_x
        own, middle, other = directed[0 if is_red_row else 2, y], directed[1, y], directed[2 if is_red_row else 0, y]
        for x in range(width - 12):
            g = row[x + 6]
            left, right = TINY + abs(g - row[x + 5]), TINY + abs(g - row[x + 7])
            up, down = TINY + abs(g - g_up[x + 6]), TINY + abs(g - g_down[x + 6])
            own_column = weigh(o_up[x + 6], up, o_down[x + 6], down)
            other_column = weigh(d_up[x + 6], up, d_down[x + 6], down)
            own_row = weigh(d_row[x + 5], left, d_row[x + 7], right)
            other_row = weigh(o_row[x + 5], left, o_row[x + 7], right)
            share = prefer[x + 6]
            is_colour = (x & 1) == colour_x
            own_here = g + (own_column + share * (own_row - own_column))
            other_here = g + (other_column + share * (other_row - other_column))
            own[x + 6] = c_row[x + 6] if is_colour else own_here
            middle[x + 6] = g
            other[x + 6] = g + o_row[x + 6] if is_colour else other_here


@exact_kernel
def fill_change(plane: F32, green: F32, difference: F32, red_x: int, red_y: int, directed: F32, change: F32) -> None:
    """Fill by how much the directed colours differ from the even ones, 6 px from the edge inwards."""
    height, width = plane.shape
    for y in range(6, height - 6):
        row, c_row = green[y], plane[y]
        d_up, d_row, d_down = difference[y - 1], difference[y], difference[y + 1]
        is_red_row = (y & 1) == red_y
        colour_x = red_x if is_red_row else 1 - red_x
        first, last = (0, 2) if is_red_row else (2, 0)
        own, middle, other = directed[first, y], directed[1, y], directed[last, y]
        own_change, middle_change, other_change = change[first, y], change[1, y], change[last, y]
        for x in range(width - 12):
            g = row[x + 6]
            is_colour = (x & 1) == colour_x
            corners = (d_up[x + 5] + d_up[x + 7]) + (d_down[x + 5] + d_down[x + 7])
            even_own = c_row[x + 6] if is_colour else g + (d_row[x + 5] + d_row[x + 7]) * HALF
            even_other = g + (corners * QUARTER if is_colour else (d_up[x + 6] + d_down[x + 6]) * HALF)
            own_change[x + 6] = own[x + 6] - even_own
            middle_change[x + 6] = middle[x + 6] - g
            other_change[x + 6] = other[x + 6] - even_other


@exact_kernel
def settle_row(directed: F32, above: F32, here: F32, below: F32, columns: F32, line: F32) -> None:
    """Fill `line` with the directed colour less the mean change of the 3 x 3 sites of the same kind."""
    for x in range(columns.shape[0]):
        columns[x] = (above[x] + below[x]) + TWO * here[x]
    for x in range(line.shape[0]):
        line[x] = directed[x + 8] - ((columns[x + 6] + columns[x + 10]) + TWO * columns[x + 8]) * SIXTEENTH


@exact_kernel
def debayer_rcd(plane: F32, red_x: int, red_y: int, out: F32) -> None:
    """
    Fill `out` with the edge-directed interpolation that keeps the sums of the linear one; reach 8.

    Notes
    -----
    Definition: `debayer_definition.rcd`.
    """
    height, width, _ = out.shape
    low_pass, across_rows, across_columns = np.empty_like(plane), np.empty_like(plane), np.empty_like(plane)
    prefer_row, green = np.empty_like(plane), np.empty_like(plane)
    difference, opposite = np.empty_like(plane), np.empty_like(plane)
    directed, change = np.empty((3, *plane.shape), np.float32), np.empty((3, *plane.shape), np.float32)
    # a shift of 8 px leaves the parities of x and y as they are in the output
    parity = (red_x + red_y) & 1
    fill_low_pass(plane, low_pass)
    fill_detail(plane, across_rows, across_columns)
    fill_direction(across_rows, across_columns, prefer_row)
    fill_green(plane, low_pass, prefer_row, parity, green, difference)
    fill_opposite(plane, green, difference, opposite)
    fill_colours(plane, prefer_row, green, difference, opposite, red_x, red_y, directed)
    fill_even_green(plane, low_pass, parity, green, difference)
    fill_change(plane, green, difference, red_x, red_y, directed, change)
    columns, rows = np.empty(plane.shape[1], np.float32), np.empty((3, width), np.float32)
    for y in range(height):
        for k in range(3):
            settle_row(directed[k, y + 8], change[k, y + 6], change[k, y + 8], change[k, y + 10], columns, rows[k])
        interleave_row(rows[0], rows[1], rows[2], out[y].ravel())
