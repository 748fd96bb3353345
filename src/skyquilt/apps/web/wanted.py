"""The settings of a run as the page wants them: their schema, and what they mean in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from skyquilt.apps.settings import Layer, gather_layers, recipe_groups, settle
from skyquilt.apps.web.bodies import Run
from skyquilt.engine import PRESETS, Recipe
from skyquilt.engine.mosaic import MosaicRecipe
from skyquilt.errors import UsageError

__all__ = ["recipes_json", "wanted_recipe"]

_KINDS: dict[str, type[Recipe]] = {"stack": Recipe, "mosaic": MosaicRecipe}
_PATHS = ("dark", "flat", "bias", "catalogue", "canvas")
"""Settings that name files: the page may choose their words, never a path."""

_WORDS = ("auto", "none")


def recipes_json() -> dict[str, Any]:
    """Return the settings of stacks and mosaics, with their help (docs/reference/app-api.md, section 5)."""
    found = {}
    for name, kind in _KINDS.items():
        groups = recipe_groups(kind)
        found[name] = {
            "schema": kind.model_json_schema(),
            "groups": list(dict.fromkeys(groups.values())),
            "presets": PRESETS,
            "defaults": kind().model_dump(mode="json"),
        }
    return found


def wanted_recipe(run: Run, folder: Path) -> dict[str, Any]:
    """
    Return the settings that the page gives, made sure of that they can be meant together with those of the folder.

    Raises
    ------
    UsageError
        Naming the setting.
    BadInput
        If a settings file cannot be read.
    """
    kind = _KINDS[run.kind]
    for name in _PATHS:
        if run.settings.get(name) not in (None, *_WORDS):
            raise UsageError(f"{name} cannot name a file here", "write it in skyquilt.toml in the session's folder")
    try:
        given = kind(**{name: _listed(value) for name, value in run.settings.items()})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        told = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{place}: {told}" if place else told, "") from None
    if run.preset is not None and run.preset not in PRESETS:
        raise UsageError(f"there is no preset {run.preset}", f"presets: {', '.join(PRESETS)}")
    written = given.model_dump(mode="json")
    recipe = {name: written[name] for name in given.model_fields_set}
    flags = Layer("the page", {name: getattr(given, name) for name in given.model_fields_set}, is_shared=False)
    settle(gather_layers(folder=folder, preset=run.preset, flags=flags), kind)
    return recipe


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
