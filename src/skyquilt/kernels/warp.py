"""
Resampling loops: from a prepared piece of the frame to a box of the canvas.

Names shared by all of them:

nodes : float64 (ny, nx, 2 + c)
    At canvas pixel (16 j, 16 i): frame x, frame y, then the surface of every channel; node [0, 0] lies at or before the
    box's first pixel. Between the nodes everything is bilinear.
box : (x0, y0, x1, y1), canvas px
place : (x0, y0, width, height, pitch)
    Where the piece lies: its first pixel, the size of the whole grid, frame pixels a grid pixel (2 for superpixels).
    Grid position = (frame position - (pitch - 1) / 2) / pitch.
"""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64, I32, U8
from skyquilt.kernels.backend import exact_inlined, exact_kernel
from skyquilt.kernels.lanes import (
    WIDTH,
    lane_numbers,
    load,
    load_bytes,
    load_four,
    magnitude,
    pick,
    splat,
    store,
    store_bytes,
)
from skyquilt.kernels.warp_simd import (
    window1x2,
    window1x4,
    window1x6,
    window4x2,
    window4x4,
    window4x4_of_four,
    window4x6,
)

__all__ = [
    "BAD_SHARE",
    "NODE_PX",
    "count_cells",
    "feather_weights",
    "find_footprint",
    "linear_nodes",
    "mask_trails",
    "on_edge",
    "warp_cfa",
    "warp_mono",
    "warp_rgb",
]

NODE_PX = 16
N_PHASES = 1024
# Seen through the kernel with its signs: bad pixels under lobes of opposite sign cancel, as their common error does.
# A sample is a stopgap when more than this share of an error common to the bad pixels under its kernel would reach it.
# One bad pixel in a debayered frame reaches its own sample whole and the samples next to it by about a half: these go.
# What stays below a quarter is the far flank of the kernel, where a pixel mended from its neighbours is off by less
# than the noise of the sample.
BAD_SHARE = 0.25


@exact_inlined
def count_cells(start: int, stop: int) -> int:
    """Return how many node cells the half-open range touches."""
    return ((stop - 1) >> 4) - (start >> 4) + 1


@exact_inlined
def on_edge(nodes: F64, i: int, j: int, axis: int, ty: float) -> float:
    """Return the value of a node quantity on the left edge of cell (i, j), `ty` of the way down."""
    return nodes[i, j, axis] + (nodes[i + 1, j, axis] - nodes[i, j, axis]) * ty


@exact_kernel
def linear_nodes(matrix: F64, surface: F64, circle: tuple[float, float, float], x0: int, y0: int, out: F64) -> None:
    """
    Fill the nodes of a linear map, the first of which is node (x0, y0) of the canvas.

    Parameters
    ----------
    matrix : float64 (3, 3)
        Canvas pixels to frame pixels, homogeneous.
    surface : float64 (c, 6)
        Coefficients of 1, u, v, u², uv, v², (u, v) the canvas position less the centre, over the radius.
    circle : (x, y, radius), canvas px
    out : float64 (ny, nx, 2 + c), written

    Notes
    -----
    Definition: `steps.resample.NodeGrid.evaluate`. Every node is computed alone, so that it does not depend on the
    box that was asked for.
    """
    n_rows, n_columns, _ = out.shape
    for i in range(n_rows):
        y = np.float64((y0 + i) * NODE_PX)
        v = (y - circle[1]) / circle[2]
        for j in range(n_columns):
            x = np.float64((x0 + j) * NODE_PX)
            u = (x - circle[0]) / circle[2]
            w = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
            out[i, j, 0] = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]) / w
            out[i, j, 1] = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]) / w
            for channel in range(surface.shape[0]):
                out[i, j, 2 + channel] = (
                    surface[channel, 0]
                    + surface[channel, 1] * u
                    + surface[channel, 2] * v
                    + surface[channel, 3] * (u * u)
                    + surface[channel, 4] * (u * v)
                    + surface[channel, 5] * (v * v)
                )


