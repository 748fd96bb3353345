"""ASTAP as a separate process: https://www.hnsky.org/astap.htm, GPL-3, never linked."""

from __future__ import annotations

from pathlib import Path

from skyquilt.core import Wcs
from skyquilt.errors import BadInput
from skyquilt.io.fits import Header
from skyquilt.io.solvers.outcome import Outside, OutsideHints
from skyquilt.io.solvers.process import Finished, find_program, run_program, scratch_copy

__all__ = ["astap_arguments", "find_astap", "read_astap", "solve_with_astap"]

_CODES = {
    1: "found no solution",
    2: "found too few stars",
    16: "cannot read the frame",
    32: "has no star database: install one, or use another solver",
    33: "cannot read its star database",
    34: "could not write its result",
}
_WCS_WORDS = ("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")


def find_astap() -> Path | None:
    """Return the program, the one without windows first, or None."""
    return find_program("astap_cli", "astap-cli", "astap")


def astap_arguments(program: Path, frame: Path, base: Path, hints: OutsideHints, height: int) -> list[str]:
    """Return the argument list; numbers always with a decimal point, ``-update`` never."""
    field = (hints.scale_arcsec or 0.0) * height / 3600.0
    arguments = [str(program), "-f", str(frame), "-o", str(base), "-wcs", "-fov", f"{field:.4f}", "-z", "0"]
    if hints.place is not None:
        ra, dec = hints.place
        arguments += ["-ra", f"{ra / 15.0:.6f}", "-spd", f"{dec + 90.0:.6f}", "-r", f"{hints.radius_deg:.3f}"]
    else:
        arguments += ["-r", "180"]
    return arguments


def solve_with_astap(path: Path, hints: OutsideHints, height: int, program: Path | None = None) -> Outside:
    """
    Return what ASTAP says of a frame.

    Parameters
    ----------
    path : Path
        Only read: ASTAP gets a copy.
    hints : OutsideHints
    height : int, px
    program : Path or None
        None: the one that is installed.

    Raises
    ------
    UnreadableFrame
        If the frame cannot be read.
    """
    program = program or find_astap()
    if program is None:
        return Outside(None, "ASTAP is not installed")
    with scratch_copy(path) as frame:
        base = frame.with_name("solved")
        arguments = astap_arguments(program, frame, base, hints, height)
        finished = run_program(arguments, folder=frame.parent, timeout_s=hints.timeout_s)
        return read_astap(finished, base)


def read_astap(finished: Finished, base: Path) -> Outside:
    """Return the outcome from the exit code and the ``.ini`` and ``.wcs`` files, whichever of them are there."""
    if finished.code is None:
        return Outside(None, "ASTAP was stopped at its time limit")
    if "cannot open display" in finished.text:
        return Outside(None, "this ASTAP needs a display: install its command-line version (astap-cli)")
    told = _read_ini(base.with_suffix(".ini"))
    if finished.code != 0 or told.get("PLTSOLVD", "T").upper().startswith("F"):
        what = told.get("ERROR") or _CODES.get(finished.code, f"ended with code {finished.code}")
        return Outside(None, f"ASTAP: {what.strip()}" if "ERROR" in told else f"ASTAP {what}")
    for header in (_read_wcs(base.with_suffix(".wcs")), _header_of(told)):
        if header is None:
            continue
        try:
            return Outside(Wcs.from_header(header))
        except BadInput:
            continue
    return Outside(None, "ASTAP says that it solved the frame but left no coordinates")


def _read_ini(path: Path) -> dict[str, str]:
    """Return the ``KEY=value`` lines of a file; {} where there is none."""
    try:
        lines = path.read_text("latin-1").splitlines()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {key.strip().upper(): value.strip() for key, value in pairs}


def _read_wcs(path: Path) -> Header | None:
    """Return a ``.wcs`` file's header: FITS blocks, or lines of text as old versions write."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    if b"\n" in data[:400]:
        return Header.from_text(data.decode("latin-1"))
    lines = Header.from_bytes(data).lines
    ends = [k for k, line in enumerate(lines) if line.rstrip() == "END"]
    return Header(list(lines[: ends[0]] if ends else lines))


def _header_of(told: dict[str, str]) -> dict[str, object] | None:
    """Return the coordinates of an ``.ini`` file as a header."""
    if not all(word in told for word in _WCS_WORDS):
        return None
    cards: dict[str, object] = {word: told[word] for word in _WCS_WORDS}
    return {**cards, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
