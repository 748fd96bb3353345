"""
What each debayering method means, in plain NumPy: the definitions that the compiled loops must agree with.

Each takes float32 (h, w) and a `Cfa` and returns float32 (3, h, w) (superpixel: half the size). Beyond the edges the
image is mirrored about its outermost pixels, which keeps the parity of the colour filter array.
"""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, Cfa, Mask

__all__ = ["bilinear", "malvar", "rcd", "superpixel"]

_MARGIN = 8  # even, so that the padded array keeps the pattern; more than any method's reach
_TINY: F32 = np.array(1e-20, dtype=np.float32)  # keeps 0 / 0 out of the weights of a perfectly flat area


def _pad(pixels: F32) -> F32:
    return np.pad(pixels.astype(np.float32), _MARGIN, mode="reflect")


def _crop(planes: list[F32]) -> F32:
    return np.stack([plane[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] for plane in planes])


def _at(plane: F32, dx: int, dy: int) -> F32:
    """Return the plane whose value at (x, y) is that of `plane` at (x + dx, y + dy)."""
    return np.roll(plane, (-dy, -dx), axis=(0, 1))


def _sites(cfa: Cfa, shape: tuple[int, ...]) -> tuple[Mask, Mask]:
    """Return which pixels are red or blue sites, and which lie in a row with red sites."""
    rows, columns = np.indices(shape) % 2
    is_colour = cfa.table[rows, columns] != 1
    return is_colour, rows == cfa.red_site[1]


def _sort_colours(own: F32, green: F32, other: F32, is_red_row: Mask) -> list[F32]:
    """Turn "the colour of this row", green and "the other colour" into red, green and blue."""
    return [np.where(is_red_row, own, other), green, np.where(is_red_row, other, own)]


def bilinear(pixels: F32, cfa: Cfa) -> F32:
    """Return the mean of the nearest sites of each colour."""
    c = _pad(pixels)
    is_colour, is_red_row = _sites(cfa, c.shape)
    beside = _at(c, -1, 0) + _at(c, 1, 0)
    over = _at(c, 0, -1) + _at(c, 0, 1)
    corners = (_at(c, -1, -1) + _at(c, 1, -1)) + (_at(c, -1, 1) + _at(c, 1, 1))
    own = np.where(is_colour, c, beside / 2)
    green = np.where(is_colour, (beside + over) / 4, c)
    other = np.where(is_colour, corners / 4, over / 2)
    return _crop(_sort_colours(own, green, other, is_red_row))


def malvar(pixels: F32, cfa: Cfa, star_colour: tuple[float, float] = (1.0, 1.0)) -> F32:
    """
    Return bilinear interpolation corrected by the Laplacian of the colour that was measured.

    Parameters
    ----------
    star_colour : (float, float)
        Red over green and blue over green of a usual star.

    Notes
    -----
    The 5 x 5 filters of Malvar, He & Cutler 2004 (ICASSP), figure 2, gains 1/2, 5/8, 3/4. They take the Laplacian to be
    the same in all colours. A star's is as large as the star is bright in that colour, so it is scaled by the colour of
    a usual star: the same as dividing each colour by its brightness before and multiplying by it after. Constants come
    through unscaled, and so do the sums: each Laplacian is 0 for a constant, and its sum over the plane is 0.
    """
    red, blue = np.float32(star_colour[0]), np.float32(star_colour[1])
    by_red, by_blue = np.float32(1.0) / red, np.float32(1.0) / blue
    c = _pad(pixels)
    is_colour, is_red_row = _sites(cfa, c.shape)
    beside = _at(c, -1, 0) + _at(c, 1, 0)
    over = _at(c, 0, -1) + _at(c, 0, 1)
    far_beside = _at(c, -2, 0) + _at(c, 2, 0)
    far_over = _at(c, 0, -2) + _at(c, 0, 2)
    corners = (_at(c, -1, -1) + _at(c, 1, -1)) + (_at(c, -1, 1) + _at(c, 1, 1))
    far = far_beside + far_over
    cross = (2 * (beside + over) + np.where(is_red_row, by_red, by_blue) * (4 * c - far)) / 8
    sideways, upwards = (5 * c - (a + corners) + b / 2 for a, b in ((far_beside, far_over), (far_over, far_beside)))
    across = (4 * beside + np.where(is_red_row, red, blue) * sideways) / 8
    along = (4 * over + np.where(is_red_row, blue, red) * upwards) / 8
    own_to_other = np.where(is_red_row, blue * by_red, red * by_blue)
    diagonal = (2 * corners + own_to_other * (6 * c - np.float32(1.5) * far)) / 8
    own = np.where(is_colour, c, across)
    green = np.where(is_colour, cross, c)
    other = np.where(is_colour, diagonal, along)
    return _crop(_sort_colours(own, green, other, is_red_row))


