"""The start of the exposure, out of the many ways to write a date."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from skyquilt.io.fits.header import Header

__all__ = ["read_date_obs"]

_OLD = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2}|\d{4})$")
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d*)?)?$")
_MJD_EPOCH = datetime(1858, 11, 17)
_ABSENT = frozenset({"", "N/A", "NA", "NONE", "NULL", "UNKNOWN", "-"})


def read_date_obs(header: Header, notes: list[str]) -> str | None:
    """
    Return the UTC start of the exposure in ISO 8601 without zone, or None.

    Known: ISO with any number of decimals, with a zone suffix (brought to UTC), with a blank for the T, a date whose
    time stands in a card of its own, ``29/11/51`` (the years of 1900, by the standard of old), 2MASS ``990502``;
    MJD-OBS and JD where no date can be read. What cannot be read leaves a note.
    """
    written = header.text("DATE-OBS") or header.text("DATE-BEG") or header.text("DATE-STA")
    if written is not None and written.upper() not in _ABSENT:
        moment = _read(written, header)
        if moment is not None:
            return moment.isoformat()
        notes.append(f"DATE-OBS cannot be read as a date: {written[:30]!r}")
    elif written is not None:
        notes.append(f"DATE-OBS gives no date: {written!r}")
    moment = _from_2mass(header) or _from_day_number(header)
    return moment.isoformat() if moment is not None else None


def _read(written: str, header: Header) -> datetime | None:
    """Return the moment that DATE-OBS spells, with the time from another card where it gives only the day."""
    old = _OLD.match(written)
    if old:
        year = int(old[3]) + (1900 if len(old[3]) == 2 else 0)
        written = f"{year:04d}-{int(old[2]):02d}-{int(old[1]):02d}"
    if len(written) <= 10:
        written = f"{written}T{_clock(header)}"
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return None
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:
            return None
    return moment


def _clock(header: Header) -> str:
    """Return the time of day from the card that has it; midnight where none has."""
    for keyword in ("TIME-OBS", "TIME-BEG", "UT", "UTC", "UTSTART", "UT-START"):
        written = header.text(keyword)
        if written is not None and _CLOCK.match(written):
            clock = written if written.index(":") == 2 else f"0{written}"
            return clock.rstrip(".")
    return "00:00:00"


def _from_2mass(header: Header) -> datetime | None:
    """Return the moment of a 2MASS image: UT_DATE as yymmdd, UT as a clock."""
    day, clock = header.text("UT_DATE"), header.text("UT")
    if day is None or clock is None or not re.fullmatch(r"\d{6}", day):
        return None
    century = "19" if day[0] == "9" else "20"
    try:
        return datetime.fromisoformat(f"{century}{day[:2]}-{day[2:4]}-{day[4:]}T{clock}")
    except ValueError:
        return None


def _from_day_number(header: Header) -> datetime | None:
    """Return the moment of MJD-OBS or JD, or None; a day number before 1900 is a blank, not a date."""
    day = header.number("MJD-OBS")
    if day is None:
        julian = header.number("JD")
        day = None if julian is None else julian - 2_400_000.5
    if day is None or not 15_020.0 <= day <= 150_000.0:
        return None
    return _MJD_EPOCH + timedelta(milliseconds=round(day * 86_400_000.0))
