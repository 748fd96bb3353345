"""What happens to a box of raw pixels before it is resampled: calibration, marks, mirrored margins."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, I32, I64, Mask
from skyquilt.kernels.backend import exact_inlined, exact_kernel
from skyquilt.kernels.calibrate import calibrate_box, repair_pixel
from skyquilt.kernels.lanes import WIDTH, any_true, load, splat

__all__ = ["INFLUENCE", "calibrate_piece", "is_within_box", "mark_bad", "mirror_into", "mirrored", "scatter_cfa"]

_ONE_PIXEL = np.zeros((5, 5), dtype=np.float32)
_ONE_PIXEL[2, 2] = 1.0


def _diamond(beside: float, corner: float, far: float) -> F32:
    """Return the 5 x 5 table with 1 in the middle and these values around it."""
    table = _ONE_PIXEL.copy()
    table[1, 2] = table[3, 2] = table[2, 1] = table[2, 3] = beside
    table[1, 1] = table[1, 3] = table[3, 1] = table[3, 3] = corner
    table[0, 2] = table[4, 2] = table[2, 0] = table[2, 4] = far
    return table


# How much of a debayered pixel comes from the raw pixel two rows and columns around it: the largest of its three
# coefficients (for rcd, which has none, the largest that its weighted means can give).
INFLUENCE: dict[str, F32] = {
    "bilinear": _diamond(0.5, 0.25, 0.0),
    "malvar": _diamond(0.5, 0.25, 0.1875),
    "rcd": _diamond(0.75, 0.5, 0.25),
    "superpixel": _ONE_PIXEL,
    "cfa": _ONE_PIXEL,
    "none": _ONE_PIXEL,
}


@exact_inlined
def mirrored(index: int, size: int) -> int:
    """Return the pixel that stands for `index` when an axis is mirrored about its first and last pixel."""
    index = abs(index)
    if index < size:
        return index
    if size == 1:
        return 0
    index = index % (2 * (size - 1))
    return index if index < size else 2 * (size - 1) - index


@exact_inlined
def row_has_saturated(values: F32, start: int, stop: int, limit: np.float32) -> bool:
    """Tell whether any of ``values[start:stop]`` is at or above the limit, or not a number."""
    level = splat(limit)
    some = level < level
    place = start
    while place + WIDTH <= stop:
        some = some | ~(load(values, place) < level)
        place += WIDTH
    for last in range(place, stop):
        if not (values[last] < limit):
            return True
    return any_true(some)


@exact_kernel
def has_saturated(raw: F32, saturation: float) -> bool:
    """Tell whether any raw value is at or above saturation, or not a number."""
    values = raw.reshape(-1)
    return row_has_saturated(values, int(0), values.shape[0], np.float32(saturation))


@exact_kernel
def list_defects(rows: tuple[I64, I32], x0: int, y0: int, height: int, width: int, bad: I32) -> int:
    """Write the places ``y * width + x`` of a box's defects to `bad`; return how many they are."""
    starts, columns = rows
    n = 0
    if starts.shape[0] == 0:
        return n
    for y in range(height):
        for k in range(starts[y0 + y], starts[y0 + y + 1]):
            x = columns[k] - x0
            if x >= width:
                break
            if x >= 0:
                bad[n] = y * width + x
                n += 1
    return n


@exact_kernel
def add_unusable(raw: F32, usable: Mask, saturation: float, defects: Mask, bad: I32, n_bad: int, saturated: I32) -> int:
    """
    Add what only this box knows to its bad pixels, and return how many there are.

    What is masked or not a number becomes a defect (of value 0) as well; what is saturated keeps its value and is
    listed in `saturated`, after their number.
    """
    limit = np.float32(saturation)
    n_channels, height, width = raw.shape
    values = raw.reshape(-1)
    for y in range(height):
        is_plain = usable.size == 0
        for channel in range(n_channels):
            start = (channel * height + y) * width
            is_plain = is_plain and not row_has_saturated(values, start, start + width, limit)
        if is_plain:
            continue
        for x in range(width):
            is_defect = usable.size > 0 and not usable[y, x]
            is_saturated = False
            for channel in range(n_channels):
                value = raw[channel, y, x]
                if not (value < limit):
                    is_saturated = True
                    if value != value:
                        raw[channel, y, x] = np.float32(0.0)
                        is_defect = True
            if (is_defect or is_saturated) and not defects[y, x]:
                bad[n_bad] = y * width + x
                n_bad += 1
            defects[y, x] = defects[y, x] or is_defect
            if is_saturated and not defects[y, x]:
                saturated[0] += 1
                saturated[saturated[0]] = y * width + x
    return n_bad


