"""The pixels of a FITS frame, any box of them, as float32."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from skyquilt.core.arrays import F32, U16, Mask
from skyquilt.core.box import Box
from skyquilt.core.frame import FrameFile
from skyquilt.core.tile import Tile
from skyquilt.errors import UnreadableFrame
from skyquilt.io.fits.decoded import decode_frame, decoded
from skyquilt.io.fits.layout import ImageLayout, find_image
from skyquilt.io.fits.stream import PlainStream, open_stream, open_to_read, unreadable
from skyquilt.kernels.decode import decode_floats, decode_int16, decode_plain, stored_dtype

__all__ = ["FitsSource", "frame_source"]

_CHUNK = 1 << 18  # bytes read at a time: stays in the second-level cache between the read and the decoding
_SKIP = 1 << 14  # bytes of a row that are cheaper to skip by a read of its own than to read along
_Window = tuple[int, int, int, int]  # x0, y0, x1, y1, inside of the frame
_NO_MASK: Mask = np.zeros(0, dtype=np.bool_)
_EXACT_BIAS = 1 << 23
_UNSIGNED_ZERO = 32768.0


def frame_source(frame: FrameFile) -> FitsSource:
    """Return the source of a frame's pixels; the file is not touched before the first read."""
    return FitsSource(frame)


class _Scratch(threading.local):
    """Bytes of one thread between the file and the decoder, kept from read to read."""

    def __init__(self) -> None:
        self.reserve(_CHUNK)

    def reserve(self, n_bytes: int) -> None:
        self.view = memoryview(bytearray(n_bytes))
        self.as_uint16 = np.frombuffer(self.view, dtype=np.uint16)
        self.as_uint32 = np.frombuffer(self.view, dtype=np.uint32)


_scratch = _Scratch()


