"""What every command has in common: the switches on what it says, and the way it ends."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.faults import run_guarded, tell
from skyquilt.errors import NoUsableInput, SkyquiltError

__all__ = ["ARGUMENTS", "arguments_of", "existing_folder", "face"]

ARGUMENTS = "skyquilt.arguments"
"""Key under which the context keeps the command line as it was given."""

_COMMON = (
    click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document."),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing but the result and errors."),
    click.option("-v", "--verbose", is_flag=True, help="Say more; show where a fault of the program lies."),
    click.option(
        "--log-file", type=click.Path(path_type=Path, dir_okay=False), help="Append everything said to this file."
    ),
)


def arguments_of(context: click.Context) -> list[str]:
    """Return the words of the command line as they were given."""
    return list(context.meta.get(ARGUMENTS, []))


def face(function: Callable[..., int]) -> Callable[..., None]:
    """
    Turn ``function(console, **options) -> exit code`` into the body of a command.

    Adds --json, --quiet, --verbose and --log-file; ends the program with the code, or with that of the error.
    """

    @functools.wraps(function)
    def body(*, as_json: bool, quiet: bool, verbose: bool, log_file: Path | None, **options: Any) -> None:
        context = click.get_current_context()
        arguments = arguments_of(context)
        as_events = options.get("progress") == "jsonl"
        open_console = functools.partial(Console, quiet=quiet, verbose=verbose, as_json=as_json, as_events=as_events)
        try:
            console = open_console(log_file=log_file)
        except SkyquiltError as error:
            context.exit(tell(open_console(), error))
        console.log("command", " ".join(["skyquilt", *arguments]))
        try:
            code = run_guarded(console, lambda: function(console, **options), arguments)
            console.log("exit", str(code))
        finally:
            console.close()
        context.exit(code)

    for option in reversed(_COMMON):
        body = option(body)
    return body


def existing_folder(folder: Path) -> Path:
    """
    Return the folder if it is one.

    Raises
    ------
    NoUsableInput
        If it does not exist or is a file; nothing is created.
    """
    if folder.is_dir():
        return folder
    if folder.exists():
        raise NoUsableInput(f"{folder} is a file, a folder is expected", "give the folder that holds the frames")
    raise NoUsableInput(f"there is no folder {folder}", _near(folder))


def _near(folder: Path) -> str:
    from difflib import get_close_matches

    parent = folder.parent
    names = [path.name for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []
    near = get_close_matches(folder.name, names, n=1)
    return f"did you mean {parent / near[0]}?" if near else "check the path; quote it if it contains blanks"
