"""The Python face: `import skyquilt as sq; sq.stack("M 94_sub")`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from skyquilt.core import Listener, silent
from skyquilt.engine import Recipe, RunOptions, RunResult, stack_session
from skyquilt.errors import UsageError

__all__ = ["make_recipe", "stack"]


def make_recipe(**settings: Any) -> Recipe:
    """
    Return a validated recipe.

    Raises
    ------
    UsageError
        Naming the first setting that does not exist or cannot be meant.
    """
    try:
        return Recipe(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{name}: {first['msg']}", "see docs/reference/recipe.md for the settings") from error


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
    result = stack_session(
        Path(folder), Path(out), recipe or make_recipe(**settings), listener=listener, options=options
    )
    if result.failures and not result.stacks and not (options and options.dry_run):
        raise result.failures[0].error
    return result
