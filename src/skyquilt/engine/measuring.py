"""Measure every light once: calibrated, stars, background, noise; a few kB a frame, cached."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from skyquilt.core import Cfa, Event, Listener, Measurement
from skyquilt.engine.cache import MeasurementCache, file_sha256
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.frames import CalibratedFrame, binned_plane, calibrated_frame
from skyquilt.engine.light import Light
from skyquilt.errors import UnreadableFrame
from skyquilt.steps import calibrate, stars

__all__ = ["Look", "LookRunner", "look_at_light", "looks_on_threads", "measure_lights", "measurement_key"]

_BLANK_SHARE = 0.5
_LEAST_USABLE = 0.8  # what holds fewer numbers went through a program or a cable that spoilt it


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """
    What came of looking at one light.

    Attributes
    ----------
    sha256 : str or None
        Of the file; None if it cannot be read.
    outcome : Measurement, UnreadableFrame or str
        What was measured, or what is wrong: an error of the file, or a sentence about its pixels.
    note : str
        An oddity for the report, or "".
    """

    sha256: str | None
    outcome: Measurement | UnreadableFrame | str
    note: str = ""


class LookRunner(Protocol):
    """Looks at lights somewhere and yields (number of the light, what came of it), in any order."""

    def __call__(
        self, lights: Sequence[Light], cfa: Cfa | None, should_stop: Callable[[], bool]
    ) -> Iterator[tuple[int, Look]]: ...


def measure_lights(
    lights: Sequence[Light],
    cfa: Cfa | None,
    run_looks: LookRunner,
    listener: Listener,
    *,
    should_stop: Callable[[], bool],
    most_stars: int | None = None,
) -> None:
    """
    Fill in hash and measurement of every light that is in; those that cannot be measured are left out.

    Parameters
    ----------
    run_looks : LookRunner
        `looks_on_threads`, or the runner of a cluster.
    most_stars : int or None
        No more than so many of the brightest stars of each frame stay in memory; the cache gets all.

    Raises
    ------
    Interrupted
        On request; what was measured is in the cache.
    """
    waiting = [light for light in lights if light.is_in]
    listener(Event("phase", "measure", total=len(waiting)))
    for done, (number, look) in enumerate(run_looks(waiting, cfa, should_stop), start=1):
        light, outcome = waiting[number], look.outcome
        light.sha256 = look.sha256
        if look.note:
            light.notes.append(look.note)
        if isinstance(outcome, Measurement):
            light.measurement = _with_brightest(outcome, most_stars)
        else:
            code, reason = (
                ("unreadable", outcome.message) if isinstance(outcome, UnreadableFrame) else ("blank", outcome)
            )
            light.leave_out("measure", code, reason)
            listener(Event("left_out", "measure", f"{light.file.name}: {reason}"))
        listener(Event("progress", "measure", done=done, total=len(waiting)))


def _with_brightest(measurement: Measurement, most_stars: int | None) -> Measurement:
    """Return the measurement without its faintest stars, if they are too many; what it holds is no part of more."""
    if most_stars is None or len(measurement.stars) <= most_stars:
        return measurement
    return replace(measurement, stars=measurement.stars.take(np.arange(most_stars)))


def looks_on_threads(cache: MeasurementCache, n_threads: int, *, keep_planes: bool = False) -> LookRunner:
    """
    Return the runner that looks at lights on threads of this process, in their order.

    With `keep_planes` the binned plane of every frame that is looked at now is kept too, for the search for trails.
    """

    def run(lights: Sequence[Light], cfa: Cfa | None, should_stop: Callable[[], bool]) -> Iterator[tuple[int, Look]]:
        def work(light: Light) -> Look:
            return look_at_light(light, cfa, cache, keep_planes=keep_planes)

        with closing(run_in_order(work, lights, n_threads=n_threads, should_stop=should_stop)) as looks:
            yield from enumerate(looks)

    return run


def look_at_light(light: Light, cfa: Cfa | None, cache: MeasurementCache, *, keep_planes: bool = False) -> Look:
    """
    Return hash and measurement of a light, from the cache if it is there, or what is wrong with it.

    Parameters
    ----------
    cfa : Cfa or None
        Of the group.
    cache : MeasurementCache
        Keeps what is measured.
    keep_planes : bool
        Keep the binned plane with the light.
    """
    try:
        return _measure(light, cfa, cache, keep_planes)
    except UnreadableFrame as error:
        return Look(None, error)
    except OSError as error:
        return Look(None, UnreadableFrame(f"{light.file.name} cannot be read: {error.strerror or error}"))


def measurement_key(light: Light, sha256: str, cfa: Cfa | None, cache: MeasurementCache) -> str:
    """Return the key of a light's measurement in the cache."""
    return cache.key(sha256, light.calibration_key, cfa.name if cfa else "mono", repr(light.saturation_adu))


def _measure(light: Light, cfa: Cfa | None, cache: MeasurementCache, keep_planes: bool) -> Look:
    sha256 = file_sha256(light.file.path)
    key = measurement_key(light, sha256, cfa, cache)
    if (kept := cache.load(key)) is not None:
        return Look(sha256, kept)
    frame = calibrated_frame(light, cfa)
    saturation_adu = light.saturation_adu
    note = ""
    if frame.halved is None:
        measurement = stars.measure_cube(frame.pixels, saturation_adu=saturation_adu)
    else:
        if light.calibration.dark is not None:
            note = calibrate.warn_of_negatives(calibrate.negative_share(frame.pixels[:, ::5, ::5]))
        measurement = stars.measure(frame.pixels[0], cfa, saturation_adu=saturation_adu, halved=frame.halved)
        if keep_planes:
            light.plane = binned_plane(frame)
    if problem := _problem(frame, measurement):
        return Look(sha256, problem, note)
    cache.store(key, measurement)
    return Look(sha256, measurement, note)


def _problem(frame: CalibratedFrame, measurement: Measurement) -> str:
    """Return what makes the pixels useless, or ""."""
    if frame.usable < _LEAST_USABLE:
        return f"{1 - frame.usable:.0%} of the pixels are not numbers"
    if measurement.figures.saturated_share > _BLANK_SHARE:
        return f"{measurement.figures.saturated_share:.0%} of the pixels are saturated"
    if not measurement.figures.noise_adu > 0 and float(np.ptp(frame.pixels)) == 0:
        return f"every pixel is {float(frame.pixels.flat[0]):g} ADU: nothing was exposed"
    return ""
