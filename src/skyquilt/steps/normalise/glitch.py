"""Rows that a camera did not read out: a sharp step of the sky from one row of cells to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, Mask, Measurement, Registration
from skyquilt.kernels.order import row_medians
from skyquilt.steps.normalise.fit import cell_centres, flux_ratio, level_at

__all__ = ["RowStep", "find_row_step"]

_LEAST_SIGMAS = 3.0  # of one pixel's noise: a cell's level is a hundred times better known
_LEAST_SHARE = 0.05  # of the sky
_LEAST_STEEPNESS = 8.0  # times the usual step between rows: clouds and gradients are smooth
_AGREEMENT = 0.9
_FEWEST_COLUMNS = 3
_FEWEST_ROWS = 4


@dataclass(frozen=True, slots=True)
class RowStep:
    """
    Where a frame's sky steps.

    Attributes
    ----------
    y : int, px of the frame
        First row of the cells after the step.
    height_adu : float
        Level of the rows from there on less that of those before, beyond what the reference shows; ADU of the
        reference.
    """

    y: int
    height_adu: float


def find_row_step(frame: Measurement, reference: Measurement, registration: Registration) -> RowStep | None:
    """
    Return the largest step between neighbouring rows of cells that the reference does not show, None without any.

    Notes
    -----
    Definition: with d = ratio * sky of the frame - sky of the reference there (green or mono), per cell of the frame,
    and r the median of d along each row of cells: a step |r[i+1] - r[i]| counts if it exceeds 3 sigma of a pixel, 5 %
    of the sky and 8 times the median of all steps, and 90 % of the columns agree in its sign. What belongs to the sky
    cancels; clouds and gradients are smooth. Whether frame or reference has the glitch is for the majority to say.
    """
    channel = min(1, len(frame.background) - 1)
    ratio = flux_ratio(frame, reference, registration)
    scale = ratio if np.isfinite(ratio) else 1.0
    x, y = cell_centres(frame)
    expected = level_at(reference.background[channel], reference, *registration.transform(x, y))
    difference = scale * frame.background[channel].astype(np.float64) - expected
    rows = np.empty(len(difference))
    row_medians(difference, _FEWEST_COLUMNS, rows)
    if np.isfinite(rows).sum() < _FEWEST_ROWS:
        return None
    steps = np.diff(rows)
    known: Mask = np.isfinite(steps)
    if not known.any():
        return None
    index = int(np.nanargmax(np.abs(steps)))
    least = max(
        _LEAST_SIGMAS * scale * float(frame.noise_adu[channel]),
        _LEAST_SHARE * float(np.nanmedian(reference.background[channel])),
        _LEAST_STEEPNESS * float(np.median(np.abs(steps[known]))),
    )
    if not abs(steps[index]) > least or _agreement(difference[index : index + 2], float(steps[index])) < _AGREEMENT:
        return None
    return RowStep((index + 1) * frame.cell_px, float(steps[index]))


def _agreement(pair: F64, step: float) -> float:
    """Return the share of the columns that step in the same sense by half as much at least."""
    each = (pair[1] - pair[0]) / step
    each = each[np.isfinite(each)]
    return float(np.mean(each > 0.5)) if len(each) else 0.0
