"""The places of the brightest stars, from the sites of all colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, I64
from skyquilt.kernels import detect_fit as fit
from skyquilt.kernels.detect_places import refine_places
from skyquilt.steps.stars.shape import Profile
from skyquilt.steps.stars.sky import Sky

__all__ = ["Colours", "refine"]

_SKY_ELECTRONS = 100.0  # short exposures of small telescopes: 30 to 1000
_MOST_STARS = 150  # a registration with more of them does not hang on photons


@dataclass(frozen=True, slots=True, eq=False)
class Colours:
    """
    Which channel each site of the frame measures.

    Attributes
    ----------
    channel_of : int64 (2, 2)
        Channel of each site of the 2x2 cell.
    background : tuple of float32 (gy, gx), ADU
        Sky map of every channel.
    noise : float64 (n_channels,), ADU
        Of the sky.
    cell_px : int
    """

    channel_of: I64
    background: tuple[F32, ...]
    noise: F64
    cell_px: int

    @classmethod
    def of(cls, channel_of: I64, sky: Sky, even: F32, green: int) -> Colours:
        """Return the colours of a frame with that sky, whose green is smoothed already."""
        background = tuple(even if channel == green else sky.smoothed(channel) for channel in range(len(sky.level)))
        return cls(channel_of, background, sky.noise, sky.cell_px)


def refine(
    pixels: F32, colours: Colours, profile: Profile, level: F64, base: F64, saturation: float, table: F64
) -> None:
    """
    Improve the places of the first 150 stars of a table (see `refine_places`) in place.

    Parameters
    ----------
    level : float64 (n, n_channels), ADU
        Sky map of every channel at each star.
    base : float64 (n,), ADU
        What the surroundings of each star have above the sky map, in green.
    table : float64 (n, COLUMNS)
        Of `fit_stars`, brightest first.

    Notes
    -----
    How much variance a star's light brings is not known without the camera's gain. Weights need no exact figure: that
    of a sky of 100 electrons a pixel is taken, noise / 10 an ADU; 4 or 1000 electrons make the errors 2 % larger. The
    level of the sky would tell it, were it not for pedestals. Frames without colours are left as they are: other
    weights alone gain little there, and lose as much where stars are smeared (MicroObservatory frames of HAT-P-32).
    """
    noise = colours.noise
    if not np.all(noise > 0.0):
        return
    samples, bend, _ = fit.moffat_profile(profile.inverse_beta)
    shot = noise / _SKY_ELECTRONS**0.5
    n = min(_MOST_STARS, len(table))
    refine_places(
        pixels, colours.channel_of, level[:n] + base[:n, None], noise, shot, profile.moments, samples, bend, saturation,
        table[:n],
    )  # fmt: skip
