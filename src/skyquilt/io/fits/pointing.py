"""Where the header says the telescope looked."""

from __future__ import annotations

import math
import re

from skyquilt.core.frame import Pointing
from skyquilt.io.fits.header import Header, read_number

__all__ = ["read_angle", "read_pointing", "read_pointings", "read_scale"]

_SCALE_WORDS = ("PIXSCALE", "SECPIX", "SCALE", "IM_SCALE", "PIXSCAL1")
_SEXAGESIMAL = re.compile(r"([+-]?)\s*(\d{1,3})[\s:hd]+(\d{1,2})(?:[\s:m']+(\d{1,2}(?:[.,]\d*)?)\s*[s\"]?)?$")


def read_angle(text: str) -> float | None:
    """Return the angle of ``12 34 56.7``, ``-12:34:56`` or ``12h34m`` in its leading unit (hours, degrees), or None."""
    parts = _SEXAGESIMAL.match(text.strip())
    if parts is None:
        return None
    minutes = float(parts[3])
    seconds = float(parts[4].replace(",", ".")) if parts[4] else 0.0
    if minutes >= 60.0 or seconds > 60.0:
        return None
    value = float(parts[2]) + minutes / 60.0 + seconds / 3600.0
    return -value if parts[1] == "-" else value


def read_pointing(header: Header, device: str | None, notes: list[str]) -> Pointing | None:
    """
    Return the direction of the header in degrees, or None.

    RA and DEC first (a number is degrees, except where DWARF II writes hours; text is hours and degrees), then
    OBJCTRA and OBJCTDEC, then the reference point of a WCS. Seestar's are of date, others J2000 unless EQUINOX says
    another year of ours. Exactly (0, 0) is what programs write who do not know.
    """
    read = _from_numbers(header, "RA", "DEC") or _from_numbers(header, "OBJCTRA", "OBJCTDEC")
    of_date = device == "seestar" and read is not None
    if read == (0.0, 0.0):
        notes.append("RA and DEC are both 0: taken as not known")
        read, of_date = None, False
    if read is None:
        read = _from_wcs(header)
    if read is None:
        return None
    ra, dec = read
    if not (-360.0 <= ra <= 360.0 and -90.0 <= dec <= 90.0):
        notes.append(f"RA {ra:g} and DEC {dec:g} are no place on the sky")
        return None
    return Pointing(ra % 360.0, dec, "date" if of_date or _is_of_date(header) else "J2000")


def read_pointings(header: Header, device: str | None) -> list[Pointing]:
    """
    Return every direction that the header gives, the most trusted first: they may disagree.

    The same readings as `read_pointing`, but a pair of cards does not hide the next.
    """
    found: list[Pointing] = []
    for read, is_wcs in (
        (_from_numbers(header, "RA", "DEC"), False),
        (_from_numbers(header, "OBJCTRA", "OBJCTDEC"), False),
        (_from_wcs(header), True),
    ):
        if read is None or read == (0.0, 0.0) or not (-360.0 <= read[0] <= 360.0 and -90.0 <= read[1] <= 90.0):
            continue
        is_of_date = (device == "seestar" and not is_wcs) or _is_of_date(header)
        pointing = Pointing(read[0] % 360.0, read[1], "date" if is_of_date else "J2000")
        if pointing not in found:
            found.append(pointing)
    return found


def read_scale(header: Header) -> float | None:
    """Return the pixel scale, arcsec/px, that the header states or that its WCS matrix implies, or None."""
    for word in _SCALE_WORDS:
        scale = header.number(word)
        if scale is not None and 0.01 < scale < 1000.0:
            return scale
    if _from_wcs(header) is None:
        return None
    cd = [header.number(word) for word in ("CD1_1", "CD1_2", "CD2_1", "CD2_2")]
    steps = (1.0, 1.0)
    if all(value is None for value in cd):
        given = (header.number("CDELT1"), header.number("CDELT2"))
        if given[0] is None or given[1] is None:
            return None
        steps = (given[0], given[1])
        cd = [header.number(word) for word in ("PC1_1", "PC1_2", "PC2_1", "PC2_2")]
        if all(value is None for value in cd):
            cd = [1.0, 0.0, 0.0, 1.0]
    a, b, c, d = (value or 0.0 for value in cd)
    scale = 3600.0 * math.sqrt(abs((a * d - b * c) * steps[0] * steps[1]))
    return scale if 0.01 < scale < 1000.0 else None


def _from_numbers(header: Header, ra_word: str, dec_word: str) -> tuple[float, float] | None:
    """Return (RA, DEC) in degrees from a pair of cards, or None."""
    ra, dec = header.get(ra_word), header.get(dec_word)
    if ra is None or dec is None or isinstance(ra, bool) or isinstance(dec, bool):
        return None
    dec_deg = (read_angle(dec) if read_number(dec) is None else read_number(dec)) if isinstance(dec, str) else dec
    if isinstance(ra, str) and read_number(ra) is None:
        hours = read_angle(ra)
        ra_deg = None if hours is None else hours * 15.0
    else:
        number = header.number(ra_word)
        ra_deg = None if number is None else number * (15.0 if _is_in_hours(header, ra_word) else 1.0)
    if ra_deg is None or dec_deg is None or not math.isfinite(dec_deg):
        return None
    return ra_deg, float(dec_deg)


def _is_in_hours(header: Header, ra_word: str) -> bool:
    """Return whether a plain number is hours: DWARF II says so in the comment, ``[h]``; OBJCTRA always is."""
    if ra_word == "OBJCTRA":
        return True
    card = header.card(ra_word)
    if card is not None and card.comment.lower().startswith(("[h]", "[hour")):
        return True
    return header.text("TELESCOP") == "DWARFII"


def _from_wcs(header: Header) -> tuple[float, float] | None:
    """Return the WCS reference point in degrees if the axes are RA and DEC, or None."""
    if not (header.text("CTYPE1") or "").startswith("RA--") or not (header.text("CTYPE2") or "").startswith("DEC-"):
        return None
    ra, dec = header.number("CRVAL1"), header.number("CRVAL2")
    return None if ra is None or dec is None or (ra == 0.0 and dec == 0.0) else (ra, dec)


def _is_of_date(header: Header) -> bool:
    """Return whether EQUINOX names a year of digital cameras other than 2000 (Siril's 9.9E+107 names none)."""
    if (header.text("EQUINOX") or "").upper() in ("JNOW", "DATE", "NOW"):
        return True
    year = header.number("EQUINOX")
    return year is not None and 1990.0 < year < 2100.0 and abs(year - 2000.0) > 0.5
