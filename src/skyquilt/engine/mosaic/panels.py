"""Pointings: which frames show the same part of the sky, and which of them are good enough among their like."""

from __future__ import annotations

from collections.abc import Sequence

from skyquilt.engine.align import select_lights
from skyquilt.engine.light import Light
from skyquilt.engine.mosaic.gather import MosaicRun
from skyquilt.engine.mosaic.places import Place
from skyquilt.core import SkyGrid
from skyquilt.steps import mosaic

__all__ = ["grids_of", "panels_of", "select_in_panels"]


def grids_of(lights: Sequence[Light], places: dict[int, Place]) -> list[SkyGrid]:
    """Return coordinates and size of every frame."""
    return [
        SkyGrid(places[id(light)].wcs, light.file.meta.width, light.file.meta.height) for light in lights
    ]


def panels_of(lights: Sequence[Light], places: dict[int, Place]) -> list[mosaic.Panel]:
    """Return the pointings of the frames, named by their place on the sky."""
    return mosaic.find_panels(grids_of(lights, places))


def select_in_panels(run: MosaicRun, places: dict[int, Place]) -> None:
    """Leave out what the figures forbid; what is unusual is judged among the frames of the same pointing."""
    kept = run.kept
    for panel in panels_of(kept, places):
        select_lights([kept[k] for k in panel.members], run.recipe, run.listener)
