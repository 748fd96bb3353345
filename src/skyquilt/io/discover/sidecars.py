"""`shotsInfo.json`, the sidecar that a DWARF writes beside its frames."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyquilt.core import Pointing
from skyquilt.errors import BadInput

__all__ = ["ShotsInfo", "read_exposure", "read_sidecar"]

_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class ShotsInfo:
    """
    What a sidecar says, in our units; None where it says nothing.

    Attributes
    ----------
    pointing : Pointing or None
        RA is written in hours and Dec in degrees; (0, 0) stands for "not known".
    filter : str or None
        The key `ir`: "VIS", "Astro", "Duo-Band"; on a DWARF II "CUT" or "PASS".
    n_stacked, n_taken, n_wanted : int or None
        Frames that the device stacked, took, and was told to take.
    is_restack : bool
    """

    target: str | None = None
    exposure_s: float | None = None
    gain: float | None = None
    binning: tuple[int, int] | None = None
    filter: str | None = None
    pointing: Pointing | None = None
    n_stacked: int | None = None
    n_taken: int | None = None
    n_wanted: int | None = None
    temperature_range_c: tuple[float, float] | None = None
    is_equatorial: bool | None = None
    is_restack: bool = False


def read_sidecar(path: Path) -> ShotsInfo:
    """
    Return what a `shotsInfo.json` says; unknown keys and values of a wrong type are passed over.

    Raises
    ------
    BadInput
        If the file cannot be read or is no JSON object.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise BadInput(f"{path.name} cannot be read: {error.strerror or error}") from None
    if len(content) > _LARGEST:
        raise BadInput(f"{path.name} is larger than 1 MiB: not the sidecar of a session")
    try:
        data = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path.name} is not JSON: {type(error).__name__}") from None
    if not isinstance(data, dict):
        raise BadInput(f"{path.name} holds a {type(data).__name__}, not an object with keys")
    return _understand(data)


def _understand(data: dict[str, Any]) -> ShotsInfo:
    low, high = _number(data.get("minTemp")), _number(data.get("maxTemp"))
    return ShotsInfo(
        target=_text(data.get("target")),
        exposure_s=read_exposure(data.get("exp")),
        gain=_number(data.get("gain")),
        binning=_binning(data.get("binning")),
        filter=_text(data.get("ir")),
        pointing=_pointing(_number(data.get("RA")), _number(data.get("DEC"))),
        n_stacked=_count(data.get("shotsStacked")),
        n_taken=_count(data.get("shotsTaken")),
        n_wanted=_count(data.get("shotsToTake")),
        temperature_range_c=(low, high) if low is not None and high is not None else None,
        is_equatorial=data["eq"] if isinstance(data.get("eq"), bool) else None,
        is_restack="shotsToStack" in data or "shotsDiscard" in data,
    )


def read_exposure(value: object) -> float | None:
    """Return seconds from 15, "15", "0.0025" or "1/400"; None for anything else."""
    if isinstance(value, str) and value.count("/") == 1:
        above, below = (_number(part) for part in value.split("/"))
        return above / below if above is not None and below else None
    number = _number(value)
    return number if number is not None and number >= 0.0 else None


def _number(value: object) -> float | None:
    """Return a finite float from a JSON number or the text of one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _count(value: object) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 0 <= number < 1e9 else None


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _binning(value: object) -> tuple[int, int] | None:
    parts = str(value).replace("x", "*").split("*") if isinstance(value, str) else []
    if len(parts) == 2 and all(part.strip().isdecimal() and 0 < len(part) < 3 for part in parts):
        return int(parts[0]), int(parts[1])
    return None


def _pointing(ra_hours: float | None, dec_deg: float | None) -> Pointing | None:
    if ra_hours is None or dec_deg is None or (ra_hours == 0.0 and dec_deg == 0.0):
        return None
    if not (0.0 <= ra_hours < 24.0 and -90.0 <= dec_deg <= 90.0):
        return None
    return Pointing(15.0 * ra_hours, dec_deg)
