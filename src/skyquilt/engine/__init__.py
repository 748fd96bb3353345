"""What comes after what: recipe, plan, budget, cache and resume, executors, pipelines."""

from skyquilt.engine.cache import CacheEntry, cache_status, clear_cache
from skyquilt.engine.listing import list_frames
from skyquilt.engine.manifest import FrameRecord, Manifest, Statistics
from skyquilt.engine.recipe import PRESETS, Recipe
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
    "list_frames",
    "stack_session",
    "update_product",
    "verify_products",
    "write_sidecar",
]
