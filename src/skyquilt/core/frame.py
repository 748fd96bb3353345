"""What is known of a frame before its pixels are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from skyquilt.core.cfa import Cfa

__all__ = ["LEFT_OUT_CODES", "FrameFile", "FrameKind", "FrameMeta", "LeftOut", "Pointing"]


class FrameKind(StrEnum):
    """What a frame was taken for."""

    LIGHT = "light"
    DARK = "dark"
    FLAT = "flat"
    BIAS = "bias"
    FLAT_DARK = "flat_dark"
    STACK = "stack"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Pointing:
    """
    Where the header says the telescope looked.

    Attributes
    ----------
    ra_deg, dec_deg : float, degrees
    equinox : "J2000" or "date"
        "date": referred to the equator of the observation (Seestar writes such coordinates).
    """

    ra_deg: float
    dec_deg: float
    equinox: str = "J2000"


@dataclass(frozen=True, slots=True)
class FrameMeta:
    """
    What the header says, in our words and units. None means that the header does not say it (absence is not zero).

    Attributes
    ----------
    width, height : int, px
    n_planes : int
        1 for a mono or CFA frame, 3 for a colour cube.
    bits : int
        FITS BITPIX of the stored pixels (8, 16, 32, 64, -32, -64).
    saturation_adu : float
        The largest value the pixels can take (65535 for uint16; 1.0 or the header's for floats).
    cfa : Cfa or None
        Colour filter array as stored, offsets and row order folded in; None for mono frames and for cubes.
    gain : float
        As the device counts it (no unit); `gain_e_per_adu` is the physical one.
    date_obs : str
        UTC start of the exposure, ISO 8601 without zone, or None.
    n_stacked : int
        1 for a single exposure; more for the stacks that a device makes.
    notes : tuple of str
        Oddities met while reading the header, one sentence each; they end up in the report.
    """

    width: int
    height: int
    n_planes: int = 1
    bits: int = 16
    saturation_adu: float = 65535.0
    kind: FrameKind = FrameKind.UNKNOWN
    exposure_s: float | None = None
    gain: float | None = None
    offset: float | None = None
    gain_e_per_adu: float | None = None
    temperature_c: float | None = None
    filter: str | None = None
    cfa: Cfa | None = None
    row_order: str | None = None
    binning: tuple[int, int] = (1, 1)
    pixel_um: float | None = None
    focal_mm: float | None = None
    aperture_mm: float | None = None
    pointing: Pointing | None = None
    date_obs: str | None = None
    object_name: str | None = None
    telescope: str | None = None
    instrument: str | None = None
    software: str | None = None
    device: str | None = None
    camera: str | None = None
    is_equatorial: bool | None = None
    n_stacked: int = 1
    notes: tuple[str, ...] = ()

    @property
    def scale_arcsec(self) -> float | None:
        """Pixel scale that pixel size and focal length imply, arcsec/px, or None."""
        if not self.pixel_um or not self.focal_mm:
            return None
        return 206.264806 * self.pixel_um / self.focal_mm


@dataclass(frozen=True, slots=True)
class FrameFile:
    """
    A frame on disk: where it lies and what its header says.

    Attributes
    ----------
    path : Path
    hdu : int
        Which HDU holds the pixels (0 = primary).
    size_bytes, mtime_ns : int
        As found; they tell whether the file has changed since.
    """

    path: Path
    meta: FrameMeta
    hdu: int = 0
    size_bytes: int = 0
    mtime_ns: int = 0

    @property
    def name(self) -> str:
        return self.path.name


LEFT_OUT_CODES = frozenset(
    {
        "alone",
        "blank",
        "blurred",
        "bright_sky",
        "changed",
        "clouded",
        "device_refused",
        "device_stack",
        "does_not_fit",
        "duplicate",
        "excluded",
        "few_stars",
        "glitch_rows",
        "gradient",
        "hidden",
        "low_score",
        "no_stars",
        "noisy",
        "not_among_best",
        "not_listed",
        "not_placed",
        "not_registered",
        "not_transparent",
        "own_output",
        "permission",
        "saturated",
        "stack",
        "star_trails",
        "stray",
        "thumbnail",
        "trailed",
        "truncated",
        "unreadable",
        "vanished",
    }
)
"""Every code of `LeftOut`; the app has words for each (viewer/src/words/reasons.ts)."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """
    A file that takes no part, and why.

    Attributes
    ----------
    code : str
        One of `LEFT_OUT_CODES`.
    reason : str
        One sentence with the figures that decided.
    stage : str
        "discover", "calibrate", "measure", "select", "register", "integrate".
    """

    path: Path
    code: str
    reason: str
    stage: str

    def __post_init__(self) -> None:
        assert self.code in LEFT_OUT_CODES, f"{self.code} is no code of a file that is left out"

    figures: dict[str, float] = field(default_factory=dict)
