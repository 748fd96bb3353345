"""From the integrated canvas to the folder that the user opens: products, statistics, manifest, report."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np

from skyquilt import __version__
from skyquilt.core import Box, Cfa, Event
from skyquilt.engine.budget import release_memory
from skyquilt.engine.cache import file_sha256
from skyquilt.engine.canvas import Canvas
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.headers import Card, history_lines, master_cards
from skyquilt.engine.light import Light, record_of, record_of_stray
from skyquilt.engine.manifest import FrameRecord, Manifest, OutputRecord, SkyRecord, Statistics
from skyquilt.engine.photometry import Photometry
from skyquilt.engine.placing import canvas_grid, sky_record
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
from skyquilt.engine.statistics import describe_stack, measure_stack, rejected_shares
from skyquilt.io.atomic import write_atomically
from skyquilt.io.fits import data_hash
from skyquilt.steps.finish import coverage_box
from skyquilt.steps.integrate import FEW_SAMPLES

__all__ = ["publish"]


def publish(run: GroupRun, arrangement: Arrangement, canvas: Canvas) -> StackResult:
    """Write every product of a finished canvas and return where they lie."""
    sampling, recipe = arrangement.sampling, run.recipe
    stacked = run.folder / "stacked"
    make_folder(stacked)
    mosaic = None
    if sampling.keeps_mosaic and sampling.cfa:
        # a canvas that begins at odd pixels of the reference has another pattern than the frames
        mosaic = sampling.cfa.shifted(canvas.box.x0, canvas.box.y0)
    preview = Preview.of_array(canvas.values()) if arrangement.plan.holds_values else Preview.of_canvas(canvas)
    placement = run.placer.placement(arrangement.reference)
    grid = canvas_grid(placement, sampling, canvas.box)
    sky_cards: list[Card] = [] if grid is None else list(grid.cards())
    cards = [*_cards(run, arrangement, mosaic), *sky_cards]
    outputs: dict[str, Path] = {}
    if mosaic and sampling.debayer_after:
        outputs["master_bayer"] = stacked / "master_bayer.fits"
        write_linear(outputs["master_bayer"], preview, cards)
        preview = Preview.of_array(canvas.debayered(mosaic, sampling.debayer_after))
        cards = [*_cards(run, arrangement, None), *sky_cards]
    history = _history(run, arrangement)
    found: list[Statistics] = []
    magnitudes: list[Photometry] = []
    thumbnails: list[bytes] = []

    def linear() -> None:
        outputs["master_linear"] = stacked / "master_linear.fits"
        write_linear(outputs["master_linear"], preview, [*cards, *history])

    def maps() -> None:
        if recipe.maps:
            outputs["master_maps"] = stacked / "master_maps.fits"
            write_maps(outputs["master_maps"], canvas, [card for card in cards if card[0] != "BUNIT"])

    def pictures() -> None:
        if recipe.quicklook:
            png, tiff, thumbnail = write_pictures(stacked, preview, _picture_box(canvas, recipe.crop))
            outputs.update(master_quicklook=png, master_quicklook_tif=tiff)
            thumbnails.append(thumbnail)

    def masters() -> None:
        if recipe.save_masters and run.calibrator.masters:
            make_folder(run.folder / "masters")
            outputs.update(write_masters(run.folder / "masters", run.calibrator.masters, _origin(run)))

    def statistics() -> None:
        found.append(describe_stack(run, arrangement, canvas, preview))

    def photometry() -> None:
        if grid is not None:
            magnitudes.append(measure_stack(run, arrangement, grid, preview))

    tasks = (photometry, pictures, statistics, maps, masters, linear)
    run.listener(Event("phase", "products", total=len(tasks)))
    n_writers = arrangement.plan.n_writers
    for done, _ in enumerate(run_in_order(lambda task: task(), tasks, n_threads=n_writers), start=1):
        release_memory()
        run.listener(Event("progress", "products", done=done, total=len(tasks)))
    if run.options.save_transforms:
        outputs["transforms"] = run.folder / "transforms.json"
        write_transforms(outputs["transforms"], run.lights, arrangement.reference)
    sky = sky_record(placement, grid)
    manifest = _manifest(run, arrangement, found[0], sky, magnitudes, dict(sorted(outputs.items())))
    outputs["manifest"] = run.folder / "run_manifest.json"
    write_atomically(outputs["manifest"], (manifest.model_dump_json(indent=1) + "\n").encode())
    outputs |= write_reports(run.folder, manifest, thumbnails[0] if thumbnails else None)
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


def _cards(run: GroupRun, arrangement: Arrangement, mosaic: Cfa | None) -> list[Card]:
    return master_cards(
        run.kept,
        arrangement.sampling,
        unit=run.recipe.unit,
        full_scale_adu=run.full_scale_adu,
        mosaic=mosaic,
        created=run.options.created,
    )


def _history(run: GroupRun, arrangement: Arrangement) -> list[Card]:
    low, high = rejected_shares(run)
    return history_lines(
        [
            f"skyquilt: {len(run.kept)} of {len(run.lights) + len(run.strays)} frames, weights {run.recipe.weights}",
            f"resampled once: {arrangement.sampling.method}, {arrangement.sampling.kernel}",
            f"rejection {_rule(run, len(run.kept))} {run.recipe.sigma_low:g} {run.recipe.sigma_high:g}: "
            f"{low:.3%} low, {high:.3%} high",
            f"recipe sha256 {run.recipe.digest()[:16]}, manifest run_manifest.json",
        ]
    )


def _rule(run: GroupRun, n_frames: int) -> str:
    """Return the rule that the recipe's word stands for with so many frames."""
    if run.recipe.rejection != "auto":
        return run.recipe.rejection
    return "noise_model" if n_frames < FEW_SAMPLES else "sigma"


def _frames(run: GroupRun) -> list[FrameRecord]:
    """All lights in frame order, then the strays: every file with its reason."""
    return [*map(record_of, run.lights), *map(record_of_stray, run.strays)]


def _manifest(
    run: GroupRun,
    arrangement: Arrangement,
    statistics: Statistics,
    sky: SkyRecord,
    magnitudes: list[Photometry],
    outputs: dict[str, Path],
) -> Manifest:
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
        star_colour=sampling.star_colour if sampling.is_balanced else None,
        schedule=arrangement.plan.schedule,
        unit=run.recipe.unit,
        full_scale_adu=run.full_scale_adu,
        saturation_adu=run.saturation_adu,
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
        sky=sky,
        photometry=magnitudes[0] if magnitudes else None,
        warnings=[*run.calibrator.warnings, *_warnings(run.kept)],
        notes=list(run.session.notes),
        outputs=list(run_in_order(lambda item: _output(*item, run.folder), outputs.items(), n_threads=run.n_threads)),
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
