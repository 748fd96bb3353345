"""From the assembled canvas to the folder that the user opens: products, figures, manifest, report."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from skyquilt import __version__
from skyquilt.core import Event
from skyquilt.engine.budget import release_memory
from skyquilt.engine.cache import file_sha256
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.headers import Card, history_lines, master_cards
from skyquilt.engine.light import Light, record_of, record_of_stray
from skyquilt.engine.manifest import FrameRecord, Manifest, OutputRecord, SkyRecord
from skyquilt.engine.mosaic.figures import measure_mosaic, mosaic_record
from skyquilt.engine.mosaic.island import IslandRun
from skyquilt.engine.mosaic.planning import products_at_once
from skyquilt.engine.mosaic.stored import StoredCanvas
from skyquilt.engine.products import Preview, make_folder, write_linear, write_pictures
from skyquilt.engine.report import write_reports
from skyquilt.engine.solving import SkySolver
from skyquilt.io.atomic import write_atomically
from skyquilt.io.fits import ExtensionLayout, ImageWriter, data_hash
from skyquilt.io.hips import HipsLabels, export_hips
from skyquilt.steps.integrate import FEW_SAMPLES

__all__ = ["publish_mosaic"]

_SAMPLED_PIXELS = 400_000


def publish_mosaic(island: IslandRun, canvas: StoredCanvas, solver: SkySolver) -> tuple[Manifest, dict[str, Path]]:
    """Write every product of an assembled mosaic; return the manifest and where the products lie."""
    run, recipe = island.run, island.run.recipe
    folder = island.folder / "mosaic"
    make_folder(folder)
    preview = Preview(canvas.shape, canvas.value_rows)
    cards = [*_cards(island), *island.grid.cards()]
    outputs: dict[str, Path] = {}
    thumbnails: list[bytes] = []
    found: dict[str, Any] = {}

    def linear() -> None:
        outputs["mosaic_linear"] = folder / "mosaic_linear.fits"
        write_linear(
            outputs["mosaic_linear"],
            preview,
            [*cards, *_history(island)],
            is_16_bit=recipe.bits == "uint16",
            axes=recipe.axes,
        )

    def maps() -> None:
        if recipe.maps:
            outputs["mosaic_maps"] = folder / "mosaic_maps.fits"
            _write_maps(outputs["mosaic_maps"], canvas, [card for card in cards if card[0] != "BUNIT"])

    def pictures() -> None:
        if recipe.quicklook:
            png, tiff, thumbnail = write_pictures(folder, preview, canvas.picture_box(recipe.crop), stem="mosaic")
            outputs.update(mosaic_quicklook=png, mosaic_quicklook_tif=tiff)
            thumbnails.append(thumbnail)

    def hips() -> None:
        if recipe.hips:
            outputs["hips"] = _write_hips(island, canvas, preview) / "properties"

    def figures() -> None:
        found["statistics"], found["photometry"] = measure_mosaic(island, canvas, solver)

    # the longest first
    tasks: tuple[Callable[[], None], ...] = (hips, figures, pictures, maps, linear)
    run.listener(Event("phase", "products", total=len(tasks)))
    n_threads = products_at_once(canvas.shape[0], canvas.box.n_pixels, run.budget, run.n_threads)
    for done, _ in enumerate(run_in_order(lambda task: task(), tasks, n_threads=n_threads), start=1):
        release_memory()
        run.listener(Event("progress", "products", done=done, total=len(tasks)))
    manifest = Manifest(
        program=f"skyquilt {__version__}",
        session=", ".join(dict.fromkeys(session.root.name for session, _ in run.fields.groups)),
        group=island.name,
        device=", ".join(dict.fromkeys(session.device for session, _ in run.fields.groups)),
        target=island.island.target,
        filter=run.fields.filter,
        recipe=recipe.model_dump(mode="json"),
        recipe_sha256=recipe.digest(),
        rejection_rule=_rule(island),
        debayer_method=island.job.method,
        kernel=island.job.kernel,
        star_colour=island.job.star_colour if island.job.method == "malvar" else None,
        schedule=island.job.schedule,
        unit=recipe.unit,
        full_scale_adu=island.full_scale_adu,
        canvas=(0, 0, island.grid.width, island.grid.height),
        reference=None,
        calibration=[master.record for part in run.parts for master in part.calibrator.masters],
        calibration_table=[row for part in _parts(island) for row in part.calibrator.table],
        n_defects=max(part.calibrator.n_defects for part in run.parts),
        frames=_frames(island),
        other_files=[
            {"file": other.path.name, "code": other.code, "reason": other.reason}
            for session in {id(session): session for session, _ in run.fields.groups}.values()
            for other in session.left_out
        ],
        statistics=found["statistics"],
        sky=_sky(island),
        photometry=found["photometry"],
        mosaic=mosaic_record(island, canvas),
        warnings=[
            *dict.fromkeys(text for part in run.parts for text in part.calibrator.warnings),
            *(f"{light.file.name}: {note}" for light in island.island.lights for note in light.notes),
        ],
        notes=list(dict.fromkeys(note for session, _ in run.fields.groups for note in session.notes)),
        outputs=list(
            run_in_order(
                lambda output: _output(*output, island.folder), sorted(outputs.items()), n_threads=run.n_threads
            )
        ),
        environment={
            "python": platform.python_version(),
            "numpy": np.__version__,
            "system": platform.system(),
            "machine": platform.machine(),
            "threads": run.n_threads,
            "memory_budget_bytes": run.budget,
        },
    )
    outputs["manifest"] = island.folder / "run_manifest.json"
    write_atomically(outputs["manifest"], (manifest.model_dump_json(indent=1) + "\n").encode())
    outputs |= write_reports(island.folder, manifest, thumbnails[0] if thumbnails else None)
    return manifest, outputs


def _parts(island: IslandRun) -> list[Any]:
    """Return the parts, one for each calibrator."""
    return list({id(part.calibrator): part for part in island.run.parts}.values())


def _cards(island: IslandRun) -> list[Card]:
    job = island.job
    return master_cards(
        island.kept,
        job.sampling(job.frames[0]),
        unit=job.recipe.unit,
        full_scale_adu=island.full_scale_adu,
        mosaic=None,
        created=island.run.options.created,
        row_order="TOP-DOWN",
    )


def _history(island: IslandRun) -> list[Card]:
    recipe = island.run.recipe
    landed, low, high = (sum(light.samples[k] for light in island.kept) for k in range(3))
    share = f"{low / landed:.3%} low, {high / landed:.3%} high" if landed else "nothing"
    return history_lines(
        [
            f"skyquilt: mosaic of {len(island.kept)} of {len(island.run.lights)} frames, weights {recipe.weights}",
            f"resampled once: {island.job.method}, {island.job.kernel}, {island.grid.wcs.projection}",
            f"rejection {_rule(island)} {recipe.sigma_low:g} {recipe.sigma_high:g}: {share}",
            f"recipe sha256 {recipe.digest()[:16]}, manifest run_manifest.json",
        ]
    )


def _rule(island: IslandRun) -> str:
    """Return the rule that the recipe's word stands for where the mosaic is deepest."""
    rule = island.run.recipe.rejection
    if rule != "auto":
        return rule
    return "noise_model" if len(island.kept) < FEW_SAMPLES else "sigma"


