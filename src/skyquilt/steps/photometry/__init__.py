"""The room that turns counts into magnitudes: zero point against a catalogue, faintest star, brightness of the sky."""

from skyquilt.steps.photometry.depth import limiting_mag, sky_brightness_mag
from skyquilt.steps.photometry.matching import CatalogueMatch, match_catalogue
from skyquilt.steps.photometry.zero_point import SUNLIKE_COLOUR, NoZeroPoint, ZeroPoint, fit_zero_point

__all__ = [
    "SUNLIKE_COLOUR",
    "CatalogueMatch",
    "NoZeroPoint",
    "ZeroPoint",
    "fit_zero_point",
    "limiting_mag",
    "match_catalogue",
    "sky_brightness_mag",
]
