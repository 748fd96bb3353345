"""A rectangle of pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Box"]


@dataclass(frozen=True, slots=True)
class Box:
    """
    A half-open rectangle of pixels: x0 <= x < x1, y0 <= y < y1, in absolute integer coordinates (may be negative).

    Pixel centres lie at integers, so the box covers the plane from x0 - 0.5 to x1 - 0.5.
    """

    x0: int
    y0: int
    x1: int
    y1: int

    @classmethod
    def of_shape(cls, height: int, width: int) -> Box:
        """Return the box of an array of that shape, its first pixel at (0, 0)."""
        return cls(0, 0, width, height)

    @property
    def width(self) -> int:
        return max(0, self.x1 - self.x0)

    @property
    def height(self) -> int:
        return max(0, self.y1 - self.y0)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width), px."""
        return self.height, self.width

    @property
    def n_pixels(self) -> int:
        return self.width * self.height

    @property
    def is_empty(self) -> bool:
        return self.x1 <= self.x0 or self.y1 <= self.y0

    def grow(self, margin: int) -> Box:
        """Return the box with `margin` px more on every side."""
        return Box(self.x0 - margin, self.y0 - margin, self.x1 + margin, self.y1 + margin)

    def intersect(self, other: Box) -> Box:
        """Return the common part; empty (of zero size) if there is none."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        return Box(x0, y0, max(x0, min(self.x1, other.x1)), max(y0, min(self.y1, other.y1)))

    def union(self, other: Box) -> Box:
        """Return the smallest box that holds both."""
        return Box(min(self.x0, other.x0), min(self.y0, other.y0), max(self.x1, other.x1), max(self.y1, other.y1))

    def contains(self, other: Box) -> bool:
        return self.x0 <= other.x0 and self.y0 <= other.y0 and self.x1 >= other.x1 and self.y1 >= other.y1

    def slices(self, within: Box) -> tuple[slice, slice]:
        """Return (rows, columns) that cut this box out of an array that covers `within`."""
        return (
            slice(self.y0 - within.y0, self.y1 - within.y0),
            slice(self.x0 - within.x0, self.x1 - within.x0),
        )

    def tiles(self, width: int, height: int) -> Iterator[Box]:
        """Yield the boxes of a regular tiling, row by row; those at the right and bottom edge may be smaller."""
        for y in range(self.y0, self.y1, height):
            for x in range(self.x0, self.x1, width):
                yield Box(x, y, min(x + width, self.x1), min(y + height, self.y1))
