"""Calibration frames that could make one master: same sensor settings, exposure, temperature."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from skyquilt.core import FrameFile, FrameKind, FrameMeta

__all__ = ["FrameSet", "gather_sets"]

TEMPERATURE_GAP_C = 1.5
"""Neighbouring temperatures farther apart than this belong to different sets; cooled cameras hold 0.2 C."""
TEMPERATURE_SPAN_C = 3.0
"""An uncooled sensor drifts; a set never spans more than this, so that a subset near the lights can be chosen."""
NIGHT_GAP_DAYS = 0.5


@dataclass(frozen=True, slots=True)
class FrameSet:
    """
    Frames for one master, or one master.

    Attributes
    ----------
    files : tuple of FrameFile, sorted by name
    meta : FrameMeta
        Of the first file: stands for what all have in common.
    is_master : bool
        One file that is a master already.
    is_device_master : bool
        Made in the factory or by the device.
    """

    files: tuple[FrameFile, ...]
    is_master: bool = False
    is_device_master: bool = False

    @property
    def meta(self) -> FrameMeta:
        return self.files[0].meta

    @property
    def n_exposures(self) -> int:
        return sum(file.meta.n_stacked for file in self.files) if self.is_master else len(self.files)

    @property
    def exposure_s(self) -> float | None:
        """Median exposure of those known, s."""
        return _median([file.meta.exposure_s for file in self.files])

    @property
    def temperature_c(self) -> float | None:
        """Median temperature of those known, C."""
        return _median([file.meta.temperature_c for file in self.files])

    @property
    def where(self) -> str:
        """Folder of the frames, or the name of the master."""
        if self.is_master:
            return self.files[0].name
        folders = sorted({file.path.parent.name for file in self.files})
        return folders[0] if len(folders) == 1 else f"{folders[0]} and {len(folders) - 1} more"

    def days_from(self, date_obs: str | None) -> float | None:
        """Days between the middle of the set and a moment; None if either is not known."""
        moment = _days(date_obs)
        middle = _median([_days(file.meta.date_obs) for file in self.files])
        return None if moment is None or middle is None else abs(middle - moment)


def gather_sets(
    kind: FrameKind, frames: Sequence[FrameFile], masters: Sequence[FrameFile], lights: FrameMeta
) -> list[FrameSet]:
    """
    Return the sets of one kind, the order of the input being of no consequence.

    Parameters
    ----------
    kind : FrameKind
    frames : sequence of FrameFile
        Single exposures of that kind.
    masters : sequence of FrameFile
        Of any kind; only those of `kind` are taken, each a set of its own.
    lights : FrameMeta
        Darks of many temperatures are cut into sets around the temperature of the lights.
    """
    groups: dict[Hashable, list[FrameFile]] = defaultdict(list)
    for frame in frames:
        groups[_settings(kind, frame.meta)].append(frame)
    sets: list[FrameSet] = []
    for group in groups.values():
        ordered = sorted(group, key=lambda frame: (frame.name, str(frame.path)))
        if kind is FrameKind.FLAT:
            parts = _split(ordered, [_days(f.meta.date_obs) for f in ordered], NIGHT_GAP_DAYS, np.inf, None)
        elif kind is FrameKind.BIAS:
            parts = [ordered]
        else:
            temperatures = [frame.meta.temperature_c for frame in ordered]
            parts = _split(ordered, temperatures, TEMPERATURE_GAP_C, TEMPERATURE_SPAN_C, lights.temperature_c)
        sets += [FrameSet(tuple(part)) for part in parts]
    for master in sorted(masters, key=lambda frame: (frame.name, str(frame.path))):
        if master.meta.kind is kind:
            sets.append(FrameSet((master,), is_master=True, is_device_master=_is_from_device(master)))
    return sets


def _is_from_device(master: FrameFile) -> bool:
    return any(part.upper() == "CALI_FRAME" for part in master.path.parts)  # DWARF keeps them there


def _settings(kind: FrameKind, meta: FrameMeta) -> Hashable:
    """What the frames of one set share exactly (exposures to 1 %)."""
    exposure: float | None = None
    if kind in (FrameKind.DARK, FrameKind.FLAT_DARK) and meta.exposure_s is not None and meta.exposure_s > 0.0:
        exposure = round(float(np.log(meta.exposure_s)) / 0.01)
    return (
        meta.width,
        meta.height,
        meta.n_planes,
        meta.binning,
        meta.cfa.name if meta.cfa else None,
        meta.row_order,
        meta.gain,
        meta.offset,
        (meta.camera or "").casefold(),
        (meta.instrument or "").casefold(),
        (meta.filter or "").casefold() if kind is FrameKind.FLAT else None,
        exposure,
    )


def _split(
    frames: Sequence[FrameFile], values: Sequence[float | None], gap: float, span: float, centre: float | None
) -> list[list[FrameFile]]:
    """
    Cut frames into parts where their values leave a gap; those without a value form one part.

    A part wider than `span` that holds `centre` gives first the frames within span / 2 of it; other wide parts are cut
    into pieces of at most `span`.
    """
    known = sorted((value, k) for k, value in enumerate(values) if value is not None)
    runs: list[list[tuple[float, int]]] = []
    for value, k in known:
        if not runs or value - runs[-1][-1][0] > gap:
            runs.append([])
        runs[-1].append((value, k))
    parts: list[list[int]] = [[k for k, value in enumerate(values) if value is None]]
    for run in runs:
        rest = run
        if centre is not None and run[-1][0] - run[0][0] > span:
            near = [item for item in run if abs(item[0] - centre) <= span / 2.0]
            parts.append([k for _, k in near])
            rest = [item for item in run if item not in near]
        while rest:
            piece = [item for item in rest if item[0] - rest[0][0] <= span]
            parts.append([k for _, k in piece])
            rest = rest[len(piece) :]
    return [[frames[k] for k in sorted(part)] for part in parts if part]


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _days(date_obs: str | None) -> float | None:
    """Days since an arbitrary epoch of an ISO 8601 time, or None."""
    if not date_obs:
        return None
    try:
        moment = datetime.fromisoformat(date_obs)
    except ValueError:
        return None
    return moment.replace(tzinfo=None).toordinal() + (moment.hour + moment.minute / 60.0) / 24.0
