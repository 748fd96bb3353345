"""Lists of frames, as text or as CSV: what to use, chosen by a person or by a program."""

from __future__ import annotations

import csv
import difflib
import io
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from skyquilt.core import FrameFile
from skyquilt.errors import OutputBlocked, UsageError

__all__ = ["read_frame_list", "write_frame_list"]

_NAME_COLUMNS = ("file", "name", "filename", "frame", "path")
_YES = frozenset({"1", "yes", "y", "true", "t", "x", "keep", "kept", "oui", ""})
_NO = frozenset({"0", "no", "n", "false", "f", "drop", "rejected", "non"})
_LARGEST = 64 << 20


def read_frame_list(path: Path, session_frames: Sequence[FrameFile]) -> list[FrameFile]:
    """
    Return the frames that a list names, in the order of the list, each once.

    Parameters
    ----------
    path : Path
        Text: one name a line, ``#`` begins a comment, empty lines do not count. CSV (ending ``.csv``): a column `file`
        or `name`, and optionally `include` (yes/no, 1/0, true/false; empty means yes). Names may be bare, or carry as
        many folders as are needed to tell two files apart; their ending may be missing.
    session_frames : sequence of FrameFile

    Raises
    ------
    UsageError
        If the list is missing, unreadable or empty, or if a name fits no frame or several: with its line and the
        nearest match.
    """
    text = _read_text(path)
    index = _index(session_frames)
    entries = _read_csv(path, text) if path.suffix.lower() == ".csv" else _read_lines(text, index)
    if not entries:
        raise UsageError(f"the frame list {path} names no frame", "one file name a line; # begins a comment")
    chosen: dict[Path, FrameFile] = {}
    for line, name in entries:
        frame = _look_up(path, line, name, index, session_frames)
        chosen.setdefault(frame.path, frame)
    return list(chosen.values())


def _read_text(path: Path) -> str:
    """Return the text of a list, with or without a byte order mark."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise UsageError(f"there is no frame list {path}", _nearest_file(path)) from None
    except OSError as error:
        raise UsageError(f"the frame list {path} cannot be read: {error.strerror or error}") from None
    if len(content) > _LARGEST or b"\0" in content:
        raise UsageError(f"{path} is no frame list: it is not a text file", "one file name a line, or a CSV table")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _nearest_file(path: Path) -> str:
    """Return a hint that names the file most like the missing one, or ""."""
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"the folder {path.parent} does not exist either"
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {near[0]}?" if near else ""


def _read_lines(text: str, known: Mapping[str, object]) -> list[tuple[int, str]]:
    """Return (line number, name) of a text list; what follows a blank and # is a comment unless a frame is named so."""
    entries = []
    for number, line in enumerate(text.splitlines(), start=1):
        name = line.strip().strip('"')
        if name.startswith("#"):
            continue
        if name.rpartition("/")[2].casefold() not in known:
            name = name.replace("\t#", " #").split(" #", 1)[0].strip().strip('"')
        if name:
            entries.append((number, name))
    return entries


def _read_csv(path: Path, text: str) -> list[tuple[int, str]]:
    """Return (line number, name) of the rows of a CSV list that are to be used."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    offset = next((n for n, line in enumerate(text.splitlines()) if not line.lstrip().startswith("#")), 0)
    if not lines:
        return []
    delimiter = max(",;\t", key=lines[0].count)
    rows = list(csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter))
    header = [cell.strip().casefold() for cell in rows[0]]
    column = next((header.index(word) for word in _NAME_COLUMNS if word in header), None)
    if column is None:
        raise UsageError(
            f"the frame list {path} has no column `file` or `name`; its columns are {', '.join(rows[0])}",
            "the first line must hold the names of the columns",
        )
    include = header.index("include") if "include" in header else None
    entries = []
    for number, row in enumerate(rows[1:], start=offset + 2):
        name = row[column].strip() if column < len(row) else ""
        if not name:
            continue
        word = row[include].strip().casefold() if include is not None and include < len(row) else ""
        if word not in _YES and word not in _NO:
            raise UsageError(f"line {number} of {path}: include is {row[include or 0]!r}", "write yes or no")
        if word in _YES:
            entries.append((number, name))
    return entries


def _index(frames: Sequence[FrameFile]) -> dict[str, list[FrameFile]]:
    """Return the frames under every way to name them: file name with and without ending, in lower case."""
    index: dict[str, list[FrameFile]] = defaultdict(list)
    for frame in frames:
        for key in {frame.name.casefold(), _without_ending(frame.name).casefold()}:
            index[key].append(frame)
    return index


def _without_ending(name: str) -> str:
    """Return a name without .fit, .fits.gz and the like."""
    stem, _, last = name.rpartition(".")
    if last.casefold() in ("gz", "bz2", "z", "fz") and "." in stem:
        stem = stem.rpartition(".")[0]
    return stem or name


def _look_up(
    path: Path, line: int, name: str, index: Mapping[str, list[FrameFile]], frames: Sequence[FrameFile]
) -> FrameFile:
    """Return the one frame that a name means."""
    parts = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))
    if not parts:
        raise UsageError(f"line {line} of {path}: {name!r} is not the name of a frame")
    candidates = index.get(parts[-1].casefold(), [])
    exact = [frame for frame in candidates if frame.name == parts[-1]]
    candidates = exact or candidates
    if len(parts) > 1 or len(candidates) > 1:
        folders = tuple(part.casefold() for part in parts[:-1])
        candidates = [
            frame
            for frame in candidates
            if not folders or tuple(part.casefold() for part in frame.path.parts[-1 - len(folders) : -1]) == folders
        ]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        where = ", ".join(sorted(str(frame.path.parent.name) for frame in candidates)[:4])
        raise UsageError(
            f"line {line} of {path}: {name!r} is the name of {len(candidates)} frames (in {where})",
            "write the folder in front of the name: folder/name.fit",
        )
    near = difflib.get_close_matches(parts[-1], sorted({frame.name for frame in frames}), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "`skyquilt frames SESSION` lists the names"
    raise UsageError(f"line {line} of {path}: the session has no frame {name!r}", hint)


def write_frame_list(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """
    Write a frame list that `read_frame_list` reads: CSV if the name ends in ``.csv``, else text.

    Parameters
    ----------
    path : Path
        Written beside its place and then moved there, so that it is whole or not there at all.
    rows : iterable of mappings
        Each with the key `file`; `include` (bool) is optional. Further keys become columns of the CSV; their names
        carry their units (``fwhm_px``, ``exposure_s``). The columns stand in the order in which they first occur.

    Raises
    ------
    OutputBlocked
        If the file cannot be written.
    """
    table = [dict(row) for row in rows]
    columns = list(dict.fromkeys(["file", *(["include"] if any("include" in row for row in table) else [])]))
    columns += [key for key in dict.fromkeys(key for row in table for key in row) if key not in columns]
    buffer = io.StringIO()
    if path.suffix.lower() == ".csv":
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_cell(row.get(column)) for column in columns] for row in table)
    else:
        for row in table:
            mark = "" if row.get("include", True) else "# "
            buffer.write(f"{mark}{row['file']}\n")
    _write_whole(path, buffer.getvalue())


def _cell(value: object) -> str:
    """Return a value as text, the same in every locale; a number that is none is left empty."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _write_whole(path: Path, text: str) -> None:
    """Write a text in one step, as seen from outside."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("w", encoding="utf-8", newline="") as file:
                file.write(text)
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OutputBlocked(f"the frame list {path} cannot be written: {error.strerror or error}") from None
