"""Find the satellite trails of a session's lights, from the residuals against a first rough result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

from skyquilt.core import F32, Cfa, Event, Listener, Normalisation, Trail, Transform
from skyquilt.engine.budget import release_memory
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.frames import BINNING, binned_plane, calibrated_frame
from skyquilt.engine.light import Light
from skyquilt.errors import UnreadableFrame
from skyquilt.steps import trails

__all__ = [
    "Masked",
    "Search",
    "TrailRunner",
    "first_result_of",
    "mask_trails",
    "mask_trails_against",
    "rough_result",
    "trails_in",
    "trails_on_threads",
]

_FIRST_RESULT_OF = 15


@dataclass(frozen=True, slots=True, eq=False)
class Masked:
    """
    A light as the search for trails asks for it.

    Attributes
    ----------
    light : Light
    transform : Transform
        Its pixels to those of the reference.
    normalisation : Normalisation
        What brings it to the level of the reference.
    fwhm_px, noise_adu : float
        Of `Figures`.
    """

    light: Light
    transform: Transform
    normalisation: Normalisation
    fwhm_px: float
    noise_adu: float


@dataclass(frozen=True, slots=True, eq=False)
class Search:
    """
    Lights that show the same part of the sky, two at least, among which trails are looked for.

    Attributes
    ----------
    lights : sequence of Masked
    shape : (int, int), px
        Height and width of their reference.
    cfa : Cfa or None
    """

    lights: Sequence[Masked]
    shape: tuple[int, int]
    cfa: Cfa | None


class TrailRunner(Protocol):
    """Looks for trails somewhere and yields (the light, its trails), in any order."""

    def __call__(
        self, searches: Sequence[Search], should_stop: Callable[[], bool]
    ) -> Iterator[tuple[Light, tuple[Trail, ...]]]: ...


def trails_on_threads(n_threads: int) -> TrailRunner:
    """Return the runner that looks for trails on threads of this process, light after light."""

    def run(searches: Sequence[Search], should_stop: Callable[[], bool]) -> Iterator[tuple[Light, tuple[Trail, ...]]]:
        for search in searches:
            yield from _searched(search, n_threads, should_stop)
            release_memory()

    return run


def _searched(
    search: Search, n_threads: int, should_stop: Callable[[], bool]
) -> Iterator[tuple[Light, tuple[Trail, ...]]]:
    first = first_result_of(search, n_threads=n_threads, should_stop=should_stop)
    if first is not None:
        yield from _trails_of(search.lights, first, search.cfa, n_threads, should_stop)


def _trails_of(
    lights: Sequence[Masked], first: F32, cfa: Cfa | None, n_threads: int, should_stop: Callable[[], bool]
) -> Iterator[tuple[Light, tuple[Trail, ...]]]:
    def work(one: Masked) -> tuple[Light, tuple[Trail, ...]]:
        return one.light, trails_in(one, first, cfa)

    with closing(run_in_order(work, lights, n_threads=n_threads, should_stop=should_stop)) as found:
        yield from found


def mask_trails(
    searches: Sequence[Search], run_trails: TrailRunner, listener: Listener, should_stop: Callable[[], bool]
) -> None:
    """
    Fill in the trails of every light that takes part.

    Parameters
    ----------
    run_trails : TrailRunner
        `trails_on_threads`, or the runner of a cluster.
    """
    total = sum(len(search.lights) for search in searches)
    if not total:
        return
    listener(Event("phase", "trails", total=total))
    for done, (light, found) in enumerate(run_trails(searches, should_stop), start=1):
        light.trails = found
        listener(Event("progress", "trails", done=done, total=total))


def rough_result(
    lights: Sequence[Light], reference: Light, cfa: Cfa | None, *, n_threads: int, should_stop: Callable[[], bool]
) -> F32 | None:
    """Return the first rough result of lights that are registered and normalised; None of fewer than two."""
    measured, asked = reference.measurement, _masked(lights)
    if measured is None or len(asked) < 2:
        return None
    search = Search(asked, (measured.height, measured.width), cfa)
    return first_result_of(search, n_threads=n_threads, should_stop=should_stop)


def mask_trails_against(
    rough: F32 | None,
    lights: Sequence[Light],
    cfa: Cfa | None,
    listener: Listener,
    *,
    n_threads: int,
    should_stop: Callable[[], bool],
) -> None:
    """Fill in the trails of lights that differ from a `rough_result`."""
    if rough is None:
        return
    found = _trails_of(_masked(lights), rough, cfa, n_threads, should_stop)
    for done, (light, trails_found) in enumerate(found, start=1):
        light.trails = trails_found
        listener(Event("progress", "trails", done=done, total=len(lights)))


def _masked(lights: Sequence[Light]) -> list[Masked]:
    return [
        Masked(
            light,
            light.registration.transform,
            light.normalisation,
            light.measurement.figures.fwhm_px,
            light.measurement.figures.noise_adu,
        )
        for light in lights
        if light.registration is not None and light.normalisation is not None and light.measurement is not None
    ]


def first_result_of(search: Search, *, n_threads: int, should_stop: Callable[[], bool]) -> F32 | None:
    """Return the first rough result (`trails.first_result`) of some of the lights; None where they are too few."""
    lights = search.lights
    step = max(1, len(lights) // _FIRST_RESULT_OF)
    chosen = [one for one in lights[::step][:_FIRST_RESULT_OF] if one.light.file.meta.n_planes == 1]
    if len(chosen) < 2:
        return None
    planes = run_in_order(
        lambda one: _binned(one.light, search.cfa), chosen, n_threads=n_threads, should_stop=should_stop
    )
    usable = [(one, plane) for one, plane in zip(chosen, planes, strict=True) if plane is not None]
    return trails.first_result(
        [plane for _, plane in usable],
        [one.transform for one, _ in usable],
        [one.normalisation for one, _ in usable],
        search.shape,
        BINNING,
    )


def trails_in(one: Masked, first: F32, cfa: Cfa | None) -> tuple[Trail, ...]:
    """Return the trails of a light against the first result; its plane, if it was kept, is let go."""
    plane = _binned(one.light, cfa)
    one.light.plane = None
    if plane is None:
        return ()
    return trails.find_trails(
        plane,
        first,
        one.transform,
        one.normalisation,
        factor=BINNING,
        fwhm_px=one.fwhm_px,
        noise_adu=one.noise_adu,
    )


def _binned(light: Light, cfa: Cfa | None) -> F32 | None:
    """Return the binned plane of a light; None if it cannot be read any more (the integration says so)."""
    if light.plane is None:
        try:
            light.plane = binned_plane(calibrated_frame(light, cfa))
        except UnreadableFrame:
            return None
    return light.plane
