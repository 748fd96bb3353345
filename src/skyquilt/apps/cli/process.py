"""skyquilt process and skyquilt color: the commands of dwarf3, as chains of finish."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.face import face
from skyquilt.apps.cli.finish import tell_result
from skyquilt.errors import UsageError

__all__ = ["color", "process"]

_FILE = click.Path(path_type=Path)


@click.command(short_help="Finish a mono master with the flags of dwarf3's process.")
@click.argument("master", type=_FILE, required=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The picture, PNG; a 16-bit TIFF of the same name is written too.  [default: MASTER_processed.png beside it]",
)
@click.option("--no-bg-subtract", is_flag=True, help="Leave the background as it is.")
@click.option("--bg-cell-size", type=int, help="Cells of the background, px.  [default: 128, less in small images]")
@click.option(
    "--stretch",
    type=click.Choice(["single", "two_stage"]),
    default="two_stage",
    show_default=True,
    help="One curve, or one for the faint and one for the bright.",
)
@click.option("--no-contrast", is_flag=True, help="Leave the local contrast as it is.")
@click.option("--contrast-scale", type=float, default=100.0, show_default=True, help="Largest structure, px.")
@click.option("--contrast-strength", type=float, default=0.3, show_default=True, help="How much it is lifted.")
@click.option("--reduce-noise", is_flag=True, help="Smooth the background; objects are spared.")
@click.option(
    "--noise-method",
    type=click.Choice(["median", "gaussian", "bilateral"]),
    default="median",
    show_default=True,
    help="How the background is smoothed.",
)
@click.option("--noise-size", type=int, default=3, show_default=True, help="Of the filter, px.")
@click.option("--colormap", metavar="NAME", help="Show it in these colours.")
@click.option("--list-colormaps", is_flag=True, help="List the names of colours and end.")
@face
def process(console: Console, master: Path | None, **options: Any) -> int:
    """Finish MASTER, a mono image: background, noise, stretch, local contrast, colours. MASTER is only read."""
    from skyquilt.engine.finish import FinishSettings, colourmap_names, finish_master, open_master, process_chain

    if options["list_colormaps"]:
        names = colourmap_names()
        for name in names:
            console.result(name)
        console.document("skyquilt.cli.colormaps", {"colormaps": list(names)})
        return 0
    if master is None:
        raise UsageError("no master is given", "skyquilt process MASTER")
    picture = options["out"] or master.with_name(f"{master.stem}_processed.png")
    chain = process_chain(
        subtract_background=not options["no_bg_subtract"],
        cell_px=options["bg_cell_size"],
        shape=open_master(master).shape[1:],
        stretch=options["stretch"],
        contrast=not options["no_contrast"],
        contrast_scale=options["contrast_scale"],
        contrast_strength=options["contrast_strength"],
        noise_method=options["noise_method"] if options["reduce_noise"] else None,
        noise_size=options["noise_size"],
        colourmap=options["colormap"],
    )
    outputs = (picture, picture.with_suffix(".tif"))
    return tell_result(console, finish_master(master, FinishSettings(chain=chain, outputs=outputs)))


@click.command(short_help="Finish a colour master with the flags of dwarf3's color.")
@click.argument("place", type=_FILE, metavar="MASTER")
@click.option("--luminance", type=_FILE, help="Luminance for LRGB: PNG, TIFF, FITS or XISF.")
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for what is written.  [default: MASTER's]"
)
@click.option(
    "--wb-method",
    type=click.Choice(["stars", "gray_world", "none"]),
    default="stars",
    show_default=True,
    help="What is white on the mean.",
)
@click.option("--scnr", type=float, default=0.0, show_default=True, help="How much green is taken, 0 to 1.")
@click.option(
    "--bg",
    type=click.Choice(["none", "mild", "strong"]),
    default="none",
    show_default=True,
    help="How curved a gradient of the sky is taken off.",
)
@click.option("--chroma-boost", type=float, default=1.2, show_default=True, help="Colours of LRGB, times this.")
@click.option("--stretch", type=float, default=0.1, show_default=True, help="Where the asinh bends.")
@click.option(
    "--lrgb-method",
    type=click.Choice(["lab", "hsv", "direct"]),
    default="lab",
    show_default=True,
    help="How the luminance comes in.",
)
@click.option("--no-stretch", is_flag=True, help="A straight picture from black to white.")
@click.option(
    "--mode",
    type=click.Choice(["default", "galaxy"]),
    default="default",
    show_default=True,
    help="galaxy: a darker sky.",
)
@click.option("--rgb-gains", metavar="R,G,B", help="These gains instead of a white balance.")
@click.option("--saturation", type=float, default=1.0, show_default=True, help="Colours times this.")
@face
def color(console: Console, place: Path, **options: Any) -> int:
    """
    Finish MASTER, a colour image or the folder that holds it: background, white balance, green, stretch, LRGB.

    MASTER is only read. Written are master_rgb_calibrated.fits (linear), master_rgb_color or master_lrgb as PNG and
    TIFF, and color_calibration.json.
    """
    from skyquilt.engine.finish import FinishSettings, color_chain, find_colour_master, finish_master

    master = find_colour_master(place)
    folder = options["out"] or master.parent
    chain = color_chain(
        luminance=options["luminance"],
        balance=options["wb_method"],
        gains=_gains(options["rgb_gains"]),
        scnr=options["scnr"],
        background=options["bg"],
        chroma_boost=options["chroma_boost"],
        stretch=options["stretch"],
        lrgb_method=options["lrgb_method"],
        is_stretched=not options["no_stretch"],
        mode=options["mode"],
        saturation=options["saturation"],
    )
    name = "master_lrgb" if options["luminance"] else "master_rgb_color"
    settings = FinishSettings(
        chain=chain,
        outputs=(folder / f"{name}.png", folder / f"{name}.tif"),
        save_linear=folder / "master_rgb_calibrated.fits",
    )
    result = finish_master(master, settings)
    _write_calibration(folder / "color_calibration.json", result.record.model_dump(mode="json"))
    return tell_result(console, result)


def _gains(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        gains = [float(part) for part in text.split(",")]
    except ValueError:
        gains = []
    if len(gains) != 3:
        raise UsageError(f"--rgb-gains {text} are not three numbers", "write --rgb-gains 1.2,1,1.5")
    return gains


def _write_calibration(path: Path, record: dict[str, Any]) -> None:
    from skyquilt.io.atomic import write_atomically

    found = {step["operation"]: step["facts"] for step in record["steps_done"] if not step["skipped"]}
    balance = found.get("balance", {})
    document = {
        "schema_id": "skyquilt.color_calibration",
        "schema_version": 1,
        "master": record["master"],
        "method": balance.get("method", "none"),
        "gains": balance.get("gains", [1.0, 1.0, 1.0]),
        "steps": found,
    }
    write_atomically(path, (json.dumps(document, indent=1) + "\n").encode())
