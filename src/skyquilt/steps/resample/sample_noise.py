"""How much of a raw pixel's noise is left in a sample: debayering and interpolation average, and so they smooth."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from skyquilt.core import F32, F64, Box, Calibration, Cfa, Tile, Transform
from skyquilt.steps.resample.sampler import CanvasSampler

__all__ = ["sample_variances"]

_SIDE_PX = 192
_TURN_DEG = 20.0  # any that brings all phases of the kernel and all sites of the pattern together
_SKY_ADU = 1000.0  # high above 0: ratios of colours stay calm
_SIGMA_ADU = 10.0


class _Noise:
    """A flat sky with noise, as a `PixelSource`; the same one every time."""

    def __init__(self, n_channels: int) -> None:
        self.n_channels = n_channels
        self.bounds = Box.of_shape(_SIDE_PX, _SIDE_PX)
        random = np.random.default_rng(1)
        self._pixels = random.normal(_SKY_ADU, _SIGMA_ADU, (n_channels, _SIDE_PX, _SIDE_PX)).astype(np.float32)

    def read(self, box: Box) -> Tile:
        rows, columns = box.slices(self.bounds)
        pixels: F32 = np.ascontiguousarray(self._pixels[:, rows, columns])
        return Tile(pixels, np.ones(box.shape, dtype=np.bool_), box)


@lru_cache(maxsize=16)
def sample_variances(
    cfa: Cfa | None,
    n_planes: int,
    method: str,
    kernel: str,
    window_px: float,
    cell: int,
    star_colour: tuple[float, float] = (1.0, 1.0),
) -> F64:
    """
    Return the variance of a sample of flat sky over that of a raw pixel of its colour, float64 (n_channels,).

    Parameters
    ----------
    cfa, method, kernel, window_px, star_colour
        As `CanvasSampler` takes them.
    n_planes : int
        Of the frame: 1 or 3.
    cell : int
        Frame pixels a canvas pixel.

    Notes
    -----
    Samples count by the squares of their weights, as they do in the variance of a weighted mean.

    Measured to some 2 % on a frame of noise that is turned by 20 degrees, so the mean over all places of the pattern
    and phases of the kernel. Frames that do not move against the reference have a variance up to twice as large at
    those of their samples that are raw pixels.
    """
    middle = 0.5 * (_SIDE_PX - 1)
    turn = Transform.shift(-middle, -middle).then(Transform.similarity(angle_deg=_TURN_DEG))
    to_frame = Transform.similarity(scale=cell).then(turn).then(Transform.shift(middle, middle))
    sampler = CanvasSampler(
        _Noise(n_planes),
        cfa=cfa,
        calibration=Calibration(),
        to_frame=to_frame,
        method=method if cfa is not None else "malvar",
        kernel=kernel,
        window_px=window_px,
        star_colour=star_colour,
    )
    side = _SIDE_PX // cell
    values = np.empty((sampler.n_channels, side, side), dtype=np.float32)
    weights = np.empty((sampler.weight_channels, side, side), dtype=np.uint8)
    sampler.sample(Box.of_shape(side, side), values, weights)
    deviation = (values.astype(np.float64) - _SKY_ADU) / _SIGMA_ADU
    squares = weights.astype(np.float64) ** 2
    variances: F64 = np.sum(squares * deviation**2, axis=(1, 2)) / np.sum(squares, axis=(1, 2))
    return variances
