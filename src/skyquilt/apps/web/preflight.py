"""Whether a run can begin, and what would help it: the verdict of the screen Open."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from skyquilt.apps.web.roots import shown_name
from skyquilt.engine.budget import available_memory

__all__ = ["note_calibration", "preflight", "session_json"]

_KINDS = {"darks": "dark", "flats": "flat", "biases": "bias", "flat_darks": "flat_dark"}
_LEAST_MEMORY = 400_000_000
_LEAST_FRAMES = 2
_PER_PIXEL = 60
"""Bytes that products and scratch of a stack take for each pixel and channel (master, maps, pictures, tiles)."""

_MISSING = {
    "dark": "no darks: hot pixels are found in the lights instead",
    "flat": "no flats: dust and vignetting stay",
    "bias": "no biases: not needed where darks match",
    "flat_dark": "no darks of the flats: biases stand in for them where there are any",
}


def session_json(folders: list[Path], found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the engine says of folders as the page gets it (docs/reference/app-api.md, section 3)."""
    groups = [_group(group) for one in found for group in one["groups"]]
    counts = {key: sum(int(one["calibration"].get(key, 0)) for one in found) for key in (*_KINDS, "masters")}
    calibration = [
        {
            "kind": kind,
            "n_files": counts[key],
            "verdict": "found" if counts[key] else "missing",
            "reason": "" if counts[key] else _MISSING[kind],
        }
        for key, kind in _KINDS.items()
    ]
    if counts["masters"]:
        calibration.append({"kind": "master", "n_files": counts["masters"], "verdict": "found", "reason": ""})
    return {
        "device": found[0]["device"] if found else "generic",
        "name": " + ".join(shown_name(folder) for folder in folders),
        "groups": groups,
        "calibration": calibration,
        "left_out": [
            {"file": shown_name(Path(str(left["path"]))), "code": left["code"], "reason": left["reason"]}
            for one in found
            for left in one["left_out"]
        ],
        "notes": [note for one in found for note in one["notes"]],
    }


def _group(group: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": group["name"],
        "target": group["target"],
        "filter": group["filter"],
        "n_frames": group["n_lights"],
        "exposure_s": group["exposure_s"],
        "width": group["width"],
        "height": group["height"],
        "is_colour": group["bayer"] is not None or group["n_planes"] == 3,
    }


def preflight(session: dict[str, Any], out: Path) -> dict[str, Any]:
    """Return a verdict and the checks behind it, each a sentence, and what pages say it with in other languages."""
    checks = [_frames(session), _calibration(session), _memory(), _disk(session, out), _output(out)]
    verdicts = {check["verdict"] for check in checks}
    verdict = "blocked" if "blocked" in verdicts else "warning" if "warning" in verdicts else "ready"
    return {"verdict": verdict, "checks": checks}


def note_calibration(session: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Take over what the engine says became of the calibration frames; a set that is used comes before others."""
    for row in rows:
        kind = str(row.get("kind")).rsplit(".", 1)[-1].lower()
        entry = next((one for one in session["calibration"] if one["kind"] == kind), None)
        if entry is not None and entry["verdict"] != "used":
            is_used = row.get("verdict") in ("used", "scaled")
            entry |= {"verdict": "used" if is_used else "not used", "reason": str(row.get("reason") or "")}


def _check(name: str, verdict: str, code: str, text: str, /, **values: Any) -> dict[str, Any]:
    return {"name": name, "verdict": verdict, "text": text, "code": code, "values": values}


def _frames(session: dict[str, Any]) -> dict[str, Any]:
    largest = max((group["n_frames"] for group in session["groups"]), default=0)
    if largest < _LEAST_FRAMES:
        text = f"{largest} light frames of one kind: a stack needs two at least"
        return _check("frames", "blocked", "frames_few", text, n_frames=largest)
    total, n_groups = sum(group["n_frames"] for group in session["groups"]), len(session["groups"])
    text = f"{total} light frames in {n_groups} group{'s' if n_groups > 1 else ''}"
    return _check("frames", "ok", "frames_found", text, n_frames=total, n_groups=n_groups)


def _calibration(session: dict[str, Any]) -> dict[str, Any]:
    there = [one["kind"] for one in session["calibration"] if one["n_files"]]
    if not there:
        text = "no calibration frames: hot pixels are found in the lights"
        return _check("calibration", "warning", "calibration_none", text)
    return _check("calibration", "ok", "calibration_found", f"found: {', '.join(there)}", kinds=there)


def _memory() -> dict[str, Any]:
    free = available_memory()
    text = f"{free / 1e9:.1f} GB of memory are free"
    return _check("memory", "ok" if free >= _LEAST_MEMORY else "warning", "memory_free", text, free_bytes=free)


def _disk(session: dict[str, Any], out: Path) -> dict[str, Any]:
    place = next((one for one in (out, *out.parents) if one.is_dir()), Path("/"))
    free = shutil.disk_usage(place).free
    pixels = sum(group["width"] * group["height"] * (3 if group["is_colour"] else 1) for group in session["groups"])
    needed = pixels * _PER_PIXEL
    text = f"{free / 1e9:.1f} GB are free, a run takes about {needed / 1e9:.1f} GB"
    verdict = "ok" if free > needed else "warning"
    return _check("disk", verdict, "disk_free", text, free_bytes=free, needed_bytes=needed)


def _output(out: Path) -> dict[str, Any]:
    place = next((one for one in (out, *out.parents) if one.exists()), Path("/"))
    if not place.is_dir():
        name = shown_name(place)
        return _check("output", "blocked", "output_file", f"{name} is a file, not a folder", name=name)
    if not os.access(place, os.W_OK):
        name = shown_name(place)
        return _check("output", "blocked", "output_locked", f"nothing may be written in {name}", name=name)
    return _check("output", "ok", "output_folder", f"products go to {shown_name(out)}", name=shown_name(out))
