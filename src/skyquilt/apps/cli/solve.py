"""skyquilt solve: where on the sky frames and masters lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.face import face
from skyquilt.errors import NotRegistered, NoUsableInput, SkyquiltError, UnreadableFrame, UsageError

if TYPE_CHECKING:
    from skyquilt.core import Event
    from skyquilt.engine import Solved, SolveRequest

__all__ = ["solve", "solved_document"]


@click.command(short_help="Tell where on the sky frames lie.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--blind", is_flag=True, help="Leave the header's pointing and scale aside: search the whole sky.")
@click.option("--ra", type=float, metavar="DEGREES", help="Right ascension (ICRS) near which the frames lie.")
@click.option("--dec", type=float, metavar="DEGREES", help="Declination (ICRS) near which the frames lie.")
@click.option("--radius", type=float, metavar="DEGREES", help="How far from there they may lie. [default: 3]")
@click.option("--scale", type=float, metavar="ARCSEC", help="Pixel scale, arcsec/px, known within 10 %.")
@click.option(
    "--solver",
    type=click.Choice(["auto", "own", "astap", "solve-field"]),
    default="auto",
    help="own: skyquilt's, offline; astap, solve-field: those programs; auto: the own one, then what is installed.",
)
@click.option(
    "--timeout", type=click.FloatRange(min=1.0), default=30.0, show_default=True, help="Seconds for an outside program."
)
@click.option("--catalogue", type=click.Path(path_type=Path), help="A deeper catalogue of yours: CSV or FITS table.")
@click.option("--write-sidecar", is_flag=True, help="Write the coordinates to a .wcs file beside each frame.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the .wcs files instead.")
@click.option(
    "--update-header", is_flag=True, help="Put the coordinates into the header: products of skyquilt only, never raw."
)
@face
def solve(console: Console, files: tuple[Path, ...], **options: Any) -> int:
    """
    Tell where on the sky each FILE lies: centre, scale, rotation.

    Works offline with the catalogue that comes with skyquilt. The header's pointing and scale are hints; where they
    are missing or wrong the whole sky is searched. Nothing is written unless asked for. Exit code 6: no frame was
    solved. --json prints a list with a document for each file.
    """
    if options["out"] is not None and not options["write_sidecar"]:
        raise UsageError("--out is the folder of the sidecars", "add --write-sidecar")
    _check_files(files)
    from platformdirs import user_cache_path

    from skyquilt import engine

    request = engine.SolveRequest(
        blind=options["blind"],
        ra_deg=options["ra"],
        dec_deg=options["dec"],
        radius_deg=options["radius"],
        scale_arcsec=options["scale"],
        solver=options["solver"],
        timeout_s=options["timeout"],
    )
    if options["update_header"]:
        for path in files:
            engine.check_product(path)

    def listen(event: Event) -> None:
        console.note(event.message)

    cache = user_cache_path("skyquilt", appauthor=False)
    solver = engine.SkySolver(options["catalogue"], cache, listen)
    records = []
    errors: list[SkyquiltError] = []
    for path in files:
        solved = _solve_one(solver, path, request, errors)
        if solved.grid is not None:
            _keep(console, path, solved, options)
        for note in solved.notes:
            console.warning(f"{path.name}: {note}")
        records.append(solved_document(path, solved))
    console.table([_row(record) for record in records])
    console.documents("skyquilt.cli.solve", records)
    if any(record["solved"] for record in records):
        return 0
    return errors[0].exit_code if len(errors) == len(files) else NotRegistered.exit_code


def _check_files(files: tuple[Path, ...]) -> None:
    for path in files:
        if path.is_dir():
            raise UsageError(f"{path} is a folder, files are expected", f"give the files, such as {path}/*.fit")
        if not path.exists():
            raise NoUsableInput(f"there is no file {path}", "check the path; quote it if it contains blanks")


def _solve_one(solver: Any, path: Path, request: SolveRequest, errors: list[SkyquiltError]) -> Solved:
    """Solve one file; one that cannot be read is a result like others, with its reason."""
    from skyquilt.engine import Solved

    try:
        solved: Solved = solver.solve_file(path, request)
        return solved
    except UnreadableFrame as error:
        errors.append(error)
        return Solved(None, error.message)


def _keep(console: Console, path: Path, solved: Solved, options: dict[str, Any]) -> None:
    """Write what was asked for."""
    from skyquilt import engine

    assert solved.grid is not None
    if options["write_sidecar"]:
        if options["out"] is not None:
            options["out"].mkdir(parents=True, exist_ok=True)
        console.detail(f"written: {engine.write_sidecar(path, solved.grid, options['out'])}")
    if options["update_header"]:
        engine.update_product(path, solved.grid)
        console.detail(f"updated: {path}")


def solved_document(path: Path, solved: Solved) -> dict[str, Any]:
    """Return what the JSON document says of one file."""
    grid = solved.grid
    centre = grid.centre_deg if grid is not None else (None, None)
    return {
        "file": str(path),
        "solved": solved.is_solved,
        "reason": solved.reason,
        "ra_deg": centre[0],
        "dec_deg": centre[1],
        "scale_arcsec": grid.wcs.scale_arcsec if grid is not None else None,
        "rotation_deg": grid.wcs.rotation_deg if grid is not None else None,
        "parity": grid.wcs.parity if grid is not None else None,
        "n_matched": solved.n_matched,
        "rms_px": solved.rms_px,
        "seconds": round(solved.seconds, 3),
        "solver": solved.solver,
        "found_by": solved.found_by,
        "model": solved.model,
        "notes": list(solved.notes),
        "figures": solved.figures,
    }


def _row(record: dict[str, Any]) -> dict[str, str]:
    """Return a line of the table."""
    if not record["solved"]:
        row = dict.fromkeys(("RA deg", "Dec deg", "arcsec/px", "rotation", "parity", "stars", "rms px"), "–")
        return {"file": Path(record["file"]).name, **row, "s": f"{record['seconds']:.2f}", "": record["reason"]}
    return {
        "file": Path(record["file"]).name,
        "RA deg": f"{record['ra_deg']:.5f}",
        "Dec deg": f"{record['dec_deg']:+.5f}",
        "arcsec/px": f"{record['scale_arcsec']:.4f}",
        "rotation": f"{record['rotation_deg']:.2f}",
        "parity": str(record["parity"]),
        "stars": "–" if record["n_matched"] is None else str(record["n_matched"]),
        "rms px": "–" if record["rms_px"] is None else f"{record['rms_px']:.2f}",
        "s": f"{record['seconds']:.2f}",
        "": "" if record["solver"] == "own" else f"by {record['solver']}",
    }
