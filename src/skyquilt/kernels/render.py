"""
Loops that draw a synthetic sky: stars, smooth light and trails on a sensor, exactly at their sub-pixel places.

Every function adds light (ADU, float32) to `image` in place. `channel_of` is the int64 (2, 2) table of the colour
filter array (`Cfa.table`; zeros for a mono sensor): a pixel receives the flux of its own channel. Pixel centres lie at
integers, so pixel (x, y) integrates from x - 0.5 to x + 0.5.
"""

from __future__ import annotations

import math

import numpy as np

from skyquilt.core.arrays import F32, F64, I64, U16
from skyquilt.kernels.backend import inlined, kernel

__all__ = [
    "NODE_PX",
    "add_blobs",
    "add_gaussian_stars",
    "add_moffat_stars",
    "add_sky",
    "add_trail",
    "expose",
    "moffat_share",
]

NODE_PX = 16
"""Spacing of the coordinate nodes that `add_blobs` takes, px."""

_MAX_RADIUS = 96
_ROOT_HALF = math.sqrt(0.5)


@kernel
def add_sky(image: F32, channel_of: I64, level: F64, slope_x: float, slope_y: float) -> None:
    """
    Add a sky that rises linearly across the frame.

    Parameters
    ----------
    image : float32 (y, x), ADU; changed in place
    level : float64 (n_channels,), ADU
        Light at the centre of the frame.
    slope_x, slope_y : float, 1/px
        Relative rise per pixel.

    Notes
    -----
    Definition:: image += level[channel] * (1 + slope_x * (x - (w - 1) / 2) + slope_y * (y - (h - 1) / 2))
    """
    height, width = image.shape
    middle_x, middle_y = 0.5 * (width - 1), 0.5 * (height - 1)
    for y in range(height):
        row = 1.0 + slope_y * (y - middle_y)
        even, odd = level[channel_of[y % 2, 0]], level[channel_of[y % 2, 1]]
        for x in range(width):
            image[y, x] += np.float32((odd if x % 2 else even) * (row + slope_x * (x - middle_x)))


@kernel
def add_gaussian_stars(image: F32, channel_of: I64, xs: F64, ys: F64, flux: F64, sigma: float, cut_adu: float) -> None:
    """
    Add round Gaussian stars, each integrated over every pixel with differences of the error function.

    Parameters
    ----------
    image : float32 (y, x), ADU; changed in place
    xs, ys : float64 (n,), px
    flux : float64 (n, n_channels), ADU
        Sum over all pixels, were they all of that channel.
    sigma : float, px
    cut_adu : float, ADU
        A star ends where its profile falls below this.

    Notes
    -----
    Definition:: image[y, x] += flux[channel] * P(x - xs) * P(y - ys),
    P(d) = Phi((d + 0.5) / sigma) - Phi((d - 0.5) / sigma)
    """
    height, width = image.shape
    along_x = np.empty(2 * _MAX_RADIUS + 2)
    along_y = np.empty(2 * _MAX_RADIUS + 2)
    for star in range(xs.shape[0]):
        peak = flux[star].max() / (2.0 * math.pi * sigma * sigma)
        if not peak > cut_adu:
            continue
        radius = min(float(_MAX_RADIUS), sigma * math.sqrt(2.0 * math.log(peak / cut_adu)) + 1.0)
        x0, x1 = max(0, math.ceil(xs[star] - radius)), min(width - 1, math.floor(xs[star] + radius))
        y0, y1 = max(0, math.ceil(ys[star] - radius)), min(height - 1, math.floor(ys[star] + radius))
        if x1 < x0 or y1 < y0:
            continue
        _fill_shares(along_x, x0, x1, xs[star], sigma)
        _fill_shares(along_y, y0, y1, ys[star], sigma)
        for y in range(y0, y1 + 1):
            even = flux[star, channel_of[y % 2, 0]] * along_y[y - y0]
            odd = flux[star, channel_of[y % 2, 1]] * along_y[y - y0]
            for x in range(x0, x1 + 1):
                image[y, x] += np.float32((odd if x % 2 else even) * along_x[x - x0])


@inlined
def _fill_shares(shares: F64, first: int, last: int, centre: float, sigma: float) -> None:
    """Fill shares[i - first] with the part of a unit Gaussian that falls on pixel i."""
    lower = math.erf((first - 0.5 - centre) / sigma * _ROOT_HALF)
    for i in range(first, last + 1):
        upper = math.erf((i + 0.5 - centre) / sigma * _ROOT_HALF)
        shares[i - first] = 0.5 * (upper - lower)
        lower = upper


