"""From a frame's pixels to samples on the canvas: one resampling, through one composed map."""

from skyquilt.steps.resample.mosaic import MosaicSampler
from skyquilt.steps.resample.nodes import NodeGrid, PixelMap
from skyquilt.steps.resample.sample_noise import sample_variances
from skyquilt.steps.resample.sampler import (
    DEFAULT_KERNEL,
    DEFAULT_KERNEL_WITHOUT_CFA,
    DEFAULT_METHOD,
    DEFAULT_WINDOW_PX,
    KERNELS,
    METHODS,
    CanvasSampler,
)
from skyquilt.steps.resample.warped import Shielded, Warped

__all__ = [
    "DEFAULT_KERNEL",
    "DEFAULT_KERNEL_WITHOUT_CFA",
    "DEFAULT_METHOD",
    "DEFAULT_WINDOW_PX",
    "KERNELS",
    "METHODS",
    "CanvasSampler",
    "MosaicSampler",
    "NodeGrid",
    "PixelMap",
    "Shielded",
    "Warped",
    "sample_variances",
]
