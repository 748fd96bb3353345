"""ZeMosaic's configuration file and the options of its worker, on the command line of a mosaic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.options import FOREIGN_PREFIX
from skyquilt.apps.zemosaic import (
    WORKER_OPTIONS,
    Key,
    Reading,
    WorkerOption,
    from_options,
    read_config,
    read_solver_settings,
)
from skyquilt.errors import UsageError

if TYPE_CHECKING:
    from skyquilt.apps.settings import Layer
    from skyquilt.core.event import Listener

__all__ = ["TakenOver", "take_over", "zemosaic_options"]

Function = TypeVar("Function", bound=Callable[..., Any])

_MOST_NAMED = 6
_CONFIG = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The zemosaic_config.json of ZeMosaic: its settings are taken over, and what has no meaning here is named.",
)


def zemosaic_options(function: Function) -> Function:
    """Add --config and the options of ZeMosaic's worker; those arrive as ``zemosaic_<name>``."""
    for option in reversed(WORKER_OPTIONS):
        function = _click_option(option)(function)
    return _CONFIG(function)


def _parameter(option: WorkerOption) -> str:
    return FOREIGN_PREFIX + option.name.removeprefix("--").replace("-", "_")


def _click_option(option: WorkerOption) -> Callable[[Function], Function]:
    names = [*option.spellings, _parameter(option)]
    text = option.told[0].upper() + option.told[1:] + "."
    if option.kind == "flag":
        return click.option(*names, is_flag=True, help=text)
    kinds: dict[str, Any] = {
        "number": click.INT,
        "choice": click.Choice(option.choices, case_sensitive=False),
        "folder": click.Path(path_type=Path),
        "file": click.Path(path_type=Path),
    }
    metavars = {"number": "N", "choice": f"[{'|'.join(option.choices)}]", "folder": "FOLDER", "file": "FILE"}
    return click.option(*names, default=None, type=kinds[option.kind], metavar=metavars[option.kind], help=text)


@dataclass(frozen=True, slots=True)
class TakenOver:
    """
    What the words of ZeMosaic on a command line come to.

    Attributes
    ----------
    config : Reading or None
        Of the file of --config.
    foreign : Layer or None
        The settings that options of the worker make; they count as options of ours do.
    scratch : Path or None
        Where the mosaic works, by --scratch, else by the worker's option, else by the file.
    keep_canvas : bool
        Likewise, by --keep-canvas.
    notes : tuple of (str, str)
        The options of the worker that were given, and what each does.
    """

    config: Reading | None
    foreign: Layer | None
    scratch: Path | None
    keep_canvas: bool
    notes: tuple[tuple[str, str], ...]

    @property
    def layer(self) -> Layer | None:
        """The settings of the file."""
        from skyquilt.apps.settings import Layer

        if self.config is None:
            return None
        return Layer(self.config.origin, self.config.settings, self.config.origins, is_shared=False)

    def folders(self, given: tuple[Path, ...]) -> tuple[Path, ...]:
        """
        Return the folders of the command line, else the one that the file names.

        Raises
        ------
        UsageError
            If there are none.
        """
        if given:
            return given
        if self.config is not None and self.config.input is not None:
            return (self.config.input,)
        told = "" if self.config is None else f", and {self.config.origin} has no input_dir"
        raise UsageError(f"no folder with frames is given{told}", "skyquilt mosaic FOLDER...")

    def tell(self, console: Console, listener: Listener) -> None:
        """Say what was taken over and what was not: in short, and one by one with --verbose."""
        from skyquilt.core.event import Event

        for option, told in self.notes:
            listener(Event("notice", "settings", f"{option}: {told}"))
        if self.config is None:
            return
        listener(Event("notice", "settings", _summary(self.config), data=self.document() or {}))
        changed = [key.name for key in self.config.changed()]
        if changed:
            listener(
                Event("notice", "settings", f"set in {self.config.origin}, of no effect here: {_shortened(changed)}")
            )
        for name, near in self.config.unknown.items():
            asked = f"; did you mean {near}?" if near else ""
            listener(Event("warning", "settings", f"{self.config.origin}: ZeMosaic has no key {name}{asked}"))
        for line in _details(self.config):
            console.detail(line)

    def document(self) -> dict[str, Any] | None:
        """Return all of it as JSON values; None where no word of ZeMosaic was used."""
        if self.config is None and not self.notes:
            return None
        options = [{"option": option, "told": told} for option, told in self.notes]
        found = self.config
        if found is None:
            return {"file": None, "options": options}
        return {
            "file": found.origin,
            "settings": found.settings,
            "taken_over": [
                {"key": key.name, "value": found.values[key.name], "to": key.to} for key in found.of_fate("mapped")
            ],
            "always": [key.name for key in found.of_fate("always")],
            "without_meaning": [key.name for key in found.of_fate("none")],
            "changed_without_effect": [key.name for key in found.changed()],
            "unknown": dict(found.unknown),
            "options": options,
        }


