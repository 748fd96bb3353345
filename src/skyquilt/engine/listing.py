"""The scored list of a session's frames, without stacking them."""

from __future__ import annotations

from pathlib import Path

from threadpoolctl import threadpool_limits

from skyquilt.core import Listener, silent
from skyquilt.engine.align import select_lights
from skyquilt.engine.light import record_of, record_of_stray
from skyquilt.engine.manifest import FrameRecord
from skyquilt.engine.recipe import Recipe
from skyquilt.engine.result import RunOptions
from skyquilt.engine.stack import find_groups, prepare_group
from skyquilt.engine.warmup import compile_kernels
from skyquilt.errors import NoUsableInput

__all__ = ["list_frame_files", "list_frames"]


def list_frames(
    root: Path,
    out: Path,
    recipe: Recipe | None = None,
    *,
    scored: bool = False,
    listener: Listener = silent,
    options: RunOptions | None = None,
) -> list[FrameRecord]:
    """
    Return a record of every frame found below a folder.

    Parameters
    ----------
    scored : bool
        Measure and score the frames, and say which ones the recipe's limits would leave out.
    """
    found = list_frame_files(root, out, recipe, scored=scored, listener=listener, options=options)
    return [record for _, record in found]


def list_frame_files(
    root: Path,
    out: Path,
    recipe: Recipe | None = None,
    *,
    scored: bool = False,
    listener: Listener = silent,
    options: RunOptions | None = None,
) -> list[tuple[Path, FrameRecord]]:
    """Return what `list_frames` does, each record with the path of its file."""
    recipe, options = recipe or Recipe(), options or RunOptions()
    session, groups, strays = find_groups(root, recipe, listener, options.frame_list)
    records: list[tuple[Path, FrameRecord]] = []
    if scored:
        compile_kernels(listener)
    for group in groups:
        if not scored:
            for light in group.lights:
                meta = light.meta
                record = FrameRecord(
                    file=light.name,
                    status="stacked",
                    size_bytes=light.size_bytes,
                    date_obs=meta.date_obs,
                    exposure_s=meta.exposure_s,
                    gain=meta.gain,
                    temperature_c=meta.temperature_c,
                    filter=meta.filter,
                    notes=list(meta.notes),
                )
                records.append((light.path, record))
            continue
        with threadpool_limits(1):
            run = prepare_group(session, group, out / group.name, recipe, options, listener, strays)
            select_lights(run.lights, recipe, listener)
        records += [(light.file.path, record_of(light)) for light in run.lights]
    records += [(stray.path, record_of_stray(stray)) for stray in [*strays, *session.left_out]]
    if not records:
        raise NoUsableInput(f"no frames in {root}", "give the folder that holds the sub-exposures")
    return records
