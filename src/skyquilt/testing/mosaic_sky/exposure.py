"""One exposure of a mosaic: the light of the sky on the sensor, and the frame that the camera saves."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from skyquilt.core import F32, U16
from skyquilt.kernels.render import add_trail
from skyquilt.testing.mosaic_sky.truth import MosaicFrame, MosaicTruth
from skyquilt.testing.sky.drawing import draw_stars
from skyquilt.testing.sky.exposure import BORDER_PX, TRAIL_COLOUR, draw_out, save_exposure
from skyquilt.testing.sky.scenario import Scenario
from skyquilt.testing.sky.streams import NOISE, STRANGE, random_stream

__all__ = ["raw_mosaic_frame", "render_mosaic_frame"]

_SPARE_PX = 512


def render_mosaic_frame(truth: MosaicTruth, index: int) -> F32:
    """
    Return the expected signal of frame `index` before noise, saturation and rounding.

    Returns
    -------
    float32 (y, x), ADU
        pedestal + dark + flat * (sky + nebula + stars + trails) + particle hits.

    Notes
    -----
    The distortion of the optics moves light: a star keeps its flux, the nebula its brightness per pixel (that of a
    frame that was flattened).
    """
    frame, camera, sensor = truth.frames[index], truth.scenario.camera, truth.sensor
    image = _sky_light(camera, frame)
    if frame.fault != "other_target":
        truth.nebula.draw(image, frame.wcs, camera.channel_of, frame.transparency)
    _draw_frame_stars(truth, frame, image)
    peak = camera.trail_adu * (np.array(TRAIL_COLOUR) if camera.n_channels == 3 else np.ones(1))
    for t in frame.trails:
        sigma = frame.fwhm_px / np.sqrt(8.0 * np.log(2.0))
        add_trail(image, camera.channel_of, t.x0, t.y0, t.x1, t.y1, sigma, peak)
    image *= sensor.flat
    image += np.float32(camera.exposure_s) * sensor.dark_adu_s
    image += np.float32(camera.pedestal_adu)
    hits = frame.cosmics
    np.add.at(image, (hits[:, 1].astype(np.int64), hits[:, 0].astype(np.int64)), hits[:, 2].astype(np.float32))
    return image


def _sky_light(camera: Scenario, frame: MosaicFrame) -> F32:
    """Return the light of the sky on each pixel, in the pixel's colour."""
    x, y = np.arange(camera.width, dtype=np.float64), np.arange(camera.height, dtype=np.float64)
    shape = frame.sky_shape(x[None, :], y[:, None]).astype(np.float32)
    level = frame.sky_light_adu.astype(np.float32)[camera.channel_of]
    for j in range(2):
        for i in range(2):
            shape[j::2, i::2] *= level[j, i]
    return shape


def _draw_frame_stars(truth: MosaicTruth, frame: MosaicFrame, image: F32) -> None:
    """Add the stars that can reach into the frame."""
    camera = truth.scenario.camera
    stars = truth.frame_stars(frame.index, BORDER_PX)
    x, y = stars.x, stars.y
    if frame.fault == "other_target":  # as many stars, as bright, elsewhere
        random = random_stream(camera.night_seed, STRANGE, frame.index)
        x, y = random.permutation(x), random.permutation(y)
    x, y, flux = draw_out(x, y, stars.flux, frame.streak, frame.fwhm_px)
    draw_stars(image, camera.channel_of, x, y, flux, frame.fwhm_px, camera.moffat_beta)


def raw_mosaic_frame(truth: MosaicTruth, index: int) -> U16:
    """
    Return frame `index` as the camera saves it, uint16 (y, x), pixel faults included.

    Faults of the file ("truncated", "nan", "missing_keys", ...) are made where files are written (`make_mosaic`).
    """
    camera = truth.scenario.camera
    random = random_stream(camera.night_seed, NOISE, index)
    noise = _piece_of_noise(camera, random) if truth.scenario.quick_noise else random
    return save_exposure(camera, truth.frames[index].fault, render_mosaic_frame(truth, index), noise)


def _piece_of_noise(camera: Scenario, random: np.random.Generator) -> F32:
    """Return unit normal deviates for one frame, cut out of the large piece of the session."""
    x, y = random.integers(_SPARE_PX, size=2)
    whole = _large_noise(camera.night_seed, camera.height + _SPARE_PX, camera.width + _SPARE_PX)
    return np.ascontiguousarray(whole[y : y + camera.height, x : x + camera.width])


@lru_cache(maxsize=1)
def _large_noise(seed: int, height: int, width: int) -> F32:
    """Return the normal deviates that quick frames are cut from."""
    return random_stream(seed, NOISE, -1).standard_normal((height, width), dtype=np.float32)
