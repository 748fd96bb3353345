"""Mosaics: the engine of a stack on a canvas that is the sky."""

import importlib
from typing import TYPE_CHECKING

from skyquilt.engine.mosaic.recipe import NOT_OF_A_MOSAIC, MosaicRecipe

if TYPE_CHECKING:
    from skyquilt.engine.mosaic.planning import MosaicPlan
    from skyquilt.engine.mosaic.walk import MosaicResult, MosaicRunResult, make_mosaics

__all__ = ["NOT_OF_A_MOSAIC", "MosaicPlan", "MosaicRecipe", "MosaicResult", "MosaicRunResult", "make_mosaics"]

# the settings are asked for by every command, the rest by mosaics alone
_LATER = {
    "MosaicPlan": "skyquilt.engine.mosaic.planning",
    "MosaicResult": "skyquilt.engine.mosaic.walk",
    "MosaicRunResult": "skyquilt.engine.mosaic.walk",
    "make_mosaics": "skyquilt.engine.mosaic.walk",
}


def __getattr__(name: str) -> object:
    """Load what makes a mosaic when it is first asked for."""
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
