"""Find the satellite trails of a session's lights, from the residuals against a first rough result."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from skyquilt.core import F32, Cfa, Event, Listener
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.frames import BINNING, binned_plane, calibrated_frame
from skyquilt.engine.light import Light
from skyquilt.errors import UnreadableFrame
from skyquilt.steps import trails

__all__ = ["mask_trails", "mask_trails_against", "rough_result"]

_FIRST_RESULT_OF = 15


def mask_trails(
    lights: Sequence[Light],
    reference: Light,
    cfa: Cfa | None,
    listener: Listener,
    *,
    n_threads: int,
    should_stop: Callable[[], bool],
) -> None:
    """Fill in the trails of every light that takes part; two frames at least are needed to tell a trail."""
    if len(lights) < 2 or reference.measurement is None:
        return
    listener(Event("phase", "trails", total=len(lights)))
    first = rough_result(lights, reference, cfa, n_threads=n_threads, should_stop=should_stop)
    mask_trails_against(first, lights, cfa, listener, n_threads=n_threads, should_stop=should_stop)


def rough_result(
    lights: Sequence[Light],
    reference: Light,
    cfa: Cfa | None,
    *,
    n_threads: int,
    should_stop: Callable[[], bool],
) -> F32 | None:
    """Return the rough picture of some of the lights, binned, in which no trail is left; None of fewer than two."""
    if len(lights) < 2 or reference.measurement is None:
        return None
    step = max(1, len(lights) // _FIRST_RESULT_OF)
    chosen = [light for light in lights[::step][:_FIRST_RESULT_OF] if light.file.meta.n_planes == 1]
    if len(chosen) < 2:
        return None
    planes = list(run_in_order(lambda light: _binned(light, cfa), chosen, n_threads=n_threads, should_stop=should_stop))
    usable = [(light, plane) for light, plane in zip(chosen, planes, strict=True) if plane is not None]
    shape = (reference.measurement.height, reference.measurement.width)
    return trails.first_result(
        [plane for _, plane in usable],
        [light.registration.transform for light, _ in usable if light.registration],
        [light.normalisation for light, _ in usable if light.normalisation],
        shape,
        BINNING,
    )


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

    def work(light: Light) -> None:
        plane = _binned(light, cfa)
        light.plane = None
        if plane is None or light.registration is None or light.normalisation is None or light.measurement is None:
            return
        light.trails = trails.find_trails(
            plane,
            rough,
            light.registration.transform,
            light.normalisation,
            factor=BINNING,
            fwhm_px=light.measurement.figures.fwhm_px,
            noise_adu=light.measurement.figures.noise_adu,
        )

    for done, _ in enumerate(run_in_order(work, lights, n_threads=n_threads, should_stop=should_stop), start=1):
        listener(Event("progress", "trails", done=done, total=len(lights)))


def _binned(light: Light, cfa: Cfa | None) -> F32 | None:
    """Return the binned plane of a light; None if it cannot be read any more (the integration says so)."""
    if light.plane is None:
        try:
            light.plane = binned_plane(calibrated_frame(light, cfa))
        except UnreadableFrame:
            return None
    return light.plane
