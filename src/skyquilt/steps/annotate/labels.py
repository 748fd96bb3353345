"""Labels that do not cover each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from skyquilt.core.drawing import Label

__all__ = ["Sheet", "TextWidth", "around"]

TextWidth = Callable[[str, float], float]
"""(text, size in px) -> width in px."""

_LINE_HEIGHT = 1.2
_GAP = 0.15  # of the size of the type

Box = tuple[float, float, float, float]


class Sheet:
    """
    The picture as a place for labels: remembers what is taken.

    Parameters
    ----------
    width, height : int, px
    text_width : callable
    """

    def __init__(self, width: int, height: int, text_width: TextWidth) -> None:
        self._width, self._height, self._text_width = width, height, text_width
        self._taken: list[Box] = []
        self._marks: list[Box] = []
        self.labels: list[Label] = []

    def keep_clear(self, x: float, y: float, radius: float) -> None:
        """Ask that labels stay off a mark, as far as there is room."""
        self._marks.append((x - radius, y - radius, x + radius, y + radius))

    def size_of(self, text: str, size_px: float) -> tuple[float, float]:
        """Return width and height of a label, px."""
        return self._text_width(text, size_px), _LINE_HEIGHT * size_px

    def place(self, text: str, size_px: float, colour: str, corners: Iterable[tuple[float, float]]) -> bool:
        """
        Set a label at the first of `corners` (left, top) where it covers no other label; tell whether there was one.

        Places that cover no mark come first.
        """
        width, height = self.size_of(text, size_px)
        gap = _GAP * size_px
        free = [
            (left, top)
            for left, top in corners
            if gap <= left <= self._width - width - gap
            and gap <= top <= self._height - height - gap
            and not _hits((left - gap, top - gap, left + width + gap, top + height + gap), self._taken)
        ]
        if not free:
            return False
        clear = [at for at in free if not _hits((at[0], at[1], at[0] + width, at[1] + height), self._marks)]
        left, top = (clear or free)[0]
        self._taken.append((left, top, left + width, top + height))
        self.labels.append(Label(text, left, top, width, height, size_px, colour))
        return True


def around(
    x: float, y: float, reach: tuple[float, float], size: tuple[float, float], gap: float
) -> list[tuple[float, float]]:
    """Return corners for a label of `size` beside a mark of half-size `reach`: right, left, below, above, diagonal."""
    (rx, ry), (width, height) = reach, size
    corners = []
    for distance in (gap, 3.0 * gap, 6.0 * gap):
        right, left = x + rx + distance, x - rx - distance - width
        below, above = y + ry + distance, y - ry - distance - height
        middle_x, middle_y = x - width / 2.0, y - height / 2.0
        slant = 0.71
        near_right, near_left = x + slant * rx + distance, x - slant * rx - distance - width
        near_below, near_above = y + slant * ry + distance, y - slant * ry - distance - height
        corners += [(right, middle_y), (left, middle_y), (middle_x, below), (middle_x, above)]
        corners += [
            (near_right, near_above),
            (near_right, near_below),
            (near_left, near_above),
            (near_left, near_below),
        ]
    return corners


def _hits(box: Box, others: list[Box]) -> bool:
    return any(box[0] < o[2] and o[0] < box[2] and box[1] < o[3] and o[1] < box[3] for o in others)
