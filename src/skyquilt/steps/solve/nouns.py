"""What a solver is told, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from skyquilt.core import F64, I64, CatalogueStars, SkyGrid, Wcs

__all__ = ["Hints", "NoSolution", "Solution", "StarCatalogue"]


class StarCatalogue(Protocol):
    """What the solver asks of a catalogue."""

    def cone(
        self, ra_deg: float, dec_deg: float, radius_deg: float, *, epoch_year: float, brightest: int | None = None
    ) -> CatalogueStars:
        """Return the stars within `radius_deg` of a direction at an epoch, brightest first, at most so many."""
        ...


@dataclass(frozen=True, slots=True)
class Hints:
    """
    What is known, or believed, before the stars are looked at.

    Attributes
    ----------
    places : tuple of (float, float), degrees
        Directions (ra, dec), ICRS, where the frame's centre may lie, the most trusted first; () where nothing is known.
    radius_deg : float, degrees
        How far the centre may lie from a place.
    scale_arcsec : float or None, arcsec/px
        None: not known.
    scale_tolerance : float
        Relative.
    epoch_year : float
        Julian year of the exposure: the stars are moved there.
    place_binds, scale_binds : bool
        True: someone named it, and it is not to be given up when nothing is found there.
    """

    places: tuple[tuple[float, float], ...] = ()
    radius_deg: float = 3.0
    scale_arcsec: float | None = None
    scale_tolerance: float = 0.07
    epoch_year: float = 2016.0
    place_binds: bool = False
    scale_binds: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """
    Where a frame lies on the sky, and how well that is known.

    Attributes
    ----------
    grid : SkyGrid
        Coordinates and size of the frame.
    n_matched : int
        Pairs of frame and catalogue stars that the coordinates rest on.
    rms_px : float
        Their residual per axis, px.
    log10_false_alarm : float
        Decimal logarithm of the number of such agreements that chance would give in all that was tried.
    model : str
        "similarity" or "affine" (TAN), "polynomial" (TAN-SIP).
    pairs : int64 (n_matched,)
        Indices of the matched stars in the frame's list.
    catalogue : CatalogueStars
        Their partners, in the same order.
    residual_px : float64 (n_matched, 2)
        Catalogue minus star along east and north, in pixels of the frame.
    found_by : str
        "hint" or "blind".
    notes : tuple of str
        What was believed and is not so, one sentence each.
    """

    grid: SkyGrid
    n_matched: int
    rms_px: float
    log10_false_alarm: float
    model: str
    pairs: I64
    catalogue: CatalogueStars
    residual_px: F64
    found_by: str = "hint"
    notes: tuple[str, ...] = ()

    @property
    def wcs(self) -> Wcs:
        return self.grid.wcs

    def with_notes(self, *notes: str) -> Solution:
        """Return the same solution with more notes."""
        return replace(self, notes=(*self.notes, *notes))


@dataclass(frozen=True, slots=True)
class NoSolution:
    """
    That the stars could not be told, and why.

    Attributes
    ----------
    reason : str
        One sentence.
    figures : dict of str to float
        What explains it: n_stars, n_matched, log10_false_alarm, ...
    """

    reason: str
    figures: dict[str, float] = field(default_factory=dict)
