"""
A catalogue of stars packed into one file: ten bytes a star, sorted by cell, brightest first within a cell.

::

    8 bytes   SKYQCAT1
    4 bytes   length of the description, little-endian
    n bytes   description, JSON: epoch, source, licence, fastest motion, and where each column begins
              columns, little-endian, each from a multiple of 64 bytes:

    cell_start   uint32 (41704 + 1,)   first star of each cell (`cells`)
    east, north  uint16 (n,)           place in the cell in 65536ths of it: within 0.03 arcsec per axis
    pmra, pmdec  int8 (n,)             mas a year, mu_alpha cos delta and mu_delta; -128: see the fast stars
    vt, bt       int16 (n,)            mmag; 32767 = missing
    fast_star    uint32 (m,)           rising; stars faster than 127 mas a year on an axis, and their motions
    fast_pmra, fast_pmdec  int16 (m,)  mas a year
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F64
from skyquilt.errors import BadInput
from skyquilt.io.catalogue.cells import N_CELLS, cells_of, offsets_in_cell

__all__ = ["MAGIC", "StarTable", "as_bytes", "pack_columns"]

MAGIC = b"SKYQCAT1"
FASTEST_MAS = 32767
_ALIGNED = 64
_FAST = -128
_MISSING = 32767


@dataclass(frozen=True, slots=True, eq=False)
class StarTable:
    """
    Stars as a catalogue's author lists them, before they are packed.

    Attributes
    ----------
    ra_deg, dec_deg : float64 (n,), degrees
        ICRS, epoch J2000.
    pmra_mas, pmdec_mas : float64 (n,), mas a year
        mu_alpha cos delta and mu_delta; 0 where they are not known.
    vt_mag, bt_mag : float64 (n,), mag
        NaN where missing; a star needs one of the two.
    """

    ra_deg: F64
    dec_deg: F64
    pmra_mas: F64
    pmdec_mas: F64
    vt_mag: F64
    bt_mag: F64


def pack_columns(stars: StarTable) -> dict[str, NDArray[Any]]:
    """
    Return the columns of the packed catalogue by name.

    Stars of a cell are sorted by VT (BT where there is no VT), then by their place: the order of the input does not
    matter.

    Raises
    ------
    BadInput
        If a star moves faster than any does, or has no magnitude between -20 and 32.
    """
    brightness = np.where(np.isnan(stars.vt_mag), stars.bt_mag, stars.vt_mag)
    with np.errstate(invalid="ignore"):
        wrong = ~((brightness > -20.0) & (brightness < 32.0))
    if wrong.any():
        raise BadInput(f"star {int(np.argmax(wrong)) + 1} has no magnitude between -20 and 32")
    motion = np.rint([stars.pmra_mas, stars.pmdec_mas])
    if not (np.abs(motion) <= FASTEST_MAS).all():
        at = int(np.argmax(~(np.abs(motion) <= FASTEST_MAS).all(axis=0)))
        raise BadInput(f"star {at + 1} moves {np.abs(motion[:, at]).max():g} mas a year: no star does")
    cell = cells_of(stars.ra_deg, stars.dec_deg)
    east, north = offsets_in_cell(stars.ra_deg, stars.dec_deg)
    vt, bt = _millimag(stars.vt_mag), _millimag(stars.bt_mag)
    order = np.lexsort((bt, motion[1], motion[0], north, east, np.where(vt == _MISSING, bt, vt), cell))
    motion = motion[:, order].astype(np.int16)
    is_fast = (np.abs(motion.astype(np.int32)) > 127).any(axis=0)
    slow = np.where(is_fast, _FAST, motion).astype(np.int8)
    fast = np.flatnonzero(is_fast)
    return {
        "cell_start": np.searchsorted(cell[order], np.arange(N_CELLS + 1)).astype("<u4"),
        "east": east[order].astype("<u2"),
        "north": north[order].astype("<u2"),
        "pmra": slow[0],
        "pmdec": slow[1],
        "vt": vt[order],
        "bt": bt[order],
        "fast_star": fast.astype("<u4"),
        "fast_pmra": motion[0, fast].astype("<i2"),
        "fast_pmdec": motion[1, fast].astype("<i2"),
    }


def _millimag(magnitude: F64) -> NDArray[np.int16]:
    return np.where(np.isnan(magnitude), _MISSING, np.rint(magnitude * 1000.0)).astype("<i2")


def as_bytes(columns: dict[str, NDArray[Any]], *, source: str, licence: str) -> bytes:
    """Return the packed file; the same columns give the same bytes."""
    places: dict[str, dict[str, Any]] = {}
    at = 0
    for name, column in columns.items():
        places[name] = {"dtype": column.dtype.str, "at": at, "length": len(column)}
        at += -(-column.nbytes // _ALIGNED) * _ALIGNED
    description = {
        "n_stars": len(columns["east"]),
        "n_cells": N_CELLS,
        "epoch_year": 2000.0,
        "source": source,
        "licence": licence,
        "n_bytes": at,
        "columns": places,
    }
    text = json.dumps(description, indent=1).encode("ascii")
    begin = len(MAGIC) + 4
    text += b" " * (-(begin + len(text)) % _ALIGNED)
    pieces = [MAGIC, len(text).to_bytes(4, "little"), text]
    for column in columns.values():
        pieces += [column.tobytes(), b"\0" * (-column.nbytes % _ALIGNED)]
    return b"".join(pieces)
