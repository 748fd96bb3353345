"""What comes after what: recipe, plan, budget, cache and resume, executors, pipelines."""

import importlib
from typing import TYPE_CHECKING

from skyquilt.engine.cache import CacheEntry, cache_status, clear_cache
from skyquilt.engine.listing import list_frame_files, list_frames
from skyquilt.engine.manifest import FrameRecord, Manifest, Statistics
from skyquilt.engine.recipe import PRESETS, Recipe, parse_memory
from skyquilt.engine.result import GroupFailure, Plan, RunOptions, RunResult, StackResult
from skyquilt.engine.stack import stack_session
from skyquilt.engine.verify import verify_products

if TYPE_CHECKING:
    from skyquilt.engine.solved_products import check_product, update_product, write_sidecar
    from skyquilt.engine.solving import SkySolver, Solved, SolveRequest

__all__ = [
    "PRESETS",
    "CacheEntry",
    "FrameRecord",
    "GroupFailure",
    "Manifest",
    "Plan",
    "Recipe",
    "RunOptions",
    "RunResult",
    "SkySolver",
    "SolveRequest",
    "Solved",
    "StackResult",
    "Statistics",
    "cache_status",
    "check_product",
    "clear_cache",
    "list_frame_files",
    "list_frames",
    "parse_memory",
    "stack_session",
    "update_product",
    "verify_products",
    "write_sidecar",
]

# a stack needs the solver only beside the integration: it is not loaded before
_LATER = {
    "SkySolver": "skyquilt.engine.solving",
    "SolveRequest": "skyquilt.engine.solving",
    "Solved": "skyquilt.engine.solving",
    "check_product": "skyquilt.engine.solved_products",
    "update_product": "skyquilt.engine.solved_products",
    "write_sidecar": "skyquilt.engine.solved_products",
}


def __getattr__(name: str) -> object:
    """Load what concerns the solver when it is first asked for."""
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
