"""From the integrated canvas to the folder that the user opens: products, statistics, manifest, report."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np

from skyquilt import __version__
from skyquilt.core import F32, Box, Event
from skyquilt.engine.cache import file_sha256
from skyquilt.engine.canvas import Canvas
from skyquilt.engine.headers import Card, history_lines, master_cards
from skyquilt.engine.light import Light, record_of, record_of_stray
from skyquilt.engine.manifest import FrameRecord, Manifest, OutputRecord, Statistics
from skyquilt.engine.products import (
    Preview,
    make_folder,
    write_linear,
    write_maps,
    write_masters,
    write_pictures,
    write_transforms,
)
from skyquilt.engine.report import write_reports
from skyquilt.engine.result import StackResult
from skyquilt.engine.run import Arrangement, GroupRun
from skyquilt.io.atomic import write_atomically
from skyquilt.io.fits import data_hash
from skyquilt.steps import quality, stars
from skyquilt.steps.finish import coverage_box
from skyquilt.steps.integrate import FEW_SAMPLES

__all__ = ["publish"]

_MEASURED_PX = 2048


def publish(run: GroupRun, arrangement: Arrangement, canvas: Canvas) -> StackResult:
    """Write every product of a finished canvas and return where they lie."""
    run.listener(Event("phase", "products", total=4))
    sampling, recipe = arrangement.sampling, run.recipe
    stacked = run.folder / "stacked"
    make_folder(stacked)
    outputs: dict[str, Path] = {}
    preview = Preview.of_canvas(canvas)
    cards = _cards(run, arrangement, is_mosaic=sampling.keeps_mosaic)
    if sampling.keeps_mosaic and sampling.debayer_after and sampling.cfa:
        outputs["master_bayer"] = stacked / "master_bayer.fits"
        write_linear(outputs["master_bayer"], preview, cards)
        preview = Preview.of_array(canvas.debayered(sampling.cfa, sampling.debayer_after))
        cards = _cards(run, arrangement, is_mosaic=False)
    statistics = _statistics(run, arrangement, canvas, preview)
    outputs["master_linear"] = stacked / "master_linear.fits"
    write_linear(outputs["master_linear"], preview, [*cards, *_history(run, arrangement, statistics)])
    run.listener(Event("progress", "products", done=1, total=4))
    if recipe.maps:
        outputs["master_maps"] = stacked / "master_maps.fits"
        write_maps(outputs["master_maps"], canvas, cards)
    if recipe.save_masters and run.calibrator.masters:
        make_folder(run.folder / "masters")
        outputs |= write_masters(run.folder / "masters", run.calibrator.masters, _origin(run))
    run.listener(Event("progress", "products", done=2, total=4))
    thumbnail = None
    if recipe.quicklook:
        png, tiff, thumbnail = write_pictures(stacked, preview, _picture_box(canvas, recipe.crop))
        outputs |= {"master_quicklook": png, "master_quicklook_tif": tiff}
    if run.options.save_transforms:
        outputs["transforms"] = run.folder / "transforms.json"
        write_transforms(outputs["transforms"], run.lights, arrangement.reference)
    run.listener(Event("progress", "products", done=3, total=4))
    manifest = _manifest(run, arrangement, statistics, outputs)
    outputs["manifest"] = run.folder / "run_manifest.json"
    write_atomically(outputs["manifest"], (manifest.model_dump_json(indent=1) + "\n").encode())
    outputs |= write_reports(run.folder, manifest, thumbnail)
    run.listener(Event("progress", "products", done=4, total=4))
    return StackResult(run.group.name, run.folder, manifest, outputs)


def _picture_box(canvas: Canvas, crop: float | None) -> Box:
    """Return the part of the canvas that the pictures show, counted from its first pixel."""
    whole = Box.of_shape(*canvas.box.shape)
    if crop is None:
        return whole
    coverage = np.concatenate([band.coverage for band in canvas.bands()])
    cut = coverage_box(coverage, crop)
    return whole if cut.is_empty else cut


def _origin(run: GroupRun) -> list[Card]:
    cards: list[Card] = [("PROGRAM", f"skyquilt {__version__}", "made by")]
    if run.options.created:
        cards.append(("DATE", run.options.created, "when this file was made (UTC)"))
    return cards


def _cards(run: GroupRun, arrangement: Arrangement, *, is_mosaic: bool) -> list[Card]:
    return master_cards(
        run.kept,
        arrangement.sampling,
        unit=run.recipe.unit,
        full_scale_adu=run.full_scale_adu,
        is_mosaic=is_mosaic,
        created=run.options.created,
    )


def _history(run: GroupRun, arrangement: Arrangement, statistics: Statistics) -> list[Card]:
    rule = _rule(run, statistics.n_stacked)
    return history_lines(
        [
            f"skyquilt: {statistics.n_stacked} of {statistics.n_found} frames, weights {run.recipe.weights}",
            f"resampled once: {arrangement.sampling.method}, {arrangement.sampling.kernel}",
            f"rejection {rule} {run.recipe.sigma_low:g} {run.recipe.sigma_high:g}: "
            f"{statistics.rejected_low:.3%} low, {statistics.rejected_high:.3%} high",
            f"recipe sha256 {run.recipe.digest()[:16]}, manifest run_manifest.json",
        ]
    )


def _rule(run: GroupRun, n_frames: int) -> str:
    """Return the rule that the recipe's word stands for with so many frames."""
    if run.recipe.rejection != "auto":
        return run.recipe.rejection
    return "noise_model" if n_frames < FEW_SAMPLES else "sigma"


