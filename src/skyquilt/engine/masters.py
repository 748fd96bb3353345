"""From calibration frames to one master: looked at, judged, integrated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from skyquilt.core import F32, F64, U8, Box, FrameFile, FrameKind, FrameMeta, PixelSource
from skyquilt.engine.executors import run_in_order
from skyquilt.engine.integration import cube_scratch
from skyquilt.engine.manifest import MasterRecord
from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits import FitsSource, frame_source
from skyquilt.steps import calibrate, integrate

__all__ = ["KINDS", "UNREADABLE", "LookedAt", "Master", "average_frames", "judge_frames", "master_record"]

KINDS = {
    "dark": FrameKind.DARK,
    "flat": FrameKind.FLAT,
    "bias": FrameKind.BIAS,
    "flat_dark": FrameKind.FLAT_DARK,
}
UNREADABLE = "unreadable"

_BAND_ROWS = 64
_STORED_ROWS = 128  # fewer make more calls than the second-level cache is worth
_BAND_BYTES = 64_000_000  # samples of all frames in the bands that all threads work on
_MOST_COUNTED = 65535
# calibration frames neither move nor hold stars: no allowance for structure
_SETTINGS = integrate.IntegrateSettings(jitter_px=0.0, blur_px2=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Master:
    """A master calibration frame: its pixels, float32 (y, x) in ADU, what is told of it, and its first file's facts."""

    pixels: F32
    record: MasterRecord
    meta: FrameMeta


@dataclass(frozen=True, slots=True, eq=False)
class LookedAt:
    """A calibration frame, its coarse look, and whether `FitsSource.read_stored` gives its pixels."""

    file: FrameFile
    profile: calibrate.FrameProfile
    is_stored: bool


def judge_frames(
    kind: FrameKind,
    files: Sequence[FrameFile],
    bias_level_adu: float | None,
    *,
    n_threads: int,
    should_stop: Callable[[], bool],
) -> tuple[list[LookedAt], list[calibrate.Verdict]]:
    """
    Return the frames that are good enough for a master, and a verdict on each file; both in the order of the files.

    A file that cannot be read has the code `UNREADABLE`.
    """
    rooms = threading.local()

    def look(file: FrameFile) -> LookedAt | calibrate.Verdict:
        try:
            return _look_at(file, rooms)
        except UnreadableFrame as error:
            return calibrate.Verdict(file.name, False, UNREADABLE, error.message)

    seen = list(run_in_order(look, files, n_threads=n_threads, should_stop=should_stop))
    frames = [frame for frame in seen if isinstance(frame, LookedAt)]
    judged = calibrate.judge_profiles(
        kind,
        [frame.file.name for frame in frames],
        [frame.profile for frame in frames],
        bias_level_adu=bias_level_adu,
        saturation_adu=files[0].meta.saturation_adu,
    )
    good = [frame for frame, verdict in zip(frames, judged, strict=True) if verdict.is_good]
    verdicts = iter(judged)
    return good, [next(verdicts) if isinstance(frame, LookedAt) else frame for frame in seen]


def _look_at(file: FrameFile, rooms: threading.local) -> LookedAt:
    """Take the profile of a frame; the memory for its words is kept in `rooms` for the next one of this thread."""
    source = frame_source(file)
    shape = source.bounds.shape
    if source.n_channels == 1 and 2 <= shape[1] <= _MOST_COUNTED:
        room = getattr(rooms, "words", None)
        if room is None or room.shape != shape:
            room = rooms.words = np.empty(shape, dtype=np.uint16)
        if source.read_stored(0, room):
            return LookedAt(file, calibrate.stored_profile(room, file.meta.saturation_adu), True)
    pixels = source.read(source.bounds).pixels[0]
    return LookedAt(file, calibrate.frame_profile(pixels, file.meta.saturation_adu), False)


