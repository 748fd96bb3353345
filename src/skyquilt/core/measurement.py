"""What one look at a frame's pixels tells: a few kB that stand for the frame until the integration."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from skyquilt.core.arrays import F32, F64, I64
from skyquilt.core.stars import Stars
from skyquilt.core.transform import Transform

__all__ = ["Figures", "Measurement", "Normalisation", "Registration"]


@dataclass(frozen=True, slots=True)
class Figures:
    """
    Explainable figures of one frame.

    Attributes
    ----------
    background_adu : float
        Median of the calibrated sky (green for CFA frames), ADU.
    noise_adu : float
        Robust sigma of the sky per green (or mono) pixel, ADU, large-scale structure removed.
    saturated_share : float, 0..1
        Share of pixels at or above the saturation threshold.
    n_stars : int
    fwhm_px : float
        Median FWHM of unsaturated stars, px of the full frame; NaN without stars.
    eccentricity : float, 0..1
        Median elongation of unsaturated stars; NaN without stars.
    gradient : float
        Largest minus smallest value of the coarse background map, over its median.
    seeing_px : float
        FWHM of the profile that the stars share, px of the full frame, the pixel's own width taken off; NaN without
        stars that tell.
    seeing_error_px : float
        Of `seeing_px`, px, 1 sigma.
    inverse_beta : float, 0..0.36
        1 / beta of that profile, a Moffat function: how much light stands in its wings. 0 is a Gaussian.
    aperture_px : float
        Radius within which the stars' fluxes are given, px of the full frame; NaN without stars.
    sky_from_px, sky_to_px : float
        Radii between which the sky around each star was measured, px of the full frame; NaN without stars.
    """

    background_adu: float
    noise_adu: float
    saturated_share: float
    n_stars: int
    fwhm_px: float
    eccentricity: float
    gradient: float
    seeing_px: float = math.nan
    seeing_error_px: float = math.nan
    inverse_beta: float = 0.0
    aperture_px: float = math.nan
    sky_from_px: float = math.nan
    sky_to_px: float = math.nan


@dataclass(frozen=True, slots=True, eq=False)
class Measurement:
    """
    The measured facts of one frame; cached, so that other settings need no second look at the pixels.

    Attributes
    ----------
    figures : Figures
    stars : Stars
    background : float32 (n_channels, gy, gx), ADU
        Coarse sky map: the robust median of each cell of `cell_px` full-frame pixels; NaN where a cell has too few
        usable pixels. Cell (i, j) is centred at ``((j + 0.5) * cell_px - 0.5, (i + 0.5) * cell_px - 0.5)``.
    noise_adu : float64 (n_channels,)
        Robust sigma of the sky per raw pixel of that colour, ADU.
    cell_px : int
    width, height : int, px of the full frame
    """

    figures: Figures
    stars: Stars
    background: F32
    noise_adu: F64
    cell_px: int
    width: int
    height: int

    def cell_axes(self) -> tuple[F64, F64]:
        """Return the centres of the cells along x, (gx,), and along y, (gy,), px; those at the edge are cut."""
        _, gy, gx = self.background.shape
        return _centres(gx, self.cell_px, self.width), _centres(gy, self.cell_px, self.height)


def _centres(n: int, cell_px: int, size: int) -> F64:
    start = np.arange(n) * float(cell_px)
    centres: F64 = (start + np.minimum(start + cell_px, size) - 1.0) / 2.0
    return centres


@dataclass(frozen=True, slots=True, eq=False)
class Registration:
    """
    How a frame lies on the reference.

    Attributes
    ----------
    transform : Transform
        Frame pixels to reference pixels.
    n_matched : int
        Star pairs that the fit rests on.
    rms_px : float
        Residual of all those pairs per axis, px.
    bright_rms_px : float
        Residual per axis of the brightest pairs, px: tells how good the transform is.
    pairs : int64 (n_matched, 2)
        Indices of the matched stars: (in the frame's list, in the reference's list).
    """

    transform: Transform
    n_matched: int
    rms_px: float
    bright_rms_px: float
    pairs: I64


@dataclass(frozen=True, slots=True, eq=False)
class Normalisation:
    """
    What brings the samples of a frame to the level of the reference: n = scale * v + surface(x, y).

    Attributes
    ----------
    scale : float64 (n_channels,)
        Flux scale: 1 for the reference, larger where the sky was less transparent.
    surface : float64 (n_channels, n_terms), ADU of the reference
        Coefficients of 1, u, v, u², uv, v² (n_terms = 1, 3 or 6) with u = (x - cx) / radius, v = (y - cy) / radius in
        canvas (reference) pixels.
    centre : (float, float), px
    radius : float, px
    transparency : float
        1 / scale of the green (or mono) channel: the share of the reference's star flux that reached this frame.
    """

    scale: F64
    surface: F64
    centre: tuple[float, float]
    radius: float
    transparency: float
