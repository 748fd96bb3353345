"""What a synthetic session is to be like: every dial of the sky, the mount and the camera, with device defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from skyquilt.core import CFA_NAMES, I64, Cfa
from skyquilt.testing.sky.targets import TARGETS

__all__ = ["DEVICES", "FAULTS", "Device", "Scenario"]

_DEVICE_TEXT = "device"
_NAN = math.nan

FAULTS = {
    "trailed": "stars drawn out into streaks of 8 FWHM",
    "defocused": "stars three times as wide",
    "cloudy": "a sixth of the light, a sky half as bright again",
    "no_stars": "nothing but sky",
    "other_target": "other stars under the same name",
    "wrong_size": "binned 2x2 by mistake",
    "truncated": "the file ends after 40 % of its bytes",
    "nan": "float32 pixels, a quarter of the rows NaN",
    "zero": "all pixels 0",
    "saturated": "all pixels at the top",
    "glitch_rows": "the last fifth of the rows at pedestal level",
    "wrong_bayer": "the header names another colour filter array",
    "duplicate": "the same bytes as the frame before, under a new name",
    "missing_keys": "good pixels under a header that says nothing but the shape",
    "decimal_comma": "good pixels, exposure time written with a decimal comma",
    "empty": "a file of 5 bytes",
    "lfs_pointer": "the text of a Git LFS pointer instead of pixels",
}
"""Every fault a frame can have, and what it looks like."""

HARMLESS_FAULTS = ("missing_keys", "decimal_comma")


@dataclass(frozen=True, slots=True)
class Device:
    """
    The camera and telescope that a scenario takes its defaults from.

    Attributes
    ----------
    zero_point : float, mag
        V magnitude of a star of 1 ADU a second in the green channel.
    sky_adu : float, ADU
        Green sky level of the default exposure, pedestal included.
    """

    width: int
    height: int
    cfa: str | None
    scale_arcsec: float
    pixel_um: float
    focal_mm: float
    exposure_s: float
    gain: int
    filter: str
    temperature_c: float
    sky_adu: float
    pedestal_adu: float
    gain_e_per_adu: float
    read_noise_e: float
    saturation_adu: float
    zero_point: float
    n_hot_pixels: int
    n_cold_pixels: int


DEVICES = {
    # Levels, noise and zero point measured on Seestar S50 frames of M 94 (March 2025, firmware 4.27).
    "seestar": Device(
        1080, 1920, "GRBG", 2.3765, 2.9, 250.0, 10.0, 80, "IRCUT", 26.0, 996.0, 425.0, 0.074, 1.2, 65500.0, 20.5, 60, 3
    ),
    "dwarf3": Device(
        3856,
        2180,
        "RGGB",
        2.7502,
        2.0,
        150.0,
        15.0,
        60,
        "Astro",
        20.0,
        1400.0,
        240.0,
        0.08,
        1.3,
        65535.0,
        19.8,
        900,
        20,
    ),
    "dwarf2": Device(
        1920, 1080, "GBRG", 5.9816, 2.9, 100.0, 15.0, 80, "", 25.0, 1600.0, 256.0, 0.1, 1.8, 65535.0, 19.2, 600, 20
    ),
    "generic": Device(
        1600, 1200, "RGGB", 1.8019, 4.63, 530.0, 60.0, 120, "", -10.0, 1900.0, 480.0, 0.25, 2.0, 65535.0, 20.8, 400, 20
    ),
}


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    A session to be made, every number of it known.

    NaN, 0 sizes, a gain of -1 and the text "device" are filled in from the device when the scenario is made, so that a
    finished scenario shows what is used. Levels are ADU of the file, lengths px of the frame.

    Attributes
    ----------
    device : "seestar", "dwarf3", "dwarf2" or "generic"
    target : str
        A name of `TARGETS` brings its real stars; any other name needs `ra_deg`, `dec_deg` (J2000) or lies at (0, 0).
    seed, night : int
        `seed` makes the sky and the camera; together they make everything that differs from night to night. Two nights
        of one target share seed, camera and frame size, and differ in `night` and `start_utc` (and in whatever else).
    cfa : str or None
        Pattern as stored; None for a mono camera.
    start_utc : str
        Start of the first exposure, ISO 8601.
    utc_offset_h : float
        Local time minus UTC: file names carry local time.
    position_angle_deg : float
        Turn of the reference frame on the sky, from +x towards +y; at 0, x grows to the east and y to the north.
    fwhm_px, fwhm_scatter, fwhm_trend : float
        Seeing: median, relative scatter (1 sigma) from frame to frame, relative growth over the session.
    moffat_beta : float or None
        None draws Gaussians.
    distortion_px : float
        Radial (cubic) displacement at the corner of the frame.
    sky_adu : float
        Green (mono) sky with the pedestal, ADU; the default grows with the exposure.
    sky_colour : (r, g, b)
        Light of the sky over that in green.
    sky_trend : float
        Relative growth of the sky light over the session.
    gradient : float
        Brightest minus faintest sky light over its mean, across the diagonal; it keeps its direction in the frame (the
        horizon) while the field turns.
    tycho : bool
        Real stars of the target. False draws random ones of all magnitudes in their place.
    n_faint_stars : int
        Random stars of V 11.5 to 16.5 on the area of one frame (power law of 0.3 dex a magnitude).
    nebula : bool
        A galaxy or a cloud of known surface brightness (see `Truth.nebula`).
    nebula_adu : float
        Its typical peak in green at transparency 1.
    dither_px : float
        Radius in which the mount jumps every `dither_every` frames; the first place is the centre.
    drift_px : float
        Drift a frame between jumps.
    jitter_px : float
        Random displacement of every frame, 1 sigma an axis.
    rotation_deg : (float, float)
        Field rotation of the first and the last frame.
    meridian_flip : bool
        The second half is turned by another 180 degrees.
    panels : tuple of (float, float), degrees
        Centres of the panels of a mosaic, on the tangent plane (east, north) of the target; the frames are shared out
        in equal runs. Every panel is a true gnomonic view of its own.
    transparency_scatter : float
        Relative, 1 sigma, clipped at +-3 sigma.
    transparency_steps : mapping of int to float
        From that frame on the transparency is multiplied by this.
    clouds : mapping of int to float
        Transparency of single frames; their sky grows in step.
    vignetting : float
        Light lost in the corner (share). `dust` counts shadows of 8 %. `pixel_response` is relative, 1 sigma.
    dark_current_adu_s, amp_glow_adu_s : float
        Mean dark signal; extra at the lower right corner.
    trail_frames : tuple of int
        Which frame each trail crosses; random where the tuple ends.
    n_dark, n_flat, n_bias, n_flat_dark : int
        Calibration frames written beside the lights (generic, dwarf) as the device writes them.
    fault : mapping of int to str
        A word of `FAULTS` for the frames that shall have one.
    n_failed : int
        DWARF: frames that the device itself refused (`failed_...`), beyond `n_frames`.
    device_stack : bool
        Also write the stack that the device makes (not generic).
    """

    device: str = "seestar"
    target: str = "M 94"
    n_frames: int = 20
    width: int = 0
    height: int = 0
    seed: int = 1
    night: int = 0
    ra_deg: float = _NAN
    dec_deg: float = _NAN
    exposure_s: float = _NAN
    gain: int = -1
    cfa: str | None = _DEVICE_TEXT
    filter: str = _DEVICE_TEXT
    temperature_c: float = _NAN
    start_utc: str = "2025-03-27T01:20:32.955368"
    utc_offset_h: float = -4.0
    scale_arcsec: float = _NAN
    position_angle_deg: float = 180.75
    fwhm_px: float = 3.6
    fwhm_scatter: float = 0.04
    fwhm_trend: float = 0.0
    moffat_beta: float | None = None
    distortion_px: float = 0.0
    sky_adu: float = _NAN
    sky_colour: tuple[float, float, float] = (0.73, 1.0, 0.65)
    sky_trend: float = 0.02
    gradient: float = 0.05
    gradient_angle_deg: float = 70.0
    tycho: bool = True
    n_faint_stars: int = 400
    zero_point: float = _NAN
    nebula: bool = True
    nebula_adu: float = 250.0
    dither_px: float = 8.0
    dither_every: int = 5
    drift_px: float = 0.5
    jitter_px: float = 0.15
    rotation_deg: tuple[float, float] = (0.0, 1.0)
    meridian_flip: bool = False
    panels: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    transparency_scatter: float = 0.02
    transparency_steps: Mapping[int, float] = field(default_factory=dict)
    clouds: Mapping[int, float] = field(default_factory=dict)
    noise: bool = True
    gain_e_per_adu: float = _NAN
    read_noise_e: float = _NAN
    pedestal_adu: float = _NAN
    saturate: bool = True
    saturation_adu: float = _NAN
    vignetting: float = 0.0
    dust: int = 0
    pixel_response: float = 0.0
    n_hot_pixels: int = -1
    n_cold_pixels: int = -1
    dark_current_adu_s: float = 0.0
    amp_glow_adu_s: float = 0.0
    n_trails: int = 0
    trail_adu: float = 10000.0
    trail_frames: tuple[int, ...] = ()
    n_cosmics_per_frame: int = 3
    n_bias: int = 0
    n_dark: int = 0
    n_flat: int = 0
    n_flat_dark: int = 0
    flat_adu: float = 24000.0
    fault: Mapping[int, str] = field(default_factory=dict)
    n_failed: int = 0
    device_stack: bool = False

    def __post_init__(self) -> None:
        if self.device not in DEVICES:
            raise ValueError(f"device {self.device!r} is not one of {', '.join(DEVICES)}")
        device = DEVICES[self.device]
        sky_is_open = math.isnan(self.sky_adu)
        for place in fields(self):
            if _is_open(getattr(self, place.name), place.name) and hasattr(device, place.name):
                object.__setattr__(self, place.name, getattr(device, place.name))
        if sky_is_open:  # the default sky is that of the device's default exposure
            light = (device.sky_adu - device.pedestal_adu) * self.exposure_s / device.exposure_s
            object.__setattr__(self, "sky_adu", self.pedestal_adu + light)
        self._fill_pointing()
        self._check()

    def _fill_pointing(self) -> None:
        known = TARGETS.get(self.target)
        if math.isnan(self.ra_deg):
            object.__setattr__(self, "ra_deg", known.ra_deg if known else 0.0)
        if math.isnan(self.dec_deg):
            object.__setattr__(self, "dec_deg", known.dec_deg if known else 0.0)

    def _check(self) -> None:
        if self.cfa is not None and self.cfa not in CFA_NAMES:
            raise ValueError(f"cfa {self.cfa!r} is not one of {', '.join(CFA_NAMES)}, nor None")
        for index, word in self.fault.items():
            if word not in FAULTS:
                raise ValueError(f"frame {index} has fault {word!r}, which is not one of {', '.join(FAULTS)}")
        if self.n_frames > 0 and all(self.fault.get(k, "") in _BROKEN for k in range(self.n_frames)):
            raise ValueError("every frame has a fault: one must be good, to be the reference")
        if self.device_stack and self.device == "generic":
            raise ValueError("a generic camera makes no device_stack")
        if not self.panels:
            raise ValueError("panels is empty: a session has one panel at least, ((0.0, 0.0),)")

    @property
    def n_channels(self) -> int:
        """3 for a colour camera, 1 for a mono one."""
        return 1 if self.cfa is None else 3

    @property
    def channel_of(self) -> I64:
        """Channel of a pixel as int64 (2, 2): ``channel_of[y % 2, x % 2]``."""
        return np.zeros((2, 2), dtype=np.int64) if self.cfa is None else Cfa(self.cfa).table

    @property
    def night_seed(self) -> int:
        """Seed of what differs from night to night."""
        return self.seed + 1_000_003 * self.night

    @property
    def optics(self) -> Device:
        """The device that the defaults come from."""
        return DEVICES[self.device]


_BROKEN = frozenset(FAULTS) - frozenset(HARMLESS_FAULTS)


def _is_open(value: Any, name: str) -> bool:
    """Tell whether the device is to fill in this value."""
    if isinstance(value, float):
        return math.isnan(value)
    if name in ("width", "height"):
        return bool(value == 0)
    return bool(value in (_DEVICE_TEXT, -1))
