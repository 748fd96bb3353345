"""Flux scale and sky difference of one frame against the reference."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64, Figures, Mask, Measurement, Normalisation, Registration
from skyquilt.kernels.background import sample_map
from skyquilt.kernels.detect_fit import light_within
from skyquilt.kernels.order import median_of
from skyquilt.kernels.robust_fit import fit_robust
from skyquilt.kernels.robust_mean import biweight_mean

__all__ = ["MODES", "aperture_difference", "cell_centres", "fit_normalisation", "flux_ratio", "level_at"]

MODES = ("none", "additive", "multiplicative", "both")
_BRIGHT_SNR = 10.0
_FEW_STARS = 8
_LEAST_STARS = 3
_FLUX_FLOOR = 0.005  # relative: what a measured flux is never better than
_STAR_ROUNDS = 20
_CUT_SIGMA = 4.7  # Tukey's biweight, 95 % efficiency
_CUT_OF_KERNEL = _CUT_SIGMA * 1.1774100225154747 / 0.6744897501960817  # the kernel scales by a two-dimensional median
_CELL_ROUNDS = 15
_LEAST_CELLS = {0: 1, 1: 8, 2: 20}
_LEAST_OVERLAP = {0: 0.0, 1: 0.2, 2: 0.5}


def fit_normalisation(
    frame: Measurement,
    reference: Measurement,
    registration: Registration,
    *,
    mode: str = "both",
    surface_order: int = 1,
    scale_each_channel: bool = False,
) -> Normalisation:
    """
    Return what brings the samples of a frame to the level of the reference: n = scale * v + surface(x, y).

    Parameters
    ----------
    frame, reference : Measurement
        With the same number of channels.
    registration : Registration
        Of the frame on the reference.
    mode : str
        "both": flux scale from the stars, then the sky difference. "additive": sky difference only.
        "multiplicative": flux scale only. "none": nothing; `transparency` is measured all the same.
    surface_order : int
        0, 1 or 2: order of the polynomial that stands for the sky difference; lower where cells are few or the overlap
        is small.
    scale_each_channel : bool
        False: all channels take the scale of the stars' channel (green), so that colours stay. True: each channel's
        scale follows from its noise-free sky levels as well as it can; for frames through different filters.

    Raises
    ------
    ValueError
        If `mode` or `surface_order` is none of those, or the channels differ in number.

    Notes
    -----
    The sky difference is taken between cells of the coarse maps at the same place of the sky, so that what belongs to
    the sky (nebulae, the Milky Way) cancels and only gradients of the air and the instrument are left. Tukey's biweight
    keeps out cells that hold something else in one frame (clouds' edges, a star at a cell's border).
    """
    if mode not in MODES:
        raise ValueError(f"{mode!r} is no mode of normalisation: {', '.join(MODES)}")
    if surface_order not in (0, 1, 2):
        raise ValueError(f"the surface is of order 0, 1 or 2, not {surface_order}")
    n_channels = len(reference.background)
    if len(frame.background) != n_channels:
        raise ValueError(f"the frame has {len(frame.background)} channels, the reference {n_channels}")
    ratio = flux_ratio(frame, reference, registration)
    known = ratio if np.isfinite(ratio) else 1.0
    scale = np.full(n_channels, known if mode in ("multiplicative", "both") else 1.0)
    centre = ((reference.width - 1) / 2.0, (reference.height - 1) / 2.0)
    radius = max(reference.width, reference.height) / 2.0
    surface = np.zeros((n_channels, (1, 3, 6)[surface_order]))
    if mode in ("additive", "both"):
        x, y = cell_centres(reference)
        fx, fy = registration.transform.inverse()(x, y)
        u, v = (x - centre[0]) / radius, (y - centre[1]) / radius
        for channel in range(n_channels):
            level = level_at(frame.background[channel], frame, fx, fy)
            target = reference.background[channel].astype(np.float64)
            if scale_each_channel and mode == "both":
                scale[channel] = _sky_ratio(level, target, known)
            difference = target - scale[channel] * level
            surface[channel] = _fit_surface(u, v, difference, surface_order)
    return Normalisation(scale, surface, centre, radius, 1.0 / known)


def flux_ratio(frame: Measurement, reference: Measurement, registration: Registration) -> float:
    """
    Return the flux of the reference's stars over that of the frame's, NaN with fewer than three pairs.

    Notes
    -----
    Definition: weighted mean of ln(F_reference / F_frame) + d over pairs that are saturated in neither frame, weights
    1 / (e_f² + e_r² + f² + t²) with the relative errors e, f = 0.5 %, the scatter t that the pairs show beyond their
    errors, and Tukey's biweight. Pairs are chosen by the geometric mean of both signal-to-noise ratios, so that the
    faint limit of neither frame favours one side.

    d = ln(s_frame / s_reference) of the shares s of a star's light that were measured: L(a) of the aperture less the
    light that stood in the annulus of the sky and was taken for sky, a² (L(r₂) - L(r₁)) / (r₂² - r₁²), with L of
    `light_within`. Where stars have wings, poorer seeing carries light out of an aperture of fixed size and into an
    annulus of fixed size, 1 to 5 % of it for each px of FWHM (Moffat profiles of beta 3.5 to 2.5), which is no loss of
    transparency. Both frames take the mean of their wings' steepness,
    so that its error touches only the difference. FWHM that a few faint stars tell differ without a change of the
    seeing, so d (1 - v / d²) is taken, at least nothing, v the variance of d by the errors of both FWHM (the positive
    part of James & Stein 1961).
    """
    pairs = registration.pairs
    if not len(pairs):
        return float("nan")
    good = ~frame.stars.is_saturated[pairs[:, 0]] & ~reference.stars.is_saturated[pairs[:, 1]]
    good &= (frame.stars.flux[pairs[:, 0]] > 0) & (reference.stars.flux[pairs[:, 1]] > 0)
    if good.sum() < _LEAST_STARS:
        return float("nan")
    mine, theirs = pairs[good, 0], pairs[good, 1]
    my_flux, their_flux = frame.stars.flux[mine], reference.stars.flux[theirs]
    e_mine = np.maximum(frame.stars.flux_error[mine], 1e-12) / my_flux
    e_theirs = np.maximum(reference.stars.flux_error[theirs], 1e-12) / their_flux
    snr = 1.0 / np.sqrt(e_mine * e_theirs)
    chosen = snr > _BRIGHT_SNR
    if chosen.sum() < _FEW_STARS:
        chosen = snr >= np.sort(snr)[-min(_FEW_STARS, len(snr))]
    value = np.log(their_flux / my_flux)[chosen] + aperture_difference(frame.figures, reference.figures)
    variance = (e_mine**2 + e_theirs**2)[chosen] + 2.0 * _FLUX_FLOOR**2
    return float(np.exp(_robust_mean(value, variance)))


def aperture_difference(frame: Figures, reference: Figures) -> float:
    """Return ln(s_frame / s_reference), drawn towards 0 by its error; 0 where the profile of either is not known."""
    steepness = 0.5 * (frame.inverse_beta + reference.inverse_beta)
    lost, variance = [], 0.0
    for figures in (frame, reference):
        here, wider = (
            float(np.log(_share_measured(figures, seeing, steepness)))
            for seeing in (figures.seeing_px, figures.seeing_px + figures.seeing_error_px)
        )
        lost.append(here)
        variance += (wider - here) ** 2
    difference = lost[0] - lost[1]
    if not difference**2 > variance:  # also where anything is NaN
        return 0.0
    return difference - variance / difference


def _share_measured(figures: Figures, seeing: float, steepness: float) -> float:
    """Share of a star's light within the aperture, less what stood in the annulus and was taken for sky."""
    aperture, inner, outer = (
        light_within(radius / seeing, steepness)
        for radius in (figures.aperture_px, figures.sky_from_px, figures.sky_to_px)
    )
    return aperture - figures.aperture_px**2 * (outer - inner) / (figures.sky_to_px**2 - figures.sky_from_px**2)


