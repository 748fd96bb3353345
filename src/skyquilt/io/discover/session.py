"""From a folder to the frames of a session."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from skyquilt.core import Event, FrameFile, FrameKind, LeftOut, LightGroup, Listener, Session, silent
from skyquilt.errors import BadInput, NoUsableInput, UnreadableFrame
from skyquilt.io.discover.complete import Completed, as_panel, complete, is_panel
from skyquilt.io.discover.duplicates import find_duplicates
from skyquilt.io.discover.grouping import group_lights
from skyquilt.io.discover.names import target_of_folder
from skyquilt.io.discover.sidecars import ShotsInfo, read_sidecar
from skyquilt.io.discover.walk import Candidate, Findings, walk
from skyquilt.io.fits import open_frame

__all__ = ["discover"]

_REPORT_EVERY = 200


def discover(
    root: Path,
    *,
    exclude: Sequence[str] = (),
    progress: Listener | None = None,
    take_stacks: bool = False,
    open_file: Callable[[Path], FrameFile] = open_frame,
) -> Session:
    """
    Return the frames below a folder, told apart by their headers and names, whatever the depth.

    Parameters
    ----------
    root : Path
        A Seestar or DWARF folder, their storage, a folder with lights/ and darks/, or a pile of files.
    exclude : sequence of str
        Shell patterns (``*_bad.fit``, ``night2/*``) of files and folders to leave out.
    progress : Listener or None
        Hears how many headers have been read.
    take_stacks : bool
        Whether finished stacks stand in for single exposures in a folder that holds none: the panels of a mosaic.
    open_file : callable
        Reads the header of a file as `open_frame` does, which a caller who looks often may remember.

    Returns
    -------
    Session
        Every FITS file found is in a group, a calibration list, `masters` or `left_out`.

    Raises
    ------
    NoUsableInput
        If the folder does not exist or holds no FITS file at all.
    """
    _check_root(root)
    findings = walk(root, exclude)
    if findings.is_empty:
        raise NoUsableInput(
            f"there is no FITS file in {root}",
            "give the folder that holds the subs (.fit, .fits), or one above it",
        )
    sidecars, notes = _read_sidecars(findings)
    completed, refused, left_out = _read_headers(findings, sidecars, progress or silent, open_file)
    if take_stacks and not any(account.frame.meta.kind is FrameKind.LIGHT for account in completed):
        completed += [as_panel(account) for account in refused if is_panel(account)]
        refused = [account for account in refused if not is_panel(account)]
    left_out += [LeftOut(account.frame.path, *account.refusal, "discover") for account in refused]
    left_out += findings.left_out
    kept = _drop_repeats(root, completed, left_out)
    return _assemble(root, kept, left_out, notes, findings.n_previews)


def _check_root(root: Path) -> None:
    """Refuse what is no folder, with the next step."""
    try:
        if root.is_dir():
            return
        exists = root.exists()
    except OSError as error:
        raise NoUsableInput(f"{root} cannot be looked into: {error.strerror or error}") from None
    if exists:
        raise NoUsableInput(f"{root} is a file, not a folder", f"give its folder: {root.parent}")
    raise NoUsableInput(f"there is no folder {root}", "check the spelling; quote a path with blanks")


def _read_sidecars(findings: Findings) -> tuple[dict[Path, ShotsInfo], list[str]]:
    """Read every shotsInfo.json; a broken one is a note, not an error."""
    sidecars: dict[Path, ShotsInfo] = {}
    notes: list[str] = []
    for folder, path in sorted(findings.sidecars.items()):
        try:
            sidecars[folder] = read_sidecar(path)
        except BadInput as error:
            notes.append(f"{folder.name}: {error.message}")
    return sidecars, notes


def _read_headers(
    findings: Findings,
    sidecars: dict[Path, ShotsInfo],
    progress: Listener,
    open_file: Callable[[Path], FrameFile],
) -> tuple[list[Completed], list[Completed], list[LeftOut]]:
    """Open every candidate: return the raw frames, those that are results already, and what cannot be read."""
    completed: list[Completed] = []
    refused: list[Completed] = []
    left_out: list[LeftOut] = []
    total = len(findings.candidates)
    for done, candidate in enumerate(findings.candidates):
        if done % _REPORT_EVERY == 0:
            progress(Event("progress", "discover", "reading headers", done, total))
        account = _read_one(candidate, sidecars, open_file)
        if isinstance(account, LeftOut):
            left_out.append(account)
        else:
            (refused if account.refusal[0] else completed).append(account)
    progress(Event("progress", "discover", "reading headers", total, total))
    return completed, refused, left_out


def _read_one(
    candidate: Candidate, sidecars: dict[Path, ShotsInfo], open_file: Callable[[Path], FrameFile]
) -> Completed | LeftOut:
    """Return the account of one frame, or why there is none."""
    try:
        frame = open_file(candidate.path)
    except UnreadableFrame as error:
        code = "truncated" if "cut short" in error.message else "unreadable"
        return LeftOut(candidate.path, code, error.message, "discover")
    except PermissionError:
        return LeftOut(candidate.path, "permission", "the file may not be read: permission denied", "discover")
    except OSError as error:
        text = f"the file cannot be read: {error.strerror or error}"
        return LeftOut(candidate.path, "unreadable", text, "discover")
    return complete(frame, candidate, sidecars.get(candidate.path.parent))


def _drop_repeats(root: Path, completed: Sequence[Completed], left_out: list[LeftOut]) -> list[Completed]:
    """Return the accounts without copies of the same file; the copies are left out."""
    repeats = find_duplicates([account.frame for account in completed])
    for path, original in repeats.items():
        reason = f"it is a duplicate of {original.path.relative_to(root).as_posix()}"
        left_out.append(LeftOut(path, "duplicate", reason, "discover"))
    return [account for account in completed if account.frame.path not in repeats]


def _assemble(
    root: Path, accounts: Sequence[Completed], left_out: Sequence[LeftOut], notes: Sequence[str], n_previews: int
) -> Session:
    """Sort the frames into a session and put its oddities into sentences."""
    by_kind: dict[FrameKind, list[FrameFile]] = defaultdict(list)
    masters: list[FrameFile] = []
    for account in accounts:
        frame = account.frame
        if account.is_master:
            masters.append(frame)
        else:
            by_kind[frame.meta.kind].append(frame)
    absolute = root.resolve()
    fallback = target_of_folder(absolute.name) or absolute.name or "session"
    groups = group_lights(by_kind[FrameKind.LIGHT], fallback)
    said = [*notes, *(note for account in accounts for note in account.notes)]
    said += _mosaic_notes(accounts) + _group_notes(groups) + _empty_notes(absolute, groups, left_out)
    if n_previews:
        said.append(f"{n_previews} pictures and films (previews of the device and the like) were passed over")
    return Session(
        root=root,
        device=_device(accounts),
        groups=groups,
        darks=_in_order(by_kind[FrameKind.DARK]),
        flats=_in_order(by_kind[FrameKind.FLAT]),
        biases=_in_order(by_kind[FrameKind.BIAS]),
        flat_darks=_in_order(by_kind[FrameKind.FLAT_DARK]),
        masters=_in_order(masters),
        left_out=tuple(sorted(left_out, key=lambda one: str(one.path))),
        notes=tuple(dict.fromkeys(said)),
    )


def _in_order(frames: Sequence[FrameFile]) -> tuple[FrameFile, ...]:
    return tuple(sorted(frames, key=lambda frame: (frame.meta.date_obs or "", frame.name, str(frame.path))))


def _device(accounts: Sequence[Completed]) -> str:
    """Return the device that most lights (without lights: most frames) come from."""
    lights = [account.frame.meta for account in accounts if account.frame.meta.kind is FrameKind.LIGHT]
    metas = lights or [account.frame.meta for account in accounts]
    counts = Counter(meta.device if meta.device in ("seestar", "dwarf") else "generic" for meta in metas)
    return min(counts, key=lambda device: (-counts[device], device)) if counts else "generic"


def _mosaic_notes(accounts: Sequence[Completed]) -> list[str]:
    """Say which targets were taken in mosaic mode: their frames do not all show the same field."""
    targets = sorted({account.frame.meta.object_name or "?" for account in accounts if account.is_mosaic})
    return (
        [f"taken in mosaic mode: {', '.join(targets)}; `skyquilt mosaic` puts such frames together"] if targets else []
    )


def _group_notes(groups: Sequence[LightGroup]) -> list[str]:
    """Say where exposures or gains are mixed within a group."""
    notes = []
    for group in groups:
        for what, unit, values in (
            ("exposures", " s", {light.meta.exposure_s for light in group.lights}),
            ("gains", "", {light.meta.gain for light in group.lights}),
        ):
            if len(values) > 1:
                listed = ", ".join("unknown" if v is None else f"{v:g}{unit}" for v in sorted(values, key=_none_last))
                notes.append(
                    f"{group.name}: frames of different {what} ({listed}) are stacked together, by their weights"
                )
        for note in dict.fromkeys(note for light in group.lights for note in light.meta.notes):
            n = sum(note in light.meta.notes for light in group.lights)
            notes.append(f"{group.name}: {note} ({n} of {len(group.lights)} frames)")
    return notes


def _none_last(value: float | None) -> tuple[bool, float]:
    return value is None, value or 0.0


def _empty_notes(root: Path, groups: Sequence[LightGroup], left_out: Sequence[LeftOut]) -> list[str]:
    """Help a person who gave the folder of a Seestar's stacks: the subs lie beside it."""
    if groups:
        return []
    subs = [root.with_name(f"{root.name}{ending}") for ending in ("_sub", "_mosaic_sub")] if root.name else []
    found = next((folder for folder in subs if folder.is_dir()), None)
    if found and any(one.code == "device_stack" for one in left_out):
        return [f"this folder holds stacks of the device; the single exposures are in {found.name!r} beside it"]
    return ["no light frame was found"]
