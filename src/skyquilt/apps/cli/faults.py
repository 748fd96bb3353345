"""From what went wrong to one clear sentence and a documented exit code."""

from __future__ import annotations

import errno
import os
import shlex
import sys
import traceback
from collections.abc import Callable

import click

from skyquilt.apps.cli.console import Console
from skyquilt.errors import Interrupted, NotEnoughDisk, NotEnoughMemory, OutputBlocked, SkyquiltError

__all__ = ["EXIT_CODES", "command_line", "error_document", "run_guarded", "tell"]

EXIT_CODES = {
    0: "done",
    1: "internal error: a fault of the program, or one without a name",
    2: "usage: an option, a name, a setting or a list that cannot be meant",
    3: "done, but with warnings, under --strict",
    4: "no usable input: no folder, no frames, none that can be used",
    5: "input that cannot be read as what it should be",
    6: "registration or plate solving failed",
    7: "not enough disk",
    8: "not enough memory",
    9: "the output exists, is locked by another run, or cannot be written",
    10: "verification failed: a product does not match its checksum",
    11: "the cluster cannot be reached, is lost, or its workers do not fit; the run can be resumed",
    130: "stopped with Ctrl-C (SIGINT); the run can be resumed",
    143: "stopped by SIGTERM; the run can be resumed",
}


def command_line(arguments: list[str]) -> str:
    """Return the command that was given, ready to be pasted into a shell."""
    return shlex.join(["skyquilt", *arguments])


def error_document(error: SkyquiltError, exit_code: int | None = None) -> dict[str, object]:
    """Return an error as the content of a JSON document."""
    return {
        "error": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "exit_code": error.exit_code if exit_code is None else exit_code,
    }


def run_guarded(console: Console, work: Callable[[], int], arguments: list[str]) -> int:
    """
    Run a command; whatever goes wrong becomes a sentence, and the exit code comes back.

    A traceback is shown with -v only; with --log-file it is in that file.
    """
    try:
        return work()
    except (click.exceptions.Exit, click.ClickException):
        raise
    except KeyboardInterrupt:
        return tell(console, Interrupted("stopped", f"to run it again: {command_line(arguments)}"))
    except SkyquiltError as error:
        return tell(console, error)
    except MemoryError:
        return tell(console, NotEnoughMemory("the memory is full", "run it again with a smaller --memory"))
    except BrokenPipeError:
        # Whoever read the output has had enough: no fault. Python would complain once more when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        named = _named(error)
        return tell(console, named) if named else _unexpected(console, error)
    except Exception as error:  # the last word must never be a bare traceback
        return _unexpected(console, error)


def tell(console: Console, error: SkyquiltError) -> int:
    """Say an error, as a sentence and as a document, and return its exit code."""
    console.error(error.message, error.hint)
    console.document("skyquilt.cli.error", error_document(error))
    return error.exit_code


def _named(error: OSError) -> SkyquiltError | None:
    """Return what an operating-system error means, if it is one that a person can act on."""
    place = f": {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NotEnoughDisk(f"the disk is full{place}", "free some space and run the same command again")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputBlocked(f"{error.strerror}{place}", "check the permissions, or choose another folder with --out")
    return None


def _unexpected(console: Console, error: Exception) -> int:
    text = "".join(traceback.format_exception(error))
    console.log("error", text)
    if console.log_file:
        hint = f"the details are in {console.log_file}"
    else:
        hint = "run it again with -v for the details, or with --log-file FILE to keep them"
    fault = SkyquiltError(f"a fault of the program ({type(error).__name__}: {error})", hint)
    if console.verbose and not console.as_events:
        console.detail(text)
    return tell(console, fault)
