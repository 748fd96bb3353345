"""The stars of an image, and which colours the catalogue gives them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skyquilt.core import F64, SkyGrid
from skyquilt.engine.finish.look import Look
from skyquilt.steps import photometry
from skyquilt.steps.finish import StarFluxes, b_minus_v, measure_star_fluxes

__all__ = ["CatalogueColours", "catalogue_colours", "star_fluxes"]

_UNDATED_YEAR = 2020.0
_EDGE_PX = 8.0
_LEAST_REACH_PX = 2.0
_ALONE_FWHM = 4.0
_BV_PER_MAG = 0.850
_BEST_ERROR, _ERROR_AT, _ERROR_MAG = 0.012, 0.1, 11.5


@dataclass(frozen=True, slots=True, eq=False)
class CatalogueColours:
    """
    B - V of measured stars.

    Attributes
    ----------
    colour, error : float64 (n,), mag
        NaN where the catalogue has no colour of the star.
    source : str
        Name of the catalogue.
    """

    colour: F64
    error: F64
    source: str

    @property
    def n_known(self) -> int:
        return int(np.isfinite(self.colour).sum())


def star_fluxes(look: Look) -> StarFluxes:
    """Return the fluxes of the stars of the part that is looked at."""
    return measure_star_fluxes(look.part[0], look.stars)


def catalogue_colours(look: Look, fluxes: StarFluxes) -> CatalogueColours | None:
    """
    Return the catalogue's colours of stars; None where the place of the image on the sky is not known.

    Notes
    -----
    The errors of Tycho-2's magnitudes are taken as 0.012 mag for bright stars and 0.1 mag at 11.5 mag, in between and
    beyond by the square root of the sum of squares, the second growing as the light falls: about what Høg et al. 2000
    (A&A 355, L27, table 2) found.
    """
    wcs = look.wcs
    if wcs is None:
        return None
    _, height, width = look.part[0].shape
    grid = SkyGrid(wcs, width, height)
    catalogue = look.around.open_catalogue()
    year = look.around.epoch_year if look.around.epoch_year is not None else _UNDATED_YEAR
    entries = catalogue.cone(*grid.centre_deg, grid.radius_deg, epoch_year=year)
    entries = entries.take(grid.holds(*wcs.to_pixels(entries.ra_deg, entries.dec_deg), margin_px=_EDGE_PX))
    measured = look.stars.take(fluxes.index)
    colour, error = np.full(len(fluxes), np.nan), np.full(len(fluxes), np.nan)
    if len(measured) and len(entries):
        fwhm = float(np.nanmedian(measured.fwhm))
        reach = max(_LEAST_REACH_PX, fwhm)
        pairs = photometry.match_catalogue(measured, wcs, entries, reach_px=reach, alone_px=_ALONE_FWHM * fwhm)
        matched = entries.take(pairs.entry)
        colour[pairs.star] = b_minus_v(matched)
        error[pairs.star] = _BV_PER_MAG * np.hypot(_error(matched.bt_mag), _error(matched.vt_mag))
    return CatalogueColours(colour, error, catalogue.source)


def _error(mag: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> F64:
    faint = _ERROR_AT * 10.0 ** (0.4 * (mag.astype(np.float64) - _ERROR_MAG))
    return np.asarray(np.hypot(_BEST_ERROR, faint))
