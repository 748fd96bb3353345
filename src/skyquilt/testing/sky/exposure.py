"""One exposure: the light of the truth on the sensor, and the frame that the camera saves."""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64, U16, Box
from skyquilt.kernels.render import add_sky, add_trail
from skyquilt.testing.sky.drawing import draw_blobs, draw_stars
from skyquilt.testing.sky.scenario import Scenario
from skyquilt.testing.sky.sensor import save_signal
from skyquilt.testing.sky.streams import NOISE, STRANGE, random_stream
from skyquilt.testing.sky.truth import FrameTruth, Truth

__all__ = ["BORDER_PX", "TRAIL_COLOUR", "draw_out", "raw_frame", "render_frame", "save_exposure"]

BORDER_PX = 100.0
TRAIL_COLOUR = (0.9, 1.0, 0.8)


def render_frame(truth: Truth, index: int) -> F32:
    """
    Return the expected signal of frame `index` before noise, saturation and rounding.

    Returns
    -------
    float32 (y, x), ADU
        pedestal + dark + flat * (sky + nebula + stars + trails) + particle hits.
    """
    scenario, frame = truth.scenario, truth.frames[index]
    channel_of = scenario.channel_of
    image = np.zeros((scenario.height, scenario.width), dtype=np.float32)
    add_sky(image, channel_of, frame.sky_light_adu, *frame.slope)
    if frame.fault != "other_target":
        box = Box.of_shape(scenario.height, scenario.width)
        draw_blobs(image, channel_of, truth.blobs, frame.from_plane.inverse(), frame.transparency, box)
    xs, ys, flux = draw_out(*_visible_stars(truth, frame), frame.streak, frame.fwhm_px)
    draw_stars(image, channel_of, xs, ys, flux, frame.fwhm_px, scenario.moffat_beta)
    peak = scenario.trail_adu * (np.array(TRAIL_COLOUR) if scenario.n_channels == 3 else np.ones(1))
    for t in frame.trails:
        add_trail(image, channel_of, t.x0, t.y0, t.x1, t.y1, frame.fwhm_px / np.sqrt(8.0 * np.log(2.0)), peak)
    image *= truth.sensor.flat
    image += np.float32(scenario.exposure_s) * truth.sensor.dark_adu_s
    image += np.float32(scenario.pedestal_adu)
    hits = frame.cosmics
    np.add.at(image, (hits[:, 1].astype(np.int64), hits[:, 0].astype(np.int64)), hits[:, 2].astype(np.float32))
    return image


def _visible_stars(truth: Truth, frame: FrameTruth) -> tuple[F64, F64, F64]:
    """Return (x, y, flux) of the stars that can reach into the frame, brightest first."""
    stars = truth.stars_near(frame.index, BORDER_PX)
    if frame.fault == "other_target":  # as many stars, as bright, elsewhere
        random = random_stream(truth.scenario.night_seed, STRANGE, frame.index)
        return random.permutation(stars.x), random.permutation(stars.y), stars.flux
    return stars.x, stars.y, stars.flux


def draw_out(x: F64, y: F64, flux: F64, streak: tuple[float, float], fwhm_px: float) -> tuple[F64, F64, F64]:
    """Return the stars as rows of fainter ones, a quarter of a FWHM apart, where they move during the exposure."""
    length = float(np.hypot(*streak))
    if length == 0.0:
        return x, y, flux
    n = int(np.ceil(4.0 * length / fwhm_px)) + 1
    steps = np.linspace(-0.5, 0.5, n)[:, None]
    return (x + steps * streak[0]).ravel(), (y + steps * streak[1]).ravel(), np.tile(flux / n, (n, 1))


def raw_frame(truth: Truth, index: int) -> U16:
    """
    Return frame `index` as the camera saves it, uint16 (y, x), pixel faults included.

    Faults of the file ("truncated", "nan", "missing_keys", ...) are made where files are written (`make_session`).
    """
    scenario, fault = truth.scenario, truth.frames[index].fault
    noise = random_stream(scenario.night_seed, NOISE, index)
    return save_exposure(scenario, fault, render_frame(truth, index), noise)


def save_exposure(scenario: Scenario, fault: str, signal: F32, noise: np.random.Generator | F32) -> U16:
    """
    Return the frame that the camera saves of an expected signal, with the faults of its pixels, uint16 (y, x).

    Parameters
    ----------
    fault : str
        A word of `FAULTS`, or "".
    signal : float32 (y, x), ADU
        With the pedestal.
    noise : Generator, or float32 (y, x)
        The stream of this frame, or unit normal deviates that are ready.
    """
    if fault == "zero":
        return np.zeros(signal.shape, dtype=np.uint16)
    if fault == "saturated":
        return np.full(signal.shape, scenario.saturation_adu, dtype=np.uint16)
    frame = save_signal(scenario, signal, noise)
    if fault == "glitch_rows":
        frame[scenario.height * 4 // 5 :] = int(scenario.pedestal_adu)
    if fault == "wrong_size":
        even = frame[: len(frame) // 2 * 2, : frame.shape[1] // 2 * 2].astype(np.uint32)
        cells = even[::2, ::2] + even[::2, 1::2] + even[1::2, ::2] + even[1::2, 1::2]
        return (cells // 4).astype(np.uint16)
    return frame
