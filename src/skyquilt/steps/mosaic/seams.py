"""What is left of the seams between neighbouring pointings, in figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64
from skyquilt.kernels.robust_mean import biweight_mean
from skyquilt.steps.mosaic.agreement import sum_by
from skyquilt.steps.mosaic.flux_scales import FluxObservations
from skyquilt.steps.mosaic.frame_sky import Lattice

__all__ = ["Seam", "seam_figures"]

_CUT_SIGMA = 4.7
_ROUNDS = 20
_FLUX_FLOOR = 0.005


@dataclass(frozen=True, slots=True, eq=False)
class Seam:
    """
    How two pointings agree where both show the sky.

    Attributes
    ----------
    first, second : int
        Numbers of the pointings, first < second.
    area_px : float, px² of the canvas
    n_stars : int
        Stars that both measured.
    flux_ratio_before, flux_ratio_after : float
        Flux of the stars in the first over that in the second, for equal exposures, without and with the flux scales;
        NaN without stars.
    sky_step_before_adu, sky_step_after_adu : float64 (n_channels,), ADU of the reference
        Median over the shared cells of the first's sky less the second's, as the frames are (for equal exposures), and
        normalised; NaN without cells.
    sky_rms_after_adu : float64 (n_channels,), ADU of the reference
        Of that difference, from cell to cell.
    sky_step_after_sigma : float64 (n_channels,)
        The step in the usual noise of a pixel of one frame.
    """

    first: int
    second: int
    area_px: float
    n_stars: int
    flux_ratio_before: float
    flux_ratio_after: float
    sky_step_before_adu: F64
    sky_step_after_adu: F64
    sky_rms_after_adu: F64
    sky_step_after_sigma: F64


def seam_figures(
    pointing: I64,
    lattice: Lattice,
    normalised: F64,
    observations: FluxObservations,
    scale: F64,
    relative_exposure: F64,
    noise_adu: F64,
) -> tuple[Seam, ...]:
    """
    Return the figures of all pairs of pointings that share cells or stars, sorted by their numbers.

    Parameters
    ----------
    pointing : int64 (n_frames,)
        Which frames belong together (`group_near`); the number of the frame itself gives the figures of all pairs
        of frames.
    lattice : Lattice
    normalised : float64 (n, n_channels), ADU of the reference
        The levels of the lattice, normalised.
    observations : FluxObservations
    scale : float64 (n_frames,)
        Flux scales.
    relative_exposure : float64 (n_frames,)
    noise_adu : float64 (n_channels,), ADU of the reference
        Usual noise of a pixel of one frame.

    Notes
    -----
    The sky of a pointing at a point is the mean over its frames; its flux of a star is their mean in ln F, weighed by
    the errors. The ratio is the biweight mean over the stars.
    """
    n_channels = normalised.shape[1]
    raw = lattice.level / relative_exposure[lattice.frame, None]
    of_point, owner, sums, size = _grouped(
        lattice.point, pointing[lattice.frame], np.ones(len(lattice.frame)), np.concatenate([raw, normalised], axis=1)
    )
    cells = _by_pair(of_point, owner, sums / size[:, None], np.zeros(len(size)))
    good = ~observations.is_saturated & (observations.flux > 0) & (observations.flux_error >= 0)
    frame, flux = observations.frame[good], observations.flux[good]
    weight = 1.0 / ((observations.flux_error[good] / flux) ** 2 + _FLUX_FLOOR**2)
    ln_flux = np.stack([np.log(flux / relative_exposure[frame]), np.log(flux * scale[frame])], axis=1)
    star, owner, sums, size = _grouped(observations.star[good], pointing[frame], weight, weight[:, None] * ln_flux)
    stars = _by_pair(star, owner, sums / size[:, None], 1.0 / size)
    found = []
    for pair in sorted(set(cells) | set(stars)):
        sky, _ = cells.get(pair, (np.full((1, 2 * n_channels), np.nan), None))
        ratio, variance = stars.get(pair, (np.zeros((0, 2)), np.zeros(0)))
        step = np.median(sky, axis=0)
        after = step[n_channels:]
        found.append(
            Seam(
                *pair,
                len(sky) * lattice.step_px**2 if pair in cells else 0.0,
                len(ratio),
                _mean_ratio(ratio[:, 0], variance),
                _mean_ratio(ratio[:, 1], variance),
                step[:n_channels],
                after,
                np.sqrt(np.mean((sky[:, n_channels:] - after) ** 2, axis=0)),
                after / noise_adu,
            )
        )
    return tuple(found)


def _mean_ratio(value: F64, variance: F64) -> float:
    if not len(value):
        return float("nan")
    value = np.ascontiguousarray(value)
    return float(np.exp(biweight_mean(value, variance, _CUT_SIGMA, _ROUNDS, float(np.median(value)))))


def _grouped(thing: I64, owner: I64, weight: F64, values: F64) -> tuple[I64, I64, F64, F64]:
    """Return thing, owner, sum of the values and of the weights for each combination, sorted by thing and owner."""
    if not len(thing):
        none = np.zeros(0, dtype=np.int64)
        return none, none, np.zeros((0, values.shape[1])), np.zeros(0)
    many = int(owner.max()) + 1
    names, things = np.unique(thing, return_inverse=True)
    keys, place = np.unique(things * many + owner, return_inverse=True)
    sums = np.stack([sum_by(place, column, len(keys)) for column in values.T], axis=1)
    return names[keys // many], keys % many, sums, sum_by(place, weight, len(keys))


def _by_pair(thing: I64, owner: I64, value: F64, variance: F64) -> dict[tuple[int, int], tuple[F64, F64]]:
    """Return for each pair of owners the differences of their values and the variances of these, one row a thing."""
    firsts, seconds, differences, variances = [], [], [], []
    for lag in range(1, len(thing)):
        same = np.flatnonzero(thing[lag:] == thing[:-lag])
        if not len(same):
            break
        firsts.append(owner[same])
        seconds.append(owner[same + lag])
        differences.append(value[same] - value[same + lag])
        variances.append(variance[same] + variance[same + lag])
    if not firsts:
        return {}
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    difference, both = np.concatenate(differences), np.concatenate(variances)
    key = first * (int(owner.max()) + 1) + second
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    return {
        (int(first[part[0]]), int(second[part[0]])): (difference[part], both[part])
        for part in np.split(order, starts[1:])
    }
