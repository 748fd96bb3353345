"""From a path to a frame: which file it is, what its header says, or one sentence on why it is none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from skyquilt.core.frame import FrameFile
from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits.header import Header
from skyquilt.io.fits.keywords import frame_meta
from skyquilt.io.fits.layout import ImageLayout, find_image
from skyquilt.io.fits.stream import PlainStream, open_stream, open_to_read, unreadable

__all__ = ["open_frame", "read_header"]

_OTHERS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the frame itself", "run: git lfs pull"),
    (b"II*\0", "is a TIFF picture, not FITS", "give the raw FITS frames of the session"),
    (b"MM\0*", "is a TIFF picture, not FITS", "give the raw FITS frames of the session"),
    (b"\x89PNG", "is a PNG picture, not FITS", "give the raw FITS frames of the session"),
    (b"\xff\xd8\xff", "is a JPEG picture, not FITS", "give the raw FITS frames of the session"),
    (b"XISF0100", "is an XISF file, not FITS", "save it as FITS from the program that wrote it"),
    (b"LUCAM-RECORDER", "is a SER video, not FITS", "split it into FITS frames first"),
    (b"PK\x03\x04", "is a ZIP archive, not FITS", "unpack it first"),
    (b"\xfd7zXZ", "is packed by xz, which is not read", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "is packed by zstd, which is not read", "unpack it first"),
    (b"<", "is a web page or XML, not FITS", "download the frame again"),
)
_MAGIC_BYTES = 32


def open_frame(path: Path, hdu: int | None = None) -> FrameFile:
    """
    Return the frame in a file after reading its header only.

    Parameters
    ----------
    path : Path
        FITS, plain or packed (.gz, .bz2, .Z, tile-compressed .fz). The name's ending does not matter.
    hdu : int or None
        Which HDU holds the pixels (0 = primary); None: the first that can be used.

    Raises
    ------
    UnreadableFrame
        With one sentence, if the file is not a usable image: empty, not FITS, cut short (with the bytes there and
        the bytes due), without an image of 1 or 3 planes, or with figures that its length contradicts.

    Notes
    -----
    Nothing is allocated for pixels. The file is opened to read and closed again. The pixels of a packed frame are not
    looked at before they are read: that such a file is cut short shows only then.
    """
    path = Path(path)
    layout, status = _open(path, hdu)
    return FrameFile(path, frame_meta(layout), layout.hdu, status.st_size, status.st_mtime_ns)


def read_header(path: Path, hdu: int | None = None) -> Header:
    """
    Return the header of the image that `open_frame` would use, with the cards it inherits from the primary header.

    Raises
    ------
    UnreadableFrame
        As `open_frame`.
    """
    return _open(Path(path), hdu)[0].header


def _open(path: Path, hdu: int | None) -> tuple[ImageLayout, os.stat_result]:
    """Return the layout of the file's image and the file's status."""
    try:
        descriptor = open_to_read(path)
    except OSError as cause:
        raise unreadable(path, cause) from cause
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise UnreadableFrame(f"{path.name} is {what}", "give the files themselves")
        size = status.st_size
        head = PlainStream(descriptor, size).read_at(0, _MAGIC_BYTES)
        _refuse_others(path, head, size)
        return find_image(path, open_stream(path, descriptor, size, head), hdu), status
    except OSError as cause:
        raise unreadable(path, cause) from cause
    finally:
        os.close(descriptor)


def _refuse_others(path: Path, head: bytes, size: int) -> None:
    """Raise if the first bytes say that the file is something else, which can be named."""
    if head.startswith(b"SIMPLE  =") and size >= _MAGIC_BYTES:
        return
    if size == 0:
        raise UnreadableFrame(f"{path.name} is empty", "copy the frame again")
    for magic, what, hint in _OTHERS:
        if head.startswith(magic):
            raise UnreadableFrame(f"{path.name} {what}", hint)
    if size < _MAGIC_BYTES:
        raise UnreadableFrame(f"{path.name} holds {size} bytes, too few for a frame", "copy the frame again")
    if not head.strip(b"\0"):
        raise UnreadableFrame(f"{path.name} begins with zeros only, as after a failed copy", "copy the frame again")
