"""Colours of an image: neutral background, white balance, matrices, green and magenta, saturation."""

from skyquilt.steps.finish.colour.background import Background, measure_background, sample_pixels
from skyquilt.steps.finish.colour.catalogue_colour import (
    SENSOR_SLOPES,
    WHITE_STARS,
    ColourRelation,
    b_minus_v,
    fit_colour_relation,
)
from skyquilt.steps.finish.colour.colour_matrix import (
    COLOUR_MATRICES,
    MatrixSettings,
    apply_colour_matrix,
    plan_colour_matrix,
)
from skyquilt.steps.finish.colour.linear_colour import LinearColour
from skyquilt.steps.finish.colour.neutral import (
    BayerSettings,
    NeutralSettings,
    compensate_bayer,
    neutralise,
    plan_bayer_compensation,
    plan_neutral,
)
from skyquilt.steps.finish.colour.saturation import SATURATION_METHODS, SaturationSettings, saturate
from skyquilt.steps.finish.colour.scnr import SCNR_METHODS, ScnrPlan, ScnrSettings, plan_scnr, reduce_colour
from skyquilt.steps.finish.colour.spaces import (
    LUMINANCE,
    draw_into_range,
    from_hsv,
    from_lab,
    luminance,
    to_hsv,
    to_lab,
)
from skyquilt.steps.finish.colour.star_fluxes import StarFluxes, measure_star_fluxes
from skyquilt.steps.finish.colour.white_balance import BALANCE_METHODS, BalanceSettings, plan_balance

__all__ = [
    "BALANCE_METHODS",
    "COLOUR_MATRICES",
    "LUMINANCE",
    "SATURATION_METHODS",
    "SCNR_METHODS",
    "SENSOR_SLOPES",
    "WHITE_STARS",
    "Background",
    "BalanceSettings",
    "BayerSettings",
    "ColourRelation",
    "LinearColour",
    "MatrixSettings",
    "NeutralSettings",
    "SaturationSettings",
    "ScnrPlan",
    "ScnrSettings",
    "StarFluxes",
    "apply_colour_matrix",
    "b_minus_v",
    "compensate_bayer",
    "draw_into_range",
    "fit_colour_relation",
    "from_hsv",
    "from_lab",
    "luminance",
    "measure_background",
    "measure_star_fluxes",
    "neutralise",
    "plan_balance",
    "plan_bayer_compensation",
    "plan_colour_matrix",
    "plan_neutral",
    "plan_scnr",
    "reduce_colour",
    "sample_pixels",
    "saturate",
    "to_hsv",
    "to_lab",
]
