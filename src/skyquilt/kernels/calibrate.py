"""
Calibration of one box of raw pixels, one compiled loop per act.

Readable definitions: ``(raw - dark) * inverse_flat`` for `calibrate_box`; `repair_defects_slowly` for `repair_defects`.
"""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32, Mask
from skyquilt.kernels.backend import exact_kernel, inlined, kernel
from skyquilt.kernels.lanes import WIDTH, load, store

__all__ = [
    "NO_DARK",
    "NO_DEFECTS",
    "NO_FLAT",
    "calibrate_box",
    "repair_defects",
    "repair_defects_slowly",
    "repair_pixel",
]

NO_DARK: F32 = np.zeros((0, 0), dtype=np.float32)
NO_FLAT: F32 = np.zeros((0, 0), dtype=np.float32)
NO_DEFECTS: Mask = np.zeros((0, 0), dtype=np.bool_)

_RING = ((-1, -1), (0, -1), (1, -1), (-1, 0), (1, 0), (-1, 1), (0, 1), (1, 1))


@inlined
def repair_pixel(pixels: F32, defects: Mask, left: int, top: int, x: int, y: int, step: int, values: F32) -> bool:
    """
    Replace one pixel of a box by the median of its good neighbours; tell whether there was one.

    Parameters
    ----------
    defects : bool
        That of the box begins at (left, top).
    values : float32 (8,)
        Room for the neighbours, smallest first.
    """
    height, width = pixels.shape
    n = 0
    for ring in range(1, 3):
        reach = ring * step
        for dy in range(-reach, reach + 1, reach):
            v = y + dy
            if v < 0 or v >= height:
                continue
            for dx in range(-reach, reach + 1, reach):
                u = x + dx
                if u < 0 or u >= width or defects[top + v, left + u]:
                    continue
                value = pixels[v, u]
                k = n
                while k > 0 and values[k - 1] > value:
                    values[k] = values[k - 1]
                    k -= 1
                values[k] = value
                n += 1
        if n > 0:
            break
    if n == 0:
        return False
    if n % 2 == 1:
        pixels[y, x] = values[n // 2]
    else:
        pixels[y, x] = np.float32(0.5) * (values[n // 2 - 1] + values[n // 2])
    return True


@kernel
def repair_defects(pixels: F32, defects: Mask, step: int) -> int:
    """
    Replace the defects of a box in place by the median of their good neighbours; return how many had none.

    Parameters
    ----------
    pixels : float32 (h, w)
        Changed in place, at defects only.
    defects : bool (h, w)
        True where the value cannot be used. A defect is never a neighbour of another one, so the order of the repairs
        does not matter.
    step : int, px
        Distance of the neighbours: 2 on a CFA (same colour), 1 on a mono frame.

    Returns
    -------
    int
        Number of defects without a good neighbour at `step` and at `2 * step`: they keep their value.

    Notes
    -----
    Equals `repair_defects_slowly`. The 8 neighbours lie at (+-step or 0, +-step or 0); those outside of the box do not
    count. A box must therefore be read with a margin of `2 * step` for its inner pixels to be those of the whole frame.
    The median of an even number of values is half the sum of the two in the middle, in float32.
    """
    height, width = pixels.shape
    values = np.empty(8, dtype=np.float32)
    n_left = 0
    for y in range(height):
        for x in range(width):
            if defects[y, x] and not repair_pixel(pixels, defects, 0, 0, x, y, step, values):
                n_left += 1
    return n_left


def repair_defects_slowly(pixels: F32, defects: Mask, step: int) -> int:
    """Do what `repair_defects` does, one pixel after the other in plain NumPy: its definition."""
    height, width = pixels.shape
    n_left = 0
    for y, x in np.argwhere(defects):
        for reach in (step, 2 * step):
            places = [(y + dy * reach, x + dx * reach) for dx, dy in _RING]
            good = [pixels[p] for p in places if 0 <= p[0] < height and 0 <= p[1] < width and not defects[p]]
            if good:
                pixels[y, x] = np.median(np.array(good, dtype=np.float32))
                break
        else:
            n_left += 1
    return n_left


@exact_kernel
def calibrate_box(raw: F32, dark: F32, inverse_flat: F32, x0: int, y0: int, out: F32) -> None:
    """
    Fill `out` with (raw - dark) * inverse_flat for the box whose first pixel is (x0, y0) of the frame.

    Parameters
    ----------
    raw : float32 (h, w), ADU
    dark, inverse_flat : float32 (height, width) of the whole frame, or of size 0 to leave the step out
    x0, y0 : int, px
        The box must lie inside of the frame.
    out : float32 (h, w), ADU
        Written in place; may be `raw` itself.

    Notes
    -----
    Definition, with the slices of the box: ``out[:] = (raw - dark[box]) * inverse_flat[box]``, each operation rounded
    to float32, hence the same bits. Defects are the business of `repair_defects`, afterwards.
    """
    height, width = raw.shape
    has_dark, has_flat = dark.size > 0, inverse_flat.size > 0
    values, result = raw.reshape(-1), out.reshape(-1)  # of contiguous arrays: never a copy
    subtract, multiply = dark.reshape(-1), inverse_flat.reshape(-1)
    n_whole = width - width % WIDTH
    for y in range(height):
        start, dark_start = y * width, (y0 + y) * dark.shape[1] + x0
        flat_start = (y0 + y) * inverse_flat.shape[1] + x0
        for x in range(0, n_whole, WIDTH):
            lanes = load(values, start + x)
            if has_dark:
                lanes = lanes - load(subtract, dark_start + x)
            if has_flat:
                lanes = lanes * load(multiply, flat_start + x)
            store(result, start + x, lanes)
        for x in range(n_whole, width):
            value = values[start + x]
            if has_dark:
                value -= subtract[dark_start + x]
            if has_flat:
                value *= multiply[flat_start + x]
            result[start + x] = value