def _robust_mean(value: F64, variance: F64) -> float:
    """Mean with errors, scatter beyond the errors, and outliers, sought from the weighted median on."""
    order = np.argsort(value, kind="stable")
    share = np.cumsum(1.0 / variance[order])
    start = float(value[order][int(np.searchsorted(share, 0.5 * share[-1]))])
    return biweight_mean(value, variance, _CUT_SIGMA, _STAR_ROUNDS, start)


def cell_centres(measurement: Measurement) -> tuple[F64, F64]:
    """Return the centres (x, y) of the cells of the sky map, (gy, gx) each; those at the edge are cut by the frame."""
    x, y = np.meshgrid(*measurement.cell_axes())
    return x, y


def level_at(grid: F32, measurement: Measurement, x: F64, y: F64) -> F64:
    """Return the sky of a map at frame positions, bilinear between cells; NaN off the frame or by an unknown cell."""
    across, down = measurement.cell_axes()
    level = np.empty(x.shape)
    sample_map(grid, across, down, float(measurement.width), float(measurement.height), x, y, level)
    return level


def _sky_ratio(level: F64, target: F64, fallback: float) -> float:
    """Ratio of the noise-free sky levels of both frames."""
    both = np.isfinite(level) & np.isfinite(target) & (level > 0) & (target > 0)
    return float(np.median(target[both] / level[both])) if both.any() else fallback


def _fit_surface(u: F64, v: F64, difference: F64, order: int) -> F64:
    """Coefficients of 1, u, v, u², uv, v² up to the order that the cells can carry; the others 0."""
    coefficients = np.zeros((1, 3, 6)[order])
    known: Mask = np.isfinite(difference)
    n = int(known.sum())
    if not n:
        return coefficients
    while n < _LEAST_CELLS[order] or n < _LEAST_OVERLAP[order] * known.size:
        order -= 1
    a, b, value = u[known], v[known], difference[known]
    middle = median_of(value)
    columns = [np.ones(n), a, b, a * a, a * b, b * b][: (1, 3, 6)[order]]
    design, target = np.zeros((2 * n, len(columns))), np.zeros(2 * n)
    design[0::2], target[0::2] = np.stack(columns, axis=1), value - middle
    parameters, residual = np.zeros(len(columns)), np.empty(2 * n)
    scale = fit_robust(design, target, np.ones(n), _CUT_OF_KERNEL, _CELL_ROUNDS, parameters, np.ones(n), residual)
    if not np.isfinite(scale):
        parameters[:] = 0.0
    parameters[0] += middle
    coefficients[: len(parameters)] = parameters
    return coefficients
