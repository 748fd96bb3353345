"""The walk of a mosaic: gather, calibrate, measure, place, fit together, integrate by chunks, write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from threadpoolctl import threadpool_limits

from skyquilt.core import Event, Listener, Session, silent
from skyquilt.engine.budget import check_disk
from skyquilt.engine.lock import locked
from skyquilt.engine.manifest import Manifest
from skyquilt.engine.mosaic.assembly import ChunkRunner, assemble, frame_counts, on_threads, open_canvas
from skyquilt.engine.mosaic.canvas import named_canvas
from skyquilt.engine.mosaic.fitting import fit_places
from skyquilt.engine.mosaic.gather import FieldSet, MosaicRun, find_field_sets, measure_field_set
from skyquilt.engine.mosaic.island import IslandRun, begin_island
from skyquilt.engine.mosaic.panels import find_islands, select_in_pointings
from skyquilt.engine.mosaic.places import PlaceRunner, place_lights, places_on_threads
from skyquilt.engine.mosaic.planning import MosaicPlan, strip_rows
from skyquilt.engine.mosaic.publish import publish_mosaic
from skyquilt.engine.mosaic.recipe import MosaicRecipe
from skyquilt.engine.mosaic.stored import StoredCanvas
from skyquilt.engine.mosaic.tidy import clear_mosaic
from skyquilt.engine.result import GroupFailure, RunOptions
from skyquilt.engine.run import SCRATCH, scratch_of
from skyquilt.engine.solving import SkySolver
from skyquilt.engine.warmup import compile_kernels
from skyquilt.errors import ClusterFailed, Interrupted, NotRegistered, NoUsableInput, SkyquiltError, UsageError

if TYPE_CHECKING:
    from skyquilt.engine.executors.cluster import Cluster

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
    ClusterFailed
        If the cluster of ``options.scheduler`` cannot be reached, is lost or does not fit; what is done is kept.
    Interrupted
        On request; the same call goes on where this one stopped.
    """
    recipe, options = recipe or MosaicRecipe(), options or RunOptions()
    if recipe.catalogue is not None and not Path(recipe.catalogue).is_file():
        raise UsageError(f"the catalogue {recipe.catalogue} does not exist", "give --catalogue a CSV or FITS table")
    if recipe.canvas is not None:  # told now, not after the frames have been measured
        named_canvas(Path(recipe.canvas))
    plans: list[MosaicPlan] = []
    mosaics: list[MosaicResult] = []
    failures: list[GroupFailure] = []
    with _cluster(options.scheduler, listener) as cluster:  # first: looking at all headers may take minutes
        sessions, sets = find_field_sets(roots, recipe, listener, options.frame_list)
        compile_kernels(listener)
        solver = SkySolver(Path(recipe.catalogue) if recipe.catalogue else None, options.sky_cache, listener)
        import scipy.linalg  # noqa: F401  # brings a BLAS of its own: the limit holds for those that are loaded already

        with threadpool_limits(1):
            for fields in sets:
                try:
                    _make_set(fields, out, recipe, options, listener, solver, cluster, plans, mosaics, failures)
                except (Interrupted, ClusterFailed):
                    raise
                except SkyquiltError as error:
                    _fail(failures, fields.name, error, listener)
    listener(Event("done", "done", data={"stacked": len(mosaics), "failed": len(failures)}))
    return MosaicRunResult(tuple(sessions), tuple(plans), tuple(mosaics), tuple(failures))


def _cluster(address: str | None, listener: Listener) -> AbstractContextManager[Cluster | None]:
    """Return the cluster that was asked for, if one was."""
    if address is None:
        return nullcontext()
    from skyquilt.engine.executors.cluster import Cluster

    return Cluster.connect(address, listener)


def _place_runner(run: MosaicRun, solver: SkySolver) -> PlaceRunner:
    """Return who places the frames; a dry run writes nothing, which workers would have to read."""
    if run.cluster is None or run.options.dry_run:
        return places_on_threads(run.recipe, solver, run.n_threads)
    from skyquilt.engine.mosaic.place_tasks import places_on_cluster

    return places_on_cluster(run.cluster, run.scratch, run.recipe, run.options.sky_cache)


