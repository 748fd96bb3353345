"""Stretches and colour maps, as a chain calls them."""

from __future__ import annotations

from typing import Any

from skyquilt.engine.finish.look import Look
from skyquilt.engine.finish.operation import Operation, Planned, facts_of
from skyquilt.steps.finish import (
    AsinhSettings,
    AutoStretchSettings,
    ColourmapSettings,
    HyperbolicSettings,
    ManualSettings,
    TwoStageSettings,
    apply_colourmap,
    plan_stretch,
)

__all__ = ["TONE_OPERATIONS"]


def _stretch(look: Look, settings: Any) -> Planned:
    plan = plan_stretch(look.sample, settings)
    curves = [{"curve": type(curve).__name__, **facts_of(curve)} for curve in plan.curves]
    facts = {"curves": curves, "kept": facts_of(plan.kept)}
    return Planned.of_pixels(plan.apply, look.shape[0], facts)


def _colourmap(look: Look, settings: ColourmapSettings) -> Planned:
    return Planned.of_pixels(lambda tile: apply_colourmap(tile, settings), 3)


def _stretching(name: str, title: str, settings: type) -> Operation:
    return Operation(name, title, settings, _stretch, "linear", makes_picture=True)


TONE_OPERATIONS = (
    _stretching("auto_stretch", "Stretch by midtones so that the sky gets a given grey.", AutoStretchSettings),
    _stretching("asinh_stretch", "Stretch by the inverse hyperbolic sine.", AsinhSettings),
    _stretching("two_stage_stretch", "Stretch faint light and bright cores apart.", TwoStageSettings),
    _stretching("hyperbolic_stretch", "Stretch by the generalised hyperbolic curve.", HyperbolicSettings),
    _stretching("manual_stretch", "Stretch by shadows, midtones and highlights.", ManualSettings),
)

COLOURMAP = Operation(
    "colourmap", "Show a mono picture in colours of its brightness.", ColourmapSettings, _colourmap, "picture", (1,)
)
