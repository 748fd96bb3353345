"""PNG and TIFF pictures written whole or not at all, with the profile of their colours."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skyquilt.core import F32
from skyquilt.io.atomic import AtomicFile, write_atomically
from skyquilt.io.images.icc import grey_profile, rgb_profile

__all__ = ["Stretcher", "TiffWriter", "encode_jpeg", "encode_png", "write_png", "write_tiff"]

_PNG = b"\x89PNG\r\n\x1a\n"
_SUB_FILTER = 0x10  # differences to the pixel on the left
_IHDR_END = len(_PNG) + 4 + 4 + 13 + 4


class Stretcher(Protocol):
    """What makes linear values, float32 (channel, y, x), visible: uint8 or uint16 (y, x, channel)."""

    def apply(self, pixels: F32, dtype: type) -> NDArray[Any]: ...


def encode_png(picture: NDArray[Any]) -> bytes:
    """
    Return a PNG file with an embedded sRGB profile.

    Parameters
    ----------
    picture : uint8 or uint16 (y, x), (y, x, 3), or (y, x, 4), first row on top
        The fourth channel is opacity: 0 is not there.

    Raises
    ------
    ValueError
        If the picture has another shape or type.
    """
    import imagecodecs

    has_opacity = picture.ndim == 3 and picture.shape[2] == 4
    is_rgb = _check(picture[:, :, :3] if has_opacity else picture, (np.uint8, np.uint16))
    # noise does not repeat: looking for repetitions takes three times as long and saves nothing; nor does it save
    # anything worth the time to look for the best filter row by row
    data = bytes(imagecodecs.png_encode(np.ascontiguousarray(picture), level=1, strategy=3, filter=_SUB_FILTER))
    return _with_profile(data, rgb_profile() if is_rgb else grey_profile())


def encode_jpeg(picture: NDArray[Any], quality: int = 90) -> bytes:
    """
    Return a JPEG file with an embedded sRGB profile.

    Parameters
    ----------
    picture : uint8 (y, x) or (y, x, 3), first row on top
    quality : int, 1 to 100

    Raises
    ------
    ValueError
        If the picture has another shape or type.
    """
    import imagecodecs

    is_rgb = _check(picture, (np.uint8,))
    data = bytes(imagecodecs.jpeg_encode(np.ascontiguousarray(picture), level=quality))
    body = b"ICC_PROFILE\0\x01\x01" + (rgb_profile() if is_rgb else grey_profile())  # part 1 of 1
    return data[:2] + b"\xff\xe2" + struct.pack(">H", len(body) + 2) + body + data[2:]


def write_png(path: Path, picture: NDArray[Any]) -> None:
    """
    Write `encode_png(picture)` atomically.

    Raises
    ------
    ValueError
        As `encode_png`.
    NotEnoughDisk, OutputBlocked
        If the system refuses to write.
    """
    write_atomically(Path(path), encode_png(picture))


def write_tiff(path: Path, picture: NDArray[Any], *, is_linear: bool | None = None) -> None:
    """
    Write a TIFF atomically: uint16 with the sRGB profile, float32 with that of linear light.

    Parameters
    ----------
    picture : uint16 or float32 (y, x) or (y, x, 3), first row on top
        Stored plainly: 16 bits of noise do not pack, and every program reads it.
    is_linear : bool or None
        Which profile the values have, where it is not that.

    Raises
    ------
    ValueError
        If the picture has another shape or type.
    NotEnoughDisk, OutputBlocked
        If the system refuses to write.
    """
    with TiffWriter(path, picture.shape, picture.dtype, is_linear=is_linear) as writer:
        writer.write_rows(0, picture)


class TiffWriter:
    """
    Write a TIFF row by row, so that it never has to be in memory as a whole.

    Parameters
    ----------
    path : Path
        Appears when the `with` block ends well; an existing file is replaced then and not before.
    shape : (y, x) or (y, x, 3)
    dtype : uint16 or float32
    is_linear : bool or None
        Whether the values are light itself; None: float32 is, uint16 is sRGB.

    Raises
    ------
    ValueError, NotEnoughDisk, OutputBlocked
        As `write_tiff`.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: DTypeLike, *, is_linear: bool | None = None) -> None:
        import tifffile

        self._shape, self._dtype = shape, np.dtype(dtype)
        is_rgb = _check_shape(shape, self._dtype, (np.uint16, np.float32))
        is_linear = self._dtype == np.float32 if is_linear is None else is_linear
        self._file = AtomicFile(Path(path))
        try:
            self._start, _ = tifffile.imwrite(
                _SeekableFile(self._file),
                shape=shape,
                dtype=self._dtype,
                photometric="rgb" if is_rgb else "minisblack",
                iccprofile=rgb_profile(is_linear=is_linear) if is_rgb else grey_profile(is_linear=is_linear),
                metadata=None,
                software=False,
                returnoffset=True,
            )
        except BaseException:
            self._file.abandon()
            raise

    def __enter__(self) -> TiffWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    def write_rows(self, y0: int, rows: NDArray[Any]) -> None:
        """Write the rows from `y0` on; rows that are never written are black."""
        if rows.dtype != self._dtype or rows.shape[1:] != self._shape[1:] or y0 + len(rows) > self._shape[0]:
            raise ValueError(f"rows {rows.shape} of {rows.dtype} from {y0} on are not of {self._shape} {self._dtype}")
        data = np.ascontiguousarray(rows)
        self._file.write_at(self._start + y0 * (data.nbytes // max(1, len(data))), data.data)


class _SeekableFile(io.RawIOBase):
    """An atomic file as tifffile wants it: with a place at which the next bytes go."""

    def __init__(self, file: AtomicFile) -> None:
        self._file = file
        self._at = self._end = 0

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._end}[whence]
        return self._at

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._file.write_at(self._at, view)
        self._at += len(view)
        self._end = max(self._end, self._at)
        return len(view)


def _check(picture: NDArray[Any], types: tuple[type[Any], ...]) -> bool:
    """Return whether the picture has three channels; raise if it is not one that is written here."""
    return _check_shape(picture.shape, picture.dtype, types)


def _check_shape(shape: tuple[int, ...], dtype: np.dtype[Any], types: tuple[type[Any], ...]) -> bool:
    if dtype not in [np.dtype(kind) for kind in types]:
        raise ValueError(f"the picture is {dtype}, it may be {' or '.join(kind.__name__ for kind in types)}")
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] != 3) or 0 in shape:
        raise ValueError(f"the picture is {shape}, it may be (y, x) or (y, x, 3)")
    return len(shape) == 3


def _with_profile(png: bytes, profile: bytes) -> bytes:
    """Return a PNG with an iCCP chunk right after its IHDR, where the standard wants it."""
    body = b"iCCP" + b"ICC profile\0\0" + zlib.compress(profile, 9)
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return png[:_IHDR_END] + chunk + png[_IHDR_END:]
