"""Images put together: LRGB, palettes, line emission."""

from skyquilt.steps.finish.combine.lrgb import LRGB_METHODS, LrgbSettings, combine_lrgb
from skyquilt.steps.finish.combine.narrowband import (
    DUOBAND_RESPONSE,
    ContinuumSettings,
    DuobandSettings,
    continuum_scale,
    plan_continuum_free,
    plan_duoband,
    separate_duoband,
    subtract_continuum,
)
from skyquilt.steps.finish.combine.palettes import PALETTES, PaletteSettings, combine_palette

__all__ = [
    "DUOBAND_RESPONSE",
    "LRGB_METHODS",
    "PALETTES",
    "ContinuumSettings",
    "DuobandSettings",
    "LrgbSettings",
    "PaletteSettings",
    "combine_lrgb",
    "combine_palette",
    "continuum_scale",
    "plan_continuum_free",
    "plan_duoband",
    "separate_duoband",
    "subtract_continuum",
]
