"""skyquilt frames: which frames a folder holds, how good they are, and which would be left out."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skyquilt.apps.cli.console import Console
from skyquilt.apps.cli.face import arguments_of, existing_folder, face
from skyquilt.apps.cli.faults import command_line
from skyquilt.apps.cli.options import GroupedCommand, chosen_settings, recipe_options, settings_table
from skyquilt.apps.cli.stack import progress_option, settled_for
from skyquilt.errors import NoUsableInput, UsageError

if TYPE_CHECKING:
    from skyquilt.engine.manifest import FrameRecord

__all__ = ["frames", "frames_csv", "frames_text"]

_FACTS = ("date_obs", "exposure_s", "gain", "temperature_c", "filter")
_FIGURES = (
    "background_adu",
    "noise_adu",
    "saturated_share",
    "n_stars",
    "fwhm_px",
    "eccentricity",
    "transparency",
    "score",
)


@click.command(cls=GroupedCommand, short_help="List frames, their figures and what would be left out.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--scored", is_flag=True, help="Measure the frames and show their figures.")
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the list: .csv with all figures, else text that --frame-list reads.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("processedData"),
    show_default=True,
    help="Where measurements are kept between runs.",
)
@click.option("--preset", metavar="NAME", help="A named set of settings, or a .toml file.")
@click.option("--frame-list", type=click.Path(path_type=Path), help="Only the frames named in this file.")
@click.option("--no-cache", is_flag=True, help="Keep and reuse no measurements.")
@click.option("--cache-refresh", is_flag=True, help="Throw kept measurements away first.")
@progress_option
@recipe_options
@face
def frames(console: Console, folder: Path, out: Path, scored: bool, save: Path | None, **options: Any) -> int:
    """
    List the frames below FOLDER, and what would be left out and why.

    With --scored or any setting of the selection (such as --keep 0.9) the frames are measured: the list then shows
    which of them a stack with these settings would keep.
    """
    existing_folder(folder)
    from skyquilt import engine
    from skyquilt.apps.cli.progress import Progress
    from skyquilt.apps.cli.stop import StopRequest

    selection = {setting.name for setting in settings_table() if setting.group == "selection"}
    if options["frame_list"] is not None and not options["frame_list"].is_file():
        raise UsageError(f"--frame-list: there is no file {options['frame_list']}")
    settled = settled_for(folder, options)
    scored = scored or not selection.isdisjoint(chosen_settings(options)[0])
    arguments = arguments_of(click.get_current_context())
    with StopRequest(console, command_line(arguments)) as stop, Progress(console, options["progress"]) as progress:
        run = engine.RunOptions(
            frame_list=options["frame_list"],
            use_cache=not options["no_cache"],
            refresh_cache=options["cache_refresh"],
            should_stop=stop,
        )
        records = engine.list_frames(folder, out, settled.recipe, scored=scored, listener=progress, options=run)
    if not records:
        raise NoUsableInput(f"no light frames were found below {folder}", "give the folder that holds the frames")
    if save is not None:
        _save(save, records)
        console.note(f"the list is in {save}")
    _show(console, records, scored=scored)
    console.document("skyquilt.cli.frames", {"scored": scored, "frames": [r.model_dump(mode="json") for r in records]})
    return 0


def _show(console: Console, records: list[FrameRecord], *, scored: bool) -> None:
    from skyquilt.engine.report import amount, percent

    rows = []
    for record in records:
        row = {"frame": record.file, "time (UTC)": (record.date_obs or "–")[:19].replace("T", " ")}
        row |= {"s": amount(record.exposure_s), "°C": amount(record.temperature_c), "filter": record.filter or "–"}
        if scored:
            row |= {
                "sky ADU": amount(record.background_adu),
                "noise ADU": amount(record.noise_adu),
                "full": percent(record.saturated_share),
                "stars": amount(record.n_stars),
                "FWHM px": amount(record.fwhm_px),
                "eccentr.": amount(record.eccentricity),
                "transp.": amount(record.transparency),
                "score": amount(record.score),
            }
        row["decision"] = "keep" if record.status == "stacked" else f"left out: {record.reason or record.code}"
        rows.append(row)
    console.table(rows)
    left_out = Counter(
        (record.code or "unnamed").replace("_", " ") for record in records if record.status == "left_out"
    )
    kept = len(records) - sum(left_out.values())
    reasons = ", ".join(f"{number} {code}" for code, number in left_out.most_common())
    console.result()
    console.result(f"{kept} of {len(records)} frames kept" + (f"; left out: {reasons}" if reasons else ""))


def frames_text(records: list[FrameRecord]) -> str:
    """Return the list as text: a kept frame a line; frames that are left out as comments with the reason."""
    lines = ["# frames to stack, one a line; lines that begin with # do not count"]
    for record in records:
        name = " ".join(record.file.splitlines())
        reason = " ".join((record.reason or record.code or "").split())
        lines.append(name if record.status == "stacked" else f"# {name}: {reason}")
    return "\n".join(lines) + "\n"


def frames_csv(records: list[FrameRecord]) -> str:
    """Return the list as CSV: every frame with its decision and figures, the units in the names of the columns."""
    columns = ("file", "status", "code", "reason", *_FACTS, *_FIGURES)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for record in records:
        writer.writerow("" if (value := getattr(record, name)) is None else value for name in columns)
    return text.getvalue()


def _save(path: Path, records: list[FrameRecord]) -> None:
    from skyquilt.io.atomic import write_atomically

    text = frames_csv(records) if path.suffix.lower() == ".csv" else frames_text(records)
    write_atomically(path, text.encode("utf-8", "surrogateescape"))
