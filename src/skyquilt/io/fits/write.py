"""FITS images written whole or not at all, the same bytes for the same pixels and cards."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skyquilt.io.atomic import AtomicFile
from skyquilt.io.fits.axes import planes_last_cards
from skyquilt.io.fits.cards import CardToWrite, format_card, format_cards
from skyquilt.io.fits.checksums import add_sums, encode_checksum, sum_words
from skyquilt.io.fits.layout import BLOCK
from skyquilt.io.fits.sixteen_bits import SixteenBits

__all__ = ["ExtensionLayout", "ImageWriter", "write_image"]

_OURS = frozenset({"SIMPLE", "XTENSION", "BITPIX", "NAXIS", "EXTEND", "PCOUNT", "GCOUNT", "BZERO", "BSCALE", "BLANK"})
_PIECE = 1 << 22
Extension = tuple[str, NDArray[Any], Sequence[CardToWrite]]
ExtensionLayout = tuple[str, tuple[int, ...], DTypeLike, Sequence[CardToWrite]]


class _Unit:
    """One HDU on its way into a file: its cards, its data as they come, its sums."""

    def __init__(
        self,
        file: AtomicFile,
        start: int,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        lines: list[str],
        scale: SixteenBits | None = None,
    ) -> None:
        self._file = file
        self._start = start
        self.shape = shape
        self.dtype = dtype
        self._lines = lines
        self._scale = scale
        stored = np.dtype(np.uint16) if scale else dtype
        self._itemsize = stored.itemsize
        n_cards = len(lines) + 3  # CHECKSUM, DATASUM, END
        self._data_start = start + -(-n_cards * 80 // BLOCK) * BLOCK
        self.n_bytes = int(np.prod(shape, dtype=np.int64)) * self._itemsize
        self.end = self._data_start + -(-self.n_bytes // BLOCK) * BLOCK
        self._sum = 0
        self._is_written = np.zeros(shape[:2], dtype=np.bool_)
        self._lock = threading.Lock()

    def write_rows(self, plane: int, y0: int, rows: NDArray[Any]) -> None:
        """Write rows of one plane, each of them once."""
        n_planes, height, width = self.shape
        y1 = y0 + rows.shape[0]
        if not (0 <= plane < n_planes and 0 <= y0 <= y1 <= height and rows.shape[1] == width):
            raise ValueError(f"rows {y0} to {y1} of plane {plane}, {rows.shape[1]} px wide, are not of {self.shape}")
        with self._lock:
            if self._is_written[plane, y0:y1].any():
                raise ValueError(f"rows {y0} to {y1} of plane {plane} were written before")
            self._is_written[plane, y0:y1] = True
        row_bytes = width * self._itemsize
        step = max(1, _PIECE // max(1, row_bytes))
        for y in range(y0, y1, step):
            piece_rows = rows[y - y0 : min(y + step, y1) - y0]
            data = _stored(self._scale.encode(piece_rows) if self._scale else piece_rows).data.cast("B")
            offset = (plane * height + y) * row_bytes
            self._file.write_at(self._data_start + offset, data)
            piece = sum_words(data, offset)
            with self._lock:
                self._sum = add_sums(self._sum, piece)

    def finish(self) -> None:
        """Write the padding and the header with its sums."""
        if not self._is_written.all():
            missing = int(np.count_nonzero(~self._is_written))
            raise ValueError(f"{missing} of {self._is_written.size} rows were never written")
        if self.end > self._data_start + self.n_bytes:
            self._file.write_at(self._data_start + self.n_bytes, bytes(self.end - self._data_start - self.n_bytes))
        blank = self._header("0" * 16)
        total = add_sums(self._sum, sum_words(blank))
        self._file.write_at(self._start, self._header(encode_checksum(total)))

    def _header(self, checksum: str) -> bytes:
        lines = [
            *self._lines,
            *format_card("CHECKSUM", checksum, "header and data"),
            *format_card("DATASUM", str(self._sum), "data"),
        ]
        text = "".join(lines) + "END".ljust(80)
        return text.encode("ascii").ljust(self._data_start - self._start)


def _stored(rows: NDArray[Any]) -> NDArray[Any]:
    """Return rows as they are stored: big-endian, unsigned 16-bit values shifted into the signed range."""
    if rows.dtype == np.uint16:
        return np.ascontiguousarray((rows ^ np.uint16(0x8000)).astype(">u2"))
    return np.ascontiguousarray(rows.astype(">f4"))


def _cards_of(
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    cards: Sequence[CardToWrite],
    name: str | None,
    has_extensions: bool,
    scale: SixteenBits | None = None,
) -> list[str]:
    """Return the header lines of one image without checksums and END."""
    begin: list[CardToWrite] = [("SIMPLE", True, "FITS standard 4.0")]
    if name is not None:
        begin = [("XTENSION", "IMAGE", "image extension")]
    begin += [("BITPIX", 16 if scale or dtype == np.uint16 else -32, "bits per pixel"), ("NAXIS", len(shape), "axes")]
    begin += [(f"NAXIS{k}", length, "") for k, length in enumerate(reversed(shape), start=1)]
    if name is not None:
        begin += [("PCOUNT", 0, ""), ("GCOUNT", 1, ""), ("EXTNAME", name, "")]
    elif has_extensions:
        begin.append(("EXTEND", True, "extensions follow"))
    if scale:
        begin += scale.cards()
    elif dtype == np.uint16:
        begin += [("BZERO", 32768, "unsigned 16-bit"), ("BSCALE", 1, "")]
    for keyword, _, _ in cards:
        if keyword.upper() in _OURS or keyword.upper() in ("CHECKSUM", "DATASUM", "END") or _is_axis(keyword):
            raise ValueError(f"{keyword} is written by the writer itself")
    return format_cards([*begin, *cards])


def _is_axis(keyword: str) -> bool:
    return keyword.upper().startswith("NAXIS") and keyword[5:].isdecimal()


def _checked(shape: tuple[int, ...], dtype: DTypeLike) -> tuple[tuple[int, int, int], np.dtype[Any]]:
    """Return (c, y, x) and the type, or raise ValueError if no such image is written here."""
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.uint16)):
        raise ValueError(f"an image is float32 or uint16, not {kind}")
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise ValueError(f"an image is (y, x) or (c, y, x), not {shape}")
    return (1, shape[0], shape[1]) if len(shape) == 2 else (shape[0], shape[1], shape[2]), kind


class ImageWriter:
    """
    Write an image row by row, so that it never has to be in memory as a whole.

    Parameters
    ----------
    path : Path
        Appears when the `with` block ends well; an existing file is replaced then and not before.
    shape : (y, x) or (c, y, x)
        Planes are last on disk: NAXIS3 counts them.
    dtype : float32 or uint16
        float32 is written as BITPIX -32 without BZERO and BSCALE, uint16 as BITPIX 16 with BZERO 32768.
    cards : sequence of (keyword, value, comment)
        In order. The structure of the file and its checksums are written here and must not be among them. No clock
        is read: DATE is there if the caller gives it.
    extensions : sequence of (name, shape, dtype, cards)
        Further images of the file, written as IMAGE extensions of that EXTNAME.
    scale : SixteenBits or None
        Store the primary image, given as float32, in 16 bits.
    axes : "planes first" or "planes last"
        How a program sees the primary image as an array: (c, y, x), which is the custom of FITS (NAXIS3 counts the
        planes), or (y, x, c) for programs that want it so (NAXIS1 counts them). Cards of coordinates are given for
        planes first and renumbered (`planes_last_cards`).

    Raises
    ------
    NotEnoughDisk, OutputBlocked
        If the system refuses to write; nothing is left behind.
    ValueError
        If a card, the shape or the type cannot be written, a row comes twice, or is missing at the end.

    Notes
    -----
    Rows may come in any order and from several threads; each once. CHECKSUM and DATASUM are summed on the way: the
    ones' complement sum does not depend on the order. Memory: one block of rows and its big-endian copy.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, ...],
        dtype: DTypeLike,
        cards: Sequence[CardToWrite],
        extensions: Sequence[ExtensionLayout] = (),
        *,
        scale: SixteenBits | None = None,
        axes: Literal["planes first", "planes last"] = "planes first",
    ) -> None:
        if scale is not None and np.dtype(dtype) != np.float32:
            raise ValueError(f"values that are stored in 16 bits are given as float32, not {np.dtype(dtype)}")
        self._has_planes_last = axes == "planes last" and len(shape) == 3
        parts: list[tuple[str | None, tuple[int, ...], DTypeLike, Sequence[CardToWrite]]] = [
            (None, shape, dtype, cards),
            *extensions,
        ]
        headed = []
        for name, its_shape, its_dtype, its_cards in parts:
            full, kind = _checked(its_shape, its_dtype)
            is_last = name is None and self._has_planes_last
            on_disk = (full[1], full[2], full[0]) if is_last else its_shape
            its_scale = scale if name is None else None
            its_cards = planes_last_cards(its_cards) if is_last else its_cards
            lines = _cards_of(on_disk, kind, its_cards, name, bool(extensions), its_scale)
            # planes last: a row holds the channels of each pixel side by side
            rows = (1, full[1], full[2] * full[0]) if is_last else full
            headed.append((name, rows, kind, lines, its_scale))
        self._file = AtomicFile(Path(path))
        self._units: dict[str | None, _Unit] = {}
        self._n_planes = shape[0] if len(shape) == 3 else 1
        start = 0
        for name, full, kind, lines, its_scale in headed:
            self._units[name] = _Unit(self._file, start, full, kind, lines, its_scale)
            start = self._units[name].end

    def __enter__(self) -> ImageWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.abandon()

    def write_rows(self, y0: int, block: NDArray[Any], plane: int | None = None, extension: str | None = None) -> None:
        """
        Write the rows from `y0` on.

        Parameters
        ----------
        y0 : int
        block : float32 or uint16 (c, h, x), or (h, x) for one plane
        plane : int or None
            Write one plane only: `block` is (h, x) or (1, h, x). None: all planes, as they must be with planes last.
        extension : str or None
            Name of the extension; None: the primary image.
        """
        unit = self._units[extension]
        if block.dtype != unit.dtype:
            raise ValueError(f"the image is {unit.dtype}, the rows are {block.dtype}")
        planes = block[None] if block.ndim == 2 else block
        if extension is None and self._has_planes_last:
            if plane is not None or len(planes) != self._n_planes:
                raise ValueError(f"the block is {block.shape}, all {self._n_planes} planes are written at once")
            planes = np.moveaxis(planes, 0, -1).reshape(1, planes.shape[1], -1)
        first = 0 if plane is None else plane
        wanted = unit.shape[0] if plane is None else 1
        if planes.ndim != 3 or planes.shape[0] != wanted:
            raise ValueError(f"the block is {block.shape}, {wanted} planes were expected")
        for k in range(wanted):
            unit.write_rows(first + k, y0, planes[k])

    def close(self) -> None:
        """Complete the file and let it appear under its name."""
        try:
            for unit in self._units.values():
                unit.finish()
        except BaseException:
            self._file.abandon()
            raise
        self._file.commit()


def write_image(
    path: Path,
    pixels: NDArray[Any],
    cards: Sequence[CardToWrite],
    extensions: Sequence[Extension] = (),
) -> None:
    """
    Write an image, and further ones as extensions, as one FITS file.

    Parameters
    ----------
    path : Path
        Replaced as a whole, at the end.
    pixels : float32 or uint16 (y, x) or (c, y, x)
    cards : sequence of (keyword, value, comment)
    extensions : sequence of (name, array, cards)
        Written as IMAGE extensions of that EXTNAME.

    Raises
    ------
    NotEnoughDisk, OutputBlocked, ValueError
        As `ImageWriter`.
    """
    layout = [(name, array.shape, array.dtype, its_cards) for name, array, its_cards in extensions]
    with ImageWriter(path, pixels.shape, pixels.dtype, cards, layout) as writer:
        for name, array in [(None, pixels), *((name, array) for name, array, _ in extensions)]:
            writer.write_rows(0, array, extension=name)