# Gauss-Legendre nodes on [-0.5, 0.5] and their weights: 5 points across a pixel in the core of a star, 2 in its wings
_NODES = 0.5 * np.polynomial.legendre.leggauss(5)[0]
_WEIGHTS = 0.5 * np.polynomial.legendre.leggauss(5)[1]
_WING_NODE = 0.5 / math.sqrt(3.0)


@kernel
def moffat_share(dx: float, dy: float, alpha: float, beta: float) -> float:
    """
    Return the part of a unit Moffat star that falls on the pixel whose centre lies (dx, dy) px from it.

    The profile (beta - 1) / (pi alpha²) (1 + r² / alpha²)^-beta is integrated by Gauss-Legendre quadrature: 5x5 points
    in the core, 2x2 beyond 3 alpha. For alpha of 1.5 px or more the error is below 1e-6 of the star's flux.
    """
    scale = 1.0 / (alpha * alpha)
    norm = (beta - 1.0) * scale / math.pi
    total = 0.0
    if (dx * dx + dy * dy) * scale > 9.0:
        for i in range(2):
            for j in range(2):
                square = (dx + (2 * i - 1) * _WING_NODE) ** 2 + (dy + (2 * j - 1) * _WING_NODE) ** 2
                total += 0.25 * _moffat(square * scale, beta)
        return norm * total
    for i in range(5):
        for j in range(5):
            square = (dx + _NODES[i]) ** 2 + (dy + _NODES[j]) ** 2
            total += _WEIGHTS[i] * _WEIGHTS[j] * _moffat(square * scale, beta)
    return norm * total


@inlined
def _moffat(square: float, beta: float) -> float:
    """Return (1 + square)^-beta; the common beta = 3 needs no logarithm."""
    base = 1.0 + square
    return 1.0 / (base * base * base) if beta == 3.0 else math.exp(-beta * math.log(base))


@kernel
def add_moffat_stars(
    image: F32, channel_of: I64, xs: F64, ys: F64, flux: F64, alpha: float, beta: float, cut_adu: float
) -> None:
    """
    Add round Moffat stars, each integrated over every pixel (`moffat_share`).

    Parameters as for `add_gaussian_stars`; FWHM = 2 alpha sqrt(2^(1 / beta) - 1). The wings end at `cut_adu` or at
    96 px.
    """
    height, width = image.shape
    for star in range(xs.shape[0]):
        peak = flux[star].max() * (beta - 1.0) / (math.pi * alpha * alpha)
        if not peak > cut_adu:
            continue
        radius = min(float(_MAX_RADIUS), alpha * math.sqrt((peak / cut_adu) ** (1.0 / beta) - 1.0) + 1.0)
        x0, x1 = max(0, math.ceil(xs[star] - radius)), min(width - 1, math.floor(xs[star] + radius))
        y0, y1 = max(0, math.ceil(ys[star] - radius)), min(height - 1, math.floor(ys[star] + radius))
        for y in range(y0, y1 + 1):
            for x in range(x0, x1 + 1):
                dx, dy = x - xs[star], y - ys[star]
                if dx * dx + dy * dy <= radius * radius:
                    share = moffat_share(dx, dy, alpha, beta)
                    image[y, x] += np.float32(flux[star, channel_of[y % 2, x % 2]] * share)


@kernel
def add_blobs(image: F32, channel_of: I64, node_x: F64, node_y: F64, blobs: F64, gain: float) -> None:
    """
    Add elliptical Gaussian blobs of surface brightness that live in another plane.

    Parameters
    ----------
    image : float32 (y, x), ADU; changed in place
    node_x, node_y : float64 (ny, nx), px
        Where the frame's pixels (16 j, 16 i) lie in the plane of the blobs; linear in between along both axes.
    blobs : float64 (n, 5 + n_channels)
        x, y (px), then a, b, c of the exponent -(a u² + 2 b u v + c v²) / 2, then the peak of every channel (ADU).
    gain : float
        Factor on the brightness (transparency).

    Notes
    -----
    Definition:: image += gain * sum_k peak_k[channel] * exp(-(a u² + 2 b u v + c v²) / 2), at pixel centres
    Along 16 px of a row the exponent is a quadratic e0 + e1 t + e2 t², so that the next value is the last one times a
    ratio that itself grows by exp(2 e2): three exponentials for 16 px.
    """
    height, width = image.shape
    peaks = np.empty(2)
    for k in range(blobs.shape[0]):
        a, b, c = blobs[k, 2], blobs[k, 3], blobs[k, 4]
        for y in range(height):
            i, part = y // NODE_PX, (y % NODE_PX) / NODE_PX
            for side in range(2):
                peaks[side] = gain * blobs[k, 5 + channel_of[y % 2, side]]
            for j in range(node_x.shape[1] - 1):
                u0 = node_x[i, j] * (1.0 - part) + node_x[i + 1, j] * part
                v0 = node_y[i, j] * (1.0 - part) + node_y[i + 1, j] * part
                u1 = node_x[i, j + 1] * (1.0 - part) + node_x[i + 1, j + 1] * part
                v1 = node_y[i, j + 1] * (1.0 - part) + node_y[i + 1, j + 1] * part
                du, dv = (u1 - u0) / NODE_PX, (v1 - v0) / NODE_PX
                u, v = u0 - blobs[k, 0], v0 - blobs[k, 1]
                e0 = -0.5 * (a * u * u + 2.0 * b * u * v + c * v * v)
                e1 = -(a * u * du + b * (u * dv + v * du) + c * v * dv)
                e2 = -0.5 * (a * du * du + 2.0 * b * du * dv + c * dv * dv)
                if e0 + 8.0 * e1 + 64.0 * e2 < -30.0:
                    continue
                value, ratio, growth = math.exp(e0), math.exp(e1 + e2), math.exp(2.0 * e2)
                for x in range(j * NODE_PX, min(width, (j + 1) * NODE_PX)):
                    image[y, x] += np.float32(peaks[x % 2] * value)
                    value *= ratio
                    ratio *= growth