def _statistics(run: GroupRun, arrangement: Arrangement, canvas: Canvas, preview: Preview) -> Statistics:
    kept = run.kept
    scale = 1.0 if run.recipe.unit == "adu" else run.full_scale_adu
    noise = _noise_of_planes(preview, scale)
    landed, low, high = (sum(light.samples[k] for light in kept) for k in range(3))
    seen = _measure_stack(arrangement, preview, scale)
    rotations = [light.registration.transform.rotation_deg for light in kept if light.registration]
    widths = [light.measurement.figures.fwhm_px for light in kept if light.measurement]
    exposures = [light.file.meta.exposure_s or 0.0 for light in kept]
    weights = np.array([light.weight or 0.0 for light in kept])
    share = (1.0 - (low + high) / landed) if landed else 0.0
    n_effective = float(weights.sum() ** 2 / np.square(weights).sum()) if weights.any() else 0.0
    return Statistics(
        n_found=len(run.lights) + len(run.strays),
        n_stacked=len(kept),
        n_left_out=len(run.lights) + len(run.strays) - len(kept),
        exposure_s=float(sum(exposures)),
        effective_exposure_s=float(np.mean(exposures)) * n_effective * share,
        rejected_low=low / landed if landed else 0.0,
        rejected_high=high / landed if landed else 0.0,
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


def _frames(run: GroupRun) -> list[FrameRecord]:
    """All lights in frame order, then the strays: every file with its reason."""
    return [*map(record_of, run.lights), *map(record_of_stray, run.strays)]


def _manifest(run: GroupRun, arrangement: Arrangement, statistics: Statistics, outputs: dict[str, Path]) -> Manifest:
    sampling, canvas = arrangement.sampling, arrangement.canvas
    return Manifest(
        program=f"skyquilt {__version__}",
        session=run.session.root.name,
        group=run.group.name,
        device=run.session.device,
        target=run.group.target,
        filter=run.group.filter,
        recipe=run.recipe.model_dump(mode="json"),
        recipe_sha256=run.recipe.digest(),
        rejection_rule=_rule(run, statistics.n_stacked),
        debayer_method=sampling.method,
        kernel=sampling.kernel,
        schedule=arrangement.plan.schedule,
        unit=run.recipe.unit,
        canvas=(canvas.x0, canvas.y0, canvas.x1, canvas.y1),
        reference=arrangement.reference.file.name,
        calibration=[master.record for master in run.calibrator.masters],
        calibration_table=run.calibrator.table,
        n_defects=run.calibrator.n_defects,
        frames=_frames(run),
        other_files=[
            {"file": other.path.name, "code": other.code, "reason": other.reason} for other in run.session.left_out
        ],
        statistics=statistics,
        warnings=[*run.calibrator.warnings, *_warnings(run.kept)],
        notes=list(run.session.notes),
        outputs=[_output(name, path, run.folder) for name, path in outputs.items()],
        environment=_environment(run),
    )


def _warnings(lights: list[Light]) -> list[str]:
    return [f"{light.file.name}: {note}" for light in lights for note in light.notes]


def _output(name: str, path: Path, folder: Path) -> OutputRecord:
    return OutputRecord(
        name=name,
        file=path.relative_to(folder).as_posix(),
        size_bytes=path.stat().st_size,
        sha256=file_sha256(path),
        data_sha256=data_hash(path) if path.suffix == ".fits" else None,
    )


def _environment(run: GroupRun) -> dict[str, Any]:
    """What may differ between machines; no part of what `reproduce` compares."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": platform.system(),
        "machine": platform.machine(),
        "threads": run.n_threads,
        "memory_budget_bytes": run.budget,
    }