def _high_pass(c: F32, dx: int, dy: int) -> F32:
    """Return the squared detail along one direction; constants and slopes give 0."""
    near = _at(c, -dx, -dy) + _at(c, dx, dy)
    second = _at(c, -2 * dx, -2 * dy) + _at(c, 2 * dx, 2 * dy)
    third = _at(c, -3 * dx, -3 * dy) + _at(c, 3 * dx, 3 * dy)
    detail = (third - near) + (6 * c - 3 * second)
    return detail * detail


def _weigh(first: F32, first_gradient: F32, second: F32, second_gradient: F32) -> F32:
    """Return the mean of two estimates, each weighted by the gradient on the other's side."""
    return (second_gradient * first + first_gradient * second) / (first_gradient + second_gradient)


def _green_estimate(c: F32, low_pass: F32, dx: int, dy: int) -> tuple[F32, F32]:
    """Return the green that the neighbour towards (dx, dy) suggests, and the gradient on that side."""
    gradient = (
        _TINY
        + np.abs(_at(c, dx, dy) - _at(c, -dx, -dy))
        + np.abs(c - _at(c, 2 * dx, 2 * dy))
        + np.abs(_at(c, dx, dy) - _at(c, 3 * dx, 3 * dy))
        + np.abs(_at(c, 2 * dx, 2 * dy) - _at(c, 4 * dx, 4 * dy))
    )
    return _at(c, dx, dy) + np.float32(0.5) * (low_pass - _at(low_pass, 2 * dx, 2 * dy)), gradient


def _low_pass(c: F32) -> F32:
    """Return the brightness: all colours, low-passed over 3 x 3 pixels."""
    beside, over = _at(c, -1, 0) + _at(c, 1, 0), _at(c, 0, -1) + _at(c, 0, 1)
    corners = (_at(c, -1, -1) + _at(c, 1, -1)) + (_at(c, -1, 1) + _at(c, 1, 1))
    return (4 * c + 2 * (beside + over) + corners) / 16


def _directed(c: F32, is_colour: Mask) -> tuple[F32, F32, F32]:
    """Return the colour of the row, green and the other colour, interpolated along the direction of less detail."""
    # The share of the detail that is met going down the column: the larger, the better to go along the row.
    across_rows, across_columns = _high_pass(c, 0, 1), _high_pass(c, 1, 0)
    vertical = (_at(across_rows, 0, -1) + _at(across_rows, 0, 1)) + across_rows
    horizontal = (_at(across_columns, -1, 0) + _at(across_columns, 1, 0)) + across_columns
    prefer_row = (vertical + _TINY) / ((vertical + horizontal) + (_TINY + _TINY))

    low_pass = _low_pass(c)
    along_column = _weigh(*_green_estimate(c, low_pass, 0, -1), *_green_estimate(c, low_pass, 0, 1))
    along_row = _weigh(*_green_estimate(c, low_pass, -1, 0), *_green_estimate(c, low_pass, 1, 0))
    green = np.where(is_colour, along_column + prefer_row * (along_row - along_column), c)

    difference = c - green  # 0 at the green sites
    main, anti = [
        (
            _TINY + np.abs(_at(c, dx, -1) - _at(c, -dx, 1)) + np.abs(green - _at(green, dx, -1)),
            _TINY + np.abs(_at(c, dx, -1) - _at(c, -dx, 1)) + np.abs(green - _at(green, -dx, 1)),
        )
        for dx in (-1, 1)
    ]
    along_main = _weigh(_at(difference, -1, -1), main[0], _at(difference, 1, 1), main[1])
    along_anti = _weigh(_at(difference, 1, -1), anti[0], _at(difference, -1, 1), anti[1])
    opposite = _weigh(along_main, main[0] + main[1], along_anti, anti[0] + anti[1])

    side = [_TINY + np.abs(green - _at(green, dx, dy)) for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1))]

    def along(plane: F32, axis: int) -> F32:
        if axis == 0:
            return _weigh(_at(plane, -1, 0), side[0], _at(plane, 1, 0), side[1])
        return _weigh(_at(plane, 0, -1), side[2], _at(plane, 0, 1), side[3])

    own_column, other_column = along(opposite, 1), along(difference, 1)
    own = np.where(is_colour, c, green + (own_column + prefer_row * (along(difference, 0) - own_column)))
    other = green + np.where(is_colour, opposite, other_column + prefer_row * (along(opposite, 0) - other_column))
    return own, green, other


