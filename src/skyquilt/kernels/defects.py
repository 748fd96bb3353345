"""
Search for pixels that do not look like their neighbours.

Readable definitions beside each kernel: `neighbour_median_slowly`, `count_spikes_slowly`.
"""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32, U8
from skyquilt.kernels.backend import called, inlined, kernel
from skyquilt.kernels.order import sort_few

__all__ = ["count_spikes", "count_spikes_slowly", "neighbour_median", "neighbour_median_slowly"]

_RING = ((-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1))


@called
def _middle_of_four_pairs(rows: tuple[F32, F32, F32], step: int, out: F32) -> None:
    """Write the median of the 8 neighbours of the inner pixels of a row; without branches, so vectors of pixels."""
    above, here, below = rows
    n = len(out)
    upper_left, upper, upper_right = above[:n], above[step : step + n], above[2 * step : 2 * step + n]
    left, right = here[:n], here[2 * step : 2 * step + n]
    lower_left, lower, lower_right = below[:n], below[step : step + n], below[2 * step : 2 * step + n]
    for x in range(n):
        a, b, c, d = _four_in_order(upper_left[x], upper[x], upper_right[x], left[x])
        e, f, g, h = _four_in_order(right[x], lower_left[x], lower[x], lower_right[x])
        # of two ordered fours: the fourth and the fifth smallest of all
        fourth = _larger(_larger(_smaller(a, h), _smaller(b, g)), _larger(_smaller(c, f), _smaller(d, e)))
        fifth = _smaller(_smaller(_larger(a, h), _larger(b, g)), _smaller(_larger(c, f), _larger(d, e)))
        out[x] = np.float32(0.5) * (fourth + fifth)


@inlined
def _smaller(a: np.float32, b: np.float32) -> np.float32:
    return a if a < b else b


@inlined
def _larger(a: np.float32, b: np.float32) -> np.float32:
    return a if a > b else b


