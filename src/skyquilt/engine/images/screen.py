"""How an image is shown: the twin of the viewer's shader, so that a saved picture is the one on the screen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F32, U8, U16
from skyquilt.errors import UsageError
from skyquilt.steps.finish import (
    AsinhCurve,
    Curve,
    HyperbolicCurve,
    MidtonesCurve,
    SaturationSettings,
    Stretch,
    saturate,
)

__all__ = ["Hyperbola", "ScreenLook", "make_look"]

_LEAST_MIDTONES = 1e-9  # 0 and 1 themselves make a picture of one colour
_BLOCK_PIXELS = 1 << 18
_LEAST_FACTOR = 1e-3  # a factor of 0 is a straight line; the viewer takes this one for it as well

Numbers = float | Sequence[float]


@dataclass(frozen=True, slots=True)
class Hyperbola:
    """
    The generalised hyperbolic curve between black and white, by the parameters of its authors.

    Attributes
    ----------
    factor : float, 0 to 15
        ln(D + 1); 0 changes nothing.
    shape : float
        b.
    symmetry, low, high : float, 0 to 1
        SP, LP and HP; LP and HP are moved to SP where they are beyond it.
    """

    factor: float
    shape: float
    symmetry: float
    low: float
    high: float

    def between(self, black: float, white: float) -> HyperbolicCurve:
        """Return the curve of a channel."""
        amount = math.expm1(max(_LEAST_FACTOR, self.factor))
        low, high = min(self.low, self.symmetry), max(self.high, self.symmetry)
        return HyperbolicCurve(black, white, amount, self.shape, self.symmetry, low, high)


@dataclass(frozen=True, slots=True)
class ScreenLook:
    """
    How an image is shown.

    Attributes
    ----------
    curves : tuple of Curve
        One a channel.
    saturation : float, 0 to 4
        1 changes nothing, nor does any in an image of one channel.

    Notes
    -----
    Definition:: t = clip((v - shadows) / (highlights - shadows), 0, 1); y = curve(t); with Y the luminance of y
    (Rec. 709), shown = clip(Y + saturation (y - Y), 0, 1). The shader (viewer/src/tiles/shaders.ts) does the same.
    """

    curves: tuple[Curve, ...]
    saturation: float = 1.0

    @classmethod
    def of_stretch(cls, stretch: Stretch) -> ScreenLook:
        """Return the look of a screen transfer function."""
        return make_look(len(stretch.shadows), (stretch.shadows, stretch.highlights), midtones=stretch.midtones)

    def values(self, pixels: F32) -> F32:
        """Return what is shown, float32 (channel, y, x) in 0..1; NaN stays."""
        shown = np.empty(pixels.shape, dtype=np.float32)
        with np.errstate(all="ignore"):  # a range of no width, values at the end of float32
            for rows in _row_blocks(pixels.shape):
                for c, curve in enumerate(self.curves):
                    shown[c, rows] = curve.forward(pixels[c, rows].astype(np.float64))
                if self.saturation != 1.0 and len(shown) == 3:
                    coloured = saturate(shown[:, rows], SaturationSettings(self.saturation))
                    np.clip(coloured, np.float32(0.0), np.float32(1.0), out=shown[:, rows])
        return shown

    def picture(self, pixels: F32, dtype: type = np.uint8) -> U8 | U16:
        """Return what is shown in whole numbers, uint8 or uint16 (y, x, channel); NaN is black."""
        channels, height, width = pixels.shape
        picture: NDArray[Any] = np.empty((height, width, channels), dtype=dtype)
        for rows in _row_blocks(pixels.shape):
            shown = self.values(pixels[:, rows])
            shown *= np.float32(np.iinfo(dtype).max)
            np.rint(shown, out=shown)
            np.nan_to_num(shown, copy=False, nan=0.0)
            picture[rows] = np.moveaxis(shown, 0, 2)
        return picture


def _row_blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Return pieces of an image that work in double precision takes little memory for."""
    rows = max(1, _BLOCK_PIXELS // max(1, shape[2]))
    return (slice(y0, min(y0 + rows, shape[1])) for y0 in range(0, shape[1], rows))


def make_look(
    n_channels: int,
    ends: tuple[Numbers, Numbers],
    *,
    midtones: Numbers | None = None,
    asinh: float | None = None,
    hyperbola: Hyperbola | None = None,
    saturation: float = 1.0,
) -> ScreenLook:
    """
    Return a look of numbers for all channels alike, or of one a channel, in the unit of the image.

    Parameters
    ----------
    ends : tuple of shadows and highlights
        Become black and white.
    midtones, asinh, hyperbola : one of them
        The balance, 0 and 1 being taken for numbers very near to them; the strength; the hyperbolic curve.

    Raises
    ------
    UsageError
        If their number is not that of the channels, shadows are not below highlights, or there is not one curve.
    """
    if sum(one is not None for one in (midtones, asinh, hyperbola)) != 1:
        raise UsageError("there is not one curve", "give one of midtones, asinh and hyperbolic")
    low, high = (_each(n_channels, name, one) for name, one in zip(("shadows", "highlights"), ends, strict=True))
    for black, white in zip(low, high, strict=True):
        if not white > black:
            raise UsageError(f"the shadows ({black:g}) are not below the highlights ({white:g})", "move them apart")
    curves: tuple[Curve, ...]
    if midtones is not None:
        balance = [min(max(m, _LEAST_MIDTONES), 1.0 - _LEAST_MIDTONES) for m in _each(n_channels, "midtones", midtones)]
        curves = tuple(MidtonesCurve(*three) for three in zip(low, high, balance, strict=True))
    elif asinh is not None:
        curves = tuple(AsinhCurve(*two, asinh) for two in zip(low, high, strict=True))
    else:
        assert hyperbola is not None
        curves = tuple(hyperbola.between(*two) for two in zip(low, high, strict=True))
    return ScreenLook(curves, saturation)


def _each(n_channels: int, name: str, value: Numbers) -> list[float]:
    """Return one number a channel."""
    given = [float(value)] * n_channels if isinstance(value, int | float) else [float(one) for one in value]
    if len(given) != n_channels:
        raise UsageError(
            f"{name} has {len(given)} numbers, the image has {n_channels} channels", "give one number, or one a channel"
        )
    return given
