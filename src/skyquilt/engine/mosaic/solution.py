"""
Where the frames lie and how bright they are, all fitted together; and what of an earlier run is kept.

A further frame moves every joint solution by a little. What all frames move by together is taken back (`gauge`). Where
an earlier run of the same mosaic placed a frame, and the new solution then agrees with it to a small part of a pixel
and of the noise, the earlier values stay: so frames that are added later touch their own tiles only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from skyquilt.core import SkyGrid
from skyquilt.engine.mosaic.gauge import Gauge, points_of, sky_at
from skyquilt.engine.mosaic.job import GridData, TileFrame
from skyquilt.io.atomic import write_atomically

__all__ = ["Kept", "forget_solution", "keep_solution", "kept_solution", "settle_frames"]

_FILE = "solution.json"
_MOST_SHIFT_PX = 0.03
_MOST_SCALE = 0.003
_MOST_SKY_SIGMA = 0.07  # root mean square over the frame: maps of a few cells come out by so much otherwise


class Kept(BaseModel):
    """The solution of an earlier run: canvas, colour of the stars, and the frames as the tiles saw them."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    asked: str
    canvas: GridData
    star_colour: tuple[float, float]
    frames: list[TileFrame]


def keep_solution(scratch: Path, kept: Kept) -> None:
    """Write the solution for a later run."""
    write_atomically(scratch / _FILE, kept.model_dump_json().encode())


def kept_solution(scratch: Path, asked: str) -> Kept | None:
    """Return the solution of an earlier run that was asked for the same, or None."""
    try:
        kept = Kept.model_validate_json((scratch / _FILE).read_bytes())
    except (OSError, ValidationError, ValueError):
        return None
    return kept if kept.asked == asked else None


def forget_solution(scratch: Path) -> None:
    """Throw the solution away: the next run begins anew."""
    (scratch / _FILE).unlink(missing_ok=True)


def settle_frames(
    frames: Sequence[TileFrame], kept: Kept | None, canvas: SkyGrid, calibrations: set[str]
) -> list[TileFrame]:
    """
    Return the frames, each as the earlier run had it where the new values agree with those.

    Parameters
    ----------
    calibrations : set of str
        Keys of the calibrations that are still on disk: with another one the earlier pixels could not be made again.
    """
    if kept is None:
        return list(frames)
    known = {frame.sha256: frame for frame in kept.frames if frame.calibration in calibrations}
    before = [_same_input(frame, known.get(frame.sha256)) for frame in frames]
    pairs = [(frame, old) for frame, old in zip(frames, before, strict=True) if old is not None]
    if not pairs:
        return list(frames)
    gauge = Gauge.between([frame for frame, _ in pairs], [old for _, old in pairs], canvas)
    return [_settled(gauge.applied(frame), old, canvas) for frame, old in zip(frames, before, strict=True)]


def _same_input(frame: TileFrame, before: TileFrame | None) -> TileFrame | None:
    """Return the earlier frame where it is of the same pixels and calibration."""
    same = ("width", "height", "n_planes", "cfa", "base_calibration", "exposure_s", "saturation_adu")
    if before is None or any(getattr(frame, name) != getattr(before, name) for name in same):
        return None
    return before


def _settled(frame: TileFrame, before: TileFrame | None, canvas: SkyGrid) -> TileFrame:
    """Return a frame as the earlier run had it, where that agrees with it as it is now."""
    if before is None or not _agree(frame, before, canvas):
        return frame
    return before.model_copy(
        update={"path": frame.path, "hdu": frame.hdu, "size_bytes": frame.size_bytes, "mtime_ns": frame.mtime_ns}
    )


def _agree(one: TileFrame, other: TileFrame, canvas: SkyGrid) -> bool:
    """Return whether two solutions of a frame differ by less than anyone can see."""
    x, y = points_of(one)
    place, moved = (canvas.wcs.to_pixels(*frame.wcs.wcs().to_sky(x, y)) for frame in (one, other))
    shift = np.hypot(place[0] - moved[0], place[1] - moved[1])
    if not float(np.max(shift)) < _MOST_SHIFT_PX:
        return False
    ratio = np.array(one.scale) / np.array(other.scale)
    if np.abs(ratio - 1.0).max() > _MOST_SCALE or abs(one.weight / other.weight - 1.0) > 4 * _MOST_SCALE:
        return False
    if one.trails != other.trails:
        return False
    step = sky_at(one, other, *place) - sky_at(other, other, *place)
    return bool((np.sqrt(np.mean(step**2, axis=1)) < _MOST_SKY_SIGMA * np.array(other.sky_sigma)).all())
