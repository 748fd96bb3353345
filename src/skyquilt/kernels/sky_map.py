"""From pixels of one image of the sky to those of another: plane, unit vector, plane, distortion; no sines."""

from __future__ import annotations

import math

from skyquilt.core.arrays import F64, Mask
from skyquilt.kernels.backend import exact_inlined, exact_kernel

__all__ = ["map_pixels"]

_NEAREST_HORIZON = 1e-6  # as in core.sky.sphere
_NEWTON_STEPS = 12
_CONVERGED_PX = 1e-9
_UNDONE_PX = 1e-6


@exact_inlined
def _moved(terms: F64, u: float, v: float) -> tuple[float, float]:
    """Return the two sums of ``terms[k, i, j] u^i v^j`` with i + j up to the order."""
    order = terms.shape[1] - 1
    along_u, along_v = 0.0, 0.0
    for i in range(order, -1, -1):
        row_u, row_v = 0.0, 0.0
        for j in range(order - i, -1, -1):
            row_u = row_u * v + terms[0, i, j]
            row_v = row_v * v + terms[1, i, j]
        along_u = along_u * u + row_u
        along_v = along_v * u + row_v
    return along_u, along_v


@exact_inlined
def _moved_with_slopes(terms: F64, u: float, v: float) -> tuple[float, float, float, float, float, float]:
    """Return what `_moved` does, then the derivatives of the first along u and v, and of the second."""
    order = terms.shape[1] - 1
    along_u, along_v, uu, uv, vu, vv = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(order, -1, -1):
        row_u, row_v, slope_u, slope_v = 0.0, 0.0, 0.0, 0.0
        for j in range(order - i, -1, -1):
            slope_u = slope_u * v + row_u
            slope_v = slope_v * v + row_v
            row_u = row_u * v + terms[0, i, j]
            row_v = row_v * v + terms[1, i, j]
        uu = uu * u + along_u
        vu = vu * u + along_v
        uv = uv * u + slope_u
        vv = vv * u + slope_v
        along_u = along_u * u + row_u
        along_v = along_v * u + row_v
    return along_u, along_v, uu, uv, vu, vv


@exact_inlined
def _undistorted(terms: F64, start: F64, to_u: float, to_v: float) -> tuple[float, float]:
    """Return the offsets that the distortion takes to (to_u, to_v): a polynomial guess, then Newton; NaN if none."""
    du, dv = _moved(start, to_u, to_v)
    u, v = to_u + du, to_v + dv
    miss = math.inf
    for _ in range(_NEWTON_STEPS):
        du, dv, uu, uv, vu, vv = _moved_with_slopes(terms, u, v)
        miss_u, miss_v = u + du - to_u, v + dv - to_v
        miss = max(abs(miss_u), abs(miss_v))
        if not miss > _CONVERGED_PX:
            break
        uu, vv = uu + 1.0, vv + 1.0
        determinant = uu * vv - uv * vu
        u -= (vv * miss_u - uv * miss_v) / determinant
        v -= (uu * miss_v - vu * miss_u) / determinant
    if not miss < _UNDONE_PX:
        return math.nan, math.nan
    return u, v


@exact_kernel
def map_pixels(
    x: F64,
    y: F64,
    from_plane: F64,
    from_terms: F64,
    rotation: F64,
    to_plane: F64,
    to_terms: F64,
    to_start: F64,
    is_equal_area: Mask,
    limits: F64,
    out: F64,
) -> None:
    """
    Fill `out` with where the sky at pixels of one image lies in the other; each point by itself.

    Parameters
    ----------
    x, y : float64 (n,), px
    from_plane : float64 (6,)
        Reference pixel (x, y), then the matrix of radians/px, by rows.
    from_terms : float64 (2, k, k), px
        Distortion of the first image: ``terms[0, i, j] u^i v^j`` is added to u, [1] to v; i + j < k; k = 0: none.
    rotation : float64 (3, 3)
        Takes (east, north, depth) at the first image's reference point to those at the second's.
    to_plane : float64 (6,)
        Reference pixel of the second image, then the matrix of px/radian, by rows.
    to_terms, to_start : float64 (2, k, k), px
        Its distortion, and a polynomial that comes near to the way back: where Newton's steps begin.
    is_equal_area : bool (2,)
        Whether the first and the second are ZEA; else TAN.
    limits : float64 (8,), px
        What counts as near the second image, offsets from its reference pixel, lowest and highest: u and v on the
        plane (before the distortion is undone), then u and v of its pixels.
    out : float64 (2, n), px
        NaN where the sky does not show in one of the projections, the point is beyond the limits, or the distortion
        has no such point.

    Notes
    -----
    Definition:: ra, dec = first.to_sky(x, y) ; out = second.to_pixels(ra, dec), NaN beyond the limits.
    Only sums, products, quotients and roots, all rounded as IEEE 754 says: the same bits on every machine.
    Source: Calabretta & Greisen 2002, A&A 395, 1077, sections 5.1.3 and 5.1.7; Shupe et al. 2005, ASP 347, 491.
    """
    for k in range(x.size):
        out[0, k] = math.nan
        out[1, k] = math.nan
        u, v = x[k] - from_plane[0], y[k] - from_plane[1]
        if from_terms.shape[1] > 0:
            du, dv = _moved(from_terms, u, v)
            u, v = u + du, v + dv
        xi = from_plane[2] * u + from_plane[3] * v
        eta = from_plane[4] * u + from_plane[5] * v
        depth = 1.0
        if is_equal_area[0]:
            half = (xi * xi + eta * eta) / 2.0
            if not half <= 2.0:
                continue
            shrink = math.sqrt(1.0 - half / 2.0)
            xi, eta, depth = xi * shrink, eta * shrink, 1.0 - half
        east = rotation[0, 0] * xi + rotation[0, 1] * eta + rotation[0, 2] * depth
        north = rotation[1, 0] * xi + rotation[1, 1] * eta + rotation[1, 2] * depth
        depth = rotation[2, 0] * xi + rotation[2, 1] * eta + rotation[2, 2] * depth
        length = math.sqrt(east * east + north * north + depth * depth)
        if is_equal_area[1]:
            depth = 1.0 + depth / length
            if not depth > _NEAREST_HORIZON:
                continue
            stretch = math.sqrt(2.0 / depth) / length
        else:
            if not depth > _NEAREST_HORIZON * length:
                continue
            stretch = 1.0 / depth
        east, north = east * stretch, north * stretch
        u = to_plane[2] * east + to_plane[3] * north
        v = to_plane[4] * east + to_plane[5] * north
        if not (limits[0] <= u <= limits[1] and limits[2] <= v <= limits[3]):
            continue
        if to_terms.shape[1] > 0:
            u, v = _undistorted(to_terms, to_start, u, v)
            if not (limits[4] <= u <= limits[5] and limits[6] <= v <= limits[7]):
                continue
        out[0, k] = u + to_plane[0]
        out[1, k] = v + to_plane[1]
