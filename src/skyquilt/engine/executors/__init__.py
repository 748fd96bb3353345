"""Who does the work: each executor runs independent tasks and hands the results back in order."""

from skyquilt.engine.executors.threads import run_in_order

__all__ = ["run_in_order"]
