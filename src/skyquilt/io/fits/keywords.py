"""The header dialects of devices and capture programs, turned into our words and units."""

from __future__ import annotations

from skyquilt.core.cfa import CFA_NAMES, Cfa
from skyquilt.core.frame import FrameKind, FrameMeta
from skyquilt.io.fits.dates import read_date_obs
from skyquilt.io.fits.header import Header
from skyquilt.io.fits.kinds import read_kind, read_n_stacked
from skyquilt.io.fits.layout import ImageLayout
from skyquilt.io.fits.pointing import read_pointing

__all__ = ["frame_meta", "read_cfa"]

_ZERO_C_IN_K = 273.15
_CFA_WORDS = ("BAYERPAT", "CFAIMAGE", "COLORTYP", "BAYRPAT", "CFA-PAT", "CFA_PAT")
_NO_CFA = frozenset(
    {"NONE", "NO", "INVALID", "MONO", "FALSE", "N/A", "RAW8", "RAW16", "MONO8", "MONO16", "RGB24", "Y8"}
)
_TEMPERATURES = ("CCD-TEMP", "DET-TEMP", "CCDTEMP", "SENSTEMP", "TEMPERAT", "CAMTEMP", "SET-TEMP")


def frame_meta(layout: ImageLayout) -> FrameMeta:
    """
    Return what the header of an image says, in our words and units.

    Absence is None, never 0; what is odd becomes a note, never an error: a frame with a damaged card is still a frame.
    `saturation_adu` is the largest value that the stored type can hold, or the header's SATURATE where that is less;
    floats without SATURATE have none (infinity): DATAMAX is the brightest pixel of the moment, not a limit.
    `device` is "seestar", "dwarf" or None, as in `Session`; `camera` is DWARF's TELE or WIDE as written.
    """
    header = layout.header
    notes = list(layout.notes)
    device = _device(header)
    n_stacked = read_n_stacked(header)
    kind = read_kind(header, n_stacked)
    binning = _binning(header)
    focal = _positive(header, "FOCALLEN")
    is_cube = layout.n_planes > 1
    equatorial = header.integer("EQMODE")
    return FrameMeta(
        width=layout.width,
        height=layout.height,
        n_planes=layout.n_planes,
        bits=layout.bitpix,
        saturation_adu=_saturation(layout),
        kind=kind,
        exposure_s=_exposure(header, n_stacked, notes),
        gain=_first(header, ("GAIN", "ISOSPEED", "ISO")),
        offset=_first(header, ("OFFSET", "BLKLEVEL")),
        gain_e_per_adu=_positive(header, "EGAIN"),
        temperature_c=_temperature(header),
        filter=_word(header, "FILTER", "FILT-1", "FILTER1"),
        cfa=None if is_cube else read_cfa(header, layout.height, notes),
        row_order=_row_order(header, notes),
        binning=binning,
        pixel_um=_pixel(header, binning, notes),
        focal_mm=focal,
        aperture_mm=_aperture(header, device, focal),
        pointing=read_pointing(header, device, notes),
        date_obs=read_date_obs(header, notes),
        object_name=_word(header, "OBJECT"),
        telescope=_word(header, "TELESCOP", "TELNAME"),
        instrument=_word(header, "INSTRUME") or (None if device == "dwarf" else _word(header, "CAMERA")),
        software=_software(header, device),
        device=device,
        camera=_word(header, "CAMERA") if device == "dwarf" else None,
        is_equatorial=None if equatorial is None else equatorial != 0,
        n_stacked=n_stacked if n_stacked > 1 or kind is FrameKind.STACK else 1,
        notes=tuple(notes),
    )


