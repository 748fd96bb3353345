"""
What photons allow: how well the frames of a session can be laid on each other at best.

It knows the truth of a session and nothing of the code that is judged by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64
from skyquilt.testing.sky import StarTruth, Truth

__all__ = ["RegistrationBound", "place_information", "registration_bounds"]

_REACH_SIGMA = 5.0
_EDGE_PX = 3.0  # stars nearer to the edge are half outside
_WORST_ERROR_PX = 0.5  # fainter stars are not found
_SATURATED_SHARE = 0.95
_N_DRAWS = 4000


@dataclass(frozen=True, slots=True, eq=False)
class RegistrationBound:
    """
    The least error with which one frame can be laid on the reference.

    Attributes
    ----------
    index : int
        Of the frame in the truth.
    covariance : float64 (3, 3)
        Of shift x, shift y (px) and turn (radians times half of the width).
    shape : float64 (3, 3)
        Mean over the frame of the squared displacement that those make.
    """

    index: int
    covariance: F64
    shape: F64

    @property
    def rms_px(self) -> float:
        """Root of the mean square error over the frame, px, of the best unbiased estimate."""
        return float(np.sqrt(np.trace(self.shape @ self.covariance)))

    def quantile_px(self, share: float, seed: int = 0) -> float:
        """Return the rms over the frame, px, that this share of perfect measurements stays below."""
        draws = np.random.default_rng(seed).multivariate_normal(np.zeros(3), self.covariance, _N_DRAWS)
        return float(np.quantile(np.sqrt(np.einsum("ni,ij,nj->n", draws, self.shape, draws)), share))


def place_information(truth: Truth, index: int) -> tuple[StarTruth, F64]:
    """
    Return the stars of a frame and what its pixels tell about the place of each, float64 (n, 2, 2), 1/px².

    Notes
    -----
    Fisher's matrix of x, y and the star's flux in each colour, which is not known beforehand: the sum over the pixels
    of the products of the slopes of their expected values over their variances (sky, read-out, the star's own photons),
    pixels that saturate left out; the fluxes are eliminated. Stars are Gaussians, integrated over the pixels.
    """
    from scipy.special import erf  # only those who judge pay for it

    scenario, frame = truth.scenario, truth.frames[index]
    stars = truth.frame_stars(index)
    far = (stars.x > _EDGE_PX) & (stars.x < scenario.width - 1 - _EDGE_PX)
    far &= (stars.y > _EDGE_PX) & (stars.y < scenario.height - 1 - _EDGE_PX)
    stars = stars.take(far)
    sigma = frame.fwhm_px / np.sqrt(8.0 * np.log(2.0))
    reach = int(np.ceil(_REACH_SIGMA * sigma)) + 1

    def light_and_slope(distance: F64) -> tuple[F64, F64]:
        low, high = (distance - 0.5) / sigma, (distance + 0.5) / sigma
        slope = (np.exp(-0.5 * low**2) - np.exp(-0.5 * high**2)) / (np.sqrt(2.0 * np.pi) * sigma)
        return 0.5 * (erf(high / np.sqrt(2.0)) - erf(low / np.sqrt(2.0))), slope

    information = np.zeros((len(stars), 2, 2))
    for k, (x, y, flux) in enumerate(zip(stars.x, stars.y, stars.flux, strict=True)):
        columns = np.arange(max(round(x) - reach, 0), min(round(x) + reach + 1, scenario.width))
        rows = np.arange(max(round(y) - reach, 0), min(round(y) + reach + 1, scenario.height))
        channel = scenario.channel_of[rows[:, None] % 2, columns[None, :] % 2]
        across, across_slope = light_and_slope(columns - x)
        down, down_slope = light_and_slope(rows - y)
        share = down[:, None] * across[None, :]
        light = flux[channel] * share
        variance = frame.sky_sigma_adu[channel] ** 2 + light / scenario.gain_e_per_adu
        counts = frame.sky_adu[channel] + light + np.sqrt(variance) < _SATURATED_SHARE * scenario.saturation_adu
        slopes = [flux[channel] * down[:, None] * across_slope, flux[channel] * down_slope[:, None] * across]
        slopes += [share * (channel == colour) for colour in range(scenario.n_channels)]
        design = np.stack([slope[counts] for slope in slopes])
        matrix = (design / variance[counts]) @ design.T
        rest = matrix[:2, 2:] @ np.linalg.pinv(matrix[2:, 2:]) @ matrix[2:, :2]
        information[k] = matrix[:2, :2] - rest
    return stars, information


def registration_bounds(truth: Truth, reference: int, frames: Sequence[int]) -> list[RegistrationBound]:
    """
    Return the bound of every frame but the reference.

    Parameters
    ----------
    reference : int
        Index of the frame on whose pixels the others are laid.
    frames : sequence of int
        Indices of the frames that take part.

    Notes
    -----
    Bound of Cramer and Rao: the inverse of Fisher's matrix of all unknowns, which are the places of all stars and the
    shift and turn of every frame but the reference. Nothing else is known of them than that they are turns and shifts.
    """
    others = [index for index in frames if index != reference]
    sightings = [_sightings(truth, index, reference) for index in (reference, *others)]
    names, counts = np.unique(np.concatenate([name for name, _, _ in sightings]), return_counts=True)
    names = names[counts > 1]
    n_places = 2 * len(names)
    matrix = np.zeros((n_places + 3 * len(others),) * 2)
    half = 0.5 * truth.scenario.width
    for k, (name, place, information) in enumerate(sightings):
        for star, known in zip(np.searchsorted(names, name), range(len(name)), strict=True):
            if star == len(names) or names[star] != name[known]:
                continue
            unknown, slopes = [2 * star, 2 * star + 1], np.eye(2)
            if k > 0:
                unknown += [n_places + 3 * (k - 1) + term for term in range(3)]
                slopes = np.hstack([slopes, -_displacement(float(place[known, 0]), float(place[known, 1]), half)])
            matrix[np.ix_(unknown, unknown)] += slopes.T @ information[known] @ slopes
    covariance = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    bounds = []
    for k, index in enumerate(others):
        own = slice(n_places + 3 * k, n_places + 3 * k + 3)
        bounds.append(RegistrationBound(index, covariance[own, own], _mean_square(truth, index, reference, half)))
    return bounds


def _sightings(truth: Truth, index: int, reference: int) -> tuple[I64, F64, F64]:
    """Return number, place on the reference (n, 2) and information there (n, 2, 2) of the stars that a frame shows."""
    stars, information = place_information(truth, index)
    to_reference = truth.frames[index].transform.inverse().then(truth.frames[reference].transform)
    back = np.linalg.inv(to_reference.matrix[:2, :2])
    number_of = {(ra, dec): k for k, (ra, dec) in enumerate(zip(truth.stars.ra_deg, truth.stars.dec_deg, strict=True))}
    number = np.array([number_of[ra, dec] for ra, dec in zip(stars.ra_deg, stars.dec_deg, strict=True)], dtype=np.int64)
    tells = np.linalg.det(information) > _WORST_ERROR_PX**-4.0
    place = np.stack(to_reference(stars.x, stars.y), axis=1)
    return number[tells], place[tells], (back.T @ information @ back)[tells]


def _displacement(x: float, y: float, half: float) -> F64:
    """How shift x, shift y and turn move a point, (2, 3)."""
    return np.array([[1.0, 0.0, -(y - half) / half], [0.0, 1.0, (x - half) / half]])


def _mean_square(truth: Truth, index: int, reference: int, half: float, step_px: float = 20.0) -> F64:
    """Return the mean over the frame of the products of those displacements, (3, 3)."""
    scenario = truth.scenario
    x = np.linspace(0.0, scenario.width - 1.0, int(scenario.width / step_px) + 2)
    y = np.linspace(0.0, scenario.height - 1.0, int(scenario.height / step_px) + 2)
    across, down = np.meshgrid(x, y)
    u, v = truth.frames[index].transform.inverse().then(truth.frames[reference].transform)(across, down)
    moves = np.array([_displacement(a, b, half) for a, b in zip(u.ravel(), v.ravel(), strict=True)])
    return np.asarray(np.einsum("nki,nkj->ij", moves, moves) / len(moves))
