"""Images on disk: raw RGBA for a viewer, tiles, and files for people; what a camera wrote is never replaced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from skyquilt import __version__
from skyquilt.core import F32
from skyquilt.engine.images.image import OpenImage
from skyquilt.engine.images.looks import (
    EncodedTile,
    auto_stretch,
    linear_look,
    picture_of,
)
from skyquilt.engine.images.screen import ScreenLook
from skyquilt.engine.solved_products import check_product
from skyquilt.errors import OutputBlocked, SkyquiltError, UsageError
from skyquilt.io.atomic import AtomicFile, write_atomically
from skyquilt.io.fits import write_bands
from skyquilt.io.images import TiffWriter, encode_jpeg, write_png

__all__ = ["FORMATS", "refuse_raw", "save_image", "write_rgba", "write_tile"]

FORMATS = ("fits", "tiff", "tif", "png", "jpeg", "jpg")
_JPEG_QUALITY = 95
_PACKED = frozenset({".gz", ".fz", ".bz2", ".z"})
_OF_CAMERAS = frozenset(
    {".arw", ".avi", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".rw2", ".ser", ".srw", ".xisf"}
)


def refuse_raw(path: Path, opened: Sequence[Path]) -> None:
    """
    Raise if a file must not be written: it was not made by skyquilt as far as FITS files go, or is open as an image.

    Raises
    ------
    OutputBlocked
        With one sentence.
    """
    try:
        if not path.exists():
            return
        if not path.is_file():
            raise OutputBlocked(f"{path.name} is no regular file", "choose another name")
        with path.open("rb") as file:
            is_fits = file.read(9) == b"SIMPLE  ="
    except OSError as error:
        raise OutputBlocked(f"{path.name} cannot be looked at: {error.strerror}", "choose another name") from error
    for source in opened:
        with contextlib.suppress(OSError):
            if source.samefile(path):
                raise OutputBlocked(f"{path.name} is open as an image", "save under another name")
    if path.suffix.lower() in _PACKED | _OF_CAMERAS:
        what = "a packed file" if path.suffix.lower() in _PACKED else "a file of a camera"
        raise OutputBlocked(f"{path.name} is {what}, which is never replaced", "choose another name")
    if is_fits:
        try:
            check_product(path)
        except SkyquiltError as error:
            raise OutputBlocked(
                f"{path.name} was not made by skyquilt: raw frames are never changed", "choose another name"
            ) from error


def write_rgba(path: Path, image: OpenImage, look: ScreenLook | None, longest_px: int | None = None) -> tuple[int, int]:
    """
    Write an image as raw bytes, red, green, blue, 255 for each pixel, rows from the top; return its width and height.

    Parameters
    ----------
    look : ScreenLook or None
        None: the straight line from the lowest to the highest value.
    longest_px : int or None
        Reduced until its longest side has this many px; None: full size, written some rows at a time.

    Raises
    ------
    NotEnoughDisk, OutputBlocked
        If it cannot be written.
    """
    chosen = look or linear_look(image)
    _, height, width = image.shape
    if longest_px is not None and longest_px < max(height, width):
        picture = picture_of(image, chosen, longest_px)
        write_atomically(path, _with_opacity(picture).data)
        return picture.shape[1], picture.shape[0]
    with AtomicFile(path) as file:
        for y0, rows in image.value_rows():
            picture = np.asarray(chosen.picture(rows), dtype=np.uint8)
            file.write_at(4 * y0 * width, _with_opacity(picture).data)
    return width, height


def _with_opacity(
    picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rgba = np.full((*picture.shape[:2], 4), 255, dtype=np.uint8)
    rgba[:, :, :3] = picture if picture.shape[2] == 3 else picture[:, :, :1]
    return rgba


def write_tile(path: Path, tile: EncodedTile) -> None:
    """Write the half floats of a tile, little-endian, channel after channel."""
    write_atomically(path, np.ascontiguousarray(tile.halves, dtype="<f2").data.cast("B"))


class _Shown:
    """An image as it is shown, 0 to 1, as `write_bands` reads it."""

    def __init__(self, image: OpenImage, look: ScreenLook) -> None:
        self._image, self._look = image, look

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._image.shape

    def value_rows(self) -> Iterator[tuple[int, F32]]:
        for y0, rows in self._image.value_rows():
            yield y0, self._look.values(rows)


def save_image(path: Path, image: OpenImage, file_format: str, look: ScreenLook | None = None) -> None:
    """
    Write an image for other programs.

    Parameters
    ----------
    file_format : str
        "fits": float32, linear unless a look is given, with the coordinates of the image. "tiff" or "tif": 16 bits, a
        straight line from the lowest to the highest value unless a look is given. "png", "jpeg" or "jpg": 8 bits, with
        an auto stretch a channel, as the quicklooks have, unless a look is given.
    look : ScreenLook or None

    Raises
    ------
    UsageError
        If the format is not known.
    NoUsableInput
        If no pixel has a value.
    NotEnoughDisk, OutputBlocked
        If it cannot be written.
    """
    if file_format not in FORMATS:
        raise UsageError(f"{file_format!r} is no format that is written", f"one of: {', '.join(FORMATS)}")
    if file_format == "fits":
        _save_fits(path, image, look)
    elif file_format in ("tiff", "tif"):
        _save_tiff(path, image, look or linear_look(image))
    else:
        picture = picture_of(image, look or ScreenLook.of_stretch(auto_stretch(image, linked=False)))
        plain = picture[:, :, 0] if picture.shape[2] == 1 else picture
        if file_format == "png":
            write_png(path, plain)
        else:
            write_atomically(path, encode_jpeg(plain, _JPEG_QUALITY))


def _save_fits(path: Path, image: OpenImage, look: ScreenLook | None) -> None:
    cards: list[tuple[str, str | float | int | bool | None, str]] = [
        ("PROGRAM", f"skyquilt {__version__}", "made by"),
        ("CREATOR", f"skyquilt {__version__}", "made by"),
        ("ROWORDER", image.facts.row_order, "order of the rows"),
    ]
    if image.facts.wcs is not None:
        cards += image.facts.wcs.cards()
    write_bands(path, image if look is None else _Shown(image, look), cards)


def _save_tiff(path: Path, image: OpenImage, look: ScreenLook) -> None:
    channels, height, width = image.shape
    shape = (height, width) if channels == 1 else (height, width, channels)
    with TiffWriter(path, shape, np.uint16) as writer:
        for y0, values in image.value_rows():
            rows = np.asarray(look.picture(values, np.uint16), dtype=np.uint16)
            writer.write_rows(y0, rows[:, :, 0] if channels == 1 else rows)
