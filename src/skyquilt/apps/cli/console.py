"""
The one place that prints: results to standard output, everything else to standard error.

Colour is off when NO_COLOR is set, TERM is "dumb" or the stream is no terminal; FORCE_COLOR overrides. Characters that
the stream cannot carry are replaced by ASCII ones, so that a Windows console or a C locale never ends a run.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from skyquilt.errors import OutputBlocked

__all__ = ["Console", "has_colour", "write_at_once"]

_STYLES = {"bold": "1", "red": "31", "yellow": "33", "green": "32", "dim": "2"}
_ASCII = str.maketrans(
    {
        "±": "+-",
        "²": "2",
        "°": " deg",
        "×": "x",
        "√": "sqrt ",
        "–": "-",
        "…": "...",
        "✓": "ok",
        "✕": "x",
        "≤": "<=",
        "≥": ">=",
    }
)
_LONGEST_DRAWN_TABLE = 500


def has_colour(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether the stream is to be coloured."""
    if environment.get("FORCE_COLOR"):
        return True
    if environment.get("NO_COLOR") or environment.get("TERM") == "dumb":
        return False
    return stream.isatty()


def write_at_once(text: str) -> None:
    """Write to standard error from a signal handler, past every buffer."""
    os.write(2, text.encode("ascii", "replace"))


class Console:
    """
    What a command says.

    Parameters
    ----------
    quiet : bool
        Errors only on standard error.
    verbose : bool
        Details and tracebacks too.
    as_json : bool
        The result is one JSON document; results as text are not printed.
    as_events : bool
        Standard error carries JSON lines only.
    log_file : Path or None
        Gets everything that is said, with the time, whatever the other switches are.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        verbose: bool = False,
        as_json: bool = False,
        as_events: bool = False,
        log_file: Path | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self.quiet, self.verbose, self.as_json, self.as_events = quiet, verbose, as_json, as_events
        self.log_file = log_file
        self.out, self.err = sys.stdout, sys.stderr
        self.is_terminal = self.err.isatty() and environment.get("TERM") != "dumb"
        self._colour = {
            id(self.out): has_colour(self.out, environment),
            id(self.err): has_colour(self.err, environment),
        }
        self._lock = threading.Lock()
        self._above: Callable[[str], None] | None = None
        self._log = self._open_log()

    @property
    def colour_of_err(self) -> bool:
        """Whether standard error is coloured."""
        return self._colour[id(self.err)]

    def _open_log(self) -> TextIO | None:
        if self.log_file is None:
            return None
        try:
            return self.log_file.open("a", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            path, self.log_file = self.log_file, None
            raise OutputBlocked(f"the log file {path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the log file."""
        if self._log:
            self._log.close()
            self._log = None

    def above(self, write: Callable[[str], None] | None) -> None:
        """Send lines for standard error through `write` while a progress bar lives there; None ends that."""
        self._above = write

    def result(self, text: str = "") -> None:
        """Print a line of the result, unless the result is a JSON document."""
        if not self.as_json:
            self._print(text, self.out)

    def document(self, schema_id: str, content: Mapping[str, Any]) -> None:
        """Print the result as one JSON document, if that was asked for."""
        if self.as_json:
            self._print(_as_json(_signed(schema_id, content)), self.out)

    def documents(self, schema_id: str, contents: Sequence[Mapping[str, Any]]) -> None:
        """Print the result as a JSON list of documents, one a thing that was asked about, if that was asked for."""
        if self.as_json:
            self._print(_as_json([_signed(schema_id, content) for content in contents]), self.out)

    def note(self, text: str) -> None:
        """Say something in passing."""
        self._say("notice", text, shown=not self.quiet)

    def detail(self, text: str) -> None:
        """Say what only those who asked for more want to read."""
        self._say("detail", text, shown=self.verbose)

    def warning(self, text: str) -> None:
        """Say what may spoil the result."""
        self._say("warning", text, shown=not self.quiet, prefix=self._styled("warning: ", "yellow", self.err))

    def error(self, message: str, hint: str = "") -> None:
        """Say why it ended."""
        self._say("error", message, shown=True, prefix=self._styled("error: ", "red", self.err), hint=hint)
        if hint and not self.as_events:
            self._write_error(f"{self._styled('hint: ', 'bold', self.err)}{hint}")

    def event(self, content: Mapping[str, Any]) -> None:
        """Write one JSON line to standard error."""
        self._write_error(json.dumps(content, default=str))

    def log(self, level: str, text: str) -> None:
        """Write to the log file only."""
        if self._log:
            stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            with self._lock:
                self._log.write("".join(f"{stamp} {level:<8}{line}\n" for line in text.splitlines() or [""]))
                self._log.flush()

    def heading(self, text: str) -> None:
        """Print a heading of the result."""
        if not self.as_json:
            self._print(self._styled(text, "bold", self.out), self.out)

    def table(self, rows: Sequence[Mapping[str, str]], *, title: str = "", aside: bool = False) -> None:
        """
        Print rows of text under the names of their keys.

        A terminal gets a drawn table that wraps to its width, anything else aligned columns that are never cut.

        Parameters
        ----------
        aside : bool
            To standard error, as a note; else it is part of the result.
        """
        stream = self.err if aside else self.out
        if not rows or (aside and (self.quiet or self.as_events)) or (not aside and self.as_json):
            return
        if stream.isatty() and len(rows) <= _LONGEST_DRAWN_TABLE and self._above is None:
            _draw_table(rows, title, stream, colour=self._colour[id(stream)])
            return
        write = self._write_error if aside else self.result
        if title:
            write(self._styled(title, "bold", stream))
        for line in _aligned(rows):
            write(line)

    def _say(self, level: str, text: str, *, shown: bool, prefix: str = "", hint: str = "") -> None:
        self.log(level, f"{text}{f' (hint: {hint})' if hint else ''}")
        if self.as_events:
            if level == "error":
                self.event({"kind": level, "phase": "", "message": text, "data": {"hint": hint}})
            elif level != "detail" or self.verbose:
                self.event({"kind": level, "phase": "", "message": text, "data": {}})
        elif shown:
            self._write_error(prefix + text)

    def _write_error(self, text: str) -> None:
        if self._above and not self.as_events:
            self._above(text)
        else:
            self._print(text, self.err)

    def _styled(self, text: str, style: str, stream: TextIO) -> str:
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self._colour[id(stream)] else text

    def _print(self, text: str, stream: TextIO) -> None:
        encoding = stream.encoding or "ascii"
        if not encoding.lower().replace("-", "").startswith("utf"):
            text = text.translate(_ASCII)
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        with self._lock:
            print(text, file=stream, flush=True)