@kernel
def add_trail(image: F32, channel_of: I64, x0: float, y0: float, x1: float, y1: float, sigma: float, peak: F64) -> None:
    """
    Add a straight streak of Gaussian cross-section that ends at (x0, y0) and (x1, y1).

    Parameters
    ----------
    image : float32 (y, x), ADU; changed in place
    sigma : float, px
        Of the cross-section, and of the ends.
    peak : float64 (n_channels,), ADU
        Height of the ridge.

    Notes
    -----
    Definition:: image += peak * exp(-d² / 2 sigma²) * (Phi(s / sigma) - Phi((s - length) / sigma)),
    d the distance from the line, s the place along it. It is cut at 6 sigma.
    """
    height, width = image.shape
    length = math.hypot(x1 - x0, y1 - y0)
    cos, sin = (x1 - x0) / length, (y1 - y0) / length
    reach = 6.0 * sigma
    for y in range(height):
        first, last = 0, width - 1
        if abs(sin) > 1e-9:  # |(x - x0) sin - (y - y0) cos| <= reach
            middle, half = x0 + (y - y0) * cos / sin, reach / abs(sin)
            first = max(first, math.floor(max(middle - half, -1.0)))
            last = min(last, math.ceil(min(middle + half, float(width))))
        for x in range(first, last + 1):
            across = (x - x0) * sin - (y - y0) * cos
            along = (x - x0) * cos + (y - y0) * sin
            if abs(across) > reach or along < -reach or along > length + reach:
                continue
            ends = 0.5 * (math.erf(along / sigma * _ROOT_HALF) - math.erf((along - length) / sigma * _ROOT_HALF))
            value = math.exp(-0.5 * (across / sigma) ** 2) * ends
            image[y, x] += np.float32(peak[channel_of[y % 2, x % 2]] * value)


@kernel
def expose(
    image: F32, normals: F32, pedestal_adu: float, adu_per_electron: float, read_noise_adu: float, full_adu: float
) -> U16:
    """
    Return the uint16 (y, x) frame that the sensor saves from the expected signal.

    Parameters
    ----------
    image : float32 (y, x), ADU
        Expected signal, pedestal included.
    normals : float32 (y, x), or of shape (0, 0)
        Unit normal deviates; an empty array switches the noise off.
    pedestal_adu : float, ADU
        What of the signal is no charge, and so without shot noise.
    adu_per_electron, read_noise_adu : float
    full_adu : float, ADU
        Values above it saturate.

    Notes
    -----
    Definition:: rint(clip(image + normal * sqrt(max(image - pedestal, 0) * adu_per_electron + read_noise²), 0, full))
    Shot noise is the normal approximation of Poisson's.
    """
    height, width = image.shape
    frame = np.empty((height, width), dtype=np.uint16)
    has_noise = normals.size > 0
    read, scale = np.float32(read_noise_adu * read_noise_adu), np.float32(adu_per_electron)
    pedestal, full, zero = np.float32(pedestal_adu), np.float32(full_adu), np.float32(0.0)
    for y in range(height):
        for x in range(width):
            value = image[y, x]
            if has_noise:
                value += normals[y, x] * np.sqrt(max(value - pedestal, zero) * scale + read)
            frame[y, x] = np.uint16(np.rint(min(max(value, zero), full)))
    return frame
