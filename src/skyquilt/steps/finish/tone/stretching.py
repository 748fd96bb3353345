"""Stretches: from settings and a sample of an image to curves, and from curves to its tiles."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.finish.colour import draw_into_range, measure_background, sample_pixels
from skyquilt.steps.finish.stretch import auto_stretch
from skyquilt.steps.finish.tone.curves import AsinhCurve, Curve, HyperbolicCurve, MidtonesCurve, TwoStageCurve

__all__ = [
    "COLOUR_MODES",
    "AsinhSettings",
    "AutoStretchSettings",
    "HyperbolicSettings",
    "KeptColour",
    "ManualSettings",
    "StretchPlan",
    "StretchSettings",
    "TwoStageSettings",
    "plan_stretch",
    "stretch_image",
]

COLOUR_MODES = ("each", "linked", "kept")
_LEAST_STRENGTH, _MOST_STRENGTH = 0.01, 1e6
_LEAST_FACTOR, _MOST_FACTOR = 1e-3, 15.0
_HALVINGS = 60
_FOOT_SIGMA = 2.0
_FADE = 0.25
_COLOUR_FROM_SIGMA, _COLOUR_FULL_SIGMA = 1.0, 8.0  # of the mean's noise above the background


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
    target : float, 0.01 to 0.9
        What the background becomes, where the strength is not given.
    black_sigma : float, -10 to 10
        Black, in sigma of the background from its level.
    white_quantile : float, 0.5 to 1
        Share of the pixels that are darker than white.
    black, white : float or None, unit of the image
        Instead of these.
    """

    colours: str = "kept"
    target: float = 0.2
    black_sigma: float = -2.8
    white_quantile: float = 0.9999
    black: float | None = None
    white: float | None = None

    def __post_init__(self) -> None:
        _check_mode(self.colours)
        _check_range("a target", self.target, 0.01, 0.9)
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
    strength : float or None, 0.01 to 1000000
        Of `AsinhCurve`; 1 / strength of the range from black to white is where it bends (dwarf3 counts that). None
        takes the one that brings the background to the target.
    """

    strength: float | None = None

    def __post_init__(self) -> None:
        _Ends.__post_init__(self)
        if self.strength is not None:
            _check_range("a strength", self.strength, _LEAST_STRENGTH, _MOST_STRENGTH)


@dataclass(frozen=True, slots=True)
class TwoStageSettings(_Ends):
    """
    The two-stage stretch: `_Ends`, and both strengths.

    Attributes
    ----------
    faint : float or None, 0.01 to 1000000
        Strength below the knee; None takes the one that brings the background to the target.
    core : float, 0.01 to 1000000
        Strength above the knee.
    knee_quantile : float, 0.5 to 0.99999
        Share of the pixels that are darker than the knee.
    """

    faint: float | None = None
    core: float = 10.0
    knee_quantile: float = 0.995

    def __post_init__(self) -> None:
        _Ends.__post_init__(self)
        for value in (self.faint, self.core):
            if value is not None:
                _check_range("a strength", value, _LEAST_STRENGTH, _MOST_STRENGTH)
        _check_range("knee_quantile", self.knee_quantile, 0.5, 0.99999)


@dataclass(frozen=True, slots=True)
class HyperbolicSettings(_Ends):
    """
    The generalised hyperbolic stretch: `_Ends`, and the parameters of its authors.

    Attributes
    ----------
    stretch_factor : float or None, 0 to 15
        ln(D + 1); 0 changes nothing. None takes the one that brings the background to the target.
    shape : float, -5 to 15
        b.
    symmetry : float or None, 0 to 1
        SP, of the range from black to white; None takes the foot of the background, 2 sigma below its level.
    protect_low, protect_high : float, 0 to 1
        LP and HP; moved to the point of symmetry where they are beyond it.
    """

    stretch_factor: float | None = None
    shape: float = 4.0
    symmetry: float | None = None
    protect_low: float = 0.0
    protect_high: float = 1.0

    def __post_init__(self) -> None:
        _Ends.__post_init__(self)
        if self.stretch_factor is not None:
            _check_range("a stretch factor", self.stretch_factor, 0.0, _MOST_FACTOR)
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
class KeptColour:
    """
    How far the colours of a pixel are kept: fully where there is light, less in the noise of the background.

    Attributes
    ----------
    start, full : float, unit of the image
        Mean of the channels up to which the background reaches, and from which colours are kept.
    slope : float
        Of the curve at the background.
    """

    start: float
    full: float
    slope: float


@dataclass(frozen=True, slots=True)
class StretchPlan:
    """
    The curves of an image.

    Attributes
    ----------
    curves : tuple of Curve
        One for all channels, or one each.
    kept : KeptColour or None
        With it the curve is of the mean of the channels, and these keep their ratios.
    """

    curves: tuple[Curve, ...]
    kept: KeptColour | None = None

    def apply(self, tile: F32) -> F32:
        """
        Return the stretched pixels, float32 (c, y, x) in 0..1; NaN stays NaN.

        Notes
        -----
        Where colours are kept: with I the mean of the channels less black and f the curve, every channel becomes
        f + (v_c - black - I) r, r = f / I (Lupton et al. 2004, PASP 116, 133, eq. 2). At the background, r is the slope
        of the curve instead, as if each channel had been stretched by itself there: f / I would blow up the colours of
        the noise; a smooth step q² (3 - 2 q) leads from one to the other. Over the last quarter of f, r fades to 0 by
        such a step: cores of saturated stars, which have the colour of the gains, turn white. What lies outside of 0..1
        then is drawn towards f until it fits, so that hue and mean stay. All channels are NaN where one is.
        """
        if self.kept is None or len(tile) == 1:
            curves = self.curves * len(tile) if len(self.curves) == 1 else self.curves
            if len(curves) != len(tile):
                raise UsageError(f"there are {len(curves)} curves for {len(tile)} channels", "plan with this image")
            return np.stack([curve.forward(channel) for channel, curve in zip(tile, curves, strict=True)])
        curve = self.curves[0]
        mean = tile[0] + tile[1]
        for channel in tile[2:]:
            mean += channel
        mean *= np.float32(1.0 / len(tile))
        bright = curve.forward(mean)
        q = (mean - np.float32(self.kept.start)) * np.float32(1.0 / (self.kept.full - self.kept.start))
        np.clip(q, np.float32(0.0), np.float32(1.0), out=q)
        q *= q * (np.float32(3.0) - np.float32(2.0) * q)
        light = np.maximum(mean - np.float32(curve.black), np.float32(1e-30))
        ratio = bright / light
        ratio -= np.float32(self.kept.slope)
        ratio *= q
        ratio += np.float32(self.kept.slope)
        fade = np.clip((np.float32(1.0) - bright) * np.float32(1.0 / _FADE), np.float32(0.0), np.float32(1.0))
        ratio *= fade * fade * (np.float32(3.0) - np.float32(2.0) * fade)
        return draw_into_range(tile - mean, bright, ratio)


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
    curves = _curves(sample, settings)
    if settings.colours != "kept" or len(sample) == 1:
        return StretchPlan(curves)
    seen = sample.mean(axis=0, keepdims=True, dtype=np.float32)
    background = measure_background(seen)
    level, sigma = float(background.level[0]), max(float(background.sigma[0]), 1e-9 * abs(float(background.level[0])))
    sigma = max(sigma, 1e-12 * (curves[0].white - curves[0].black))
    around = curves[0].forward(np.array([level - 0.5 * sigma, level + 0.5 * sigma]))
    slope = float(around[1] - around[0]) / sigma
    kept = KeptColour(level + _COLOUR_FROM_SIGMA * sigma, level + _COLOUR_FULL_SIGMA * sigma, slope)
    return StretchPlan(curves, kept)


def _curves(sample: F32, settings: StretchSettings) -> tuple[Curve, ...]:
    """Return one curve for all channels, or one each."""
    if isinstance(settings, ManualSettings):
        triples = zip(settings.shadows, settings.highlights, settings.midtones, strict=True)
        return tuple(MidtonesCurve(*triple) for triple in triples)
    seen = sample.mean(axis=0, keepdims=True, dtype=np.float32) if settings.colours == "kept" else sample
    if not np.isfinite(seen).any():
        raise NoUsableInput("no pixel of the image has data", "crop it to what is covered")
    if isinstance(settings, AutoStretchSettings):
        linked = settings.colours == "linked"
        found = auto_stretch(seen, linked=linked, target=settings.target, shadows_sigma=settings.shadows_sigma)
        triples = zip(found.shadows, found.highlights, found.midtones, strict=True)
        curves: tuple[Curve, ...] = tuple(MidtonesCurve(*triple) for triple in triples)
        return curves[:1] if linked else curves
    parts = [channel[None] for channel in seen] if settings.colours == "each" else [seen]
    return tuple(_curve(part, settings) for part in parts)


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

    def chosen(given: float | None, make: Callable[[float], Curve], least: float, most: float) -> Curve:
        """Return the curve of the strength given, or of the one that brings the background to the target."""
        if given is not None:
            return make(given)
        if not black < level < white:
            raise UsageError(
                f"the background {level:g} does not lie between black {black:g} and white {white:g}, so that it can be"
                " brought to no target",
                "give the strength by number",
            )
        low, high = math.log(least), math.log(most)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            if float(make(math.exp(middle)).forward(np.array([level]))[0]) < settings.target:
                low = middle
            else:
                high = middle
        return make(math.exp(high))

    if isinstance(settings, AsinhSettings):
        return chosen(settings.strength, lambda s: AsinhCurve(black, white, s), _LEAST_STRENGTH, _MOST_STRENGTH)
    if isinstance(settings, TwoStageSettings):
        knee = float(
            np.clip((float(np.quantile(values, settings.knee_quantile)) - black) / (white - black), 1e-4, 0.99)
        )
        core = settings.core
        return chosen(
            settings.faint, lambda s: TwoStageCurve(black, white, knee, s, core), _LEAST_STRENGTH, _MOST_STRENGTH
        )
    if settings.stretch_factor == 0.0:
        return MidtonesCurve(black, white, 0.5)
    symmetry = settings.symmetry
    if symmetry is None:
        foot = level - _FOOT_SIGMA * float(np.max(background.sigma))
        symmetry = float(np.clip((foot - black) / (white - black), 0.0, 1.0))
    points = settings.shape, symmetry, min(settings.protect_low, symmetry), max(settings.protect_high, symmetry)
    return chosen(
        settings.stretch_factor,
        lambda factor: HyperbolicCurve(black, white, math.expm1(factor), *points),
        _LEAST_FACTOR,
        _MOST_FACTOR,
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
