"""Where on the sky each frame lies: by its stars, by the coordinates in its header, or tied to a neighbour."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from skyquilt.core import (
    F64,
    I64,
    CatalogueStars,
    Event,
    FrameMeta,
    Listener,
    Measurement,
    Registration,
    SkyGrid,
    Transform,
    Wcs,
)
from skyquilt.core.sky import project, separation_deg
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.light import Light
from skyquilt.engine.mosaic.recipe import MosaicRecipe
from skyquilt.engine.solving import SkySolver, hints_of
from skyquilt.errors import BadInput, NotRegistered, UnreadableFrame
from skyquilt.io.fits import read_wcs
from skyquilt.steps import register, solve

__all__ = ["Place", "PlaceRunner", "Placed", "place_alone", "place_lights", "places_on_threads", "wcs_through"]

_GRID = 7  # points a side at which one picture is compared with another
_MOST_NEIGHBOURS = 8
_SAME_POINTING = 0.2  # of the field
_NOT_SOLVED = "its place on the sky is not known"


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """
    Where a frame lies, as far as it could be told from the frame alone or from one neighbour.

    Attributes
    ----------
    wcs : Wcs
        Of the frame's pixels.
    stars : int64 (n,)
        Indices of its stars that are known to the catalogue.
    catalogue : CatalogueStars
        Their partners, in the same order.
    found_by : str
        "hint", "blind", "header" or "neighbour".
    """

    wcs: Wcs
    stars: I64
    catalogue: CatalogueStars
    found_by: str

    def grid_of(self, meta: FrameMeta) -> SkyGrid:
        return SkyGrid(self.wcs, meta.width, meta.height)


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """
    What came of placing one frame by itself.

    Attributes
    ----------
    place : Place or None
    reason : str
        Why there is none; "" where there is one.
    notes : tuple of str
        Oddities for the report.
    """

    place: Place | None
    reason: str = ""
    notes: tuple[str, ...] = ()


class PlaceRunner(Protocol):
    """Places lights somewhere, each by itself, and yields (number of the light, what came of it), in any order."""

    def __call__(self, lights: Sequence[Light], should_stop: Callable[[], bool]) -> Iterator[tuple[int, Placed]]: ...


def places_on_threads(recipe: MosaicRecipe, solver: SkySolver, n_threads: int) -> PlaceRunner:
    """Return the runner that places lights on threads of this process, in their order."""

    def run(lights: Sequence[Light], should_stop: Callable[[], bool]) -> Iterator[tuple[int, Placed]]:
        def work(light: Light) -> Placed:
            return place_alone(light, recipe.solve, solver)

        with closing(run_in_order(work, lights, n_threads=n_threads, should_stop=should_stop)) as found:
            yield from enumerate(found)

    return run


def place_lights(
    lights: Sequence[Light], run_places: PlaceRunner, listener: Listener, should_stop: Callable[[], bool]
) -> dict[int, Place]:
    """
    Return the places by the identity of the light; a light without one is left out, with the reason.

    Parameters
    ----------
    run_places : PlaceRunner
        `places_on_threads`, or the runner of a cluster.

    Notes
    -----

    First every frame by itself: its stars against the catalogue, about where its header says; where they tell nothing,
    the coordinates that its header may hold. What is left is matched to the stars of placed neighbours, the nearest in
    time first; with ``recipe.solve == "blind"`` it is sought over the whole sky before.
    """
    kept = [light for light in lights if light.is_in]
    listener(Event("phase", "solve", total=len(kept)))
    places: dict[int, Place] = {}
    reasons: dict[int, str] = {}
    for done, (number, found) in enumerate(run_places(kept, should_stop), start=1):
        light = kept[number]
        light.notes += [note for note in found.notes if note not in light.notes]
        if found.place is not None:
            places[id(light)] = found.place
        else:
            reasons[id(light)] = found.reason
        listener(Event("progress", "solve", done=done, total=len(kept)))
    for light in _tie_to_neighbours(kept, places):
        reason = f"{_NOT_SOLVED}: {reasons[id(light)]}; nor do its stars match those of a placed neighbour"
        light.leave_out("register", "not_placed", reason)
        listener(Event("left_out", "solve", f"{light.file.name}: {reason}"))
    return places


def place_alone(light: Light, mode: str, solver: SkySolver) -> Placed:
    """
    Return the place of a frame from its own stars and header.

    Parameters
    ----------
    mode : str
        `MosaicRecipe.solve`.
    """
    measured, meta = _measured(light), light.file.meta
    known = _header_wcs(light)
    if mode == "off":
        return Placed(known, "its header has no coordinates (WCS), and no stars were to be looked up")
    hints = hints_of(meta)
    if known is not None:
        centre = known.wcs.to_sky((meta.width - 1) / 2, (meta.height - 1) / 2)
        hints = replace(
            hints, places=((float(centre[0]), float(centre[1])), *hints.places), scale_arcsec=known.wcs.scale_arcsec
        )
    is_blind = mode == "blind"
    if not hints.places and not is_blind:
        return Placed(None, "its header does not say where it points")
    found = solver.solve_stars(measured.stars, (meta.height, meta.width), hints, anywhere=is_blind)
    if isinstance(found, solve.Solution):
        return Placed(Place(found.wcs, found.pairs, found.catalogue, found.found_by), notes=found.notes)
    return Placed(known, found.reason)


def _header_wcs(light: Light) -> Place | None:
    """Return the place that the coordinates in a frame's header, or in what a solver left beside it, give it."""
    try:
        wcs = read_wcs(light.file.path)
    except (BadInput, NotRegistered, UnreadableFrame):
        return None
    return Place(wcs, np.zeros(0, dtype=np.int64), CatalogueStars.empty(), "header")


