"""One light on its way through a run: what is known of it so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite

from skyquilt.core import F32, I32, Calibration, FrameFile, LeftOut, Measurement, Normalisation, Registration, Trail
from skyquilt.engine.manifest import FrameRecord

__all__ = ["Light", "record_of", "record_of_stray"]


@dataclass(slots=True, eq=False)
class Light:
    """
    The working record of a light; each phase fills in its part.

    `plane` is the binned look of the frame, kept from the measuring to the search for trails if memory allows.
    `ceiling_adu` is the level at which the group's pixels pile up, where that is below what its files could hold.
    `saturated_stars` holds where the stars lie that saturate in any frame of the stack (`engine.glare`).
    `left_out` ends the frame's way; it stays in the list, so that the manifest tells of it. `looked_with` keeps the
    calibration of the measuring once the defects found in the lights were added for the integration.
    """

    file: FrameFile
    calibration: Calibration
    calibration_key: str = ""
    sha256: str | None = None
    measurement: Measurement | None = None
    score: float | None = None
    registration: Registration | None = None
    normalisation: Normalisation | None = None
    weight: float | None = None
    trails: tuple[Trail, ...] = ()
    plane: F32 | None = None
    is_reference: bool = False
    samples: tuple[int, int, int] = (0, 0, 0)
    left_out: LeftOut | None = None
    notes: list[str] = field(default_factory=list)
    looked_with: tuple[Calibration, str] | None = None
    ceiling_adu: float = inf
    saturated_stars: I32 | None = None

    @property
    def saturation_adu(self) -> float:
        """The largest value that its raw pixels can take, ADU."""
        return min(self.file.meta.saturation_adu, self.ceiling_adu)

    @property
    def is_in(self) -> bool:
        return self.left_out is None

    def leave_out(self, stage: str, code: str, reason: str) -> LeftOut:
        """Take the frame out of the run, with the reason."""
        self.left_out = LeftOut(self.file.path, code, reason, stage)
        return self.left_out

    def complete_calibration(self, calibration: Calibration, key: str) -> None:
        """Take the calibration of the integration in place of that of the measuring."""
        self.looked_with = self.calibration, self.calibration_key
        self.calibration, self.calibration_key = calibration, key

    def begin_anew(self) -> None:
        """Forget what was decided after the measuring, because another frame of the group was lost."""
        if self.left_out is not None and self.left_out.stage in ("select", "register"):
            self.left_out = None
        if self.looked_with is not None:
            (self.calibration, self.calibration_key), self.looked_with = self.looked_with, None
        self.score = self.registration = self.normalisation = self.weight = None
        self.trails, self.samples, self.is_reference = (), (0, 0, 0), False
        self.saturated_stars = None


def record_of(light: Light) -> FrameRecord:
    """Return what the manifest says of the frame."""
    meta = light.file.meta
    record = FrameRecord(
        file=light.file.name,
        status="stacked" if light.is_in else "left_out",
        is_reference=light.is_reference,
        size_bytes=light.file.size_bytes,
        sha256=light.sha256,
        date_obs=meta.date_obs,
        exposure_s=meta.exposure_s,
        gain=meta.gain,
        temperature_c=meta.temperature_c,
        filter=meta.filter,
        notes=[*meta.notes, *light.notes],
    )
    if light.left_out:
        record.code, record.reason = light.left_out.code, light.left_out.reason
        record.stage = light.left_out.stage
    if light.measurement:
        figures = light.measurement.figures
        record.background_adu = _finite(figures.background_adu)
        record.noise_adu = _finite(figures.noise_adu)
        record.saturated_share = _finite(figures.saturated_share)
        record.n_stars = figures.n_stars
        record.fwhm_px = _finite(figures.fwhm_px)
        record.eccentricity = _finite(figures.eccentricity)
        record.gradient = _finite(figures.gradient)
    record.score = _finite(light.score)
    if light.registration:
        _add_registration(record, light.registration)
    if light.normalisation:
        record.transparency = _finite(light.normalisation.transparency)
        record.scale = [float(value) for value in light.normalisation.scale]
        record.surface = [[float(value) for value in row] for row in light.normalisation.surface]
    if light.is_in:
        record.weight = _finite(light.weight)
        record.n_trails = len(light.trails)
        landed, low, high = light.samples
        if landed:
            record.rejected_low, record.rejected_high = low / landed, high / landed
    return record


def record_of_stray(stray: LeftOut) -> FrameRecord:
    """Return what the manifest says of a file that never became a light of a group."""
    return FrameRecord(file=stray.path.name, status="left_out", code=stray.code, reason=stray.reason, stage=stray.stage)


def _add_registration(record: FrameRecord, registration: Registration) -> None:
    matrix = registration.transform.matrix
    record.n_matched = registration.n_matched
    record.residual_px = _finite(registration.rms_px)
    record.bright_residual_px = _finite(registration.bright_rms_px)
    record.shift_x_px, record.shift_y_px = float(matrix[0, 2]), float(matrix[1, 2])
    record.rotation_deg = registration.transform.rotation_deg
    record.transform = registration.transform.to_dict()


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and isfinite(value) else None
