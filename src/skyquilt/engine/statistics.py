"""The stack in figures: level, noise, gain over one frame, sharpness, exposure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skyquilt.core import F32, Box, SkyGrid
from skyquilt.engine.canvas import Canvas
from skyquilt.engine.light import Light
from skyquilt.engine.manifest import Statistics
from skyquilt.engine.photometry import Photometry, measure_photometry
from skyquilt.engine.products import Preview
from skyquilt.engine.run import Arrangement, GroupRun
from skyquilt.engine.sampling import FrameLostError, sample_variances, sampler_of
from skyquilt.steps import quality, stars

__all__ = [
    "SATURATION_SHARE",
    "describe_stack",
    "look_at_plane",
    "measure_stack",
    "noise_of_plane",
    "range_deg",
    "rejected_shares",
]

_MEASURED_PX = 2048
SATURATION_SHARE = 0.95  # darks are taken off, and resampling rounds the edge of a plateau
_REFERENCE_PX = 1024
_LEVEL_SAMPLES = 300_000


def rejected_shares(run: GroupRun) -> tuple[float, float]:
    """Return the shares of all samples that were rejected low and high."""
    landed, low, high = (sum(light.samples[k] for light in run.kept) for k in range(3))
    return (low / landed, high / landed) if landed else (0.0, 0.0)


def describe_stack(run: GroupRun, arrangement: Arrangement, canvas: Canvas, preview: Preview) -> Statistics:
    """Return the statistics of a finished canvas; noise and stars are measured in its middle."""
    kept = run.kept
    scale = 1.0 if run.recipe.unit == "adu" else run.full_scale_adu
    noise = _noise_of_planes(preview, scale)
    low, high = rejected_shares(run)
    seen = _measure_stack(arrangement, preview, scale, _saturation_adu(kept))
    rotations = [light.registration.transform.rotation_deg for light in kept if light.registration]
    widths = [light.measurement.figures.fwhm_px for light in kept if light.measurement]
    exposures = [light.file.meta.exposure_s or 0.0 for light in kept]
    weights = np.array([light.weight or 0.0 for light in kept])
    share = 1.0 - low - high
    n_effective = float(weights.sum() ** 2 / np.square(weights).sum()) if weights.any() else 0.0
    return Statistics(
        n_found=len(run.lights) + len(run.strays),
        n_stacked=len(kept),
        n_left_out=len(run.lights) + len(run.strays) - len(kept),
        exposure_s=float(sum(exposures)) or None,
        effective_exposure_s=float(np.mean(exposures)) * n_effective * share or None,
        rejected_low=low,
        rejected_high=high,
        background=[level for level, _, _ in noise],
        noise=[pixel for _, pixel, _ in noise],
        noise_8x8=[block for _, _, block in noise],
        snr_gain=_gains(arrangement, canvas, scale),
        fwhm_px=seen[0],
        reference_fwhm_px=_seen_alone(run, arrangement),
        frames_fwhm_px=float(np.nanmedian(widths)) if np.isfinite(widths).any() else None,
        n_stars=seen[1],
        rotation_range_deg=range_deg(rotations),
        width=canvas.shape[2],
        height=canvas.shape[1],
        n_channels=preview.shape[0],
    )


def measure_stack(run: GroupRun, arrangement: Arrangement, grid: SkyGrid, preview: Preview) -> Photometry:
    """Return zero points, depth and sky of the middle of a stack that has been placed on the sky."""
    from skyquilt.engine.solving import hints_of  # loaded where a stack is placed

    box = _middle(preview.shape, _MEASURED_PX)
    reference = arrangement.reference
    frames = len(run.kept) if run.recipe.combine == "sum" else 1
    return measure_photometry(
        (preview.cropped(box, channel) for channel in range(preview.shape[0])),
        (preview.shape[0], *box.shape),
        grid.wcs.shifted(box.x0, box.y0),
        run.placer.solver.catalogue,
        adu_per_unit=1.0 if run.recipe.unit == "adu" else run.full_scale_adu,
        exposure_s=frames * (reference.file.meta.exposure_s or 1.0),
        epoch_year=hints_of(reference.file.meta).epoch_year,
        saturation_adu=frames * _saturation_adu(run.kept) / SATURATION_SHARE,
        has_pedestal=reference.calibration.dark is None,
    )


def _noise_of_planes(preview: Preview, scale: float) -> list[tuple[float, float, float]]:
    """Return level, noise per pixel and noise of 8x8 means times 8 of every channel, ADU."""
    side = min(preview.shape[1], preview.shape[2], _MEASURED_PX)
    figures = []
    for channel in range(preview.shape[0]):
        plane = preview.cropped(_middle(preview.shape, side), channel)
        plane *= np.float32(scale)
        figures.append(noise_of_plane(plane))
    return figures


def noise_of_plane(plane: F32) -> tuple[float, float, float]:
    """Return level, noise per pixel and noise of 8x8 means times 8 of a plane, (y, x), in its unit."""
    stride = max(1, int(np.sqrt(plane.size / _LEVEL_SAMPLES)))
    finite = plane[::stride, ::stride]
    finite = finite[np.isfinite(finite)]
    level = float(np.median(finite)) if finite.size else 0.0
    return level, quality.background_noise(plane, 1), 8.0 * quality.background_noise(plane, 8)


def _gains(arrangement: Arrangement, canvas: Canvas, scale: float) -> list[float]:
    """
    Return how many times less noise than the reference alone the stack has, per channel of the canvas.

    The noise of the stack is the median of its variance map: the scatter of the frames, in which neither nebulae nor
    crowded stars count. That of one frame is its sky noise, smoothed by the same resampling.
    """
    measurement = arrangement.reference.measurement
    assert measurement is not None
    shares = sample_variances(arrangement.sampling, arrangement.reference.file.meta.n_planes)
    # copies: a view would hold on to its whole band
    sampled = np.concatenate([rows[:, ::4, ::4].copy() for _, rows in canvas.variance_rows()], axis=1)
    gains = []
    for c, variance in enumerate(sampled):
        known = variance[np.isfinite(variance) & (variance > 0)]
        k = c if len(sampled) == len(measurement.noise_adu) else len(measurement.noise_adu) // 2
        one = float(measurement.noise_adu[k]) ** 2 * float(shares[c])
        gains.append(float(np.sqrt(one / (float(np.median(known)) * scale**2))) if known.size else 0.0)
    return gains


def _seen_alone(run: GroupRun, arrangement: Arrangement) -> float | None:
    """Return the FWHM of the reference alone, laid on the canvas as all frames are, frame pixels."""
    sampler = sampler_of(arrangement.reference, arrangement.sampling, run.recipe)
    whole = arrangement.canvas
    inner = _middle((1, *whole.shape), _REFERENCE_PX)
    box = Box(inner.x0 + whole.x0, inner.y0 + whole.y0, inner.x1 + whole.x0, inner.y1 + whole.y0)
    values = np.empty((sampler.n_channels, *box.shape), dtype=np.float32)
    weights = np.empty((sampler.weight_channels, *box.shape), dtype=np.uint8)
    try:
        sampler.sample(box, values, weights)
    except FrameLostError:
        return None
    return look_at_plane(values[len(values) // 2], arrangement.sampling.cell, _saturation_adu([arrangement.reference]))[
        0
    ]


def _middle(shape: tuple[int, int, int], side: int) -> Box:
    x0, y0 = (shape[2] - min(side, shape[2])) // 2, (shape[1] - min(side, shape[1])) // 2
    return Box(x0, y0, x0 + min(side, shape[2]), y0 + min(side, shape[1]))


def _saturation_adu(lights: Sequence[Light]) -> float:
    """Return the level of the stack from which on a pixel may have been saturated in every frame."""
    levels = [np.inf]
    for light in lights:
        assert light.normalisation is not None
        levels.append(light.saturation_adu * float(np.min(light.normalisation.scale)))
    return float(SATURATION_SHARE * min(levels))


def _measure_stack(
    arrangement: Arrangement, preview: Preview, scale: float, saturation_adu: float
) -> tuple[float | None, int]:
    """Return FWHM in frame pixels and number of stars in the middle of the stack, from its green (or mono) plane."""
    plane = preview.cropped(_middle(preview.shape, _MEASURED_PX), preview.shape[0] // 2)
    plane *= np.float32(scale)
    return look_at_plane(plane, arrangement.sampling.cell, saturation_adu)


def look_at_plane(plane: F32, cell: int, saturation_adu: float) -> tuple[float | None, int]:
    """Return FWHM in frame pixels and number of stars of a plane of the canvas, (y, x), ADU."""
    known = np.isfinite(plane)
    filled = plane if known.all() else np.where(known, plane, np.median(plane[known]) if known.any() else 0.0)
    pixels = np.ascontiguousarray(filled, dtype=np.float32)
    measured = stars.measure(pixels, None, saturation_adu=saturation_adu)
    width = measured.figures.fwhm_px * cell
    return (float(width) if np.isfinite(width) else None), measured.figures.n_stars


def range_deg(rotations: list[float]) -> float:
    """Return the range of angles on the circle, degrees."""
    if len(rotations) < 2:
        return 0.0
    angles = np.sort(np.mod(rotations, 360.0))
    gaps = np.diff(np.append(angles, angles[0] + 360.0))
    return float(360.0 - gaps.max())
