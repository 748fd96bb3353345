"""Pointings and islands: which frames show the same part of the sky, and which hang together by overlaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from skyquilt.core import Event
from skyquilt.engine.align import select_lights
from skyquilt.engine.light import Light
from skyquilt.engine.mosaic.fitting import Fitted
from skyquilt.engine.mosaic.gather import MosaicRun
from skyquilt.engine.mosaic.places import Place
from skyquilt.io.discover import safe_name
from skyquilt.steps import mosaic

__all__ = ["Island", "find_islands", "select_in_pointings"]

_LEAST_SHARE = 0.002  # of the smaller frame's area: what overlaps less is not sewn by it
_ALONE = "no other frame overlaps it, and a mosaic takes two at least"


@dataclass(frozen=True, slots=True, eq=False)
class Island:
    """
    Frames that hang together by overlaps: one canvas.

    Attributes
    ----------
    name : str
        Fit for a folder name.
    target : str or None
        What most of its frames say they show.
    folder : Path
    lights : tuple of Light
        In frame order.
    pointings : tuple of Pointing
        Their frames are numbers of `lights`.
    """

    name: str
    target: str | None
    folder: Path
    lights: tuple[Light, ...]
    pointings: tuple[mosaic.Pointing, ...]


def select_in_pointings(run: MosaicRun, places: dict[int, Place]) -> None:
    """Leave out what the figures forbid; what is unusual is judged among the frames of the same pointing."""
    kept = run.kept
    if not kept:
        return
    footprints = mosaic.footprints_of([places[id(light)].grid_of(light.file.meta) for light in kept])
    for pointing in mosaic.find_pointings(footprints):
        select_lights([kept[k] for k in pointing.frames], run.recipe, run.listener)


def find_islands(run: MosaicRun, fitted: Fitted, out: Path) -> list[Island]:
    """Return the islands, the largest first; a frame that overlaps no other is left out."""
    kept = run.kept
    footprints = mosaic.footprints_of([fitted.grid_of(light) for light in kept])
    parts = mosaic.find_islands(footprints, mosaic.find_overlaps(footprints, _LEAST_SHARE))
    for part in parts:
        if len(part) == 1:
            run.leave_out(kept[part[0]], "register", "alone", _ALONE)
    parts = tuple(part for part in parts if len(part) > 1)
    names = _names([[kept[k] for k in part] for part in parts], run.fields.name)
    islands = []
    for part, (name, target) in zip(parts, names, strict=True):
        pointings = mosaic.find_pointings(footprints.take(part))
        islands.append(Island(name, target, out / name, tuple(kept[k] for k in part), pointings))
    if len(islands) > 1:
        told = "; ".join(f"{island.name}: {len(island.lights)} frames" for island in islands)
        run.listener(
            Event("notice", "plan", f"the frames show {len(islands)} parts of the sky that do not touch: {told}")
        )
    return islands


def _names(islands: Sequence[Sequence[Light]], name: str) -> list[tuple[str, str | None]]:
    """Return folder name and target of each island: its target where that tells it from the others, else a number."""
    targets = [_target(lights) for lights in islands]
    if len(islands) == 1:
        return [(name, targets[0])]
    unique = Counter(target for target in targets)
    return [
        (safe_name(target) if target and unique[target] == 1 else f"{name}_{k}", target)
        for k, target in enumerate(targets, start=1)
    ]


def _target(lights: Sequence[Light]) -> str | None:
    told = Counter(light.file.meta.object_name for light in lights if light.file.meta.object_name)
    return min(told, key=lambda target: (-told[target], target)) if told else None