class FitsSource:
    """
    A FITS frame as a `PixelSource`: any box of it as float32 ADU, BZERO and BSCALE applied.

    Plain frames are read at the offset of the box with `pread`: no file stays open, nothing is mapped, threads do not
    wait for each other. Packed frames (.gz, .bz2, .Z, .fz) are decoded as a whole into a shared cache.

    Every read makes sure that the file is the one that was opened (size and modification time).

    Parameters
    ----------
    frame : FrameFile

    Notes
    -----
    A pixel that is NaN, infinite or BLANK in any plane is masked, with value 0 in all planes. Picklable; safe under
    threads.
    """

    __slots__ = ("_frame", "_layout", "_path", "bounds", "n_channels")

    def __init__(self, frame: FrameFile) -> None:
        self._frame = frame
        self._path = os.fspath(frame.path)
        self._layout: ImageLayout | None = None
        self.n_channels = frame.meta.n_planes
        self.bounds = Box.of_shape(frame.meta.height, frame.meta.width)

    def __reduce__(self) -> tuple[type[FitsSource], tuple[FrameFile]]:
        return FitsSource, (self._frame,)

    @property
    def frame(self) -> FrameFile:
        """The frame whose pixels these are."""
        return self._frame

    def read(self, box: Box) -> Tile:
        """
        Return the pixels of a box.

        Raises
        ------
        UnreadableFrame
            If the file vanished, shrank or changed since it was opened, or is damaged.
        """
        height, width = box.shape
        pixels = np.empty((self.n_channels, height, width), dtype=np.float32)
        mask = np.ones((height, width), dtype=np.bool_)
        n_bad = self._fill(box, pixels, mask)
        if n_bad and self.n_channels > 1:
            pixels[:, ~mask] = 0.0
        return Tile(pixels, mask, box)

    def read_into(self, box: Box, out: F32) -> bool:
        """
        Write the pixels of a box into `out` and return whether all of them can be used.

        Parameters
        ----------
        box : Box
        out : float32 (n_channels, box.height, box.width), ADU
            Written in place; 0 where a pixel is outside of the frame or has no value. Fastest if contiguous.

        Raises
        ------
        ValueError
            If `out` has another shape or type.
        UnreadableFrame
            As `read`.
        """
        if out.shape != (self.n_channels, box.y1 - box.y0, box.x1 - box.x0) or out.dtype != np.float32:
            raise ValueError(f"out is {out.dtype} {out.shape}, the box needs float32 {(self.n_channels, *box.shape)}")
        target = out if out.flags.c_contiguous else np.empty(out.shape, dtype=np.float32)
        n_bad = self._fill(box, target, _NO_MASK)
        if n_bad and self.n_channels > 1:
            target[...] = self.read(box).pixels
        if target is not out:
            out[...] = target
        return n_bad == 0

    def _fill(self, box: Box, out: F32, mask: Mask) -> int:
        """Write a box, and False into a mask that is not empty; return how many values cannot be used."""
        bounds = self.bounds
        x0, y0, x1, y1 = box.x0, box.y0, box.x1, box.y1
        n_outside = 0
        if x0 < 0 or y0 < 0 or x1 > bounds.x1 or y1 > bounds.y1:
            inside = box.intersect(bounds)
            n_outside = box.n_pixels - inside.n_pixels
            out[...] = 0.0
            if mask.size:
                mask[...] = False
                mask[inside.slices(box)] = True
            x0, y0, x1, y1 = inside.x0, inside.y0, inside.x1, inside.y1
        if x1 <= x0 or y1 <= y0:
            return n_outside
        return n_outside + self._open_and_read((x0, y0, x1, y1), (x0 - box.x0, y0 - box.y0), out, mask)

    def _open_and_read(self, inside: _Window, at: tuple[int, int], out: F32, mask: Mask) -> int:
        """Read a window of the file and return how many of its values cannot be used."""
        with self._opened() as (descriptor, layout):
            if layout.is_tiled or layout.is_packed:
                return _copy_decoded(self._decoded(layout, descriptor), inside, at, out, mask)
            return _read_plain(self._frame.name, descriptor, layout, inside, at, out, mask)

    @contextmanager
    def _opened(self) -> Iterator[tuple[int, ImageLayout]]:
        """Open the file, make sure that it is the same, close it in the end; give its descriptor and layout."""
        try:
            descriptor = open_to_read(self._path)
        except OSError as cause:
            raise unreadable(self._path, cause) from cause
        try:
            status = os.fstat(descriptor)
            frame = self._frame
            if status.st_size != frame.size_bytes or status.st_mtime_ns != frame.mtime_ns:
                raise _changed(frame, status)
            if self._layout is None:
                self._layout = self._find_layout(descriptor)
            yield descriptor, self._layout
        except OSError as cause:
            raise unreadable(self._path, cause) from cause
        finally:
            os.close(descriptor)

    def read_stored(self, y0: int, out: U16) -> bool:
        """
        Write whole rows as the file holds them, and return True, if these are unsigned integers of 16 bits.

        Parameters
        ----------
        y0 : int
            First row.
        out : uint16 (rows, width), contiguous
            Written in place: big-endian integers with BZERO 32768, to be read by the kernels that take stored pixels.

        Returns
        -------
        bool
            False, with `out` as it was, where the frame is stored in another way: `read` gives its pixels.

        Raises
        ------
        ValueError
            If the rows are not within the frame, or are not as wide.
        UnreadableFrame
            As `read`.
        """
        if out.shape[1] != self.bounds.width or not 0 <= y0 <= y0 + len(out) <= self.bounds.height:
            raise ValueError(f"rows {y0} to {y0 + len(out)}, {out.shape[1]} px wide, are not of {self.bounds}")
        with self._opened() as (descriptor, layout):
            is_plain = not (layout.is_tiled or layout.is_packed) and layout.n_planes == 1
            if not (is_plain and _is_plain_int16(layout) and layout.zero == _UNSIGNED_ZERO):
                return False
            start = layout.data_start + y0 * out.shape[1] * out.itemsize
            _read_exactly(self._frame.name, descriptor, start, out.data.cast("B"))
            return True

    def _find_layout(self, descriptor: int) -> ImageLayout:
        """Return where the pixels lie in the open file."""
        frame = self._frame
        head = PlainStream(descriptor, frame.size_bytes).read_at(0, 16)
        stream = open_stream(frame.path, descriptor, frame.size_bytes, head)
        layout = find_image(frame.path, stream, frame.hdu)
        if (layout.height, layout.width, layout.n_planes) != (*self.bounds.shape, self.n_channels):
            raise UnreadableFrame(
                f"{frame.name} is {layout.width} x {layout.height} px, it was announced as "
                f"{self.bounds.width} x {self.bounds.height}",
                "start again when nothing writes to the frames any more",
            )
        return layout

    def _decoded(self, layout: ImageLayout, descriptor: int) -> F32:
        """Return all pixels of a packed frame, from the cache if they are there."""
        frame = self._frame

        def decode() -> F32:
            head = PlainStream(descriptor, frame.size_bytes).read_at(0, 16)
            return decode_frame(frame.name, layout, open_stream(frame.path, descriptor, frame.size_bytes, head))

        return decoded((self._path, frame.size_bytes, frame.mtime_ns, frame.hdu), decode)


def _changed(frame: FrameFile, status: os.stat_result) -> UnreadableFrame:
    """Return the error of a file that is not the one that was opened."""
    if status.st_size != frame.size_bytes:
        what = f"it had {frame.size_bytes:,} bytes and has {status.st_size:,} now"
    else:
        what = "it was written again"
    return UnreadableFrame(
        f"{frame.name} has changed since the run began: {what}", "start again when nothing writes to the frames"
    )


def _copy_decoded(image: F32, inside: _Window, at: tuple[int, int], out: F32, mask: Mask) -> int:
    """Copy a window of a decoded frame, NaN as 0; return how many values are NaN."""
    x0, y0, x1, y1 = inside
    rows, columns = slice(at[1], at[1] + y1 - y0), slice(at[0], at[0] + x1 - x0)
    return _place(image[:, y0:y1, x0:x1], out[:, rows, columns], mask[rows, columns] if mask.size else mask)