def read_cfa(header: Header, height: int, notes: list[str]) -> Cfa | None:
    """
    Return the colour filter array of the rows as they are stored, or None.

    XBAYROFF and YBAYROFF shift the pattern; with ROWORDER ``BOTTOM-UP`` the pattern describes the picture, whose top
    row is stored last. Without ROWORDER the rows are taken as top-down, as Siril does.
    """
    cfa = None
    for keyword in _CFA_WORDS:
        written = header.text(keyword)
        if written is None:
            continue
        name = written.upper()
        if name in CFA_NAMES:
            cfa = Cfa(name)
            break
        if name not in _NO_CFA or keyword == "BAYERPAT":
            notes.append(f"{keyword} is no Bayer pattern and is ignored: {written[:20]!r}")
    if cfa is None:
        return None
    shift = [0, 0]
    for axis, keyword in enumerate(("XBAYROFF", "YBAYROFF")):
        if keyword in header:
            offset = header.integer(keyword)
            if offset is None:
                notes.append(f"{keyword} is no whole number and is ignored: {str(header.get(keyword))[:20]!r}")
            shift[axis] = offset or 0
    if shift[0] % 2 or shift[1] % 2:
        cfa = cfa.shifted(shift[0], shift[1])
    return cfa.flipped_vertically(height) if _is_bottom_up(header) else cfa


def _row_order(header: Header, notes: list[str]) -> str | None:
    """Return TOP-DOWN or BOTTOM-UP, or None where the header says neither."""
    written = header.text("ROWORDER")
    if written is None:
        return None
    order = written.upper().replace("_", "-").replace(" ", "-")
    if order not in ("TOP-DOWN", "BOTTOM-UP"):
        notes.append(f"ROWORDER is neither TOP-DOWN nor BOTTOM-UP and is ignored: {written[:20]!r}")
        return None
    return order


def _is_bottom_up(header: Header) -> bool:
    """Return whether the header says that the first stored row is the lowest of the picture."""
    return _row_order(header, []) == "BOTTOM-UP"


def _device(header: Header) -> str | None:
    """Return the family of the telescope that wrote the header, or None."""
    creator = (header.text("CREATOR") or "").lower()
    telescope = (header.text("TELESCOP") or "").lower()
    instrument = (header.text("INSTRUME") or "").lower()
    if "seestar" in creator or "seestar" in telescope or "seestar" in instrument:
        return "seestar"
    if telescope.startswith(("s50_", "s30_", "s30 pro_", "s30pro_")):
        return "seestar"
    makers = (telescope, instrument, (header.text("ORIGIN") or "").lower())
    if any(maker.startswith("dwarf") for maker in makers) or telescope == "draco":
        return "dwarf"
    return None


def _exposure(header: Header, n_stacked: int, notes: list[str]) -> float | None:
    """
    Return the exposure of one sub in seconds.

    EXPTIME before EXPOSURE before EXP (DWARF II) before EXPOINUS (microseconds). Where EXPTIME is the total of a
    stack and EXPOSURE that of a frame (ASIDeepStack), EXPOSURE counts.
    """
    total, each = _seconds(header, "EXPTIME", notes), _seconds(header, "EXPOSURE", notes)
    if total is not None and each is not None and total > each > 0.0:
        by_program = any("asideepstack" in (header.text(word) or "").lower().replace(" ", "") for word in _PROGRAMS)
        if by_program or (n_stacked > 1 and abs(total - n_stacked * each) <= 0.01 * total):
            return each
    if total is not None or each is not None:
        return each if total is None else total
    short = _seconds(header, "EXP", notes)
    if short is not None:
        return short
    microseconds = header.number("EXPOINUS")
    return None if microseconds is None or microseconds < 0.0 else microseconds / 1e6


_PROGRAMS = ("PROGRAM", "SWCREATE", "CREATOR", "SOFTWARE")


def _seconds(header: Header, keyword: str, notes: list[str]) -> float | None:
    """Return a time in seconds that can be one, with a note where it was written oddly."""
    written = header.get(keyword)
    if written is None:
        return None
    seconds = header.number(keyword)
    if isinstance(written, str) and seconds is not None and "," in written:
        notes.append(f"{keyword} is written with a decimal comma: {written!r}")
    if seconds is None or seconds < 0.0:
        notes.append(f"{keyword} is no time and is ignored: {str(written)[:20]!r}")
        return None
    return seconds


