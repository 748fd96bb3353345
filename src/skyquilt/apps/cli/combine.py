"""skyquilt combine: masters of several filters made one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.face import face

if TYPE_CHECKING:
    from skyquilt.engine.finish import Combined

__all__ = ["combine"]

_FILE = click.Path(path_type=Path)
_OUT = click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The image, such as NAME.fits."
)


@click.group()
def combine() -> None:
    """
    Put masters of several filters together: they are laid on the first by their coordinates, or by their stars.

    Masters are only read. What is written is linear (but for LRGB by lab and hsv, and dynamic palettes): skyquilt
    finish makes a picture of it.
    """


@combine.command()
@click.option("--colour", "--color", "colour", type=_FILE, help="A colour master.")
@click.option("--red", type=_FILE, help="Instead of it, three mono masters.")
@click.option("--green", type=_FILE, help="The green one of the three.")
@click.option("--blue", type=_FILE, help="The blue one of the three.")
@click.option("--luminance", type=_FILE, help="A mono master; the image has its grid.")
@click.option(
    "--method",
    type=click.Choice(["direct", "lab", "hsv"]),
    default="direct",
    show_default=True,
    help="direct: linear; lab, hsv: a picture.",
)
@click.option("--weight", type=float, default=1.0, show_default=True, help="Of the luminance, 0 to 1.")
@click.option("--chroma", type=float, default=1.0, show_default=True, help="Colours times this.")
@_OUT
@face
def lrgb(console: Console, out: Path, method: str, weight: float, chroma: float, **files: Path | None) -> int:
    """Make a colour image of red, green and blue, with or without a luminance."""
    from skyquilt.engine.finish import combine_lrgb_masters, lrgb_settings

    given = {name: path for name, path in files.items() if path is not None}
    settings = lrgb_settings(method=method, weight=weight, chroma=chroma)
    return _tell(console, combine_lrgb_masters(given, out, settings))


@combine.command()
@click.option("--ha", "H", type=_FILE, help="Master of H-alpha.")
@click.option("--oiii", "O", type=_FILE, help="Master of [OIII].")
@click.option("--sii", "S", type=_FILE, help="Master of [SII].")
@click.option(
    "--palette",
    default="HOO",
    show_default=True,
    metavar="NAME",
    help="SHO, HOO, HSO, HOS, OHS, bicolour, natural, dynamic_SHO, dynamic_HOO.",
)
@_OUT
@face
def palette(console: Console, out: Path, palette: str, **files: Path | None) -> int:
    """Show narrow bands as red, green and blue."""
    from skyquilt.engine.finish import combine_palette_masters, palette_settings

    given = {name: path for name, path in files.items() if path is not None}
    return _tell(console, combine_palette_masters(given, out, palette_settings(palette=palette)))


@combine.command()
@click.argument("master", type=_FILE)
@click.option(
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder.  [default: that of MASTER; for a session, processedData]",
)
@click.option(
    "--response",
    metavar="NUMBERS",
    help="What red, green and blue see of H-alpha and [OIII]: six numbers, or nine with the continuum.",
)
@face
def duoband(console: Console, master: Path, folder: Path | None, response: str | None) -> int:
    """
    Tell H-alpha from [OIII] in MASTER, the colour master of a session behind a duo-band filter.

    MASTER may be the folder of the raw session: it is stacked first, each colour straight from its pixels of the
    sensor (--debayer cfa), as no colour of another line is mixed in then.
    """
    from skyquilt.engine.finish import duoband_settings, separate_bands

    settings = duoband_settings(response)
    if not master.is_dir():
        return _tell(console, separate_bands(master, folder or master.parent, settings))
    from skyquilt.apps.api import stack

    for made in stack(master, folder or Path("processedData"), debayer="cfa").stacks:
        linear = made.outputs["master_linear"]
        _tell(console, separate_bands(linear, linear.parent, settings))
    return 0


@combine.command()
@click.option("--narrow", type=_FILE, required=True, help="Master of the line; of a colour master its red.")
@click.option("--broad", type=_FILE, required=True, help="Master of the light around it.")
@click.option("--scale", type=float, help="What the narrow band sees of the broad one's light.  [default: from stars]")
@click.option("--strength", type=float, default=1.0, show_default=True, help="Share of it that is taken.")
@_OUT
@face
def continuum(console: Console, out: Path, narrow: Path, broad: Path, scale: float | None, strength: float) -> int:
    """Take the light of stars and galaxies from a narrow band; the line is left."""
    from skyquilt.engine.finish import continuum_settings, subtract_continuum_masters

    settings = continuum_settings(scale=scale, strength=strength)
    return _tell(console, subtract_continuum_masters(narrow, broad, out, settings))


def _tell(console: Console, combined: Combined) -> int:
    masters: dict[str, dict[str, Any]] = combined.facts["masters"]
    for name, told in masters.items():
        if told["by"] != "first":
            console.note(f"{name}: {told['file']} laid on the first by {told['by']}")
    for note in combined.notes:
        console.note(note)
    for name, path in combined.outputs.items():
        console.result(f"{name:<10} {path}")
    files = {name: str(path) for name, path in combined.outputs.items()}
    console.document("skyquilt.cli.combine", {"files": files, **combined.facts})
    return 0
