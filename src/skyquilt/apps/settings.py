"""
Where the settings of a run come from, and which one wins.

From weak to strong: built-in, the user's `config.toml`, the project's `skyquilt.toml` (in the session folder, else in
the current folder), the settings of another program (`--config zemosaic_config.json`), `--preset`, the environment
(`SKYQUILT_KEEP=0.9`), flags. A key that does not exist is an error wherever it is written. In TOML a setting stands at
the top or in the table of its group::

    keep = 0.9

    [rejection]
    sigma_high = 2.5
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from skyquilt.engine.mosaic import NOT_OF_A_MOSAIC, MosaicRecipe
from skyquilt.engine.recipe import PRESETS, Recipe
from skyquilt.errors import BadInput, UsageError

__all__ = [
    "CONFIG_NAME",
    "ENVIRONMENT_PREFIX",
    "PROJECT_NAME",
    "Layer",
    "Settled",
    "gather_layers",
    "nearest",
    "preset_layer",
    "recipe_groups",
    "settle",
    "toml_line",
    "user_config_path",
]

CONFIG_NAME = "config.toml"
PROJECT_NAME = "skyquilt.toml"
ENVIRONMENT_PREFIX = "SKYQUILT_"
# Names with the prefix that are no settings: the folder of test frames, another user config, the preset.
_RESERVED = {"SKYQUILT_DATA", "SKYQUILT_CONFIG", "SKYQUILT_PRESET"}
_PATHS = {"dark", "flat", "bias"}
_WORDS_OF_PATHS = {"auto", "none"}


@dataclass(frozen=True, slots=True)
class Layer:
    """
    Settings from one place.

    Attributes
    ----------
    origin : str
        Where they were written, for `config show --origin` and for errors, e.g. "skyquilt.toml", "--preset best".
    values : dict
        By field name of `Recipe` or `MosaicRecipe`; not yet validated.
    origins : dict
        A more exact place for single values ("--keep", "SKYQUILT_KEEP").
    is_shared : bool
        Whether it speaks to stacks and mosaics alike, so that what concerns only the other kind is passed over.
    """

    origin: str
    values: Mapping[str, Any]
    origins: Mapping[str, str] = field(default_factory=dict)
    is_shared: bool = True


@dataclass(frozen=True, slots=True)
class Settled:
    """The recipe, and for each of its fields where the value comes from ("built-in" or an origin)."""

    recipe: Recipe
    origins: Mapping[str, str]


def nearest(word: str, words: Iterable[str]) -> str:
    """Return "did you mean X?" for a misspelt word, or "" if nothing is near."""
    found = get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"did you mean {found[0]}?" if found else ""


def user_config_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where the user's settings lie: SKYQUILT_CONFIG, else the folder that the system keeps for such files."""
    named = environment.get("SKYQUILT_CONFIG")
    if named:
        return Path(named)
    from platformdirs import user_config_path as folder_of

    return folder_of("skyquilt", appauthor=False) / CONFIG_NAME


def recipe_groups(kind: type[Recipe] = Recipe) -> dict[str, str]:
    """Return the group of every setting, in the order of the recipe."""
    groups = {}
    for name, info in kind.model_fields.items():
        extra = info.json_schema_extra
        groups[name] = str(extra["group"]) if isinstance(extra, dict) and "group" in extra else "other"
    return groups


def settle(layers: Iterable[Layer], kind: type[Recipe] = Recipe) -> Settled:
    """
    Lay the layers on the built-in values, the later the stronger, and validate the result.

    Parameters
    ----------
    kind : type
        `Recipe` or `MosaicRecipe`.

    Raises
    ------
    UsageError
        If a key does not exist or a value cannot be meant; the message names the key, the value and its origin.
    """
    values: dict[str, Any] = {}
    origins = dict.fromkeys(kind.model_fields, "built-in")
    for layer in layers:
        for key, value in layer.values.items():
            origin = layer.origins.get(key, layer.origin)
            if layer.is_shared and _is_of_the_other_kind(key, kind):
                continue
            if key not in kind.model_fields:
                raise UsageError(
                    f"there is no setting {key} (written in {origin})",
                    nearest(key, kind.model_fields) or "skyquilt config show lists the settings",
                )
            values[key] = _as_written(kind.model_fields[key].default, value)
            origins[key] = origin
    try:
        return Settled(kind(**values), origins)
    except ValidationError as error:
        raise _usage_error(error, kind, origins) from None


def _is_of_the_other_kind(key: str, kind: type[Recipe]) -> bool:
    """Return whether a setting means something to stacks only, or to mosaics only, and this is the other."""
    if kind is MosaicRecipe:
        return key in NOT_OF_A_MOSAIC
    return key in MosaicRecipe.model_fields and key not in Recipe.model_fields


