"""
skyquilt: every sub, one sky.

``import skyquilt as sq; result = sq.stack("M 94_sub")`` makes a deep, linear, documented stack of a telescope's folder.
Names are loaded when they are used, so that the import costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skyquilt.apps.api import stack
    from skyquilt.engine import Manifest, Recipe, RunOptions, RunResult, StackResult

__version__ = "0.1.0"

__all__ = ["Manifest", "Recipe", "RunOptions", "RunResult", "StackResult", "__version__", "stack"]

_HOME = {
    "stack": "skyquilt.apps.api",
    "Manifest": "skyquilt.engine",
    "Recipe": "skyquilt.engine",
    "RunOptions": "skyquilt.engine",
    "RunResult": "skyquilt.engine",
    "StackResult": "skyquilt.engine",
}


def __getattr__(name: str) -> object:
    """Load a public name from its home when it is first asked for."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'skyquilt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
