"""Catalogues of stars: Tycho-2 as it ships with the package, and deeper ones of the user's."""

from skyquilt.io.catalogue.catalogue import Catalogue, open_catalogue
from skyquilt.io.catalogue.packing import StarTable, as_bytes, pack_columns

__all__ = ["Catalogue", "StarTable", "as_bytes", "open_catalogue", "pack_columns"]
