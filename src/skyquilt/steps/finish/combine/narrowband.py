"""Line emission apart from the continuum, and H-alpha apart from [OIII]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, F64
from skyquilt.errors import NoUsableInput, UsageError
from skyquilt.steps.finish.colour import Background, LinearColour, StarFluxes, measure_background, sample_pixels

__all__ = [
    "DUOBAND_RESPONSE",
    "ContinuumSettings",
    "DuobandSettings",
    "continuum_scale",
    "plan_continuum_free",
    "plan_duoband",
    "separate_duoband",
    "subtract_continuum",
]

DUOBAND_RESPONSE: tuple[tuple[float, float], ...] = ((1.00, 0.04), (0.08, 0.90), (0.03, 0.60))
"""What red, green and blue pixels of a Sony colour sensor (IMX462, IMX585 and their like) see of one unit of H-alpha
(656 nm) and of [OIII] (501 nm): read by eye from the published curves of relative response, good to 0.05."""

_LEAST_STARS = 5
_LEAST_SNR = 10.0


@dataclass(frozen=True, slots=True)
class ContinuumSettings:
    """
    How the continuum is taken from a narrow band.

    Attributes
    ----------
    scale : float or None, 0 to 100
        What the narrow band sees of the broad band's light; None takes it from stars.
    strength : float, 0 to 1.5
        Share of the continuum that is subtracted.
    """

    scale: float | None = None
    strength: float = 1.0

    def __post_init__(self) -> None:
        if self.scale is not None and not 0.0 <= self.scale <= 100.0:
            raise UsageError(f"a scale of {self.scale:g} is out of range", "give 0 to 100, or none")
        if not 0.0 <= self.strength <= 1.5:
            raise UsageError(f"a strength of {self.strength:g} is out of range", "give 0 to 1.5")


def continuum_scale(fluxes: StarFluxes) -> float:
    """
    Return the flux of the usual star in the narrow band (channel 0) over that in the broad band (channel 1).

    Raises
    ------
    NoUsableInput
        If fewer than five stars are above 10 sigma in both.
    """
    bright = fluxes.bright(_LEAST_SNR)
    if bright.sum() < _LEAST_STARS:
        raise NoUsableInput(
            f"{int(bright.sum())} stars are bright enough in both bands, the scale takes {_LEAST_STARS}",
            "give the scale by number",
        )
    return float(np.median(fluxes.flux[bright, 0] / fluxes.flux[bright, 1]))


def plan_continuum_free(
    background: Background, settings: ContinuumSettings, fluxes: StarFluxes | None = None
) -> LinearColour:
    """
    Return the map of (narrow, broad) to the line emission.

    Parameters
    ----------
    background : Background
        Of both, (2,).
    fluxes : StarFluxes
        Of stars in both, where the scale is not given.

    Notes
    -----
    Definition:: narrow - strength * scale * (broad - background of broad): the narrow band keeps its own background.

    Raises
    ------
    UsageError
        If neither scale nor stars are given.
    """
    if settings.scale is None and fluxes is None:
        raise UsageError("the continuum has no scale", "give it by number, or measure stars in both bands")
    scale = settings.scale if settings.scale is not None else continuum_scale(fluxes) if fluxes else 0.0
    share = settings.strength * scale
    return LinearColour(np.array([[1.0, -share]]), np.array([share * float(background.level[1])]))


def subtract_continuum(narrow: F32, broad: F32, settings: ContinuumSettings, fluxes: StarFluxes | None = None) -> F32:
    """
    Return the line emission, float32 (1, y, x), of two registered linear images (1, y, x).

    See `plan_continuum_free`; the backgrounds are measured on a sample of both.
    """
    if narrow.shape != broad.shape or len(narrow) != 1:
        raise UsageError(
            f"bands of shapes {narrow.shape} and {broad.shape} do not fit",
            "register both on one canvas, one channel each",
        )
    both = np.concatenate([narrow, broad])
    return plan_continuum_free(measure_background(sample_pixels(both)), settings, fluxes).apply(both)


@dataclass(frozen=True, slots=True)
class DuobandSettings:
    """
    How H-alpha and [OIII] are told apart in a colour image behind a duo-band filter.

    Attributes
    ----------
    response : 3x2 or 3x3 tuple of float
        Rows red, green, blue: what they see of one unit of H-alpha, of [OIII], and, in a third column, of continuum
        (stars), which is then taken out.
    """

    response: tuple[tuple[float, ...], ...] = DUOBAND_RESPONSE

    def __post_init__(self) -> None:
        matrix = np.array(self.response, dtype=np.float64) if len({len(row) for row in self.response}) == 1 else None
        if matrix is None or matrix.shape not in ((3, 2), (3, 3)) or not np.isfinite(matrix).all():
            raise UsageError("a response has three rows of two or three numbers", "red, green, blue of each line")
        if not np.linalg.cond(matrix) < 1e3:
            raise UsageError("the lines cannot be told apart by this response", "its columns are too much alike")


def plan_duoband(background: Background, settings: DuobandSettings) -> LinearColour:
    """
    Return the map of red, green, blue to H-alpha and [OIII] (and continuum), each above a background of 0.

    Parameters
    ----------
    background : Background
        Of the three channels: level and noise.

    Notes
    -----
    Definition: x = (A' W A)^-1 A' W (v - background), A the response and W = diag(1 / sigma_c²): the estimate of least
    variance (Gauss, Markov) among those that keep both lines; with three columns it is the inverse of A. The noise of
    the result is sqrt(diag (A' W A)^-1).
    """
    response = np.array(settings.response, dtype=np.float64)
    weight = _weights(background.sigma)
    weighted = response * weight[:, None]
    unmix = np.asarray(np.linalg.solve(weighted.T @ response, weighted.T), dtype=np.float64)
    return LinearColour(unmix, np.asarray(-unmix @ background.level, dtype=np.float64))


def _weights(sigma: F64) -> F64:
    if not (sigma > 0.0).all():
        return np.ones(len(sigma))
    return np.asarray((sigma.min() / sigma) ** 2)


def separate_duoband(image: F32, settings: DuobandSettings, background: Background | None = None) -> F32:
    """Return H-alpha and [OIII], float32 (2 or 3, y, x), of a linear colour image; see `plan_duoband`."""
    return plan_duoband(background or measure_background(sample_pixels(image)), settings).apply(image)
