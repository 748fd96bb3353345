"""skyquilt demo: a small synthetic session, stacked, to see what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.face import face
from skyquilt.apps.cli.stack import progress_option
from skyquilt.errors import OutputBlocked

__all__ = ["demo"]

_RAW, _PROCESSED = "rawData", "processedData"
_OWN = {_RAW, _PROCESSED}


@click.command(short_help="Make a synthetic session and stack it.")
@click.argument("folder", type=click.Path(path_type=Path), default=Path("demo"))
@click.option(
    "--frames", "n_frames", type=click.IntRange(3, 500), default=12, show_default=True, help="Frames to make."
)
@progress_option
@face
def demo(console: Console, folder: Path, n_frames: int, progress: str) -> int:
    """
    Make a synthetic Seestar session in FOLDER (default: demo), stack it, and say where the pictures are.

    The sky is drawn from a star catalogue and random numbers with a fixed seed; no download, no real frames.
    """
    from skyquilt import engine
    from skyquilt.apps.cli.progress import Progress
    from skyquilt.apps.cli.stop import StopRequest
    from skyquilt.apps.cli.summary import result_document, stack_lines
    from skyquilt.engine.recipe import Recipe

    if folder.is_dir() and {path.name for path in folder.iterdir()} - _OWN:
        raise OutputBlocked(f"{folder} holds other files already", "give a new folder: skyquilt demo FOLDER")
    with Progress(console, progress) as listener, StopRequest(console, f"skyquilt demo {folder}") as stop:
        _make_frames(folder / _RAW, n_frames, listener)
        options = engine.RunOptions(should_stop=stop)
        out = folder / _PROCESSED
        result = engine.stack_session(folder / _RAW, out, Recipe(), listener=listener, options=options)
    for stacked in result.stacks:
        console.heading(stacked.name)
        for line in stack_lines(stacked):
            console.result(f"  {line}")
    for failure in result.failures:
        console.error(f"{failure.name}: {failure.error.message}", failure.error.hint)
    console.document("skyquilt.cli.demo", {"folder": str(folder), **result_document(result)})
    return 0 if result.stacks else 1


def _make_frames(folder: Path, n_frames: int, listener: Any) -> None:
    """Write the raw frames; the same bytes every time."""
    from skyquilt.core.event import Event
    from skyquilt.testing.sky import Scenario, make_session

    scenario = Scenario(
        device="seestar",
        target="M 31",
        n_frames=n_frames,
        width=540,
        height=960,
        n_trails=1,
        rotation_deg=(0.0, 4.0),
        device_stack=True,
    )
    listener(Event("phase", "demo", "Drawing the sky", total=n_frames))
    make_session(folder, scenario, told=lambda done, total: listener(Event("progress", "demo", done=done, total=total)))
