"""skyquilt engine: the process that a user interface works with, JSON lines in and out."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import BinaryIO

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.faults import tell
from skyquilt.errors import SkyquiltError

__all__ = ["engine"]


@click.command(short_help="Work for a user interface: JSON lines on standard input and output.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the protocol and end.")
@click.option("-q", "--quiet", is_flag=True, help="Log errors only.")
@click.option("-v", "--verbose", is_flag=True, help="Log details too.")
@click.option(
    "--log-file", type=click.Path(path_type=Path, dir_okay=False), help="Append the log to this file as well."
)
def engine(schema: bool, quiet: bool, verbose: bool, log_file: Path | None) -> None:
    """
    Answer requests, one JSON object a line on standard input, by lines on standard output; the log is standard error.

    The commands are in docs/reference/engine.md. The engine ends when its input ends and all is answered.
    """
    context = click.get_current_context()
    if schema:
        from skyquilt.apps.worker import protocol_schema

        Console().result(json.dumps(protocol_schema(), indent=1))
        return
    try:
        console = Console(quiet=quiet, verbose=verbose, log_file=log_file)
    except SkyquiltError as error:
        context.exit(tell(Console(), error))
    try:
        context.exit(_serve(console, *_own_streams()))
    finally:
        console.close()


def _own_streams() -> tuple[BinaryIO, BinaryIO]:
    """
    Return the streams of the protocol, and leave others in their places.

    What a library prints goes to the log, and no child process reads requests.
    """
    source = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
    stream = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, stream


def _serve(console: Console, source: BinaryIO, stream: BinaryIO) -> int:
    """Serve until the end; return the exit code."""
    from skyquilt.apps.worker import Engine

    levels = {"notice": console.note, "warning": console.warning, "detail": console.detail}
    working = Engine(stream, lambda level, text: levels.get(level, console.error)(text))
    asked: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        if asked:
            os._exit(128 + number)
        asked.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        working.serve(source)
    except KeyboardInterrupt:
        working.stop()
        working.finish()
    return 128 + asked[0] if asked else 0