def _temperature(header: Header) -> float | None:
    """Return the sensor's temperature in Celsius; Kelvin is known by its comment, a sentinel by being below zero K."""
    for keyword in _TEMPERATURES:
        value = header.number(keyword)
        if value is None:
            continue
        card = header.card(keyword)
        if card is not None and "kelvin" in card.comment.lower():
            if value <= 0.0:
                continue
            return round(value - _ZERO_C_IN_K, 3)
        if -_ZERO_C_IN_K < value < 1000.0:
            return value
    return None


def _binning(header: Header) -> tuple[int, int]:
    """Return (x, y) binning; 1 where nothing is said. BINNING is ``2*2``, ``2x2`` or ``2``."""
    x = header.integer("XBINNING") or header.integer("CCDXBIN")
    y = header.integer("YBINNING") or header.integer("CCDYBIN")
    if x is None and y is None:
        parts = (header.text("BINNING") or "").lower().replace("*", "x").split("x")
        if all(part.strip().isdecimal() and len(part) < 4 for part in parts):
            x, y = int(parts[0]), int(parts[-1])
    x = x if x is not None and 1 <= x <= 64 else 1
    y = y if y is not None and 1 <= y <= 64 else x
    return x, y


def _pixel(header: Header, binning: tuple[int, int], notes: list[str]) -> float | None:
    """Return the side of a stored pixel in micrometres, binning included as XPIXSZ does by convention."""
    pixel = _positive(header, "XPIXSZ")
    if pixel is None:
        side = _positive(header, "PIXSIZE1")
        return None if side is None else side * binning[0]
    if binning[0] > 1 and (header.text("CREATOR") or "").startswith("Jocular"):
        notes.append(f"XPIXSZ is taken as the unbinned {pixel:g} um, as Jocular writes it")
        return pixel * binning[0]
    return pixel


def _aperture(header: Header, device: str | None, focal: float | None) -> float | None:
    """Return the aperture in millimetres: APTDIA, or the focal length over the focal ratio."""
    diameter = _positive(header, "APTDIA")
    if diameter is not None or focal is None:
        return diameter
    ratio = _positive(header, "FOCRATIO")
    if ratio is None and device == "seestar":
        ratio = _positive(header, "APERTURE")  # Seestar writes 5. there and means f/5
    return None if ratio is None else focal / ratio


def _software(header: Header, device: str | None) -> str | None:
    """Return the program or the firmware that wrote the file."""
    if device == "seestar" and "PROGRAM" in header and header.number("PROGRAM") is not None:
        return f"Seestar {header.text('PROGRAM')}"
    if device == "dwarf":
        firmware = header.text("FIRMWARE")
        return None if firmware is None else f"DWARF {firmware}"
    name = _word(header, "SWCREATE", "SOFTWARE", "PROGRAM", "CREATOR")
    version = header.text("VERSION") if "SOFTWARE" in header else None
    return name if name is None or version is None or "SWCREATE" in header else f"{name} {version}"


def _saturation(layout: ImageLayout) -> float:
    """Return the largest value that a pixel can take, ADU."""
    named = _positive(layout.header, "SATURATE") or _positive(layout.header, "SATLEVEL")
    if layout.bitpix < 0:
        return named if named is not None else float("inf")
    stored = 255 if layout.bitpix == 8 else 2 ** (layout.bitpix - 1) - 1
    lowest = 0 if layout.bitpix == 8 else -(2 ** (layout.bitpix - 1))
    top = layout.zero + layout.scale * (stored if layout.scale > 0.0 else lowest)
    return min(named, top) if named is not None else top


def _first(header: Header, keywords: tuple[str, ...]) -> float | None:
    """Return the first of the cards that is a number, or None."""
    for keyword in keywords:
        value = header.number(keyword)
        if value is not None:
            return value
    return None


def _positive(header: Header, keyword: str) -> float | None:
    """Return a number above 0, or None: programs write 0 for what they do not know."""
    value = header.number(keyword)
    return value if value is not None and value > 0.0 else None


def _word(header: Header, *keywords: str) -> str | None:
    """Return the first of the cards that holds text, as written, or None."""
    for keyword in keywords:
        written = header.text(keyword)
        if written is not None:
            return written
    return None