def _write_maps(path: Path, canvas: StoredCanvas, cards: list[Card]) -> None:
    """Write coverage (seconds), variance (square of the unit) and rejection counts as extensions of one file."""
    shape = canvas.shape if canvas.shape[0] > 1 else canvas.shape[1:]
    unit: list[Card] = [("BUNIT", "s", "exposure that landed on each pixel")]
    layout: list[ExtensionLayout] = [
        ("VARIANCE", shape, np.float32, []),
        ("REJ_LOW", shape, np.uint16, []),
        ("REJ_HIGH", shape, np.uint16, []),
    ]
    with ImageWriter(path, canvas.shape[1:], np.float32, [*unit, *cards], layout) as writer:
        for y0, rows in canvas.coverage_rows():
            writer.write_rows(y0, rows)
        for y0, variance in canvas.variance_rows():
            writer.write_rows(y0, variance, extension="VARIANCE")
        for y0, low in canvas.rejected_low_rows():
            writer.write_rows(y0, low, extension="REJ_LOW")
        for y0, high in canvas.rejected_high_rows():
            writer.write_rows(y0, high, extension="REJ_HIGH")


def _write_hips(island: IslandRun, canvas: StoredCanvas, preview: Preview) -> Path:
    """Write the mosaic as a HiPS beside its other products; return its folder."""
    from skyquilt.steps.finish import auto_stretch

    folder = island.folder / "hips"
    dates = sorted(light.file.meta.date_obs for light in island.kept if light.file.meta.date_obs)
    # no clock: the same run writes the same bytes
    created = island.run.options.created or (dates[-1] if dates else "2000-01-01T00:00:00")
    labels = HipsLabels(
        identifier=f"ivo://skyquilt.user/P/{quote(island.name, safe='')}",
        title=island.island.target or island.name,
        created=created[:16] + "Z",
        others={"hips_creator": f"skyquilt {__version__}", "prov_progenitor": f"{len(island.kept)} raw frames"},
    )
    stretch = auto_stretch(preview.sampled(_SAMPLED_PIXELS))
    unit = "adu" if island.run.recipe.unit == "adu" else f"adu/{island.full_scale_adu:g}"
    export_hips(folder, canvas, island.grid, labels, stretch=stretch, unit=unit)
    return folder


