"""Tone curves: monotone functions from the unit of the image to 0..1, and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np

from skyquilt.core import F32, F64

__all__ = ["AsinhCurve", "Curve", "HyperbolicCurve", "MidtonesCurve", "TwoStageCurve"]

Values = TypeVar("Values", F32, F64)


class Curve(Protocol):
    """
    A tone curve.

    `forward` takes float32 or float64 values of any shape and returns 0..1 in the same type: 0 below `black`, 1 above
    `white`, NaN for NaN, never falling. `inverse` takes 0..1 back to the unit of the image.
    """

    @property
    def black(self) -> float: ...

    @property
    def white(self) -> float: ...

    def forward(self, values: Values) -> Values: ...

    def inverse(self, values: Values) -> Values: ...


def _unit(values: Values, black: float, white: float) -> Values:
    """Return (v - black) / (white - black), 0..1, a new array; NaN stays."""
    kind = values.dtype.type
    t = values - kind(black)
    t *= kind(1.0 / (white - black))
    return np.clip(t, kind(0.0), kind(1.0), out=t)


def _image(t: Values, black: float, white: float) -> Values:
    kind = t.dtype.type
    values: Values = t * kind(white - black)
    values += kind(black)
    return values


@dataclass(frozen=True)
class MidtonesCurve:
    """
    The midtones transfer function between shadows and highlights.

    Attributes
    ----------
    black, white : float, unit of the image
    midtones : float, above 0 and below 1
        What of that range becomes 0.5.

    Notes
    -----
    Definition:: y = (m - 1) t / ((2 m - 1) t - m). The inverse is the same function of 1 - m. Source: PixInsight
    reference documentation, HistogramTransformation.
    """

    black: float
    white: float
    midtones: float

    def forward(self, values: Values) -> Values:
        """See `Curve`."""
        t = _unit(values, self.black, self.white)
        return _midtones(t, self.midtones)

    def inverse(self, values: Values) -> Values:
        """See `Curve`."""
        return _image(_midtones(values, 1.0 - self.midtones), self.black, self.white)


def _midtones(t: Values, m: float) -> Values:
    """Return t (1 - m) / (t (1 - m) + m (1 - t)): written so that it is 1 at 1 and never above, to the bit."""
    kind = t.dtype.type
    above = t * kind(1.0 - m)
    below = kind(1.0) - t
    below *= kind(m)
    below += above
    result: Values = np.divide(above, below, out=below)
    return result


@dataclass(frozen=True)
class AsinhCurve:
    """
    The inverse hyperbolic sine: straight in the shadows, logarithmic above 1 / strength.

    Attributes
    ----------
    black, white : float, unit of the image
    strength : float, above 0

    Notes
    -----
    Definition:: y = asinh(s t) / asinh(s); inverse:: t = sinh(y asinh(s)) / s. Source: Lupton et al. 2004, PASP 116,
    133.
    """

    black: float
    white: float
    strength: float

    def forward(self, values: Values) -> Values:
        """See `Curve`."""
        t = _unit(values, self.black, self.white)
        return _asinh(t, self.strength)

    def inverse(self, values: Values) -> Values:
        """See `Curve`."""
        kind = values.dtype.type
        t = np.sinh(values * kind(np.arcsinh(self.strength))) * kind(1.0 / self.strength)
        return _image(t, self.black, self.white)


def _asinh(t: Values, strength: float) -> Values:
    kind = t.dtype.type
    t *= kind(strength)
    np.arcsinh(t, out=t)
    t /= np.arcsinh(np.full(1, strength, kind))  # as the loop above rounds it, so that 1 becomes 1
    return np.minimum(t, kind(1.0), out=t)


@dataclass(frozen=True)
class TwoStageCurve:
    """
    One asinh for what is faint and another for the bright cores, joined without a kink.

    Attributes
    ----------
    black, white : float, unit of the image
    knee : float, above 0 and below 1
        Where of that range they meet.
    faint, core : float, above 0
        Strengths of both.

    Notes
    -----
    With A_s(t) = asinh(s t) / asinh(s) and k the height of the knee:: y = k A_faint(t / knee) up to the knee, and
    y = k + (1 - k) A_core((t - knee) / (1 - knee)) above; k = c / (f + c) with the slopes f = A_faint'(1) / knee and
    c = A_core'(0) / (1 - knee), so that the slope is the same on both sides.
    """

    black: float
    white: float
    knee: float
    faint: float
    core: float

    @cached_property
    def height(self) -> float:
        """Value at the knee, 0..1."""
        below = self.faint / np.hypot(1.0, self.faint) / np.arcsinh(self.faint) / self.knee
        above = self.core / np.arcsinh(self.core) / (1.0 - self.knee)
        return float(above / (below + above))

    def forward(self, values: Values) -> Values:
        """See `Curve`."""
        kind = values.dtype.type
        t = _unit(values, self.black, self.white)
        height = kind(self.height)
        low: Values = _asinh(np.minimum(t * kind(1.0 / self.knee), kind(1.0)), self.faint) * height
        high = np.maximum(t - kind(self.knee), kind(0.0)) * kind(1.0 / (1.0 - self.knee))
        low += _asinh(np.minimum(high, kind(1.0)), self.core) * (kind(1.0) - height)
        return low

    def inverse(self, values: Values) -> Values:
        """See `Curve`."""
        kind = values.dtype.type
        low = np.minimum(values * kind(1.0 / self.height), kind(1.0))
        high = np.maximum(values - kind(self.height), kind(0.0)) * kind(1.0 / (1.0 - self.height))
        t = np.sinh(low * kind(np.arcsinh(self.faint))) * kind(self.knee / self.faint)
        t += np.sinh(high * kind(np.arcsinh(self.core))) * kind((1.0 - self.knee) / self.core)
        return _image(t, self.black, self.white)


@dataclass(frozen=True)
class HyperbolicCurve:
    """
    The generalised hyperbolic stretch.

    Attributes
    ----------
    black, white : float, unit of the image
    amount : float, above 0
        D: how much is stretched, the slope at the point of symmetry before scaling.
    shape : float
        b: -1 logarithmic, below 0 integral, 0 exponential, above 0 hyperbolic (1: harmonic): how closely the stretch
        keeps to that point.
    symmetry : float, 0 to 1
        SP, where the contrast grows most.
    protect_low, protect_high : float, 0..symmetry and symmetry..1
        LP and HP: below and above, the curve is straight.

    Notes
    -----
    With T(x) the base curve for x >= 0, T' its slope:: b = -1: ln(1 + D x); other b < 0:
    (1 - (1 - b D x)^((b+1)/b)) / (D (b + 1)); b = 0: 1 - exp(-D x); b > 0: 1 - (1 + b D x)^(-1/b). The curve is
    -T(SP - x) below SP and T(x - SP) above, continued straight below LP and above HP with the slope there, and scaled
    to 0 at 0 and 1 at 1. Source: Payne & Cranfield, Generalised Hyperbolic Stretch (ghsastro.co.uk), equations of the
    transformation.
    """

    black: float
    white: float
    amount: float
    shape: float
    symmetry: float
    protect_low: float
    protect_high: float

    def forward(self, values: Values) -> Values:
        """See `Curve`."""
        t = _unit(values, self.black, self.white)
        kind = t.dtype.type
        raw = self._raw(t.astype(np.float64))
        low, high = self._ends
        return np.clip(((raw - low) / (high - low)).astype(kind), kind(0.0), kind(1.0))

    def inverse(self, values: Values) -> Values:
        """See `Curve`."""
        kind = values.dtype.type
        low, high = self._ends
        raw = values.astype(np.float64) * (high - low) + low
        at_low, at_high = self._at(self.protect_low), self._at(self.protect_high)
        inside = np.clip(raw, at_low, at_high)
        t = self.symmetry + np.sign(inside) * self._base_inverse(np.abs(inside))
        t += np.minimum(raw - at_low, 0.0) / self._slope(self.symmetry - self.protect_low)
        t += np.maximum(raw - at_high, 0.0) / self._slope(self.protect_high - self.symmetry)
        return _image(t, self.black, self.white).astype(kind)

    @cached_property
    def _ends(self) -> tuple[float, float]:
        ends = self._raw(np.array([0.0, 1.0]))
        return float(ends[0]), float(ends[1])

    def _at(self, t: float) -> float:
        return float(self._raw(np.array([t]))[0])

    def _raw(self, t: F64) -> F64:
        inside = np.clip(t, self.protect_low, self.protect_high) - self.symmetry
        raw = np.sign(inside) * self._base(np.abs(inside))
        if self.protect_low > 0.0:
            raw += np.minimum(t - self.protect_low, 0.0) * self._slope(self.symmetry - self.protect_low)
        if self.protect_high < 1.0:
            raw += np.maximum(t - self.protect_high, 0.0) * self._slope(self.protect_high - self.symmetry)
        return raw

    def _base(self, x: F64) -> F64:
        d, b = self.amount, self.shape
        if b == -1.0:
            return np.log1p(d * x)
        if b < 0.0:
            return (1.0 - (1.0 - b * d * x) ** ((b + 1.0) / b)) / (d * (b + 1.0))
        if b == 0.0:
            return -np.expm1(-d * x)
        return 1.0 - (1.0 + b * d * x) ** (-1.0 / b)

    def _base_inverse(self, y: F64) -> F64:
        d, b = self.amount, self.shape
        if b == -1.0:
            return np.expm1(y) / d
        if b < 0.0:
            return (1.0 - np.maximum(1.0 - d * (b + 1.0) * y, 0.0) ** (b / (b + 1.0))) / (b * d)
        y = np.minimum(y, 1.0 - 1e-16)
        if b == 0.0:
            return -np.log1p(-y) / d
        return ((1.0 - y) ** -b - 1.0) / (b * d)

    def _slope(self, x: float) -> float:
        d, b = self.amount, self.shape
        if b == -1.0:
            return d / (1.0 + d * x)
        if b < 0.0:
            return float((1.0 - b * d * x) ** (1.0 / b))
        if b == 0.0:
            return float(d * np.exp(-d * x))
        return float(d * (1.0 + b * d * x) ** (-(1.0 + b) / b))
