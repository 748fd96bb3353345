"""The walk of a mosaic: gather, calibrate, measure, place, fit together, integrate by chunks, write."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from threadpoolctl import threadpool_limits

from skyquilt.core import Event, Listener, Session, SkyGrid, Wcs, silent
from skyquilt.engine.budget import check_disk
from skyquilt.engine.light import Light
from skyquilt.engine.lock import locked
from skyquilt.engine.manifest import Manifest
from skyquilt.engine.mosaic.assembly import assemble
from skyquilt.engine.mosaic.canvas import canvas_of
from skyquilt.engine.mosaic.fitting import Fitted, fit_island, fit_places
from skyquilt.engine.mosaic.gather import FieldSet, MosaicRun, find_field_sets, measure_field_set
from skyquilt.engine.mosaic.panels import find_islands, select_in_panels
from skyquilt.engine.mosaic.places import place_lights
from skyquilt.engine.mosaic.planning import MosaicPlan, choose_pieces, make_plan
from skyquilt.engine.mosaic.publish import publish_mosaic
from skyquilt.engine.mosaic.recipe import MosaicRecipe
from skyquilt.engine.result import GroupFailure, RunOptions
from skyquilt.engine.run import SCRATCH
from skyquilt.engine.solving import SkySolver
from skyquilt.engine.warmup import compile_kernels
from skyquilt.errors import Interrupted, NotRegistered, SkyquiltError, UsageError

__all__ = ["MosaicResult", "MosaicRunResult", "make_mosaics"]


@dataclass(frozen=True, slots=True)
class MosaicResult:
    """One finished mosaic: where its products lie, by name, and its manifest."""

    name: str
    folder: Path
    manifest: Manifest
    outputs: dict[str, Path]


@dataclass(frozen=True, slots=True)
class MosaicRunResult:
    """All mosaics of the folders that were given."""

    sessions: tuple[Session, ...]
    plans: tuple[MosaicPlan, ...] = ()
    mosaics: tuple[MosaicResult, ...] = ()
    failures: tuple[GroupFailure, ...] = ()


def make_mosaics(
    roots: Sequence[Path],
    out: Path,
    recipe: MosaicRecipe | None = None,
    *,
    listener: Listener = silent,
    options: RunOptions | None = None,
) -> MosaicRunResult:
    """
    Sew every light frame found below some folders into mosaics: one a filter, and one an island of overlapping frames.

    Parameters
    ----------
    roots : sequence of Path
        Folders as the telescopes left them; pointings may be mixed or spread over them in any way.
    out : Path
        Products go to ``out / <name>``.
    recipe : MosaicRecipe or None
    listener : callable
        Is told every `Event`.
    options : RunOptions or None

    Raises
    ------
    NoUsableInput
        If there are no light frames below any of the folders.
    Interrupted
        On request; the same call goes on where this one stopped.
    """
    recipe, options = recipe or MosaicRecipe(), options or RunOptions()
    if recipe.catalogue is not None and not Path(recipe.catalogue).is_file():
        raise UsageError(f"the catalogue {recipe.catalogue} does not exist", "give --catalogue a CSV or FITS table")
    sessions, sets = find_field_sets(roots, recipe, listener, options.frame_list)
    compile_kernels(listener)
    solver = SkySolver(Path(recipe.catalogue) if recipe.catalogue else None, options.sky_cache, listener)
    plans: list[MosaicPlan] = []
    mosaics: list[MosaicResult] = []
    failures: list[GroupFailure] = []
    with threadpool_limits(1):
        for fields in sets:
            try:
                _make_set(fields, out, recipe, options, listener, solver, plans, mosaics, failures)
            except Interrupted:
                raise
            except SkyquiltError as error:
                _fail(failures, fields.name, error, listener)
    listener(Event("done", "done", data={"stacked": len(mosaics), "failed": len(failures)}))
    return MosaicRunResult(tuple(sessions), tuple(plans), tuple(mosaics), tuple(failures))


def _fail(failures: list[GroupFailure], name: str, error: SkyquiltError, listener: Listener) -> None:
    failures.append(GroupFailure(name, error))
    listener(Event("warning", "done", f"{name}: {error.message}"))


def _make_set(
    fields: FieldSet,
    out: Path,
    recipe: MosaicRecipe,
    options: RunOptions,
    listener: Listener,
    solver: SkySolver,
    plans: list[MosaicPlan],
    mosaics: list[MosaicResult],
    failures: list[GroupFailure],
) -> None:
    """Measure and place all frames of a field set, then make the mosaic of every island of it."""
    folder = out / fields.name
    with nullcontext() if options.dry_run else locked(folder / SCRATCH):
        run = measure_field_set(fields, folder, recipe, options, listener)
        places = place_lights(
            run.lights, recipe, solver, listener, n_threads=run.n_threads, should_stop=options.should_stop
        )
        select_in_panels(run, places)
        if not run.kept:
            raise NotRegistered(
                f"{fields.name}: none of the {len(run.lights)} frames could be placed on the sky", "see the reasons above"
            )
        fitted = fit_places(run, places)
        islands = find_islands(run, fitted)
        for island in islands:
            try:
                plan, result = _make_island(run, island, fitted, solver)
                plans.append(plan)
                mosaics += [result] if result else []
            except Interrupted:
                raise
            except SkyquiltError as error:
                _fail(failures, island.name, error, listener)
