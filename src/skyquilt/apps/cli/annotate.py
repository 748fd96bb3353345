"""skyquilt annotate: what is where in a solved image."""

from __future__ import annotations

from pathlib import Path

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.face import face

__all__ = ["annotate"]


@click.command(short_help="Draw grid, stars and objects over a solved image.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The picture, .png or .svg.  [default: FILE's name with _annotated.png, in this folder]",
)
@click.option(
    "--stars", "n_stars", type=click.IntRange(0, 5000), default=40, show_default=True, help="Brightest stars to mark."
)
@click.option("--objects/--no-objects", "with_objects", default=True, help="Mark nebulae, clusters and galaxies.")
@click.option("--grid/--no-grid", "with_grid", default=True, help="Draw right ascension and declination.")
@click.option(
    "--catalogue",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A deeper catalogue of yours: CSV or FITS table with ra_deg, dec_deg, mag [, pmra_mas, pmdec_mas, bt_mag].",
)
@click.option(
    "--catalogue-use",
    type=click.Choice(["merge", "instead"]),
    default="merge",
    show_default=True,
    help="Add its stars to Tycho-2, or use it instead.",
)
@face
def annotate(
    console: Console,
    file: Path,
    out: Path | None,
    n_stars: int,
    with_objects: bool,
    with_grid: bool,
    catalogue: Path | None,
    catalogue_use: str,
) -> int:
    """
    Draw a grid, stars and deep-sky objects with their names over the picture of FILE, a FITS image with coordinates.

    FILE is only read. Objects are those of OpenNGC (M. Verga, CC-BY-SA 4.0), stars those of Tycho-2.
    """
    from skyquilt.engine.annotate import annotate_image
    from skyquilt.io.catalogue import open_catalogue

    record = annotate_image(
        file,
        out if out is not None else Path(f"{file.stem}_annotated.png"),
        open_catalogue(catalogue, use=catalogue_use),
        n_stars=n_stars,
        with_objects=with_objects,
        with_grid=with_grid,
    )
    for note in record.notes:
        console.note(note)
    console.result(f"{record.output}: {record.n_stars} stars, {len(record.objects)} objects")
    for name in (*record.objects, *record.named_stars):
        console.result(f"  {name}")
    if record.n_without_label:
        console.note(f"{record.n_without_label} marks have no label: there was no room for it")
    console.document("skyquilt.cli.annotate", record.model_dump(mode="json"))
    return 0
