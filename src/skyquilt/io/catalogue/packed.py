"""A packed catalogue in memory or under a memory map: stars of cells, at an epoch."""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyquilt.core import F32, F64, I64, CatalogueStars
from skyquilt.core.sky import move
from skyquilt.errors import BadInput
from skyquilt.io.catalogue.cells import N_CELLS, place_in_cell
from skyquilt.io.catalogue.packing import MAGIC

__all__ = ["PackedSky", "open_packed"]

_J2000 = 2000.0
_FAST = -128
_MISSING = 32767
_EXPECTED = {
    "cell_start": "<u4",
    "east": "<u2",
    "north": "<u2",
    "pmra": "|i1",
    "pmdec": "|i1",
    "vt": "<i2",
    "bt": "<i2",
    "fast_star": "<u4",
    "fast_pmra": "<i2",
    "fast_pmdec": "<i2",
}


@dataclass(frozen=True, slots=True, eq=False)
class PackedSky:
    """
    The columns of a packed catalogue (`packing`), read-only.

    Attributes
    ----------
    columns : dict of arrays
    source, licence : str
    fastest_mas : float
        Fastest motion of any star, mas a year: how far a star may have left its cell.
    """

    columns: dict[str, NDArray[Any]]
    source: str
    licence: str
    fastest_mas: float

    @classmethod
    def of(cls, columns: dict[str, NDArray[Any]], *, source: str, licence: str) -> PackedSky:
        fast = np.hypot(columns["fast_pmra"].astype(float), columns["fast_pmdec"].astype(float))
        return cls(columns, source, licence, max(float(fast.max(initial=0.0)), 127.0 * 2.0**0.5))

    def __len__(self) -> int:
        return len(self.columns["east"])

    def stars_of(
        self, cells: I64, *, epoch_year: float, limit_mag: float | None = None, brightest_of_cell: int | None = None
    ) -> CatalogueStars:
        """
        Return the stars of cells, cell after cell, brightest first within each.

        Parameters
        ----------
        cells : int64 (n,)
        limit_mag : float or None
            Stars as bright as this or brighter (VT, or BT where there is no VT).
        brightest_of_cell : int or None
            At most so many of each cell.
        """
        start = self.columns["cell_start"][cells].astype(np.int64)
        stop = self.columns["cell_start"][cells + 1].astype(np.int64)
        if brightest_of_cell is not None:
            stop = np.minimum(stop, start + brightest_of_cell)
        if limit_mag is not None:
            stop = self._first_fainter(start, stop, limit_mag)
        count = stop - start
        star = np.arange(int(count.sum())) + np.repeat(start - (np.cumsum(count) - count), count)
        return self._unpack(star, np.repeat(cells, count), epoch_year)

    def _first_fainter(self, start: I64, stop: I64, limit_mag: float) -> I64:
        """Return, for ranges sorted by brightness, the first star fainter than a limit: bisection, all at once."""
        low, high = start.copy(), stop.copy()
        limit = round(limit_mag * 1000.0)
        last = max(len(self) - 1, 0)
        while (low < high).any():
            middle = (low + high) // 2
            probe = np.minimum(middle, last)
            vt, bt = self.columns["vt"][probe], self.columns["bt"][probe]
            is_bright = (np.where(vt == _MISSING, bt, vt) <= limit) & (low < high)
            low, high = np.where(is_bright, middle + 1, low), np.where(is_bright | (low >= high), high, middle)
        return low

    def _unpack(self, star: I64, cell: I64, epoch_year: float) -> CatalogueStars:
        columns = self.columns
        ra, dec = place_in_cell(cell, columns["east"][star].astype(np.float64), columns["north"][star].astype(float))
        if epoch_year != _J2000 and len(star):
            ra, dec = move(ra, dec, *self._motions(star), epoch_year - _J2000)
        return CatalogueStars(ra, dec, _magnitude(columns["vt"][star]), _magnitude(columns["bt"][star]))

    def _motions(self, star: I64) -> tuple[F64, F64]:
        """Return proper motions, mas a year; those of the fast stars from their own table."""
        pmra, pmdec = self.columns["pmra"][star].astype(np.float64), self.columns["pmdec"][star].astype(np.float64)
        fast = np.flatnonzero(pmra == _FAST)
        if len(fast):
            entry = np.searchsorted(self.columns["fast_star"], star[fast])
            pmra[fast], pmdec[fast] = self.columns["fast_pmra"][entry], self.columns["fast_pmdec"][entry]
        return pmra, pmdec


def _magnitude(millimag: NDArray[np.int16]) -> F32:
    return np.where(millimag == _MISSING, np.float32(np.nan), millimag.astype(np.float32) / np.float32(1000.0))


def open_packed(path: Path) -> PackedSky:
    """
    Return a packed catalogue under a read-only memory map.

    Raises
    ------
    BadInput
        If the file cannot be read, is no packed catalogue, or is not whole.
    """
    try:
        with path.open("rb") as file:
            is_ours = file.read(len(MAGIC)) == MAGIC
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if is_ours else b""
    except (OSError, ValueError) as error:
        raise BadInput(f"the catalogue {path.name} cannot be read: {error}") from None
    if not is_ours:
        raise BadInput(f"{path.name} is no packed catalogue of skyquilt")
    begin = len(MAGIC) + 4
    length = int.from_bytes(memory[len(MAGIC) : begin], "little")
    try:
        description = json.loads(memory[begin : begin + length])
        columns = _columns_of(memory, begin + length, description)
        return PackedSky.of(columns, source=str(description["source"]), licence=str(description["licence"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"the catalogue {path.name} is damaged: {error}", "install skyquilt again, or fetch the file again"
        ) from None


def _columns_of(memory: mmap.mmap | bytes, begin: int, description: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the columns as views of the map; ValueError where they disagree with the description."""
    if len(memory) != begin + int(description["n_bytes"]):
        raise ValueError(f"{len(memory)} bytes, {begin + int(description['n_bytes'])} were expected")
    if description["n_cells"] != N_CELLS:
        raise ValueError(f"{description['n_cells']} cells, {N_CELLS} were expected")
    columns: dict[str, NDArray[Any]] = {}
    for name, dtype in _EXPECTED.items():
        place = description["columns"][name]
        if place["dtype"] != dtype:
            raise ValueError(f"column {name} is {place['dtype']}, {dtype} was expected")
        columns[name] = np.frombuffer(memory, dtype, int(place["length"]), begin + int(place["at"]))
    n_stars = len(columns["east"])
    if any(len(columns[name]) != n_stars for name in ("north", "pmra", "pmdec", "vt", "bt")):
        raise ValueError("the columns have different lengths")
    if len(columns["cell_start"]) != N_CELLS + 1 or int(columns["cell_start"][-1]) != n_stars:
        raise ValueError("the cells do not hold the stars")
    return columns