def gather_layers(
    *,
    folder: Path | None = None,
    preset: str | None = None,
    taken_over: Layer | None = None,
    flags: Layer | None = None,
    environment: Mapping[str, str] = os.environ,
    current: Path | None = None,
) -> list[Layer]:
    """
    Return the layers that count for a session folder, the weakest first.

    Parameters
    ----------
    taken_over : Layer or None
        Settings of another program.

    Raises
    ------
    UsageError
        If a preset or an environment variable does not exist.
    BadInput
        If a settings file is no TOML.
    """
    layers = []
    config = user_config_path(environment)
    if config.is_file():
        layers.append(_toml_layer(config, str(config)))
    elif environment.get("SKYQUILT_CONFIG"):
        raise UsageError(f"SKYQUILT_CONFIG names {config}, which does not exist")
    for place in (folder, current or Path.cwd()):
        if place is not None and (place / PROJECT_NAME).is_file():
            layers.append(_toml_layer(place / PROJECT_NAME, str(place / PROJECT_NAME)))
            break
    if taken_over:
        layers.append(taken_over)
    preset = preset or environment.get("SKYQUILT_PRESET")
    if preset:
        layers.append(preset_layer(preset))
    layers.append(_environment_layer(environment))
    if flags:
        layers.append(flags)
    return layers


def preset_layer(preset: str) -> Layer:
    """Return the settings of a named preset or of a TOML file."""
    if preset.endswith(".toml"):
        path = Path(preset)
        if not path.is_file():
            raise UsageError(f"there is no preset file {path}")
        return _toml_layer(path, f"--preset {path}")
    if preset not in PRESETS:
        raise UsageError(
            f"there is no preset {preset}",
            nearest(preset, PRESETS) or f"presets: {', '.join(PRESETS)}, or the path of a .toml file",
        )
    return Layer(f"--preset {preset}", PRESETS[preset])


def toml_line(key: str, value: Any) -> str:
    """Return a setting as a line of TOML; one without a value as a comment."""
    if value is None:
        return f"# {key} is not set"
    if isinstance(value, bool):
        return f"{key} = {'true' if value else 'false'}"
    if isinstance(value, int | float):
        return f"{key} = {value!r}"
    if isinstance(value, list | tuple):
        return f"{key} = [{', '.join(_quoted(str(item)) for item in value)}]"
    return f"{key} = {_quoted(str(value))}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}" for c in escaped) + '"'


def _toml_layer(path: Path, origin: str) -> Layer:
    """Read a settings file; tables are the groups of the settings."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not a settings file: {error}", "see docs/reference/recipe.md") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    groups = recipe_groups(MosaicRecipe)  # which has those of a stack as well
    values: dict[str, Any] = {}
    for key, value in document.items():
        if not isinstance(value, dict):
            values[key] = value
            continue
        if key not in groups.values():
            raise UsageError(
                f"there is no group of settings [{key}] (written in {origin})", nearest(key, groups.values())
            )
        for name, inner in value.items():
            if name in groups and groups[name] != key:
                raise UsageError(f"{name} stands in [{key}] of {origin}, it belongs to [{groups[name]}]")
            values[name] = inner
    for name in _PATHS & values.keys():
        values[name] = _beside(path, values[name])
    return Layer(origin, values)


def _beside(path: Path, value: Any) -> Any:
    """A path in a settings file is meant from the folder of that file."""
    if not isinstance(value, str) or value in _WORDS_OF_PATHS:
        return value
    return str(path.parent / Path(value).expanduser())


def _environment_layer(environment: Mapping[str, str]) -> Layer:
    values, origins = {}, {}
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX) or name in _RESERVED or not environment[name]:
            continue
        key = name.removeprefix(ENVIRONMENT_PREFIX).lower()
        values[key] = environment[name]
        origins[key] = name
    return Layer("environment", values, origins)


def _as_written(default: Any, value: Any) -> Any:
    """Bring text from flags and the environment to what the field takes: "none" for no value, commas for lists."""
    if not isinstance(value, str):
        return value
    if default is None and value.strip().lower() == "none":
        return None
    if isinstance(default, tuple):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _usage_error(error: ValidationError, kind: type[Recipe], origins: Mapping[str, str]) -> UsageError:
    """Say in one sentence which value cannot be meant, and where it was written."""
    first = error.errors()[0]
    if not first["loc"]:  # settings that contradict each other: the sentence names them
        return UsageError(
            first["msg"].removeprefix("Value error, "), "skyquilt config show --origin tells where each is from"
        )
    key = str(first["loc"][0])
    info = kind.model_fields.get(key)
    wrong = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    value = first["input"]
    return UsageError(
        f"{key} = {value} ({origins.get(key, 'unknown')}) cannot be meant: expected {wrong}"
        if first["msg"].startswith("Input should be")
        else f"{key} = {value} ({origins.get(key, 'unknown')}) cannot be meant: {wrong}",
        info.description or "" if info else "",
    )