@exact_kernel
def find_footprint(nodes: F64, box: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
    """
    Return (x_min, y_min, x_max, y_max) of the frame positions of a box's pixels; x_min > x_max if none is finite.

    A bilinear patch takes its extremes at its corners: only the corners of each node cell within the box are looked at.
    """
    x0, y0, x1, y1 = box
    low_x, low_y, high_x, high_y = np.inf, np.inf, -np.inf, -np.inf
    for i in range(count_cells(y0, y1)):
        top = (y0 >> 4 << 4) + 16 * i
        for j in range(count_cells(x0, x1)):
            left = (x0 >> 4 << 4) + 16 * j
            for corner in range(4):
                tx = (max(left, x0) if corner & 1 == 0 else min(left + 16, x1) - 1) - left
                ty = 0.0625 * ((max(top, y0) if corner & 2 == 0 else min(top + 16, y1) - 1) - top)
                u, v = on_edge(nodes, i, j, 0, ty), on_edge(nodes, i, j, 1, ty)
                u += (on_edge(nodes, i, j + 1, 0, ty) - u) * 0.0625 * tx
                v += (on_edge(nodes, i, j + 1, 1, ty) - v) * 0.0625 * tx
                low_x, high_x = u if u < low_x else low_x, u if u > high_x else high_x
                low_y, high_y = v if v < low_y else low_y, v if v > high_y else high_y
    return low_x, low_y, high_x, high_y


@exact_inlined
def is_within(index: int, phase: int, before: int, after: int, size: int) -> bool:
    """Tell whether every pixel with a weight lies in the grid."""
    low = before if phase > 0 else 0
    low = low if phase < 1024 else -1
    high = after if phase > 0 else 0
    high = high if phase < 1024 else 1
    return index >= low and index + high < size


@exact_inlined
def locate_row(
    nodes: F64,
    y: int,
    i: int,
    n_cells: int,
    place: tuple[int, int, int, int, int],
    taps: int,
    snaps: bool,
    layout: tuple[int, int, int],
    where: I32,
    across: I32,
    down: I32,
    inside: U8,
    surface: F32,
) -> None:
    """
    Find for one canvas row where each sample's taps begin and which phases they have.

    Whole node cells are done, so that the loops have a length that the compiler knows.

    Parameters
    ----------
    y : int
        Canvas row.
    i : int
        Row of node cells that holds it.
    snaps : bool
        Every sample takes one pixel, the nearest: only that one must lie in the grid.
    layout : (start, stride, lanes)
        Float index of the grid's pixel (0, 0) in the piece, floats a row, floats a pixel.
    where, across, down : int32 (16 n_cells,), written
        Float index of the first tap; of its weights along x and along y in the table. 0 where the sample is not inside.
    inside : uint8 (16 n_cells,), written
        1 where all pixels with a weight lie in the grid; the phases 0 and N_PHASES pick a single pixel.
    surface : float32 (c * 16 n_cells + WIDTH,), written
        The last vector may reach beyond the cells.
    """
    _, _, width, height, pitch = place
    start, stride, lanes = np.int32(layout[0]), np.int32(layout[1]), np.int32(layout[2])
    before, after, n_taps = taps // 2 - 1, taps // 2, np.int32(taps)
    start -= np.int32(before) * (stride + lanes)
    right, bottom = np.float64(width), np.float64(height)
    offset, inverse_pitch = 0.5 * (pitch - 1), 1.0 / pitch
    ty = (y & 15) * 0.0625
    next_u, next_v = on_edge(nodes, i, 0, 0, ty), on_edge(nodes, i, 0, 1, ty)
    for j in range(n_cells):
        u, v = next_u, next_v
        next_u, next_v = on_edge(nodes, i, j + 1, 0, ty), on_edge(nodes, i, j + 1, 1, ty)
        du, dv = (next_u - u) * 0.0625 * inverse_pitch, (next_v - v) * 0.0625 * inverse_pitch
        u, v = (u - offset) * inverse_pitch, (v - offset) * inverse_pitch
        base = np.uint64(16 * j)
        low, high_x, high_y = np.float64(before), right - taps, bottom - taps
        end_u, end_v = u + du * 15, v + dv * 15
        is_right = u >= low and end_u >= low and u <= high_x and end_u <= high_x
        if is_right and v >= low and end_v >= low and v <= high_y and end_v <= high_y:
            # the whole cell is well inside: nothing to check sample by sample
            for k in range(16):
                at = base + np.uint64(k)
                fx, fy = u + du * k, v + dv * k
                ix, iy = np.int32(fx), np.int32(fy)
                where[at] = start + iy * stride + ix * lanes
                across[at] = np.int32((fx - ix) * 1024.0 + 0.5) * n_taps
                down[at] = np.int32((fy - iy) * 1024.0 + 0.5) * n_taps
                inside[at] = np.uint8(1)
            continue
        for k in range(16):
            at = base + np.uint64(k)
            fx, fy = u + du * k, v + dv * k
            where[at], across[at], down[at], inside[at] = 0, 0, 0, 0
            # Written so that not-a-number fails the comparison.
            if not (fx >= -1.0 and fy >= -1.0 and fx <= right and fy <= bottom):
                continue
            column, row = int(fx + 1.0) - 1, int(fy + 1.0) - 1
            px, py = int((fx - column) * 1024.0 + 0.5), int((fy - row) * 1024.0 + 0.5)
            if snaps:
                px, py = 1024 if px > 512 else 0, 1024 if py > 512 else 0
            if is_within(column, px, before, after, width) and is_within(row, py, before, after, height):
                where[at] = start + row * stride + column * lanes
                across[at] = px * n_taps
                down[at] = py * n_taps
                inside[at] = 1
    for channel in range((surface.shape[0] - WIDTH) // (16 * n_cells)):
        s = on_edge(nodes, i, 0, 2 + channel, ty)
        for j in range(n_cells):
            next_s = on_edge(nodes, i, j + 1, 2 + channel, ty)
            s32, ds = np.float32(s), np.float32((next_s - s) * 0.0625)
            s = next_s
            for k in range(0, 16, WIDTH):
                lanes = splat(s32) + splat(ds) * (splat(k) + lane_numbers())
                store(surface, (channel * n_cells + j) * 16 + k, lanes)


@exact_inlined
def normalise_row(found: F32, lanes: int, factor: np.float32, surface: F32, inside: U8, out: F32) -> None:
    """Fill one row of one channel: scale times what was found plus the surface; 0 where the sample is not inside."""
    for x in range(out.shape[0]):
        value = found[lanes * x] * factor + surface[x]
        out[x] = value if inside[x] != 0 else np.float32(0.0)


@exact_inlined
def weigh_row(validity: F32, lanes: int, inside: U8, out: U8) -> None:
    """Fill one row of weights: 255, 1 where the validity is too far from 1, 0 where the sample is not inside."""
    limit, one = np.float32(BAD_SHARE), np.float32(1.0)
    for x in range(out.shape[0]):
        weight = np.uint8(255) if abs(validity[lanes * x] - one) <= limit else np.uint8(1)
        out[x] = weight if inside[x] != 0 else np.uint8(0)


@exact_inlined
def finish_row(
    found: F32,
    first: int,
    inside: U8,
    scales: F32,
    surface: F32,
    values: F32,
    weights: U8,
    start: int,
    n: int,
    size: int,
) -> None:
    """
    Fill one row of three channels and their weight from red, green, blue, validity side by side.

    Parameters
    ----------
    found : float32 (4 n,)
        The windows of the row's samples.
    first : int
        Where `inside` and `surface`, (16 n_cells,) and (3 x 16 n_cells + WIDTH,), hold the row's first sample.
    values, weights : (3 size,), (size,), written
        The row begins at `start`, the channels lie `size` apart.
    """
    limit, one, zero = splat(BAD_SHARE), splat(1.0), splat(0.0)
    gap = (surface.shape[0] - WIDTH) // 3
    for x in range(0, n - WIDTH + 1, WIDTH):
        at, to = first + x, start + x
        red, green, blue, validity = load_four(found, 4 * x)
        is_inside = load_bytes(inside, at) > zero
        red = red * splat(scales[0]) + load(surface, at)
        green = green * splat(scales[1]) + load(surface, gap + at)
        blue = blue * splat(scales[2]) + load(surface, 2 * gap + at)
        weight = pick(magnitude(validity - one) <= limit, splat(255.0), one)
        store(values, to, pick(is_inside, red, zero))
        store(values, size + to, pick(is_inside, green, zero))
        store(values, 2 * size + to, pick(is_inside, blue, zero))
        store_bytes(weights, to, pick(is_inside, weight, zero))
    for x in range(n - n % WIDTH, n):
        at, to = first + x, start + x
        for channel in range(3):
            value = found[4 * x + channel] * scales[channel] + surface[channel * gap + at]
            values[channel * size + to] = value if inside[at] != 0 else np.float32(0.0)
        is_good = abs(found[4 * x + 3] - np.float32(1.0)) <= np.float32(BAD_SHARE)
        weights[to] = np.uint8(0) if inside[at] == 0 else np.uint8(255) if is_good else np.uint8(1)


@exact_kernel
def warp_rgb(
    pixels: F32,
    nodes: F64,
    box: tuple[int, int, int, int],
    place: tuple[int, int, int, int, int],
    table: F32,
    scale: tuple[float, float, float],
    values: F32,
    weights: U8,
) -> None:
    """
    Fill three channels and their common weight from interleaved pixels.

    Parameters
    ----------
    pixels : float32 (h, w, 4)
        Red, green, blue, validity (1 good, 0 bad).
    table : float32 (N_PHASES + 1, taps)
        `kernel_table`.
    scale : 3 floats
    values : float32 (3, box height, box width), written
    weights : uint8 (1, box height, box width), written

    Notes
    -----
    Definition: `steps.resample.Warped`, with ``value = scale v + surface``; weight 0 where a pixel of the footprint
    lies outside of the grid, 1 where the validity seen through the kernel is off 1 by more than `BAD_SHARE`.
    """
    x0, y0, x1, y1 = box
    n, n_cells, first = x1 - x0, count_cells(x0, x1), x0 & 15
    scales = np.array([scale[0], scale[1], scale[2]], dtype=np.float32)
    taps = table.shape[1]
    snaps = table[N_PHASES // 4, taps // 2 - 1] == 1.0
    flat, flat_table = pixels.ravel(), table.ravel()
    stride = pixels.shape[1] * 4
    layout = (-place[1] * stride - place[0] * 4, stride, 4)
    where = np.empty(16 * n_cells, dtype=np.int32)
    across, down = np.empty_like(where), np.empty_like(where)
    inside = np.empty(16 * n_cells, dtype=np.uint8)
    surface = np.empty(3 * 16 * n_cells + WIDTH, dtype=np.float32)
    found = np.empty(4 * n, dtype=np.float32)
    all_values, all_weights = values.reshape(-1), weights.reshape(-1)
    n_fours = n - n % 4
    for y in range(y0, y1):
        i = (y >> 4) - (y0 >> 4)
        locate_row(nodes, y, i, n_cells, place, taps, snaps, layout, where, across, down, inside, surface)
        if taps == 4:
            for x in range(0, n_fours, 4):
                window4x4_of_four(flat, where, stride, flat_table, across, down, x + first, found, 4 * x)
            for x in range(n_fours, n):
                at = np.uint64(x + first)
                window4x4(flat, where[at], stride, flat_table, across[at], down[at], found, 4 * x)
        elif taps == 2:
            for x in range(n):
                at = np.uint64(x + first)
                window4x2(flat, where[at], stride, flat_table, across[at], down[at], found, 4 * x)
        else:
            for x in range(n):
                at = np.uint64(x + first)
                window4x6(flat, where[at], stride, flat_table, across[at], down[at], found, 4 * x)
        finish_row(found, first, inside, scales, surface, all_values, all_weights, (y - y0) * n, n, n * (y1 - y0))


@exact_kernel
def sum_windows_mono(
    flat: F32, stride: int, table: F32, taps: int, first: int, where: I32, across: I32, down: I32, found: F32
) -> None:
    """Fill `found` with the windows of one row of samples of a plane."""
    if taps == 4:
        for x in range(found.shape[0]):
            at = np.uint64(x + first)
            window1x4(flat, where[at], stride, table, across[at], down[at], found, x)
    elif taps == 2:
        for x in range(found.shape[0]):
            at = np.uint64(x + first)
            window1x2(flat, where[at], stride, table, across[at], down[at], found, x)
    else:
        for x in range(found.shape[0]):
            at = np.uint64(x + first)
            window1x6(flat, where[at], stride, table, across[at], down[at], found, x)


@exact_kernel
def warp_mono(
    pixels: F32,
    validity: F32,
    nodes: F64,
    box: tuple[int, int, int, int],
    place: tuple[int, int, int, int, int],
    table: F32,
    scale: float,
    values: F32,
    weights: U8,
) -> None:
    """
    Fill one channel and its weight from a plane.

    Parameters
    ----------
    pixels : float32 (h, w, 1)
    validity : float32 (h, w, 1), or of size 0 where all pixels are good
    values : float32 (1, box height, box width), written
    weights : uint8 (1, box height, box width), written

    Notes
    -----
    As `warp_rgb`, for a frame without colours.
    """
    x0, y0, x1, y1 = box
    n, n_cells, first = x1 - x0, count_cells(x0, x1), x0 & 15
    factor = np.float32(scale)
    taps = table.shape[1]
    snaps = table[N_PHASES // 4, taps // 2 - 1] == 1.0
    flat, flat_table = pixels.ravel(), table.ravel()
    stride = pixels.shape[1]
    layout = (-place[1] * stride - place[0], stride, 1)
    where = np.empty(16 * n_cells, dtype=np.int32)
    across, down = np.empty_like(where), np.empty_like(where)
    inside = np.empty(16 * n_cells, dtype=np.uint8)
    surface = np.empty(16 * n_cells + WIDTH, dtype=np.float32)
    found = np.empty(n, dtype=np.float32)
    good = np.ones(n, dtype=np.float32)
    for y in range(y0, y1):
        i = (y >> 4) - (y0 >> 4)
        locate_row(nodes, y, i, n_cells, place, taps, snaps, layout, where, across, down, inside, surface)
        sum_windows_mono(flat, stride, flat_table, taps, first, where, across, down, found)
        if validity.size > 0:
            sum_windows_mono(validity.ravel(), stride, flat_table, taps, first, where, across, down, good)
        is_inside = inside[first:]
        normalise_row(found, 1, factor, surface[first:], is_inside, values[0, y - y0])
        weigh_row(good, 1, is_inside, weights[0, y - y0])


@exact_kernel
def full_sums(sums: F32) -> F32:
    """Return the largest sum of weights that a red, a green and a blue sample can have, float32 (3,)."""
    full = np.zeros(3, dtype=np.float32)
    for p in range(0, sums.shape[0], 16):
        for q in range(0, sums.shape[0], 16):
            full[0] = max(full[0], sums[p, 0] * sums[q, 0], sums[p, 1] * sums[q, 1])
            full[1] = max(full[1], sums[p, 0] * sums[q, 1] + sums[p, 1] * sums[q, 0])
            full[1] = max(full[1], sums[p, 0] * sums[q, 0] + sums[p, 1] * sums[q, 1])
    full[2] = full[0]
    return full


@exact_kernel
def warp_cfa(
    pixels: F32,
    bad: F32,
    red: tuple[int, int],
    nodes: F64,
    box: tuple[int, int, int, int],
    place: tuple[int, int, int, int, int],
    table: F32,
    scale: tuple[float, float, float],
    values: F32,
    weights: U8,
) -> None:
    """
    Fill three channels, each with a weight of its own, straight from the sites of their colour.

    Parameters
    ----------
    pixels : float32 (h, w, 4)
        Each raw pixel in the lane of its colour (`scatter_cfa`).
    bad : float32 (h, w, 4), or of size 0 where all pixels are good
        In the same lanes: 1 where the pixel is bad.
    red : (x, y)
        Parity of the red sites, counted from the first pixel of `pixels`.
    table : float32 (N_PHASES + 1, taps)
        `gaussian_table`.
    values : float32 (3, box height, box width), written
    weights : uint8 (3, box height, box width), written

    Notes
    -----
    Definition, per channel, over the sites i of its colour in the window: ``value = sum w_i v_i / sum w_i`` and
    ``weight = 255 sum w_i / max sum w_i``, w_i = exp(-r_i² / (2 p²)), the maximum over all phases; 1 where more than
    `BAD_SHARE` of the sum lies on bad sites.
    """
    x0, y0, x1, y1 = box
    n, n_cells, first = x1 - x0, count_cells(x0, x1), x0 & 15
    zero, limit = np.float32(0.0), np.float32(BAD_SHARE)
    scales = np.array([scale[0], scale[1], scale[2]], dtype=np.float32)
    taps, snaps = table.shape[1], False
    flat, flat_bad, flat_table = pixels.ravel(), bad.ravel(), table.ravel()
    stride = pixels.shape[1] * 4
    layout = (-place[1] * stride - place[0] * 4, stride, 4)
    where = np.empty(16 * n_cells, dtype=np.int32)
    across, down = np.empty_like(where), np.empty_like(where)
    inside = np.empty(16 * n_cells, dtype=np.uint8)
    surface = np.empty(3 * 16 * n_cells + WIDTH, dtype=np.float32)
    found, found_bad = np.zeros(4, dtype=np.float32), np.zeros(4, dtype=np.float32)
    sums = np.zeros((table.shape[0], 2), dtype=np.float32)  # of the taps of even and of odd index
    for phase in range(table.shape[0]):
        for tap in range(taps):
            sums[phase, tap & 1] += table[phase, tap]
    full = full_sums(sums)
    norms = np.empty(3, dtype=np.float32)
    for y in range(y0, y1):
        i = (y >> 4) - (y0 >> 4)
        locate_row(nodes, y, i, n_cells, place, taps, snaps, layout, where, across, down, inside, surface)
        for x in range(n):
            at = x + first
            if inside[at] == 0:
                for channel in range(3):
                    values[channel, y - y0, x], weights[channel, y - y0, x] = zero, 0
                continue
            px, py = across[at] // taps, down[at] // taps
            odd_x = ((where[at] % stride) // 4 + red[0]) & 1  # 0: the first column of taps holds red sites
            odd_y = (where[at] // stride + red[1]) & 1
            on_x, off_x = sums[px, odd_x], sums[px, 1 - odd_x]
            on_y, off_y = sums[py, odd_y], sums[py, 1 - odd_y]
            norms[0], norms[1], norms[2] = on_x * on_y, on_x * off_y + off_x * on_y, off_x * off_y
            if taps == 4:
                window4x4(flat, where[at], stride, flat_table, across[at], down[at], found, 0)
                if bad.size > 0:
                    window4x4(flat_bad, where[at], stride, flat_table, across[at], down[at], found_bad, 0)
            else:
                window4x6(flat, where[at], stride, flat_table, across[at], down[at], found, 0)
                if bad.size > 0:
                    window4x6(flat_bad, where[at], stride, flat_table, across[at], down[at], found_bad, 0)
            for channel in range(3):
                share = min(np.float32(1.0), norms[channel] / full[channel])
                weight = np.uint8(max(np.float32(2.0), np.float32(255.0) * share + np.float32(0.5)))
                weights[channel, y - y0, x] = np.uint8(1) if found_bad[channel] > limit * norms[channel] else weight
                values[channel, y - y0, x] = (
                    found[channel] / norms[channel] * scales[channel] + surface[16 * n_cells * channel + at]
                )


@exact_kernel
def feather_weights(
    nodes: F64,
    box: tuple[int, int, int, int],
    size: tuple[int, int],
    feather: tuple[float, float],
    weights: U8,
) -> None:
    """
    Scale the weights from 2 to 255 by ramps from the frame's edge and from its corners.

    Parameters
    ----------
    size : (width, height), px of the frame
    feather : (float, float), px of the frame
        Width of the ramp from the edge inwards, and of that from the corner circle inwards; 0 for none.
    weights : uint8 (k, box height, box width), changed in place

    Notes
    -----
    Definition: ``2 + (weight - 2) min(1, distance / width)``, distances from the outer edge of the outermost pixels.
    """
    x0, y0, x1, y1 = box
    edge_px, corner_px = feather
    half_x, half_y = 0.5 * size[0], 0.5 * size[1]
    radius = np.sqrt(half_x * half_x + half_y * half_y)
    for i in range(count_cells(y0, y1)):
        top = (y0 >> 4 << 4) + 16 * i
        for j in range(count_cells(x0, x1)):
            if corner_px == 0.0 and _is_deep(nodes, i, j, half_x, half_y, edge_px):
                continue  # the ramp is 1 in the whole cell: the weights stay
            left = (x0 >> 4 << 4) + 16 * j
            for y in range(max(top, y0), min(top + 16, y1)):
                ty = (y & 15) * 0.0625
                for x in range(max(left, x0), min(left + 16, x1)):
                    tx = (x & 15) * 0.0625
                    u, v = on_edge(nodes, i, j, 0, ty), on_edge(nodes, i, j, 1, ty)
                    u += (on_edge(nodes, i, j + 1, 0, ty) - u) * tx
                    v += (on_edge(nodes, i, j + 1, 1, ty) - v) * tx
                    dx, dy = abs(u + 0.5 - half_x), abs(v + 0.5 - half_y)
                    share = 1.0
                    if edge_px > 0.0:
                        share = min(share, min(half_x - dx, half_y - dy) / edge_px)
                    if corner_px > 0.0:
                        share = min(share, (radius - np.sqrt(dx * dx + dy * dy)) / corner_px)
                    for channel in range(weights.shape[0]):
                        weight = weights[channel, y - y0, x - x0]
                        if weight >= 2:
                            weights[channel, y - y0, x - x0] = np.uint8(2.0 + (weight - 2.0) * max(0.0, share))


@exact_inlined
def _is_deep(nodes: F64, i: int, j: int, half_x: float, half_y: float, edge_px: float) -> bool:
    """
    Tell whether all of a cell lies farther than the ramp from the frame's edges; not so if a node is NaN.

    A bilinear patch takes its extremes at its corners; a hundredth of a pixel is left for the rounding.
    """
    for corner in range(4):
        at_y, at_x = i + (corner >> 1), j + (corner & 1)
        dx, dy = abs(nodes[at_y, at_x, 0] + 0.5 - half_x), abs(nodes[at_y, at_x, 1] + 0.5 - half_y)
        if not (half_x - dx >= edge_px + 0.01 and half_y - dy >= edge_px + 0.01):
            return False
    return True


@exact_kernel
def mask_trails(nodes: F64, box: tuple[int, int, int, int], trails: F64, weights: U8) -> None:
    """
    Set the weights to 0 wherever a sample lies on a trail.

    Parameters
    ----------
    trails : float64 (n, 5), px of the frame
        x0, y0, x1, y1, half width of each.
    weights : uint8 (k, box height, box width), changed in place

    Notes
    -----
    Definition: distance of the frame position from the segment (x0, y0)-(x1, y1) <= half width.
    """
    x0, y0, x1, y1 = box
    for y in range(y0, y1):
        i = (y >> 4) - (y0 >> 4)
        ty = (y & 15) * 0.0625
        for x in range(x0, x1):
            j = (x >> 4) - (x0 >> 4)
            tx = (x & 15) * 0.0625
            u, v = on_edge(nodes, i, j, 0, ty), on_edge(nodes, i, j, 1, ty)
            u += (on_edge(nodes, i, j + 1, 0, ty) - u) * tx
            v += (on_edge(nodes, i, j + 1, 1, ty) - v) * tx
            for n in range(trails.shape[0]):
                ex, ey = trails[n, 2] - trails[n, 0], trails[n, 3] - trails[n, 1]
                px, py = u - trails[n, 0], v - trails[n, 1]
                length = ex * ex + ey * ey
                along = (px * ex + py * ey) / length if length > 0.0 else 0.0
                along = min(1.0, max(0.0, along))
                dx, dy = px - along * ex, py - along * ey
                if dx * dx + dy * dy <= trails[n, 4] * trails[n, 4]:
                    for channel in range(weights.shape[0]):
                        weights[channel, y - y0, x - x0] = np.uint8(0)
                    break
