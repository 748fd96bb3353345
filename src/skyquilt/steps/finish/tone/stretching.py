"""Stretches: from settings and a sample of an image to curves, and from curves to its tiles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.finish.colour import measure_background, sample_pixels
from skyquilt.steps.finish.stretch import auto_stretch
from skyquilt.steps.finish.tone.curves import AsinhCurve, Curve, HyperbolicCurve, MidtonesCurve, TwoStageCurve

__all__ = [
    "COLOUR_MODES",
    "AsinhSettings",
    "AutoStretchSettings",
    "HyperbolicSettings",
    "ManualSettings",
    "StretchPlan",
    "StretchSettings",
    "TwoStageSettings",
    "plan_stretch",
    "stretch_image",
]

COLOUR_MODES = ("each", "linked", "kept")


def _check_mode(colours: str) -> None:
    if colours not in COLOUR_MODES:
        raise UsageError(f"{colours!r} is no way to stretch colours", f"one of {', '.join(COLOUR_MODES)}")


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UsageError(f"{name} of {value:g} is out of range", f"give {least:g} to {most:g}")


@dataclass(frozen=True, slots=True)
class AutoStretchSettings:
    """
    The automatic stretch by the midtones transfer function.

    Attributes
    ----------
    colours : "each", "linked" or "kept"
        A curve for each channel (neutral sky, colours of objects change), one for all, or one for the brightness alone,
        which keeps the ratios of the channels.
    target : float, 0.01 to 0.9
        What the sky becomes.
    shadows_sigma : float, -10 to 0
        Black, in sigma of the sky from its level.
    """

    colours: str = "linked"
    target: float = 0.25
    shadows_sigma: float = -2.8

    def __post_init__(self) -> None:
        _check_mode(self.colours)
        _check_range("a target", self.target, 0.01, 0.9)
        _check_range("shadows_sigma", self.shadows_sigma, -10.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Ends:
    """
    Black and white from the image, for the stretches that have no rule of their own.

    Attributes
    ----------
    colours : "each", "linked" or "kept"
    black_sigma : float, -10 to 10
        Black, in sigma of the background from its level.
    white_quantile : float, 0.5 to 1
        Share of the pixels that are darker than white.
    black, white : float or None, unit of the image
        Instead of these.
    """

    colours: str = "kept"
    black_sigma: float = -1.5
    white_quantile: float = 0.9999
    black: float | None = None
    white: float | None = None

    def __post_init__(self) -> None:
        _check_mode(self.colours)
        _check_range("black_sigma", self.black_sigma, -10.0, 10.0)
        _check_range("white_quantile", self.white_quantile, 0.5, 1.0)
        for value in (self.black, self.white):
            if value is not None and not math.isfinite(value):
                raise UsageError(f"{value} is no level", "give a number")
        if self.black is not None and self.white is not None and not self.black < self.white:
            raise UsageError(f"black {self.black:g} is not below white {self.white:g}", "exchange them")


@dataclass(frozen=True, slots=True)
class AsinhSettings(_Ends):
    """
    The asinh stretch: `_Ends`, and its strength.

    Attributes
    ----------
    strength : float, 0.01 to 100000
        Of `AsinhCurve`; 1 / strength of the range from black to white is where it bends. (dwarf3 counts 1 / strength.)
    """

    strength: float = 200.0

    def __post_init__(self) -> None:
        _Ends.__post_init__(self)
        _check_range("a strength", self.strength, 0.01, 1e5)


@dataclass(frozen=True, slots=True)
class TwoStageSettings(_Ends):
    """
    The two-stage stretch: `_Ends`, and both strengths.

    Attributes
    ----------
    faint, core : float, 0.01 to 100000
        Strength below and above the knee.
    knee_quantile : float, 0.5 to 0.99999
        Share of the pixels that are darker than the knee.
    """

    faint: float = 20.0
    core: float = 10.0
    knee_quantile: float = 0.995

    def __post_init__(self) -> None:
        _Ends.__post_init__(self)
        _check_range("a strength", self.faint, 0.01, 1e5)
        _check_range("a strength", self.core, 0.01, 1e5)
        _check_range("knee_quantile", self.knee_quantile, 0.5, 0.99999)


@dataclass(frozen=True, slots=True)
class HyperbolicSettings(_Ends):
    """
    The generalised hyperbolic stretch: `_Ends`, and the parameters of its authors.

    Attributes
    ----------
    stretch_factor : float, 0 to 15
        ln(D + 1); 0 changes nothing.
    shape : float, -5 to 15
        b.
    symmetry : float or None, 0 to 1
        SP, of the range from black to white; None takes the level of the background.
    protect_low, protect_high : float, 0 to 1
        LP and HP; moved to the point of symmetry where they are beyond it.
    """

    stretch_factor: float = 6.0
    shape: float = 4.0
    symmetry: float | None = None
    protect_low: float = 0.0
    protect_high: float = 1.0

    def __post_init__(self) -> None:
        _Ends.__post_init__(self)
        _check_range("a stretch factor", self.stretch_factor, 0.0, 15.0)
        _check_range("a shape", self.shape, -5.0, 15.0)
        for value in (self.symmetry, self.protect_low, self.protect_high):
            if value is not None:
                _check_range("a point", value, 0.0, 1.0)


@dataclass(frozen=True, slots=True)
class ManualSettings:
    """
    Shadows, midtones and highlights by hand.

    Attributes
    ----------
    shadows, highlights : tuple of float, unit of the image
        One for all channels, or one each.
    midtones : tuple of float, above 0 and below 1
        0.5 is straight.
    colours : "each", "linked" or "kept"
        "each" where there is one for each channel.
    """

    shadows: tuple[float, ...] = (0.0,)
    midtones: tuple[float, ...] = (0.5,)
    highlights: tuple[float, ...] = (1.0,)
    colours: str = "linked"

    def __post_init__(self) -> None:
        _check_mode(self.colours)
        n = {len(self.shadows), len(self.midtones), len(self.highlights)}
        if len(n) != 1 or (self.colours != "each" and n != {1}):
            raise UsageError(
                "shadows, midtones and highlights differ in number, or one curve for all was asked for",
                "give one of each, or one a channel with colours each",
            )
        for low, middle, high in zip(self.shadows, self.midtones, self.highlights, strict=True):
            if not (math.isfinite(low) and math.isfinite(high) and low < high and 0.0 < middle < 1.0):
                raise UsageError(
                    f"shadows {low:g}, midtones {middle:g}, highlights {high:g} cannot be meant",
                    "shadows lie below highlights, midtones between 0 and 1",
                )


StretchSettings = AutoStretchSettings | AsinhSettings | TwoStageSettings | HyperbolicSettings | ManualSettings


@dataclass(frozen=True, slots=True)
class StretchPlan:
    """
    The curves of an image.

    Attributes
    ----------
    curves : tuple of Curve
        One for all channels, or one each.
    keeps_colour : bool
        The curve is of the mean of the channels, and these keep their ratios.
    """

    curves: tuple[Curve, ...]
    keeps_colour: bool

    def apply(self, tile: F32) -> F32:
        """
        Return the stretched pixels, float32 (c, y, x) in 0..1; NaN stays NaN.

        Notes
        -----
        Where colours are kept: with I the mean of v_c - black over the channels and f the curve, every channel becomes
        (v_c - black) f / I (Lupton et al. 2004, PASP 116, 133, eq. 2), 0 where I is not positive. What that puts
        outside of 0..1 is drawn towards f until it fits, so that hue and mean stay and bright stars turn white instead
        of flat. Every channel is 0 or NaN where one is NaN.
        """
        if not self.keeps_colour or len(tile) == 1:
            curves = self.curves * len(tile) if len(self.curves) == 1 else self.curves
            if len(curves) != len(tile):
                raise UsageError(f"there are {len(curves)} curves for {len(tile)} channels", "plan with this image")
            return np.stack([curve.forward(channel) for channel, curve in zip(tile, curves, strict=True)])
        curve = self.curves[0]
        light = tile - np.float32(curve.black)
        mean = light[0] + light[1]
        for channel in light[2:]:
            mean += channel
        mean *= np.float32(1.0 / len(tile))
        bright = curve.forward(mean + np.float32(curve.black))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(mean > 0.0, bright / mean, np.where(np.isnan(mean), mean, np.float32(0.0)))
        light *= ratio
        return _fitted(light, bright)


def _fitted(light: F32, middle: F32) -> F32:
    """Draw channels towards their mean until all lie within 0..1."""
    high, low = light.max(axis=0), light.min(axis=0)
    one, zero = np.float32(1.0), np.float32(0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        upper = np.where(high > one, (one - middle) / (high - middle), one)
        lower = np.where(low < zero, middle / (middle - low), one)
    share = np.clip(np.minimum(upper, lower), zero, one)
    light -= middle
    light *= share
    light += middle
    return np.clip(light, zero, one, out=light)


def plan_stretch(sample: F32, settings: StretchSettings) -> StretchPlan:
    """
    Return the curves of an image.

    Parameters
    ----------
    sample : float32 (c, y, x)
        `sample_pixels` of the image, or the image: the plan is that of the whole image whichever tiles it is applied
        to.

    Raises
    ------
    NoUsableInput
        If no pixel has data, or all are alike.
    UsageError
        If black and white exclude each other in this image.
    """
    if isinstance(settings, ManualSettings):
        triples = zip(settings.shadows, settings.highlights, settings.midtones, strict=True)
        return StretchPlan(tuple(MidtonesCurve(*triple) for triple in triples), settings.colours == "kept")
    kept = settings.colours == "kept" and len(sample) > 1
    seen = sample.mean(axis=0, keepdims=True, dtype=np.float32) if kept else sample
    if not np.isfinite(seen).any():
        raise NoUsableInput("no pixel of the image has data", "crop it to what is covered")
    if isinstance(settings, AutoStretchSettings):
        linked = settings.colours == "linked"
        found = auto_stretch(seen, linked=linked, target=settings.target, shadows_sigma=settings.shadows_sigma)
        triples = zip(found.shadows, found.highlights, found.midtones, strict=True)
        curves: tuple[Curve, ...] = tuple(MidtonesCurve(*triple) for triple in triples)
        return StretchPlan(curves[:1] if linked else curves, kept)
    parts = [seen] if settings.colours != "each" else [channel[None] for channel in seen]
    return StretchPlan(tuple(_curve(part, settings) for part in parts), kept)


def _curve(seen: F32, settings: AsinhSettings | TwoStageSettings | HyperbolicSettings) -> Curve:
    """Return the curve of channels that share it."""
    background = measure_background(seen)
    level = float(np.mean(background.level))
    values = seen[np.isfinite(seen)]
    black, white = settings.black, settings.white
    if black is None:
        black = float(np.min(background.level + settings.black_sigma * background.sigma))
    if white is None:
        white = float(np.quantile(values, settings.white_quantile))
    if not black < white:
        raise UsageError(
            f"black {black:g} is not below white {white:g} in this image", "lower black_sigma, or give both by number"
        )
    if isinstance(settings, AsinhSettings):
        return AsinhCurve(black, white, settings.strength)
    if isinstance(settings, TwoStageSettings):
        knee = (float(np.quantile(values, settings.knee_quantile)) - black) / (white - black)
        return TwoStageCurve(black, white, float(np.clip(knee, 1e-4, 0.99)), settings.faint, settings.core)
    symmetry = settings.symmetry
    if symmetry is None:
        symmetry = float(np.clip((level - black) / (white - black), 0.0, 1.0))
    if settings.stretch_factor == 0.0:
        return MidtonesCurve(black, white, 0.5)
    return HyperbolicCurve(
        black,
        white,
        math.expm1(settings.stretch_factor),
        settings.shape,
        symmetry,
        min(settings.protect_low, symmetry),
        max(settings.protect_high, symmetry),
    )


def stretch_image(image: F32, settings: StretchSettings) -> F32:
    """
    Return the stretched image, float32 (c, y, x) in 0..1: `plan_stretch` of a sample of it, applied.

    Parameters
    ----------
    image : float32 (c, y, x)
        Linear; NaN stays NaN.
    """
    return plan_stretch(sample_pixels(image), settings).apply(image)
