"""The stack in figures: level, noise, gain over one frame, sharpness, exposure."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, Box
from skyquilt.engine.canvas import Canvas
from skyquilt.engine.manifest import Statistics
from skyquilt.engine.products import Preview
from skyquilt.engine.run import Arrangement, GroupRun
from skyquilt.steps import quality, stars

__all__ = ["describe_stack", "rejected_shares"]

_MEASURED_PX = 2048


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
    seen = _measure_stack(arrangement, preview, scale)
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
        exposure_s=float(sum(exposures)),
        effective_exposure_s=float(np.mean(exposures)) * n_effective * share,
        rejected_low=low,
        rejected_high=high,
        background=[level for level, _, _ in noise],
        noise=[pixel for _, pixel, _ in noise],
        noise_8x8=[block for _, _, block in noise],
        snr_gain=_gains(arrangement, [block for _, _, block in noise]),
        fwhm_px=seen[0],
        frames_fwhm_px=float(np.nanmedian(widths)) if np.isfinite(widths).any() else None,
        n_stars=seen[1],
        rotation_range_deg=_range_deg(rotations),
        width=canvas.shape[2],
        height=canvas.shape[1],
        n_channels=preview.shape[0],
    )


def _noise_of_planes(preview: Preview, scale: float) -> list[tuple[float, float, float]]:
    """Return level, noise per pixel and noise of 8x8 means times 8 of every channel, ADU."""
    side = min(preview.shape[1], preview.shape[2], _MEASURED_PX)
    values = preview.cropped(_middle(preview.shape, side)) * np.float32(scale)
    figures = []
    for plane in values:
        finite = plane[np.isfinite(plane)]
        level = float(np.median(finite[:: max(1, finite.size // 300_000)])) if finite.size else 0.0
        figures.append((level, quality.background_noise(plane, 1), 8.0 * quality.background_noise(plane, 8)))
    return figures


def _gains(arrangement: Arrangement, noise_8x8: list[float]) -> list[float]:
    """
    Return how much less noise than one frame the stack has, per channel, after averaging 8x8 pixels.

    One frame's mean over 8x8 pixels holds 64 samples of a mono sensor, 32 green or 16 red or blue ones of a CFA.
    """
    measurement = arrangement.reference.measurement
    assert measurement is not None
    share = {3: (0.25, 0.5, 0.25)}.get(len(measurement.noise_adu), (1.0,))
    is_cube = arrangement.reference.file.meta.n_planes == 3
    gains = []
    for c, block in enumerate(noise_8x8):
        k = c if len(noise_8x8) == len(measurement.noise_adu) else len(measurement.noise_adu) // 2
        one = float(measurement.noise_adu[k]) / np.sqrt(1.0 if is_cube else share[k])
        gains.append(one / (block * arrangement.sampling.cell) if block > 0 else 0.0)
    return gains


def _middle(shape: tuple[int, int, int], side: int) -> Box:
    x0, y0 = (shape[2] - min(side, shape[2])) // 2, (shape[1] - min(side, shape[1])) // 2
    return Box(x0, y0, x0 + min(side, shape[2]), y0 + min(side, shape[1]))


def _measure_stack(arrangement: Arrangement, preview: Preview, scale: float) -> tuple[float | None, int | None]:
    """Return FWHM in frame pixels and number of stars in the middle of the stack, from its green (or mono) plane."""
    box = _middle(preview.shape, _MEASURED_PX)
    plane: F32 = preview.cropped(box)[preview.shape[0] // 2] * np.float32(scale)
    plane = np.where(np.isfinite(plane), plane, np.nanmedian(plane) if np.isfinite(plane).any() else 0.0)
    measured = stars.measure(np.ascontiguousarray(plane, dtype=np.float32), None, saturation_adu=np.inf)
    width = measured.figures.fwhm_px * arrangement.sampling.cell
    return (float(width) if np.isfinite(width) else None), measured.figures.n_stars


def _range_deg(rotations: list[float]) -> float:
    """Return the range of angles on the circle, degrees."""
    if len(rotations) < 2:
        return 0.0
    angles = np.sort(np.mod(rotations, 360.0))
    gaps = np.diff(np.append(angles, angles[0] + 360.0))
    return float(360.0 - gaps.max())
