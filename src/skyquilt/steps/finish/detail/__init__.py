"""Detail of a finished image: noise, sharpness, stars apart from the rest, masks, local contrast."""

from skyquilt.steps.finish.detail.contrast import ContrastPlan, ContrastSettings, plan_contrast
from skyquilt.steps.finish.detail.deconvolution import (
    DeconvolutionPlan,
    DeconvolutionSettings,
    deconvolve,
    plan_deconvolution,
)
from skyquilt.steps.finish.detail.denoise import (
    DenoisePlan,
    DenoiseSettings,
    luminance_weights,
    plan_denoise,
    read_plane_noise,
    reduce_noise,
)
from skyquilt.steps.finish.detail.finding import POINT_HALO_PX, StarSettings, find_points, measure_stars
from skyquilt.steps.finish.detail.level import SkyLevel, measure_level
from skyquilt.steps.finish.detail.masks import (
    MASK_KINDS,
    MaskPlan,
    MaskSettings,
    blend,
    feather_mask,
    grow_mask,
    plan_mask,
)
from skyquilt.steps.finish.detail.noise import NoiseCells, NoiseModel, measure_noise, read_noise
from skyquilt.steps.finish.detail.point_spread import PointSpread
from skyquilt.steps.finish.detail.points import ImageStars, Points
from skyquilt.steps.finish.detail.separation import (
    SeparationPlan,
    SeparationSettings,
    plan_separation,
    separate_stars,
)

__all__ = [
    "MASK_KINDS",
    "POINT_HALO_PX",
    "ContrastPlan",
    "ContrastSettings",
    "DeconvolutionPlan",
    "DeconvolutionSettings",
    "DenoisePlan",
    "DenoiseSettings",
    "ImageStars",
    "MaskPlan",
    "MaskSettings",
    "NoiseCells",
    "NoiseModel",
    "PointSpread",
    "Points",
    "SeparationPlan",
    "SeparationSettings",
    "SkyLevel",
    "StarSettings",
    "blend",
    "deconvolve",
    "feather_mask",
    "find_points",
    "grow_mask",
    "luminance_weights",
    "measure_level",
    "measure_noise",
    "measure_stars",
    "plan_contrast",
    "plan_deconvolution",
    "plan_denoise",
    "plan_mask",
    "plan_separation",
    "read_noise",
    "read_plane_noise",
    "reduce_noise",
    "separate_stars",
]
