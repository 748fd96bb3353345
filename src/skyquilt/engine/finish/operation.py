"""What an operation of a chain is: its settings, what it finds in an image, and what it does to any tile of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, Protocol

import numpy as np

from skyquilt.core import F32, Box
from skyquilt.engine.finish.look import Look

__all__ = ["Domain", "Operation", "Plan", "Planned", "facts_of"]

Domain = Literal["linear", "picture", "any"]
_LONGEST_FACT = 64


class Plan(Protocol):
    """What the rooms of finishing plan: `apply` takes a tile, and where it begins in the image."""

    def apply(self, tile: F32, x0: int = 0, y0: int = 0) -> F32: ...


@dataclass(frozen=True, slots=True)
class Planned:
    """
    An operation planned for one image.

    Attributes
    ----------
    apply : callable
        ``(tile, x0, y0) -> tile``: float32 (c, y, x) with `halo` px around what is wanted except where the image ends.
    n_channels : int
        Of the result.
    halo : int, px
    facts : dict
        What was found in the image, as JSON values: it goes to the record.
    notes : tuple of str
        What a person should know, a sentence each.
    box : Box or None
        What is cut out; `apply` is not asked then.
    model : callable or None
        The sky that is taken off, of a box: float32 (c, y, x).
    """

    apply: Callable[[F32, int, int], F32]
    n_channels: int
    halo: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    box: Box | None = None
    model: Callable[[Box], F32] | None = None

    @classmethod
    def of_pixels(cls, apply: Callable[[F32], F32], n_channels: int, facts: Mapping[str, Any] | None = None) -> Planned:
        """Return an operation on single pixels, wherever they lie."""
        return cls(lambda tile, x0, y0: apply(tile), n_channels, facts=facts or {})

    @classmethod
    def of_places(
        cls, plan: Plan, n_channels: int, *, halo: int = 0, facts: Mapping[str, Any] | None = None
    ) -> Planned:
        """Return an operation that knows where a tile lies."""
        return cls(plan.apply, n_channels, halo, facts or {})


@dataclass(frozen=True, slots=True)
class Operation:
    """
    One entry of the register.

    Attributes
    ----------
    name : str
        In chains and on the command line.
    title : str
        What it does, one sentence.
    settings : type
        A frozen dataclass that checks itself; its docstring tells every field.
    plan : callable
        ``(look, settings) -> Planned``.
    domain : "linear", "picture" or "any"
        Light as it was measured, a stretched picture of 0..1, or either.
    channels : tuple of int
        Numbers of channels that it takes; empty: any.
    makes_picture : bool
        Whether it is a stretch.
    keeps_noise : bool
        Whether the noise of each channel stays what it was but for a factor, so that the master's map of the variance
        still tells where there is how much.
    """

    name: str
    title: str
    settings: type
    plan: Callable[[Look, Any], Planned]
    domain: Domain = "any"
    channels: tuple[int, ...] = ()
    makes_picture: bool = False
    keeps_noise: bool = False


def facts_of(value: object) -> Any:
    """Return a plan as JSON values, without its settings; arrays of up to 64 numbers as lists, no longer ones."""
    if is_dataclass(value) and not isinstance(value, type):
        found = {f.name: facts_of(getattr(value, f.name)) for f in fields(value) if f.name != "settings"}
        return {name: fact for name, fact in found.items() if fact is not None}
    if isinstance(value, np.ndarray):
        return None if value.size > _LONGEST_FACT else facts_of(value.tolist())
    if isinstance(value, np.generic):
        return facts_of(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): facts_of(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [facts_of(inner) for inner in value]
    return value if isinstance(value, bool | int | str) else None
