"""The weights of the interpolation kernels, tabulated by phase."""

from __future__ import annotations

from functools import cache

import numpy as np

from skyquilt.core import F32, F64

__all__ = ["KERNELS", "KERNEL_TAPS", "N_PHASES", "gaussian_table", "kernel_table", "kernel_weight"]

N_PHASES = 1024  # a position is rounded to 1/2048 px: below 1e-3 of the slope between two pixels
KERNELS = ("nearest", "bilinear", "catmull_rom", "least_squares", "lanczos3")
KERNEL_TAPS = {"nearest": 2, "bilinear": 2, "catmull_rom": 4, "least_squares": 4, "lanczos3": 6}
_STAR_FWHM_PX = 2.2  # as sampled, what "least_squares" is made for: sharp stars need it, wide ones are easy


def kernel_weight(name: str, distance: F64) -> F64:
    """
    Return the weight of a pixel at `distance` px from the sample, along one axis.

    Parameters
    ----------
    name : one of `KERNELS`
    distance : float64, px, any shape

    Notes
    -----
    nearest: 1 within half a pixel (ties to the left neighbour are settled by the rounding of the phase).
    bilinear: ``1 - |d|``. catmull_rom: the cubic of Keys 1981 (IEEE TASSP 29, 1153) with a = -1/2.
    lanczos3: ``sinc(d) sinc(d / 3)`` (Duchon 1979). least_squares: what misses a star's value by the least square:
    over Gaussian stars of 2.2 px FWHM (as sampled) at every place, the least mean square of
    ``sum_i w_i v_i - v(t)`` for a sample t px after its second pixel, under ``sum w_i = 1`` and ``sum w_i x_i = t``:
    levels and slopes come out exactly. This is kriging with a Gaussian covariance and a linear trend (Cressie 1993,
    Statistics for Spatial Data, section 3.4).
    """
    d = np.abs(np.asarray(distance, dtype=np.float64))
    if name == "nearest":
        return np.where(d < 0.5, 1.0, np.where(d == 0.5, 0.5, 0.0))
    if name == "bilinear":
        return np.maximum(0.0, 1.0 - d)
    if name == "catmull_rom":
        near = (1.5 * d - 2.5) * d * d + 1.0
        far = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
        return np.where(d <= 1.0, near, np.where(d < 2.0, far, 0.0))
    if name == "least_squares":
        near, far = _least_squares_weights(np.minimum(d, 1.0)), _least_squares_weights(np.clip(d - 1.0, 0.0, 1.0))
        return np.where(d <= 1.0, near[..., 1], np.where(d < 2.0, far[..., 0], 0.0))
    if name == "lanczos3":
        return np.where(d < 3.0, np.sinc(d) * np.sinc(d / 3.0), 0.0)
    raise ValueError(f"{name!r} is not one of {', '.join(KERNELS)}")


def _least_squares_weights(phase: F64) -> F64:
    """
    Return the four weights of the least-squares kernel, float64 (..., 4), at phases from 0 to 1.

    With the autocorrelation R(d) = exp(-d² / (4 sigma²)) of a star, w = w0 + V c: w0 the bilinear weights, V the two
    second differences, which change neither sum, and (V' R V) c = V' (r - R w0) with r_i = R(x_i - phase).
    """
    sigma = _STAR_FWHM_PX / np.sqrt(8.0 * np.log(2.0))
    places = np.array([-1.0, 0.0, 1.0, 2.0])
    first, second = np.array([1.0, -2.0, 1.0, 0.0]), np.array([0.0, 1.0, -2.0, 1.0])
    among = np.exp(-(((places[:, None] - places) / (2.0 * sigma)) ** 2))
    to_sample = np.exp(-(((places - phase[..., None]) / (2.0 * sigma)) ** 2))
    bilinear = np.maximum(0.0, 1.0 - np.abs(places - phase[..., None]))
    missing = to_sample - bilinear @ among
    a, b, c = first @ among @ first, first @ among @ second, second @ among @ second
    p, q = missing @ first, missing @ second
    at_first, at_second = (c * p - b * q) / (a * c - b * b), (a * q - b * p) / (a * c - b * b)
    weights: F64 = bilinear + at_first[..., None] * first + at_second[..., None] * second
    return weights


@cache
def kernel_table(name: str) -> F32:
    """
    Return the weights of all taps at every phase.

    Parameters
    ----------
    name : one of `KERNELS`

    Returns
    -------
    float32 (N_PHASES + 1, taps)
        Row p holds the weights of the pixels floor(x) - taps / 2 + 1 ... floor(x) + taps / 2 for a sample at
        x = floor(x) + p / N_PHASES; each row sums to 1. The rows 0 and N_PHASES pick one pixel exactly.
    """
    taps = KERNEL_TAPS[name]
    offsets = np.arange(taps) - (taps // 2 - 1)
    phase = np.arange(N_PHASES + 1) / N_PHASES
    weights = kernel_weight(name, offsets[None, :] - phase[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    if name == "nearest":
        weights = (offsets[None, :] == (phase[:, None] > 0.5)).astype(np.float64)
    weights[0] = offsets == 0
    weights[-1] = offsets == 1
    return weights.astype(np.float32)


@cache
def gaussian_table(width_px: float) -> F32:
    """
    Return the weights of the Gaussian window that samples a colour filter array, by phase.

    Parameters
    ----------
    width_px : float, px
        p in exp(-d² / (2 p²)).

    Returns
    -------
    float32 (N_PHASES + 1, 4 or 6)
        Not normalised: the sampler divides by the sum over the sites of one colour. Six taps from p = 0.85 px on, where
        four would cut the window at 1.8 p.
    """
    taps = 4 if width_px < 0.85 else 6
    offsets = np.arange(taps) - (taps // 2 - 1)
    phase = np.arange(N_PHASES + 1) / N_PHASES
    distance = offsets[None, :] - phase[:, None]
    return np.exp(-0.5 * (distance / width_px) ** 2).astype(np.float32)
