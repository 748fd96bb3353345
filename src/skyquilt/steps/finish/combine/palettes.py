"""Palettes: narrow bands shown as red, green and blue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32
from skyquilt.errors import UsageError

__all__ = ["PALETTES", "PaletteSettings", "combine_palette"]

Row = Mapping[str, float]

PALETTES: dict[str, tuple[Row, Row, Row]] = {
    "SHO": ({"S": 1.0}, {"H": 1.0}, {"O": 1.0}),
    "HOO": ({"H": 1.0}, {"O": 1.0}, {"O": 1.0}),
    "HSO": ({"H": 1.0}, {"S": 1.0}, {"O": 1.0}),
    "HOS": ({"H": 1.0}, {"O": 1.0}, {"S": 1.0}),
    "OHS": ({"O": 1.0}, {"H": 1.0}, {"S": 1.0}),
    "bicolour": ({"H": 1.0}, {"H": 0.3, "O": 0.7}, {"O": 1.0}),
    "natural": ({"H": 0.9, "S": 0.1}, {"O": 0.85, "H": 0.15}, {"O": 0.85, "H": 0.15}),
}
"""Shares of H-alpha (H), [OIII] (O) and [SII] (S) in red, green and blue. A palette without S works without it."""

DYNAMIC = ("dynamic_SHO", "dynamic_HOO")
_BANDS = {"H": "H-alpha", "O": "OIII", "S": "SII"}


@dataclass(frozen=True, slots=True)
class PaletteSettings:
    """
    Which palette.

    Attributes
    ----------
    palette : str
        A name of `PALETTES`, or "dynamic_SHO", "dynamic_HOO": shares that change with the brightness, for stretched
        pictures of 0..1.
    """

    palette: str = "SHO"

    def __post_init__(self) -> None:
        if self.palette not in PALETTES and self.palette not in DYNAMIC:
            raise UsageError(f"{self.palette!r} is no palette", f"one of {', '.join([*PALETTES, *DYNAMIC])}")

    @property
    def bands(self) -> tuple[str, ...]:
        """Letters of the bands that are needed."""
        if self.palette in DYNAMIC:
            return tuple(sorted(set(self.palette.removeprefix("dynamic_"))))
        return tuple(sorted({band for row in PALETTES[self.palette] for band in row}))


def combine_palette(bands: Mapping[str, F32], settings: PaletteSettings) -> F32:
    """
    Return bands as a colour image, float32 (3, y, x).

    Parameters
    ----------
    bands : mapping of "H", "O", "S" to float32 (1, y, x)
        Registered on each other; linear with neutral background, or stretched alike.

    Raises
    ------
    UsageError
        If a band is missing, or the shapes differ.

    Notes
    -----
    "dynamic" (after the palette known as Foraxx): with p(x) = x^(1 - x) and q = p(O H),
    SHO: R = p(O) S + (1 - p(O)) H, G = q H + (1 - q) O, B = O; HOO: R = H, G = q H + (1 - q) O, B = O; values are
    brought to 0..1 first. NaN in a band reaches the channels that it is part of.
    """
    missing = [f"{_BANDS[name]} ({name})" for name in settings.bands if name not in bands]
    if missing:
        raise UsageError(f"the palette {settings.palette} needs {', '.join(missing)}", "give it, or choose another")
    planes = {name: bands[name] for name in settings.bands}
    shapes = {plane.shape for plane in planes.values()}
    if len(shapes) != 1 or next(iter(shapes))[0] != 1:
        raise UsageError(f"bands of shapes {sorted(shapes)} do not fit", "register all on one canvas, one channel each")
    if settings.palette in DYNAMIC:
        return _dynamic({name: np.clip(plane[0], 0.0, 1.0) for name, plane in planes.items()})
    out = np.empty((3, *next(iter(shapes))[1:]), dtype=np.float32)
    for channel, row in enumerate(PALETTES[settings.palette]):
        for number, (name, share) in enumerate(row.items()):
            part = planes[name][0] * np.float32(share)
            if number:
                out[channel] += part
            else:
                out[channel] = part
    return out


def _dynamic(planes: dict[str, F32]) -> F32:
    h, o = planes["H"], planes["O"]
    q = _power(o * h)
    red = h
    if "S" in planes:
        p = _power(o)
        red = p * planes["S"] + (np.float32(1.0) - p) * h
    return np.stack([red, q * h + (np.float32(1.0) - q) * o, o]).astype(np.float32)


def _power(x: F32) -> F32:
    return np.asarray(x ** (np.float32(1.0) - x), dtype=np.float32)
