"""All frames fitted together: their places by stars and catalogue, their fluxes by stars, their skies by overlaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from skyquilt.core import F64, CatalogueStars, Event, FrameMeta, Measurement, SkyGrid, Wcs
from skyquilt.core.sky import directions as directions_of
from skyquilt.core.sky import unit_vectors
from skyquilt.engine.light import Light
from skyquilt.engine.mosaic.gather import MosaicRun
from skyquilt.engine.mosaic.overlaps import pixel_overlaps
from skyquilt.engine.mosaic.places import Place
from skyquilt.steps import mosaic, normalise, quality

__all__ = ["Fitted", "fit_fluxes", "fit_places", "weigh_frames"]

_SAME_STAR_PX = 1.5
_MOST_STARS = 400  # of a frame, for its flux scale
_MOST_FLUXES = 4_000_000  # a GB: tens of thousands of frames are compared by fewer stars each
_LEAST_STARS = 50


@dataclass(eq=False)
class Fitted:
    """
    The places of all frames of a field set, by the identity of the light.

    Attributes
    ----------
    wcs : dict of Wcs
    frames : dict of FrameSolution
        What the joint solution says of each; empty without one.
    rms_px : float or None
        Residual of common stars per axis.
    catalogue_rms_arcsec : float or None
    model : str
    distortion_order : dict of str to int
        By device.
    notes : list of str
    """

    wcs: dict[int, Wcs]
    frames: dict[int, mosaic.FrameSolution] = field(default_factory=dict)
    rms_px: float | None = None
    catalogue_rms_arcsec: float | None = None
    model: str = "frames"
    distortion_order: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def grid_of(self, light: Light) -> SkyGrid:
        return SkyGrid(self.wcs[id(light)], light.file.meta.width, light.file.meta.height)


def fit_places(run: MosaicRun, places: dict[int, Place]) -> Fitted:
    """Return the places of all frames; those that do not fit are left out, with the reason."""
    kept = run.kept
    fitted = Fitted({id(light): places[id(light)].wcs for light in kept})
    if not run.recipe.joint or len(kept) < 2:
        return fitted
    run.listener(Event("phase", "register", "one solution for all frames", total=1))
    solution = mosaic.solve_astrometry([_astro_frame(light, places[id(light)]) for light in kept])
    for light, frame in zip(kept, solution.frames, strict=True):
        if frame.reason:
            run.leave_out(light, "register", "does_not_fit", frame.reason)
            continue
        fitted.wcs[id(light)] = frame.wcs
        fitted.frames[id(light)] = frame
    fitted.rms_px, fitted.catalogue_rms_arcsec = _finite(solution.rms_px), _finite(solution.rms_catalogue_arcsec)
    fitted.model = "joint"
    fitted.distortion_order = {device.device: device.order for device in solution.devices}
    fitted.notes = [
        f"{len(component.keys)} frames are tied to each other by stars, but no catalogue star says where they lie: "
        "they are held by the coordinates that they came with"
        for component in solution.components
        if not component.is_anchored and len(component.keys) > 1
    ]
    run.listener(Event("progress", "register", done=1, total=1))
    return fitted


def _astro_frame(light: Light, place: Place) -> mosaic.AstroFrame:
    meta = light.file.meta
    return mosaic.AstroFrame(
        f"{meta.date_obs or ''}|{light.file.name}|{light.sha256}",
        place.wcs,
        meta.width,
        meta.height,
        device_of(meta),
        _measured(light).stars,
        place.stars,
        place.catalogue,
    )


def device_of(meta: FrameMeta) -> str:
    """Return a name for the optics: frames of one name share their distortion."""
    words = [meta.telescope, meta.instrument, meta.camera, meta.focal_mm and f"{meta.focal_mm:g} mm"]
    told = " ".join(dict.fromkeys(str(word) for word in words if word)) or "camera"
    return f"{told}, {meta.width}x{meta.height} px, binning {meta.binning[0]}x{meta.binning[1]}"


def fit_fluxes(
    lights: Sequence[Light],
    fitted: Fitted,
    canvas: SkyGrid,
    pointings: Sequence[mosaic.Pointing],
    reference: int,
    mode: str,
    surface_order: int,
) -> mosaic.PhotometricSolution:
    """
    Return the joint photometric solution of the frames of one island, and give each light its normalisation.

    Parameters
    ----------
    pointings : sequence of Pointing
        Of the lights; the seams are those between them, by their numbers.
    reference : int
        Number of the frame whose flux scale is 1.
    mode : str
        As in a stack: what of it is used.
    """
    observations, directions = _observations(lights, fitted, reference)
    _share_glare(lights, fitted, observations, directions)
    skies = [_sky_of(light, fitted, canvas) for light in lights]
    pointing = np.zeros(len(lights), np.int64)
    for number, one in enumerate(pointings):
        pointing[one.frames] = number
    solution = mosaic.solve_photometry(
        skies,
        observations,
        reference=reference,
        exposure_s=[light.file.meta.exposure_s or float("nan") for light in lights],
        surface_order=surface_order,
        pointing=pointing,
        is_scaled=mode in ("multiplicative", "both"),
        show_overlaps=pixel_overlaps(lights, [fitted.grid_of(light) for light in lights], canvas, pointing, skies),
    )
    for light, terms in zip(lights, solution.normalisations, strict=True):
        if mode in ("none", "multiplicative"):
            terms = replace(terms, surface=np.zeros_like(terms.surface))
        light.normalisation = terms
    return solution


def _sky_of(light: Light, fitted: Fitted, canvas: SkyGrid) -> mosaic.FrameSky:
    wcs = fitted.wcs[id(light)]
    return mosaic.frame_sky(_measured(light), lambda x, y: canvas.wcs.to_pixels(*wcs.to_sky(x, y)))


def _share_glare(
    lights: Sequence[Light], fitted: Fitted, observations: mosaic.FluxObservations, directions: F64
) -> None:
    """Tell every light where the stars lie that saturate in any of them (`engine.glare`)."""
    n_stars = int(observations.star.max(initial=-1)) + 1
    shown = np.bincount(observations.star, minlength=n_stars)
    saturated = np.bincount(observations.star, observations.is_saturated, minlength=n_stars) > 0
    chosen = np.flatnonzero(saturated & (shown > 1))
    if not len(chosen):
        return
    sums = [np.bincount(observations.star, directions[:, k], n_stars)[chosen] for k in range(3)]
    middle: F64 = np.stack(sums, axis=1).astype(np.float64)
    sky = directions_of(middle)
    for light in lights:
        meta = light.file.meta
        x, y = fitted.wcs[id(light)].to_pixels(*sky)
        inside = (x > -1.0) & (y > -1.0) & (x < meta.width) & (y < meta.height)
        light.saturated_stars = np.floor(np.stack([x, y], axis=1)[inside]).astype(np.int32)


def _observations(lights: Sequence[Light], fitted: Fitted, reference: int) -> tuple[mosaic.FluxObservations, F64]:
    """
    Return the stars of all frames with a number for each star, by where the frames' places lay them.

    Fluxes are those within the reference's aperture at its seeing (`normalise.aperture_difference`), so that the seeing
    does not show as transparency.

    The second is their directions, unit vectors (n, 3), one an observation.
    """
    nowhere = np.zeros(0, np.int64), CatalogueStars.empty(), ""
    points = mosaic.pick_points(
        [_astro_frame(light, Place(fitted.wcs[id(light)], *nowhere)) for light in lights], _most_stars(len(lights))
    )
    ends = np.searchsorted(points.frame, np.arange(len(lights) + 1))
    vectors = []
    for k, light in enumerate(lights):
        stars, rows = _measured(light).stars, points.row[ends[k] : ends[k + 1]]
        vectors.append(unit_vectors(*fitted.wcs[id(light)].to_sky(stars.x[rows], stars.y[rows])))
    scale = np.median([fitted.wcs[id(light)].scale_arcsec for light in lights])
    reach = _SAME_STAR_PX * float(np.radians(scale / 3600.0))
    placed = np.concatenate(vectors)
    ties = mosaic.match_ties(points, placed, reach)
    frame, row = points.frame[ties.point], points.row[ties.point]
    lists = [_measured(light).stars for light in lights]
    at = np.concatenate([[0], np.cumsum([len(stars) for stars in lists])])[frame] + row

    def column(name: str) -> F64:
        values: F64 = np.concatenate([getattr(stars, name) for stars in lists])[at]
        return values

    best = _measured(lights[reference]).figures
    lost = np.array([normalise.aperture_difference(_measured(light).figures, best) for light in lights])
    kept = np.exp(-lost)[frame]
    observations = mosaic.FluxObservations(
        frame, ties.star, kept * column("flux"), kept * column("flux_error"), column("is_saturated").astype(bool)
    )
    return observations, placed[ties.point]


def _most_stars(n_frames: int) -> int:
    """Return how many stars of a frame are compared; halved by and by, so that a few frames more seldom change it."""
    most = _MOST_STARS
    while most * n_frames > _MOST_FLUXES and most > _LEAST_STARS:
        most //= 2
    return most


def weigh_frames(lights: Sequence[Light], method: str) -> None:
    """Give every frame its weight; it does not depend on the other frames."""
    weights = quality.weights(
        [_measured(light) for light in lights],
        [light.normalisation for light in lights],
        [light.file.meta.exposure_s for light in lights],
        method,
        relative=False,
    )
    for light, weight in zip(lights, weights, strict=True):
        light.weight = float(weight)


def _measured(light: Light) -> Measurement:
    assert light.measurement is not None, "a light that is placed has been measured"
    return light.measurement


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
