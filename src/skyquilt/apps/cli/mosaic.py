"""skyquilt mosaic: from the frames of many pointings to one picture of the sky."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.face import arguments_of, existing_folder, face
from skyquilt.apps.cli.faults import command_line, error_document
from skyquilt.apps.cli.options import GroupedCommand, mosaic_options
from skyquilt.apps.cli.stack import (
    date_of_products,
    existing_file,
    progress_option,
    settled_for,
    sky_cache,
    tell_stopped,
)
from skyquilt.apps.cli.zemosaic import TakenOver, take_over, zemosaic_options
from skyquilt.errors import Interrupted, NoUsableInput

if TYPE_CHECKING:
    from skyquilt.engine.mosaic import MosaicRunResult

__all__ = ["mosaic"]


@click.command(cls=GroupedCommand, short_help="Sew the frames of many pointings into one picture.")
@click.argument("folders", metavar="FOLDER...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("processedData"),
    show_default=True,
    help="Folder for everything that is written; each mosaic gets a folder of its own in it.",
)
@click.option("--preset", metavar="NAME", help="A named set of settings (skyquilt config presets), or a .toml file.")
@click.option("--sigma", metavar="NUMBER", help="Both limits of the rejection: --sigma-low and --sigma-high.")
@click.option("--dry-run", is_flag=True, help="Show the plan (map, frames, memory, disk, time) and write nothing.")
@click.option(
    "--frame-list",
    type=click.Path(path_type=Path),
    help="Only the frames named in this file take part: text, a name a line, or CSV.",
)
@click.option(
    "--scratch",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the canvas grows and measurements are kept, on a fast or large disk; default: in .skyquilt beside the "
    "products.",
)
@click.option(
    "--keep-canvas/--no-keep-canvas",
    default=None,
    help="Keep the canvas of the work after success, so that frames can be added later.  [default: on]",
)
@click.option("--no-cache", is_flag=True, help="Keep and reuse no measurements.")
@click.option("--cache-refresh", is_flag=True, help="Throw kept measurements and a kept canvas away first.")
@click.option("--strict", is_flag=True, help="Exit with 3 if there were warnings, spoilt frames or failed islands.")
@click.option("--gpu", "--use-gpu", "gpu", is_flag=True, help="Accepted; this version computes on the CPU and says so.")
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Measure the frames and make the tiles on the workers of this Dask scheduler, such as tcp://host:8786; "
    "FOLDERs and --out lie on a disk that all machines share (docs/guides/cluster.md).",
)
@progress_option
@zemosaic_options
@mosaic_options
@face
def mosaic(console: Console, folders: tuple[Path, ...], out: Path, **options: Any) -> int:
    """
    Sew every frame below each FOLDER into mosaics.

    Frames of any number of pointings, nights and telescopes, mixed in one folder or spread over many: each finds its
    place on the sky by its stars. Frames through different filters, and groups of frames that do not overlap, make
    mosaics of their own. Images that are stacked already take part by the coordinates in their headers.

    Settings of ZeMosaic are understood: --config and the options of its worker.
    """
    taken = take_over(options)
    folders = taken.folders(folders)
    for folder in folders:
        if folder == folders[-1] != folders[0] and not folder.exists():
            raise NoUsableInput(
                f"there is no folder {folder}",
                "every folder named holds frames; that of the products is given by --out",
            )
        existing_folder(folder)
    from skyquilt import engine
    from skyquilt.apps.cli.progress import Progress
    from skyquilt.apps.cli.stop import StopRequest
    from skyquilt.engine.mosaic import MosaicRecipe, make_mosaics

    existing_file(options["frame_list"], "--frame-list")
    recipe = settled_for(folders[0], options, "mosaic", taken_over=taken.layer, foreign=taken.foreign).recipe
    assert isinstance(recipe, MosaicRecipe)
    if options["gpu"]:
        console.note("--gpu: this version has no GPU code; the CPU is used, the result is the same")
    context = click.get_current_context()
    if context.get_parameter_source("out") is ParameterSource.DEFAULT and taken.config and taken.config.output:
        out = taken.config.output
    arguments = arguments_of(context)
    with StopRequest(console, command_line(arguments)) as stop, Progress(console, options["progress"]) as progress:
        taken.tell(console, progress)
        run = engine.RunOptions(
            dry_run=options["dry_run"],
            frame_list=options["frame_list"],
            use_cache=not options["no_cache"],
            refresh_cache=options["cache_refresh"] or bool(taken.config and taken.config.is_fresh),
            should_stop=stop,
            sky_cache=sky_cache() if recipe.solve == "blind" else None,
            scratch=taken.scratch,
            keep_canvas=taken.keep_canvas,
            created=date_of_products(),
            scheduler=options["scheduler"],
        )
        stopped = None
        try:
            result = make_mosaics(folders, out, recipe, listener=progress, options=run)
        except (Interrupted, KeyboardInterrupt) as error:
            stopped = error
    if stopped is not None:
        return tell_stopped(console, stop.exit_code, command_line(arguments))
    return _tell(
        console,
        result,
        taken,
        n_warnings=progress.n_warnings,
        **{key: options[key] for key in ("strict", "dry_run")},
    )


def _tell(
    console: Console, result: MosaicRunResult, taken: TakenOver, *, strict: bool, dry_run: bool, n_warnings: int
) -> int:
    """Print what came out and return the exit code."""
    from skyquilt.apps.cli.mosaic_summary import map_lines, mosaic_document, mosaic_lines

    if dry_run:
        for plan in result.plans:
            console.heading(plan.name)
            for line in [*plan.lines, *map_lines(plan)]:
                console.result(f"  {line}")
    for made in result.mosaics:
        if console.quiet:
            console.result(str(made.folder))
            continue
        console.heading(made.name)
        for line in mosaic_lines(made):
            console.result(f"  {line}")
    for failure in result.failures:
        console.error(f"{failure.name}: {failure.error.message}", failure.error.hint)
    code = _exit_code(result, strict=strict, dry_run=dry_run, n_warnings=n_warnings)
    failures = [{"name": failure.name, **error_document(failure.error)} for failure in result.failures]
    document = {
        "exit_code": code,
        "dry_run": dry_run,
        **mosaic_document(result),
        "failures": failures,
        "zemosaic": taken.document(),
    }
    console.document("skyquilt.cli.mosaic", document)
    return code


def _exit_code(result: MosaicRunResult, *, strict: bool, dry_run: bool, n_warnings: int) -> int:
    if not (result.plans if dry_run else result.mosaics):
        if result.failures:
            return result.failures[0].error.exit_code
        raise NoUsableInput("no mosaic could be made", "skyquilt frames FOLDER shows what was left out and why")
    spoilt = any(
        frame.status == "left_out" and frame.stage != "select"
        for item in result.mosaics
        for frame in item.manifest.frames
    )
    warned = n_warnings > 0 or any(item.manifest.warnings for item in result.mosaics)
    return 3 if strict and (warned or spoilt or result.failures) else 0
