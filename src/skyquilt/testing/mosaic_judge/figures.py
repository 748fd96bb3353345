"""What the judge of mosaics says, as values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64
from skyquilt.testing.mosaic_sky import ShownStars

__all__ = ["Astrometry", "Figures", "Outlier", "Ratio", "Seams"]


@dataclass(frozen=True, slots=True)
class Ratio:
    """
    A ratio of found to true.

    Attributes
    ----------
    value : float
        NaN where nothing could be measured.
    error : float
        1 sigma, from the scatter of what was measured.
    n : int
        How many stars or blocks it is of.
    """

    value: float
    error: float
    n: int


@dataclass(frozen=True, slots=True, eq=False)
class Astrometry:
    """
    Found less true places of stars, px of the mosaic.

    Attributes
    ----------
    stars : ShownStars
    dx, dy : float64 (n,)
    """

    stars: ShownStars
    dx: F64
    dy: F64

    @property
    def rms_px(self) -> float:
        """Root of the mean square of the distances; NaN without a star."""
        return float(np.sqrt(np.mean(self.dx**2 + self.dy**2))) if len(self.dx) else float("nan")

    @property
    def median_px(self) -> tuple[float, float]:
        """Median (dx, dy): the shift that all have in common."""
        if not len(self.dx):
            return float("nan"), float("nan")
        return float(np.median(self.dx)), float(np.median(self.dy))


@dataclass(frozen=True, slots=True, eq=False)
class Seams:
    """
    Steps across the edges of frames: mean inside less mean outside, in sigmas of one pixel of the background there.

    Attributes
    ----------
    steps, errors : float64 (n,)
        One entry for 32 px of an edge, and what noise alone makes of it (1 sigma, were pixels independent).
    frame : int64 (n,)
    x, y : float64 (n,), px of the mosaic
        Middle of the stretch.
    """

    steps: F64
    errors: F64
    frame: I64
    x: F64
    y: F64

    @property
    def largest(self) -> float:
        """Size of the largest step, sigmas of a pixel; 0 where no edge could be measured."""
        return float(np.abs(self.steps).max(initial=0.0))

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.mean(self.steps**2))) if len(self.steps) else 0.0


@dataclass(frozen=True, slots=True)
class Outlier:
    """
    The block of 4x4 px off stars that stands highest above its surroundings.

    Attributes
    ----------
    x, y : float, px
    adu : float
        Mean of the block above its surroundings.
    sigmas : float
        The same over the scatter of such means of as many frames and pixels.
    """

    x: float
    y: float
    adu: float
    sigmas: float


@dataclass(frozen=True, slots=True)
class Figures:
    """
    All figures of one channel.

    Attributes
    ----------
    flux : Ratio
        Of isolated stars, all of the mosaic.
    panels : dict of tuple of int to Ratio
        The same over the common one, of the stars that these pointings show (one: it alone; more: their overlap).
    worst_panel : float
        Largest departure from 1 among those of five stars or more.
    astrometry_px : float
        Rms distance of star centroids from their true places.
    seam_largest, seam_rms : float
        Steps at the edges of frames, sigmas of a pixel.
    emission : Ratio
        Extended light kept, a plane of sky left open.
    outlier : Outlier
    coverage_wrong : float
        Share of pixels whose coverage is not the exposure of the frames that lie there (borders left out).
    """

    flux: Ratio
    panels: dict[tuple[int, ...], Ratio]
    worst_panel: float
    astrometry_px: float
    seam_largest: float
    seam_rms: float
    emission: Ratio
    outlier: Outlier
    coverage_wrong: float
