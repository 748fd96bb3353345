"""How a run is shown while it works: bars on a terminal, a line every 10 s elsewhere, or JSON lines for programs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from types import TracebackType
from typing import Any

from skyquilt.apps.cli.console import Console
from skyquilt.core.event import Event

__all__ = ["MODES", "Progress", "remaining_text"]

MODES = ("auto", "bar", "lines", "jsonl", "none")

_TITLES = {
    "discover": "Looking at the folder",
    "plan": "Planning",
    "calibrate": "Making master frames",
    "measure": "Measuring frames",
    "select": "Choosing frames",
    "register": "Matching stars",
    "trails": "Looking for trails",
    "integrate": "Stacking",
    "products": "Writing products",
    "finish": "Finishing",
}
# Phases of many parts, each with a title of its own.
_NAMED_BY_MESSAGE = {"calibrate", "demo"}
_SECONDS_PER_LINE = 10.0


def remaining_text(elapsed_s: float, done: int, total: int) -> str:
    """Return how long the rest of a phase takes at the present speed; "" while nobody can know."""
    if not 3 <= done < total:  # the first ones also compile the loops
        return ""
    seconds = elapsed_s * (total - done) / done
    if seconds < 60:
        return f"about {seconds:.0f} s left"
    return f"about {seconds / 60:.0f} min left" if seconds < 5400 else f"about {seconds / 3600:.1f} h left"


class Progress:
    """
    A listener for the events of a run; use it as a context.

    Attributes
    ----------
    n_warnings : int
        Warnings heard.
    """

    def __init__(self, console: Console, mode: str, clock: Callable[[], float] = time.monotonic) -> None:
        if mode == "auto":
            mode = "none" if console.quiet else "bar" if console.is_terminal else "lines"
        self._console = console
        self._mode = mode
        self._clock = clock
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        self._task: Any = None
        self._has_open_end = False
        self._phase, self._began, self._first, self._last_line = "", clock(), 0, clock()
        self.n_warnings = 0

    def __enter__(self) -> Progress:
        if self._mode == "bar":
            self._bars = _rich_bars(self._console)
            self._bars.start()
            self._console.above(lambda text: self._bars.console.print(_rich_text(text)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars:
            self._console.above(None)
            self._bars.stop()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        if event.kind == "warning":
            self.n_warnings += 1
        if self._mode == "jsonl":
            self._console.event(asdict(event))
            self._console.log(event.kind, f"{event.phase}: {event.message}")
            return
        {
            "phase": self._on_phase,
            "progress": self._on_progress,
            "notice": lambda event: self._console.note(event.message),
            "warning": self._on_warning,
            "left_out": lambda event: self._console.detail(f"left out: {event.message}"),
            "table": self._on_table,
        }.get(event.kind, lambda event: self._console.detail(event.message))(event)

    def _on_phase(self, event: Event) -> None:
        self._phase, self._began, self._first = event.phase, self._clock(), event.done
        title = _TITLES.get(event.phase, event.phase)
        if event.phase in _NAMED_BY_MESSAGE and event.message:
            title = event.message
        self._console.detail(title)
        if self._bars:
            if self._has_open_end:
                self._bars.update(self._task, total=1, completed=1)
            self._has_open_end = not event.total
            if title not in self._tasks:
                self._tasks[title] = self._bars.add_task(title, total=event.total or None)
            self._task = self._tasks[title]
            self._bars.reset(self._task, total=event.total or None, completed=event.done)

    def _on_progress(self, event: Event) -> None:
        if event.phase != self._phase:
            self._on_phase(Event("phase", event.phase, done=event.done, total=event.total))
        if self._bars:
            self._has_open_end = not event.total
            self._bars.update(self._task, completed=event.done, total=event.total or None)
        elif self._mode == "lines" and self._clock() - self._last_line >= _SECONDS_PER_LINE:
            self._last_line = self._clock()
            elapsed = self._clock() - self._began
            rest = remaining_text(elapsed, event.done - self._first, event.total - self._first)
            title = _TITLES.get(event.phase, event.phase)
            self._console.note(f"{title}: {event.done} of {event.total}{f', {rest}' if rest else ''}")

    def _on_warning(self, event: Event) -> None:
        if event.phase != "done":  # the failure of a whole group: the command says it at the end, as an error
            self._console.warning(event.message)

    def _on_table(self, event: Event) -> None:
        rows = event.data.get("rows", [])
        self._console.table([_readable(row) for row in rows], title=event.message, aside=True)
        for row in rows:
            self._console.log("table", str(row))


def _readable(row: dict[str, Any]) -> dict[str, str]:
    """One row of facts as texts under names in words."""
    return {name.replace("_", " "): _cell(value) for name, value in row.items()}


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _rich_text(text: str) -> Any:
    from rich.text import Text

    return Text.from_ansi(text)


def _rich_bars(console: Console) -> Any:
    from rich.console import Console as RichConsole
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description:<22}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=RichConsole(file=console.err, highlight=False, force_terminal=True, no_color=not console.colour_of_err),
    )
