"""The commands that are jobs: they look at folders and run the engine, tell of their progress and can be cancelled."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skyquilt.apps.cli.faults import error_document
from skyquilt.apps.cli.solve import solved_document
from skyquilt.apps.cli.stack import date_of_products, sky_cache
from skyquilt.apps.cli.summary import result_document
from skyquilt.apps.settings import Layer, gather_layers, settle
from skyquilt.apps.worker import messages
from skyquilt.apps.worker.image_commands import apply_steps
from skyquilt.apps.worker.session import Session, existing_folder
from skyquilt.apps.worker.tasks import Command, Task
from skyquilt.core import Event, LightGroup
from skyquilt.engine import GroupFailure, Recipe, RunOptions, list_frame_files, stack_session
from skyquilt.engine.images import LivePicture
from skyquilt.engine.mosaic import MosaicRecipe
from skyquilt.errors import Interrupted, NoUsableInput, UsageError
from skyquilt.io.discover import describe, discover

__all__ = ["RUN_COMMANDS"]

_METHODS = {
    "mean": ("none", "mean"),
    "median": ("none", "median"),
    "sigma_clip_mean": ("sigma", "mean"),
    "sigma_clip_median": ("sigma", "median"),
}


def _sessions(session: Session, task: Task) -> dict[str, Any]:
    request: messages.Sessions = task.request  # type: ignore[assignment]
    folder = existing_folder(request.folder)
    task.tell(Event("phase", "discover", str(folder)))
    found = discover(folder, exclude=tuple(request.exclude))
    return {
        "folder": str(folder),
        "device": found.device,
        "groups": [_group(group) for group in found.groups],
        "calibration": {
            name: len(getattr(found, name)) for name in ("darks", "flats", "biases", "flat_darks", "masters")
        },
        "left_out": [{"path": str(one.path), "code": one.code, "reason": one.reason} for one in found.left_out],
        "notes": list(found.notes),
        "lines": describe(found),
    }


def _group(group: LightGroup) -> dict[str, Any]:
    meta = group.lights[0].meta
    dates = sorted(light.meta.date_obs for light in group.lights if light.meta.date_obs)
    return {
        "name": group.name,
        "target": group.target,
        "filter": group.filter,
        "n_lights": len(group.lights),
        "exposure_s": group.exposure_s,
        "width": meta.width,
        "height": meta.height,
        "n_planes": meta.n_planes,
        "bayer": meta.cfa.name if meta.cfa else None,
        "first_date_obs": dates[0] if dates else None,
        "last_date_obs": dates[-1] if dates else None,
    }


def _frames(session: Session, task: Task) -> dict[str, Any]:
    request: messages.Frames = task.request  # type: ignore[assignment]
    folder = existing_folder(request.folder)
    recipe = _settled([folder], request.preset, request.recipe)
    records = list_frame_files(
        folder, Path(request.out), recipe, scored=request.scored, listener=task.tell, options=_options(request, task)
    )
    frames = [{"path": str(path), **record.model_dump(mode="json")} for path, record in records]
    return {"scored": request.scored, "frames": frames}


def _stack(session: Session, task: Task) -> dict[str, Any]:
    request: messages.Stack = task.request  # type: ignore[assignment]
    folder = existing_folder(request.folder)
    recipe = _settled([folder], request.preset, request.recipe)
    options = _options(
        request,
        task,
        load_transforms=_file(request.load_transforms, "load_transforms"),
        save_transforms=request.save_transforms,
        sky_cache=sky_cache() if recipe.solve == "blind" else None,
        created=date_of_products(),
    )
    return _stacked(session, task, folder, Path(request.out), recipe, options)


def _stacked(
    session: Session, task: Task, folder: Path, out: Path, recipe: Recipe, options: RunOptions
) -> dict[str, Any]:
    picture = _begin_picture(session, task)
    result = stack_session(folder, out, recipe, listener=lambda event: _both(task, picture, event), options=options)
    _must_have(result.stacks, result.failures)
    session.show(task.job, result.stacks[0].outputs["master_linear"])
    return result_document(result)


def _watch(session: Session, task: Task) -> dict[str, Any]:
    from skyquilt.engine.live import WatchOptions, watch_folder

    request: messages.Watch = task.request  # type: ignore[assignment]
    folder = existing_folder(request.folder)
    recipe = _settled([folder], request.preset, request.recipe)
    options = WatchOptions(
        until=request.until,
        idle_s=request.idle_s,
        should_finish=task.should_finish,
        run=RunOptions(
            should_stop=task.should_stop,
            sky_cache=sky_cache() if recipe.solve == "blind" else None,
            created=date_of_products(),
        ),
    )
    picture = _begin_picture(session, task)
    result = watch_folder(
        folder, Path(request.out), recipe, listener=lambda event: _both(task, picture, event), options=options
    )
    _must_have(result.stacks, result.failures)
    session.show(task.job, result.stacks[0].outputs["master_linear"])
    return result_document(result)


def _plan(session: Session, task: Task) -> dict[str, Any]:
    request: messages.Plan = task.request  # type: ignore[assignment]
    folder = existing_folder(request.folder)
    recipe = _settled([folder], request.preset, request.recipe)
    options = RunOptions(dry_run=True, frame_list=_file(request.frame_list, "frame_list"), should_stop=task.should_stop)
    result = stack_session(folder, Path("processedData"), recipe, listener=task.tell, options=options)
    _must_have(result.plans, result.failures)
    lines = {plan.name: plan.lines for plan in result.plans}
    document = result_document(result)
    plans = [{**plan, "lines": lines[plan["name"]]} for plan in document["plans"]]
    return {"plans": plans, "failures": document["failures"]}


def _mosaic(session: Session, task: Task) -> dict[str, Any]:
    from skyquilt.apps.cli.mosaic_summary import mosaic_document
    from skyquilt.engine.mosaic import make_mosaics

    request: messages.Mosaic = task.request  # type: ignore[assignment]
    folders = [existing_folder(text) for text in request.folders]
    recipe = _settled(folders, request.preset, request.recipe)
    assert isinstance(recipe, MosaicRecipe)
    options = _options(
        request,
        task,
        dry_run=request.dry_run,
        sky_cache=sky_cache() if recipe.solve == "blind" else None,
        created=date_of_products(),
    )
    picture = _begin_picture(session, task)
    result = make_mosaics(
        folders, Path(request.out), recipe, listener=lambda event: _both(task, picture, event), options=options
    )
    _must_have(result.plans if request.dry_run else result.mosaics, result.failures)
    if result.mosaics:
        session.show(task.job, result.mosaics[0].outputs["mosaic_linear"])
    failures = [{"name": failure.name, **error_document(failure.error)} for failure in result.failures]
    return {**mosaic_document(result), "failures": failures}


def _solve(session: Session, task: Task) -> dict[str, Any]:
    from skyquilt.engine import SkySolver, SolveRequest

    request: messages.Solve = task.request  # type: ignore[assignment]
    path = Path(request.path)
    if not path.is_file():
        raise NoUsableInput(f"there is no file {path}", "check the path")
    wanted = SolveRequest(
        blind=request.blind,
        ra_deg=request.ra_deg,
        dec_deg=request.dec_deg,
        radius_deg=request.radius_deg,
        scale_arcsec=request.scale_arcsec,
        solver=request.solver,
        timeout_s=request.timeout_s,
    )
    task.tell(Event("phase", "solve", path.name, total=1))
    solver = SkySolver(_file(request.catalogue, "catalogue"), sky_cache(), task.tell)
    found = solved_document(path, solver.solve_file(path, wanted))
    if task.should_stop():
        raise Interrupted("stopped on request")
    return found


def _pipeline(session: Session, task: Task) -> dict[str, Any]:
    request: messages.Pipeline = task.request  # type: ignore[assignment]
    if request.light_paths is None:
        return apply_steps(session, request)
    if request.image_id is not None or request.steps is not None:
        raise UsageError("pipeline: lightPaths is given with imageId or steps", "stack first, then give the image")
    rejection, combine = _METHODS[request.stack_method]
    values: dict[str, Any] = {
        "cfa": request.bayer_pattern or "auto",
        "rejection": rejection,
        "combine": combine,
        "sigma_low": request.kappa,
        "sigma_high": request.kappa,
        "max_iterations": request.iterations,
        "join": True,
        "dark": "auto" if request.dark_paths else "none",
        "flat": "auto" if request.flat_paths else "none",
        "bias": "auto" if request.bias_paths else "none",
    }
    folder = _linked(session, request)
    options = RunOptions(should_stop=task.should_stop, created=date_of_products())
    document = _stacked(session, task, folder / "session", folder / "out", Recipe(**values), options)
    image = session.store.open(Path(document["stacks"][0]["outputs"]["master_linear"]))
    return {"imageId": image, "stacks": document["stacks"], "failures": document["failures"]}


def _linked(session: Session, request: messages.Pipeline) -> Path:
    """Return a folder with links to the files of a pipeline; the same files have the same folder."""
    lists = {
        "lights": request.light_paths or [],
        "darks": request.dark_paths,
        "flats": request.flat_paths,
        "biases": request.bias_paths,
    }
    if not lists["lights"]:
        raise NoUsableInput("pipeline: lightPaths is empty", "give two frames at least")
    digest = hashlib.sha256(json.dumps(lists).encode()).hexdigest()[:16]
    folder = session.folder() / digest
    for kind, paths in lists.items():
        place = folder / "session" / kind
        place.mkdir(parents=True, exist_ok=True)
        for number, text in enumerate(dict.fromkeys(paths)):
            path = Path(text).absolute()
            if not path.is_file():
                raise NoUsableInput(f"pipeline: there is no file {text}", "check the path")
            name = path.name if not (place / path.name).exists() else f"{number:05d}_{path.name}"
            if not any((place / one).exists() and (place / one).samefile(path) for one in {path.name, name}):
                _link(path, place / name)
    return folder


def _link(path: Path, place: Path) -> None:
    """Make a link to a file, or a copy where the system allows no links."""
    try:
        place.symlink_to(path)
    except OSError:
        shutil.copy2(path, place)


def _begin_picture(session: Session, task: Task) -> LivePicture:
    picture = LivePicture(f"the job {task.job}")
    session.show(task.job, picture)
    return picture


def _both(task: Task, picture: LivePicture, event: Event) -> None:
    picture(event)
    task.tell(event)


def _settled(folders: Sequence[Path], preset: str | None, recipe: Recipe) -> Recipe:
    """Lay what the request gives on settings files, preset and environment, as the command line does."""
    given = {name: getattr(recipe, name) for name in recipe.model_fields_set}
    layers = gather_layers(folder=folders[0], preset=preset, flags=Layer("the request", given, is_shared=False))
    return settle(layers, MosaicRecipe if isinstance(recipe, MosaicRecipe) else Recipe).recipe


def _options(request: Any, task: Task, **others: Any) -> RunOptions:
    return RunOptions(
        frame_list=_file(request.frame_list, "frame_list"),
        use_cache=request.use_cache,
        refresh_cache=request.refresh_cache,
        should_stop=task.should_stop,
        **others,
    )


def _file(text: str | None, name: str) -> Path | None:
    if text is None:
        return None
    if not Path(text).is_file():
        raise UsageError(f"{name}: there is no file {text}", "check the path; a missing file is never ignored")
    return Path(text)


def _must_have(results: Sequence[object], failures: Sequence[GroupFailure]) -> None:
    """Raise what the first group failed with, if none succeeded."""
    if not results:
        if failures:
            raise failures[0].error
        raise NoUsableInput("nothing came out of the run", "the command frames shows what was left out and why")


RUN_COMMANDS = (
    Command(
        "pipeline",
        messages.Pipeline,
        "imageId; of a stack also stacks and failures",
        _pipeline,
        lambda request: "images" if request.light_paths is None else "runs",
        is_from_sidera=True,
    ),
    Command(
        "sessions",
        messages.Sessions,
        "folder, device, groups, calibration (how many of each kind), left_out, notes, lines",
        _sessions,
        "looks",
    ),
    Command(
        "frames",
        messages.Frames,
        "scored, frames (path and the record of the manifest)",
        _frames,
        lambda request: "runs" if request.scored else "looks",
    ),
    Command("plan", messages.Plan, "plans, failures", _plan, "runs"),
    Command("stack", messages.Stack, "session, device, plans, stacks (with outputs), failures", _stack, "runs"),
    Command("watch", messages.Watch, "as stack", _watch, "runs"),
    Command("mosaic", messages.Mosaic, "sessions, plans, mosaics (with outputs), failures", _mosaic, "runs"),
    Command("solve", messages.Solve, "what skyquilt solve --json says of the file", _solve, "looks"),
)
