"""The frames of one folder as the telescope left it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from skyquilt.core.frame import FrameFile, LeftOut

__all__ = ["LightGroup", "Session"]


@dataclass(frozen=True, slots=True)
class LightGroup:
    """
    Lights that can be stacked together: same size, pattern, filter and binning.

    Attributes
    ----------
    name : str
        Fit for a folder name and unique in its session, e.g. "M 94", "Messier 8_R".
    target, filter : str or None
    lights : tuple of FrameFile, sorted by (date_obs, name)
    """

    name: str
    target: str | None
    filter: str | None
    lights: tuple[FrameFile, ...]

    @property
    def exposure_s(self) -> float:
        """Sum of the exposures that are known, seconds."""
        return sum(light.meta.exposure_s or 0.0 for light in self.lights)


@dataclass(frozen=True, slots=True)
class Session:
    """
    What was found below one folder.

    Attributes
    ----------
    root : Path
    device : str
        "seestar", "dwarf", "generic".
    groups : tuple of LightGroup
        Largest first.
    darks, flats, biases, flat_darks : tuple of FrameFile
        Every calibration frame found, not yet matched.
    masters : tuple of FrameFile
        Calibration frames that are masters already (device factory masters, stacks of earlier runs); `meta.kind` says
        of what.
    left_out : tuple of LeftOut
        Every other image file below the folder, with the reason.
    notes : tuple of str
        Disagreements and oddities worth a line in the report.
    """

    root: Path
    device: str
    groups: tuple[LightGroup, ...]
    darks: tuple[FrameFile, ...] = ()
    flats: tuple[FrameFile, ...] = ()
    biases: tuple[FrameFile, ...] = ()
    flat_darks: tuple[FrameFile, ...] = ()
    masters: tuple[FrameFile, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