def _frames(island: IslandRun) -> list[FrameRecord]:
    """The frames of the island and all that were left out, in frame order, then the strays."""
    own = {id(light) for light in island.island.lights}
    lights = [light for light in island.run.lights if id(light) in own or not light.is_in]
    return [
        *(_record(light, island) for light in lights),
        *map(record_of_stray, island.run.fields.strays),
    ]


def _record(light: Light, island: IslandRun) -> FrameRecord:
    record = record_of(light)
    wcs = island.fitted.wcs.get(id(light))
    if wcs is not None:
        ra, dec = wcs.to_sky((light.file.meta.width - 1) / 2, (light.file.meta.height - 1) / 2)
        record.ra_deg, record.dec_deg, record.rotation_deg = float(ra), float(dec), wcs.rotation_deg
        record.panel = island.panel_of.get(id(light))
        solution = island.fitted.frames.get(id(light))
        if solution is not None:
            record.n_matched = solution.n_ties + solution.n_catalogue
            record.residual_px = float(solution.rms_px) if np.isfinite(solution.rms_px) else None
        size = {"NAXIS1": light.file.meta.width, "NAXIS2": light.file.meta.height}
        record.wcs = {**size, **{str(card[0]): card[1] for card in wcs.cards()}}
    return record


def _sky(island: IslandRun) -> SkyRecord:
    ra_deg, dec_deg = island.grid.centre_deg
    return SkyRecord(
        solved=True,
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        scale_arcsec=island.grid.wcs.scale_arcsec,
        rotation_deg=island.grid.wcs.rotation_deg,
        parity=island.grid.wcs.parity,
        n_matched=sum(solution.n_catalogue for solution in island.fitted.frames.values()),
        rms_px=island.fitted.rms_px,
        model=island.fitted.model,
        found_by="joint" if island.run.recipe.joint else "frames",
    )


def _output(name: str, path: Path, folder: Path) -> OutputRecord:
    return OutputRecord(
        name=name,
        file=path.relative_to(folder).as_posix(),
        size_bytes=path.stat().st_size,
        sha256=file_sha256(path),
        data_sha256=data_hash(path) if path.suffix == ".fits" else None,
    )
