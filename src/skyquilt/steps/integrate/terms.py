"""What an integration is told, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64, I64, U16, Box
from skyquilt.errors import UsageError

__all__ = ["COMBINES", "FEW_SAMPLES", "RULES", "FrameTerms", "IntegrateSettings", "IntegratedTile"]

RULES = ("auto", "sigma", "winsorized", "mad", "linear_fit", "esd", "percentile", "noise_model", "none")
COMBINES = ("mean", "median", "sum", "min", "max")

FEW_SAMPLES = 8
"""Below so many samples of a pixel the rule "auto" takes its scale from the noise model."""


@dataclass(frozen=True, slots=True)
class IntegrateSettings:
    """
    How samples are rejected and combined.

    Attributes
    ----------
    rule : str
        One of `RULES`; see `steps.integrate.definitions`. "auto": "noise_model" for pixels of fewer than 8 samples,
        "sigma" for the others.
    low, high : float
        Limits below and above the centre, in sigmas as a large sample of Gaussian noise has them: the limits widen for
        small samples so that they reject about the same share. For linear_fit in mean absolute deviations, as is the
        custom; it takes 5 and more there to leave Gaussian noise alone, as sorted noise is no straight line. Not used
        by percentile and esd (a sweep uses them in any case, once it runs).
    max_iterations : int
    combine : str
        One of `COMBINES`. "mean": weighted. "sum": weighted mean times the number of frames, hence without steps where
        coverage changes. "median", "min", "max": of the accepted samples, unweighted.
    percentile_low, percentile_high : float
        percentile: shares of the median.
    esd_fraction, esd_significance : float
        esd: largest share of outliers to look for, level of the test.
    jitter_px : float, px
        Rms registration error that rejection must bear with. 0 for frames that do not move (darks).
    blur_px2 : float, px²
        Rms variation of half the variance of the star profile between frames. A FWHM of 4 px that varies by 10 % makes
        0.3; with the defaults 3 to 60 such frames lose less than 0.1 % of the flux of their stars. 0 for frames without
        stars.
    """

    rule: str = "auto"
    low: float = 3.0
    high: float = 3.0
    max_iterations: int = 10
    combine: str = "mean"
    percentile_low: float = 0.2
    percentile_high: float = 0.1
    esd_fraction: float = 0.3
    esd_significance: float = 0.05
    jitter_px: float = 0.3
    blur_px2: float = 0.5

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise UsageError(f"the rejection rule {self.rule!r} does not exist", f"choose from {', '.join(RULES)}")
        if self.combine not in COMBINES:
            raise UsageError(f"frames cannot be combined by {self.combine!r}", f"choose from {', '.join(COMBINES)}")
        positive = {"low": self.low, "high": self.high, "max_iterations": self.max_iterations}
        for name, value in positive.items():
            if not value > 0:
                raise UsageError(f"{name} is {value}, it must be above 0")

    @property
    def needs_structure(self) -> bool:
        """Whether the limits follow the local structure of the image, for which the neighbouring pixels are needed."""
        return self.rule not in ("none", "percentile") and (self.jitter_px > 0 or self.blur_px2 > 0)


@dataclass(frozen=True, slots=True, eq=False)
class FrameTerms:
    """
    What is known of the frames, in frame order.

    Attributes
    ----------
    weight : float64 (n_frames,)
        A frame of weight 0 takes no part.
    exposure_s : float64 (n_frames,), s
    sky_sigma : float64 (n_frames, n_channels), normalised ADU
        Noise of one sample on the sky.
    shot : float64 (n_frames, n_channels), normalised ADU
        Variance that a sample gains per ADU above the sky level; 0 if unknown.
    sky_level : float64 (n_frames, n_channels), normalised ADU
    """

    weight: F64
    exposure_s: F64
    sky_sigma: F64
    shot: F64
    sky_level: F64

    def take(self, frames: I64 | list[int]) -> FrameTerms:
        """Return the terms of some of the frames, in the order given."""
        index = np.asarray(frames, dtype=np.int64)
        return FrameTerms(
            self.weight[index], self.exposure_s[index], self.sky_sigma[index], self.shot[index], self.sky_level[index]
        )


@dataclass(frozen=True, slots=True, eq=False)
class IntegratedTile:
    """
    A piece of the result.

    Attributes
    ----------
    box : Box
    value : float32 (n_channels, y, x), normalised ADU
        NaN where nothing landed.
    variance : float32 (n_channels, y, x), ADU²
        Of `value`. From 8 accepted samples on from their own scatter, below from the noise model
        (`kernels.combine.combine_means` has both formulas); times π/2 for medians of 3 and more, NaN for "min", "max".
    coverage : float32 (y, x), s
        Exposure that landed, before rejection, mean over the weight channels; a stopgap counts for 1/255 of it.
    n_used : uint16 (n_channels, y, x)
        Accepted samples. This and the next two stay at 65535 when they are more.
    rejected_low, rejected_high : uint16 (n_channels, y, x)
    frame_rejected : int64 (n_frames, 2)
        Samples of the frame rejected low and high, all channels together.
    frame_samples : int64 (n_frames,)
        Samples of the frame that took part, before rejection. A sweep counts the proper ones only: it learns at the end
        where stopgaps are needed.
    """

    box: Box
    value: F32
    variance: F32
    coverage: F32
    n_used: U16
    rejected_low: U16
    rejected_high: U16
    frame_rejected: I64
    frame_samples: I64
