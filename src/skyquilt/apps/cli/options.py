"""
The options that stand for settings, made from the tables of the recipes.

The tables (recipe_table.json of a stack, mosaic_table.json of a mosaic) are written by
``python -m skyquilt.apps.cli.reference`` from the schemas, and a test holds them equal. Reading one costs a
millisecond, importing the schema a tenth of a second, and --help must not wait. Values travel as text; the recipe
judges them, so a wrong one gets the same sentence wherever it is written.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import click

from skyquilt.errors import UsageError

__all__ = [
    "FOREIGN_PREFIX",
    "TABLES",
    "GroupedCommand",
    "Setting",
    "chosen_settings",
    "mosaic_options",
    "recipe_options",
    "settings_table",
]

TABLES = {"stack": "recipe_table.json", "mosaic": "mosaic_table.json"}
"""Files beside this module, by the kind of recipe."""

_ALSO = {"max_iterations": "--maxiters", "threads": "--workers"}
_PREFIX = "set_"
FOREIGN_PREFIX = "zemosaic_"
"""How the parameters of options begin that speak the words of ZeMosaic."""
_METAVARS = {"number": "NUMBER", "integer": "N", "text": "TEXT", "list": "PATTERN", "bytes": "AMOUNT"}

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One setting of the recipe as the command line shows it.

    Attributes
    ----------
    kind : "number", "integer", "text", "flag", "choice", "list" or "bytes"
    default : any JSON value
    limits : str
        The range of a number, e.g. "0 < x <= 1"; or "".
    """

    name: str
    kind: str
    group: str
    default: Any
    choices: tuple[str, ...]
    limits: str
    help: str

    @property
    def flag(self) -> str:
        """The long option, e.g. "--sigma-low"."""
        return "--" + self.name.replace("_", "-")


class GroupedCommand(click.Command):
    """A command whose help shows its options under the headings of the settings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of the command itself, then those of each group of settings."""
        headings = {
            _PREFIX + setting.name: f"Settings: {setting.group}" for kind in TABLES for setting in settings_table(kind)
        }
        headings |= {
            name: "Options in the words of ZeMosaic"
            for parameter in self.get_params(ctx)
            if (name := parameter.name or "").startswith(FOREIGN_PREFIX)
        }
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record:
                sections.setdefault(headings.get(parameter.name or "", "Options"), []).append(record)
        for heading in sorted(sections, key=lambda heading: heading != "Options"):
            with formatter.section(heading):
                formatter.write_dl(sections[heading])


@cache
def settings_table(kind: str = "stack") -> tuple[Setting, ...]:
    """Return the settings of a kind of recipe in its order."""
    rows = json.loads(Path(__file__).with_name(TABLES[kind]).read_text("utf-8"))
    return tuple(Setting(**{**row, "choices": tuple(row["choices"])}) for row in rows)


def recipe_options(function: Function) -> Function:
    """Add an option for every setting of a stack; they arrive as ``set_<name>``, None where not given."""
    return _with_options(function, "stack")


def mosaic_options(function: Function) -> Function:
    """Add an option for every setting of a mosaic, likewise."""
    return _with_options(function, "mosaic")


def _with_options(function: Function, kind: str) -> Function:
    for setting in reversed(settings_table(kind)):
        function = _option(setting)(function)
    return function


def _option(setting: Setting) -> Callable[[Function], Function]:
    names = [setting.flag, *([_ALSO[setting.name]] if setting.name in _ALSO else []), _PREFIX + setting.name]
    text = f"{setting.help} ({setting.limits})" if setting.limits else setting.help
    if setting.kind == "flag":
        names[0] = f"{setting.flag}/--no-{setting.flag[2:]}"
        return click.option(*names, default=None, help=f"{text}  [default: {'on' if setting.default else 'off'}]")
    if setting.kind == "list":
        return click.option(*names, multiple=True, metavar="PATTERN", help=f"{text} May be given several times.")
    if setting.default is not None:
        text += f"  [default: {_shown(setting.default)}]"
    if setting.kind == "choice":
        choice = click.Choice(setting.choices, case_sensitive=False)
        return click.option(*names, default=None, type=choice, metavar=f"[{'|'.join(setting.choices)}]", help=text)
    return click.option(*names, default=None, metavar=_METAVARS[setting.kind], help=text)


def _shown(default: Any) -> str:
    return f"{default:g}" if isinstance(default, float) else str(default)


def chosen_settings(options: Mapping[str, Any], kind: str = "stack") -> tuple[dict[str, Any], dict[str, str]]:
    """
    Return (values, origins) of the settings that the command line gives, the dwarf3 names translated.

    Raises
    ------
    UsageError
        If two options contradict each other.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    if options.get("sigma") is not None:
        values |= {"sigma_low": options["sigma"], "sigma_high": options["sigma"]}
        origins |= {"sigma_low": "--sigma", "sigma_high": "--sigma"}
    for setting in settings_table(kind):
        value = options.get(_PREFIX + setting.name)
        if value is not None and value != ():
            values[setting.name] = value
            origins[setting.name] = setting.flag
    if options.get("full_res"):
        if values.get("debayer", "cfa") != "cfa":
            raise UsageError(
                f"--full-res means --debayer cfa, it cannot go with --debayer {values['debayer']}",
                "give one of the two",
            )
        values["debayer"], origins["debayer"] = "cfa", "--full-res"
    return values, origins
