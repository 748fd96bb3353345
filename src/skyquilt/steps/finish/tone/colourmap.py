"""Colour maps: a mono picture in colours of its brightness."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32
from skyquilt.errors import UsageError

__all__ = ["COLOURMAPS", "ColourmapSettings", "apply_colourmap"]

Colour = tuple[float, float, float]

COLOURMAPS: dict[str, tuple[tuple[float, Colour], ...]] = {
    "grayscale": ((0.0, (0.0, 0.0, 0.0)), (1.0, (1.0, 1.0, 1.0))),
    "cool": (
        (0.0, (0.0, 0.0, 0.0)),
        (0.35, (0.05, 0.15, 0.50)),
        (0.70, (0.35, 0.70, 0.90)),
        (1.0, (1.0, 1.0, 1.0)),
    ),
    "warm": (
        (0.0, (0.0, 0.0, 0.0)),
        (0.30, (0.40, 0.08, 0.02)),
        (0.65, (0.95, 0.55, 0.15)),
        (1.0, (1.0, 1.0, 0.92)),
    ),
    "blue_gold": (
        (0.0, (0.01, 0.02, 0.08)),
        (0.35, (0.12, 0.22, 0.48)),
        (0.70, (0.88, 0.66, 0.30)),
        (1.0, (1.0, 0.98, 0.90)),
    ),
    "h_alpha": (
        (0.0, (0.0, 0.0, 0.0)),
        (0.40, (0.55, 0.03, 0.06)),
        (0.75, (0.95, 0.35, 0.38)),
        (1.0, (1.0, 1.0, 1.0)),
    ),
    "oiii": (
        (0.0, (0.0, 0.0, 0.0)),
        (0.40, (0.0, 0.35, 0.38)),
        (0.75, (0.30, 0.80, 0.80)),
        (1.0, (1.0, 1.0, 1.0)),
    ),
}
"""Brightness and the red, green and blue it gets, in between on straight lines; luminance rises all along."""


@dataclass(frozen=True, slots=True)
class ColourmapSettings:
    """
    Which colours.

    Attributes
    ----------
    name : str
        Of `COLOURMAPS`.
    """

    name: str = "grayscale"

    def __post_init__(self) -> None:
        if self.name not in COLOURMAPS:
            raise UsageError(f"{self.name!r} is no colour map", f"one of {', '.join(COLOURMAPS)}")


def apply_colourmap(tile: F32, settings: ColourmapSettings) -> F32:
    """
    Return a mono picture in colours, float32 (3, y, x).

    Parameters
    ----------
    tile : float32 (1, y, x)
        Stretched, 0..1; beyond, the ends hold. NaN stays NaN in all channels.

    Raises
    ------
    UsageError
        If the image has more than one channel.
    """
    if len(tile) != 1:
        raise UsageError(f"a colour map is for one channel, the image has {len(tile)}", "take its luminance")
    points = COLOURMAPS[settings.name]
    at = [place for place, _ in points]
    return np.stack([np.interp(tile[0], at, [colour[k] for _, colour in points]) for k in range(3)]).astype(np.float32)
