"""astrometry.net's solve-field as a separate process: https://astrometry.net, BSD-3 and GPL, never linked."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skyquilt.core import Wcs
from skyquilt.errors import BadInput
from skyquilt.io.fits import Header
from skyquilt.io.solvers.outcome import Outside, OutsideHints
from skyquilt.io.solvers.process import Finished, find_program, run_program, scratch_copy

__all__ = ["find_solve_field", "read_solve_field", "solve_field_arguments", "solve_with_solve_field"]

_NO_INDEX = ("no index files", "You must list at least one index", "must include at least one")


def find_solve_field() -> Path | None:
    """Return the program, or None."""
    return find_program("solve-field")


def solve_field_arguments(program: Path, frame: Path, hints: OutsideHints) -> list[str]:
    """Return the argument list; numbers always with a decimal point."""
    arguments = [
        str(program), "--no-plots", "--overwrite", "--no-verify", "--crpix-center", "--dir", str(frame.parent),
        "--temp-dir", str(frame.parent), "--new-fits", "none", "--match", "none", "--rdls", "none", "--index-xyls",
        "none", "--cpulimit", f"{max(int(hints.timeout_s), 1)}",
    ]  # fmt: skip
    if hints.scale_arcsec is not None:
        low, high = (hints.scale_arcsec * (1.0 + sign * hints.scale_tolerance) for sign in (-1, 1))
        arguments += ["--scale-units", "arcsecperpix", "--scale-low", f"{low:.4f}", "--scale-high", f"{high:.4f}"]
    if hints.place is not None:
        ra, dec = hints.place
        arguments += ["--ra", f"{ra:.6f}", "--dec", f"{dec:.6f}", "--radius", f"{hints.radius_deg:.3f}"]
    return [*arguments, str(frame)]


def solve_with_solve_field(path: Path, hints: OutsideHints, program: Path | None = None) -> Outside:
    """
    Return what solve-field says of a frame.

    Parameters
    ----------
    path : Path
        Only read: the program gets a copy.
    hints : OutsideHints
    program : Path or None
        None: the one that is installed.

    Raises
    ------
    UnreadableFrame
        If the frame cannot be read.
    """
    program = program or find_solve_field()
    if program is None:
        return Outside(None, "solve-field is not installed")
    with scratch_copy(path) as frame:
        arguments = solve_field_arguments(program, frame, hints)
        finished = run_program(arguments, folder=frame.parent, timeout_s=hints.timeout_s + 10.0)
        return read_solve_field(finished, frame.with_suffix(""))


def read_solve_field(finished: Finished, base: Path) -> Outside:
    """Return the outcome from the exit code and the ``.wcs`` and ``.corr`` files beside `base`."""
    if finished.code is None:
        return Outside(None, "solve-field was stopped at its time limit")
    try:
        data = base.with_suffix(".wcs").read_bytes()
    except OSError:
        if any(words in finished.text for words in _NO_INDEX):
            return Outside(None, "solve-field has no index files: install some, or use another solver")
        if finished.code != 0:
            last = next((line for line in reversed(finished.text.splitlines()) if line.strip()), "")
            return Outside(None, f"solve-field ended with code {finished.code}: {last.strip()[:120]}")
        return Outside(None, "solve-field found no solution")
    lines = Header.from_bytes(data).lines
    ends = [k for k, line in enumerate(lines) if line.rstrip() == "END"]
    try:
        wcs = Wcs.from_header(Header(list(lines[: ends[0]] if ends else lines)))
    except BadInput as error:
        return Outside(None, f"solve-field left coordinates that cannot be used: {error.message}")
    n_matched, rms = _read_pairs(base.with_suffix(".corr"))
    return Outside(wcs, "", n_matched, rms)


def _read_pairs(path: Path) -> tuple[int | None, float | None]:
    """Return how many pairs a ``.corr`` table lists and their residual, px per axis; None where it cannot be read."""
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False) as hdus:
            table = hdus[1].data
            x = np.asarray(table["field_x"], dtype=np.float64) - np.asarray(table["index_x"], dtype=np.float64)
            y = np.asarray(table["field_y"], dtype=np.float64) - np.asarray(table["index_y"], dtype=np.float64)
    except (OSError, IndexError, KeyError, TypeError, ValueError):
        return None, None
    return len(x), float(np.sqrt(np.mean(np.concatenate([x, y]) ** 2))) if len(x) else None
