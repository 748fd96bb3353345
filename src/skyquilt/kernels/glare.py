"""
How samples beside saturated pixels are shielded from them.

The edge of a clipped plateau is steeper than any star. Where debayering and interpolation have negative weights they
fall below the sky beside it, by a few per cent of the plateau and each colour in other places. In the glare, that is
where a saturated pixel may have a part in a sample, colours are therefore held near what the sites around them
measured, and samples are taken from them by weights that are positive. Everywhere else nothing changes: held
everywhere, the colours would miss a star's flux by some per cent.
"""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64, I32, U8, Mask
from skyquilt.kernels.backend import exact_inlined, exact_kernel
from skyquilt.kernels.warp import count_cells, on_edge
from skyquilt.kernels.warp_prepare import mirrored

__all__ = ["find_glare", "hold_colours", "mark_glare", "mark_stars", "shield_samples"]

# How far from the mean of its sites towards their lowest and highest a held colour may go. Measured on stacks of four
# frames of saturated stars, 1.9 and 2.6 px FWHM: 1 keeps a third more of the debayering's own false colours in the
# halo, 0 (plain bilinear) makes two to three times as many new ones.
HELD_SHARE = np.float32(0.75)
_BLOCK_PX = 8


def find_glare(saturated: Mask, reach: int) -> Mask:
    """
    Return where a sample's four pixels must not lie for it to be free of saturated pixels.

    Parameters
    ----------
    saturated : bool (h, w)
    reach : int, px

    Returns
    -------
    bool (h, w)
        True where a pixel at most `reach` rows and columns away is saturated.
    """
    glare = np.pad(saturated, reach)
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(glare, 2 * reach + 1, axis=axis)
        glare = np.asarray(windows.any(axis=-1))
    return glare


def hold_colours(colours: F32, plane: F32, red_site: tuple[int, int]) -> F32:
    """
    Return debayered colours, each held near what the sites that are nearest to it measured.

    Parameters
    ----------
    colours : float32 (3, h, w)
        By any method that leaves measured values as they are.
    plane : float32 (h + 2, w + 2)
        The colour filter array they were made from, with a margin of one pixel.
    red_site : (x, y)
        Parity of the red sites, counted from the first pixel of `colours`.

    Notes
    -----
    With lowest, highest and mean of the two or four nearest sites of that colour (those of bilinear debayering)::

        held = clip(colour, mean - 0.75 (mean - lowest), mean + 0.75 (highest - mean))
    """
    w, e, n, s = plane[1:-1, :-2], plane[1:-1, 2:], plane[:-2, 1:-1], plane[2:, 1:-1]
    nw, ne, sw, se = plane[:-2, :-2], plane[:-2, 2:], plane[2:, :-2], plane[2:, 2:]
    rows, columns = np.indices(colours.shape[1:]) % 2
    is_red_row = rows == red_site[1]
    is_colour = is_red_row == (columns == red_site[0])
    own, green, other = np.where(is_red_row, colours, colours[::-1])
    own = np.where(is_colour, own, _hold(own, w, e, w, e))
    green = np.where(is_colour, _hold(green, w, e, n, s), green)
    other = np.where(is_colour, _hold(other, nw, ne, sw, se), _hold(other, n, s, n, s))
    sorted_colours = np.stack([own, green, other])
    return np.where(is_red_row, sorted_colours, sorted_colours[::-1])


def _hold(value: F32, a: F32, b: F32, c: F32, d: F32) -> F32:
    """Return the values, held near those of four sites."""
    mean = np.float32(0.25) * ((a + b) + (c + d))
    lowest, highest = np.minimum(np.minimum(a, b), np.minimum(c, d)), np.maximum(np.maximum(a, b), np.maximum(c, d))
    return np.clip(value, mean - HELD_SHARE * (mean - lowest), mean + HELD_SHARE * (highest - mean))


