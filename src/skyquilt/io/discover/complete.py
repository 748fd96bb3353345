"""Header, file name, sidecar and folder name put together into one account of a frame."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from skyquilt.core import FrameFile, FrameKind, FrameMeta
from skyquilt.io.discover.names import (
    NameFacts,
    read_factory_name,
    read_file_name,
    read_folder_name,
    target_of_folder,
)
from skyquilt.io.discover.sidecars import ShotsInfo
from skyquilt.io.discover.walk import Candidate

__all__ = ["Completed", "as_panel", "complete", "is_panel"]

CALIBRATION_KINDS = (FrameKind.DARK, FrameKind.FLAT, FrameKind.BIAS, FrameKind.FLAT_DARK)
_NAMELESS = frozenset({"", "unknown", "none", "n/a", "na", "fov", "object", "target", "undefined", "untitled", "light"})
_PANEL = re.compile(r"(?P<target>.+?) ?\((?P<panel>\d+)\)")


@dataclass(frozen=True, slots=True)
class Completed:
    """
    A frame with everything known of it.

    Attributes
    ----------
    frame : FrameFile
    is_master : bool
    is_mosaic : bool
    refusal : (str, str)
        Code and reason why it takes no part, or ("", "").
    notes : tuple of str
        Disagreements; the same sentence for every frame of a folder, so that it is told once.
    """

    frame: FrameFile
    is_master: bool = False
    is_mosaic: bool = False
    refusal: tuple[str, str] = ("", "")
    notes: tuple[str, ...] = field(default=())


def complete(frame: FrameFile, candidate: Candidate, sidecar: ShotsInfo | None) -> Completed:
    """
    Return a frame with what its header lacks filled in from its name, its sidecar and its folders, in that order.

    Parameters
    ----------
    frame : FrameFile
        As the header says.
    candidate : Candidate
        Where it was found.
    sidecar : ShotsInfo or None
        Of its folder.
    """
    name = read_file_name(frame.name)
    folders = _folder_facts(candidate.path.parent, candidate.folders)
    factory = None
    if any(part.upper() == "CALI_FRAME" for part in candidate.path.parts):
        factory = read_factory_name(frame.name, candidate.path.parts)
    facts = factory if factory is not None else name.over(folders)
    notes: list[str] = []
    kind = _decide_kind(frame.meta.kind, name, folders, candidate, notes) if factory is None else facts.kind
    meta = _fill(replace(frame.meta, kind=kind or FrameKind.LIGHT), facts, sidecar)
    if factory is None and kind is FrameKind.LIGHT:
        _compare(meta, folders, sidecar, candidate, notes)
        meta = replace(meta, object_name=_target(meta, name, sidecar, candidate))
    is_master = meta.kind in CALIBRATION_KINDS and (facts.is_master or meta.n_stacked > 1)
    return Completed(
        frame=replace(frame, meta=meta),
        is_master=is_master,
        is_mosaic=facts.is_mosaic,
        refusal=_refuse(meta, frame.name),
        notes=tuple(notes),
    )


@lru_cache(maxsize=1024)
def _folder_facts(parent: Path, folders: tuple[str, ...]) -> NameFacts:
    """What the folders on the way tell, the nearest one first."""
    facts = NameFacts()
    for folder in reversed(folders):
        facts = facts.over(read_folder_name(folder))
    if any(part.upper() == "DWARF_DARK" for part in parent.parts):
        facts = replace(facts, kind=FrameKind.DARK, device="dwarf")
    return facts


def _decide_kind(
    header: FrameKind, name: NameFacts, folders: NameFacts, candidate: Candidate, notes: list[str]
) -> FrameKind:
    """Return the kind: the header's where it names a calibration frame, else that of the name or of the folder."""
    folder = folders.kind
    where = f"the folder {candidate.folders[-1]!r}"
    if header is FrameKind.STACK:
        return header
    if folder is FrameKind.FLAT_DARK and FrameKind.DARK in (header, name.kind):
        return FrameKind.FLAT_DARK
    if header in CALIBRATION_KINDS:
        if folder is not None and folder is not header:
            notes.append(f"{where} holds frames whose header says {header.value}: the header is believed")
        return header
    if header is FrameKind.LIGHT:
        # many capture programs write "Light" whatever they take; who sorts files into folders means it
        if folder in CALIBRATION_KINDS and name.kind in (folder, None):
            notes.append(f"{where} holds frames whose header says light: the folder is believed ({folder.value})")
            return folder
        return header
    if _is_dwarf_dark(folders) and name.device == "dwarf":
        return FrameKind.DARK  # a DWARF II names its darks and its lights raw_... alike
    return name.kind or folder or FrameKind.LIGHT


def _is_dwarf_dark(folders: NameFacts) -> bool:
    """Whether the folders are those in which a DWARF keeps its raw darks."""
    return folders.device == "dwarf" and folders.kind is FrameKind.DARK


