"""Coordinates for an image whose first axis on disk is the colour."""

from __future__ import annotations

import re
from collections.abc import Sequence

from skyquilt.io.fits.cards import CardToWrite

__all__ = ["planes_last_cards"]

_AXIS = re.compile(r"(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)([12])")
_MATRIX = re.compile(r"(CD|PC)([12])_([12])")
_POLYNOMIAL = re.compile(r"(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)")
_NO_POLYNOMIAL = "The SIP distortion is left out: with planes last, readers apply it to the wrong axes."


def planes_last_cards(cards: Sequence[CardToWrite]) -> list[CardToWrite]:
    """
    Return cards made for (NAXIS1, NAXIS2) = (x, y) for an image with (NAXIS1, NAXIS2, NAXIS3) = (colour, x, y).

    Axes 1 and 2 of the coordinates become 2 and 3, and the colour gets an axis of its own. A SIP distortion cannot be
    kept: it is defined for the first two axes of a file. A COMMENT says that it was there.
    """
    moved: list[CardToWrite] = []
    has_polynomial = False
    for keyword, value, comment in cards:
        if axis := _AXIS.fullmatch(keyword):
            keyword = f"{axis[1]}{int(axis[2]) + 1}"
        elif matrix := _MATRIX.fullmatch(keyword):
            keyword = f"{matrix[1]}{int(matrix[2]) + 1}_{int(matrix[3]) + 1}"
        elif _POLYNOMIAL.fullmatch(keyword):
            has_polynomial = True
            continue
        if keyword == "WCSAXES":
            moved.append((keyword, 3, comment))
            moved += [("CTYPE1", "RGB", "colour"), ("CRPIX1", 1.0, ""), ("CRVAL1", 1.0, "")]
            moved.append(("CDELT1" if _has_steps(cards) else "CD1_1", 1.0, ""))
            continue
        if keyword.startswith("CTYPE") and isinstance(value, str):
            value = value.removesuffix("-SIP")
        moved.append((keyword, value, comment))
    if has_polynomial:
        moved.append(("COMMENT", _NO_POLYNOMIAL, ""))
    return moved


def _has_steps(cards: Sequence[CardToWrite]) -> bool:
    return any(keyword == "CDELT1" for keyword, _, _ in cards)
