"""skyquilt stack: from a folder of frames to a deep, linear picture of each target."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.face import arguments_of, existing_folder, face
from skyquilt.apps.cli.faults import command_line, error_document
from skyquilt.apps.cli.options import GroupedCommand, chosen_settings, recipe_options
from skyquilt.errors import Interrupted, NoUsableInput, UsageError

if TYPE_CHECKING:
    from skyquilt.apps.settings import Layer, Settled
    from skyquilt.engine import RunResult

__all__ = [
    "date_of_products",
    "existing_file",
    "progress_option",
    "settled_for",
    "sky_cache",
    "stack",
    "tell_result",
    "tell_stopped",
]

progress_option = click.option(
    "--progress",
    type=click.Choice(["auto", "bar", "lines", "jsonl", "none"]),
    default="auto",
    help="How the work is shown on standard error: bars on a terminal, a line every 10 s elsewhere; jsonl: one JSON "
    "event a line.",
)


@click.command(cls=GroupedCommand, short_help="Stack the frames of a folder.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("processedData"),
    show_default=True,
    help="Folder for everything that is written; each stack gets a folder of its own in it.",
)
@click.option("--preset", metavar="NAME", help="A named set of settings (skyquilt config presets), or a .toml file.")
@click.option("--sigma", metavar="NUMBER", help="Both limits of the rejection: --sigma-low and --sigma-high.")
@click.option(
    "--full-res", is_flag=True, help="The same as --debayer cfa: each colour plane sampled at full resolution."
)
@click.option("--dry-run", is_flag=True, help="Show the plan (frames, memory, disk, time) and write nothing.")
@click.option(
    "--frame-list",
    type=click.Path(path_type=Path),
    help="Only the frames named in this file take part: text, a name a line, or CSV.",
)
@click.option("--save-transforms", is_flag=True, help="Write transforms.json.")
@click.option(
    "--load-transforms",
    type=click.Path(path_type=Path),
    help="Reuse the registration of an earlier run: its transforms.json.",
)
@click.option("--no-cache", is_flag=True, help="Keep and reuse no measurements.")
@click.option("--cache-refresh", is_flag=True, help="Throw kept measurements away first.")
@click.option("--strict", is_flag=True, help="Exit with 3 if there were warnings, spoilt frames or failed targets.")
@click.option("--gpu", "--use-gpu", "gpu", is_flag=True, help="Accepted; this version computes on the CPU and says so.")
@progress_option
@recipe_options
@face
def stack(console: Console, folder: Path, out: Path, **options: Any) -> int:
    """
    Stack the frames below FOLDER.

    FOLDER is a session as the telescope left it (Seestar, DWARF), a folder with lights, darks, flats, biases, or just
    frames. Every target found gets its own stack, with a report of what was done to every frame.
    """
    existing_folder(folder)
    from skyquilt import engine
    from skyquilt.apps.cli.progress import Progress
    from skyquilt.apps.cli.stop import StopRequest

    for name in ("frame_list", "load_transforms"):
        existing_file(options[name], "--" + name.replace("_", "-"))
    settled = settled_for(folder, options)
    if options["gpu"]:
        console.note("--gpu: this version has no GPU code; the CPU is used, the result is the same")
    arguments = arguments_of(click.get_current_context())
    with StopRequest(console, command_line(arguments)) as stop, Progress(console, options["progress"]) as progress:
        run = engine.RunOptions(
            dry_run=options["dry_run"],
            frame_list=options["frame_list"],
            load_transforms=options["load_transforms"],
            save_transforms=options["save_transforms"],
            use_cache=not options["no_cache"],
            refresh_cache=options["cache_refresh"],
            should_stop=stop,
            sky_cache=sky_cache() if settled.recipe.solve == "blind" else None,
            created=date_of_products(),
        )
        stopped = None
        try:
            result = engine.stack_session(folder, out, settled.recipe, listener=progress, options=run)
        except (Interrupted, KeyboardInterrupt) as error:
            stopped = error
    if stopped is not None:
        return tell_stopped(console, stop.exit_code, command_line(arguments))
    return tell_result(
        console, result, n_warnings=progress.n_warnings, **{key: options[key] for key in ("strict", "dry_run")}
    )


def settled_for(
    folder: Path,
    options: dict[str, Any],
    kind: str = "stack",
    *,
    taken_over: Layer | None = None,
    foreign: Layer | None = None,
) -> Settled:
    """
    Return the recipe for a session folder: settings files, preset, environment and the options given.

    Parameters
    ----------
    kind : "stack" or "mosaic"
    taken_over : Layer or None
        The settings file of another program.
    foreign : Layer or None
        Options in the words of another program.

    Raises
    ------
    UsageError
        If a setting cannot be meant, or an option of ours and a foreign one say the same thing.
    """
    from skyquilt.apps.settings import Layer, gather_layers, settle
    from skyquilt.engine import Recipe
    from skyquilt.engine.mosaic import MosaicRecipe

    values, origins = chosen_settings(options, kind)
    if foreign:
        for name in values.keys() & foreign.values.keys():
            raise UsageError(f"{origins[name]} and {foreign.origins[name]} both set {name}", "give one of the two")
        values, origins = {**values, **foreign.values}, {**origins, **foreign.origins}
    layers = gather_layers(
        folder=folder,
        preset=options.get("preset"),
        taken_over=taken_over,
        flags=Layer("flags", values, origins, is_shared=False),
    )
    return settle(layers, MosaicRecipe if kind == "mosaic" else Recipe)


def existing_file(path: Path | None, flag: str) -> None:
    """Raise `UsageError` if a file was named that is not there."""
    if path is not None and not path.is_file():
        raise UsageError(f"{flag}: there is no file {path}", "check the path; a missing list is never ignored")


def sky_cache() -> Path:
    """Return the folder in which the index of the whole sky is kept."""
    from platformdirs import user_cache_path

    return user_cache_path("skyquilt", appauthor=False)


def date_of_products() -> str | None:
    """The date that SOURCE_DATE_EPOCH gives; none otherwise, so that the same run writes the same bytes."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%S") if epoch.isdigit() else None


