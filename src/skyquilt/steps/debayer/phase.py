"""Does the sky of a frame agree with the colour filter array that its header names?"""

from __future__ import annotations

import numpy as np

from skyquilt.core import F32, F64, Cfa

__all__ = ["contradiction"]

_CLEAR_SIGMAS = 10.0
_CLEAR_SHARE = 0.015  # of the level: greens of one sensor differ by up to 1 %
_EQUAL_SHARE = 0.3
_SAMPLED = 16_384  # pixels of a site that are looked at
_CLIP_SIGMAS = 3.0
_CLIP_ROUNDS = 8


def contradiction(mosaic: F32, cfa: Cfa) -> str:
    """
    Return one sentence if the pixels contradict the pattern, else "".

    Parameters
    ----------
    mosaic : float32 (y, x), ADU
        A raw light, uncalibrated; values that are not finite take no part.
    cfa : Cfa
        The claimed pattern.

    Notes
    -----
    The two green sites of a cell lie on one diagonal and see the same sky; red and blue lie on the other and do not.
    Definition: with the clipped mean level m of the four sites, the pattern is contradicted if the claimed greens
    differ by more than 10 standard errors and 1.5 % while the other two differ by less than 0.3 of that. A grey sky
    tells nothing, and red and blue changed for each other cannot be seen in this way: both give "".
    """
    levels, errors = _site_levels(mosaic)
    is_green = cfa.table == 1
    greens, others = levels[is_green], levels[~is_green]
    gap, other_gap = abs(float(greens[0] - greens[1])), abs(float(others[0] - others[1]))
    error = float(np.sqrt(np.square(errors).sum()))
    least = max(_CLEAR_SIGMAS * error, _CLEAR_SHARE * abs(float(levels.mean())))
    if not (np.isfinite(gap + other_gap) and gap > least and other_gap < _EQUAL_SHARE * gap):
        return ""
    return (
        f"the pixels contradict the pattern {cfa.name}: the sky of its two green sites differs by {gap:.0f} ADU, "
        f"that of red and blue by {other_gap:.0f} only, so green lies where red and blue are said to be"
    )


def _site_levels(mosaic: F32) -> tuple[F64, F64]:
    """Return the clipped mean of each site of the 2x2 cell and its standard error, float64 (2, 2) each."""
    levels, errors = np.full((2, 2), np.nan), np.full((2, 2), np.nan)
    step = 2 * max(1, int(np.sqrt(mosaic.size / 4 / _SAMPLED)))
    for y in (0, 1):
        for x in (0, 1):
            site = mosaic[y::step, x::step].astype(np.float64)
            site = site[np.isfinite(site)]
            for _ in range(_CLIP_ROUNDS):
                if site.size < 2:
                    break
                middle = float(np.median(site))
                deviation = np.abs(site - middle)
                kept = site[deviation <= _CLIP_SIGMAS * max(1.4826 * float(np.median(deviation)), 0.5)]
                if kept.size == site.size:
                    break
                site = kept
            if site.size > 1:
                levels[y, x], errors[y, x] = site.mean(), max(float(site.std()), 0.3) / np.sqrt(site.size)
    return levels, errors
