"""What lies around a peak: its sky, its first shape, its neighbours."""

from __future__ import annotations

import numpy as np

from skyquilt.core.arrays import F32, F64, I64, Mask
from skyquilt.kernels.backend import called, kernel

__all__ = [
    "aperture_sums",
    "find_unsaturated",
    "guess_shapes",
    "light_of_neighbours",
    "local_levels",
    "mark_duplicates",
]

_NARROWEST = 0.25  # plane px²


@called
def _sums_within(values: F64, low: float, high: float) -> tuple[int, float, float]:
    """Return count, sum and sum of squares of the values in [low, high]; two sums at a time, so that none waits."""
    n_even, n_odd, even, odd, even2, odd2 = 0, 0, 0.0, 0.0, 0.0, 0.0
    last = values.size - values.size % 2
    for k in range(0, last, 2):
        v, w = values[k], values[k + 1]
        v_counts, w_counts = low <= v <= high, low <= w <= high
        v, w = v if v_counts else 0.0, w if w_counts else 0.0
        n_even += int(v_counts)
        n_odd += int(w_counts)
        even += v
        odd += w
        even2 += v * v
        odd2 += w * w
    if last < values.size and low <= values[last] <= high:
        n_even += 1
        even += values[last]
        even2 += values[last] * values[last]
    return n_even + n_odd, even + odd, even2 + odd2


@kernel
def local_levels(plane: F32, x: F64, y: F64, inner: float, outer: float, level: F64) -> None:
    """
    Fill the level of an annulus around each point: mean after three rounds of clipping at 2.5 sigma.

    Parameters
    ----------
    plane : float32 (y, x), ADU
    x, y : float64 (n,), plane px
    inner, outer : float, plane px
    level : float64 (n,), ADU
        Written in place; 0 where the annulus holds fewer than 8 pixels.
    """
    h, w = plane.shape
    reach = int(np.ceil(outer))
    values = np.empty((2 * reach + 3) * (2 * reach + 3))
    for k in range(len(x)):
        n = 0
        cx, cy = int(np.rint(x[k])), int(np.rint(y[k]))
        for i in range(max(cy - reach, 0), min(cy + reach + 1, h)):
            most2 = outer * outer - (i - cy) * (i - cy)
            if most2 < 0.0:
                continue
            half, least2 = int(np.sqrt(most2)), inner * inner - (i - cy) * (i - cy)
            gap = int(np.ceil(np.sqrt(least2))) if least2 > 0.0 else 0  # from here on a pixel is outside of the star
            left_end = cx - gap + 1 if gap > 0 else cx
            for j in range(max(cx - half, 0), min(left_end, w)):
                values[n] = plane[i, j]
                n += 1
            for j in range(max(cx + gap, 0), min(cx + half + 1, w)):
                values[n] = plane[i, j]
                n += 1
        if n < 8:
            level[k] = 0.0
            continue
        low, high = -np.inf, np.inf
        mean = 0.0
        for _ in range(4):
            m, total, squares = _sums_within(values[:n], low, high)
            if m < 4:
                break
            mean = total / m
            sigma = np.sqrt(max(squares / m - mean * mean, 0.0))
            low, high = mean - 2.5 * sigma, mean + 2.5 * sigma
        level[k] = mean


@kernel
def guess_shapes(plane: F32, x: F64, y: F64, level: F64, largest: float, shape: F64) -> None:
    """
    Fill a first idea of each star's second moments: a Gaussian window that adapts to what it sees.

    Parameters
    ----------
    plane : float32 (y, x), ADU
    x, y : float64 (n,), plane px
    level : float64 (n,), ADU
        Sky to subtract.
    largest : float, plane px
        Moments beyond its square count as failed.
    shape : float64 (n, 5)
        x, y, xx, xy, yy in plane px and px². Written in place; xx = 0 where it failed.

    Notes
    -----
    Definition: M <- 2 sum(w I r r^T) / sum(w I), w = exp(-r^T M^-1 r / 2), until M settles (Bernstein & Jarvis 2002,
    AJ 123, 583, section 3).
    """
    h, w = plane.shape
    for k in range(len(x)):
        cx, cy = x[k], y[k]
        xx, xy, yy = 1.0, 0.0, 1.0
        good = False
        for _ in range(30):
            det = xx * yy - xy * xy
            p, q, s = yy / det, -xy / det, xx / det
            reach = int(min(3.0 * np.sqrt(max(xx, yy)) + 1.0, 3.0 * largest))
            total, sx, sy, sxx, sxy, syy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
            for i in range(max(int(cy) - reach, 0), min(int(cy) + reach + 2, h)):
                for j in range(max(int(cx) - reach, 0), min(int(cx) + reach + 2, w)):
                    dx, dy = j - cx, i - cy
                    e = 0.5 * (p * dx * dx + 2.0 * q * dx * dy + s * dy * dy)
                    if e > 5.0:
                        continue
                    v = np.exp(-e) * (plane[i, j] - level[k])
                    total += v
                    sx += v * dx
                    sy += v * dy
                    sxx += v * dx * dx
                    sxy += v * dx * dy
                    syy += v * dy * dy
            if not total > 0.0:
                break
            cx += min(max(2.0 * sx / total, -0.7), 0.7)
            cy += min(max(2.0 * sy / total, -0.7), 0.7)
            # a star sharper than the plane's pixels would shrink the window to nothing: stop at half a pixel
            new_xx, new_yy = max(2.0 * sxx / total, _NARROWEST), max(2.0 * syy / total, _NARROWEST)
            bound = 0.95 * np.sqrt(new_xx * new_yy)
            new_xy = min(max(2.0 * sxy / total, -bound), bound)
            if max(new_xx, new_yy) > largest * largest:
                break
            change = abs(new_xx - xx) + abs(new_yy - yy) + abs(new_xy - xy)
            xx, xy, yy = new_xx, new_xy, new_yy
            if change < 0.01 * (xx + yy):
                good = True
                break
        if good and abs(cx - x[k]) < 3.0 and abs(cy - y[k]) < 3.0:
            shape[k, 0], shape[k, 1], shape[k, 2], shape[k, 3], shape[k, 4] = cx, cy, xx, xy, yy
        else:
            shape[k, 2] = 0.0


