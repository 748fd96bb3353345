"""
A catalogue of the user's: CSV with a line of column names, or the first table of a FITS file.

Columns, in any order, upper or lower case; others are passed over:

=============  ==========================================================================================
`ra_deg`       right ascension, ICRS, degrees
`dec_deg`      declination, ICRS, degrees
`mag`          visual magnitude: VT, or one near it (V, Gaia G)
`pmra_mas`     optional: proper motion in RA times cos(dec), mas a year; empty counts as 0
`pmdec_mas`    optional: proper motion in declination, mas a year; empty counts as 0
`bt_mag`       optional: Tycho BT; empty where not known
`epoch_year`   optional: Julian year of the position (Gaia DR3: 2016.0); 2000 where the column is absent
=============  ==========================================================================================
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from skyquilt.core import F64
from skyquilt.core.sky import move
from skyquilt.errors import BadInput
from skyquilt.io.catalogue.packed import PackedSky
from skyquilt.io.catalogue.packing import FASTEST_MAS, StarTable, pack_columns

__all__ = ["read_user_catalogue"]

_NEEDED = ("ra_deg", "dec_deg", "mag")
_OPTIONAL = ("pmra_mas", "pmdec_mas", "bt_mag", "epoch_year")
_HINT = "columns: ra_deg, dec_deg, mag [, pmra_mas, pmdec_mas, bt_mag, epoch_year]"
_RANGES = {
    "ra_deg": (-360.0, 360.0),
    "dec_deg": (-90.0, 90.0),
    "mag": (-20.0, 32.0),
    "bt_mag": (-20.0, 32.0),
    "pmra_mas": (-FASTEST_MAS, FASTEST_MAS),
    "pmdec_mas": (-FASTEST_MAS, FASTEST_MAS),
    "epoch_year": (1850.0, 2150.0),
}


def read_user_catalogue(path: Path) -> PackedSky:
    """
    Return the stars of a user's file, packed in memory.

    Raises
    ------
    BadInput
        If the file is neither CSV nor FITS, lacks a column, or a value cannot be meant; the sentence names the row.
    """
    columns = _read_fits(path) if _is_fits(path) else _read_csv(path)
    n_stars = len(columns["ra_deg"])
    if not n_stars:
        raise BadInput(f"{path.name} lists no stars", _HINT)
    for name, column in columns.items():
        _check_range(path, name, column)
    zeros = np.zeros(n_stars)
    pmra, pmdec = (np.nan_to_num(columns.get(name, zeros)) for name in ("pmra_mas", "pmdec_mas"))
    ra, dec = columns["ra_deg"], columns["dec_deg"]
    if "epoch_year" in columns:
        epoch = np.where(np.isnan(columns["epoch_year"]), 2000.0, columns["epoch_year"])
        years = 2000.0 - epoch
        ra, dec = move(ra, dec, pmra * years, pmdec * years, 1.0)
    blue = columns.get("bt_mag", np.full(n_stars, np.nan))
    table = StarTable(ra, dec, pmra, pmdec, columns["mag"], blue)
    return PackedSky.of(pack_columns(table), source=path.name, licence="the user's own file")


def _is_fits(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(9)
    return start == b"SIMPLE  =" or start[:2] == b"\x1f\x8b"


def _read_fits(path: Path) -> dict[str, F64]:
    """Return the known columns of the first table of a FITS file."""
    from astropy.io import fits

    try:
        with fits.open(path, memmap=False) as hdus:
            table = next((hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU | fits.TableHDU)), None)
            if table is None or table.data is None:
                raise BadInput(f"{path.name} has no table of stars", _HINT)
            names = {name.strip().lower(): name for name in table.columns.names}
            _check_names(path, list(names))
            known = [name for name in (*_NEEDED, *_OPTIONAL) if name in names]
            return {name: np.array(table.data[names[name]], dtype=np.float64) for name in known}
    except (OSError, ValueError, TypeError) as error:
        raise BadInput(f"{path.name} cannot be read as a FITS table: {error}", _HINT) from None


def _read_csv(path: Path) -> dict[str, F64]:
    """Return the known columns of a CSV file; commas, semicolons and tabs part the columns."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            delimiter = max(",;\t", key=first.count)
            names = [name.strip().lower() for name in next(csv.reader([first], delimiter=delimiter), [])]
            _check_names(path, names)
            known = {name: names.index(name) for name in (*_NEEDED, *_OPTIONAL) if name in names}
            rows: list[list[float]] = []
            for row in csv.reader(file, delimiter=delimiter):
                if row and not row[0].lstrip().startswith("#"):
                    rows.append(_numbers_of(path, row, known, len(rows) + 1))
    except UnicodeDecodeError:
        raise BadInput(f"{path.name} is neither CSV text nor FITS", _HINT) from None
    except (OSError, csv.Error) as error:
        raise BadInput(f"{path.name} cannot be read as a catalogue: {error}", _HINT) from None
    values = np.array(rows, dtype=np.float64).reshape(len(rows), len(known))
    return {name: values[:, at].copy() for at, name in enumerate(known)}


def _numbers_of(path: Path, row: list[str], known: dict[str, int], number: int) -> list[float]:
    """Return the known values of one row; NaN for an optional one that is empty."""
    values = []
    for name, at in known.items():
        text = row[at].strip() if at < len(row) else ""
        try:
            values.append(float(text) if text or name in _NEEDED else float("nan"))
        except ValueError:
            raise BadInput(f"star {number} of {path.name}: {name} is {text!r}, a number was expected", _HINT) from None
    return values


def _check_names(path: Path, names: list[str]) -> None:
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise BadInput(f"{path.name} has no column {', '.join(missing)}", _HINT)


def _check_range(path: Path, name: str, column: F64) -> None:
    """Refuse values beyond the range of their column; NaN where the column must be filled."""
    low, high = _RANGES[name]
    with np.errstate(invalid="ignore"):
        wrong = (column < low) | (column > high) | (np.isnan(column) & (name in _NEEDED))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise BadInput(
            f"star {at + 1} of {path.name}: {name} is {column[at]:g}, {low:g} to {high:g} was expected", _HINT
        )
