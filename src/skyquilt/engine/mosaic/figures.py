"""The mosaic in figures: level, noise, sharpness, depth, and how well its frames agree."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64, I64, Box, Mask
from skyquilt.engine.manifest import MosaicRecord, OverlapRecord, PanelRecord, Statistics
from skyquilt.engine.mosaic.island import IslandRun
from skyquilt.engine.mosaic.job import UNKNOWN_EXPOSURE_S
from skyquilt.engine.mosaic.stored import StoredCanvas
from skyquilt.engine.photometry import Photometry, measure_photometry
from skyquilt.engine.sampling import sample_variances
from skyquilt.engine.solving import SkySolver, hints_of
from skyquilt.engine.statistics import SATURATION_SHARE, look_at_plane, noise_of_plane, range_deg

__all__ = ["enclosed_holes", "measure_mosaic", "mosaic_record"]

_MEASURED_PX = 2048


def measure_mosaic(island: IslandRun, canvas: StoredCanvas, solver: SkySolver) -> tuple[Statistics, Photometry]:
    """Return statistics and photometry of a finished mosaic, measured where it is deepest; that is read once."""
    box = deepest_box(canvas)
    planes = canvas.values(box)
    return _statistics(island, canvas, box, planes), _photometry(island, box, planes, solver)


def _statistics(island: IslandRun, canvas: StoredCanvas, box: Box, values: F32) -> Statistics:
    """Return the statistics of a finished mosaic; noise and stars are those of the values of a box."""
    run, kept = island.run, island.kept
    scale = 1.0 if run.recipe.unit == "adu" else island.full_scale_adu
    planes = [plane * np.float32(scale) for plane in values]
    noise = [noise_of_plane(plane) for plane in planes]
    fwhm, n_stars = look_at_plane(planes[len(planes) // 2], island.job.cell, saturation_of(island))
    landed, low, high = (sum(light.samples[k] for light in kept) for k in range(3))
    rejected = (low / landed, high / landed) if landed else (0.0, 0.0)
    exposures = [light.file.meta.exposure_s or 0.0 for light in kept]
    widths = [light.measurement.figures.fwhm_px for light in kept if light.measurement]
    n_left_out = sum(not light.is_in for light in run.lights) + len(run.fields.strays)  # other islands' are not
    return Statistics(
        n_found=len(kept) + n_left_out,
        n_stacked=len(kept),
        n_left_out=n_left_out,
        exposure_s=float(sum(exposures)) or None,
        effective_exposure_s=float(sum(exposures)) * (1.0 - sum(rejected)) or None,
        rejected_low=rejected[0],
        rejected_high=rejected[1],
        background=[level for level, _, _ in noise],
        noise=[pixel for _, pixel, _ in noise],
        noise_8x8=[block for _, _, block in noise],
        snr_gain=_gains(island, canvas, box),
        fwhm_px=fwhm,
        frames_fwhm_px=float(np.nanmedian(widths)) if np.isfinite(widths).any() else None,
        n_stars=n_stars,
        rotation_range_deg=range_deg([island.fitted.wcs[id(light)].rotation_deg for light in kept]),
        width=canvas.shape[2],
        height=canvas.shape[1],
        n_channels=canvas.shape[0],
    )


def _gains(island: IslandRun, canvas: StoredCanvas, box: Box) -> list[float]:
    """
    Return how many times less noise than a usual frame alone the deepest part has, per channel.

    The noise of the mosaic is the median of its variance map there, that of a frame its sky noise, smoothed by the same
    resampling.
    """
    job = island.job
    frames = np.median(np.array([frame.sky_sigma for frame in job.frames]), axis=0)
    shares = sample_variances(job.sampling(job.frames[0]), job.frames[0].n_planes)
    gains = []
    for one, share, plane in zip(frames, shares, canvas.store.plane("variance", box), strict=True):
        known = plane[::4, ::4]
        known = known[np.isfinite(known) & (known > 0)]
        gains.append(float(one * np.sqrt(share / np.median(known))) if known.size else 0.0)
    return gains


def saturation_of(island: IslandRun) -> float:
    """Return the level of the mosaic from which on a pixel may have been saturated in every frame."""
    levels = [
        light.saturation_adu * float(np.min(light.normalisation.scale)) for light in island.kept if light.normalisation
    ]
    return SATURATION_SHARE * min(levels, default=np.inf)


def deepest_box(canvas: StoredCanvas) -> Box:
    """Return the box of the canvas of up to 2048 px a side that has the most exposure."""
    _, coverage, factor = canvas.overview()
    height, width = coverage.shape
    side = max(1, min(_MEASURED_PX // factor, height, width))
    total = np.zeros((height + 1, width + 1))
    total[1:, 1:] = coverage.astype(np.float64).cumsum(axis=0).cumsum(axis=1)
    sums = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    y, x = np.unravel_index(int(np.argmax(sums)), sums.shape)
    x0, y0 = int(x) * factor, int(y) * factor
    return Box(x0, y0, x0 + side * factor, y0 + side * factor).intersect(canvas.box)


def _photometry(island: IslandRun, box: Box, values: F32, solver: SkySolver) -> Photometry:
    """Return zero points, depth and sky of the values of a box."""
    reference = island.reference
    return measure_photometry(
        values,
        (len(values), *box.shape),
        island.grid.wcs.shifted(box.x0, box.y0),
        solver.catalogue,
        adu_per_unit=1.0 if island.run.recipe.unit == "adu" else island.full_scale_adu,
        exposure_s=reference.file.meta.exposure_s or 1.0,
        epoch_year=hints_of(reference.file.meta).epoch_year,
        saturation_adu=saturation_of(island) / SATURATION_SHARE,
        has_pedestal=reference.calibration.dark is None,
    )


def mosaic_record(island: IslandRun, canvas: StoredCanvas) -> MosaicRecord:
    """Return what the manifest says of what is particular to a mosaic."""
    _, coverage, factor = canvas.overview()
    covered = coverage > 0
    holes, n_holes = enclosed_holes(covered)
    cell_deg2 = (island.grid.wcs.scale_arcsec * factor / 3600.0) ** 2
    photometry = island.photometry
    seconds = coverage[covered]
    noise = np.median(np.array([frame.sky_sigma for frame in island.job.frames]), axis=0)
    own = [island.fitted.frames[id(light)] for light in island.kept if id(light) in island.fitted.frames]
    return MosaicRecord(
        projection=island.grid.wcs.projection,
        covered_deg2=float(covered.sum()) * cell_deg2,
        holes_deg2=float(holes.sum()) * cell_deg2,
        n_holes=n_holes,
        coverage_median_s=float(np.median(seconds)) if seconds.size else None,
        coverage_max_s=float(seconds.max()) if seconds.size else None,
        n_ties=sum(frame.n_ties for frame in own),
        tie_rms_px=island.fitted.rms_px,
        catalogue_rms_arcsec=island.fitted.catalogue_rms_arcsec,
        flux_rms=_finite(photometry.flux.rms),
        sky_rms_sigma=_finite(float(np.max(photometry.sky.rms_after / noise))),
        surface_order=int(photometry.sky.order.max(initial=0)),
        distortion_order=island.fitted.distortion_order,
        canvas_wcs={str(card[0]): card[1] for card in island.grid.wcs.cards()},
        panels=_panels(island),
        overlaps=_overlaps(island, noise),
        notes=[
            *island.fitted.notes,
            *(f"{island.island.lights[k].file.name}: {reason}" for k, reason in photometry.unfit),
            *_without_exposure(island),
        ],
    )


def enclosed_holes(covered: Mask) -> tuple[Mask, int]:
    """
    Return what is not covered and cannot be reached from the edge of the picture, and in how many pieces.

    Definition: ``holes = binary_fill_holes(covered) & ~covered`` and ``label(holes)`` of scipy.ndimage, by rows of
    pixels; importing that for this alone takes longer than a small mosaic's figures.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    height, width = covered.shape
    walled = np.pad(covered, ((0, 0), (0, 1)), constant_values=True).ravel()
    ends = np.flatnonzero(np.diff(walled, prepend=True, append=True))
    first, last = ends[::2], ends[1::2]  # of each run of open pixels in a row, the last one excluded
    if not len(first):
        return np.zeros(covered.shape, dtype=np.bool_), 0
    one, other = _touching_runs(first, last, width + 1)
    graph = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(len(first), len(first)))
    piece = connected_components(graph, directed=False)[1]
    row, column = first // (width + 1), first % (width + 1)
    at_edge = (row == 0) | (row == height - 1) | (column == 0) | (last % (width + 1) == width)
    is_hole = ~np.isin(piece, piece[at_edge])
    marks = np.zeros(walled.size + 1, dtype=np.int8)
    marks[first[is_hole]] += 1
    marks[last[is_hole]] -= 1
    holes: Mask = marks.cumsum()[:-1].reshape(height, width + 1)[:, :width] > 0
    return holes, len(np.unique(piece[is_hole]))


