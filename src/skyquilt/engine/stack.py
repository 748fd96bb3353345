"""The walk of a session: discover, calibrate, measure, align, integrate, write; one group after the other."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from threadpoolctl import threadpool_limits

from skyquilt.core import F32, Box, Event, FrameFile, LeftOut, LightGroup, Listener, Session, Transform, silent
from skyquilt.engine.align import align_lights, load_transforms
from skyquilt.engine.arrange import arrange_groups
from skyquilt.engine.budget import check_disk, memory_budget, n_processors, release_memory
from skyquilt.engine.cache import MeasurementCache, clear_cache
from skyquilt.engine.calibration import Calibrator
from skyquilt.engine.canvas import Canvas
from skyquilt.engine.ceiling import lower_saturation
from skyquilt.engine.frames import BINNING
from skyquilt.engine.framing import frame_canvas, parse_framing
from skyquilt.engine.integration import IntegrationJob, integrate_lights, resumed_job
from skyquilt.engine.journal import Journal
from skyquilt.engine.light import Light
from skyquilt.engine.lock import locked
from skyquilt.engine.masking import mask_trails_against, rough_result
from skyquilt.engine.measuring import looks_on_threads, measure_lights
from skyquilt.engine.opening import LARGEST_OPENING, LOOKED_AT, align_in_order, check_live_recipe
from skyquilt.engine.placing import SkyPlacer
from skyquilt.engine.planning import frame_threads, make_plan
from skyquilt.engine.publish import publish
from skyquilt.engine.recipe import Recipe
from skyquilt.engine.result import GroupFailure, Plan, RunOptions, RunResult, StackResult
from skyquilt.engine.run import SCRATCH, Arrangement, GroupRun
from skyquilt.engine.sampling import FrameLostError, choose_sampling, is_rotated
from skyquilt.engine.warmup import compile_kernels
from skyquilt.errors import Interrupted, NotRegistered, NoUsableInput, SkyquiltError, UnreadableFrame, UsageError
from skyquilt.io.discover import discover
from skyquilt.io.fits import frame_source
from skyquilt.io.framelist import read_frame_list
from skyquilt.steps import stars
from skyquilt.steps.debayer import contradiction

_PLANES_SHARE = 0.1

__all__ = ["arrange", "find_groups", "find_spots", "prepare_group", "stack_session"]


def stack_session(
    root: Path,
    out: Path,
    recipe: Recipe | None = None,
    *,
    listener: Listener = silent,
    options: RunOptions | None = None,
) -> RunResult:
    """
    Stack every group of lights found below a folder.

    Parameters
    ----------
    root : Path
        A folder as the telescope left it.
    out : Path
        Products go to ``out / <group name>``.
    recipe : Recipe or None
        None: the defaults.
    listener : callable
        Is told every `Event`.
    options : RunOptions or None

    Returns
    -------
    RunResult
        Groups that failed stand in `failures`; the others are not affected.

    Raises
    ------
    NoUsableInput
        If there is nothing to stack below `root`.
    Interrupted
        On request; the same call goes on where this one stopped.
    """
    recipe = recipe or Recipe()
    options = options or RunOptions()
    parse_framing(recipe.framing)
    if recipe.schedule == "live":
        check_live_recipe(recipe)
        if options.load_transforms:
            raise UsageError("a live stack registers its frames itself", "leave --load-transforms out")
    if recipe.catalogue is not None and not Path(recipe.catalogue).is_file():  # told now, not after the integration
        raise UsageError(f"the catalogue {recipe.catalogue} does not exist", "give --catalogue a CSV or FITS table")
    known = load_transforms(options.load_transforms) if options.load_transforms else {}
    session, groups, strays = find_groups(root, recipe, listener, options.frame_list)
    compile_kernels(listener)
    plans: list[Plan] = []
    stacks: list[StackResult] = []
    failures: list[GroupFailure] = []
    with threadpool_limits(1):
        for group in groups:
            try:
                folder = out / group.name
                # held from the start: a second run is told at once, not after it has measured everything
                with nullcontext() if options.dry_run else locked(folder / SCRATCH):
                    run = prepare_group(session, group, folder, recipe, options, listener, strays)
                    arrangement = arrange(run, known)
                    plans.append(arrangement.plan)
                    if not options.dry_run:
                        stacks.append(_stack_group(run, arrangement, known))
            except Interrupted:
                raise
            except SkyquiltError as error:
                failures.append(GroupFailure(group.name, error))
                listener(Event("warning", "done", f"{group.name}: {error.message}"))
    listener(Event("done", "done", data={"stacked": len(stacks), "failed": len(failures)}))
    return RunResult(session, tuple(plans), tuple(stacks), tuple(failures))


def find_groups(
    root: Path, recipe: Recipe, listener: Listener, frame_list: Path | None = None, *, take_stacks: bool = False
) -> tuple[Session, list[LightGroup], list[LeftOut]]:
    """Return the session below a folder, its groups of lights, and the frames that fit in none (`discover`)."""
    listener(Event("phase", "discover", str(root)))
    session = discover(root, exclude=recipe.exclude, take_stacks=take_stacks)
    for note in session.notes:
        listener(Event("notice", "discover", note))
    groups, strays = arrange_groups(session, recipe, _listed(session, frame_list))
    for stray in [*session.left_out, *strays]:
        listener(Event("left_out", "discover", f"{stray.path.name}: {stray.reason}"))
    if not groups:
        raise NoUsableInput(
            f"no light frames to stack in {root}", "give the folder that holds the sub-exposures as FITS files"
        )
    names = [group.name for group in groups]
    listener(Event("progress", "discover", done=len(names), total=len(names), data={"groups": names}))
    return session, groups, strays


def _listed(session: Session, path: Path | None) -> list[FrameFile] | None:
    if path is None:
        return None
    return read_frame_list(path, [light for group in session.groups for light in group.lights])


def prepare_group(
    session: Session,
    group: LightGroup,
    folder: Path,
    recipe: Recipe,
    options: RunOptions,
    listener: Listener,
    strays: Sequence[LeftOut],
) -> GroupRun:
    """Calibrate and measure the lights of a group; what was measured before is taken from the cache."""
    if options.scheduler is not None:
        raise UsageError("a cluster makes mosaics; stacks are made on this machine", "leave the scheduler out")
    n_threads = recipe.threads or n_processors()
    budget = memory_budget(recipe.memory)
    meta = group.lights[0].meta
    cfa = meta.cfa
    n_at_frames = frame_threads(budget, meta.width * meta.height, n_threads)
    calibrator = Calibrator(session, recipe, listener, n_at_frames, options.should_stop)
    is_live = recipe.schedule == "live"
    calibrations = calibrator.calibrate_group(group.lights, cfa, LARGEST_OPENING if is_live else None)
    lights = [
        Light(file, calibration, digest) for file, (calibration, digest) in zip(group.lights, calibrations, strict=True)
    ]
    release_memory()
    scratch = folder / SCRATCH
    if options.refresh_cache:
        clear_cache(scratch, "measurements")
    cache = MeasurementCache(scratch if options.use_cache and not options.dry_run else None)
    planes_bytes = 4 * sum(light.meta.width * light.meta.height for light in group.lights) // BINNING**2
    lower_saturation(lights, listener, lights[:LOOKED_AT] if is_live else None)
    measure_lights(
        lights,
        cfa,
        looks_on_threads(
            cache,
            n_at_frames,
            keep_planes=recipe.trails and not options.dry_run and planes_bytes < _PLANES_SHARE * budget,
        ),
        listener,
        should_stop=options.should_stop,
    )
    release_memory()
    return GroupRun(
        session,
        group,
        folder,
        recipe,
        options,
        listener,
        list(strays),
        n_threads,
        budget,
        calibrator,
        lights,
        SkyPlacer(recipe, listener, options.sky_cache),
    )


def arrange(run: GroupRun, known: dict[str, Transform]) -> Arrangement:
    """Select, register, normalise and weigh; then choose sampling, canvas and plan."""
    if len(run.lights) < 2:
        raise NoUsableInput(
            f"{run.group.name}: a stack needs two frames at least, there is one",
            "add frames, or use the single frame as it is",
        )
    opening = None
    if run.recipe.schedule == "live":
        opening = align_in_order(run.lights, run.recipe, run.listener, run.placer)
        reference = opening.reference
    else:
        reference = align_lights(run.lights, run.recipe, run.listener, known, run.placer)
    if len(run.kept) < 2:
        raise NotRegistered(f"{run.group.name}: fewer than two frames can be stacked", "see the reasons above")
    colour = _look_at_reference(run, reference)
    transforms = [light.registration.transform for light in run.kept if light.registration]
    meta = reference.file.meta
    rotated = is_rotated(transforms, meta.width, meta.height)
    sampling = choose_sampling(run.recipe, meta.cfa, meta.n_planes, is_rotated=rotated)
    if sampling.is_balanced:
        sampling = replace(sampling, star_colour=colour)
    if sampling.keeps_mosaic and rotated:
        raise NotRegistered(
            f"{run.group.name}: the frames are rotated against each other, whole-pixel shifts cannot align them",
            "use --align-mode auto or rgb_affine, and --debayer auto",
        )
    frames = [
        (Box(0, 0, light.file.meta.width, light.file.meta.height), light.registration.transform)
        for light in run.kept
        if light.registration
    ]
    canvas = frame_canvas(run.recipe.framing, Box(0, 0, meta.width, meta.height), frames)
    plan = make_plan(
        run.group.name,
        len(run.kept),
        meta.width * meta.height,
        sampling,
        _in_cells(canvas, sampling.cell),
        run.recipe,
        budget=run.budget,
        n_threads=run.n_threads,
        calibration_table=run.calibrator.table,
    )
    for line in plan.lines:
        run.listener(Event("notice", "plan", line))
    return Arrangement(reference, sampling, plan.canvas, plan, opening)


def _look_at_reference(run: GroupRun, reference: Light) -> tuple[float, float]:
    """
    Return the colour of the reference's stars.

    Warns if its sky contradicts the colour filter array that the frames are said to have.
    """
    cfa = reference.file.meta.cfa
    if cfa is None or reference.measurement is None:
        return stars.NEUTRAL
    try:
        source = frame_source(reference.file)
        pixels = source.read(source.bounds).pixels[0]
    except UnreadableFrame:
        return stars.NEUTRAL  # the integration leaves it out
    problem = contradiction(pixels, cfa)
    note = f"{problem}; name the true one with --cfa"
    if problem and note not in reference.notes:
        reference.notes.append(note)
        run.listener(Event("warning", "plan", f"{reference.file.name}: {note}"))
    return stars.star_colour(pixels, cfa, reference.measurement.stars)


def _in_cells(box: Box, cell: int) -> Box:
    """Return the canvas in canvas pixels: whole cells of the reference's pixels."""
    return Box(-(-box.x0 // cell), -(-box.y0 // cell), box.x1 // cell, box.y1 // cell)


def _stack_group(run: GroupRun, arrangement: Arrangement, known: dict[str, Transform]) -> StackResult:
    """Integrate and write; when a frame is lost meanwhile, all is decided anew as if it had never been there."""
    check_disk(run.folder, arrangement.plan.scratch_bytes + arrangement.plan.output_bytes)
    while True:
        run.placer.begin(arrangement.reference)  # solved while the frames are integrated
        try:
            job, journal = _integrate(run, arrangement)
            break
        except FrameLostError as lost:
            code = "changed" if lost.light.file.path.exists() else "vanished"
            lost.light.leave_out("integrate", code, lost.error.message)
            run.listener(Event("left_out", "integrate", f"{lost.light.file.name}: {lost.error.message}"))
            for light in run.lights:
                light.begin_anew()
        arrangement = arrange(run, known)
    try:
        scale = 1.0 if run.recipe.unit == "adu" else 1.0 / run.full_scale_adu
        canvas = Canvas(job, journal, scale)
        for light, counts in zip(job.lights, canvas.frame_counts(), strict=True):
            light.samples = (int(counts[0]), int(counts[1]), int(counts[2]))
        result = publish(run, arrangement, canvas)
    except BaseException:
        journal.close()
        raise
    finally:
        run.placer.close()
    journal.remove()
    return result


def _integrate(run: GroupRun, arrangement: Arrangement) -> tuple[IntegrationJob, Journal]:
    """Integrate the frames that are in, but for their trails and hot pixels."""
    find_spots(run, arrangement)
    release_memory()
    job = resumed_job(run.job(arrangement), run.scratch / "journal")
    return job, integrate_lights(job, run.scratch / "journal", run.listener, run.options.should_stop)


def find_spots(run: GroupRun, arrangement: Arrangement) -> F32 | None:
    """Find trails and hot pixels of the frames that are in; return the rough picture that tells the trails."""
    kept, cfa = run.kept, arrangement.sampling.cfa
    deciding = kept if arrangement.opening is None else arrangement.opening.kept
    n_threads, should_stop = run.calibrator.n_threads, run.options.should_stop
    rough = None
    if run.recipe.trails and run.recipe.rejection != "none" and len(kept) >= 2:
        run.listener(Event("phase", "trails", total=len(kept)))
        rough = rough_result(deciding, arrangement.reference, cfa, n_threads=n_threads, should_stop=should_stop)
        mask_trails_against(rough, kept, cfa, run.listener, n_threads=n_threads, should_stop=should_stop)
    calibrations = [light.calibration for light in kept]
    files = [light.file for light in deciding]
    completed = run.calibrator.complete([light.file for light in kept], calibrations, cfa, files)
    for light, (calibration, key) in zip(kept, completed, strict=True):
        light.complete_calibration(calibration, key)
    return rough
