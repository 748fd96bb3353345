"""What a solution leaves on disk: a sidecar where it is asked for, new cards in a product of our own."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import ValidationError

from skyquilt.core import SkyGrid
from skyquilt.engine.cache import file_sha256
from skyquilt.engine.manifest import Manifest
from skyquilt.errors import UsageError
from skyquilt.io.atomic import write_atomically
from skyquilt.io.fits import read_header, replace_cards, write_header

__all__ = ["check_product", "sidecar_path", "update_product", "write_sidecar"]

_OLD_WCS = re.compile(
    r"(WCSAXES|WCSNAME|(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)[12]|(CD|PC)[12]_[12]|(A|B|AP|BP)_(ORDER|\d_\d)|LONPOLE|LATPOLE"
    r"|RADESYS|RADECSYS|EQUINOX|EPOCH|PLTSOLVD|RA|DEC|OBJCTRA|OBJCTDEC)$"
)


def sidecar_path(frame: Path, folder: Path | None) -> Path:
    """Return where the sidecar of a frame goes: beside it, where `read_wcs` looks for it, or into a folder."""
    return (folder or frame.parent) / frame.with_suffix(".wcs").name


def write_sidecar(frame: Path, grid: SkyGrid, folder: Path | None = None) -> Path:
    """
    Write the coordinates of a frame as a FITS header of its own; return where.

    Raises
    ------
    NotEnoughDisk, OutputBlocked
    """
    path = sidecar_path(frame, folder)
    size = [("IMAGEW", grid.width, "[px] width of the image"), ("IMAGEH", grid.height, "[px] height of the image")]
    write_header(path, [*grid.cards(), *size])
    return path


def check_product(path: Path) -> None:
    """
    Refuse a file that skyquilt has not made.

    Raises
    ------
    UsageError
        Raw frames are never changed.
    UnreadableFrame
    """
    maker = read_header(path).text("PROGRAM") or ""
    if not maker.startswith("skyquilt"):
        raise UsageError(
            f"{path.name} was not made by skyquilt: raw frames are never changed",
            "--write-sidecar keeps the coordinates in a file of their own",
        )


def update_product(path: Path, grid: SkyGrid) -> None:
    """
    Put the coordinates into the header of a product of skyquilt, and into the manifest beside it what the file is now.

    Raises
    ------
    UsageError
        If the file was not made by skyquilt: raw frames are never changed.
    UnreadableFrame, NotEnoughDisk, OutputBlocked
    """
    check_product(path)
    manifest, before = _manifest_of(path), file_sha256(path)
    replace_cards(path, grid.cards(), lambda keyword: _OLD_WCS.match(keyword) is not None)
    if manifest is None:
        return
    place, told = manifest
    for output in told.outputs:
        if place.parent / output.file == path.resolve() and output.sha256 == before:
            output.sha256, output.size_bytes = file_sha256(path), path.stat().st_size
            write_atomically(place, (told.model_dump_json(indent=1) + "\n").encode())


def _manifest_of(path: Path) -> tuple[Path, Manifest] | None:
    """Return the manifest of the stack that a product belongs to, or None; products lie in it or one folder deeper."""
    for folder in path.resolve().parents[:2]:
        place = folder / "run_manifest.json"
        try:
            return place, Manifest.model_validate_json(place.read_bytes())
        except (OSError, ValidationError, ValueError):
            continue
    return None