def _signed(schema_id: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"schema_id": schema_id, "schema_version": 1, **content}


def _as_json(document: object) -> str:
    return json.dumps(document, indent=1, ensure_ascii=True, default=str)


def _aligned(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Lay rows out in columns two blanks apart; columns of numbers are aligned to the right."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[" ".join(row.get(name, "").split()) for name in names] for row in rows]
    widths = [max(len(name), *(len(row[k]) for row in cells)) for k, name in enumerate(names)]
    right = [all(_is_number(row[k]) for row in cells) for k in range(len(names))]
    lines = []
    for row in [names, *cells]:
        parts = [text.rjust(widths[k]) if right[k] else text.ljust(widths[k]) for k, text in enumerate(row)]
        lines.append("  ".join(parts).rstrip())
    return lines


def _is_number(text: str) -> bool:
    return not text or text == "–" or text.rstrip(" %").replace(".", "", 1).lstrip("-").isdigit()


def _draw_table(rows: Sequence[Mapping[str, str]], title: str, stream: TextIO, *, colour: bool) -> None:
    from rich import box
    from rich.console import Console as RichConsole
    from rich.table import Table

    names = list(dict.fromkeys(name for row in rows for name in row))
    wide = (stream.encoding or "").lower().replace("-", "").startswith("utf")
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE if wide else box.ASCII)
    for name in names:
        numbers = all(_is_number(row.get(name, "")) for row in rows)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_as_rich(row.get(name, ""), wide) for name in names))
    RichConsole(file=stream, no_color=not colour, highlight=False, markup=False).print(table)


def _as_rich(text: str, wide: bool) -> str:
    """Text for a cell: markup off, unencodable characters replaced."""
    return text if wide else text.translate(_ASCII).encode("ascii", "replace").decode()
