"""The one look at a frame's pixels: calibrated, repaired, counted and halved while they are in the cache."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32, I32, I64, Mask
from skyquilt.kernels.backend import called, kernel
from skyquilt.kernels.calibrate import calibrate_box, repair_pixel

__all__ = ["halve_frame", "look_at_frame"]

_BAND = 16  # rows, even; with dark and flat they stay in the second-level cache


@called
def _repair_rows(
    pixels: F32, defects: Mask, starts: I64, columns: I32, first: int, last: int, step: int, values: F32
) -> None:
    """Repair the defects of some rows."""
    for y in range(first, last):
        for k in range(starts[y], starts[y + 1]):
            repair_pixel(pixels, defects, 0, 0, columns[k], y, step, values)


@called
def _halve_rows(pixels: F32, sites: I64, limit: np.float32, first: int, last: int, half: F32) -> int:
    """Fill some rows of the half-resolution plane; return how many pixels of these rows reach the limit."""
    n_bright = 0
    for y in range(first, last):
        row = pixels[y]
        in_row = np.int32(0)  # 32 bits, as the pixels have: the compiler then compares sixteen at a time
        for x in range(row.size):
            in_row = np.int32(in_row + np.int32(row[x] >= limit))
        n_bright += int(in_row)
    for i in range(first // 2, min(last // 2, half.shape[0])):
        target = half[i]
        if sites.shape[0] == 2:
            row_a, row_b = pixels[2 * i + sites[0, 0], sites[0, 1] :], pixels[2 * i + sites[1, 0], sites[1, 1] :]
            for j in range(target.size):
                target[j] = (row_a[2 * j] + row_b[2 * j]) * np.float32(0.5)
        else:
            row_a, row_b = pixels[2 * i], pixels[2 * i + 1]
            for j in range(target.size):
                target[j] = ((row_a[2 * j] + row_a[2 * j + 1]) + (row_b[2 * j] + row_b[2 * j + 1])) * np.float32(0.25)
    return n_bright


@kernel
def look_at_frame(
    pixels: F32,
    dark: F32,
    inverse_flat: F32,
    defects: Mask,
    defect_rows: tuple[I64, I32],
    step: int,
    sites: I64,
    limit: float,
    half: F32,
) -> int:
    """
    Calibrate a frame in place, fill its half-resolution plane and count its bright pixels, in one go.

    Parameters
    ----------
    pixels : float32 (y, x), ADU
        Raw; changed in place.
    dark, inverse_flat : float32 (y, x), or of size 0 to leave the step out
    defects : bool (y, x), or of size 0
    defect_rows : (int64, int32)
        `Calibration.defect_rows`.
    step : int, px
        Distance of the neighbours that repair a defect: 2 on a CFA, 1 on a mono frame.
    sites : int64 (n, 2)
        (y, x) of the sites in the 2x2 cell that are halved: the two greens of a CFA, all four of a mono frame.
    limit : float, ADU
    half : float32 (y // 2, x // 2), ADU
        Written in place; pixel (i, j) is centred at (2 j + 0.5, 2 i + 0.5) of the frame.

    Returns
    -------
    int
        How many pixels are at or above the limit.

    Notes
    -----
    Definition: `calibrate_box`, then `repair_defects`, of the whole frame, hence the same bits; then `halve_frame`.
    """
    height = pixels.shape[0]
    starts, columns = defect_rows
    margin = 2 * step if starts.size > 0 else 0  # rows below a defect that its repair looks at
    values = np.empty(8, np.float32)
    n_bright, done = int(0), int(0)
    for start in range(0, height, _BAND):
        stop = min(start + _BAND, height)
        band = pixels[start:stop]
        if dark.size > 0 or inverse_flat.size > 0:
            calibrate_box(band, dark, inverse_flat, int(0), start, band)  # int: not compiled once more for a constant
        end = height if stop == height else max(stop - margin, 0)
        if starts.size > 0:
            _repair_rows(pixels, defects, starts, columns, done, end, step, values)
        n_bright += _halve_rows(pixels, sites, np.float32(limit), done, end, half)
        done = end
    return n_bright


@kernel
def halve_frame(pixels: F32, sites: I64, limit: float, half: F32) -> int:
    """
    Fill the half-resolution plane of a calibrated frame; return how many of its pixels are at or above the limit.

    Parameters and result are those of `look_at_frame`.

    Notes
    -----
    Definition:: half[i, j] = mean of pixels[2 i + y, 2 j + x] over the sites (y, x); count of pixels >= limit.
    """
    return _halve_rows(pixels, sites, np.float32(limit), int(0), pixels.shape[0], half)