def _touching_runs(first: I64, last: I64, pitch: int) -> tuple[I64, I64]:
    """Return the pairs of runs that lie below each other, rows being `pitch` pixels apart."""
    low = np.searchsorted(last, first + pitch, side="right")
    high = np.searchsorted(first, last + pitch, side="left")
    count = np.maximum(high - low, 0)
    one = np.repeat(np.arange(len(first)), count)
    step = np.arange(len(one)) - np.repeat(np.cumsum(count) - count, count)
    return one, np.repeat(low, count) + step


def _without_exposure(island: IslandRun) -> list[str]:
    """Return the note on frames whose headers do not tell how long they were exposed."""
    n = sum(not light.file.meta.exposure_s for light in island.kept)
    if not n:
        return []
    return [f"the headers of {n} frames tell no exposure: the coverage counts {UNKNOWN_EXPOSURE_S:g} s for each"]


def _panels(island: IslandRun) -> list[PanelRecord]:
    records = []
    for pointing in island.island.pointings:
        lights = [island.island.lights[k] for k in pointing.frames if island.island.lights[k].is_in]
        clear = [light.normalisation.transparency for light in lights if light.normalisation]
        records.append(
            PanelRecord(
                name=pointing.name,
                ra_deg=pointing.centre_deg[0],
                dec_deg=pointing.centre_deg[1],
                n_frames=len(lights),
                exposure_s=float(sum(light.file.meta.exposure_s or 0.0 for light in lights)) or None,
                transparency=float(np.median(clear)) if clear else None,
            )
        )
    return records


def _overlaps(island: IslandRun, noise: F64) -> list[OverlapRecord]:
    """Return what the solution left between pointings."""
    names = [pointing.name for pointing in island.island.pointings]
    deg2 = (island.grid.wcs.scale_arcsec / 3600.0) ** 2
    return [
        OverlapRecord(
            first=names[seam.first],
            second=names[seam.second],
            area_deg2=seam.area_px * deg2,
            n_stars=seam.n_stars,
            flux_ratio=_finite(seam.flux_ratio_after),
            sky_step_sigma=_largest(seam.sky_step_after_sigma),
            sky_step_before_sigma=_largest(seam.sky_step_before_adu / noise),
        )
        for seam in island.photometry.overlaps
    ]


def _largest(steps: F64) -> float | None:
    """Return the step of the channel in which it is largest."""
    known = steps[np.isfinite(steps)]
    return float(known[np.argmax(np.abs(known))]) if known.size else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
