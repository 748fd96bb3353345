"""What is drawn over a picture: lines, rings and labels in the picture's own pixels."""

from __future__ import annotations

from dataclasses import dataclass

from skyquilt.core.arrays import F64

__all__ = ["Drawing", "Label", "Line", "Ring"]


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """
    A line through points.

    Attributes
    ----------
    points : float64 (n, 2), px
        (x, y), pixel centres at integers; points may lie outside of the picture.
    colour : str
        ``#rrggbb``
    width_px : float
    """

    points: F64
    colour: str
    width_px: float


@dataclass(frozen=True, slots=True)
class Ring:
    """A circle about (x, y), px."""

    x: float
    y: float
    radius_px: float
    colour: str
    width_px: float


@dataclass(frozen=True, slots=True)
class Label:
    """
    A line of text in a box.

    Attributes
    ----------
    text : str
    x, y : float, px
        Left and top of the box.
    width_px, height_px : float
        Of the box; the text is set to fill its width.
    size_px : float
        Of the type.
    colour : str
    """

    text: str
    x: float
    y: float
    width_px: float
    height_px: float
    size_px: float
    colour: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Everything that is drawn over a picture of `width` by `height` px, in this order: lines, rings, labels."""

    width: int
    height: int
    lines: tuple[Line, ...]
    rings: tuple[Ring, ...]
    labels: tuple[Label, ...]