def average_frames(
    frames: Sequence[LookedAt],
    subtract: F32 | None,
    *,
    is_flat: bool,
    n_threads: int,
    should_stop: Callable[[], bool],
) -> F32:
    """
    Return the robust mean of the frames, float32 (y, x), ADU; flats are brought to one level first.

    Parameters
    ----------
    frames : sequence of LookedAt
    subtract : float32 (y, x) or None, ADU
        Bias of flats.
    """
    pedestal = float(np.median(subtract[::4, ::4])) if subtract is not None else 0.0
    levels = np.array([frame.profile.median - pedestal for frame in frames])
    scales = float(np.median(levels)) / levels if is_flat else np.ones(len(frames))
    sources = [frame_source(frame.file) for frame in frames]
    bounds = sources[0].bounds
    can_be_stored = integrate.takes_stored(_SETTINGS, len(frames)) and bool(np.isfinite(scales).all())
    work: Callable[[Box], F32]
    if can_be_stored and all(frame.is_stored for frame in frames):
        most_rows = _rows_in_band(2 * len(frames) * bounds.width * n_threads, _STORED_ROWS)
        work = _stored_work(sources, subtract, scales, most_rows)
    else:
        most_rows = _rows_in_band(5 * len(frames) * bounds.width * n_threads, _BAND_ROWS)
        sigmas = np.array([frame.profile.sigma for frame in frames]) * scales
        work = _cube_work(sources, subtract, scales, _terms(sigmas, float(np.median(levels))))
    master = np.empty(bounds.shape, dtype=np.float32)

    def fill(box: Box) -> None:
        master[box.slices(bounds)] = work(box)

    for _ in run_in_order(fill, bounds.tiles(bounds.width, most_rows), n_threads=n_threads, should_stop=should_stop):
        pass
    return master


def _rows_in_band(bytes_a_row: int, most: int) -> int:
    return min(most, max(4, _BAND_BYTES // bytes_a_row))


def _stored_work(
    sources: Sequence[FitsSource], subtract: F32 | None, scales: F64, most_rows: int
) -> Callable[[Box], F32]:
    """Return what makes a band of the master from the words of the files; its result is good until its next call."""
    stacks = threading.local()

    def work(box: Box) -> F32:
        stack: integrate.StoredStack | None = getattr(stacks, "stack", None)
        if stack is None:
            stack = stacks.stack = integrate.StoredStack(len(sources), box.width, most_rows, _SETTINGS)
        for source, rows in zip(sources, stack.rows(box.height), strict=True):
            if not source.read_stored(box.y0, rows):
                raise AssertionError(f"{source.frame.name} was stored otherwise when it was looked at")
        part = None if subtract is None else subtract[box.y0 : box.y1]
        return stack.mean(box.height, part, scales)

    return work


def _cube_work(
    sources: Sequence[FitsSource], subtract: F32 | None, scales: F64, terms: integrate.FrameTerms
) -> Callable[[Box], F32]:
    """Return what makes a band of the master as the lights are integrated."""
    samplers = [_PlaneSampler(source, subtract, scale) for source, scale in zip(sources, scales, strict=True)]

    def work(box: Box) -> F32:
        tile = integrate.integrate_cube(samplers, box, terms, _SETTINGS, cube_scratch())
        value: F32 = np.nan_to_num(tile.value[0])
        return value

    return work


def _terms(sigmas: F64, level: float) -> integrate.FrameTerms:
    """Return the noise model of calibration frames of one level."""
    sigma = sigmas[:, None]
    levels = np.full_like(sigma, level)
    ones = np.ones(len(sigmas))
    return integrate.FrameTerms(ones, ones, sigma, sigma**2 / np.maximum(levels, 1.0), levels)


class _PlaneSampler:
    """Samples of a calibration frame on its own pixels, for boxes within: (v - subtract) * scale."""

    n_channels = 1
    weight_channels = 1

    def __init__(self, source: PixelSource, subtract: F32 | None, scale: float) -> None:
        self._source = source
        self._subtract = subtract
        self._scale = np.float32(scale)

    def sample(self, box: Box, values: F32, weights: U8) -> None:
        tile = self._source.read(box)
        if self._subtract is None:
            np.multiply(tile.pixels, self._scale, out=values)
        else:
            np.subtract(tile.pixels[0], self._subtract[box.slices(self._source.bounds)], out=values[0])
            values *= self._scale
        weights.fill(255)
        if not tile.mask.all():
            weights[0][~tile.mask] = 0


def master_record(
    kind: str, files: Sequence[FrameFile], left_out: dict[str, str], n_frames: int, pixels: F32
) -> MasterRecord:
    """Return what the manifest says of a master."""
    temperatures = [file.meta.temperature_c for file in files if file.meta.temperature_c is not None]
    steps = np.diff(pixels[::8], n=1, axis=1)[:, ::2]
    return MasterRecord.model_validate(
        {
            "kind": kind,
            "n_frames": n_frames,
            "exposure_s": files[0].meta.exposure_s,
            "gain": files[0].meta.gain,
            "temperature_c": median(temperatures) if temperatures else None,
            "files": [file.name for file in files],
            "left_out": left_out,
            "median_adu": float(np.median(pixels[::4, ::4])),
            "noise_adu": float(1.4826 * np.median(np.abs(steps)) / np.sqrt(2)),
        }
    )
