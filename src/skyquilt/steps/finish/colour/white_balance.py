"""White balance: one gain a channel, from stars, a catalogue, the whole image, its background, or by hand."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.finish.colour.background import Background, measure_background
from skyquilt.steps.finish.colour.catalogue_colour import WHITE_STARS, fit_colour_relation
from skyquilt.steps.finish.colour.linear_colour import LinearColour
from skyquilt.steps.finish.colour.star_fluxes import StarFluxes

__all__ = ["BALANCE_METHODS", "BalanceSettings", "plan_balance"]

BALANCE_METHODS = ("stars", "catalogue", "gray_world", "background", "manual", "none")
_LEAST_STARS = 5
_LEAST_SNR = 10.0
_BRIGHTEST_SHARE = 0.999


@dataclass(frozen=True, slots=True)
class BalanceSettings:
    """
    How the gains are found.

    Attributes
    ----------
    method : str
        "stars": the usual star of the image is white. "catalogue": a star of the colour `white` is, as the colours of
        catalogue stars tell. "gray_world": all light above the background adds up to grey. "background": the sky is
        grey. "manual": `gains`. "none": 1.
    gains : (float, float, float), 0.01 to 100
        Of red, green and blue, for "manual".
    white : float, mag, -0.4 to 2
        B - V of the star that is white (`WHITE_STARS`).
    keep_background : bool
        True: gains act on the light above the background, which keeps its colour. False: on all.
    normalise : "green" or "largest"
        Which gain is 1. Not for "manual".
    """

    method: str = "stars"
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)
    white: float = WHITE_STARS["G2V"]
    keep_background: bool = True
    normalise: str = "green"

    def __post_init__(self) -> None:
        if self.method not in BALANCE_METHODS:
            raise UsageError(f"{self.method!r} is no white balance", f"one of {', '.join(BALANCE_METHODS)}")
        if len(self.gains) != 3 or not all(math.isfinite(g) and 0.01 <= g <= 100.0 for g in self.gains):
            raise UsageError(f"gains of {self.gains} cannot be meant", "give three numbers of 0.01 to 100")
        if not -0.4 <= self.white <= 2.0:
            raise UsageError(f"no star of B - V = {self.white:g} is white", "give -0.4 to 2; the Sun has 0.65")
        if self.normalise not in ("green", "largest"):
            raise UsageError(f"gains cannot be normalised to {self.normalise!r}", "to green or to the largest")


def plan_balance(
    sample: F32,
    settings: BalanceSettings,
    *,
    background: Background | None = None,
    fluxes: StarFluxes | None = None,
    colour: F64 | None = None,
    colour_error: F64 | None = None,
) -> LinearColour:
    """
    Return the gains of an image, as a map of its channels.

    Parameters
    ----------
    sample : float32 (3, y, x)
        `sample_pixels` of the image, or the image; linear.
    background : Background
        Of the image; measured on the sample by default.
    fluxes : StarFluxes
        For "stars" and "catalogue".
    colour, colour_error : float64 (n,), mag
        For "catalogue": B - V of those stars (`b_minus_v`), NaN where unknown.

    Raises
    ------
    UsageError
        If the image is not of three channels, or stars are not given to a method that needs them.
    NoUsableInput
        If fewer than five stars can be used, or there is no light above the background.

    Notes
    -----
    "stars": gain_c = median of flux_G / flux_c over stars above 10 sigma in all channels. "catalogue":
    `fit_colour_relation`. "gray_world": mean of v - background of the sample without its brightest 0.1 %.
    """
    if len(sample) != 3:
        raise UsageError(f"an image of {len(sample)} channels has no white balance", "use a colour image")
    background = background or measure_background(sample)
    gains = _gains(sample, settings, background, fluxes, colour, colour_error)
    if settings.method != "manual":
        gains = gains / (gains[1] if settings.normalise == "green" else gains.max())
    return LinearColour.of_gains(gains, background.level if settings.keep_background else None)


def _gains(
    sample: F32,
    settings: BalanceSettings,
    background: Background,
    fluxes: StarFluxes | None,
    colour: F64 | None,
    colour_error: F64 | None,
) -> F64:
    if settings.method == "none":
        return np.ones(3)
    if settings.method == "manual":
        return np.array(settings.gains)
    if settings.method == "background":
        if not (background.level > 0.0).all():
            raise NoUsableInput("the background is not positive, so that it cannot be the white", "balance by stars")
        return np.asarray(background.level[1] / background.level)
    if settings.method == "gray_world":
        return _gray_world(sample, background)
    if fluxes is None:
        raise UsageError(f"a white balance by {settings.method} needs the stars of the image", "measure them first")
    bright = fluxes.bright(_LEAST_SNR)
    if bright.sum() < _LEAST_STARS:
        raise NoUsableInput(
            f"{int(bright.sum())} stars are bright enough in all colours, a white balance takes {_LEAST_STARS}",
            "balance by gray_world or background",
        )
    if settings.method == "stars":
        return np.asarray(np.median(fluxes.flux[bright, 1:2] / fluxes.flux[bright], axis=0))
    if colour is None or colour_error is None:
        raise UsageError(
            "a white balance by catalogue needs the stars' colours", "solve the image, or balance by stars"
        )
    relation = fit_colour_relation(
        fluxes.flux[bright], fluxes.error[bright], colour[bright], colour_error[bright], white=settings.white
    )
    if relation is None:
        raise NoUsableInput(
            f"fewer than {_LEAST_STARS} stars of the image have a colour in the catalogue", "balance by stars"
        )
    return relation.gains


def _gray_world(sample: F32, background: Background) -> F64:
    light = sample.reshape(3, -1).astype(np.float64) - background.level[:, None]
    light = light[:, np.isfinite(light).all(axis=0)]
    total = light.sum(axis=0)
    light = light[:, total <= np.quantile(total, _BRIGHTEST_SHARE)]
    mean = light.mean(axis=1)
    if not (mean > 3.0 * background.sigma / np.sqrt(light.shape[1])).all():
        raise NoUsableInput("there is no light above the background to balance by", "balance by stars or background")
    return np.asarray(mean[1] / mean)
