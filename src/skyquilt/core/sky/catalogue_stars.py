"""Stars of a catalogue as they stand on the sky at one epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core.arrays import F32, F64, I64, Mask
from skyquilt.core.sky.sphere import unit_vectors

__all__ = ["CatalogueStars"]


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueStars:
    """
    Catalogue stars, brightest first as a catalogue gives them; one entry a star in every array.

    Attributes
    ----------
    ra_deg, dec_deg : float64 (n,), degrees
        ICRS, at the epoch that was asked for.
    vt_mag, bt_mag : float32 (n,), mag
        Tycho-2's VT and BT; NaN where the catalogue has none. Of a catalogue with one magnitude, `vt_mag` holds it.
    """

    ra_deg: F64
    dec_deg: F64
    vt_mag: F32
    bt_mag: F32

    def __len__(self) -> int:
        return len(self.ra_deg)

    @classmethod
    def empty(cls) -> CatalogueStars:
        """Return a list of no stars."""
        return cls(np.zeros(0), np.zeros(0), np.zeros(0, np.float32), np.zeros(0, np.float32))

    @property
    def mag(self) -> F32:
        """Brightness that orders the stars: VT, or BT where there is no VT."""
        return np.where(np.isnan(self.vt_mag), self.bt_mag, self.vt_mag)

    @property
    def vectors(self) -> F64:
        """Unit vectors, float64 (n, 3)."""
        return unit_vectors(self.ra_deg, self.dec_deg)

    def take(self, index: I64 | Mask | slice) -> CatalogueStars:
        """Return the chosen stars, in the order of `index`."""
        return CatalogueStars(self.ra_deg[index], self.dec_deg[index], self.vt_mag[index], self.bt_mag[index])

    def brightest(self, n: int) -> CatalogueStars:
        """Return the first `n` stars."""
        return self.take(slice(0, n))