@exact_kernel
def calibrate_piece(
    raw: F32,
    usable: Mask,
    dark: F32,
    inverse_flat: F32,
    frame_defects: Mask,
    rows: tuple[I64, I32],
    x0: int,
    y0: int,
    saturation: float,
    step: int,
    bad: I32,
) -> int:
    """
    Calibrate a box in place, mend its defects, and return how many of its pixels are bad.

    Parameters
    ----------
    raw : float32 (c, h, w), ADU, changed in place
        What is not a number becomes a defect.
    usable : bool (h, w), or of size 0 where all pixels are
    dark, inverse_flat, frame_defects : (height, width) of the whole frame, or of size 0
    rows : (starts, columns)
        `Calibration.defect_rows` of the same defects.
    x0, y0 : int, px
        The box's first pixel; the box lies inside of the frame.
    saturation : float, ADU
        Judged on the raw values, before anything is subtracted.
    step : int, px
        Distance of the next pixel of the same colour: 2 on a CFA, else 1.
    bad : int32 (2, h * w + 1), written
        Places ``y * w + x`` of the defects and saturated pixels, each once; below, if there are any, the number of the
        saturated pixels that are no defects, and their places in that order.
    """
    n_channels, height, width = raw.shape
    bad, saturated = bad[0], bad[1]
    saturated[0] = 0
    n_bad = list_defects(rows, x0, y0, height, width, bad)
    defects, left, top, n_defects = frame_defects, x0, y0, n_bad
    if usable.size > 0 or has_saturated(raw, saturation):
        defects, left, top = np.zeros((height, width), dtype=np.bool_), 0, 0
        for k in range(n_bad):
            defects[bad[k] // width, bad[k] % width] = True
        n_bad = add_unusable(raw, usable, saturation, defects, bad, n_bad, saturated)
        n_defects = n_bad
    values = np.empty(8, dtype=np.float32)
    for channel in range(n_channels):
        pixels = raw[channel]
        calibrate_box(pixels, dark, inverse_flat, x0, y0, pixels)
        for k in range(n_defects):
            y, x = bad[k] // width, bad[k] % width
            if defects[top + y, left + x]:
                repair_pixel(pixels, defects, left, top, x, y, step, values)
    return n_bad


@exact_inlined
def is_within_box(left: int, top: int, right: int, bottom: int, x0: int, y0: int, height: int, width: int) -> bool:
    """Tell whether a piece lies in a box whose first pixel is (x0, y0): nothing of it has to be mirrored."""
    return left >= x0 and top >= y0 and right <= x0 + width and bottom <= y0 + height


@exact_kernel
def mirror_into(piece: F32, x0: int, y0: int, width: int, height: int, left: int, top: int, out: F32) -> None:
    """
    Copy a piece of the frame to a box that may reach beyond the frame, mirrored there.

    Parameters
    ----------
    piece : float32 (h, w)
        First pixel at (x0, y0) of the frame; it holds whatever `out` needs.
    width, height : int, px of the frame
    left, top : int, px
        First pixel of `out`.
    out : float32, written
    """
    rows, columns = piece.shape
    for y in range(out.shape[0]):
        row = piece[min(max(mirrored(top + y, height) - y0, 0), rows - 1)]
        line = out[y]
        start, stop = max(0, x0 - left), min(out.shape[1], x0 + columns - left)
        if stop > start:
            target, origin = line[start:stop], row[start + left - x0 :]
            for k in range(target.shape[0]):
                target[k] = origin[k]
        for x in range(0, start):
            line[x] = row[min(max(mirrored(left + x, width) - x0, 0), columns - 1)]
        for x in range(max(start, stop), out.shape[1]):
            line[x] = row[min(max(mirrored(left + x, width) - x0, 0), columns - 1)]


@exact_kernel
def mark_bad(bad: I32, width: int, dx: int, dy: int, pitch: int, influence: F32, pixels: F32) -> None:
    """
    Lower the validity of whatever a bad pixel has a part in.

    Parameters
    ----------
    bad : int32 (n,)
        Places ``y * width + x`` in the box that was read.
    width : int, px of that box
    dx, dy : int, px of the frame
        Where that box begins, seen from the first of `pixels`.
    pitch : int
        Frame pixels a pixel of `pixels` (2 for superpixels).
    influence : float32 (5, 5)
        `INFLUENCE` of the method.
    pixels : float32 (h', w', 4), or (h', w', 1): the last lane is changed
    """
    n_rows, n_columns, lanes = pixels.shape
    for k in range(bad.shape[0]):
        y, x = bad[k] // width, bad[k] % width
        for j in range(5):
            v = (y + dy) // pitch + j - 2
            if v < 0 or v >= n_rows:
                continue
            for i in range(5):
                u = (x + dx) // pitch + i - 2
                if u >= 0 and u < n_columns:
                    left = np.float32(1.0) - influence[j, i]
                    pixels[v, u, lanes - 1] = min(pixels[v, u, lanes - 1], left)


@exact_kernel
def scatter_cfa(plane: F32, red_x: int, red_y: int, out: F32) -> None:
    """Fill `out`, float32 (h, w, 4), with each pixel of the plane in the lane of its colour and 0 in the others."""
    for y in range(plane.shape[0]):
        row, line = plane[y], out[y].ravel()
        is_red_row = (y & 1) == red_y
        colour_x = red_x if is_red_row else 1 - red_x
        colour = 0 if is_red_row else 2
        line[:] = np.float32(0.0)
        for x in range(colour_x, row.shape[0], 2):
            line[4 * x + colour] = row[x]
        for x in range(1 - colour_x, row.shape[0], 2):
            line[4 * x + 1] = row[x]
