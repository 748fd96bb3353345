"""The gradient of the sky: found between stars and nebulae, taken off by tiles."""

from skyquilt.steps.finish.gradient.cells import Cells, choose_cell, read_cells
from skyquilt.steps.finish.gradient.removal import (
    GRADIENT_MODELS,
    GRADIENT_MODES,
    GradientSettings,
    plan_gradient,
    remove_gradient,
)
from skyquilt.steps.finish.gradient.sky_model import SkyModel

__all__ = [
    "GRADIENT_MODELS",
    "GRADIENT_MODES",
    "Cells",
    "GradientSettings",
    "SkyModel",
    "choose_cell",
    "plan_gradient",
    "read_cells",
    "remove_gradient",
]