def _even(c: F32, is_colour: Mask) -> tuple[F32, F32, F32]:
    """Return what `_directed` does where all its weights are equal, with colour differences from the nearest sites."""
    low_pass = _low_pass(c)
    mean = ((_at(c, -1, 0) + _at(c, 1, 0)) + (_at(c, 0, -1) + _at(c, 0, 1))) / 4
    far = (_at(low_pass, -2, 0) + _at(low_pass, 2, 0)) + (_at(low_pass, 0, -2) + _at(low_pass, 0, 2))
    green = np.where(is_colour, mean + (4 * low_pass - far) / 8, c)
    d = c - green
    corners = (_at(d, -1, -1) + _at(d, 1, -1)) + (_at(d, -1, 1) + _at(d, 1, 1))
    own = np.where(is_colour, c, green + (_at(d, -1, 0) + _at(d, 1, 0)) / 2)
    other = green + np.where(is_colour, corners / 4, (_at(d, 0, -1) + _at(d, 0, 1)) / 2)
    return own, green, other


def _mean_of_kind(plane: F32) -> F32:
    """Return the mean, with weights (1, 2, 1) along both axes, over the 3 x 3 sites at the same place in their cell."""
    columns = (_at(plane, 0, -2) + _at(plane, 0, 2)) + 2 * plane
    return ((_at(columns, -2, 0) + _at(columns, 2, 0)) + 2 * columns) * np.float32(1 / 16)


def rcd(pixels: F32, cfa: Cfa) -> F32:
    """
    Return an edge-directed interpolation that gives each raw pixel the same weight in the sum as a linear one does.

    Notes
    -----
    The directed part is after the idea of Ratio Corrected Demosaicing (L. Sanz Rodriguez 2017): a directional
    discrimination from squared high-pass filters, green from neighbours corrected by a low-pass image, red and blue
    from colour differences. It has differences where RCD has ratios: a frame's pedestal then only adds to the result,
    and faint sky divides by nothing small.

    Weights that depend on the pixels favour the neighbours that are most alike, so that not every raw pixel counts the
    same in the sum over the result: alone, the directed part gets the flux of coloured stars wrong by up to 20 %.
    Hence, with N the directed and L the even (linear) interpolation::

        result = N - mean of (N - L) over the 3 x 3 sites of the same kind

    The result sums to what L sums to, so it is as true in flux; of what N has over L, detail finer than the 6 px of
    that mean stays; and measured values stay, as N = L there. Not linear in the pixels, but equivariant to scale and
    offset. Reach 8.
    """
    c = _pad(pixels)
    is_colour, is_red_row = _sites(cfa, c.shape)
    pairs = zip(_directed(c, is_colour), _even(c, is_colour), strict=True)
    own, green, other = (found - _mean_of_kind(found - even) for found, even in pairs)
    return _crop(_sort_colours(own, green, other, is_red_row))


def superpixel(pixels: F32, cfa: Cfa) -> F32:
    """
    Return one pixel for each whole 2 x 2 cell, float32 (3, h // 2, w // 2): its red, the mean of its greens, its blue.

    The centre of superpixel (i, j) lies at (2 i + 0.5, 2 j + 0.5) of the full frame.
    """
    height, width = (pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2)
    corners = {(x, y): pixels[y:height:2, x:width:2].astype(np.float32) for y in (0, 1) for x in (0, 1)}
    red_x, red_y = cfa.red_site
    green = (corners[1 - red_x, red_y] + corners[red_x, 1 - red_y]) / 2
    return np.stack([corners[red_x, red_y], green, corners[1 - red_x, 1 - red_y]])
