"""What a channel is like: its level, spread and range, and its histogram on an axis that shows all scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from skyquilt.core import F32, I64

__all__ = ["ChannelFigures", "ChannelHistogram", "HistogramSums", "describe"]

_BINS = 4096


@dataclass(frozen=True, slots=True)
class ChannelFigures:
    """
    Level and spread of a channel, in the unit of the image.

    Attributes
    ----------
    median, madn, minimum, maximum : float
        madn is 1.4826 times the median absolute deviation. All 0 where no pixel is known.
    n_known : int
        Of the pixels that were looked at.
    """

    median: float
    madn: float
    minimum: float
    maximum: float
    n_known: int


@dataclass(frozen=True, slots=True)
class ChannelHistogram:
    """
    Counts in bins that are equal in u = asinh((v - centre) / scale), so that sky and stars both have bins enough.

    Attributes
    ----------
    centre, scale : float
        In the unit of the image.
    low, high : float
        Limits of u.
    below, above : int
        Pixels beyond the limits.
    counts : list of int
    """

    centre: float
    scale: float
    low: float
    high: float
    below: int
    above: int
    counts: list[int]

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> ChannelHistogram:
        """Return what `as_json` told; raises TypeError where it is something else."""
        return cls(**fields)


def describe(values: F32) -> tuple[ChannelFigures, ...]:
    """Return the figures of values, float32 (channel, y, x); NaN and infinite ones do not count."""
    figures = []
    for plane in values:
        known = plane[np.isfinite(plane)].astype(np.float64)
        if known.size == 0:
            figures.append(ChannelFigures(0.0, 0.0, 0.0, 0.0, 0))
            continue
        median = float(np.median(known))
        spread = 1.4826 * float(np.median(np.abs(known - median)))
        figures.append(ChannelFigures(median, spread, float(known.min()), float(known.max()), int(known.size)))
    return tuple(figures)


class HistogramSums:
    """
    Histograms that grow with the pixels they are told.

    Parameters
    ----------
    figures : sequence of ChannelFigures
        Set the axis of each channel: centre the median, scale the spread, from the lowest to the highest value.
    """

    def __init__(self, figures: Sequence[ChannelFigures]) -> None:
        self._axes = [_axis(each) for each in figures]
        self._counts = np.zeros((len(figures), _BINS + 2), dtype=np.int64)

    def add(self, values: F32) -> None:
        """Count pixels, float32 (channel, y, x); NaN and infinite ones do not count."""
        for counts, plane, (centre, scale, low, high) in zip(self._counts, values, self._axes, strict=True):
            u = np.arcsinh((plane[np.isfinite(plane)] - np.float32(centre)) / np.float32(scale))
            u -= np.float32(low)
            u *= np.float32(_BINS / (high - low))
            np.clip(u, -1.0, np.float32(_BINS), out=u)
            places: I64 = np.floor(u).astype(np.int64) + 1
            counts += np.bincount(places, minlength=_BINS + 2)

    def histograms(self) -> tuple[ChannelHistogram, ...]:
        """Return what was counted."""
        return tuple(
            ChannelHistogram(*axis, int(counts[0]), int(counts[-1]), counts[1:-1].tolist())
            for axis, counts in zip(self._axes, self._counts, strict=True)
        )


def _axis(figures: ChannelFigures) -> tuple[float, float, float, float]:
    """Return (centre, scale, low, high)."""
    reach = max(figures.maximum - figures.median, figures.median - figures.minimum)
    scale = figures.madn or reach or 1.0
    low, high = (float(np.arcsinh((v - figures.median) / scale)) for v in (figures.minimum, figures.maximum))
    margin = 1e-3 * max(1.0, high - low)  # so that the highest value of the sample lies within
    return figures.median, scale, low - margin, high + margin
