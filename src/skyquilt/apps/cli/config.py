"""skyquilt config: the settings that count here, where they come from, and what there is to set."""

from __future__ import annotations

import json
from pathlib import Path

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.face import existing_folder, face

__all__ = ["config"]


@click.group()
def config() -> None:
    """Show the settings and where they come from."""


@config.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--preset", metavar="NAME", help="As if this preset were given.")
@click.option("--origin", is_flag=True, help="Show where each value was written.")
@face
def show(console: Console, folder: Path | None, preset: str | None, origin: bool) -> int:
    """
    Print the settings of a stack as TOML.

    With FOLDER, a session, its skyquilt.toml counts too. The output can be saved as skyquilt.toml.
    """
    from skyquilt.apps.settings import gather_layers, recipe_groups, settle, toml_line

    if folder is not None:
        existing_folder(folder)
    settled = settle(gather_layers(folder=folder, preset=preset))
    values = settled.recipe.model_dump(mode="json")
    lines = {name: toml_line(name, value) for name, value in values.items()}
    width = max(map(len, lines.values()))
    before = ""
    for name, group in recipe_groups().items():
        if group != before:
            console.result(f"{'' if not before else chr(10)}[{group}]")
            before = group
        console.result(f"{lines[name]:<{width}}  # {settled.origins[name]}" if origin else lines[name])
    settings = {name: {"value": value, "origin": settled.origins[name]} for name, value in values.items()}
    console.document("skyquilt.cli.config", {"settings": settings})
    return 0


@config.command()
@face
def path(console: Console) -> int:
    """Print where the user's settings file lies (it need not exist)."""
    from skyquilt.apps.settings import user_config_path

    place = user_config_path()
    console.result(str(place))
    console.document("skyquilt.cli.config_path", {"path": str(place), "exists": place.is_file()})
    return 0


@config.command()
@face
def schema(console: Console) -> int:
    """Print the JSON Schema of the settings."""
    from skyquilt.engine.recipe import Recipe

    content = Recipe.model_json_schema()
    console.result(json.dumps(content, indent=1))
    console.document("skyquilt.cli.config_schema", {"schema": content})
    return 0


@config.command()
@face
def presets(console: Console) -> int:
    """List the presets and what they set."""
    from skyquilt.engine.recipe import PRESETS

    for name, values in PRESETS.items():
        console.result(f"{name:<10} {', '.join(f'{key} = {value}' for key, value in values.items()) or 'all built-in'}")
    console.document("skyquilt.cli.presets", {"presets": PRESETS})
    return 0
