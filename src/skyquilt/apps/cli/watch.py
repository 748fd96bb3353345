"""skyquilt watch: a folder is stacked while the telescope fills it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.face import arguments_of, existing_folder, face
from skyquilt.apps.cli.faults import command_line
from skyquilt.apps.cli.options import GroupedCommand, recipe_options
from skyquilt.apps.cli.stack import (
    date_of_products,
    progress_option,
    settled_for,
    sky_cache,
    tell_result,
    tell_stopped,
)
from skyquilt.errors import Interrupted

if TYPE_CHECKING:
    from skyquilt.core import Event

__all__ = ["watch"]


@click.command(cls=GroupedCommand, short_help="Stack a folder while it grows.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("processedData"),
    show_default=True,
    help="Folder for everything that is written; each target gets a folder of its own in it.",
)
@click.option("--until", type=click.IntRange(min=2), metavar="N", help="End when N frames are in the picture.")
@click.option(
    "--idle",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="End when nothing has come for so long; without, only Ctrl-C or --until ends.",
)
@click.option("--preset", metavar="NAME", help="A named set of settings (skyquilt config presets), or a .toml file.")
@click.option("--sigma", metavar="NUMBER", help="Both limits of the rejection: --sigma-low and --sigma-high.")
@click.option(
    "--full-res", is_flag=True, help="The same as --debayer cfa: each colour plane sampled at full resolution."
)
@click.option("--strict", is_flag=True, help="Exit with 3 if there were warnings, spoilt frames or failed targets.")
@progress_option
@recipe_options
@face
def watch(console: Console, folder: Path, out: Path, **options: Any) -> int:
    """
    Stack the frames that come into FOLDER, from the first two on, and show the picture as it grows.

    A frame enters when its file is complete. The picture so far is live.png in the folder of the target. Ctrl-C ends:
    then all products of a stack are written, the same bits as skyquilt stack FOLDER --schedule live makes. A frame
    whose name is written into live_excluded.txt in the output folder leaves the picture, and comes back when it is
    taken out of that file. Killed and started again, it goes on.
    """
    existing_folder(folder)
    from skyquilt.apps.cli.progress import Progress
    from skyquilt.apps.cli.stop import StopRequest
    from skyquilt.engine import RunOptions
    from skyquilt.engine.live import WatchOptions, watch_folder

    settled = settled_for(folder, options)
    arguments = arguments_of(click.get_current_context())
    stopping = StopRequest(console, command_line(arguments), "ending; the products are written")
    with stopping as stop, Progress(console, options["progress"]) as progress:

        def hear(event: Event) -> None:
            if options["progress"] == "jsonl" or not _tell(console, event):
                progress(event)

        run = RunOptions(
            should_stop=lambda: stop() and not stop.is_interrupt,
            sky_cache=sky_cache() if settled.recipe.solve == "blind" else None,
            created=date_of_products(),
        )
        wanted = WatchOptions(
            until=options["until"], idle_s=options["idle"], should_finish=lambda: stop.is_interrupt, run=run
        )
        stopped = None
        try:
            result = watch_folder(folder, out, settled.recipe, listener=hear, options=wanted)
        except (Interrupted, KeyboardInterrupt) as error:
            stopped = error
    if stopped is not None:
        return tell_stopped(console, stop.exit_code, command_line(arguments))
    return tell_result(console, result, strict=options["strict"], dry_run=False, n_warnings=progress.n_warnings)


def _tell(console: Console, event: Event) -> bool:
    """Say a line about a picture or a frame that is left out; return False for other events."""
    if event.kind == "left_out":
        console.note(f"left out: {event.message}")
    elif event.phase == "live" and event.kind == "progress":
        console.note(_line(event.message, event.data))
    elif event.phase == "live":
        console.note(f"watching {event.message}; Ctrl-C ends and writes the products")
    else:
        return False
    return True


def _line(text: str, data: dict[str, Any]) -> str:
    """Return the figures of a picture in one line."""
    if data.get("noise_adu") is None:
        return text
    left_out = f", {data['n_left_out']} left out" if data["n_left_out"] else ""
    return (
        f"{text}{left_out}, {data['exposure_s']:.0f} s: noise {data['noise_adu']:.4g} ADU "
        f"({data['expected_adu']:.4g} from the frames alone), {data['delay_s']:.1f} s after the last one came"
    )
