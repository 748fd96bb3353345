"""The program: its commands, its version and the door that the shell calls."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

import click

import skyquilt
from skyquilt.apps.cli.annotate import annotate
from skyquilt.apps.cli.app import app
from skyquilt.apps.cli.cache import cache
from skyquilt.apps.cli.combine import combine
from skyquilt.apps.cli.config import config
from skyquilt.apps.cli.demo import demo
from skyquilt.apps.cli.doctor import doctor
from skyquilt.apps.cli.engine import engine
from skyquilt.apps.cli.face import ARGUMENTS
from skyquilt.apps.cli.finish import finish
from skyquilt.apps.cli.frames import frames
from skyquilt.apps.cli.mosaic import mosaic
from skyquilt.apps.cli.process import color, process
from skyquilt.apps.cli.solve import solve
from skyquilt.apps.cli.stack import stack
from skyquilt.apps.cli.verify import verify
from skyquilt.apps.cli.watch import watch

__all__ = ["main", "program"]


class Program(click.Group):
    """The group of all commands; remembers the command line as it was given, for the hint on how to resume."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        given = list(args)
        context = super().make_context(info_name, args, parent, **extra)
        context.meta[ARGUMENTS] = given
        return context

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a misspelt one gets the nearest name."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            asked = f" Did you mean {near[0]}?" if near else ""
            ctx.fail(f"There is no command {args[0]}.{asked}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which a newcomer needs them."""
        return list(self.commands)


@click.group(
    cls=Program, name="skyquilt", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(skyquilt.__version__, message="skyquilt %(version)s")
def program() -> None:
    """
    Every sub, one sky: deep, linear, documented stacks from the raw frames of a telescope.

    Start with: skyquilt stack FOLDER. The raw frames are only read.
    """


for _command in (
    stack,
    watch,
    mosaic,
    finish,
    combine,
    app,
    frames,
    solve,
    annotate,
    process,
    color,
    cache,
    verify,
    doctor,
    demo,
    config,
    engine,
):
    program.add_command(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program with the arguments of the shell and end the process with the exit code."""
    # matrices are small: the threads that the linear algebra keeps for large ones would only spin beside the work
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    gc.set_threshold(20_000, 20, 20)  # a run makes many small objects and next to no cycles
    if arguments is not None:
        program.main(args=list(arguments), prog_name="skyquilt")
    try:
        program.main(prog_name="skyquilt")
    except SystemExit as ended:
        _leave(ended.code if isinstance(ended.code, int) else int(ended.code is not None))


def _leave(code: int) -> NoReturn:
    """End the process as it is: to take the compiler and its kernels apart first would cost a tenth of a second."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a reader that has gone, a stream that is closed
            stream.flush()
    os._exit(code)