def _chunk_runner(cluster: Cluster | None, n_threads: int) -> ChunkRunner:
    """Return who makes the chunks: threads of this process, or as many in each worker."""
    if cluster is None:
        return on_threads(n_threads)
    from skyquilt.engine.mosaic.chunk_tasks import on_cluster

    return on_cluster(cluster, n_threads)


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
    cluster: Cluster | None,
    plans: list[MosaicPlan],
    mosaics: list[MosaicResult],
    failures: list[GroupFailure],
) -> None:
    """Measure and place all frames of a field set, then make the mosaic of every island of it."""
    folder = out / fields.name
    with _held(folder, options):
        run = measure_field_set(fields, folder, recipe, options, listener, cluster)
        places = place_lights(run.lights, _place_runner(run, solver), listener, options.should_stop)
        select_in_pointings(run, places)
        if not run.kept:
            raise NotRegistered(
                f"{fields.name}: none of the {len(run.lights)} frames could be placed on the sky",
                "see the reasons above",
            )
        fitted = fit_places(run, places)
        del places  # thousands of lists of catalogue stars
        islands = find_islands(run, fitted, out)
        if not islands:
            raise NotRegistered(
                f"{fields.name}: no two of the {len(run.lights)} frames overlap, and a mosaic takes two at least",
                "see the reasons above",
            )
        for island in islands:
            try:
                with nullcontext() if island.folder == folder else _held(island.folder, options):
                    begun = begin_island(run, island, fitted)
                    plans.append(begun.plan)
                    if not options.dry_run:
                        mosaics.append(_make_mosaic(begun, solver))
            except (Interrupted, ClusterFailed):
                raise
            except SkyquiltError as error:
                _fail(failures, island.name, error, listener)


@contextmanager
def _held(folder: Path, options: RunOptions) -> Iterator[None]:
    """Hold the folder of the products and, where that is another one, the folder of the work; a dry run holds none."""
    own, work = folder / SCRATCH, scratch_of(folder, options)
    if options.dry_run:
        yield
        return
    try:
        with ExitStack() as held:
            for place in {own.resolve(): own, work.resolve(): work}.values():
                held.enter_context(locked(place))
            yield
    finally:
        if own.resolve() != work.resolve():
            with suppress(OSError):
                own.rmdir()  # it was made for the lock alone


def _make_mosaic(island: IslandRun, solver: SkySolver) -> MosaicResult:
    """Assemble and write; frames that are lost meanwhile are left out, and the chunks that they touch made again."""
    run = island.run
    _check_disks(island)
    run_chunks = _chunk_runner(run.cluster, island.plan.pieces.n_threads)
    while True:
        job_path = island.write_job()
        store = open_canvas(island.job, island.scratch)
        gone = assemble(job_path, store, run_chunks, run.listener, run.options.should_stop)
        if not gone:
            break
        island.without({outcome.gone: outcome.reason for outcome in gone})
        if not island.job.frames:
            raise NoUsableInput(f"{island.name}: none of its frames can be read any more", "see the reasons above")
    store.settle()
    counts = frame_counts(store, island.job)
    for light, (landed, low, high) in zip(island.kept, counts, strict=True):
        light.samples = int(landed), int(low), int(high)
    scale = 1.0 if run.recipe.unit == "adu" else 1.0 / island.full_scale_adu
    n_rows = strip_rows(island.grid.width, island.job.n_channels, run.budget)
    manifest, outputs = publish_mosaic(island, StoredCanvas(store, scale, n_rows), solver)
    if not run.options.keep_canvas:
        clear_mosaic(island.scratch)
    return MosaicResult(island.name, island.folder, manifest, outputs)


def _check_disks(island: IslandRun) -> None:
    """Refuse to start when products and scratch cannot fit, on one disk or on two."""
    plan, folder, scratch = island.plan, island.folder, island.scratch
    if island.run.options.scratch is None:
        check_disk(folder, plan.scratch_bytes + plan.output_bytes)
        return
    folder.mkdir(parents=True, exist_ok=True)
    if folder.stat().st_dev == scratch.stat().st_dev:
        check_disk(scratch, plan.scratch_bytes + plan.output_bytes, "--scratch")
    else:
        check_disk(folder, plan.output_bytes)
        check_disk(scratch, plan.scratch_bytes, "--scratch")
