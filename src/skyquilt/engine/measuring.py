"""Measure every light once: calibrated, stars, background, noise; a few kB a frame, cached."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from skyquilt.core import Cfa, Event, Listener, Measurement, Tile
from skyquilt.engine.cache import MeasurementCache, file_sha256
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.light import Light
from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits import frame_source
from skyquilt.steps import calibrate, stars

__all__ = ["measure_lights"]

_BLANK_SHARE = 0.5


def measure_lights(
    lights: Sequence[Light],
    cfa: Cfa | None,
    cache: MeasurementCache,
    listener: Listener,
    *,
    n_threads: int,
    should_stop: Callable[[], bool],
) -> None:
    """Fill in hash and measurement of every light that is in; those that cannot be measured are left out."""

    def work(light: Light) -> tuple[str | None, Measurement | UnreadableFrame | str, str]:
        try:
            return _measure(light, cfa, cache)
        except UnreadableFrame as error:
            return None, error, ""
        except OSError as error:
            return None, UnreadableFrame(f"cannot be read: {error.strerror or error}"), ""

    waiting = [light for light in lights if light.is_in]
    listener(Event("phase", "measure", total=len(waiting)))
    results = run_in_order(work, waiting, n_threads=n_threads, should_stop=should_stop)
    for done, (light, (sha256, outcome, note)) in enumerate(zip(waiting, results, strict=True), start=1):
        light.sha256 = sha256
        if note:
            light.notes.append(note)
        if isinstance(outcome, Measurement):
            light.measurement = outcome
        else:
            code, reason = (
                ("unreadable", outcome.message) if isinstance(outcome, UnreadableFrame) else ("blank", outcome)
            )
            light.leave_out("measure", code, reason)
            listener(Event("left_out", "measure", f"{light.file.name}: {reason}"))
        listener(Event("progress", "measure", done=done, total=len(waiting)))


def _measure(
    light: Light, cfa: Cfa | None, cache: MeasurementCache
) -> tuple[str, Measurement | UnreadableFrame | str, str]:
    """Return hash, measurement or what is wrong with the frame, and a note."""
    sha256 = file_sha256(light.file.path)
    key = cache.key(sha256, light.calibration_key, cfa.name if cfa else "mono")
    if (kept := cache.load(key)) is not None:
        return sha256, kept, ""
    raw = frame_source(light.file)
    note = ""
    if raw.n_channels == 1:
        tile = calibrate.Calibrated(raw, light.calibration, cfa).read(raw.bounds)
        if light.calibration.dark is not None:
            note = calibrate.warn_of_negatives(calibrate.negative_share(tile.pixels))
        measurement = stars.measure(tile.pixels[0], cfa, saturation_adu=light.file.meta.saturation_adu)
    else:
        tile = raw.read(raw.bounds)
        measurement = stars.measure_cube(tile.pixels, saturation_adu=light.file.meta.saturation_adu)
    if problem := _problem(tile, measurement):
        return sha256, problem, note
    cache.store(key, measurement)
    return sha256, measurement, note


def _problem(tile: Tile, measurement: Measurement) -> str:
    """Return what makes the pixels useless, or ""."""
    usable = float(np.mean(tile.mask))
    if usable < _BLANK_SHARE:
        return f"{1 - usable:.0%} of the pixels are not numbers"
    if measurement.figures.saturated_share > _BLANK_SHARE:
        return f"{measurement.figures.saturated_share:.0%} of the pixels are saturated"
    if not measurement.figures.noise_adu > 0 and float(np.ptp(tile.pixels)) == 0:
        return f"every pixel is {float(tile.pixels.flat[0]):g} ADU: nothing was exposed"
    return ""
