"""The camera of a synthetic session: what its pixels add to the light and take from it, and its calibration frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F32, I64, U16
from skyquilt.kernels.render import expose
from skyquilt.testing.sky.scenario import Scenario
from skyquilt.testing.sky.streams import CALIBRATION, SENSOR, random_stream

__all__ = ["Sensor", "calibration_frame", "make_sensor", "save_signal"]

_DUST_DEPTH = 0.08
_KINDS = ("bias", "dark", "flat", "flat_dark")
FLAT_EXPOSURE_S = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Sensor:
    """
    The fixed pattern of the camera and optics.

    Attributes
    ----------
    flat : float32 (y, x)
        Share of the light that is registered: 1 at the centre; 0 at a cold pixel.
    dark_adu_s : float32 (y, x), ADU a second
        Dark current, amplifier glow and hot pixels.
    hot_pixels, cold_pixels : int64 (n, 2), px
        (x, y) of each.
    """

    flat: F32
    dark_adu_s: F32
    hot_pixels: I64
    cold_pixels: I64


def make_sensor(scenario: Scenario) -> Sensor:
    """Return the camera of a scenario: the same for all its frames."""
    random = random_stream(scenario.seed, SENSOR)
    height, width = scenario.height, scenario.width
    n = scenario.n_hot_pixels + scenario.n_cold_pixels
    chosen = random.choice(height * width, size=n, replace=False) if n else np.zeros(0, dtype=np.int64)
    places = np.stack([chosen % width, chosen // width], axis=1)
    hot, cold = places[: scenario.n_hot_pixels], places[scenario.n_hot_pixels :]
    dark = np.full((height, width), scenario.dark_current_adu_s, dtype=np.float32)
    if scenario.amp_glow_adu_s:
        down, across = (np.arange(size) / size - 1.0 for size in (height, width))
        glow = np.exp(-(down[:, None] ** 2 + across[None, :] ** 2) / 0.02)
        dark += (scenario.amp_glow_adu_s * glow).astype(np.float32)
    # hot pixels of 30 to 3000 ADU a second: most are moderate, some saturate a long exposure
    dark[hot[:, 1], hot[:, 0]] += (10.0 ** random.uniform(1.5, 3.5, len(hot))).astype(np.float32)
    flat = _make_flat(scenario, random)
    flat[cold[:, 1], cold[:, 0]] = 0.0
    return Sensor(flat, dark, hot, cold)


def _make_flat(scenario: Scenario, random: np.random.Generator) -> F32:
    """Return vignetting times dust shadows times the response of the pixels."""
    height, width = scenario.height, scenario.width
    y = np.arange(height)[:, None] - 0.5 * (height - 1)
    x = np.arange(width)[None, :] - 0.5 * (width - 1)
    flat = 1.0 - scenario.vignetting * (x**2 + y**2) / (0.25 * (width**2 + height**2))
    for _ in range(scenario.dust):
        radius = random.uniform(0.02, 0.05) * min(width, height)
        distance = np.hypot(x - random.uniform(-0.45, 0.45) * width, y - random.uniform(-0.45, 0.45) * height)
        flat = flat * (1.0 - _DUST_DEPTH * np.exp(-0.5 * ((distance - radius) / (0.3 * radius)) ** 2))
    if scenario.pixel_response:
        flat = flat * random.normal(1.0, scenario.pixel_response, (height, width))
    return flat.astype(np.float32)


def save_signal(scenario: Scenario, signal: F32, noise: np.random.Generator | F32) -> U16:
    """
    Return the uint16 frame of an expected signal (ADU with the pedestal): noise, saturation and rounding added.

    `noise` is a stream, or unit normal deviates of the signal's shape.
    """
    normals: F32
    if not scenario.noise:
        normals = np.zeros((0, 0), dtype=np.float32)
    elif isinstance(noise, np.random.Generator):
        normals = noise.standard_normal(signal.shape, dtype=np.float32)
    else:
        normals = noise
    adu_per_electron = 1.0 / scenario.gain_e_per_adu
    full = scenario.saturation_adu if scenario.saturate else 65535.0
    read_noise = scenario.read_noise_e * adu_per_electron
    return expose(signal, normals, scenario.pedestal_adu, adu_per_electron, read_noise, full)


def calibration_frame(scenario: Scenario, sensor: Sensor, kind: str, index: int) -> U16:
    """
    Return one raw bias, dark, flat or flat dark as uint16 (y, x).

    Darks have the exposure of the lights, flats and flat darks one of 1 s; the light of a flat is white
    (`Scenario.flat_adu` above the pedestal in every channel).
    """
    exposure_s = {"bias": 0.0, "dark": scenario.exposure_s}.get(kind, FLAT_EXPOSURE_S)
    signal = np.float32(scenario.pedestal_adu) + np.float32(exposure_s) * sensor.dark_adu_s
    if kind == "flat":
        signal = signal + np.float32(scenario.flat_adu) * sensor.flat
    return save_signal(scenario, signal, random_stream(scenario.night_seed, CALIBRATION, _KINDS.index(kind), index))
