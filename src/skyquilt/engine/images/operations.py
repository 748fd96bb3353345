"""
The operations that may follow each other on a loaded image, by name.

A new one is a settings model, a function from `Work` to `Work`, and its line in `OPERATIONS`; the protocol, its schema
and its reference follow. Between them stand steps of finishing chains, written as in the file of a chain.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skyquilt.core import F32, Box, Wcs
from skyquilt.engine.images.image import ImageFacts, OpenImage
from skyquilt.engine.images.screen import make_look
from skyquilt.errors import UsageError
from skyquilt.steps import finish

__all__ = ["OPERATIONS", "Operation", "Work", "run_operations"]


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """
    An image on its way through the operations.

    Attributes
    ----------
    values : float32 (channel, y, x)
        NaN where nothing is known.
    wcs : Wcs or None
    is_picture : bool
        Stretched already.
    """

    values: F32
    wcs: Wcs | None
    is_picture: bool = False


class Settings(BaseModel):
    """Settings of one operation; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


AnySettings = TypeVar("AnySettings", bound=Settings)


@dataclass(frozen=True, slots=True)
class Operation(Generic[AnySettings]):
    """What an operation is called for people, what it can be told, and what it does."""

    help: str
    settings: type[AnySettings]
    apply: Callable[[Work, AnySettings], Work]


class CropSettings(Settings):
    """The part of the image that stays."""

    box: tuple[int, int, int, int] = Field(
        description="x0, y0, x1, y1 in px from the upper left; x1 and y1 lie outside of the part that stays."
    )


class StretchSettings(Settings):
    """The curve; what is not given comes from the auto stretch."""

    shadows: float | list[float] | None = Field(None, description="Becomes 0; one number, or one a channel.")
    midtones: float | list[float] | None = Field(None, description="Balance, 0 to 1; one number, or one a channel.")
    highlights: float | list[float] | None = Field(None, description="Becomes 1; one number, or one a channel.")
    linked: bool = Field(True, description="One auto curve for all channels; false: one a channel.")


class AsinhSettings(Settings):
    """The curve asinh(a t) / asinh(a) between black and white."""

    strength: float = Field(gt=0, le=1e6, description="a; the larger, the more the faint is lifted.")
    black: float = Field(description="Becomes 0.")
    white: float = Field(description="Becomes 1.")


def _crop(work: Work, settings: CropSettings) -> Work:
    x0, y0, x1, y1 = settings.box
    box, bounds = Box(x0, y0, x1, y1), Box.of_shape(*work.values.shape[1:])
    if box.is_empty or not bounds.contains(box):
        raise UsageError(
            f"crop: the box {list(settings.box)} is not a part of the image of {bounds.width} x {bounds.height} px",
            "give x0, y0, x1, y1 within it",
        )
    values = np.ascontiguousarray(work.values[:, y0:y1, x0:x1])
    return Work(values, None if work.wcs is None else work.wcs.shifted(x0, y0), work.is_picture)


def _stretch(work: Work, settings: StretchSettings) -> Work:
    found = finish.auto_stretch(work.values, linked=settings.linked)
    shadows, midtones, highlights = (
        getattr(found if getattr(settings, name) is None else settings, name)
        for name in ("shadows", "midtones", "highlights")
    )
    look = make_look(len(work.values), (shadows, highlights), midtones=midtones)
    return replace(work, values=look.values(work.values), is_picture=True)


def _asinh(work: Work, settings: AsinhSettings) -> Work:
    if not settings.white > settings.black:
        raise UsageError(f"asinh: black ({settings.black:g}) is not below white ({settings.white:g})")
    values = finish.asinh_stretch(work.values, settings.strength, settings.black, settings.white)
    return replace(work, values=values, is_picture=True)


OPERATIONS: dict[str, Operation[Any]] = {
    "crop": Operation("Keep a part of the image.", CropSettings, _crop),
    "stretch": Operation(
        "Make the faint visible: midtones transfer between shadows and highlights.", StretchSettings, _stretch
    ),
    "asinh": Operation("Make the faint visible: asinh between black and white.", AsinhSettings, _asinh),
}
"""In the order in which they usually follow each other."""


def run_operations(
    image: OpenImage, steps: Sequence[Mapping[str, Any]], told: Callable[[str, int, int], None] | None = None
) -> tuple[F32, ImageFacts]:
    """
    Return the pixels and facts of an image after operations, one after the other; the image itself stays as it is.

    Parameters
    ----------
    steps : sequence of dict
        Each has the name of the operation as "op", or that of a finishing chain as "operation", and its settings.
    told : callable or None
        Is told name, number done and total before each operation.

    Raises
    ------
    UsageError
        If an operation or a setting does not exist or cannot be meant, before anything is computed as far as possible.
    NoUsableInput
        If the image does not show what a step of a finishing chain needs.
    NotEnoughMemory
        If the image does not fit into the memory for images.
    """
    chain = [_parsed(step, number) for number, step in enumerate(steps, start=1)]
    if not chain:
        raise UsageError("pipeline: there are no steps", f"operations: {', '.join(OPERATIONS)}")
    image.cache.check_room(2 * image.n_bytes)
    work = Work(np.array(image.values(image.bounds)), image.facts.wcs, image.facts.kind == "picture")
    for done, (name, apply) in enumerate(chain):
        if told is not None:
            told(name, done, len(chain))
        work = apply(work)
    facts = ImageFacts(image.facts.name, None, "result", work.wcs, image.facts.row_order)
    return np.ascontiguousarray(work.values, dtype=np.float32), facts


def _parsed(step: Mapping[str, Any], number: int) -> tuple[str, Callable[[Work], Work]]:
    """Return the name of a step and what it does."""
    if "operation" in step and "op" not in step:
        return _finishing(step, number)
    name = step.get("op")
    if not isinstance(name, str) or name not in OPERATIONS:
        near = get_close_matches(str(name), list(OPERATIONS), n=1)
        asked = f"did you mean {near[0]}? " if near else ""
        raise UsageError(
            f"pipeline: step {number}: there is no operation {str(name)[:80]!r}; there are: {', '.join(OPERATIONS)}",
            f"{asked}each step has its name as op, one of a finishing chain (finish.md) as operation".strip(),
        )
    content = json.dumps({key: value for key, value in step.items() if key != "op"})
    try:
        settings: Settings = OPERATIONS[name].settings.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"pipeline: step {number}, {name}: {place}: {first['msg']}", "see the schema") from None
    return name, lambda work: OPERATIONS[name].apply(work, settings)


def _finishing(step: Mapping[str, Any], number: int) -> tuple[str, Callable[[Work], Work]]:
    """Return the same of a step of a finishing chain."""
    from skyquilt.engine.finish import Chain, Step, finish_pixels

    parsed = Step.from_values(step, where=f"the pipeline, step {number},")

    def apply(work: Work) -> Work:
        values, box, is_picture = finish_pixels(work.values, Chain((parsed,)), wcs=work.wcs, is_picture=work.is_picture)
        return Work(values, None if work.wcs is None else work.wcs.shifted(box.x0, box.y0), is_picture)

    return parsed.operation, apply
