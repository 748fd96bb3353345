"""A program run to its end or to its time limit, on a copy of the frame in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits import frame_source, open_frame, write_image

__all__ = ["Finished", "find_program", "run_program", "scratch_copy"]

_MOST_TEXT = 20_000


@dataclass(frozen=True, slots=True)
class Finished:
    """
    How a program ended.

    Attributes
    ----------
    code : int or None
        Exit code; None: it was stopped at its time limit.
    text : str
        The end of what it said on both streams.
    """

    code: int | None
    text: str


def find_program(*names: str) -> Path | None:
    """Return the first of the programs that is installed, or None."""
    for name in names:
        found = shutil.which(name)
        if found:
            return Path(found)
    return None


def run_program(arguments: Sequence[str], *, folder: Path, timeout_s: float) -> Finished:
    """
    Run a program without a shell and without input; at the time limit it and its children are stopped.

    Parameters
    ----------
    arguments : sequence of str
        The program first.
    folder : Path
        Its working folder, and where it may write.
    timeout_s : float
    """
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(folder)}
    with (folder / "said.txt").open("w+b") as said:
        try:
            process = subprocess.Popen(
                list(arguments), cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=said,
                stderr=subprocess.STDOUT, start_new_session=os.name != "nt",
            )  # fmt: skip
        except OSError as error:
            return Finished(-1, f"{Path(arguments[0]).name} cannot be started: {error.strerror or error}")
        try:
            code: int | None = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _stop(process)
        said.seek(0, os.SEEK_END)
        said.seek(max(said.tell() - _MOST_TEXT, 0))
        return Finished(code, said.read().decode("utf-8", "replace"))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a program that still runs, and what it has started."""
    if process.poll() is not None:
        return
    with contextlib.suppress(OSError):
        if os.name == "nt":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def scratch_copy(path: Path) -> Iterator[Path]:
    """
    Give a copy of a frame, as plain FITS without its header's claims, in a temporary folder that goes away.

    Outside programs may write what they like there; the frame itself is only read.

    Raises
    ------
    UnreadableFrame
        If the frame cannot be read.
    """
    source = frame_source(open_frame(path))
    pixels = source.read(source.bounds).pixels
    pixels = np.nan_to_num(pixels, nan=0.0, posinf=0.0, neginf=0.0)
    plane = pixels[0] if len(pixels) == 1 else pixels.mean(axis=0)
    if not plane.size:
        raise UnreadableFrame(f"{path.name} has no pixels")
    with tempfile.TemporaryDirectory(prefix="skyquilt-") as folder:
        copy = Path(folder) / "frame.fits"
        write_image(copy, np.ascontiguousarray(plane, dtype=np.float32), [])
        yield copy
