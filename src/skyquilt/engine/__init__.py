"""What comes after what: recipe, plan, budget, cache and resume, executors, pipelines."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skyquilt.engine.cache import CacheEntry, cache_status, clear_cache
    from skyquilt.engine.listing import list_frame_files, list_frames
    from skyquilt.engine.manifest import FrameRecord, Manifest, Statistics
    from skyquilt.engine.recipe import PRESETS, Recipe, parse_memory
    from skyquilt.engine.result import GroupFailure, Plan, RunOptions, RunResult, StackResult
    from skyquilt.engine.solved_products import check_product, update_product, write_sidecar
    from skyquilt.engine.solving import SkySolver, Solved, SolveRequest
    from skyquilt.engine.stack import stack_session
    from skyquilt.engine.verify import verify_products

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

# what is asked for is loaded: the app looks at locks and recipes, a stack needs the solver only beside the integration
_PLACES = {
    "skyquilt.engine.cache": ("CacheEntry", "cache_status", "clear_cache"),
    "skyquilt.engine.listing": ("list_frame_files", "list_frames"),
    "skyquilt.engine.manifest": ("FrameRecord", "Manifest", "Statistics"),
    "skyquilt.engine.recipe": ("PRESETS", "Recipe", "parse_memory"),
    "skyquilt.engine.result": ("GroupFailure", "Plan", "RunOptions", "RunResult", "StackResult"),
    "skyquilt.engine.solved_products": ("check_product", "update_product", "write_sidecar"),
    "skyquilt.engine.solving": ("SkySolver", "SolveRequest", "Solved"),
    "skyquilt.engine.stack": ("stack_session",),
    "skyquilt.engine.verify": ("verify_products",),
}
_LATER = {name: place for place, names in _PLACES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a name when it is first asked for."""
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
