"""The index of the whole sky: built from the shipped catalogue once a machine, kept in the user's cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

from skyquilt.core import Event, Listener
from skyquilt.io.catalogue import open_catalogue
from skyquilt.io.sky_index import load_arrays, store_arrays
from skyquilt.steps.solve import STARS_A_CELL, SkyIndex, build_index

__all__ = ["open_sky_index"]

_VERSION = 1
_EPOCH = 2020.0


def open_sky_index(folder: Path | None, listener: Listener) -> SkyIndex:
    """
    Return the index, from the cache folder if it is there and whole, else built and kept there.

    Parameters
    ----------
    folder : Path or None
        None: nothing is kept.
    listener : Listener
        Is told that the index is built, which takes some seconds.
    """
    catalogue = open_catalogue()
    facts = f"{_VERSION} {_EPOCH} {STARS_A_CELL} {len(catalogue)} {catalogue.source}"
    path = folder / f"sky-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.index" if folder else None
    if path is not None and (arrays := load_arrays(path)) is not None and set(arrays) == SkyIndex.names():
        return SkyIndex(**arrays)
    listener(Event("notice", "solve", "building the index of the whole sky for blind solving: once, some seconds"))
    index = build_index(catalogue.brightest_of_cells(STARS_A_CELL, epoch_year=_EPOCH))
    if path is not None and not store_arrays(path, index.arrays()):
        listener(Event("notice", "solve", f"the index of the sky could not be kept in {folder}"))
    return index
