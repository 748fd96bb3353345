"""Which part of the sky is covered, as a multi-order coverage map (MOC)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from skyquilt.core import I64
from skyquilt.io.fits import write_number_table

__all__ = ["joined_ranges", "moc_numbers", "sky_fraction", "write_moc"]


def joined_ranges(ranges: I64) -> I64:
    """Return half-open ranges (n, 2) of pixel numbers sorted, those that touch or overlap joined."""
    ordered = ranges[np.argsort(ranges[:, 0], kind="stable")]
    if not len(ordered):
        return ordered
    reach = np.maximum.accumulate(ordered[:, 1])
    begins = np.concatenate([[True], ordered[1:, 0] > reach[:-1]])
    ends = np.concatenate([begins[1:], [True]])
    return np.stack([ordered[begins, 0], reach[ends]], axis=1)


def moc_numbers(order: int, ranges: I64) -> I64:
    """
    Return a coverage map as NUNIQ numbers, int64, sorted.

    Parameters
    ----------
    order : int
        Of the pixels that are counted.
    ranges : int64 (n, 2)
        Half-open ranges of nested pixel numbers, in any order.

    Notes
    -----
    A pixel of order k and number n is written 4 x 4^k + n; four that make up one of the order above are written as
    that one. Source: IVOA recommendation MOC 2.0 (2022), sections 4.1 and 4.3.
    """
    left = joined_ranges(np.asarray(ranges, np.int64).reshape(-1, 2))
    found = []
    for level in range(order + 1):
        shift = 2 * (order - level)
        size = 1 << shift
        first, last = -(-left[:, 0] // size), left[:, 1] // size
        has_whole = last > first
        for begin, end in zip(first[has_whole], last[has_whole], strict=True):
            found.append((4 << 2 * level) + np.arange(begin, end, dtype=np.int64))
        # what remains in front of and behind the whole pixels
        inner = np.stack([first * size, last * size], axis=1)
        before = np.stack([left[:, 0], np.where(has_whole, inner[:, 0], left[:, 1])], axis=1)
        behind = np.stack([inner[:, 1], left[:, 1]], axis=1)[has_whole]
        left = np.concatenate([before, behind])
        left = left[left[:, 1] > left[:, 0]]
    return np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)


def sky_fraction(order: int, ranges: I64) -> float:
    """Return the part of the sky, 0 to 1, that ranges of pixels cover."""
    joined = joined_ranges(ranges)
    return float((joined[:, 1] - joined[:, 0]).sum()) / (12 << 2 * order)


def write_moc(path: Path, order: int, ranges: I64, cards: Sequence[tuple[str, object, str]] = ()) -> None:
    """
    Write a coverage map of the sky (ICRS) as FITS: a table of NUNIQ numbers, MOC 2.0, readable as MOC 1.0.

    Parameters
    ----------
    path : Path
    order, ranges
        As for `moc_numbers`.
    cards : sequence of (keyword, value, comment)

    Raises
    ------
    NotEnoughDisk, OutputBlocked
        If the system refuses to write.
    """
    own = [
        ("PIXTYPE", "HEALPIX", "HEALPix pixels"),
        ("ORDERING", "NUNIQ", "4 x 4^order + number"),
        ("COORDSYS", "C", "ICRS"),
        ("MOCVERS", "2.0", "of the MOC standard"),
        ("MOCDIM", "SPACE", "dimension"),
        ("MOCORD_S", order, "deepest order"),
        ("MOCORDER", order, "deepest order, as MOC 1.0 has it"),
        ("MOCTOOL", "skyquilt", "written by"),
    ]
    write_number_table(path, "UNIQ", moc_numbers(order, ranges), [*own, *cards])