def take_over(options: Mapping[str, Any]) -> TakenOver:
    """
    Return what the options of a command line mean that speak of ZeMosaic.

    Raises
    ------
    UsageError
        If a value cannot be meant, or two options contradict each other.
    BadInput
        If a file is no JSON.
    """
    from skyquilt.engine.budget import available_memory

    given = [option for option in WORKER_OPTIONS if options[_parameter(option)] not in (None, False)]
    config = read_config(options["config"], free_memory=available_memory) if options["config"] else None
    worker = _worker(given, options)
    cleanup = worker.keep_canvas
    if cleanup is False and options["keep_canvas"]:
        raise UsageError("--keep-canvas and --coadd_cleanup_memmap contradict each other", "give one of the two")
    if worker.scratch is not None and options["scratch"] is not None:
        raise UsageError("--scratch and --coadd_memmap_dir say the same thing", "give one of the two")
    from_file = (None, None) if config is None else (config.scratch, config.keep_canvas)
    keep = next((one for one in (options["keep_canvas"], cleanup, from_file[1]) if one is not None), True)
    notes = tuple((_as_given(option, options), option.told) for option in given)
    return TakenOver(config, _layer(worker), options["scratch"] or worker.scratch or from_file[0], keep, notes)


def _worker(given: list[WorkerOption], options: Mapping[str, Any]) -> Reading:
    """Read the options of the worker as the keys that they stand for."""
    values: dict[str, Any] = {}
    for option in given:
        if option.key:
            value = options[_parameter(option)] if option.value is None else option.value
            values[option.key] = str(value) if isinstance(value, Path) else value
    reading = from_options(values, {option.key: option.name for option in given if option.key})
    solver = next((options[_parameter(option)] for option in given if option.kind == "file"), None)
    if solver is not None:
        chosen = read_solver_settings(solver)
        reading.settings.update(chosen.settings)
        reading.origins.update(chosen.origins)
    return reading


def _layer(worker: Reading) -> Layer | None:
    from skyquilt.apps.settings import Layer

    return Layer("flags", worker.settings, worker.origins, is_shared=False) if worker.settings else None


def _as_given(option: WorkerOption, options: Mapping[str, Any]) -> str:
    return option.name if option.kind == "flag" else f"{option.name} {options[_parameter(option)]}"


def _summary(found: Reading) -> str:
    counts = {fate: len(found.of_fate(fate)) for fate in ("mapped", "always", "none")}
    groups = Counter(key.title for key in found.of_fate("none"))
    most = [f"{title} {n}" for title, n in groups.most_common(3)]
    more = sum(groups.values()) - sum(n for _, n in groups.most_common(3))
    named = f": {', '.join([*most, f'others {more}'] if more else most)}" if groups else ""
    return (
        f"{counts['mapped']} settings of {found.origin} were taken over, {counts['always']} ask for what is done in "
        f"any case, {counts['none']} have no meaning here{named} (-v lists them)"
    )


def _details(found: Reading) -> list[str]:
    """Return a line for every key that was taken over, and those of every reason that were not."""
    lines = [
        f"  {key.name} = {_shown(found.values[key.name])} -> {key.to} ({key.reason})" for key in found.of_fate("mapped")
    ]
    lines += [f"  {name} = {value}" for name, value in found.settings.items()]
    for fate, heading in (("always", "done in any case"), ("none", "no meaning here")):
        reasons: dict[str, list[Key]] = {}
        for key in found.of_fate(fate):
            reasons.setdefault(key.reason, []).append(key)
        lines += [f"  {heading}: {', '.join(key.name for key in keys)} ({reason})" for reason, keys in reasons.items()]
    return lines


def _shown(value: Any) -> str:
    """A value on one line; what may be a secret never stands among those that are taken over."""
    return str(value) if value not in ("", None) else "not set"


def _shortened(names: list[str]) -> str:
    if len(names) <= _MOST_NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:_MOST_NAMED])} and {len(names) - _MOST_NAMED} more"