def tell_stopped(console: Console, code: int, command: str) -> int:
    """Say how a run that was stopped goes on, and return the exit code."""
    error = Interrupted("stopped; what was finished is kept", f"to go on, run the same command again: {command}")
    console.error(error.message, error.hint)
    console.document("skyquilt.cli.error", error_document(error, code))
    return code


def tell_result(console: Console, result: RunResult, *, strict: bool, dry_run: bool, n_warnings: int) -> int:
    """Print what came out and return the exit code."""
    from skyquilt.apps.cli.summary import plan_lines, result_document, stack_lines

    if dry_run:
        for plan in result.plans:
            console.heading(plan.name)
            for line in plan_lines(plan):
                console.result(f"  {line}")
    for stacked in result.stacks:
        if console.quiet:
            console.result(str(stacked.folder))
            continue
        console.heading(stacked.name)
        for line in stack_lines(stacked):
            console.result(f"  {line}")
    for failure in result.failures:
        console.error(f"{failure.name}: {failure.error.message}", failure.error.hint)
    code = _exit_code(result, strict=strict, dry_run=dry_run, n_warnings=n_warnings)
    console.document("skyquilt.cli.stack", {"exit_code": code, "dry_run": dry_run, **result_document(result)})
    return code


def _exit_code(result: RunResult, *, strict: bool, dry_run: bool, n_warnings: int) -> int:
    done = result.plans if dry_run else result.stacks
    if not done:
        if result.failures:
            return result.failures[0].error.exit_code
        raise NoUsableInput(
            "no group of light frames was found", "skyquilt frames FOLDER shows what was left out and why"
        )
    spoilt = any(
        frame.status == "left_out" and frame.stage != "select"
        for item in result.stacks
        for frame in item.manifest.frames
    )
    warned = n_warnings > 0 or any(item.manifest.warnings for item in result.stacks)
    return 3 if strict and (warned or spoilt or result.failures) else 0
