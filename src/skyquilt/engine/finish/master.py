"""Opening what is to be finished: a master or a picture, in FITS, XISF, TIFF or PNG."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skyquilt.core import F32, Box, Wcs
from skyquilt.engine.cache import file_sha256
from skyquilt.engine.headers import Card
from skyquilt.engine.solving import julian_year
from skyquilt.errors import BadInput, NotRegistered, NoUsableInput, UnreadableFrame, UsageError
from skyquilt.io.fits import Header, frame_source, open_frame, read_header, read_wcs
from skyquilt.io.images import read_image, read_xisf

__all__ = ["Master", "cards_for", "master_of", "open_master"]

_BAND_ROWS = 256
_VARIANCE_HDU = 1  # of the maps that a stack or a mosaic writes
_OF_THE_FILE = re.compile(
    r"(SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|PCOUNT|GCOUNT|EXTNAME|BZERO|BSCALE|BLANK|CHECKSUM|DATASUM|DATAMIN|DATAMAX"
    r"|SCALEZER|SCALESTP|END|ZIMAGE|Z(TENSION|BITPIX|NAXIS\d*|PCOUNT|GCOUNT|CMPTYPE|TILE\d|NAME\d|VAL\d|QUANTIZ|DITHER0"
    r"|HECKSUM|DATASUM)|)$"
)
_OF_THE_SKY = re.compile(
    r"(WCSAXES|WCSNAME|(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)[123]|(CD|PC)[123]_[123]|(A|B|AP|BP)_(ORDER|DMAX|\d_\d)"
    r"|LONPOLE|LATPOLE|RADESYS|RADECSYS|EQUINOX|EPOCH|PLTSOLVD|RA|DEC|OBJCTRA|OBJCTDEC)$"
)
_SCALE_OF_UNIT = re.compile(r"adu\s*/\s*([0-9.]+)")


@dataclass(frozen=True, slots=True, eq=False)
class Master:
    """
    An image to be finished; the file is only read.

    Attributes
    ----------
    path : Path
    shape : (c, y, x)
    bands : callable
        Yields (first row, float32 (c, rows, x)) from top to bottom, NaN where there is no data.
    cards : tuple of (keyword, value, comment)
        Those that an image made of it keeps; without coordinates.
    wcs : Wcs or None
    epoch_year : float or None
    full_scale : float
        Level at which the sensor was full, in the unit of the pixels.
    is_picture : bool
        Whether it is stretched already.
    is_bottom_up : bool
        Whether the first row stored is the lowest of the picture.
    coverage : callable
        Returns the exposure on each pixel, float32 (y, x), or None: from the maps beside the master.
    variance : callable
        ``(shape)`` -> what reads the variance of a box, float32 (c, y, x), of an image of that shape; or None: from the
        same maps, whose shape it must be (a reduced image has another noise).
    """

    path: Path
    shape: tuple[int, int, int]
    bands: Callable[[], Iterator[tuple[int, F32]]]
    cards: tuple[Card, ...]
    wcs: Wcs | None
    epoch_year: float | None
    full_scale: float
    is_picture: bool
    is_bottom_up: bool
    coverage: Callable[[], F32 | None]
    variance: Callable[[tuple[int, int, int]], Callable[[Box], F32] | None]

    def sha256(self) -> str:
        """Return the digest of the file as it is now."""
        return file_sha256(self.path)

    def pixels(self) -> F32:
        """Return the whole image, float32 (c, y, x)."""
        out = np.empty(self.shape, dtype=np.float32)
        for y0, rows in self.bands():
            out[:, y0 : y0 + rows.shape[1]] = rows
        return out


def open_master(path: Path) -> Master:
    """
    Return the image in a file, its pixels not yet read.

    Raises
    ------
    NoUsableInput
        If there is no file of that name.
    UnreadableFrame
        If it cannot be read.
    UsageError
        If it is a folder, or still a mosaic of a colour filter array.
    """
    path = Path(path)
    if path.is_dir():
        raise UsageError(
            f"{path} is a folder, a master is expected", f"give the file, such as {path}/master_linear.fits"
        )
    if not path.exists():
        raise NoUsableInput(f"there is no file {path}", "check the path; quote it if it contains blanks")
    kind = path.suffix.lower()
    if kind == ".xisf":
        return _xisf_master(path)
    if kind in (".tif", ".tiff", ".png", ".jpg", ".jpeg"):
        return _picture_master(path)
    return _fits_master(path)


def _fits_master(path: Path) -> Master:
    frame = open_frame(path)
    meta = frame.meta
    if meta.cfa is not None:
        raise UsageError(
            f"{path.name} is the mosaic of a colour filter array, not yet an image in colours",
            "stack it with --debayer auto, or give its master",
        )
    source = frame_source(frame)
    header = read_header(path)

    def bands() -> Iterator[tuple[int, F32]]:
        for y0 in range(0, meta.height, _BAND_ROWS):
            box = Box(0, y0, meta.width, min(y0 + _BAND_ROWS, meta.height))
            pixels = np.empty((source.n_channels, *box.shape), dtype=np.float32)
            if not source.read_into(box, pixels):
                pixels[:, ~source.read(box).mask] = np.nan
            yield y0, pixels

    return Master(
        path=path,
        shape=(meta.n_planes, meta.height, meta.width),
        bands=bands,
        cards=_kept(header),
        wcs=_wcs_of(path),
        epoch_year=julian_year(meta.date_obs),
        full_scale=_full_scale(header, meta.bits, meta.saturation_adu),
        is_picture=header.text("BUNIT") == "stretched",
        is_bottom_up=meta.row_order == "BOTTOM-UP",
        coverage=lambda: _coverage(path, (meta.height, meta.width)),
        variance=lambda shape: _variance(path, shape),
    )


def _kept(header: Header) -> tuple[Card, ...]:
    return tuple(
        card for card in header.cards if not _OF_THE_FILE.match(card.keyword) and not _OF_THE_SKY.match(card.keyword)
    )


def _wcs_of(path: Path) -> Wcs | None:
    try:
        return read_wcs(path)
    except (NotRegistered, BadInput):
        return None


def _full_scale(header: Header, bits: int, saturation: float) -> float:
    found = _SCALE_OF_UNIT.match((header.text("BUNIT") or "").lower())
    if found:
        return 65535.0 / float(found[1])
    if bits > 0:
        return saturation
    return saturation if saturation > 1.0 else 65535.0 if (header.text("BUNIT") or "").lower() == "adu" else 1.0


def _maps_of(path: Path) -> Path | None:
    maps = path.with_name(path.name.replace("linear", "maps"))
    return maps if maps != path and maps.is_file() else None


def _variance(path: Path, shape: tuple[int, int, int]) -> Callable[[Box], F32] | None:
    """Return what reads the map of the variance beside a master, or None."""
    maps = _maps_of(path)
    if maps is None:
        return None
    try:
        frame = open_frame(maps, _VARIANCE_HDU)
        header = read_header(maps, _VARIANCE_HDU)
    except (UnreadableFrame, IndexError):
        return None
    if header.text("EXTNAME") != "VARIANCE" or (frame.meta.n_planes, frame.meta.height, frame.meta.width) != shape:
        return None
    source = frame_source(frame)
    return lambda box: source.read(box).pixels


def _coverage(path: Path, shape: tuple[int, int]) -> F32 | None:
    """Return the map of exposure of the maps beside a master, or None."""
    maps = _maps_of(path)
    if maps is None:
        return None
    try:
        frame = open_frame(maps)
        if (frame.meta.height, frame.meta.width) != shape or frame.meta.n_planes != 1:
            return None
        source = frame_source(frame)
        plane: F32 = source.read(source.bounds).pixels[0]
        return plane
    except UnreadableFrame:
        return None


def _xisf_master(path: Path) -> Master:
    image = read_xisf(path)
    lines = [f"{name:<8.8}= {value} / {comment}"[:80] for name, value, comment in image.cards if value]
    header = Header(lines)
    wcs = None
    if header.text("CTYPE1") and header.text("CTYPE2"):
        try:
            wcs = Wcs.from_header(header)
        except BadInput:
            wcs = None
    full_scale = _full_scale(header, -32, 1.0)
    return _of_array(
        path,
        image.pixels,
        cards=_kept(header),
        wcs=wcs,
        epoch_year=julian_year(header.text("DATE-OBS")),
        full_scale=full_scale,
        is_picture=header.text("BUNIT") == "stretched",
    )


def _picture_master(path: Path) -> Master:
    stored = read_image(path)
    planes = stored[None] if stored.ndim == 2 else np.moveaxis(stored, -1, 0)
    planes = planes[:3] if len(planes) >= 3 else planes[:1]
    is_picture = stored.dtype.kind != "f"
    scale = np.float32(1.0 / np.iinfo(stored.dtype).max) if is_picture else np.float32(1.0)
    pixels = np.ascontiguousarray(planes, dtype=np.float32) * scale
    return _of_array(path, pixels, cards=(), wcs=None, epoch_year=None, full_scale=1.0, is_picture=is_picture)


def master_of(pixels: F32, *, name: str, wcs: Wcs | None, is_picture: bool) -> Master:
    """
    Return pixels in memory as a master; there is no file behind it.

    Where the sensor was full is not known of them: their highest value stands for it.
    """
    highest = float(np.max(pixels, initial=0.0, where=np.isfinite(pixels)))
    return _of_array(
        Path(name), pixels, cards=(), wcs=wcs, epoch_year=None, full_scale=highest or 1.0, is_picture=is_picture
    )


def _of_array(
    path: Path,
    pixels: F32,
    *,
    cards: tuple[Card, ...],
    wcs: Wcs | None,
    epoch_year: float | None,
    full_scale: float,
    is_picture: bool,
) -> Master:
    channels, height, width = pixels.shape

    def bands() -> Iterator[tuple[int, F32]]:
        yield 0, pixels

    return Master(
        path=path,
        shape=(channels, height, width),
        bands=bands,
        cards=cards,
        wcs=wcs,
        epoch_year=epoch_year,
        full_scale=full_scale,
        is_picture=is_picture,
        is_bottom_up=False,
        coverage=lambda: None,
        variance=lambda shape: None,
    )


def cards_for(master: Master, box: Box, *, is_picture: bool, history: tuple[str, ...]) -> list[Card]:
    """Return the cards of an image made of a box of the master."""
    from skyquilt.core import SkyGrid
    from skyquilt.engine.headers import history_lines

    cards = [tuple(card) for card in master.cards if not (is_picture and card[0] == "BUNIT")]
    if is_picture:
        cards.append(("BUNIT", "stretched", "a picture of 0 to 1"))
    if master.wcs is not None:
        cards += SkyGrid(master.wcs.shifted(box.x0, box.y0), box.width, box.height).cards()
    return [*cards, *history_lines(history)]  # type: ignore[list-item]  # a Card of the reader is such a tuple