def _tie_to_neighbours(kept: Sequence[Light], places: dict[int, Place]) -> list[Light]:
    """Match frames without a place to placed ones, again as long as that places more; return those that are left."""
    while True:
        left = [k for k, light in enumerate(kept) if id(light) not in places]
        found = {id(kept[k]): place for k in left if (place := _tie(kept, k, places)) is not None}
        if not found:
            return [kept[k] for k in left]
        places.update(found)


def _tie(kept: Sequence[Light], own: int, places: dict[int, Place]) -> Place | None:
    """Return the place of a frame through the first neighbour that it matches."""
    light = kept[own]
    for neighbour in _nearest(kept, own, places):
        measured = _measured(neighbour)
        target = register.Reference(measured.stars, measured.width, measured.height)
        match = register.match(_measured(light).stars, target, model="auto")
        if isinstance(match, Registration):
            meta = light.file.meta
            wcs = wcs_through(match.transform, places[id(neighbour)].wcs, meta.width, meta.height)
            light.notes.append(f"placed by the stars that it shares with {neighbour.file.name}")
            return Place(wcs, np.zeros(0, dtype=np.int64), CatalogueStars.empty(), "neighbour")
    return None


def _nearest(kept: Sequence[Light], own: int, places: dict[int, Place]) -> list[Light]:
    """Return placed frames to try, one a pointing: the nearest to the header's direction, else the nearest in time."""
    placed = [k for k, light in enumerate(kept) if id(light) in places]
    if not placed:
        return []
    centres = np.array([_centre_of(kept[k], places) for k in placed])
    fields = np.array([_field_deg(kept[k], places) for k in placed])
    pointing = hints_of(kept[own].file.meta).places
    apart = np.zeros(len(placed))
    if pointing:
        apart = np.round(separation_deg(*pointing[0], centres[:, 0], centres[:, 1]) / (_SAME_POINTING * fields))
    chosen: list[int] = []
    for j in np.lexsort((np.abs(np.array(placed) - own), apart)):
        away = separation_deg(centres[j, 0], centres[j, 1], centres[chosen, 0], centres[chosen, 1])
        if not chosen or away.min() > _SAME_POINTING * fields[j]:
            chosen.append(int(j))
        if len(chosen) == _MOST_NEIGHBOURS:
            break
    return [kept[placed[j]] for j in chosen]


def _centre_of(light: Light, places: dict[int, Place]) -> tuple[float, float]:
    meta = light.file.meta
    ra, dec = places[id(light)].wcs.to_sky((meta.width - 1) / 2, (meta.height - 1) / 2)
    return float(ra), float(dec)


def _field_deg(light: Light, places: dict[int, Place]) -> float:
    return places[id(light)].wcs.scale_arcsec / 3600.0 * min(light.file.meta.width, light.file.meta.height)


def wcs_through(transform: Transform, neighbour: Wcs, width: int, height: int) -> Wcs:
    """
    Return the coordinates of a frame from its transform to a neighbour whose coordinates are known.

    Parameters
    ----------
    transform : Transform
        Pixels of the frame to those of the neighbour.
    neighbour : Wcs
    width, height : int, px
        Of the frame.

    Notes
    -----
    A gnomonic plane about the middle of the frame, its matrix by least squares on 7 x 7 points.
    """
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(0, width - 1, _GRID), np.linspace(0, height - 1, _GRID)))
    ra, dec = neighbour.to_sky(*transform(x, y))
    middle = (width - 1) / 2, (height - 1) / 2
    centre = neighbour.to_sky(*transform(np.array([middle[0]]), np.array([middle[1]])))
    crval = float(centre[0][0]), float(centre[1][0])
    plane: F64 = np.stack(project(ra, dec, *crval), axis=1)
    design = np.stack([x - middle[0], y - middle[1], np.ones_like(x)], axis=1)
    found = np.linalg.lstsq(design, plane, rcond=None)[0]
    cd: F64 = np.ascontiguousarray(found[:2].T, dtype=np.float64)
    shift = np.linalg.solve(cd, found[2])
    return Wcs(crval, (middle[0] - float(shift[0]), middle[1] - float(shift[1])), cd)


def _measured(light: Light) -> Measurement:
    assert light.measurement is not None, "a light that is placed has been measured"
    return light.measurement
