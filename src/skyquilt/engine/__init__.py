"""What comes after what: recipe, plan, budget, cache and resume, executors, pipelines."""

from skyquilt.engine.cache import CacheEntry, cache_status, clear_cache
from skyquilt.engine.listing import list_frames
from skyquilt.engine.manifest import FrameRecord, Manifest, Statistics
from skyquilt.engine.recipe import PRESETS, Recipe
from skyquilt.engine.result import GroupFailure, Plan, RunOptions, RunResult, StackResult
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
    "StackResult",
    "Statistics",
    "cache_status",
    "clear_cache",
    "list_frames",
    "stack_session",
    "verify_products",
]