@exact_inlined
def hold(value: np.float32, a: np.float32, b: np.float32, c: np.float32, d: np.float32) -> np.float32:
    """Do what `_hold` does, for one pixel."""
    mean = np.float32(0.25) * ((a + b) + (c + d))
    lowest, highest = min(min(a, b), min(c, d)), max(max(a, b), max(c, d))
    return min(max(value, mean - HELD_SHARE * (mean - lowest)), mean + HELD_SHARE * (highest - mean))


@exact_inlined
def hold_pixel(
    plane: F32, frame: tuple[int, int, int, int], origin: tuple[int, int], x: int, y: int, colours: F32
) -> None:
    """
    Hold the colours of one pixel of the frame, float32 (3,), changed in place.

    Parameters
    ----------
    plane, frame, origin
        As `shield_samples` takes them.

    Notes
    -----
    Definition: `hold_colours`.
    """
    x0, y0, width, height = frame
    above, row, below = mirrored(y - 1, height) - y0, mirrored(y, height) - y0, mirrored(y + 1, height) - y0
    left, column, right = mirrored(x - 1, width) - x0, mirrored(x, width) - x0, mirrored(x + 1, width) - x0
    w, e, n, s = plane[row, left], plane[row, right], plane[above, column], plane[below, column]
    is_red_row = (y & 1) == origin[1]
    own, other = (0, 2) if is_red_row else (2, 0)
    if is_red_row == ((x & 1) == origin[0]):
        nw, ne, sw, se = plane[above, left], plane[above, right], plane[below, left], plane[below, right]
        colours[1] = hold(colours[1], w, e, n, s)
        colours[other] = hold(colours[other], nw, ne, sw, se)
    else:
        colours[own] = hold(colours[own], w, e, w, e)
        colours[other] = hold(colours[other], n, s, n, s)


