"""The Python face: `import skyquilt as sq; sq.stack("M 94_sub")`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from skyquilt.core import Listener, silent
from skyquilt.engine import Recipe, RunOptions, RunResult, stack_session
from skyquilt.errors import UsageError

if TYPE_CHECKING:
    from skyquilt.engine import Solved
    from skyquilt.engine.finish import Chain, FinishResult
    from skyquilt.engine.live import WatchOptions
    from skyquilt.engine.mosaic import MosaicRecipe, MosaicRunResult

__all__ = ["finish", "make_recipe", "mosaic", "solve", "stack", "watch"]

AnyRecipe = TypeVar("AnyRecipe", bound=Recipe)


def make_recipe(**settings: Any) -> Recipe:
    """
    Return a validated recipe.

    Raises
    ------
    UsageError
        Naming the first setting that does not exist or cannot be meant.
    """
    return _made(Recipe, settings)


def _made(kind: type[AnyRecipe], settings: dict[str, Any]) -> AnyRecipe:
    try:
        return kind(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        told = first["msg"].removeprefix("Value error, ")
        raise UsageError(
            f"{name}: {told}" if name else told, "see docs/reference/recipe.md for the settings"
        ) from error


def stack(
    folder: str | Path,
    out: str | Path = "processedData",
    *,
    recipe: Recipe | None = None,
    listener: Listener = silent,
    options: RunOptions | None = None,
    **settings: Any,
) -> RunResult:
    """
    Stack every group of light frames found below a folder.

    Parameters
    ----------
    folder : str or Path
        As the telescope left it.
    out : str or Path
        Products go to ``out / <group name>``.
    recipe : Recipe or None
        All settings at once; or give some of them by name.
    listener : callable
        Is told every `skyquilt.core.Event` of the run.
    options : RunOptions or None
    **settings
        Fields of `Recipe`, e.g. ``keep=0.9, rejection="winsorized", memory="1GB"``.

    Returns
    -------
    RunResult
        ``result.stacks[0].outputs["master_linear"]`` is the path of the first master,
        ``result.stacks[0].manifest`` tells what was done to every frame.

    Raises
    ------
    UsageError, NoUsableInput, NotRegistered, ...
        The error of the only group, or of the first one if none could be stacked.
    """
    if recipe is not None and settings:
        raise UsageError("give either a recipe or single settings, not both", "use recipe.model_copy(update=...)")
    recipe = recipe or make_recipe(**settings)
    options = options or RunOptions()
    if recipe.solve == "blind" and options.sky_cache is None:
        options = replace(options, sky_cache=_user_cache())
    result = stack_session(Path(folder), Path(out), recipe, listener=listener, options=options)
    if result.failures and not result.stacks and not options.dry_run:
        raise result.failures[0].error
    return result


def watch(
    folder: str | Path,
    out: str | Path = "processedData",
    *,
    recipe: Recipe | None = None,
    listener: Listener = silent,
    options: WatchOptions | None = None,
    until: int | None = None,
    idle_s: float | None = None,
    **settings: Any,
) -> RunResult:
    """
    Stack a folder while it grows, and write the products of `stack` at the end.

    Parameters
    ----------
    folder : str or Path
        Into which the frames come; it may be empty as yet.
    out : str or Path
        Products go to ``out / <group name>``; the picture so far is `live.png` there. Frames whose names stand in
        ``out / "live_excluded.txt"`` are left out, from the moment when they do.
    recipe : Recipe or None
        All settings at once; or give some of them by name.
    listener : callable
        Is told every `skyquilt.core.Event`: those of kind "progress" and phase "live" carry the figures in `data`.
    options : WatchOptions or None
    until : int or None
        End when so many frames are in the picture. It takes the place of that of the options.
    idle_s : float or None
        End when nothing has come for so many seconds; likewise.
    **settings
        Fields of `Recipe` but for those that need all frames at once: `keep` below 1, a `framing` other than
        "reference", a `combine` other than "mean" and "sum".

    Returns
    -------
    RunResult
        The same bits as ``stack(folder, schedule="live")`` over the same frames.

    Raises
    ------
    UsageError, NoUsableInput, NotRegistered, ...
        As `stack`.
    Interrupted
        When ``options.run.should_stop`` says so; the same call goes on.
    """
    from skyquilt.engine.live import WatchOptions, watch_folder

    if recipe is not None and settings:
        raise UsageError("give either a recipe or single settings, not both", "use recipe.model_copy(update=...)")
    options = options or WatchOptions()
    options = replace(
        options,
        until=options.until if until is None else until,
        idle_s=options.idle_s if idle_s is None else idle_s,
    )
    result = watch_folder(
        Path(folder), Path(out), recipe or make_recipe(**settings), listener=listener, options=options
    )
    if result.failures and not result.stacks:
        raise result.failures[0].error
    return result


def mosaic(
    folders: str | Path | Sequence[str | Path],
    out: str | Path = "processedData",
    *,
    recipe: MosaicRecipe | None = None,
    listener: Listener = silent,
    options: RunOptions | None = None,
    **settings: Any,
) -> MosaicRunResult:
    """
    Sew every light frame found below some folders into mosaics.

    Parameters
    ----------
    folders : str, Path or a sequence of them
        As the telescopes left them; pointings may be mixed or spread in any way.
    out : str or Path
        Products go to ``out / <name>``.
    recipe : MosaicRecipe or None
        All settings at once; or give some of them by name.
    listener : callable
        Is told every `skyquilt.core.Event` of the run.
    options : RunOptions or None
    **settings
        Fields of `MosaicRecipe`, e.g. ``scale_arcsec=2.0, projection="zea", memory="2GB"``.

    Returns
    -------
    MosaicRunResult
        ``result.mosaics[0].outputs["mosaic_linear"]`` is the path of the first mosaic,
        ``result.mosaics[0].manifest`` tells what was done to every frame.

    Raises
    ------
    UsageError, NoUsableInput, NotRegistered, ...
        The error of the first mosaic if none could be made.
    """
    from skyquilt.engine.mosaic import MosaicRecipe, make_mosaics

    if recipe is not None and settings:
        raise UsageError("give either a recipe or single settings, not both", "use recipe.model_copy(update=...)")
    recipe = recipe or _made(MosaicRecipe, settings)
    options = options or RunOptions()
    if recipe.solve == "blind" and options.sky_cache is None:
        options = replace(options, sky_cache=_user_cache())
    roots = [folders] if isinstance(folders, str | Path) else list(folders)
    result = make_mosaics([Path(root) for root in roots], Path(out), recipe, listener=listener, options=options)
    if result.failures and not result.mosaics and not options.dry_run:
        raise result.failures[0].error
    return result


def finish(
    master: str | Path,
    out: str | Path | Sequence[str | Path] | None = None,
    *,
    preset: str | None = None,
    chain: Chain | str | Path | None = None,
    steps: Mapping[str, Mapping[str, Any]] | None = None,
    without: Sequence[str] = (),
    only: Sequence[str] = (),
    listener: Listener = silent,
    **options: Any,
) -> FinishResult:
    """
    Make a picture of a linear master: ``sq.finish("master_linear.fits", "m94.jpg", preset="galaxy")``.

    Parameters
    ----------
    master : str or Path
        FITS, XISF or TIFF; only read.
    out : str, Path, a sequence of them, or None
        Where the picture goes; the ending is the format. None: nothing is written, see `FinishResult.pixels`.
    preset : str or None
        "preview" (the default), "galaxy", "nebula", "cluster", "duoband" or "none".
    chain : Chain, str, Path or None
        Steps instead of a preset: a chain, or a .toml or .json file of one, or the record of a finished image.
    steps : mapping of str to mapping, or None
        Settings of steps of the chain, or steps more: ``{"gradient": {"order": 1}}``.
    without, only : sequence of str
        Steps to leave out, or to do alone.
    listener : callable
        Is told every `skyquilt.core.Event`.
    **options
        Fields of `FinishSettings`: ``bits=16, quality=95, save_linear=..., save_model=..., memory="2GB"``.

    Returns
    -------
    FinishResult

    Raises
    ------
    UsageError
        If something does not exist or cannot be meant.
    NoUsableInput, UnreadableFrame, NotRegistered, ...
        If the image does not allow a step.
    """
    from skyquilt.engine import finish as room
    from skyquilt.engine import parse_memory

    if preset is not None and chain is not None:
        raise UsageError("preset and chain both give the steps", "give one of the two")
    if chain is None:
        chain = room.preset_chain(preset or "preview")
    elif not isinstance(chain, room.Chain):
        chain = room.load_chain(Path(chain))
    for name, values in (steps or {}).items():
        chain = chain.with_step(name, **values)
    chain = chain.without(without) if without else chain
    chain = chain.only(only) if only else chain
    known = {f.name for f in fields(room.FinishSettings)} - {"chain", "outputs"}
    if unknown := sorted(set(options) - known):
        raise UsageError(f"{unknown[0]} is no option of finish", f"known: {', '.join(sorted(known))}")
    for name in ("save_linear", "save_model", "catalogue"):
        options[name] = None if options.get(name) is None else Path(options[name])
    if isinstance(options.get("memory"), str):
        options["memory"] = parse_memory(options["memory"])
    outputs = [] if out is None else [out] if isinstance(out, str | Path) else list(out)
    settings = room.FinishSettings(chain=chain, outputs=tuple(Path(name) for name in outputs), **options)
    return room.finish_master(Path(master), settings, listener=listener)


def solve(
    file: str | Path, *, catalogue: str | Path | None = None, listener: Listener = silent, **request: Any
) -> Solved:
    """
    Tell where on the sky a frame or master lies: ``sq.solve("frame.fit").grid``.

    Parameters
    ----------
    file : str or Path
        FITS; opened to read only.
    catalogue : str, Path or None
        A deeper catalogue, merged with the shipped one.
    listener : callable
        Is told when the index of the whole sky is built: once a machine, some seconds.
    **request
        Fields of `SolveRequest`, e.g. ``blind=True`` or ``ra_deg=83.8, dec_deg=-5.4, radius_deg=2``.

    Returns
    -------
    Solved
        `grid` is None where the frame could not be solved; `reason` then says why.

    Raises
    ------
    UsageError
        If a setting does not exist or cannot be meant.
    UnreadableFrame
        If the file is no image.
    """
    from skyquilt.engine import SkySolver, SolveRequest

    known = {field.name for field in fields(SolveRequest)}
    if unknown := sorted(set(request) - known):
        raise UsageError(f"{unknown[0]} is no setting of a solve", f"known: {', '.join(sorted(known))}")
    own = Path(catalogue) if catalogue is not None else None
    solver = SkySolver(own, _user_cache(), listener)
    return solver.solve_file(Path(file), SolveRequest(**request))


def _user_cache() -> Path:
    """Return the folder in which the index of the whole sky is kept."""
    from platformdirs import user_cache_path

    return user_cache_path("skyquilt", appauthor=False)
