"""A measured list of stars."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from skyquilt.core.arrays import F64, I64, Mask

__all__ = ["Stars"]


@dataclass(frozen=True, slots=True, eq=False)
class Stars:
    """
    Stars found in one frame, brightest first; one entry a star in every array.

    Attributes
    ----------
    x, y : float64 (n,), px of the full frame, pixel centres at integers
    position_error : float64 (n,), px, 1 sigma per axis
    flux : float64 (n,), ADU above the background, of the green sites scaled to all pixels for CFA frames
    flux_error : float64 (n,), ADU, 1 sigma
    peak : float64 (n,), ADU above the background, highest pixel
    fwhm : float64 (n,), px of the full frame
    eccentricity : float64 (n,), 0 = round: sqrt(1 - b²/a²) of the second moments
    is_saturated : bool (n,)
    """

    x: F64
    y: F64
    position_error: F64
    flux: F64
    flux_error: F64
    peak: F64
    fwhm: F64
    eccentricity: F64
    is_saturated: Mask

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def empty(cls) -> Stars:
        """Return a list of no stars."""
        none = np.zeros(0)
        return cls(none, none, none, none, none, none, none, none, np.zeros(0, dtype=bool))

    @classmethod
    def of_table(cls, table: F64) -> Stars:
        """Return the stars of a table, float64 (9, n), as `table` gives it."""
        columns = dict(zip((f.name for f in fields(cls)), table, strict=True))
        return cls(**{**columns, "is_saturated": table[-1] > 0})

    @property
    def table(self) -> F64:
        """All arrays as one, float64 (9, n): a row a field in their order, `is_saturated` as 0 or 1."""
        return np.stack([np.asarray(getattr(self, f.name), dtype=np.float64) for f in fields(self)])

    def take(self, index: I64 | Mask | slice) -> Stars:
        """Return the chosen stars, in the order of `index`."""
        return Stars(*(getattr(self, f.name)[index] for f in fields(self)))

    def brightest(self, n: int) -> Stars:
        """Return the first `n` stars."""
        return self.take(slice(0, n))