@kernel
def find_unsaturated(pixels: F32, x: F64, y: F64, saturation: float, found: I64) -> int:
    """
    Fill the indices of the first points with no saturated pixel within 2 px of the nearest one.

    Parameters
    ----------
    pixels : float32 (y, x), ADU
    x, y : float64 (n,), px
    saturation : float, ADU
    found : int64 (n_most,)
        Written in place.

    Returns
    -------
    int
        How many there are.
    """
    h, w = pixels.shape
    n = 0
    for k in range(len(x)):
        if n == len(found):
            break
        cx, cy = int(np.rint(x[k])), int(np.rint(y[k]))
        is_saturated = False
        for i in range(max(cy - 2, 0), min(cy + 3, h)):
            for j in range(max(cx - 2, 0), min(cx + 3, w)):
                is_saturated = is_saturated or pixels[i, j] >= saturation
        if not is_saturated:
            found[n] = k
            n += 1
    return n


@kernel
def mark_duplicates(x: F64, y: F64, by_y: I64, radius: float, drop: Mask) -> None:
    """
    Mark every star that lies within `radius` px of a brighter one (a lower index).

    Parameters
    ----------
    x, y : float64 (n,), px, brightest first
    by_y : int64 (n,)
        Indices in the order of y.
    drop : bool (n,)
        Written in place.
    """
    n = len(x)
    for a in range(n):
        k = by_y[a]
        for b in range(a + 1, n):
            other = by_y[b]
            if y[other] - y[k] > radius:
                break
            dx, dy = x[other] - x[k], y[other] - y[k]
            if dx * dx + dy * dy < radius * radius:
                drop[max(k, other)] = True


@kernel
def light_of_neighbours(x: F64, y: F64, height: F64, distance: float, out: F64) -> None:
    """
    Fill the summed heights of all other stars within `distance` px of each of the first stars.

    Parameters
    ----------
    x, y : float64 (n,), px
    height : float64 (n,), ADU
    distance : float, px
    out : float64 (at most n,), ADU
        Written in place.
    """
    for k in range(len(out)):
        total = 0.0
        for other in range(len(x)):
            dx, dy = x[other] - x[k], y[other] - y[k]
            if dx * dx + dy * dy < distance * distance and other != k:
                total += height[other]
        out[k] = total


@kernel
def aperture_sums(
    pixels: F32, parity: int, x: F64, y: F64, sky: F64, radius: float, saturation: float, out: F64
) -> None:
    """
    Fill the flux inside a circle around each star, its edge soft by one pixel.

    Parameters
    ----------
    pixels : float32 (y, x), ADU
    parity : int
        -1: all pixels take part; else those with (x + y) % 2 == parity, each standing for two.
    x, y : float64 (n,), px
    sky : float64 (n,), ADU
    radius : float, px
    saturation : float, ADU
    out : float64 (n,), ADU
        Written in place; NaN where the circle leaves the frame or meets a pixel that cannot be used.
    """
    h, w = pixels.shape
    step = 1 if parity < 0 else 2
    reach = int(np.ceil(radius + 0.5))
    for k in range(len(x)):
        cx, cy = int(np.rint(x[k])), int(np.rint(y[k]))
        out[k] = np.nan
        if cx - reach < 0 or cy - reach < 0 or cx + reach >= w or cy + reach >= h:
            continue
        total, good = 0.0, True
        for i in range(cy - reach, cy + reach + 1):
            start = cx - reach
            if parity >= 0 and (start + i) % 2 != parity:
                start += 1
            for j in range(start, cx + reach + 1, step):
                share = radius + 0.5 - np.sqrt((j - x[k]) * (j - x[k]) + (i - y[k]) * (i - y[k]))
                if share <= 0.0:
                    continue
                v = pixels[i, j]
                if not (v < saturation and v > -1e30):
                    good = False
                total += min(share, 1.0) * (v - sky[k])
        if good:
            out[k] = total * step
