"""The register of operations, in the order in which they usually stand in a chain."""

from __future__ import annotations

from dataclasses import dataclass

from skyquilt.engine.finish.band_operations import BAND_OPERATIONS, LUMINANCE
from skyquilt.engine.finish.colour_operations import COLOUR_OPERATIONS
from skyquilt.engine.finish.cropping import CropSettings, plan_crop
from skyquilt.engine.finish.detail_operations import DETAIL_OPERATIONS
from skyquilt.engine.finish.operation import Operation
from skyquilt.engine.finish.smoothing_operation import SMOOTH
from skyquilt.engine.finish.tone_operations import COLOURMAP, TONE_OPERATIONS
from skyquilt.steps.finish import MaskSettings

__all__ = ["MASK", "OPERATIONS", "rank_of"]

_CROP = Operation("crop", "Crop to what is covered well, or to a box.", CropSettings, plan_crop, keeps_noise=True)
_COLOUR = {operation.name: operation for operation in COLOUR_OPERATIONS}
_DETAIL = {operation.name: operation for operation in DETAIL_OPERATIONS}
_BAND = {operation.name: operation for operation in BAND_OPERATIONS}

OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        _CROP,
        _COLOUR["gradient"],
        _COLOUR["bayer"],
        _COLOUR["neutral"],
        _COLOUR["balance"],
        _COLOUR["matrix"],
        _DETAIL["deconvolution"],
        _COLOUR["scnr"],
        _BAND["duoband"],
        _DETAIL["noise"],
        SMOOTH,
        _DETAIL["contrast"],
        _DETAIL["stars"],
        _BAND["palette"],
        *TONE_OPERATIONS,
        LUMINANCE,
        _COLOUR["saturation"],
        COLOURMAP,
    )
}
"""By name; a new operation is one entry here, and its place is where `Chain.with_step` puts it."""


@dataclass(frozen=True, slots=True)
class MaskOfStep:
    """What checks the settings of a mask as those of an operation are checked."""

    name: str = "mask"
    settings: type = MaskSettings


MASK = MaskOfStep()


def rank_of(name: str) -> int:
    """Return the place of an operation in the usual order."""
    return list(OPERATIONS).index(name)
