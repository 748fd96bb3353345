"""What a frame was taken for, out of the words of many programs and three languages."""

from __future__ import annotations

import re
from functools import lru_cache

from skyquilt.core.frame import FrameKind
from skyquilt.io.fits.header import Header

__all__ = ["kind_of_words", "read_kind", "read_n_stacked"]

_WORDS = ("IMAGETYP", "FRAME", "FRAMETYP", "OBSTYPE", "IMGTYPE", "CALFRAME", "SUBTYPE", "SUB_TYPE", "INTEGRAT")
_COUNTS = ("STACKCNT", "NCOMBINE", "NCOMB", "NUMFRAME", "NSTACK", "SNAPSHOT", "NFRAMES")
_NO_LETTER = re.compile(r"[^a-zà-ÿ]+")

# The first stem that occurs decides: a flat dark is neither flat nor dark, an offset is a bias.
_STEMS = (
    (FrameKind.FLAT_DARK, ("flatdark", "darkflat", "darkforflat", "noirdeflat", "darkplu")),
    (FrameKind.BIAS, ("bias", "biais", "offset", "zero")),
    (FrameKind.DARK, ("dark", "noir", "dunkel")),
    (FrameKind.FLAT, ("flat", "plu", "flach", "hellbild", "blanc", "twilight")),
    (FrameKind.STACK, ("masterlight", "integration", "stack", "coadd", "summe", "empile")),
    (FrameKind.LIGHT, ("light", "object", "science", "licht", "lumi", "brute", "target")),
)


@lru_cache(maxsize=256)  # a session says the same word thousands of times
def kind_of_words(words: str) -> FrameKind:
    """Return the kind that an IMAGETYP or the like names (``Light Frame``, ``Master Dark``, ``BIAIS``), or UNKNOWN."""
    letters = _NO_LETTER.sub("", words.lower())
    for kind, stems in _STEMS:
        if any(stem in letters for stem in stems):
            return kind
    return FrameKind.UNKNOWN


def read_n_stacked(header: Header) -> int:
    """Return how many exposures are in the frame; 1 where no card counts them."""
    for keyword in _COUNTS:
        count = header.integer(keyword)
        if count is not None and 1 <= count < 1_000_000_000:
            return count
    return 1


def read_kind(header: Header, n_stacked: int) -> FrameKind:
    """
    Return what the frame was taken for.

    A light of more than one exposure is a stack: a Seestar's own stack calls itself ``Light`` and still has
    BAYERPAT, only STACKCNT tells. A dark of many exposures stays a dark: it is a master.
    """
    kind = FrameKind.UNKNOWN
    for keyword in _WORDS:
        words = header.text(keyword)
        if words is not None:
            kind = kind_of_words(words)
            if kind is not FrameKind.UNKNOWN:
                break
    if n_stacked > 1 and kind in (FrameKind.LIGHT, FrameKind.UNKNOWN):
        return FrameKind.STACK
    return kind
