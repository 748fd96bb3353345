"""The colour filter array of a sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core.arrays import I64

__all__ = ["CFA_NAMES", "Cfa"]

CFA_NAMES = ("RGGB", "BGGR", "GRBG", "GBRG")
_CHANNEL = {"R": 0, "G": 1, "B": 2}


@dataclass(frozen=True, slots=True)
class Cfa:
    """
    A 2x2 Bayer pattern, named by its first two rows in stored order: the first letter is the colour of pixel (0, 0).

    Offsets (XBAYROFF, YBAYROFF) are already folded in: a `Cfa` always speaks of the array as it is stored.
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in CFA_NAMES:
            raise ValueError(f"{self.name!r} is not one of {', '.join(CFA_NAMES)}")

    @property
    def table(self) -> I64:
        """Channel index (0 R, 1 G, 2 B) as int64 (2, 2): ``table[y % 2, x % 2]`` is the colour of pixel (x, y)."""
        return np.array([_CHANNEL[letter] for letter in self.name], dtype=np.int64).reshape(2, 2)

    def shifted(self, dx: int, dy: int) -> Cfa:
        """Return the pattern seen from pixel (dx, dy): that of an array whose first pixel lies there."""
        rows = [self.name[:2], self.name[2:]]
        return Cfa("".join(rows[(y + dy) % 2][(x + dx) % 2] for y in (0, 1) for x in (0, 1)))

    def flipped_vertically(self, height: int) -> Cfa:
        """Return the pattern of the array turned upside down; it changes only if the height is even."""
        return self.shifted(0, 1) if height % 2 == 0 else self

    @property
    def red_site(self) -> tuple[int, int]:
        """(x, y) of the red pixel in the first 2x2 cell."""
        index = self.name.index("R")
        return index % 2, index // 2
