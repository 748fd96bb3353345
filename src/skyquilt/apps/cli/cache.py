"""skyquilt cache: what is kept between runs, and how to be rid of it."""

from __future__ import annotations

from pathlib import Path

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.face import existing_folder, face
from skyquilt.errors import UsageError

__all__ = ["cache"]

_SCRATCH = ".skyquilt"


@click.command(short_help="Show or clear what is kept between runs.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--status", is_flag=True, help="Show the size of each part (what happens without any option).")
@click.option("--clear", is_flag=True, help="Throw everything kept away; products stay.")
@click.option("--clear-measurements", is_flag=True, help="Throw the measurements of the frames away.")
@click.option("--clear-transforms", is_flag=True, help="Throw the kept transforms away.")
@click.option("--clear-stack", is_flag=True, help="Throw the tiles of unfinished stacks away.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("processedData"),
    show_default=True,
    help="Where the products of a raw session lie.",
)
@face
def cache(console: Console, folder: Path, out: Path, status: bool, **clear: bool) -> int:
    """
    Show or clear what is kept between runs.

    FOLDER is a raw session, a processed folder, or a cache folder. Raw frames and products are never touched.
    """
    existing_folder(folder)
    from skyquilt import engine
    from skyquilt.engine.report import bytes_text

    asked = [name.removeprefix("clear").lstrip("_") or "all" for name, given in clear.items() if given]
    if len(asked) > 1 and "all" in asked:
        asked = ["all"]
    if status and asked:
        raise UsageError("--status and --clear cannot go together", "give one of the two")
    folders = _cache_folders(folder, out)
    freed = sum(engine.clear_cache(place, what) for place in folders for what in asked)
    totals: dict[str, list[int]] = {}
    for place in folders:
        for entry in engine.cache_status(place):
            sizes = totals.setdefault(entry.name, [0, 0])
            sizes[0] += entry.n_files
            sizes[1] += entry.size_bytes
    if asked:
        console.result(f"{bytes_text(freed)} freed")
    if not folders:
        console.result(f"nothing is kept for {folder}")
    elif not asked:
        rows = [{"part": name, "files": str(n), "size": bytes_text(size)} for name, (n, size) in totals.items()]
        console.table(rows)
    entries = [{"name": name, "n_files": n, "size_bytes": size} for name, (n, size) in totals.items()]
    content = {"folders": [str(place) for place in folders], "cleared": asked, "freed_bytes": freed, "entries": entries}
    console.document("skyquilt.cli.cache", content)
    return 0


def _cache_folders(folder: Path, out: Path) -> list[Path]:
    """Return the folders to look into: the one given, or those below `out` that belong to the raw session."""
    if folder.name == _SCRATCH or any(path.is_dir() for path in folder.rglob(_SCRATCH)):
        return [folder]
    if not out.is_dir() or not any(path.is_dir() for path in out.rglob(_SCRATCH)):
        return []
    from skyquilt.io.discover import discover

    places = [out / group.name for group in discover(folder).groups]
    shared = [out] if (out / _SCRATCH).is_dir() else []
    return [place for place in places if (place / _SCRATCH).is_dir()] or shared
