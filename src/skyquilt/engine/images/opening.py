"""From a path to an opened image: raw frames in colour, masters, pictures of other programs, tiled canvases."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F32, FrameFile, FrameKind, Wcs
from skyquilt.engine.images.image import ImageFacts
from skyquilt.engine.images.sources import ArraySource, CanvasSource, FileSource, ImageSource
from skyquilt.errors import BadInput, NotRegistered, NoUsableInput, UnreadableFrame, UsageError
from skyquilt.io.fits import frame_source, open_frame, read_wcs
from skyquilt.io.images import read_image
from skyquilt.io.tiled import TiledCanvas
from skyquilt.steps.debayer import METHODS, Debayered

__all__ = ["DEBAYERS", "describe_file", "open_file"]

DEBAYERS = ("auto", "none", *METHODS)
"""How a raw frame is shown: auto is the way that measured best; none keeps the mosaic of the sensor."""

_BEST = "malvar"
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_CANVAS_HEAD = "canvas.json"
_FRAME_WORDS = {
    FrameKind.LIGHT: "Light",
    FrameKind.DARK: "Dark",
    FrameKind.FLAT: "Flat",
    FrameKind.BIAS: "Bias",
    FrameKind.FLAT_DARK: "FlatDark",
    FrameKind.STACK: "Stack",
    FrameKind.UNKNOWN: "Unknown",
}


def open_file(path: Path, debayer: str = "auto") -> tuple[ImageSource, ImageFacts, int]:
    """
    Return the source of an image's pixels, its facts, and the bytes of pixels that it holds in memory.

    Parameters
    ----------
    path : Path
        A FITS file (raw or product, packed or not), a PNG, TIFF or JPEG picture, or the folder of a tiled canvas.
        Opened to read only.
    debayer : str
        One of `DEBAYERS`; frames without a colour filter array are taken as they are.

    Raises
    ------
    NoUsableInput
        If there is nothing at the path.
    UnreadableFrame, OutputBlocked
        If it is no image.
    UsageError
        If the way of debayering is not known.
    """
    if debayer not in DEBAYERS:
        raise UsageError(f"{debayer!r} is not a way of debayering", f"one of: {', '.join(DEBAYERS)}")
    _must_exist(path)
    if path.is_dir():
        return CanvasSource(TiledCanvas.open(_canvas_folder(path))), ImageFacts(path.name, path, "canvas"), 0
    if _is_picture(path):
        pixels = _planes(read_image(path))
        return ArraySource(pixels), ImageFacts(path.name, path, "picture"), pixels.nbytes
    frame = open_frame(path)
    facts = ImageFacts(
        path.name, path, "frame" if _is_raw(frame) else "image", _wcs_of(path), frame.meta.row_order or "TOP-DOWN"
    )
    source = frame_source(frame)
    if frame.meta.cfa is None or debayer == "none" or min(source.bounds.shape) < 2:
        return FileSource(source), facts, 0
    method = _BEST if debayer == "auto" else debayer
    return FileSource(Debayered(source, frame.meta.cfa, method)), facts, 0


def describe_file(path: Path) -> dict[str, Any]:
    """
    Return what a file says of itself, as JSON values in the words of the engine's protocol.

    Lengths in px, exposure in s, temperature in degrees C; null where the header does not say it. `id` is a digest of
    the path.

    Raises
    ------
    NoUsableInput, UnreadableFrame, OutputBlocked
        As `open_file`.
    """
    _must_exist(path)
    facts: dict[str, Any] = dict.fromkeys(
        ("exposureTime", "temperature", "gain", "filterName", "bayerPattern", "dateObs", "objectName", "instrument")
    )
    facts = {"id": hashlib.sha256(str(path.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]} | facts
    facts |= {"path": str(path), "notes": []}
    if path.is_dir() or _is_picture(path):
        if path.is_dir():
            channels, height, width = TiledCanvas.open(_canvas_folder(path)).shape
            bits = -32
        else:
            stored = read_image(path)
            height, width = stored.shape[:2]
            channels = stored.shape[2] if stored.ndim == 3 else 1
            bits = -32 if stored.dtype.kind == "f" else 8 * stored.dtype.itemsize
        kind = "Canvas" if path.is_dir() else "Picture"
        return facts | {"width": width, "height": height, "channels": channels, "bitpix": bits, "frameType": kind}
    meta = open_frame(path).meta
    return facts | {
        "width": meta.width,
        "height": meta.height,
        "channels": meta.n_planes,
        "bitpix": meta.bits,
        "frameType": _FRAME_WORDS[meta.kind],
        "exposureTime": meta.exposure_s,
        "temperature": meta.temperature_c,
        "gain": meta.gain,
        "filterName": meta.filter,
        "bayerPattern": meta.cfa.name if meta.cfa else None,
        "dateObs": meta.date_obs,
        "objectName": meta.object_name,
        "instrument": meta.instrument or meta.telescope,
        "notes": list(meta.notes),
    }


def _must_exist(path: Path) -> None:
    try:
        is_there = path.exists()
    except OSError as error:
        raise NoUsableInput(f"a path cannot be looked at ({error.strerror}): {path}", "check the path") from error
    if not is_there:
        raise NoUsableInput(f"there is nothing at {path}", "check the path")


def _canvas_folder(path: Path) -> Path:
    """Return the folder of the canvas: the one given, or that of a mosaic's output folder."""
    for folder in (path, path / "canvas", path / ".skyquilt" / "canvas"):
        if (folder / _CANVAS_HEAD).is_file():
            return folder
    raise UnreadableFrame(f"{path} is a folder without a tiled canvas", "give an image file, or the folder of a canvas")


def _is_picture(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise UnreadableFrame(f"{path.name} cannot be read: {error.strerror}", "check its permissions") from error
    return head.startswith(_PICTURES)


def _is_raw(frame: FrameFile) -> bool:
    kinds = (FrameKind.LIGHT, FrameKind.DARK, FrameKind.FLAT, FrameKind.BIAS, FrameKind.FLAT_DARK)
    return frame.meta.kind in kinds and frame.meta.n_stacked == 1


def _wcs_of(path: Path) -> Wcs | None:
    try:
        return read_wcs(path)
    except (NotRegistered, BadInput):  # an image without coordinates, or with damaged ones, is still an image
        return None


def _planes(stored: NDArray[Any]) -> F32:
    """Return a picture as float32 (channel, y, x), opacity left aside; whole numbers stay whole."""
    if stored.ndim == 2:
        return np.ascontiguousarray(stored[None], dtype=np.float32)
    channels = 3 if stored.shape[2] >= 3 else 1
    return np.ascontiguousarray(np.moveaxis(stored[:, :, :channels], 2, 0), dtype=np.float32)
