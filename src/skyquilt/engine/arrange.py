"""Which lights are stacked together, and which strays are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from skyquilt.core import Cfa, FrameFile, LeftOut, LightGroup, Session
from skyquilt.engine.recipe import Recipe

__all__ = ["arrange_groups"]

_STRAY_SHARE = 0.1


def arrange_groups(
    session: Session, recipe: Recipe, only: Sequence[FrameFile] | None = None
) -> tuple[list[LightGroup], list[LeftOut]]:
    """
    Return the groups to stack and the frames that are strays.

    A group is a stray when it shares its target with another group at least ten times its size and differs from it
    in a setting that a session does not change by intent: size, pattern or binning. Its frames are left out with the
    difference as the reason; so is a single frame that differs from a group of any size, since it makes no stack.
    Filters are changed by intent: they always make groups of their own, unless `join`.

    Parameters
    ----------
    only : sequence of FrameFile or None
        The frames of a list; all others are left out.
    """
    left_out: list[LeftOut] = []
    groups = [_forced(group, recipe.cfa) for group in session.groups]
    if only is not None:
        wanted = {frame.path for frame in only}
        groups, left_out = _only(groups, wanted)
    if recipe.join:
        groups = _joined(groups)
    kept = []
    for group in groups:
        main = max((other for other in groups if other.target == group.target), key=lambda other: len(other.lights))
        difference = _difference(group, main)
        if difference and len(group.lights) <= max(1, _STRAY_SHARE * len(main.lights)) < len(main.lights):
            left_out += [LeftOut(light.path, "stray", difference, "discover") for light in group.lights]
        else:
            kept.append(group)
    return kept, left_out


def _only(groups: list[LightGroup], wanted: set[Path]) -> tuple[list[LightGroup], list[LeftOut]]:
    chosen, left_out = [], []
    for group in groups:
        lights = tuple(light for light in group.lights if light.path in wanted)
        others = [light for light in group.lights if light.path not in wanted]
        left_out += [LeftOut(light.path, "not_listed", "not in the frame list", "select") for light in others]
        if lights:
            chosen.append(replace(group, lights=lights))
    return chosen, left_out


def _forced(group: LightGroup, cfa: str) -> LightGroup:
    """Return the group with the pattern that the recipe forces on single-plane frames."""
    if cfa == "auto":
        return group
    pattern = None if cfa == "none" else Cfa(cfa)
    lights = tuple(
        replace(light, meta=replace(light.meta, cfa=pattern)) if light.meta.n_planes == 1 else light
        for light in group.lights
    )
    return replace(group, lights=lights)


def _joined(groups: Sequence[LightGroup]) -> list[LightGroup]:
    """Return groups of one target, size and pattern as one, whatever their filters."""
    together: dict[tuple[object, ...], list[LightGroup]] = {}
    for group in groups:
        meta = group.lights[0].meta
        together.setdefault((group.target, meta.width, meta.height, meta.n_planes, meta.cfa), []).append(group)
    joined = []
    for members in together.values():
        lights = sorted(
            (light for group in members for light in group.lights),
            key=lambda light: (light.meta.date_obs or "", light.name),
        )
        filters = {group.filter for group in members}
        joined.append(
            replace(
                members[0],
                name=members[0].target or members[0].name if len(members) > 1 else members[0].name,
                filter=members[0].filter if len(filters) == 1 else None,
                lights=tuple(lights),
            )
        )
    return joined


def _difference(group: LightGroup, main: LightGroup) -> str:
    """Return in which setting a group cannot belong to the main one, or ""."""
    if group is main:
        return ""
    mine, theirs = group.lights[0].meta, main.lights[0].meta
    others = f"the {len(main.lights)} others of this target"
    if (mine.width, mine.height) != (theirs.width, theirs.height):
        return f"it is {mine.width}x{mine.height} px, {others} are {theirs.width}x{theirs.height} px"
    if mine.n_planes != theirs.n_planes:
        return f"it has {mine.n_planes} planes, {others} have {theirs.n_planes}"
    if mine.cfa != theirs.cfa:
        return f"its header says {_named(mine.cfa)}, that of {others} {_named(theirs.cfa)}"
    if mine.binning != theirs.binning:
        return f"it is binned {mine.binning[0]}x{mine.binning[1]}, {others} {theirs.binning[0]}x{theirs.binning[1]}"
    return ""


def _named(cfa: Cfa | None) -> str:
    return f"pattern {cfa.name}" if cfa else "no colour pattern"