@inlined
def _four_in_order(
    a: np.float32, b: np.float32, c: np.float32, d: np.float32
) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Return four values in ascending order, by five exchanges."""
    a, b = _smaller(a, b), _larger(a, b)
    c, d = _smaller(c, d), _larger(c, d)
    a, c = _smaller(a, c), _larger(a, c)
    b, d = _smaller(b, d), _larger(b, d)
    b, c = _smaller(b, c), _larger(b, c)
    return a, b, c, d


@kernel
def neighbour_median(pixels: F32, step: int) -> F32:
    """
    Return for each pixel the median of its up to 8 neighbours at distance `step`, float32 (y, x).

    Equals `neighbour_median_slowly`: neighbours outside of the frame do not count; the median of an even number is half
    the sum of the two in the middle, in float32. Not-finite values must have been replaced before.
    """
    height, width = pixels.shape
    out = np.empty((height, width), dtype=np.float32)
    values = np.empty(8, dtype=np.float32)
    for y in range(height):
        is_inner = step <= y < height - step and width > 2 * step
        if is_inner:
            rows = (pixels[y - step], pixels[y], pixels[y + step])
            _middle_of_four_pairs(rows, step, out[y, step : width - step])
        for column in range(min(width, 2 * step) if is_inner else width):
            x = column if not is_inner or column < step else width - 2 * step + column
            n = 0
            for dy in range(-step, step + 1, step):
                v = y + dy
                if v < 0 or v >= height:
                    continue
                for dx in range(-step, step + 1, step):
                    u = x + dx
                    if u < 0 or u >= width or (dx == 0 and dy == 0):
                        continue
                    values[n] = pixels[v, u]
                    n += 1
            sort_few(values, n)
            if n == 0:
                out[y, x] = pixels[y, x]
            elif n % 2 == 1:
                out[y, x] = values[n // 2]
            else:
                out[y, x] = np.float32(0.5) * (values[n // 2 - 1] + values[n // 2])
    return out


def neighbour_median_slowly(pixels: F32, step: int) -> F32:
    """Return what `neighbour_median` returns, in plain NumPy: its definition."""
    height, width = pixels.shape
    padded = np.full((height + 2 * step, width + 2 * step), np.nan, dtype=np.float32)
    padded[step : step + height, step : step + width] = pixels
    stack = np.stack(
        [padded[step * (1 + dy) :, step * (1 + dx) :][:height, :width] for dx, dy in _RING],
    )
    lonely = np.isnan(stack).all(axis=0)
    stack[0][lonely] = pixels[lonely]
    return np.asarray(np.nanmedian(stack, axis=0), dtype=np.float32)


@kernel
def count_spikes(pixels: F32, levels: F32, step: int, threshold: float, hot: U8, cold: U8, total: F32) -> None:
    """
    Add one frame to the counts of pixels that stand out from their same-colour neighbours.

    Parameters
    ----------
    pixels : float32 (y, x), ADU
    levels : float32 (2, 2), ADU
        Sky level of each site of the CFA: ``levels[y % 2, x % 2]``; four times the same on a mono frame.
    step : int, px
        Distance of the neighbours: 2 on a CFA, 1 on a mono frame.
    threshold : float, ADU
        By how much a pixel must stand above (below) all four neighbours left, right, above and below.
    hot, cold : uint8 (y, x)
        Counts, changed in place; they stop at 255.
    total : float32 (y, x), ADU
        Sum of (pixel - level), changed in place.

    Notes
    -----
    Equals `count_spikes_slowly`. Pixels closer than `step` to the edge are never counted. Cost: about 2 ns a pixel.
    """
    height, width = pixels.shape
    limit = np.float32(threshold)
    n_words = (width + 7) // 8
    flags = np.zeros(8 * n_words, dtype=np.uint8)
    words = flags.view(np.uint64)  # eight pixels at a glance: nearly all of them stand out in no way
    level = np.empty((2, width), dtype=np.float32)
    for x in range(width):
        level[0, x] = levels[0, x % 2]
        level[1, x] = levels[1, x % 2]
    for y in range(height):
        row, line, sky = pixels[y], total[y], level[y % 2]
        for x in range(width):
            line[x] += row[x] - sky[x]
        if y < step or y >= height - step:
            continue
        above, below = pixels[y - step], pixels[y + step]
        for x in range(step, width - step):
            value = row[x]
            up = value - limit
            down = value + limit
            left, right = row[x - step], row[x + step]
            is_hot = (up > left) & (up > right) & (up > above[x]) & (up > below[x])
            is_cold = (down < left) & (down < right) & (down < above[x]) & (down < below[x])
            flags[x] = np.uint8(is_hot) | (np.uint8(is_cold) << np.uint8(1))
        for word in range(n_words):
            if words[word] == 0:
                continue
            for x in range(8 * word, min(8 * word + 8, width)):
                if flags[x] == 1 and hot[y, x] < 255:
                    hot[y, x] += 1
                elif flags[x] == 2 and cold[y, x] < 255:
                    cold[y, x] += 1


def count_spikes_slowly(pixels: F32, levels: F32, step: int, threshold: float, hot: U8, cold: U8, total: F32) -> None:
    """Do what `count_spikes` does, in plain NumPy: its definition."""
    height, width = pixels.shape
    rows, columns = np.arange(height)[:, None] % 2, np.arange(width)[None, :] % 2
    total += pixels - levels[rows, columns]
    inner = (slice(step, height - step), slice(step, width - step))
    around = np.stack(
        [pixels[step + dy : height - step + dy, step + dx : width - step + dx] for dx, dy in
         ((-step, 0), (step, 0), (0, -step), (0, step))]
    )  # fmt: skip
    limit = np.float32(threshold)
    for counts, stands_out in (
        (hot, (pixels[inner] - limit > around).all(axis=0)),
        (cold, (pixels[inner] + limit < around).all(axis=0)),
    ):
        view = counts[inner]
        view[stands_out & (view < 255)] += 1