@exact_kernel
def mark_glare(saturated: I32, width: int, dx: int, dy: int, pitch: int, reach: int, glare: U8, blocks: U8) -> None:
    """
    Set the glare to 1, in a plane and in its blocks of 8 x 8 px.

    Parameters
    ----------
    saturated : int32 (n,)
        Places ``y * width + x`` in the box that was read, in that order.
    width, dx, dy, pitch : int
        As `warp_prepare.mark_bad`.
    reach : int
        In pixels of `glare`.
    glare : uint8 (h, w), changed in place
    blocks : uint8 (h // 8 + 1, w // 8 + 1), changed in place
        1 where any pixel of the block is.

    Notes
    -----
    Definition: `find_glare`.
    """
    last_x, last_y = -(2**30), -(2**30)
    for k in range(saturated.shape[0]):
        y, x = (saturated[k] // width + dy) // pitch, (saturated[k] % width + dx) // pitch
        # along a row only what the pixel before has not marked
        first = x + reach if y == last_y and 0 <= x - last_x <= 1 else x - reach
        last_x, last_y = x, y
        fill_square(glare, blocks, first, y - reach, x + reach + 1, y + reach + 1)


@exact_kernel
def mark_stars(stars: I32, left: int, top: int, pitch: int, reach: int, glare: U8, blocks: U8) -> None:
    """
    Set the glare of stars to 1, as `mark_glare` does that of pixels.

    Parameters
    ----------
    stars : int32 (n, 2), px of the frame
        (x, y) of the first of the 2 x 2 pixels at the centre of each.
    left, top : int
        First pixel of `glare`, of `pitch` frame pixels each.
    """
    for k in range(stars.shape[0]):
        x0, x1 = stars[k, 0] // pitch - left, (stars[k, 0] + 1) // pitch - left
        y0, y1 = stars[k, 1] // pitch - top, (stars[k, 1] + 1) // pitch - top
        fill_square(glare, blocks, x0 - reach, y0 - reach, x1 + reach + 1, y1 + reach + 1)


@exact_inlined
def fill_square(glare: U8, blocks: U8, x0: int, y0: int, x1: int, y1: int) -> None:
    """Set what lies within a box to 1."""
    for v in range(max(0, y0), min(glare.shape[0], y1)):
        for u in range(max(0, x0), min(glare.shape[1], x1)):
            glare[v, u] = np.uint8(1)
            blocks[v // _BLOCK_PX, u // _BLOCK_PX] = np.uint8(1)


@exact_inlined
def reaches(stars: I32, place: tuple[int, int, int, int, int], reach: int, width: int, height: int) -> bool:
    """Tell whether the glare of any star touches a piece of that size."""
    left, top, _, _, pitch = place
    for k in range(stars.shape[0]):
        x, y = stars[k, 0] // pitch - left, stars[k, 1] // pitch - top
        if x + 1 + reach >= 0 and y + 1 + reach >= 0 and x - reach < width and y - reach < height:
            return True
    return False


@exact_inlined
def is_near(
    blocks: U8, nodes: F64, i: int, j: int, above: float, below: float, place: tuple[int, int, int, int, int]
) -> bool:
    """Tell whether there is glare about where a node cell lies, from `above` to `below` of its height."""
    left, top, _, _, pitch = place
    n_rows, n_columns = blocks.shape
    offset, scale = 0.5 * (pitch - 1) + pitch, 1.0 / (pitch * _BLOCK_PX)  # a pixel to spare before, two behind
    low_x, low_y, high_x, high_y = np.inf, np.inf, -np.inf, -np.inf
    for corner in range(4):
        ty = above if corner < 2 else below
        x, y = on_edge(nodes, i, j + (corner & 1), 0, ty), on_edge(nodes, i, j + (corner & 1), 1, ty)
        # Written so that not-a-number is never the lower or the higher one.
        low_x, high_x = x if x < low_x else low_x, x if x > high_x else high_x
        low_y, high_y = y if y < low_y else low_y, y if y > high_y else high_y
    if not (low_x <= high_x and low_y <= high_y):  # the map has no such point: nothing of the frame lies there
        return False
    low_x, low_y = (low_x - offset) * scale - left / _BLOCK_PX, (low_y - offset) * scale - top / _BLOCK_PX
    high_x, high_y = (high_x - offset) * scale - left / _BLOCK_PX, (high_y - offset) * scale - top / _BLOCK_PX
    beyond = 3.0 / _BLOCK_PX
    x0, x1 = int(max(low_x, 0.0)), int(min(high_x + beyond, n_columns - 1.0))
    y0, y1 = int(max(low_y, 0.0)), int(min(high_y + beyond, n_rows - 1.0))
    for v in range(y0, y1 + 1):
        for u in range(x0, x1 + 1):
            if blocks[v, u] != 0:
                return True
    return False


@exact_inlined
def mix_corners(
    plane: F32,
    frame: tuple[int, int, int, int],
    origin: tuple[int, int],
    is_held: bool,
    pixels: F32,
    first: tuple[int, int],
    x: float,
    y: float,
    corner: F32,
    sums: F32,
) -> None:
    """Fill `sums` with the bilinear mean, at (x, y) of the grid, of its four held pixels; `corner` is room for one."""
    column, row = int(np.floor(x)), int(np.floor(y))
    across = np.float32(np.floor((x - column) * 1024.0 + 0.5) * (1.0 / 1024.0))
    down = np.float32(np.floor((y - row) * 1024.0 + 0.5) * (1.0 / 1024.0))
    lanes, one = sums.shape[0], np.float32(1.0)
    for k in range(4):
        dx, dy = k & 1, k >> 1
        for lane in range(lanes):
            corner[lane] = pixels[row + dy - first[1], column + dx - first[0], lane]
        if is_held:
            hold_pixel(plane, frame, origin, column + dx, row + dy, corner)
        weight = (across if dx == 1 else one - across) * (down if dy == 1 else one - down)
        for lane in range(lanes):
            sums[lane] = weight * corner[lane] if k == 0 else sums[lane] + weight * corner[lane]


@exact_kernel
def shield_samples(
    plane: F32,
    frame: tuple[int, int, int, int],
    origin: tuple[int, int],
    saturated: I32,
    stars: I32,
    reach: int,
    is_held: bool,
    pixels: F32,
    nodes: F64,
    box: tuple[int, int, int, int],
    place: tuple[int, int, int, int, int],
    scale: tuple[float, float, float],
    values: F32,
    weights: U8,
) -> None:
    """
    Take the samples in the glare once more, from held colours and bilinearly.

    Parameters
    ----------
    plane : float32 (h, w), ADU
        Raw pixels of the box that was read, calibrated and mended.
    frame : (x0, y0, width, height)
        First pixel of `plane`, and the size of the frame.
    origin : (x, y)
        Parity of the frame's red sites.
    saturated : int32 (n,)
        Places ``y * w + x`` in `plane`, in that order.
    stars : int32 (n, 2), px of the frame
        As `mark_stars` takes them.
    reach : int
        How far a saturated pixel's glare reaches, in pixels of `pixels`.
    is_held : bool
        Whether `pixels` have colours that must be held; else they are taken as they are.
    pixels : float32 (h', w', 4 or 1)
        What the samples were interpolated from.
    nodes, box, place, scale
        As in `kernels.warp`.
    values : float32 (c, box height, box width), changed in place
        Scale times sample plus surface.
    weights : uint8 (1, box height, box width)
        Samples of weight 0 are left alone.

    Notes
    -----
    Definition: `steps.resample.Shielded`. Only those rows of a node cell are looked at that have glare near them.
    """
    x0, y0, x1, y1 = box
    left, top, _, _, pitch = place
    height, width, lanes = pixels.shape
    if saturated.shape[0] == 0 and not reaches(stars, place, reach, width, height):
        return
    glare = np.zeros((height, width), dtype=np.uint8)
    blocks = np.zeros((height // _BLOCK_PX + 1, width // _BLOCK_PX + 1), dtype=np.uint8)
    from_x, from_y = frame[0] - pitch * left, frame[1] - pitch * top
    mark_glare(saturated, plane.shape[1], from_x, from_y, pitch, reach, glare, blocks)
    mark_stars(stars, left, top, pitch, reach, glare, blocks)
    corner, sums = np.empty(lanes, dtype=np.float32), np.empty(lanes, dtype=np.float32)
    scales = np.array([scale[0], scale[1], scale[2]], dtype=np.float32)
    offset, inverse_pitch = 0.5 * (pitch - 1), 1.0 / pitch
    for i in range(count_cells(y0, y1)):
        first_row = (y0 >> 4 << 4) + 16 * i
        for j in range(count_cells(x0, x1)):
            column = (x0 >> 4 << 4) + 16 * j
            if not is_near(blocks, nodes, i, j, 0.0, 1.0, place):
                continue
            for y in range(max(first_row, y0), min(first_row + 16, y1)):
                ty = (y & 15) * 0.0625
                if not is_near(blocks, nodes, i, j, ty, ty, place):
                    continue
                first_u, first_v = on_edge(nodes, i, j, 0, ty), on_edge(nodes, i, j, 1, ty)
                du = (on_edge(nodes, i, j + 1, 0, ty) - first_u) * 0.0625 * inverse_pitch
                dv = (on_edge(nodes, i, j + 1, 1, ty) - first_v) * 0.0625 * inverse_pitch
                first_u, first_v = (first_u - offset) * inverse_pitch, (first_v - offset) * inverse_pitch
                for x in range(max(column, x0), min(column + 16, x1)):
                    if weights[0, y - y0, x - x0] == 0:
                        continue
                    fx, fy = first_u + du * (x & 15), first_v + dv * (x & 15)
                    u, v = int(np.floor(fx)) - left, int(np.floor(fy)) - top
                    if (glare[v, u] | glare[v, u + 1] | glare[v + 1, u] | glare[v + 1, u + 1]) == 0:
                        continue
                    mix_corners(plane, frame, origin, is_held, pixels, (left, top), fx, fy, corner, sums)
                    for channel in range(values.shape[0]):
                        s0, s1 = on_edge(nodes, i, j, 2 + channel, ty), on_edge(nodes, i, j + 1, 2 + channel, ty)
                        surface = np.float32(s0) + np.float32((s1 - s0) * 0.0625) * np.float32(x & 15)
                        values[channel, y - y0, x - x0] = sums[channel] * scales[channel] + surface
