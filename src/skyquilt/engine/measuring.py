"""Measure every light once: calibrated, stars, background, noise; a few kB a frame, cached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from skyquilt.core import Cfa, Event, Listener, Measurement
from skyquilt.engine.cache import MeasurementCache, file_sha256
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.frames import CalibratedFrame, binned_plane, calibrated_frame
from skyquilt.engine.light import Light
from skyquilt.errors import UnreadableFrame
from skyquilt.steps import calibrate, stars

__all__ = ["measure_lights"]

_BLANK_SHARE = 0.5
_LEAST_USABLE = 0.8  # what holds fewer numbers went through a program or a cable that spoilt it


def measure_lights(
    lights: Sequence[Light],
    cfa: Cfa | None,
    cache: MeasurementCache,
    listener: Listener,
    *,
    n_threads: int,
    should_stop: Callable[[], bool],
    keep_planes: bool = False,
    most_stars: int | None = None,
) -> None:
    """
    Fill in hash and measurement of every light that is in; those that cannot be measured are left out.

    With `keep_planes` the binned plane of every frame that is looked at now is kept too, for the search for trails.
    With `most_stars` no more than the brightest stars of each frame stay in memory; the cache gets all.
    """

    def work(light: Light) -> tuple[str | None, Measurement | UnreadableFrame | str, str]:
        try:
            return _measure(light, cfa, cache, keep_planes)
        except UnreadableFrame as error:
            return None, error, ""
        except OSError as error:
            return None, UnreadableFrame(f"{light.file.name} cannot be read: {error.strerror or error}"), ""

    waiting = [light for light in lights if light.is_in]
    listener(Event("phase", "measure", total=len(waiting)))
    results = run_in_order(work, waiting, n_threads=n_threads, should_stop=should_stop)
    for done, (light, (sha256, outcome, note)) in enumerate(zip(waiting, results, strict=True), start=1):
        light.sha256 = sha256
        if note:
            light.notes.append(note)
        if isinstance(outcome, Measurement):
            light.measurement = _with_brightest(outcome, most_stars)
        else:
            code, reason = (
                ("unreadable", outcome.message) if isinstance(outcome, UnreadableFrame) else ("blank", outcome)
            )
            light.leave_out("measure", code, reason)
            listener(Event("left_out", "measure", f"{light.file.name}: {reason}"))
        listener(Event("progress", "measure", done=done, total=len(waiting)))


def _with_brightest(measurement: Measurement, most: int | None) -> Measurement:
    if most is None or len(measurement.stars) <= most:
        return measurement
    return replace(measurement, stars=measurement.stars.brightest(most))


def _measure(
    light: Light, cfa: Cfa | None, cache: MeasurementCache, keep_planes: bool
) -> tuple[str, Measurement | UnreadableFrame | str, str]:
    """Return hash, measurement or what is wrong with the frame, and a note."""
    sha256 = file_sha256(light.file.path)
    key = cache.key(sha256, light.calibration_key, cfa.name if cfa else "mono", repr(light.saturation_adu))
    if (kept := cache.load(key)) is not None:
        return sha256, kept, ""
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
        return sha256, problem, note
    cache.store(key, measurement)
    return sha256, measurement, note


def _problem(frame: CalibratedFrame, measurement: Measurement) -> str:
    """Return what makes the pixels useless, or ""."""
    if frame.usable < _LEAST_USABLE:
        return f"{1 - frame.usable:.0%} of the pixels are not numbers"
    if measurement.figures.saturated_share > _BLANK_SHARE:
        return f"{measurement.figures.saturated_share:.0%} of the pixels are saturated"
    if not measurement.figures.noise_adu > 0 and float(np.ptp(frame.pixels)) == 0:
        return f"every pixel is {float(frame.pixels.flat[0]):g} ADU: nothing was exposed"
    return ""
