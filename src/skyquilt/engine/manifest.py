"""
What went in, what was left out and why, every transform, weight, version and hash: enough to reproduce the run.

The manifest is data only (pydantic models); `schema_version` changes when a field changes its meaning.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from skyquilt.engine.photometry import Photometry

__all__ = [
    "FrameRecord",
    "Manifest",
    "MasterRecord",
    "MosaicRecord",
    "OutputRecord",
    "OverlapRecord",
    "PanelRecord",
    "SkyRecord",
    "Statistics",
]

SCHEMA_ID = "skyquilt.manifest"
SCHEMA_VERSION = 1


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")


class FrameRecord(_Record):
    """
    One light: what it is, what was measured, what was decided.

    `status` is "stacked" or "left_out"; a frame that is left out has `code`, `reason` and the `stage` that decided.
    Units: exposure in seconds, temperature in degrees C, noise and background in ADU, lengths in px, rotation in
    degrees. `rejected_low` and `rejected_high` are the shares of the frame's samples that the rejection refused. A
    frame of a mosaic has the direction of its middle, its pointing (`panel`) and its coordinates, not a transform.
    """

    file: str
    status: Literal["stacked", "left_out"]
    code: str | None = None
    reason: str | None = None
    stage: str | None = None
    is_reference: bool = False
    size_bytes: int | None = None
    sha256: str | None = None
    date_obs: str | None = None
    exposure_s: float | None = None
    gain: float | None = None
    temperature_c: float | None = None
    filter: str | None = None
    background_adu: float | None = None
    noise_adu: float | None = None
    saturated_share: float | None = None
    n_stars: int | None = None
    fwhm_px: float | None = None
    eccentricity: float | None = None
    transparency: float | None = None
    gradient: float | None = None
    score: float | None = None
    n_matched: int | None = None
    residual_px: float | None = None
    bright_residual_px: float | None = None
    shift_x_px: float | None = None
    shift_y_px: float | None = None
    rotation_deg: float | None = None
    transform: dict[str, Any] | None = None
    ra_deg: float | None = None
    dec_deg: float | None = None
    panel: str | None = None
    wcs: dict[str, Any] | None = None
    scale: list[float] | None = None
    surface: list[list[float]] | None = None
    weight: float | None = None
    n_trails: int | None = None
    rejected_low: float | None = None
    rejected_high: float | None = None
    notes: list[str] = []


class MasterRecord(_Record):
    """A master calibration frame: its kind, what it was made of, and which of the files were left out."""

    kind: Literal["bias", "dark", "flat", "flat_dark"]
    n_frames: int
    exposure_s: float | None
    gain: float | None
    temperature_c: float | None
    files: list[str]
    left_out: dict[str, str] = {}
    dark_scale: float | None = None
    reason: str = ""
    median_adu: float | None = None
    noise_adu: float | None = None


class OutputRecord(_Record):
    """A product: its path below the output folder, size, hash of the file and hash of its pixel data."""

    name: str
    file: str
    size_bytes: int
    sha256: str
    data_sha256: str | None = None


class Statistics(_Record):
    """
    The stack in figures; exposures are None where no header tells them.

    `noise` is the robust sigma of the background per pixel, `noise_8x8` that of means over 8x8 pixels times 8 (the
    figure that smoothing cannot flatter; faint stars and nebulae count in both), ADU per channel. `snr_gain` is the
    noise of the reference alone over that of the stack, from the scatter of the frames. `fwhm_px` is that of the stack,
    `reference_fwhm_px` that of the reference frame alone, resampled likewise: more than that, registration and seeing
    have added. `frames_fwhm_px` is the median of the frames as the sensor recorded them.
    """

    n_found: int
    n_stacked: int
    n_left_out: int
    exposure_s: float | None
    effective_exposure_s: float | None
    rejected_low: float
    rejected_high: float
    background: list[float]
    noise: list[float]
    noise_8x8: list[float]
    snr_gain: list[float]
    fwhm_px: float | None
    reference_fwhm_px: float | None = None
    frames_fwhm_px: float | None
    n_stars: int | None
    rotation_range_deg: float
    width: int
    height: int
    n_channels: int


class SkyRecord(_Record):
    """
    Where the canvas lies on the sky, or why that is not known.

    Direction of the centre in degrees (ICRS); `rotation_deg` and `parity` as `skyquilt solve` gives them; `rms_px` is
    the residual of the matched stars per axis.
    """

    solved: bool
    reason: str | None = None
    ra_deg: float | None = None
    dec_deg: float | None = None
    scale_arcsec: float | None = None
    rotation_deg: float | None = None
    parity: int | None = None
    n_matched: int | None = None
    rms_px: float | None = None
    model: str | None = None
    found_by: str | None = None
    notes: list[str] = []


class PanelRecord(_Record):
    """
    One pointing of a mosaic: frames that show about the same part of the sky.

    Direction of its middle in degrees (ICRS); `transparency` is the median of its frames', 1 for the frame to which the
    fluxes are referred.
    """

    name: str
    ra_deg: float
    dec_deg: float
    n_frames: int
    exposure_s: float | None
    transparency: float | None = None


class OverlapRecord(_Record):
    """
    Two pointings that share sky, and what the solution left between them.

    `flux_ratio` is the ratio of the fluxes of their common stars after scaling, first over second; `sky_step_sigma` the
    step of the sky between them over the noise of a pixel; `sky_step_before_sigma` that without any correction.
    """

    first: str
    second: str
    area_deg2: float
    n_stars: int
    flux_ratio: float | None = None
    sky_step_sigma: float | None = None
    sky_step_before_sigma: float | None = None


class MosaicRecord(_Record):
    """
    What is particular to a mosaic.

    Areas in square degrees, residuals per axis. `tie_rms_px` is that of stars seen by several frames about their common
    place, `catalogue_rms_arcsec` that against the catalogue; `flux_rms` the relative scatter of common stars about the
    photometric solution. `holes_deg2` is what the frames enclose but do not cover. `notes` tell of groups of frames
    that no star or no sky ties to the others.
    """

    projection: str
    covered_deg2: float
    holes_deg2: float
    n_holes: int
    coverage_median_s: float | None
    coverage_max_s: float | None
    n_ties: int
    tie_rms_px: float | None
    catalogue_rms_arcsec: float | None
    flux_rms: float | None
    sky_rms_sigma: float | None
    surface_order: int
    distortion_order: dict[str, int] = {}
    canvas_wcs: dict[str, Any] = {}
    panels: list[PanelRecord]
    overlaps: list[OverlapRecord]
    notes: list[str] = []


class Manifest(_Record):
    """
    The whole run. Everything above `environment` is the reproducible part: no clock, host or absolute path.

    `full_scale_adu` is what became 1 in the normalised unit: the largest value that the files could hold.
    `saturation_adu` is where raw pixels of the stacked frames stop: less than that where they pile up below, None where
    nothing is known (floats). `star_colour` is red over green and blue over green of a usual star, to which the
    debayering was balanced.
    """

    schema_id: str = SCHEMA_ID
    schema_version: int = SCHEMA_VERSION
    program: str
    session: str
    group: str
    device: str
    target: str | None
    filter: str | None
    recipe: dict[str, Any]
    recipe_sha256: str
    rejection_rule: str
    debayer_method: str
    kernel: str
    star_colour: tuple[float, float] | None = None
    schedule: str
    unit: str
    full_scale_adu: float = 65535.0
    saturation_adu: float | None = None
    canvas: tuple[int, int, int, int]
    reference: str | None
    calibration: list[MasterRecord]
    calibration_table: list[dict[str, Any]]
    n_defects: int
    frames: list[FrameRecord]
    other_files: list[dict[str, str]]
    statistics: Statistics | None
    sky: SkyRecord | None = None
    photometry: Photometry | None = None
    mosaic: MosaicRecord | None = None
    warnings: list[str]
    notes: list[str]
    outputs: list[OutputRecord] = []
    environment: dict[str, Any] = {}
