"""The joint photometric solution of a mosaic: what brings all frames to one flux scale and one sky."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, I64, Normalisation
from skyquilt.steps.mosaic.flux_scales import FluxObservations, FluxScales, fit_flux_scales
from skyquilt.steps.mosaic.frame_sky import FrameSky, Lattice, make_lattice, surface_terms
from skyquilt.steps.mosaic.near_places import group_near
from skyquilt.steps.mosaic.seams import Seam, seam_figures
from skyquilt.steps.mosaic.sky_surfaces import SkySurfaces, fit_sky_surfaces

__all__ = ["PhotometricSolution", "solve_photometry"]


@dataclass(frozen=True, slots=True, eq=False)
class PhotometricSolution:
    """
    The normalisation of every frame of a mosaic, and what it rests on.

    Attributes
    ----------
    normalisations : tuple of Normalisation
        One a frame; centre and radius are those of the frame on the canvas. As `transparency` is 1 / scale, it holds
        the exposure too: relative to the reference's.
    flux : FluxScales
    sky : SkySurfaces
    pointing : int64 (n_frames,)
        Frames that look at about the same place.
    overlaps : tuple of Seam
        Between pointings.
    unfit : tuple of (int, str)
        Frames that do not fit, with the reason; a frame may stand here twice, for its flux and its sky.
    """

    normalisations: tuple[Normalisation, ...]
    flux: FluxScales
    sky: SkySurfaces
    pointing: I64
    overlaps: tuple[Seam, ...]
    unfit: tuple[tuple[int, str], ...]


def solve_photometry(
    maps: Sequence[FrameSky],
    observations: FluxObservations,
    *,
    reference: int | None = None,
    exposure_s: Sequence[float] | F64 | None = None,
    catalogue_star: I64 | None = None,
    catalogue_mag: F64 | None = None,
    channel_factor: F64 | None = None,
    surface_order: int = 2,
    pointing: I64 | None = None,
    is_scaled: bool = True,
    show_overlaps: Callable[[F64], Lattice] | None = None,
) -> PhotometricSolution:
    """
    Return the joint photometric solution.

    Parameters
    ----------
    maps : sequence of FrameSky
        One a frame.
    observations : FluxObservations
        Stars of these frames.
    reference : int or None
        The frame whose flux scale is 1; None: the frames' median.
    exposure_s, catalogue_star, catalogue_mag
        As in `fit_flux_scales`.
    channel_factor : float64 (n_frames, n_channels) or None
        What each channel's scale is in that of the stars' channel; for devices of different colour response
        (`fit_device_factors`). None: 1, so that colours stay.
    surface_order : int
        As in `fit_sky_surfaces`.
    pointing : int64 (n_frames,) or None
        Which frames look at about the same place, for the figures of the seams; None: by their middles.
    is_scaled : bool
        Whether frames are brought to one flux scale. If not, all scales are 1, and the skies are fitted to the frames
        as they are; the transparencies are told all the same.
    show_overlaps : callable or None
        Returns what the frames show in common, given their scales (n_frames, n_channels), as `shared_blocks` does;
        None: what the maps tell (`make_lattice`).

    Raises
    ------
    ValueError
        As in `fit_flux_scales` and `fit_sky_surfaces`.
    """
    n_frames = len(maps)
    n_channels = len(maps[0].level) if n_frames else 1
    flux = fit_flux_scales(
        observations, n_frames, reference=reference, exposure_s=exposure_s, catalogue_star=catalogue_star,
        catalogue_mag=catalogue_mag,
    )  # fmt: skip
    scale = flux.scale[:, None] * (np.ones((n_frames, n_channels)) if channel_factor is None else channel_factor)
    if not is_scaled:
        scale = np.ones_like(scale)
    lattice = make_lattice(maps) if show_overlaps is None else show_overlaps(scale)
    sky = fit_sky_surfaces(
        maps, scale, relative_exposure=flux.relative_exposure, surface_order=surface_order, lattice=lattice
    )
    place = np.array([(*one.centre, one.radius) for one in maps]).reshape(n_frames, 3)
    if pointing is None:
        pointing = group_near(place[:, 0], place[:, 1], place[:, 2])
    noise = np.ones(n_channels)
    if n_frames:
        noise = np.median(np.stack([one.noise_adu for one in maps]) * scale, axis=0)
    overlaps = seam_figures(
        pointing, lattice, _normalised(lattice, scale, sky, place), observations,
        flux.scale if is_scaled else np.ones(n_frames), flux.relative_exposure, noise,
    )  # fmt: skip
    normalisations = tuple(
        Normalisation(scale[k], sky.surface[k], maps[k].centre, maps[k].radius, float(1.0 / flux.scale[k]))
        for k in range(n_frames)
    )
    return PhotometricSolution(normalisations, flux, sky, pointing, overlaps, tuple(sorted((*flux.unfit, *sky.unfit))))


def _normalised(lattice: Lattice, scale: F64, sky: SkySurfaces, place: F64) -> F64:
    """Return the levels of the lattice with scales and surfaces."""
    frame = lattice.frame
    order = {1: 0, 3: 1, 6: 2}[sky.surface.shape[2]]
    x, y, radius = place[frame].T
    terms = surface_terms((lattice.x - x) / radius, (lattice.y - y) / radius, order)
    shown: F64 = scale[frame] * lattice.level
    for k in range(terms.shape[1]):
        shown += terms[:, k, None] * sky.surface[frame, :, k]
    return shown
