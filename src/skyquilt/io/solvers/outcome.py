"""What an outside solver is told and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from skyquilt.core import Wcs

__all__ = ["Outside", "OutsideHints"]


@dataclass(frozen=True, slots=True)
class OutsideHints:
    """
    What is known before.

    Attributes
    ----------
    place : (float, float) or None, degrees
        Right ascension and declination, ICRS.
    radius_deg : float, degrees
    scale_arcsec : float or None, arcsec/px
    scale_tolerance : float
        Relative.
    timeout_s : float
    """

    place: tuple[float, float] | None = None
    radius_deg: float = 3.0
    scale_arcsec: float | None = None
    scale_tolerance: float = 0.1
    timeout_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Outside:
    """
    What came back.

    Attributes
    ----------
    wcs : Wcs or None
        None: not solved.
    reason : str
        Why not: one sentence; "" when solved.
    n_matched : int or None
        Pairs of stars that the program tells of; None where it does not.
    rms_px : float or None
        Their residual per axis.
    """

    wcs: Wcs | None
    reason: str = ""
    n_matched: int | None = None
    rms_px: float | None = None
