"""
skyquilt: every sub, one sky.

``import skyquilt as sq; result = sq.stack("M 94_sub")`` makes a deep, linear, documented stack of a telescope's folder.
Names are loaded when they are used, so that the import costs nothing.
"""

from __future__ import annotations

import gc
import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skyquilt.apps.api import finish, mosaic, solve, stack, watch
    from skyquilt.engine import Manifest, Recipe, RunOptions, RunResult, Solved, SolveRequest, StackResult
    from skyquilt.engine.finish import Chain, FinishResult
    from skyquilt.engine.live import WatchOptions
    from skyquilt.engine.mosaic import MosaicRecipe, MosaicResult, MosaicRunResult

__version__ = "0.1.0"

__all__ = [
    "Chain",
    "FinishResult",
    "Manifest",
    "MosaicRecipe",
    "MosaicResult",
    "MosaicRunResult",
    "Recipe",
    "RunOptions",
    "RunResult",
    "SolveRequest",
    "Solved",
    "StackResult",
    "WatchOptions",
    "__version__",
    "finish",
    "mosaic",
    "solve",
    "stack",
    "watch",
]

_HOME = {
    "Chain": "skyquilt.engine.finish",
    "FinishResult": "skyquilt.engine.finish",
    "finish": "skyquilt.apps.api",
    "mosaic": "skyquilt.apps.api",
    "solve": "skyquilt.apps.api",
    "stack": "skyquilt.apps.api",
    "watch": "skyquilt.apps.api",
    "WatchOptions": "skyquilt.engine.live",
    "Manifest": "skyquilt.engine",
    "MosaicRecipe": "skyquilt.engine.mosaic",
    "MosaicResult": "skyquilt.engine.mosaic",
    "MosaicRunResult": "skyquilt.engine.mosaic",
    "Recipe": "skyquilt.engine",
    "RunOptions": "skyquilt.engine",
    "RunResult": "skyquilt.engine",
    "SolveRequest": "skyquilt.engine",
    "Solved": "skyquilt.engine",
    "StackResult": "skyquilt.engine",
}


def __getattr__(name: str) -> object:
    """Load a public name, or the engine, from its home when it is first asked for."""
    if name in _HOME:
        return getattr(_load(_HOME[name]), name)
    if name == "engine":
        return _load("skyquilt.engine")
    raise AttributeError(f"module 'skyquilt' has no attribute {name!r}")


def _load(module: str) -> ModuleType:
    """Import a module; meanwhile nothing is garbage, so collecting it would cost a tenth of the time for nothing."""
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        if is_collecting:
            gc.enable()


def __dir__() -> list[str]:
    return sorted(__all__)
