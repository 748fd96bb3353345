"""Where a star stands: the centroid under a window that follows it."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32

__all__ = ["window_centroid"]

_STEPS = 12


def window_centroid(image: F32, x: float, y: float, sigma: float) -> tuple[float, float]:
    """Return the windowed centroid near (x, y) above the median of a ring; NaN where pixels are missing."""
    reach = int(np.ceil(4.0 * sigma)) + 2
    column, row = round(x), round(y)
    if not (reach <= column < image.shape[1] - reach and reach <= row < image.shape[0] - reach):
        return np.nan, np.nan
    part = image[row - reach : row + reach + 1, column - reach : column + reach + 1].astype(np.float64)
    if not np.isfinite(part).all():
        return np.nan, np.nan
    down, across = np.mgrid[row - reach : row + reach + 1, column - reach : column + reach + 1]
    part = part - np.median(part[np.hypot(down - y, across - x) > 3.5 * sigma])
    for _ in range(_STEPS):
        window = part * np.exp(-0.5 * ((across - x) ** 2 + (down - y) ** 2) / sigma**2)
        total = window.sum()
        if not total > 0.0:
            return np.nan, np.nan
        step_x, step_y = (2.0 * (window * (place - at)).sum() / total for place, at in ((across, x), (down, y)))
        x, y = x + step_x, y + step_y
        if np.hypot(step_x, step_y) < 1e-5:
            break
    return float(x), float(y)