def _place(values: F32, out: F32, mask: Mask) -> int:
    """Copy values into `out`, NaN as 0, and False into a mask that is not empty; return how many are NaN."""
    out[...] = values
    is_bad = np.isnan(values)
    n_bad = int(np.count_nonzero(is_bad))
    if n_bad:
        out[is_bad] = 0.0
        if mask.size:
            mask &= ~is_bad.any(axis=0)
    return n_bad


def _read_plain(
    name: str, descriptor: int, layout: ImageLayout, inside: _Window, at: tuple[int, int], out: F32, mask: Mask
) -> int:
    """
    Read a window of unpacked pixels, some rows at a time; return how many values cannot be used.

    A band of rows is read along with what lies left and right of the window, unless the rows are so long that one
    read a row is cheaper.
    """
    x0, y0, x1, y1 = inside
    n_fastest = layout.n_planes if layout.is_interleaved else 1
    pixel_bytes = abs(layout.bitpix) // 8 * n_fastest
    row_bytes, want_bytes = layout.width * pixel_bytes, (x1 - x0) * pixel_bytes
    is_band = row_bytes - want_bytes <= _SKIP
    stride = row_bytes if is_band else want_bytes
    n_rows = max(1, _CHUNK // stride)
    if len(_scratch.view) < stride:
        _scratch.reserve(-(-stride // 8) * 8)
    n_bad = 0
    for plane in range(1 if layout.is_interleaved else layout.n_planes):
        start = layout.data_start + plane * layout.height * row_bytes + x0 * pixel_bytes
        for row in range(y0, y1, n_rows):
            count = min(n_rows, y1 - row)
            if is_band:
                band = _scratch.view[: (count - 1) * row_bytes + want_bytes]
                _read_exactly(name, descriptor, start + row * row_bytes, band)
            else:
                for k in range(count):
                    part = _scratch.view[k * want_bytes : (k + 1) * want_bytes]
                    _read_exactly(name, descriptor, start + (row + k) * row_bytes, part)
            corner = (plane, at[1] + row - y0, at[0])
            n_bad += _decode_rows(layout, stride // pixel_bytes, (x1 - x0, count), corner, out, mask)
    return n_bad


def _decode_rows(
    layout: ImageLayout,
    row_items: int,
    size: tuple[int, int],
    corner: tuple[int, int, int],
    out: F32,
    mask: Mask,
) -> int:
    """Decode the rows that lie in the scratch into `out` at (plane, y, x); return how many values cannot be used."""
    width, height = size
    plane, y, x = corner
    _, out_height, out_width = out.shape
    target = (plane * out_height + y) * out_width + x
    if _is_plain_int16(layout):
        bias = layout.zero - 32768.0
        decode_int16(_scratch.as_uint16, row_items, bias, out.reshape(-1), target, out_width, width, height)
        return 0
    if layout.bitpix == -32 and layout.zero == 0.0 and layout.scale == 1.0 and not layout.is_interleaved:
        bits = out.reshape(-1).view(np.uint32)
        corner_of_mask = y * out_width + x
        return decode_floats(
            _scratch.as_uint32, row_items, bits, target, out_width, width, height, mask.reshape(-1), corner_of_mask
        )
    n_fastest = layout.n_planes if layout.is_interleaved else 1
    n_items = height * row_items * n_fastest
    stored = np.frombuffer(_scratch.view, dtype=stored_dtype(layout.bitpix), count=n_items)
    stored = stored.reshape(height, row_items, n_fastest)[:, :width]
    values = decode_plain(stored, layout.zero, layout.scale, layout.blank).transpose(2, 0, 1)
    rows, columns = slice(y, y + height), slice(x, x + width)
    planes = slice(None) if layout.is_interleaved else slice(plane, plane + 1)
    return _place(values, out[planes, rows, columns], mask[rows, columns] if mask.size else mask)


def _is_plain_int16(layout: ImageLayout) -> bool:
    """Return whether the pixels are 16-bit integers with a whole BZERO: the frames of nearly every camera."""
    return (
        layout.bitpix == 16
        and layout.scale == 1.0
        and layout.blank is None
        and not layout.is_interleaved
        and layout.zero.is_integer()
        and abs(layout.zero - 32768.0) < _EXACT_BIAS
    )


def _read_exactly(name: str, descriptor: int, offset: int, view: memoryview) -> None:
    """Fill memory with the bytes of the file from an offset on."""
    done = 0
    while done < len(view):
        got = _read_into(descriptor, view[done:] if done else view, offset + done)
        if got <= 0:
            raise UnreadableFrame(f"{name} became shorter while it was read", "start again when nothing writes to it")
        done += got


def _read_into(descriptor: int, view: memoryview, offset: int) -> int:
    """Read once at an offset; return the bytes got."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, (view,), offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    piece = os.read(descriptor, len(view))
    view[: len(piece)] = piece
    return len(piece)