def _fill(meta: FrameMeta, facts: NameFacts, sidecar: ShotsInfo | None) -> FrameMeta:
    """Fill in what the header does not say; binning only for masters, whose header says nothing at all."""
    info = sidecar or ShotsInfo()
    is_light = meta.kind is FrameKind.LIGHT
    return replace(
        meta,
        exposure_s=_known(meta.exposure_s, facts.exposure_s, info.exposure_s if is_light else None),
        gain=_known(meta.gain, facts.gain, info.gain if is_light else None),
        temperature_c=_known(meta.temperature_c, facts.temperature_c),
        filter=meta.filter or facts.filter or (info.filter if is_light else None),
        pointing=meta.pointing or (info.pointing if is_light else None),
        camera=meta.camera or facts.camera,
        device=meta.device or facts.device,
        binning=facts.binning if facts.binning and meta.binning == (1, 1) else meta.binning,
        n_stacked=facts.n_stacked if facts.n_stacked and meta.n_stacked == 1 else meta.n_stacked,
        is_equatorial=info.is_equatorial if meta.is_equatorial is None and is_light else meta.is_equatorial,
    )


def _known(*values: float | None) -> float | None:
    """Return the first value that is not None."""
    return next((value for value in values if value is not None), None)


def _compare(
    meta: FrameMeta, folders: NameFacts, sidecar: ShotsInfo | None, candidate: Candidate, notes: list[str]
) -> None:
    """Note where folder name, sidecar and header of a DWARF session disagree."""
    folder = candidate.folders[-1]
    if folders.device != "dwarf":
        return
    for label, source in (("folder name", folders), ("shotsInfo.json", sidecar)):
        if source is None:
            continue
        for what, said, header, unit in (
            ("exposure", source.exposure_s, meta.exposure_s, " s"),
            ("gain", source.gain, meta.gain, ""),
        ):
            if said is not None and header is not None and abs(said - header) > 0.01 * max(abs(said), abs(header)):
                notes.append(
                    f"{folder}: the {label} says {what} {said:g}{unit}, the frames {header:g}{unit}: they are believed"
                )
    if sidecar is not None and sidecar.pointing is not None and meta.pointing is not None:
        apart = abs((meta.pointing.ra_deg - sidecar.pointing.ra_deg + 180.0) % 360.0 - 180.0)
        if apart > 2.0 or abs(meta.pointing.dec_deg - sidecar.pointing.dec_deg) > 2.0:
            notes.append(
                f"{folder}: shotsInfo.json points to RA {sidecar.pointing.ra_deg:.2f}, "
                f"Dec {sidecar.pointing.dec_deg:.2f} deg, the frames to RA {meta.pointing.ra_deg:.2f}, "
                f"Dec {meta.pointing.dec_deg:.2f}: they are believed"
            )


def _target(meta: FrameMeta, name: NameFacts, sidecar: ShotsInfo | None, candidate: Candidate) -> str | None:
    """Return the name of what a light shows: header, file name, sidecar, then the nearest folder that has one."""
    header = (meta.object_name or "").strip()
    target = header if header.casefold() not in _NAMELESS else None
    target = target or name.target or (sidecar.target if sidecar else None)
    panel = _PANEL.fullmatch(target_of_folder(candidate.folders[-1]) or "")
    if panel and (target is None or _bare(target) == _bare(panel["target"])):
        return panel[0]  # panels of a mosaic are fields of their own
    if target:
        return target
    return next((found for folder in reversed(candidate.folders) if (found := target_of_folder(folder))), None)


def _bare(text: str) -> str:
    return re.sub(r"[\s_]+", "", text).casefold()


def is_panel(account: Completed) -> bool:
    """
    Return whether a refused frame is a finished stack, such as mosaics are sewn of.

    What skyquilt made itself is one where its header counts frames and it is no file of maps.
    """
    meta, code = account.frame.meta, account.refusal[0]
    if code == "own_output":
        return meta.n_stacked > 1 and not account.frame.path.stem.casefold().endswith("_maps")
    return code in ("stack", "device_stack")


def as_panel(account: Completed) -> Completed:
    """Return a finished stack as a light: one exposure that happens to be deep; no pattern is left in its pixels."""
    meta = replace(account.frame.meta, kind=FrameKind.LIGHT)
    return replace(account, frame=replace(account.frame, meta=meta), refusal=("", ""))


def _refuse(meta: FrameMeta, name: str) -> tuple[str, str]:
    """Return (code, reason) for frames that are results already, or ("", "")."""
    is_calibration = meta.kind in CALIBRATION_KINDS
    if "skyquilt" in (meta.software or "").casefold() and not is_calibration:
        return "own_output", f"it was made by {meta.software}: a result, no single exposure"
    if meta.kind is FrameKind.STACK:
        maker = "the device" if meta.device else "another program"
        count = f" of {meta.n_stacked} exposures" if meta.n_stacked > 1 else ""
        return "device_stack" if meta.device else "stack", f"it is a stack{count} made by {maker}, no single exposure"
    if re.match(r"master", name, re.IGNORECASE) and not is_calibration:
        return "own_output", "its name begins with master: a finished result, no single exposure"
    if meta.device in ("seestar", "dwarf") and meta.n_planes == 3 and not is_calibration:
        return "device_stack", "it has three colour planes: a stack made by the device, no raw exposure"
    return "", ""
